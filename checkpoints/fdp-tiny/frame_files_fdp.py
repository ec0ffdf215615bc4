"""Clips as image files: listed in time order, decoded one by one with Pillow."""

import os
import warnings
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
from PIL import Image, ImageOps

from .frame_listing_fdp import (
    IMAGE_SUFFIXES,
    LeftOutFramesWarning,
    MissingFramesWarning,
    describe_gaps,
    describe_left_out,
    list_frames,
)
from .frame_source_fdp import (
    MAX_CLIP_FRAMES,
    FrameSource,
    VideoReadError,
    check_frame_count,
    check_frame_numbers,
    check_frame_size,
    check_sixteen_bit_range,
    stack_frames,
)

_ORIENTATION_TAG = 0x0112
# Errors that Pillow's parsers raise on damaged files (found by fuzzing, tests/processing_fdp/test_reading_fuzz.py).
_IMAGE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, MemoryError)


def _open_image(path: str) -> Image.Image:
    """Open one image file without decoding it; errors become a `VideoReadError` with its name."""
    try:
        # A file object, so that Pillow treats the name as a local path only.
        image = Image.open(path)
    except FileNotFoundError as error:
        raise VideoReadError(f"frames must exist, but there is no file {path!r}; check the corpus folder") from error
    except (Image.DecompressionBombError, *_IMAGE_ERRORS) as error:
        raise VideoReadError(f"frames must be images, but {path!r} cannot be opened ({error}); replace it") from error
    check_frame_size(*image.size, path)
    return image


def picture_count(image: Image.Image, name: str) -> int:
    """Pictures of an animated or multi-page image that is open; 1 for stills.

    Args:
        image (`PIL.Image.Image`): Open.
        name (`str`): Its name in errors.

    Raises:
        VideoReadError: If its list of pictures is damaged.
    """
    # An MPO file is one photograph with a preview or the picture of a second lens.
    if image.format == "MPO":
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except _IMAGE_ERRORS as error:
        raise VideoReadError(f"frames must decode fully, but {name!r} does not ({error}); replace it") from error


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def image_array(image: Image.Image, mode: str, name: str) -> np.ndarray:
    """Decode the picture of an image that is selected.

    Args:
        image (`PIL.Image.Image`): Open.
        mode (`str`): "L" or "RGB".
        name (`str`): Its name in errors.

    Returns:
        `np.ndarray` of shape `(height, width)` or `(height, width, 3)`: uint8; 16-bit gray is scaled to 8 bits, never
        clipped.

    Raises:
        VideoReadError: If it does not decode, or holds floats.
    """
    try:
        # Most frames have no such tag, and the function would copy them all.
        if image.getexif().get(_ORIENTATION_TAG, 1) != 1:
            image = ImageOps.exif_transpose(image)
        if _is_deep(image):
            # 0..65535 -> 0..255; Pillow's own conversion would clip everything above 255 to white.
            values = np.asarray(image).astype(np.int64)
            gray = np.clip((values * 255 + 32767) // 65535, 0, 255).astype(np.uint8)
            image = Image.fromarray(gray)
        elif image.mode == "F":
            raise VideoReadError(f"frames must be 8-bit or 16-bit images, but {name!r} holds floats; convert it first")
        elif mode == "L" and image.mode not in ("L", "RGB"):
            # Through RGB, so that palettes, alpha and CMYK give the same gray as an RGB reader.
            image = image.convert("RGB")
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except (Image.DecompressionBombError, *_IMAGE_ERRORS) as error:
        if isinstance(error, VideoReadError):
            raise
        raise VideoReadError(f"frames must decode fully, but {name!r} does not ({error}); replace it") from error


def check_depth(image: Image.Image, name: str) -> None:
    """Refuse a first frame whose 16-bit values look unscaled, see `check_sixteen_bit_range`."""
    if _is_deep(image):
        try:
            highest = int(np.asarray(image).max())
        except _IMAGE_ERRORS as error:
            raise VideoReadError(f"frames must decode fully, but {name!r} does not ({error}); replace it") from error
        check_sixteen_bit_range(highest, name)


def read_image(path: str, is_first: bool = False) -> tuple[int, int]:
    """Read one image file as a frame of a clip, and discard it.

    Args:
        path (`str`): Image file.
        is_first (`bool`, *optional*, defaults to `False`): Whether it is the first frame of the clip.

    Returns:
        `tuple[int, int]`: Height and width in pixels, which all frames of a clip must share.

    Raises:
        VideoReadError: If a clip with this frame cannot be read.
    """
    with _open_image(path) as image:
        _check_single(image, path)
        if is_first:
            check_depth(image, path)
        height, width = image_array(image, "L", path).shape
    return height, width


def _check_single(image: Image.Image, path: str) -> None:
    count = picture_count(image, path)
    if count > 1:
        raise VideoReadError(
            f"a frame must be a single picture, but {path!r} holds {count}; give the file by itself as a clip, or "
            "remove it"
        )


class FrameFiles(FrameSource):
    """A list of image files in time order, decoded on demand.

    Args:
        paths (`Sequence[str]`): Image files, in time order.
        name (`str`): Name of the clip in errors.
        fast_jpeg (`bool`, *optional*, defaults to `False`):
            Use the stored luma plane of JPEG files, and let `shrink` halve frames while decoding.
            Luma alone differs from the exact formula only where a file holds colours outside RGB (a few pixels in ten
            thousand, by a few gray levels).
        max_frames (`int`, *optional*): The most that are taken; `MAX_CLIP_FRAMES` by default.
    """

    backend = "pillow"

    def __init__(
        self, paths: Sequence[str], name: str, fast_jpeg: bool = False, max_frames: int | None = None
    ) -> None:
        check_frame_count(len(paths), name, "give the frames between onset and offset", max_frames)
        self.paths = list(paths)
        self.name = name
        self.location = os.path.dirname(os.path.abspath(self.paths[0]))
        self.fast_jpeg = fast_jpeg
        self._divisor = 1
        self.frame_count = len(self.paths)
        with _open_image(self.paths[0]) as image:
            _check_single(image, self.paths[0])
            check_depth(image, self.paths[0])
            self._first = self._read_one(image, "L", self.paths[0])
        self.size_hw = self._first.shape

    def shrink(self, pitch: float) -> int:
        """Decode later gray frames smaller, where `fast_jpeg` allows it.

        Args:
            pitch (`float`): Frame pixels per pixel of the result; at least two are kept.

        Returns:
            `int`: 1, 2, 4 or 8; `size_hw` is divided by it, rounded up.
        """
        divisor = max(n for n in (1, 2, 4, 8) if n == 1 or n <= pitch / 2) if self.fast_jpeg else 1
        self._divisor *= divisor
        height, width = self.size_hw
        self.size_hw = (-(-height // divisor), -(-width // divisor))
        return divisor

    def _read_one(self, image: Image.Image, mode: str, path: str) -> np.ndarray:
        if mode == "RGB" or not self.fast_jpeg:
            return image_array(image, mode, path)
        width, height = image.size
        if image.format == "JPEG":
            image.draft("L", (max(1, width // self._divisor), max(1, height // self._divisor)))
        if image.size != (-(-width // self._divisor), -(-height // self._divisor)):
            # No JPEG, or too small for the decoder to halve.
            image = Image.fromarray(image_array(image, mode, path)).reduce(self._divisor)
        return image_array(image, mode, path)

    def _read(self, indices: Sequence[int] | np.ndarray, mode: str) -> np.ndarray:
        channels = () if mode == "L" else (3,)
        out = np.empty((len(indices), *self.size_hw, *channels), dtype=np.uint8)
        previous = None
        for row, index in enumerate(indices):
            if index == previous:
                out[row] = out[row - 1]
                continue
            path = self.paths[index]
            if index == 0 and mode == "L" and self._divisor == 1:
                pixels = self._first
            else:
                with _open_image(path) as image:
                    _check_single(image, path)
                    pixels = self._read_one(image, mode, path)
            if pixels.shape[:2] != self.size_hw:
                raise VideoReadError(
                    f"the frames of a clip must have one size, but {path!r} has {pixels.shape[1]} x {pixels.shape[0]} "
                    f"and {self.paths[0]!r} has {self.size_hw[1]} x {self.size_hw[0]}; resize or remove one"
                )
            out[row] = pixels
            previous = index
        return out

    def read_rgb(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `FrameSource.read_rgb`."""
        return self._read(indices, "RGB")

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `FrameSource.read`."""
        return self._read(indices, "L")


class PictureSequence(FrameSource):
    """An image file of many pictures: an animated GIF, WebP, PNG or AVIF, or a TIFF of several pages.

    Args:
        image (`PIL.Image.Image`): Open, with its file; closed with this object.
        name (`str`): Name of the clip in errors.
        location (`str`, *optional*): Path of the file.
    """

    backend = "pillow"

    def __init__(self, image: Image.Image, name: str, location: str | None = None) -> None:
        self.name = name
        self.location = location
        self._image = image
        self._path = location or os.fspath(getattr(image, "filename", ""))
        # The fallback still of an animated PNG is not one of its frames.
        self._start = int(getattr(image, "default_image", False))
        self.frame_count = picture_count(image, name) - self._start
        check_frame_count(self.frame_count, name, "cut it")
        if self.frame_count < 2:
            raise VideoReadError(
                f"a clip needs several frames, but {name!r} is a single picture; give the folder or the list of its "
                "frames"
            )
        check_frame_size(*image.size, name)
        self._select(0)
        check_depth(image, name)
        self.size_hw = image_array(image, "L", name).shape
        # Milliseconds; the first picture's duration is used for all, because most writers have one speed.
        duration = image.info.get("duration")
        self.frames_per_second = 1000 / duration if isinstance(duration, int | float) and duration > 0 else None

    def _select(self, index: int) -> None:
        try:
            if self._image.format == "PNG" and self._start + index < self._image.tell() and self._path:
                # Pillow's decoder of animated PNG fails when seeking backwards.
                image, self._image = self._image, _open_image(self._path)
                if self.location is not None:
                    image.close()
            self._image.seek(self._start + index)
        except (Image.DecompressionBombError, *_IMAGE_ERRORS) as error:
            raise VideoReadError(
                f"frames must decode fully, but picture {index} of {self.name!r} does not ({error}); replace it"
            ) from error

    def _read(self, indices: Sequence[int] | np.ndarray, mode: str) -> np.ndarray:
        frames: list[np.ndarray] = []
        for row, index in enumerate(indices):
            if row and index == indices[row - 1]:
                frames.append(frames[-1])
                continue
            self._select(int(index))
            # A copy, because Pillow overwrites the picture with the next one.
            frames.append(np.array(image_array(self._image, mode, f"{self.name}[{index}]")))
        return stack_frames(frames, self.name)

    def read_rgb(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `FrameSource.read_rgb`."""
        return self._read(indices, "RGB")

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `FrameSource.read`."""
        return self._read(indices, "L")

    def close(self) -> None:
        """See `FrameSource.close`; an image that the caller opened stays open."""
        if self.location is not None:
            self._image.close()


def open_sequence(path: str) -> PictureSequence:
    """Open an image file as a clip.

    Args:
        path (`str`): Image file.

    Returns:
        `PictureSequence`: Open.

    Raises:
        VideoReadError: If it is no image, damaged or a single picture.
    """
    image = _open_image(path)
    try:
        return PictureSequence(image, path, location=path)
    except VideoReadError:
        image.close()
        raise


def images_to_array(images: Sequence[Image.Image], name: str) -> np.ndarray:
    """Pixels of PIL images: gray where all of them are gray, else RGB.

    Args:
        images (`Sequence[PIL.Image.Image]`): Frames in time order.
        name (`str`): Name of the clip in errors.

    Returns:
        `np.ndarray` of shape `(num_frames, height, width)` or `(num_frames, height, width, 3)`: uint8.
    """
    gray = all(image.mode in ("1", "L", "I", "I;16", "I;16B", "I;16L") for image in images)
    for row, image in enumerate(images):
        if picture_count(image, name) > 1:
            raise VideoReadError(
                f"a list of images holds single pictures, but picture {row} of {name!r} is an animation; give it by "
                "itself, or copies of its pictures"
            )
        check_frame_size(*image.size, name)
        if row == 0:
            check_depth(image, name)
    arrays = [image_array(image, "L" if gray else "RGB", f"{name}[{row}]") for row, image in enumerate(images)]
    return stack_frames(arrays, name)


def open_folder(
    folder: str, frame_numbers: Sequence[int] | None = None, fast_jpeg: bool = False, max_frames: int | None = None
) -> FrameFiles:
    """Open a folder of frames as a clip.

    Args:
        folder (`str`): Folder that holds one clip.
        frame_numbers (`Sequence[int]`, *optional*): 0-based positions in time order; all by default.
        fast_jpeg (`bool`, *optional*, defaults to `False`): See `FrameFiles`.
        max_frames (`int`, *optional*): The most that are taken; `MAX_CLIP_FRAMES` by default.

    Returns:
        `FrameFiles`: In time order; other images are left out with a `LeftOutFramesWarning`, and gaps between the
            numbers of all frames give a `MissingFramesWarning`.

    Raises:
        VideoReadError: If there is no image, there are too many, or their names give no one order.
    """
    listing = list_frames(folder, limit=MAX_CLIP_FRAMES if max_frames is None else max_frames)
    if not listing.names:
        raise VideoReadError(
            f"a frame folder must hold images, but {folder!r} has none; give the folder of one clip, or video files "
            "one by one"
        )
    check_frame_count(len(listing.names), folder, "give the folder of one clip", max_frames)
    paths = [os.path.join(folder, name) for name in listing.names]
    chosen = select_paths(paths, frame_numbers, folder)
    frames = FrameFiles(chosen, folder, fast_jpeg=fast_jpeg, max_frames=max_frames)
    findings: list[tuple[type[UserWarning], str]] = []
    if listing.left_out:
        findings.append((LeftOutFramesWarning, describe_left_out(listing.left_out, folder)))
    # Positions are given by a coding sheet, whose gaps the corpus counts.
    if frame_numbers is None and (gaps := describe_gaps(listing, folder)):
        findings.append((MissingFramesWarning, gaps))
    for category, text in findings:
        warnings.warn(text, category, stacklevel=3)
    frames.notes = [text for _, text in findings]
    return frames


def select_paths(paths: list[str], frame_numbers: Sequence[int] | None, name: str) -> list[str]:
    """Select the frames of a clip from a list.

    Args:
        paths (`list[str]`): Image files in time order.
        frame_numbers (`Sequence[int]`, *optional*): 0-based positions; all by default.
        name (`str`): Name of the list in errors.

    Raises:
        VideoReadError: If a position lies outside the list.
    """
    if frame_numbers is None:
        return paths
    numbers = np.asarray(frame_numbers, dtype=np.int64)
    check_frame_numbers(numbers, len(paths), name)
    return [paths[number] for number in numbers]


def is_sequence_path(value: object) -> bool:
    """Whether a value is the path of an image file that can be opened and holds several pictures."""
    if not is_image_path(value):
        return False
    try:
        with _open_image(os.fspath(value)) as image:
            return picture_count(image, os.fspath(value)) > 1
    except VideoReadError:
        return False


def is_image_path(value: object) -> TypeGuard[str | os.PathLike[str]]:
    """Whether a value is a path with the suffix of an image."""
    return isinstance(value, str | os.PathLike) and os.path.splitext(os.fspath(value))[1].lower() in IMAGE_SUFFIXES
