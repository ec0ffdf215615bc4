"""Recognition metrics of a confusion matrix in NumPy, and chance levels.

Recognition metrics are computed once, from the confusion matrix of all held-out clips pooled over folds (evaluation
guideline of the Micro-Expression Grand Challenge 2019). Averages of per-fold F1 or recall are not offered, because
most folds lack some class.

Classes that do not occur. F1 of a class that is absent from truth and predictions is 0/0, and so is the recall of a
class absent from truth. Here these values are 0 and stay in the mean, as in scikit-learn with
`labels=range(num_labels), zero_division=0`: the figure then never rises because a class was lost, and it always refers
to the same number of classes. The other convention of the field, the mean over the classes that occur (scikit-learn's
`balanced_accuracy_score`), agrees on every full corpus, where all classes do.

`METRICS` is the one list of metrics: each entry is used by results.json, the report, the comparison of runs, the model
card, intervals and chance levels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class ClassCounts:
    """Counts and class scores of a stack of confusion matrices, the input of metrics.

    Args:
        truth (`np.ndarray` of shape `(num_matrices, num_labels)`): Clips of each class.
        predicted (`np.ndarray` of the same shape): Clips that were predicted to be of each class.
        right (`np.ndarray` of the same shape): Clips of each class that were predicted right.
    """

    truth: Counts
    predicted: Counts
    right: Counts

    @classmethod
    def of(cls, matrices: Counts) -> Self:
        """Count a stack of confusion matrices of shape `(num_matrices, num_labels, num_labels)`, rows are truth."""
        return cls(matrices.sum(axis=2), matrices.sum(axis=1), np.diagonal(matrices, axis1=1, axis2=2))

    @cached_property
    def f1(self) -> Counts:
        """F1 of each class, 0 where undefined (`np.ndarray` of shape `(num_matrices, num_labels)`)."""
        return _divide(2 * self.right, self.truth + self.predicted)

    @cached_property
    def recall(self) -> Counts:
        """Recall of each class, 0 where undefined (`np.ndarray` of shape `(num_matrices, num_labels)`)."""
        return _divide(self.right, self.truth)

    @property
    def num_clips(self) -> Counts:
        """Number of clips (`np.ndarray` of shape `(num_matrices,)`)."""
        count: Counts = self.truth.sum(axis=1)
        return count


@dataclass(frozen=True)
class Metric:
    """One figure of a confusion matrix.

    Args:
        title (`str`): Name in reports.
        hub_type (`str`): Metric type of the Hub's model index.
        score (`Callable[[ClassCounts], np.ndarray]`): From counts to one value in [-1, 1] per matrix, the higher the
            better.
    """

    title: str
    hub_type: str
    score: Callable[[ClassCounts], Counts]


METRICS: Mapping[str, Metric] = {
    "uf1": Metric("UF1", "f1", lambda counts: counts.f1.mean(axis=1)),
    "uar": Metric("UAR", "recall", lambda counts: counts.recall.mean(axis=1)),
    "accuracy": Metric("Accuracy", "accuracy", lambda counts: _divide(counts.right.sum(axis=1), counts.num_clips)),
    "f1_weighted": Metric(
        "Weighted F1",
        "f1",
        lambda counts: _divide((counts.truth * counts.f1).sum(axis=1), counts.num_clips),
    ),
}


# Metric by which runs are compared.
HEADLINE = "uf1"


@dataclass(frozen=True)
class Figures:
    """The recognition metrics of held-out clips; `figures["uf1"]` is one of them.

    Args:
        values (`dict[str, float]`): By name in `METRICS`, in [-1, 1].
        f1_per_class (`list[float]`): One per class, 0 where undefined.
        recall_per_class (`list[float]`): One per class, 0 where undefined.
        confusion_matrix (`list[list[int]]`): Rows are truth, columns are predictions.
    """

    values: dict[str, float]
    f1_per_class: list[float]
    recall_per_class: list[float]
    confusion_matrix: list[list[int]]

    @classmethod
    def of(cls, matrix: ArrayLike) -> Self:
        """Compute the metrics of a pooled confusion matrix.

        Args:
            matrix (`array-like` of shape `(num_labels, num_labels)`): Rows are truth; fractional (expected) counts are
                allowed.

        Raises:
            ValueError: If the matrix is not square, holds a negative count or no clip.
        """
        counts = np.asarray(matrix)
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.min() < 0 or counts.sum() <= 0:
            raise ValueError(
                "a confusion matrix must be square, without negative counts, and hold at least one clip, but its "
                f"shape is {counts.shape} and its sum {counts.sum()}; build it with confusion_matrix()."
            )
        classes = ClassCounts.of(counts[None].astype(np.float64))
        return cls(
            values={name: float(metric.score(classes)[0]) for name, metric in METRICS.items()},
            f1_per_class=classes.f1[0].tolist(),
            recall_per_class=classes.recall[0].tolist(),
            confusion_matrix=counts.tolist(),
        )

    @classmethod
    def mean(cls, runs: Sequence["Figures"]) -> Self:
        """Return the mean over seeds of every figure and the sum of the confusion matrices."""
        return cls(
            values={name: float(np.mean([run[name] for run in runs])) for name in METRICS},
            f1_per_class=np.mean([run.f1_per_class for run in runs], axis=0).tolist(),
            recall_per_class=np.mean([run.recall_per_class for run in runs], axis=0).tolist(),
            confusion_matrix=np.sum([run.confusion_matrix for run in runs], axis=0).tolist(),
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what [`Figures.to_dict`] returned, without computing it again."""
        values = {name: content[name] for name in METRICS}
        return cls(values, content["f1_per_class"], content["recall_per_class"], content["confusion_matrix"])

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def to_dict(self) -> dict[str, object]:
        """Return all figures by name (`dict`)."""
        return {
            **self.values,
            "f1_per_class": self.f1_per_class,
            "recall_per_class": self.recall_per_class,
            "confusion_matrix": self.confusion_matrix,
        }


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
    predicted = class_indices(predictions, num_labels, "predictions")
    true = class_indices(references, num_labels, "references")
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


def classification_metrics(predictions: ArrayLike, references: ArrayLike, num_labels: int) -> Figures:
    """Compute accuracy, UF1, UAR, weighted F1 and their parts once over all held-out clips.

    UF1 is the unweighted mean of F1 over classes (macro F1), UAR the unweighted mean of recall (balanced accuracy).

    Args:
        predictions (`array-like` of shape `(num_clips,)`): Predicted class indices, pooled over folds.
        references (`array-like` of shape `(num_clips,)`): True class indices in the same order.
        num_labels (`int`): Number of classes of the label set.

    Returns:
        `Figures`: See there.

    Raises:
        ValueError: As [`confusion_matrix`].
    """
    return Figures.of(confusion_matrix(predictions, references, num_labels))


def chance_level(class_counts: ArrayLike) -> dict[str, dict[str, float]]:
    """Compute the scores of guessing on clips of these classes, without any image.

    Args:
        class_counts (`array-like` of shape `(num_labels,)`): Clips of each true class.

    Returns:
        `dict`: For the strategies `"uniform"` (each class equally often), `"prior"` (each class as often as it is
            true) and `"majority"` (always the most frequent class, of equal ones the first) the `METRICS` of the
            expected confusion matrix.
    """
    counts = np.asarray(class_counts, dtype=np.float64)
    num_labels = len(counts)
    strategies = {
        "uniform": np.full(num_labels, 1 / num_labels),
        "prior": counts / counts.sum(),
        "majority": np.eye(num_labels)[int(counts.argmax())],
    }
    return {name: Figures.of(counts[:, None] * guess[None]).values for name, guess in strategies.items()}


def class_indices(values: ArrayLike, num_labels: int, name: str) -> NDArray[np.int64]:
    """Check a vector of class indices and return it (`np.ndarray`, int64).

    Raises:
        ValueError: If it is no vector of whole numbers in `[0, num_labels)`.
    """
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() >= num_labels:
        raise ValueError(
            f"{name} must be a vector of class indices from 0 to {num_labels - 1}, but have shape {array.shape}, "
            f"dtype {array.dtype} and range [{array.min()}, {array.max()}]; map class names to indices first."
        )
    return array.astype(np.int64)


def _divide(numerator: Counts, denominator: Counts) -> Counts:
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)
