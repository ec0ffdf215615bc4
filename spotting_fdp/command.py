"""Find the micro- and macro-expressions in long recordings of a face.

Example:
    fdp-spot interview.mp4 --output_dir found
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from tqdm import tqdm

from evaluation_fdp.errors import ConfigError
from training_fdp.cli import USER_ERROR_EXIT_CODE, ComplainingParser, run_main, say

if TYPE_CHECKING:
    from spotting_fdp.spotter import SpottingResult

# Some recordings have a result, others an error.
INCOMPLETE_EXIT_CODE = 1
# Largest number of expressions that are printed of one recording; the files hold all of them.
MOST_PRINTED = 100


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, by default that of the process.

    Raises:
        ConfigError: it cannot be parsed.
    """
    parser = ComplainingParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("inputs", nargs="+", metavar="VIDEO", help="a video file or a folder of frames")
    parser.add_argument(
        "--model",
        metavar="FOLDER_OR_REPO",
        help="checkpoint that names the expressions and leaves out what does not move (default: that of this package)",
    )
    parser.add_argument(
        "--spot_only", action="store_true", help="find intervals and name no class; no checkpoint is needed"
    )
    parser.add_argument(
        "--closed_form", action="store_true", help="find them without the checkpoint's spotting network"
    )
    parser.add_argument(
        "--model_learnt_speech",
        action="store_true",
        help="the checkpoint was trained on talking faces: it may name a class while the mouth talks, if it is sure "
        "(the shipped one says so itself)",
    )
    parser.add_argument(
        "--false_alarms_per_minute",
        type=float,
        metavar="RATE",
        help="threshold: how often people at rest may reach it (default: 0.5 with a checkpoint's network, 3 without)",
    )
    parser.add_argument("--fps", type=float, metavar="RATE", help="frames per second, where the files state none")
    parser.add_argument(
        "--face", type=_face, default="largest", help="which face: largest, or its number from the left, from 0"
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        metavar="OUT",
        help="write spotting.json, expressions.csv and a timeline of each recording here; none of them shows a face",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser.parse_args(arguments)


def _face(text: str) -> str | int:
    if text == "largest":
        return text
    if text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"'largest' or a number from 0 on, not {text!r}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Spot each recording, then print and write; return the exit code (`int`).

    A recording that cannot be read is an error of that recording alone.
    """
    options = parse_arguments(arguments)
    if options.fps is not None and not (math.isfinite(options.fps) and options.fps > 0):
        raise ConfigError(f"--fps must be a number above 0, but {options.fps} was given; correct it.")
    # Imported late, because torch delays --help and errors of the command line.
    from transformers.utils import logging as transformers_logging

    from spotting_fdp.recognition import CheckpointRecognizer
    from spotting_fdp.refusals import refused_alone
    from spotting_fdp.report import document, write_results
    from spotting_fdp.spotter import Spotter
    from training_fdp.hub.answer_files import check_output_dir
    from training_fdp.hub.prediction import Refusal

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if options.output_dir is not None:
        check_output_dir(options.output_dir)
    recognizer = None if options.spot_only else CheckpointRecognizer(options.model, options.model_learnt_speech)
    spotter = Spotter(options.false_alarms_per_minute, recognizer, options.face, options.model, options.closed_form)
    results: list[SpottingResult] = []
    refusals: list[Refusal] = []
    for source in options.inputs:
        with refused_alone(source, refusals), Progress(Path(source).name) as progress:
            results.append(spotter.spot(source, options.fps, progress.show))
    for refusal in refusals:
        say(f"error: {refusal.error}", sys.stderr)
    if not results:
        return USER_ERROR_EXIT_CODE
    model = None if recognizer is None else recognizer.name
    if options.output_dir is not None:
        write_results(results, model, options.output_dir, refusals)
    if options.json:
        say(json.dumps(document(results, model, refusals), indent=2))
    else:
        for result in results:
            print_result(result)
        if options.output_dir is not None:
            say(f"Written to {options.output_dir}: spotting.json, expressions.csv, and a timeline of each recording.")
    return INCOMPLETE_EXIT_CODE if refusals else 0


class Progress:
    """A bar over the frames of one recording, on stderr."""

    def __init__(self, name: str) -> None:
        self._bar: tqdm[NoReturn] = tqdm(desc=name, unit="frame", delay=2, file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, done: int, total: int) -> None:
        """Show that `done` of `total` frames are done."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)


def print_result(result: "SpottingResult") -> None:
    """Print one recording as text: counts, warnings, one line per expression."""
    say(f"{result.input}: {result.in_words}")
    for warning in result.warnings:
        say(f"  warning: {warning}")
    for one in result.expressions[:MOST_PRINTED]:
        named = one.recognition
        label = (
            ""
            if named is None
            else f"  {named.label} ({named.confidence:.2f})"
            if named.label
            else f"  ({named.reason})"
        )
        say(
            f"  {one.kind} {_clock(one.onset_s)} to {_clock(one.offset_s)}, apex {_clock(one.apex_s)}, frames "
            f"{one.onset}..{one.offset}, score {one.score:.2f}{label}"
        )
    if len(result.expressions) > MOST_PRINTED:
        say(f"  and {len(result.expressions) - MOST_PRINTED} more; --output_dir writes all of them")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:05.2f}"


def command() -> NoReturn:
    """Run [`main`] and leave the process with its exit code."""
    run_main(main)
