"""A run that is killed goes on with the same bits, whenever it is killed, and with any number of processes."""

import json
import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from accelerate import debug_launcher
from accelerate.state import AcceleratorState
from torch.multiprocessing import ProcessRaisedException

from training_fdp.config import parse_train_config
from training_fdp.errors import ConfigError
from training_fdp.runs import run

ROUNDS = 10
# A little of everything that a checkpoint must carry: drop path, a moving average, accumulation, augmentation.
OPTIONS = (
    *("--max_steps", "40", "--ema_decay", "0.9", "--gradient_accumulation_steps", "2"),
    *("--augmentation", "default", "--report_literature_selection", "--eval_steps", "10", "--folds", "fold0"),
)


def _run_here(arguments):
    """The body of a forked process."""
    torch.set_num_threads(1)
    AcceleratorState._reset_state(True)
    run(parse_train_config(arguments), arguments)


def _outcome(folder):
    curve = json.loads((folder / "folds" / "fold0" / "training_curve.json").read_text())
    record = json.loads((folder / "folds" / "fold0" / "fold.json").read_text())
    return curve, record["predictions"], record["best_on_test_subject"]


@pytest.mark.slow
def test_ten_kills_at_random_moments_give_equal_bits(toy_run, toy_arguments, tmp_path):
    assert toy_run(tmp_path / "whole", *OPTIONS) == 0
    reference = _outcome(tmp_path / "whole")
    arguments = toy_arguments(tmp_path / "killed", *OPTIONS)
    checkpoint = tmp_path / "killed" / "unfinished" / "fold0" / "checkpoint.pt"
    moment = random.Random(6)
    fork = multiprocessing.get_context("fork")
    kills = 0
    while kills < ROUNDS and not (tmp_path / "killed" / "folds" / "fold0").exists():
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = fork.Process(target=_run_here, args=(arguments,))
        process.start()
        # From the moment it has got one step further, so that ten rounds always fit into forty steps.
        while process.is_alive() and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.0005)
        time.sleep(moment.uniform(0, 0.01))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
    assert kills == ROUNDS, "the run was over before it could be killed"
    assert toy_run(tmp_path / "killed", *OPTIONS) == 0
    assert _outcome(tmp_path / "killed") == reference
    assert not (tmp_path / "killed" / "unfinished").exists()


@pytest.mark.parametrize("moment", ["before the file is written", "before it is renamed", "after it is renamed"])
def test_killed_while_a_checkpoint_is_saved(toy_run, toy_arguments, tmp_path, moment):
    def die(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    def child(arguments):
        import training_fdp.storage as storage

        saves = []
        save = torch.save
        replace = storage.os.replace

        def counted_save(state, file):
            saves.append(state)
            if len(saves) == 3 and moment == "before the file is written":
                file.write(b"half")
                file.flush()
                die()
            save(state, file)

        def counted_replace(source, target):
            if len(saves) == 3 and moment == "before it is renamed":
                die()
            replace(source, target)
            if len(saves) == 3 and moment == "after it is renamed":
                die()

        torch.save, storage.os.replace = counted_save, counted_replace
        _run_here(arguments)

    options = ("--max_steps", "5", "--folds", "fold0")
    toy_run(tmp_path / "whole", *options)
    process = multiprocessing.get_context("fork").Process(
        target=child, args=(toy_arguments(tmp_path / "killed", *options),)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert toy_run(tmp_path / "killed", *options) == 0
    assert _outcome(tmp_path / "killed") == _outcome(tmp_path / "whole")
    leftovers = [path for path in (tmp_path / "killed").rglob("*") if ".tmp" in path.name]
    assert leftovers == []


def test_killed_while_the_record_is_written(toy_run, toy_arguments, tmp_path):
    def child(arguments):
        import training_fdp.storage as storage

        storage.os.rename = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
        _run_here(arguments)

    options = ("--folds", "fold0")
    process = multiprocessing.get_context("fork").Process(
        target=child, args=(toy_arguments(tmp_path / "OUT", *options),)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "OUT" / "folds" / "fold0").exists()
    assert toy_run(tmp_path / "OUT", *options) == 0
    assert (tmp_path / "OUT" / "folds" / "fold0" / "model.safetensors").exists()


@pytest.fixture
def two_processes():
    """Runs a function on two CPU processes joined by gloo; the state of this process is put back."""
    AcceleratorState._reset_state(True)
    yield lambda function, *arguments: debug_launcher(function, arguments, num_processes=2)
    AcceleratorState._reset_state(True)


def test_two_processes_give_the_predictions_of_one(toy_run, toy_arguments, tmp_path, two_processes):
    options = ("--protocol", "kfold3", "--augmentation", "default")
    two_processes(_run_here, toy_arguments(tmp_path / "two", *options))
    AcceleratorState._reset_state(True)
    toy_run(tmp_path / "one", *options)
    one, two = ((tmp_path / name / "predictions.csv").read_text() for name in ("one", "two"))
    assert one == two
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two")]
    assert results[0]["metrics"] == results[1]["metrics"]


def test_no_process_waits_for_one_that_could_not_begin(
    toy_corpus, toy_arguments, tmp_path, two_processes, monkeypatch
):
    def broken_on_the_main_process(config):
        if os.environ["RANK"] == "0":
            raise ConfigError("the corpus is broken")
        raise AssertionError("the other process must not load before the main one is done")

    monkeypatch.setattr("training_fdp.preparation.load_corpora", broken_on_the_main_process)
    with pytest.raises(ProcessRaisedException, match=r"could not prepare the run|the corpus is broken"):
        two_processes(_run_here, toy_arguments(tmp_path / "OUT"))
    assert not (tmp_path / "OUT").exists()


def test_processes_that_share_a_fold_learn_from_the_whole_batch(toy_run, toy_arguments, tmp_path, two_processes):
    """One step of DDP on two halves is one step on the whole batch, when no layer looks across the batch."""
    options = ("--parallelism", "ddp", "--optimizer", "sgd", "--max_steps", "3", "--folds", "fold0")
    two_processes(_run_here, toy_arguments(tmp_path / "two", *options))
    AcceleratorState._reset_state(True)
    toy_run(tmp_path / "one", *options)
    outcomes = [_outcome(tmp_path / name)[0]["loss"] for name in ("one", "two")]
    # Batch norm does look across the batch, so the losses are near each other and not equal.
    assert np.allclose(*outcomes, rtol=0.2) and len(outcomes[1]) == 3
