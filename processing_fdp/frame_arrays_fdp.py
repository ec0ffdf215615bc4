"""Clips as arrays and tensors: every layout and value range brought to uint8 frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .frame_source_fdp import FrameSource, VideoReadError, check_frame_size, to_gray


def _check_values(values: np.ndarray, name: str) -> np.ndarray:
    """Bring array values to uint8: floats up to 1 are [0, 1], other floats are [0, 255], rounded once."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (0 <= low <= high <= 255):
        raise VideoReadError(
            f"frame values must lie in 0..255 (or 0..1 for floats), but {name!r} spans {low:g}..{high:g}; rescale them"
        )
    if np.issubdtype(values.dtype, np.floating):
        values = np.rint(values.astype(np.float32) * (255.0 if high <= 1.0 else 1.0))
    return values.astype(np.uint8)


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
            uint8, or floats in [0, 1] (nothing above 1) or [0, 255].
        name (`str`, *optional*, defaults to `"array"`): What errors call the clip.
        input_data_format (`str`, *optional*): "channels_first" or "channels_last", where the shape leaves it open.
    """

    backend = "array"

    def __init__(self, values: Any, name: str = "array", input_data_format: str | None = None) -> None:
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


def array_of(values: Any) -> np.ndarray:
    """Bring a tensor, on whatever device, or an array with whatever strides to NumPy, which knows no bfloat16.

    Args:
        values (`np.ndarray` or `torch.Tensor`): One frame or a clip.

    Returns:
        `np.ndarray`: The same values; bfloat16 becomes float32.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach()
        values = (values.float() if values.dtype == torch.bfloat16 else values).cpu().numpy()
    return np.asarray(values)


def stack_frames(arrays: Sequence[np.ndarray], name: str) -> np.ndarray:
    """Stack frames into a clip.

    Args:
        arrays (`Sequence[np.ndarray]`): Frames of one shape.
        name (`str`): What the error calls the clip.

    Returns:
        `np.ndarray`: One axis more, in front.

    Raises:
        VideoReadError: If the shapes differ.
    """
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise VideoReadError(f"the frames of a clip must have one size, but {name!r} has {sorted(shapes)}; crop them")
    return np.stack(arrays)
