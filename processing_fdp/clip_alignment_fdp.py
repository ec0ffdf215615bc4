"""Alignment of one clip: landmarks, transforms, registration, crops."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike

from .alignment_settings_fdp import AlignmentSettings
from .clip_landmarks_fdp import MissingFaceWarning, find_landmarks
from .crop_geometry_fdp import (
    AlignmentError,
    FaceNotFoundError,
    centre_transform,
    crop_transform,
    frame_transform,
    pitch_of,
    resize_frames,
    shrink_transforms,
    warp_frames,
)
from .face_report_fdp import FaceReport
from .frame_registration_fdp import FrameRegistration
from .frame_source_fdp import FrameSource
from .landmark_tables_fdp import LandmarkTrack


@dataclass(frozen=True)
class AlignedClip:
    """Result of the alignment of a clip.

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): uint8, gray.
        track (`LandmarkTrack`, *optional*): Landmarks used for the crop; `None` without alignment or without a face.
        transforms (`np.ndarray` of shape `(2, 3)` or `(num_frames, 2, 3)`): Crop pixels to frame pixels.
        report (`FaceReport`): How the face was found.
    """

    frames: torch.Tensor
    track: LandmarkTrack | None
    transforms: np.ndarray
    report: FaceReport


def align_clip(
    frames: FrameSource,
    settings: AlignmentSettings,
    indices: np.ndarray | None = None,
    landmarks: ArrayLike | None = None,
    clip_id: str | None = None,
    device: str | torch.device | None = None,
) -> AlignedClip:
    """Find the face of a clip, crop it from the frames and round once.

    Args:
        frames (`FrameSource`): The whole clip.
        settings (`AlignmentSettings`): How the face is found and cropped.
        indices (`np.ndarray` of shape `(count,)`, *optional*):
            Frames to crop, rising, 0-based; all by default. The crops equal those of the whole clip.
        landmarks (`array-like` of shape `(5, 2)` or `(num_frames, 5, 2)`, *optional*): Given landmarks.
        clip_id (`str`, *optional*): Name of the clip in errors, and its key in a landmark table.
        device (`str`, *optional*): Device of the resampling.

    Returns:
        `AlignedClip`: Crops of these frames.

    Raises:
        FaceNotFoundError: If there is no face and `missing_face` is "error".
        AlignmentError: If a model, a module or a landmark table is missing or unusable.
        VideoReadError: If frames cannot be read.
    """
    indices = np.arange(frames.frame_count) if indices is None else np.asarray(indices, dtype=np.int64)
    clip = clip_id or frames.name
    track, report = find_landmarks(frames, settings, landmarks, clip)
    base = None
    if track is not None:
        base = _clip_transforms(track, settings, frames.frame_count, clip)
        if settings.alignment == "auto" and report.source == "mesh" and _fills_frame(base, settings, frames.size_hw):
            track, base, report = None, None, replace(report, source="frame")
    elif report.source == "center":
        base = centre_transform(frames.size_hw, settings.size_hw)
    aligned = base is not None
    if base is None:
        base = frame_transform(frames.size_hw, settings.size_hw)
    if settings.registration_model != "none":
        return _register(frames, settings, indices, base, track, report, device)
    crops = []
    divisor = frames.shrink(pitch_of(base)) if aligned else 1
    shrunk, pitch = shrink_transforms(base, divisor), pitch_of(base) / divisor
    for chunk, gray in frames.iter_chunks(indices):
        pixels = torch.from_numpy(gray).to(device)
        if aligned:
            chosen = shrunk if shrunk.ndim == 2 else shrunk[chunk]
            crops.append(warp_frames(pixels, chosen, settings.size_hw, pitch))
        else:
            crops.append(resize_frames(pixels, settings.size_hw))
    return AlignedClip(torch.cat(crops), track, base if base.ndim == 2 else base[indices], report)


def _fills_frame(transforms: np.ndarray, settings: AlignmentSettings, frame_hw: tuple[int, int]) -> bool:
    """Whether the crop extends beyond three or four borders of the frame, which is then a cropped face already."""
    height, width = settings.size_hw
    corners = np.array([[x, y, 1.0] for x in (0, width - 1) for y in (0, height - 1)]).T
    reached = np.median(transforms.reshape(-1, 2, 3) @ corners, axis=0)
    # Up to a twentieth of the frame beyond a border does not count (our choice).
    slack = np.array([frame_hw[1], frame_hw[0]]) / 20
    last = np.array([frame_hw[1], frame_hw[0]]) - 1
    outside = np.concatenate([reached.min(axis=1) < -slack, reached.max(axis=1) > last + slack])
    return int(outside.sum()) >= 3


def _register(
    frames: FrameSource,
    settings: AlignmentSettings,
    indices: np.ndarray,
    base: np.ndarray,
    track: LandmarkTrack | None,
    report: FaceReport,
    device: str | torch.device | None,
) -> AlignedClip:
    """Crop with each frame's motion against the first; reads all frames, so that crops do not depend on `indices`."""
    if base.ndim == 3:
        raise AlignmentError(
            f"registration={settings.registration!r} needs one crop per clip, but alignment_mode is 'per_frame'; "
            "set registration='none' or alignment_mode='per_clip'"
        )
    crops, transforms, registration = [], [], None
    wanted = np.isin(np.arange(frames.frame_count), indices)
    for chunk, gray in frames.iter_chunks(np.arange(frames.frame_count)):
        pixels = torch.from_numpy(gray).to(device)
        if registration is None:
            registration = FrameRegistration(pixels[0], base, settings.size_hw, settings.registration_model)
        motion = registration.register(pixels)
        # The motion acts on frame pixels: (2, 3) after (3, 3).
        moved = motion @ np.vstack([base, [0.0, 0.0, 1.0]])
        keep = wanted[chunk]
        crops.append(warp_frames(pixels[torch.from_numpy(keep)], moved[keep], settings.size_hw, pitch_of(base)))
        transforms.append(moved[keep])
    order = np.searchsorted(np.flatnonzero(wanted), indices)
    return AlignedClip(torch.cat(crops)[torch.from_numpy(order)], track, np.concatenate(transforms)[order], report)


def _clip_transforms(track: LandmarkTrack, settings: AlignmentSettings, count: int, clip: str) -> np.ndarray:
    """One transform for the clip, from the median of its landmarks, or one for each frame."""
    if settings.alignment_mode == "per_clip" or track.frame_indices[0] == -1:
        # The median ignores single frames with detector errors.
        return crop_transform(np.median(track.points, axis=0), settings.size_hw, settings.crop_scale)
    missing = np.setdiff1d(np.arange(count), track.frame_indices)
    if len(missing) and settings.missing_face == "error":
        raise FaceNotFoundError(
            f"every frame needs a face, but {clip!r} shows none in frame {missing[0]} ({len(missing)} of {count}); "
            "check the clip or set missing_face='nearest'",
            clip=clip,
            frame=int(missing[0]),
        )
    if len(missing):
        warnings.warn(
            f"no face in {len(missing)} of {count} frames of {clip!r}: the crop of the nearest frame is taken",
            MissingFaceWarning,
            stacklevel=2,
        )
    nearest = np.abs(track.frame_indices[None] - np.arange(count)[:, None]).argmin(axis=1)
    each = [crop_transform(points, settings.size_hw, settings.crop_scale) for points in track.points]
    answer: np.ndarray = np.stack(each)[nearest]
    return answer
