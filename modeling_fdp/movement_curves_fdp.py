"""Progress of a facial movement over a clip: one curve over time, estimated from the clip alone.

A movement is nearly one pattern in space times one curve in time: the pattern depends on the muscles that moved, the
curve on the part of the movement that the clip holds. The curve is estimated in four steps:

1. Local averages of all frames at even times, without an assumption about the first or last frame.
2. One linear Lucas-Kanade step of each average against the mean of all, minus the head's affine motion: the motion
   at each place and time.
3. The rank scorer, a linear map into a few directions that separate facial movement from drift of head and light.
4. Per clip, the linear combination of these directions that varies most over time: the parameters of a ranker fitted
   to this clip, as in rank pooling. Its values are the rank scores.

Our choice: the paper ranks frames in chronological order, which is also defined for reversed and for still clips.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .configuration_fdp import FDPConfig
from .motion_fdp import (
    LONGEST_STEP,
    MOTION_WINDOW,
    block_means,
    displacement,
    texture_of,
    without_head,
)
from .movement_directions_fdp import MOTION_SIZE, fitted_directions

# Number of local averages over time, chosen in a prototype with events of 0.12 to 0.7 s in windows up to three times
# as long.
NUM_READINGS = 24
# Cells along a side of the grid of motion that the scorer reads: MOTION_SIZE is two components in each cell.
GRID_SIZE = 16

# Standard deviation of a local average over time: as a share of the clip, and at least as a share of the time between
# two frames, for slow cameras.
READING_WIDTH, FRAME_WIDTH = 0.5 / NUM_READINGS, 0.35
# Squarings in the power iteration: the power is 2 to this.
SQUARINGS = 8
# Unit of the scores: a movement of usual size reaches about two. The directions keep the scale of their fit, at which
# training changes them slowly.
SCORE_UNIT = 50.0
# Weights of a curve's first and last value in the estimate of rest, because recordings tend to start neutral.
REST_WEIGHTS = (0.6, 0.4)


class FDPMovementCurves(NamedTuple):
    """Curves of a clip.

    Args:
        curves (`torch.FloatTensor` of shape `(batch_size, 4, num_readings)`): from 0, at rest, to 1: the two strongest
            curves, and the two strongest after a linear trend, which slow drift is, has been removed.
        shares (`torch.FloatTensor` of shape `(batch_size, 4)`): share of each curve in the motion along the scorer's
            directions.
        progress (`torch.FloatTensor` of shape `(batch_size, num_readings)`): the first curve, not normalized: about 2
            at the apex of a movement of usual size, constant where nothing moves.
    """

    curves: torch.Tensor
    shares: torch.Tensor
    progress: torch.Tensor


def local_averages(planes: torch.Tensor) -> torch.Tensor:
    """Averages frames around `NUM_READINGS` even times.

    Args:
        planes (`torch.FloatTensor` of shape `(batch_size, num_frames, height, width)`): evenly spread in time.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_readings, height, width)`.
    """
    num_frames = planes.shape[1]
    width = max(READING_WIDTH, FRAME_WIDTH / max(1, num_frames - 1))
    times = torch.linspace(0, 1, num_frames, device=planes.device, dtype=planes.dtype)
    distance = (reading_times(planes)[:, None] - times) / width
    # Softmax weights are never all zero, so that a time without a frame near it takes the nearest one.
    weights = torch.softmax(-0.5 * distance.square(), dim=1)
    averages: torch.Tensor = (weights @ planes.flatten(2)).unflatten(2, planes.shape[2:])
    return averages


def motion_by_place(pictures: torch.Tensor) -> torch.Tensor:
    """One linear Lucas-Kanade step of each picture against the mean of all, on a coarse grid.

    Args:
        pictures (`torch.FloatTensor` of shape `(batch_size, num_pictures, side, side)`): in [-1, 1]; the side is a
            multiple of `2 * GRID_SIZE`.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_pictures, MOTION_SIZE)`: motion to the right at all
        places, then downwards, in pixels at a side of 64; tanh limits large motions, because a blink would exceed
        a brow.
    """
    side = pictures.shape[-1]
    longest = LONGEST_STEP * side
    mean = pictures.mean(1, keepdim=True)
    flow = without_head(displacement(texture_of(mean, MOTION_WINDOW), mean - pictures))
    flow = torch.tanh(flow / longest) * (LONGEST_STEP * 64)
    return block_means(flow, flow.shape[-1] // GRID_SIZE).flatten(2)


def reading_times(like: torch.Tensor) -> torch.Tensor:
    """Times of the local averages (`torch.FloatTensor` of shape `(num_readings,)`): middles of even parts of 0..1."""
    return (torch.arange(NUM_READINGS, device=like.device, dtype=like.dtype) + 0.5) / NUM_READINGS


def strongest_curves(samples: torch.Tensor, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """The strongest principal components over time, by products of matrices, because ONNX has no eigenvalue solver.

    Args:
        samples (`torch.FloatTensor` of shape `(batch_size, num_times, num_directions)`): centred over time.
        count (`int`, *optional*, defaults to 2): components.

    Returns:
        `tuple`: the components at all times, `(batch_size, count, num_times)`, in the unit of the samples and of
        unknown sign; and the share of each in the sum of squares, `(batch_size, count)`.
    """
    covariance = samples.transpose(1, 2) @ samples
    identity = torch.eye(covariance.shape[-1], device=samples.device, dtype=samples.dtype)
    total = _trace(covariance, identity).clamp(min=1e-9)
    curves, shares = [], []
    for _ in range(count):
        power = _of_size_one(covariance)
        for _ in range(SQUARINGS):
            power = _of_size_one(power @ power)
        # All columns are now parallel; the one with the largest diagonal entry has the smallest rounding error.
        largest = (power * identity).sum(-1).argmax(-1)
        column = power.gather(2, largest[:, None, None].expand(-1, power.shape[1], 1))
        direction = column / column.square().sum(1, keepdim=True).clamp(min=1e-18).sqrt()
        size = direction.transpose(1, 2) @ covariance @ direction
        covariance = covariance - size * direction @ direction.transpose(1, 2)
        curves.append((samples @ direction).squeeze(2))
        shares.append((size / total).flatten())
    return torch.stack(curves, 1), torch.stack(shares, 1)


def from_rest(curves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales curves of unknown sign to rest at 0 and peak at 1.

    Rest is the end of the curve's range that is nearer to its first value (weight 0.6) and its last (0.4): a pulse and
    a rise start at rest. A clip of a fall alone therefore gets a rise, because its first value is taken for rest; the
    curve does not hold the difference.

    Args:
        curves (`torch.FloatTensor` of shape `(batch_size, num_curves, num_times)`): any scale and sign.

    Returns:
        `tuple`: the curves from 0 to 1, and their range before, `(batch_size, num_curves, 1)`.
    """
    low, high = curves.amin(2, keepdim=True), curves.amax(2, keepdim=True)
    size = high - low
    scaled = (curves - low) / size.clamp(min=1e-9)
    first, last = REST_WEIGHTS
    at_ends = first * scaled[..., :1] + last * scaled[..., -1:]
    return torch.where(at_ends > 0.5, 1 - scaled, scaled), size


class FDPMovementDirections(nn.Linear):
    """Linear map from motion in all cells to motion along directions; a class because its initialization is fitted."""

    def __init__(self, num_directions: int) -> None:
        super().__init__(MOTION_SIZE, num_directions, bias=False)

    def start_at_closed_form(self) -> None:
        """Initializes the weight, unless a checkpoint did, with the directions fitted on rendered faces."""
        init.copy_(self.weight, fitted_directions()[: self.out_features])

    def forward(self, motion: torch.Tensor) -> torch.Tensor:
        """(..., MOTION_SIZE) -> (..., num_directions), in the precision of the motion."""
        return F.linear(motion, self.weight.to(motion.dtype))


class FDPMovementScorer(nn.Module):
    """The rank scorer of a movement: from motion along a few directions to one curve per clip.

    Paper: "a rank scorer gives a rank score for each frame-level feature", in chronological order. Here the directions
    are shared and learned, start at Fisher directions, which separate facial movement from other motion (see
    `training_fdp.methods.movement_directions`), and their linear combination is fitted to each clip.
    """

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        self.directions = FDPMovementDirections(config.num_directions)

    def forward(self, pictures: torch.Tensor) -> FDPMovementCurves:
        """Computes the curves of clips.

        Args:
            pictures (`torch.FloatTensor` of shape `(batch_size, num_readings, side, side)`): from `local_averages`.

        Returns:
            `FDPMovementCurves`: in the precision of the pictures.
        """
        samples = self.directions(motion_by_place(pictures))
        samples = samples - samples.mean(1, keepdim=True)
        line = reading_times(samples) - 0.5
        line = line / line.square().sum().sqrt()
        without_line = samples - line[:, None] * (line[None] @ samples)
        plain, plain_shares = strongest_curves(samples)
        free, free_shares = strongest_curves(without_line)
        curves, sizes = from_rest(torch.cat([plain, free], 1))
        return FDPMovementCurves(
            curves, torch.cat([plain_shares, free_shares], 1), (curves * sizes)[:, 0] / SCORE_UNIT
        )


def at_frames(progress: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Interpolates a curve of local averages at the times of frames.

    Args:
        progress (`torch.FloatTensor` of shape `(batch_size, num_readings)`): values at the middles of even parts.
        num_frames (`int`): frames, evenly spread from the clip's start to its end.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames)`: linear in between, constant beyond the outer middles.
    """
    num_readings = progress.shape[1]
    # A product of matrices: interpolation has no deterministic gradient on GPUs.
    times = torch.linspace(0, 1, num_frames, device=progress.device, dtype=progress.dtype)
    position = (times * num_readings - 0.5).clamp(0, num_readings - 1)
    place = torch.arange(num_readings, device=progress.device, dtype=progress.dtype)
    return progress @ (1 - (position - place[:, None]).abs()).clamp(min=0)


def _of_size_one(matrix: torch.Tensor) -> torch.Tensor:
    """Divides by the root of the sum of squares, because the trace of a remainder may be 0 by rounding."""
    return matrix / matrix.square().sum((-2, -1), keepdim=True).clamp(min=1e-30).sqrt()


def _trace(matrix: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
    return (matrix * identity).sum((-2, -1), keepdim=True)
