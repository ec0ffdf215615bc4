"""Reading clips: frame folders, frame lists, video files, PIL images, arrays and tensors, all as gray frames by index.

Every source answers the same three questions (how many frames, which size, which pixels) and turns colour into gray by
the same integer formula, so equal pixels give equal results whatever form they came in.
"""

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from .frame_arrays_fdp import FrameArray, array_of, stack_frames
from .frame_files_fdp import FrameFiles, images_to_array, is_image_path, list_frames
from .frame_source_fdp import FrameSource, VideoReadError, check_frame_count, check_frame_size
from .video_decoders_fdp import open_decoder


class VideoFile(FrameSource):
    """A video file, decoded by one of the backends of `video_decoders_fdp.py`.

    Args:
        path (`str`): Video file.
        backend (`str`, *optional*, defaults to `"auto"`): Decoder, see `video_decoders_fdp.open_decoder`.
        allow_truncated (`bool`, *optional*, defaults to `False`): Warn, rather than fail, when frames are missing.
        frame_numbers (`Sequence[int]`, *optional*): The frames of the file that make the clip; all by default.
    """

    def __init__(
        self,
        path: str,
        backend: str = "auto",
        allow_truncated: bool = False,
        frame_numbers: Sequence[int] | None = None,
    ) -> None:
        self.name = self.location = path
        self.decoder = open_decoder(path, backend=backend, allow_truncated=allow_truncated)
        self.backend = self.decoder.backend
        self.frames_per_second = self.decoder.frames_per_second
        self.size_hw = self.decoder.size_hw
        check_frame_size(self.size_hw[1], self.size_hw[0], path)
        self.frame_numbers = None if frame_numbers is None else np.asarray(frame_numbers, dtype=np.int64)
        self.frame_count = self.decoder.frame_count if self.frame_numbers is None else len(self.frame_numbers)
        check_frame_count(self.frame_count, path, "give frame_numbers= from onset to offset")
        if self.frame_numbers is not None:
            low, high = int(self.frame_numbers.min()), int(self.frame_numbers.max())
            if low < 0 or high >= self.decoder.frame_count:
                raise VideoReadError(
                    f"frame_numbers are 0-based indices into the video, but {low}..{high} were asked of {path!r}, "
                    f"which has {self.decoder.frame_count} frames; check the coding sheet"
                )

    def read_rgb(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `FrameSource.read_rgb`."""
        numbers = np.asarray(indices, dtype=np.int64)
        if self.frame_numbers is not None:
            numbers = self.frame_numbers[numbers]
        # Decoders take sorted, distinct numbers: some drop repeats silently.
        unique, inverse = np.unique(numbers, return_inverse=True)
        frames = self.decoder.read(unique)
        return frames if np.array_equal(unique, numbers) else frames[inverse]

    def close(self) -> None:
        """See `FrameSource.close`."""
        self.decoder.close()


def _open_path(path: str, **options: Any) -> FrameSource:
    backend, allow_truncated = options["backend"], options["allow_truncated"]
    frame_numbers, fast_jpeg = options["frame_numbers"], options["fast_jpeg"]
    if re.match(r"[a-z][a-z0-9+.-]+://", path, flags=re.IGNORECASE):
        raise VideoReadError(f"videos are read from disk, but {path!r} is an address; download it first")
    if os.path.isdir(path):
        paths = list_frames(path)
        return FrameFiles(_select(paths, frame_numbers, path), path, fast_jpeg=fast_jpeg)
    if not os.path.exists(path):
        raise VideoReadError(f"a clip must exist, but there is no file or folder {path!r}; check the path")
    if is_image_path(path):
        return FrameFiles(_select([path], frame_numbers, path), path, fast_jpeg=fast_jpeg)
    return VideoFile(path, backend=backend, allow_truncated=allow_truncated, frame_numbers=frame_numbers)


def _select(items: Any, frame_numbers: Sequence[int] | None, name: str) -> Any:
    if frame_numbers is None:
        return items
    numbers = np.asarray(frame_numbers, dtype=np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= len(items)):
        raise VideoReadError(
            f"frame_numbers are 0-based indices, but {numbers.min()}..{numbers.max()} were asked of {name!r}, "
            f"which has {len(items)} frames; check the coding sheet"
        )
    return [items[number] for number in numbers] if isinstance(items, list) else items[numbers]


def open_frames(
    source: Any,
    frame_numbers: Sequence[int] | None = None,
    backend: str = "auto",
    allow_truncated: bool = False,
    fast_jpeg: bool = False,
    input_data_format: str | None = None,
    name: str | None = None,
) -> FrameSource:
    """Open one clip, whatever form it has.

    Args:
        source (`str`, `os.PathLike`, `Sequence`, `np.ndarray` or `torch.Tensor`):
            A frame folder, an image or video file, a list of image paths, of PIL images or of (H, W), (H, W, C) or
            (C, H, W) frames, or an array or tensor as `FrameArray` describes.
        frame_numbers (`Sequence[int]`, *optional*): 0-based frames of the source that make the clip; all by default.
        backend (`str`, *optional*, defaults to `"auto"`): Decoder of video files.
        allow_truncated (`bool`, *optional*, defaults to `False`): Warn, rather than fail, when a video is cut short.
        fast_jpeg (`bool`, *optional*, defaults to `False`): See `FrameFiles`.
        input_data_format (`str`, *optional*): "channels_first" or "channels_last" for arrays.
        name (`str`, *optional*): What errors call a clip that has no path.

    Returns:
        `FrameSource`: Open; use it as a context manager.

    Raises:
        VideoReadError: If the source is missing, empty, damaged or of another kind.
    """
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        return _open_path(
            path, frame_numbers=frame_numbers, backend=backend, allow_truncated=allow_truncated, fast_jpeg=fast_jpeg
        )
    if isinstance(source, Image.Image):
        source = [source]
    if isinstance(source, list | tuple):
        if not source:
            raise VideoReadError("a clip needs at least one frame, but an empty list was given; give its frames")
        if all(isinstance(item, str | os.PathLike) for item in source):
            paths = [os.fspath(item) for item in source]
            label = name or os.path.dirname(paths[0]) or paths[0]
            return FrameFiles(_select(paths, frame_numbers, label), label, fast_jpeg=fast_jpeg)
        label = name or "list of frames"
        if all(isinstance(item, Image.Image) for item in source):
            source = images_to_array(source, label)
        elif all(isinstance(item, np.ndarray | torch.Tensor) for item in source):
            source = stack_frames([array_of(item) for item in source], label)
        else:
            kinds = sorted({type(item).__name__ for item in source})
            raise VideoReadError(f"a list of frames holds paths, images or arrays, but got {kinds}; convert them")
    if isinstance(source, np.ndarray | torch.Tensor):
        return FrameArray(_select(source, frame_numbers, name or "array"), name or "array", input_data_format)
    raise VideoReadError(
        f"a clip is a path, a list of frames, an array or a tensor, but got {type(source).__name__}; convert it"
    )
