"""Frames of a recording of any length as crops of one face, in parts of bounded size.

The face mesh tracks the face, and the crop follows it slowly, because a crop by the points of every frame would shake
with their noise. A cut, a lost face, a change in the number of people, and a head that jumps out of its crop end
a part, so that no motion is measured across them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from processing_fdp.crop_geometry_fdp import crop_transform, pitch_of, warp_frames
from processing_fdp.face_mesh_fdp import FaceMeshDetector, FaceSquare, load_mesh_detector
from processing_fdp.face_track_fdp import FaceFollower
from processing_fdp.frame_source_fdp import FrameSource, to_gray

# The face is tracked `TRACKING_FPS` times a second, because its crop only moves with the head. `FOLLOWING_S` are the
# time constants, in seconds, of the average over the points and of the crop that follows this average: on small faces
# the points jump by a fortieth of the crop from frame to frame, and a crop that jumped with them would look like an
# expression (our choice).
TRACKING_FPS, FOLLOWING_S = 5.0, (1.0, 2.0)
# Tracked frames whose median points place the first crop of a part.
FIRST_FRAMES = 5
# Colour pixels in memory, and frames in one part at most (our choice).
PART_BYTES, PART_FRAMES = 64_000_000, 120
# A head has jumped when it differs from its crop by this share of the side, this factor or this angle (our choice).
FAR_SHIFT, FAR_SCALE, FAR_TURN = 0.15, 1.25, math.radians(15)
# A frame that correlates less than this with the one before belongs to another scene. Rendered frames of one scene
# correlate by 0.93 and more, also at 8 frames a second, those of two people in one place by 0.75 at most. Correlations
# are of thumbnails of this side (our choice).
LEAST_CORRELATION, THUMBNAIL_SIDE = 0.85, 48
# Reasons of an interruption.
CUT, LOST, PEOPLE, JUMP = "cut", "face lost", "number of people changed", "head jumped"


@dataclass(frozen=True)
class CropSettings:
    """Crop of the face, as in `FDPVideoProcessor`.

    Args:
        size_hw (`tuple[int, int]`, *optional*, defaults to `(64, 64)`): Height and width in pixels.
        crop_scale (`float`, *optional*, defaults to 2.0): Side over the largest extent of the five points.

    The defaults are the crop to which the directions belong (`training_fdp.methods.movement_directions`).
    """

    size_hw: tuple[int, int] = (64, 64)
    crop_scale: float = 2.0


@dataclass(frozen=True)
class FacePart:
    """Consecutive frames of the face.

    Args:
        first (`int`): 0-based number of the first frame.
        crops (`tuple` of `torch.Tensor` of shape `(num_frames, height, width)`): uint8, gray; one per `CropSettings`.
        continues (`bool`): Whether its first frame follows the last one of the part before, without an interruption.
    """

    first: int
    crops: tuple[torch.Tensor, ...]
    continues: bool

    def __len__(self) -> int:
        return len(self.crops[0])


@dataclass(frozen=True)
class Interruption:
    """A moment across which no motion is measured.

    Args:
        frame (`int`): First frame after it.
        reason (`str`): One of `CUT`, `LOST`, `PEOPLE`, `JUMP`.
    """

    frame: int
    reason: str


class FaceStream:
    """Cuts one face from a recording, part by part.

    Args:
        frames (`FrameSource`): The recording, open.
        fps (`float`): Its frame rate.
        crops (`tuple[CropSettings, ...]`): Crops to cut.
        detector (`FaceMeshDetector`, *optional*): The packaged one by default.
        face (`str` or `int`, *optional*, defaults to `"largest"`): Which face, as in `FaceFollower`.

    Attributes:
        frames_seen (`int`): Frames that showed the face so far.
        most_faces (`int`): Largest number of faces in one frame so far.
        interruptions (`list[Interruption]`): Interruptions so far, in time order.
    """

    def __init__(
        self,
        frames: FrameSource,
        fps: float,
        crops: tuple[CropSettings, ...] = (CropSettings(),),
        detector: FaceMeshDetector | None = None,
        face: str | int = "largest",
    ) -> None:
        self._frames = frames
        self._crops = crops
        self._follower = FaceFollower(detector or load_mesh_detector(None, 0.5), face)
        self._step = max(1, round(fps / TRACKING_FPS))
        self._shares = [1 - math.exp(-self._step / fps / seconds) for seconds in FOLLOWING_S]
        # The five points by which the crop is cut, and the average that they follow; `None` while the face is unknown.
        self._anchor: NDArray[np.float64] | None = None
        self._average = np.zeros((5, 2))
        self._was_seen = True
        self._continues = False
        self._people = 0
        self._thumbnail: NDArray[np.float64] | None = None
        self.frames_seen = 0
        self.most_faces = 0
        self.interruptions: list[Interruption] = []

    def parts(self) -> Iterator[FacePart]:
        """Yield the parts in time order; frames without the face are left out."""
        height, width = self._frames.size_hw
        length = max(self._step, min(PART_FRAMES, PART_BYTES // (3 * height * width)))
        # Whole steps, so that every part begins with a tracked frame.
        length -= length % self._step
        for first in range(0, self._frames.frame_count, length):
            numbers = np.arange(first, min(first + length, self._frames.frame_count))
            rgb = self._frames.read_rgb(numbers)
            gray = to_gray(rgb)
            for stretch, points in self._stretches(first, rgb, self._cuts(gray)):
                yield self._part(first, gray, stretch, points)

    def _stretches(
        self, first: int, rgb: NDArray[np.uint8], cuts: list[int]
    ) -> Iterator[tuple[range, NDArray[np.float64]]]:
        """Ranges of frames without an interruption, counted from `first`, and the five points that place each crop."""
        track = self._follower.follow(np.ascontiguousarray(rgb[:: self._step]))
        self.most_faces = max(self.most_faces, track.num_faces)
        # The follower counts faces in some frames only; the number is kept in between.
        people, self._people = self._people, track.num_faces or self._people
        changed = people not in (0, self._people)
        five_points = track.five_points.astype(np.float64)
        start, points = 0, [np.zeros((0, 5, 2))]

        def stretch(end: int) -> Iterator[tuple[range, NDArray[np.float64]]]:
            if end > start and self._anchor is not None:
                yield range(start, end), np.concatenate(points)

        for index, seen in enumerate(track.found):
            at = index * self._step
            reason = self._interruption(five_points[index], bool(seen), changed and index == 0)
            if reason is not None or not self._was_seen or self._anchor is None:
                yield from stretch(at)
                start, points = at, [np.zeros((0, 5, 2))]
            if reason is not None:
                self._interrupt(first + at, reason)
            self._was_seen = bool(seen)
            if not seen:
                continue
            if self._anchor is None:
                later = track.found[index : index + FIRST_FRAMES]
                known = len(later) if later.all() else int(later.argmin())
                self._anchor = self._average = np.median(five_points[index : index + known], axis=0)
            end = min(at + self._step, len(rgb))
            points.append(self._follow(self._anchor, five_points[index], end - at))
            for cut in (cut for cut in cuts if at <= cut < end):
                points[-1] = points[-1][: cut - at]
                yield from stretch(cut)
                # The face is unknown until the next tracked frame.
                self._interrupt(first + cut, CUT)
                break
        yield from stretch(len(rgb))

    def _follow(self, before: NDArray[np.float64], seen: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """Points that place the crops of `count` frames from a tracked one on, `(count, 5, 2)`, moving to `seen`."""
        self._average = self._average + self._shares[0] * (seen - self._average)
        self._anchor = before + self._shares[1] * (self._average - before)
        return before + np.arange(count)[:, None, None] / self._step * (self._anchor - before)

    def _interruption(self, points: NDArray[np.float64], seen: bool, changed: bool) -> str | None:
        """Reason of an interruption before this tracked frame; `None` without one, or if no face was followed."""
        if not seen:
            return LOST if self._was_seen else None
        if self._anchor is None:
            return None
        if changed:
            return PEOPLE
        near = _square_of(self._anchor).is_near(_square_of(points), FAR_SHIFT, FAR_SCALE, FAR_TURN)
        return None if near else JUMP

    def _interrupt(self, frame: int, reason: str) -> None:
        self._anchor, self._continues = None, False
        self.interruptions.append(Interruption(frame, reason))

    def _cuts(self, gray: NDArray[np.uint8]) -> list[int]:
        """Indices of frames that belong to another scene than the frame before."""
        rows, columns = (
            np.linspace(0, side - 1, min(side, THUMBNAIL_SIDE)).astype(np.int64) for side in gray.shape[1:]
        )
        small = gray[:, rows][:, :, columns].reshape(len(gray), -1).astype(np.float64)
        small -= small.mean(axis=1, keepdims=True)
        before = np.concatenate([small[:1] if self._thumbnail is None else self._thumbnail[None], small[:-1]])
        self._thumbnail = small[-1]
        size = np.linalg.norm(small, axis=1) * np.linalg.norm(before, axis=1)
        # A frame of one gray level, black or burnt out, correlates with nothing, but is no scene of its own.
        correlation = np.where(size > small.shape[1], (small * before).sum(axis=1) / np.maximum(size, 1e-9), 1.0)
        return np.flatnonzero(correlation < LEAST_CORRELATION).tolist()

    def _part(self, first: int, gray: NDArray[np.uint8], stretch: range, points: NDArray[np.float64]) -> FacePart:
        pixels = torch.from_numpy(gray[stretch.start : stretch.stop])
        crops = []
        for settings in self._crops:
            transforms = np.stack([crop_transform(five, settings.size_hw, settings.crop_scale) for five in points])
            crops.append(warp_frames(pixels, transforms, settings.size_hw, pitch_of(transforms)))
        part = FacePart(first + stretch.start, tuple(crops), self._continues)
        self._continues = True
        self.frames_seen += len(part)
        return part


def _square_of(five_points: NDArray[np.float64]) -> FaceSquare:
    """Square of the place, size and angle of a face, from its five points."""
    x, y = five_points.mean(axis=0)
    across = five_points[1] - five_points[0]
    extent = float(np.ptp(five_points, axis=0).max())
    return FaceSquare((float(x), float(y)), CropSettings.crop_scale * extent, math.atan2(across[1], across[0]))
