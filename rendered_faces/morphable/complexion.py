"""Parameters of the painted part of a morphable model's identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np

from rendered_faces.faces import FloatArray
from rendered_faces.variations import Variations, draw_beard, switch_rng


@dataclass(frozen=True)
class Complexion:
    """The painted part of an identity; tones in [0, 1], lengths in model units."""

    skin_tone: float
    mottle: float
    freckles: float
    moles: float
    brow_thickness: float
    brow_density: float
    brow_lift: float
    lip_contrast: float
    eye_shadow: float
    stubble: float
    hair_tone: float
    hair_volume: float
    hairline: float
    fringe: float
    parting: float
    iris_tone: float
    iris_radius: float
    oiliness: float
    background: float
    background_slope: float
    glasses: float
    # Drawn by the variations only.
    rim: float = 0.07
    lens: float = 0.0
    beard: float = 0.0
    moustache: float = 0.0
    pores: float = 0.0
    wrinkles: float = 0.0
    liner: float = 0.0
    blush: float = 0.0
    long_hair: float = 0.0
    collar: float = 0.0
    shirt_tone: float = 0.0
    stripes: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Complexion:
        """Return a random complexion."""

        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        skin_tone = between(0.2, 0.58)
        return cls(
            skin_tone=skin_tone,
            mottle=between(0.02, 0.05),
            freckles=max(0.0, between(-0.5, 0.3)),
            moles=float(rng.integers(0, 5)),
            brow_thickness=between(0.3, 0.55),
            brow_density=between(0.35, 0.9),
            brow_lift=between(-0.2, 0.35),
            lip_contrast=between(0.12, 0.4),
            eye_shadow=between(0.05, 0.25),
            stubble=max(0.0, between(-0.4, 0.3)),
            hair_tone=between(0.03, 0.45) * (0.4 + 0.6 * skin_tone),
            hair_volume=between(0.3, 1.4),
            hairline=between(9.3, 11.5),
            fringe=max(0.0, between(-2.0, 3.0)),
            parting=between(-3.5, 3.5),
            iris_tone=between(0.06, 0.35),
            iris_radius=between(0.56, 0.64),
            oiliness=between(0.02, 0.12),
            background=between(0.2, 0.85),
            background_slope=between(-0.15, 0.15),
            glasses=float(rng.random() < 0.12),
        )

    def vector(self) -> FloatArray:
        """Return all numbers, float32 of shape `(num_parameters,)`."""
        return np.asarray(astuple(self), np.float32)

    def varied(self, variations: Variations, seed: int) -> Complexion:
        """Return the same complexion with the numbers of the switches redrawn."""
        complexion = self
        for name in variations.chosen():
            if name in _LOOKS:
                complexion = replace(complexion, **_LOOKS[name](switch_rng(name, (seed,)), complexion))
        return complexion


def _hair(rng: np.random.Generator, complexion: Complexion) -> dict[str, float]:
    bald, long = rng.random() < 0.12, rng.random() < 0.45
    return {
        # Hair is rarely brighter than skin.
        "hair_tone": rng.uniform(0.02, 1.1 * complexion.skin_tone),
        "hair_volume": 0.0 if bald else rng.uniform(0.1, 1.8),
        # The hairline of a bald head is above the frame.
        "hairline": 16.0 if bald else rng.uniform(8.4, 12.0),
        "fringe": 0.0 if bald else max(0.0, rng.uniform(-2.5, 4.5)),
        "parting": rng.uniform(-5.0, 5.0),
        "long_hair": rng.uniform(3.0, 14.0) if long and not bald else 0.0,
    }


def _glasses(rng: np.random.Generator, complexion: Complexion) -> dict[str, float]:
    tinted = rng.random() < 0.25
    return {
        "glasses": float(rng.random() < 0.5),
        "rim": rng.uniform(0.03, 0.16),
        "lens": rng.uniform(0.1, 0.5) if tinted else 0.0,
    }


def _brows(rng: np.random.Generator, complexion: Complexion) -> dict[str, float]:
    return {
        "brow_thickness": rng.uniform(0.15, 0.85),
        "brow_density": rng.uniform(0.05, 1.0),
        "brow_lift": rng.uniform(-0.3, 0.45),
    }


def _skin(rng: np.random.Generator, complexion: Complexion) -> dict[str, float]:
    return {
        "skin_tone": rng.uniform(max(0.1, 0.9 * complexion.hair_tone), 0.64),
        "mottle": rng.uniform(0.01, 0.08),
        "freckles": max(0.0, rng.uniform(-0.5, 0.6)),
        "moles": float(rng.integers(0, 12)),
        "pores": rng.uniform(0.0, 0.06),
        "wrinkles": max(0.0, rng.uniform(-0.1, 0.22)),
        "oiliness": rng.uniform(0.0, 0.3),
    }


def _make_up(rng: np.random.Generator, complexion: Complexion) -> dict[str, float]:
    worn = float(rng.random() < 0.5)
    return {
        "lip_contrast": rng.uniform(-0.2, 0.7) if worn else complexion.lip_contrast,
        "eye_shadow": rng.uniform(0.1, 0.6) if worn else complexion.eye_shadow,
        "liner": worn * rng.uniform(0.0, 0.9),
        "blush": worn * rng.uniform(0.0, 0.18),
    }


def _clothes(rng: np.random.Generator, complexion: Complexion) -> dict[str, float]:
    return {
        "collar": rng.uniform(8.4, 11.5),
        "shirt_tone": rng.uniform(0.02, 0.85),
        "stripes": max(0.0, rng.uniform(-0.5, 0.5)),
    }


_LOOKS: dict[str, Callable[[np.random.Generator, Complexion], dict[str, float]]] = {
    "hair": _hair,
    "beard": draw_beard,
    "glasses": _glasses,
    "brows": _brows,
    "skin": _skin,
    "make_up": _make_up,
    "clothes": _clothes,
}
