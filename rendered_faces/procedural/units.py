"""Displacements of the built-in face by action units: smooth maps, and slits of lids and lips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rendered_faces.faces import FaceState, FloatArray, merge_midline
from rendered_faces.painting import bump

from .anatomy import PIXELS_PER_UNIT, Anatomy, Slit

# Rows and columns of a map.
Window = tuple[slice, slice]
NOWHERE: Window = slice(0, 0), slice(0, 0)
# Image side of the subject's own sides: the subject's left is on the image's right.
SIDE_SIGN = {"L": 1.0, "R": -1.0}
# Rise of compressed skin, in pixels of depth for a pixel of motion.
BULGE = 1.2
# Smaller displacements, in face units for a pixel of motion, are set to 0.
LEAST_DISPLACEMENT = 1e-6


class DisplacementMaps:
    """Displacement of the skin by each action unit, computed on first use.

    Args:
        anatomy (`Anatomy`): where the parts of the face are.
        x (`np.ndarray` of shape `(map_height, map_width)`): coordinates of the texels, to the image's right.
        y (`np.ndarray` of shape `(map_height, map_width)`): the same, down.
        pixels_per_unit (`float`): reference pixels in one face unit.
    """

    def __init__(self, anatomy: Anatomy, x: FloatArray, y: FloatArray, pixels_per_unit: float) -> None:
        self.anatomy = anatomy
        self.x, self.y = x, y
        self.pixels_per_unit = pixels_per_unit
        self._maps: dict[tuple[int, str], tuple[FloatArray, Window]] = {}
        self._sum = np.zeros((3, *x.shape), np.float32)
        self._window: Window = NOWHERE

    def total(self, action_units: Mapping[tuple[int, str], float]) -> tuple[FloatArray, Window]:
        """Return the sum of all displacements, float32 `(3, map_height, map_width)` in face units, and where it is.

        Beyond the rows and columns that are returned beside it, the sum is 0. The next call overwrites it.
        """
        merged = merge_midline(action_units)
        moving = [(pixels, *self._unit(*key)) for key, pixels in merged.items() if pixels != 0]
        self._sum[:, *self._window] = 0
        self._window = NOWHERE
        for pixels, unit, window in moving:
            self._sum[:, *window] += np.float32(pixels) * unit[:, *window]
        if moving:
            rows, columns = zip(*(window for _, _, window in moving), strict=True)
            self._window = _around(rows), _around(columns)
        return self._sum, self._window

    def parts(self, action_units: Mapping[tuple[int, str], float]) -> list[tuple[float, FloatArray]]:
        """Return weight and displacement of each action unit that moves; their sum is `total`."""
        merged = merge_midline(action_units)
        return [(pixels, self._unit(code, side)[0]) for (code, side), pixels in merged.items() if pixels != 0]

    def _unit(self, code: int, side: str) -> tuple[FloatArray, Window]:
        """Return the displacement of one action unit whose largest skin motion is one reference pixel, and where."""
        if (code, side) not in self._maps:
            field = unit_displacement(self.anatomy, self.x, self.y, code, SIDE_SIGN[side])
            largest = np.sqrt((field[:2] ** 2).sum(axis=0)).max()
            # The upper lid and the lips move by their slits; the remaining motion of the skin is a fixed share.
            scale = SLIT_SHARE.get(code, 1.0)
            unit = (field * (scale / (max(largest, 1e-6) * self.pixels_per_unit))).astype(np.float32)
            present = np.abs(unit).max(axis=0) > LEAST_DISPLACEMENT
            unit *= present
            rows, columns = np.flatnonzero(present.any(axis=1)), np.flatnonzero(present.any(axis=0))
            window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
            self._maps[code, side] = unit, window
        return self._maps[code, side]


def _around(parts: Sequence[slice]) -> slice:
    return slice(min(part.start for part in parts), max(part.stop for part in parts))


# Largest skin motion outside the slit, as a share of the action unit's motion.
SLIT_SHARE = {5: 0.25, 7: 0.45, 25: 0.3}


def unit_displacement(anatomy: Anatomy, x: FloatArray, y: FloatArray, code: int, sign: float) -> FloatArray:
    """Return the shape of one action unit's displacement, any scale.

    Directions and positions follow the descriptions of the FACS manual (muscle and appearance change); sizes are our
    choice.

    Args:
        anatomy (`Anatomy`): where the parts of the face are.
        x (`np.ndarray`): coordinates of the texels, to the image's right.
        y (`np.ndarray`): the same, down.
        code (`int`): the action unit.
        sign (`float`): 1 for the subject's left (image's right), -1 for the right; without meaning on the midline.

    Returns:
        `np.ndarray` of shape `(3, map_height, map_width)`: x to the image's right, y down, depth to the camera.
    """
    a = anatomy
    # Mirror the coordinates: every action unit below is written for the image's right half.
    u = x * np.float32(sign)
    zero = np.zeros_like(x)
    # Folds of the forehead end at the hair.
    bare = np.clip((y - a.hairline_y - 0.35 * x**2 - 0.05) / 0.1, 0, 1)
    eye_x, brow_y, mouth_y, corner_x = a.eye_x, a.brow_y, a.mouth_y, a.mouth_width
    match code:
        case 1:  # inner brow up, forehead folds across
            push = bump(u, y, 0.48 * eye_x, brow_y, 0.17, 0.16)
            folds = bare * np.cos((y - brow_y) * 42) * bump(u, y, 0.4 * eye_x, brow_y - 0.28, 0.2, 0.12)
            field = (-0.1 * push, -push, BULGE * (0.5 * push + 0.25 * folds))
        case 2:  # outer brow up
            push = bump(u, y, 1.5 * eye_x, brow_y + 0.02, 0.17, 0.16)
            folds = bare * np.cos((y - brow_y) * 42) * bump(u, y, 1.4 * eye_x, brow_y - 0.25, 0.15, 0.1)
            field = (0.1 * push, -push, BULGE * (0.5 * push + 0.2 * folds))
        case 4:  # brow down and together, furrow beside the midline
            push = bump(u, y, 0.6 * eye_x, brow_y, 0.2, 0.13)
            furrow = bump(u, y, 0.075, brow_y + 0.02, 0.025, 0.1) - bump(u, y, 0.16, brow_y, 0.05, 0.08)
            field = (-0.6 * push, 0.8 * push, BULGE * (0.4 * push - 0.7 * furrow))
        case 5:  # upper lid up: the slit does it, the lid's skin follows
            push = bump(u, y, eye_x, a.eye_y - 0.14, 0.15, 0.05)
            field = (zero, -push, -0.5 * push)
        case 6:  # cheek up, crow's feet
            push = bump(u, y, 1.15 * eye_x, a.eye_y + 0.27, 0.2, 0.14)
            rays = np.cos((y - a.eye_y) * 60) * bump(u, y, eye_x + a.eye_width + 0.12, a.eye_y + 0.04, 0.06, 0.09)
            field = (-0.15 * push, -push, BULGE * (push + 0.2 * rays))
        case 7:  # lids tighten
            push = bump(u, y, eye_x, a.eye_y + 0.12, 0.16, 0.06)
            field = (-0.25 * push, -push, BULGE * 0.8 * push)
        case 9:  # nose wrinkles, brow follows down, upper lip up
            push = bump(u, y, 0.13, a.nose_y - 0.12, 0.1, 0.14) + 0.45 * bump(u, y, 0.2, mouth_y - 0.13, 0.1, 0.06)
            brow = bump(u, y, 0.4 * eye_x, brow_y + 0.05, 0.14, 0.1)
            folds = np.cos((y - a.eye_y) * 60) * bump(u, y, 0.05, a.eye_y + 0.06, 0.09, 0.1)
            field = (0.1 * push - 0.2 * brow, 0.4 * brow - push, BULGE * (0.6 * push + 0.3 * folds))
        case 10:  # upper lip up, fold beside the nose deepens
            push = bump(u, y, 0.55 * corner_x, mouth_y - 0.07, 0.12, 0.08)
            fold = nasolabial(a, u, y)
            field = (0.1 * push, -push, BULGE * (0.5 * push - 0.35 * fold))
        case 12:  # corners up and out, cheek rises
            push = bump(u, y, corner_x, mouth_y, 0.15, 0.13)
            cheek = bump(u, y, 1.05 * eye_x, a.nose_y - 0.02, 0.17, 0.15)
            field = (
                0.75 * push + 0.1 * cheek,
                -0.65 * push - 0.4 * cheek,
                BULGE * (cheek - 0.4 * nasolabial(a, u, y)),
            )
        case 14:  # dimple: corners tighten inwards
            push = bump(u, y, corner_x + 0.03, mouth_y, 0.1, 0.12)
            pit = bump(u, y, corner_x + 0.07, mouth_y, 0.035, 0.06)
            field = (0.9 * push, -0.15 * push, BULGE * (0.6 * push - pit))
        case 15:  # corners down
            push = bump(u, y, corner_x, mouth_y + 0.03, 0.12, 0.13)
            pouch = bump(u, y, corner_x - 0.02, mouth_y + 0.16, 0.06, 0.05)
            field = (0.15 * push, push, BULGE * (0.4 * push + 0.8 * pouch))
        case 17:  # chin up, its skin wrinkles, lower lip pushed up
            push = bump(u, y, 0, mouth_y + 0.27, 0.2, 0.17)
            pits = np.cos(x * 55) * np.cos(y * 55) * bump(u, y, 0, a.chin_y - 0.18, 0.14, 0.1)
            field = (zero, -push, BULGE * (0.6 * push + 0.2 * pits))
        case 20:  # corners out, lips flat
            push = bump(u, y, corner_x + 0.02, mouth_y + 0.04, 0.16, 0.14)
            field = (push, 0.12 * push, -0.5 * BULGE * push)
        case 23 | 24:  # lips tighten (narrower) or press together (thinner), both sides at once
            across = x * np.exp(-((x / (1.15 * corner_x)) ** 4) - ((y - mouth_y) / 0.12) ** 2)
            along = (y - mouth_y) * np.exp(-((x / (1.05 * corner_x)) ** 4) - ((y - mouth_y) / 0.12) ** 2)
            narrow, thin = (0.8, 1.2) if code == 23 else (0.1, 3.0)
            rim = bump(u, y, 0, mouth_y - 0.11, 0.6 * corner_x, 0.03) + bump(
                u, y, 0, mouth_y + 0.14, 0.6 * corner_x, 0.04
            )
            flat = bump(u, y, 0, mouth_y, corner_x, 0.06)
            field = (-narrow * across, -thin * along, 0.12 * BULGE * (rim - flat))
        case 25:  # lips part: the slit does it
            push = bump(u, y, 0, mouth_y + 0.2, 0.22, 0.12)
            field = (zero, push, 0.3 * push)
        case 26:  # jaw drops
            push = np.exp(-((x / 0.55) ** 4)) / (1 + np.exp(-(y - mouth_y - 0.2) * 14)) * bump(u, y, 0, 1.0, 1.0, 0.6)
            field = (zero, push, -0.2 * push)
        case _:
            raise ValueError(f"the built-in face has no action unit {code}; see ACTION_UNITS for those that it has.")
    return np.stack((field[0] * np.float32(sign) if code not in (23, 24) else field[0], field[1], field[2]))


def nasolabial(anatomy: Anatomy, u: FloatArray, y: FloatArray) -> FloatArray:
    """Return the fold from the wing of the nose to beside the mouth's corner, about 1 on its line."""
    top_x, top_y = anatomy.nose_width + 0.03, anatomy.nose_y - 0.02
    along = np.clip((y - top_y) / (anatomy.mouth_y - top_y), -0.2, 1.25)
    line = top_x + (anatomy.mouth_width + 0.1 - top_x) * np.abs(along) ** 1.2 * np.sign(along)
    fade = np.exp(-(((y - (top_y + anatomy.mouth_y) / 2) / 0.22) ** 4))
    return np.exp(-(((u - line) / 0.035) ** 2)) * fade


@dataclass(frozen=True)
class SlitOpening:
    """The eyes and the mouth at one instant.

    Args:
        slits (`tuple` of `Slit`): the image's left eye, its right eye, the mouth.
        gaze_xy (`tuple` of two `float`): as in `FaceState`.
    """

    slits: tuple[Slit, Slit, Slit]
    gaze_xy: tuple[float, float]

    @classmethod
    def of(cls, anatomy: Anatomy, state: FaceState) -> SlitOpening:
        """Return the openings of a state."""
        units = merge_midline(state.action_units)
        pixel = 1 / PIXELS_PER_UNIT

        def amount(code: int, side: str) -> float:
            return units.get((code, side), 0.0) * pixel

        eyes = []
        for side in ("R", "L"):
            down = anatomy.aperture * 0.12 - amount(7, side) - 0.35 * amount(6, side)
            up = anatomy.aperture * 0.88 + amount(5, side) - 0.4 * amount(7, side)
            # The upper lid follows the gaze down.
            up -= 0.2 * anatomy.aperture * max(state.gaze_xy[1], 0)
            up = (1 - state.blink) * max(up, -down) - state.blink * down
            eyes.append(anatomy.eye_slit(SIDE_SIGN[side], up, down))
        part, drop = amount(25, "L"), amount(26, "L")
        mouth = anatomy.mouth_slit(up=0.35 * part, down=part + 0.4 * drop)
        return cls((eyes[0], eyes[1], mouth), state.gaze_xy)

    def forward(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the positions of points of the closed skin after all slits (y only); slits are disjoint."""
        for slit in self.slits:
            y = slit.forward(x, y)
        return y

    def inverse(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the points of the closed skin at given positions."""
        for slit in self.slits:
            y = slit.inverse(x, y)
        return y
