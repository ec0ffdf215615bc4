"""Leave-one-subject-out on as many clips as CASME II has: 246 clips, 26 folds.

    python -m benchmarks loso                                # one fold in this process, and an estimate of all
    python -m benchmarks loso run --folds 26 --epochs 30     # train.py, as a user calls it
    python -m benchmarks loso share --device cuda --at_once 1 2 4 8       # processes, CUDA streams, torch.func

Clips are noise at 64 pixels, aligned already. The estimate is for a machine with nothing else to do: processor time of
one thread over the folds at once, reading, augmentation, predictions and checkpoints included, imports not.
"""

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.timing import Row, both_seconds, parse, parser, report, time_command
from benchmarks.training import StoredClips, build_trainer

ALL_FOLDS, ALL_EPOCHS, NUM_CLIPS, CLIPS_PER_STEP = 26, 30, 246, 16


def estimated_rows(at_once: list[int], precisions: list[str], steps: int) -> list[Row]:
    """Train one fold by few and by more steps, and estimate the whole protocol from both."""
    rows = []
    planned = -(-ALL_EPOCHS * NUM_CLIPS * (ALL_FOLDS - 1) // ALL_FOLDS // CLIPS_PER_STEP)
    for precision in precisions:
        few, more = (_fold_seconds(precision, number) for number in (2, 2 + steps))
        step_s = (more - few) / steps
        fold_s = few + step_s * (planned - 2)
        for number in at_once:
            rows.append(
                {
                    "precision": precision,
                    "one step of 16 clips, processor ms": step_s * 1e3,
                    "a fold without its steps, s": few - 2 * step_s,
                    "folds at once": number,
                    "26 folds x 30 epochs, min (estimate)": fold_s * ALL_FOLDS / number / 60,
                }
            )
    return rows


def _fold_seconds(precision: str, steps: int) -> float:
    """Processor seconds of one fold of `tiny`."""
    with tempfile.TemporaryDirectory() as folder:
        clips = StoredClips(Path(folder) / "clips", NUM_CLIPS)
        trainer = build_trainer(clips, Path(folder), "tiny", steps, mixed_precision=precision)
        return both_seconds(trainer.train)[1]


def run_rows(folds: int, epochs: int, at_once: list[int], precisions: list[str]) -> list[Row]:
    """Time train.py on a tree in CASME II's layout."""
    from tests.fakes.fake import make_fake_corpus

    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = make_fake_corpus("casme2", folder / "CASME II", full_size=True, frame_size=64)
        names = "all" if folds >= ALL_FOLDS else ",".join(f"sub{number:02d}" for number in range(1, folds + 1))
        for precision in precisions:
            for number in at_once:
                arguments = [
                    *("--corpus", "casme2", "--data_dir", str(data), "--label_set", "5class", "--preset", "tiny"),
                    *("--folds", names, "--epochs", str(epochs), "--final_model", "false", "--cache_dir"),
                    *(str(folder / "clips"), "--output_dir", str(folder / f"{precision}{number}")),
                    *("--folds_at_once", str(number), "--mixed_precision", precision),
                    *("--processor_overrides", "alignment=none"),
                ]
                command = [sys.executable, "train.py", *arguments]
                wall, processor = time_command(command, {"HF_HOME": str(folder / "home")})
                rows.append(
                    {
                        "precision": precision,
                        "folds at once": number,
                        "folds x epochs": f"{folds} x {epochs}",
                        "min": wall / 60,
                        "processor min": processor / 60,
                    }
                )
    return rows


def main() -> int:
    """Parse the command line, measure, print."""
    made = parser(__doc__ or "", rounds=20)
    made.add_argument("what", nargs="?", choices=["estimate", "run", "share"], default="estimate")
    made.add_argument("--folds", type=int, default=2, help="run: folds that are trained (2)")
    made.add_argument("--epochs", type=int, default=2, help="run: passes over the training clips (2)")
    made.add_argument("--at_once", type=int, nargs="+", default=[1, 2], help="folds at once (1 2)")
    made.add_argument("--mixed_precision", nargs="+", default=["no", "bf16"])
    made.add_argument("--preset", default="tiny", help="share: the network (tiny)")
    made.add_argument("--batch_size", type=int, default=16, help="share: clips per step (16)")
    options = parse(made)
    if options.what == "share":
        from benchmarks.sharing import sharing_rows

        rows = sharing_rows(options)
        report("loso", {"Folds on one device": rows}, options)
        return 0
    if options.what == "run":
        rows = run_rows(options.folds, options.epochs, options.at_once, options.mixed_precision)
    else:
        torch.set_num_threads(1)
        rows = estimated_rows(options.at_once, options.mixed_precision, options.rounds)
    report("loso", {"Leave one subject out": rows}, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
