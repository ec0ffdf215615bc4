"""Arithmetic of the evaluation, in NumPy: recognition, dynamic-image quality, rank quality, intervals and chance.

Recognition metrics are computed once, from the confusion matrix of all held-out clips pooled over folds (guideline of
MEGC 2019; fact sheet on corpora, section 12). Averages of per-fold F1 or recall are not offered: most folds lack some
class.

Classes that do not occur. F1 of a class that is absent from truth and predictions is 0/0, and so is the recall of a
class absent from truth. Here such a class counts as 0 and stays in the mean (`absent_classes="zero"`), as in
scikit-learn with `labels=range(num_labels), zero_division=0` and in the released MOL code: the figure can then never
rise because a class was lost, and it always refers to the same number of classes. The other habit of the field,
leaving the class out so that the mean runs over fewer classes (released STSTNet and HTNet code, scikit-learn's
`balanced_accuracy_score`), is `absent_classes="skip"`. On every full corpus all classes occur and both agree.

The `evaluate.Metric` classes around these functions are in `training_fdp.methods.hub_metrics`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

AbsentClasses = Literal["zero", "skip"]

SCALAR_METRICS = ("accuracy", "uf1", "uar", "f1_weighted")

# Wang et al. 2004: Gaussian window of 11x11 pixels with deviation 1.5, K1 = 0.01, K2 = 0.03.
_SSIM_SIGMA = 1.5
_SSIM_TRUNCATE = 3.5
_SSIM_RADIUS = int(_SSIM_TRUNCATE * _SSIM_SIGMA + 0.5)
_SSIM_K1, _SSIM_K2 = 0.01, 0.03


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


def structural_similarity(images: ArrayLike, references: ArrayLike, data_range: float = 1.0) -> NDArray[np.float64]:
    """Mean structural similarity (SSIM, Wang et al. 2004) of each image pair, Gaussian window of deviation 1.5.

    The window, the biased covariances and the border that is left out are those of scikit-image's
    `structural_similarity(..., gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`, which the tests
    compare with.

    Args:
        images (`array-like` of shape `(num_images, height, width)`): Images, both sides at least 11 pixels.
        references (`array-like` of the same shape): What they should look like.
        data_range (`float`, *optional*, defaults to 1.0): Distance between the lowest and highest possible value.

    Returns:
        `np.ndarray` of shape `(num_images,)`, float64, in [-1, 1].

    Raises:
        ValueError: If shapes differ or an image is smaller than the window.
    """
    image, reference = np.asarray(images, dtype=np.float64), np.asarray(references, dtype=np.float64)
    window = 2 * _SSIM_RADIUS + 1
    if image.shape != reference.shape or image.ndim != 3 or min(image.shape[1:]) < window:
        raise ValueError(
            f"SSIM needs two stacks (num_images, height, width) of one shape with sides of at least {window} pixels, "
            f"but got {image.shape} and {reference.shape}; resize or stack the images first."
        )

    def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(values, sigma=(0, _SSIM_SIGMA, _SSIM_SIGMA), truncate=_SSIM_TRUNCATE)

    mean_x, mean_y = blur(image), blur(reference)
    variance_x = blur(image * image) - mean_x * mean_x
    variance_y = blur(reference * reference) - mean_y * mean_y
    covariance = blur(image * reference) - mean_x * mean_y
    c1, c2 = (_SSIM_K1 * data_range) ** 2, (_SSIM_K2 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    inner = slice(_SSIM_RADIUS, -_SSIM_RADIUS)
    return (luminance * structure)[:, inner, inner].mean(axis=(1, 2))


def dynamic_image_quality(
    constructions: ArrayLike, targets: ArrayLike, mean_image: ArrayLike | None = None
) -> dict[str, float]:
    """Compare constructed dynamic images with their targets, beside two constructions that see no clip.

    The trivial ones are the constant 0.5 (no motion) and the mean image of the training targets. A construction earns
    its place only where it beats both.

    Args:
        constructions (`array-like` of shape `(num_clips, 1, height, width)` or `(num_clips, height, width)`): In [0,
            1].
        targets (`array-like` of the same shape): Dynamic images of the frames, in [0, 1].
        mean_image (`array-like` of shape `(height, width)` or `(1, height, width)`, *optional*): Mean of the
            **training** targets. Without it the mean of the given targets is used, which flatters this baseline, never
            the model.

    Returns:
        `dict`: `mse`, `psnr` (dB, of the mean squared error of each clip, averaged), `ssim`, and the same with the
            suffixes `_constant` and `_mean_image`. `psnr` is infinite where a construction is exact.
    """
    target = _image_stack(targets)
    constructed = _image_stack(constructions)
    mean = target.mean(axis=0) if mean_image is None else np.asarray(mean_image, dtype=np.float64).squeeze()
    candidates = {
        "": constructed,
        "_constant": np.full_like(target, 0.5),
        "_mean_image": np.broadcast_to(mean, target.shape),
    }
    quality: dict[str, float] = {}
    for suffix, images in candidates.items():
        similarity = structural_similarity(images, target)
        error = ((images - target) ** 2).mean(axis=(1, 2))
        with np.errstate(divide="ignore"):
            decibels = -10 * np.log10(error)
        quality[f"mse{suffix}"] = float(error.mean())
        quality[f"psnr{suffix}"] = float(decibels.mean())
        quality[f"ssim{suffix}"] = float(similarity.mean())
    return quality


def kendall_tau(rank_scores: ArrayLike) -> NDArray[np.float64]:
    """Kendall's tau-b between the rank scores of each clip and time.

    Args:
        rank_scores (`array-like` of shape `(num_clips, num_frames)`): One score per frame, in time order.

    Returns:
        `np.ndarray` of shape `(num_clips,)`, float64, in [-1, 1]: 1 where the scores rise throughout. A clip whose
            scores are all equal, where tau-b is undefined, gets 0: it tells nothing about time.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    scores = np.asarray(rank_scores, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(
            f"rank scores must have shape (num_clips, num_frames) with at least 2 frames, but have {scores.shape}; "
            "stack one row per clip."
        )
    earlier, later = np.triu_indices(scores.shape[1], k=1)
    order = np.sign(scores[:, later] - scores[:, earlier])
    untied = np.abs(order).sum(axis=1)
    return order.sum(axis=1) / np.sqrt(np.maximum(untied, 1) * len(earlier))


def rank_quality(rank_scores: ArrayLike) -> dict[str, float]:
    """Say how well rank scores follow time.

    Args:
        rank_scores (`array-like` of shape `(num_clips, num_frames)`): One score per frame, in time order.

    Returns:
        `dict`: `kendall_tau` (mean over clips), `kendall_tau_std`, `ordered_pairs` (share of frame pairs whose later
            frame scores higher).
    """
    tau = kendall_tau(rank_scores)
    scores = np.asarray(rank_scores, dtype=np.float64)
    earlier, later = np.triu_indices(scores.shape[1], k=1)
    return {
        "kendall_tau": float(tau.mean()),
        "kendall_tau_std": float(tau.std()),
        "ordered_pairs": float((scores[:, later] > scores[:, earlier]).mean()),
    }


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


def _image_stack(images: ArrayLike) -> NDArray[np.float64]:
    """Drop a single channel: (num, 1, height, width) -> (num, height, width)."""
    stack = np.asarray(images, dtype=np.float64)
    return stack[:, 0] if stack.ndim == 4 and stack.shape[1] == 1 else stack
