"""Landmarks of one clip: given, from a table, or found by a detector, which searches until a frame shows a face."""

import logging
import os
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from .alignment_settings_fdp import AlignmentSettings
from .crop_geometry_fdp import AlignmentError, FaceNotFoundError, check_landmarks
from .face_detectors_fdp import DetectedFace, make_detector
from .face_mesh_fdp import MeshFace, load_mesh_detector
from .face_report_fdp import FaceReport
from .face_track_fdp import FaceFollower, FaceTrack, head_pose
from .frame_source_fdp import CHUNK_BYTES, FrameSource
from .landmark_tables_fdp import LandmarkTrack, find_landmark_file, load_landmarks

logger = logging.getLogger(__name__)


class MissingFaceWarning(UserWarning):
    """Frames of a clip show no face, so that they are cropped as other frames, as their middle, or not at all."""


def find_landmarks(
    frames: FrameSource, settings: AlignmentSettings, landmarks: ArrayLike | None, clip: str
) -> tuple[LandmarkTrack | None, FaceReport]:
    """Find the landmarks of a clip.

    Args:
        frames (`FrameSource`): The whole clip.
        settings (`AlignmentSettings`): Where landmarks come from, and which face is taken.
        landmarks (`array-like` of shape `(5, 2)` or `(num_frames, 5, 2)`, *optional*): Given landmarks.
        clip (`str`): Name of the clip in errors, and its key in a landmark table.

    Returns:
        `tuple`: The landmarks, `None` where the frame or its middle is to be cropped, and their report.

    Raises:
        FaceNotFoundError: If there is no face and `missing_face` is "error".
        AlignmentError: If a model, a module or a landmark table is missing or unusable.
        VideoReadError: If frames cannot be read.
    """
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
    """The face nearest to `reference`, or, without one, the face that `wanted` names."""
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
