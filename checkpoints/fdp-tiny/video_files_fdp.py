"""A file as a clip, video or image of many pictures: gray frames by index, and its properties without them."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .frame_files_fdp import is_image_path, open_sequence
from .frame_source_fdp import FrameSource, check_frame_count, check_frame_numbers, check_frame_size
from .video_decoders_fdp import open_decoder
from .video_probe_fdp import describe_losses, probe_video

# Frames that are decoded at once by `read_through` (our choice).
_CHUNK_FRAMES = 64


class VideoFile(FrameSource):
    """A video file, decoded by one of the backends of `video_decoders_fdp.py`.

    Args:
        path (`str`): Video file.
        backend (`str`, *optional*, defaults to `"auto"`): Decoder, see `video_decoders_fdp.open_decoder`.
        allow_truncated (`bool`, *optional*, defaults to `False`): Warn, rather than fail, when frames are missing.
        frame_numbers (`Sequence[int]`, *optional*): The frames of the file that make the clip; all by default.
        max_frames (`int`, *optional*): The most that are taken; `MAX_CLIP_FRAMES` by default.
    """

    def __init__(
        self,
        path: str,
        backend: str = "auto",
        allow_truncated: bool = False,
        frame_numbers: Sequence[int] | None = None,
        max_frames: int | None = None,
    ) -> None:
        self.name = self.location = path
        self.decoder = open_decoder(path, backend=backend, allow_truncated=allow_truncated)
        self.backend = self.decoder.backend
        self.notes = self.decoder.notes
        self.frames_per_second = self.decoder.frames_per_second
        self.size_hw = self.decoder.size_hw
        check_frame_size(self.size_hw[1], self.size_hw[0], path)
        self.frame_numbers = None if frame_numbers is None else np.asarray(frame_numbers, dtype=np.int64)
        self.frame_count = self.decoder.frame_count if self.frame_numbers is None else len(self.frame_numbers)
        check_frame_count(self.frame_count, path, "give frame_numbers= from onset to offset", max_frames)
        if self.frame_numbers is not None:
            check_frame_numbers(self.frame_numbers, self.decoder.frame_count, path)

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


@dataclass(frozen=True)
class ClipFile:
    """Properties of a file as a clip.

    Args:
        frame_count (`int`): Frames.
        frames_per_second (`float`, *optional*): `None` where unknown.
        notes (`list[str]`): Lost frames, one sentence each.
    """

    frame_count: int
    frames_per_second: float | None
    notes: list[str]


def probe_clip_file(path: str) -> ClipFile:
    """Read the properties of a file without its frames.

    Args:
        path (`str`): Video file, or image file of many pictures.

    Returns:
        `ClipFile`: Count and rate.

    Raises:
        VideoReadError: If the reader refuses the file.
    """
    if is_image_path(path):
        with open_sequence(path) as pictures:
            return ClipFile(pictures.frame_count, pictures.frames_per_second, [])
    probe = probe_video(path)
    return ClipFile(probe.frame_count, probe.frames_per_second, describe_losses(probe))


def read_through(path: str, numbers: Sequence[int]) -> None:
    """Read frames of a file and discard them, to check that a clip of these frames can be read.

    Args:
        path (`str`): Video file, or image file of many pictures.
        numbers (`Sequence[int]`): 0-based, rising.

    Raises:
        VideoReadError: If the file or one of the frames cannot be read.
    """
    with open_sequence(path) if is_image_path(path) else contextlib.closing(open_decoder(path)) as frames:
        check_frame_numbers(np.asarray(numbers), frames.frame_count, path)
        for start in range(0, len(numbers), _CHUNK_FRAMES):
            frames.read(np.asarray(numbers[start : start + _CHUNK_FRAMES], dtype=np.int64))
