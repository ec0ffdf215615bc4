"""A fake CSV corpus: folders of frames and one video file."""

import csv
import random
from pathlib import Path

import av
import numpy as np

from tests.fakes.fake import FrameWriter

VARIANTS = ("folders", "with-video", "minimal")

_LABELS = ("negative", "positive", "surprise")


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write `clips.csv` and its clips; see [`tests.fakes.fake.make_fake_corpus`]."""
    header: list[str | int] = ["path", "subject", "label", "onset", "apex", "offset", "action_units", "fps"]
    rows: list[list[str | int]] = []
    for number in range(60 if full_size else 9):
        subject, label = f"p{number % 3 + 1:02d}", _LABELS[number // 3 % 3]
        folder = f"recordings/{subject}_{number:02d}"
        onset = rng.randint(1, 5)
        frames.write(root / folder, range(1, 15), "{:04d}.png")
        rows.append([folder, subject, label, onset, onset + 3, onset + 8, "4+L12", 30])
    if variant == "with-video":
        write_video(root / "recordings" / "p01_film.mp4", frame_count=20, fps=25)
        rows.append(["recordings/p01_film.mp4", "p01", "positive", 2, 5, 12, "12", 25])
    width = 3 if variant == "minimal" else len(header)
    with (root / "clips.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(row[:width] for row in [header, *rows])


def write_video(path: Path, frame_count: int, fps: int, size: int = 32) -> None:
    """Write a small video whose frames brighten, so that frame order can be read from the pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(frame_count):
            pixels = np.full((size, size, 3), 40 + 8 * index, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
