"""Time to scan a large corpus: list 10,000 clips, write their rows, load them again.

python benchmarks/corpora.py --clips 10000 --frames 30
"""

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
from peak_memory import peak_resident_bytes

from hub_datasets import get_builder_class
from tests.fakes.fake import FrameWriter

_CLIPS_PER_SUBJECT = 25


def write_tree(root: Path, clip_count: int, frame_count: int) -> None:
    """Write a CSV corpus whose frames are links to a few images: the cost of listing without the disk space."""
    writer_of_frames = FrameWriter(16, 0)
    with (root / "clips.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "subject", "label", "onset", "apex", "offset"])
        for clip in range(clip_count):
            subject = f"s{clip // _CLIPS_PER_SUBJECT:04d}"
            folder = root / "clips" / subject / f"c{clip:05d}"
            writer_of_frames.write(folder, (1,), "img{}.jpg")
            for number in range(2, frame_count + 1):
                os.link(folder / "img1.jpg", folder / f"img{number}.jpg")
            path = folder.relative_to(root).as_posix()
            writer.writerow([path, subject, ("negative", "positive", "surprise")[clip % 3], 1, 2, frame_count])


def timed(step: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a step takes, and its result."""
    start = time.perf_counter()
    result = step()
    return time.perf_counter() - start, result


def measure(clip_count: int, frame_count: int, num_proc: int | None) -> dict[str, float]:
    """Measure one corpus size.

    Args:
        clip_count (`int`): Number of clips.
        frame_count (`int`): Frames in each.
        num_proc (`int`, *optional*): Processes that write rows.

    Returns:
        `dict[str, float]`: seconds of each step, and the peak memory of this process in MiB.
    """
    builder_class = get_builder_class("custom")
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "corpus", Path(folder) / "cache"
        root.mkdir()
        write_seconds, _ = timed(lambda: write_tree(root, clip_count, frame_count))
        before = peak_resident_bytes() / 2**20
        list_seconds, builder = timed(lambda: builder_class(data_dir=root, cache_dir=cache))
        after = peak_resident_bytes() / 2**20
        prepare_seconds, dataset = timed(lambda: builder.prepare(num_proc=num_proc))
        again = builder_class(data_dir=root, cache_dir=cache)
        again_seconds, _ = timed(lambda: again.prepare())
        row_seconds, _ = timed(lambda: [dataset[index] for index in range(0, len(dataset), 10)])
        return {
            "clips": len(dataset),
            "frames": clip_count * frame_count,
            "write_fake_s": round(write_seconds, 2),
            "list_s": round(list_seconds, 2),
            "prepare_s": round(prepare_seconds, 2),
            "load_from_cache_s": round(again_seconds, 2),
            "ms_per_row": round(1000 * row_seconds / max(1, len(dataset) // 10), 3),
            "listing_memory_mib": round(after - before, 1),
            "peak_memory_mib": round(peak_resident_bytes() / 2**20, 1),
        }


def main() -> None:
    """Parse the sizes and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--num_proc", type=int)
    options = parser.parse_args()
    datasets.disable_progress_bars()
    print(json.dumps(measure(options.clips, options.frames, options.num_proc), indent=2))


if __name__ == "__main__":
    main()
