"""run.json: what is written is read again, and the identity of a run does not depend on the order of its settings."""

import dataclasses
import hashlib
import json

import pytest

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.fold_records import write_record
from evaluation_fdp.run_folder import RUN_NAME, RunStore
from evaluation_fdp.run_info import RunIdentity, RunInfo, StartingWeights
from tests.fakes.results import fold_record

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


def other(**changes):
    return dataclasses.replace(RUN, identity=dataclasses.replace(IDENTITY, **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": {"seed": 1, "epochs": 3}}, "--epochs was 2, now 3"),
        ({"settings": {"seed": 1}}, "--epochs was 2, now None"),
        ({"settings": {"seed": 1, "epochs": 2, "more": 0}}, "--more was None, now 0"),
        ({"clips": "0123456789"}, "clips was c1, now 01234567"),
        (
            {"sources": {"casme2": "sheet v2", "samm": "x"}},
            "download of casme2 was sheet v1, now sheet v2; download of samm was None, now x",
        ),
        ({"class_names": ["positive"]}, "classes was ['negative', 'positive'], now ['positive']"),
        (
            {"settings": dict.fromkeys("abcd", 1), "clips": "c2"},
            "--seed was 1, now None; --epochs was 2, now None; --a was None, now 1; --b was None, now 1; and 3 more",
        ),
        (
            {"settings": {"a": 1, "b": 1}},
            "--seed was 1, now None; --epochs was 2, now None; --a was None, now 1; --b was None, now 1",
        ),
    ],
)
def test_a_run_with_other_settings_names_them_and_leaves_the_folder_alone(tmp_path, changes, said):
    store = RunStore(tmp_path)
    store.open(RUN)
    store.open(RUN)
    with pytest.raises(ConfigError) as caught:
        store.open(other(**changes))
    assert str(caught.value) == (
        f"{tmp_path} holds a run with other settings ({said}); give another --output_dir or repeat the old settings"
    )
    assert store.read() == RUN


def test_what_is_no_run_is_not_written_into(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ConfigError, match="holds files that are not a run's"):
            RunStore(place).open(RUN)
    (tmp_path / "empty").mkdir()
    RunStore(tmp_path / "empty").open(RUN)
    with pytest.raises(
        ConfigError, match=r"holds no run \(run.json is missing\); give the --output_dir of a training"
    ):
        RunStore(tmp_path / "nowhere").read()


def test_finished_folds_are_those_of_this_run_in_the_order_of_the_protocol(tmp_path):
    store = RunStore(tmp_path / "OUT")
    store.open(RUN)
    for key, identity in (("s02", IDENTITY.digest), ("s01", IDENTITY.digest), ("s01_seed2", "another")):
        record = dataclasses.replace(fold_record(key, "s1", [0], [0]), identity=identity)
        write_record(store.place(key), tmp_path / "aside", record, {})
    found = store.records(RUN.keys_by_seed)
    assert {seed: [record.fold for record in folds] for seed, folds in found.items()} == {1: ["s01", "s02"]}
    assert (
        store.place("s01") == tmp_path / "OUT" / "folds" / "s01" and store.place("final") == tmp_path / "OUT" / "final"
    )


def test_the_working_folder_goes_with_its_last_fold(tmp_path):
    store = RunStore(tmp_path)
    store.clear_work("s01")
    for key in ("s01", "s02"):
        (store.work_folder(key) / "deep").mkdir(parents=True)
    assert store.work_folder("s01") == tmp_path / "unfinished" / "s01"
    store.clear_work("s01")
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == ["s02"]
    store.clear_work("s02")
    assert not (tmp_path / "unfinished").exists()
