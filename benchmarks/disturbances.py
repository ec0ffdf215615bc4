"""Disturbances of a clip: other windows of its recording, other light, other crops.

Each disturbance takes a recording, which is cut to one movement with the frames around it, and returns the input
frames of the network. All numbers are our choice, except the durations: CASME II's clips have 24 to 141 frames at 200
fps (0.12 to 0.70 s), SAMM's 30 to 101 (0.15 to 0.50 s), counted on their published sheets.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Numbers = NDArray[np.int64]

# The row with which others are compared.
TRIMMED = "trimmed"
# Fewest frames of a window, because fewer show no motion.
LEAST_FRAMES = 4
# Durations of micro-expressions in seconds: CASME II's shortest and longest clip.
SHORTEST_S, LONGEST_S = 0.12, 0.70


@dataclass(frozen=True)
class Recording:
    """One movement with the frames before and after it.

    Args:
        clip_id (`str`): its name.
        subject (`str`): its subject; differences between rows are resampled over subjects.
        label (`int`): its class.
        onset, apex, offset (`int`): 0-based first, strongest and last frame of the movement in `crops`.
        fps (`float`): frames per second.
        crops (`dict[str, np.ndarray]`): aligned frames of the whole recording, uint8 `(num_frames, height, width)`, by
            how they were cropped; `"as trained"` is always there.
    """

    clip_id: str
    subject: str
    label: int
    onset: int
    apex: int
    offset: int
    fps: float
    crops: dict[str, Frames]

    @property
    def frames(self) -> Frames:
        """The whole recording, cropped as in training."""
        return self.crops["as trained"]

    @property
    def length(self) -> int:
        """Frames from onset to offset, the onset not counted."""
        return self.offset - self.onset

    def span(self, first: float, last: float) -> Numbers:
        """Numbers of the frames from `first` to `last`, both included and clipped to the recording."""
        low = int(np.clip(round(first), 0, len(self.frames) - 1))
        return np.arange(low, int(np.clip(round(last), low, len(self.frames) - 1)) + 1)


Window = Callable[[Recording, np.random.Generator], Numbers]
Disturbance = Callable[[Recording, np.random.Generator], Frames]


def with_least_frames(numbers: Numbers) -> Numbers:
    """Repeat frames of a window of fewer than `LEAST_FRAMES`."""
    if len(numbers) >= LEAST_FRAMES:
        return numbers
    return numbers[np.rint(np.linspace(0, len(numbers) - 1, LEAST_FRAMES)).astype(int)]


def there_and_back(numbers: Numbers) -> Numbers:
    """Append the window in reverse; its last frame occurs once."""
    return np.concatenate([numbers, numbers[-2::-1]])


def at_times(numbers: Numbers, times: NDArray[np.float64]) -> Numbers:
    """Sample a window at times from 0 (first frame) to 1 (last frame), by the nearest frame."""
    return numbers[np.rint(np.clip(times, 0, 1) * (len(numbers) - 1)).astype(int)]


def early_apex(recording: Recording, share: float) -> Numbers:
    """Warp the time of the movement so that its apex comes after `share` of its length."""
    position = (recording.apex - recording.onset) / max(recording.length, 1)
    course = np.linspace(0, 1, recording.length + 1)
    return at_times(
        recording.span(recording.onset, recording.offset), np.interp(course, [0, share, 1], [0, position, 1])
    )


def held_apex(recording: Recording, share: float, ends: bool) -> Numbers:
    """Hold the apex, give or take a frame, for `share` of the movement's length; the fall follows if it `ends`."""
    around = recording.apex + np.resize([0, 1, 0, -1], max(2, round(share * recording.length)))
    rest = recording.span(recording.apex, recording.offset) if ends else np.empty(0, np.int64)
    whole = np.concatenate([recording.span(recording.onset, recording.apex), around, rest])
    return np.clip(whole, 0, len(recording.frames) - 1)


def lasting(recording: Recording, seconds: float) -> Numbers:
    """Repeat or leave out frames, so that the movement lasts the given seconds."""
    count = max(LEAST_FRAMES, round(seconds * recording.fps) + 1)
    return at_times(recording.span(recording.onset, recording.offset), np.linspace(0, 1, count))


def slower_camera(recording: Recording, fps: float) -> Numbers:
    """Sample the movement at a lower frame rate."""
    step = max(1, round(recording.fps / fps))
    return with_least_frames(recording.span(recording.onset, recording.offset)[::step])


def quiet(recording: Recording) -> Numbers:
    """Return the longer of the stretches before and after the movement."""
    before, after = np.arange(max(recording.onset - 1, 1)), np.arange(recording.offset + 2, len(recording.frames))
    return with_least_frames(before if len(before) >= len(after) else after)


def without_movement(recording: Recording, joined: bool = False) -> Recording:
    """Leave out the movement, so that every disturbance shows a face at rest.

    Args:
        recording (`Recording`): a movement with the frames around it.
        joined (`bool`, *optional*, defaults to `False`): whether the frames before and after it follow each other;
            otherwise the longer of the two stretches is taken.

    Returns:
        `Recording`: its "movement" is all that is left.
    """
    numbers = np.arange(len(recording.frames))
    at_rest = numbers[(numbers < max(recording.onset - 1, 1)) | (numbers > recording.offset + 1)]
    kept = with_least_frames(at_rest) if joined else quiet(recording)
    crops = {name: frames[kept] for name, frames in recording.crops.items()}
    return replace(recording, onset=0, apex=len(kept) // 2, offset=len(kept) - 1, crops=crops)


def _part(first: float, last: float) -> Window:
    """Window between two shares of the movement's length, counted from its onset."""
    return lambda rec, rng: rec.span(rec.onset + first * rec.length, rec.onset + last * rec.length)


def _ends_off(share: float) -> Window:
    def window(rec: Recording, rng: np.random.Generator) -> Numbers:
        first, last = rng.uniform(-share, share, 2) * rec.length
        return rec.span(rec.onset + first, rec.offset + last)

    return window


def _uneven(rec: Recording, rng: np.random.Generator) -> Numbers:
    steps = rng.uniform(0.2, 1.8, rec.length)
    return at_times(rec.span(rec.onset, rec.offset), np.concatenate([[0], np.cumsum(steps) / steps.sum()]))


def _dropped(rec: Recording, rng: np.random.Generator) -> Numbers:
    numbers = rec.span(rec.onset, rec.offset)
    return with_least_frames(numbers[rng.random(len(numbers)) > 0.3])


def _two_events(rec: Recording, rng: np.random.Generator) -> Numbers:
    once = rec.span(rec.onset, rec.offset)
    return np.concatenate([once, rec.span(rec.offset + 1, rec.offset + rng.integers(3, 18)), once])


WINDOWS: dict[str, Window] = {
    TRIMMED: _part(0, 1),
    "ends off by up to 10%": _ends_off(0.1),
    "ends off by up to 25%": _ends_off(0.25),
    "25% neutral on both sides": _part(-0.25, 1.25),
    "50% neutral on both sides": _part(-0.5, 1.5),
    "50% neutral before": _part(-0.5, 1),
    "50% neutral after": _part(0, 1.5),
    "whole recording": lambda rec, rng: np.arange(len(rec.frames)),
    "onset to apex": lambda rec, rng: with_least_frames(rec.span(rec.onset, rec.apex)),
    "onset to apex, there and back": lambda rec, rng: there_and_back(with_least_frames(rec.span(rec.onset, rec.apex))),
    "apex to offset": lambda rec, rng: with_least_frames(rec.span(rec.apex, rec.offset)),
    "first third of the rise": lambda rec, rng: with_least_frames(
        rec.span(rec.onset, rec.onset + (rec.apex - rec.onset) / 3)
    ),
    "onset to 75%": _part(0, 0.75),
    "25% to offset": _part(0.25, 1),
    "two events": _two_events,
    "stays at the apex": lambda rec, rng: held_apex(rec, 0.5, ends=False),
    "apex held for half the clip": lambda rec, rng: held_apex(rec, 1.0, ends=True),
    "apex at 12%": lambda rec, rng: early_apex(rec, 0.12),
    "backwards": lambda rec, rng: rec.span(rec.onset, rec.offset)[::-1],
    "lasts as CASME II's shortest": lambda rec, rng: lasting(rec, SHORTEST_S),
    "lasts as CASME II's longest": lambda rec, rng: lasting(rec, LONGEST_S),
    "30 fps": lambda rec, rng: slower_camera(rec, 30),
    "15 fps": lambda rec, rng: slower_camera(rec, 15),
    "8 fps": lambda rec, rng: slower_camera(rec, 8),
    "every frame doubled": lambda rec, rng: np.repeat(rec.span(rec.onset, rec.offset), 2),
    "30% of frames dropped": _dropped,
    "uneven times": _uneven,
}


# ---------------------------------------------------------------- light
def lit(frames: Frames, gain: NDArray[np.float64]) -> Frames:
    """Multiply every frame, or every pixel of every frame, by its gain, clipped to 255."""
    return np.clip(frames * gain.reshape(gain.shape + (1,) * (3 - gain.ndim)) + 0.5, 0, 255).astype(np.uint8)


def _light(course: Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]) -> Disturbance:
    """Change of exposure of the trimmed clip: the gain is 1 plus `course` of the time from 0 to 1."""

    def change(rec: Recording, rng: np.random.Generator) -> Frames:
        frames = rec.frames[rec.span(rec.onset, rec.offset)]
        return lit(frames, 1 + course(np.linspace(0, 1, len(frames)), rng))

    return change


def _shadow(depth: float) -> Disturbance:
    def change(rec: Recording, rng: np.random.Generator) -> Frames:
        frames = rec.frames[rec.span(rec.onset, rec.offset)]
        across = np.arange(frames.shape[2]) / frames.shape[2] - 0.5
        side = 1 / (1 + np.exp(-across * (12 if rng.random() < 0.5 else -12)))
        pulse = np.sin(np.pi * np.linspace(0, 1, len(frames)))
        return lit(frames, np.broadcast_to(1 - depth * pulse[:, None, None] * side, (len(frames), 1, len(side))))

    return change


def _black_frame(rec: Recording, rng: np.random.Generator) -> Frames:
    frames = rec.frames[rec.span(rec.onset, rec.offset)].copy()
    frames[rng.integers(1, len(frames) - 1)] //= 50
    return frames


LIGHT: dict[str, Disturbance] = {
    "exposure rises and falls by 3%": _light(lambda time, rng: 0.03 * np.sin(np.pi * time)),
    "exposure rises and falls by 8%": _light(lambda time, rng: 0.08 * np.sin(np.pi * time)),
    "exposure drifts by 10%": _light(lambda time, rng: 0.1 * time),
    "flicker of 1%": _light(lambda time, rng: rng.normal(0, 0.01, len(time))),
    "flicker of 6%": _light(lambda time, rng: rng.normal(0, 0.06, len(time))),
    "first frame 20% brighter": _light(lambda time, rng: 0.2 * (time == 0)),
    "shadow of 5% on half the face": _shadow(0.05),
    "shadow of 10% on half the face": _shadow(0.1),
    "one black frame": _black_frame,
}


# ---------------------------------------------------------------- place
def moved(frames: Frames, shifts: NDArray[np.float64]) -> Frames:
    """Shift every frame by (right, down) in fractions of the side, bilinearly; edges are repeated outside."""
    height, width = frames.shape[1:]
    out = np.empty_like(frames)
    for number, (right, down) in enumerate(shifts):
        rows = np.clip(np.arange(height) - down * height, 0, height - 1)
        columns = np.clip(np.arange(width) - right * width, 0, width - 1)
        low_r, low_c = np.floor(rows).astype(int), np.floor(columns).astype(int)
        part_r, part_c = (rows - low_r)[:, None], columns - low_c
        high_r, high_c = np.minimum(low_r + 1, height - 1), np.minimum(low_c + 1, width - 1)
        frame = frames[number].astype(np.float64)
        upper = frame[low_r][:, low_c] * (1 - part_c) + frame[low_r][:, high_c] * part_c
        lower = frame[high_r][:, low_c] * (1 - part_c) + frame[high_r][:, high_c] * part_c
        out[number] = (upper * (1 - part_r) + lower * part_r + 0.5).astype(np.uint8)
    return out


def _place(course: Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]) -> Disturbance:
    """Motion of the crop over the trimmed clip: `course` gives (right, down) in 64ths of the side."""

    def change(rec: Recording, rng: np.random.Generator) -> Frames:
        frames = rec.frames[rec.span(rec.onset, rec.offset)]
        return moved(frames, course(np.linspace(0, 1, len(frames)), rng) / 64)

    return change


def _along(direction: tuple[float, float], course: NDArray[np.float64]) -> NDArray[np.float64]:
    return course[:, None] * np.array(direction)


PLACE: dict[str, Disturbance] = {
    "head nods by 2 px and back": _place(lambda time, rng: _along((0, 2), np.sin(np.pi * time))),
    "head nods by 4 px and back": _place(lambda time, rng: _along((0, 4), np.sin(np.pi * time))),
    "head slides by 4 px": _place(lambda time, rng: _along((4, 0), time)),
    "head slides by 8 px": _place(lambda time, rng: _along((8, 0), time)),
    "crop jumps by 1 px per frame": _place(lambda time, rng: rng.uniform(-1, 1, (len(time), 2))),
}

# Crops other than those of training: factor on the crop's side, degrees of turning, 64ths of the side down.
CROPS: dict[str, tuple[float, float, float]] = {
    "crop 20% tighter": (0.8, 0, 0),
    "crop 20% wider": (1.2, 0, 0),
    "crop 5 px down": (1, 0, 5),
    "crop turned by 8 degrees": (1, 8, 0),
}


def _noise(rec: Recording, rng: np.random.Generator) -> Frames:
    frames = rec.frames[rec.span(rec.onset, rec.offset)]
    return np.clip(frames + rng.normal(0, 6, frames.shape), 0, 255).astype(np.uint8)


def _still(rec: Recording, rng: np.random.Generator) -> Frames:
    frame = rec.frames[quiet(rec)[0]]
    return np.clip(frame + rng.normal(0, 3, (24, *frame.shape)), 0, 255).astype(np.uint8)


def _cut(window: Window) -> Disturbance:
    return lambda rec, rng: rec.frames[window(rec, rng)]


def _at_rest(disturb: Disturbance, joined: bool = False) -> Disturbance:
    return lambda rec, rng: disturb(without_movement(rec, joined), rng)


# Rows in which the face does not move: no class is right, so that only the confidence is reported.
NOTHING_MOVES: dict[str, Disturbance] = {
    "still face with sensor noise": _still,
    "quiet stretch": _at_rest(_cut(WINDOWS[TRIMMED])),
    "quiet stretches, joined": _at_rest(_cut(WINDOWS[TRIMMED]), joined=True),
    **{
        f"quiet stretch, {name}": _at_rest(disturb)
        for name, disturb in {
            "8 fps": _cut(WINDOWS["8 fps"]),
            "exposure drifts by 10%": LIGHT["exposure drifts by 10%"],
            "shadow of 5% on half the face": LIGHT["shadow of 5% on half the face"],
            "head slides by 4 px": PLACE["head slides by 4 px"],
        }.items()
    },
}


def _cropped(name: str) -> Disturbance:
    return lambda rec, rng: rec.crops[name][rec.span(rec.onset, rec.offset)]


DISTURBANCES: dict[str, Disturbance] = {
    **{name: _cut(window) for name, window in WINDOWS.items()},
    **LIGHT,
    **PLACE,
    **{name: _cropped(name) for name in CROPS},
    "sensor noise of 6 gray levels": _noise,
    **NOTHING_MOVES,
}
# Rows of `--short`, for quick checks of a change of the input.
SHORT = (
    TRIMMED, "50% neutral on both sides", "whole recording", "onset to apex", "apex to offset", "two events",
    "8 fps", "exposure rises and falls by 8%", "one black frame", "shadow of 5% on half the face",
)  # fmt: skip
