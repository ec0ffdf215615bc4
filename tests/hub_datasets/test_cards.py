"""Cards are made from the builders: every fact of all corpora is on them, and no data."""

import re
from pathlib import Path

import pytest
import yaml

from hub_datasets import CORPUS_NAMES, get_builder_class
from hub_datasets.__main__ import main
from hub_datasets.card import SOURCES, corpus_card


def parts(name):
    _, header, body = corpus_card(get_builder_class(name)).split("---\n", 2)
    return yaml.safe_load(header), body


def words(text):
    return " ".join(re.sub(r"[*`]", "", text).split())


@pytest.mark.parametrize("name", CORPUS_NAMES)
def test_a_card_states_the_facts_of_its_builder(name):
    builder_class = get_builder_class(name)
    _, body = parts(name)
    assert builder_class.EXPECTED_TREE in body and builder_class.CITATION in body
    assert f'load_corpus("{name}", ' in body and f"check {name}" in body
    for label_set in builder_class.LABEL_SETS:
        rows = [line for line in body.splitlines() if line.startswith(f"| `{label_set.name}` |")]
        assert len(rows) == max(1, len(label_set.expected))
        assert all(row.endswith(f"| {label_set.description} |") for row in rows)
        for row, size in zip(rows, label_set.expected, strict=False):
            counts = ", ".join(f"{word} {count}" for word, count in size.counts.items())
            assert f"| {size.variant} | {counts} = {size.total} | {size.subjects or 'unknown'} |" in row
    for erratum in builder_class.ERRATA:
        right = "..".join(map(str, erratum.right)) if erratum.field == "interval" else erratum.right
        assert f"| {erratum.clip} | {erratum.field} | {right} | {erratum.reason} | {erratum.source} |" in body
    # The data sheet of the docstring, point by point; the citation stands at the end of a card.
    for point in (builder_class.__doc__ or "").split("\n    * ")[1:]:
        if not point.startswith("**Cite**"):
            assert words(point.split("\n\n")[0]) in words(body)


@pytest.mark.parametrize("name", CORPUS_NAMES)
def test_a_card_carries_no_data_and_the_header_that_the_hub_reads(name):
    builder_class = get_builder_class(name)
    header, body = parts(name)
    assert "](" not in body and "<img" not in body  # no picture, no link to one
    assert header["task_categories"] == ["video-classification"] and header["viewer"] is False
    assert header["pretty_name"] and "\n# " + header["pretty_name"] + "\n" in body
    assert "Do not judge people by it." in body
    if builder_class.faces_may_be_published:
        assert header["license"] == "apache-2.0" and "must be labelled synthetic" in body
    else:
        assert header["license"] == "other" and header["license_name"]
        assert "carries no data" in body
        assert header.get("license_link", "") == (builder_class.ACCESS_PAGE if name != "custom" else "")


@pytest.mark.parametrize(
    ("name", "size"), [("samm", "n<1K"), ("cas_me_3", "1K<n<10K"), ("dfme", "1K<n<10K"), ("custom", None)]
)
def test_the_size_category_is_that_of_the_largest_label_set(name, size):
    assert parts(name)[0].get("size_categories") == (size and [size])


@pytest.mark.parametrize("name", ["casme2", "samm", "smic"])
def test_short_names_of_sources_are_explained_on_the_card(name):
    _, body = parts(name)
    for erratum in get_builder_class(name).ERRATA:
        for key in set(re.findall(r"[\w-]+", erratum.source)) & set(SOURCES):
            assert f"{key}: {SOURCES[key]}" in body


def test_the_command_prints_or_writes_a_card(tmp_path, capsys):
    assert main(["card", "casme2"]) == 0
    printed = capsys.readouterr().out
    assert printed == corpus_card(get_builder_class("casme2"))
    assert main(["card", "casme2", "--output", str(tmp_path / "deep" / "README.md")]) == 0
    assert (tmp_path / "deep" / "README.md").read_text(encoding="utf-8") == printed
    assert capsys.readouterr().out == ""


def test_a_card_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["card", "casme2", "--output", str(tmp_path / "file" / "README.md")]) == 2
    assert capsys.readouterr().err.startswith("error: the card cannot be written to")


@pytest.mark.parametrize(
    "name", [name for name in CORPUS_NAMES if get_builder_class(name).ACCESS_PAGE.startswith("http")]
)
def test_the_docs_have_a_row_for_every_licensed_corpus(name):
    builder_class = get_builder_class(name)
    text = (Path(__file__).parents[2] / "docs" / "corpora.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1, f"docs/corpora.md has one row for every corpus, but {len(rows)} for {name}"
    (row,) = rows
    for label_set in builder_class.LABEL_SETS:
        size = label_set.expected[0] if label_set.expected else None
        told = "" if size is None else f" {size.total}" + (f" / {size.subjects}" if size.subjects else "")
        assert re.search(rf"`{label_set.name}`{told}(,| \|)", row), label_set.name
    assert row.endswith(f" {builder_class.ACCESS_PAGE} |")
