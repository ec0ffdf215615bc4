"""Fake downloads of the three parts of the MEGC 2019 composite, side by side."""

import random
from pathlib import Path

from tests.fakes import casme2, samm, smic
from tests.fakes.fake import FrameWriter

VARIANTS = ("hs_raw", "hs_cropped")


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the three parts; the variant is that of SMIC. See [`tests.fakes.fake.make_fake_corpus`]."""
    casme2.make(root / "CASME2", "2014", full_size, frames, rng)
    samm.make(root / "SAMM", "frames", full_size, frames, rng)
    smic.make(root / "SMIC", variant, full_size, frames, rng)
