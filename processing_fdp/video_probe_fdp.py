"""A look through a video file before anything decodes it: kind, size, rotation, and whether it is whole.

PyAV looks at every file, whichever backend then decodes: it alone tells a truncated or damaged file from a whole one
(decord hands out 200 of 400 frames of a cut AVI without a word; fact sheet on the Hugging Face stack, section 8).
"""

import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any

from .frame_source_fdp import VideoReadError, check_frame_size

try:
    import av
except ImportError:
    av = None  # type: ignore[assignment]  # None says that the package is missing

logger = logging.getLogger(__name__)

# Seven hours at 200 fps; more is a damaged index (our choice).
MAX_VIDEO_FRAMES = 5_000_000
# The containers of the corpora; everything else FFmpeg knows (playlists, image pipes, network formats) stays shut.
FORMAT_WHITELIST = "avi,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
# Every packet is a picture of its own and comes out at once, so unwanted ones need no decoding.
_INTRA_ONLY_CODECS = frozenset(
    {"mjpeg", "rawvideo", "huffyuv", "ffvhuff", "ffv1", "utvideo", "png", "prores", "dnxhd"}
)


class TruncatedVideoWarning(UserWarning):
    """A video has fewer frames than its container promises, and `allow_truncated` let it pass."""


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


def unreadable(path: str, reason: object) -> VideoReadError:
    """Make the error (`VideoReadError`) of a file that a decoder gave up on.

    Args:
        path (`str`): Video file.
        reason (`object`): The decoder's error.
    """
    reason = getattr(reason, "strerror", None) or reason
    return VideoReadError(f"a video must be readable, but {path!r} is not ({reason}); copy or convert it again")


def open_container(path: str) -> tuple[Any, Any]:
    """Open a file with PyAV and find its picture track.

    Args:
        path (`str`): Video file.

    Returns:
        `tuple`: The container, to be closed by the caller, and its stream of pictures.

    Raises:
        VideoReadError: If it is empty, of another kind or without pictures.
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
    container, stream = open_container(path)
    with container:
        codec = stream.codec_context
        check_frame_size(codec.width, codec.height, path)
        first, count, hidden, only_keys, damage = None, 0, 0, True, None
        try:
            for packet in container.demux(stream):
                if first is None:
                    first = next(iter(packet.decode()), None)
                if not packet.size:
                    continue
                # What an edit list cuts off is in the file, but not in the film.
                hidden += packet.is_discard
                count += not packet.is_discard
                only_keys = only_keys and packet.is_keyframe
                if count > MAX_VIDEO_FRAMES:
                    raise VideoReadError(
                        f"a video may have {MAX_VIDEO_FRAMES:,} frames, but {path!r} has more; cut it"
                    )
        except (av.FFmpegError, OSError) as error:
            damage = error
        if first is None:
            raise unreadable(path, damage or "no frame decodes")
        missing = _missing_bytes(path)
        promised = max(int(stream.frames) - hidden, 0)
        if "mov" in container.format.name and not missing:
            # An edit list may cut frames off without a trace among the packets; the boxes tell that all is there.
            promised = 0
        rate = float(stream.average_rate) if stream.average_rate else None
        # A packed bitstream (DivX, Xvid) holds one placeholder packet per B-frame, so only decoding counts its frames.
        packed = codec.name == "mpeg4"
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
    container, stream = open_container(path)
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
