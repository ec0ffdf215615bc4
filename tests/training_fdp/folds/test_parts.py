"""The parts of a fold without a training: rates, optimisers, seeds, signals, checkpoints, the reading of losses."""

import math
import os
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from training_fdp.data.batches import StepSampler
from training_fdp.errors import TrainingError
from training_fdp.folds.checkpoints import load_checkpoint, save_checkpoint
from training_fdp.folds.interruption import Interruption
from training_fdp.folds.loop import FoldContext, Stage, StageTrainer
from training_fdp.folds.optimization import (
    MovingAverage,
    balanced_class_weights,
    build_optimizer,
    learning_rate_factor,
    set_learning_rate,
)
from training_fdp.folds.options import TrainingOptions
from training_fdp.folds.randomness import mixed_seed, set_determinism


def test_the_rate_rises_in_equal_parts_and_falls_to_nothing():
    """Ten steps, of which two warm up: thirds, then eight steps down."""
    linear = [learning_rate_factor("linear", step, 10, 0.2) for step in range(11)]
    assert linear == pytest.approx([1 / 3, 2 / 3, *(1 - k / 8 for k in range(9))])
    cosine = [learning_rate_factor("cosine", step, 10, 0.2) for step in range(11)]
    assert cosine[2:] == pytest.approx([(1 + math.cos(math.pi * k / 8)) / 2 for k in range(9)])
    assert [learning_rate_factor("constant", step, 10, 0.2) for step in range(4)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 1]
    )
    assert learning_rate_factor("linear", 2, 2, 0.9) == 1.0, "all steps warm up"


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("adamw", torch.optim.AdamW, {}),
        ("adam", torch.optim.Adam, {"weight_decay": 0.3}),
        ("sgd", torch.optim.SGD, {"weight_decay": 0.3, "momentum": 0.9}),
    ],
)
def test_optimisers_get_the_options(name, kind, settings):
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    model[0].weight.requires_grad_(False)
    model.add_module("last", nn.Linear(2, 2))
    optimizer = build_optimizer(model, TrainingOptions(optimizer=name, learning_rate=0.02, weight_decay=0.3))
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert group["lr"] == 0.02 and settings.items() <= group.items()
    if name == "adamw":
        decaying, sparing = optimizer.param_groups
        assert [tuple(p.shape) for p in decaying["params"]] == [(2, 2)], "frozen weights are left out"
        assert len(sparing["params"]) == 4
    set_learning_rate(optimizer, 0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}


def test_a_class_without_a_clip_weighs_nothing_and_clips_weigh_1_in_the_mean():
    labels = [0, 0, 0, 0, 0, 0, 1, 1, 3]
    weights = balanced_class_weights(iter(labels), 5)
    assert weights.tolist() == pytest.approx([0.5, 1.5, 0, 3, 0])
    assert weights[labels].mean().item() == pytest.approx(1)


def test_the_average_forgets_its_start_and_then_keeps_to_its_decay():
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    average = MovingAverage(model, decay=0.15)
    assert not average.model.training and not average.model.weight.requires_grad
    model.weight.data.fill_(1.0)
    expected = 0.0
    for decay in (1 / 10, 0.15, 0.15):  # the second rule is 2 / 11, which lies above
        average.update(model)
        expected = decay * expected + 1 - decay
        assert average.model.weight.item() == pytest.approx(expected)
    assert average.state_dict()["updates"] == 3 and model.weight.item() == 1.0


def test_seeds_are_those_of_earlier_runs():
    """Another hash would draw other numbers in every run that has been reported."""
    assert mixed_seed(0, "fold0") == 4953262825812488520
    assert mixed_seed(0, "fold0") != mixed_seed("fold0", 0) and mixed_seed(1) < 2**63


def test_determinism_is_asked_for_and_taken_back(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    for wanted in (True, False):
        set_determinism(wanted)
        assert torch.are_deterministic_algorithms_enabled() is torch.backends.cudnn.deterministic is wanted
        assert torch.backends.cudnn.benchmark is False
        assert not wanted or torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    set_determinism(True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8", "the user's own is kept"


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals to itself")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_schedulers_signal_is_noted_and_its_handler_put_back(name, caplog):
    number = getattr(signal, name)
    heard = []
    before = signal.signal(number, lambda *arguments: heard.append(arguments))
    try:
        with Interruption() as interruption:
            assert not interruption.is_asked
            os.kill(os.getpid(), number)
            assert interruption.is_asked and not heard
        os.kill(os.getpid(), number)
        assert len(heard) == 1
    finally:
        signal.signal(number, before)
    assert caplog.messages == [f"{name}: stopping after this step"]


def test_a_signal_that_the_system_lacks_is_passed_over(monkeypatch):
    """Windows has no SIGUSR1."""
    monkeypatch.setattr("training_fdp.folds.interruption.SIGNALS", ("SIGNONE", "SIGTERM"))
    with Interruption() as interruption:
        assert set(interruption._previous) == {signal.SIGTERM}
    assert interruption._previous == {}


def test_outside_the_main_thread_no_signal_is_taken():
    seen = []

    def enter():
        with Interruption() as interruption:
            seen.append(interruption._previous)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [{}]


def test_a_checkpoint_comes_back_and_a_damaged_one_is_named_in_one_line(tmp_path):
    path = tmp_path / "unfinished" / "fold0" / "checkpoint.pt"
    cpu = torch.device("cpu")
    assert load_checkpoint(path, cpu) is None
    state = {"identity": "x", "step": 3, "model": {"weight": torch.arange(3.0)}, "best": None}
    save_checkpoint(path, state)
    loaded = load_checkpoint(path, cpu)
    assert torch.equal(loaded["model"].pop("weight"), state["model"].pop("weight")) and loaded == state
    path.write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError) as caught:
        load_checkpoint(path, cpu)
    said = str(caught.value)
    assert said.startswith(f"the checkpoint {path} cannot be read (") and "\n" not in said
    assert said.endswith("); delete it to start the fold again") and len(said) < len(str(path)) + 290


def test_a_checkpoint_goes_to_the_device_it_is_asked_for(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"weight": torch.ones(2)})
    assert load_checkpoint(path, torch.device("meta"))["weight"].device.type == "meta"


class Code:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_checkpoint_runs_no_code(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"identity": Code()}, path)
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(path, torch.device("cpu"))


@pytest.fixture
def trainer():
    """A trainer of seven clips, of which nothing is trained; `trainer.reported` holds what it reports."""

    def build(**settings):
        reported = []
        context = FoldContext(
            method=None, network=None, options=TrainingOptions(**settings), batch_options=None,
            accelerator=SimpleNamespace(device=torch.device("cpu"), num_processes=1),
            table=SimpleNamespace(labels=[0, 1, 0, 1, 0, 1, 0, 2, 2], class_names=["a", "b", "c"]), batches=None,
            build_model=None, augmentation=None, identity="x", report=lambda *said: reported.append(said),
        )  # fmt: skip
        made = StageTrainer(context, "fold0", 7, None, None, 2, {})
        made.reported = reported
        return made

    return build


def test_the_schedule_is_as_long_as_the_options_say(trainer):
    rows = range(7)
    assert trainer(epochs=3, batch_size=2).planned_steps(rows) == 11, "21 clips, the last step has one"
    assert trainer(epochs=3, batch_size=2, gradient_accumulation_steps=2).planned_steps(rows) == 6
    assert trainer(epochs=3, max_steps=5).planned_steps(rows) == 5
    assert trainer(max_steps=0).planned_steps(rows) == 0


def test_clips_are_evaluated_after_each_epoch_or_number_of_steps_and_at_the_end(trainer):
    sampler = StepSampler(range(6), [0] * 6, clips_per_step=2, seed=0)

    def steps(**settings):
        made = trainer(**settings)
        return [step for step in range(1, 9) if made._is_validation_step(step, 8, sampler)]

    assert steps() == [3, 6, 8]
    assert steps(eval_steps=4) == [4, 8] and steps(eval_steps=5) == [5, 8]


def test_losses_are_read_together_and_the_first_bad_step_is_named(trainer):
    made = trainer()
    stage = Stage("fit", None, None, None, step=5)
    made._flush(stage, [], 9)
    assert made.reported == [] and stage.curve == {}
    pending = [{"loss": torch.tensor(2.0), "rate": 0.1}, {"loss": torch.tensor(1.5), "rate": 0.2}]
    made._flush(stage, pending, 9)
    assert stage.curve == {"loss": [2.0, 1.5], "rate": [0.1, 0.2]} and pending == []
    assert made.reported == [("fold0", 5, 9, {"loss": 1.5, "rate": 0.2})]
    made._flush(stage, [{"loss": torch.tensor(1.0), "rate": 0.3}], 9)
    assert stage.curve == {"loss": [2.0, 1.5, 1.0], "rate": [0.1, 0.2, 0.3]}
    stage.step = 20
    good, bad = {"loss": torch.tensor(1.0), "part": 1.0}, {"loss": torch.tensor(1.0), "part": np.inf}
    with pytest.raises(TrainingError, match="the loss of fold fold0 is not finite at step 18; lower --learning_rate"):
        made._flush(stage, [good, bad, good, bad], 30)


def test_class_weights_are_those_of_the_labels(trainer):
    assert trainer()._class_weights([0, 1]) is None
    weights = trainer(class_weighting="balanced")._class_weights([0, 0, 0, 1])
    assert weights.tolist() == pytest.approx([2 / 3, 2, 0])


def test_evaluation_mode_is_the_releases_from_the_second_epoch_on(trainer):
    model = nn.Linear(1, 1)
    modes = {}
    for released in (False, True):
        made = trainer(released_eval_mode=released)
        for epoch in range(3):
            made._set_mode(model, epoch)
            modes[released, epoch] = model.training
    assert modes == {(False, 0): True, (False, 1): True, (False, 2): True, (True, 0): True, (True, 1): False,
                     (True, 2): False}  # fmt: skip


def test_balanced_draws_reach_the_sampler(trainer):
    """Six clips of one class and one of another: a balanced epoch draws the one as often as the six together."""
    labels = {row: [0, 1, 0, 1, 0, 1, 0, 2, 2][row] for row in range(9)}
    rows = [0, 2, 4, 6, 1]
    shares = {}
    for sampling in ("shuffle", "balanced"):
        sampler = trainer(sampling=sampling, batch_size=50)._sampler(rows)
        shares[sampling] = np.mean([labels[row] for step in range(10) for row in sampler[step]])
    assert shares["shuffle"] == pytest.approx(0.2) and 0.4 < shares["balanced"] < 0.6


def test_a_fold_is_shared_only_by_several_processes_that_are_asked_to(trainer):
    for parallelism, processes, shared in (("folds", 2, False), ("ddp", 1, False), ("ddp", 2, True)):
        context = trainer(parallelism=parallelism).context
        context.accelerator.num_processes = processes
        assert context.shares_fold is shared


def test_a_stop_that_one_process_was_asked_for_reaches_those_that_share_the_fold(trainer):
    made = trainer(parallelism="ddp")
    assert made._is_asked_to_stop(3) is False
    made.context.interruption.is_asked = True
    assert made._is_asked_to_stop(3) is True
    made.context.accelerator.num_processes = 2
    made.context.interruption.is_asked = False
    summed = []

    def reduce(flag, reduction):
        summed.append((flag.tolist(), reduction))
        return flag + 1  # the other process was asked

    made.context.accelerator.reduce = reduce
    assert made._is_asked_to_stop(3) is False and not summed, "the sum waits for the device"
    assert made._is_asked_to_stop(20) is True and summed == [([0.0], "sum")]
