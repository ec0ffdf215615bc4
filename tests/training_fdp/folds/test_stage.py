"""The training of one model and one fold step by step, on a network of one convolution without a corpus."""

import contextlib
import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.utils import TorchDynamoPlugin
from torch import nn

from evaluation_fdp.fold_records import Predictions
from evaluation_fdp.protocols import Fold
from training_fdp.errors import Interrupted, TrainingError
from training_fdp.folds.checkpoints import load_checkpoint
from training_fdp.folds.fold import FoldTrainer
from training_fdp.folds.loop import FoldContext, Stage, StageTrainer
from training_fdp.folds.optimization import MovingAverage
from training_fdp.folds.options import TrainingOptions
from training_fdp.folds.randomness import mixed_seed

LABELS = [0, 1, 0, 1, 0, 0]
CPU, META = torch.device("cpu"), torch.device("meta")


class Batches:
    """Six clips of one number each, its row."""

    clips = "abcdef"

    def __init__(self):
        self.asked = []

    def load(self, rows, statistics=None, augmentation=None, generator=None):
        self.asked.append((list(rows), statistics, augmentation, generator and generator.initial_seed()))
        return {"pixel_values": torch.tensor(list(rows), dtype=torch.float32)}

    def split_statistics(self, rows):
        return float(len(rows)), 2.0


class Method:
    """The loss of a clip is its pixels times the weight."""

    def fold_facts(self, clips, network):
        return "".join(clips), network

    def losses(self, model, batch, context):
        loss = (batch["pixel_values"] * model.weight.sum()).mean()
        return {"loss": loss, "part": loss + 1}


def make_context(device=CPU, build_model=None, scaler=None, augmentation=None, **settings):
    """A context whose reports are listed in `context.reported`."""
    accelerator = SimpleNamespace(
        device=device, num_processes=1, is_main_process=True, scaler=scaler, free_memory=lambda: None,
        prepare_optimizer=lambda optimizer: optimizer, no_sync=lambda model: contextlib.nullcontext(),
        autocast=contextlib.nullcontext, backward=lambda loss: loss.backward(),
        clip_grad_norm_=lambda parameters, norm: nn.utils.clip_grad_norm_(parameters, norm),
        state=SimpleNamespace(dynamo_plugin=TorchDynamoPlugin(backend="no")),
    )  # fmt: skip
    reported = []
    context = FoldContext(
        method=Method(), network="network", options=TrainingOptions(**settings),
        batch_options=SimpleNamespace(normalization="fixed", released_test_statistics=False),
        accelerator=accelerator, batches=Batches(),
        table=SimpleNamespace(labels=LABELS, class_names=["a", "b"], subjects=["s", "s", "t", "t", "u", "u"]),
        build_model=build_model or (lambda facts: nn.Conv2d(3, 4, 3)), augmentation=augmentation, identity="x",
        report=lambda *said: reported.append(said),
    )  # fmt: skip
    context.reported = reported
    return context


def make_trainer(path=None, statistics=None, forward_batch_size=2, **settings):
    return StageTrainer(
        make_context(**settings), "fold0", 7, path, statistics, forward_batch_size, {"method": "fixed"}
    )


def plain_stage(rate=0.1, decay=None):
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    average = None if decay is None else MovingAverage(model, decay)
    return Stage("fit", model, torch.optim.SGD(model.parameters(), lr=rate), average)


def test_a_new_stage_is_built_from_the_seed_and_the_facts_of_the_fold():
    facts = []

    def build(found):
        facts.append(found)
        return nn.Conv2d(3, 4, 3)

    freed = []
    trainer = make_trainer(build_model=build, learning_rate=0.02)
    trainer.accelerator.free_memory = lambda: freed.append(True)
    stage = trainer._new_stage("select", "facts")
    torch.manual_seed(7)
    assert torch.equal(stage.model.weight, nn.Conv2d(3, 4, 3).weight)
    assert facts == ["facts"] and freed == [True] and stage.name == "select" and stage.average is None
    assert type(stage.optimizer) is torch.optim.AdamW and stage.optimizer.param_groups[0]["lr"] == 0.02
    assert stage.predictor is stage.model and trainer.accelerator.scaler is None
    averaged = make_trainer(ema_decay=0.9)._new_stage("fit", None)
    assert averaged.average.decay == 0.9 and averaged.predictor is averaged.average.model is not averaged.model


def test_a_new_stage_gets_a_loss_scaler_of_its_own():
    old = torch.amp.GradScaler("cpu", init_scale=8.0)
    trainer = make_trainer(scaler=old)
    trainer._new_stage("fit", None)
    assert isinstance(trainer.accelerator.scaler, torch.amp.GradScaler) and trainer.accelerator.scaler is not old


@pytest.mark.parametrize(
    ("device", "mixed_precision", "is_last"),
    [(CPU, "no", True), (META, "no", False), (META, "bf16", True), (CPU, "bf16", True)],
)
def test_weights_lie_channels_last_on_cpus_and_in_mixed_precision(device, mixed_precision, is_last):
    stage = make_trainer(device=device, mixed_precision=mixed_precision)._new_stage("fit", None)
    assert stage.model.weight.device == device
    assert stage.model.weight.is_contiguous(memory_format=torch.channels_last) is is_last


def run_plainly(monkeypatch, trainer, *arguments, rows=(0, 1, 4, 5), stage=None):
    """Run a stage whose steps are noted and change nothing; returns the notes and what became of it."""
    steps, saved, stage = [], [], stage or plain_stage()
    monkeypatch.setattr(trainer, "_new_stage", lambda name, facts: stage)
    monkeypatch.setattr(trainer, "_save", lambda stage: saved.append(stage.step))

    def step(stage, wrapped, rows, context):
        steps.append((stage.model.training, wrapped is stage.model, sorted(rows), context))
        return {"loss": torch.tensor(float(stage.step))}

    monkeypatch.setattr(trainer, "_step", step)
    return steps, saved, stage, lambda: trainer.run("fit", rows, *arguments)


def test_steps_know_their_place_in_the_schedule(monkeypatch):
    trainer = make_trainer(
        max_steps=4, batch_size=4, lr_schedule="linear", warmup_fraction=0, learning_rate=0.1,
        class_weighting="balanced", checkpoint_steps=2,
    )  # fmt: skip
    steps, saved, stage, run = run_plainly(monkeypatch, trainer, None, None)
    assert run() is stage and stage.step == 4 and stage.optimizer.param_groups[0]["lr"] == pytest.approx(0.025)
    assert stage.curve["loss"] == [0, 1, 2, 3]
    assert stage.curve["learning_rate"] == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert saved == [2], "the fold is over after the last step and needs no checkpoint"
    assert [context.progress for *_, context in steps] == [0, 0.25, 0.5, 0.75]
    for training, is_model, rows, context in steps:
        assert training and is_model and rows == [0, 1, 4, 5]
        assert context.config == "network" and context.fold == ("abef", "network")
        assert context.class_weights.tolist() == pytest.approx([2 / 3, 2])
    said = trainer.context.reported
    assert [step for _, step, _, scalars in said if not scalars] == [1, 2, 3, 4]
    assert [(step, scalars["loss"]) for _, step, _, scalars in said if scalars] == [(2, 1), (4, 3)]
    assert {(key, last) for key, _, last, _ in said} == {("fold0", 4)}


def test_a_stopped_schedule_keeps_its_course(monkeypatch):
    trainer = make_trainer(epochs=1, batch_size=4, lr_schedule="linear", warmup_fraction=0, learning_rate=0.1)
    steps, _, stage, run = run_plainly(monkeypatch, trainer, None, None, 2, 8)
    run()
    assert stage.curve["learning_rate"] == pytest.approx([0.1, 0.0875])
    assert [context.progress for *_, context in steps] == [0, 1 / 8]
    assert {last for _, _, last, _ in trainer.context.reported} == {2}


def test_losses_are_read_after_ten_steps_and_at_an_evaluation_that_may_end_it(monkeypatch):
    trainer = make_trainer(max_steps=30, batch_size=4, eval_steps=14, checkpoint_steps=14)
    looked = []

    def validate(stage):
        looked.append((stage.step, len(stage.curve["loss"])))
        return stage.step == 28

    _, saved, stage, run = run_plainly(monkeypatch, trainer, validate, None)
    run()
    assert looked == [(14, 14), (28, 28)] and stage.step == 28 and saved == [14]
    assert [step for _, step, _, scalars in trainer.context.reported if scalars] == [10, 14, 24, 28]


def test_a_stop_saves_at_once_and_says_where(monkeypatch, tmp_path):
    path = tmp_path / "checkpoint.pt"
    trainer = make_trainer(path, max_steps=9, batch_size=4)
    trainer.context.interruption.is_asked = True
    _, saved, stage, run = run_plainly(monkeypatch, trainer, None, None)
    with pytest.raises(Interrupted) as caught:
        run()
    assert str(caught.value) == f"fold fold0 was stopped after step 1 of 9 and is saved in {path}"
    assert saved == [1] and stage.curve["loss"] == [0]


def test_the_step_is_the_mean_over_clips_of_passes_of_any_size():
    """Rows 1, 2 and 3 in passes of two and one: the loss is the weight times their mean, and so is the gradient."""
    trainer = make_trainer(max_grad_norm=None)
    stage = plain_stage(decay=0.5)
    stage.step = 3
    parts = trainer._step(stage, stage.model, [1, 2, 3], None)
    assert {name: value.item() for name, value in parts.items()} == pytest.approx({"loss": 2, "part": 3})
    assert not parts["loss"].requires_grad and stage.model.weight.grad is None
    assert stage.model.weight.item() == pytest.approx(1 - 0.1 * 2)
    assert stage.average.model.weight.item() == pytest.approx(1 - 0.9 * 0.2)
    seeds = [mixed_seed(7, "fit", 3, number, 0) for number in (0, 1)]
    assert trainer.context.batches.asked == [([1, 2], None, None, seeds[0]), ([3], None, None, seeds[1])]
    assert torch.initial_seed() == seeds[1], "drop path of a pass is drawn from its own seed"


def test_processes_that_share_a_fold_take_every_second_clip_and_other_numbers():
    trainer = make_trainer(parallelism="ddp")
    trainer.accelerator.num_processes, trainer.accelerator.process_index = 2, 1
    kept = []

    @contextlib.contextmanager
    def no_sync(model):
        kept.append(model)
        yield

    trainer.accelerator.no_sync = no_sync
    stage = plain_stage()
    parts = trainer._step(stage, stage.model, [0, 1, 2, 3, 4, 5], None)
    assert parts["loss"].item() == pytest.approx(3)
    asked = [(rows, seed) for rows, _, _, seed in trainer.context.batches.asked]
    assert asked == [([1, 3], mixed_seed(7, "fit", 0, 0, 1)), ([5], mixed_seed(7, "fit", 0, 1, 1))]
    assert kept == [stage.model], "gradients are exchanged after the last pass alone"


def test_training_clips_are_augmented_and_then_normalised():
    class Augmentation:
        config = "light"

        def __call__(self, batch, generator):
            return {"pixel_values": batch["pixel_values"] + generator.initial_seed()}

    trainer = make_trainer(statistics=(1.0, 2.0), augmentation=Augmentation())
    batch = trainer._training_batch([2, 4], torch.Generator().manual_seed(10))
    assert batch["pixel_values"].tolist() == [5.5, 6.5]
    assert trainer.context.batches.asked == [([2, 4], None, "light", 10)]


def test_a_checkpoint_brings_back_every_part_of_a_stage(tmp_path):
    path = tmp_path / "checkpoint.pt"
    trainer = make_trainer(path, scaler=torch.amp.GradScaler("cpu", init_scale=8.0))
    stage = plain_stage(decay=0.5)
    stage.optimizer = torch.optim.SGD(stage.model.parameters(), lr=0.1, momentum=0.9)
    trainer._step(stage, stage.model, [1, 2], None)
    stage.step, stage.curve, stage.validations, stage.best = 4, {"loss": [2.0]}, [{"step": 4}], {"look": 1}
    trainer._save(stage)
    saved = load_checkpoint(path, CPU)
    assert (saved["identity"], saved["stage"], saved["selection"]) == ("x", "fit", {"method": "fixed"})
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    fresh = plain_stage(decay=0.5)
    fresh.optimizer = torch.optim.SGD(fresh.model.parameters(), lr=0.1, momentum=0.9)
    trainer._restore(fresh, saved)
    assert trainer.accelerator.scaler.get_scale() == 8.0
    for name in ("step", "curve", "validations", "best"):
        assert getattr(fresh, name) == getattr(stage, name), name
    for one in (stage, fresh):
        trainer._step(one, one.model, [1, 2], None)
    assert torch.equal(fresh.model.weight, stage.model.weight)
    assert torch.equal(fresh.average.model.weight, stage.average.model.weight)
    plain = make_trainer(path)
    plain._save(plain_stage())
    saved = load_checkpoint(path, CPU)
    assert saved["average"] is None and saved["scaler"] is None
    plain._restore(plain_stage(decay=0.5), saved)


def test_one_of_the_processes_that_share_a_fold_writes_and_all_wait(tmp_path):
    path = tmp_path / "checkpoint.pt"
    trainer = make_trainer(path, parallelism="ddp")
    waited = []
    trainer.accelerator.wait_for_everyone = lambda: waited.append(path.exists())
    trainer.accelerator.num_processes, trainer.accelerator.is_main_process = 2, False
    trainer._save(plain_stage())
    trainer.accelerator.is_main_process = True
    trainer._save(plain_stage())
    assert waited == [False, True]


FOLD = Fold("fold0", (0, 1, 2, 3), (4, 5), ("s", "t"), ("u",))


def fold_trainer(tmp_path, fold=FOLD, seed=1, batch_options=None, **settings):
    context = make_context(**settings)
    vars(context.batch_options).update(batch_options or {})
    return FoldTrainer(context, fold, seed, "fold0_seed1", tmp_path)


def test_seeds_differ_by_run_and_by_fold(tmp_path):
    other = Fold("fold1", (4, 5), (0, 1), ("u",), ("s",))
    seeds = [fold_trainer(tmp_path, fold, seed).seed for fold in (FOLD, other) for seed in (0, 1)]
    assert seeds == [mixed_seed(seed, name) for name in ("fold0", "fold1") for seed in (0, 1)]
    assert fold_trainer(tmp_path).checkpoint_path == tmp_path / "checkpoint.pt"


@pytest.mark.parametrize(
    ("settings", "test_rows", "statistics"),
    [
        ({}, (4, 5), (None, None)),
        ({"normalization": "train_statistics"}, (4, 5), ((4.0, 2.0), (4.0, 2.0))),
        ({"normalization": "train_statistics", "released_test_statistics": True}, (4, 5), ((4.0, 2.0), (2.0, 2.0))),
        ({"normalization": "train_statistics", "released_test_statistics": True}, (), ((4.0, 2.0), (4.0, 2.0))),
    ],
)
def test_statistics_are_those_of_the_training_clips(tmp_path, settings, test_rows, statistics):
    fold = Fold("fold0", (0, 1, 2, 3), test_rows, ("s", "t"), ())
    trainer = fold_trainer(tmp_path, fold, batch_options=settings)
    trainer._measure_statistics()
    assert (trainer.statistics, trainer.test_statistics) == statistics


class Answering:
    """Predicts the classes of a list, one entry per call."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def predict(self, model, rows, statistics=None, reference=None, with_answers=True):
        self.asked.append((model, list(rows), statistics, bool(with_answers)))
        return Predictions(list(rows), np.eye(2)[self.answers.pop(0)], [{} for _ in rows])


def test_the_literatures_selection_keeps_the_first_best_epoch(tmp_path):
    trainer = fold_trainer(tmp_path, report_literature_selection=True)
    trainer.test_statistics = (1.0, 2.0)
    trainer.evaluator = Answering([1, 0], [1, 1], [0, 0], [0, 0])
    validate, stage = trainer._test_subject_validation(), plain_stage(decay=0.5)
    assert trainer._literature_selection(stage) is None
    for step in (5, 10, 15, 20):
        stage.step = step
        assert validate(stage) is False, "it does not stop the training"
    assert stage.validations == [
        {"step": 5, "accuracy": 0.5}, {"step": 10, "accuracy": 0.0}, {"step": 15, "accuracy": 1.0},
        {"step": 20, "accuracy": 1.0},
    ]  # fmt: skip
    found = trainer._literature_selection(stage)
    assert (found.step, found.accuracy, found.predictions) == (15, 1.0, [0, 0])
    assert trainer.evaluator.asked == [(stage.average.model, [4, 5], (1.0, 2.0), False)] * 4
    for other in (
        fold_trainer(tmp_path),
        fold_trainer(tmp_path, Fold("all", (0, 1), (), ("s",), ()), report_literature_selection=True),
    ):
        assert other._test_subject_validation() is None and other._literature_selection(stage) is None


@pytest.mark.parametrize("refit", [True, False])
def test_the_inner_selection_takes_the_first_best_look_and_stops_by_patience(tmp_path, monkeypatch, refit):
    trainer = fold_trainer(tmp_path, selection="inner", patience=2, refit=refit, inner_fraction=0.5, max_steps=40)
    trainer.statistics = (1.0, 2.0)
    trainer.selection = {"method": "inner"}
    trainer.evaluator = Answering([0, 0], [0, 1], [0, 1], [1, 0])
    stage, weights, rows = plain_stage(), [], []

    def run(self, name, training_rows, validate, saved):
        rows.append((name, training_rows, saved))
        for step in (3, 6, 9, 12, 15):
            stage.step = step
            stage.model.weight.data.fill_(step)
            weights.append(copy.deepcopy(stage.model.weight))
            if validate(stage):
                break
        return stage

    monkeypatch.setattr(StageTrainer, "run", run)
    assert trainer._select("saved") is stage
    (inner,) = {tuple(rows) for _, rows, _, _ in trainer.evaluator.asked}
    assert sorted((*rows[0][1], *inner)) == [0, 1, 2, 3] and rows[0][::2] == ("select", "saved")
    looks = trainer.selection.pop("looks")
    assert [look["step"] for look in looks] == [3, 6, 9, 12] and set(looks[0]) == {"step", "uf1", "accuracy"}
    assert [look["accuracy"] for look in looks] == [0.5, 1.0, 1.0, 0.0] and looks[1]["uf1"] == 1.0
    subjects = sorted({trainer.context.table.subjects[row] for row in inner})
    assert trainer.selection == {"method": "inner", "inner_subjects": subjects, "steps": 6, "planned_steps": 40}
    assert {asked[2:] for asked in trainer.evaluator.asked} == {((1.0, 2.0), False)}
    assert (stage.step, stage.model.weight.item()) == ((12, 12) if refit else (6, 6))


def test_a_selection_without_a_step_says_what_to_raise(tmp_path, monkeypatch):
    trainer = fold_trainer(tmp_path, selection="inner")
    monkeypatch.setattr(StageTrainer, "run", lambda self, *arguments: plain_stage())
    with pytest.raises(TrainingError) as caught:
        trainer._select(None)
    assert str(caught.value) == "fold fold0_seed1 has no step to select; raise --epochs or --max_steps"


@pytest.fixture
def runs(monkeypatch):
    """Every call of `StageTrainer.run`, which trains nothing: the trainer and the arguments."""
    made = []

    def run(self, *arguments):
        made.append((self, arguments))
        return plain_stage()

    monkeypatch.setattr(StageTrainer, "run", run)
    return made


def saved_state(trainer, **changes):
    """Write the checkpoint of a fold and return its content."""
    torch.save({"identity": "x", "stage": "fit", "selection": {}} | changes, trainer.checkpoint_path)
    return torch.load(trainer.checkpoint_path, weights_only=True)


def test_a_fold_without_a_selection_is_one_training_of_all_its_clips(tmp_path, runs):
    trainer = fold_trainer(tmp_path)
    trainer.statistics = (1.0, 2.0)
    trainer._train(3)
    ((made, arguments),) = runs
    assert arguments == ("fit", (0, 1, 2, 3), None, None, None, None)
    assert trainer.selection == {"method": "fixed"} and trainer.forward_batch_size == 3
    assert made.context is trainer.context and made.selection is trainer.selection
    assert (made.key, made.seed, made.forward_batch_size) == ("fold0_seed1", mixed_seed(1, "fold0"), 3)
    assert (made.checkpoint_path, made.statistics) == (tmp_path / "checkpoint.pt", (1.0, 2.0))
    saved = saved_state(trainer)
    trainer._train(3)
    assert runs[1][1] == ("fit", (0, 1, 2, 3), None, saved, None, None)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, runs):
    trainer = fold_trainer(tmp_path)
    saved_state(trainer, identity="y")
    with pytest.raises(TrainingError) as caught:
        trainer._train(3)
    path = tmp_path / "checkpoint.pt"
    assert str(caught.value) == f"the checkpoint {path} is of a run with other settings; delete it to start again"
    assert not runs


@pytest.mark.parametrize("refit", [True, False])
def test_a_selection_goes_on_in_the_stage_that_was_saved(tmp_path, runs, monkeypatch, refit):
    chosen = {"method": "inner", "steps": 6, "planned_steps": 40}
    selected, stage = [], plain_stage()

    def select(self, saved):
        selected.append(saved)
        self.selection |= chosen
        return stage

    monkeypatch.setattr(FoldTrainer, "_select", select)
    trainer = fold_trainer(tmp_path, selection="inner", refit=refit)
    for is_saved in (False, True):
        saved = saved_state(trainer, stage="select") if is_saved else None
        outcome = trainer._train(3)
        assert selected.pop() == saved and trainer.selection == chosen
        assert refit or (outcome is stage and not runs)
    assert [arguments for _, arguments in runs] == [("fit", (0, 1, 2, 3), None, None, 6, 40)] * (2 if refit else 0)
    if refit:
        fresh = fold_trainer(tmp_path, selection="inner")
        saved = saved_state(fresh, selection=chosen)
        fresh._train(3)
        assert not selected and fresh.selection == chosen
        assert runs[-1][1] == ("fit", (0, 1, 2, 3), None, saved, 6, 40)


@pytest.mark.parametrize("test_rows", [(4, 5), ()])
def test_the_outcome_of_a_fold_is_that_of_its_predictor(tmp_path, monkeypatch, test_rows):
    fold = Fold("fold0", (0, 1, 2, 3), test_rows, ("s", "t"), ("u",))
    settings = {"normalization": "train_statistics", "released_test_statistics": True}
    trainer = fold_trainer(tmp_path, fold, batch_options=settings, batch_size=5, report_literature_selection=True)
    stage, order = plain_stage(decay=0.5), []
    stage.average.model.config = "config"
    stage.step, stage.curve = 6, {"loss": [1.0]}
    stage.best = {"step": 3, "accuracy": 1.0, "predictions": [0, 0]}

    class Evaluating:
        def reference(self, config, rows, statistics):
            order.append("reference")
            assert (config, rows, statistics) == ("config", (0, 1, 2, 3), (4.0, 2.0))
            return "reference"

        def predict(self, *arguments):
            return arguments

    trainer.evaluator = Evaluating()
    monkeypatch.setattr(trainer, "_train", lambda batch_size: order.append(batch_size) or stage)
    monkeypatch.setattr(trainer, "_equalize", order.append)
    outcome = trainer.train()
    model = stage.average.model
    assert outcome.model is model and (outcome.steps, outcome.curve) == (6, {"loss": [1.0]})
    assert outcome.selection is trainer.selection and 0 <= outcome.seconds < 60
    assert (outcome.statistics, outcome.forward_batch_size) == ((4.0, 2.0), 5)
    if test_rows:
        assert order == [5, model, "reference"]
        assert outcome.predictions == (model, (4, 5), (2.0, 2.0), "reference")
        assert outcome.best_on_test_subject.step == 3
    else:
        assert order == [5, model] and outcome.predictions == (model, (), (4.0, 2.0), None)
        assert outcome.best_on_test_subject is None
