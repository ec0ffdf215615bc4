"""Calibration of classifiers: calibration error, temperature scaling, and the score below which nothing moved."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

Probabilities = NDArray[np.float64]

# Bins of equal width in the error; its usual number.
NUM_BINS = 15
# Digits of weights behind the point.
DIGITS = 4
# Temperatures that are searched.
TEMPERATURES = (0.05, 20.0)


def expected_calibration_error(probabilities: Probabilities, labels: Sequence[int], num_bins: int = NUM_BINS) -> float:
    """Return the mean distance between confidence and accuracy (`float` in [0, 1]; arXiv 1706.04599, eq. 3).

    Args:
        probabilities (`np.ndarray` of shape `(num_clips, num_labels)`): rows sum to 1.
        labels (`Sequence[int]`): true classes.
        num_bins (`int`, *optional*, defaults to 15): bins of equal width, by the highest probability.

    Raises:
        ValueError: no clip, or numbers of clips that differ.
    """
    truth = _checked(probabilities, labels)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    # |sum of confidence - sum of right| of each bin, over all clips.
    gaps = np.bincount(place, weights=confidence - right, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(truth))


def at_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Divide the scores behind probabilities by a temperature.

    Args:
        probabilities (`np.ndarray` of shape `(num_clips, num_labels)`): rows sum to 1.
        temperature (`float`): above 1 makes them more alike, below 1 less.

    Returns:
        `np.ndarray` of the same shape.
    """
    scores = np.log(np.clip(probabilities, 1e-300, None)) / temperature
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    calibrated: Probabilities = raised / raised.sum(axis=1, keepdims=True)
    return calibrated


def best_temperature(probabilities: Probabilities, labels: Sequence[int]) -> float:
    """Return the temperature of the least negative log-likelihood (`float`; arXiv 1706.04599, section 4.2).

    Args:
        probabilities (`np.ndarray` of shape `(num_clips, num_labels)`): of people on whom nothing was trained.
        labels (`Sequence[int]`): true classes.

    Raises:
        ValueError: no clip, or numbers of clips that differ.
    """
    truth = _checked(probabilities, labels)

    def loss(logarithm: float) -> float:
        chosen = at_temperature(probabilities, float(np.exp(logarithm)))[np.arange(len(truth)), truth]
        return float(-np.log(np.clip(chosen, 1e-300, None)).mean())

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def movement_weights(
    moving: NDArray[np.float64], still: NDArray[np.float64], kept: Sequence[NDArray[np.float64]], share_lost: float
) -> list[float]:
    """Fit a logistic regression that tells clips with a movement from clips without one.

    Args:
        moving (`np.ndarray` of shape `(num_clips, num_values)`): evidence of clips with a movement.
        still (`np.ndarray` of shape `(num_clips, num_values)`): evidence of clips without one.
        kept (`Sequence[np.ndarray]`): evidence of clips with a movement, in groups of the same form.
        share_lost (`float`): share of the clips of each group that may score below 0, in [0, 1).

    Returns:
        `list[float]`: a weight per value, then the constant, so large that no group loses a larger share; all of four
            digits behind the point.

    Raises:
        ValueError: no clip of one kind, or no group.
    """
    if not len(moving) or not len(still) or not kept:
        raise ValueError(
            f"to tell movements from rest both are needed, but got {len(moving)} clips with a movement in {len(kept)} "
            f"groups and {len(still)} without one; give more recordings."
        )
    values = np.concatenate([moving, still])
    # Scaled, because the regularization should not depend on the units of the values.
    scaler = StandardScaler().fit(values)
    regression = LogisticRegression(max_iter=1000)
    regression.fit(scaler.transform(values), np.arange(len(values)) < len(moving))
    weights = np.round(regression.coef_[0] / scaler.scale_, DIGITS)
    # `lower`, because a value between two clips would lose one clip more.
    least = min(float(np.quantile(group @ weights, share_lost, method="lower")) for group in kept)
    step = 10.0**-DIGITS
    return [*weights.tolist(), round(math.ceil(-least / step) * step, DIGITS)]


def _checked(probabilities: Probabilities, labels: Sequence[int]) -> NDArray[np.int64]:
    truth = np.asarray(labels, dtype=np.int64)
    if not len(truth) or len(probabilities) != len(truth):
        raise ValueError(
            f"calibration needs one label per row of probabilities, but got {len(truth)} labels and "
            f"{len(probabilities)} rows; give clips whose class is known."
        )
    return truth
