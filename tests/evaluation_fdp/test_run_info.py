"""run.json: what is written is read again, and the identity of a run does not depend on the order of its settings."""

import dataclasses
import hashlib
import json

import pytest

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.run_folder import RUN_NAME, RunStore
from evaluation_fdp.run_info import RunIdentity, RunInfo, StartingWeights

IDENTITY = RunIdentity({"seed": 1, "epochs": 2}, "c1", {"casme2": "sheet v1"}, ["negative", "positive"])
RUN = RunInfo(
    identity=IDENTITY,
    command="accelerate launch train.py",
    corpus=["casme2"],
    test_corpus=[],
    label_set=None,
    preset="tiny",
    protocol="loso",
    selection="fixed",
    seeds=[1, 2],
    folds=["s01", "s02"],
    warnings=[],
    synthetic=False,
    faces=False,
    versions={"python": "3.11"},
    init_from=StartingWeights("start", "0" * 64, ["head"]),
)


def test_what_is_written_is_read_again(tmp_path):
    for run in (RUN, dataclasses.replace(RUN, init_from=None, label_set="5class", lost_clips={"a": "why"})):
        store = RunStore(tmp_path / str(run.label_set))
        store.open(run)
        assert store.read() == run


def test_the_identity_is_the_digest_of_its_content_in_any_order():
    content = {
        "class_names": ["negative", "positive"],
        "clips": "c1",
        "settings": {"epochs": 2, "seed": 1},
        "sources": {"casme2": "sheet v1"},
    }
    expected = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
    assert IDENTITY.digest == expected
    assert dataclasses.replace(IDENTITY, settings={"epochs": 2, "seed": 1}).digest == expected
    assert dataclasses.replace(IDENTITY, settings={"epochs": 3, "seed": 1}).digest != expected


def test_folders_of_further_seeds_are_told_apart():
    assert RUN.keys_by_seed == {1: ["s01", "s02"], 2: ["s01_seed2", "s02_seed2"]}


@pytest.mark.parametrize("content", [{}, {"identity": {"settings": {}}}, {"identity": {"more": 1}}])
def test_a_run_of_another_version_is_refused(content, tmp_path):
    (tmp_path / RUN_NAME).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="another version of this package"):
        RunStore(tmp_path).read()
    with pytest.raises(ConfigError, match="another version of this package"):
        RunStore(tmp_path).open(RUN)
    assert json.loads((tmp_path / RUN_NAME).read_text()) == content
