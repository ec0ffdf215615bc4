"""Windows of recordings for training: other parts of a movement, frame rates and light than those of the coded clip.

A user's clips do not start at the onset and end at the offset. One window is drawn per clip and pass, of the kinds in
`WINDOW_KINDS`; a few are played backwards, and nearly half are thinned to the rate of a slower camera. Frames are
drawn by number from a NumPy generator, light is a gain per frame. Kinds and shares are our choice; they were
settled on rendered people whom no figure in docs/results/windows.md is about.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

# Least number of frames of a window.
LEAST_FRAMES = 4
SHARE_BACKWARDS = 0.08
# Share of windows that are thinned to the rate of a slower camera, and the smallest and largest step between frames.
SHARE_SLOWER, SLOWEST_STEPS = 0.45, (2, 7)
# Share of windows whose light changes, and in which one frame is black.
SHARE_LIT, SHARE_BLACK, BLACK = 0.35, 0.04, 0.02


@dataclass(frozen=True)
class Movement:
    """Key frames of a movement in its recording.

    Args:
        total (`int`): frames of the recording.
        onset, apex, offset (`int`): 0-based first, strongest and last frame of the movement.

    Raises:
        ValueError: key frames that are out of order or outside.
    """

    total: int
    onset: int
    apex: int
    offset: int

    def __post_init__(self) -> None:
        if not 0 <= self.onset <= self.apex <= self.offset < self.total:
            raise ValueError(
                f"a movement needs 0 <= onset <= apex <= offset < number of frames, but got {self.onset}, "
                f"{self.apex}, {self.offset} of {self.total}; check the coding sheet."
            )

    @property
    def length(self) -> int:
        """Frames from onset to offset, the onset not counted."""
        return self.offset - self.onset

    @property
    def rise(self) -> int:
        """Frames from onset to apex, the onset not counted."""
        return self.apex - self.onset

    @property
    def fall(self) -> int:
        """Frames from apex to offset, the apex not counted."""
        return self.offset - self.apex

    def span(self, first: float, last: float) -> Numbers:
        """Numbers from `first` to `last`, both included, at least four, clipped to the recording."""
        low = int(np.clip(round(first), 0, max(self.total - LEAST_FRAMES, 0)))
        high = int(np.clip(round(last), min(low + LEAST_FRAMES - 1, self.total - 1), self.total - 1))
        return np.arange(low, high + 1)


def progress(numbers: Numbers, onset: int, apex: int, offset: int) -> NDArray[np.float32]:
    """Progress of a movement in each frame: 0 at rest, 1 at the apex.

    Half a cosine wave up and down, because a sheet names three frames only.

    Args:
        numbers (`np.ndarray` of shape `(num_frames,)`): 0-based frames, in any order.
        onset (`int`): 0-based first frame of the movement.
        apex (`int`): Its strongest frame.
        offset (`int`): Its last frame.

    Returns:
        `np.ndarray` of shape `(num_frames,)`: float32, in [0, 1].
    """
    rising, falling = (numbers - onset) / max(apex - onset, 1), (offset - numbers) / max(offset - apex, 1)
    linear = np.clip(np.where(numbers <= apex, rising, falling), 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * linear)).astype(np.float32)


def _trimmed(move: Movement, rng: np.random.Generator) -> Numbers:
    first, last = rng.uniform(-0.1, 0.1, 2) * move.length
    return move.span(move.onset + first, move.offset + last)


def _quiet_on_both_sides(move: Movement, rng: np.random.Generator) -> Numbers:
    before, after = rng.uniform(0.1, 0.8, 2) * move.length
    return move.span(move.onset - before, move.offset + after)


def _quiet_on_one_side(move: Movement, rng: np.random.Generator) -> Numbers:
    some = rng.uniform(0.1, 0.9) * move.length
    return (
        move.span(move.onset - some, move.offset) if rng.random() < 0.5 else move.span(move.onset, move.offset + some)
    )


def _lead(rng: np.random.Generator, length: int) -> float:
    """Quiet time beside a rise or a fall: none in a quarter of the windows, up to the length of that part else."""
    return max(0.0, rng.uniform(-0.3, 1.0)) * length


def _rise(move: Movement, rng: np.random.Generator) -> Numbers:
    last = move.onset + max(3, rng.uniform(0.4, 1.15) * move.rise)
    return move.span(move.onset - _lead(rng, move.rise), min(last, move.offset))


def _fall(move: Movement, rng: np.random.Generator) -> Numbers:
    return move.span(move.apex + rng.uniform(-0.15, 0.3) * move.fall, move.offset + _lead(rng, move.fall))


def _around_the_apex(move: Movement, rng: np.random.Generator) -> Numbers:
    return move.span(move.onset + rng.uniform(-0.6, 0.35) * move.rise, move.apex + rng.uniform(0.2, 1.5) * move.fall)


def _whole(move: Movement, rng: np.random.Generator) -> Numbers:
    after = move.total - 1 - move.offset
    return move.span(rng.uniform(0, 0.4) * move.onset, move.total - 1 - rng.uniform(0, 0.4) * after)


def _held(move: Movement, rng: np.random.Generator) -> Numbers:
    count = int(rng.uniform(0.3, 1.5) * move.rise) + 2
    held = np.clip(move.apex + np.resize([0, 1, 0, -1], count), 0, move.total - 1)
    return np.concatenate([move.span(move.onset - _lead(rng, move.rise), move.apex), held])


def _there_and_back(move: Movement, rng: np.random.Generator) -> Numbers:
    rise = move.span(move.onset, move.apex)
    return np.concatenate([rise, rise[-2::-1]])


def _twice(move: Movement, rng: np.random.Generator) -> Numbers:
    once = move.span(move.onset, move.offset)
    # Frames after the offset; where the recording ends first, its last frame repeats.
    pause = np.clip(move.offset + 1 + np.arange(rng.integers(3, 18)), 0, move.total - 1)
    return np.concatenate([once, pause, once])


def _nothing(move: Movement, rng: np.random.Generator) -> Numbers:
    before, after = np.arange(move.onset - 1), np.arange(move.offset + 2, move.total)
    return before if len(before) >= LEAST_FRAMES and (rng.random() < 0.5 or len(after) < LEAST_FRAMES) else after


# Name: (share, how it is drawn).
WINDOW_KINDS: dict[str, tuple[float, Callable[[Movement, np.random.Generator], Numbers]]] = {
    "trimmed": (0.15, _trimmed),
    "quiet on both sides": (0.14, _quiet_on_both_sides),
    "quiet on one side": (0.09, _quiet_on_one_side),
    "rise": (0.14, _rise),
    "fall": (0.08, _fall),
    "around the apex": (0.10, _around_the_apex),
    "whole recording": (0.10, _whole),
    "held at the apex": (0.07, _held),
    "there and back": (0.04, _there_and_back),
    "twice": (0.04, _twice),
    "nothing": (0.05, _nothing),
}


def possible_kinds(move: Movement, apex_is_known: bool) -> tuple[str, ...]:
    """Name the kinds of windows that a clip can show (`tuple[str, ...]`).

    Args:
        move (`Movement`): where the movement lies; the apex may be a guess.
        apex_is_known (`bool`): if not, rise and fall are not told apart. Without frames between onset and apex there
            is no rise, without frames after the apex no fall, as in clips that end at the apex.
    """
    need_rise = ("rise", "held at the apex", "there and back")
    left_out = {"around the apex", "fall", *need_rise} if not apex_is_known else set()
    left_out |= set(need_rise) if move.rise == 0 else set()
    left_out |= {"fall"} if move.fall == 0 else set()
    return tuple(kind for kind in WINDOW_KINDS if kind not in left_out)


@dataclass(frozen=True)
class Window:
    """Frames of one training clip.

    Args:
        kind (`str`): a key of `WINDOW_KINDS`.
        numbers (`np.ndarray` of shape `(num_frames,)`): 0-based frames of the recording, in the order shown.
        moves (`bool`): whether the movement is in it; if not, no class is right.
    """

    kind: str
    numbers: Numbers
    moves: bool


def draw_window(move: Movement, rng: np.random.Generator, kinds: tuple[str, ...] = tuple(WINDOW_KINDS)) -> Window:
    """Draw a stretch of a recording.

    Args:
        move (`Movement`): where the movement lies.
        rng (`np.random.Generator`): draws everything.
        kinds (`tuple` of `str`, *optional*): among which, in proportion to their shares; all by default.

    Returns:
        `Window`: at least four frames where the recording has as many. Where there is no quiet stretch long enough,
        "nothing" becomes "trimmed".
    """
    shares = np.array([WINDOW_KINDS[kind][0] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    numbers = WINDOW_KINDS[kind][1](move, rng)
    if kind == "nothing" and len(numbers) < LEAST_FRAMES:
        kind, numbers = "trimmed", _trimmed(move, rng)
    if rng.random() < SHARE_BACKWARDS:
        numbers = numbers[::-1]
    if rng.random() < SHARE_SLOWER:
        step = int(rng.integers(SLOWEST_STEPS[0], SLOWEST_STEPS[1] + 1))
        first = int(rng.integers(step)) if len(numbers) > LEAST_FRAMES * step else 0
        fewer = numbers[first::step]
        spread = np.rint(np.linspace(0, len(numbers) - 1, LEAST_FRAMES)).astype(int)
        numbers = fewer if len(fewer) >= LEAST_FRAMES else numbers[spread]
    return Window(kind, np.ascontiguousarray(numbers), kind != "nothing")


def draw_gain(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw how the light changes over a window.

    Args:
        count (`int`): frames.
        rng (`np.random.Generator`): draws everything.

    Returns:
        `np.ndarray` of shape `(count,)`: gain per frame. In 35% of windows a pulse of up to 10%, a drift of up to 12%,
        flicker of up to 4% or a first frame of up to 25% more or less; in 4% one frame is black; else ones.
    """
    time = np.linspace(0, 1, count)
    changes = (
        rng.uniform(-0.1, 0.1) * np.sin(np.pi * time),
        rng.uniform(-0.12, 0.12) * time,
        rng.normal(0, rng.uniform(0.005, 0.04), count),
        rng.uniform(-0.25, 0.25) * (time == 0),
    )
    lit, black = rng.random(2)
    gain = 1 + changes[rng.integers(len(changes))] * (lit < SHARE_LIT)
    if black < SHARE_BLACK and count > LEAST_FRAMES:
        gain[rng.integers(count)] = BLACK
    return gain.astype(np.float32)


def light_up(frames: torch.Tensor, gain: NDArray[np.float32]) -> torch.Tensor:
    """Multiply frames by their gains.

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): uint8.
        gain (`np.ndarray` of shape `(num_frames,)`): as `draw_gain` draws it.

    Returns:
        `torch.Tensor` of the same shape: uint8, rounded, what is too bright clipped.
    """
    lit = frames.float() * torch.from_numpy(gain).to(frames.device)[:, None, None]
    return lit.round().clamp(0, 255).to(torch.uint8)
