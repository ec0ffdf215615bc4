#!/usr/bin/env python
"""Train and evaluate a network: `accelerate launch train.py --corpus synthetic --output_dir runs/first`."""

import sys

from training_fdp.cli import run_main


def main() -> int:
    """Parse the command line and train; return the exit code (`int`)."""
    from training_fdp.config import parse_train_config
    from training_fdp.runs.finish import report_if_finished

    arguments = sys.argv[1:]
    config = parse_train_config(arguments)
    code = report_if_finished(config, arguments)
    if code is not None:
        return code
    from training_fdp.runs.engine import end_processes
    from training_fdp.runs.run import run

    code = run(config, arguments)
    end_processes()
    return code


if __name__ == "__main__":
    run_main(main)
