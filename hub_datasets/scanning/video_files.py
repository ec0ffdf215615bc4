"""Looking at video files without decoding them."""

from pathlib import Path

import av


def probe_video(path: Path) -> tuple[int, float | None] | str:
    """Number of frames and frame rate of a video, without decoding it.

    Args:
        path (`Path`): A video file.

    Returns:
        `tuple[int, float | None]` or `str`: the reason, when it cannot be read.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return "it holds no picture"
            stream = container.streams.video[0]
            rate = stream.average_rate
            count = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
    except (av.FFmpegError, OSError, ValueError) as error:
        return str(error)
    return (count, float(rate) if rate else None) if count else "it holds no frame"
