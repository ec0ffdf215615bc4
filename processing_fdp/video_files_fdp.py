"""A video file as a clip: gray frames by index, through whichever backend decodes it."""

from collections.abc import Sequence

import numpy as np

from .frame_source_fdp import FrameSource, check_frame_count, check_frame_numbers, check_frame_size
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
        self.notes = self.decoder.notes
        self.frames_per_second = self.decoder.frames_per_second
        self.size_hw = self.decoder.size_hw
        check_frame_size(self.size_hw[1], self.size_hw[0], path)
        self.frame_numbers = None if frame_numbers is None else np.asarray(frame_numbers, dtype=np.int64)
        self.frame_count = self.decoder.frame_count if self.frame_numbers is None else len(self.frame_numbers)
        check_frame_count(self.frame_count, path, "give frame_numbers= from onset to offset")
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
