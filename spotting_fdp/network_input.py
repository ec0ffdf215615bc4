"""What the spotting network reads: curves of motion in units of what is usual for the face, per moment.

Levels are taken over all runs of a window together, as in `spotting_fdp.intervals`, so that a window gives the same
input whatever the parts in which its curves came.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modeling_fdp.movement_directions_fdp import NUM_DIRECTIONS
from spotting_fdp.intervals import LEAST_SPREAD, bump, smooth
from spotting_fdp.motion_stream import Motion

Curves = NDArray[np.float32]
# Directions of what is no expression, which a network file holds: lids that blink, pupils to the right and below, and
# the head's yaw, pitch and roll, as far as they are left when the head is held still.
GROUPS = (NUM_LIDS, NUM_PUPILS, NUM_HEAD) = (4, 2, 3)
NUM_OTHERS = sum(GROUPS)
# Reaches in moments at which sizes of bumps are given: from expressions of a fifth of a second to four seconds.
SIZE_REACHES = (6, 9, 12, 16, 24, 54, 120)
# Smoothing of all curves and of the slow mean that is subtracted, and the reaches of the bumps from which the units
# are taken, all in moments. The prototype has these values, but for the slow mean (20).
SMOOTHING, SLOW, UNIT_REACH, LID_REACH = 1.0, 30.0, 12, 9
# A fixed unit of the motion of the whole face, so that the network sees how large a movement is.
FIXED_UNIT = 15.0
# Share of the largest bumps that is left out of the covariance of quiet, rounds of leaving out, and moments as which
# an equal spread in all directions counts, because a few seconds say little about a covariance.
LEFT_OUT, ROUNDS, MOMENTS_OF_EQUAL_SPREAD = 0.15, 3, 200
# Least quiet along one direction, and least median size of the bumps of a region, which has all directions: with less,
# blinks and twitches of somebody at rest would look as large as expressions, which reach about 100. Rendered people at
# rest have 2 to 8 along a direction, and 11 to 25 in a region.
LEAST_QUIET = 4.0
LEAST_SIZE = LEAST_QUIET * NUM_DIRECTIONS**0.5
LARGEST_INPUT = 6.0
NUM_INPUTS = 3 * NUM_DIRECTIONS + NUM_OTHERS + len(GROUPS) + 2 * len(SIZE_REACHES)


def network_input(runs: Sequence[Motion]) -> list[Curves]:
    """Input of the network for each run of one recording.

    Args:
        runs (`Sequence[Motion]`): With `NUM_OTHERS` extra curves.

    Returns:
        `list[np.ndarray]` of shapes `(NUM_INPUTS, num_moments)`: float32, at most `LARGEST_INPUT` in size: the
        directions of the whole face in a fixed unit and without their quiet covariance, those of the upper face and
        of the lids in their own unit, those of pupils and head in a fixed one, and logarithms of the sizes of bumps
        over their medians.
    """
    if not runs:
        return []
    whole = [smooth(run.whole, SMOOTHING) for run in runs]
    upper = [smooth(run.upper, SMOOTHING) for run in runs]
    others = [smooth(run.extra, SMOOTHING) for run in runs]
    lids, pupils, head = ([one[:, part] for one in others] for part in _parts())
    quick = [_bumps(curves, UNIT_REACH) for curves in (whole, upper)]
    alike = _whitening(np.concatenate(quick[0]))
    upper_unit = max(_median_size(quick[1]), LEAST_SIZE)
    lid_bumps = _bumps(lids, LID_REACH)
    lid_unit = max(float(np.sqrt(np.mean(np.concatenate(lid_bumps) ** 2))), LEAST_SPREAD)
    # Kept channels first, one list per group and in it one array per run.
    groups = [
        [_without_slow(one) / FIXED_UNIT for one in whole],
        [_without_slow(one) @ alike / 2 for one in whole],
        [_without_slow(one) * (1.5 / upper_unit) for one in upper],
        [_without_slow(one) / (2 * lid_unit) for one in lids],
        [_without_slow(one) for one in pupils],
        [_without_slow(one) for one in head],
        _log_sizes(lid_bumps, LEAST_SPREAD),
        *(_log_sizes(_bumps(group, LID_REACH), LEAST_SPREAD) for group in (pupils, head)),
        *(_log_sizes(_bumps(region, reach), LEAST_SIZE) for region in (whole, upper) for reach in SIZE_REACHES),
    ]
    return [
        np.concatenate(channels, axis=1).T.clip(-LARGEST_INPUT, LARGEST_INPUT).astype(np.float32)
        for channels in zip(*groups, strict=True)
    ]


def _parts() -> list[slice]:
    ends = np.cumsum(GROUPS).tolist()
    return [slice(end - count, end) for end, count in zip(ends, GROUPS, strict=True)]


def _bumps(curves: Sequence[Curves], reach: int) -> list[Curves]:
    return [bump(one, reach) for one in curves]


def _without_slow(curves: Curves) -> Curves:
    return curves - smooth(curves, SLOW)


def _median_size(bumps: Sequence[Curves]) -> float:
    return float(np.median(np.linalg.norm(np.concatenate(bumps), axis=1)))


def _log_sizes(bumps: Sequence[Curves], least: float) -> list[Curves]:
    usual = max(_median_size(bumps), least)
    return [np.log(np.linalg.norm(one, axis=1, keepdims=True) / usual + 0.1) for one in bumps]


def _whitening(bumps: Curves) -> NDArray[np.float64]:
    """Matrix `(num_directions, num_directions)` that makes quiet bumps `(num_moments, num_directions)` alike."""
    size = bumps.shape[1]
    values = bumps.astype(np.float64)
    equal = np.eye(size) * max(float(np.mean(values**2)), LEAST_SPREAD**2 / size)
    kept = values
    covariance = equal
    for _ in range(ROUNDS):
        covariance = (kept.T @ kept + MOMENTS_OF_EQUAL_SPREAD * equal) / (len(kept) + MOMENTS_OF_EQUAL_SPREAD)
        distances = np.einsum("td,de,te->t", values, np.linalg.inv(covariance), values)
        kept = values[distances <= np.quantile(distances, 1 - LEFT_OUT)]
        # The median of quiet is kept at that of a normal distribution, because the largest are left out.
        covariance *= float(np.median(distances)) / (size * (1 - 2 / (9 * size)) ** 3) + 1e-3
        equal = np.eye(size) * np.trace(covariance) / size
    spread, axes = np.linalg.eigh(covariance)
    least = max(1e-3 * spread[-1], LEAST_QUIET**2)
    whitening: NDArray[np.float64] = (axes / np.sqrt(np.maximum(spread, least))) @ axes.T
    return whitening
