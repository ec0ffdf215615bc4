"""Several folds of one run at once, each in a process of its own that this one starts.

Networks of this size leave a second core idle, and a card between kernels (docs/performance.md), while folds are
independent. Processes exchange nothing but the names of their folds, so that none waits for another; OUT is shared as
by a job array. Launching several processes with accelerate remains for several cards and machines.
"""

import gc
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
from accelerate import Accelerator

from evaluation_fdp.errors import ConfigError
from training_fdp.cli import INTERRUPTED_EXIT_CODE, STOPPED_EXIT_CODE
from training_fdp.config import TrainConfig
from training_fdp.errors import Interrupted
from training_fdp.folds.interruption import Interruption

# A process imports and reads for seconds before its first step, so short runs stay in one.
_LEAST_STEPS = 200
# Memory that a process may need: network, optimiser and activations of the largest preset in batches of 16.
_BYTES_PER_PROCESS = 4 * 2**30
# Seconds between two looks whether this process was asked to stop.
_LOOK_S = 0.5
# Wait for helpers that were asked to stop, so that they finish their step and save it.
_STOPPING_S = 120.0

Failures = dict[str, str]
Help = Callable[..., Failures]


@dataclass(frozen=True)
class Sharing:
    """How the folds of a run are shared.

    Args:
        processes (`int`): Processes, this one included.
        threads (`int`): Threads of each.
    """

    processes: int
    threads: int


def sharing(asked: int | None, num_folds: int, num_steps: int, accelerator: Accelerator) -> Sharing:
    """Choose the number of processes, from all folds of the command, so that a resumed one computes equal bits.

    Args:
        asked (`int`, *optional*): `--folds_at_once`; by default one process per core on a CPU, one on a card.
        num_folds (`int`): Folds that the command asks for, finished ones included.
        num_steps (`int`): Optimiser steps of them all.
        accelerator (`Accelerator`): Device and launched processes.

    Returns:
        `Sharing`: processes and threads.

    Raises:
        ConfigError: several folds at once in each of several launched processes.
    """
    cores = _cores()
    if accelerator.num_processes > 1:
        if asked is not None and asked > 1:
            raise ConfigError(
                f"--folds_at_once {asked} starts processes itself, but {accelerator.num_processes} were launched "
                "already; give one of the two"
            )
        return Sharing(1, torch.get_num_threads())
    if asked is not None:
        processes = min(asked, num_folds)
    elif accelerator.device.type != "cpu" or num_steps < _LEAST_STEPS:
        processes = 1
    else:
        processes = min(cores, num_folds, max(_memory() // _BYTES_PER_PROCESS, 1))
    if processes <= 1:
        return Sharing(1, torch.get_num_threads())
    return Sharing(processes, max(cores // processes, 1))


@contextmanager
def helpers(
    help_with: Help, config: TrainConfig, shares: Sequence[Sequence[str]], threads: int, interruption: Interruption
) -> Iterator[Callable[[], Failures]]:
    """Start one process per share.

    Args:
        help_with (`Callable`): `help_with(config, keys)`, importable, trains folds and returns the failures.
        config (`TrainConfig`): Settings of the run.
        shares (`Sequence[Sequence[str]]`): Keys of the folds of each process.
        threads (`int`): Threads of each process, and of this one while they run.
        interruption (`Interruption`): Records that this process was asked to stop.

    Yields:
        `Callable`: waits for them and returns the reasons (`dict`) of folds that failed, by key. When this process is
            interrupted, before that or while it waits, they are told to save and stop.

    Raises:
        Interrupted: by the `Callable`, when this process or one of them was asked to stop.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    context = multiprocessing.get_context("spawn")
    started = []
    for keys in shares:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_answer, args=(there, help_with, config, list(keys), threads))
        process.start()
        there.close()
        started.append((process, here, keys))

    def wait() -> Failures:
        failures: Failures = {}
        for process, answer, keys in started:
            while not answer.poll(_LOOK_S):
                if interruption.is_asked:
                    raise Interrupted("stopped while other processes trained the last folds, which save their state")
            try:
                failures |= answer.recv()
            except EOFError:
                process.join()
                # A scheduler may signal all processes, and this one between two looks.
                if interruption.is_asked or process.exitcode == STOPPED_EXIT_CODE:
                    raise Interrupted("stopped while other processes trained the last folds") from None
                reason = f"its process ended early, with code {process.exitcode}; its messages say why"
                failures |= dict.fromkeys(keys, reason)
            process.join()
        return failures

    try:
        yield wait
    finally:
        for process, answer, _ in started:
            if process.is_alive():
                process.terminate()
            process.join(_STOPPING_S)
            if process.is_alive():
                process.kill()
            answer.close()
        torch.set_num_threads(before)


def _answer(answer: Connection, help_with: Help, config: TrainConfig, keys: list[str], threads: int) -> None:
    """Main function of a helping process."""
    gc.freeze()  # collecting what its imports made would take a second of its end
    torch.set_num_threads(threads)
    try:
        answer.send(help_with(config, keys))
    except Interrupted:  # its fold is saved
        sys.exit(STOPPED_EXIT_CODE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_EXIT_CODE)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> int:
    """Bytes of memory of the machine; without bound where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 2**62
