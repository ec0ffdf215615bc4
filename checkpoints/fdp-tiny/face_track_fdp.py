"""One face tracked through a clip, and measures of head, eyes and mouth from its 468 points."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .face_mesh_fdp import FaceMeshDetector, FaceSquare, MeshFace, five_of_mesh
from .face_networks_fdp import NUM_POINTS

# The 68 points of 300-W (Sagonas et al. 2013) as points of the mesh: the pairs left and right of MediaPipe's canonical
# face that lie nearest to the Multi-PIE vertices of ICT-FaceKit on 40 rendered faces, except
# the nose tip, which is that of the five points.
POINTS_68_OF_MESH = (
    *(127, 234, 93, 58, 172, 150, 149, 148, 152, 377, 378, 379, 397, 288, 323, 454, 356),  # jaw
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 195, 1, 98, 97, 2, 326, 327),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91),  # outer lips
    *(78, 81, 13, 311, 308, 402, 14, 178),  # inner lips
)
# Points that expressions hardly move: forehead, temples, corners of the eyes, bridge of the nose (our choice).
STILL_POINTS = (10, 151, 127, 356, 234, 454, 33, 133, 362, 263, 168, 6, 197, 195)
# Ends of the head's axes in the mesh: outer corners of the eyes, and forehead to chin, which is upright in MediaPipe's
# canonical face to within a degree.
_ACROSS, _DOWN = (33, 263), (10, 152)
# The eyes blink where their opening is below this share of its usual value in the clip. The eyes of rendered faces
# open to 0.72 of it or less in a blink, and to more than 0.89 otherwise.
BLINK_SHARE = 0.75
# Largest shift (share of the side), factor of size and turn at which the square is kept, because a square that moves
# with every frame would move the points (our choice).
_SHIFT, _SCALE, _TURN = 0.08, 1.15, math.radians(10)
# Largest batch of frames while the face stays in its square.
_BATCH = 16
# Interval, in frames, of the search for small faces while no face is followed, and of the count of faces.
_THOROUGH_EVERY, _COUNT_EVERY = 16, 32


@dataclass(frozen=True)
class FaceTrack:
    """One face through the frames of a clip.

    Args:
        points (`np.ndarray` of shape `(num_frames, 468, 3)`): float32, pixels (x, y) and depth in the same unit,
            nearer is smaller; NaN in frames without the face.
        scores (`np.ndarray` of shape `(num_frames,)`): float64, probability of a face in [0, 1]; 0 without one.
        num_faces (`int`): Largest number of faces in one frame, among frames in which they were counted.
    """

    points: np.ndarray
    scores: np.ndarray
    num_faces: int

    @classmethod
    def join(cls, parts: Sequence["FaceTrack"]) -> "FaceTrack":
        """Put the parts of one clip together."""
        return cls(
            np.concatenate([part.points for part in parts]),
            np.concatenate([part.scores for part in parts]),
            max(part.num_faces for part in parts),
        )

    @property
    def found(self) -> np.ndarray:
        """Which frames show the face: bool `(num_frames,)`."""
        return self.scores > 0

    @property
    def share_seen(self) -> float:
        """Share of the frames that show the face, in [0, 1]."""
        return float(self.found.mean())

    @property
    def five_points(self) -> np.ndarray:
        """Points of the alignment, `(num_frames, 5, 2)` pixels, NaN without a face."""
        return five_of_mesh(self.points)

    @property
    def points_68(self) -> np.ndarray:
        """Points in the order of 300-W, `(num_frames, 68, 2)` pixels, NaN without a face."""
        return self.points[:, list(POINTS_68_OF_MESH), :2]

    @property
    def eye_distance(self) -> np.ndarray:
        """Distance between the middles of the eyes in pixels, `(num_frames,)`; NaN without a face."""
        five = self.five_points
        answer: np.ndarray = np.linalg.norm(five[:, 1] - five[:, 0], axis=-1)
        return answer

    @property
    def head_pose(self) -> np.ndarray:
        """Yaw, pitch and roll in degrees, `(num_frames, 3)`; NaN without a face.

        Positive yaw turns to the image's right, positive pitch looks up, positive roll is clockwise in the image.
        """
        return head_pose(self.points)

    @property
    def eye_openness(self) -> np.ndarray:
        """Opening of the left and right eye (sides as seen) over its width, `(num_frames, 2)`; about 0.3 when open.

        The eye aspect ratio of Soukupova and Cech 2016.
        """
        lids = self.points_68[:, 36:48].reshape(-1, 2, 6, 2)
        openings = np.linalg.norm(lids[:, :, 1] - lids[:, :, 5], axis=-1)
        openings = openings + np.linalg.norm(lids[:, :, 2] - lids[:, :, 4], axis=-1)
        answer: np.ndarray = openings / (2 * np.linalg.norm(lids[:, :, 0] - lids[:, :, 3], axis=-1))
        return answer

    @property
    def mouth_openness(self) -> np.ndarray:
        """Gap between the inner lips over the distance of the eyes, `(num_frames,)`; 0 when shut."""
        points = self.points_68
        answer: np.ndarray = np.linalg.norm(points[:, 62] - points[:, 66], axis=-1) / self.eye_distance
        return answer

    def head_motion(self) -> np.ndarray:
        """Motion of the head against its median position, from points that expressions hardly move.

        Returns:
            `np.ndarray` of shape `(num_frames, 4)`: Shift to the right and down in distances of the eyes, turn in
            degrees (clockwise in the image), and size over the median size; NaN without a face.
        """
        motion = np.full((len(self.points), 4), np.nan)
        if not self.found.any():
            return motion
        still = self.points[:, list(STILL_POINTS), :2].astype(np.float64)
        places = still[..., 0] + 1j * still[..., 1]
        usual = np.median(still[self.found], axis=0) @ np.array([1, 1j])
        shift = places.mean(axis=1) - usual.mean()
        spread = usual - usual.mean()
        # Rotation and scale by least squares, as one complex number.
        factor = ((places - places.mean(axis=1, keepdims=True)) * spread.conj()).sum(axis=1) / (abs(spread) ** 2).sum()
        scale = float(np.median(self.eye_distance[self.found]))
        motion[:] = np.stack(
            [shift.real / scale, shift.imag / scale, np.degrees(np.angle(factor)), abs(factor)], axis=1
        )
        return motion

    def blinks(self) -> list[tuple[int, int]]:
        """First and last frame of each blink, 0-based, in time order.

        A blink is where the mean opening of both eyes falls below `BLINK_SHARE` of its usual value, the 80th
        percentile over the clip.
        """
        opening = self.eye_openness.mean(axis=1)
        if not self.found.any():
            return []
        usual = float(np.percentile(opening[self.found], 80))
        shut = np.concatenate([[False], np.nan_to_num(opening, nan=np.inf) < BLINK_SHARE * usual, [False]])
        edges = np.flatnonzero(shut[1:] != shut[:-1])
        return [(int(first), int(after) - 1) for first, after in zip(edges[::2], edges[1::2], strict=True)]


def head_pose(points: np.ndarray) -> np.ndarray:
    """Head pose from the points of the mesh.

    Args:
        points (`np.ndarray` of shape `(..., 468, 3)`): Pixels and depth.

    Returns:
        `np.ndarray` of shape `(..., 3)`: Yaw, pitch and roll in degrees, signs as in `FaceTrack.head_pose`.
    """
    # Axes: x to the right, y down, z towards the camera; depth is smaller when nearer, so z is its negative.
    places = points.astype(np.float64) * np.array([1, 1, -1])
    across = places[..., _ACROSS[1], :] - places[..., _ACROSS[0], :]
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    down = places[..., _DOWN[1], :] - places[..., _DOWN[0], :]
    down = down - (down * across).sum(axis=-1, keepdims=True) * across
    down = down / np.linalg.norm(down, axis=-1, keepdims=True)
    forward = np.cross(across, down)
    pitch = np.arcsin(np.clip(down[..., 2], -1, 1))
    yaw = np.arctan2(-across[..., 2], forward[..., 2])
    roll = np.arctan2(-down[..., 0], down[..., 1])
    answer: np.ndarray = np.degrees(np.stack([yaw, pitch, roll], axis=-1))
    return answer


class FaceFollower:
    """Tracks one face through a clip of any length that is passed in parts.

    The mesh network is applied where the face was in the previous frame; a frame is searched again only when the
    network finds no face there. Results do not depend on how the clip is cut into parts.

    Args:
        detector (`FaceMeshDetector`): Detector and mesh network.
        face (`str` or `int`, *optional*, defaults to `"largest"`):
            Which face to track in the first frame with faces: "largest", or a number counted from the left, from 0.
    """

    def __init__(self, detector: FaceMeshDetector, face: str | int = "largest") -> None:
        self.detector = detector
        self.face = face
        self._square: FaceSquare | None = None
        self._last: FaceSquare | None = None
        self._frames_seen = 0
        self._frames_lost = 0
        # Batch size of the mesh network: small after the face has moved.
        self._step = _BATCH

    def follow(self, frames: np.ndarray) -> FaceTrack:
        """Follow the face through the next frames of the clip.

        Args:
            frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): uint8, RGB.

        Returns:
            `FaceTrack`: One entry per frame.
        """
        count = len(frames)
        points = np.full((count, NUM_POINTS, 3), np.nan, dtype=np.float32)
        scores = np.zeros(count)
        num_faces = self._count_faces(frames)
        # (num_frames, height, width, 3) -> (num_frames, 3, height, width)
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
        at, renewed_at = 0, -1
        while at < count:
            if self._square is None:
                faces = self._search(frames[at], pixels[at : at + 1])
                num_faces = max(num_faces, len(faces))
                if not faces:
                    self._frames_lost += 1
                    at += 1
                    continue
                self._square, renewed_at = FaceSquare.around(self._choose(faces).mesh), at
            part = pixels[at : at + self._step]
            placed, presence = self.detector.place(part, self._square)
            kept = self._kept(placed, presence, self._square)
            if kept == 0 and renewed_at == at and presence[0] >= self.detector.min_score:
                # The square is that of this frame, so placing its points again would not improve them.
                kept = 1
            points[at : at + kept], scores[at : at + kept] = placed[:kept], presence[:kept]
            at += kept
            if kept:
                self._frames_lost = 0
                self._last = self._square
            if kept == len(part):
                self._step = min(2 * self._step, _BATCH)
            elif presence[kept] >= self.detector.min_score and renewed_at != at:
                self._square, self._step, renewed_at = FaceSquare.around(placed[kept]), 1, at
            else:
                self._square, self._step = None, 1
                if renewed_at == at:
                    # Found by the search but not confirmed: the frame shows no face.
                    self._frames_lost += 1
                    at += 1
        self._frames_seen += count
        return FaceTrack(points, scores, num_faces)

    def _kept(self, placed: np.ndarray, presence: np.ndarray, square: FaceSquare) -> int:
        """Number of placed frames, from the first on, with the face well inside the square."""
        for index, (points, score) in enumerate(zip(placed, presence, strict=True)):
            if score < self.detector.min_score:
                return index
            if not square.is_near(FaceSquare.around(points), _SHIFT, _SCALE, _TURN):
                return index
        return len(placed)

    def _search(self, frame: np.ndarray, pixels: torch.Tensor) -> list[MeshFace]:
        """Search where the face was last, then the whole frame, at intervals for small faces as well."""
        if self._last is not None:
            again = self.detector.confirm(pixels, [self._last])
            if again:
                return again
        return self.detector.detect(frame[None], thorough=self._frames_lost % _THOROUGH_EVERY == 0)[0]

    def _choose(self, faces: list[MeshFace]) -> MeshFace:
        if self._last is not None:
            last = np.array(self._last.centre_xy)
            return min(faces, key=lambda face: float(np.linalg.norm(face.centre - last)))
        if self.face == "largest":
            return max(faces, key=lambda face: face.area)
        return faces[min(int(self.face), len(faces) - 1)]

    def _count_faces(self, frames: np.ndarray) -> int:
        first = -self._frames_seen % _COUNT_EVERY
        counted = self.detector.detect(frames[first::_COUNT_EVERY], thorough=False)
        return max((len(faces) for faces in counted), default=0)


def track_face(frames: np.ndarray, detector: FaceMeshDetector | None = None, face: str | int = "largest") -> FaceTrack:
    """Track one face through a clip in memory; `FaceFollower` takes longer ones in parts.

    Args:
        frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): uint8, RGB.
        detector (`FaceMeshDetector`, *optional*): The packaged one by default.
        face (`str` or `int`, *optional*, defaults to `"largest"`): As in `FaceFollower`.

    Returns:
        `FaceTrack`: One entry per frame.
    """
    return FaceFollower(detector or FaceMeshDetector(), face).follow(frames)
