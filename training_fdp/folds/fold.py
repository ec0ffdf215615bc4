"""One fold: choose the number of steps, train, predict the held-out clips."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast, find_executable_batch_size
from torch import nn

from evaluation_fdp.fold_records import Predictions
from evaluation_fdp.metrics import Figures, classification_metrics
from evaluation_fdp.protocols import Fold, inner_split
from training_fdp.data.batches import Statistics
from training_fdp.errors import TrainingError
from training_fdp.folds.checkpoints import load_checkpoint
from training_fdp.folds.evaluator import Evaluator
from training_fdp.folds.loop import FoldContext, Stage, StageTrainer
from training_fdp.folds.randomness import mixed_seed

CHECKPOINT_NAME = "checkpoint.pt"


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
    statistics: Statistics | None
    forward_batch_size: int
    seconds: float


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
        self.options = context.options
        self.accelerator = context.accelerator
        self.fold = fold
        self.key = key
        self.seed = mixed_seed(seed, fold.fold_id)
        self.checkpoint_path = folder / CHECKPOINT_NAME
        self.evaluator = Evaluator(context.method, context.batches, self.accelerator, self.options.eval_batch_size)
        self.forward_batch_size = self.options.batch_size
        self.statistics: Statistics | None = None
        self.test_statistics: Statistics | None = None
        self.selection: dict[str, Any] = {}

    def train(self) -> TrainedFold:
        """Train to the end, from the last checkpoint where there is one, and predict the held-out clips.

        Returns:
            `TrainedFold`: the outcome; nothing but the checkpoint is on disk yet.

        Raises:
            TrainingError: the loss is not finite, or a checkpoint is damaged or of another run.
            Interrupted: the run was asked to stop; the checkpoint holds everything so far.
        """
        start = time.perf_counter()
        self._measure_statistics()
        if self.options.auto_batch_size:
            attempt = find_executable_batch_size(self._train, starting_batch_size=self.options.batch_size)
            stage = attempt()
        else:
            stage = self._train(self.options.batch_size)
        model = stage.predictor
        self._equalize(model)
        reference = None
        if self.fold.test_indices:
            reference = self.evaluator.reference(model.config, self.fold.train_indices, self.statistics)
        predictions = self.evaluator.predict(model, self.fold.test_indices, self.test_statistics, reference)
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

    def _train(self, batch_size: int) -> Stage:
        """Run the stages, each clip batch cut into forward passes of at most `batch_size`."""
        self.forward_batch_size = batch_size
        self.selection = {"method": self.options.selection}
        saved = load_checkpoint(self.checkpoint_path, self.accelerator.device)
        if saved is not None and saved["identity"] != self.context.identity:
            raise TrainingError(
                f"the checkpoint {self.checkpoint_path} is of a run with other settings; delete it to start again"
            )
        if self.options.selection == "inner":
            if saved is None or saved["stage"] == "select":
                stage = self._select(saved)
                if not self.options.refit:
                    return stage
                saved = None
            else:
                self.selection = saved["selection"]
        # After a selection the rate takes the course that was selected, although there are more clips now.
        return self._stage_trainer().run(
            "fit",
            self.fold.train_indices,
            self._look_at_test_subject(),
            saved,
            self.selection.get("steps"),
            self.selection.get("planned_steps"),
        )

    def _stage_trainer(self) -> StageTrainer:
        return StageTrainer(
            self.context,
            self.key,
            self.seed,
            self.checkpoint_path,
            self.statistics,
            self.forward_batch_size,
            self.selection,
        )

    def _select(self, saved: dict[str, Any] | None) -> Stage:
        """Early stopping on an inner split of the training subjects; the held-out subject is never looked at."""
        training_rows, stopping_rows = inner_split(
            self.context.table, self.fold, self.options.inner_fraction, self.seed
        )

        def look(stage: Stage) -> bool:
            metrics, _ = self._judge(stage.predictor, stopping_rows, self.statistics)
            stage.looks.append({"step": stage.step, "uf1": metrics["uf1"], "accuracy": metrics["accuracy"]})
            if stage.best is None or metrics["uf1"] > stage.best["uf1"]:
                weights = {name: value.clone() for name, value in stage.predictor.state_dict().items()}
                stage.best = {"uf1": metrics["uf1"], "step": stage.step, "look": len(stage.looks), "weights": weights}
            return len(stage.looks) - stage.best["look"] >= self.options.patience

        trainer = self._stage_trainer()
        stage = trainer.run("select", training_rows, look, saved)
        if stage.best is None:  # the last step always looks, so there was none
            raise TrainingError(f"fold {self.key} has no step to select; raise --epochs or --max_steps")
        steps = int(stage.best["step"])
        self.selection |= {
            "inner_subjects": sorted({self.context.table.subjects[row] for row in stopping_rows}),
            "steps": steps,
            "planned_steps": trainer.planned_steps(training_rows),
            "looks": stage.looks,
        }
        if not self.options.refit:
            stage.predictor.load_state_dict(stage.best["weights"])
            stage.step = steps
        return stage

    def _looks_at_test_subject(self) -> bool:
        return self.options.report_literature_selection and bool(self.fold.test_indices)

    def _look_at_test_subject(self) -> Callable[[Stage], bool] | None:
        """The literature's selection: remember the best epoch on the held-out subject. It never ends the training."""
        if not self._looks_at_test_subject():
            return None

        def look(stage: Stage) -> bool:
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
        self, model: nn.Module, rows: Sequence[int], statistics: Statistics | None
    ) -> tuple[Figures, Predictions]:
        self._equalize(model)
        predictions = self.evaluator.predict(model, rows, statistics, with_answers=False)
        truth = [self.context.table.labels[row] for row in rows]
        return classification_metrics(predictions.labels, truth, len(self.context.table.class_names)), predictions

    def _equalize(self, model: nn.Module) -> None:
        """Give all processes of a shared fold rank 0's running statistics: each has gathered its own."""
        if self.context.shares_fold:
            for buffer in model.buffers():
                broadcast(buffer)

    def _measure_statistics(self) -> None:
        if self.context.batch_options.normalization != "train_statistics":
            return
        batches = self.context.batches
        self.statistics = batches.split_statistics(self.fold.train_indices)
        self.test_statistics = self.statistics
        if self.context.batch_options.released_test_statistics and self.fold.test_indices:
            self.test_statistics = batches.split_statistics(self.fold.test_indices)
