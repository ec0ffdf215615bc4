"""The training loop: optimiser steps, evaluations, checkpoints.

Every random number is a function of (seed, fold, step), so a killed fold resumes from its last checkpoint with
identical results, whichever process trains it. Processes that share a fold draw different numbers.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import DynamoBackend
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from evaluation_fdp.fold_records import Selection
from evaluation_fdp.protocols import ClipTable
from training_fdp.data.augmentation import Batch, ClipAugmentation
from training_fdp.data.batches import ClipBatches, Statistics, StepSampler, chunks, normalized
from training_fdp.data.options import BatchOptions
from training_fdp.errors import Interrupted, TrainingError
from training_fdp.folds.checkpoints import BestEvaluation, FoldState, save_checkpoint
from training_fdp.folds.interruption import Interruption
from training_fdp.folds.optimization import (
    MovingAverage,
    balanced_class_weights,
    build_optimizer,
    learning_rate_factor,
    set_learning_rate,
)
from training_fdp.folds.options import TrainingOptions
from training_fdp.folds.randomness import mixed_seed
from training_fdp.methods.arithmetic import lay_out_channels_last
from training_fdp.methods.base import LossContext, Method

# Steps between two reads of the losses, because a read waits for the device.
FLUSH_STEPS = 10


@dataclass
class FoldContext:
    """Objects shared by all folds of a run.

    Args:
        method (`Method`): Defines the network, its targets and its losses.
        network (`PreTrainedConfig`): Settings of the network.
        options (`TrainingOptions`): How every fold is trained.
        batch_options (`BatchOptions`): Frames and normalisation of the clips in a batch.
        accelerator (`Accelerator`): Device, precision, processes.
        table (`ClipTable`): The clips' columns.
        batches (`ClipBatches`): The clips' pixels.
        build_model (`Callable[[object], PreTrainedModel]`): Builds a model from torch's current random state, the
            fold's `Method.fold_facts` and the initial checkpoint.
        augmentation (`ClipAugmentation`, *optional*): Augmentation of training clips.
        identity (`str`): Digest of everything that decides the figures; stored in checkpoints.
        report (`Callable[[str, int, int, dict], None]`): Called after each step with fold, steps done, steps planned,
            and the scalars when they were just read.
        interruption (`Interruption`, *optional*): Records that the run was asked to stop.
    """

    method: Method
    network: PreTrainedConfig
    options: TrainingOptions
    batch_options: BatchOptions
    accelerator: Accelerator
    table: ClipTable
    batches: ClipBatches
    build_model: Callable[[object], PreTrainedModel]
    augmentation: ClipAugmentation | None
    identity: str
    report: Callable[[str, int, int, dict[str, float]], None]
    interruption: Interruption = field(default_factory=Interruption)

    @property
    def shares_fold(self) -> bool:
        """Whether all processes train each fold together (`bool`)."""
        return self.options.parallelism == "ddp" and bool(self.accelerator.num_processes > 1)


@dataclass
class Stage:
    """State of one training of one model; all of it is in the checkpoint.

    Args:
        name (`str`): `select` to choose the number of steps, `fit` for the final training.
        model (`PreTrainedModel`): The trained model.
        optimizer (`AcceleratedOptimizer`): As the accelerator prepared it.
        average (`MovingAverage`, *optional*): Average of the weights.
        step (`int`, *optional*, defaults to 0): Steps done.
        curve (`dict`, *optional*): Loss, its parts and the learning rate per step.
        validations (`list[dict]`, *optional*): Figures of each evaluation during training.
        best (`BestEvaluation`, *optional*): The best of them.
    """

    name: str
    model: PreTrainedModel
    optimizer: AcceleratedOptimizer
    average: MovingAverage | None
    step: int = 0
    curve: dict[str, list[float]] = field(default_factory=dict)
    validations: list[dict[str, float]] = field(default_factory=list)
    best: BestEvaluation | None = None

    @property
    def predictor(self) -> PreTrainedModel:
        """The model that predicts (`PreTrainedModel`): the average where there is one."""
        return self.model if self.average is None else self.average.model


class StageTrainer:
    """Trains one model at a time and keeps the fold's checkpoint.

    Args:
        context (`FoldContext`): Shared by all folds.
        key (`str`): Name of the fold in reports.
        seed (`int`): Seed of the fold.
        checkpoint_path (`Path`): The checkpoint.
        statistics (`tuple[float, float]`, *optional*): Normalisation of the training clips.
        forward_batch_size (`int`): Clips per forward pass at most.
        selection (`Selection`): How the number of steps is chosen; stored in the checkpoint.
    """

    def __init__(
        self,
        context: FoldContext,
        key: str,
        seed: int,
        checkpoint_path: Path,
        statistics: Statistics | None,
        forward_batch_size: int,
        selection: Selection,
    ) -> None:
        self.context = context
        self.options = context.options
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
        validate: Callable[[Stage], bool] | None,
        saved: FoldState | None,
        num_steps: int | None = None,
        planned: int | None = None,
    ) -> Stage:
        """Train one model from its start, or from the saved state of this stage.

        Args:
            name (`str`):
                `select` or `fit`.
            rows (`Sequence[int]`):
                Training clips.
            validate (`Callable[[Stage], bool]`, *optional*):
                Evaluates other clips after each epoch or `eval_steps`; `True` ends the training.
            saved (`dict`, *optional*):
                Checkpoint of this stage.
            num_steps (`int`, *optional*):
                Steps after which the schedule is stopped; its end otherwise.
            planned (`int`, *optional*):
                Length of the schedule; that of these clips otherwise.

        Returns:
            `Stage`: the trained model.

        Raises:
            TrainingError: the loss is not finite.
            Interrupted: the run was stopped by a signal; the checkpoint holds its state.
        """
        options = self.options
        labels = [self.context.table.labels[row] for row in rows]
        sampler = self._sampler(rows)
        planned = self.planned_steps(rows) if planned is None else planned
        last = planned if num_steps is None else num_steps
        fold_facts = self._fold_facts(rows)
        stage = self._new_stage(name, fold_facts)
        if saved is not None:
            self._restore(stage, saved)
        weights = self._class_weights(labels)
        wrapped = self._wrapped(stage.model)
        pending: list[dict[str, torch.Tensor | float]] = []
        while stage.step < last:
            self._set_mode(stage.model, sampler.epoch_of(stage.step))
            rate = options.learning_rate * learning_rate_factor(
                options.lr_schedule, stage.step, planned, options.warmup_fraction
            )
            set_learning_rate(stage.optimizer, rate)
            context = LossContext(self.context.network, weights, fold_facts, stage.step / planned)
            pending.append({**self._step(stage, wrapped, sampler[stage.step], context), "learning_rate": rate})
            stage.step += 1
            self.context.report(self.key, stage.step, last, {})
            validates_now = validate is not None and self._is_validation_step(stage.step, last, sampler)
            stops_now = self._is_asked_to_stop(stage.step)
            saves_now = stops_now or (stage.step % options.checkpoint_steps == 0 and stage.step < last)
            if len(pending) >= FLUSH_STEPS or validates_now or saves_now or stage.step == last:
                self._flush(stage, pending, last)
            if validates_now and validate is not None and validate(stage):
                break
            if saves_now:
                self._save(stage)
            if stops_now:
                raise Interrupted(
                    f"fold {self.key} was stopped after step {stage.step} of {last} and is saved in "
                    f"{self.checkpoint_path}"
                )
        return stage

    def planned_steps(self, rows: Sequence[int]) -> int:
        """Return the length of the schedule (`int`, optimiser steps) of a training on these clips."""
        if self.options.max_steps is not None:
            return self.options.max_steps
        return self._sampler(rows).steps_for(self.options.epochs)

    def _sampler(self, rows: Sequence[int]) -> StepSampler:
        clips_per_step = self.options.batch_size * self.options.gradient_accumulation_steps
        labels = [self.context.table.labels[row] for row in rows]
        return StepSampler(rows, labels, clips_per_step, self.seed, balanced=self.options.sampling == "balanced")

    def _new_stage(self, name: str, fold_facts: object) -> Stage:
        # The accelerator keeps references to prepared objects, so the last fold's weights would stay in memory.
        self.accelerator.free_memory()
        torch.manual_seed(self.seed)
        model = self.context.build_model(fold_facts).to(self.accelerator.device)
        if self.accelerator.device.type == "cpu" or self.options.mixed_precision != "no":
            lay_out_channels_last(model)
        if getattr(self.accelerator, "scaler", None) is not None:
            # A new scaler, because that of the last fold would make figures depend on the order of folds. `scaler` is
            # not a documented attribute of accelerate, which has no public way to replace it.
            self.accelerator.scaler = torch.amp.GradScaler(self.accelerator.device.type)
        optimizer = self.accelerator.prepare_optimizer(build_optimizer(model, self.options))
        average = None if self.options.ema_decay is None else MovingAverage(model, self.options.ema_decay)
        return Stage(name, model, optimizer, average)

    def _wrapped(self, model: nn.Module) -> nn.Module:
        """The network as steps call it: shared by processes, or compiled where `accelerate launch` asks for it.

        Not by `prepare_model` where a fold has one process, because that changes the network's own forward pass.
        """
        if self.context.shares_fold:
            return self.accelerator.prepare_model(model)
        compilation = self.accelerator.state.dynamo_plugin
        if compilation.backend == DynamoBackend.NO:
            return model
        return cast(nn.Module, torch.compile(model, **compilation.to_kwargs()))

    def _set_mode(self, model: nn.Module, epoch: int) -> None:
        # The authors' release calls train() once, evaluation switches to eval(), and nothing switches back. Here:
        # train() at every step, unless that bug is asked for.
        model.train(not (self.options.released_eval_mode and epoch >= 1))

    def _step(
        self, stage: Stage, wrapped: nn.Module, rows: list[int], context: LossContext
    ) -> dict[str, torch.Tensor]:
        """One optimiser step on these clips; returns the loss and its parts, averaged over the clips."""
        rank = 0
        if self.context.shares_fold:
            rank = self.accelerator.process_index
            rows = rows[rank :: self.accelerator.num_processes]
        parts: dict[str, torch.Tensor] = {}
        passes = list(chunks(rows, self.forward_batch_size))
        for number, chunk in enumerate(passes):
            seed = mixed_seed(self.seed, stage.name, stage.step, number, rank)
            torch.manual_seed(seed)
            batch = self._training_batch(chunk, torch.Generator().manual_seed(seed))
            last = number == len(passes) - 1
            with nullcontext() if last else self.accelerator.no_sync(wrapped):
                with self.accelerator.autocast():
                    losses = self.context.method.losses(wrapped, batch, context)
                share = len(chunk) / len(rows)
                self.accelerator.backward(losses["loss"] * share)
            for part, value in losses.items():
                parts[part] = parts.get(part, 0) + value.detach() * share
        if self.options.max_grad_norm:
            self.accelerator.clip_grad_norm_(wrapped.parameters(), self.options.max_grad_norm)
        stage.optimizer.step()
        stage.optimizer.zero_grad()
        if stage.average is not None:
            stage.average.update(stage.model)
        return parts

    def _training_batch(self, rows: Sequence[int], generator: torch.Generator) -> Batch:
        augmentation = self.context.augmentation
        batch = self.context.batches.load(rows, None, None if augmentation is None else augmentation.config, generator)
        if augmentation is not None:
            batch = augmentation(batch, generator)
        batch["pixel_values"] = normalized(batch["pixel_values"], self.statistics)
        return batch

    def _fold_facts(self, rows: Sequence[int]) -> object:
        clips = self.context.batches.clips
        return self.context.method.fold_facts((clips[row] for row in rows), self.context.network)

    def _is_asked_to_stop(self, step: int) -> bool:
        """Whether this process, or any that shares the fold, was asked to stop."""
        asked = self.context.interruption.is_asked
        if not self.context.shares_fold:
            return asked
        if step % FLUSH_STEPS:
            return False  # the reduction waits for the device
        flag = torch.tensor([float(asked)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum").item())

    def _class_weights(self, labels: Sequence[int]) -> torch.Tensor | None:
        if self.options.class_weighting == "none":
            return None
        weights = balanced_class_weights(labels, len(self.context.table.class_names))
        return weights.to(self.accelerator.device)

    def _is_validation_step(self, step: int, last: int, sampler: StepSampler) -> bool:
        if step == last:
            return True
        if self.options.eval_steps is not None:
            return step % self.options.eval_steps == 0
        return sampler.epoch_of(step) != sampler.epoch_of(step - 1)

    def _flush(self, stage: Stage, pending: list[dict[str, torch.Tensor | float]], planned: int) -> None:
        """Read the losses from the device, check and report them."""
        if not pending:
            return
        names = list(pending[0])
        values = torch.tensor([[float(entry[name]) for name in names] for entry in pending], dtype=torch.float64)
        if self.context.shares_fold:
            # Averaged, so that all processes stop at the same step.
            values = self.accelerator.reduce(values.float().to(self.accelerator.device), reduction="mean").cpu()
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
        """Write the checkpoint; with a shared fold all processes wait for it."""
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
                    "looks": stage.validations,
                    "best": stage.best,
                    "selection": self.selection,
                },
            )
        if self.context.shares_fold:
            self.accelerator.wait_for_everyone()

    def _restore(self, stage: Stage, saved: FoldState) -> None:
        stage.model.load_state_dict(saved["model"])
        stage.optimizer.load_state_dict(saved["optimizer"])
        if stage.average is not None and saved["average"] is not None:
            stage.average.load_state_dict(saved["average"])
        if saved["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(saved["scaler"])
        stage.step, stage.curve = saved["step"], saved["curve"]
        stage.validations, stage.best = saved["looks"], saved["best"]
