"""Intervals in curves: found where a hill is, not where nothing happens, and the same in a stream."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from evaluation_fdp.spotting import Expression, iou_of_intervals
from spotting_fdp.intervals import FoundInterval, IntervalFinder, bump, without_overlap
from spotting_fdp.motion_stream import Motion


def find(*motions, least=6.0):
    finder = IntervalFinder(least)
    found, activities = [], []
    for motion in motions:
        intervals, activity = finder.add(motion)
        found, activities = found + intervals, activities + activity
    intervals, activity = finder.finish()
    return found + intervals, activities + activity


def in_parts(motion, size):
    parts = (motion.between(at, at + size) for at in range(motion.first, motion.end, size))
    return [replace(part, continues=part.first > motion.first) for part in parts]


def motion_of(curves):
    """Curves of which the upper face is no other than the whole."""
    return Motion(0, curves, curves, curves[:, :0], False)


def overlap(found, onset, offset):
    return iou_of_intervals(Expression("", found.onset, found.offset), Expression("", onset, offset))


@pytest.mark.parametrize(("onset", "offset"), [(900, 912), (900, 921), (900, 930), (900, 990), (900, 1100)])
def test_a_hill_is_found_from_a_fifth_of_a_second_to_three_seconds(curves_with_hills, onset, offset):
    found, _ = find(curves_with_hills(1800, [(onset, offset, 150)]))
    assert len(found) == 1
    assert overlap(found[0], onset, offset) >= 0.5
    assert onset <= found[0].apex <= offset
    assert found[0].score > 6


def test_nothing_moves_and_nothing_is_found(curves_with_hills):
    still = np.zeros((1200, 16), np.float32)
    assert find(motion_of(still))[0] == []
    assert find(curves_with_hills(3600, []), least=8.0)[0] == []


def test_a_slow_drift_is_no_movement():
    drift = np.linspace(0, 3000, 1800, dtype=np.float32)[:, None].repeat(16, 1)
    assert find(motion_of(drift))[0] == []


def test_tiny_noise_of_a_still_recording_is_not_blown_up():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, (1800, 16)).astype(np.float32)
    noise[900:915] += 0.5
    assert find(motion_of(noise))[0] == []


def test_intervals_and_activity_are_the_same_in_a_stream(curves_with_hills):
    hills = [(second * 60, second * 60 + 20, 150) for second in range(5, 205, 10)]
    motion = curves_with_hills(12600, hills, first=30)
    found, activities = find(motion)
    for size in (60, 777):
        streamed, shown = find(*in_parts(motion, size))
        assert streamed == found
        assert np.array_equal(*(np.concatenate([one.scores for one in each]) for each in (shown, activities)))
    assert activities[0].first == 30
    assert sum(len(one.scores) for one in activities) == 12600
    hits = [any(overlap(one, 30 + onset, 30 + offset) >= 0.5 for one in found) for onset, offset, _ in hills]
    assert all(hits)
    assert all(one.offset < other.onset for one, other in pairwise(found))


def test_a_hill_across_the_border_of_two_windows_is_found_once(curves_with_hills):
    # Windows of 60 s: the border lies at moment 3600.
    motion = curves_with_hills(7200, [(3590, 3612, 150)])
    found, _ = find(*in_parts(motion, 120))
    assert len(found) == 1
    assert overlap(found[0], 3590, 3612) >= 0.5


def test_no_interval_crosses_an_interruption(curves_with_hills):
    motion = curves_with_hills(1800, [(890, 912, 150)])
    before, after = motion.between(0, 901), replace(motion.between(901, 1800), first=1000)
    found, activities = find(before, after, least=4.0)
    assert all(one.offset <= 900 or one.onset >= 1000 for one in found)
    assert [one.first for one in activities] == [0, 1000]


def test_while_the_mouth_talks_the_upper_face_is_judged(curves_with_hills):
    found, activities = find(curves_with_hills(1800, [(900, 922, 150)], talks=True))
    assert len(found) == 1 and found[0].talking
    assert overlap(found[0], 900, 922) >= 0.5
    assert activities[0].talking.mean() > 0.9
    quiet, shown = find(curves_with_hills(1800, [(900, 922, 150)]))
    assert not quiet[0].talking and not shown[0].talking.any()


def test_bump_by_hand():
    curve = np.array([[0.0], [1.0], [4.0], [1.0], [0.0]], np.float32)
    # 4 - (1 + 1) / 2 in the middle; nothing is known before the first moment and after the last.
    assert bump(curve, 1)[:, 0].tolist() == [0.0, -1.0, 3.0, -1.0, 0.0]
    assert bump(curve, 3)[:, 0].tolist() == [0.0] * 5


def test_the_better_one_of_two_overlapping_intervals_stays():
    best = FoundInterval(100, 110, 120, 9.0, False)
    assert without_overlap([FoundInterval(105, 112, 130, 5.0, False), best]) == [best]
    assert without_overlap([FoundInterval(105, 112, 130, 99.0, False)], [best]) == []
    # Two moments of twenty are shared: the better one keeps them.
    later = FoundInterval(119, 130, 140, 5.0, False)
    assert without_overlap([later, best]) == [best, replace(later, onset=121)]
    earlier = FoundInterval(81, 90, 101, 5.0, False)
    assert without_overlap([best, earlier]) == [best, replace(earlier, offset=99)]
