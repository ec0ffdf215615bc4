"""One fold: train, look, stop, predict.

Every random number is a function of (seed, fold, step), so a fold that was killed goes on from its last checkpoint
with the same bits, and the number of processes cannot matter.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast, find_executable_batch_size
from torch import nn
from torch.nn import functional as F

from training_fdp.augmentation import ClipAugmentation
from training_fdp.averaging import MovingAverage
from training_fdp.batches import Batch, ClipBatches, StepSampler, augment, chunks
from training_fdp.config import TrainConfig
from training_fdp.errors import TrainingError
from training_fdp.evaluation import Evaluator, Predictions
from training_fdp.metrics import classification_metrics
from training_fdp.optimization import balanced_class_weights, build_optimizer, learning_rate_factor, set_learning_rate
from training_fdp.protocols import ClipTable, Fold, inner_split
from training_fdp.storage import load_checkpoint, save_checkpoint

# Losses stay on the device between two reads: a read waits for it.
FLUSH_STEPS = 10
CHECKPOINT_NAME = "checkpoint.pt"


@dataclass
class FoldContext:
    """What all folds of a run share.

    Args:
        config (`TrainConfig`): Settings.
        accelerator (`Accelerator`): Device, arithmetic, processes.
        table (`ClipTable`): The clips' columns.
        batches (`ClipBatches`): The clips' pixels.
        build_model (`Callable[[], nn.Module]`): Makes an untrained model from torch's current random state.
        augmentation (`ClipAugmentation`, *optional*): What training clips undergo.
        identity (`str`): Digest of everything that decides the numbers; stored in checkpoints.
        report (`Callable[[str, int, int, dict], None]`): Told after each step: fold, steps done, steps planned, and
            the scalars when they were just read.
    """

    config: TrainConfig
    accelerator: Any
    table: ClipTable
    batches: ClipBatches
    build_model: Callable[[], Any]
    augmentation: ClipAugmentation | None
    identity: str
    report: Callable[[str, int, int, dict[str, float]], None]


@dataclass
class TrainedFold:
    """A fold that reached its end.

    Args:
        model (`nn.Module`): The model that predicts (the moving average where there is one).
        steps (`int`): Optimiser steps behind it.
        curve (`dict[str, list[float]]`): Loss, its parts and the learning rate per step.
        selection (`dict`): How the number of steps was chosen, with every look at the inner subjects.
        best_on_test_subject (`dict`, *optional*): Step and predictions of the literature's selection.
        predictions (`Predictions`): Of the held-out clips.
        statistics (`tuple[float, float]`, *optional*): Normalisation of the training clips.
        forward_batch_size (`int`): Clips per forward pass that fitted into memory.
        seconds (`float`): Wall time of this process's share of the training.
    """

    model: Any
    steps: int
    curve: dict[str, list[float]]
    selection: dict[str, Any]
    best_on_test_subject: dict[str, Any] | None
    predictions: Predictions
    statistics: tuple[float, float] | None
    forward_batch_size: int
    seconds: float


@dataclass
class _Stage:
    """State of one training of one model; all of it is in the checkpoint."""

    name: str
    model: nn.Module
    optimizer: Any
    average: MovingAverage | None
    step: int = 0
    curve: dict[str, list[float]] = field(default_factory=dict)
    looks: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] | None = None

    @property
    def predictor(self) -> nn.Module:
        return self.model if self.average is None else self.average.model


def mixed_seed(*parts: int | str) -> int:
    """Return a seed (`int` below 2^63) that any change of any part changes throughout."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class FoldTrainer:
    """Trains and judges one fold.

    Args:
        context (`FoldContext`): What all folds share.
        fold (`Fold`): The split.
        seed (`int`): Seed of the run.
        key (`str`): Name of the fold in reports and on disk.
        folder (`Path`): Where the checkpoint is kept until the fold is done.
    """

    def __init__(self, context: FoldContext, fold: Fold, seed: int, key: str, folder: Path) -> None:
        self.context = context
        self.config = context.config
        self.accelerator = context.accelerator
        self.fold = fold
        self.key = key
        self.seed = mixed_seed(seed, fold.fold_id)
        self.checkpoint_path = folder / CHECKPOINT_NAME
        self.shares_fold = self.config.parallelism == "ddp" and self.accelerator.num_processes > 1
        self.evaluator = Evaluator(context.batches, self.accelerator, self.config.eval_batch_size)
        self.forward_batch_size = self.config.batch_size
        self.statistics: tuple[float, float] | None = None
        self.test_statistics: tuple[float, float] | None = None
        self.selected_steps: int | None = None
        self.selection: dict[str, Any] = {"method": self.config.selection}

    def train(self) -> TrainedFold:
        """Train to the end, from the last checkpoint where there is one, and predict the held-out clips.

        Returns:
            `TrainedFold`: the outcome; nothing but the checkpoint is on disk yet.

        Raises:
            TrainingError: the loss is not finite, or a checkpoint is damaged or of another run.
        """
        start = time.perf_counter()
        self._measure_statistics()
        if self.config.auto_batch_size:
            attempt = find_executable_batch_size(self._train, starting_batch_size=self.config.batch_size)
            stage = attempt()
        else:
            stage = self._train(self.config.batch_size)
        model = stage.predictor
        self._equalize(model)
        mean_image = None
        if self.fold.test_indices and model.config.decoder != "none":
            mean_image = self.evaluator.mean_target(model, self.fold.train_indices, self.statistics)
        predictions = self.evaluator.predict(model, self.fold.test_indices, self.test_statistics, mean_image)
        literature = stage.best if self._looks_at_test_subject() else None
        return TrainedFold(
            model=model,
            steps=stage.step,
            curve=stage.curve,
            selection=self.selection,
            best_on_test_subject=literature,
            predictions=predictions,
            statistics=self.statistics,
            forward_batch_size=self.forward_batch_size,
            seconds=time.perf_counter() - start,
        )

    def _train(self, batch_size: int) -> _Stage:
        """Run the stages, each clip batch cut into forward passes of at most `batch_size`."""
        self.forward_batch_size = batch_size
        saved = load_checkpoint(self.checkpoint_path, self.accelerator.device)
        if saved is not None and saved["identity"] != self.context.identity:
            raise TrainingError(
                f"the checkpoint {self.checkpoint_path} is of a run with other settings; delete it to start again"
            )
        if self.config.selection == "fixed":
            return self._run_stage("fit", self.fold.train_indices, self._look_at_test_subject(), saved)
        if saved is None or saved["stage"] == "select":
            stage = self._select(saved)
            if not self.config.refit:
                return stage
            saved = None
        else:
            self._restore_selection(saved)
        return self._run_stage("fit", self.fold.train_indices, self._look_at_test_subject(), saved)

    def _select(self, saved: dict[str, Any] | None) -> _Stage:
        """Early stopping on an inner split of the training subjects; the held-out subject is never looked at."""
        inside, aside = inner_split(self.context.table, self.fold, self.config.inner_fraction, self.seed)

        def look(stage: _Stage) -> bool:
            metrics, _ = self._judge(stage.predictor, aside, self.statistics)
            stage.looks.append({"step": stage.step, "uf1": metrics["uf1"], "accuracy": metrics["accuracy"]})
            if stage.best is None or metrics["uf1"] > stage.best["uf1"]:
                weights = {name: value.clone() for name, value in stage.predictor.state_dict().items()}
                stage.best = {"uf1": metrics["uf1"], "step": stage.step, "look": len(stage.looks), "weights": weights}
            return len(stage.looks) - stage.best["look"] >= self.config.patience

        stage = self._run_stage("select", inside, look, saved)
        if stage.best is None:
            raise TrainingError(f"fold {self.key} never looked at its inner subjects; lower --eval_steps")
        self.selected_steps = int(stage.best["step"])
        inner_subjects = sorted({self.context.table.subjects[row] for row in aside})
        self.selection |= {"inner_subjects": inner_subjects, "steps": self.selected_steps, "looks": stage.looks}
        if not self.config.refit:
            stage.predictor.load_state_dict(stage.best["weights"])
            stage.step = self.selected_steps
        return stage

    def _restore_selection(self, saved: dict[str, Any]) -> None:
        self.selection = saved["selection"]
        self.selected_steps = self.selection["steps"]

    def _looks_at_test_subject(self) -> bool:
        return self.config.report_literature_selection and bool(self.fold.test_indices)

    def _look_at_test_subject(self) -> Callable[[_Stage], bool] | None:
        """The literature's selection: remember the best epoch on the held-out subject. It never ends the training."""
        if not self._looks_at_test_subject():
            return None

        def look(stage: _Stage) -> bool:
            metrics, predictions = self._judge(stage.predictor, self.fold.test_indices, self.test_statistics)
            stage.looks.append({"step": stage.step, "accuracy": metrics["accuracy"]})
            if stage.best is None or metrics["accuracy"] > stage.best["accuracy"]:
                stage.best = {
                    "accuracy": metrics["accuracy"],
                    "step": stage.step,
                    "predictions": predictions.labels,
                }
            return False

        return look

    def _judge(
        self, model: nn.Module, rows: Sequence[int], statistics: tuple[float, float] | None
    ) -> tuple[dict[str, Any], Predictions]:
        self._equalize(model)
        predictions = self.evaluator.predict(model, rows, statistics, with_quality=False)
        truth = [self.context.table.labels[row] for row in rows]
        return classification_metrics(predictions.labels, truth, len(self.context.table.class_names)), predictions

    def _equalize(self, model: nn.Module) -> None:
        """Give all processes of a shared fold rank 0's running statistics: each has gathered its own."""
        if self.shares_fold:
            for buffer in model.buffers():
                broadcast(buffer)

    def _measure_statistics(self) -> None:
        if self.config.normalization != "train_statistics":
            return
        batches = self.context.batches
        self.statistics = batches.split_statistics(self.fold.train_indices)
        self.test_statistics = self.statistics
        if self.config.released_test_statistics and self.fold.test_indices:
            self.test_statistics = batches.split_statistics(self.fold.test_indices)

    def _run_stage(
        self,
        name: str,
        rows: Sequence[int],
        look: Callable[[_Stage], bool] | None,
        saved: dict[str, Any] | None,
    ) -> _Stage:
        """Train one model from its start, or from the saved state of this stage."""
        config = self.config
        labels = [self.context.table.labels[row] for row in rows]
        clips_per_step = config.batch_size * config.gradient_accumulation_steps
        sampler = StepSampler(rows, labels, clips_per_step, self.seed, balanced=config.sampling == "balanced")
        planned = config.max_steps or sampler.steps_for(config.epochs)
        last = planned if self.selected_steps is None else self.selected_steps
        stage = self._new_stage(name)
        if saved is not None:
            self._restore(stage, saved)
        weights = self._class_weights(labels)
        wrapped = self.accelerator.prepare_model(stage.model) if self.shares_fold else stage.model
        pending: list[dict[str, torch.Tensor | float]] = []
        while stage.step < last:
            self._set_mode(stage.model, sampler.epoch_of(stage.step))
            rate = config.learning_rate * learning_rate_factor(
                config.lr_schedule, stage.step, planned, config.warmup_fraction
            )
            set_learning_rate(stage.optimizer, rate)
            pending.append({**self._step(stage, wrapped, sampler[stage.step], weights), "learning_rate": rate})
            stage.step += 1
            self.context.report(self.key, stage.step, last, {})
            looks_now = look is not None and self._is_look(stage.step, last, sampler)
            saves_now = stage.step % config.checkpoint_steps == 0 and stage.step < last
            if len(pending) >= FLUSH_STEPS or looks_now or saves_now or stage.step == last:
                self._flush(stage, pending, last)
            if looks_now and look is not None and look(stage):
                break
            if saves_now:
                self._save(stage)
        return stage

    def _new_stage(self, name: str) -> _Stage:
        # The accelerator remembers what it prepared: the last fold's weights would stay in memory.
        self.accelerator.free_memory()
        torch.manual_seed(self.seed)
        model = self.context.build_model().to(self.accelerator.device)
        if self.accelerator.device.type == "cpu" or self.config.mixed_precision != "no":
            # Convolutions then run on the layout that their kernels want: a quarter less time on a CPU.
            for parameter in model.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        if getattr(self.accelerator, "scaler", None) is not None:
            # A scaler that remembers the last fold would make the numbers depend on who ran it.
            self.accelerator.scaler = torch.amp.GradScaler(self.accelerator.device.type)
        optimizer = self.accelerator.prepare_optimizer(build_optimizer(model, self.config))
        average = None if self.config.ema_decay is None else MovingAverage(model, self.config.ema_decay)
        return _Stage(name, model, optimizer, average)

    def _set_mode(self, model: nn.Module, epoch: int) -> None:
        # Released code: train() is called once, evaluation switches to eval(), and nothing switches back (fact sheet
        # on papers, 1.7 B1). Here: train() at every step, unless that bug is asked for.
        model.train(not (self.config.released_eval_mode and epoch >= 1))

    def _step(
        self, stage: _Stage, wrapped: nn.Module, rows: list[int], class_weights: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """One optimiser step on these clips; returns the loss and its parts, averaged over the clips."""
        rank = 0
        if self.shares_fold:
            rank = self.accelerator.process_index
            rows = rows[rank :: self.accelerator.num_processes]
        parts: dict[str, torch.Tensor] = {}
        passes = list(chunks(rows, self.forward_batch_size))
        for number, some in enumerate(passes):
            seed = mixed_seed(self.seed, stage.name, stage.step, number, rank)
            torch.manual_seed(seed)
            batch = self._training_batch(some, torch.Generator().manual_seed(seed))
            last = number == len(passes) - 1
            with nullcontext() if last else self.accelerator.no_sync(wrapped):
                with self.accelerator.autocast():
                    losses = training_losses(wrapped, batch, class_weights)
                share = len(some) / len(rows)
                self.accelerator.backward(losses["loss"] * share)
            for part, value in losses.items():
                parts[part] = parts.get(part, 0) + value.detach() * share
        if self.config.max_grad_norm:
            self.accelerator.clip_grad_norm_(wrapped.parameters(), self.config.max_grad_norm)
        stage.optimizer.step()
        stage.optimizer.zero_grad()
        if stage.average is not None:
            stage.average.update(stage.model)
        return parts

    def _training_batch(self, rows: Sequence[int], generator: torch.Generator) -> Batch:
        options = None if self.context.augmentation is None else self.context.augmentation.config
        batch = self.context.batches.load(rows, None, options, generator)
        batch = augment(batch, self.context.augmentation, generator)
        if self.statistics is not None:
            mean, maximum = self.statistics
            batch["pixel_values"] = (batch["pixel_values"] - mean) / maximum
        return batch

    def _class_weights(self, labels: Sequence[int]) -> torch.Tensor | None:
        if self.config.class_weighting == "none":
            return None
        weights = balanced_class_weights(labels, len(self.context.table.class_names))
        return weights.to(self.accelerator.device)

    def _is_look(self, step: int, last: int, sampler: StepSampler) -> bool:
        if step == last:
            return True
        if self.config.eval_steps is not None:
            return step % self.config.eval_steps == 0
        return sampler.epoch_of(step) != sampler.epoch_of(step - 1)

    def _flush(self, stage: _Stage, pending: list[dict[str, Any]], planned: int) -> None:
        """Read the losses off the device, check them and tell."""
        if not pending:
            return
        names = list(pending[0])
        values = torch.tensor([[float(entry[name]) for name in names] for entry in pending], dtype=torch.float64)
        if self.shares_fold:
            # All processes see the same losses, so that all of them stop at the same step.
            values = self.accelerator.reduce(values.to(self.accelerator.device), reduction="mean").cpu()
        bad = ~torch.isfinite(values).all(dim=1)
        if bad.any():
            step = stage.step - len(pending) + int(bad.nonzero()[0]) + 1
            raise TrainingError(
                f"the loss of fold {self.key} is not finite at step {step}; lower --learning_rate, or use "
                "--mixed_precision no"
            )
        for column, name in enumerate(names):
            stage.curve.setdefault(name, []).extend(values[:, column].tolist())
        self.context.report(self.key, stage.step, planned, dict(zip(names, values[-1].tolist(), strict=True)))
        pending.clear()

    def _save(self, stage: _Stage) -> None:
        """Write the checkpoint; with a shared fold all processes wait until it is there."""
        if not self.shares_fold or self.accelerator.is_main_process:
            scaler = getattr(self.accelerator, "scaler", None)
            save_checkpoint(
                self.checkpoint_path,
                {
                    "identity": self.context.identity,
                    "stage": stage.name,
                    "step": stage.step,
                    "model": stage.model.state_dict(),
                    "optimizer": stage.optimizer.state_dict(),
                    "average": None if stage.average is None else stage.average.state_dict(),
                    "scaler": None if scaler is None else scaler.state_dict(),
                    "curve": stage.curve,
                    "looks": stage.looks,
                    "best": stage.best,
                    "selection": self.selection,
                },
            )
        if self.shares_fold:
            self.accelerator.wait_for_everyone()

    def _restore(self, stage: _Stage, saved: dict[str, Any]) -> None:
        stage.model.load_state_dict(saved["model"])
        stage.optimizer.load_state_dict(saved["optimizer"])
        if stage.average is not None:
            stage.average.load_state_dict(saved["average"])
        if saved["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(saved["scaler"])
        stage.step, stage.curve = saved["step"], saved["curve"]
        stage.looks, stage.best = saved["looks"], saved["best"]


def training_losses(model: Any, batch: Batch, class_weights: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Return the loss under `loss` and its unweighted parts by name (`dict` of 0-d tensors).

    Mixup's soft labels are not a target that the model takes: their cross-entropy is added here.
    """
    labels = batch["labels"]
    if labels.ndim == 1:
        output = model(pixel_values=batch["pixel_values"], labels=labels, class_weights=class_weights)
        return {"loss": output.loss, **output.losses}
    hard = labels.argmax(dim=1)
    output = model(pixel_values=batch["pixel_values"], labels=hard, class_weights=class_weights)
    weight = getattr(model, "module", model).config.classification_loss_weight
    soft = F.cross_entropy(output.logits.float(), labels, weight=class_weights)
    loss = output.loss + weight * (soft - output.losses["classification"])
    return {"loss": loss, **output.losses, "classification": soft}


def set_determinism(deterministic: bool) -> None:
    """Ask torch for equal bits in every run; operations that cannot warn once and go on."""
    # Read when the first matrix product runs on a card; without it those differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
