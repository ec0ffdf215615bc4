"""Face detectors with a model file of the user: YuNet through OpenCV, and dlib. The mesh is in `face_mesh_fdp.py`.

Every detector returns `DetectedFace` in the five-point order of `crop_geometry_fdp.py`. Nothing is downloaded.
"""

import functools
import importlib
import os
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from .crop_geometry_fdp import AlignmentError

# Indices in the 68-point scheme of 300-W (Sagonas et al. 2013), which dlib's predictor follows: eyes 36-41 and 42-47,
# nose tip 30, mouth corners 48 and 54.
EYES_OF_68 = (slice(36, 42), slice(42, 48))
POINTS_OF_68 = (30, 48, 54)


@dataclass(frozen=True)
class DetectedFace:
    """One face in one frame.

    Args:
        landmarks (`np.ndarray` of shape `(5, 2)`): float64, pixels (x, y).
        area (`float`): Area of the face's box, in pixels; the largest face is used by default.
        score (`float`): The detector's confidence; 1 of a detector that gives none.
    """

    landmarks: np.ndarray
    area: float
    score: float = 1.0

    @property
    def centre(self) -> np.ndarray:
        """Middle of the landmarks (x, y) in pixels."""
        return np.asarray(self.landmarks.mean(axis=0))


class FaceDetector:
    """Finds faces in colour frames. A subclass sets `name`, the value of `alignment`, and defines `_detect`.

    Args:
        model_path (`str`, *optional*): The setting `landmark_model_path`.
        min_score (`float`, *optional*, defaults to 0.5): Faces below this confidence are ignored.
    """

    name = ""

    def __init__(self, model_path: str | None = None, min_score: float = 0.5) -> None:
        self.model_path = model_path
        self.min_score = min_score

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


class LibraryDetector(FaceDetector):
    """A detector of a library, imported as `self.library`, that reads a model file of the user.

    A subclass also sets `module`, `install` and `model_hint`: what is imported, and parts of the errors.

    Args:
        model_path (`str`): The user's model file.
        min_score (`float`, *optional*, defaults to 0.5): Faces below this confidence are ignored.
    """

    module: str
    install: str
    model_hint: str
    model_path: str

    def __init__(self, model_path: str | None = None, min_score: float = 0.5) -> None:
        self.library = self._import_library()
        super().__init__(self._check_model(model_path), min_score)

    def _import_library(self) -> ModuleType:
        try:
            return importlib.import_module(self.module)
        except (ImportError, OSError) as error:
            raise AlignmentError(
                f"alignment={self.name!r} needs the module {self.module}, which does not load ({error}); "
                f"{self.install}"
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


class OpenCVDetector(LibraryDetector):
    """YuNet through OpenCV's `FaceDetectorYN`, which gives the five points itself."""

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
        # YuNet expects BGR. Its order is right eye, left eye, nose, right and left mouth corner of the person, which
        # is left to right in the image.
        _, rows = self._detector.detect(np.ascontiguousarray(frame[:, :, ::-1]))
        return [
            DetectedFace(
                landmarks=np.asarray(row[4:14], dtype=np.float64).reshape(5, 2),
                area=float(row[2] * row[3]),
                score=float(row[14]),
            )
            for row in (() if rows is None else rows)
        ]


class DlibDetector(LibraryDetector):
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
            eyes = [points[corners].mean(axis=0) for corners in EYES_OF_68]
            landmarks = np.stack([*eyes, *points[list(POINTS_OF_68)]])
            faces.append(DetectedFace(landmarks=landmarks, area=float(box.width() * box.height())))
        return faces


_DETECTORS: dict[str, type[FaceDetector]] = {detector.name: detector for detector in (OpenCVDetector, DlibDetector)}
DETECTORS = tuple(_DETECTORS)


@functools.lru_cache(maxsize=4)
def make_detector(name: str, model_path: str | None, min_score: float) -> FaceDetector:
    """Load a face detector; each process loads it once.

    Args:
        name (`str`): One of `DETECTORS`.
        model_path (`str`, *optional*): The setting `landmark_model_path`.
        min_score (`float`): Faces below this confidence are ignored.

    Returns:
        `FaceDetector`: The detector with its model.

    Raises:
        AlignmentError: If the module or the model file is missing or unusable.
    """
    return _DETECTORS[name](model_path, min_score)
