"""Quality of FDP's outputs beyond the class as metrics of the library `evaluate`, which takes a second to import."""

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike

from training_fdp.methods.fdp_quality import clip_image_quality, kendall_tau, ordered_pairs


class DynamicImageQuality(evaluate.Metric):
    """MSE, PSNR and SSIM of constructed dynamic images and of two images independent of the clip, means over clips.

    Images are passed as `(height, width)` arrays in [0, 1], one per clip.
    """

    def _info(self) -> evaluate.MetricInfo:
        # Sequences of unknown length, because the image size depends on the model.
        image = datasets.Sequence(datasets.Sequence(datasets.Value("float32")))
        return evaluate.MetricInfo(
            description="MSE, PSNR and SSIM of dynamic images beside trivial constructions.",
            citation="",
            inputs_description="predictions, references: images of shape (height, width), values in [0, 1].",
            features=datasets.Features({"predictions": image, "references": image}),
        )

    def _compute(
        self, predictions: ArrayLike = (), references: ArrayLike = (), mean_image: ArrayLike | None = None
    ) -> dict[str, float]:
        """Compute the quality; `mean_image` is the mean of the training targets, shape `(height, width)`."""
        return _means(clip_image_quality(predictions, references, mean_image))


class RankQuality(evaluate.Metric):
    """Kendall's tau-b of the rank scores of each clip with time."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Kendall's tau-b between rank scores and time, averaged over clips.",
            citation="",
            inputs_description="predictions: one sequence of rank scores per clip, in time order.",
            features=datasets.Features({"predictions": datasets.Sequence(datasets.Value("float32"))}),
        )

    def _compute(self, predictions: ArrayLike = (), references: ArrayLike = ()) -> dict[str, float]:
        """Compute the agreement; `references` is part of the interface of `evaluate` and not used."""
        tau = kendall_tau(predictions)
        return {
            "kendall_tau": float(tau.mean()),
            "kendall_tau_std": float(tau.std()),
            "ordered_pairs": ordered_pairs(predictions),
        }


def _means(clips: list[dict[str, float]]) -> dict[str, float]:
    """Mean of the figures that every clip has."""
    shared = [name for name in clips[0] if all(name in clip for clip in clips)]
    return {name: float(np.mean([clip[name] for clip in clips])) for name in shared}
