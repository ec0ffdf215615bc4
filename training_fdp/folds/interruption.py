"""Stopping in time: after a scheduler's signal a run finishes its current step, saves its state and ends."""

import logging
import signal
from collections.abc import Callable
from types import FrameType
from typing import Self, TypeAlias

logger = logging.getLogger(__name__)

# Signals that schedulers send before they kill: SLURM sends SIGTERM, or that of `--signal`, usually SIGUSR1.
SIGNALS = ("SIGTERM", "SIGUSR1")


# As `signal.signal` returns it: a function, SIG_DFL or SIG_IGN, or `None` for one that Python did not install.
Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None


class Interruption:
    """Context manager that handles the signals and records that one arrived.

    Outside the main thread Python allows no signal handlers, and none is installed.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._previous: dict[signal.Signals, Handler] = {}

    def __enter__(self) -> Self:
        for name in SIGNALS:
            number = getattr(signal, name, None)  # Windows has no SIGUSR1
            if number is None:
                continue
            try:
                self._previous[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread
                break
        return self

    def __exit__(self, *error: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous.clear()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        logger.warning("%s: stopping after this step", signal.Signals(number).name)
        self.is_asked = True
