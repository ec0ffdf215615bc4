"""Positions of the parts of a built-in face, and their variation between faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np

from rendered_faces.faces import FloatArray
from rendered_faces.painting import bump
from rendered_faces.variations import Variations, draw_beard, switch_rng

# Half the width of a face is this many pixels of a 128-pixel frame.
PIXELS_PER_UNIT = 53.0


@dataclass(frozen=True)
class Slit:
    """An opening of the skin: the lips, or the lids of one eye.

    Args:
        centre_x, centre_y, half_width (`float`): middle and reach of the closed line, face units.
        bend (`float`): how far the line's middle lies below its ends.
        tilt (`float`): how far the line falls over one unit to the image's right.
        up, down (`float`): how far the two rims have moved from the closed line, in the middle.
        reach_up, reach_down (`float`): distance from the line over which the skin moves.
    """

    centre_x: float
    centre_y: float
    half_width: float
    bend: float
    tilt: float
    up: float
    down: float
    reach_up: float
    reach_down: float

    def columns(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return for each x the closed line's y and how far the upper and lower rim have moved from it."""
        along = (x - self.centre_x) / self.half_width
        profile = np.maximum(1 - along**2, 0)
        line = self.centre_y + self.bend * profile + self.tilt * (x - self.centre_x)
        # The rims are rounder than a parabola, as lids are.
        return line, self.up * profile**0.75, self.down * profile**0.75

    def forward(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the positions of points of the closed skin (y only)."""
        line, up, down = self.columns(x)
        above = up * np.clip(1 - (line - y) / self.reach_up, 0, 1)
        below = down * np.clip(1 - (y - line) / self.reach_down, 0, 1)
        return np.where(y < line, y - above, y + below)

    def inverse(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the point of the closed skin at y; between the rims, the closed line."""
        return self.shut(y, *self.columns(x))

    def shut(self, y: FloatArray, line: FloatArray, up: FloatArray, down: FloatArray) -> FloatArray:
        """Return what `inverse` does, for columns that are known; they need not be those of this slit alone."""
        above = np.where(y > line - self.reach_up, (y + up * (1 - line / self.reach_up)) / (1 - up / self.reach_up), y)
        below = (y - down * (1 + line / self.reach_down)) / (1 - down / self.reach_down)
        below = np.where(y < line + self.reach_down, below, y)
        return np.where(y < line - up, above, np.where(y > line + down, below, line))


@dataclass(frozen=True)
class Anatomy:
    """The numbers that make one built-in face; lengths in half face widths, tones in [0, 1].

    Faces differ by far more than the motion of a micro-expression: the standard deviation of a part's position is one
    to four pixels of a 128-pixel frame, for dozens of parts, and skin, hair and light differ on top.
    """

    cheek_width: float
    jaw_width: float
    chin_y: float
    skull_top: float
    roundness: float
    eye_x: float
    eye_y: float
    eye_width: float
    aperture: float
    eye_tilt: float
    brow_y: float
    brow_length: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    brow_density: float
    nose_y: float
    nose_width: float
    nose_height: float
    nose_ridge: float
    mouth_y: float
    mouth_width: float
    mouth_bend: float
    upper_lip: float
    lower_lip: float
    lip_contrast: float
    cheek_bulge: float
    brow_ridge: float
    chin_bulge: float
    skin_tone: float
    skin_mottle: float
    freckles: float
    folds: float
    oiliness: float
    iris_tone: float
    hair_tone: float
    hairline_y: float
    fringe: float
    parting: float
    stubble: float
    shirt_tone: float
    background: float
    background_slope: float
    glasses: float
    strand: float
    # Drawn by the variations only.
    rim: float = 0.09
    lens: float = 0.0
    beard: float = 0.0
    moustache: float = 0.0
    pores: float = 0.0
    liner: float = 0.0
    blush: float = 0.0
    stripes: float = 0.0

    @classmethod
    def draw(cls, seed: int) -> Anatomy:
        """Return the anatomy of a seed."""
        rng = np.random.default_rng([0xFACE, seed])

        def around(mean: float, spread: float) -> float:
            # At most two deviations, to keep faces plausible.
            return float(mean + spread * np.clip(rng.normal(), -2, 2))

        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        eye_y = around(-0.13, 0.03)
        skin_tone = between(0.22, 0.62)
        mouth_y = around(0.6, 0.045)
        return cls(
            cheek_width=around(0.98, 0.05),
            jaw_width=around(0.74, 0.07),
            chin_y=mouth_y + around(0.52, 0.045),
            skull_top=around(-1.42, 0.06),
            roundness=around(1.9, 0.25),
            eye_x=around(0.4, 0.025),
            eye_y=eye_y,
            eye_width=around(0.175, 0.014),
            aperture=around(0.15, 0.026),
            eye_tilt=around(-0.04, 0.06),
            brow_y=eye_y - around(0.27, 0.028),
            brow_length=around(0.27, 0.03),
            brow_thickness=around(0.042, 0.012),
            brow_arch=around(0.07, 0.035),
            brow_tilt=around(0.02, 0.05),
            brow_density=between(0.35, 0.95),
            nose_y=around(0.28, 0.035),
            nose_width=around(0.17, 0.025),
            nose_height=around(0.3, 0.05),
            nose_ridge=around(0.09, 0.018),
            mouth_y=mouth_y,
            mouth_width=around(0.31, 0.032),
            mouth_bend=around(0.0, 0.018),
            upper_lip=around(0.075, 0.017),
            lower_lip=around(0.1, 0.019),
            lip_contrast=between(0.28, 0.6),
            cheek_bulge=around(0.08, 0.03),
            brow_ridge=around(0.06, 0.025),
            chin_bulge=around(0.1, 0.03),
            skin_tone=skin_tone,
            skin_mottle=between(0.02, 0.06),
            freckles=max(0.0, between(-0.6, 0.35)),
            folds=between(0.0, 0.08),
            oiliness=between(0.03, 0.16),
            iris_tone=between(0.03, 0.22),
            hair_tone=between(0.04, 0.5) * (0.4 + 0.6 * skin_tone),
            hairline_y=around(-0.86, 0.09),
            fringe=max(0.0, between(-0.25, 0.3)),
            parting=around(0.0, 0.4),
            stubble=max(0.0, between(-0.5, 0.35)),
            shirt_tone=between(0.1, 0.8),
            background=between(0.25, 0.85),
            background_slope=around(0.0, 0.08),
            glasses=float(rng.random() < 0.15),
            strand=float(rng.random() < 0.15),
        )

    def varied(self, variations: Variations, seed: int) -> Anatomy:
        """Return the same anatomy with the numbers of the switches redrawn."""
        anatomy = self
        for name in variations.chosen():
            if name in _LOOKS:
                anatomy = replace(anatomy, **_LOOKS[name](switch_rng(name, (seed,)), anatomy))
        return anatomy

    def vector(self) -> FloatArray:
        """Return all numbers, float32 of shape `(num_parameters,)`."""
        return np.asarray(astuple(self), np.float32)

    def outline(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return a smooth measure that is 0 in the middle of the head, 1 on its outline and larger outside."""
        below = np.clip(y / (self.chin_y + 0.03), 0, None)
        above = np.clip(y / self.skull_top, 0, None)
        width = np.where(y > 0, self.cheek_width * (1 - (1 - self.jaw_width) * np.minimum(below, 1.2) ** 2), 1.02)
        # The skull includes the hair's volume and is a little wider than the cheeks.
        width = np.where(y > 0, width, self.cheek_width * (1 + 0.04 * np.clip(-4 * y, 0, 1)))
        radius = np.where(y > 0, below ** (1.6 * self.roundness), above**2.6)
        return ((x / width) ** 2 + radius) ** 0.5

    def half_width(self, y: FloatArray) -> FloatArray:
        """Return about half the width of the head at each height of the face, for sideburns and glasses."""
        below = np.clip(y / (self.chin_y + 0.03), 0, 1)
        return self.cheek_width * (1 - (1 - self.jaw_width) * below**2)

    def eye_slit(self, sign: float, up: float, down: float) -> Slit:
        """Return the lids of one eye: `sign` 1 for the image's right; `up`, `down` as in `Slit`."""
        reach = min(0.24, 0.92 * (self.eye_y - self.brow_y))
        return Slit(
            centre_x=sign * self.eye_x,
            centre_y=self.eye_y,
            half_width=self.eye_width,
            bend=0.3 * self.aperture,
            tilt=sign * self.eye_tilt,
            up=min(up, 0.9 * reach),
            down=down,
            reach_up=reach,
            reach_down=0.2,
        )

    def mouth_slit(self, up: float, down: float) -> Slit:
        """Return the lips: `up`, `down` as in `Slit`."""
        return Slit(0.0, self.mouth_y, self.mouth_width, self.mouth_bend, 0.0, up, down, 0.22, 0.4)

    def five_points(self) -> FloatArray:
        """Return the five points of the alignment contract on the resting face, float32 `(5, 2)`.

        The eyes are given by the middle of their corners, which no lid moves.
        """
        return np.array(
            [
                [-self.eye_x, self.eye_y],
                [self.eye_x, self.eye_y],
                [0.0, self.nose_y - 0.03],
                [-self.mouth_width, self.mouth_y],
                [self.mouth_width, self.mouth_y],
            ],
            np.float32,
        )

    def brow_line(self, x: FloatArray) -> FloatArray:
        """Return the y of the brows' middle line at each x, beyond their ends too."""
        along = (np.abs(x) - self.eye_x) / self.brow_length
        return self.brow_y + self.brow_tilt * along - self.brow_arch * (1 - (along - 0.2) ** 2)

    def lip_edges(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the y of the shut lips' upper and lower edge at each x; they meet where the lips end."""
        line, _, _ = self.mouth_slit(0.0, 0.0).columns(x)
        along = np.clip(1 - (x / (self.mouth_width * 0.98)) ** 2, 0, 1)
        bow = 1 - 0.22 * bump(x, x * 0, 0, 0, 0.05, 1.0)
        return line - self.upper_lip * along**0.6 * bow, line + self.lower_lip * along**0.7

    def landmarks(self) -> tuple[tuple[str, ...], FloatArray]:
        """Return names and positions of the landmarks of the paint, with shut lids and lips.

        Sides are those of the image.
        """
        points: dict[str, tuple[float, float]] = {}
        for side, sign in (("left", -1.0), ("right", 1.0)):
            lids = self.eye_slit(sign, 0.0, 0.0)
            brow_x = sign * (self.eye_x + np.array([-1, 0, 1]) * self.brow_length)
            for part, x, y in zip(("inner", "middle", "outer"), brow_x, self.brow_line(brow_x), strict=True):
                points[f"brow_{part}_{side}"] = (x, y)
            lid_x = sign * (self.eye_x + np.array([-1, 0, 1]) * self.eye_width)
            inner, middle, outer = zip(lid_x, lids.columns(lid_x)[0], strict=True)
            points[f"eye_inner_{side}"], points[f"eye_outer_{side}"] = inner, outer
            points[f"upper_lid_{side}"] = (middle[0], middle[1] - 1e-4)
            points[f"lower_lid_{side}"] = (middle[0], middle[1] + 1e-4)
            points[f"nose_wing_{side}"] = (sign * self.nose_width, self.nose_y)
            points[f"mouth_corner_{side}"] = (sign * self.mouth_width, self.mouth_y)
        points["nose_bridge"] = (0.0, self.eye_y)
        points["nose_tip"] = (0.0, self.nose_y - 0.03)
        (top,), (bottom,) = self.lip_edges(np.zeros(1))
        points["upper_lip_top"] = (0.0, top)
        points["upper_lip_rim"] = (0.0, self.mouth_y + self.mouth_bend - 1e-4)
        points["lower_lip_rim"] = (0.0, self.mouth_y + self.mouth_bend + 1e-4)
        points["lower_lip_bottom"] = (0.0, bottom)
        points["chin"] = (0.0, self.chin_y - 0.03)
        return tuple(points), np.array(list(points.values()), np.float32)


def _hair(rng: np.random.Generator, a: Anatomy) -> dict[str, float]:
    return {
        # Hair is rarely brighter than skin.
        "hair_tone": rng.uniform(0.02, 1.1 * a.skin_tone),
        "hairline_y": rng.uniform(-1.15, -0.7),
        "fringe": max(0.0, rng.uniform(-0.4, 0.6)),
        "parting": rng.uniform(-0.8, 0.8),
        "strand": float(rng.random() < 0.3),
    }


def _glasses(rng: np.random.Generator, a: Anatomy) -> dict[str, float]:
    tinted = rng.random() < 0.25
    return {
        "glasses": float(rng.random() < 0.5),
        "rim": rng.uniform(0.04, 0.2),
        "lens": rng.uniform(0.1, 0.5) if tinted else 0.0,
    }


def _brows(rng: np.random.Generator, a: Anatomy) -> dict[str, float]:
    return {"brow_thickness": rng.uniform(0.015, 0.09), "brow_density": rng.uniform(0.05, 1.0)}


def _skin(rng: np.random.Generator, a: Anatomy) -> dict[str, float]:
    return {
        "skin_tone": rng.uniform(max(0.1, 0.9 * a.hair_tone), 0.66),
        "skin_mottle": rng.uniform(0.01, 0.1),
        "freckles": max(0.0, rng.uniform(-0.5, 0.6)),
        "folds": rng.uniform(0.0, 0.2),
        "pores": rng.uniform(0.0, 0.06),
        "oiliness": rng.uniform(0.0, 0.35),
    }


def _make_up(rng: np.random.Generator, a: Anatomy) -> dict[str, float]:
    worn = float(rng.random() < 0.5)
    return {
        "lip_contrast": rng.uniform(-0.1, 0.8) if worn else a.lip_contrast,
        "liner": worn * rng.uniform(0.0, 0.8),
        "blush": worn * rng.uniform(0.0, 0.18),
    }


def _clothes(rng: np.random.Generator, a: Anatomy) -> dict[str, float]:
    return {"shirt_tone": rng.uniform(0.02, 0.9), "stripes": max(0.0, rng.uniform(-0.5, 0.5))}


_LOOKS: dict[str, Callable[[np.random.Generator, Anatomy], dict[str, float]]] = {
    "hair": _hair,
    "beard": draw_beard,
    "glasses": _glasses,
    "brows": _brows,
    "skin": _skin,
    "make_up": _make_up,
    "clothes": _clothes,
}
