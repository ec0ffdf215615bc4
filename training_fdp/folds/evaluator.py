"""Predictions of one model on held-out clips, with the quality of what it answers beyond the class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation_fdp.fold_records import Predictions
from training_fdp.data.batches import ClipBatches, chunks
from training_fdp.methods.fdp_quality import clip_image_quality, kendall_tau
from training_fdp.methods.fdp_targets import dynamic_image_targets


class Evaluator:
    """Predicts clips with the settings of a run.

    Args:
        batches (`ClipBatches`): Source of the clips.
        accelerator (`Accelerator`): Decides the arithmetic.
        batch_size (`int`): Clips per forward pass.
    """

    def __init__(self, batches: ClipBatches, accelerator: Any, batch_size: int) -> None:
        self.batches = batches
        self.accelerator = accelerator
        self.batch_size = batch_size

    @torch.no_grad()
    def predict(
        self,
        model: Any,
        rows: Sequence[int],
        statistics: tuple[float, float] | None = None,
        mean_image: NDArray[np.float64] | None = None,
        with_quality: bool = True,
    ) -> Predictions:
        """Predict clips in evaluation mode; the model's mode is put back afterwards.

        Args:
            model (`FDPForVideoClassification`): Not wrapped.
            rows (`Sequence[int]`): Clips to predict.
            statistics (`tuple[float, float]`, *optional*): See [`ClipBatches.load`].
            mean_image (`np.ndarray` of shape `(height, width)`, *optional*): Mean target of the training clips, the
                construction that sees no clip.
            with_quality (`bool`, *optional*, defaults to `True`): Also judge dynamic images and rank scores.

        Returns:
            `Predictions`: in the order of `rows`.
        """
        was_training = model.training
        model.eval()
        probabilities: list[NDArray[np.float64]] = []
        answers: list[dict[str, float]] = []
        for some in chunks(rows, self.batch_size):
            batch = self.batches.load(some, statistics)
            with self.accelerator.autocast():
                output = model(pixel_values=batch["pixel_values"])
            probabilities.append(torch.softmax(output.logits.double(), dim=-1).cpu().numpy())
            answers += self._quality(model, output, batch, mean_image) if with_quality else [{} for _ in some]
        model.train(was_training)
        stacked = np.concatenate(probabilities) if probabilities else np.zeros((0, model.config.num_labels))
        return Predictions(list(rows), stacked, answers)

    @torch.no_grad()
    def mean_target(
        self, model: Any, rows: Sequence[int], statistics: tuple[float, float] | None = None
    ) -> NDArray[np.float64] | None:
        """Return the mean dynamic image (`np.ndarray` of shape `(height, width)`) of training clips."""
        total, count = None, 0
        for some in chunks(rows, self.batch_size):
            targets = _numbers(dynamic_image_targets(model.config, self.batches.load(some, statistics)))
            total = targets.sum(axis=0) + (0 if total is None else total)
            count += len(some)
        return None if total is None else total / count

    def _quality(
        self, model: Any, output: Any, batch: dict[str, torch.Tensor], mean_image: NDArray[np.float64] | None
    ) -> list[dict[str, float]]:
        tau = kendall_tau(output.rank_scores.double().cpu().numpy())
        quality: list[dict[str, float]] = [{} for _ in tau]
        if output.dynamic_image is not None:
            target = _numbers(dynamic_image_targets(model.config, batch))
            quality = clip_image_quality(_numbers(output.dynamic_image), target, mean_image)
        return [clip | {"rank_kendall_tau": float(value)} for clip, value in zip(quality, tau, strict=True)]


def _numbers(images: torch.Tensor) -> NDArray[np.float64]:
    """(batch_size, 1, height, width) on the device -> (batch_size, height, width)."""
    return images[:, 0].double().cpu().numpy()
