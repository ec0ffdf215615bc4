"""Arithmetic of the evaluation, in NumPy: recognition metrics, intervals and chance.

Recognition metrics are computed once, from the confusion matrix of all held-out clips pooled over folds (guideline of
MEGC 2019; fact sheet on corpora, section 12). Averages of per-fold F1 or recall are not offered: most folds lack some
class.

Classes that do not occur. F1 of a class that is absent from truth and predictions is 0/0, and so is the recall of a
class absent from truth. Here such a class counts as 0 and stays in the mean (`absent_classes="zero"`), as in
scikit-learn with `labels=range(num_labels), zero_division=0` and in the released MOL code: the figure can then never
rise because a class was lost, and it always refers to the same number of classes. The other habit of the field,
leaving the class out so that the mean runs over fewer classes (released STSTNet and HTNet code, scikit-learn's
`balanced_accuracy_score`), is `absent_classes="skip"`. On every full corpus all classes occur and both agree.

The `evaluate.Metric` around these functions is in `evaluation_fdp.hub_metric`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

AbsentClasses = Literal["zero", "skip"]

METRIC_TITLES = {"accuracy": "Accuracy", "uf1": "UF1", "uar": "UAR", "f1_weighted": "Weighted F1"}
SCALAR_METRICS = tuple(METRIC_TITLES)


def confusion_matrix(predictions: ArrayLike, references: ArrayLike, num_labels: int) -> NDArray[np.int64]:
    """Count clips by true and predicted class.

    Args:
        predictions (`array-like` of shape `(num_clips,)`): Predicted class indices.
        references (`array-like` of shape `(num_clips,)`): True class indices.
        num_labels (`int`): Number of classes of the label set, also those that do not occur.

    Returns:
        `np.ndarray` of shape `(num_labels, num_labels)`, int64: Rows are truth, columns are predictions.

    Raises:
        ValueError: If the lengths differ, nothing is given, or an index lies outside `[0, num_labels)`.
    """
    predicted = _class_indices(predictions, num_labels, "predictions")
    true = _class_indices(references, num_labels, "references")
    if len(predicted) != len(true):
        raise ValueError(
            f"predictions and references must pair up, but there are {len(predicted)} and {len(true)}; "
            "give one prediction per reference."
        )
    if len(true) == 0:
        raise ValueError(
            "metrics need at least one clip, but none was given; pool the predictions of all folds first."
        )
    counts = np.bincount(true * num_labels + predicted, minlength=num_labels**2)
    return counts.reshape(num_labels, num_labels).astype(np.int64)


def metrics_from_confusion_matrix(matrix: ArrayLike, absent_classes: AbsentClasses = "zero") -> dict[str, Any]:
    """Compute the recognition metrics of a pooled confusion matrix.

    Args:
        matrix (`array-like` of shape `(num_labels, num_labels)`): Rows are truth; fractional (expected) counts are
            allowed.
        absent_classes (`str`, *optional*, defaults to `"zero"`): `"zero"` keeps undefined classes in the mean as 0,
            `"skip"` leaves them out; see the module docstring.

    Returns:
        `dict`: `accuracy`, `uf1`, `uar`, `f1_weighted` (Python floats in [0, 1]), `f1_per_class` and
            `recall_per_class` (lists of `num_labels` floats, 0 where undefined), `confusion_matrix` (nested lists).

    Raises:
        ValueError: If the matrix is not square or holds no clip, or the convention is unknown.
    """
    if absent_classes not in ("zero", "skip"):
        raise ValueError(f"absent_classes must be 'zero' or 'skip', but is {absent_classes!r}; use one of the two.")
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.sum() <= 0:
        raise ValueError(
            f"a confusion matrix must be square and hold at least one clip, but its shape is {counts.shape} "
            f"and its sum {counts.sum()}; build it with confusion_matrix()."
        )
    scores = _scores(counts[None].astype(np.float64), absent_classes)
    return {
        **{name: float(scores[name][0]) for name in SCALAR_METRICS},
        "f1_per_class": scores["f1_per_class"][0].tolist(),
        "recall_per_class": scores["recall_per_class"][0].tolist(),
        "confusion_matrix": counts.tolist(),
    }


def classification_metrics(
    predictions: ArrayLike, references: ArrayLike, num_labels: int, absent_classes: AbsentClasses = "zero"
) -> dict[str, Any]:
    """Compute accuracy, UF1, UAR, weighted F1 and their parts once over all held-out clips.

    UF1 is the unweighted mean of F1 over classes (macro F1), UAR the unweighted mean of recall (balanced accuracy).

    Args:
        predictions (`array-like` of shape `(num_clips,)`): Predicted class indices, pooled over folds.
        references (`array-like` of shape `(num_clips,)`): True class indices in the same order.
        num_labels (`int`): Number of classes of the label set.
        absent_classes (`str`, *optional*, defaults to `"zero"`): Convention for classes that do not occur; see the
            module.

    Returns:
        `dict`: See [`metrics_from_confusion_matrix`].

    Raises:
        ValueError: As [`confusion_matrix`].
    """
    return metrics_from_confusion_matrix(confusion_matrix(predictions, references, num_labels), absent_classes)


def subject_bootstrap_interval(
    predictions: ArrayLike,
    references: ArrayLike,
    subjects: Sequence[str],
    num_labels: int,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over subjects of the pooled metrics.

    Clips of one subject are not independent, so whole subjects are drawn with replacement, and the metrics of the
    pooled clips are computed for each draw. The interval speaks of other subjects, not of other seeds.

    Args:
        predictions (`array-like` of shape `(num_clips,)`): Predicted class indices.
        references (`array-like` of shape `(num_clips,)`): True class indices.
        subjects (`Sequence[str]` of length `num_clips`): Subject of each clip.
        num_labels (`int`): Number of classes.
        confidence (`float`, *optional*, defaults to 0.95): Mass inside the interval.
        num_resamples (`int`, *optional*, defaults to 2000): Number of bootstrap draws.
        seed (`int`, *optional*, defaults to 0): Seed of the draws.

    Returns:
        `dict` of `(low, high)` per name in `SCALAR_METRICS`.

    Raises:
        ValueError: If subjects do not pair up with clips or `confidence` lies outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, but is {confidence}; use e.g. 0.95.")
    true = _class_indices(references, num_labels, "references")
    if len(subjects) != len(true):
        raise ValueError(
            f"each clip needs a subject, but there are {len(subjects)} for {len(true)} clips; give one per clip."
        )
    predicted = np.asarray(predictions)
    names, group = np.unique(np.asarray(subjects), return_inverse=True)
    per_subject = np.stack(
        [confusion_matrix(predicted[group == i], true[group == i], num_labels) for i in range(len(names))]
    )
    draws = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=num_resamples
    )
    scores = _scores(np.einsum("rs,sij->rij", draws, per_subject).astype(np.float64), "zero")
    tail = (1 - confidence) / 2
    return {
        name: (float(np.quantile(scores[name], tail)), float(np.quantile(scores[name], 1 - tail)))
        for name in SCALAR_METRICS
    }


def chance_level(references: ArrayLike, num_labels: int) -> dict[str, dict[str, float]]:
    """Say what guessing scores on these clips, without looking at any image.

    Args:
        references (`array-like` of shape `(num_clips,)`): True class indices.
        num_labels (`int`): Number of classes.

    Returns:
        `dict`: For the strategies `"uniform"` (each class equally often), `"prior"` (each class as often as it is
            true) and `"majority"` (always the most frequent class) the `SCALAR_METRICS` of the expected confusion
            matrix.
    """
    true = _class_indices(references, num_labels, "references")
    counts = np.bincount(true, minlength=num_labels).astype(np.float64)
    strategies = {
        "uniform": np.full(num_labels, 1 / num_labels),
        "prior": counts / max(counts.sum(), 1),
        "majority": np.eye(num_labels)[int(counts.argmax())],
    }
    levels = {}
    for strategy, guess in strategies.items():
        scores = metrics_from_confusion_matrix(counts[:, None] * guess[None])
        levels[strategy] = {name: scores[name] for name in SCALAR_METRICS}
    return levels


def mean_and_deviation(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Summarise the scalar metrics of several seeds.

    Args:
        runs (`Sequence[Mapping]`): Results of [`classification_metrics`], one per seed.

    Returns:
        `dict`: Per name in `SCALAR_METRICS` the `mean` and the sample `std` (0 for a single run).
    """
    summary = {}
    for name in SCALAR_METRICS:
        values = np.array([run[name] for run in runs], dtype=np.float64)
        summary[name] = {"mean": float(values.mean()), "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0}
    return summary


def _scores(matrices: NDArray[np.float64], absent_classes: AbsentClasses) -> dict[str, NDArray[np.float64]]:
    """Metrics of a stack of confusion matrices of shape (num_matrices, num_labels, num_labels)."""
    true_positives = np.diagonal(matrices, axis1=1, axis2=2)
    truth, predicted = matrices.sum(axis=2), matrices.sum(axis=1)
    total = truth.sum(axis=1)
    occurs = truth + predicted > 0
    f1 = _divide(2 * true_positives, truth + predicted)
    recall = _divide(true_positives, truth)
    num_labels = matrices.shape[1]
    f1_classes = occurs.sum(axis=1) if absent_classes == "skip" else num_labels
    recall_classes = (truth > 0).sum(axis=1) if absent_classes == "skip" else num_labels
    return {
        "accuracy": true_positives.sum(axis=1) / total,
        "uf1": f1.sum(axis=1) / f1_classes,
        "uar": recall.sum(axis=1) / recall_classes,
        "f1_weighted": (truth * f1).sum(axis=1) / total,
        "f1_per_class": f1,
        "recall_per_class": recall,
    }


def _divide(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)


def _class_indices(values: ArrayLike, num_labels: int, name: str) -> NDArray[np.int64]:
    """Check a vector of class indices."""
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() >= num_labels:
        raise ValueError(
            f"{name} must be a vector of class indices from 0 to {num_labels - 1}, but have shape {array.shape}, "
            f"dtype {array.dtype} and range [{array.min()}, {array.max()}]; map class names to indices first."
        )
    return array.astype(np.int64)
