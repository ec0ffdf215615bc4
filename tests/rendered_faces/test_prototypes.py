"""What exact action units would reach, where combinations belong to several emotions."""

import pytest

from hub_datasets.synthetic.corpus import Synthetic
from rendered_faces import prototypes
from rendered_faces.prototypes import highest_uf1


def test_shared_combinations_limit_the_score(monkeypatch):
    monkeypatch.setattr(prototypes, "PROTOTYPES", {"a": ((3, "4"), (1, "L12")), "b": ((1, "12"), (1, "R12"))})
    monkeypatch.setattr(prototypes, "MIXES", {"even": {"a": 1, "b": 1}})
    # Of eight clips, four of each: three are "4", all of a; five are "12" on some side, one of a and four of b.
    expected = (2 * 3 / (4 + 3) + 2 * 4 / (4 + 5)) / 2
    assert highest_uf1("even", {"a": "a", "b": "b"}) == pytest.approx(expected)
    assert highest_uf1("even", {"a": "one", "b": "one"}) == pytest.approx(1)


@pytest.mark.parametrize(("name", "expected"), [("3class", 1.0), ("4class", 0.936), ("5class", 0.961)])
def test_of_the_rendered_corpora(name, expected):
    assert highest_uf1(name, Synthetic.get_label_set(name).mapping) == pytest.approx(expected, abs=5e-4)
