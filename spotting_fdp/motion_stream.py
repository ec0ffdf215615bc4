"""Motion of a face over any length of time along a few directions, in bounded memory.

Blocks of two seconds overlap by half. In each block, frames are stabilised on the middle one and compared with the
mean of the block by one linear Lucas-Kanade step; blocks are shifted by their mean difference where they overlap, and
cross-faded. The result is the displacement of the skin, continuous over the recording, projected on the initial Fisher
directions of FDP's movement scorer, because these tell the movement of a face from a drifting head and light. Our
choice; docs/spotting.md describes all steps.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from modeling_fdp.motion_fdp import stabilize
from modeling_fdp.movement_curves_fdp import GRID_SIZE, motion_by_place
from modeling_fdp.movement_directions_fdp import NUM_DIRECTIONS, fitted_directions
from processing_fdp.even_light_fdp import even_light
from spotting_fdp.face_stream import FacePart

# Moments a second of all curves, whatever the frame rate.
RATE = 60
BLOCK_S, HOP_S = 2.0, 1.0
# With fewer frames than this a movement cannot be told from noise (our choice).
LEAST_FRAMES = 8
# Rows of the 16 x 16 places above the mouth in the crop of `face_stream`; these alone are judged while the mouth
# talks.
UPPER_ROWS = 9


@dataclass(frozen=True)
class Motion:
    """Curves of consecutive moments, `RATE` a second.

    Args:
        first (`int`): Number of the first moment; moment `n` is at `n / RATE` seconds of the recording.
        whole (`np.ndarray` of shape `(num_moments, num_directions)`): float32, motion of the whole face along the
            directions; a movement of usual size reaches about 100.
        upper (`np.ndarray` of shape `(num_moments, num_directions)`): float32, of the face above the mouth.
        extra (`np.ndarray` of shape `(num_moments, num_extra)`): float32, along the further directions of the stream.
        continues (`bool`): Whether the moment before `first` belongs to the same curves.
    """

    first: int
    whole: NDArray[np.float32]
    upper: NDArray[np.float32]
    extra: NDArray[np.float32]
    continues: bool

    def __len__(self) -> int:
        return len(self.whole)

    @property
    def end(self) -> int:
        """Number of the moment after the last one."""
        return self.first + len(self)

    def between(self, since: int, until: int) -> "Motion":
        """The moments from `since` to before `until` (`Motion`)."""
        start, end = (min(max(moment - self.first, 0), len(self)) for moment in (since, until))
        whole, upper, extra = (curves[start:end] for curves in (self.whole, self.upper, self.extra))
        return Motion(self.first + start, whole, upper, extra, self.continues)

    def followed_by(self, later: "Motion") -> "Motion":
        """These moments and those that follow without an interruption (`Motion`)."""
        whole, upper, extra = (
            np.concatenate(pair)
            for pair in ((self.whole, later.whole), (self.upper, later.upper), (self.extra, later.extra))
        )
        return Motion(self.first, whole, upper, extra, self.continues)


class MotionStream:
    """Turns the parts of one face into curves of motion.

    Args:
        fps (`float`): Frame rate of the recording. Of cameras with 120 frames per second or more, neighbouring frames
            are averaged to 60 to 120 a second; all others are interpolated to `RATE`.
        extra (`torch.Tensor` of shape `(MOTION_SIZE, num_extra)`, *optional*): Further directions; none by default.
    """

    def __init__(self, fps: float, extra: torch.Tensor | None = None) -> None:
        self._fps = fps
        self._stride = max(1, int(fps // RATE))
        self._block = max(LEAST_FRAMES, round(BLOCK_S * fps / self._stride))
        self._hop = max(1, round(HOP_S * fps / self._stride))
        directions = region_directions()
        self._directions = directions if extra is None else torch.cat([directions, extra], dim=1)
        self._begin(0)

    def _begin(self, first_frame: int) -> None:
        self._first_frame = first_frame
        # Frames that are not yet averaged; averaged frames whose motion is not final; and the motion that the block
        # before gave the first of these.
        self._raw = torch.zeros(0)
        self._pictures = torch.zeros(0)
        self._overlap = torch.zeros(0, self._directions.shape[1])
        # Motion of averaged frames that is interpolated when the next one is known, and the number of the first of
        # them.
        self._waiting = torch.zeros(0, self._directions.shape[1])
        self._waiting_from = 0
        self._started = False

    def add(self, part: FacePart) -> list[Motion]:
        """Add the next part; return the curves that no later part changes (`list[Motion]`)."""
        found = [] if part.continues else self.finish()
        if not part.continues:
            self._begin(part.first)
        raw = part.crops[0].float()
        raw = torch.cat([self._raw, raw]) if len(self._raw) else raw
        whole = len(raw) - len(raw) % self._stride
        self._raw = raw[whole:]
        averaged = raw[:whole].unflatten(0, (-1, self._stride)).mean(1)
        self._pictures = torch.cat([self._pictures, averaged]) if len(self._pictures) else averaged
        # Half a hop more than a block must be held, because `finish` takes all remaining frames as one block.
        while len(self._pictures) > self._block + self._hop // 2:
            found += self._take(self._block, self._hop)
        return found

    def finish(self) -> list[Motion]:
        """Return the curves of the remaining frames (`list[Motion]`); the next part must not continue them."""
        count = len(self._pictures)
        found = self._take(count, count) if count >= LEAST_FRAMES else []
        self._begin(0)
        return found

    @torch.inference_mode()
    def _take(self, length: int, done: int) -> list[Motion]:
        """Compute the motion of a block, join it to the block before, and return that of its first `done` frames."""
        position = _block_motion(self._pictures[:length]) @ self._directions
        common = len(self._overlap)
        if common:
            position = position - (position[:common] - self._overlap).mean(0)
            fade = torch.linspace(0, 1, common)[:, None]
            position[:common] = (1 - fade) * self._overlap + fade * position[:common]
        self._overlap, self._pictures = position[done:], self._pictures[done:]
        return self._resample(torch.cat([self._waiting, position[:done]]))

    def _resample(self, rows: torch.Tensor) -> list[Motion]:
        """Interpolate motion at averaged frames to `RATE` a second, up to the last of these frames."""
        # Moments of the recording per averaged frame, and the moment in the middle of the first and the last one.
        per_row = self._stride / self._fps * RATE
        start = (self._first_frame + (self._stride - 1) / 2) / self._fps * RATE + self._waiting_from * per_row
        end = start + (len(rows) - 1) * per_row
        first, last = int(np.ceil(start - 1e-6)), int(np.floor(end + 1e-6))
        # The moment of a waiting row was returned by the call before.
        first += int(self._started and abs(first - start) < 1e-6)
        self._waiting, self._waiting_from = rows[-1:], self._waiting_from + len(rows) - 1
        if last < first:
            return []
        at = ((torch.arange(first, last + 1, dtype=torch.float64) - start) / per_row).clamp(0, len(rows) - 1)
        low = at.floor().long()
        high = (low + 1).clamp(max=len(rows) - 1)
        values = torch.lerp(rows[low], rows[high], (at - low).float()[:, None]).numpy()
        continues, self._started = self._started, True
        return [motion_of(first, values, continues)]


def motion_of(first: int, values: NDArray[np.float32], continues: bool) -> Motion:
    """Split motion along the directions of the whole face, of its upper part, and further ones (`Motion`)."""
    whole, upper, extra = np.split(values, (NUM_DIRECTIONS, 2 * NUM_DIRECTIONS), axis=1)
    return Motion(first, whole, upper, extra, continues)


def region_directions() -> torch.Tensor:
    """Matrix from motion at all places to directions of the whole and of the upper face: `(MOTION_SIZE, 32)`."""
    whole = fitted_directions()
    # (num_directions, MOTION_SIZE) -> (num_directions, right and down, rows, columns)
    upper = whole.unflatten(1, (2, GRID_SIZE, GRID_SIZE)).clone()
    upper[:, :, UPPER_ROWS:] = 0
    return torch.cat([whole, upper.flatten(1)]).T.contiguous()


def _block_motion(pictures: torch.Tensor) -> torch.Tensor:
    """Motion of pictures, gray levels `(num_frames, side, side)`, against their mean: `(num_frames, MOTION_SIZE)`."""
    frames = even_light(pictures) / 127.5 - 1
    still = stabilize(frames[None, :, None], anchor=len(frames) // 2)
    return motion_by_place(still[:, :, 0])[0]
