"""Reading clips: frame folders, frame lists, video files, PIL images, arrays and tensors, all as gray frames by index.

Every source answers the same three questions (how many frames, which size, which pixels) and turns colour into gray by
the same integer formula, so equal pixels give equal results whatever form they came in.
"""

import itertools
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from .video_decoders_fdp import VideoReadError, check_frame_size, open_decoder

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".mov", ".mkv", ".webm"})
# Ten minutes at 200 fps is 120,000 frames: above that a folder is a whole corpus by mistake, not a clip (our choice).
MAX_CLIP_FRAMES = 100_000
# Gray pixels held at once while a long clip is read; results do not depend on it.
CHUNK_BYTES = 32_000_000
_ORIENTATION_TAG = 0x0112
# Whatever Pillow's parsers raise on damaged files (found by fuzzing, tests/modeling_fdp/test_reading_fuzz.py).
_IMAGE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, MemoryError)


def _to_gray(rgb: np.ndarray) -> np.ndarray:
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
        return _to_gray(self.read_rgb(indices))

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
        if not paths:
            raise VideoReadError(f"a clip needs at least one frame, but {name!r} has none; give image files")
        if len(paths) > MAX_CLIP_FRAMES:
            raise VideoReadError(
                f"a clip may have {MAX_CLIP_FRAMES:,} frames, but {name!r} has {len(paths):,}; "
                "give the frames between onset and offset"
            )
        self.paths = list(paths)
        self.name = name
        self.location = os.path.dirname(os.path.abspath(self.paths[0]))
        self.fast_jpeg = fast_jpeg
        self._divisor = 1
        self.frame_count = len(self.paths)
        with _open_image(self.paths[0]) as image:
            self.size_hw = self._read_one(image, "L", self.paths[0]).shape

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
        wanted = tuple(-(-side // self._divisor) for side in image.size)
        if image.format == "JPEG":
            image.draft("L", tuple(max(1, side // self._divisor) for side in image.size))
        if image.size != wanted:
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
        if self.frame_count == 0:
            raise VideoReadError(f"a clip needs at least one frame, but {path!r} has none; check the file")
        if self.frame_count > MAX_CLIP_FRAMES:
            raise VideoReadError(
                f"a clip may have {MAX_CLIP_FRAMES:,} frames, but {path!r} has {self.frame_count:,}; "
                "give frame_numbers= from onset to offset"
            )
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
        return self.decoder.read(unique)[inverse]

    def close(self) -> None:
        """See `FrameSource.close`."""
        self.decoder.close()


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
        if isinstance(values, torch.Tensor):
            values = values.detach()
            values = (values.float() if values.dtype == torch.bfloat16 else values).cpu().numpy()
        values = _channels_last(np.asarray(values), input_data_format, name)
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
        return frames[..., 0] if frames.shape[-1] == 1 else _to_gray(frames[..., :3])


def _images_to_array(images: Sequence[Image.Image], name: str) -> np.ndarray:
    gray = all(image.mode in ("1", "L", "I", "I;16", "I;16B", "I;16L") for image in images)
    for image in images:
        check_frame_size(*image.size, name)
    arrays = [_image_array(image, "L" if gray else "RGB", f"{name}[{row}]") for row, image in enumerate(images)]
    return _stack(arrays, name)


def _stack(arrays: Sequence[np.ndarray], name: str) -> np.ndarray:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise VideoReadError(f"the frames of a clip must have one size, but {name!r} has {sorted(shapes)}; crop them")
    return np.stack(arrays)


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
            if len(paths) > MAX_CLIP_FRAMES:
                raise VideoReadError(
                    f"a clip may have {MAX_CLIP_FRAMES:,} frames, but {folder!r} has more; give the folder of one clip"
                )
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
            source = _images_to_array(source, label)
        elif all(isinstance(item, np.ndarray | torch.Tensor) for item in source):
            source = _stack([np.asarray(torch.as_tensor(item).detach().cpu()) for item in source], label)
        else:
            kinds = sorted({type(item).__name__ for item in source})
            raise VideoReadError(f"a list of frames holds paths, images or arrays, but got {kinds}; convert them")
    if isinstance(source, np.ndarray | torch.Tensor):
        return FrameArray(_select(source, frame_numbers, name or "array"), name or "array", input_data_format)
    raise VideoReadError(
        f"a clip is a path, a list of frames, an array or a tensor, but got {type(source).__name__}; convert it"
    )
