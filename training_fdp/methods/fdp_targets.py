"""Targets of FDP's decoder: the dynamic image of the model's input frames, or of all frames of the clip.

A target of all frames is computed as a rank-pooled sum at gain 1, 0.5 where nothing moves, because mirroring, moving,
mixing and scaling the motion commute with a linear sum whose weights add up to 0. The model's gain (which clips) and
stretching (which depends on the whole picture) are applied last. With stabilised frames, mixing and scaling commute
only approximately, because they change the estimated head motion.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from modeling_fdp.configuration_fdp import FDPConfig
from modeling_fdp.dynamic_image_fdp import NO_MOTION, dynamic_image, dynamic_image_target, scaled_dynamic_image
from modeling_fdp.motion_fdp import stabilize
from training_fdp.data.clips import Clip
from training_fdp.data.windows import progress

TargetKind = Literal["sampled", "full_clip", "onset_apex", "both_phases"]


def pooled_clip(
    frames: torch.Tensor,
    onset: int | None,
    apex: int | None,
    offset: int | None,
    kind: TargetKind,
    stabilized: bool,
) -> torch.Tensor:
    """Sum the frames of one clip by rank pooling.

    Args:
        frames (`torch.FloatTensor` of shape `(num_frames, height, width)`): All aligned frames, in [-1, 1].
        onset (`int`, *optional*): 0-based index of the first frame of the expression; `None`: that of the clip.
        apex (`int`, *optional*): Index of its strongest frame; `None` where unknown.
        offset (`int`, *optional*): Index of its last frame; `None`: that of the clip.
        kind (`str`): `full_clip`: onset to offset. `onset_apex`: the rise alone (arXiv 2510.15466), or onset to offset
            where the apex is unknown or not after the onset. `both_phases`: the mean of the rise and of the fall
            played backwards, because the sum from onset to offset cancels both in part (our choice; one image, because
            the decoder has one channel); onset to offset where the apex is unknown or at an end.
        stabilized (`bool`): Whether frames are stabilised before they are summed.

    Returns:
        `torch.FloatTensor` of shape `(1, height, width)`: at gain 1, in [0, 1].
    """
    first = 0 if onset is None else onset
    last = len(frames) - 1 if offset is None else offset
    if kind == "onset_apex" and apex is not None and apex > first:
        last = apex
    frames = frames[first : last + 1].unsqueeze(1)
    if stabilized:
        frames = stabilize(frames[None])[0]
    if kind == "both_phases" and apex is not None and first < apex < last:
        rise, fall = frames[: apex - first + 1], frames[apex - first :].flip(0)
        return (dynamic_image(rise, gain=1.0) + dynamic_image(fall, gain=1.0)) / 2
    return dynamic_image(frames, gain=1.0)


def scaled_target(pooled: torch.Tensor, model_config: FDPConfig) -> torch.Tensor:
    """Turn sums at gain 1 into targets, by the gain and the normalisation of the model.

    Args:
        pooled (`torch.FloatTensor` of shape `(batch_size, 1, height, width)`): As [`pooled_clip`] returns them.
        model_config (`FDPConfig`): Holds the normalisation and the gain.

    Returns:
        `torch.FloatTensor` of the same shape: in [0, 1].
    """
    motion = 2 * (pooled - NO_MOTION)
    # Two frames whose rank-pooled sum is the motion, because `scaled_dynamic_image` takes frames.
    return scaled_dynamic_image(torch.stack([-motion, motion], dim=1), model_config)


def dynamic_image_targets(
    model_config: FDPConfig, batch: Mapping[str, torch.Tensor], rank_scores: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the targets of a batch that was not augmented.

    Args:
        model_config (`FDPConfig`): Holds the frames, the normalisation and the gain.
        batch (`dict`): `pixel_values` and, unless the target sums these, `dynamic_image_targets` at gain 1.
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`, *optional*): Rank scores that the network
            gives; needed with `dynamic_image_frames="along_curve"`.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 1, height, width)`: in [0, 1].
    """
    if "dynamic_image_targets" in batch:
        return scaled_target(batch["dynamic_image_targets"], model_config)
    return dynamic_image_target(batch["pixel_values"], model_config, rank_scores=rank_scores)


def progress_targets(clip: Clip, indices: NDArray[np.int64]) -> torch.Tensor:
    """Return the progress of the movement in the sampled frames of a clip.

    Args:
        clip (`Clip`): Clip with its key frames.
        indices (`np.ndarray` of shape `(num_frames,)`): Sampled frames, 0-based.

    Returns:
        `torch.FloatTensor` of shape `(num_frames,)`: see [`progress`]; NaN where the apex is unknown. Without an
        offset only the rise is known, without an onset only the fall.
    """
    unknown = torch.full((len(indices),), float("nan"))
    if clip.apex is None:
        return unknown
    onset = clip.apex if clip.onset is None else clip.onset
    offset = clip.apex if clip.offset is None else clip.offset
    known = (indices >= onset if clip.onset is None else True) & (indices <= offset if clip.offset is None else True)
    values = torch.from_numpy(progress(indices, onset, clip.apex, offset))
    return torch.where(torch.from_numpy(np.broadcast_to(known, indices.shape).copy()), values, unknown)


def as_numbers(images: torch.Tensor) -> NDArray[np.float64]:
    """Convert (batch_size, 1, height, width) on the device to float64 (batch_size, height, width) on the CPU."""
    return images[:, 0].float().cpu().double().numpy()


def mean_target(model_config: FDPConfig, batches: Iterable[Mapping[str, torch.Tensor]]) -> torch.Tensor | None:
    """Return the mean target of clips (`torch.DoubleTensor` of shape `(height, width)`), `None` without clips."""
    total, count = None, 0
    for batch in batches:
        targets = as_numbers(dynamic_image_targets(model_config, batch))
        total = targets.sum(axis=0) + (0 if total is None else total)
        count += len(targets)
    return None if total is None else torch.from_numpy(total / count)
