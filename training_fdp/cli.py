"""Helpers of all command lines: user errors become one sentence and exit code 2, without a traceback."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, get_type_hints

from evaluation_fdp.errors import ConfigError
from training_fdp.errors import Interrupted

if TYPE_CHECKING:
    from transformers import HfArgumentParser

USER_ERROR_EXIT_CODE = 2
# The shell's own convention for a process ended by Ctrl-C (128 + SIGINT).
INTERRUPTED_EXIT_CODE = 130
# The same for SIGPIPE.
BROKEN_PIPE_EXIT_CODE = 141
# EX_TEMPFAIL of sysexits.h: a scheduler stopped the run, and the same command resumes it.
STOPPED_EXIT_CODE = 75
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Import and load inside this block without garbage collection, and leave what it made out of later ones.

    torch and transformers make a million objects that live as long as the process. Collections in between find nothing
    among them, and take a sixth of the time until the first answer (docs/performance.md).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def user_facing_errors() -> tuple[type[Exception], ...]:
    """Return the error classes whose message is written for the user.

    They are imported only after a failure, so that `--help` stays fast.
    """
    from evaluation_fdp.errors import UserError
    from hub_datasets.errors import CorpusError
    from processing_fdp.crop_geometry_fdp import FaceNotFoundError
    from processing_fdp.frame_source_fdp import VideoReadError

    return (UserError, CorpusError, FaceNotFoundError, VideoReadError)


def is_main_process() -> bool:
    """Tell whether this process prints (rank 0, or the only one)."""
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
        SystemExit: always; code 2 with `error: <sentence>` on stderr for an error the user can act on, 130 after
            Ctrl-C, 141 where the reader of the output closed it, 75 where a scheduler's signal ended the run with
            everything saved.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        code = main() or 0
    except KeyboardInterrupt:
        _complain("interrupted; the same command goes on: finished folds and what a fold has saved are kept")
        code = INTERRUPTED_EXIT_CODE
    except Interrupted as stop:
        _complain(f"{stop}; the same command resumes from there")
        code = STOPPED_EXIT_CODE
    except BrokenPipeError:
        # Whoever reads the output has enough, as `| head` has. The interpreter flushes stdout once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE_EXIT_CODE
    except (ValueError, RuntimeError, OSError) as error:
        if not isinstance(error, user_facing_errors()) and not _is_file_system_refusal(error):
            raise
        _complain(f"error: {_sentence(error)}")
        code = USER_ERROR_EXIT_CODE
    sys.exit(code)


def _is_file_system_refusal(error: Exception) -> bool:
    """Whether the file system refused, e.g. a full disk or a read-only folder, which the user can change."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT)


def _sentence(error: Exception) -> str:
    """The message on one line, without the quoting that some errors add."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        # A write into an open file on a full disk names no file.
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}; free some space there or choose another folder"
    return " ".join(str(error).split())


def _complain(text: str) -> None:
    if is_main_process():
        say(text, sys.stderr)


def read_pairs(option: str, items: Sequence[str]) -> dict[str, object]:
    """Read the values of a NAME=VALUE option as YAML scalars (`8`, `0.5`, `1e-3`, `true`, `text`).

    Args:
        option (`str`):
            Its name, for the error.
        items (`Sequence[str]`):
            What was given.

    Returns:
        `dict`: values by name.

    Raises:
        ConfigError: an entry without `=`.
    """
    import yaml  # imported only if needed

    values: dict[str, object] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not separator or not name:
            raise ConfigError(f"--{option} takes NAME=VALUE, got '{item}'; write the name, = and the value")
        # YAML 1.1 reads 1e-3, without a dot, as text.
        values[name] = float(value) if _EXPONENT.fullmatch(value) else yaml.safe_load(value)
    return values


class ComplainingParser(argparse.ArgumentParser):
    """A parser that raises `ConfigError` instead of exiting."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as an error.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{message}; {self.prog} --help lists the options")


def command_name() -> str:
    """Return how this process was called (`str`): `fdp-train`, `train.py` or `python -m PACKAGE`."""
    specification = sys.modules["__main__"].__spec__
    if specification is None:
        return Path(sys.argv[0]).name
    return f"python -m {specification.name.removesuffix('.__main__')}"


def option_parser(groups: Iterable[type], prog: str, description: str) -> HfArgumentParser:
    """Build the parser of one command line out of several dataclasses of options.

    Args:
        groups (`Iterable[type]`): Dataclasses whose fields are `evaluation_fdp.options.option`s.
        prog (`str`): The command.
        description (`str`): What it does.

    Returns:
        `HfArgumentParser`: raises `ConfigError`; `parse_args_into_dataclasses` returns instances of the groups.
    """
    from transformers import HfArgumentParser

    groups = list(groups)

    class Parser(ComplainingParser, HfArgumentParser):
        """One command line of several dataclasses."""

        def parse_args_into_dataclasses(
            self, args: Sequence[str] | None = None, *_: object, **__: object
        ) -> tuple[Any, ...]:
            namespace = vars(self.parse_args(args))
            return tuple(group(**{entry.name: namespace[entry.name] for entry in fields(group)}) for group in groups)

    plain: Any = [_plain(group) for group in groups]
    return Parser(plain, prog=prog, description=description, allow_abbrev=False)


def _plain(group: type) -> type:
    """The same options with help as their only metadata, because HfArgumentParser passes all of it to argparse."""
    hints = get_type_hints(group)
    entries = []
    for entry in fields(group):
        default = {"default": entry.default, "default_factory": entry.default_factory}
        given: dict[str, Any] = {name: value for name, value in default.items() if value is not MISSING}
        entries.append((entry.name, hints[entry.name], field(metadata={"help": entry.metadata["help"]}, **given)))
    return make_dataclass(group.__name__, entries)
