"""One fold: what a step learns from, how training is ended, and what each switch changes."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from evaluation_fdp.protocols import ClipTable
from training_fdp.data.batches import ClipBatches, StepSampler
from training_fdp.data.options import BatchOptions
from training_fdp.folds.evaluator import Evaluator
from training_fdp.folds.fold import FoldTrainer
from training_fdp.folds.loop import StageTrainer
from training_fdp.folds.optimization import (
    MovingAverage,
    balanced_class_weights,
    build_optimizer,
    learning_rate_factor,
)
from training_fdp.folds.options import TrainingOptions
from training_fdp.folds.randomness import mixed_seed
from training_fdp.methods.base import LossContext
from training_fdp.methods.fdp import FDPMethod
from training_fdp.methods.fdp_losses import training_losses

# Probabilities of the run without options, computed by whoever needs it first.
PLAIN = []
# The option replaces the toy network: what is left is a preset on frames too few for motion.
OTHER_POOLING = ("--model_overrides", "reference=first_frame_pixels", "temporal_pooling=rank_weighted")


def same_weights(one, other, atol=0.0):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a.double(), b.double(), rtol=0, atol=atol) for a, b in pairs)


@pytest.fixture
def trained(toy_run, tmp_path, monkeypatch):
    """Trains one fold with options; returns the outcome and the trainer."""
    caught = []
    train = FoldTrainer.train

    def catch(self):
        caught.append((train(self), self))
        return caught[-1][0]

    monkeypatch.setattr(FoldTrainer, "train", catch)

    def go(*options, name="OUT"):
        assert toy_run(tmp_path / name, "--folds", "fold0", *options) == 0
        return caught[-1]

    return go


def test_sampler_is_a_function_of_the_step():
    sampler = StepSampler([3, 5, 7, 9, 11], [0] * 5, clips_per_step=2, seed=1)
    forwards = [sampler[step] for step in range(10)]
    fresh = StepSampler([3, 5, 7, 9, 11], [0] * 5, clips_per_step=2, seed=1)
    assert [fresh[step] for step in reversed(range(10))] == forwards[::-1]
    order = [row for step in forwards for row in step]
    for start in range(0, 20, 5):
        assert sorted(order[start : start + 5]) == [3, 5, 7, 9, 11]
    assert order[:5] != order[5:10] or order[:5] != order[10:15]
    assert sampler.steps_for(4) == 10 and sampler.epoch_of(2) == 0 and sampler.epoch_of(3) == 1


def test_balanced_sampling_draws_rare_classes_as_often():
    labels = [0] * 45 + [1] * 5
    sampler = StepSampler(range(50), labels, clips_per_step=50, seed=0, balanced=True)
    drawn = [labels[row] for step in range(20) for row in sampler[step]]
    assert 0.45 < np.mean(drawn) < 0.55


def test_learning_rate_course():
    factors = [learning_rate_factor("cosine", step, 20, 0.2) for step in range(20)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(later < earlier for earlier, later in itertools.pairwise(factors[4:]))
    assert factors[-1] < 0.02
    assert {learning_rate_factor("constant", step, 9, 0) for step in range(9)} == {1.0}
    assert learning_rate_factor("linear", 5, 10, 0) == 0.5


def test_balanced_weights_give_every_class_the_same_sum():
    weights = balanced_class_weights([0, 0, 0, 2], 3)
    assert weights.tolist() == pytest.approx([4 / 6, 0.0, 2.0])
    assert 3 * weights[0] == pytest.approx(float(weights[2]))


def test_adamw_spares_biases_and_norms():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    groups = build_optimizer(model, TrainingOptions(weight_decay=0.3)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.3), (3, 0.0)]


def test_moving_average_by_hand():
    model = nn.BatchNorm1d(2)
    average = MovingAverage(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(3.0)
    model.num_batches_tracked.fill_(7)
    average.update(model)  # decay of the first update: min(0.5, 1 / 10)
    assert average.model.weight.tolist() == pytest.approx([1 + 0.9 * 2] * 2)
    assert int(average.model.num_batches_tracked) == 7
    other = MovingAverage(nn.BatchNorm1d(2), decay=0.5)
    other.load_state_dict(copy.deepcopy(average.state_dict()))
    model.weight.data.fill_(0.0)
    for one in (average, other):
        one.update(model)
    assert other.model.weight.tolist() == average.model.weight.tolist() == pytest.approx([2.8 * 2 / 11] * 2)


def test_seeds_are_mixed():
    assert mixed_seed(1, 23) != mixed_seed(12, 3) and mixed_seed(0, "a") == mixed_seed(0, "a") >= 0


def test_accumulated_passes_are_one_batch(trained, monkeypatch):
    """With batch norm and dropout at rest no layer looks across the batch, and three steps end at the same weights."""
    monkeypatch.setattr(StageTrainer, "_set_mode", lambda self, model, epoch: model.eval())
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # ten bits of a product: more than 1e-6 on a card
    # Clipped gradients would hide their size.
    options = ("--optimizer", "sgd", "--max_steps", "3", "--lr_schedule", "constant", "--max_grad_norm", "0")
    whole, _ = trained(*options, "--batch_size", "6", name="whole")
    parts, trainer = trained(*options, "--batch_size", "3", "--gradient_accumulation_steps", "2", name="parts")
    half, _ = trained(*options, "--batch_size", "3", name="half")
    assert trainer.forward_batch_size == 3
    assert same_weights(whole.model, parts.model, atol=1e-6)
    assert not same_weights(whole.model, half.model, atol=1e-4)
    assert parts.curve["loss"] == pytest.approx(whole.curve["loss"], rel=1e-5)


def test_rare_classes_weigh_more(trained, toy_corpus, toy_clips):
    """A class with half as many clips counts twice in the first loss, which the same weights give."""
    clips, table = toy_clips(num_subjects=6)
    kept = [row for row, label in enumerate(table.labels) if label != 2 or row % 2]
    columns = ("clip_ids", "corpora", "subjects", "labels")
    uneven = {name: [getattr(table, name)[row] for row in kept] for name in columns}
    toy_corpus([clips[row] for row in kept], ClipTable(**uneven, class_names=table.class_names))
    plain, trainer = trained("--max_steps", "1", "--batch_size", "8", name="plain")
    weighted, _ = trained("--max_steps", "1", "--batch_size", "8", "--class_weighting", "balanced", name="weighted")
    labels = [trainer.context.table.labels[row] for row in trainer.fold.train_indices]
    counts = np.bincount(labels, minlength=3)
    assert len(set(counts)) > 1
    assert trainer._stage_trainer()._class_weights(labels) is None
    assert weighted.curve["classification"] != plain.curve["classification"]
    assert weighted.curve["rank"] == plain.curve["rank"]


def test_memory_that_runs_out_splits_the_batch(trained, monkeypatch):
    seen = []

    def hungry(self, model, batch, context):
        seen.append(len(batch["labels"]))
        if len(batch["labels"]) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return training_losses(model, batch, context)

    monkeypatch.setattr(FDPMethod, "losses", hungry)
    outcome, _ = trained("--auto_batch_size", "--batch_size", "6", "--max_steps", "2")
    assert outcome.forward_batch_size == 4 and outcome.steps == 2
    assert seen[-4:] == [4, 2, 4, 2]


def test_inner_selection_stops_early_and_never_sees_the_test_subjects(trained, monkeypatch):
    looked_at = []
    judge = FoldTrainer._judge

    def spy(self, model, rows, statistics):
        looked_at.append({self.context.table.subjects[row] for row in rows})
        return judge(self, model, rows, statistics)

    monkeypatch.setattr(FoldTrainer, "_judge", spy)
    options = ("--selection", "inner", "--eval_steps", "1", "--patience", "2", "--max_steps", "12")
    outcome, trainer = trained(*options, name="refit")
    assert looked_at and all(not subjects & set(trainer.fold.test_subjects) for subjects in looked_at)
    assert set(outcome.selection["inner_subjects"]) == looked_at[0]
    assert outcome.steps == outcome.selection["steps"] == max(
        outcome.selection["looks"], key=lambda look: (look["uf1"], -look["step"])
    )["step"]  # fmt: skip
    looks = len(outcome.selection["looks"])
    assert looks == min(outcome.steps + 2, 12)


def test_without_a_refit_the_weights_of_the_best_look_are_kept(trained, monkeypatch):
    seen = []
    judge = FoldTrainer._judge

    def spy(self, model, rows, statistics):
        seen.append(copy.deepcopy(model).eval())
        return judge(self, model, rows, statistics)

    monkeypatch.setattr(FoldTrainer, "_judge", spy)
    options = ("--selection", "inner", "--eval_steps", "1", "--patience", "3", "--max_steps", "12", "--no_refit")
    kept, _ = trained(*options)
    assert kept.steps == kept.selection["steps"] < len(seen), "the last look must not be the best one"
    assert same_weights(kept.model, seen[kept.steps - 1])
    assert not same_weights(kept.model, seen[-1])


def test_the_refit_repeats_the_selected_course_of_the_rate(trained, monkeypatch):
    courses = {}
    run = StageTrainer.run

    def spy(self, name, rows, *arguments):
        stage = run(self, name, rows, *arguments)
        courses[name] = (len(rows), stage.curve["learning_rate"])
        return stage

    monkeypatch.setattr(StageTrainer, "run", spy)
    outcome, _ = trained("--selection", "inner", "--epochs", "6", "--batch_size", "2", "--patience", "99")
    (some, selected), (more, refitted) = courses["select"], courses["fit"]
    assert some < more
    assert refitted == selected[: outcome.steps]
    assert outcome.selection["planned_steps"] == len(selected) >= outcome.steps


def test_the_released_eval_mode_freezes_batch_norm(trained):
    def updates(outcome):
        return {int(m.num_batches_tracked) for m in outcome.model.modules() if isinstance(m, nn.BatchNorm2d)}

    # 6 training clips, 3 per step: an epoch is two steps.
    length = ("--batch_size", "3", "--max_steps", "7")
    right, trainer = trained(*length, name="right")
    assert len(trainer.fold.train_indices) == 6
    wrong, _ = trained(*length, "--released_eval_mode", name="wrong")
    assert updates(right) == {7} and updates(wrong) == {2}


def test_train_statistics_and_the_leak(trained):
    options = ("--normalization", "train_statistics")
    honest, trainer = trained(*options, name="honest")
    assert trainer.test_statistics == trainer.statistics == honest.statistics
    _, leaking = trained(*options, "--released_test_statistics", name="leak")
    assert leaking.statistics == honest.statistics != leaking.test_statistics
    pixels = trainer.context.batches.load(trainer.fold.train_indices, honest.statistics)["pixel_values"]
    assert float(pixels.mean()) == pytest.approx(0, abs=1e-5) and float(pixels.max()) == pytest.approx(1)


def test_mixup_labels_reach_the_loss(trained):
    soft, _ = trained("--augmentation", "mixup=1", "--max_steps", "2", name="mix")
    assert np.isfinite(soft.curve["classification"]).all()


def test_soft_labels_that_are_hard_give_the_same_loss(trained):
    outcome, trainer = trained("--max_steps", "1")
    batch = trainer.context.batches.load([0, 1, 2])
    soft = {**batch, "labels": nn.functional.one_hot(batch["labels"], 3).float()}
    model = outcome.model.eval().requires_grad_(False)
    for weights in (None, torch.tensor([1.0, 2.0, 0.5], device=batch["labels"].device)):
        context = LossContext(model.config, weights)
        hard_losses, soft_losses = (training_losses(model, labelled, context) for labelled in (batch, soft))
        assert float(soft_losses["loss"]) == pytest.approx(float(hard_losses["loss"]), rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        ("--class_weighting", "balanced", "--sampling", "balanced"),
        ("--mixed_precision", "bf16"),
        ("--optimizer", "sgd", "--max_grad_norm", "0"),
        ("--augmentation", "default,phase=0.5,static_face_mix=0.5"),
        ("--frame_sampling", "apex"),
        ("--frame_sampling", "released_stride"),
        ("--ema_decay", "0.99"),
        OTHER_POOLING,
    ],
)
def test_options_run_and_matter(trained, options):
    from accelerate.state import AcceleratorState

    if not PLAIN:
        PLAIN.append(trained(name="plain")[0].predictions.probabilities)
        AcceleratorState._reset_state()
    changed, _ = trained(*options, name="changed")
    AcceleratorState._reset_state()
    same = np.array_equal(PLAIN[0], changed.predictions.probabilities)
    assert np.isfinite(changed.curve["loss"]).all() and not same


def test_frames_as_the_release_takes_them(toy_clips):
    clips, _ = toy_clips(num_frames=11)
    short, _ = toy_clips(num_frames=3)

    def indices(source, **settings):
        batches = ClipBatches(source, None, BatchOptions(**settings), 4, torch.device("cpu"))
        return batches._frame_indices(source[0], len(source[0].frames), None, None).tolist()

    assert indices(clips, frame_sampling="released_stride") == [0, 2, 4, 6]
    assert indices(short, frame_sampling="released_stride") == [0, 1, 2, 2]


@pytest.mark.parametrize(
    "options",
    [
        ["--class_weighting", "balanced", "--ema_decay", "0.5", "--augmentation", "mixup=0.5,static_face_mix=0.5"],
        ["--sampling", "balanced", "--selection", "inner", "--normalization", "train_statistics"],
    ],
)
def test_held_out_clips_choose_nothing(trained, toy_corpus, toy_clips, monkeypatch, options):
    """Other pixels and labels of the held-out clips give the same model to the last bit, and the same mean image."""
    means = []
    reference = Evaluator.reference

    def spy(self, *arguments):
        means.append(reference(self, *arguments))
        return means[-1]

    monkeypatch.setattr(Evaluator, "reference", spy)

    def outcome(name, rows=()):
        clips, table = toy_clips(num_subjects=6)
        labels = list(table.labels)
        for row in rows:
            labels[row] = (labels[row] + 1) % 3
            clips[row] = dataclasses.replace(clips[row], pixels=255 - clips[row].frames, label=labels[row])
        toy_corpus(clips, dataclasses.replace(table, labels=labels))
        return trained(*options, name=name)

    plain, trainer = outcome("plain")
    held_out, _ = outcome("held_out", trainer.fold.test_indices)
    learnt, _ = outcome("learnt", trainer.fold.train_indices[:6])
    assert same_weights(plain.model, held_out.model) and plain.statistics == held_out.statistics
    assert plain.curve == held_out.curve and np.array_equal(means[0], means[1])
    assert not same_weights(plain.model, learnt.model) and not np.array_equal(means[0], means[2])


def test_class_weights_and_balanced_draws_count_training_clips_alone(trained, toy_corpus, toy_clips):
    """Held-out clips of other classes change their counts, which a shift of the labels does not."""
    curves = []
    for label in (None, 0):
        clips, table = toy_clips(num_subjects=6)
        labels = list(table.labels)
        if label is not None:
            for row in (row for row, subject in enumerate(table.subjects) if subject == "s00"):
                labels[row] = label
                clips[row] = dataclasses.replace(clips[row], label=label)
        toy_corpus(clips, dataclasses.replace(table, labels=labels))
        options = ("--class_weighting", "balanced", "--sampling", "balanced", "--protocol", "loso", "--folds", "s00")
        outcome, _ = trained(*options, "--max_steps", "3", name=str(label))
        curves.append(outcome.curve)
    assert curves[0] == curves[1]


def test_gradients_are_clipped_to_the_norm(trained):
    """One step of plain gradient descent moves all weights together by the rate times the norm, and no further."""
    options = ("--optimizer", "sgd", "--learning_rate", "1", "--lr_schedule", "constant", "--warmup_fraction", "0")
    options = (*options, "--weight_decay", "0", "--max_steps", "1")

    def distance(norm):
        outcome, trainer = trained(*options, "--max_grad_norm", norm, name=norm)
        torch.manual_seed(trainer.seed)
        before = dict(trainer.context.build_model(None).named_parameters())
        moved = [(value - before[name]).square().sum() for name, value in outcome.model.named_parameters()]
        return float(torch.stack(moved).sum().sqrt().detach())

    assert distance("1e-3") == pytest.approx(1e-3, rel=1e-2)
    assert distance("0") > 1e-2


def test_temporal_augmentation_reaches_the_batches_of_training_and_no_others(trained, monkeypatch):
    drawn, plain = [], []
    indices = ClipBatches._frame_indices

    def spy(self, clip, total, augmentation, generator):
        found = indices(self, clip, total, augmentation, generator)
        (plain if augmentation is None else drawn).append(tuple(found.tolist()))
        return found

    monkeypatch.setattr(ClipBatches, "_frame_indices", spy)
    trained("--augmentation", "time_jitter=0.5,speed=0.5", "--max_steps", "3")
    assert len(set(drawn)) > 3 and len(set(plain)) == 1


def test_the_launcher_may_have_the_network_compiled(toy_run, tmp_path, monkeypatch):
    from torch._dynamo.utils import counters

    options = ("--max_steps", "3", "--folds", "1/4", "--final_model", "false")
    assert toy_run(tmp_path / "plain", *options) == 0
    counters.clear()
    # `accelerate launch --dynamo_backend eager` sets it; this backend traces the network and computes as before.
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "EAGER")
    assert toy_run(tmp_path / "compiled", *options) == 0
    assert counters["stats"]["unique_graphs"] > 0
    (plain,), (compiled,) = ((tmp_path / name).glob("folds/*/model.safetensors") for name in ("plain", "compiled"))
    assert plain.read_bytes() == compiled.read_bytes()
