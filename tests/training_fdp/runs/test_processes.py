"""Several runs in one process, several processes on one card: who computes where, in which arithmetic."""

import multiprocessing
import os
import socket

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from evaluation_fdp.errors import ConfigError
from training_fdp.config import RunOptions, parse_train_config
from training_fdp.folds.fold import FoldTrainer
from training_fdp.folds.options import TrainingOptions
from training_fdp.runs.engine import build_accelerator, end_processes
from training_fdp.runs.run import run


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


@pytest.fixture
def fresh_state():
    AcceleratorState._reset_state(True)
    yield
    end_processes()
    AcceleratorState._reset_state(True)


def test_each_run_of_a_process_has_its_own_arithmetic(toy_run, tmp_path, monkeypatch):
    found = {}
    train = FoldTrainer.train

    def catch(self):
        outcome = train(self)
        found.setdefault(self.accelerator.mixed_precision, []).append(outcome.predictions.probabilities)
        return outcome

    monkeypatch.setattr(FoldTrainer, "train", catch)
    for number, arithmetic in enumerate(("no", "bf16", "no")):
        options = ("--folds", "fold0", "--mixed_precision", arithmetic)
        assert toy_run(tmp_path / str(number), *options) == 0
    assert np.array_equal(*found["no"])
    assert not np.array_equal(found["no"][0], found["bf16"][0])


def _two_runs_here(rank, port, commands):
    """The body of a forked process that a launcher would have started."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    AcceleratorState._reset_state(True)
    for arguments in commands:
        run(parse_train_config(arguments), arguments)
    end_processes()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a forked process cannot use its parent's card")
def test_two_processes_run_one_command_after_the_other(toy_corpus, toy_arguments, tmp_path):
    """As the ablations do under a launcher: the group of processes outlives the first run."""
    commands = [toy_arguments(tmp_path / name, "--max_steps", "1") for name in ("first", "second")]
    port = free_port()
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_two_runs_here, args=(rank, port, commands)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert all((tmp_path / name / "results.json").exists() for name in ("first", "second"))


@pytest.fixture
def one_card(monkeypatch, fresh_state):
    """A launched process, the fourth of its machine, that sees one card; returns the cards that were chosen."""
    chosen = []
    for name, value in {"is_available": True, "device_count": 1, "is_bf16_supported": True}.items():
        monkeypatch.setattr(f"torch.cuda.{name}", lambda *arguments, value=value: value)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setattr("accelerate.state.check_cuda_p2p_ib_support", lambda: True)
    launched = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "4"}
    for name, value in {**launched, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    return chosen


def test_processes_share_a_card_and_do_not_talk_over_nccl(one_card):
    """NCCL refuses two processes on one card, and whole folds have nothing to exchange that would need it."""
    accelerator = build_accelerator(TrainingOptions(), RunOptions())
    assert accelerator.device == torch.device("cuda", 0) and one_card == [torch.device("cuda", 0)]
    assert accelerator.local_process_index == 3
    assert torch.distributed.get_backend() == "gloo"


def test_a_run_ends_without_a_barrier_that_names_a_card(toy_run, tmp_path, monkeypatch):
    """Accelerate's names the card of the process's number, which processes that share one card do not have."""

    def barrier(self):
        raise RuntimeError("CUDA error: invalid device ordinal")

    monkeypatch.setattr(Accelerator, "wait_for_everyone", barrier)
    assert toy_run(tmp_path / "OUT", "--max_steps", "1") == 0


def test_a_run_repeats_its_bits(toy_run, tmp_path):
    """On a card too, when one is visible: attention and pooling there have gradients that add up in any order."""
    network = ("--preset", "small", "--num_frames", "8", "--model_overrides", "local_depths=[1,1,1,1]")
    outcomes = []
    for name in ("one", "other"):
        assert toy_run(tmp_path / name, "--folds", "fold0", *network) == 0
        outcomes.append(load_file(tmp_path / name / "folds" / "fold0" / "model.safetensors"))
    one, other = outcomes
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_shared_fold_needs_a_card_for_each_process(one_card):
    with pytest.raises(ConfigError, match="4 processes would share 1; start fewer"):
        build_accelerator(TrainingOptions(parallelism="ddp"), RunOptions())


def test_one_process_alone_joins_no_group(monkeypatch, fresh_state):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert build_accelerator(TrainingOptions(), RunOptions()).num_processes == 1
    assert not torch.distributed.is_initialized()


def test_launched_processes_that_do_not_find_each_other_are_refused(monkeypatch, fresh_state):
    """As under torchrun without a GPU, where each of them would train every fold and write the same files."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"accelerate found 1 of 2.*set ACCELERATE_USE_CPU=true"):
        build_accelerator(TrainingOptions(), RunOptions())
