"""From frames to aligned crops: the geometry of the crop and the resampling."""

import torch
import torch.nn.functional as F


def resize_frames(frames: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    """Resize whole frames; bilinear with antialiasing, so fine texture never turns into moving patterns.

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): uint8.
        size_hw (`tuple[int, int]`): Height and width of the result.

    Returns:
        `torch.Tensor` of shape `(num_frames, *size_hw)`: uint8, rounded once.
    """
    if tuple(frames.shape[1:]) == tuple(size_hw):
        return frames
    resized = F.interpolate(frames[:, None].float(), size=size_hw, mode="bilinear", antialias=True)
    return resized[:, 0].round().clamp(0, 255).to(torch.uint8)


class FaceNotFoundError(ValueError):
    """No face where the alignment needs one; the message names the clip and the frame."""
