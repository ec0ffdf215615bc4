"""Training of the spotting network on curves of recordings whose expressions are known.

Every recording is also learnt mirrored, and by crops that are a little off: both are made of the motion at all places,
so that no frame is read twice. Widths, rates and shares are our choice, most of them those of a prototype.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from modeling_fdp.movement_curves_fdp import GRID_SIZE
from modeling_fdp.movement_directions_fdp import MOTION_SIZE, NUM_DIRECTIONS
from spotting_fdp.intervals import bump
from spotting_fdp.motion_stream import Motion, motion_of, region_directions
from spotting_fdp.network import LEAST_LOG, MOST_LOG, USUAL_DISTANCE, SpottingNetwork
from spotting_fdp.network_input import LID_REACH, NUM_LIDS, NUM_OTHERS, UNIT_REACH, network_input
from spotting_fdp.thresholds import FalseAlarmRates

# A lid moves where it closes by this share in `LID_REACH` moments.
LEAST_BLINK = 0.2
# Added to all directions of motion at rest, as a share of the mean: some places hardly move.
LEAST_SHARE = 0.01
# The target falls from 1 in the middle of an expression with this share of its length as standard deviation, and the
# ends are learnt within this share of it.
TARGET_WIDTH, ENDS_LEARNT = 0.12, 0.5
# Largest shift of another crop in places of the grid, and largest logarithm of its scale.
LARGEST_SHIFT, LARGEST_SCALE = 0.8, 0.2
# Moments of a stretch, stretches of a step, and the highest learning rate.
STRETCH, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 300, 20, 3e-3, 1e-2
# Of the input: largest logarithm of the factor of the curves, and standard deviation of noise. Share of stretches that
# run backwards.
LARGEST_FACTOR, NOISE, BACKWARDS = 0.3, 0.1, 0.3
# Weight of the cross-entropy against the error of the distances.
MIDDLE_WEIGHT = 8.0


@dataclass(frozen=True)
class Example:
    """A recording to learn from.

    Args:
        runs (`list` of `int` and `np.ndarray` of shape `(num_moments, MOTION_SIZE)`): First moment of each run and the
            motion at all places.
        expressions (`np.ndarray` of shape `(num_expressions, 2)`): Moments of onsets and offsets.
        others (`np.ndarray` of shape `(num_moments, 6)`): float32, at each moment how far the lids are closed, in
            [0, 1], place of the pupils to the right and below, and yaw, pitch and roll of the head in degrees.
    """

    runs: list[tuple[int, NDArray[np.floating]]]
    expressions: NDArray[np.float64]
    others: NDArray[np.float32]

    def motions(self, others: torch.Tensor, crop: "OtherCrop | None" = None) -> list[Motion]:
        """Curves of all runs, by the directions of what is no expression as well."""
        directions = torch.cat([region_directions(), others], dim=1)
        found = []
        for first, places in self.runs:
            motion = torch.from_numpy(places.astype(np.float32))
            values = ((motion if crop is None else crop.motion(motion)) @ directions).numpy()
            found.append(motion_of(first, values, continues=False))
        return found


@dataclass(frozen=True)
class OtherCrop:
    """Another crop of the same face.

    Args:
        mirrored (`bool`): Whether left and right are exchanged.
        scale (`float`): Its side over that of the crop.
        shift (`tuple` of two `float`): Its place to the right and below, in places of the grid.
    """

    mirrored: bool
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def motion(self, motion: torch.Tensor) -> torch.Tensor:
        """The motion that this crop would show, of the same shape `(num_moments, MOTION_SIZE)`."""
        field = motion.unflatten(1, (2, GRID_SIZE, GRID_SIZE))
        right, below = (2 * places / GRID_SIZE for places in self.shift)
        affine = torch.tensor([[self.scale, 0.0, right], [0.0, self.scale, below]])
        grid = F.affine_grid(affine[None], [1, 2, GRID_SIZE, GRID_SIZE], align_corners=False)
        moved = (
            F.grid_sample(field.flatten(0, 1)[None], grid, padding_mode="border", align_corners=False)[0].unflatten(
                0, (-1, 2)
            )
            / self.scale
        )
        if self.mirrored:
            moved = moved.flip(-1) * torch.tensor([-1.0, 1.0])[:, None, None]
        return moved.flatten(1)


@dataclass(frozen=True)
class _Stretches:
    """Input and targets of one run: `(NUM_INPUTS, num_moments)`, and `(5, num_moments)` as `_targets` gives them."""

    curves: torch.Tensor
    targets: torch.Tensor


def other_directions(examples: Sequence[Example]) -> torch.Tensor:
    """Fit the directions of what is no expression: of blinking lids, of the pupils and of the head.

    Those of the lids are Fisher directions of moments in which they close against all others; those of pupils and head
    are linear regressions of their bumps on the bumps of motion.

    Args:
        examples (`Sequence[Example]`): Recordings.

    Returns:
        `torch.Tensor` of shape `(MOTION_SIZE, NUM_OTHERS)`: float32; along the first `NUM_LIDS`, motion at rest is as
        large as along the directions of the face, along the rest its bumps are 1 on average.
    """
    # Second moments of motion at rest and in blinks, and of motion with pupils and head.
    moments, counts = np.zeros((2, MOTION_SIZE, MOTION_SIZE)), np.zeros(2)
    crossed = np.zeros((MOTION_SIZE, NUM_OTHERS - NUM_LIDS))
    for example in examples:
        closing = bump(example.others[:, :1], LID_REACH)[:, 0]
        moved = bump(example.others[:, 1:], UNIT_REACH)
        for first, places in example.runs:
            known = min(len(places), len(closing) - first)
            motion = places[:known].astype(np.float32)
            blinks = closing[first : first + known] > LEAST_BLINK
            bumps = bump(motion, LID_REACH)
            for group, chosen in enumerate((bumps[~blinks], bumps[blinks])):
                moments[group] += chosen.T @ chosen
                counts[group] += len(chosen)
            crossed += bump(motion, UNIT_REACH).T @ moved[first : first + known]
    rest, blinking = moments / np.maximum(counts, 1)[:, None, None]
    rest += np.eye(MOTION_SIZE) * LEAST_SHARE * np.trace(rest) / MOTION_SIZE
    # The largest motion in blinks among all directions in which motion at rest is 1.
    lower = np.linalg.cholesky(rest)
    inner = np.linalg.solve(lower, np.linalg.solve(lower, blinking).T)
    lids = np.linalg.solve(lower.T, np.linalg.eigh(inner)[1][:, ::-1][:, :NUM_LIDS])
    face = region_directions()[:, :NUM_DIRECTIONS].numpy()
    lids *= np.sqrt(np.trace(face.T @ rest @ face) / NUM_DIRECTIONS)
    following = np.linalg.solve(rest, crossed)
    following /= np.maximum(np.sqrt(np.einsum("pd,pq,qd->d", following, rest, following)), 1e-9)
    return torch.from_numpy(np.concatenate([lids, following], axis=1).astype(np.float32))


def train_network(examples: Sequence[Example], seed: int, num_steps: int, num_crops: int = 2) -> SpottingNetwork:
    """Train a network; on one machine and thread the same seed gives the same weights.

    Args:
        examples (`Sequence[Example]`): Recordings.
        seed (`int`): Of all draws.
        num_steps (`int`): Steps.
        num_crops (`int`, *optional*, defaults to 2): Crops that are off, of each recording and of its mirror image.

    Returns:
        `SpottingNetwork`: In evaluation mode; its rates are to be measured yet.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = SpottingNetwork(FalseAlarmRates.unmeasured())
    network.others.copy_(other_directions(examples))
    pieces = [piece for example in examples for piece in _pieces(example, network.others, num_crops, generator)]
    lengths = torch.tensor([float(piece.curves.shape[1]) for piece in pieces])
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    network.train()
    for _ in range(num_steps):
        chosen = torch.multinomial(lengths, BATCH_SIZE, replacement=True, generator=generator)
        batch = [_stretch(pieces[index], generator) for index in chosen.tolist()]
        curves, targets = (torch.stack(part) for part in zip(*batch, strict=True))
        loss = _loss(network(curves), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _pieces(example: Example, others: torch.Tensor, num_crops: int, generator: torch.Generator) -> list[_Stretches]:
    crops: list[OtherCrop | None] = [None, OtherCrop(mirrored=True)]
    for number in range(2 * num_crops):
        draws = (2 * torch.rand(3, generator=generator) - 1).tolist()
        shift = (LARGEST_SHIFT * draws[1], LARGEST_SHIFT * draws[2])
        crops.append(OtherCrop(number % 2 == 1, math.exp(LARGEST_SCALE * draws[0]), shift))
    found = []
    for crop in crops:
        motions = example.motions(others, crop)
        for motion, curves in zip(motions, network_input(motions), strict=True):
            targets = _targets(motion.first + np.arange(len(motion)), example.expressions)
            found.append(_Stretches(torch.from_numpy(curves), torch.from_numpy(targets)))
    return found


def _targets(moments: NDArray[np.int_], expressions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Per moment: probability of a middle, logarithms of both distances, whether these count, and 1: `(5, n)`."""
    answer = np.zeros((5, len(moments)), np.float32)
    answer[4] = 1
    for onset, offset in expressions:
        middle, length = (onset + offset) / 2, offset - onset
        away = np.abs(moments - middle)
        answer[0] = np.maximum(answer[0], np.exp(-0.5 * (away / (TARGET_WIDTH * length)) ** 2))
        inside = away <= ENDS_LEARNT / 2 * length
        ends = np.stack([moments - onset, offset - moments])[:, inside] / USUAL_DISTANCE
        answer[1:3, inside] = np.log(ends).clip(LEAST_LOG, MOST_LOG)
        answer[3, inside] = 1
    return answer


def _stretch(piece: _Stretches, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A varied stretch of a run; what a short run lacks does not count."""
    total = piece.curves.shape[1]
    start = int(torch.randint(max(total - STRETCH, 0) + 1, (1,), generator=generator))
    curves, targets = (part[:, start : start + STRETCH] for part in (piece.curves, piece.targets))
    factor, turn = torch.rand(2, generator=generator).tolist()
    curves = curves * math.exp(LARGEST_FACTOR * (2 * factor - 1))
    curves = curves + NOISE * torch.randn(curves.shape, generator=generator)
    if turn < BACKWARDS:
        curves, targets = curves.flip(1), targets.flip(1)[[0, 2, 1, 3, 4]]
    missing = STRETCH - curves.shape[1]
    return F.pad(curves, (0, missing)), F.pad(targets, (0, missing))


def _loss(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy that looks at moments which are wrong, and the error of the distances; per moment of a middle."""
    middle, ends, inside, counts = targets[:, 0], targets[:, 1:3], targets[:, 3], targets[:, 4]
    count = inside.sum().clamp(min=1)
    wrong = (middle - output[:, 0].sigmoid()).abs().detach()
    entropy = F.binary_cross_entropy_with_logits(output[:, 0], middle, reduction="none")
    error = F.smooth_l1_loss(output[:, 1:], ends, beta=0.1, reduction="none").mean(1)
    return (MIDDLE_WEIGHT * (entropy * wrong * counts).sum() + (error * inside).sum()) / count
