"""The MEGC 2019 composite, drawn from the three corpora's own folders."""

import csv

import pytest

from hub_datasets import DatasetNotFoundError, load_corpus
from hub_datasets.megc2019 import Megc2019, compare_with_official_list
from hub_datasets.records import RENDERED_MANIFEST

PUBLISHED = {
    "smic": {"negative": 70, "positive": 51, "surprise": 43, "subjects": 16},
    "casme2": {"negative": 88, "positive": 32, "surprise": 25, "subjects": 24},
    "samm": {"negative": 92, "positive": 26, "surprise": 15, "subjects": 28},
}
CLASS_NUMBERS = {"negative": "0", "positive": "1", "surprise": "2"}


@pytest.fixture(scope="module")
def composite(fake_corpus, tmp_path_factory):
    root = fake_corpus("megc2019", full_size=True)
    return load_corpus("megc2019", root, cache_dir=tmp_path_factory.mktemp("cache"))


def test_full_size_gives_the_published_counts(composite):
    names = composite.features["label"].names
    assert len(composite) == len(set(composite["clip_id"])) == 442
    assert len(set(composite["subject"])) == 68
    for corpus, published in PUBLISHED.items():
        rows = [row for row in composite if row["corpus"] == corpus]
        found = {name: sum(names[row["label"]] == name for row in rows) for name in names}
        assert {**found, "subjects": len({row["subject"] for row in rows})} == published


def test_objective_composite_of_the_year_before(fake_corpus, scan, counts):
    found = scan("megc2019", fake_corpus("megc2019", full_size=True), "objective")
    assert counts(found) == ({"I": 49, "II": 28, "III": 119, "IV": 34, "V": 23}, 47)
    assert {clip.record.corpus for clip in found.clips} == {"casme2", "samm"}


def test_rows_keep_what_their_corpus_knows(composite):
    fps = {row["corpus"]: row["fps"] for row in composite}
    assert fps == {"casme2": 200.0, "samm": 200.0, "smic": 100.0}
    assert {row["clip_id"].partition("/")[0] for row in composite} == set(PUBLISHED)


@pytest.fixture
def official_list(fake_corpus, scan, tmp_path):
    """A list in the official spelling: subjects unpadded for SAMM, padded clips for SMIC."""
    clips = scan("megc2019", fake_corpus("megc2019")).clips
    rows = []
    for clip in clips:
        record = clip.record
        subject, name = record.subject, record.key.rpartition("/")[2]
        if record.corpus == "samm":
            subject = str(int(subject))
        if record.corpus == "smic":
            number, _, rest = name[1:].partition("_")
            subject, name = f"s{int(number):02d}", f"s{int(number):02d}_{rest}"
        rows.append([record.corpus, subject, name, CLASS_NUMBERS[clip.label]])
    path = tmp_path / "combined_3class_gt.csv"

    def write(rows):
        with path.open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\r\n").writerows(rows)
        return compare_with_official_list(path, clips)

    return rows, write


def test_official_list_that_agrees_says_nothing(official_list):
    rows, write = official_list
    assert write(rows) == []
    # the flawed copy: a header and blank rows between
    assert write([["dataset", "subject", "clip", "label"], *[row for pair in rows for row in (pair, [""] * 4)]]) == []


def test_official_list_that_differs_is_reported(official_list):
    rows, write = official_list
    other_class = [*rows[0][:3], "2" if rows[0][3] != "2" else "0"]
    remarks = write([other_class, *rows[2:], ["casme2", "sub27", "EP01_01", "1"]])
    assert len(remarks) == 3
    assert "1 clips are in the official list but not here: casme2/27/ep01_01" in remarks


def test_missing_part_is_named(fake_corpus, tmp_path, corpus_cache):
    root = tmp_path / "parts"
    root.mkdir()
    (root / "CASME2").symlink_to(fake_corpus("megc2019") / "CASME2")
    (root / "SAMM").symlink_to(fake_corpus("megc2019") / "SAMM")
    with pytest.raises(DatasetNotFoundError, match="no usable smic part"):
        load_corpus("megc2019", root, cache_dir=corpus_cache)


@pytest.mark.parametrize("rendered", [(), ("casme2",), ("casme2", "samm", "smic")])
def test_a_composite_is_rendered_when_every_part_is(rendered, damaged_corpus, corpus_cache):
    root = damaged_corpus("megc2019")
    roots = {name: root / ("CASME2" if name == "casme2" else name.upper()) for name in rendered}
    for folder in roots.values():
        (folder / RENDERED_MANIFEST).write_text("{}")
    builder = Megc2019(data_dir=root, cache_dir=corpus_cache)
    assert builder.rendered_roots == roots
    assert builder.is_rendered == (len(rendered) == 3)


def test_parts_may_lie_anywhere(fake_corpus, tmp_path, scan):
    root = fake_corpus("megc2019")
    found = scan(
        "megc2019",
        tmp_path,
        casme2_dir=root / "CASME2",
        samm_dir=root / "SAMM",
        smic_dir=fake_corpus("smic", "hs_e"),
        smic_package="hs_e",
    )
    assert "smic: sheet SMIC-HS-E_annotation.xlsx, package hs_e" in found.variant
    assert len(found.clips) > 30
