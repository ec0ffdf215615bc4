"""What a face does during one recording: events of a few action units, and everything that disturbs them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np

from .faces import ACTION_UNITS, FaceState, FloatArray, Light
from .prototypes import draw_combination, parse_combination

# Columns of every action unit curve: each action unit of the subject's left, then of the right.
CURVE_KEYS = tuple((code, side) for side in ("L", "R") for code in ACTION_UNITS)
_COLUMN = {key: index for index, key in enumerate(CURVE_KEYS)}
# FACS intensity letters by peak motion in reference pixels; our choice, A to C is where micro-expressions lie.
INTENSITY_LIMITS = ((0.7, "A"), (1.5, "B"), (2.5, "C"), (3.5, "D"))
# Less than this many reference pixels of an action unit is no motion: the flanks of twitches never quite end.
LEAST_MOTION = 1e-3
# No head turns further from the front, in degrees, whatever is drawn; our choice.
LARGEST_YAW = 15.0


@dataclass(frozen=True)
class Difficulty:
    """Size of the motion and of all that hides it; lengths in pixels of a 128-pixel frame, angles in degrees.

    Args:
        motion (`tuple` of two `float`): smallest and largest peak motion of an event's strongest action unit.
        yaw, pitch, roll, shift (`float`): largest constant offset of the pose; yaw and turn together stay within
            `LARGEST_YAW`.
        size (`float`): largest relative change of the head's size.
        turn, drift (`float`): head rotation and translation within about a second.
        flicker (`float`): relative amplitude of the lamp's beat.
        exposure (`float`): largest relative change of brightness between recordings.
        noise (`float`): standard deviation of the sensor, full scale 1.
        blur (`float`): largest standard deviation of the lens blur.
        jpeg (`tuple` of two `int`): lowest and highest JPEG quality.
        blink, gaze (`float`): blinks and gaze shifts per second.
        twitch (`float`): largest motion of an action unit that means nothing; 0 for none.
        light (`float`): spread of the light's direction between recordings.
    """

    motion: tuple[float, float]
    yaw: float
    pitch: float
    roll: float
    shift: float
    size: float
    turn: float
    drift: float
    flicker: float
    exposure: float
    noise: float
    blur: float
    jpeg: tuple[int, int]
    blink: float
    gaze: float
    twitch: float
    light: float


# Our choice. `mild` is for demonstrations, `medium` is what the tables of docs/results.md use: set so that the classic
# baseline, onset-apex flow with logistic regression, reaches a UF1 near 0.70, about where honest figures on CASME II
# lie.
DIFFICULTIES = {
    "mild": Difficulty((1.2, 3.0), 3, 2, 2, 2, 0.02, 0.5, 0.4, 0.004, 0.1, 0.006, 0.3, (95, 95), 0.15, 0.3, 0.0, 0.1),
    "medium": Difficulty(
        (0.6, 1.8), 12, 7, 5, 5, 0.05, 1.7, 1.4, 0.012, 0.25, 0.018, 0.8, (70, 92), 0.4, 0.9, 0.45, 0.3
    ),
    "hard": Difficulty((0.5, 1.5), 15, 8, 6, 6, 0.06, 2.0, 1.6, 0.015, 0.3, 0.02, 0.9, (60, 90), 0.5, 1.0, 0.5, 0.35),
}


@dataclass(frozen=True)
class Event:
    """One micro-expression, in 0-based frames of its recording.

    Args:
        emotion (`str`): what it stands for; `""` when only action units were asked for.
        combination (`str`): its action units as in a coding sheet, e.g. `"6+L12"`.
        onset, apex, offset (`int`): first frame, frame of the strongest motion, last frame.
        peaks (`tuple` of `((code, side), pixels)`): peak motion of each action unit in reference pixels.
    """

    emotion: str
    combination: str
    onset: int
    apex: int
    offset: int
    peaks: tuple[tuple[tuple[int, str], float], ...]

    def action_units_text(self) -> str:
        """Return the sheet's cell: the combination with FACS intensity letters, e.g. `"6B+L12C"`."""
        parts = []
        for code, side in parse_combination(self.combination):
            pixels = max(peak for (other, on), peak in self.peaks if other == code and side in ("", on))
            letter = next((letter for limit, letter in INTENSITY_LIMITS if pixels < limit), "E")
            parts.append(f"{side}{code}{letter}")
        return "+".join(parts)


@dataclass(frozen=True)
class Performance:
    """One recording as a script: everything about the face and the camera at every frame.

    Args:
        fps (`float`): frames per second.
        events (`tuple` of `Event`): in time order.
        curves (`np.ndarray` of shape `(num_frames, len(CURVE_KEYS))`): action units in reference pixels, float32.
        pose (`np.ndarray` of shape `(num_frames, 6)`): yaw, pitch, roll (degrees), shift x, y (reference pixels),
            scale.
        blink (`np.ndarray` of shape `(num_frames,)`): 0 open, 1 closed.
        gaze (`np.ndarray` of shape `(num_frames, 2)`): pupil offset, see `FaceState`.
        gain (`np.ndarray` of shape `(num_frames,)`): brightness, 1 is neutral.
        noise, blur (`float`): of the camera; see `Difficulty`.
        jpeg_quality (`int`): of the file.
        light (`Light`): the lighting.
        seed (`tuple` of `int`): what the sensor noise is drawn from.
    """

    fps: float
    events: tuple[Event, ...]
    curves: FloatArray
    pose: FloatArray
    blink: FloatArray
    gaze: FloatArray
    gain: FloatArray
    noise: float
    blur: float
    jpeg_quality: int
    light: Light
    seed: tuple[int, ...]

    @property
    def num_frames(self) -> int:
        """Number of frames of the recording."""
        return len(self.curves)

    def state(self, frame: int) -> FaceState:
        """Return the face at a 0-based frame."""
        yaw, pitch, roll, shift_x, shift_y, scale = (float(value) for value in self.pose[frame])
        moving = np.flatnonzero(self.curves[frame] > LEAST_MOTION)
        return FaceState(
            action_units={CURVE_KEYS[column]: float(self.curves[frame, column]) for column in moving},
            blink=float(self.blink[frame]),
            gaze_xy=(float(self.gaze[frame, 0]), float(self.gaze[frame, 1])),
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            shift_xy=(shift_x, shift_y),
            scale=scale,
            light=self.light,
        )


def plan_performance(
    seed: tuple[int, ...],
    wanted: list[tuple[str, str | None]],
    *,
    fps: float,
    difficulty: str,
    duration_s: tuple[float, float],
    neutral_s: float = 0.0,
    speech: bool = False,
    light: Light | None = None,
) -> Performance:
    """Write the script of one recording.

    Args:
        seed (`tuple` of `int`): everything is drawn from it.
        wanted (`list` of `(emotion, combination)`): the events in order; a combination of `None` is drawn from the
            emotion's prototypes.
        fps (`float`): frames per second.
        difficulty (`str`): a key of `DIFFICULTIES`.
        duration_s (`tuple` of two `float`): shortest and longest event in seconds.
        neutral_s (`float`, *optional*, defaults to 0.0): quiet time before, between and after events; each pause is
            drawn from half to one and a half of it.
        speech (`bool`, *optional*, defaults to `False`): the mouth opens and shuts as in talk all the time.
        light (`Light`, *optional*): mean lighting of the subject.

    Returns:
        `Performance`: of which frame 0 is the first event's onset when `neutral_s` is 0.
    """
    rng = np.random.default_rng([0xAC7, *seed])
    level = DIFFICULTIES[difficulty]
    events, curves = _plan_events(rng, wanted, fps, level, duration_s, neutral_s)
    num_frames = len(curves)
    if level.twitch:
        _add_twitches(rng, curves, fps, level.twitch)
    if speech:
        _add_speech(rng, curves, fps)
    time = np.arange(num_frames) / fps
    offsets = rng.uniform(-1, 1, 6) * (level.yaw, level.pitch, level.roll, level.shift, level.shift, level.size)
    swings = np.array((level.turn, level.turn, 0.6 * level.turn, level.drift, level.drift, 0.004 * level.drift))
    pose = np.stack(
        [offset + swing * _wander(rng, time) for offset, swing in zip(offsets, swings, strict=True)], axis=1
    )
    pose[:, 5] += 1
    pose[:, 0] = _turn_back(pose[:, 0])
    # A lamp on 50 Hz mains beats at 100 Hz; the camera sees it through its own frame rate.
    flicker = level.flicker * np.sin(2 * np.pi * (100.3 * time + rng.random()))
    gain = (1 + level.exposure * rng.uniform(-1, 1)) * (1 + flicker)
    light = light or Light()
    direction = np.asarray(light.direction) + level.light * rng.normal(size=3) * (1, 1, 0.3)
    return Performance(
        fps=fps,
        events=tuple(events),
        curves=curves,
        pose=pose.astype(np.float32),
        blink=_blinks(rng, time, level.blink),
        gaze=_gaze(rng, time, level.gaze),
        gain=gain.astype(np.float32),
        noise=level.noise * rng.uniform(0.6, 1.2),
        blur=level.blur * rng.random(),
        jpeg_quality=int(rng.integers(level.jpeg[0], level.jpeg[1] + 1)),
        light=replace(light, direction=(float(direction[0]), float(direction[1]), float(direction[2]))),
        seed=seed,
    )


def _turn_back(yaw: FloatArray) -> FloatArray:
    """Return the yaw, turned to the front as a whole by as much as it goes beyond `LARGEST_YAW`."""
    beyond = yaw[np.argmax(np.abs(yaw))]
    return yaw - np.sign(beyond) * max(abs(beyond) - LARGEST_YAW, 0.0)


def _plan_events(
    rng: np.random.Generator,
    wanted: list[tuple[str, str | None]],
    fps: float,
    level: Difficulty,
    duration_s: tuple[float, float],
    neutral_s: float,
) -> tuple[list[Event], FloatArray]:
    def pause() -> int:
        return round(neutral_s * rng.uniform(0.5, 1.5) * fps)

    events, pieces = [], [np.zeros((pause(), len(CURVE_KEYS)), np.float32)]
    start = len(pieces[0])
    for emotion, given in wanted:
        combination = given if given is not None else draw_combination(rng, emotion)
        peaks = _draw_peaks(rng, combination, level)
        # Three frames are the least that can rise and fall.
        length = max(3, round(rng.uniform(*duration_s) * fps) + 1)
        apex = int(np.clip(round(rng.uniform(0.3, 0.6) * (length - 1)), 1, length - 2))
        piece = np.zeros((length, len(CURVE_KEYS)), np.float32)
        shape = rng.uniform(0.8, 1.4, 2)
        for key, peak in peaks.items():
            piece[:, _COLUMN[key]] = peak * _rise_and_fall(length, apex, shape, lag=rng.uniform(-0.06, 0.06))
        strongest = max(peaks, key=lambda key: peaks[key])
        piece[:, _COLUMN[strongest]] = peaks[strongest] * _rise_and_fall(length, apex, shape, lag=0.0)
        events.append(
            Event(emotion, combination, start, start + apex, start + length - 1, tuple(sorted(peaks.items())))
        )
        pieces += [piece, np.zeros((pause(), len(CURVE_KEYS)), np.float32)]
        start += length + len(pieces[-1])
    return events, np.concatenate(pieces)


def _draw_peaks(rng: np.random.Generator, combination: str, level: Difficulty) -> dict[tuple[int, str], float]:
    """Draw the peak motion of each action unit: the strongest by difficulty, the rest 55 to 100 % of it."""
    strongest = rng.uniform(*level.motion)
    units = parse_combination(combination)
    leader = int(rng.integers(len(units)))
    peaks = {}
    for index, (code, side) in enumerate(units):
        peak = strongest * (1.0 if index == leader else rng.uniform(0.55, 1.0))
        # Two-sided actions are never quite even.
        balance = dict(zip(rng.permutation(["L", "R"]), (1.0, rng.uniform(0.7, 1.0)), strict=True))
        for half in ("L", "R"):
            if side in ("", half):
                peaks[code, half] = float(peak * (1.0 if side else balance[half]))
    return peaks


def _rise_and_fall(length: int, apex: int, shape: FloatArray, lag: float) -> FloatArray:
    """Return a hill from 0 at frame 0 over 1 at the apex to 0 at the last frame, its flanks bent by `shape`."""
    time = np.arange(length, dtype=float)
    peak = np.clip(apex + lag * length, 0.6, length - 1.6)
    rise, fall = np.clip(time / peak, 0, 1), np.clip((length - 1 - time) / (length - 1 - peak), 0, 1)
    hill = np.sin(np.pi / 2 * np.minimum(rise ** shape[0], fall ** shape[1])) ** 2
    return hill.astype(np.float32)


def _wander(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """Return a smooth wandering signal of about unit size: slow sines of random frequency and phase."""
    frequencies, phases = rng.uniform(0.1, 1.2, 5), rng.uniform(0, 2 * np.pi, 5)
    weights = rng.normal(size=5) / np.sqrt(5)
    return np.sin(2 * np.pi * frequencies * time[:, None] + phases) @ weights


def _add_twitches(rng: np.random.Generator, curves: FloatArray, fps: float, largest: float) -> None:
    """Add small one-unit motions that no event accounts for, about two a second, in place."""
    for _ in range(rng.poisson(2 * len(curves) / fps)):
        column, centre = int(rng.integers(curves.shape[1])), rng.uniform(0, len(curves))
        width = rng.uniform(0.05, 0.2) * fps
        hill = np.exp(-(((np.arange(len(curves)) - centre) / width) ** 2))
        curves[:, column] += (rng.uniform(0.3, 1) * largest * hill).astype(np.float32)


def _add_speech(rng: np.random.Generator, curves: FloatArray, fps: float) -> None:
    """Add mouth motion as in talk, about four syllables a second, in place."""
    time = np.arange(len(curves)) / fps
    for code, largest in ((25, 3.0), (26, 2.5), (20, 0.8)):
        beat = np.sin(2 * np.pi * (rng.uniform(3, 5) * time + rng.random())) + _wander(rng, time)
        for side in ("L", "R"):
            curves[:, _COLUMN[code, side]] += (largest * np.clip(beat, 0, 1)).astype(np.float32)


def _blinks(rng: np.random.Generator, time: FloatArray, per_second: float) -> FloatArray:
    """Return lid closure: blinks of 0.1 to 0.2 s, faster shut than opened."""
    closed = np.zeros(len(time))
    seconds = len(time) * (time[1] - time[0])
    for _ in range(rng.poisson(per_second * seconds)):
        centre, width = rng.uniform(0, seconds), rng.uniform(0.04, 0.07)
        phase = (time - centre) / np.where(time < centre, width, 1.6 * width)
        closed = np.maximum(closed, np.exp(-(phase**2)))
    return closed.astype(np.float32)


def _gaze(rng: np.random.Generator, time: FloatArray, per_second: float) -> FloatArray:
    """Return gaze: a place to look at, left by jumps of about 30 ms."""
    seconds = len(time) * (time[1] - time[0])
    gaze = np.repeat(rng.normal(0, 0.15, (1, 2)), len(time), axis=0)
    jumps = [
        (rng.uniform(0, seconds), np.clip(rng.normal(0, 0.4, 2), -1, 1))
        for _ in range(rng.poisson(per_second * seconds))
    ]
    # In time order: each holds until the next one.
    for start, place in sorted(jumps, key=itemgetter(0)):
        jump = np.clip((time - start) / 0.03, 0, 1)[:, None]
        gaze = gaze * (1 - jump) + jump * place
    return gaze.astype(np.float32)
