"""Curves of motion: the same however the recording is cut into parts, at one rate whatever the camera's."""

import numpy as np
import pytest
import torch

from spotting_fdp.face_stream import FacePart
from spotting_fdp.motion_stream import RATE, MotionStream


def stream(crops, fps, size, first=0):
    """All curves of crops that come `size` frames at a time."""
    motion = MotionStream(fps)
    answer = []
    for start in range(0, len(crops), size):
        answer += motion.add(FacePart(first + start, (crops[start : start + size],), start > 0))
    return answer + motion.finish()


def joined(motions):
    position = motions[0].first
    for motion in motions:
        assert motion.first == position
        position += len(motion.whole)
    assert [motion.continues for motion in motions] == [False] + [True] * (len(motions) - 1)
    return np.concatenate([motion.whole for motion in motions])


@pytest.mark.parametrize("fps", [60.0, 25.0, 59.94, 200.0])
def test_curves_do_not_depend_on_the_size_of_parts(moving_crops, fps):
    crops = moving_crops(np.sin(np.arange(420) / 15))
    whole = joined(stream(crops, fps, 420, first=60))
    for size in (37, 3):
        motions = stream(crops, fps, size, first=60)
        assert motions[0].first == pytest.approx(60 / fps * RATE, abs=1)
        assert np.array_equal(joined(motions), whole)
    assert len(whole) == pytest.approx(420 / fps * RATE, abs=3)


def test_a_still_face_does_not_move(moving_crops):
    curves = joined(stream(moving_crops(np.zeros(300)), 60.0, 100))
    assert np.abs(curves).max() < 1e-3


def test_a_movement_shows_when_it_happens_and_nowhere_else(moving_crops):
    shifts = np.zeros(480)
    shifts[300:331] = 2 * np.sin(np.pi * np.arange(31) / 30) ** 2
    curves = joined(stream(moving_crops(shifts), 60.0, 100))
    size = np.linalg.norm(curves - np.median(curves, axis=0), axis=1)
    assert abs(int(size.argmax()) - 315) <= 2
    assert size[:280].max() < 0.1 * size.max()
    assert size[360:].max() < 0.1 * size.max()


def test_motion_continues_across_blocks(moving_crops):
    # A slow slide over many blocks of two seconds: no step where they join.
    curves = joined(stream(moving_crops(np.linspace(0, 2, 600)), 60.0, 600))
    steps = np.linalg.norm(np.diff(curves, axis=0), axis=1)
    assert np.linalg.norm(curves[-1] - curves[0]) > 10 * steps.max()


def test_the_upper_face_leaves_the_mouth_out(moving_crops):
    shifts = np.zeros(200)
    shifts[90:121] = 2 * np.sin(np.pi * np.arange(31) / 30) ** 2
    motions = stream(moving_crops(shifts), 60.0, 200)
    whole, upper = (np.concatenate([getattr(motion, name) for motion in motions]) for name in ("whole", "upper"))
    assert np.ptp(upper, axis=0).max() < 0.5 * np.ptp(whole, axis=0).max()


def test_an_interruption_starts_new_curves(moving_crops):
    crops = moving_crops(np.zeros(100))
    motion = MotionStream(60.0)
    first = motion.add(FacePart(0, (crops,), False))
    second = motion.add(FacePart(160, (crops,), False)) + motion.finish()
    assert first == []
    assert [one.first for one in second] == [0, 160]
    assert not any(one.continues for one in second)


def test_a_few_frames_show_no_movement():
    motion = MotionStream(60.0)
    assert motion.add(FacePart(0, (torch.zeros(5, 64, 64, dtype=torch.uint8),), False)) == []
    assert motion.finish() == []
