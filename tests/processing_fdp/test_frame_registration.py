"""Registration against known drift."""

import numpy as np
import pytest
import torch

from processing_fdp.alignment_settings_fdp import AlignmentSettings
from processing_fdp.clip_alignment_fdp import align_clip
from processing_fdp.crop_geometry_fdp import (
    AlignmentError,
    crop_transform,
    frame_transform,
)
from processing_fdp.frame_arrays_fdp import FrameArray
from processing_fdp.frame_registration_fdp import FrameRegistration
from tests.mps_tensor import OnMps


@pytest.fixture
def residual_drift(moving_head, apply_transform):
    """Distance in frame pixels between where the five points are and where they are believed to be, per frame."""

    def measure(estimated, motions):
        errors = [
            np.linalg.norm(
                apply_transform(guess, moving_head.landmarks) - moving_head.moved_landmarks(truth), axis=1
            ).mean()
            for guess, truth in zip(estimated, motions, strict=True)
        ]
        return np.array(errors[1:])

    return measure


@pytest.mark.parametrize(
    "model, nuisance",
    [
        ("translation", {}),
        ("translation", {"mouth": 3.0, "flicker": 0.2}),
        ("translation", {"drift": 15.0}),
        ("similarity", {}),
        ("similarity", {"turn": 0.05, "scale": 0.03}),
        ("similarity", {"turn": 0.05, "scale": 0.03, "mouth": 3.0, "flicker": 0.2}),
    ],
)
def test_registration_leaves_less_than_a_tenth_of_a_pixel(model, nuisance, moving_head, drifted_clip, residual_drift):
    frames, motions = drifted_clip(moving_head, **nuisance)
    crop = crop_transform(moving_head.landmarks, (64, 64), 2.0)
    registration = FrameRegistration(frames[0], crop, (64, 64), model)
    estimated = registration.register(frames)
    drift = residual_drift([np.eye(3)[:2]] * len(motions), motions)
    residual = residual_drift(estimated, motions)
    assert np.median(drift) > 1
    assert np.median(residual) < 0.1 and residual.max() < 0.3, residual
    assert np.abs(estimated[0] - np.eye(3)[:2]).max() < 1e-3


def test_still_background_does_not_hold_the_head_back(
    moving_head, apply_transform, invert_transform, drifted_clip, residual_drift
):
    """The head is an oval of its own texture before a wall that is textured as well and does not move."""
    wall = moving_head.frame(moving_head.matrix(shift=(500, 300)), noise=0).astype(float)
    _, motions = drifted_clip(moving_head, count=7, turn=0.03)
    frames = []
    for motion in motions:
        head = moving_head.frame(motion).astype(float)
        place = apply_transform(invert_transform(motion), moving_head.pixels) - moving_head.landmarks.mean(axis=0)
        oval = 1 / (1 + np.exp(30 * (np.hypot(place[..., 0] / 42, place[..., 1] / 54) - 1)))
        frames.append(np.clip(oval * head + (1 - oval) * wall, 0, 255).astype(np.uint8))
    crop = crop_transform(moving_head.landmarks, (64, 64), 2.5)
    frames = torch.from_numpy(np.stack(frames))
    residual = residual_drift(FrameRegistration(frames[0], crop, (64, 64), "similarity").register(frames), motions)
    assert np.median(residual) < 0.1 and residual.max() < 0.3, residual


def test_registered_clip_stands_still(moving_head, drifted_clip):
    frames, _ = drifted_clip(moving_head, turn=0.04)
    clip = FrameArray(frames.numpy())
    crops = {}
    for registration in ("none", "similarity"):
        settings = AlignmentSettings(registration=registration, crop_scale=2.0)
        crops[registration] = align_clip(clip, settings, landmarks=moving_head.landmarks).frames.float()
    motion = {name: (crop[1:] - crop[0]).abs().mean().item() for name, crop in crops.items()}
    assert motion["similarity"] < 3 < 10 < motion["none"]


def test_registration_of_a_part_equals_the_whole_in_any_chunks(moving_head, monkeypatch, drifted_clip):
    frames, _ = drifted_clip(moving_head)
    clip = FrameArray(frames.numpy())
    settings = AlignmentSettings(registration="translation")
    whole = align_clip(clip, settings, landmarks=moving_head.landmarks)
    part = align_clip(clip, settings, np.array([0, 3, 8]), landmarks=moving_head.landmarks)
    assert torch.equal(part.frames, whole.frames[[0, 3, 8]])
    assert np.array_equal(part.transforms, whole.transforms[[0, 3, 8]])
    monkeypatch.setattr("processing_fdp.frame_source_fdp.CHUNK_BYTES", 160 * 200 * 2)
    chunked = align_clip(clip, settings, landmarks=moving_head.landmarks)
    assert (chunked.frames.int() - whole.frames.int()).abs().max() <= 1


def test_registration_of_frames_without_texture_moves_nothing():
    frames = torch.full((4, 60, 60), 90, dtype=torch.uint8)
    for model in ("translation", "similarity"):
        motion = FrameRegistration(frames[0], frame_transform((60, 60), (32, 32)), (32, 32), model).register(frames)
        assert np.abs(motion - np.eye(3)[:2]).max() < 1e-3


def test_registration_refuses_per_frame_crops(moving_head):
    settings = AlignmentSettings(alignment_mode="per_frame", registration="translation")
    points = np.repeat(moving_head.landmarks[None] / 4, 2, axis=0)
    with pytest.raises(AlignmentError, match="registration"):
        align_clip(FrameArray(np.zeros((2, 60, 80), np.uint8)), settings, landmarks=points)


def test_registration_leaves_the_device_before_it_needs_float64():
    frames = torch.randint(0, 255, (4, 96, 96), dtype=torch.uint8).as_subclass(OnMps)
    registration = FrameRegistration(frames[0], np.array([[1.0, 0, 8], [0, 1, 8]]), (80, 80), "similarity")
    registration._last = registration._last.as_subclass(OnMps)
    assert registration.register(frames).dtype == np.float64
