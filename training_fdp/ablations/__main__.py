"""The command `python -m training_fdp.ablations`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training_fdp.cli import is_main_process, run_main


def parse_arguments(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split a command line into the options of this command and those of `train.py` (`(options, rest)`)."""
    parser = argparse.ArgumentParser(
        prog="python -m training_fdp.ablations",
        description="Run FDP with one setting changed at a time. Every other option is one of train.py and describes "
        "the reference (--corpus, --protocol, --seeds, --preset, --output_dir, ...).",
        allow_abbrev=False,
    )
    parser.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="only these; default: all")
    parser.add_argument("--groups", nargs="+", default=[], metavar="NAME", help="only these questions")
    parser.add_argument(
        "--pretraining_options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="options of the synthetic corpus of the group `pretraining`, for example "
        "face_model=FACES difficulty=medium fps=60 size=128; this group takes hours and runs only when named",
    )
    parser.add_argument("--docs", type=Path, help="Markdown file whose block `ablations` is replaced by the table")
    return parser.parse_known_args(arguments)


def main() -> int:
    """Read the command line and run it; returns the exit code (`int`)."""
    options, rest = parse_arguments(sys.argv[1:])
    from evaluation_fdp.markdown import write_block
    from training_fdp.config import parse_train_config
    from training_fdp.errors import TrainingError
    from training_fdp.runs.engine import end_processes

    from .running import ablation_table, choose_variants, run_variants
    from .variants import REFERENCE

    results = run_variants(rest, choose_variants(options.variants, options.groups), options.pretraining_options)
    end_processes()
    if not is_main_process():
        return 0
    if REFERENCE not in results:
        raise TrainingError("the table needs the reference, but no fold of it is finished; the messages above say why")
    table = ablation_table(results, Path(str(parse_train_config(rest).run.output_dir)))
    print(table)  # noqa: T201 - output of the command
    if options.docs is not None:
        write_block(options.docs, "ablations", table)
    return 0


if __name__ == "__main__":
    run_main(main)
