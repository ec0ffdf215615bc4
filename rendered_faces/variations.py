"""Variations of recordings of difficulty `wild`, each with a switch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from zlib import crc32

import numpy as np

from .errors import RenderingOptionError


@dataclass(frozen=True)
class Variations:
    """Switches of the renderer; each changes only what it names, because it draws from a separate seed.

    All ranges are our choice. Lengths are pixels of a 128-pixel frame. A kind of face ignores switches that it does
    not support: the built-in faces have no long hair, are never bald, have no `focal_length`, and turn by 15 degrees
    at most.

    Args:
        hair (`bool`): length, tone, volume, hairline and fringe; bald heads and long hair beside the neck.
        beard (`bool`): stubble, moustache, beard.
        glasses (`bool`): rims of every weight, shaded lenses, for half of the people.
        brows (`bool`): from faint to heavy.
        skin (`bool`): tone, pores, blotches, freckles, wrinkles, shine.
        make_up (`bool`): lips, lids and cheeks, for half of the people.
        clothes (`bool`): collars and shirts of every tone, plain or striped.
        background (`bool`): shelves, posters, windows and lamps instead of a wall.
        moving_background (`bool`): the camera sways and somebody walks by.
        coloured_light (`bool`): a light whose colour changes, so that gray values of skin, lips and hair change
            differently.
        moving_light (`bool`): direction and strength of the key light wander.
        shadow (`bool`): a soft or hard shadow over half of the face, which may move.
        mains_flicker (`bool`): a lamp on 50 or 60 Hz, aliased by the frame rate; with a rolling shutter as bands.
        rolling_noise (`bool`): noise of whole rows, and bars that roll over the picture.
        gain_steps (`bool`): the camera changes its gain in steps of 4 to 30 %.
        compression (`bool`): H.264 or MJPEG at a quality from good to poor, before the files are written.
        blur (`bool`): a lens out of focus, up to 1.8 pixels.
        frame_rate (`bool`): 24 to 240 frames per second, drawn for each recording.
        focal_length (`bool`): the camera stands 3 to 20 head widths away instead of infinitely far.
        movement_size (`bool`): peak motion of 0.3 to 8 pixels, micro to plain.
        head_turns (`bool`): the head turns by up to 30 degrees while the face moves.
        gaze (`bool`): eyes that wander all the time.
        blinks (`bool`): up to one a second.
        speech (`bool`): talk for a part of the recording.
        swallowing (`bool`): lips press, chin and jaw move, the head nods a little.
    """

    hair: bool = False
    beard: bool = False
    glasses: bool = False
    brows: bool = False
    skin: bool = False
    make_up: bool = False
    clothes: bool = False
    background: bool = False
    moving_background: bool = False
    coloured_light: bool = False
    moving_light: bool = False
    shadow: bool = False
    mains_flicker: bool = False
    rolling_noise: bool = False
    gain_steps: bool = False
    compression: bool = False
    blur: bool = False
    frame_rate: bool = False
    focal_length: bool = False
    movement_size: bool = False
    head_turns: bool = False
    gaze: bool = False
    blinks: bool = False
    speech: bool = False
    swallowing: bool = False

    @classmethod
    def only(cls, names: Iterable[str]) -> Variations:
        """Return the switches with the given ones on.

        Raises:
            RenderingOptionError: there is no such switch.
        """
        names = tuple(names)
        unknown = sorted(set(names) - set(VARIATION_NAMES))
        if unknown:
            raise RenderingOptionError(
                f"variations are {', '.join(VARIATION_NAMES)}, but {', '.join(unknown)} was given: choose among them."
            )
        return cls(**dict.fromkeys(names, True))

    def chosen(self) -> tuple[str, ...]:
        """Return the names of the switches that are on."""
        return tuple(name for name in VARIATION_NAMES if getattr(self, name))

    def without(self, *names: str) -> Variations:
        """Return the same switches with the given ones off."""
        return Variations.only(name for name in self.chosen() if name not in names)


VARIATION_NAMES = tuple(field.name for field in fields(Variations))
# Largest turn of heads from the front, in degrees: the built-in relief has no sides, a model's mesh has.
BUILT_IN_YAW, MORPHABLE_YAW = 15.0, 30.0
# The difficulty with every switch on.
WILD = "wild"
NONE, ALL = Variations(), Variations.only(VARIATION_NAMES)


def switch_rng(name: str, seed: tuple[int, ...]) -> np.random.Generator:
    """Return the generator of a switch, so that no other draw changes when the switch is on."""
    return np.random.default_rng([crc32(name.encode()), *seed])


def switches_of(difficulty: str) -> Variations:
    """Return the switches of a difficulty: all of them for `"wild"`, none for the others."""
    return ALL if difficulty == WILD else NONE


def draw_beard(rng: np.random.Generator, face: object) -> dict[str, float]:
    """Draw the beard of a face of either renderer.

    Args:
        rng (`np.random.Generator`): Source of randomness.
        face (`object`): Not read, because a beard depends on nothing else of the face.

    Returns:
        `dict[str, float]`: `stubble`, `moustache` and `beard`, each in [0, 1], 0 where there is none.
    """
    kind = rng.random()
    return {
        "stubble": rng.uniform(0.1, 0.5) if kind < 0.6 else 0.0,
        "moustache": rng.uniform(0.4, 0.95) if 0.25 < kind < 0.6 else 0.0,
        "beard": rng.uniform(0.5, 0.95) if 0.4 < kind < 0.6 else 0.0,
    }
