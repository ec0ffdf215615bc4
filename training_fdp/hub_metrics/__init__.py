"""The metrics as `evaluate.Metric` classes, one file each.

They work offline, by import (`MicroExpressionMetrics()`) and by path (`evaluate.load("<path of the file>")`). The
arithmetic is in `training_fdp.metrics`; training calls that directly and does not need `evaluate`.
"""

from .dynamic_image_quality import DynamicImageQuality
from .micro_expression_metrics import MicroExpressionMetrics
from .rank_quality import RankQuality

__all__ = ["DynamicImageQuality", "MicroExpressionMetrics", "RankQuality"]
