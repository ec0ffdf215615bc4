"""Video files through PyAV, decord, torchcodec or OpenCV: frame-exact, upright, equal pixels from all of them.

PyAV looks at every file first, whichever backend then decodes: it alone tells a truncated or damaged file from a whole
one (decord hands out 200 of 400 frames of a cut AVI without a word; fact sheet on the Hugging Face stack, section 8).
"""

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

try:
    import av
except ImportError:
    av = None  # type: ignore[assignment]  # None says that the package is missing

logger = logging.getLogger(__name__)

VIDEO_BACKENDS = ("auto", "pyav", "decord", "torchcodec", "opencv")
# Four times 4K: an 8K frame (33 million pixels) is read, a decompression bomb is not (our choice).
MAX_FRAME_PIXELS = 64_000_000
# Seven hours at 200 fps; more is a damaged index (our choice).
MAX_VIDEO_FRAMES = 5_000_000
# The containers of the corpora; everything else FFmpeg knows (playlists, image pipes, network formats) stays shut.
FORMAT_WHITELIST = "avi,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
# Every packet is a picture of its own and comes out at once, so unwanted ones need no decoding.
_INTRA_ONLY_CODECS = frozenset(
    {"mjpeg", "rawvideo", "huffyuv", "ffvhuff", "ffv1", "utvideo", "png", "prores", "dnxhd"}
)


class VideoReadError(ValueError):
    """A clip cannot be read; the message names the file, the rule and the remedy."""


class TruncatedVideoWarning(UserWarning):
    """A video has fewer frames than its container promises, and `allow_truncated` let it pass."""


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


@dataclass(frozen=True)
class VideoProbe:
    """What a video file holds.

    Args:
        path (`str`): Video file.
        frame_count (`int`): Frames that can be decoded.
        stored_hw (`tuple[int, int]`): Height and width in pixels as stored, before the rotation.
        quarter_turns (`int`): Counter-clockwise quarter turns that make the pictures upright, 0 to 3.
        frames_per_second (`float`, *optional*): Average rate; `None` where the container does not say.
        intra_only (`bool`): Whether each frame decodes by itself.
        whole (`bool`): Whether nothing is missing or damaged, as far as the container tells.
    """

    path: str
    frame_count: int
    stored_hw: tuple[int, int]
    quarter_turns: int
    frames_per_second: float | None
    intra_only: bool
    whole: bool


def _unreadable(path: str, reason: object) -> VideoReadError:
    reason = getattr(reason, "strerror", None) or reason
    return VideoReadError(f"a video must be readable, but {path!r} is not ({reason}); copy or convert it again")


def _open_container(path: str) -> tuple[Any, Any]:
    """Open a file with PyAV and find its picture track."""
    if av is None:
        raise VideoReadError(f"PyAV must be installed to read {path!r}; run pip install av")
    try:
        if os.path.getsize(path) == 0:
            raise VideoReadError(f"a video must hold frames, but {path!r} is empty; copy it again")
        # An absolute path cannot be mistaken for an FFmpeg protocol.
        container = av.open(os.path.abspath(path), options={"format_whitelist": FORMAT_WHITELIST})
    except (av.FFmpegError, OSError, UnicodeError) as error:
        raise _unreadable(path, error) from error
    cover = av.stream.Disposition.attached_pic
    tracks = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not tracks:
        container.close()
        raise VideoReadError(f"a video must have a picture track, but {path!r} has none; give another file")
    if tracks[0].codec_context is None:
        container.close()
        raise _unreadable(path, "there is no decoder for its pictures")
    return container, tracks[0]


def _missing_bytes(path: str) -> int:
    """Bytes that the outermost structure of an AVI, MP4 or Matroska file promises beyond the end of the file.

    Matroska keeps no frame count, and a cut there would otherwise go unseen.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            # Some writers leave out the padding byte of the last chunk.
            return max(0, int.from_bytes(head[4:8], "little") + 8 - size - 1)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _missing_matroska_bytes(head, size)
        end = 0
        while head[4:8].isalnum() and end < size:
            file.seek(end)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8 or not head[4:8].isalnum():
                break
            end += length
    return max(0, end - size)


def _missing_matroska_bytes(head: bytes, size: int) -> int:
    """The segment follows the EBML header; its size is a number of 1 to 8 bytes, all ones where it is unknown."""
    header_length = head[4] & 0x7F if head[4] & 0x80 else int.from_bytes(head[5:12], "big")
    start = (5 if head[4] & 0x80 else 12) + header_length
    segment = head[start : start + 12]
    if segment[:4] != b"\x18\x53\x80\x67" or len(segment) < 12 or segment[4] == 0:
        return 0
    length = 9 - segment[4].bit_length()
    value = int.from_bytes(segment[4 : 4 + length], "big") & ((1 << 7 * length) - 1)
    unknown = value == (1 << 7 * length) - 1
    return 0 if unknown else max(0, start + 4 + length + value - size)


def probe_video(path: str, allow_truncated: bool = False) -> VideoProbe:
    """Look through a video file without decoding it (but for its first frame) and check that it is whole.

    Args:
        path (`str`): Video file (.avi, .mp4, .mov, .mkv, .webm).
        allow_truncated (`bool`, *optional*, defaults to `False`): Warn, rather than fail, when frames are missing.

    Returns:
        `VideoProbe`: Size, frames, rotation and rate.

    Raises:
        VideoReadError: If the file is empty, of another kind, without pictures, damaged or truncated.
    """
    container, stream = _open_container(path)
    with container:
        codec = stream.codec_context
        check_frame_size(codec.width, codec.height, path)
        first, count, only_keys, damage = None, 0, True, None
        try:
            for packet in container.demux(stream):
                if first is None:
                    first = next(iter(packet.decode()), None)
                if not packet.size or packet.is_discard:
                    continue
                count += 1
                only_keys = only_keys and packet.is_keyframe
                if count > MAX_VIDEO_FRAMES:
                    raise VideoReadError(
                        f"a video may have {MAX_VIDEO_FRAMES:,} frames, but {path!r} has more; cut it"
                    )
        except (av.FFmpegError, OSError) as error:
            damage = error
        if first is None:
            raise _unreadable(path, damage or "no frame decodes")
        promised = max(int(stream.frames), 0)
        rate = float(stream.average_rate) if stream.average_rate else None
        # A packed bitstream (DivX, Xvid) holds one placeholder packet per B-frame, so only decoding counts its frames.
        packed = codec.name == "mpeg4"
        missing = _missing_bytes(path)
        whole = not (damage or missing or count < promised)
        if not whole and not allow_truncated:
            reason = f"{count} of {promised} frames" if count < promised else damage or f"{missing} bytes are missing"
            raise VideoReadError(
                f"a video must be whole, but {path!r} is cut or damaged ({reason}); copy it again or set "
                "allow_truncated=True"
            )
        quarter_turns = round(first.rotation / 90) % 4
        stored_hw = (first.height, first.width)
        intra_only = codec.name in _INTRA_ONLY_CODECS and only_keys
    if packed or allow_truncated:
        # The last placeholder of a packed bitstream has no picture.
        expected = max(count, promised) - (1 if packed else 0)
        count = _count_decodable(path)
        if count < expected and not allow_truncated:
            raise VideoReadError(
                f"a video must decode fully, but {path!r} gives {count} frames of {expected}; copy it again or set "
                "allow_truncated=True"
            )
        if count < expected or not whole:
            whole = False
            warnings.warn(
                f"{path!r} is cut or damaged: {count} of at least {expected} frames are read",
                TruncatedVideoWarning,
                stacklevel=2,
            )
    return VideoProbe(path, count, stored_hw, quarter_turns, rate, intra_only, whole)


def _count_decodable(path: str) -> int:
    """Frames that decode before the end or the first damage."""
    container, stream = _open_container(path)
    count = 0
    with container:
        try:
            for packet in container.demux(stream):
                # A packet that ends with the file would decode to half a picture.
                if packet.is_corrupt:
                    count += len(stream.codec_context.decode(None))
                    break
                count += len(packet.decode())
        except (av.FFmpegError, OSError) as error:
            logger.debug("%s ends after %d frames: %s", path, count, error)
    return count


class VideoDecoder:
    """Frames of a video file by number, upright.

    Not shared between threads: every clip opens its own (a shared decord reader ends the process).

    Args:
        probe (`VideoProbe`): What the file holds.
    """

    backend = ""

    def __init__(self, probe: VideoProbe) -> None:
        self.probe = probe
        self.frame_count = probe.frame_count
        self.frames_per_second = probe.frames_per_second
        height, width = probe.stored_hw
        self.size_hw = (width, height) if probe.quarter_turns % 2 else (height, width)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Decode frames.

        Args:
            numbers (`np.ndarray` of shape `(count,)`): 0-based, sorted, distinct.

        Returns:
            `np.ndarray` of shape `(count, height, width, 3)`: uint8, RGB, upright.

        Raises:
            VideoReadError: If a frame is missing, damaged or of another size than the first.
        """
        frames = self._decode(numbers)
        if frames.shape != (len(numbers), *self.probe.stored_hw, 3):
            raise VideoReadError(
                f"the frames of a video must have one size, but {self.probe.path!r} gives {frames.shape} for "
                f"{len(numbers)} frames of {self.probe.stored_hw}; convert it"
            )
        return np.rot90(frames, self.probe.quarter_turns, axes=(1, 2))

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _ends_early(self, number: int) -> VideoReadError:
        return VideoReadError(
            f"a video must decode fully, but {self.probe.path!r} has no frame {number} of "
            f"{self.probe.frame_count}; copy it again or set allow_truncated=True"
        )

    def close(self) -> None:
        """Free the file."""


class _SequentialDecoder(VideoDecoder):
    """Reads through a file from its start and keeps its place, so that chunks in order are read once."""

    def __init__(self, probe: VideoProbe) -> None:
        super().__init__(probe)
        self._frames: Iterator[Any] = iter(())
        self._next_number = probe.frame_count

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        if len(numbers) and numbers[0] < self._next_number:
            self.close()
            self._frames, self._next_number = self._start(), 0
        frames = np.empty((len(numbers), *self.probe.stored_hw, 3), dtype=np.uint8)
        for row, number in enumerate(numbers):
            pixels = None
            while self._next_number <= number:
                frame = next(self._frames, None)
                if frame is None:
                    raise self._ends_early(self._next_number)
                if self._next_number == number:
                    pixels = self._to_rgb(frame)
                self._next_number += 1
            if pixels is None or pixels.shape != frames.shape[1:]:
                raise VideoReadError(
                    f"the frames of a video must have one size, but frame {number} of {self.probe.path!r} differs "
                    f"from {self.probe.stored_hw}; convert it"
                )
            frames[row] = pixels
        return frames

    def _start(self) -> Iterator[Any]:
        raise NotImplementedError

    def _to_rgb(self, frame: Any) -> np.ndarray:
        raise NotImplementedError


class PyAVDecoder(_SequentialDecoder):
    """PyAV, whose wheels carry FFmpeg.

    Reads through; where each packet is a picture of its own, only the wanted packets are decoded.
    """

    backend = "pyav"

    def __init__(self, probe: VideoProbe) -> None:
        super().__init__(probe)
        self._container: Any = None

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        self._wanted = frozenset(numbers.tolist())
        try:
            return super()._decode(numbers)
        except (av.FFmpegError, OSError) as error:
            raise _unreadable(self.probe.path, error) from error

    def _start(self) -> Iterator[Any]:
        self._container, stream = _open_container(self.probe.path)
        if not self.probe.intra_only:
            yield from self._container.decode(stream)
            return
        for number, packet in enumerate(packet for packet in self._container.demux(stream) if packet.size):
            if number not in self._wanted:
                yield number
                continue
            frames = packet.decode()
            if len(frames) != 1:
                raise self._ends_early(number)
            yield frames[0]

    def _to_rgb(self, frame: Any) -> np.ndarray:
        return frame.to_ndarray(format="rgb24", threads=1)

    def close(self) -> None:
        """Free the file."""
        if self._container is not None:
            self._container.close()
            self._container = None


class OpenCVDecoder(_SequentialDecoder):
    """OpenCV's FFmpeg; unwanted frames are decoded but not converted."""

    backend = "opencv"

    def __init__(self, probe: VideoProbe) -> None:
        super().__init__(probe)
        self._cv2 = _import_backend("cv2", self.backend)
        self._capture: Any = None

    def _start(self) -> Iterator[Any]:
        cv2 = self._cv2
        self._capture = cv2.VideoCapture(os.path.abspath(self.probe.path), cv2.CAP_FFMPEG)
        # All backends turn the pictures here, by the same rule.
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        while self._capture.grab():
            yield self._capture

    def _to_rgb(self, frame: Any) -> np.ndarray:
        done, pixels = frame.retrieve()
        if not done:
            raise self._ends_early(self._next_number)
        return pixels[:, :, ::-1]

    def close(self) -> None:
        """Free the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class DecordDecoder(VideoDecoder):
    """decord; its bridge is never set, because that would change it for the whole process."""

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
            raise _unreadable(probe.path, error) from error
        if count < probe.frame_count:
            raise self._ends_early(count)

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        try:
            return self._reader.get_batch(numbers.tolist()).asnumpy()
        except self._errors as error:
            raise _unreadable(self.probe.path, error) from error


class TorchcodecDecoder(VideoDecoder):
    """torchcodec, which needs FFmpeg's libraries on the machine."""

    backend = "torchcodec"

    def __init__(self, probe: VideoProbe) -> None:
        super().__init__(probe)
        decoders = _import_backend("torchcodec.decoders", self.backend)
        try:
            self._reader = decoders.VideoDecoder(os.path.abspath(probe.path), seek_mode="exact")
        except (RuntimeError, ValueError, OSError) as error:
            raise _unreadable(probe.path, error) from error

    def _decode(self, numbers: np.ndarray) -> np.ndarray:
        try:
            frames = self._reader.get_frames_at(numbers.tolist()).data
        except (RuntimeError, ValueError, IndexError, OSError) as error:
            raise _unreadable(self.probe.path, error) from error
        # (count, 3, height, width) -> (count, height, width, 3)
        return frames.permute(0, 2, 3, 1).contiguous().numpy()


_DECODERS = {
    "pyav": PyAVDecoder,
    "decord": DecordDecoder,
    "torchcodec": TorchcodecDecoder,
    "opencv": OpenCVDecoder,
}
_REMEDIES = {
    "decord": "run pip install decord (Linux and Windows on x86-64) or choose video_backend='pyav'",
    "torchcodec": "install torchcodec and FFmpeg or choose video_backend='pyav'",
    "opencv": "run pip install opencv-python-headless or choose video_backend='pyav'",
}


def _import_backend(module: str, backend: str) -> Any:
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
        path (`str`): Video file (.avi, .mp4, .mov, .mkv, .webm).
        backend (`str`, *optional*, defaults to `"auto"`):
            "pyav", "decord", "torchcodec" or "opencv". "auto" is PyAV: it is always there, as fast as the others, and
            the only one that reports damaged packets.
        allow_truncated (`bool`, *optional*, defaults to `False`): Warn, rather than fail, when frames are missing.

    Returns:
        `VideoDecoder`: Open.

    Raises:
        VideoReadError: If the file cannot be read or the backend is unknown or does not load.
    """
    if backend not in VIDEO_BACKENDS:
        raise VideoReadError(f"video_backend is one of {VIDEO_BACKENDS}, but got {backend!r}; choose one of them")
    probe = probe_video(path, allow_truncated=allow_truncated)
    name = "pyav" if backend == "auto" else backend
    # decord fails on quarter turns and turns half turns by itself, torchcodec turns all: PyAV gives equal pixels.
    turned = probe.quarter_turns and name in ("decord", "torchcodec")
    # On a damaged header decord ends the process (std::bad_alloc; found by fuzzing).
    if name != "pyav" and (turned or not probe.whole):
        logger.info("%s is %s; PyAV reads it in place of %s", path, "rotated" if turned else "damaged", name)
        name = "pyav"
    return _DECODERS[name](probe)
