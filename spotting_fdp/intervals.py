"""From curves of motion to intervals of expressions, in bounded memory.

At four reaches, the mean of the curve one reach before and after each moment is subtracted from the curve at that
moment (`bump`), and the size of this difference is compared with its median and lower spread in the recording. From a
peak, the curve along the peak's own direction is followed down to 15% on both sides, which are onset and offset.
Nothing is trained; reaches and shares are our choice, made on rendered people on whom no figure of
docs/results/spotting.md was measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, median_filter

from spotting_fdp.motion_stream import RATE, Motion

Curves = NDArray[np.float32]
# Reaches in moments, half the lengths of expressions: micro-expressions of about a third of a second to
# macro-expressions of four seconds.
REACHES = (10, 24, 54, 120)
# Standard deviations of smoothing in moments: of curves; of the size and of the direction of bumps at the shortest
# reach, in proportion at longer ones.
SMOOTHING, SIZE_SMOOTHING, DIRECTION_SMOOTHING = 1.2, 3.0, 2.0
# Onset and offset are where the curve has fallen to `LEVEL` of its height, at most `FARTHEST` reaches from the apex.
LEVEL, FARTHEST = 0.15, 2.2
# Of two intervals whose overlap is more than this share of the shorter one, the one of the lower score is left out.
MOST_SHARED = 0.1
# Moments are judged in windows of `WINDOW`, by median and spread over the window, as many moments before it and up to
# `MARGIN` moments after it.
WINDOW, MARGIN = 60 * RATE, 6 * RATE
# Least spread, because in a perfectly still recording noise would otherwise count as movement: a fifth of the spread
# of rendered people at rest (4 to 7).
LEAST_SPREAD = 1.0
# The mouth talks where, over three seconds, the whole face moves more than `TALKING_RATIO` times as much as its upper
# part. Rendered people at rest have ratios up to 1.42, talking ones 2.0 to 3.3.
TALKING_RATIO, TALKING_SPAN = 1.7, 3 * RATE + 1


@dataclass(frozen=True)
class FoundInterval:
    """An interval in which a face moves as in an expression.

    Args:
        onset, apex, offset (`int`): Moments, `RATE` a second, from the start of the recording.
        score (`float`): Its peak, in robust standard deviations above the recording's median.
        talking (`bool`): Whether the mouth talks around the apex; only the upper face was then judged.
    """

    onset: int
    apex: int
    offset: int
    score: float
    talking: bool


@dataclass(frozen=True)
class Activity:
    """Scores of the moments of a stretch.

    Args:
        first (`int`): Number of the first moment.
        scores (`np.ndarray` of shape `(num_moments,)`): float32, the largest of the scores at all reaches.
        talking (`np.ndarray` of shape `(num_moments,)`): bool.
    """

    first: int
    scores: Curves
    talking: NDArray[np.bool_]


class ScoredRun(Protocol):
    """Scores of the moments of one run of curves."""

    def intervals(self, least_score: float) -> list[FoundInterval]:
        """Intervals of at least this score, without overlaps; best first."""

    def activity(self, since: int, until: int) -> Activity:
        """Activity of the moments from `since` to before `until`."""


class IntervalFinder:
    """Finds intervals in curves that are passed in parts.

    Args:
        least_score (`float`): Least score of an interval, see `spotting_fdp.thresholds`.
        score_runs (`Callable`, *optional*, defaults to `judge_runs`): Scores all runs of a window together.
    """

    def __init__(
        self,
        least_score: float,
        score_runs: Callable[[Sequence[Motion]], Sequence[ScoredRun]] | None = None,
    ) -> None:
        self.least_score = least_score
        self._score_runs = judge_runs if score_runs is None else score_runs
        self._runs: list[Motion] = []
        self._judged_to = 0
        self._last: list[FoundInterval] = []

    def add(self, motion: Motion) -> tuple[list[FoundInterval], list[Activity]]:
        """Add the next curves of the recording.

        Args:
            motion (`Motion`): Curves that follow those of the call before in time.

        Returns:
            `tuple`: intervals in time order, and activity of moments; no later curves change either.
        """
        if motion.continues and self._runs:
            self._runs[-1] = self._runs[-1].followed_by(motion)
        else:
            self._runs.append(motion)
        intervals: list[FoundInterval] = []
        activities: list[Activity] = []
        while motion.end - self._judged_to >= WINDOW + MARGIN:
            found, activity = self._judge(self._judged_to + WINDOW)
            intervals, activities = intervals + found, activities + activity
        return intervals, activities

    def finish(self) -> tuple[list[FoundInterval], list[Activity]]:
        """Return the intervals and the activity of the moments that `add` has not returned yet."""
        if not self._runs:
            return [], []
        return self._judge(self._runs[-1].end)

    def _judge(self, until: int) -> tuple[list[FoundInterval], list[Activity]]:
        """Judge the moments up to `until` by all curves in memory, and drop curves that no later window needs."""
        since, self._judged_to = self._judged_to, until
        judged = self._score_runs([run.between(0, until + MARGIN) for run in self._runs])
        found = [one for run in judged for one in run.intervals(self.least_score) if since <= one.apex < until]
        # An interval on the border of two windows may be found in both.
        new = sorted(without_overlap(found, self._last), key=lambda one: one.onset)
        self._last = new[-3:] or self._last
        activities = [run.activity(since, until) for run in judged]
        kept = (run.between(until - WINDOW, run.end) for run in self._runs)
        self._runs = [run for run in kept if len(run)]
        return new, [activity for activity in activities if len(activity.scores)]


@dataclass(frozen=True)
class _Region:
    """Curves of a region of the face in one run, and the bumps and scores of these curves at each reach."""

    curves: Curves
    bumps: list[Curves]
    scores: list[Curves]


@dataclass(frozen=True)
class JudgedRun:
    """Scores of the moments of one run.

    Args:
        first (`int`): Number of its first moment.
        regions (`tuple` of two): Whole face and upper face.
        talking (`np.ndarray` of shape `(num_moments,)`): bool; moments at which the upper face alone is judged.
    """

    first: int
    regions: tuple[_Region, _Region]
    talking: NDArray[np.bool_]

    def scores_at(self, reach_index: int) -> Curves:
        """Scores of all moments at a reach, float32 `(num_moments,)`."""
        whole, upper = (region.scores[reach_index] for region in self.regions)
        return np.where(self.talking, upper, whole)

    def activity(self, since: int, until: int) -> Activity:
        """Activity of the moments from `since` to before `until`."""
        scores = np.max([self.scores_at(index) for index in range(len(REACHES))], axis=0)
        part = slice(max(since - self.first, 0), max(until - self.first, 0))
        return Activity(max(self.first, since), scores[part], self.talking[part])

    def intervals(self, least_score: float) -> list[FoundInterval]:
        """Intervals around all peaks of at least this score, without overlaps; best first."""
        found = []
        for index, reach in enumerate(REACHES):
            scores = self.scores_at(index)
            highest = maximum_filter1d(scores, 2 * round(1.5 * reach) + 1, mode="nearest")
            for peak in np.flatnonzero((scores >= highest) & (scores >= least_score)).tolist():
                region = self.regions[int(self.talking[peak])]
                onset, apex, offset = (
                    self.first + moment for moment in _walk_down(region.curves, region.bumps[index][peak], peak, reach)
                )
                talking = bool(self.talking[peak])
                found.append(FoundInterval(onset, apex, offset, float(scores[peak]), talking))
        return without_overlap(found)


def judge_runs(runs: Sequence[Motion]) -> list[JudgedRun]:
    """Compare every moment with median and spread over all runs together.

    Args:
        runs (`Sequence[Motion]`): Curves of one recording, each measured without an interruption.

    Returns:
        `list[JudgedRun]`: One per run.
    """
    whole = [smooth(run.whole, SMOOTHING) for run in runs]
    upper = [smooth(run.upper, SMOOTHING) for run in runs]
    talking = [mouth_talks(*curves) for curves in zip(whole, upper, strict=True)]
    regions = zip(_judge_region(whole, [~mask for mask in talking]), _judge_region(upper, talking), strict=True)
    return [JudgedRun(run.first, both, mask) for run, both, mask in zip(runs, regions, talking, strict=True)]


def _judge_region(curves: list[Curves], counted: list[NDArray[np.bool_]]) -> list[_Region]:
    """Scores of one region of the face; median and spread are those of the counted moments alone."""
    regions = [_Region(one, [], []) for one in curves]
    for reach in REACHES:
        longer = reach / REACHES[0]
        bumps = [bump(one, reach) for one in curves]
        # Moments less than a reach from an end have no bump and keep the score 0.
        inner = [slice(reach, max(len(one) - reach, reach)) for one in curves]
        sizes = [
            smooth(np.linalg.norm(one[part], axis=1), SIZE_SMOOTHING * longer)
            for one, part in zip(bumps, inner, strict=True)
        ]
        usual = [size[mask[part]] for size, mask, part in zip(sizes, counted, inner, strict=True)]
        middle, spread = _usual(np.concatenate(usual))
        for region, one, size, part in zip(regions, bumps, sizes, inner, strict=True):
            region.bumps.append(smooth(one, DIRECTION_SMOOTHING * longer))
            region.scores.append(np.zeros(len(one), np.float32))
            region.scores[-1][part] = (size - middle) / spread
    return regions


def bump(curves: Curves, reach: int) -> Curves:
    """Subtract the mean of the moments `reach` before and after each moment from it.

    Args:
        curves (`np.ndarray` of shape `(num_moments, num_curves)`): float32.
        reach (`int`): Moments.

    Returns:
        `np.ndarray` of the same shape: 0 on a straight line, and less than `reach` moments from an end.
    """
    answer = np.zeros_like(curves)
    if len(curves) > 2 * reach:
        answer[reach:-reach] = curves[reach:-reach] - (curves[: -2 * reach] + curves[2 * reach :]) / 2
    return answer


def without_overlap(found: Sequence[FoundInterval], kept: Sequence[FoundInterval] = ()) -> list[FoundInterval]:
    """Leave out the intervals that overlap one of `kept` or one of a higher score by more than `MOST_SHARED`.

    Args:
        found (`Sequence[FoundInterval]`): In any order.
        kept (`Sequence[FoundInterval]`, *optional*): Intervals that were returned already and do not change.

    Returns:
        `list[FoundInterval]`: Intervals of `found` that remain, best first; moments in two of them belong to the
        better one.
    """
    chosen: list[FoundInterval] = []
    for one in sorted(found, key=lambda one: (-one.score, one.onset)):
        onset, offset = one.onset, one.offset
        for other in (*kept, *chosen):
            shared = min(offset, other.offset) - max(onset, other.onset) + 1
            if shared <= 0:
                continue
            shorter = min(offset - onset, other.offset - other.onset) + 1
            if shared > MOST_SHARED * shorter or other.onset <= one.apex <= other.offset:
                break
            onset, offset = (other.offset + 1, offset) if other.onset < one.apex else (onset, other.onset - 1)
        else:
            chosen.append(replace(one, onset=onset, offset=offset))
    return chosen


def _walk_down(curves: Curves, direction: NDArray[np.float32], peak: int, reach: int) -> tuple[int, int, int]:
    """Onset, apex and offset around a peak, on the curve along its direction."""
    curve = curves @ (direction / max(float(np.linalg.norm(direction)), 1e-9))
    near, far = max(0, peak - reach // 2), round(FARTHEST * reach)
    apex = near + int(curve[near : peak + reach // 2 + 1].argmax())
    sides = curve[max(0, apex - far) : apex + 1][::-1], curve[apex : apex + far + 1]
    onset, offset = (int(np.flatnonzero(side <= side.min() + LEVEL * (side[0] - side.min()))[0]) for side in sides)
    return apex - onset, apex, apex + offset


def _usual(sizes: NDArray[np.float32]) -> tuple[float, float]:
    """Median and spread of sizes; the spread from their lower half, because movements are in the upper one."""
    if not len(sizes):
        return 0.0, LEAST_SPREAD
    low, middle = np.quantile(sizes, (0.1, 0.5))
    # A normal distribution has its tenth percentile 1.28 standard deviations below the median.
    return float(middle), max(float(middle - low) / 1.2816, LEAST_SPREAD)


def mouth_talks(whole: Curves, upper: Curves) -> NDArray[np.bool_]:
    """Moments at which the mouth talks: bool `(num_moments,)`."""
    sizes = [np.linalg.norm(bump(curves, REACHES[0]), axis=1) for curves in (whole, upper)]
    usual = [median_filter(size, TALKING_SPAN, mode="nearest") for size in sizes]
    talking: NDArray[np.bool_] = usual[0] > TALKING_RATIO * usual[1] + LEAST_SPREAD
    return talking


def smooth(values: Curves, deviation: float) -> Curves:
    """Gaussian of this standard deviation, in moments, over float32 `(num_moments, ...)`."""
    answer: Curves = gaussian_filter1d(values, deviation, axis=0, mode="nearest")
    return answer
