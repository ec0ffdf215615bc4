"""What the decoder shall construct: the dynamic image of the frames that the model sees, or of all frames of the clip.

A target of all frames accompanies the batch as the rank-pooled sum at gain 1, 0.5 where nothing moves. That sum is
linear in the pixels and its weights add up to 0, so mirroring, moving, mixing and scaling the motion may come after
it; the model's gain, which clips, and its stretching to extremes, which looks at the whole picture, come last. Of
stabilised frames, mixing and scaling the motion give that picture up to how the head would then be held.
"""

from typing import Any, Literal

import torch

from modeling_fdp.dynamic_image_fdp import NO_MOTION, dynamic_image, dynamic_image_target, scaled_dynamic_image
from modeling_fdp.motion_fdp import stabilize

TargetKind = Literal["sampled", "full_clip", "onset_apex"]


def pooled_clip(
    frames: torch.Tensor, onset: int, apex: int, offset: int, kind: TargetKind, stabilized: bool
) -> torch.Tensor:
    """Sum the frames of one clip by rank pooling.

    Args:
        frames (`torch.FloatTensor` of shape `(num_frames, height, width)`): All aligned frames, in [-1, 1].
        onset (`int`): 0-based index of the first frame of the expression; negative: the first of all.
        apex (`int`): Of its strongest frame; negative where unknown.
        offset (`int`): Of its last frame; negative: the last of all.
        kind (`str`): `full_clip`: onset to offset. `onset_apex`: the rise alone (arXiv 2510.15466), or onset to offset
            where the apex is unknown or not after the onset.
        stabilized (`bool`): Hold the head still first.

    Returns:
        `torch.FloatTensor` of shape `(1, height, width)`: at gain 1, in [0, 1].
    """
    first = max(onset, 0)
    last = apex if kind == "onset_apex" and apex > first else offset if offset >= 0 else len(frames) - 1
    frames = frames[first : last + 1].unsqueeze(1)
    return dynamic_image(stabilize(frames[None])[0] if stabilized else frames, gain=1.0)


def scaled_target(pooled: torch.Tensor, model_config: Any) -> torch.Tensor:
    """Bring sums at gain 1 to the scale that the model constructs.

    Args:
        pooled (`torch.FloatTensor` of shape `(batch_size, 1, height, width)`): As [`pooled_clip`] returns them.
        model_config (`FDPConfig`): Holds the normalisation and the gain.

    Returns:
        `torch.FloatTensor` of the same shape: in [0, 1].
    """
    motion = 2 * (pooled - NO_MOTION)
    # Two frames whose difference is the motion: their dynamic image is the clip's, by the model's own arithmetic.
    return scaled_dynamic_image(torch.stack([-motion, motion], dim=1), model_config)


def dynamic_image_targets(model_config: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return what the model shall construct of a batch that was not augmented.

    Args:
        model_config (`FDPConfig`): Holds the frames, the normalisation and the gain.
        batch (`dict`): `pixel_values` and, unless the target is made of these, `dynamic_image_targets` at gain 1.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 1, height, width)`: in [0, 1].
    """
    if "dynamic_image_targets" in batch:
        return scaled_target(batch["dynamic_image_targets"], model_config)
    return dynamic_image_target(batch["pixel_values"], model_config)
