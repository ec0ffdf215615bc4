"""Dataset cards: no data, and the facts of the builders."""

from pathlib import Path

import pytest
import yaml

import hub_datasets
from hub_datasets import CORPUS_NAMES, get_builder_class

CARDS = sorted((Path(hub_datasets.__file__).parent / "cards").iterdir())
LICENSED = ("casme", "cas_me_2", "cas_me_3", "mmew", "fourdme", "dfme")


def test_cards_are_text_about_known_corpora():
    assert {path.stem for path in CARDS} <= set(CORPUS_NAMES)
    assert {path.suffix for path in CARDS} == {".md"}
    assert set(LICENSED) <= {path.stem for path in CARDS}


@pytest.mark.parametrize("name", LICENSED)
def test_a_card_agrees_with_its_builder(name):
    builder_class = get_builder_class(name)
    text = next(path for path in CARDS if path.stem == name).read_text(encoding="utf-8")
    _, header, body = text.split("---\n", 2)
    facts = yaml.safe_load(header)
    assert facts["license"] == "other" and facts["viewer"] is False
    assert facts["license_link"] == builder_class.ACCESS_PAGE
    assert facts["task_categories"] == ["video-classification"]
    assert "carries no data" in body and "](" not in body  # no picture, no link to one
    assert builder_class.CITATION in body and builder_class.EXPECTED_TREE in body
    for label_set in builder_class.LABEL_SETS:
        assert f"| `{label_set.name}` |" in body
        for size in label_set.expected:
            assert ", ".join(f"{name} {count}" for name, count in size.counts.items()) + f" = {size.total} |" in body
    for erratum in builder_class.ERRATA:
        assert f"| {erratum.clip} | {erratum.field} |" in body
