"""The generator of fake downloads: seeded, in the true layout, with honest totals."""

import random

import pytest
from PIL import Image

from hub_datasets import UnknownCorpusError, UnknownLabelSetError
from hub_datasets.errors import CorpusOptionError
from hub_datasets.registry import get_builder_class
from tests.fakes.fake import FAKE_CORPORA, fake_variants, make_fake_corpus, spread


def tree(root):
    """Files with their bytes; workbooks carry the time of writing, so that their names must do."""
    return {
        path.relative_to(root).as_posix(): None if path.suffix in (".xlsx", ".xls", ".mp4") else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", FAKE_CORPORA)
def test_every_variant_can_be_read(name, fake_corpus, scan):
    for variant in fake_variants(name):
        root = fake_corpus(name, variant)
        for label_set in get_builder_class(name).LABEL_SETS:
            try:
                found = scan(name, root, label_set.name)
            except UnknownLabelSetError:  # a sheet of CAS(ME)^3 that does not carry these labels
                continue
            break
        assert found.clips, variant
        assert len(found.lost) < len(found.clips), variant


def test_equal_seeds_give_equal_trees(tmp_path):
    one = make_fake_corpus("samm", tmp_path / "one", seed=3)
    two = make_fake_corpus("samm", tmp_path / "two", seed=3)
    other = make_fake_corpus("samm", tmp_path / "other", seed=4)
    assert tree(one) == tree(two) != tree(other)


def test_frames_have_the_size_that_was_asked_for(fake_corpus, tmp_path):
    for root, size in ((fake_corpus("casme2"), 16), (make_fake_corpus("smic", tmp_path, "hs_e", frame_size=5), 5)):
        with Image.open(next(root.rglob("*.jpg"))) as image:
            assert image.size == (size, size)


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(UnknownCorpusError, match="'nope' was given"):
        make_fake_corpus("nope", tmp_path)
    with pytest.raises(CorpusOptionError, match="'1999' was given"):
        make_fake_corpus("casme2", tmp_path, "1999")


def test_spread_keeps_both_totals_and_the_restrictions():
    classes = {"a": 5, "b": 3, "c": 2}
    subjects = {"x": 1, "y": 4, "z": 5}
    pairs = spread(
        classes, subjects, random.Random(0), lambda subject, name: subject != "x" or name == "c", first={"y": "b"}
    )
    assert {name: sum(pair[1] == name for pair in pairs) for name in classes} == classes
    assert {subject: sum(pair[0] == subject for pair in pairs) for subject in subjects} == subjects
    assert ("x", "c") in pairs and next(name for subject, name in pairs if subject == "y") == "b"


@pytest.mark.parametrize(
    ("subjects", "allowed", "message"),
    [({"x": 2}, None, "totals must agree"), ({"x": 1}, lambda subject, name: False, "no class is left")],
)
def test_spread_refuses_what_cannot_be(subjects, allowed, message):
    with pytest.raises(CorpusOptionError, match=message):
        spread({"a": 1}, subjects, random.Random(0), allowed)


def test_every_licensed_corpus_has_a_fake():
    assert all(get_builder_class(name).faces_may_be_published is False for name in FAKE_CORPORA)
