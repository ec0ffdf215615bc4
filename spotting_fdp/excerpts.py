"""Films of the expressions that were found in a recording, to look at: slow, with what lies around them.

They show the face. Nothing in this package writes them but the page of app.py, which deletes them.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from processing_fdp.frame_source_fdp import FrameSource
from spotting_fdp.spotter import SpottedExpression

# Seconds shown before the onset and after the offset.
MARGIN_S = 0.3
# Times slower than the recording, because a fifth of a second is over before it is seen.
SLOWNESS = 4
# Longest side of a film in pixels, and the most frames of one; of longer stretches every second frame is shown, ...
LARGEST_SIDE, MOST_FRAMES = 480, 240


def write_excerpts(
    frames: FrameSource, rate: float, expressions: Sequence[SpottedExpression], folder: Path
) -> list[Path]:
    """Write one H.264 film per expression, a quarter as fast as the recording.

    Args:
        frames (`FrameSource`): The open recording.
        rate (`float`): Its frames per second.
        expressions (`Sequence[SpottedExpression]`): What was found in it.
        folder (`Path`): Where the films go; it exists.

    Returns:
        `list[Path]`: `expression_01.mp4`, ... in the order of the expressions.
    """
    margin = round(MARGIN_S * rate)
    paths = []
    for number, one in enumerate(expressions, 1):
        shown = np.arange(max(0, one.onset - margin), min(frames.frame_count, one.offset + margin + 1))
        step = -(-len(shown) // MOST_FRAMES)
        path = folder / f"expression_{number:02d}.mp4"
        _write_film(frames.read_rgb(shown[::step]), rate / (SLOWNESS * step), path)
        paths.append(path)
    return paths


def _write_film(pictures: np.ndarray, rate: float, path: Path) -> None:
    """Write uint8 `(num_frames, height, width, 3)` as a film that browsers play, of even sides."""
    height, width = pictures.shape[1:3]
    factor = min(1.0, LARGEST_SIDE / max(height, width))
    size = (2 * max(1, round(width * factor / 2)), 2 * max(1, round(height * factor / 2)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            shown = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
            container.mux(stream.encode(av.VideoFrame.from_image(shown)))
        container.mux(stream.encode())
