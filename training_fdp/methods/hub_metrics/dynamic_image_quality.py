"""Quality of constructed dynamic images as an `evaluate.Metric`."""

from typing import Any

import datasets
import evaluate

from evaluation_fdp import metrics


class DynamicImageQuality(evaluate.Metric):
    """MSE, PSNR and SSIM of dynamic images, beside the constant-0.5 and the mean-image construction.

    Images are passed as `(height, width)` arrays in [0, 1], one per clip.
    """

    def _info(self) -> evaluate.MetricInfo:
        # Sequences of unknown length: the image size is the model's.
        image = datasets.Sequence(datasets.Sequence(datasets.Value("float32")))
        return evaluate.MetricInfo(
            description="MSE, PSNR and SSIM of dynamic images beside trivial constructions.",
            citation="",
            inputs_description="predictions, references: images of shape (height, width), values in [0, 1].",
            features=datasets.Features({"predictions": image, "references": image}),
        )

    def _compute(self, predictions: Any = None, references: Any = None, mean_image: Any = None) -> dict[str, float]:
        """Compute the quality; `mean_image` is the mean of the training targets, shape `(height, width)`."""
        return metrics.dynamic_image_quality(predictions, references, mean_image)
