"""Alignment of one clip: landmarks, transforms, registration, crops."""

import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from .face_detectors_fdp import DETECTORS, DetectedFace, make_detector
from .face_mesh_fdp import MeshFace, load_mesh_detector
from .face_report_fdp import FaceReport
from .face_track_fdp import FaceFollower, FaceTrack, head_pose
from .frame_registration_fdp import REGISTRATIONS, FrameRegistration
from .frame_source_fdp import CHUNK_BYTES, FrameSource
from .landmark_tables_fdp import LandmarkTrack, find_landmark_file, load_landmarks

logger = logging.getLogger(__name__)

ALIGNMENTS = ("auto", "mesh", "precomputed", *DETECTORS, "none")
ALIGNMENT_MODES = ("per_clip", "per_frame")
MISSING_FACE_POLICIES = ("error", "nearest", "center")


class MissingFaceWarning(UserWarning):
    """A clip has frames without a face, which `missing_face` filled."""


@dataclass(frozen=True)
class AlignmentSettings:
    """How faces are found and cropped; see `FDPVideoProcessorKwargs` for each field."""

    size_hw: tuple[int, int] = (64, 64)
    alignment: str = "auto"
    alignment_mode: str = "per_clip"
    crop_scale: float = 2.5
    landmark_frames: int = 5
    face: str | int = "largest"
    min_face_score: float = 0.5
    missing_face: str = "error"
    registration: str = "auto"
    landmark_model_path: str | None = None
    landmarks_path: str | None = None
    mesh_weights: str | None = None

    def __post_init__(self) -> None:
        """Check every setting."""
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
        """Model of the registration: "none", "translation" or "similarity"."""
        return "none" if self.registration == "auto" else self.registration


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
    landmarks: Any = None,
    clip_id: str | None = None,
    device: str | torch.device | None = None,
) -> AlignedClip:
    """Find the face of a clip, crop it from the frames and round once.

    Args:
        frames (`FrameSource`): The whole clip.
        settings (`AlignmentSettings`): Settings.
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
    track, report = _find_landmarks(frames, settings, landmarks, clip)
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


def _find_landmarks(
    frames: FrameSource, settings: AlignmentSettings, landmarks: Any, clip: str
) -> tuple[LandmarkTrack | None, FaceReport]:
    """Landmarks of the clip and their report; no landmarks where the frame or its middle is cropped."""
    if landmarks is not None:
        points = check_landmarks(landmarks, clip)
        if points.ndim == 3 and len(points) != frames.frame_count:
            raise AlignmentError(
                f"landmarks are for one clip or for each of its {frames.frame_count} frames, but {clip!r} has "
                f"{len(points)}; give (5, 2) or ({frames.frame_count}, 5, 2)"
            )
        numbers = np.array([-1]) if points.ndim == 2 else np.arange(len(points))
        return _known_track("given", LandmarkTrack(numbers, points.reshape(-1, 5, 2)))
    if settings.alignment == "none":
        return None, FaceReport("none")
    searched = 0
    if settings.alignment == "precomputed" or (settings.alignment == "auto" and _table_path(frames, settings)):
        track = _look_up(frames, settings, clip)
        if track is not None:
            return _known_track("table", track)
        searched_in = "its landmark table"
    if settings.alignment != "precomputed":
        track, report = _detect(frames, settings, clip)
        if track is not None:
            return track, report
        searched = report.frames_searched
        searched_in = f"the {searched} frames that were searched"
    if settings.missing_face == "center":
        warnings.warn(f"no face in {clip!r}: the middle of the frame is cropped", MissingFaceWarning, stacklevel=2)
        return None, FaceReport("center", frames_searched=searched)
    if settings.alignment != "auto":
        raise FaceNotFoundError(
            f"every clip needs a face, but {clip!r} shows none in {searched_in} (from frame 0 on); check it or set "
            "missing_face='center'",
            clip=clip,
            frame=0,
        )
    # "auto" falls back to the whole frame, so that cropped packages in which the mesh finds no face can be used.
    warnings.warn(
        f"no face in {clip!r}, not in {searched_in}: the whole frames are taken, which is right only if they show a "
        "cropped face",
        MissingFaceWarning,
        stacklevel=2,
    )
    return None, FaceReport("unseen", frames_searched=searched)


def _known_track(source: str, track: LandmarkTrack) -> tuple[LandmarkTrack, FaceReport]:
    return track, FaceReport(source, eye_distance=_eye_distance(track))


def _eye_distance(track: LandmarkTrack) -> float:
    return float(np.median(np.linalg.norm(track.points[:, 1] - track.points[:, 0], axis=-1)))


def _table_path(frames: FrameSource, settings: AlignmentSettings) -> str | None:
    """The given landmark table, or the one beside the clip."""
    return settings.landmarks_path or (None if frames.location is None else find_landmark_file(frames.location))


def _look_up(frames: FrameSource, settings: AlignmentSettings, clip: str) -> LandmarkTrack | None:
    path = _table_path(frames, settings)
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


def _detect(frames: FrameSource, settings: AlignmentSettings, clip: str) -> tuple[LandmarkTrack | None, FaceReport]:
    """Search the frames for the face of `settings.face`."""
    uses_mesh = settings.alignment in ("auto", "mesh")
    if uses_mesh and settings.alignment_mode == "per_frame":
        return _follow(frames, settings)
    faces_found: dict[int, DetectedFace] = {}
    searched, num_faces = 0, 0
    for round_number, indices in enumerate(_search_rounds(frames.frame_count, settings)):
        for index, faces in _searched_frames(frames, settings, indices, thorough=round_number == 0):
            searched, num_faces = searched + 1, max(num_faces, len(faces))
            if not faces:
                continue
            reference = next(iter(faces_found.values()), None)
            faces_found[index] = _choose(faces, settings.face, reference, clip, index)
            if round_number:
                # No face in the evenly spread frames: the first one found in another frame suffices.
                break
        if faces_found:
            break
    if not faces_found:
        return None, FaceReport("center", frames_searched=searched)
    if 2 * len(faces_found) < searched:
        warnings.warn(
            f"the face of {clip!r} shows in {len(faces_found)} of the {searched} frames that were searched: the "
            "crop uses these alone; give frame_numbers= of the part with the face",
            MissingFaceWarning,
            stacklevel=2,
        )
    numbers = np.array(sorted(faces_found), dtype=np.int64)
    track = LandmarkTrack(numbers, np.stack([faces_found[index].landmarks for index in numbers]))
    meshes = [face.mesh for face in faces_found.values() if isinstance(face, MeshFace)]
    pose = np.median([head_pose(mesh) for mesh in meshes], axis=0).round(1).tolist() if meshes else None
    source = "mesh" if uses_mesh else settings.alignment
    return track, FaceReport(
        source, searched, len(faces_found), num_faces, _eye_distance(track), None if pose is None else tuple(pose)
    )


def _search_rounds(count: int, settings: AlignmentSettings) -> Iterator[np.ndarray]:
    """Frames to search: evenly spread, or all, where each has its own crop; then, with the mesh, all others as well.

    The others come in rounds of every 16th, every 4th and each frame, so that a face that stays for a while is found
    early and a video is read at most three times.
    """
    if settings.alignment_mode == "per_frame":
        yield np.arange(count)
        return
    seen = np.unique(np.rint(np.linspace(0, count - 1, settings.landmark_frames)).astype(np.int64))
    yield seen
    if settings.alignment in ("auto", "mesh"):
        for step in (16, 4, 1):
            others = np.setdiff1d(np.arange(0, count, step), seen)
            yield others
            seen = np.union1d(seen, others)


def _searched_frames(
    frames: FrameSource, settings: AlignmentSettings, indices: np.ndarray, thorough: bool
) -> Iterator[tuple[int, list[DetectedFace]]]:
    """Faces in each of these frames, read a bounded number of bytes at a time."""
    length = _chunk_length(frames)
    for start in range(0, len(indices), length):
        chunk = indices[start : start + length]
        pixels = frames.read_rgb(chunk)
        if settings.alignment in ("auto", "mesh"):
            mesh = load_mesh_detector(settings.mesh_weights, settings.min_face_score)
            yield from zip(chunk.tolist(), mesh.detect(pixels, thorough=thorough), strict=True)
        else:
            backend = make_detector(settings.alignment, settings.landmark_model_path, settings.min_face_score)
            yield from zip(chunk.tolist(), map(backend.detect, pixels), strict=True)


def _chunk_length(frames: FrameSource) -> int:
    return max(1, CHUNK_BYTES // (3 * frames.size_hw[0] * frames.size_hw[1]))


def follow_face(frames: FrameSource, settings: AlignmentSettings) -> FaceTrack:
    """Follow the face through all frames of a clip, a bounded number of bytes at a time.

    Args:
        frames (`FrameSource`): The whole clip.
        settings (`AlignmentSettings`): `face`, `min_face_score` and `mesh_weights` are used.

    Returns:
        `FaceTrack`: One entry per frame.
    """
    follower = FaceFollower(load_mesh_detector(settings.mesh_weights, settings.min_face_score), settings.face)
    length = _chunk_length(frames)
    numbers = np.arange(frames.frame_count)
    parts = [numbers[start : start + length] for start in range(0, len(numbers), length)]
    return FaceTrack.join([follower.follow(frames.read_rgb(part)) for part in parts])


def _follow(frames: FrameSource, settings: AlignmentSettings) -> tuple[LandmarkTrack | None, FaceReport]:
    followed = follow_face(frames, settings)
    seen = np.flatnonzero(followed.found)
    if not len(seen):
        return None, FaceReport("center", frames_searched=frames.frame_count)
    track = LandmarkTrack(seen, followed.five_points[seen].astype(np.float64))
    pose = np.median(followed.head_pose[seen], axis=0).round(1).tolist()
    return track, FaceReport(
        "mesh", frames.frame_count, len(seen), followed.num_faces, _eye_distance(track), tuple(pose)
    )


def _choose(
    faces: list[DetectedFace], wanted: str | int, reference: DetectedFace | None, clip: str, frame: int
) -> DetectedFace:
    """The face of `settings.face` in the first frame, then the nearest one."""
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
            f"no face in {len(missing)} of {count} frames of {clip!r}: the nearest frame's is taken",
            MissingFaceWarning,
            stacklevel=2,
        )
    nearest = np.abs(track.frame_indices[None] - np.arange(count)[:, None]).argmin(axis=1)
    each = [crop_transform(points, settings.size_hw, settings.crop_scale) for points in track.points]
    answer: np.ndarray = np.stack(each)[nearest]
    return answer
