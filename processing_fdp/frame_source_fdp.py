"""Interface of all clips: gray frames by index, independent of their storage."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

# Four times 4K: an 8K frame (33 million pixels) is read, a decompression bomb is not (our choice).
MAX_FRAME_PIXELS = 64_000_000
# Eight minutes at 200 fps: a folder of more is probably a whole corpus (our choice).
MAX_CLIP_FRAMES = 100_000
# Seven hours at 200 fps, for what is read part by part; more is a damaged index (our choice).
MAX_RECORDING_FRAMES = 5_000_000
# Gray pixels in memory while a long clip is read; results do not depend on it.
CHUNK_BYTES = 16_000_000


# Levels of a 12-bit and of a 14-bit camera. As 16-bit values they fill 16 and 64 of 256 gray levels (our choice).
_TWELVE_BIT_LEVELS, _FOURTEEN_BIT_LEVELS = 4096, 16384


class VideoReadError(ValueError):
    """A clip cannot be read; the message names the file, the rule and the remedy."""


def check_frame_size(width: int, height: int, name: str) -> None:
    """Refuse frames that are empty or too large to hold.

    Args:
        width (`int`): In pixels.
        height (`int`): In pixels.
        name (`str`): Name of the clip in errors.

    Raises:
        VideoReadError: If there are no pixels or more than `MAX_FRAME_PIXELS`.
    """
    if width < 1 or height < 1:
        raise VideoReadError(f"a frame needs at least one pixel, but {name!r} has {width} x {height}; check the file")
    if width * height > MAX_FRAME_PIXELS:
        raise VideoReadError(
            f"a frame may have {MAX_FRAME_PIXELS:,} pixels, but {name!r} has {width} x {height}; shrink it first"
        )


def check_frame_count(count: int, name: str, remedy: str, max_frames: int | None = None) -> None:
    """Refuse clips that are empty or too long.

    Args:
        count (`int`): Frames.
        name (`str`): Name of the clip in errors.
        remedy (`str`): Remedy for too many.
        max_frames (`int`, *optional*): The most that are taken; `MAX_CLIP_FRAMES` by default.

    Raises:
        VideoReadError: If there is no frame or more than `max_frames`.
    """
    max_frames = MAX_CLIP_FRAMES if max_frames is None else max_frames
    if count < 1:
        raise VideoReadError(f"a clip needs at least one frame, but {name!r} has none; check the source")
    if count > max_frames:
        raise VideoReadError(f"a clip may have {max_frames:,} frames, but {name!r} has {count:,}; {remedy}")


def check_frame_numbers(numbers: np.ndarray, count: int, name: str) -> None:
    """Refuse frame numbers that a source does not have.

    Args:
        numbers (`np.ndarray` of shape `(n,)`): Integers.
        count (`int`): Frames of the source.
        name (`str`): Name of the source in errors.

    Raises:
        VideoReadError: If a number lies outside 0..count - 1.
    """
    if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
        raise VideoReadError(
            f"frame_numbers are 0-based indices, but {numbers.min()}..{numbers.max()} were asked of {name!r}, "
            f"which has {count} frames; check the coding sheet"
        )


class ValueRangeWarning(UserWarning):
    """Pixel values fill a small part of the assumed range; the message states that range."""


def check_sixteen_bit_range(highest: int, name: str) -> None:
    """Refuse 16-bit frames that look like the unscaled values of a 10- or 12-bit camera.

    16-bit values are always read as 0..65535, because a range guessed per clip would change brightness between clips.
    A camera's 12-bit values would then have only 16 gray levels.

    Args:
        highest (`int`): Largest value of the first frame.
        name (`str`): Name of the clip in errors.

    Raises:
        VideoReadError: If it lies in 1..4095. Up to 16383, as of a 14-bit camera or a very dark clip, is a
            `ValueRangeWarning`.
    """
    if 0 < highest < _TWELVE_BIT_LEVELS:
        raise VideoReadError(
            f"16-bit frames are taken as 0..65535, but {name!r} holds nothing above {highest}, as the unscaled values "
            "of a 10- or 12-bit camera; scale them to 0..65535 or to 8 bits"
        )
    if 0 < highest < _FOURTEEN_BIT_LEVELS:
        warnings.warn(
            f"16-bit frames are taken as 0..65535, and {name!r} holds nothing above {highest}, which leaves "
            f"{highest // 257 + 1} gray levels; scale them if the camera wrote fewer bits",
            ValueRangeWarning,
            stacklevel=3,
        )


def stack_frames(arrays: Sequence[np.ndarray], name: str) -> np.ndarray:
    """Stack frames into a clip.

    Args:
        arrays (`Sequence[np.ndarray]`): Frames of one shape.
        name (`str`): Name of the clip in errors.

    Returns:
        `np.ndarray`: One axis more, in front.

    Raises:
        VideoReadError: If the shapes differ.
    """
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise VideoReadError(f"the frames of a clip must have one size, but {name!r} has {sorted(shapes)}; crop them")
    return np.stack(arrays)


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
    """Gray frames by index, independent of their storage.

    Attributes:
        name (`str`): Name of this source in errors.
        frame_count (`int`): Frames that can be read.
        size_hw (`tuple[int, int]`): Height and width in pixels.
        frames_per_second (`float`, *optional*): `None` where unknown.
        backend (`str`): Reader that decodes it.
        location (`str`, *optional*): Folder or file that holds it; `None` in memory.
        notes (`list[str]`): Frames lost or left out on opening, one sentence each.
    """

    name: str
    location: str | None = None
    frame_count: int
    size_hw: tuple[int, int]
    frames_per_second: float | None = None
    backend: str
    notes: Sequence[str] = ()

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
        """Decode later frames smaller, where supported and enabled; see `FrameFiles.shrink`."""
        return 1

    def iter_chunks(self, indices: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield `(indices, gray frames)` in order, a bounded number of bytes at a time."""
        length = max(1, CHUNK_BYTES // (self.size_hw[0] * self.size_hw[1]))
        for start in range(0, len(indices), length):
            chunk = indices[start : start + length]
            yield chunk, self.read(chunk)

    def close(self) -> None:
        """Free the decoder; a closed source cannot be read."""

    def __enter__(self) -> "FrameSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SelectedFrames(FrameSource):
    """Some frames of another source, which is closed with this one.

    Args:
        frames (`FrameSource`): The other source.
        numbers (`Sequence[int]`): 0-based frames of it that make the clip, in their order.
    """

    def __init__(self, frames: FrameSource, numbers: Sequence[int] | np.ndarray) -> None:
        self._frames, self._numbers = frames, np.asarray(numbers, dtype=np.int64)
        check_frame_count(len(self._numbers), frames.name, "select fewer")
        check_frame_numbers(self._numbers, frames.frame_count, frames.name)
        self.name, self.location, self.backend = frames.name, frames.location, frames.backend
        self.frames_per_second, self.size_hw, self.notes = frames.frames_per_second, frames.size_hw, frames.notes
        self.frame_count = len(self._numbers)

    def read_rgb(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `FrameSource.read_rgb`."""
        return self._frames.read_rgb(self._numbers[np.asarray(indices, dtype=np.int64)])

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `FrameSource.read`."""
        return self._frames.read(self._numbers[np.asarray(indices, dtype=np.int64)])

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._frames.close()
