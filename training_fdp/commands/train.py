"""Train and evaluate a network: `fdp-train`, `python -m training_fdp` or `train.py`."""

import sys
from collections.abc import Sequence
from typing import NoReturn

from training_fdp.cli import no_garbage_collection, run_main


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, or report a run that is finished.

    Args:
        arguments (`Sequence[str]`, *optional*): Command line without the program's name; that of the process when
            omitted.

    Returns:
        `int`: the exit code.
    """
    # Imported late, because --help needs less, and a finished run too.
    from training_fdp.config import parse_train_config

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    config = parse_train_config(arguments)
    from training_fdp.runs.finish import report_if_finished

    code = report_if_finished(config, arguments)
    if code is not None:
        return code
    with no_garbage_collection():
        from training_fdp.runs.engine import end_processes
        from training_fdp.runs.run import run

    code = run(config, arguments)
    end_processes()
    return code


def command() -> NoReturn:
    """Run [`main`] and leave the process with its exit code."""
    run_main(main)
