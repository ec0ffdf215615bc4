"""Stopping in time: a scheduler's signal ends a run after the step under way, with everything saved."""

import logging
import signal
from types import FrameType
from typing import Any, Self

logger = logging.getLogger(__name__)

# What schedulers send before they kill: SLURM a SIGTERM, or the signal of `--signal`, usually SIGUSR1.
SIGNALS = ("SIGTERM", "SIGUSR1")


class Interruption:
    """Remembers that the process was asked to stop; as a context manager it listens for the signals.

    Outside of a main thread no signal can be listened for, and then none is.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._previous: dict[signal.Signals, Any] = {}

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
