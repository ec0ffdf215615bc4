"""How cost grows: `python -m benchmarks scaling [memory] [listing] [preparation]`.

`memory`: peak resident memory of training `tiny` on 250 and on 25,000 clips, each in a process of its own; the second
repeats the pixels of the first. `listing`: seconds to list a corpus, against clips and frames. `preparation`: seconds
to align clips, against clips, frames per clip, image side and processes, with the exponent of the power law by least
squares of the logarithms: 1 is proportional, 0 constant.
"""

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.data import clip_rows
from benchmarks.timing import ROOT, Row, both_seconds, exponent, parse, parser, peak_resident_bytes, report
from benchmarks.training import StoredClips, build_trainer

MEMORY_CLIPS = (250, 25_000)
# Sizes of a corpus that is listed: clips, frames in each.
LISTINGS = ((250, 10), (1000, 10), (4000, 10), (1000, 40))
CLIPS_PER_SUBJECT = 25


def write_tree(root: Path, clip_count: int, frame_count: int) -> None:
    """Write a CSV corpus whose frames are links to a few images: the cost of listing without the disk space."""
    from tests.fakes.fake import FrameWriter

    writer_of_frames = FrameWriter(16, 0)
    with (root / "clips.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "subject", "label", "onset", "apex", "offset"])
        for clip in range(clip_count):
            subject = f"s{clip // CLIPS_PER_SUBJECT:04d}"
            folder = root / "clips" / subject / f"c{clip:05d}"
            writer_of_frames.write(folder, (1,), "img{}.jpg")
            for number in range(2, frame_count + 1):
                os.link(folder / "img1.jpg", folder / f"img{number}.jpg")
            path = folder.relative_to(root).as_posix()
            writer.writerow([path, subject, ("negative", "positive", "surprise")[clip % 3], 1, 2, frame_count])


class RepeatedClips:
    """Many clips that repeat the pixels of a few, so that only their number grows.

    Args:
        clips (`StoredClips`): Clips that are repeated.
        count (`int`): Number of clips.
    """

    def __init__(self, clips: StoredClips, count: int) -> None:
        self.clips, self.count = clips, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        """Return one clip."""
        return self.clips[index % len(self.clips)]


def train_and_print_memory(count: int, steps: int) -> None:
    """Train and predict one fold, then print the peak resident memory of this process in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        clips = RepeatedClips(StoredClips(Path(folder) / "clips", min(count, 250)), count)
        trainer = build_trainer(clips, Path(folder), "tiny", steps)
        # 25 held-out clips, as of the small corpus, because predicting 2,500 takes long and needs no more memory.
        trainer.fold = replace(trainer.fold, test_indices=trainer.fold.test_indices[:25])
        trainer.train()
    print(f"{peak_resident_bytes() / 2**20:.0f}")


def memory_rows(steps: int) -> list[Row]:
    """Peak resident memory of a run, against clips."""
    rows = []
    for count in MEMORY_CLIPS:
        code = f"from benchmarks.scaling import train_and_print_memory; train_and_print_memory({count}, {steps})"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        rows.append({"clips": count, "training tiny, peak MiB": int(done.stdout.split()[-1])})
    return rows


def listing_rows() -> list[Row]:
    """Seconds to list a corpus of files and to write its rows, against clips and frames."""
    import datasets

    datasets.disable_progress_bars()
    rows = []
    for clips, frames in LISTINGS:
        with tempfile.TemporaryDirectory() as folder:
            write_tree(Path(folder), clips, frames)
            first, again = list_twice(Path(folder))
        rows.append(
            {
                "clips": clips,
                "frames per clip": frames,
                "listing, processor s": first,
                "again, processor s": again,
            }
        )
    return rows


def listing_exponents(rows: Sequence[Row]) -> list[Row]:
    """Exponents of listing against clips and against frames, the other held (`list[dict]`)."""
    held = {"clips": ("frames per clip", LISTINGS[0][1]), "frames per clip": ("clips", LISTINGS[-1][0])}
    fitted = []
    for size, (other, value) in held.items():
        chosen = [row for row in rows if row[other] == value]
        fitted.append(
            {
                "listing against": size,
                "from": min(row[size] for row in chosen),
                "to": max(row[size] for row in chosen),
                **{
                    f"exponent, {way}": exponent(
                        [row[size] for row in chosen], [row[f"{way}, processor s"] for row in chosen]
                    )
                    for way in ("listing", "again")
                },
            }
        )
    return fitted


def list_twice(root: Path) -> list[float]:
    """Processor seconds to list a corpus and write its rows, the first time and from the cache."""
    from hub_datasets import get_builder_class

    builder_class = get_builder_class("custom")

    def prepare() -> object:
        return builder_class(data_dir=root, cache_dir=root / "cache").prepare()

    return [both_seconds(prepare)[1] for _ in range(2)]


def align(clips: int, frames: int, side: int, processes: int) -> tuple[float, float]:
    """Align clips that are not cached; seconds by the clock and of the processor."""
    from processing_fdp.video_processing_fdp import FDPVideoProcessor
    from training_fdp.data.aligned_clips import prepare_clips

    with tempfile.TemporaryDirectory() as folder:
        dataset, _, table = clip_rows(Path(folder), clips, frames)
        processor = FDPVideoProcessor(size=side, alignment="precomputed", landmarks_path=str(table))
        return both_seconds(lambda: prepare_clips(dataset, processor, Path(folder) / "cache", num_proc=processes))


def preparation_rows(clips: int) -> list[Row]:
    """Seconds to align clips; one size changes at a time, by factors of 2."""
    usual = {"clips": clips, "frames": 16, "side": 64, "processes": 1}
    align(**usual)  # not counted, because the first call also imports libraries
    rows = []
    for size, value in usual.items():
        points = [value * factor for factor in ((1, 2) if size == "processes" else (1, 2, 4))]
        walls, processors = zip(*(align(**{**usual, size: point}) for point in points), strict=True)
        rows.append(
            {
                "alignment against": size,
                "from": points[0],
                "to": points[-1],
                "processor s": f"{processors[0]:.2f} to {processors[-1]:.2f}",
                "exponent of processor time": exponent(points, processors),
                "exponent of time by the clock": exponent(points, walls),
            }
        )
    return rows


def main() -> int:
    """Parse the command line, measure, print."""
    made = parser(__doc__ or "", rounds=3)
    kinds = ("memory", "listing", "preparation")
    made.add_argument("what", nargs="*", choices=[*kinds, []], default=list(kinds))
    made.add_argument("--clips", type=int, default=16, help="preparation: the smallest number of clips (16)")
    options = parse(made)
    tables: dict[str, list[Row]] = {}
    if "memory" in options.what:
        tables["Memory"] = memory_rows(options.rounds)
    if "listing" in options.what:
        tables["Listing a corpus"] = listing_rows()
        tables["Exponents of listing, processor time"] = listing_exponents(tables["Listing a corpus"])
    if "preparation" in options.what:
        tables["Aligning clips"] = preparation_rows(options.clips)
    report("scaling", tables, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
