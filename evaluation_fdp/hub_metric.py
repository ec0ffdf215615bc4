"""Recognition and spotting metrics of micro-expression benchmarks as `evaluate.Metric`s."""

from collections.abc import Sequence
from typing import TypedDict

import datasets
import evaluate
from numpy.typing import ArrayLike

from evaluation_fdp.metrics import classification_metrics
from evaluation_fdp.spotting import LEAST_IOU, Expression, spotting_metrics


class ExpressionRow(TypedDict):
    """One expression of a recording; `label` is `""` where none is named."""

    onset: int
    offset: int
    kind: str
    label: str


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
        predictions: ArrayLike = (),
        references: ArrayLike = (),
        num_labels: int | None = None,
    ) -> dict[str, object]:
        """Compute the metrics; `num_labels` is required, because the clips may lack a class."""
        if num_labels is None:
            raise ValueError(
                "num_labels is required and was not given; call compute(num_labels=<classes of the label set>)."
            )
        return classification_metrics(predictions, references, num_labels).to_dict()


class SpottingMetrics(evaluate.Metric):  # type: ignore[misc] # evaluate has no types
    """MEGC scores of spotting over long recordings; each row of `add_batch` is one recording.

    Predictions and references of a recording are lists of intervals `{"onset", "offset", "kind", "label"}`: first and
    last frame, `"micro"` or `"macro"`, and the class, `""` where there is none.

    Example:
    ```python
    >>> from evaluation_fdp.hub_metric import SpottingMetrics

    >>> true = {"onset": 100, "offset": 109, "kind": "micro", "label": "positive"}
    >>> found = {"onset": 102, "offset": 110, "kind": "micro", "label": "positive"}
    >>> metric = SpottingMetrics()
    >>> scores = metric.compute(predictions=[[found], []], references=[[true], []], class_names=["positive"])
    >>> scores["micro"]["f1"], scores["micro"]["strs"]
    (1.0, 1.0)

    ```
    """

    def _info(self) -> evaluate.MetricInfo:
        interval = {
            "onset": datasets.Value("int64"),
            "offset": datasets.Value("int64"),
            "kind": datasets.Value("string"),
            "label": datasets.Value("string"),
        }
        return evaluate.MetricInfo(
            description="Spotting metrics of the Micro-Expression Grand Challenge.",
            citation="",
            inputs_description="predictions, references: intervals of each recording; class_names, minutes.",
            features=datasets.Features({"predictions": [interval], "references": [interval]}),
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[ExpressionRow]] = (),
        references: Sequence[Sequence[ExpressionRow]] = (),
        class_names: Sequence[str] | None = None,
        minutes: float | None = None,
        least_iou: float = LEAST_IOU,
    ) -> dict[str, object]:
        """Compute the metrics; see [`evaluation_fdp.spotting.spotting_metrics`] for the arguments."""
        return spotting_metrics(
            _expressions(predictions),
            _expressions(references),
            recordings=[str(row) for row in range(len(predictions))],
            class_names=class_names,
            minutes=minutes,
            least_iou=least_iou,
        ).to_dict()


def _expressions(rows: Sequence[Sequence[ExpressionRow]]) -> list[Expression]:
    return [
        Expression(str(row), one["onset"], one["offset"], one["kind"], one["label"] or None)
        for row, intervals in enumerate(rows)
        for one in intervals
    ]
