"""A run that is killed goes on with the same bits, whenever it is killed, and with any number of processes."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time

import pytest
import torch
from accelerate import debug_launcher
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch.multiprocessing import ProcessRaisedException

from evaluation_fdp.errors import ConfigError
from training_fdp.config import parse_train_config
from training_fdp.folds.loop import StageTrainer
from training_fdp.runs.run import run

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a forked process cannot use its parent's card")
ROUNDS = 10
# A little of everything that a checkpoint must carry: drop path, a moving average, accumulation, augmentation.
OPTIONS = (
    *("--max_steps", "40", "--ema_decay", "0.9", "--gradient_accumulation_steps", "2"),
    *("--augmentation", "default", "--report_literature_selection", "--eval_steps", "10", "--folds", "fold0"),
)


@pytest.fixture
def toy_arguments(toy_arguments):
    """The same, saved after every step."""
    return lambda output_dir, *options: toy_arguments(output_dir, "--checkpoint_steps", "1", *options)


def _run_here(arguments):
    """The body of a forked process."""
    torch.set_num_threads(1)
    AcceleratorState._reset_state(True)
    if code := run(parse_train_config(arguments), arguments):
        sys.exit(code)  # else a run that cannot train would be killed and started without end


def _run_until_killed(child, arguments):
    """Runs `child(arguments)`, which kills itself, in a forked process."""
    process = multiprocessing.get_context("fork").Process(target=child, args=(arguments,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _outcome(folder):
    curve = json.loads((folder / "folds" / "fold0" / "training_curve.json").read_text())
    record = json.loads((folder / "folds" / "fold0" / "fold.json").read_text())
    return curve, record["predictions"], record["best_on_test_subject"]


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
        assert process.exitcode in (0, -signal.SIGKILL), "the run failed by itself"
    assert kills == ROUNDS, "the run was over before it could be killed"
    assert toy_run(tmp_path / "killed", *OPTIONS) == 0
    assert _outcome(tmp_path / "killed") == reference
    assert not (tmp_path / "killed" / "unfinished").exists()


@pytest.mark.parametrize(
    ("moment", "augmentation"),
    [
        ("before the file is written", "default"),
        ("before it is renamed", "default"),
        ("after it is renamed", "default"),
        ("after it is renamed", "any_window"),
    ],
)
def test_killed_while_a_checkpoint_is_saved(toy_run, toy_arguments, tmp_path, moment, augmentation):
    def die(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    def child(arguments):
        import evaluation_fdp.atomic_files as storage

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

    options = ("--max_steps", "5", "--folds", "fold0", "--augmentation", augmentation)
    toy_run(tmp_path / "whole", *options)
    _run_until_killed(child, toy_arguments(tmp_path / "killed", *options))
    assert toy_run(tmp_path / "killed", *options) == 0
    assert _outcome(tmp_path / "killed") == _outcome(tmp_path / "whole")
    leftovers = [path for path in (tmp_path / "killed").rglob("*") if ".tmp" in path.name]
    assert leftovers == []


@pytest.mark.parametrize(("dies_at", "refit"), [(3, "--refit"), (3, "--no_refit"), (8, "--refit")])
def test_a_selection_goes_on_where_it_was_killed(toy_run, toy_arguments, tmp_path, dies_at, refit):
    """At the third checkpoint the steps are being selected, at the eighth those that count are under way."""

    def child(arguments):
        import training_fdp.folds.checkpoints as checkpoints

        saves = []
        save = checkpoints.torch.save

        def counted_save(state, file):
            saves.append(state["stage"])
            if len(saves) == dies_at:
                assert state["stage"] == ("select" if dies_at == 3 else "fit")
                os.kill(os.getpid(), signal.SIGKILL)
            save(state, file)

        checkpoints.torch.save = counted_save
        _run_here(arguments)

    options = ("--selection", "inner", "--eval_steps", "1", "--patience", "9", "--max_steps", "6", "--folds", "fold0")
    options = (*options, refit)
    toy_run(tmp_path / "whole", *options)
    _run_until_killed(child, toy_arguments(tmp_path / "killed", *options))
    assert toy_run(tmp_path / "killed", *options) == 0
    assert _outcome(tmp_path / "killed") == _outcome(tmp_path / "whole")
    selections = [
        json.loads((tmp_path / name / "folds" / "fold0" / "fold.json").read_text())["selection"]
        for name in ("killed", "whole")
    ]
    assert selections[0] == selections[1]


@pytest.mark.parametrize("content", [b"", b"random bytes", "half", "foreign"])
def test_a_checkpoint_that_cannot_be_gone_on_from_is_refused(
    toy_run, toy_arguments, tmp_path, capsys, content, monkeypatch
):
    """It costs its own fold, by name; the others are trained."""
    kept = []
    save = torch.save

    def keep(state, file):
        kept.append(state)
        save(state, file)

    monkeypatch.setattr("training_fdp.folds.checkpoints.torch.save", keep)
    assert toy_run(tmp_path / "other", "--folds", "fold0") == 0
    checkpoint = tmp_path / "OUT" / "unfinished" / "fold0" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    save(kept[0], checkpoint)
    (tmp_path / "OUT" / "run.json").write_bytes((tmp_path / "other" / "run.json").read_bytes())
    if content == "foreign":
        save({**kept[0], "identity": "another run's"}, checkpoint)
    else:
        whole = checkpoint.read_bytes()
        checkpoint.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    assert toy_run(tmp_path / "OUT") == 1
    said = capsys.readouterr().err
    assert "fold0: TrainingError: the checkpoint" in said and "delete it to start" in said
    assert (tmp_path / "OUT" / "folds" / "fold1" / "fold.json").exists()
    checkpoint.unlink()
    assert toy_run(tmp_path / "OUT") == 0


def test_killed_while_the_record_is_written(toy_run, toy_arguments, tmp_path):
    def child(arguments):
        import evaluation_fdp.atomic_files as storage

        storage.os.rename = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
        _run_here(arguments)

    options = ("--folds", "fold0")
    _run_until_killed(child, toy_arguments(tmp_path / "OUT", *options))
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

    monkeypatch.setattr("training_fdp.runs.prepare.load_corpora", broken_on_the_main_process)
    with pytest.raises(ProcessRaisedException, match=r"could not prepare the run|the corpus is broken"):
        two_processes(_run_here, toy_arguments(tmp_path / "OUT"))
    assert not (tmp_path / "OUT").exists()


def test_processes_that_share_a_fold_learn_from_the_whole_batch(
    toy_run, toy_arguments, tmp_path, two_processes, monkeypatch
):
    """Steps of two processes on halves of a batch are steps on the whole of it.

    Batch norm and dropout are at rest: they look across the batch, of which each process sees its own part.
    """
    monkeypatch.setattr(StageTrainer, "_set_mode", lambda self, model, epoch: model.eval())
    # Clipped gradients would hide their size.
    options = ("--optimizer", "sgd", "--lr_schedule", "constant", "--max_grad_norm", "0", "--max_steps", "3")
    options = (*options, "--folds", "fold0")
    two_processes(_run_here, toy_arguments(tmp_path / "two", "--parallelism", "ddp", *options))
    AcceleratorState._reset_state(True)
    toy_run(tmp_path / "one", *options)
    toy_run(tmp_path / "half", *options, "--batch_size", "3")
    one, two, half = (
        load_file(tmp_path / name / "folds" / "fold0" / "model.safetensors") for name in ("one", "two", "half")
    )
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-6) for name in one)
    assert not all(torch.allclose(one[name], half[name], rtol=0, atol=1e-4) for name in one)
    assert _outcome(tmp_path / "two")[0]["loss"] == pytest.approx(_outcome(tmp_path / "one")[0]["loss"], rel=1e-5)
