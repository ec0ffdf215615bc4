"""Clips as image files: listed in time order, decoded one by one with Pillow."""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .frame_arrays_fdp import stack_frames
from .frame_source_fdp import FrameSource, VideoReadError, check_frame_count, check_frame_size

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
_ORIENTATION_TAG = 0x0112
# Whatever Pillow's parsers raise on damaged files (found by fuzzing, tests/modeling_fdp/test_reading_fuzz.py).
_IMAGE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, MemoryError)


def _open_image(path: str) -> Image.Image:
    """Open one image file, sized but not decoded; a bad one is a `VideoReadError` that names it."""
    try:
        # The file object keeps Pillow from ever reading a name as anything else than a local path.
        image = Image.open(path)
    except FileNotFoundError as error:
        raise VideoReadError(f"frames must exist, but there is no file {path!r}; check the corpus folder") from error
    except (Image.DecompressionBombError, *_IMAGE_ERRORS) as error:
        raise VideoReadError(f"frames must be images, but {path!r} cannot be opened ({error}); replace it") from error
    check_frame_size(*image.size, path)
    return image


def _image_array(image: Image.Image, mode: str, name: str) -> np.ndarray:
    """Decode an image to mode "L" or "RGB"; 16-bit gray is scaled to 8 bits, never clipped."""
    try:
        # Most frames have no such tag, and the function would copy them all.
        if image.getexif().get(_ORIENTATION_TAG, 1) != 1:
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16") or image.mode == "I":
            # 0..65535 -> 0..255; Pillow's own conversion would clip everything above 255 to white.
            values = np.asarray(image).astype(np.int64)
            gray = np.clip((values * 255 + 32767) // 65535, 0, 255).astype(np.uint8)
            image = Image.fromarray(gray)
        elif image.mode == "F":
            raise VideoReadError(f"frames must be 8-bit or 16-bit images, but {name!r} holds floats; convert it first")
        elif mode == "L" and image.mode not in ("L", "RGB"):
            # Through RGB, as a reader that only knows RGB would see it (palettes, alpha, CMYK).
            image = image.convert("RGB")
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except (Image.DecompressionBombError, *_IMAGE_ERRORS) as error:
        if isinstance(error, VideoReadError):
            raise
        raise VideoReadError(f"frames must decode fully, but {name!r} does not ({error}); replace it") from error


class FrameFiles(FrameSource):
    """A list of image files in time order, each decoded when it is asked for.

    Args:
        paths (`Sequence[str]`): Image files, in time order.
        name (`str`): What errors call the clip.
        fast_jpeg (`bool`, *optional*, defaults to `False`):
            Take the luma plane of JPEG files as it is stored, and let `shrink` halve frames while they are decoded.
            Luma alone differs from the exact formula only where a file holds colours outside RGB (a few pixels in ten
            thousand, by a few gray levels).
    """

    backend = "pillow"

    def __init__(self, paths: Sequence[str], name: str, fast_jpeg: bool = False) -> None:
        check_frame_count(len(paths), name, "give the frames between onset and offset")
        self.paths = list(paths)
        self.name = name
        self.location = os.path.dirname(os.path.abspath(self.paths[0]))
        self.fast_jpeg = fast_jpeg
        self._divisor = 1
        self.frame_count = len(self.paths)
        with _open_image(self.paths[0]) as image:
            self._first = self._read_one(image, "L", self.paths[0])
        self.size_hw = self._first.shape

    def shrink(self, pitch: float) -> int:
        """Decode later gray frames smaller, where `fast_jpeg` allows it.

        Args:
            pitch (`float`): Frame pixels per pixel of the result; at least two of them stay.

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
            return _image_array(image, mode, path)
        width, height = image.size
        if image.format == "JPEG":
            image.draft("L", (max(1, width // self._divisor), max(1, height // self._divisor)))
        if image.size != (-(-width // self._divisor), -(-height // self._divisor)):
            # No JPEG, or too small for the decoder's own halving.
            image = Image.fromarray(_image_array(image, mode, path)).reduce(self._divisor)
        return _image_array(image, mode, path)

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


def images_to_array(images: Sequence[Image.Image], name: str) -> np.ndarray:
    """Pixels of PIL images: gray where all of them are gray, else RGB.

    Args:
        images (`Sequence[PIL.Image.Image]`): Frames in time order.
        name (`str`): What the error calls the clip.

    Returns:
        `np.ndarray` of shape `(num_frames, height, width)` or `(num_frames, height, width, 3)`: uint8.
    """
    gray = all(image.mode in ("1", "L", "I", "I;16", "I;16B", "I;16L") for image in images)
    for image in images:
        check_frame_size(*image.size, name)
    arrays = [_image_array(image, "L" if gray else "RGB", f"{name}[{row}]") for row, image in enumerate(images)]
    return stack_frames(arrays, name)


def _frame_key(path: str) -> tuple[bool, int, str]:
    """Sort by the last run of digits in the file name; names without digits come first, by name."""
    runs = re.findall(r"[0-9]+", os.path.splitext(os.path.basename(path))[0])
    return (bool(runs), int(runs[-1]) if runs and len(runs[-1]) < 4000 else 0, os.path.basename(path))


def list_frames(folder: str | os.PathLike) -> list[str]:
    """List the image files of a folder in time order.

    Frame numbers are the last run of digits in each name, so `img2.jpg` comes before `img10.jpg`. Hidden files and
    files that are no images are passed over.

    Args:
        folder (`str` or `os.PathLike`): Folder that holds one clip.

    Returns:
        `list[str]`: Paths in time order.

    Raises:
        VideoReadError: If there is no image, there are too many, or two files claim the same frame number.
    """
    folder = os.fspath(folder)
    paths = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in IMAGE_SUFFIXES:
                continue
            paths.append(entry.path)
            # Stop early: a folder of millions is not worth listing.
            check_frame_count(len(paths), folder, "give the folder of one clip")
    if not paths:
        raise VideoReadError(f"a frame folder must hold images, but {folder!r} has none; give the folder of one clip")
    keyed = sorted((_frame_key(path), path) for path in paths)
    for (key, path), (next_key, next_path) in itertools.pairwise(keyed):
        if key[0] and key[:2] == next_key[:2]:
            raise VideoReadError(
                f"each frame number may appear once in a folder, but {path!r} and {next_path!r} share {key[1]}; "
                "give the frames as a list"
            )
    return [path for _, path in keyed]


def is_image_path(value: Any) -> bool:
    """Whether a value is a path with the suffix of an image."""
    return isinstance(value, str | os.PathLike) and Path(value).suffix.lower() in IMAGE_SUFFIXES
