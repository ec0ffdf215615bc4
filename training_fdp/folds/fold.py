"""One fold: choose the number of steps, train, predict the held-out clips."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate.utils import broadcast, find_executable_batch_size
from torch import nn
from transformers import PreTrainedModel

from evaluation_fdp.fold_records import LiteratureSelection, Predictions, Selection
from evaluation_fdp.metrics import Figures, classification_metrics
from evaluation_fdp.protocols import Fold, inner_split
from training_fdp.data.batches import Statistics
from training_fdp.errors import TrainingError
from training_fdp.folds.checkpoints import FoldState, load_checkpoint
from training_fdp.folds.evaluator import Evaluator
from training_fdp.folds.loop import FoldContext, Stage, StageTrainer
from training_fdp.folds.randomness import mixed_seed

CHECKPOINT_NAME = "checkpoint.pt"


@dataclass
class TrainedFold:
    """Result of a trained fold.

    Args:
        model (`nn.Module`): The model that predicts (the moving average where there is one).
        steps (`int`): Optimiser steps of its training.
        curve (`dict[str, list[float]]`): Loss, its parts and the learning rate per step.
        selection (`Selection`): How the number of steps was chosen, with every evaluation on the inner subjects.
        best_on_test_subject (`LiteratureSelection`, *optional*): The epoch that the literature would select.
        predictions (`Predictions`): Of the held-out clips.
        statistics (`tuple[float, float]`, *optional*): Normalisation of the training clips.
        forward_batch_size (`int`): Clips per forward pass that fit into memory.
        seconds (`float`): Wall time of this process's share of the training.
    """

    model: PreTrainedModel
    steps: int
    curve: dict[str, list[float]]
    selection: Selection
    best_on_test_subject: LiteratureSelection | None
    predictions: Predictions
    statistics: Statistics | None
    forward_batch_size: int
    seconds: float


class FoldTrainer:
    """Trains and evaluates one fold.

    Args:
        context (`FoldContext`): Shared by all folds.
        fold (`Fold`): The split.
        seed (`int`): Seed of the run.
        key (`str`): Name of the fold in reports and on disk.
        folder (`Path`): Folder of the checkpoint until the fold is finished.
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
        self.selection: Selection = {}

    def train(self) -> TrainedFold:
        """Train, resuming from the last checkpoint if there is one, and predict the held-out clips.

        Returns:
            `TrainedFold`: the outcome, not yet on disk.

        Raises:
            TrainingError: the loss is not finite, or a checkpoint is damaged or of another run.
            Interrupted: the run was stopped by a signal; the checkpoint holds its state.
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
        return TrainedFold(
            model=model,
            steps=stage.step,
            curve=stage.curve,
            selection=self.selection,
            best_on_test_subject=self._literature_selection(stage),
            predictions=predictions,
            statistics=self.statistics,
            forward_batch_size=self.forward_batch_size,
            seconds=time.perf_counter() - start,
        )

    def _train(self, batch_size: int) -> Stage:
        """Run the stages, with batches split into forward passes of at most `batch_size` clips."""
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
        # After a selection the schedule is that of the selected run, although there are more clips now.
        return self._stage_trainer().run(
            "fit",
            self.fold.train_indices,
            self._test_subject_validation(),
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

    def _select(self, saved: FoldState | None) -> Stage:
        """Early stopping on an inner split of the training subjects; the held-out subject is not used."""
        training_rows, stopping_rows = inner_split(
            self.context.table, self.fold, self.options.inner_fraction, self.seed
        )

        def validate(stage: Stage) -> bool:
            metrics, _ = self._judge(stage.predictor, stopping_rows, self.statistics)
            stage.validations.append({"step": stage.step, "uf1": metrics["uf1"], "accuracy": metrics["accuracy"]})
            if stage.best is None or metrics["uf1"] > stage.best["uf1"]:
                weights = {name: value.clone() for name, value in stage.predictor.state_dict().items()}
                stage.best = {
                    "uf1": metrics["uf1"],
                    "step": stage.step,
                    "look": len(stage.validations),
                    "weights": weights,
                }
            return len(stage.validations) - stage.best["look"] >= self.options.patience

        trainer = self._stage_trainer()
        stage = trainer.run("select", training_rows, validate, saved)
        if stage.best is None:  # no step was made, because the last one always validates
            raise TrainingError(f"fold {self.key} has no step to select; raise --epochs or --max_steps")
        steps = int(stage.best["step"])
        self.selection |= {
            "inner_subjects": sorted({self.context.table.subjects[row] for row in stopping_rows}),
            "steps": steps,
            "planned_steps": trainer.planned_steps(training_rows),
            "looks": stage.validations,
        }
        if not self.options.refit:
            stage.predictor.load_state_dict(stage.best["weights"])
            stage.step = steps
        return stage

    def _literature_selection(self, stage: Stage) -> LiteratureSelection | None:
        if stage.best is None or not self._validates_on_test_subject():
            return None
        best = stage.best
        return LiteratureSelection(best["step"], best["accuracy"], best["predictions"])

    def _validates_on_test_subject(self) -> bool:
        return self.options.report_literature_selection and bool(self.fold.test_indices)

    def _test_subject_validation(self) -> Callable[[Stage], bool] | None:
        """The literature's selection: record the best epoch on the held-out subject; does not stop the training."""
        if not self._validates_on_test_subject():
            return None

        def validate(stage: Stage) -> bool:
            metrics, predictions = self._judge(stage.predictor, self.fold.test_indices, self.test_statistics)
            stage.validations.append({"step": stage.step, "accuracy": metrics["accuracy"]})
            if stage.best is None or metrics["accuracy"] > stage.best["accuracy"]:
                stage.best = {
                    "accuracy": metrics["accuracy"],
                    "step": stage.step,
                    "predictions": predictions.labels,
                }
            return False

        return validate

    def _judge(
        self, model: PreTrainedModel, rows: Sequence[int], statistics: Statistics | None
    ) -> tuple[Figures, Predictions]:
        self._equalize(model)
        predictions = self.evaluator.predict(model, rows, statistics, with_answers=False)
        truth = [self.context.table.labels[row] for row in rows]
        return classification_metrics(predictions.labels, truth, len(self.context.table.class_names)), predictions

    def _equalize(self, model: nn.Module) -> None:
        """Broadcast rank 0's running statistics in a shared fold, because they differ between processes."""
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
