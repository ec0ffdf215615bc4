"""Predictions of one model on held-out clips, and the quality of its other outputs."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from transformers import PreTrainedConfig, PreTrainedModel

from evaluation_fdp.fold_records import Predictions
from training_fdp.data.augmentation import Batch
from training_fdp.data.batches import ClipBatches, Statistics, chunks
from training_fdp.methods.base import Answers, Method, class_names_of

# Largest number of training clips, evenly spaced, for `Method.reference`.
REFERENCE_CLIPS = 512


class Evaluator:
    """Predicts clips with the settings of a run.

    Args:
        method (`Method`): Interprets the network's output.
        batches (`ClipBatches`): Source of the clips.
        accelerator (`Accelerator`): Sets device and precision.
        batch_size (`int`): Clips per forward pass.
    """

    def __init__(self, method: Method, batches: ClipBatches, accelerator: Accelerator, batch_size: int) -> None:
        self.method = method
        self.batches = batches
        self.accelerator = accelerator
        self.batch_size = batch_size

    @torch.no_grad()
    def predict(
        self,
        model: PreTrainedModel,
        rows: Sequence[int],
        statistics: Statistics | None = None,
        reference: torch.Tensor | None = None,
        with_answers: bool = True,
    ) -> Predictions:
        """Predict clips in evaluation mode; the model's mode is restored afterwards.

        Args:
            model (`PreTrainedModel`): Not wrapped.
            rows (`Sequence[int]`): Clips to predict.
            statistics (`tuple[float, float]`, *optional*): See [`ClipBatches.load`].
            reference (*optional*): What [`Evaluator.reference`] returned.
            with_answers (`bool`, *optional*, defaults to `True`): Also measure the quality of its other outputs.

        Returns:
            `Predictions`: in the order of `rows`.
        """
        was_training = model.training
        model.eval()
        probabilities: list[NDArray[np.float64]] = []
        answers: list[Answers] = []
        for chunk in chunks(rows, self.batch_size):
            batch = self.batches.load(chunk, statistics)
            with self.accelerator.autocast():
                output = model(**self.method.inputs(batch))
            # float64 on the CPU, because not every device supports it.
            probabilities.append(torch.softmax(output.logits.cpu().double(), dim=-1).numpy())
            if with_answers:
                answers += self.method.answers(output, batch, model.config, reference)
            else:
                answers += [{} for _ in chunk]
        model.train(was_training)
        stacked = np.concatenate(probabilities) if probabilities else np.zeros((0, len(class_names_of(model.config))))
        return Predictions(list(rows), stacked, answers)

    @torch.no_grad()
    def reference(
        self, config: PreTrainedConfig, rows: Sequence[int], statistics: Statistics | None = None
    ) -> torch.Tensor | None:
        """Return the baseline of the answers from training clips alone (see [`Method.reference`])."""
        sample = rows[:: -(-len(rows) // REFERENCE_CLIPS)] if rows else rows

        def batches() -> Iterator[Batch]:
            for chunk in chunks(sample, self.batch_size):
                yield self.batches.load(chunk, statistics)

        return self.method.reference(config, batches())
