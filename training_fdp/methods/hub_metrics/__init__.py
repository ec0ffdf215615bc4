"""The metrics as `evaluate.Metric` classes, one file each.

They work offline, by import (`MicroExpressionMetrics()`) and by path (`evaluate.load("<path of the file>")`). The
arithmetic is in `evaluation_fdp.metrics`; training calls that directly and does not need `evaluate`.
"""

from evaluation_fdp.hub_metric import MicroExpressionMetrics
from training_fdp.methods.hub_metrics.dynamic_image_quality import DynamicImageQuality
from training_fdp.methods.hub_metrics.rank_quality import RankQuality

__all__ = ["DynamicImageQuality", "MicroExpressionMetrics", "RankQuality"]
