"""The command `python -m training_fdp.compare`."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from training_fdp.cli import is_main_process, run_main, say

NAME = "comparison"


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
        "--methods", nargs="+", metavar="NAME", help="which ones, the first is compared with; default: all"
    )
    parser.add_argument(
        "--pretraining",
        type=shlex.split,
        default=[],
        metavar="OPTIONS",
        help="options of train.py in quotes that name clips of other people and how they are learnt, for example "
        "'--corpus synthetic --data_dir OTHERS --epochs 6'; every method then also starts from what it learnt there",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="train nothing: check the corpora and every method, and list the runs"
    )
    parser.add_argument("--docs", type=Path, help=f"Markdown file whose block `{NAME}` is replaced by the table")
    return parser.parse_known_args(arguments)


def main() -> int:
    """Read the command line and run it; returns the exit code (`int`), 1 while folds are missing."""
    options, rest = parse_arguments(sys.argv[1:])
    import torch

    from evaluation_fdp.atomic_files import write_json, write_text
    from evaluation_fdp.markdown import write_block
    from training_fdp.config import parse_train_config
    from training_fdp.runs.engine import end_processes

    from .planning import ROWS, plan_rows
    from .running import run_rows
    from .tables import part_as_dict, part_as_text, plans_as_text, table_note

    plans = plan_rows(rest, options.methods or list(ROWS), options.pretraining)
    if options.dry_run:
        end_processes()
        if is_main_process():
            say(plans_as_text(plans))
        return 0
    parts = run_rows(plans)
    end_processes()
    if not is_main_process():
        return 0
    root = Path(str(parse_train_config(rest).run.output_dir))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    note = table_note(device, torch.get_num_threads())
    text = "\n\n".join([*(part_as_text(part) for part in parts), note])
    write_text(root / f"{NAME}.md", f"{text}\n")
    command = f"python -m training_fdp.compare {shlex.join(sys.argv[1:])}"
    write_json(
        root / f"{NAME}.json", {"command": command, "device": device, "parts": [part_as_dict(part) for part in parts]}
    )
    say(text)
    if options.docs is not None:
        write_block(options.docs, NAME, text)
    return int(any(part.unfinished for part in parts))


if __name__ == "__main__":
    run_main(main)
