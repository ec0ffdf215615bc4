"""Batches of clips: the clips of a call, and call arguments that are given once or for each clip."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from .frame_files_fdp import is_image_path, is_sequence_path


def spread_argument(key: str, value: Any, count: int) -> list[Any]:
    """Distribute a call argument over the clips of a batch: one value each, or one for all.

    Args:
        key (`str`): Its name: of `frame_numbers` and `landmarks` a list or an array may belong to one clip.
        value (`Any`): As `FDPVideoProcessor.preprocess` describes.
        count (`int`): Clips.

    Returns:
        `list`: One value per clip.

    Raises:
        ValueError: If it has another number of values than there are clips.
    """
    if isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "ndim", None) == 0:
        return [value] * count
    depth = np.ndim(next(iter(value))) if len(value) else 0
    # A list of numbers selects frames, an array (5, 2) is one face; (num_frames, 5, 2) is that of the only clip, but
    # (1, 5, 2) is one face per clip, like (2, 5, 2) for two.
    one_clip = count == 1 and isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 3 and len(value) > 1
    if (key == "frame_numbers" and depth == 0) or (key == "landmarks" and (depth == 1 or one_clip)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{key} takes one value per clip, but got {len(value)} for {count} clips; give one for each")
    return list(value)


def split_batch(videos: object, input_data_format: str | None = None) -> list[Any]:
    """Split a batch into clips.

    Args:
        videos (`ClipBatch`): As `FDPVideoProcessor.preprocess` describes.
        input_data_format (`str`, *optional*): "channels_first" or "channels_last", for lists of 3-D arrays.

    Returns:
        `list`: One entry per clip.
    """
    if isinstance(videos, np.ndarray | torch.Tensor):
        return list(videos) if videos.ndim == 5 else [videos]
    if not isinstance(videos, list | tuple):
        return [videos]
    if not videos:
        raise ValueError("a batch needs at least one clip, but an empty list was given; give paths or frames")
    if all(isinstance(item, str | os.PathLike) for item in videos):
        # Files of many pictures are clips of a batch, like videos.
        return [list(videos)] if all(map(is_image_path, videos)) and not is_sequence_path(videos[0]) else list(videos)
    if all(isinstance(item, Image.Image) for item in videos):
        return [list(videos)]
    if all(isinstance(item, np.ndarray | torch.Tensor) for item in videos) and _are_frames(videos, input_data_format):
        return [list(videos)]
    return [clip for item in videos for clip in (list(item) if getattr(item, "ndim", 0) == 5 else [item])]


def _are_frames(arrays: Sequence[np.ndarray], input_data_format: str | None) -> bool:
    """Whether a list of arrays holds the frames of one clip: all (H, W), (H, W, C) or, in one shape, (C, H, W)."""
    dimensions = {array.ndim for array in arrays}
    if dimensions == {2}:
        return True
    if dimensions != {3}:
        return False
    if input_data_format is not None:
        return True
    if all(array.shape[2] in (1, 3, 4) for array in arrays):
        return True
    return len({tuple(array.shape) for array in arrays}) == 1 and arrays[0].shape[0] in (1, 3, 4)
