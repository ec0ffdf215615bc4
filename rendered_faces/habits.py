"""Motion beside the events: wandering, speech, blinks, gaze, swallowing."""

from __future__ import annotations

from operator import itemgetter

import numpy as np

from .events import COLUMN
from .faces import FloatArray


def wander(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """Return a smooth wandering signal of about unit size: slow sines of random frequency and phase."""
    frequencies, phases = rng.uniform(0.1, 1.2, 5), rng.uniform(0, 2 * np.pi, 5)
    weights = rng.normal(size=5) / np.sqrt(5)
    return np.sin(2 * np.pi * frequencies * time[:, None] + phases) @ weights


def add_speech(rng: np.random.Generator, curves: FloatArray, fps: float) -> None:
    """Add mouth motion as in talk, about four syllables a second, in place."""
    time = np.arange(len(curves)) / fps
    for code, largest in ((25, 3.0), (26, 2.5), (20, 0.8)):
        beat = np.sin(2 * np.pi * (rng.uniform(3, 5) * time + rng.random())) + wander(rng, time)
        for side in ("L", "R"):
            curves[:, COLUMN[code, side]] += (largest * np.clip(beat, 0, 1)).astype(np.float32)


def blinks(rng: np.random.Generator, time: FloatArray, per_second: float) -> FloatArray:
    """Return lid closure: blinks of 0.1 to 0.2 s, faster shut than opened."""
    closed = np.zeros(len(time))
    seconds = len(time) * (time[1] - time[0])
    for _ in range(rng.poisson(per_second * seconds)):
        centre, width = rng.uniform(0, seconds), rng.uniform(0.04, 0.07)
        phase = (time - centre) / np.where(time < centre, width, 1.6 * width)
        closed = np.maximum(closed, np.exp(-(phase**2)))
    return closed.astype(np.float32)


def gaze(rng: np.random.Generator, time: FloatArray, per_second: float) -> FloatArray:
    """Return gaze: fixations with jumps of about 30 ms between them."""
    seconds = len(time) * (time[1] - time[0])
    gaze = np.repeat(rng.normal(0, 0.15, (1, 2)), len(time), axis=0)
    jumps = [
        (rng.uniform(0, seconds), np.clip(rng.normal(0, 0.4, 2), -1, 1))
        for _ in range(rng.poisson(per_second * seconds))
    ]
    # In time order, because each fixation ends at the next one.
    for start, place in sorted(jumps, key=itemgetter(0)):
        jump = np.clip((time - start) / 0.03, 0, 1)[:, None]
        gaze = gaze * (1 - jump) + jump * place
    return gaze.astype(np.float32)


def swallow(rng: np.random.Generator, curves: FloatArray, pitch: FloatArray, fps: float) -> None:
    """Add a swallow of 0.5 to 0.9 seconds in place: lips press, chin and jaw move, the head nods (degrees)."""
    time = np.arange(len(curves)) / fps
    centre, width = rng.uniform(0, time[-1]), rng.uniform(0.12, 0.22)
    hill = np.exp(-(((time - centre) / width) ** 2))
    for code, largest in ((24, 1.5), (17, 1.2), (26, 0.6)):
        lag = rng.uniform(-0.05, 0.05)
        for side in ("L", "R"):
            part = np.exp(-(((time - centre - lag) / width) ** 2))
            curves[:, COLUMN[code, side]] += (largest * rng.uniform(0.7, 1.1) * part).astype(np.float32)
    pitch += rng.uniform(0.3, 1.2) * hill
