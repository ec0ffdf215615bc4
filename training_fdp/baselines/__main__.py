"""The command `python -m training_fdp.baselines`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training_fdp.cli import is_main_process, run_main


def parse_arguments(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split a command line into the options of this command and those of `train.py`.

    Returns:
        `(options, rest)`: `baselines` and `docs`; all other arguments unchanged.
    """
    from .registry import BASELINES

    parser = argparse.ArgumentParser(
        prog="python -m training_fdp.baselines",
        description="Run baselines on the folds of a protocol. Every other option is one of train.py "
        "(--corpus, --data_dir, --label_set, --protocol, --seeds, --image_size, --output_dir, ...).",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--baselines",
        nargs="+",
        default=list(BASELINES),
        metavar="NAME",
        help=f"which ones; default: {' '.join(BASELINES)}. fdp_released, the authors' network, takes hours without a "
        "GPU and runs only when named",
    )
    parser.add_argument("--docs", type=Path, help="Markdown file whose block `baselines` is replaced by the table")
    return parser.parse_known_args(arguments)


def main() -> int:
    """Read the command line and run it; returns the exit code (`int`)."""
    options, rest = parse_arguments(sys.argv[1:])
    from evaluation_fdp.comparison import comparison_table
    from evaluation_fdp.markdown import write_block
    from training_fdp.runs.engine import end_processes

    from .registry import baseline_titles
    from .running import run_baselines

    results = run_baselines(rest, options.baselines)
    end_processes()
    if not is_main_process():
        return 0
    table = comparison_table(results, baseline_titles())
    print(table)  # noqa: T201 - output of the command
    if options.docs is not None:
        write_block(options.docs, "baselines", table)
    return 0


if __name__ == "__main__":
    run_main(main)
