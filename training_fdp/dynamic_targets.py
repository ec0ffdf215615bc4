"""What the decoder shall construct: the dynamic image of the frames that the model sees, or of all frames of the clip.

A target of all frames accompanies the batch as the rank-pooled sum at gain 1, 0.5 where nothing moves. That sum is
linear in the pixels and its weights add up to 0, so mirroring, moving, mixing and scaling the motion may come after
it; the model's gain, which clips, and its stretching to extremes, which looks at the whole picture, come last.
"""

from typing import Any, Literal

import torch

from modeling_fdp.dynamic_image_fdp import NO_MOTION, dynamic_image

TargetKind = Literal["sampled", "full_clip", "onset_apex"]


def pooled_clip(frames: torch.Tensor, onset: int, apex: int, offset: int, kind: TargetKind) -> torch.Tensor:
    """Sum the frames of one clip by rank pooling.

    Args:
        frames (`torch.FloatTensor` of shape `(num_frames, height, width)`): All aligned frames, in [-1, 1].
        onset (`int`): 0-based index of the first frame of the expression; negative: the first of all.
        apex (`int`): Of its strongest frame; negative where unknown.
        offset (`int`): Of its last frame; negative: the last of all.
        kind (`str`): `full_clip`: onset to offset. `onset_apex`: the rise alone (arXiv 2510.15466), or onset to offset
            where the apex is unknown or not after the onset.

    Returns:
        `torch.FloatTensor` of shape `(1, height, width)`: at gain 1, in [0, 1].
    """
    first = max(onset, 0)
    last = apex if kind == "onset_apex" and apex > first else offset if offset >= 0 else len(frames) - 1
    return dynamic_image(frames[first : last + 1].unsqueeze(1), gain=1.0)


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
    return _made(torch.stack([-motion, motion], dim=1), model_config)


def dynamic_image_targets(model_config: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return what the model shall construct of a batch that was not augmented.

    Args:
        model_config (`FDPConfig`): Holds the normalisation and the gain.
        batch (`dict`): `pixel_values` and, unless the target is made of these, `dynamic_image_labels` at gain 1.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 1, height, width)`: in [0, 1].
    """
    if "dynamic_image_labels" in batch:
        return scaled_target(batch["dynamic_image_labels"], model_config)
    return _made(batch["pixel_values"], model_config)


def _made(frames: torch.Tensor, model_config: Any) -> torch.Tensor:
    return dynamic_image(
        frames,
        normalization=model_config.dynamic_image_normalization,
        gain=model_config.dynamic_image_gain,
        # As the model trains: the released target is cast to 8 bits.
        quantize=model_config.dynamic_image_normalization == "min_max",
    )
