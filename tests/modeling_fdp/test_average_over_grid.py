"""The classifier's average over a grid: adaptive average pooling, by whichever kernel has a repeatable gradient."""

import pytest
import torch
from torch.nn import functional as F

from modeling_fdp.frame_encoder_fdp import average_over_grid


@pytest.mark.parametrize(("side", "grid_size"), [(8, 4), (12, 4), (4, 4), (9, 4), (7, 2)])
def test_is_adaptive_average_pooling(side, grid_size):
    maps = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(average_over_grid(maps, grid_size), F.adaptive_avg_pool2d(maps, grid_size), atol=1e-6)
