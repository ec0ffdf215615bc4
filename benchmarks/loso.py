"""Leave-one-subject-out on a tree of CASME II's size: 246 clips, 26 folds.

    python -m benchmarks loso                   # a few short folds, and from them an estimate of 26 folds x 30 epochs
    python -m benchmarks loso --folds 26 --epochs 30                      # the whole protocol
    python -m benchmarks loso share --device cuda --at_once 1 2 4 8       # processes, CUDA streams, torch.func

Clips are noise at 64 pixels, aligned already. The estimate is for a machine with nothing else to do: it divides
processor time by the folds at once. A run of one step per fold is taken off, and added once.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.timing import Row, parse, parser, report, time_command

ALL_FOLDS, ALL_EPOCHS = 26, 30


def train(data: Path, folder: Path, name: str, folds: int, more: list[str]) -> tuple[float, float]:
    """Train some folds as a user does; seconds of the command by the clock and of the processor."""
    names = ",".join(f"sub{number:02d}" for number in range(1, folds + 1))
    arguments = [
        *("--corpus", "casme2", "--data_dir", str(data), "--label_set", "5class", "--protocol", "loso"),
        *("--preset", "tiny", "--final_model", "false", "--processor_overrides", "alignment=none"),
        *("--cache_dir", str(folder / "clips"), "--output_dir", str(folder / name)),
        *("--folds", names if folds < ALL_FOLDS else "all", *more),
    ]
    return time_command([sys.executable, "train.py", *arguments], {"HF_HOME": str(folder / "home")})


def protocol_rows(folds: int, epochs: int, at_once: int, precisions: list[str]) -> list[Row]:
    """Time short runs, and estimate the whole protocol from them."""
    from tests.fakes.fake import make_fake_corpus

    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = make_fake_corpus("casme2", folder / "CASME II", full_size=True, frame_size=64)
        train(data, folder, "warm-up", 1, ["--max_steps", "1"])
        for precision in precisions:
            more = ["--folds_at_once", str(at_once), "--mixed_precision", precision]
            _, alone = train(data, folder, f"{precision} one step", folds, [*more, "--max_steps", "1"])
            wall, processor = train(data, folder, precision, folds, [*more, "--epochs", str(epochs)])
            epoch_s = (processor - alone) / (folds * epochs)
            rows.append(
                {
                    "precision": precision,
                    "folds at once": at_once,
                    "folds x epochs": f"{folds} x {epochs}",
                    "s": wall,
                    "processor s": processor,
                    "of which one epoch, s": epoch_s,
                    "26 folds x 30 epochs, min (estimate)": (alone + epoch_s * ALL_FOLDS * ALL_EPOCHS) / at_once / 60,
                }
            )
    return rows


def main() -> int:
    """Parse the command line, measure, print."""
    made = parser(__doc__ or "", rounds=60)
    made.add_argument("what", nargs="?", choices=["run", "share"], default="run")
    made.add_argument("--folds", type=int, default=2, help="folds that are trained (2)")
    made.add_argument("--epochs", type=int, default=2, help="passes over the training clips (2)")
    made.add_argument("--at_once", type=int, nargs="+", default=[2], help="folds at once (2); share: several numbers")
    made.add_argument("--mixed_precision", nargs="+", default=["no", "auto"])
    made.add_argument("--preset", default="tiny", help="share: the network (tiny)")
    made.add_argument("--batch_size", type=int, default=16, help="share: clips per step (16)")
    options = parse(made)
    if options.what == "share":
        from benchmarks.sharing import sharing_rows

        rows = sharing_rows(options)
        report("loso", {"Folds on one device": rows}, options)
        return 0
    rows = [
        row
        for at_once in options.at_once
        for row in protocol_rows(options.folds, options.epochs, at_once, options.mixed_precision)
    ]
    report("loso", {"Leave one subject out": rows}, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
