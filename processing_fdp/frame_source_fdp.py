"""What every clip is to the rest of the code: gray frames by index, whatever they are stored in."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

# Four times 4K: an 8K frame (33 million pixels) is read, a decompression bomb is not (our choice).
MAX_FRAME_PIXELS = 64_000_000
# Eight minutes at 200 fps: a folder of more is a whole corpus by mistake, not a clip (our choice).
MAX_CLIP_FRAMES = 100_000
# Gray pixels held at once while a long clip is read; results do not depend on it.
CHUNK_BYTES = 16_000_000


class VideoReadError(ValueError):
    """A clip cannot be read; the message names the file, the rule and the remedy."""


def check_frame_size(width: int, height: int, name: str) -> None:
    """Refuse frames that are empty or too large to hold.

    Args:
        width (`int`): In pixels.
        height (`int`): In pixels.
        name (`str`): What the error calls the clip.

    Raises:
        VideoReadError: If there are no pixels or more than `MAX_FRAME_PIXELS`.
    """
    if width < 1 or height < 1:
        raise VideoReadError(f"a frame needs at least one pixel, but {name!r} has {width} x {height}; check the file")
    if width * height > MAX_FRAME_PIXELS:
        raise VideoReadError(
            f"a frame may have {MAX_FRAME_PIXELS:,} pixels, but {name!r} has {width} x {height}; shrink it first"
        )


def check_frame_count(count: int, name: str, remedy: str) -> None:
    """Refuse clips that are empty or longer than any clip is.

    Args:
        count (`int`): Frames.
        name (`str`): What the error calls the clip.
        remedy (`str`): What the user can do about too many.

    Raises:
        VideoReadError: If there is no frame or more than `MAX_CLIP_FRAMES`.
    """
    if count < 1:
        raise VideoReadError(f"a clip needs at least one frame, but {name!r} has none; check the source")
    if count > MAX_CLIP_FRAMES:
        raise VideoReadError(f"a clip may have {MAX_CLIP_FRAMES:,} frames, but {name!r} has {count:,}; {remedy}")


def to_gray(rgb: np.ndarray) -> np.ndarray:
    """Convert colour to gray as Pillow does: ITU-R 601 luma, (19595 R + 38470 G + 7471 B + 32768) >> 16.

    Args:
        rgb (`np.ndarray` of shape `(num_frames, height, width, 3)`): uint8, RGB.

    Returns:
        `np.ndarray` of shape `(num_frames, height, width)`: uint8.
    """
    num_frames, height, width, _ = rgb.shape
    rows = np.ascontiguousarray(rgb).reshape(num_frames * height, width, 3)
    return np.array(Image.fromarray(rows).convert("L")).reshape(num_frames, height, width)


class FrameSource:
    """Gray frames by index, whatever they are stored in.

    Attributes:
        name (`str`): What error messages call this source.
        frame_count (`int`): Frames that can be read.
        size_hw (`tuple[int, int]`): Height and width in pixels.
        frames_per_second (`float`, *optional*): `None` where the source does not say.
        backend (`str`): Which reader decodes it.
        location (`str`, *optional*): Folder or file that holds it; `None` in memory.
    """

    name: str
    location: str | None = None
    frame_count: int
    size_hw: tuple[int, int]
    frames_per_second: float | None = None
    backend: str

    def read_rgb(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read frames in colour, for face detectors.

        Args:
            indices (`Sequence[int]`): 0-based, sorted, repeats allowed.

        Returns:
            `np.ndarray` of shape `(len(indices), height, width, 3)`: uint8, RGB; gray sources repeat their channel.
        """
        raise NotImplementedError

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read frames in gray.

        Args:
            indices (`Sequence[int]`): 0-based, sorted, repeats allowed.

        Returns:
            `np.ndarray` of shape `(len(indices), height, width)`: uint8.
        """
        return to_gray(self.read_rgb(indices))

    def shrink(self, pitch: float) -> int:
        """Decode later frames smaller, where that is faster and wanted; see `FrameFiles.shrink`."""
        return 1

    def iter_chunks(self, indices: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield `(indices, gray frames)` in order, a bounded number of bytes at a time."""
        length = max(1, CHUNK_BYTES // (self.size_hw[0] * self.size_hw[1]))
        for start in range(0, len(indices), length):
            chunk = indices[start : start + length]
            yield chunk, self.read(chunk)

    def close(self) -> None:
        """Free the decoder; a closed source reads nothing."""

    def __enter__(self) -> "FrameSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
