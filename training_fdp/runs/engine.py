"""Devices, precision and processes of a run."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, parse_flag_from_env

from evaluation_fdp.errors import ConfigError
from training_fdp.config import RunOptions
from training_fdp.folds.options import TrainingOptions
from training_fdp.folds.randomness import set_determinism
from training_fdp.methods.arithmetic import fastest_precision
from training_fdp.runs.trackers import check_tracker

# A process that finishes early waits for the last one, and accelerate's timeout of ten minutes would end the run.
PROCESS_GROUP_TIMEOUT = timedelta(days=7)

Result = TypeVar("Result")


def resolved(options: TrainingOptions) -> TrainingOptions:
    """Return the options (`TrainingOptions`) with the precision that `auto` finds, so that records name it.

    Raises:
        ConfigError: `auto` in several launched processes, whose trials could disagree.
    """
    if options.mixed_precision != "auto":
        return options
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError("--mixed_precision auto is found by one process, but several were launched; give bf16 or no")
    on_card = torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")
    return replace(options, mixed_precision=fastest_precision(torch.device("cuda" if on_card else "cpu")))


def build_accelerator(options: TrainingOptions, run: RunOptions) -> Accelerator:
    """Return the accelerator (`Accelerator`) of a run.

    Args:
        options (`TrainingOptions`): Precision, and how processes share the work.
        run (`RunOptions`): Tracker and folder.

    Raises:
        ConfigError: a precision that the device lacks, a batch that does not divide over the processes, launched
            processes that do not find each other, or a tracker that is not installed.
    """
    launched_with = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched_with not in ("no", options.mixed_precision):
        raise ConfigError(
            f"accelerate launch has --mixed_precision {launched_with} and train.py {options.mixed_precision}; "
            "give the option to train.py, which records it"
        )
    # AcceleratorState is a singleton that refuses another mixed_precision; reset it for the next run in this process
    # (there is no public API). The process group is not affected.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        mixed_precision=options.mixed_precision,
        log_with=check_tracker(run.report_to),
        project_dir=run.output_dir,
        kwargs_handlers=[_process_group(options)],
    )
    if options.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise ConfigError(
            "--mixed_precision fp16 needs a GPU, but this run is on the CPU, where it has no effect; use bf16 or no"
        )
    processes = accelerator.num_processes
    if (launched := int(os.environ.get("WORLD_SIZE", "1"))) != processes:
        # Each would train every fold and write the same files.
        raise ConfigError(
            f"processes that were launched together must work together, but accelerate found {processes} of "
            f"{launched}, as it does without a GPU; set ACCELERATE_USE_CPU=true"
        )
    if options.parallelism == "ddp" and processes > 1:
        if options.batch_size % processes:
            raise ConfigError(
                f"--parallelism ddp splits a batch over the processes, but {options.batch_size} clips do not divide "
                f"by {processes}; choose a multiple for --batch_size"
            )
        if options.auto_batch_size:
            raise ConfigError(
                "--auto_batch_size belongs to --parallelism folds; with ddp give a --batch_size that fits"
            )
    set_determinism(options.deterministic)
    return accelerator


def end_processes() -> None:
    """Destroy the process group. Called once, at the end of a command, because it cannot be created again."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _process_group(options: TrainingOptions) -> InitProcessGroupKwargs:
    """Return backend and timeout of the process group.

    accelerate gives process K of a machine the card K modulo the number of cards, and uses NCCL, which refuses two
    processes on one card. Processes with whole folds exchange only small Python objects, so they use gloo and may
    share cards; processes that share a fold exchange gradients, so they need NCCL and a card each.

    Raises:
        ConfigError: processes that share a fold outnumber the cards.
    """
    if not torch.cuda.is_available() or "LOCAL_RANK" not in os.environ:
        return InitProcessGroupKwargs(timeout=PROCESS_GROUP_TIMEOUT)
    if options.parallelism == "folds":
        return InitProcessGroupKwargs(backend="gloo", timeout=PROCESS_GROUP_TIMEOUT)
    processes, cards = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if processes > cards and not parse_flag_from_env("ACCELERATE_USE_CPU"):
        raise ConfigError(
            f"--parallelism ddp needs a card for each process, but {processes} processes would share {cards}; start "
            "fewer, or leave the option out: whole folds may share a card"
        )
    return InitProcessGroupKwargs(timeout=PROCESS_GROUP_TIMEOUT)


def on_main_first(accelerator: Accelerator, work: Callable[[], Result]) -> Result:
    """Run `work` on the main process first, so that the others find its caches; all stop when it fails.

    Raises:
        ConfigError: on the other processes, when the main process failed; its own error says why.
    """
    if accelerator.num_processes == 1:
        return work()
    outcome = [False]
    try:
        if accelerator.is_main_process:
            result = work()
            outcome = [True]
    finally:
        outcome = broadcast_object_list(outcome)
    if not outcome[0]:
        raise ConfigError("the main process could not prepare the run; its message says why")
    return result if accelerator.is_main_process else work()
