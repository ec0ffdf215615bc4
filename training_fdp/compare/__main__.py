"""The command `python -m training_fdp.compare`."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from training_fdp.cli import is_main_process, run_main, say


def parse_arguments(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split a command line into the options of this command and those of `train.py` (`(options, rest)`)."""
    parser = argparse.ArgumentParser(
        prog="python -m training_fdp.compare",
        description="Run FDP, the other systems of the field and plain baselines on the same folds, into one table. "
        "Every other option is one of train.py and holds for all of them (--corpus, --data_dir, --label_set, "
        "--protocol, --seeds, --output_dir, ...).",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", help="rows of the table; each is compared with the first; default: all"
    )
    parser.add_argument(
        "--pretraining",
        type=shlex.split,
        default=[],
        metavar="OPTIONS",
        help="options of train.py in quotes that name clips of other people and how they are learnt, for example "
        "'--corpus synthetic --data_dir OTHERS --epochs 6'; every method then also starts from these weights",
    )
    parser.add_argument(
        "--row",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "OPTIONS"),
        help="options of train.py in quotes for one row alone, for example --row mol '--face_model FACES'",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="train nothing: check the corpora and every method, and list the runs"
    )
    parser.add_argument("--docs", type=Path, help="Markdown file whose block `comparison` is replaced by the table")
    return parser.parse_known_args(arguments)


def main() -> int:
    """Run the command line; return the exit code (`int`), 1 while folds are missing."""
    options, rest = parse_arguments(sys.argv[1:])
    from evaluation_fdp.markdown import write_block
    from training_fdp.config import parse_train_config
    from training_fdp.runs.engine import end_processes

    from .planning import ROWS, plan_rows
    from .running import Part, run_rows
    from .tables import NAME, plans_as_text, write_tables

    plans = plan_rows(
        rest,
        options.methods or list(ROWS),
        options.pretraining,
        {name: shlex.split(own) for name, own in options.row},
    )
    if options.dry_run:
        end_processes()
        if is_main_process():
            say(plans_as_text(plans))
        return 0
    root = Path(str(parse_train_config(rest).run.output_dir))
    command = f"python -m training_fdp.compare {shlex.join(sys.argv[1:])}"
    parts: list[Part] = []
    for part in run_rows(plans):
        parts.append(part)
        if is_main_process():  # after each part, because the next one takes as long
            text = write_tables(parts, root, command)
            say(text)
            if options.docs is not None:
                write_block(options.docs, NAME, text)
    end_processes()
    return int(any(part.unfinished for part in parts))


if __name__ == "__main__":
    run_main(main)
