"""Finds faces and places 468 points on each: MediaPipe's BlazeFace and FaceMesh in torch, on the CPU, in batches.

The networks are in `face_networks_fdp.py`; tracking over frames, and measures from the points, are in
`face_track_fdp.py`. Squares and steps are those of MediaPipe's face pipelines unless a line says otherwise.
"""

import functools
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError

from .crop_geometry_fdp import BORDER_VALUE, AlignmentError, sample_frames
from .face_detectors_fdp import DetectedFace
from .face_networks_fdp import DETECTOR_SIZE, MESH_SIZE, detector_anchors, load_face_networks, packaged_weights

# Points of the mesh for the five of the alignment: outer and inner corner of each eye (sides as seen), nose tip, mouth
# corners.
MESH_EYES = ((33, 133), (362, 263))
MESH_POINTS = (1, 61, 291)
# Side of the mesh network's square over the longer side of a box or a mesh (MediaPipe's `scale_x: 1.5`).
SQUARE_SCALE = 1.5
# Least overlap of boxes of one face, of which the weighted mean is taken (MediaPipe's `min_suppression_threshold`).
OVERLAP = 0.3
# Largest distance of neighbouring windows of a search, in windows (our choice).
WINDOW_STEP = 0.6
# Frame pixels per detector pixel of the finest search, which finds faces with 15 pixels between the eyes; and longest
# side, in pixels, at which a frame is searched, which bounds time and memory (our choice).
FINEST_SCALE = 1.0
MAX_SEARCHED_SIDE = 2048
# Least probability of a face, by the mesh network, in the first and the second pass over a box. In the second, each
# of 40 rendered faces, 15 to 170 pixels between the eyes, reached 0.9996; texture, noise and pictures of scikit-image
# without people stayed below 0.6 (tests/processing_fdp/test_face_mesh.py holds both).
FIRST_PRESENCE, SECOND_PRESENCE = 0.1, 0.9
# Largest batch of the detector, in windows and in pixels of whole frames.
_BATCH = 32
_BATCH_PIXELS = 5_000_000


@dataclass(frozen=True, kw_only=True)
class MeshFace(DetectedFace):
    """One face in one frame, with its mesh.

    Args:
        mesh (`np.ndarray` of shape `(468, 3)`): float64, pixels (x, y) and depth in the same unit, nearer is smaller.
    """

    mesh: np.ndarray


@dataclass(frozen=True)
class FaceSquare:
    """The rotated square of a frame that is the mesh network's input.

    Args:
        centre_xy (`tuple[float, float]`): Middle (x, y) in pixels.
        side (`float`): Length of a side in pixels.
        angle (`float`): Rotation of the eyes' line, in radians, positive clockwise in the image.
    """

    centre_xy: tuple[float, float]
    side: float
    angle: float

    @property
    def axes(self) -> np.ndarray:
        """The axes of the square as columns, float64 `(2, 2)`."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])

    def transform(self, size: int) -> np.ndarray:
        """Transform of the square's pixels, `size` along a side, to frame pixels: `(2, 3)`, float64."""
        linear = self.axes * (self.side / size)
        middle = np.full(2, (size - 1) / 2)
        return np.concatenate([linear, (self.centre_xy - linear @ middle)[:, None]], axis=1)

    @classmethod
    def around(cls, points: np.ndarray) -> "FaceSquare":
        """Square around the points of a mesh, level with its eyes.

        Args:
            points (`np.ndarray` of shape `(468, 2)` or `(468, 3)`): Pixels.
        """
        across = points[MESH_EYES[1][1], :2] - points[MESH_EYES[0][0], :2]
        turned = cls((0.0, 0.0), 0.0, math.atan2(across[1], across[0]))
        levelled = points[:, :2] @ turned.axes
        low, high = levelled.min(axis=0), levelled.max(axis=0)
        x, y = turned.axes @ ((low + high) / 2)
        return cls((float(x), float(y)), SQUARE_SCALE * float((high - low).max()), turned.angle)

    def is_near(self, other: "FaceSquare", shift: float, scale: float, turn: float) -> bool:
        """Whether another square differs by at most `shift` of the side, a factor `scale` and `turn` radians."""
        moved = math.hypot(self.centre_xy[0] - other.centre_xy[0], self.centre_xy[1] - other.centre_xy[1])
        turned = abs(math.remainder(self.angle - other.angle, 2 * math.pi))
        return (
            moved <= shift * self.side and abs(math.log(other.side / self.side)) <= math.log(scale) and turned <= turn
        )


def five_of_mesh(points: np.ndarray) -> np.ndarray:
    """Take the five points of the alignment from meshes.

    Args:
        points (`np.ndarray` of shape `(..., 468, 3)`): Pixels.

    Returns:
        `np.ndarray` of shape `(..., 5, 2)`: Left eye, right eye, nose tip, mouth corners; eyes are the middle of their
        corners.
    """
    eyes = [points[..., list(corners), :2].mean(axis=-2) for corners in MESH_EYES]
    return np.stack([*eyes, *(points[..., index, :2] for index in MESH_POINTS)], axis=-2)


class FaceMeshDetector:
    """Finds faces and their meshes in colour frames.

    Args:
        weights_path (`str`, *optional*): `face_mesh.safetensors`; by default the one beside this file.
        min_score (`float`, *optional*, defaults to 0.5):
            Boxes with a lower score are ignored; a tracked face is lost when the mesh network's probability is lower.

    Example:
    ```python
    >>> import numpy as np
    >>> from processing_fdp.face_mesh_fdp import FaceMeshDetector

    >>> FaceMeshDetector().detect(np.zeros((2, 120, 160, 3), dtype=np.uint8))
    [[], []]

    ```
    """

    def __init__(self, weights_path: str | None = None, min_score: float = 0.5) -> None:
        path = packaged_weights() if weights_path is None else weights_path
        if not os.path.isfile(path):
            raise AlignmentError(
                f"the face mesh needs its weights, but there is no file {path!r}; install the package again or load "
                "the processor from a folder that holds face_mesh.safetensors"
            )
        try:
            self._networks = load_face_networks(path)
        except (OSError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:160]
            raise AlignmentError(
                f"the face mesh needs its own weights, but {path!r} does not load ({reason}); fetch the file again"
            ) from error
        self._anchors = detector_anchors()
        self.min_score = min_score

    def detect(self, frames: np.ndarray, thorough: bool = True) -> list[list[MeshFace]]:
        """Find all faces of each frame independently.

        Args:
            frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): uint8, RGB.
            thorough (`bool`, *optional*, defaults to `True`):
                If the whole frame shows no face, search ever smaller windows for small ones, and the frame with a
                border for one that fills it. `False` searches the whole frame only.

        Returns:
            `list[list[MeshFace]]`: Faces of each frame from left to right; empty without a face.
        """
        faces_of_frames: list[list[MeshFace]] = []
        whole, *closer = self._scales(frames.shape[1:3], thorough)
        together = max(1, _BATCH_PIXELS // (frames.shape[1] * frames.shape[2]))
        for start in range(0, len(frames), together):
            # (num_frames, height, width, 3) -> (num_frames, 3, height, width)
            pixels = torch.from_numpy(frames[start : start + together]).permute(0, 3, 1, 2)
            for row, squares in enumerate(self._search(pixels, whole)):
                frame = pixels[row : row + 1]
                faces = self.confirm(frame, squares)
                for scale in closer:
                    faces = faces or self.confirm(frame, self._search(frame, scale)[0])
                faces_of_frames.append(sorted(faces, key=lambda face: float(face.centre[0])))
        return faces_of_frames

    @staticmethod
    def _scales(size_hw: tuple[int, ...], thorough: bool) -> list[float]:
        """Frame pixels per pixel of the detector's windows, in the order in which they are tried."""
        longer, shorter = max(size_hw), min(size_hw)
        whole = longer / DETECTOR_SIZE
        if not thorough:
            return [whole]
        finest = max(FINEST_SCALE, longer / MAX_SEARCHED_SIDE)
        scales = [whole, 1.5 * whole]
        scale = shorter / DETECTOR_SIZE / (1 if longer > 1.3 * shorter else 2)
        while scale > finest:
            scales.append(scale)
            scale /= 2
        return [*scales, finest] if whole > finest else scales

    @torch.inference_mode()
    def _search(self, pixels: torch.Tensor, scale: float) -> list[list[FaceSquare]]:
        """Squares of the faces in each frame, at one scale of the detector; best first."""
        count, _, height, width = pixels.shape
        canvas_hw = [max(DETECTOR_SIZE, math.ceil(side / scale)) for side in (height, width)]
        # The frame lies in the middle of the canvas.
        offset = [
            (side - 1) / 2 - scale * (canvas - 1) / 2 for side, canvas in zip((height, width), canvas_hw, strict=True)
        ]
        transform = np.array([[scale, 0.0, offset[1]], [0.0, scale, offset[0]]])
        canvas = sample_frames(pixels.flatten(0, 1), transform, (canvas_hw[0], canvas_hw[1]), samples=1)
        canvas = ((canvas + BORDER_VALUE) / 127.5 - 1).reshape(count, 3, *canvas.shape[1:])
        starts = [_window_starts(side) for side in canvas_hw]
        corners = [(top, left) for top in starts[0] for left in starts[1]]
        windows = [canvas[:, :, top : top + DETECTOR_SIZE, left : left + DETECTOR_SIZE] for top, left in corners]
        boxes: list[list[np.ndarray]] = [[] for _ in range(count)]
        scores: list[list[float]] = [[] for _ in range(count)]
        for first in range(0, len(windows), max(1, _BATCH // count)):
            part = windows[first : first + max(1, _BATCH // count)]
            logits, values = self._networks.detector(torch.cat(part).contiguous(memory_format=torch.channels_last))
            probabilities = logits.sigmoid()
            for row, box in (probabilities >= self.min_score).nonzero().tolist():
                top, left = corners[first + row // count]
                # Middle and six points relative to the anchor, and, in the second place, width and height.
                placed = values[row, box].cpu().double().reshape(8, 2)
                origin = self._anchors[box].cpu().double() + torch.tensor([left, top])
                placed[[0, 2, 3, 4, 5, 6, 7]] += origin
                boxes[row % count].append(placed.numpy())
                scores[row % count].append(float(probabilities[row, box]))
        middle = np.array([offset[1], offset[0]]) - scale / 2
        return [
            [_square_of_box(box, scale, middle) for box in _merge_boxes(np.array(frame_boxes), np.array(frame_scores))]
            for frame_boxes, frame_scores in zip(boxes, scores, strict=True)
        ]

    @torch.inference_mode()
    def place(self, pixels: torch.Tensor, square: FaceSquare) -> tuple[np.ndarray, np.ndarray]:
        """Place the points of the face in one square of each frame.

        Args:
            pixels (`torch.Tensor` of shape `(num_frames, 3, height, width)`): uint8, RGB.
            square (`FaceSquare`): Input of the network.

        Returns:
            `tuple[np.ndarray, np.ndarray]`: Points `(num_frames, 468, 3)`, float64 pixels (x, y) and depth in the same
            unit, nearer is smaller; and the probability of a face `(num_frames,)`.
        """
        transform = square.transform(MESH_SIZE)
        crops = sample_frames(pixels.flatten(0, 1), transform, (MESH_SIZE, MESH_SIZE), samples=1)
        crops = ((crops + BORDER_VALUE) / 255).reshape(len(pixels), 3, *crops.shape[1:])
        points, presence = self._networks.mesh(crops.contiguous(memory_format=torch.channels_last))
        placed = points.cpu().double().numpy()
        # Half a pixel less, because the network counts from the upper left edge, and frames from pixel centres.
        flat = (placed[..., :2] - 0.5) @ transform[:, :2].T + transform[:, 2]
        depth = placed[..., 2:] * (square.side / MESH_SIZE)
        return np.concatenate([flat, depth], axis=-1), presence.sigmoid().cpu().double().numpy()

    def confirm(self, pixels: torch.Tensor, squares: Iterable[FaceSquare]) -> list[MeshFace]:
        """Return the faces that the mesh network confirms in candidate squares.

        Args:
            pixels (`torch.Tensor` of shape `(1, 3, height, width)`): uint8, RGB, one frame.
            squares (`Iterable[FaceSquare]`): Candidates.

        Returns:
            `list[MeshFace]`: In the order of the squares; without duplicates.
        """
        faces: list[MeshFace] = []
        for square in squares:
            # A box is a rough guess, so the second pass uses the square around the points of the first.
            points, presence = self.place(pixels, square)
            if presence[0] < FIRST_PRESENCE:
                continue
            points, presence = self.place(pixels, FaceSquare.around(points[0]))
            if presence[0] < SECOND_PRESENCE:
                continue
            extent = np.ptp(points[0, :, :2], axis=0)
            five, score = five_of_mesh(points[0]), float(presence[0])
            face = MeshFace(landmarks=five, area=float(extent.prod()), score=score, mesh=points[0])
            if all(np.linalg.norm(face.centre - other.centre) > 0.25 * math.sqrt(other.area) for other in faces):
                faces.append(face)
        return faces


def _window_starts(side: int) -> list[int]:
    spare = side - DETECTOR_SIZE
    steps = math.ceil(spare / (WINDOW_STEP * DETECTOR_SIZE))
    return [round(start) for start in np.linspace(0, spare, steps + 1)]


def _merge_boxes(boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """Mean of the boxes of each face, weighted by their scores; best first. A box is (8, 2): middle, size, points."""
    merged = []
    left = np.argsort(-scores)
    while len(left):
        best = boxes[left[0]]
        low = np.maximum(boxes[left, 0] - boxes[left, 1] / 2, best[0] - best[1] / 2)
        high = np.minimum(boxes[left, 0] + boxes[left, 1] / 2, best[0] + best[1] / 2)
        shared = np.clip(high - low, 0, None).prod(axis=1)
        same = shared > OVERLAP * (boxes[left, 1].prod(axis=1) + best[1].prod() - shared)
        same[0] = True
        merged.append(np.average(boxes[left[same]], axis=0, weights=scores[left[same]]))
        left = left[~same]
    return merged


def _square_of_box(box: np.ndarray, scale: float, origin: np.ndarray) -> FaceSquare:
    """Square of a box of the detector, in frame pixels; the first two points are the eyes."""
    across = box[3] - box[2]
    x, y = box[0] * scale + origin
    return FaceSquare(
        (float(x), float(y)), SQUARE_SCALE * scale * float(box[1].max()), math.atan2(across[1], across[0])
    )


@functools.lru_cache(maxsize=4)
def load_mesh_detector(weights_path: str | None, min_score: float) -> FaceMeshDetector:
    """Load the face mesh; each process loads it once.

    Args:
        weights_path (`str`, *optional*): As in `FaceMeshDetector`.
        min_score (`float`): As in `FaceMeshDetector`.

    Returns:
        `FaceMeshDetector`: The detector with its weights.

    Raises:
        AlignmentError: If the weights are missing or damaged.
    """
    return FaceMeshDetector(weights_path, min_score)
