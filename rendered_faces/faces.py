"""Interface of all synthetic faces."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .variations import NONE, Variations

# Maps and pictures are float32; scripts and small vectors may be float64.
FloatArray = NDArray[np.floating]

# The action units that both kinds of face can move (FACS numbers).
ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)
# Units without sides: chin, lip tightening and jaw act on the whole mouth.
MIDLINE_ACTION_UNITS = (17, 23, 24, 25, 26)
# Motion is given in pixels of a frame this wide, about the width that most papers work at.
REFERENCE_WIDTH = 128


@dataclass(frozen=True)
class Light:
    """One key light over an ambient floor.

    Args:
        direction (`tuple` of three `float`): towards the light; x to the image's right, y down, z to the camera.
        key (`float`): strength of the key light, about 0.3 to 1.
        ambient (`float`): strength of the ambient light, about 0.2 to 0.6.
        warmth (`float`): how much brighter (or, below 0, darker) red surfaces are than under white light: lips most,
            skin half as much, hair, eyes and clothes hardly.
        shadow (`float`): share of the light that a cast shadow removes, 0 for none.
        shadow_edge, shadow_width (`float`): where the shadow begins and how soft its edge is, in pixels of a
            128-pixel frame from its middle.
        shadow_angle (`float`): direction in which the shadow lies; radians, 0 to the image's right, clockwise.
    """

    direction: tuple[float, float, float] = (-0.3, -0.5, 0.8)
    key: float = 0.7
    ambient: float = 0.4
    warmth: float = 0.0
    shadow: float = 0.0
    shadow_edge: float = 0.0
    shadow_width: float = 1.0
    shadow_angle: float = 0.0

    def share(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the share of light at positions of the frame, in pixels of a 128-pixel frame from its middle."""
        across = x * np.float32(np.cos(self.shadow_angle)) + y * np.float32(np.sin(self.shadow_angle))
        ramp = np.clip((across - np.float32(self.shadow_edge)) / np.float32(self.shadow_width) + np.float32(0.5), 0, 1)
        return 1 - np.float32(self.shadow) * ramp * ramp * (3 - 2 * ramp)

    def ramp(self, middle_x: float, middle_y: float, pixel_scale: float) -> FloatArray:
        """Return the cast shadow in numbers: `shadow`, and its ramp as a linear function of column, row and 1.

        Args:
            middle_x (`float`): column of the frame's middle.
            middle_y (`float`): row of the frame's middle.
            pixel_scale (`float`): pixels of the frame for one of a 128-pixel frame.

        Returns:
            `np.ndarray` of shape `(4,)`, float32; the ramp is 0 or less where no shadow lies, 1 or more where all of
            it does.
        """
        right = math.cos(self.shadow_angle) / (pixel_scale * self.shadow_width)
        down = math.sin(self.shadow_angle) / (pixel_scale * self.shadow_width)
        middle = 0.5 - self.shadow_edge / self.shadow_width
        return np.array([self.shadow, right, down, middle - right * middle_x - down * middle_y], np.float32)


@dataclass(frozen=True)
class FaceState:
    """State of one face at one instant.

    Args:
        action_units (`Mapping` from `(code, side)` to `float`): largest skin motion that the action unit causes, in
            pixels of a frame 128 pixels wide. `side` is `"L"` or `"R"`, the subject's own; an action unit of the
            midline may be given on either or both sides; the larger value is used.
        blink (`float`): 0 open, 1 closed.
        gaze_xy (`tuple` of two `float`): pupil offset, 1 is as far as the eye turns; x to the image's right, y down.
        yaw, pitch, roll (`float`): head rotation in degrees; positive yaw turns to the image's right, positive pitch
            looks down, positive roll is clockwise in the image.
        shift_xy (`tuple` of two `float`): head translation in pixels of a frame 128 pixels wide.
        scale (`float`): size of the head, 1 is the framing of the corpus.
        nearness (`float`): 1 / distance of the camera in pixels of a 128-pixel frame; 0 is infinitely far.
        light (`Light`): the lighting.
    """

    action_units: Mapping[tuple[int, str], float] = field(default_factory=dict)
    blink: float = 0.0
    gaze_xy: tuple[float, float] = (0.0, 0.0)
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift_xy: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    nearness: float = 0.0
    light: Light = field(default_factory=Light)


class Face(ABC):
    """One identity, framed in images of one size.

    Args:
        image_size_hw (`tuple` of two `int`): height and width of the images in pixels.
    """

    landmark_names: tuple[str, ...]

    def __init__(self, image_size_hw: tuple[int, int]) -> None:
        self.image_size_hw = image_size_hw
        # The head fits into the shorter side.
        self.pixel_scale = min(image_size_hw) / REFERENCE_WIDTH

    @abstractmethod
    def render(self, state: FaceState, backdrop: FloatArray | None = None) -> FloatArray:
        """Return the luminance of one frame before any camera.

        Args:
            state (`FaceState`): state of the face.
            backdrop (`np.ndarray` of shape `(height, width)`, *optional*): luminance behind the head, float32; the
                identity's own wall when omitted.

        Returns:
            `np.ndarray` of shape `(height, width)`, float32 in [0, 1].
        """

    @property
    @abstractmethod
    def wall(self) -> FloatArray:
        """The luminance behind the head where no scene is given, float32 `(height, width)`."""

    @abstractmethod
    def landmarks(self, state: FaceState) -> FloatArray:
        """Return the landmarks named in `landmark_names`, float32 `(num_landmarks, 2)`, pixels (x, y)."""

    @abstractmethod
    def five_points(self, state: FaceState) -> FloatArray:
        """Return left eye, right eye, nose tip, left and right mouth corner (sides of the image), `(5, 2)` pixels."""

    @abstractmethod
    def flow(self, start: FaceState, end: FaceState) -> FloatArray:
        """Return the true motion of the skin seen in `start` until `end`.

        Returns:
            `np.ndarray` of shape `(height, width, 2)`, float32: displacement (x, y) in pixels at each pixel of the
            first image; 0 on the background. Eyeballs, teeth and occluders have the motion of the head or of the skin
            around them.
        """

    @property
    @abstractmethod
    def identity(self) -> FloatArray:
        """The numbers that make this face differ from others, float32 of shape `(num_parameters,)`."""


class FaceFamily(ABC):
    """Makes an identity from a seed."""

    name: str
    # Largest turn of its heads from the front, in degrees.
    largest_yaw: float

    @abstractmethod
    def face(self, seed: int, image_size_hw: tuple[int, int], variations: Variations = NONE) -> Face:
        """Return the identity that belongs to `seed`; the same seed and switches always give the same face."""


def rotation_matrix(yaw: float, pitch: float, roll: float) -> FloatArray:
    """Return the head rotation for x to the right, y down, z to the camera.

    Args:
        yaw (`float`): degrees, positive to the image's right.
        pitch (`float`): degrees, positive down.
        roll (`float`): degrees, positive clockwise in the image.

    Returns:
        `np.ndarray` of shape `(3, 3)`, float32: columns are the images of the head's axes.
    """
    yaw, pitch, roll = math.radians(yaw), math.radians(pitch), math.radians(roll)
    cos_yaw, cos_pitch, cos_roll = math.cos(yaw), math.cos(pitch), math.cos(roll)
    sin_yaw, sin_pitch, sin_roll = math.sin(yaw), math.sin(pitch), math.sin(roll)
    # Around y (yaw), then x (pitch), then z (roll); multiplied by hand, because every frame needs several.
    return np.array(
        [
            [
                cos_roll * cos_yaw + sin_roll * sin_pitch * sin_yaw,
                -sin_roll * cos_pitch,
                cos_roll * sin_yaw - sin_roll * sin_pitch * cos_yaw,
            ],
            [
                sin_roll * cos_yaw - cos_roll * sin_pitch * sin_yaw,
                cos_roll * cos_pitch,
                sin_roll * sin_yaw + cos_roll * sin_pitch * cos_yaw,
            ],
            [-cos_pitch * sin_yaw, -sin_pitch, cos_pitch * cos_yaw],
        ],
        np.float32,
    )


def inverse_2x2(matrix: list[list[float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the inverse of two rows of two numbers, as rows; a tenth of the time of `np.linalg.inv`."""
    (xx, xy), (yx, yy) = matrix
    determinant = xx * yy - xy * yx
    return (yy / determinant, -xy / determinant), (-yx / determinant, xx / determinant)


def subject_light(subject_seed: int) -> Light:
    """Return the mean lighting of a subject: corpora film each subject in one session."""
    rng = np.random.default_rng([0x116, subject_seed])
    angle = rng.uniform(-1.0, 1.0)
    direction = (float(np.sin(angle)), float(rng.uniform(-0.7, 0.0)), 0.9)
    return Light(direction, key=float(rng.uniform(0.45, 0.8)), ambient=float(rng.uniform(0.25, 0.5)))


def merge_midline(action_units: Mapping[tuple[int, str], float]) -> dict[tuple[int, str], float]:
    """Return the action units with those of the midline under side `"L"` only, at the larger of both values."""
    merged: dict[tuple[int, str], float] = {}
    for (code, side), pixels in action_units.items():
        key = (code, "L") if code in MIDLINE_ACTION_UNITS else (code, side)
        merged[key] = max(merged.get(key, 0.0), pixels)
    return merged
