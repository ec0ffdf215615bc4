"""Frames of a recording of any length as crops of one face, in parts of bounded size.

The face mesh tracks the face; its crop stays where it is while the head does, because a crop that follows the points of
every frame would shake with their noise. A cut, a lost face, a change in the number of people and a head that leaves its
crop end a part, so that no motion is measured across them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from processing_fdp.crop_geometry_fdp import crop_transform, warp_frames
from processing_fdp.face_mesh_fdp import FaceMeshDetector, FaceSquare, load_mesh_detector
from processing_fdp.face_track_fdp import FaceFollower
from processing_fdp.frame_source_fdp import FrameSource, to_gray

# The crop that the movement directions were fitted for (training_fdp.movement_directions).
CROP_SIDE, CROP_SCALE = 64, 2.0
# The face is tracked in so many frames a second, because its crop only moves with the head (our choice).
TRACKING_FPS = 15.0
# Colour pixels in memory, and frames in one part at most (our choice).
PART_BYTES, PART_FRAMES = 64_000_000, 120
# A head has left its crop when its square moves by this share of its side, this factor, or this angle (our choice; the
# affine motion of the head is found up to 1/16 of the side within two seconds).
FAR_SHIFT, FAR_SCALE, FAR_TURN = 0.12, 1.2, math.radians(12)
# Frames whose correlation with the one before is lower belong to another scene; thumbnails have this side (our choice).
LEAST_CORRELATION, THUMBNAIL_SIDE = 0.6, 48
# Why a part ended.
CUT, LOST, PEOPLE, MOVED = "cut", "face lost", "number of people changed", "head left its crop"


@dataclass(frozen=True)
class FacePart:
    """Consecutive frames that show the face in one fixed crop.

    Args:
        first (`int`): 0-based number of the first frame.
        crops (`torch.Tensor` of shape `(num_frames, 64, 64)`): uint8, gray.
        continues (`bool`): Whether it goes on where the part before ended.
    """

    first: int
    crops: torch.Tensor
    continues: bool


@dataclass(frozen=True)
class Interruption:
    """A moment across which no motion is measured.

    Args:
        frame (`int`): First frame after it.
        reason (`str`): One of `CUT`, `LOST`, `PEOPLE`, `MOVED`.
    """

    frame: int
    reason: str


class FaceStream:
    """The face of a recording, part by part.

    Args:
        frames (`FrameSource`): The recording, open.
        fps (`float`): Its frame rate.
        detector (`FaceMeshDetector`, *optional*): The packaged one by default.
        face (`str` or `int`, *optional*, defaults to `"largest"`): Which face, as in `FaceFollower`.

    Attributes:
        frames_seen (`int`): Frames that showed the face so far.
        most_faces (`int`): Largest number of faces in one frame so far.
        interruptions (`list[Interruption]`): So far, in time order.
    """

    def __init__(
        self, frames: FrameSource, fps: float, detector: FaceMeshDetector | None = None, face: str | int = "largest"
    ) -> None:
        self._frames = frames
        self._follower = FaceFollower(detector or load_mesh_detector(None, 0.5), face)
        self._step = max(1, round(fps / TRACKING_FPS))
        self._crop: tuple[FaceSquare, NDArray[np.float64]] | None = None
        self._last_thumbnail: NDArray[np.float64] | None = None
        self._last: _Tracked | None = None
        self._people = 1
        self.frames_seen = 0
        self.most_faces = 0
        self.interruptions: list[Interruption] = []

    def parts(self) -> Iterator[FacePart]:
        """Yield the parts in time order; frames without the face are left out."""
        height, width = self._frames.size_hw
        length = max(self._step, min(PART_FRAMES, PART_BYTES // (3 * height * width)))
        # Whole steps, so that every part but the last begins with a tracked frame.
        length -= length % self._step
        for first in range(0, self._frames.frame_count, length):
            numbers = np.arange(first, min(first + length, self._frames.frame_count))
            rgb = self._frames.read_rgb(numbers)
            yield from self._split(first, rgb, to_gray(rgb))

    def _split(self, first: int, rgb: NDArray[np.uint8], gray: NDArray[np.uint8]) -> Iterator[FacePart]:
        tracked = self._track(rgb)
        cuts = self._cuts(gray)
        start = 0
        # Between tracked frames nothing is known but cuts, so a stretch goes from one of them to the next.
        for index, state in enumerate(tracked):
            at = index * self._step
            reason = self._reason(state)
            if reason is not None:
                yield from self._crops(first, gray, tracked, start, at)
                start = at
                self._interrupt(first + at, reason)
            elif self._last is not None and self._last.square is None:
                # The face is back.
                start = at
            self._last = state
            for cut in cuts[(cuts >= at) & (cuts < at + self._step)].tolist():
                yield from self._crops(first, gray, tracked, start, cut)
                start = cut
                self._interrupt(first + cut, CUT)
        yield from self._crops(first, gray, tracked, start, len(gray))

    def _interrupt(self, frame: int, reason: str) -> None:
        self._crop = None
        # A face that stays away is one interruption.
        lost_before = bool(self.interruptions) and self._last is not None and self._last.square is None
        if not (reason == LOST and lost_before):
            self.interruptions.append(Interruption(frame, reason))

    def _reason(self, state: "_Tracked") -> str | None:
        """Why the crop of the frames before cannot go on in this tracked frame; `None` if it can."""
        people, self._people = self._people, state.people
        if state.square is None:
            return LOST
        if self._crop is None:
            return None
        if people != state.people:
            return PEOPLE
        return None if self._crop[0].is_near(state.square, FAR_SHIFT, FAR_SCALE, FAR_TURN) else MOVED

    def _track(self, rgb: NDArray[np.uint8]) -> list["_Tracked"]:
        track = self._follower.follow(np.ascontiguousarray(rgb[:: self._step]))
        # Faces are counted in some parts only; in between their number stays.
        people = max(track.num_faces, 1) if track.num_faces else self._people
        self.most_faces = max(self.most_faces, track.num_faces)
        five = track.five_points
        return [
            _Tracked(
                FaceSquare.around(track.points[row].astype(np.float64)) if track.found[row] else None,
                five[row].astype(np.float64),
                people,
            )
            for row in range(len(track.points))
        ]

    def _cuts(self, gray: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Frames, counted from the first of this part, that do not look like the one before."""
        rows, columns = (
            np.linspace(0, side - 1, min(side, THUMBNAIL_SIDE)).astype(np.int64) for side in gray.shape[1:]
        )
        small = gray[:, rows][:, :, columns].reshape(len(gray), -1).astype(np.float64)
        small -= small.mean(axis=1, keepdims=True)
        before = small[:1] if self._last_thumbnail is None else self._last_thumbnail[None]
        earlier = np.concatenate([before, small[:-1]])
        self._last_thumbnail = small[-1]
        size = np.linalg.norm(small, axis=1) * np.linalg.norm(earlier, axis=1)
        # A frame of one gray level (black, burnt out) correlates with nothing; it is no scene of its own.
        correlation = np.where(size > small.shape[1], (small * earlier).sum(axis=1) / np.maximum(size, 1e-9), 1.0)
        cuts: NDArray[np.int64] = np.flatnonzero(correlation < LEAST_CORRELATION)
        return cuts

    def _crops(
        self, first: int, gray: NDArray[np.uint8], tracked: list["_Tracked"], start: int, end: int
    ) -> Iterator[FacePart]:
        """The frames `start..end - 1` of this part of the recording as crops, if the face was tracked there."""
        states = [tracked[index] for index in range(start // self._step, -(-end // self._step))]
        if end <= start or any(state.square is None for state in states):
            return
        continues = self._crop is not None
        if self._crop is None:
            # After a cut between tracked frames, the face is known again from the next one on.
            known = [state for state in states if state.square is not None]
            if start % self._step:
                skipped = self._step - start % self._step
                start, states, known = start + skipped, states[1:], known[1:]
                if end <= start or not known:
                    return
            square = known[len(known) // 2].square
            points = np.median([state.five_points for state in known], axis=0)
            if square is None:
                return
            self._crop = square, crop_transform(points, (CROP_SIDE, CROP_SIDE), CROP_SCALE)
        crops = warp_frames(torch.from_numpy(gray[start:end]), self._crop[1], (CROP_SIDE, CROP_SIDE))
        self.frames_seen += end - start
        yield FacePart(first + start, crops, continues)


@dataclass(frozen=True)
class _Tracked:
    """What the mesh says about one tracked frame; `square` is `None` without the face."""

    square: FaceSquare | None
    five_points: NDArray[np.float64]
    people: int
