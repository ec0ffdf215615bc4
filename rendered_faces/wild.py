"""The switches of [`Variations`] for script, scene and camera; those of the face are in its paint.

Every switch draws from a separate seed and changes its own fields of a [`Performance`]. The ground truth depends only
on head turns, focal length, movement size, gaze, blinks, speech and swallowing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .faces import FloatArray
from .habits import add_speech, blinks, gaze, swallow, wander
from .performance import Performance
from .scenes import Scene
from .variations import Variations, switch_rng

# Frames per second of cameras in research and everyday use.
FRAME_RATES = (24.0, 25.0, 30.0, 50.0, 60.0, 90.0, 100.0, 120.0, 200.0, 240.0)
# Distance of the camera in widths of a head; a head is about 126 pixels of a 128-pixel frame wide.
DISTANCES, HEAD_WIDTH = (3.0, 20.0), 126.0
# Quality: rate factors of H.264 (18 is hardly visible, 29 poor), quantisers of MJPEG (2 to 31, lower is better).
H264_FACTORS, MJPEG_QUANTISERS = (18, 29), (2, 12)


def drawn_frame_rate(variations: Variations, seed: tuple[int, ...], fps: float) -> float:
    """Return the recording's frame rate: the given one, or one of `FRAME_RATES`."""
    return float(switch_rng("frame_rate", seed).choice(FRAME_RATES)) if variations.frame_rate else fps


def vary(performance: Performance, variations: Variations, largest_yaw: float) -> Performance:
    """Return a recording with the switches applied; `largest_yaw` (degrees) is the largest turn of the face."""
    time = np.arange(performance.num_frames) / performance.fps
    moved = _vary_motion(performance, variations, time, largest_yaw)
    return _vary_camera(_vary_light(moved, variations, time), variations, time)


def _vary_motion(
    performance: Performance, variations: Variations, time: FloatArray, largest_yaw: float
) -> Performance:
    seed, fps = performance.seed, performance.fps
    curves, pose = performance.curves.copy(), performance.pose.copy()
    if variations.speech:
        rng = switch_rng("speech", seed)
        spoken = np.zeros_like(curves)
        add_speech(rng, spoken, fps)
        # Speech starts and stops within tenths of a second.
        loud = np.clip(2 * wander(rng, time) + rng.uniform(-0.5, 1.0), 0, 1)
        curves += (loud[:, None] * spoken).astype(np.float32)
    if variations.swallowing:
        swallow(switch_rng("swallowing", seed), curves, pose[:, 1], fps)
    if variations.head_turns:
        rng = switch_rng("head_turns", seed)
        sizes = rng.uniform(0.2, 1.0, 3) * (largest_yaw, 12.0, 8.0)
        for column, size in enumerate(sizes):
            speed, phase = rng.uniform(0.1, 0.5), rng.uniform(0, 2 * np.pi)
            pose[:, column] += (size * np.sin(2 * np.pi * speed * time + phase)).astype(np.float32)
        pose[:, 0] *= min(1.0, largest_yaw / np.abs(pose[:, 0]).max())
    if variations.blinks:
        rng = switch_rng("blinks", seed)
        performance = replace(performance, blink=blinks(rng, time, rng.uniform(0.3, 1.0)))
    if variations.gaze:
        rng = switch_rng("gaze", seed)
        performance = replace(performance, gaze=gaze(rng, time, rng.uniform(1.0, 4.0)))
    if variations.focal_length:
        widths = float(np.exp(switch_rng("focal_length", seed).uniform(*np.log(DISTANCES))))
        performance = replace(performance, nearness=1 / (widths * HEAD_WIDTH))
    return replace(performance, curves=curves, pose=pose)


def _vary_light(performance: Performance, variations: Variations, time: FloatArray) -> Performance:
    seed, light = performance.seed, performance.light
    count = len(time)
    columns: dict[str, FloatArray] = {}
    directions = np.tile(np.asarray(light.direction, float), (count, 1))
    if variations.coloured_light:
        rng = switch_rng("coloured_light", seed)
        columns["warmth"] = rng.uniform(-0.25, 0.25) + rng.uniform(0.0, 0.12) * wander(rng, time)
    if variations.moving_light:
        rng = switch_rng("moving_light", seed)
        angle = rng.uniform(0.1, 0.6) * wander(rng, time)
        x, z = directions[:, 0].copy(), directions[:, 2].copy()
        directions[:, 0], directions[:, 2] = (
            x * np.cos(angle) + z * np.sin(angle),
            z * np.cos(angle) - x * np.sin(angle),
        )
        columns["key"] = light.key * np.clip(1 + rng.uniform(0.0, 0.3) * wander(rng, time), 0.2, 2.0)
    if variations.shadow:
        rng = switch_rng("shadow", seed)
        columns["shadow"] = np.full(count, rng.uniform(0.2, 0.7))
        columns["shadow_angle"] = np.full(count, rng.choice([0.0, np.pi]) + rng.uniform(-0.6, 0.6))
        columns["shadow_width"] = np.full(count, np.exp(rng.uniform(np.log(1.5), np.log(20.0))))
        moves = rng.random() < 0.5
        columns["shadow_edge"] = rng.uniform(-12.0, 12.0) + (10.0 * moves) * wander(rng, time)
    if not columns:
        return performance
    lights = tuple(
        replace(
            light,
            direction=tuple(directions[frame].tolist()),
            **{name: float(values[frame]) for name, values in columns.items()},
        )
        for frame in range(count)
    )
    return replace(performance, lights=lights)


def _vary_camera(performance: Performance, variations: Variations, time: FloatArray) -> Performance:
    seed, fps = performance.seed, performance.fps
    gain, bands = performance.gain.copy(), list(performance.bands)
    if variations.background or variations.moving_background:
        busy = int(switch_rng("background", seed).integers(2**32)) if variations.background else None
        moving = int(switch_rng("moving_background", seed).integers(2**32)) if variations.moving_background else None
        performance = replace(performance, scene=Scene(busy, moving, fps))
    if variations.mains_flicker:
        gain, bands = _mains(switch_rng("mains_flicker", seed), gain, bands, time, fps)
    if variations.rolling_noise:
        rng = switch_rng("rolling_noise", seed)
        amplitude, cycles, speed = rng.uniform(0.005, 0.03), rng.uniform(0.5, 3.0), rng.uniform(-3.0, 3.0)
        bands.append(_bands(amplitude, cycles, speed * time + rng.random()))
        performance = replace(performance, row_noise=float(rng.uniform(0.002, 0.015)))
    if variations.gain_steps:
        gain = gain * _gain_steps(switch_rng("gain_steps", seed), time)
    if variations.blur:
        blur = max(performance.blur, float(switch_rng("blur", seed).uniform(0.4, 1.8)))
        performance = replace(performance, blur=blur)
    if variations.compression:
        rng = switch_rng("compression", seed)
        name, (best, worst) = (("h264", H264_FACTORS), ("mjpeg", MJPEG_QUANTISERS))[int(rng.random() < 0.3)]
        performance = replace(performance, codec=(name, int(rng.integers(best, worst + 1))))
    return replace(performance, gain=gain.astype(np.float32), bands=tuple(bands))


def _mains(
    rng: np.random.Generator, gain: FloatArray, bands: list[FloatArray], time: FloatArray, fps: float
) -> tuple[FloatArray, list[FloatArray]]:
    """Return gain and bands under a lamp that flickers at twice the frequency of the mains."""
    beat = 2 * float(rng.choice([50.0, 60.0])) * (1 + rng.uniform(-1e-3, 1e-3))
    exposure = float(rng.uniform(min(0.001, 0.5 / fps), 1 / fps))
    # An exposure over a whole period averages the flicker out.
    amplitude = rng.uniform(0.02, 0.15) * abs(float(np.sinc(beat * exposure)))
    phase = beat * time + rng.random()
    readout = float(rng.uniform(0.3, 1.0) / fps)
    if rng.random() < 0.5:
        return gain, [*bands, _bands(amplitude, beat * readout, phase)]
    return gain * (1 + amplitude * np.sin(2 * np.pi * phase)), bands


def _bands(amplitude: float, cycles: float, phase: FloatArray) -> FloatArray:
    return np.stack((np.full_like(phase, amplitude), np.full_like(phase, cycles), phase % 1.0), axis=1)


def _gain_steps(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """Return a gain of 1 that jumps about once a second, within one to four frames."""
    level = np.zeros_like(time)
    seconds = len(time) * (time[1] - time[0])
    for _ in range(1 + rng.poisson(seconds)):
        start, frames = rng.uniform(0, seconds), rng.integers(1, 5)
        size = rng.choice([-1, 1]) * rng.uniform(0.04, 0.3)
        level += size * np.clip((time - start) / (frames * (time[1] - time[0])), 0, 1)
    return np.exp(np.clip(level, -0.35, 0.25))
