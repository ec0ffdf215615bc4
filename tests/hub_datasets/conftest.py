"""Fake downloads for the tests of the corpora: made once a session, copied where a test damages them."""

import shutil
from collections import Counter

import datasets
import pytest

from hub_datasets.registry import get_builder_class
from tests.fakes.fake import make_fake_corpus


@pytest.fixture(autouse=True, scope="session")
def no_progress_bars():
    datasets.disable_progress_bars()


@pytest.fixture(scope="session")
def fake_corpus(tmp_path_factory):
    """`fake_corpus(name, variant=None, full_size=False)`: root of a tree that must not be changed."""
    made = {}

    def make(name, variant=None, full_size=False):
        key = (name, variant, full_size)
        if key not in made:
            root = tmp_path_factory.mktemp(f"{name}_{'full' if full_size else 'small'}")
            made[key] = make_fake_corpus(name, root, variant, full_size, frame_size=1 if full_size else 16)
        return made[key]

    return make


@pytest.fixture
def damaged_corpus(fake_corpus, tmp_path):
    """`damaged_corpus(name, variant=None)`: a copy of a small tree, free to be damaged."""

    def copy(name, variant=None):
        return shutil.copytree(fake_corpus(name, variant), tmp_path / name)

    return copy


@pytest.fixture
def corpus_cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def scan(corpus_cache):
    """`scan(name, root, label_set=None, **options)`: what a builder found, without preparing rows."""

    def run(name, root, label_set=None, **options):
        builder = get_builder_class(name)(data_dir=root, config_name=label_set, cache_dir=corpus_cache, **options)
        return builder.scan

    return run


@pytest.fixture
def counts():
    """`counts(scan)`: clips per class, and the number of subjects."""

    def count(scan):
        return dict(Counter(clip.label for clip in scan.clips)), len({clip.record.subject for clip in scan.clips})

    return count
