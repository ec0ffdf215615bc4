"""Motion of a face during one recording: events of a few action units, and disturbances."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .events import CURVE_KEYS, MIXED, PUBLISHED_DURATIONS, TIMINGS, Event, EventPlan, plan_events
from .faces import FloatArray, Light
from .habits import add_speech, blinks, gaze, wander
from .performance import Performance
from .variations import NONE, WILD, Variations, switch_rng
from .wild import drawn_frame_rate, vary

__all__ = [
    "CURVE_KEYS",
    "DIFFICULTIES",
    "LARGEST_YAW",
    "MIXED",
    "PUBLISHED_DURATIONS",
    "TIMINGS",
    "Difficulty",
    "Event",
    "Performance",
    "plan_performance",
]

# Largest turn of a head from the front, in degrees; our choice.
LARGEST_YAW = 15.0


@dataclass(frozen=True)
class Difficulty:
    """Size of motion and disturbances; lengths in pixels of a 128-pixel frame, angles in degrees.

    Args:
        motion (`tuple` of two `float`): smallest and largest peak motion of an event's strongest action unit.
        yaw, pitch, roll, shift (`float`): largest constant offset of the pose; yaw and turn together stay within
            `LARGEST_YAW`.
        size (`float`): largest relative change of the head's size.
        turn, drift (`float`): head rotation and translation within about a second.
        flicker (`float`): relative amplitude of the lamp's flicker.
        exposure (`float`): largest relative change of brightness between recordings.
        noise (`float`): standard deviation of the sensor, full scale 1.
        blur (`float`): largest standard deviation of the lens blur.
        jpeg (`tuple` of two `int`): lowest and highest JPEG quality.
        blink, gaze (`float`): blinks and gaze shifts per second.
        twitch (`float`): largest motion of an action unit without an event; 0 for none.
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
# baseline, onset-apex flow with logistic regression, reaches a UF1 near 0.70, about that of subject-independent
# figures on CASME II.
DIFFICULTIES = {
    "mild": Difficulty((1.2, 3.0), 3, 2, 2, 2, 0.02, 0.5, 0.4, 0.004, 0.1, 0.006, 0.3, (95, 95), 0.15, 0.3, 0.0, 0.1),
    "medium": Difficulty(
        (0.6, 1.8), 12, 7, 5, 5, 0.05, 1.7, 1.4, 0.012, 0.25, 0.018, 0.8, (70, 92), 0.4, 0.9, 0.45, 0.3
    ),
    "hard": Difficulty((0.5, 1.5), 15, 8, 6, 6, 0.06, 2.0, 1.6, 0.015, 0.3, 0.02, 0.9, (60, 90), 0.5, 1.0, 0.5, 0.35),
    # `medium` with every switch of [`Variations`] on.
    WILD: Difficulty((0.6, 1.8), 12, 7, 5, 5, 0.05, 1.7, 1.4, 0.012, 0.25, 0.018, 0.8, (70, 92), 0.4, 0.9, 0.45, 0.3),
}


def plan_performance(
    seed: tuple[int, ...],
    wanted: list[tuple[str, str | None]],
    *,
    fps: float,
    difficulty: str,
    duration_s: tuple[float, float],
    neutral_s: float = 0.0,
    speech: bool = False,
    timing: str = "pulse",
    durations: str | None = None,
    macros: tuple[str, ...] = (),
    variations: Variations = NONE,
    largest_yaw: float = LARGEST_YAW,
    light: Light | None = None,
) -> Performance:
    """Write the script of one recording.

    Args:
        seed (`tuple` of `int`): seed of all draws.
        wanted (`list` of `(emotion, combination)`): the micro-expressions in order; a combination of `None` is drawn
            from the emotion's prototypes. An empty list is a recording without events.
        fps (`float`): frames per second, unless `variations` draws them.
        difficulty (`str`): a key of `DIFFICULTIES`.
        duration_s (`tuple` of two `float`): shortest and longest event in seconds.
        neutral_s (`float`, *optional*, defaults to 0.0): quiet time before, between and after events; each pause is
            drawn from half to one and a half of it.
        speech (`bool`, *optional*, defaults to `False`): the mouth opens and shuts as in talk all the time.
        timing (`str`, *optional*, defaults to `"pulse"`): course of the events, a key of `TIMINGS`, or `"mixed"`.
        durations (`str`, *optional*): a key of `PUBLISHED_DURATIONS`, whose durations replace `duration_s`.
        macros (`tuple` of `str`, *optional*): emotions of additional macro-expressions.
        variations (`Variations`, *optional*): switches that are on; none by default.
        largest_yaw (`float`, *optional*, defaults to 15.0): largest yaw of the variation `head_turns`, in degrees.
        light (`Light`, *optional*): mean lighting of the subject.

    Returns:
        `Performance`: of which frame 0 is the first event's onset when `neutral_s` is 0.
    """
    rng = np.random.default_rng([0xAC7, *seed])
    level = DIFFICULTIES[difficulty]
    fps = drawn_frame_rate(variations, seed, fps)
    plan = EventPlan(
        wanted=wanted,
        motion=level.motion,
        duration_s=duration_s,
        others=switch_rng("events", seed),
        durations=durations,
        timing=timing,
        neutral_s=neutral_s,
        sizes=switch_rng("movement_size", seed) if variations.movement_size else None,
        macros=macros,
    )
    events, macro_events, curves = plan_events(rng, plan, fps)
    num_frames = len(curves)
    if level.twitch:
        _add_twitches(rng, curves, fps, level.twitch)
    if speech:
        add_speech(rng, curves, fps)
    time = np.arange(num_frames) / fps
    offsets = rng.uniform(-1, 1, 6) * (level.yaw, level.pitch, level.roll, level.shift, level.shift, level.size)
    swings = np.array((level.turn, level.turn, 0.6 * level.turn, level.drift, level.drift, 0.004 * level.drift))
    pose = np.stack(
        [offset + swing * wander(rng, time) for offset, swing in zip(offsets, swings, strict=True)], axis=1
    )
    pose[:, 5] += 1
    pose[:, 0] = _turn_back(pose[:, 0])
    # A lamp on 50 Hz mains flickers at 100 Hz, which the frame rate aliases.
    flicker = level.flicker * np.sin(2 * np.pi * (100.3 * time + rng.random()))
    gain = (1 + level.exposure * rng.uniform(-1, 1)) * (1 + flicker)
    light = light or Light()
    direction = np.asarray(light.direction) + level.light * rng.normal(size=3) * (1, 1, 0.3)
    performance = Performance(
        fps=fps,
        events=tuple(events),
        macro_events=tuple(macro_events),
        curves=curves,
        pose=pose.astype(np.float32),
        blink=blinks(rng, time, level.blink),
        gaze=gaze(rng, time, level.gaze),
        gain=gain.astype(np.float32),
        noise=level.noise * rng.uniform(0.6, 1.2),
        blur=level.blur * rng.random(),
        jpeg_quality=int(rng.integers(level.jpeg[0], level.jpeg[1] + 1)),
        light=replace(light, direction=(float(direction[0]), float(direction[1]), float(direction[2]))),
        seed=seed,
    )
    return vary(performance, variations, largest_yaw) if variations != NONE else performance


def _turn_back(yaw: FloatArray) -> FloatArray:
    """Return the yaw, shifted as a whole to the front by its excess over `LARGEST_YAW`."""
    beyond = yaw[np.argmax(np.abs(yaw))]
    return yaw - np.sign(beyond) * max(abs(beyond) - LARGEST_YAW, 0.0)


def _add_twitches(rng: np.random.Generator, curves: FloatArray, fps: float, largest: float) -> None:
    """Add small one-unit motions without events, about two a second, in place."""
    for _ in range(rng.poisson(2 * len(curves) / fps)):
        column, centre = int(rng.integers(curves.shape[1])), rng.uniform(0, len(curves))
        width = rng.uniform(0.05, 0.2) * fps
        hill = np.exp(-(((np.arange(len(curves)) - centre) / width) ** 2))
        curves[:, column] += (rng.uniform(0.3, 1) * largest * hill).astype(np.float32)
