"""Clips as arrays and tensors: every layout and value range converted to uint8 frames."""

from collections.abc import Sequence

import numpy as np
import torch

from .frame_source_fdp import FrameSource, VideoReadError, check_frame_size, to_gray

# Resampling overshoots its range: bicubic by up to a fifth at a corner, so a quarter beyond [0, 1] is clipped.
_OVERSHOOT = 0.25
# Floats above this cannot be in [0, 1]; the overshoot of [0, 255] is clipped by as many levels (our choice).
_LOWEST_BYTE_PEAK = 16.0


def _check_values(values: np.ndarray, name: str) -> np.ndarray:
    """Convert array values to uint8.

    Floats whose peak is at most 1.25 are [0, 1], those whose peak is at least 16 are [0, 255]; a little overshoot of
    either is clipped. Peaks between the two are refused, so that a slightly brighter clip never changes its range.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not np.issubdtype(values.dtype, np.floating):
        if not 0 <= low <= high <= 255:
            raise VideoReadError(
                f"whole frame values must lie in 0..255, but {name!r} spans {low:g}..{high:g}; scale them to 8 bits"
            )
        return values.astype(np.uint8)
    in_proportion = low >= -_OVERSHOOT * high
    if in_proportion and high <= 1 + _OVERSHOOT:
        scale = 255.0
    elif in_proportion and low >= -_LOWEST_BYTE_PEAK and _LOWEST_BYTE_PEAK <= high <= 255 + _LOWEST_BYTE_PEAK:
        scale = 1.0
    else:
        raise VideoReadError(
            f"float frame values must lie in 0..1 or in 0..255 (and reach {_LOWEST_BYTE_PEAK:g} there), but {name!r} "
            f"spans {low:g}..{high:g}; rescale them or give uint8"
        )
    rounded: np.ndarray = np.rint(np.clip(values.astype(np.float32) * scale, 0, 255)).astype(np.uint8)
    return rounded


def _channels_last(values: np.ndarray, input_data_format: str | None, name: str) -> np.ndarray:
    """Bring (T, H, W), (T, H, W, C) or (T, C, H, W) to (T, H, W) or (T, H, W, C)."""
    if values.ndim == 3:
        if values.shape[-1] in (1, 3, 4) and values.shape[0] > 4:
            raise VideoReadError(
                f"a clip is (frames, height, width), but {name!r} has shape {values.shape}, which looks like one "
                "picture with channels; add the axis of frames in front"
            )
        return values
    if values.ndim != 4:
        raise VideoReadError(
            f"a clip is (T, H, W), (T, H, W, C) or (T, C, H, W), but {name!r} has shape {values.shape}; reshape it"
        )
    first, last = values.shape[1] in (1, 3, 4), values.shape[3] in (1, 3, 4)
    if input_data_format is not None:
        first, last = input_data_format == "channels_first", input_data_format == "channels_last"
    if first == last:
        raise VideoReadError(
            f"one axis must hold 1, 3 or 4 channels, but {name!r} has shape {values.shape}; "
            "say input_data_format='channels_first' or 'channels_last'"
        )
    if first:
        values = values.transpose(0, 2, 3, 1)
    if values.shape[3] not in (1, 3, 4):
        raise VideoReadError(f"a clip has 1, 3 or 4 channels, but {name!r} has {values.shape[3]}; select them first")
    return values


class FrameArray(FrameSource):
    """Frames that are already in memory.

    Args:
        values (`np.ndarray` or `torch.Tensor`):
            (T, H, W), (T, H, W, C) or (T, C, H, W) with 1, 3 (RGB) or 4 (RGB and an alpha that is ignored) channels;
            uint8, whole numbers in 0..255, or floats: with a peak up to 1.25 in [0, 1], with one from 16 on in
            [0, 255]. A little overshoot is clipped.
        name (`str`, *optional*, defaults to `"array"`): Name of the clip in errors.
        input_data_format (`str`, *optional*): "channels_first" or "channels_last", where the shape is ambiguous.
    """

    backend = "array"

    def __init__(
        self, values: np.ndarray | torch.Tensor, name: str = "array", input_data_format: str | None = None
    ) -> None:
        values = _channels_last(array_of(values), input_data_format, name)
        if 0 in values.shape:
            raise VideoReadError(f"a clip needs frames with pixels, but {name!r} has shape {values.shape}; check it")
        self.name = name
        self.values = _check_values(values, name)
        self.frame_count = len(self.values)
        self.size_hw = (self.values.shape[1], self.values.shape[2])
        check_frame_size(self.size_hw[1], self.size_hw[0], name)

    def read_rgb(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `FrameSource.read_rgb`."""
        frames = self.values[np.asarray(indices, dtype=np.int64)]
        if frames.ndim == 3:
            frames = frames[..., None]
        return frames[..., :3] if frames.shape[-1] >= 3 else np.repeat(frames, 3, axis=-1)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `FrameSource.read`."""
        frames = self.values[np.asarray(indices, dtype=np.int64)]
        if frames.ndim == 3:
            return frames
        return frames[..., 0] if frames.shape[-1] == 1 else to_gray(frames[..., :3])


def array_of(values: np.ndarray | torch.Tensor) -> np.ndarray:
    """Convert a tensor on any device, or an array with any strides, to NumPy, which has no bfloat16.

    Args:
        values (`np.ndarray` or `torch.Tensor`): One frame or a clip.

    Returns:
        `np.ndarray`: The same values; bfloat16 becomes float32.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach()
        values = (values.float() if values.dtype == torch.bfloat16 else values).cpu().numpy()
    return np.asarray(values)
