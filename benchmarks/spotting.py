"""Spotting in rendered recordings: one row of docs/results/spotting.md, or the rates of false alarms of a threshold.

    python -m hub_datasets generate --output_dir TREE --events_per_recording 8 --neutral_s 2.5 ...
    python -m benchmarks spotting --data_dir TREE --output_dir OUT --model checkpoints/fdp-tiny
    python -m benchmarks spotting --data_dir QUIET_TREE --output_dir OUT --rates

STRS needs a checkpoint, whose classes count as the coarse ones of MEGC. A row names the rate of its frames: render
trees at 30, 60 and 200 per second, or read every second frame of a tree of 60 by `--every 2`. `--crop 1.1` cuts the
face with a side 1.1 times as long. The truth is that of `ground_truth/`, which also has macro-expressions and
recordings without expressions.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from evaluation_fdp.spotting import Expression, iou_of_intervals
from spotting_fdp.face_stream import CropSettings
from spotting_fdp.protocol import LongRecording, SpottedRecording, lenient_spotter, score_recordings, spot_recordings
from spotting_fdp.recognition import CheckpointRecognizer, coarse_class
from training_fdp.cli import run_main

# Thresholds of the table of rates.
SCORES = (*(0.05 * step for step in range(1, 20)), 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10, 12, 14, 17, 20)


def rendered_recordings(root: Path, every: int = 1) -> list[LongRecording]:
    """All recordings of a rendered tree with their ground truth, with one frame of `every` frames."""
    recordings = []
    for path in sorted((root / "ground_truth").glob("*.npz")):
        subject, recording = path.stem.split("_")
        folder = root / "recordings" / subject / recording
        frames = sorted(map(str, folder.glob("*.jpg")))[::every]
        name = f"{subject}/{recording}"
        with np.load(path) as truth:
            annotated = [
                Expression(name, round(onset / every), round(offset / every), kind, coarse_class(str(emotion)))
                for column, kind in (("event", "micro"), ("macro", "macro"))
                for (onset, _, offset), emotion in zip(
                    truth[f"{column}_frames"], truth[f"{column}_emotions"], strict=True
                )
            ]
            recordings.append(
                LongRecording(name, subject, frames, float(truth["fps"]) / every, len(frames), annotated)
            )
    return recordings


def false_alarms(spotted: list[SpottedRecording]) -> list[float]:
    """Scores of all intervals that touch no annotated expression."""
    return [
        score
        for one in spotted
        for found, score in one.found
        if not any(iou_of_intervals(found, true) > 0 for true in one.recording.annotated)
    ]


def main() -> None:
    """Spot the recordings of a tree, then print its row or its rates."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks spotting", description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="a rendered tree")
    parser.add_argument("--output_dir", type=Path, required=True, help="results; finished recordings are kept")
    parser.add_argument("--model", help="checkpoint that names the expressions; none by default")
    parser.add_argument("--closed_form", action="store_true", help="spot without the checkpoint's network")
    parser.add_argument("--false_alarms_per_minute", type=float, help="that of the network's file by default")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="read only every N-th frame (1)")
    parser.add_argument("--crop", type=float, default=1.0, metavar="FACTOR", help="side of the crop over the usual")
    parser.add_argument("--rates", action="store_true", help="print false alarms a minute by threshold instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recognizer = None if options.model is None else CheckpointRecognizer(options.model)
    recordings = rendered_recordings(options.data_dir, options.every)
    started = time.perf_counter()
    # A folder for each `every` and `crop`, because finished recordings are not spotted again and other frames give
    # other intervals.
    found = options.output_dir if options.every == 1 else options.output_dir / f"every_{options.every}"
    found = found if options.crop == 1 else found / f"crop_{options.crop:g}"
    crop = CropSettings(crop_scale=options.crop * CropSettings.crop_scale)
    spotter = lenient_spotter(recognizer, options.model, options.closed_form, crop)
    spotted = spot_recordings(recordings, found, spotter, options.model)
    seconds = time.perf_counter() - started
    minutes = sum(one.minutes for one in spotted)
    if options.rates:
        alarms = np.array(false_alarms(spotted))
        rates = ", ".join(f"({score:g}, {(alarms >= score).sum() / minutes:.3f})" for score in SCORES)
        print(f"{minutes:.1f} minutes, (least score, false alarms a minute): {rates}")
        return
    least = spotter.rates.least_score(options.false_alarms_per_minute)
    figures, strict = (score_recordings(spotted, least, iou, options.model is not None) for iou in (0.5, 0.7))
    print(
        "| set | fps | expressions | minutes | P | R | F1 | IoU 0.7 | F1 micro | F1 macro | false alarms/min | STRS |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    rates = "/".join(f"{rate:g}" for rate in sorted({one.fps for one in recordings}))
    total, both = figures.any_kind, figures.together
    strs = "" if both.strs is None else f"{both.strs:.2f}"
    print(
        f"| {options.data_dir.name} | {rates} | {total.true_positives + total.false_negatives} | {minutes:.1f} "
        f"| {total.precision:.2f} | {total.recall:.2f} | {total.f1:.2f} | {strict.any_kind.f1:.2f} "
        f"| {figures.micro.f1:.2f} | {figures.macro.f1:.2f} | {figures.false_alarms_per_minute:.2f} | {strs} |"
    )
    print(f"read and spotted in {seconds:.0f} s of one thread: {60 * minutes / seconds:.1f} times real time")


if __name__ == "__main__":
    run_main(main)
