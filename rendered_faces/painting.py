"""Shapes and noise for painting both kinds of face."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from .faces import FloatArray


def bump(x: FloatArray, y: FloatArray, centre_x: float, centre_y: float, width: float, height: float) -> FloatArray:
    """Return a Gaussian hill of height 1 over the face's flat coordinates."""
    return np.exp(-(((x - centre_x) / width) ** 2) - ((y - centre_y) / height) ** 2)


def step_at(distance: FloatArray, width: float) -> FloatArray:
    """Return 0 below -width, 1 above width, a smooth ramp between."""
    ramp = np.clip(0.5 + distance / (2 * width), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def smooth_noise(rng: np.random.Generator, size_hw: tuple[int, int], cells_hw: tuple[int, int]) -> FloatArray:
    """Return noise of unit variance at its knots, float32 of shape `size_hw`; the same picture at every size."""
    knots = torch.from_numpy(rng.standard_normal(cells_hw).astype(np.float32))[None, None]
    return F.interpolate(knots, size=size_hw, mode="bicubic", align_corners=True)[0, 0].numpy()
