"""Video files through PyAV, decord, torchcodec or OpenCV: frame-exact, upright, equal pixels from all of them."""

import contextlib
import functools
import importlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import NoReturn

import numpy as np

from .frame_source_fdp import VideoReadError
from .video_pictures_fdp import Picture, PictureStream, decoding_errors, open_container, unreadable
from .video_probe_fdp import VideoProbe, describe_losses, probe_video, warn_of_losses

logger = logging.getLogger(__name__)

# A decoded frame that is converted when its pixels are wanted, to (height, width, 3), uint8, RGB.
_Conversion = Callable[[], np.ndarray]

VIDEO_BACKENDS = ("auto", "pyav", "decord", "torchcodec", "opencv")


class VideoDecoder:
    """Frames of a video file by number, upright.

    Not thread-safe: every clip opens its own (a shared decord reader crashes the process).

    Args:
        probe (`VideoProbe`): Probe of the file.
    """

    backend = ""
    notes: Sequence[str] = ()

    def __init__(self, probe: VideoProbe) -> None:
        self.probe = probe
        self.frame_count = probe.frame_count
        self.frames_per_second = probe.frames_per_second
        height, width = probe.stored_hw
        self.size_hw = (width, height) if probe.orientation.transposed else (height, width)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Decode frames.

        Args:
            numbers (`np.ndarray` of shape `(count,)`): 0-based, sorted, distinct.

        Returns:
            `np.ndarray` of shape `(count, height, width, 3)`: uint8, RGB, upright, in one block of memory.

        Raises:
            VideoReadError: If a frame is missing, damaged or of another size than the first.
        """
        shown = self.probe.picture_of_frame
        pictures, row_of_frame = (numbers, None) if shown is None else np.unique(shown[numbers], return_inverse=True)
        frames = self._decode(pictures)
        if frames.shape != (len(pictures), *self.probe.stored_hw, 3):
            raise VideoReadError(
                f"the frames of a video must have one size, but {self.probe.path!r} gives {frames.shape} for "
                f"{len(pictures)} frames of {self.probe.stored_hw}; convert it"
            )
        upright = self.probe.orientation.apply(frames if row_of_frame is None else frames[row_of_frame])
        # Copied where it was turned, because torch takes no array with negative strides.
        return np.ascontiguousarray(upright)

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _ends_early(self, number: int) -> VideoReadError:
        return VideoReadError(
            f"a video must decode fully, but {self.probe.path!r} has no frame {number} of "
            f"{self.probe.frame_count}; copy it again or set allow_truncated=True"
        )

    def close(self) -> None:
        """Close the file."""


class _SequentialDecoder(VideoDecoder):
    """Decodes sequentially and keeps its position, so that chunks in order are decoded once."""

    def __init__(self, probe: VideoProbe) -> None:
        super().__init__(probe)
        self._frames: Iterator[_Conversion] = iter(())
        self._opened = contextlib.ExitStack()
        self._next_number = probe.frame_count

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        if len(numbers) and numbers[0] < self._next_number:
            self.close()
            self._frames, self._next_number = self._start(), 0
        frames = np.empty((len(numbers), *self.probe.stored_hw, 3), dtype=np.uint8)
        for row, number in enumerate(numbers):
            pixels = None
            while self._next_number <= number:
                convert = next(self._frames, None)
                if convert is None:
                    raise self._ends_early(self._next_number)
                if self._next_number == number:
                    pixels = convert()
                self._next_number += 1
            if pixels is None or pixels.shape != frames.shape[1:]:
                raise VideoReadError(
                    f"the frames of a video must have one size, but frame {number} of {self.probe.path!r} differs "
                    f"from {self.probe.stored_hw}; convert it"
                )
            frames[row] = pixels
        return frames

    def _start(self) -> Iterator[_Conversion]:
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        self._frames = iter(())
        self._opened.close()


class PyAVDecoder(_SequentialDecoder):
    """PyAV, whose wheels include FFmpeg.

    Sequential; where each packet is an independent picture, only the requested packets are decoded.

    Args:
        probe (`VideoProbe`): Probe of the file.
        kept (`Sequence[av.VideoFrame]`, *optional*): All pictures, if the probe kept them.
    """

    backend = "pyav"

    def __init__(self, probe: VideoProbe, kept: Sequence[Picture] = ()) -> None:
        super().__init__(probe)
        self._kept = kept

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        self._wanted = frozenset(numbers.tolist())
        try:
            return super()._decode(numbers)
        except decoding_errors() as error:
            raise unreadable(self.probe.path, error) from error

    def _start(self) -> Iterator[_Conversion]:
        if self._kept:
            yield from map(_rgb_of, self._kept)
            return
        container, stream = open_container(self.probe.path)
        self._opened.callback(container.close)
        if not self.probe.intra_only:
            yield from map(_rgb_of, PictureStream(self.probe.path, container, stream))
            return
        packets = (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)
        for number, packet in enumerate(packets):
            if number not in self._wanted:
                yield functools.partial(self._raise_undecoded, number)
                continue
            frames = packet.decode()
            if len(frames) != 1:
                raise self._ends_early(number)
            yield _rgb_of(frames[0])

    def _raise_undecoded(self, number: int) -> NoReturn:
        raise self._ends_early(number)


def _rgb_of(picture: Picture) -> _Conversion:
    return functools.partial(picture.to_ndarray, format="rgb24", threads=1)


class OpenCVDecoder(_SequentialDecoder):
    """OpenCV's FFmpeg; other frames are decoded but not converted."""

    backend = "opencv"

    def __init__(self, probe: VideoProbe) -> None:
        super().__init__(probe)
        self._cv2 = _import_backend("cv2", self.backend)

    def _start(self) -> Iterator[_Conversion]:
        capture = self._cv2.VideoCapture(os.path.abspath(self.probe.path), self._cv2.CAP_FFMPEG)
        self._opened.callback(capture.release)

        def retrieve() -> np.ndarray:
            done, pixels = capture.retrieve()
            if not done:
                raise self._ends_early(self._next_number)
            return np.asarray(pixels)[:, :, ::-1]

        while capture.grab():
            yield retrieve


class DecordDecoder(VideoDecoder):
    """decord; its bridge is not set, because it is global to the process."""

    backend = "decord"

    def __init__(self, probe: VideoProbe) -> None:
        super().__init__(probe)
        decord = _import_backend("decord", self.backend)
        # DECORDError derives from Exception alone.
        self._errors = (RuntimeError, ValueError, OSError, importlib.import_module("decord._ffi.base").DECORDError)
        try:
            self._reader = decord.VideoReader(os.path.abspath(probe.path), num_threads=1)
            count = len(self._reader)
        except self._errors as error:
            raise unreadable(probe.path, error) from error
        if count != probe.frame_count:
            raise unreadable(probe.path, f"decord finds {count} frames and FFmpeg {probe.frame_count}")

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(self._reader.get_batch(numbers.tolist()).asnumpy())
        except self._errors as error:
            raise unreadable(self.probe.path, error) from error


class TorchcodecDecoder(VideoDecoder):
    """torchcodec, which needs FFmpeg's libraries on the machine."""

    backend = "torchcodec"

    def __init__(self, probe: VideoProbe) -> None:
        super().__init__(probe)
        decoders = _import_backend("torchcodec.decoders", self.backend)
        try:
            self._reader = decoders.VideoDecoder(os.path.abspath(probe.path), seek_mode="exact")
        except (RuntimeError, ValueError, OSError) as error:
            raise unreadable(probe.path, error) from error

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        try:
            frames = self._reader.get_frames_at(numbers.tolist()).data
        except (RuntimeError, ValueError, IndexError, OSError) as error:
            raise unreadable(self.probe.path, error) from error
        # (count, 3, height, width) -> (count, height, width, 3)
        return np.asarray(frames.permute(0, 2, 3, 1).contiguous())


_DECODERS: dict[str, type[VideoDecoder]] = {
    "decord": DecordDecoder,
    "torchcodec": TorchcodecDecoder,
    "opencv": OpenCVDecoder,
}
_REMEDIES = {
    "decord": "run pip install decord (Linux and Windows on x86-64) or choose video_backend='pyav'",
    "torchcodec": "install torchcodec and FFmpeg or choose video_backend='pyav'",
    "opencv": "run pip install opencv-python-headless or choose video_backend='pyav'",
}


def _import_backend(module: str, backend: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise VideoReadError(
            f"video_backend={backend!r} needs a module that does not load ({reason}); {_REMEDIES[backend]}"
        ) from error


def open_decoder(path: str, backend: str = "auto", allow_truncated: bool = False) -> VideoDecoder:
    """Open a video file.

    Args:
        path (`str`): Video file, see `video_probe_fdp.VIDEO_SUFFIXES`.
        backend (`str`, *optional*, defaults to `"auto"`):
            "pyav", "decord", "torchcodec" or "opencv". "auto" is PyAV, which is always installed, as fast as the
            others and alone in reporting damaged packets.
        allow_truncated (`bool`, *optional*, defaults to `False`): Warn, rather than fail, when frames are missing.

    Returns:
        `VideoDecoder`: Open.

    Raises:
        VideoReadError: If the file cannot be read or the backend is unknown or does not load.
    """
    if backend not in VIDEO_BACKENDS:
        raise VideoReadError(f"video_backend is one of {VIDEO_BACKENDS}, but got {backend!r}; choose one of them")
    name = "pyav" if backend == "auto" else backend
    kept: list[Picture] = []
    probe = probe_video(path, allow_truncated=allow_truncated, kept=kept)
    # The other backends number, rotate or repeat the frames of such files differently, and on a damaged header decord
    # crashes the process (std::bad_alloc; found by fuzzing).
    if name != "pyav" and not probe.plain:
        logger.info("%s is not one upright frame per packet; PyAV reads it in place of %s", path, name)
        name = "pyav"
    decoder = PyAVDecoder(probe, kept) if name == "pyav" else _DECODERS[name](probe)
    warn_of_losses(probe)
    decoder.notes = describe_losses(probe)
    return decoder
