"""Corpora by name, and what every one of them promises."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hub_datasets
from hub_datasets import CORPUS_NAMES, UnknownCorpusError, get_builder_class, load_corpus
from hub_datasets.base import CorpusBuilder, clip_features
from hub_datasets.card import SOURCES
from tests.fakes.fake import FAKE_CORPORA

CORPUS_FILES = [name for name in CORPUS_NAMES if name != "synthetic"]


def test_every_builder_is_on_the_command_line_and_every_licensed_corpus_has_a_fake():
    known = {
        "casme", "casme2", "samm", "samm_long", "cas_me_2", "cas_me_3", "smic", "mmew", "fourdme", "dfme", "megc2019",
        "custom", "synthetic",
    }  # fmt: skip
    assert known <= set(CORPUS_NAMES)
    room = Path(hub_datasets.__file__).parent
    builders = [
        path for path in room.rglob("*.py") if re.search(r"^class \w+\(CorpusBuilder\)", path.read_text("utf-8"), re.M)
    ]
    registered = {sys.modules[get_builder_class(name).__module__].__file__ for name in CORPUS_NAMES}
    assert {str(path) for path in builders} == registered
    assert set(FAKE_CORPORA) == set(CORPUS_NAMES) - {"synthetic"}


@pytest.mark.parametrize("name", ["", "CASME2", "casme 2", "../casme2"])
def test_unknown_corpus_is_refused(name):
    with pytest.raises(UnknownCorpusError, match="choose one of them"):
        load_corpus(name)


def test_unknown_attribute_is_no_corpus():
    with pytest.raises(AttributeError, match="Casme9"):
        hub_datasets.Casme9  # noqa: B018 - the access itself is what is tried


@pytest.mark.parametrize("name", CORPUS_NAMES)
def test_every_corpus_states_its_facts(name):
    builder_class = get_builder_class(name)
    assert issubclass(builder_class, CorpusBuilder)
    assert getattr(hub_datasets, builder_class.__name__) is builder_class
    assert name == builder_class.NAME
    assert builder_class.TITLE and builder_class.EXPECTED_TREE and builder_class.ACCESS_PAGE and builder_class.LICENSE
    assert len(inspect.getdoc(builder_class)) > 100
    assert [config.name for config in builder_class.BUILDER_CONFIGS] == [
        label_set.name for label_set in builder_class.LABEL_SETS
    ]
    assert builder_class.LABEL_SETS[0].name == builder_class.DEFAULT_CONFIG_NAME
    assert builder_class.faces_may_be_published == (name == "synthetic")


@pytest.mark.parametrize("name", CORPUS_NAMES)
def test_label_sets_are_consistent(name):
    for label_set in get_builder_class(name).LABEL_SETS:
        assert set(label_set.mapping.values()) == set(label_set.names), label_set.name
        assert len(set(label_set.names)) == len(label_set.names)
        for size in label_set.expected:
            assert set(size.counts) == set(label_set.names)
        clip_features(label_set.names)


@pytest.mark.parametrize("name", CORPUS_NAMES)
def test_errata_have_a_reason_and_a_source(name):
    for erratum in get_builder_class(name).ERRATA:
        assert erratum.reason
        words = set(re.findall(r"[\w-]+", erratum.source))
        assert words & {*SOURCES, "sheet", "authors"}, (
            "name a key of SOURCES in hub_datasets/card.py, a sheet, or the authors"
        )
        assert erratum.wrong != erratum.right
        assert erratum.field in ("onset", "apex", "offset", "emotion", "action_units", "interval")


@pytest.mark.parametrize("name", CORPUS_FILES)
def test_no_corpus_imports_another_but_the_composite(name):
    source = inspect.getsource(sys.modules[get_builder_class(name).__module__])
    imported = set(re.findall(r"^from hub_datasets\.(\w+) import", source, re.MULTILINE)) & set(CORPUS_NAMES)
    assert imported == ({"casme2", "samm", "smic"} if name == "megc2019" else set())


def test_package_is_imported_without_its_corpora():
    heavy = ("datasets", "torch", "hub_datasets.base")
    code = f"import sys, hub_datasets; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
