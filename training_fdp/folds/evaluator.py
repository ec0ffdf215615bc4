"""Predictions of one model on held-out clips, with the quality of its dynamic images and rank scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation_fdp.metrics import kendall_tau, structural_similarity
from training_fdp.data.batches import ClipBatches, chunks
from training_fdp.methods.fdp_targets import dynamic_image_targets


@dataclass
class Predictions:
    """What a model says about some clips, row by row.

    Args:
        rows (`list[int]`): Rows of the clip table.
        probabilities (`np.ndarray` of shape `(num_clips, num_labels)`): float64, rows sum to 1.
        dynamic_images (`list[dict]`): Per clip `mse`, `ssim` and the same of the trivial constructions; empty dicts
            where the model constructs none.
        rank_tau (`list[float | None]`): Kendall's tau of the rank scores with time.
    """

    rows: list[int]
    probabilities: NDArray[np.float64]
    dynamic_images: list[dict[str, float]]
    rank_tau: list[float | None]

    @property
    def labels(self) -> list[int]:
        """The most probable class of each clip (`list[int]`)."""
        return [int(label) for label in self.probabilities.argmax(axis=1)] if len(self.rows) else []


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
        images: list[dict[str, float]] = []
        tau: list[float | None] = []
        for some in chunks(rows, self.batch_size):
            batch = self.batches.load(some, statistics)
            with self.accelerator.autocast():
                output = model(pixel_values=batch["pixel_values"])
            probabilities.append(torch.softmax(output.logits.double(), dim=-1).cpu().numpy())
            images += self._image_quality(model, output, batch, mean_image) if with_quality else [{}] * len(some)
            tau += _rank_tau(output) if with_quality else [None] * len(some)
        model.train(was_training)
        stacked = np.concatenate(probabilities) if probabilities else np.zeros((0, model.config.num_labels))
        return Predictions(list(rows), stacked, images, tau)

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

    def _image_quality(
        self, model: Any, output: Any, batch: dict[str, torch.Tensor], mean_image: NDArray[np.float64] | None
    ) -> list[dict[str, float]]:
        if output.dynamic_image is None:
            return [{}] * len(batch["labels"])
        target = _numbers(dynamic_image_targets(model.config, batch))
        candidates = {"": _numbers(output.dynamic_image), "_constant": np.full_like(target, 0.5)}
        if mean_image is not None:
            candidates["_mean_image"] = np.broadcast_to(mean_image, target.shape)
        quality: list[dict[str, float]] = [{} for _ in target]
        for suffix, images in candidates.items():
            error = ((images - target) ** 2).mean(axis=(1, 2))
            similarity = structural_similarity(images, target)
            for clip, (mse, ssim) in enumerate(zip(error.tolist(), similarity.tolist(), strict=True)):
                quality[clip] |= {f"mse{suffix}": mse, f"ssim{suffix}": ssim}
        return quality


def _numbers(images: torch.Tensor) -> NDArray[np.float64]:
    """(batch_size, 1, height, width) on the device -> (batch_size, height, width)."""
    return images[:, 0].double().cpu().numpy()


def _rank_tau(output: Any) -> list[float]:
    return [float(value) for value in kendall_tau(output.rank_scores.double().cpu().numpy())]
