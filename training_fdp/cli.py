"""What every command line shares: user errors become one sentence and exit code 2, never a traceback."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

USER_ERROR_EXIT_CODE = 2
# The shell's own convention for a process ended by Ctrl-C (128 + SIGINT).
INTERRUPTED_EXIT_CODE = 130


def user_facing_errors() -> tuple[type[Exception], ...]:
    """Return the error classes whose message is written for the user.

    They are looked up only once something failed, so a `--help` never pays for the imports.
    """
    from evaluation_fdp.errors import UserError
    from hub_datasets.errors import CorpusError
    from processing_fdp.clip_reading_fdp import VideoReadError
    from processing_fdp.crop_geometry_fdp import FaceNotFoundError

    return (UserError, CorpusError, FaceNotFoundError, VideoReadError)


def is_main_process() -> bool:
    """Tell whether this process is the one that talks (rank 0, or the only one)."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line of a command's own output: to stdout, or to `stream` (`TextIO`)."""
    stream = sys.stdout if stream is None else stream
    stream.write(f"{text}\n")
    stream.flush()


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and leave the process with its exit code.

    Args:
        main (`Callable[[], int | None]`):
            The command; what it returns is the exit code (`None` counts as 0).

    Raises:
        SystemExit: always; code 2 with `error: <sentence>` on stderr for an error the user can act on.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        code = main() or 0
    except KeyboardInterrupt:
        _complain("interrupted; run the same command again, a training goes on from its last checkpoint")
        code = INTERRUPTED_EXIT_CODE
    except (ValueError, RuntimeError, OSError) as error:
        if not isinstance(error, user_facing_errors()) and not _is_file_system_refusal(error):
            raise
        _complain(f"error: {_sentence(error)}")
        code = USER_ERROR_EXIT_CODE
    sys.exit(code)


def _is_file_system_refusal(error: Exception) -> bool:
    """A full disk, a read-only folder: the user's to mend, whoever raised it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT)


def _sentence(error: Exception) -> str:
    """The message on one line, without the quoting that some errors add."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        # A write into an open file that finds no room does not say which.
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{place}; free some space there or choose another folder"
    return " ".join(str(error).split())


def _complain(text: str) -> None:
    if is_main_process():
        say(text, sys.stderr)
