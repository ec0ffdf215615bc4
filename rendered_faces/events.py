"""Events of a recording: action units, size, duration and course in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .faces import ACTION_UNITS, FloatArray
from .prototypes import draw_combination, parse_combination

# Columns of every action unit curve: each action unit of the subject's left, then of the right.
CURVE_KEYS = tuple((code, side) for side in ("L", "R") for code in ACTION_UNITS)
# FACS intensity letters by peak motion in reference pixels; our choice, micro-expressions are A to C.
INTENSITY_LIMITS = ((0.7, "A"), (1.5, "B"), (2.5, "C"), (3.5, "D"))
COLUMN = {key: index for index, key in enumerate(CURVE_KEYS)}
# Courses of an event in time with descriptions, all our choice except the durations below.
TIMINGS = {
    "pulse": "rises to an apex at 30 to 60 % and falls back to rest",
    "hold": "stays at the apex for a third to two thirds of its length",
    "stay": "rises to the apex and stays there until another event follows",
    "early": "reaches the apex within 8 to 18 %",
    "slow": "lasts one and a half to two and a half times as long",
    "fast": "lasts a third to two thirds as long",
    "two": "rises and falls twice",
}
MIXED = "mixed"
# Shortest, mean and longest micro-expression in frames at 200 per second (coding sheets of CASME II, 2014, and SAMM,
# 2018: offset - onset + 1).
PUBLISHED_DURATIONS = {"casme2": (24, 67.2, 141), "samm": (30, 74.3, 101)}
PUBLISHED_FPS = 200.0
# Concentration of the beta distribution of durations around the published mean, our choice.
CONCENTRATION = 4.0
# Macro-expressions last 0.5 to 4 seconds (Ekman 2003, as the spotting corpora use it); size in pixels, our choice.
MACRO_DURATION_S, MACRO_MOTION = (0.5, 4.0), (3.0, 8.0)
# A rise and a fall need three frames.
FEWEST_FRAMES = 3


@dataclass(frozen=True)
class Event:
    """One expression, in 0-based frames of its recording.

    Args:
        emotion (`str`): its emotion; `""` when only action units were given.
        combination (`str`): its action units as in a coding sheet, e.g. `"6+L12"`.
        onset, apex, offset (`int`): first frame, frame of the strongest motion, last frame.
        peaks (`tuple` of `((code, side), pixels)`): peak motion of each action unit in reference pixels.
        timing (`str`, *optional*, defaults to `"pulse"`): its course in time; a key of `TIMINGS`. An event that stays
            has its offset where it ends by duration, at the apex's level.
    """

    emotion: str
    combination: str
    onset: int
    apex: int
    offset: int
    peaks: tuple[tuple[tuple[int, str], float], ...]
    timing: str = "pulse"

    def action_units_text(self) -> str:
        """Return the sheet's cell: the combination with FACS intensity letters, e.g. `"6B+L12C"`."""
        parts = []
        for code, side in parse_combination(self.combination):
            pixels = max(peak for (other, on), peak in self.peaks if other == code and side in ("", on))
            letter = next((letter for limit, letter in INTENSITY_LIMITS if pixels < limit), "E")
            parts.append(f"{side}{code}{letter}")
        return "+".join(parts)


@dataclass(frozen=True)
class EventPlan:
    """Requirements on the events of one recording.

    Args:
        wanted (`Sequence` of `(emotion, combination)`): micro-expressions in order; a combination of `None` is drawn.
        motion (`tuple` of two `float`): smallest and largest peak motion of the strongest action unit.
        duration_s (`tuple` of two `float`): shortest and longest in seconds, evenly drawn.
        durations (`str`, *optional*): a key of `PUBLISHED_DURATIONS`, whose durations are drawn instead.
        timing (`str`, *optional*, defaults to `"pulse"`): a key of `TIMINGS`, or `"mixed"`.
        neutral_s (`float`, *optional*, defaults to 0.0): mean quiet time before, between and after.
        sizes (`np.random.Generator`, *optional*): draws peak motion of `WILD_MOTION`, evenly in its logarithm.
        macros (`tuple` of `str`, *optional*): emotions of additional macro-expressions.
        others (`np.random.Generator`, *optional*): draws timing, published durations and macro-expressions, so that
            the rest of the recording stays as it is without them.
    """

    wanted: Sequence[tuple[str, str | None]]
    motion: tuple[float, float]
    duration_s: tuple[float, float]
    others: np.random.Generator
    durations: str | None = None
    timing: str = "pulse"
    neutral_s: float = 0.0
    sizes: np.random.Generator | None = None
    macros: tuple[str, ...] = ()


# Peak motion of the variation `movement_size`, pixels of a 128-pixel frame: micro to plain.
WILD_MOTION = (0.3, 8.0)


def plan_events(rng: np.random.Generator, plan: EventPlan, fps: float) -> tuple[list[Event], list[Event], FloatArray]:
    """Return micro-expressions, macro-expressions and the curves of all action units, float32.

    Without any event the recording is quiet for twice `neutral_s`, or for one event's duration where that is 0.
    """

    def pause(draws: np.random.Generator) -> FloatArray:
        return np.zeros((round(plan.neutral_s * draws.uniform(0.5, 1.5) * fps), len(CURVE_KEYS)), np.float32)

    micro: list[Event] = []
    macro: list[Event] = []
    pieces = [pause(rng)]
    # Positions of macro-expressions among the others.
    before = plan.others.integers(0, len(plan.wanted) + 1, len(plan.macros)) if plan.macros else np.zeros(0, int)
    strewn = [plan.macros[index] for index in np.argsort(before, kind="stable")]
    turns = sorted(before.tolist())
    for index in range(len(plan.wanted) + 1):
        while turns and turns[0] <= index:
            turns.pop(0)
            start = sum(map(len, pieces))
            event, piece = _macro_event(plan, strewn.pop(0), start, fps)
            macro.append(event)
            pieces += [piece, pause(plan.others)]
        if index < len(plan.wanted):
            start = sum(map(len, pieces))
            event, piece = _micro_event(rng, plan, *plan.wanted[index], start=start, fps=fps)
            micro.append(event)
            pieces += [piece, _after(event, piece, pause(rng), last=index + 1 == len(plan.wanted) and not turns)]
    curves = np.concatenate(pieces)
    if not micro and not macro:
        seconds = 2 * plan.neutral_s or plan.others.uniform(*plan.duration_s)
        curves = np.zeros((max(FEWEST_FRAMES, round(seconds * fps)), len(CURVE_KEYS)), np.float32)
    return micro, macro, curves


def _micro_event(
    rng: np.random.Generator, plan: EventPlan, emotion: str, given: str | None, start: int, fps: float
) -> tuple[Event, FloatArray]:
    combination = given if given is not None else draw_combination(rng, emotion)
    strongest = rng.uniform(*plan.motion)
    if plan.sizes is not None:
        strongest = float(np.exp(plan.sizes.uniform(*np.log(WILD_MOTION))))
    peaks = _draw_peaks(rng, combination, strongest)
    seconds = rng.uniform(*plan.duration_s)
    if plan.durations is not None:
        seconds = published_seconds(plan.others, plan.durations)
    timing = plan.timing if plan.timing != MIXED else str(plan.others.choice(list(TIMINGS)))
    if timing == "stay" and not plan.neutral_s and len(plan.wanted) + len(plan.macros) > 1:
        # An event that follows at once would make the face jump to rest.
        timing = "pulse"
    if timing == "slow":
        seconds *= plan.others.uniform(1.5, 2.5)
    if timing == "fast":
        seconds *= plan.others.uniform(0.33, 0.67)
    length = max(FEWEST_FRAMES, round(seconds * fps) + 1)
    return _event(rng, plan.others, emotion, combination, peaks, timing, length, start)


def _macro_event(plan: EventPlan, emotion: str, start: int, fps: float) -> tuple[Event, FloatArray]:
    rng = plan.others
    combination = draw_combination(rng, emotion)
    peaks = _draw_peaks(rng, combination, rng.uniform(*MACRO_MOTION))
    length = round(float(np.exp(rng.uniform(*np.log(MACRO_DURATION_S)))) * fps) + 1
    timing = str(rng.choice(["pulse", "hold", "early"]))
    return _event(rng, rng, emotion, combination, peaks, timing, length, start)


def published_seconds(rng: np.random.Generator, corpus: str) -> float:
    """Return the duration of a micro-expression, from onset to offset, between a corpus's shortest and longest."""
    shortest, mean, longest = PUBLISHED_DURATIONS[corpus]
    share = (mean - shortest) / (longest - shortest)
    frames = shortest + (longest - shortest) * rng.beta(CONCENTRATION * share, CONCENTRATION * (1 - share))
    return float(frames - 1) / PUBLISHED_FPS


def _event(
    rng: np.random.Generator,
    others: np.random.Generator,
    emotion: str,
    combination: str,
    peaks: dict[tuple[int, str], float],
    timing: str,
    length: int,
    start: int,
) -> tuple[Event, FloatArray]:
    """Return an event that begins at frame `start` and its curves, float32 `(length, num_units)`."""
    apex = int(np.clip(round(rng.uniform(0.3, 0.6) * (length - 1)), 1, length - 2))
    if timing == "early":
        apex = int(np.clip(round(others.uniform(0.08, 0.18) * (length - 1)), 1, length - 2))
    piece = np.zeros((length, len(CURVE_KEYS)), np.float32)
    shape = rng.uniform(0.8, 1.4, 2)
    lags = {key: rng.uniform(-0.06, 0.06) for key in peaks}
    lags[max(peaks, key=lambda key: peaks[key])] = 0.0
    held = others.uniform(0.33, 0.67) if timing == "hold" else 0.0
    again = others.uniform(0.6, 1.0) if timing == "two" else 0.0
    for key, peak in peaks.items():
        course = _course(timing, length, apex, shape, lags[key], held, again)
        piece[:, COLUMN[key]] = peak * course
        if lags[key] == 0.0:
            apex_of_course = int(np.argmax(course))
    event = Event(
        emotion, combination, start, start + apex_of_course, start + length - 1, tuple(sorted(peaks.items())), timing
    )
    return event, piece


def _course(
    timing: str, length: int, apex: int, shape: FloatArray, lag: float, held: float, again: float
) -> FloatArray:
    """Return the course of one action unit, 0 at rest and 1 at the apex, float32 `(length,)`."""
    if timing == "hold":
        # The flanks keep their shape and divide the rest of the length.
        stretch = round(held * (length - 1))
        apex = int(np.clip(round(apex * (1 - held)), 1, max(1, length - stretch - 2)))
        hill = _rise_and_fall(max(FEWEST_FRAMES, length - stretch), apex, shape, lag)
        top = int(np.argmax(hill))
        return np.concatenate((hill[:top], np.full(length - len(hill), hill[top]), hill[top:])).astype(np.float32)
    if timing == "stay":
        rise = _rise_and_fall(length, apex, shape, lag)
        rise[int(np.argmax(rise)) :] = rise.max()
        return rise
    if timing == "two" and length >= 2 * FEWEST_FRAMES:
        half = length // 2
        first = _rise_and_fall(length - half, max(1, min(apex // 2, length - half - 2)), shape, lag)
        second = _rise_and_fall(half, max(1, min(apex // 2, half - 2)), shape, lag)
        return np.concatenate((first, again * second)).astype(np.float32)
    return _rise_and_fall(length, apex, shape, lag)


def _after(event: Event, piece: FloatArray, quiet: FloatArray, last: bool) -> FloatArray:
    """Return the frames after an event: quiet, or the apex's level, which falls to rest before another event."""
    if event.timing != "stay" or not len(quiet):
        return quiet
    level = np.ones(len(quiet), np.float32)
    if not last:
        back = min(len(quiet), max(FEWEST_FRAMES, len(quiet) // 3))
        level[-back:] = np.cos(np.linspace(0, np.pi / 2, back)) ** 2
    return (level[:, None] * piece[-1]).astype(np.float32)


def _draw_peaks(rng: np.random.Generator, combination: str, strongest: float) -> dict[tuple[int, str], float]:
    """Draw the peak motion of each action unit: the strongest as given, the rest 55 to 100 % of it."""
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
