"""The script of one recording: everything about the face and the camera at every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .events import CURVE_KEYS, Event
from .faces import FaceState, FloatArray, Light
from .scenes import Scene

# Less motion of an action unit, in reference pixels, counts as none, because the flanks of twitches do not end at 0.
LEAST_MOTION = 1e-3


@dataclass(frozen=True)
class Performance:
    """One recording as a script: everything about the face and the camera at every frame.

    Args:
        fps (`float`): frames per second.
        events (`tuple` of `Event`): micro-expressions in time order.
        macro_events (`tuple` of `Event`): macro-expressions in time order.
        curves (`np.ndarray` of shape `(num_frames, len(CURVE_KEYS))`): action units in reference pixels, float32.
        pose (`np.ndarray` of shape `(num_frames, 6)`): yaw, pitch, roll (degrees), shift x, y (reference pixels),
            scale.
        blink (`np.ndarray` of shape `(num_frames,)`): 0 open, 1 closed.
        gaze (`np.ndarray` of shape `(num_frames, 2)`): pupil offset, see `FaceState`.
        gain (`np.ndarray` of shape `(num_frames,)`): brightness, 1 is neutral.
        noise, blur (`float`): noise and blur of the camera; see `Difficulty`.
        jpeg_quality (`int`): JPEG quality of the files.
        light (`Light`): the lighting.
        seed (`tuple` of `int`): seed of the sensor noise.
        lights (`tuple` of `Light`): the lighting of each frame where it changes, empty where it does not.
        nearness (`float`): nearness of the camera; see `FaceState`.
        scene (`Scene`, *optional*): background; the identity's wall when omitted.
        bands (`tuple` of `np.ndarray` of shape `(num_frames, 3)`): bars across the frame: amplitude, cycles in its
            height, phase in cycles.
        row_noise (`float`): standard deviation of noise per row.
        codec (`tuple` of `str` and `int`, *optional*): `"h264"` and its rate factor, or `"mjpeg"` and its quantiser.
    """

    fps: float
    events: tuple[Event, ...]
    macro_events: tuple[Event, ...]
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
    lights: tuple[Light, ...] = ()
    nearness: float = 0.0
    scene: Scene | None = None
    bands: tuple[FloatArray, ...] = ()
    row_noise: float = 0.0
    codec: tuple[str, int] | None = None

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
            nearness=self.nearness,
            light=self.lights[frame] if self.lights else self.light,
        )
