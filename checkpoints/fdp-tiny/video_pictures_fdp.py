"""The pictures of a video file as FFmpeg's decoder returns them, through PyAV, and what its packets say about them."""

import logging
import os
import struct
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from .frame_source_fdp import MAX_RECORDING_FRAMES, VideoReadError
from .video_orientation_fdp import Orientation

try:
    import av
except ImportError:
    av = None  # type: ignore[assignment]  # None: the package is missing

logger = logging.getLogger(__name__)

Picture: TypeAlias = "av.VideoFrame"
# FFmpeg's formats of `VIDEO_SUFFIXES`; its others (playlists, image pipes, network formats) are not opened.
FORMAT_WHITELIST = "avi,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,mpeg,mpegts,mpegvideo"


def unreadable(path: str, reason: object) -> VideoReadError:
    """Make the error (`VideoReadError`) of a file that a decoder cannot read.

    Args:
        path (`str`): Video file.
        reason (`object`): The decoder's error.
    """
    reason = getattr(reason, "strerror", None) or reason
    return VideoReadError(f"a video must be readable, but {path!r} is not ({reason}); copy or convert it again")


def too_long(path: str) -> VideoReadError:
    """Make the error (`VideoReadError`) of a file with more than `MAX_RECORDING_FRAMES` frames."""
    return VideoReadError(f"a video may have {MAX_RECORDING_FRAMES:,} frames, but {path!r} has more; cut it")


def decoding_errors() -> tuple[type[Exception], ...]:
    """Errors of PyAV on unreadable files (`tuple` of exception types)."""
    return av.FFmpegError, OSError


def open_container(path: str) -> "tuple[av.container.InputContainer, av.VideoStream]":
    """Open a file with PyAV and find its picture track.

    Args:
        path (`str`): Video file.

    Returns:
        `tuple`: The container, to be closed by the caller, and its stream of pictures.

    Raises:
        VideoReadError: If it is empty, of another kind or without pictures, or PyAV is missing.
    """
    if av is None:
        raise VideoReadError(f"PyAV must be installed to read {path!r}; run pip install av")
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

    def __init__(
        self, path: str, container: "av.container.InputContainer", stream: "av.VideoStream", decode: bool = True
    ) -> None:
        self.path, self.container, self.stream, self.decode = path, container, stream, decode
        self.first: av.VideoFrame | None = None
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

    def __iter__(self) -> Iterator[Picture]:
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

    def _note(self, packet: "av.Packet[av.VideoStream]") -> None:
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
        if self.packet_count > MAX_RECORDING_FRAMES:
            raise too_long(self.path)

    def _took(self, pictures: list[Picture]) -> Iterator[Picture]:
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


def orientation_of(picture: Picture, path: str) -> Orientation:
    """Read the display matrix of a picture (`Orientation`); pictures without one are stored upright.

    Args:
        picture (`av.VideoFrame`): First picture of the video.
        path (`str`): Name of the video in errors.

    Raises:
        VideoReadError: If the matrix is not a combination of quarter turns and mirrors.
    """
    # PyAV's types declare the items as text.
    items = (item for item in picture.side_data if item.type.name == "DISPLAYMATRIX")  # type: ignore[attr-defined]
    matrices = [bytes(item) for item in items]  # type: ignore[arg-type]
    return Orientation.from_matrix(struct.unpack("=9i", matrices[0][:36]), path) if matrices else Orientation()
