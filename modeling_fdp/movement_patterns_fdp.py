"""Movement patterns: motion and gray of a clip regressed on the curves of `movement_curves_fdp`, as encoder input.

Frames are pooled over time before the encoder, because a rectified layer that reads one frame alone loses motion that
a later sum over frames would need (docs/results/windows.md). The motion of each local average is estimated group-wise
against the mean of all, which is computed again after every warp. Motion and gray values, not warped frames, are
regressed on the curves, because movements of 3 to 8 pixels would otherwise saturate. The encoder processes the
patterns in place of frames, and temporal pooling sums them.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_encoder_fdp import MOVEMENT_CHANNELS, NUM_PATTERNS
from .configuration_fdp import FDPConfig
from .motion_fdp import (
    MOTION_UNIT,
    MOTION_WINDOW,
    block_means,
    displacement,
    enlarge,
    resample,
    stabilize,
    texture_of,
    without_head,
)
from .movement_curves_fdp import (
    GRID_SIZE,
    REST_WEIGHTS,
    FDPMovementCurves,
    FDPMovementScorer,
    at_frames,
    local_averages,
    reading_times,
)

# Group-wise Lucas-Kanade: windows of its iterations, as fractions of the side; wide first, for large motions.
GROUP_WINDOWS = (1 / 12, MOTION_WINDOW, MOTION_WINDOW)
# Ridge of the regression, relative to the mean product of the curves and absolute, because curves may be alike.
RIDGE, FLOOR = 1e-3, 1e-6
# Size to which a pattern is scaled; the floor limits the factor of patterns that hold only noise.
SCALED_SIZE, SIZE_FLOOR = 1.2, 0.25
# Share of the cells, those with the largest motion, over which the size of a pattern is measured.
STRONGEST_SHARE = 0.05
# Natural logarithms of the smallest and largest factor on the patterns of a training clip.
TRAINING_SCALE = (-0.4, 1.5)
# Standard deviation of the window for contrast, as a share of the side, and largest value of the mean face.
FACE_WINDOW, LARGEST_FACE = 1 / 5, 1.5
READOUT_SIZE = 128
# Clips that are read at once on a CPU, so that their pictures stay in its cache: a fifth less time for a batch of 32.
CLIPS_AT_ONCE = 8
# Pixels at a side of 64 by which the strongest 5% of the skin moves per unit of the score: median of 63 rendered
# movements, from onset to offset.
PIXELS_PER_SCORE = 0.7
# Largest share of the opposite sign in the average over both, because recordings tend to start at rest, and the
# differences between the first and last value of the strongest curve, as shares of its range, from which the share
# grows and at which it is reached. Chosen on rendered people (docs/results/windows.md).
OTHER_SIGN_SHARE, OPEN_ENDS = REST_WEIGHTS[1], (0.5, 0.9)
# Patterns and channels that change sign with the curves: not the linear trend, not the mean face.
SIGNED_PATTERNS, SIGNED_CHANNELS = NUM_PATTERNS - 1, MOVEMENT_CHANNELS - 1


class FDPMovement(NamedTuple):
    """Output of `FDPMovementReference`.

    Args:
        patterns (`torch.FloatTensor` of shape `(batch_size, NUM_PATTERNS, MOVEMENT_CHANNELS, side / 2, side / 2)`): in
            [-1.5, 1.5]. Channels: change of gray, motion to the right and downwards; the same three scaled to one
            size; the mean face. Patterns: of the two strongest curves, of the two strongest after a linear trend is
            removed, and of the linear trend.
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`): progress of the movement in each frame.
        features (`torch.FloatTensor` of shape `(batch_size, NUM_PATTERNS * num_directions + NUM_PATTERNS + 4)`):
            motion of the patterns at one size along the scorer's directions; the logarithm of 1 + the size of each
            pattern; the shares of the four curves.
        still_frames (`torch.FloatTensor` of shape `(batch_size, num_frames, 1, side, side)`): the frames, the head
            stabilized.
        size (`torch.FloatTensor` of shape `(batch_size,)`): see `movement_size`.
        other_sign_share (`torch.FloatTensor` of shape `(batch_size,)`): see `other_sign_share`.
    """

    patterns: torch.Tensor
    rank_scores: torch.Tensor
    features: torch.Tensor
    still_frames: torch.Tensor
    size: torch.Tensor
    other_sign_share: torch.Tensor


class FDPMovementReference(nn.Module):
    """From frames to movement patterns and one score per frame.

    Computed in single precision, also under autocast, because half precision rounds a motion of one gray level to
    zero. All shapes are static.
    """

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        self.gain = config.reference_gain
        self.scale_rate = config.pattern_scale_rate
        self.scorer = FDPMovementScorer(config)

    def forward(self, frames: torch.Tensor) -> FDPMovement:
        """Computes the patterns of clips.

        Args:
            frames (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, side, side)`): aligned, evenly
                lit, evenly spread in time, in [-1, 1]; colours are averaged.

        Returns:
            `FDPMovement`: in single precision.
        """
        with torch.autocast(frames.device.type, enabled=False):
            still, patterns, face, *found = self._read_in_parts(frames)
            curves = FDPMovementCurves(*found)
            patterns = self._larger_or_smaller(patterns)
            size = pattern_size(patterns)
            scaled = patterns * (SCALED_SIZE / (size + SIZE_FLOOR))[..., None, None, None]
            shown = torch.cat(
                [torch.tanh(patterns), torch.tanh(scaled), face.unsqueeze(2).expand(-1, NUM_PATTERNS, -1, -1, -1)], 2
            )
            motion = F.avg_pool2d(scaled[:, :, 1:].flatten(0, 1), scaled.shape[-1] // GRID_SIZE)
            along = self.scorer.directions(motion.flatten(1)).unflatten(0, size.shape)
            features = torch.cat([along.flatten(1), torch.log1p(size), curves.shares], 1)
            return FDPMovement(
                shown,
                at_frames(curves.progress, frames.shape[1]),
                features,
                still,
                movement_size(curves, still.shape[-1]),
                other_sign_share(curves),
            )

    def _read_in_parts(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """`_read`, of few clips at a time on a CPU; exporters get the whole batch, because its size is unknown."""
        if frames.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return list(self._read(frames))
        parts = [self._read(part) for part in frames.split(CLIPS_AT_ONCE)]
        return [torch.cat(values) if len(values) > 1 else values[0] for values in zip(*parts, strict=True)]

    def _read(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Still frames, patterns `(batch_size, NUM_PATTERNS, 3, side / 2, side / 2)`, mean faces, then the curves."""
        still = stabilize(frames, anchor=frames.shape[1] // 2)
        pictures = local_averages(still.squeeze(2))
        mean = pictures.mean(1, keepdim=True)
        found = self.scorer(pictures)
        # (batch_size, num_readings, 3, side / 2, side / 2): change of gray, right, down, in units of tanh.
        gray = block_means(pictures - mean) * self.gain
        flow = group_motion(pictures) / (MOTION_UNIT * pictures.shape[-1])
        patterns = pattern_weights(found.curves) @ torch.cat([gray.unsqueeze(2), flow], 2).flatten(2)
        return still, patterns.unflatten(2, (3, *flow.shape[3:])), normalized_face(block_means(mean)), *found

    def _larger_or_smaller(self, patterns: torch.Tensor) -> torch.Tensor:
        """Scales the patterns of a share of the training clips, to imitate larger and smaller movements."""
        if not self.training or self.scale_rate == 0:
            return patterns
        low, high = TRAINING_SCALE
        draws = torch.rand(2, patterns.shape[0], 1, 1, 1, 1, device=patterns.device)
        factor = torch.exp(low + (high - low) * draws[0])
        return patterns * torch.where(draws[1] < self.scale_rate, factor, 1.0)


class FDPMovementReadout(nn.Module):
    """Vector input of the classifier beside the map: the patterns along the scorer's directions, and their sizes.

    Through it the gradient of the classification loss reaches the scorer without passing the curves, and the
    classifier reads from the sizes whether anything moved.
    """

    hidden_size = READOUT_SIZE + NUM_PATTERNS + 4

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        self.count = NUM_PATTERNS * config.num_directions
        self.norm = nn.BatchNorm1d(self.count)
        self.mix = nn.Linear(self.count, READOUT_SIZE)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`features` of `FDPMovement` -> (batch_size, hidden_size)."""
        features = features.to(self.mix.weight.dtype)
        mixed = F.relu(self.mix(self.norm(features[:, : self.count])))
        return torch.cat([mixed, features[:, self.count :].to(mixed.dtype)], 1)


def movement_size(found: FDPMovementCurves, side: int) -> torch.Tensor:
    """Measures the motion of the face, from the lowest rank score to the highest.

    Along the scorer's directions, because they suppress head, light and blinks: the total motion of a quiet stretch
    with a blink exceeds that of a micro-expression. The probability that a movement has the larger size than a quiet
    stretch (63 rendered people) is 0.40 by the motion of the strongest pattern and 0.93 by this.

    Args:
        found (`FDPMovementCurves`): curves that the scorer computed.
        side (`int`): side of the frames in pixels.

    Returns:
        `torch.FloatTensor` of shape `(batch_size,)`: in pixels of the frames, those of a rendered movement of this
        score.
    """
    size: torch.Tensor = (found.progress.amax(1) - found.progress.amin(1)) * (PIXELS_PER_SCORE * side / 64)
    return size


def other_sign_share(found: FDPMovementCurves) -> torch.Tensor:
    """Measures how far a clip leaves the sign of its curves open.

    A clip that starts and ends at the same progress starts and ends at rest. Where its ends differ, one of them is at
    rest, and the curve does not hold which: a rise has the same curve as a fall backwards.

    Args:
        found (`FDPMovementCurves`): curves that the scorer computed.

    Returns:
        `torch.FloatTensor` of shape `(batch_size,)`: share of the opposite sign in the average over both, from 0 to
        `OTHER_SIGN_SHARE`.
    """
    strongest = found.curves[:, 0]
    low, high = OPEN_ENDS
    difference = (strongest[:, 0] - strongest[:, -1]).abs()
    return OTHER_SIGN_SHARE * ((difference - low) / (high - low)).clamp(0, 1)


def opposite_patterns(patterns: torch.Tensor) -> torch.Tensor:
    """Patterns of curves of the opposite sign: a regression on 1 - c has the coefficients of that on c, negated.

    Args:
        patterns (`torch.FloatTensor` of shape `(batch_size, NUM_PATTERNS, MOVEMENT_CHANNELS, height, width)`): of
            `FDPMovement`.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, SIGNED_PATTERNS, MOVEMENT_CHANNELS, height, width)`: without the
        pattern of the linear trend, which stays.
    """
    signed = patterns[:, :SIGNED_PATTERNS]
    return torch.cat([-signed[:, :, :SIGNED_CHANNELS], signed[:, :, SIGNED_CHANNELS:]], 2)


def opposite_features(features: torch.Tensor, num_directions: int) -> torch.Tensor:
    """Features of curves of the opposite sign: motion along the directions is negated, sizes and shares stay.

    Args:
        features (`torch.FloatTensor` of shape `(batch_size, num_features)`): of `FDPMovement`.
        num_directions (`int`): directions of the scorer.

    Returns:
        `torch.FloatTensor` of the same shape.
    """
    count = SIGNED_PATTERNS * num_directions
    return torch.cat([-features[:, :count], features[:, count:]], 1)


def group_motion(pictures: torch.Tensor) -> torch.Tensor:
    """Estimates the motion of every picture against the mean of all, which is recomputed after every warp.

    Args:
        pictures (`torch.FloatTensor` of shape `(batch_size, num_pictures, side, side)`): in [-1, 1].

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_pictures, 2, side / 2, side / 2)`: pixels of the picture to the
        right and downwards, the head's affine motion subtracted.
    """
    flow = _group_step(pictures, GROUP_WINDOWS[0], None)
    for window in GROUP_WINDOWS[1:]:
        flow = flow + _group_step(resample(pictures, enlarge(flow)), window, flow)
        # Subtracted from the whole flow, because the affine part of one step depends on the earlier steps.
        flow = without_head(flow)
    return flow


def _group_step(moved: torch.Tensor, window: float, so_far: torch.Tensor | None) -> torch.Tensor:
    """One Lucas-Kanade step of pictures, warped back by the motion so far, against their mean."""
    mean = moved.mean(1, keepdim=True)
    step = displacement(texture_of(mean, window), mean - moved, so_far)
    return without_head(step) if so_far is None else step


def pattern_weights(curves: torch.Tensor) -> torch.Tensor:
    """Weights over time that give the patterns: least squares on the first two curves, and on the last two and time.

    Args:
        curves (`torch.FloatTensor` of shape `(batch_size, 4, num_readings)`): from 0 to 1.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, NUM_PATTERNS, num_readings)`: each row sums to 0.
    """
    line = reading_times(curves).expand(curves.shape[0], 1, -1)
    groups = (curves[:, :2], torch.cat([curves[:, 2:], line], 1))
    return torch.cat([regression_weights(group) for group in groups], 1)


def regression_weights(curves: torch.Tensor) -> torch.Tensor:
    """Least squares with a small ridge, by elimination, because ONNX has no linear solver.

    Args:
        curves (`torch.FloatTensor` of shape `(batch_size, num_curves, num_times)`): regressors; a constant is
            fitted with them.

    Returns:
        `torch.FloatTensor` of the same shape: weights whose sums over samples are the curves' coefficients.
    """
    centred = curves - curves.mean(2, keepdim=True)
    products = centred @ centred.transpose(1, 2)
    identity = torch.eye(curves.shape[1], device=curves.device, dtype=curves.dtype)
    ridge = RIDGE * (products * identity).sum((1, 2)) / curves.shape[1] + FLOOR
    rows = list(torch.cat([products + ridge[:, None, None] * identity, centred], 2).unbind(1))
    # Gauss-Jordan elimination; the matrix is positive definite, so no row has to be exchanged.
    for pivot in range(len(rows)):
        rows[pivot] = rows[pivot] / rows[pivot][:, pivot : pivot + 1]
        for other in range(len(rows)):
            if other != pivot:
                rows[other] = rows[other] - rows[other][:, pivot : pivot + 1] * rows[pivot]
    return torch.stack(rows, 1)[:, :, len(rows) :]


def pattern_size(patterns: torch.Tensor) -> torch.Tensor:
    """Root mean square of motion over the strongest cells.

    Args:
        patterns (`torch.FloatTensor` of shape `(batch_size, num_patterns, 3, height, width)`): gray, right, down.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_patterns)`: in the unit of the patterns.
    """
    squares = patterns[:, :, 1:].square().sum(2).flatten(2)
    strongest = squares.topk(round(STRONGEST_SHARE * squares.shape[2]), dim=2).values
    return (strongest.mean(2) + 1e-12).sqrt()


def normalized_face(face: torch.Tensor) -> torch.Tensor:
    """Normalizes a face to zero mean and one contrast at its centre.

    Args:
        face (`torch.FloatTensor` of shape `(batch_size, 1, side, side)`): in [-1, 1].

    Returns:
        `torch.FloatTensor` of the same shape: in [-1.5, 1.5].
    """
    side = face.shape[-1]
    place = (torch.arange(side, device=face.device, dtype=face.dtype) + 0.5) / side - 0.5
    weight = torch.exp(-0.5 * (place[:, None].square() + place.square()) / FACE_WINDOW**2)
    weight = weight / weight.sum()
    face = face - (weight * face).sum((-2, -1), keepdim=True)
    contrast = (weight * face.square()).sum((-2, -1), keepdim=True).sqrt()
    return (0.4 * face / (contrast + 0.05)).clamp(-LARGEST_FACE, LARGEST_FACE)
