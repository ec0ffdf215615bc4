"""Measures of motion: pixels that are known, cuts, and intervals of curves drawn by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modeling_fdp.movement_measures_fdp import (
    find_cut,
    head_size,
    likeness,
    movement_interval,
    progress_of,
    skin_motion,
)

SIDE, NUM_FRAMES = 64, 16


def texture(seed=0):
    """A smooth random picture in [-1, 1], larger than a frame: (1, 1, 96, 96)."""
    noise = torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=96, mode="bicubic", align_corners=False).clamp(-2, 2) / 2


def moved(field):
    """Frames whose pixels are displaced by a field (num_frames, 2, SIDE, SIDE) of pixels."""
    picture = texture().expand(len(field), -1, -1, -1)
    place = torch.arange(SIDE) + 16.5
    x = (place - field[:, 0]) / 48 - 1
    y = (place[:, None] - field[:, 1]) / 48 - 1
    return F.grid_sample(picture, torch.stack([x, y], -1), mode="bicubic", align_corners=False)[:, 0]


def bump(size):
    """Motion to the right within a blob under the middle, by `size` pixels: (2, SIDE, SIDE)."""
    place = torch.arange(SIDE) - 31.5
    blob = torch.exp(-0.5 * (((place[:, None] - 8) / 7) ** 2 + (place / 7) ** 2))
    return torch.stack([size * blob, torch.zeros_like(blob)])


PULSE = torch.sin(torch.linspace(0, torch.pi, NUM_FRAMES))


def test_the_motion_of_the_skin_is_measured_in_pixels():
    curve = skin_motion(moved(torch.stack([bump(1.5 * float(level)) for level in PULSE])), [0])
    assert curve[0] == 0 and int(curve.argmax()) in (7, 8)
    # The blob's strongest cells move by 1.2 pixels in the root mean square; the head's affine fit takes some of it.
    assert 0.7 < curve.max() < 1.3
    half = skin_motion(moved(torch.stack([bump(0.75 * float(level)) for level in PULSE])), [0])
    assert half.max() == pytest.approx(curve.max() / 2, rel=0.15)


@pytest.mark.parametrize("size", [2, 6])
def test_a_shift_of_the_head_is_no_motion_of_the_skin(size):
    shift = torch.zeros(NUM_FRAMES, 2, SIDE, SIDE)
    shift[:, 0] = (size * PULSE)[:, None, None]
    frames = moved(shift)
    assert head_size(frames) == pytest.approx(size, rel=0.2)
    assert skin_motion(frames, [0]).max() < 0.3
    assert head_size(moved(torch.stack([bump(1.5 * float(level)) for level in PULSE]))) < 1


def test_a_turn_of_the_head_in_the_image_is_its_motion_as_well():
    place = torch.arange(SIDE) - 31.5
    turn = torch.stack([-place[:, None].expand(SIDE, SIDE), place.expand(SIDE, SIDE)])
    frames = moved(0.06 * PULSE[:, None, None, None] * turn)
    # Pixels turn by 0.06 of their distance from the middle: 0.06 * sqrt(2) * the window's deviation of 64 / 5 pixels.
    assert head_size(frames) == pytest.approx(0.06 * 2**0.5 * 12.8, rel=0.15)
    assert skin_motion(frames, [0]).max() < 0.3


def test_the_mean_of_the_frames_at_rest_lowers_noise():
    noise = 0.03 * torch.randn(NUM_FRAMES, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    frames = texture()[0, :, 16:80, 16:80] + noise
    assert skin_motion(frames, [0, 1, 2, 3])[4:].mean() < 0.9 * skin_motion(frames, [0])[4:].mean()


def test_progress_and_interval_of_a_curve_drawn_by_hand():
    curve = np.array([0.0, 0.2, 0.2, 0.7, 1.2, 0.9, 0.3, 0.2])
    progress = progress_of(curve)
    assert progress == pytest.approx([0, 0, 0, 0.5, 1, 0.7, 0.1, 0])
    assert movement_interval(progress) == (2, 4, 6)
    # A movement that is not shown whole has its ends at those of the clip.
    assert movement_interval(progress_of(np.array([0.0, 1.0, 2.0, 3.0]))) == (1, 3, 3)
    assert movement_interval(progress_of(np.array([3.0, 2.5, 1.0, 0.0, 0.5]))) == (0, 0, 2)
    assert not progress_of(np.full(5, 0.4)).any()


def test_a_cut_is_told_from_movement_light_and_a_moving_head():
    frames = moved(torch.stack([bump(3 * float(level)) for level in PULSE]))
    other = texture(9)[0, :, 16:80, 16:80].expand(NUM_FRAMES, -1, -1)
    assert find_cut(frames) is None
    assert (
        find_cut(0.5 * frames - 0.3) is None and find_cut(frames * torch.linspace(1, 0.4, 16)[:, None, None]) is None
    )
    assert find_cut(torch.cat([frames[:6], other[6:]])) == 5
    assert find_cut(torch.cat([frames[:6], torch.full_like(other[6:], -1)])) == 5
    assert find_cut(torch.zeros(5, SIDE, SIDE)) is None
    # Frames of which none is like the next one are no clip with a cut.
    assert find_cut(torch.randn(NUM_FRAMES, SIDE, SIDE, generator=torch.Generator().manual_seed(2))) is None


def test_the_likeness_of_flat_frames_is_defined():
    flat, face = torch.zeros(SIDE, SIDE), texture()[0, 0, :SIDE, :SIDE]
    assert likeness(torch.stack([flat, flat, face, face])).tolist() == pytest.approx([1, 0, 1])
