"""Dynamic images: a clip summed into one picture by approximate rank pooling (Bilen et al., CVPR 2016)."""

from typing import Literal

import torch

from .configuration_fdp import FDPConfig
from .motion_fdp import stabilize

NO_MOTION = 0.5
# Rounding errors of the weighted sum stay below this; one gray level is at least 0.003 with eight frames.
FLAT = 1e-4


def _harmonic_numbers(count: int, device: torch.device | None) -> torch.Tensor:
    """H_0 ... H_count in float32, which is exact enough for hundreds of frames and supported by every device."""
    reciprocals = 1.0 / torch.arange(1, count + 1, dtype=torch.float32, device=device)
    return torch.cat([torch.zeros(1, device=device), reciprocals.cumsum(0)])


def rank_pooling_weights(
    num_frames: int, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Closed-form weights of approximate rank pooling on raw frames (Bilen et al., CVPR 2016).

    alpha_t = 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}) for t = 1 ... T, H the harmonic numbers. They sum to zero. With
    few frames almost all negative mass lies on the first: the picture is nearly "later frames minus the first".

    Args:
        num_frames (`int`): T, at least 1.
        device (`torch.device`, *optional*): device of the weights.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): dtype of the weights.

    Returns:
        `torch.Tensor` of shape `(num_frames,)`: unscaled weights, in frame order.

    Raises:
        ValueError: fewer than one frame.
    """
    if num_frames < 1:
        raise ValueError(f"Rank pooling needs at least one frame, but num_frames={num_frames} was given.")
    harmonic = _harmonic_numbers(num_frames, device)
    position = torch.arange(1, num_frames + 1, dtype=torch.float32, device=device)
    weights = 2 * (num_frames - position + 1) - (num_frames + 1) * (harmonic[-1] - harmonic[:-1])
    return weights.to(dtype)


def phase_weights(start_index: torch.Tensor, end_index: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Rank-pooling weights over a span of each clip, zero elsewhere.

    Args:
        start_index (`torch.LongTensor` of shape `(batch_size,)`): 0-based first frame of the span.
        end_index (`torch.LongTensor` of shape `(batch_size,)`): 0-based last frame, included, not before the first.
        num_frames (`int`): frames per clip.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames)`: unscaled weights; zero for a span of one frame.
    """
    harmonic = _harmonic_numbers(num_frames, start_index.device)
    start, end = start_index[:, None], end_index[:, None]
    length = end - start + 1
    index = torch.arange(num_frames, device=start_index.device)[None]
    inside = (index >= start) & (index <= end)
    position = torch.where(inside, index - start + 1, torch.ones_like(index))
    weights = 2 * (length - position + 1) - (length + 1) * (harmonic[length] - harmonic[position - 1])
    return torch.where(inside & (length > 1), weights, torch.zeros_like(weights))


def dynamic_image(
    frames: torch.Tensor,
    weights: torch.Tensor | None = None,
    normalization: Literal["signed", "min_max"] = "signed",
    gain: float = 8.0,
    quantize: bool = False,
) -> torch.Tensor:
    """Sums clips into dynamic images. Differentiable unless `quantize` is set; runs on the frames' device.

    Args:
        frames (`torch.FloatTensor` of shape `(..., num_frames, num_channels, height, width)`):
            pixels in [-1, 1], as the video processor returns them.
        weights (`torch.FloatTensor` of shape `(num_frames,)` or `(..., num_frames)`, *optional*): of the frames;
            `rank_pooling_weights` by default.
        normalization (`str`, *optional*, defaults to `"signed"`):
            `"signed"`: a fixed scale, 0.5 means no motion (our choice). The weights are scaled so that the positive
            ones sum to 1; the picture is 0.5 + gain * (later - earlier) / 2, gray levels counted from 0 to 1, clipped.
            `"min_max"`: every picture stretched to its own extremes (released code), so that "no motion" has no fixed
                gray; a picture without any contrast is 0.5.
        gain (`float`, *optional*, defaults to 8.0): amplification of the signed form.
        quantize (`bool`, *optional*, defaults to `False`): round down to 256 levels as the released code does.

    Returns:
        `torch.FloatTensor` of shape `(..., num_channels, height, width)`: in [0, 1], in the frames' type.

    Raises:
        ValueError: an unknown normalization.
    """
    num_frames = frames.shape[-4]
    if weights is None:
        weights = rank_pooling_weights(num_frames, device=frames.device)
    # Half precision would lose the difference of two almost equal frames.
    weights = weights.to(torch.float32)
    gray = (frames.to(torch.float32) + 1) / 2
    if normalization == "signed":
        scale = weights.clamp(min=0).sum(-1, keepdim=True).clamp(min=1e-6)
        pooled = _pool(gray, weights / scale)
        image = (NO_MOTION + gain * pooled / 2).clamp(0, 1)
    elif normalization == "min_max":
        pooled = _pool(gray, weights)
        low, high = pooled.amin((-3, -2, -1), keepdim=True), pooled.amax((-3, -2, -1), keepdim=True)
        span = high - low
        flat = span < FLAT
        image = torch.where(flat, torch.full_like(pooled, NO_MOTION), (pooled - low) / span.masked_fill(flat, 1.0))
    else:
        raise ValueError(f"The normalization must be 'signed' or 'min_max', but {normalization!r} was given.")
    if quantize:
        image = (image * 255).floor() / 255
    return image.to(frames.dtype)


def scaled_dynamic_image(frames: torch.Tensor, config: FDPConfig, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Dynamic image on the scale of the configuration.

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, 1, height, width)`): in [-1, 1].
        config (`FDPConfig`): normalization and gain.
        weights (`torch.FloatTensor` of shape `(batch_size, num_frames)`, *optional*): see `dynamic_image`.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 1, height, width)`: in [0, 1].
    """
    return dynamic_image(
        frames,
        weights,
        normalization=config.dynamic_image_normalization,
        gain=config.dynamic_image_gain,
        # The released target is cast to 8 bits; ours stays float.
        quantize=config.dynamic_image_normalization == "min_max",
    )


@torch.no_grad()
def dynamic_image_target(
    pixel_values: torch.Tensor,
    config: FDPConfig,
    stabilized: torch.Tensor | None = None,
    rank_scores: torch.Tensor | None = None,
) -> torch.Tensor:
    """Target of the dynamic image decoder.

    Args:
        pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
            in [-1, 1]; colours are averaged.
        config (`FDPConfig`): which frames to sum, normalization and gain.
        stabilized (`torch.FloatTensor` of shape `(batch_size, num_frames, 1, height, width)`, *optional*): the
            stabilised frames, if already computed.
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`, *optional*): the network's scores; needed
            with `dynamic_image_frames="along_curve"`.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 1, height, width)`: in [0, 1].

    Raises:
        ValueError: no scores with `dynamic_image_frames="along_curve"`.
    """
    if config.dynamic_image_frames == "given":
        return scaled_dynamic_image(pixel_values.float().mean(2, keepdim=True), config)
    if stabilized is None:
        stabilized = stabilize(pixel_values, anchor=pixel_values.shape[1] // 2 if config.has_patterns else 0)
    if config.dynamic_image_frames == "stabilized":
        return scaled_dynamic_image(stabilized, config)
    if rank_scores is None:
        raise ValueError(
            "`dynamic_image_frames='along_curve'` weights frames by the network's scores, but none were given; pass "
            "`rank_scores`, or train with 'stabilized'."
        )
    # Frames near the apex minus frames near rest.
    scores = rank_scores.float()
    return scaled_dynamic_image(stabilized, config, scores - scores.mean(1, keepdim=True))


def dynamic_image_phases(
    frames: torch.Tensor,
    apex_index: torch.Tensor,
    normalization: Literal["signed", "min_max"] = "signed",
    gain: float = 8.0,
) -> torch.Tensor:
    """One dynamic image per phase: first frame to apex, apex to last frame (arXiv 2510.15466).

    Over a whole clip the fall of an expression cancels part of its rise; over one phase nothing cancels.

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`): in [-1, 1].
        apex_index (`torch.LongTensor` of shape `(batch_size,)`): 0-based apex of each clip. At the first or last frame
            the phase before or after it is empty, and its picture shows no motion.
        normalization (`str`, *optional*, defaults to `"signed"`): see `dynamic_image`.
        gain (`float`, *optional*, defaults to 8.0): see `dynamic_image`.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 2, num_channels, height, width)`: in [0, 1].

    Raises:
        ValueError: an apex outside the clip.
    """
    num_frames = frames.shape[1]
    apex_index = torch.as_tensor(apex_index, device=frames.device)
    if bool(((apex_index < 0) | (apex_index >= num_frames)).any()):
        raise ValueError(
            f"The apex must lie inside the clip of {num_frames} frames (0 to {num_frames - 1}), but "
            f"{apex_index.tolist()} was given."
        )
    first, last = torch.zeros_like(apex_index), torch.full_like(apex_index, num_frames - 1)
    phases = [phase_weights(first, apex_index, num_frames), phase_weights(apex_index, last, num_frames)]
    return torch.stack([dynamic_image(frames, weights, normalization, gain) for weights in phases], dim=1)


def _pool(gray: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sum over the frame axis, which is fourth from the end."""
    return (gray * weights[..., None, None, None]).sum(-4)
