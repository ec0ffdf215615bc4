"""Frames and ground truth from a face and its script."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .camera import Sensor, UInt8Array, transcoded
from .errors import RenderingOptionError
from .faces import Face, FaceFamily, FloatArray, subject_light
from .motion import CURVE_KEYS, DIFFICULTIES, MIXED, PUBLISHED_DURATIONS, TIMINGS, Event, Performance, plan_performance
from .scenes import Backdrop
from .variations import Variations, switches_of

# As many frames of 128 pixels are rendered before the camera takes them, because rendering empties the processor's
# caches: a JPEG after a JPEG takes half the time of one after a rendering.
FRAMES_AT_ONCE = 8


@dataclass(frozen=True)
class GroundTruth:
    """Ground truth of one recording.

    Args:
        events (`tuple` of `Event`): the micro-expressions.
        macro_events (`tuple` of `Event`): the macro-expressions.
        curves (`np.ndarray` of shape `(num_frames, 34)`): motion of each action unit in pixels of a 128-pixel frame;
            columns as in `motion.CURVE_KEYS`.
        pose (`np.ndarray` of shape `(num_frames, 6)`): yaw, pitch, roll, shift x, shift y, scale.
        blink, gaze (`np.ndarray` of shape `(num_frames,)` and `(num_frames, 2)`): lids and pupils.
        five_points (`np.ndarray` of shape `(num_frames, 5, 2)`): left eye, right eye, nose tip, left and right mouth
            corner as seen in the image; pixels (x, y).
        landmarks (`np.ndarray` of shape `(num_frames, num_landmarks, 2)`): pixels (x, y).
        landmark_names (`tuple` of `str`): their names.
        flow (`np.ndarray` of shape `(num_events, height, width, 2)`): skin motion from onset to apex in pixels, of the
            micro-expressions.
        identity (`np.ndarray` of shape `(num_parameters,)`): the numbers of the face.
        fps (`float`): frames per second.
    """

    events: tuple[Event, ...]
    macro_events: tuple[Event, ...]
    curves: FloatArray
    pose: FloatArray
    blink: FloatArray
    gaze: FloatArray
    five_points: FloatArray
    landmarks: FloatArray
    landmark_names: tuple[str, ...]
    flow: FloatArray
    identity: FloatArray
    fps: float

    def save(self, path: Path) -> None:
        """Write everything into one compressed `.npz`; flow is rounded to float16 (0.002 px below 4 px)."""
        events: dict[str, Any] = {
            **_event_columns("event", self.events),
            **_event_columns("macro", self.macro_events),
        }
        np.savez_compressed(
            path,
            **events,
            curve_names=np.array([f"{side}{code}" for code, side in CURVE_KEYS]),
            curves=self.curves,
            pose=self.pose,
            blink=self.blink,
            gaze=self.gaze,
            five_points=self.five_points,
            landmarks=self.landmarks,
            landmark_names=np.array(self.landmark_names),
            flow=self.flow.astype(np.float16),
            identity=self.identity,
            fps=np.float32(self.fps),
        )


def _event_columns(name: str, events: tuple[Event, ...]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays that hold events: onset, apex and offset, emotion, action units and timing."""
    frames = np.array([(event.onset, event.apex, event.offset) for event in events], np.int32)
    return {
        f"{name}_frames": frames.reshape(len(events), 3),
        f"{name}_emotions": np.array([event.emotion for event in events], np.str_),
        f"{name}_action_units": np.array([event.action_units_text() for event in events], np.str_),
        f"{name}_timings": np.array([event.timing for event in events], np.str_),
    }


@dataclass(frozen=True)
class RenderedClip:
    """Frames and truth of one recording held in memory.

    Args:
        frames (`np.ndarray` of shape `(num_frames, height, width)`): gray, uint8.
        truth (`GroundTruth`): their ground truth.
    """

    frames: UInt8Array
    truth: GroundTruth


def film(face: Face, performance: Performance) -> Iterator[UInt8Array]:
    """Yield the frames of a recording, uint8 of shape `(height, width)`, after the camera and before JPEG.

    The first frame takes the time of several renderings, because so many are rendered ahead: `FRAMES_AT_ONCE` of 128
    pixels, fewer of larger and more of smaller frames.
    """
    frames = _exposed(face, performance)
    return frames if performance.codec is None else transcoded(frames, performance.codec, performance.fps)


def _exposed(face: Face, performance: Performance) -> Iterator[UInt8Array]:
    sensor = Sensor(performance, face.pixel_scale)
    behind = None if performance.scene is None else Backdrop(performance.scene, face.wall)
    step = max(1, round(FRAMES_AT_ONCE / face.pixel_scale**2))
    for start in range(0, performance.num_frames, step):
        frames = range(start, min(start + step, performance.num_frames))
        pictures = [
            face.render(performance.state(frame), None if behind is None else behind.picture(frame))
            for frame in frames
        ]
        yield from [sensor.expose(picture, frame) for picture, frame in zip(pictures, frames, strict=True)]


def measure(face: Face, performance: Performance) -> GroundTruth:
    """Return the ground truth of a recording without rendering frames."""
    states = [performance.state(frame) for frame in range(performance.num_frames)]
    flow = [face.flow(states[event.onset], states[event.apex]) for event in performance.events]
    return GroundTruth(
        events=performance.events,
        macro_events=performance.macro_events,
        curves=performance.curves,
        pose=performance.pose,
        blink=performance.blink,
        gaze=performance.gaze,
        five_points=np.stack([face.five_points(state) for state in states]),
        landmarks=np.stack([face.landmarks(state) for state in states]),
        landmark_names=face.landmark_names,
        flow=np.stack(flow) if flow else np.zeros((0, *face.image_size_hw, 2), np.float32),
        identity=face.identity,
        fps=performance.fps,
    )


def jpeg_bytes(frame: UInt8Array, quality: int) -> bytes:
    """Return a gray frame as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def check_recording(
    size_hw: tuple[int, int],
    fps: float,
    difficulty: str,
    duration_s: tuple[float, float],
    neutral_s: float,
    timing: str = "pulse",
    durations: str | None = None,
) -> None:
    """Refuse settings outside their ranges.

    Args:
        size_hw (`tuple` of two `int`): height and width of the frames, 32 to 4096 pixels.
        fps (`float`): frames per second, 10 to 1000.
        difficulty (`str`): one of `motion.DIFFICULTIES`.
        duration_s (`tuple` of two `float`): shortest and longest event, 0.02 to 5 seconds.
        neutral_s (`float`): quiet time, 0 to 600 seconds.
        timing (`str`, *optional*, defaults to `"pulse"`): one of `events.TIMINGS`, or `"mixed"`.
        durations (`str`, *optional*): one of `events.PUBLISHED_DURATIONS`.

    Raises:
        RenderingOptionError: one of them is out of its range.
    """
    for name, low, high, number in (("fps", 10, 1000, fps), ("neutral_s", 0, 600, neutral_s)):
        if not low <= number <= high:
            raise RenderingOptionError(
                f"{name} must be {low} to {high}, but {number} was given: choose within that range."
            )
    if not all(32 <= side <= 4096 for side in size_hw):
        raise RenderingOptionError(
            f"frames are 32 to 4096 pixels high and wide, but {size_hw} was given: choose within that range."
        )
    if not 0.02 <= duration_s[0] <= duration_s[1] <= 5:
        raise RenderingOptionError(
            f"events last 0.02 to 5 seconds, shortest first, but {duration_s} was given: give two such numbers."
        )
    for name, value, known in (
        ("difficulty", difficulty, tuple(DIFFICULTIES)),
        ("timing", timing, (*TIMINGS, MIXED)),
        ("durations", durations, (None, *PUBLISHED_DURATIONS)),
    ):
        if value not in known:
            raise RenderingOptionError(
                f"{name} is one of {', '.join(map(str, known))}, but {value!r} was given: choose one of them."
            )


def render_clip(
    subject_seed: int,
    emotion: str = "",
    *,
    action_units: str | None = None,
    seed: int = 0,
    size: int = 128,
    fps: float = 100.0,
    difficulty: str = "mild",
    duration_s: tuple[float, float] = (0.2, 0.4),
    neutral_s: float = 0.0,
    speech: bool = False,
    timing: str = "pulse",
    variations: Variations | None = None,
    family: FaceFamily | None = None,
) -> RenderedClip:
    """Render one clip in memory, for demonstrations and tests.

    Args:
        subject_seed (`int`): chooses the identity. Corpora draw 32-bit seeds, so a small number is a subject of no
            corpus.
        emotion (`str`, *optional*): emotion from whose prototypes action units are drawn; see `prototypes.PROTOTYPES`.
        action_units (`str`, *optional*): the combination itself, e.g. `"6+12"` or `"L14"`.
        seed (`int`, *optional*, defaults to 0): draws motion, pose, light and noise.
        size (`int`, *optional*, defaults to 128): height and width in pixels.
        fps (`float`, *optional*, defaults to 100.0): frames per second.
        difficulty (`str`, *optional*, defaults to `"mild"`): `"mild"`, `"medium"`, `"hard"` or `"wild"`.
        duration_s (`tuple` of two `float`, *optional*, defaults to `(0.2, 0.4)`): shortest and longest event.
        neutral_s (`float`, *optional*, defaults to 0.0): quiet time before and after.
        speech (`bool`, *optional*, defaults to `False`): whether the subject talks.
        timing (`str`, *optional*, defaults to `"pulse"`): one of `events.TIMINGS`, or `"mixed"`.
        variations (`Variations`, *optional*): switches that are on; those of the difficulty when omitted.
        family (`FaceFamily`, *optional*): the kind of face; the built-in one when omitted.

    Returns:
        `RenderedClip`: frames and ground truth; with `neutral_s=0` frame 0 is the onset and the last frame the offset.

    Raises:
        ValueError: neither emotion nor action units were given, or one of them is unknown.
        RenderingOptionError: a setting is out of its range; see [`check_recording`].
    """
    if not emotion and action_units is None:
        raise ValueError("a clip needs an emotion or action units, but neither was given: pass emotion='happiness'.")
    from .procedural.face import ProceduralFaces

    check_recording((size, size), fps, difficulty, duration_s, neutral_s, timing)
    if variations is None:
        variations = switches_of(difficulty)
    family = family or ProceduralFaces()
    face = family.face(subject_seed, (size, size), variations)
    performance = plan_performance(
        (subject_seed, seed),
        [(emotion, action_units)],
        fps=fps,
        difficulty=difficulty,
        duration_s=duration_s,
        neutral_s=neutral_s,
        speech=speech,
        timing=timing,
        variations=variations,
        largest_yaw=family.largest_yaw,
        light=subject_light(subject_seed),
    )
    frames = np.stack(list(film(face, performance)))
    return RenderedClip(frames, measure(face, performance))
