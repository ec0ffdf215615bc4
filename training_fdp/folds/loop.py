"""The training loop: optimiser steps, looks, checkpoints.

Every random number is a function of (seed, fold, step), so a fold that was killed goes on from its last checkpoint
with the same bits, and who trains which fold cannot matter. Processes that share a fold draw their own numbers.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from evaluation_fdp.protocols import ClipTable
from training_fdp.config import TrainConfig
from training_fdp.data.augmentation import ClipAugmentation
from training_fdp.data.batches import Batch, ClipBatches, StepSampler, augment, chunks
from training_fdp.errors import TrainingError
from training_fdp.folds.averaging import MovingAverage
from training_fdp.folds.checkpoints import save_checkpoint
from training_fdp.folds.optimization import (
    balanced_class_weights,
    build_optimizer,
    learning_rate_factor,
    set_learning_rate,
)
from training_fdp.folds.randomness import mixed_seed
from training_fdp.methods.fdp_targets import scaled_target

# Losses stay on the device between two reads: a read waits for it.
FLUSH_STEPS = 10


@dataclass
class FoldContext:
    """What all folds of a run share.

    Args:
        config (`TrainConfig`): Settings.
        accelerator (`Accelerator`): Device, arithmetic, processes.
        table (`ClipTable`): The clips' columns.
        batches (`ClipBatches`): The clips' pixels.
        build_model (`Callable[[], nn.Module]`): Makes a model from torch's current random state, and from the
            checkpoint that the run starts from.
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

    @property
    def shares_fold(self) -> bool:
        """Whether all processes train each fold together (`bool`)."""
        return self.config.parallelism == "ddp" and bool(self.accelerator.num_processes > 1)


@dataclass
class Stage:
    """State of one training of one model; all of it is in the checkpoint.

    Args:
        name (`str`): `select` while the number of steps is sought, `fit` for the training that counts.
        model (`nn.Module`): What learns.
        optimizer (`torch.optim.Optimizer`): As the accelerator prepared it.
        average (`MovingAverage`, *optional*): Average of the weights.
        step (`int`, *optional*, defaults to 0): Steps done.
        curve (`dict`, *optional*): Loss, its parts and the learning rate per step.
        looks (`list[dict]`, *optional*): What each look at clips outside the training found.
        best (`dict`, *optional*): The best look.
    """

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
        """The model that predicts (`nn.Module`): the average where there is one."""
        return self.model if self.average is None else self.average.model


class StageTrainer:
    """Trains one model at a time and keeps the fold's checkpoint.

    Args:
        context (`FoldContext`): What all folds share.
        key (`str`): Name of the fold in reports.
        seed (`int`): Seed of the fold.
        checkpoint_path (`Path`): The checkpoint.
        statistics (`tuple[float, float]`, *optional*): Normalisation of the training clips.
        forward_batch_size (`int`): Clips per forward pass at most.
        selection (`dict`): How the number of steps is chosen; stored in the checkpoint.
    """

    def __init__(
        self,
        context: FoldContext,
        key: str,
        seed: int,
        checkpoint_path: Path,
        statistics: tuple[float, float] | None,
        forward_batch_size: int,
        selection: dict[str, Any],
    ) -> None:
        self.context = context
        self.config = context.config
        self.accelerator = context.accelerator
        self.key = key
        self.seed = seed
        self.checkpoint_path = checkpoint_path
        self.statistics = statistics
        self.forward_batch_size = forward_batch_size
        self.selection = selection

    def run(
        self,
        name: str,
        rows: Sequence[int],
        look: Callable[[Stage], bool] | None,
        saved: dict[str, Any] | None,
        num_steps: int | None = None,
        planned: int | None = None,
    ) -> Stage:
        """Train one model from its start, or from the saved state of this stage.

        Args:
            name (`str`):
                `select` or `fit`.
            rows (`Sequence[int]`):
                Clips to learn from.
            look (`Callable[[Stage], bool]`, *optional*):
                Looks at clips outside the training, after each epoch or `eval_steps`; ends the training by `True`.
            saved (`dict`, *optional*):
                Checkpoint of this stage.
            num_steps (`int`, *optional*):
                Where to stop the planned schedule; its end otherwise.
            planned (`int`, *optional*):
                Length of the schedule; that of these clips otherwise.

        Returns:
            `Stage`: the trained model.

        Raises:
            TrainingError: the loss is not finite.
        """
        config = self.config
        labels = [self.context.table.labels[row] for row in rows]
        sampler = self._sampler(rows)
        planned = self.planned_steps(rows) if planned is None else planned
        last = planned if num_steps is None else num_steps
        stage = self._new_stage(name)
        if saved is not None:
            self._restore(stage, saved)
        weights = self._class_weights(labels)
        wrapped = self.accelerator.prepare_model(stage.model) if self.context.shares_fold else stage.model
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

    def planned_steps(self, rows: Sequence[int]) -> int:
        """Return the length of the schedule (`int`, optimiser steps) of a training on these clips."""
        if self.config.max_steps is not None:
            return self.config.max_steps
        return self._sampler(rows).steps_for(self.config.epochs)

    def _sampler(self, rows: Sequence[int]) -> StepSampler:
        clips_per_step = self.config.batch_size * self.config.gradient_accumulation_steps
        labels = [self.context.table.labels[row] for row in rows]
        return StepSampler(rows, labels, clips_per_step, self.seed, balanced=self.config.sampling == "balanced")

    def _new_stage(self, name: str) -> Stage:
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
        return Stage(name, model, optimizer, average)

    def _set_mode(self, model: nn.Module, epoch: int) -> None:
        # Released code: train() is called once, evaluation switches to eval(), and nothing switches back (fact sheet
        # on papers, 1.7 B1). Here: train() at every step, unless that bug is asked for.
        model.train(not (self.config.released_eval_mode and epoch >= 1))

    def _step(
        self, stage: Stage, wrapped: nn.Module, rows: list[int], class_weights: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """One optimiser step on these clips; returns the loss and its parts, averaged over the clips."""
        rank = 0
        if self.context.shares_fold:
            rank = self.accelerator.process_index
            rows = rows[rank :: self.accelerator.num_processes]
        parts: dict[str, torch.Tensor] = {}
        passes = list(chunks(rows, self.forward_batch_size))
        for number, some in enumerate(passes):
            seed = mixed_seed(self.seed, stage.name, stage.step, number, rank)
            torch.manual_seed(seed)
            batch = self._training_batch(some, torch.Generator().manual_seed(seed), stage.model.config)
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

    def _training_batch(self, rows: Sequence[int], generator: torch.Generator, model_config: Any) -> Batch:
        options = None if self.context.augmentation is None else self.context.augmentation.config
        batch = self.context.batches.load(rows, None, options, generator)
        batch = augment(batch, self.context.augmentation, generator)
        if "action_units" in batch:
            # A unit moved where one of its sides did; NaN, nobody knows, stays NaN.
            batch["action_unit_targets"] = batch.pop("action_units").amax(dim=-1)
        if "dynamic_image_targets" in batch:
            batch["dynamic_image_targets"] = scaled_target(batch["dynamic_image_targets"], model_config)
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

    def _flush(self, stage: Stage, pending: list[dict[str, Any]], planned: int) -> None:
        """Read the losses off the device, check them and tell."""
        if not pending:
            return
        names = list(pending[0])
        values = torch.tensor([[float(entry[name]) for name in names] for entry in pending], dtype=torch.float64)
        if self.context.shares_fold:
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

    def _save(self, stage: Stage) -> None:
        """Write the checkpoint; with a shared fold all processes wait until it is there."""
        if not self.context.shares_fold or self.accelerator.is_main_process:
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
        if self.context.shares_fold:
            self.accelerator.wait_for_everyone()

    def _restore(self, stage: Stage, saved: dict[str, Any]) -> None:
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
    names = ("pixel_values", "dynamic_image_targets", "action_unit_targets")
    inputs = {name: batch[name] for name in names if name in batch}
    if labels.ndim == 1:
        output = model(**inputs, labels=labels, class_weights=class_weights)
        return {"loss": output.loss, **output.losses}
    hard = labels.argmax(dim=1)
    output = model(**inputs, labels=hard, class_weights=class_weights)
    config = getattr(model, "module", model).config
    if class_weights is None and config.class_weights is not None:
        class_weights = torch.tensor(config.class_weights, device=labels.device)
    # As with hard labels, the mean is weighted by the class weights: torch's own, of soft labels, is not.
    weighted = labels if class_weights is None else labels * class_weights
    soft = -(weighted * F.log_softmax(output.logits.float(), dim=1)).sum() / weighted.sum()
    loss = output.loss + config.classification_loss_weight * (soft - output.losses["classification"])
    return {"loss": loss, **output.losses, "classification": soft}
