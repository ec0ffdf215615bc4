"""Folds in several processes that a run starts itself: the answers of one process, and no fold lost with a process."""

import csv
import os
import signal
import threading
import time

import pytest
import torch

from evaluation_fdp.errors import ConfigError
from training_fdp.errors import Interrupted
from training_fdp.folds.interruption import Interruption
from training_fdp.runs import folds_at_once
from training_fdp.runs.folds_at_once import helpers, sharing

# The run is imported by the tests that need it, because the helping processes import this file as well.


class Machine:
    """What `sharing` asks of an accelerator."""

    def __init__(self, device="cpu", num_processes=1):
        self.device, self.num_processes = torch.device(device), num_processes


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(folds_at_once, "_cores", lambda: 4)
    monkeypatch.setattr(folds_at_once, "_memory", lambda: 2**36)


@pytest.mark.parametrize(
    ("asked", "num_folds", "num_steps", "machine", "expected"),
    [
        (None, 26, 10_000, Machine(), (4, 1)),
        (None, 3, 10_000, Machine(), (3, 1)),
        (None, 2, 10_000, Machine(), (2, 2)),
        (2, 26, 4, Machine(), (2, 2)),
        (4, 26, 4, Machine("cuda"), (4, 1)),
        # One process: a card, a short run, one fold, processes that were launched.
        (None, 26, 10_000, Machine("cuda"), (1, None)),
        (None, 26, 100, Machine(), (1, None)),
        (None, 1, 10_000, Machine(), (1, None)),
        (None, 26, 10_000, Machine(num_processes=2), (1, None)),
    ],
)
def test_processes_and_threads(four_cores, asked, num_folds, num_steps, machine, expected):
    chosen = sharing(asked, num_folds, num_steps, machine)
    assert (chosen.processes, chosen.threads) == (expected[0], expected[1] or torch.get_num_threads())


def test_memory_bounds_the_processes(four_cores, monkeypatch):
    monkeypatch.setattr(folds_at_once, "_memory", lambda: 9 * 2**30)
    assert sharing(None, 26, 10_000, Machine()).processes == 2


def test_launched_processes_do_not_start_others():
    with pytest.raises(ConfigError, match="2 were launched already"):
        sharing(3, 26, 10_000, Machine(num_processes=2))


def killed(config, keys):
    """A helper that the system ends, as for lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def named(config, keys):
    return {key: f"{config}, {torch.get_num_threads()} threads" for key in keys}


def test_a_process_that_dies_names_its_folds():
    with helpers(killed, None, [["a", "b"]], 1, Interruption()) as wait:
        failures = wait()
    assert set(failures) == {"a", "b"} and "ended early, with code -9" in failures["a"]


def test_helpers_get_settings_folds_and_threads():
    before = torch.get_num_threads()
    with helpers(named, "settings", [["a", "b"]], 3, Interruption()) as wait:
        assert torch.get_num_threads() == 3
        assert wait() == {"a": "settings, 3 threads", "b": "settings, 3 threads"}
    assert torch.get_num_threads() == before


def asked_to_stop(config, keys):
    """A helper that waits to be told, saves and stops, as a fold does."""
    with Interruption() as interruption:
        (config / "started").touch()
        while not interruption.is_asked:
            time.sleep(0.02)
    (config / "saved").touch()
    raise Interrupted("stopped after step 3 of 9")


def stopped(config, keys):
    """A helper that got a scheduler's signal before this process did."""
    raise Interrupted("stopped after step 3 of 9")


def test_a_process_that_waits_for_others_stops_them_and_itself(tmp_path):
    """Its own folds are finished when the signal comes."""

    def signal_when_started():
        while not (tmp_path / "started").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=signal_when_started)
    sender.start()
    with (
        pytest.raises(Interrupted),
        Interruption() as interruption,
        helpers(asked_to_stop, tmp_path, [["a"]], 1, interruption) as wait,
    ):
        wait()
    sender.join()
    assert (tmp_path / "saved").exists()


def test_a_process_whose_helper_was_stopped_is_stopped_and_has_not_failed():
    with pytest.raises(Interrupted), helpers(stopped, None, [["a"]], 1, Interruption()) as wait:
        wait()


@pytest.mark.slow
def test_two_processes_answer_as_one(tmp_path):
    """Every fold trained by one of two processes equals the fold of one process, to the last digit."""
    from tests.fakes.fake import make_fake_corpus
    from training_fdp.config import parse_train_config
    from training_fdp.runs.run import run

    data = make_fake_corpus("casme2", tmp_path / "CASME II", frame_size=32)
    predictions = []
    for number in ("1", "2"):
        arguments = ["--corpus", "casme2", "--data_dir", str(data), "--label_set", "5class", "--protocol", "kfold2"]
        arguments += ["--preset", "tiny", "--image_size", "32", "--num_frames", "6", "--max_steps", "2"]
        arguments += ["--processor_overrides", "alignment=none", "--num_proc", "1", "--final_model", "false"]
        arguments += ["--cache_dir", str(tmp_path / "clips"), "--output_dir", str(tmp_path / number)]
        assert run(parse_train_config([*arguments, "--folds_at_once", number]), arguments) == 0
        with (tmp_path / number / "predictions.csv").open(newline="", encoding="utf-8") as file:
            predictions.append(list(csv.DictReader(file)))
    assert predictions[0] == predictions[1] and len({row["fold"] for row in predictions[0]}) == 2


def test_the_precision_that_is_found_is_recorded(monkeypatch):
    from training_fdp.folds.options import TrainingOptions
    from training_fdp.runs import engine

    monkeypatch.setattr(engine, "fastest_precision", lambda device: "bf16")
    assert engine.resolved(TrainingOptions(mixed_precision="auto")).mixed_precision == "bf16"
    assert engine.resolved(TrainingOptions(mixed_precision="fp16")).mixed_precision == "fp16"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="several were launched"):
        engine.resolved(TrainingOptions(mixed_precision="auto"))
