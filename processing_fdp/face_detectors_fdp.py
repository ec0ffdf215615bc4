"""Where the five landmarks come from: face detectors that take the user's model file, or a table found earlier.

Every detector answers with `DetectedFace` in the five-point order of `crop_geometry_fdp.py`. Nothing is downloaded.
"""

import csv
import functools
import importlib
import logging
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from .crop_geometry_fdp import LANDMARK_NAMES, AlignmentError, check_landmarks

logger = logging.getLogger(__name__)

DETECTORS = ("opencv", "mediapipe", "dlib", "box")
LANDMARK_FILE_NAMES = ("landmarks.parquet", "landmarks.csv")
LANDMARK_COLUMNS = ("clip_id", "frame_index", *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy"))
# Five points of an average frontal face in fractions of its box, which turn a box into landmarks (our choice).
_POINTS_IN_BOX = np.array([[0.30, 0.38], [0.70, 0.38], [0.50, 0.58], [0.34, 0.76], [0.66, 0.76]])
# Indices in mediapipe's face mesh: outer and inner corner of each eye (sides as seen), nose tip, mouth corners.
_MESH_EYES = ((33, 133), (362, 263))
_MESH_POINTS = (1, 61, 291)
# Indices in the 68-point scheme of dlib's predictor: eyes 36-41 and 42-47, nose tip 30, mouth corners 48 and 54
# (fact sheet on papers, 1.5).
_DLIB_EYES = (slice(36, 42), slice(42, 48))
_DLIB_POINTS = (30, 48, 54)


@dataclass(frozen=True)
class DetectedFace:
    """One face in one frame.

    Args:
        landmarks (`np.ndarray` of shape `(5, 2)`): float64, pixels (x, y).
        area (`float`): Of the face's box, in pixels; the largest face is taken by default.
        score (`float`): The detector's confidence, 1 where it has none.
    """

    landmarks: np.ndarray
    area: float
    score: float = 1.0

    @property
    def centre(self) -> np.ndarray:
        """Middle of the landmarks (x, y) in pixels."""
        return self.landmarks.mean(axis=0)


class FaceDetector:
    """Finds faces in colour frames.

    Args:
        model_path (`str`, *optional*): The user's model file.
        min_score (`float`, *optional*, defaults to 0.5): Faces below this confidence are passed over.
    """

    name = ""
    module = ""
    install = ""
    model_hint = ""

    def __init__(self, model_path: str | None = None, min_score: float = 0.5) -> None:
        self.library = self._import(self.module)
        self.min_score = min_score
        self.model_path = self._check_model(model_path) if self.model_hint else None

    def _import(self, module: str) -> Any:
        try:
            return importlib.import_module(module)
        except (ImportError, OSError) as error:
            raise AlignmentError(
                f"alignment={self.name!r} needs the module {module}, which does not load ({error}); {self.install}"
            ) from error

    def _check_model(self, model_path: str | None) -> str:
        if model_path is None:
            raise AlignmentError(
                f"alignment={self.name!r} needs {self.model_hint}, and nothing is downloaded here; "
                "give its path as landmark_model_path="
            )
        if not os.path.isfile(model_path):
            raise AlignmentError(
                f"landmark_model_path must be {self.model_hint}, but there is no file {model_path!r}; check the path"
            )
        return model_path

    def _unusable_model(self, error: Exception) -> AlignmentError:
        reason = " ".join(str(error).split())[:160]
        return AlignmentError(
            f"landmark_model_path must be {self.model_hint}, but {self.model_path!r} does not load ({reason}); "
            "check the file"
        )

    def detect(self, frame: np.ndarray) -> list[DetectedFace]:
        """Find the faces of one frame.

        Args:
            frame (`np.ndarray` of shape `(height, width, 3)`): uint8, RGB.

        Returns:
            `list[DetectedFace]`: From left to right; empty without a face.
        """
        faces = [face for face in self._detect(np.ascontiguousarray(frame)) if face.score >= self.min_score]
        return sorted(faces, key=lambda face: float(face.centre[0]))

    def _detect(self, frame: np.ndarray) -> list[DetectedFace]:
        raise NotImplementedError


class OpenCVDetector(FaceDetector):
    """YuNet through OpenCV's `FaceDetectorYN`; five points of its own."""

    name = "opencv"
    module = "cv2"
    install = "run pip install 'fdp-micro-expression[faces]'"
    model_hint = "the ONNX file of YuNet (face_detection_yunet_*.onnx)"

    def __init__(self, model_path: str | None = None, min_score: float = 0.5) -> None:
        super().__init__(model_path, min_score)
        if not hasattr(self.library, "FaceDetectorYN"):
            raise AlignmentError("alignment='opencv' needs OpenCV 4.5.4 or later, with FaceDetectorYN; upgrade it")
        try:
            self._detector = self.library.FaceDetectorYN.create(self.model_path, "", (320, 320), min_score)
        except self.library.error as error:
            raise self._unusable_model(error) from error

    def _detect(self, frame: np.ndarray) -> list[DetectedFace]:
        height, width = frame.shape[:2]
        self._detector.setInputSize((width, height))
        # YuNet wants BGR. Its order is right eye, left eye, nose, right and left mouth corner of the person, which is
        # left to right in the image.
        _, rows = self._detector.detect(np.ascontiguousarray(frame[:, :, ::-1]))
        return [
            DetectedFace(
                landmarks=np.asarray(row[4:14], dtype=np.float64).reshape(5, 2),
                area=float(row[2] * row[3]),
                score=float(row[14]),
            )
            for row in (() if rows is None else rows)
        ]


class MediapipeDetector(FaceDetector):
    """Face landmarker of mediapipe's tasks API."""

    name = "mediapipe"
    module = "mediapipe"
    install = "run pip install mediapipe"
    model_hint = "mediapipe's face_landmarker.task"

    def __init__(self, model_path: str | None = None, min_score: float = 0.5) -> None:
        super().__init__(model_path, min_score)
        tasks = self.library.tasks
        options = tasks.vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=self.model_path),
            num_faces=10,
            min_face_detection_confidence=min_score,
        )
        try:
            self._landmarker = tasks.vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise self._unusable_model(error) from error

    def _detect(self, frame: np.ndarray) -> list[DetectedFace]:
        height, width = frame.shape[:2]
        image = self.library.Image(image_format=self.library.ImageFormat.SRGB, data=frame)
        faces = []
        for mesh in self._landmarker.detect(image).face_landmarks:
            # Fractions of the frame, edge to edge -> pixel centres.
            points = np.array([[point.x * width - 0.5, point.y * height - 0.5] for point in mesh])
            eyes = [points[list(corners)].mean(axis=0) for corners in _MESH_EYES]
            extent = points.max(axis=0) - points.min(axis=0)
            landmarks = np.stack([*eyes, *points[list(_MESH_POINTS)]])
            faces.append(DetectedFace(landmarks=landmarks, area=float(extent.prod())))
        return faces


class DlibDetector(FaceDetector):
    """dlib's frontal detector (one upsampling) and 68-point predictor, as in the authors' pre-processing."""

    name = "dlib"
    module = "dlib"
    install = "run pip install 'fdp-micro-expression[dlib]', which builds it from source"
    model_hint = "dlib's shape_predictor_68_face_landmarks.dat"

    def __init__(self, model_path: str | None = None, min_score: float = 0.5) -> None:
        super().__init__(model_path, min_score)
        self._detector = self.library.get_frontal_face_detector()
        try:
            self._predictor = self.library.shape_predictor(self.model_path)
        except RuntimeError as error:
            raise self._unusable_model(error) from error

    def _detect(self, frame: np.ndarray) -> list[DetectedFace]:
        faces = []
        for box in self._detector(frame, 1):
            shape = self._predictor(frame, box)
            points = np.array([[shape.part(i).x, shape.part(i).y] for i in range(shape.num_parts)], dtype=np.float64)
            if len(points) < 68:
                raise AlignmentError(
                    f"landmark_model_path must be {self.model_hint}, but {self.model_path!r} gives {len(points)} "
                    "points; take the 68-point model"
                )
            eyes = [points[corners].mean(axis=0) for corners in _DLIB_EYES]
            landmarks = np.stack([*eyes, *points[list(_DLIB_POINTS)]])
            faces.append(DetectedFace(landmarks=landmarks, area=float(box.width() * box.height())))
        return faces


class BoxDetector(FaceDetector):
    """The frontal cascade that scikit-image ships: a box, whose five points are those of an average face."""

    name = "box"
    module = "skimage.feature"
    install = "run pip install 'fdp-micro-expression[faces]'"
    # Frames are shrunk to this width for the search; the cascade's own window is 24 pixels wide (our choice).
    search_width = 320

    def __init__(self, model_path: str | None = None, min_score: float = 0.5) -> None:
        super().__init__(model_path, min_score)
        data = self._import("skimage.data")
        self._cascade = self.library.Cascade(model_path or data.lbp_frontal_face_cascade_filename())

    def _detect(self, frame: np.ndarray) -> list[DetectedFace]:
        step = max(1, round(frame.shape[1] / self.search_width))
        height, width = (side // step * step for side in frame.shape[:2])
        blocks = frame[:height, :width].reshape(height // step, step, width // step, step, 3)
        small = blocks.mean(axis=(1, 3)).astype(np.uint8)
        shorter = min(small.shape[:2])
        if shorter < 24:
            return []
        # A face fills at least an eighth of the shorter side.
        boxes = self._cascade.detect_multi_scale(
            small, 1.1, 1, (max(24, shorter // 8),) * 2, (shorter, shorter), min_neighbor_number=4
        )
        faces = []
        for box in boxes:
            corner = np.array([box["c"], box["r"]], dtype=np.float64)
            side = np.array([box["width"], box["height"]], dtype=np.float64)
            landmarks = (corner + _POINTS_IN_BOX * side) * step + (step - 1) / 2
            faces.append(DetectedFace(landmarks=landmarks, area=float(side.prod()) * step * step))
        return faces


_DETECTORS = {detector.name: detector for detector in (OpenCVDetector, MediapipeDetector, DlibDetector, BoxDetector)}


@functools.lru_cache(maxsize=4)
def make_detector(name: str, model_path: str | None, min_score: float) -> FaceDetector:
    """Load a face detector; each process loads it once.

    Args:
        name (`str`): "opencv", "mediapipe", "dlib" or "box".
        model_path (`str`, *optional*): The user's model file; "box" needs none.
        min_score (`float`): Faces below this confidence are passed over.

    Returns:
        `FaceDetector`: Ready.

    Raises:
        AlignmentError: If the module or the model file is missing or unusable.
    """
    return _DETECTORS[name](model_path, min_score)


@dataclass(frozen=True)
class LandmarkTrack:
    """Landmarks of some frames of a clip.

    Args:
        frame_indices (`np.ndarray` of shape `(count,)`): int64, 0-based in the clip, rising; -1 alone: whole clip.
        points (`np.ndarray` of shape `(count, 5, 2)`): float64, pixels (x, y).
    """

    frame_indices: np.ndarray
    points: np.ndarray


def find_landmark_file(clip_path: str) -> str | None:
    """Landmark table beside a clip: in its folder, or in the folder that holds it.

    Args:
        clip_path (`str`): Frame folder or video file.

    Returns:
        `str` or `None`: Path of the table.
    """
    clip_path = os.path.abspath(clip_path)
    for folder in (clip_path, os.path.dirname(clip_path)):
        for name in LANDMARK_FILE_NAMES:
            if os.path.isfile(os.path.join(folder, name)):
                return os.path.join(folder, name)
    return None


def load_landmarks(path: str) -> dict[str, LandmarkTrack]:
    """Read a landmark table.

    Args:
        path (`str`):
            CSV or Parquet with the columns `clip_id`, `frame_index` (0-based in the clip; -1: whole clip), then
            `left_eye_x`, `left_eye_y`, `right_eye_x`, ..., `right_mouth_corner_y` in pixels.

    Returns:
        `dict[str, LandmarkTrack]`: By clip.

    Raises:
        AlignmentError: If the table is missing, lacks columns or holds something else than numbers.
    """
    if not os.path.isfile(path):
        raise AlignmentError(f"landmarks_path must be a CSV or Parquet file, but there is none at {path!r}; check it")
    return _load_landmarks(path, os.stat(path).st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _load_landmarks(path: str, _modified_ns: int) -> dict[str, LandmarkTrack]:
    columns = _read_parquet(path) if path.lower().endswith((".parquet", ".pq")) else _read_csv(path)
    missing = [name for name in LANDMARK_COLUMNS if name not in columns]
    if missing:
        raise AlignmentError(f"a landmark table needs the columns {missing}, which {path!r} lacks; add them")
    try:
        points = np.array([columns[name] for name in LANDMARK_COLUMNS[2:]], dtype=np.float64).T.reshape(-1, 5, 2)
        frames = np.array(columns["frame_index"], dtype=np.int64)
    except (TypeError, ValueError) as error:
        raise AlignmentError(f"a landmark table holds numbers, but {path!r} does not ({error}); mend it") from error
    rows: dict[str, list[int]] = {}
    for row, clip_id in enumerate(columns["clip_id"]):
        rows.setdefault(str(clip_id), []).append(row)
    tracks = {}
    for clip_id, chosen in rows.items():
        order = sorted(chosen, key=lambda row: int(frames[row]))
        tracks[clip_id] = LandmarkTrack(frames[order], check_landmarks(points[order], f"{clip_id} in {path}"))
    return tracks


def _read_csv(path: str) -> dict[str, list[str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            return {name: [row[name] for row in rows] for name in reader.fieldnames or ()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AlignmentError(f"a landmark table must be readable, but {path!r} is not ({error}); mend it") from error


def _read_parquet(path: str) -> dict[str, list[Any]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise AlignmentError(f"reading {path!r} needs pyarrow; run pip install pyarrow or give a CSV file") from error
    try:
        # One thread: the table is also read in forked workers.
        return parquet.read_table(path, use_threads=False).to_pydict()
    except (OSError, ValueError) as error:
        raise AlignmentError(f"a landmark table must be readable, but {path!r} is not ({error}); mend it") from error
