"""Probe of a video file before it is read: its frames, their orientation, and whether it is complete.

Frames are defined here and nowhere else: the pictures that FFmpeg's decoder returns, in that order. Packets are not
frames: some hold no picture, some refer to pictures that were cut off, and an empty chunk of an AVI file repeats the
last picture.

Every file is probed with PyAV, whichever backend then decodes, because it alone detects truncated or damaged files
(decord 0.6 returns 200 of 400 frames of an AVI cut in half, without an error).
"""

import logging
import os
import struct
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .frame_source_fdp import VideoReadError, check_frame_size, check_sixteen_bit_range

try:
    import av
except ImportError:
    av = None  # type: ignore[assignment]  # None: the package is missing

logger = logging.getLogger(__name__)

# Seven hours at 200 fps; more is a damaged index (our choice).
MAX_VIDEO_FRAMES = 5_000_000
# The suffixes under which a corpus folder is searched for videos; a given path is opened with any suffix.
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".m4v")
# The containers of these suffixes; FFmpeg's other formats (playlists, image pipes, network formats) are not opened.
FORMAT_WHITELIST = "avi,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,mpeg,mpegts,mpegvideo"
# Containers in which the other backends were found to number frames as FFmpeg does, as long as groups of pictures are
# closed; AVI files, which have no presentation times, only if their packets are independent pictures.
_INDEXED_FORMATS = ("mov", "matroska")
# Every packet is an independent picture and is returned at once, so other packets need no decoding.
_INTRA_ONLY_CODECS = frozenset(
    {"mjpeg", "rawvideo", "huffyuv", "ffvhuff", "ffv1", "utvideo", "png", "prores", "dnxhd"}
)
# Codecs whose packets show one frame each, in containers with presentation times, as long as no picture refers to one
# before its key frame.
_CLOSED_GROUP_CODECS = frozenset({"h264", "hevc"})
# Bytes of decoded pictures kept by the probe, so that a short video is decoded once (our choice).
KEPT_BYTES = 128_000_000
# A file that changed this recently may change again within the resolution of its time stamp (our choice).
_SETTLED_SECONDS = 2.0
# Degrees by which a display matrix may miss a quarter turn (our choice; FFmpeg's own autorotation allows 1).
_TURN_TOLERANCE = 2.0


class TruncatedVideoWarning(UserWarning):
    """A video has fewer frames than its container states, and `allow_truncated` is set."""


class UnshownFramesWarning(UserWarning):
    """A video begins with pictures that cannot be decoded, because they refer to pictures that were cut off."""


@dataclass(frozen=True)
class Orientation:
    """Transform of stored pictures to upright ones: first transposed, then mirrored.

    Args:
        transposed (`bool`): Whether rows and columns are swapped.
        flipped_rows (`bool`): Whether the result is turned upside down.
        flipped_columns (`bool`): Whether the result is mirrored left to right.
    """

    transposed: bool = False
    flipped_rows: bool = False
    flipped_columns: bool = False

    def apply(self, frames: np.ndarray) -> np.ndarray:
        """Turn frames upright.

        Args:
            frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): As stored.

        Returns:
            `np.ndarray`: A view; height and width are swapped where `transposed`.
        """
        if self.transposed:
            frames = frames.swapaxes(1, 2)
        rows = slice(None, None, -1) if self.flipped_rows else slice(None)
        columns = slice(None, None, -1) if self.flipped_columns else slice(None)
        return frames[:, rows, columns]

    @classmethod
    def from_matrix(cls, matrix: tuple[int, ...], path: str) -> "Orientation":
        """Read a display matrix.

        Args:
            matrix (`tuple[int, ...]`): Nine numbers `a b u c d v x y w` as in ISO/IEC 14496-12 8.3.2: the point (p, q)
                of a stored picture is shown at (a p + c q + x, b p + d q + y).
            path (`str`): Name of the video in errors.

        Raises:
            VideoReadError: If the matrix is not a combination of quarter turns and mirrors.
        """
        a, b, _, c, d = matrix[:5]
        transposed = abs(b) + abs(c) > abs(a) + abs(d)
        first, second = (b, c) if transposed else (a, d)
        rest = (a, d) if transposed else (b, c)
        limit = np.tan(np.radians(_TURN_TOLERANCE))
        if not first or not second or any(abs(r) > limit * min(abs(first), abs(second)) for r in rest):
            raise VideoReadError(
                f"a video may be turned by quarter turns and mirrored, but the display matrix of {path!r} is "
                f"{matrix}; convert it"
            )
        # Transposed, the stored row gives the column, so b points along the rows and c along the columns.
        down, right = (first, second) if transposed else (second, first)
        return cls(transposed, flipped_rows=down < 0, flipped_columns=right < 0)


@dataclass(frozen=True)
class VideoProbe:
    """Properties of a video file.

    Args:
        path (`str`): Video file.
        frame_count (`int`): Frames that the file shows.
        stored_hw (`tuple[int, int]`): Height and width in pixels as stored, before `orientation`.
        orientation (`Orientation`): Transform that turns the pictures upright.
        frames_per_second (`float`, *optional*): Average rate; `None` where unknown.
        intra_only (`bool`): Whether each frame can be decoded alone.
        plain (`bool`): Whether each packet is one upright frame of 8 bits, in a container and groups of pictures that
            all backends read alike. Any other file is read by PyAV.
        unshown_count (`int`): Pictures at the start that refer to pictures that were cut off.
        damage (`str`, *optional*): Missing or damaged part; `None` for a file that is complete by its container.
        decoded (`bool`): Whether the frames were counted by decoding all of them.
        expected_count (`int`): Frames stated by the container, if any; at least `frame_count`.
        picture_of_frame (`np.ndarray` of shape `(frame_count,)`, *optional*): int64, index of the decoded picture of
            each frame, where some are repeated; else frame i is picture i.
    """

    path: str
    frame_count: int
    stored_hw: tuple[int, int]
    orientation: Orientation
    frames_per_second: float | None
    intra_only: bool
    plain: bool
    unshown_count: int = 0
    damage: str | None = None
    decoded: bool = True
    expected_count: int = 0
    picture_of_frame: np.ndarray | None = field(default=None, compare=False)


def unreadable(path: str, reason: object) -> VideoReadError:
    """Make the error (`VideoReadError`) of a file that a decoder cannot read.

    Args:
        path (`str`): Video file.
        reason (`object`): The decoder's error.
    """
    reason = getattr(reason, "strerror", None) or reason
    return VideoReadError(f"a video must be readable, but {path!r} is not ({reason}); copy or convert it again")


def _too_long(path: str) -> VideoReadError:
    return VideoReadError(f"a video may have {MAX_VIDEO_FRAMES:,} frames, but {path!r} has more; cut it")


def decoding_errors() -> tuple[type[Exception], ...]:
    """Errors of PyAV on unreadable files (`tuple` of exception types)."""
    return av.FFmpegError, OSError


def open_container(path: str) -> tuple[Any, Any]:
    """Open a file with PyAV and find its picture track.

    Args:
        path (`str`): Video file.

    Returns:
        `tuple`: The container, to be closed by the caller, and its stream of pictures.

    Raises:
        VideoReadError: If it is empty, of another kind or without pictures.
    """
    try:
        if os.path.getsize(path) == 0:
            raise VideoReadError(f"a video must hold frames, but {path!r} is empty; copy it again")
        # An absolute path cannot be mistaken for an FFmpeg protocol.
        container = av.open(os.path.abspath(path), options={"format_whitelist": FORMAT_WHITELIST})
    except (av.FFmpegError, OSError, UnicodeError) as error:
        raise unreadable(path, error) from error
    cover = av.stream.Disposition.attached_pic
    tracks = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not tracks:
        container.close()
        raise VideoReadError(f"a video must have a picture track, but {path!r} has none; give another file")
    if tracks[0].codec_context is None:
        container.close()
        raise unreadable(path, "there is no decoder for its pictures")
    return container, tracks[0]


class PictureStream:
    """The pictures of a file in the order of FFmpeg's decoder, and observations while decoding.

    Args:
        path (`str`): Video file.
        container (`av.container.InputContainer`): Open at its start.
        stream (`av.VideoStream`): Its picture track.
        decode (`bool`, *optional*, defaults to `True`): `False` decodes the first picture alone and counts one for
            each packet.
    """

    def __init__(self, path: str, container: Any, stream: Any, decode: bool = True) -> None:
        self.path, self.container, self.stream, self.decode = path, container, stream, decode
        self.first: Any = None
        self.damage: str | None = None
        self.picture_count = self.packet_count = self.discarded = self.unshown_count = 0
        self.only_keys = self.closed_groups = self.in_order = True
        self.last_chunk = -1
        # Index of each repeated picture, and number of repeats, in order.
        self.repeats: list[tuple[int, int]] = []
        self._early_times: list[int] = []
        self._last_time = self._key_time = -(2**63)
        self._is_avi = container.format.name == "avi"
        # The first pictures of a broadcast are rarely complete.
        self._may_start_torn = container.format.name.startswith("mpeg")
        self._errors = decoding_errors()

    def __iter__(self) -> Iterator[Any]:
        """Yield `av.VideoFrame`; end at the first damage."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.is_corrupt and (self.first is not None or not self._may_start_torn):
                    # The file ends inside it, so it would decode to half a picture; earlier ones may still be in the
                    # decoder.
                    self.damage = "a packet is incomplete"
                    yield from self._took(self.stream.codec_context.decode(None))
                    return
                if packet.size:
                    self._note(packet)
                if self.first is not None and not self.decode:
                    continue
                try:
                    pictures = packet.decode()
                except self._errors as error:
                    if self.first is not None or packet.is_keyframe or not packet.size:
                        raise
                    # Packets before the first key frame refer to pictures that were cut off.
                    logger.debug("%s: a leading packet shows nothing (%s)", self.path, error)
                    continue
                yield from self._took(pictures)
        except self._errors as error:
            self.damage = str(getattr(error, "strerror", None) or error)

    def _note(self, packet: Any) -> None:
        self.packet_count += 1
        self.discarded += packet.is_discard
        self.only_keys = self.only_keys and packet.is_keyframe
        if self._is_avi and packet.dts is not None:
            empty = packet.dts - self.last_chunk - 1
            if empty > 0 and self.picture_count:
                self.repeats.append((self.picture_count - 1, empty))
            self.last_chunk = packet.dts
        if not self.decode and not packet.is_discard:
            self.picture_count += 1
        if packet.is_keyframe:
            self._key_time = self._key_time if packet.pts is None else packet.pts
        if packet.is_discard or packet.pts is None or packet.pts < self._key_time or self._key_time == -(2**63):
            self.closed_groups = False
        if packet.pts is not None and not packet.is_discard:
            if self.first is None:
                self._early_times.append(packet.pts)
            elif self.first.pts is not None and packet.pts < self.first.pts:
                self.unshown_count += 1
        if self.packet_count > MAX_VIDEO_FRAMES:
            raise _too_long(self.path)

    def _took(self, pictures: list[Any]) -> Iterator[Any]:
        for picture in pictures:
            if self.first is None:
                self.first = picture
                if picture.pts is not None:
                    self.unshown_count = sum(early < picture.pts for early in self._early_times)
            if picture.pts is not None:
                self.in_order = self.in_order and picture.pts > self._last_time
                self._last_time = picture.pts
            self.picture_count += self.decode
            yield picture

    @property
    def frame_count(self) -> int:
        """Number of frames so far, repeats included."""
        return self.picture_count + sum(count for _, count in self.repeats)

    def picture_of_frame(self) -> np.ndarray | None:
        """Index of the picture of each frame; `None` without repeats."""
        if not self.repeats:
            return None
        shown = np.ones(self.picture_count, dtype=np.int64)
        for picture, count in self.repeats:
            shown[picture] += count
        return np.repeat(np.arange(self.picture_count), shown)


def _missing_bytes(path: str) -> int:
    """Bytes missing at the end by the outermost structure of an AVI, MP4 or Matroska file.

    Matroska has no frame count, so a cut would not be detected otherwise.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            end = 0
            # Files above 1 GB are several RIFF lists in a row.
            while head[:4] == b"RIFF" and end < size:
                length = int.from_bytes(head[4:8], "little")
                end += 8 + length + length % 2
                file.seek(end)
                head = file.read(8)
            # Some writers leave out the padding byte of the last chunk.
            return max(0, end - size - 1)
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


def _riff_is_finished(path: str) -> bool:
    """Whether an AVI file has its final length, which interrupted recorders do not write."""
    with open(path, "rb") as file:
        return any(file.read(8)[4:])


def _orientation_of(picture: Any, path: str) -> Orientation:
    matrices = [bytes(item) for item in picture.side_data if item.type.name == "DISPLAYMATRIX"]
    return Orientation.from_matrix(struct.unpack("=9i", matrices[0][:36]), path) if matrices else Orientation()


def _look_through(path: str, kept: list[Any] | None, trust_packets: bool) -> tuple[VideoProbe, bool]:
    """Probe a file once; also returns whether its frame count is reliable."""
    container, stream = open_container(path)
    with container:
        check_frame_size(stream.codec_context.width, stream.codec_context.height, path)
        codec, known_as = stream.codec_context.codec.name, container.format.name
        intra = codec in _INTRA_ONLY_CODECS
        groups = codec in _CLOSED_GROUP_CODECS and ("mov" in known_as or "matroska" in known_as)
        by_packets = trust_packets and (intra or groups)
        pictures = PictureStream(path, container, stream, decode=not by_packets)
        kept_bytes = 0
        for picture in pictures:
            if kept is None or by_packets:
                continue
            kept_bytes += sum(plane.buffer_size for plane in picture.planes)
            if kept_bytes > KEPT_BYTES:
                kept.clear()
                kept = None
            else:
                kept.append(picture)
        first, damage = pictures.first, pictures.damage
        if first is None:
            raise unreadable(path, damage or "no frame decodes")
        if first.format.name.startswith("gray16"):
            check_sixteen_bit_range(int(first.to_ndarray().max()), path)
        promised = max(int(stream.frames) - pictures.discarded, 0)
        if damage is None:
            damage = _what_is_missing(path, pictures, promised)
        if pictures.frame_count > MAX_VIDEO_FRAMES:
            raise _too_long(path)
        orientation = _orientation_of(first, path)
        one_each = damage is None and not pictures.repeats and pictures.picture_count == pictures.packet_count
        alone = intra and pictures.only_keys and damage is None and not pictures.unshown_count
        alone = alone and pictures.picture_count == pictures.packet_count - pictures.discarded
        probe = VideoProbe(
            path=path,
            frame_count=pictures.frame_count,
            stored_hw=(first.height, first.width),
            orientation=orientation,
            frames_per_second=float(stream.average_rate) if stream.average_rate else None,
            intra_only=alone,
            plain=one_each
            and pictures.in_order
            and orientation == Orientation()
            and (alone or (pictures.closed_groups and any(name in known_as for name in _INDEXED_FORMATS)))
            and max(component.bits for component in first.format.components) <= 8,
            unshown_count=pictures.unshown_count,
            damage=damage,
            decoded=not by_packets,
            expected_count=max(pictures.frame_count, promised if damage else 0),
            picture_of_frame=pictures.picture_of_frame(),
        )
        trusted = pictures.only_keys if intra else pictures.closed_groups
        return probe, not by_packets or (trusted and damage is None)


def _what_is_missing(path: str, pictures: PictureStream, promised: int) -> str | None:
    """Compare decoded frames with the container's count; an AVI file's empty chunks become repeats."""
    missing = _missing_bytes(path)
    if pictures.container.format.name == "avi":
        chunks = pictures.last_chunk + 1
        if 0 < promised < chunks:
            # The header counts clock ticks, which may be more frequent than frames.
            pictures.repeats.clear()
        elif chunks < promised and not missing and _riff_is_finished(path):
            # No bytes are missing, so frames beyond the last packet are empty chunks.
            pictures.repeats.append((pictures.picture_count - 1, promised - chunks))
            chunks = promised
        short = chunks < promised
    else:
        # An edit list may hide frames without a change in the packets; the boxes show that the file is complete.
        short = pictures.packet_count - pictures.discarded < promised
        short = short and (bool(missing) or "mov" not in pictures.container.format.name)
    if short:
        return f"{pictures.frame_count} of {promised} frames"
    return f"{missing} bytes are missing" if missing else None


# Recent probes, so that clips of one recording, and a corpus and its reader, probe a file once.
_known: dict[tuple[str, int, int], VideoProbe] = {}
_MAX_KNOWN = 4096


def probe_video(path: str, allow_truncated: bool = False, kept: list[Any] | None = None) -> VideoProbe:
    """Probe a video file: count its frames and check that it is complete.

    Packets are counted where each is known to be one frame: codecs with independent pictures (MJPEG,
    HuffYUV, raw), and H.264 and HEVC in MP4 and Matroska with closed groups of pictures. All other files are decoded.

    Args:
        path (`str`): Video file, see `VIDEO_SUFFIXES`.
        allow_truncated (`bool`, *optional*, defaults to `False`): Accept files with missing frames; then every file is
            decoded.
        kept (`list`, *optional*): Filled with the decoded pictures (`av.VideoFrame`) where all of them were decoded
            and take at most `KEPT_BYTES`; else it stays empty.

    Returns:
        `VideoProbe`: Size, frames, orientation and rate.

    Raises:
        VideoReadError: If the file is empty, of another kind, without pictures, damaged or truncated.
    """
    if av is None:
        raise VideoReadError(f"PyAV must be installed to read {path!r}; run pip install av")
    try:
        status = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from error
    key = (os.path.abspath(path), status.st_size, status.st_mtime_ns)
    probe = _known.get(key)
    if probe is None or (allow_truncated and not probe.decoded):
        probe, holds = _look_through(path, kept, trust_packets=not allow_truncated)
        if not holds:
            probe, _ = _look_through(path, kept, trust_packets=False)
        if time.time() - status.st_mtime > _SETTLED_SECONDS:
            if len(_known) >= _MAX_KNOWN:
                _known.clear()
            _known[key] = probe
    probe = replace(probe, path=path)
    if probe.damage is not None and not allow_truncated:
        raise VideoReadError(
            f"a video must be whole, but {path!r} is cut or damaged ({probe.damage}); copy it again or set "
            "allow_truncated=True"
        )
    return probe


def describe_losses(probe: VideoProbe) -> list[str]:
    """Describe the missing frames of a file.

    Args:
        probe (`VideoProbe`): Probe of the file.

    Returns:
        `list[str]`: One sentence each; empty for a whole file.
    """
    return [text for _, text in _losses(probe)]


def warn_of_losses(probe: VideoProbe) -> None:
    """Issue the sentences of `describe_losses` as `TruncatedVideoWarning` and `UnshownFramesWarning`.

    Args:
        probe (`VideoProbe`): Probe of the file.
    """
    for category, text in _losses(probe):
        warnings.warn(text, category, stacklevel=3)


def _losses(probe: VideoProbe) -> list[tuple[type[UserWarning], str]]:
    losses: list[tuple[type[UserWarning], str]] = []
    if probe.damage is not None:
        text = f"is cut or damaged: {probe.frame_count} of at least {probe.expected_count} frames are read"
        losses.append((TruncatedVideoWarning, f"{probe.path!r} {text}"))
    if probe.unshown_count:
        text = (
            f"the first {probe.unshown_count} pictures of {probe.path!r} refer to pictures that were cut off and "
            f"cannot be shown; the {probe.frame_count} after them are read"
        )
        losses.append((UnshownFramesWarning, text))
    return losses
