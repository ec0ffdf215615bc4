"""Reading clips: frame folders, frame lists, video files, PIL images, arrays and tensors, all as gray frames by index.

Every source gives number of frames, size and pixels, and converts colour to gray by the same integer formula, so equal
pixels give equal results in every form.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image

from .frame_arrays_fdp import FrameArray, array_of
from .frame_files_fdp import (
    FrameFiles,
    PictureSequence,
    images_to_array,
    is_image_path,
    open_folder,
    open_sequence,
    picture_count,
    select_paths,
)
from .frame_source_fdp import FrameSource, SelectedFrames, VideoReadError, stack_frames
from .video_files_fdp import VideoFile

FrameLike: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray | torch.Tensor
# A path, an image of many pictures, an array or tensor of frames, or a list of frames; `ClipRequest` describes them.
ClipSource: TypeAlias = FrameLike | Sequence[FrameLike]
ClipBatch: TypeAlias = ClipSource | Sequence[ClipSource]


@dataclass(frozen=True)
class ClipRequest:
    """Request for one clip: source, annotations and device.

    Args:
        source (`str`, `os.PathLike`, `Sequence`, `np.ndarray`, `PIL.Image.Image` or `torch.Tensor`):
            A frame folder, a video file, an image file of many pictures (animated GIF, WebP, PNG or AVIF, TIFF of
            several pages) or such an image opened with Pillow, a list of image paths, of PIL images or of (H, W),
            (H, W, C) or (C, H, W) frames, or an array or tensor as `FrameArray` describes.
        frame_numbers (`Sequence[int]`, *optional*): 0-based frames of the source that make the clip; all by default.
        landmarks (`np.ndarray` of shape `(5, 2)` or `(num_all_frames, 5, 2)`, *optional*):
            Five points (x, y) in pixels: left eye, right eye, nose tip, left and right mouth corner, sides as seen in
            the image. Used in place of `alignment`.
        clip_id (`str`, *optional*): Name of the clip in errors, and its key in a landmark table.
        onset_index, apex_index, offset_index (`int`, *optional*):
            0-based key frames of the clip, see `FDPVideoProcessor.sample_indices`; `None` where unknown.
        input_data_format (`str`, *optional*): "channels_first" or "channels_last", for arrays.
        device (`str` or `torch.device`, *optional*): Device of the resampling and the result.
    """

    source: ClipSource
    frame_numbers: Sequence[int] | None = None
    landmarks: ArrayLike | None = None
    clip_id: str | None = None
    onset_index: int | None = None
    apex_index: int | None = None
    offset_index: int | None = None
    input_data_format: str | None = None
    device: str | torch.device | None = None


def open_frames(
    source: ClipSource,
    frame_numbers: Sequence[int] | None = None,
    backend: str = "auto",
    allow_truncated: bool = False,
    fast_jpeg: bool = False,
    input_data_format: str | None = None,
    name: str | None = None,
    max_frames: int | None = None,
) -> FrameSource:
    """Open one clip of any form.

    Args:
        source (`ClipSource`): See `ClipRequest`.
        frame_numbers (`Sequence[int]`, *optional*): See `ClipRequest`.
        backend (`str`, *optional*, defaults to `"auto"`): Decoder of video files.
        allow_truncated (`bool`, *optional*, defaults to `False`): Warn, rather than fail, when a video is cut short.
        fast_jpeg (`bool`, *optional*, defaults to `False`): See `FrameFiles`.
        input_data_format (`str`, *optional*): "channels_first" or "channels_last" for arrays.
        name (`str`, *optional*): Name in errors of a clip without a path.
        max_frames (`int`, *optional*): The most frames of a video or of image files, `MAX_CLIP_FRAMES` by default;
            whoever reads part by part gives `MAX_RECORDING_FRAMES`.

    Returns:
        `FrameSource`: An open source; use it as a context manager.

    Raises:
        VideoReadError: If the source is missing, empty, damaged, a single picture or of another kind.
    """
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if re.match(r"[a-z][a-z0-9+.-]+://", path, flags=re.IGNORECASE):
            raise VideoReadError(f"videos are read from disk, but {path!r} is a URL; download it first")
        if os.path.isdir(path):
            return open_folder(path, frame_numbers, fast_jpeg=fast_jpeg, max_frames=max_frames)
        if not os.path.exists(path):
            raise VideoReadError(f"a clip must exist, but there is no file or folder {path!r}; check the path")
        if is_image_path(path):
            return _selected(open_sequence(path), frame_numbers)
        return VideoFile(path, backend, allow_truncated, frame_numbers, max_frames)
    if isinstance(source, list | tuple):
        if not source:
            raise VideoReadError("a clip needs at least one frame, but an empty list was given; give its frames")
        if all(isinstance(item, str | os.PathLike) for item in source):
            paths = [os.fspath(item) for item in source]
            label = name or os.path.dirname(paths[0]) or paths[0]
            chosen = select_paths(paths, frame_numbers, label)
            return FrameFiles(chosen, label, fast_jpeg=fast_jpeg, max_frames=max_frames)
        if len(source) == 1 and isinstance(source[0], Image.Image) and picture_count(source[0], name or "image") > 1:
            source = source[0]
    if isinstance(source, Image.Image):
        return _selected(PictureSequence(source, name or "image"), frame_numbers)
    if isinstance(source, list | tuple):
        source = _stacked(source, name or "list of frames")
    if isinstance(source, np.ndarray | torch.Tensor):
        return _selected(FrameArray(source, name or "array", input_data_format), frame_numbers)
    raise VideoReadError(
        f"a clip is a path, a list of frames, an array or a tensor, but got {type(source).__name__}; convert it"
    )


def _stacked(items: Sequence[object], label: str) -> np.ndarray:
    images = [item for item in items if isinstance(item, Image.Image)]
    if len(images) == len(items):
        return images_to_array(images, label)
    arrays = [array_of(item) for item in items if isinstance(item, np.ndarray | torch.Tensor)]
    if len(arrays) == len(items):
        return stack_frames(arrays, label)
    kinds = sorted({type(item).__name__ for item in items})
    raise VideoReadError(f"a list of frames holds paths, images or arrays, but got {kinds}; convert them")


def _selected(frames: FrameSource, frame_numbers: Sequence[int] | None) -> FrameSource:
    return frames if frame_numbers is None else SelectedFrames(frames, frame_numbers)
