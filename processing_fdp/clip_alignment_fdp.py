"""One clip through the alignment: landmarks, transforms, registration, crops."""

import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .crop_geometry_fdp import (
    AlignmentError,
    FaceNotFoundError,
    centre_transform,
    check_landmarks,
    crop_transform,
    frame_transform,
    pitch_of,
    resize_frames,
    shrink_transforms,
    warp_frames,
)
from .face_detectors_fdp import (
    DETECTORS,
    DetectedFace,
    LandmarkTrack,
    find_landmark_file,
    load_landmarks,
    make_detector,
)
from .frame_registration_fdp import REGISTRATIONS, FrameRegistration
from .frame_source_fdp import FrameSource

logger = logging.getLogger(__name__)

ALIGNMENTS = ("none", "precomputed", *DETECTORS)
ALIGNMENT_MODES = ("per_clip", "per_frame")
MISSING_FACE_POLICIES = ("error", "nearest", "center")


class MissingFaceWarning(UserWarning):
    """A clip has frames without a face, and the policy filled them."""


@dataclass(frozen=True)
class AlignmentSettings:
    """How faces are found and cropped; see `FDPVideoProcessorKwargs` for each field."""

    size_hw: tuple[int, int] = (64, 64)
    alignment: str = "none"
    alignment_mode: str = "per_clip"
    crop_scale: float = 2.5
    landmark_frames: int = 5
    face: str | int = "largest"
    min_face_score: float = 0.5
    missing_face: str = "error"
    registration: str = "auto"
    landmark_model_path: str | None = None
    landmarks_path: str | None = None

    def __post_init__(self) -> None:
        """Check every setting by itself."""
        self._one_of("alignment", ALIGNMENTS)
        self._one_of("alignment_mode", ALIGNMENT_MODES)
        self._one_of("missing_face", MISSING_FACE_POLICIES)
        self._one_of("registration", ("auto", "none", *REGISTRATIONS))
        if min(self.size_hw) < 1 or self.crop_scale <= 0 or self.landmark_frames < 1:
            raise AlignmentError(
                "size, crop_scale and landmark_frames must be above 0, but got "
                f"{self.size_hw}, {self.crop_scale}, {self.landmark_frames}; change them"
            )
        if self.face != "largest" and (not isinstance(self.face, int) or isinstance(self.face, bool) or self.face < 0):
            raise AlignmentError(
                f"face is 'largest' or a number from 0 on, counted from the left, but got {self.face!r}; change it"
            )

    def _one_of(self, name: str, known: tuple[str, ...]) -> None:
        if getattr(self, name) not in known:
            raise AlignmentError(f"{name} is one of {known}, but got {getattr(self, name)!r}; choose one of them")

    @property
    def registration_model(self) -> str:
        """What registration fits: "none", "translation" or "similarity"; a bare box needs it to hold still."""
        if self.registration != "auto":
            return self.registration
        return "similarity" if self.alignment == "box" and self.alignment_mode == "per_clip" else "none"


@dataclass(frozen=True)
class AlignedClip:
    """What the alignment made of a clip.

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): uint8, gray.
        track (`LandmarkTrack`, *optional*): The landmarks it stood on; `None` without alignment or without a face.
        transforms (`np.ndarray` of shape `(2, 3)` or `(num_frames, 2, 3)`): Crop pixels to frame pixels.
    """

    frames: torch.Tensor
    track: LandmarkTrack | None
    transforms: np.ndarray


def align_clip(
    frames: FrameSource,
    settings: AlignmentSettings,
    indices: np.ndarray | None = None,
    landmarks: Any = None,
    clip_id: str | None = None,
    device: str | torch.device | None = None,
) -> AlignedClip:
    """Find the face of a clip, crop it from the frames and round once.

    Args:
        frames (`FrameSource`): The whole clip.
        settings (`AlignmentSettings`): How.
        indices (`np.ndarray` of shape `(count,)`, *optional*):
            Frames to crop, rising, 0-based; all by default. The crops are those that the whole clip would give.
        landmarks (`array-like` of shape `(5, 2)` or `(num_frames, 5, 2)`, *optional*): Known already.
        clip_id (`str`, *optional*): What errors call the clip, and its key in a landmark table.
        device (`str`, *optional*): Where to resample.

    Returns:
        `AlignedClip`: Crops of the asked frames.

    Raises:
        FaceNotFoundError: If there is no face and the policy is to stop.
        AlignmentError: If a model, a module or a landmark table is missing or unusable.
        VideoReadError: If frames cannot be read.
    """
    indices = np.arange(frames.frame_count) if indices is None else np.asarray(indices, dtype=np.int64)
    aligned = settings.alignment != "none" or landmarks is not None
    track = _find_landmarks(frames, settings, landmarks, clip_id or frames.name) if aligned else None
    if track is not None:
        base = _clip_transforms(track, settings, frames.frame_count, clip_id or frames.name)
    elif aligned:
        base = centre_transform(frames.size_hw, settings.size_hw)
    else:
        base = frame_transform(frames.size_hw, settings.size_hw)
    if settings.registration_model != "none":
        return _register(frames, settings, indices, base, track, device)
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
    return AlignedClip(torch.cat(crops), track, base if base.ndim == 2 else base[indices])


def _register(
    frames: FrameSource,
    settings: AlignmentSettings,
    indices: np.ndarray,
    base: np.ndarray,
    track: LandmarkTrack | None,
    device: str | torch.device | None,
) -> AlignedClip:
    """Crop with each frame's motion against the first; all frames are read, so that a part equals the whole."""
    if base.ndim == 3:
        raise AlignmentError(
            f"registration={settings.registration!r} follows one crop per clip, but alignment_mode is 'per_frame'; "
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
    return AlignedClip(torch.cat(crops)[torch.from_numpy(order)], track, np.concatenate(transforms)[order])


def _find_landmarks(
    frames: FrameSource, settings: AlignmentSettings, landmarks: Any, clip: str
) -> LandmarkTrack | None:
    """Landmarks of the clip; `None` where there is no face and the policy takes the middle of the frame."""
    if landmarks is not None:
        points = check_landmarks(landmarks, clip)
        if points.ndim == 2:
            return LandmarkTrack(np.array([-1]), points[None])
        if len(points) != frames.frame_count:
            raise AlignmentError(
                f"landmarks are for one clip or for each of its {frames.frame_count} frames, but {clip!r} has "
                f"{len(points)}; give (5, 2) or ({frames.frame_count}, 5, 2)"
            )
        return LandmarkTrack(np.arange(len(points)), points)
    if settings.alignment == "precomputed":
        track = _look_up(frames, settings, clip)
    else:
        track = _detect(frames, settings, clip)
    if track is not None:
        return track
    looked = "its landmark table" if settings.alignment == "precomputed" else "the frames that were searched"
    if settings.missing_face != "center":
        raise FaceNotFoundError(
            f"every clip needs a face, but {clip!r} shows none in {looked} (from frame 0 on); check the clip or set "
            "missing_face='center'",
            clip=clip,
            frame=0,
        )
    warnings.warn(f"no face in {clip!r}: the middle of the frame is cropped", MissingFaceWarning, stacklevel=2)
    return None


def _look_up(frames: FrameSource, settings: AlignmentSettings, clip: str) -> LandmarkTrack | None:
    beside = None if frames.location is None else find_landmark_file(frames.location)
    path = settings.landmarks_path or beside
    if path is None:
        raise AlignmentError(
            f"alignment='precomputed' needs a landmark table, but none lies beside {frames.name!r}; "
            "give landmarks_path= or landmarks="
        )
    tracks = load_landmarks(path)
    location = os.path.normpath(frames.location or clip)
    file_name = os.path.basename(location)
    for key in (clip, location, file_name, os.path.splitext(file_name)[0]):
        if key in tracks:
            return tracks[key]
    return None


def _detect(frames: FrameSource, settings: AlignmentSettings, clip: str) -> LandmarkTrack | None:
    detector = make_detector(settings.alignment, settings.landmark_model_path, settings.min_face_score)
    count = frames.frame_count
    if settings.alignment_mode == "per_frame":
        looked_at = np.arange(count)
    else:
        looked_at = np.unique(np.rint(np.linspace(0, count - 1, settings.landmark_frames)).astype(np.int64))
    found, points, reference = [], [], None
    for index in looked_at:
        faces = detector.detect(frames.read_rgb([int(index)])[0])
        if not faces:
            continue
        face = _choose(faces, settings.face, reference, clip, int(index))
        reference = reference or face
        found.append(index)
        points.append(face.landmarks)
    if not found:
        return None
    return LandmarkTrack(np.array(found, dtype=np.int64), np.stack(points))


def _choose(
    faces: list[DetectedFace], wanted: str | int, reference: DetectedFace | None, clip: str, frame: int
) -> DetectedFace:
    """The face that was asked for in the first frame, then whoever is closest to it."""
    if reference is not None:
        start = reference.centre
        return min(faces, key=lambda face: float(np.linalg.norm(face.centre - start)))
    if wanted == "largest":
        if len(faces) > 1:
            logger.info("%s: %d faces in frame %d, the largest is taken", clip, len(faces), frame)
        return max(faces, key=lambda face: face.area)
    if int(wanted) >= len(faces):
        raise FaceNotFoundError(
            f"face={wanted} needs {int(wanted) + 1} faces, but {clip!r} shows {len(faces)} in frame {frame}; "
            "count from the left, from 0",
            clip=clip,
            frame=frame,
        )
    return faces[int(wanted)]


def _clip_transforms(track: LandmarkTrack, settings: AlignmentSettings, count: int, clip: str) -> np.ndarray:
    """One transform for the clip, from the median of its landmarks, or one for each frame."""
    if settings.alignment_mode == "per_clip" or track.frame_indices[0] == -1:
        # The median ignores the odd frame in which a detector slips.
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
            f"no face in {len(missing)} of {count} frames of {clip!r}: the nearest frame's is taken",
            MissingFaceWarning,
            stacklevel=2,
        )
    nearest = np.abs(track.frame_indices[None] - np.arange(count)[:, None]).argmin(axis=1)
    each = [crop_transform(points, settings.size_hw, settings.crop_scale) for points in track.points]
    return np.stack(each)[nearest]
