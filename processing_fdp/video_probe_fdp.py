"""Probe of a video file before it is read: its frames, their orientation, and whether it is complete.

Frames are defined here and nowhere else: the pictures that FFmpeg's decoder returns, in that order. Packets are not
frames: some hold no picture, some refer to pictures that were cut off, and an empty chunk of an AVI file repeats the
last picture.

Every file is probed with PyAV, whichever backend then decodes, because it alone detects truncated or damaged files
(decord 0.6 returns 200 of 400 frames of an AVI cut in half, without an error).
"""

import os
import time
import warnings
from dataclasses import dataclass, field, replace

import numpy as np

from .frame_source_fdp import MAX_RECORDING_FRAMES, VideoReadError, check_frame_size, check_sixteen_bit_range
from .video_orientation_fdp import Orientation
from .video_pictures_fdp import (
    Picture,
    PictureStream,
    open_container,
    orientation_of,
    too_long,
    unreadable,
)
from .video_structure_fdp import missing_bytes, riff_is_finished

# The suffixes under which a corpus folder is searched for videos; a given path is opened with any suffix.
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".m4v")
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


class TruncatedVideoWarning(UserWarning):
    """A video has fewer frames than its container states, and `allow_truncated` is set."""


class UnshownFramesWarning(UserWarning):
    """A video begins with pictures that cannot be decoded, because they refer to pictures that were cut off."""


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


def _look_through(path: str, kept: list[Picture] | None, trust_packets: bool) -> tuple[VideoProbe, bool]:
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
        if pictures.frame_count > MAX_RECORDING_FRAMES:
            raise too_long(path)
        orientation = orientation_of(first, path)
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
    missing = missing_bytes(path)
    if pictures.container.format.name == "avi":
        chunks = pictures.last_chunk + 1
        if 0 < promised < chunks:
            # The header counts clock ticks, which may be more frequent than frames.
            pictures.repeats.clear()
        elif chunks < promised and not missing and riff_is_finished(path):
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


def probe_video(path: str, allow_truncated: bool = False, kept: list[Picture] | None = None) -> VideoProbe:
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
        VideoReadError: If the file is empty, of another kind, without pictures, damaged or truncated, or PyAV is
            missing.
    """
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
