"""Faces without the face mesh: textures that move, and curves with hills."""

import numpy as np
import pytest
import torch

from rendered_faces.film import render_clip
from spotting_fdp.motion_stream import Motion
from spotting_fdp.network_input import NUM_OTHERS


@pytest.fixture(scope="session")
def clip():
    """A rendered person at rest, with one expression."""
    return render_clip(1, "surprise", seed=3, fps=60, neutral_s=3.0)


@pytest.fixture(scope="session")
def texture():
    """A smooth random picture of 80 x 80 gray levels."""
    generator = torch.Generator().manual_seed(0)
    rough = torch.rand(1, 1, 90, 90, generator=generator)
    return torch.nn.functional.avg_pool2d(rough, 11, 1)[0, 0] * 900 - 320


@pytest.fixture(scope="session")
def moving_crops(texture):
    """`moving_crops(shifts)`: crops of 64 x 64 whose lower left part is shifted by so many pixels in each frame."""

    def make(shifts):
        frames = []
        for shift in shifts:
            frame = texture[8:72, 8:72].clone()
            whole = int(np.floor(shift))
            low, high = (texture[8 + whole + step : 72 + whole + step, 8:72] for step in (0, 1))
            frame[36:56, 8:28] = torch.lerp(low, high, float(shift - whole))[36:56, 8:28]
            frames.append(frame)
        return torch.stack(frames).clamp(0, 255).round().to(torch.uint8)

    return make


@pytest.fixture(scope="session")
def curves_with_hills():
    """`curves_with_hills(length, hills)`: a wandering face with hills `(onset, offset, height)` in moments."""

    def make(length, hills, seed=0, first=0, talks=False):
        rng = np.random.default_rng(seed)
        noise = rng.normal(0, 4, (length, 16)) + np.cumsum(rng.normal(0, 0.5, (length, 16)), axis=0)
        whole = noise + rng.normal(0, 1, (length, 16))
        if talks:
            at = np.arange(length)[:, None] / 60
            whole = whole + 60 * np.sin(2 * np.pi * (3 * at + rng.random(16)))
        upper = noise.copy()
        for onset, offset, height in hills:
            at = np.arange(onset, offset + 1)
            hill = height * np.sin(np.pi * (at - onset) / (offset - onset)) ** 2
            direction = rng.normal(size=16)
            for curves in (whole, upper):
                curves[at] += hill[:, None] * direction / np.linalg.norm(direction)
        lids = rng.normal(0, 4, (length, NUM_OTHERS))
        return Motion(first, *(curves.astype(np.float32) for curves in (whole, upper, lids)), False)

    return make
