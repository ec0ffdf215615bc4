"""Agreement of rank scores with time as an `evaluate.Metric`."""

from typing import Any

import datasets
import evaluate

from evaluation_fdp import metrics


class RankQuality(evaluate.Metric):
    """Kendall's tau-b of the rank scores of each clip with time; there is nothing but time to refer to."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Kendall's tau-b between rank scores and time, averaged over clips.",
            citation="",
            inputs_description="predictions: one sequence of rank scores per clip, in time order.",
            features=datasets.Features({"predictions": datasets.Sequence(datasets.Value("float32"))}),
        )

    def _compute(self, predictions: Any = None, references: Any = None) -> dict[str, float]:
        """Compute the agreement; `references` is part of the interface of `evaluate` and stays unused."""
        return metrics.rank_quality(predictions)
