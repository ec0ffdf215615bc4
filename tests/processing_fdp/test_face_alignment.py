"""Crops: geometry against hand-made truth, resampling against what must not change."""

import math

import numpy as np
import pytest
import torch

from processing_fdp.alignment_settings_fdp import AlignmentSettings
from processing_fdp.clip_alignment_fdp import align_clip
from processing_fdp.clip_reading_fdp import open_frames
from processing_fdp.crop_geometry_fdp import (
    BORDER_VALUE,
    AlignmentError,
    crop_transform,
    frame_transform,
    resize_frames,
    warp_frames,
)
from processing_fdp.frame_arrays_fdp import FrameArray
from processing_fdp.video_processing_fdp import FDPVideoProcessor

FACE = np.array([[270.0, 200], [370, 207], [320, 250], [280, 300], [360, 303]])


def textured(count=1, height=120, width=160, seed=0):
    random = np.random.default_rng(seed)
    coarse = torch.from_numpy(random.integers(0, 256, (count, 1, height // 8, width // 8)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    return smooth[:, 0].clamp(0, 255).to(torch.uint8)


# ---------------------------------------------------------------- geometry


@pytest.mark.parametrize("size_hw", [(64, 64), (128, 128), (48, 80), (1, 1)])
def test_crop_levels_the_eyes_and_spans_the_face(size_hw, apply_transform, invert_transform):
    transform = crop_transform(FACE, size_hw, 2.5)
    points = apply_transform(invert_transform(transform), FACE)
    assert points[0, 1] == pytest.approx(points[1, 1]) and points[1, 0] > points[0, 0]
    extent = np.ptp(points, axis=0).max()
    assert extent * 2.5 == pytest.approx(min(size_hw))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    assert middle == pytest.approx([(size_hw[1] - 1) / 2, (size_hw[0] - 1) / 2])
    # A similarity: right angles and equal scales.
    linear = transform[:, :2]
    assert linear.T @ linear == pytest.approx(np.eye(2) * np.linalg.det(linear))


def test_crop_follows_the_face(apply_transform, invert_transform):
    """Moving, turning and scaling the face moves the crop with it: the crop's view of the points stays."""
    reference = apply_transform(invert_transform(crop_transform(FACE, (64, 64), 2.5)), FACE)
    for turn, scale, shift in [(0.3, 1.0, (0, 0)), (-2.9, 0.5, (40, -7)), (1.6, 3.0, (-100, 30))]:
        linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        moved = FACE @ linear.T + shift
        assert apply_transform(invert_transform(crop_transform(moved, (64, 64), 2.5)), moved) == pytest.approx(
            reference
        )


def test_released_box_in_numbers(apply_transform):
    """Eyes level, extent 100 x 100 around (50, 50): the box is 250 pixels wide, from -75 to 175."""
    points = np.array([[0.0, 0], [100, 0], [50, 40], [10, 100], [90, 100]])
    transform = crop_transform(points, (64, 64), 2.5)
    assert apply_transform(transform, [[-0.5, -0.5], [63.5, 63.5]]) == pytest.approx(
        np.array([[-75.0, -75], [175, 175]])
    )


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2)), np.zeros((0, 5, 2))])
def test_unusable_landmarks_are_refused(points):
    with pytest.raises(AlignmentError):
        align_clip(FrameArray(np.zeros((2, 20, 20), np.uint8)), AlignmentSettings(), landmarks=points)


# ---------------------------------------------------------------- resampling


def test_identity_changes_no_pixel():
    frames = textured(3)
    assert torch.equal(warp_frames(frames, frame_transform((120, 160), (120, 160)), (120, 160)), frames)
    assert torch.equal(resize_frames(frames, (120, 160)), frames)


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.3, 2.2, 3.9, 4.4, 7.0])
@pytest.mark.parametrize("turn", [0.0, 0.1, -0.7])
def test_a_ramp_stays_the_ramp(scale, turn, apply_transform):
    """Any resampling kernel that is symmetric gives a linear ramp back exactly, so an offset of a pixel shows."""
    size, height, width = 24, 260, 300
    rows, columns = np.mgrid[:height, :width]
    ramp = torch.from_numpy(np.rint(columns * 0.5 + rows * 0.25).astype(np.uint8))[None]
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = np.array([150.3, 130.8])
    transform = np.concatenate([linear, (middle - linear @ [11.5, 11.5])[:, None]], axis=1)
    crop = warp_frames(ramp, transform, (size, size))[0].numpy().astype(float)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
    place = apply_transform(transform, grid)
    assert np.abs(crop - (place[..., 0] * 0.5 + place[..., 1] * 0.25)).max() < 0.8


def test_fine_texture_is_averaged_not_aliased():
    checker = torch.from_numpy((np.indices((240, 240)).sum(axis=0) % 2 * 255).astype(np.uint8))[None]
    for transform in (frame_transform((240, 240), (60, 60)), crop_transform(FACE / 2, (40, 40), 2.5)):
        crop = warp_frames(checker, transform, (40, 40))[0].float()
        inside = crop[8:-8, 8:-8]
        assert (inside - 127.5).abs().max() < 12


def test_outside_of_the_frame_is_mid_gray():
    frames = textured(2)
    far = frame_transform((120, 160), (32, 32))
    far[:, 2] += 10000
    assert (warp_frames(frames, far, (32, 32)) == BORDER_VALUE).all()
    half = frame_transform((120, 160), (32, 32))
    half[0, 2] -= 80
    crop = warp_frames(frames, half, (32, 32))
    assert (crop[:, :, :15] == BORDER_VALUE).all() and crop[:, :, 17:].float().std() > 10


def test_crops_do_not_depend_on_the_frames_beside_them():
    frames = textured(150, 60, 80)
    random = np.random.default_rng(0)
    base = crop_transform(FACE / 8, (16, 16), 2.5)
    each = base + random.normal(0, 0.02, (150, 2, 3))
    whole = warp_frames(frames, each, (16, 16), pitch=2.0)
    assert torch.equal(whole[70:73], warp_frames(frames[70:73], each[70:73], (16, 16), pitch=2.0))
    assert torch.equal(warp_frames(frames, base, (16, 16))[9:10], warp_frames(frames[9:10], base, (16, 16)))
    same = np.repeat(base[None], 150, axis=0)
    assert torch.equal(warp_frames(frames, same, (16, 16)), warp_frames(frames, base, (16, 16)))


@pytest.mark.parametrize("scale", [1.0, 3.0, 5.0, 9.0])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_fast_jpeg_is_close_to_the_exact_crop(suffix, scale, tmp_path, write_frames):
    frames = textured(4, 481, 643).numpy()
    write_frames(tmp_path, frames, "img{}." + suffix)
    points = np.array([[250.0, 180], [390, 184], [322, 240], [270, 320], [371, 318]])
    size = round(2.5 * 140 / scale)
    options = {"size": size, "crop_scale": 2.5}
    exact = FDPVideoProcessor(alignment="none", **options).align_clip(tmp_path, landmarks=points)
    fast = FDPVideoProcessor(alignment="none", fast_jpeg=True, **options).align_clip(tmp_path, landmarks=points)
    difference = (exact.frames.int() - fast.frames.int()).abs().float()
    assert difference.mean() < 0.25 and difference.max() <= 1
    assert np.array_equal(exact.transforms, fast.transforms)


# ---------------------------------------------------------------- whole clips


def test_median_of_landmarks_ignores_a_slip(moving_head):
    frames = FrameArray(np.repeat(moving_head.frame(moving_head.matrix())[None], 5, axis=0))
    points = np.repeat(moving_head.landmarks[None], 5, axis=0)
    points[2] += 70
    steady = align_clip(frames, AlignmentSettings(), landmarks=moving_head.landmarks)
    slipped = align_clip(frames, AlignmentSettings(), landmarks=points)
    assert torch.equal(steady.frames, slipped.frames)


def test_per_frame_follows_each_frame(moving_head, drifted_clip):
    frames, motions = drifted_clip(moving_head, turn=0.05)
    points = np.stack([moving_head.moved_landmarks(motion) for motion in motions])
    settings = AlignmentSettings(alignment_mode="per_frame", crop_scale=2.0)
    aligned = align_clip(FrameArray(frames.numpy()), settings, landmarks=points)
    assert aligned.transforms.shape == (9, 2, 3)
    assert (aligned.frames[1:].float() - aligned.frames[0].float()).abs().mean() < 3
    part = align_clip(FrameArray(frames.numpy()), settings, np.array([2, 7]), landmarks=points)
    assert torch.equal(part.frames, aligned.frames[[2, 7]])
    with pytest.raises(AlignmentError, match="each of its 9 frames"):
        align_clip(FrameArray(frames.numpy()), settings, landmarks=points[:4])


@pytest.mark.parametrize(
    "wrong",
    [
        {"alignment": "yolo"},
        {"alignment_mode": "per_day"},
        {"missing_face": "pray"},
        {"registration": "full"},
        {"crop_scale": 0.0},
        {"landmark_frames": 0},
        {"face": "smallest"},
        {"face": -1},
        {"size": {"height": 0, "width": 64}},
        {"video_backend": "vlc"},
        {"num_frames": 0},
    ],
)
def test_wrong_settings_fail_at_once(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FDPVideoProcessor(**{"alignment": "none", **wrong})


def test_long_clip_is_aligned_in_bounded_memory(monkeypatch, moving_head):
    """10,000 frames in chunks: what is held at once is a chunk and the crops."""
    monkeypatch.setattr("processing_fdp.frame_source_fdp.CHUNK_BYTES", 40 * 50 * 100)
    frames = np.broadcast_to(np.arange(50, dtype=np.uint8), (10_000, 40, 50))
    longest = 0

    with open_frames(frames) as source:
        original = source.read

        def read(indices):
            nonlocal longest
            longest = max(longest, len(indices))
            return original(indices)

        source.read = read
        aligned = align_clip(source, AlignmentSettings(size_hw=(8, 8)), landmarks=moving_head.landmarks / 4)
    assert aligned.frames.shape == (10_000, 8, 8) and longest == 100
