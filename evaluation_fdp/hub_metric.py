"""Recognition metrics of micro-expression benchmarks as an `evaluate.Metric`."""

from typing import Any

import datasets
import evaluate

from evaluation_fdp.metrics import classification_metrics


class MicroExpressionMetrics(evaluate.Metric):  # type: ignore[misc] # evaluate has no types
    """Accuracy, UF1, UAR, weighted F1 and per-class scores, pooled over all folds by `add_batch` and computed once.

    Example:
    ```python
    >>> from evaluation_fdp.hub_metric import MicroExpressionMetrics

    >>> metric = MicroExpressionMetrics()
    >>> metric.compute(predictions=[0, 1, 1], references=[0, 1, 0], num_labels=2)["uar"]
    0.75

    ```
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Pooled recognition metrics after the MEGC 2019 guideline.",
            citation="",
            inputs_description="predictions, references: class indices; num_labels: number of classes.",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(
        self,
        predictions: Any = None,
        references: Any = None,
        num_labels: int | None = None,
    ) -> dict[str, Any]:
        """Compute the metrics; `num_labels` is required, because the clips may lack a class."""
        if num_labels is None:
            raise ValueError(
                "num_labels is required and was not given; call compute(num_labels=<classes of the label set>)."
            )
        return classification_metrics(predictions, references, num_labels).to_dict()
