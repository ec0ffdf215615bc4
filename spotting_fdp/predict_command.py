"""Name the micro-expression in a video file or a folder of frames, or find those in a longer recording.

Example:
    fdp-predict clip.avi frames/ --output_dir answers
"""

import argparse
import io
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from evaluation_fdp.errors import ConfigError
from spotting_fdp.command import Progress, print_result
from training_fdp.cli import USER_ERROR_EXIT_CODE, ComplainingParser, no_garbage_collection, run_main, say

if TYPE_CHECKING:
    from spotting_fdp.spotter import SpottingResult
    from training_fdp.hub.answer_files import RecordingReport

# Some inputs have a prediction, others an error.
INCOMPLETE_EXIT_CODE = 1


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Raises:
        ConfigError: it cannot be parsed.
    """
    parser = ComplainingParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a video file or a folder of frames")
    parser.add_argument(
        "--model", metavar="FOLDER_OR_REPO", help="checkpoint in Hub format (default: the one of this package)"
    )
    parser.add_argument(
        "--method", metavar="MODULE:CLASS", help="method of the checkpoint, where it is not part of this package"
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        metavar="OUT",
        help="write predictions.json, summary.csv, action-unit curves, a picture of each clip and a timeline of each "
        "longer recording here; the pictures "
        "show the face, and without this option nothing is written",
    )
    parser.add_argument(
        "--fps", type=float, metavar="RATE", help="frames per second of all inputs, where their files state none"
    )
    parser.add_argument(
        "--processor_overrides",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings of the checkpoint's video processor to replace (`alignment=...`, as for train.py)",
    )
    parser.add_argument(
        "--mixed_precision",
        choices=["no", "bf16", "auto"],
        default="no",
        help="arithmetic of the network; auto: bf16 where a short trial finds this machine faster with it (no)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser.parse_args(arguments)


def main() -> int:
    """Load the model once, answer each input, then print and write; return the exit code (`int`).

    An input that cannot be read is an error of that input alone. An input that is longer than an expression is
    spotted.
    """
    arguments = parse_arguments()
    # Imported late, because torch delays --help and errors of the command line.
    with no_garbage_collection():
        from tqdm import tqdm
        from transformers.utils import logging as transformers_logging

        from modeling_fdp import MicroExpressionAnswer
        from spotting_fdp.answering import Answerer
        from spotting_fdp.refusals import refused_alone
        from training_fdp.hub.answer_files import answers_document, check_output_dir, write_answers
        from training_fdp.hub.answer_text import answer_lines
        from training_fdp.hub.prediction import Predictor, Refusal
        from training_fdp.methods.registry import get_method

    # transformers' table of loaded weights is not printed, because `Predictor` checks them and raises one sentence.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if arguments.method is not None:
        get_method(arguments.method)
    if arguments.output_dir is not None:
        check_output_dir(arguments.output_dir)
    if arguments.fps is not None and not (math.isfinite(arguments.fps) and arguments.fps > 0):
        raise ConfigError(f"--fps must be a number above 0, but {arguments.fps} was given; correct it")
    with no_garbage_collection():
        predictor = Predictor(arguments.model, arguments.processor_overrides, arguments.mixed_precision)
    answerer = Answerer(predictor)
    found: list[MicroExpressionAnswer | SpottingResult] = []
    refusals: list[Refusal] = []
    for source in tqdm(arguments.inputs, desc="clips", unit="clip", delay=2, file=sys.stderr):
        with refused_alone(source, refusals), Progress(Path(source).name) as progress:
            explain = arguments.output_dir is not None
            found.append(answerer.answer(source, arguments.fps, explain, progress.show))
    for refusal in refusals:
        say(f"error: {refusal.error}", sys.stderr)
    if not found:
        return USER_ERROR_EXIT_CODE
    answers = [one for one in found if isinstance(one, MicroExpressionAnswer)]
    results = [one for one in found if not isinstance(one, MicroExpressionAnswer)]
    recordings, files = _describe(results, draw=arguments.output_dir is not None)
    if arguments.output_dir is not None:
        write_answers(answers, predictor.name, arguments.output_dir, refusals, recordings, files)
    if arguments.json:
        documents = [recording.document for recording in recordings]
        say(json.dumps(answers_document(answers, predictor.name, refusals, documents), indent=2))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # question marks where the terminal lacks the block characters
        for one in found:
            if isinstance(one, MicroExpressionAnswer):
                say("\n".join(answer_lines(one)))
            else:
                print_result(one)
        if arguments.output_dir is not None:
            say(f"Written to {arguments.output_dir}: predictions.json, summary.csv, and the files they name.")
    if refusals:
        say(f"{len(refusals)} of {len(arguments.inputs)} inputs could not be answered", sys.stderr)
    return INCOMPLETE_EXIT_CODE if refusals else 0


def _describe(results: list["SpottingResult"], draw: bool) -> tuple[list["RecordingReport"], dict[str, bytes]]:
    """Reports of recordings, and the content of their files by name; without `draw` there are no files."""
    if not results:
        return [], {}
    # Imported for recordings alone, because importing matplotlib takes long.
    from spotting_fdp.report import TABLE_NAME, draw_timeline, recording_document, summary_row, table, timeline_name
    from training_fdp.hub.answer_files import RecordingReport

    names = [{"timeline": timeline_name(number, result)} if draw else {} for number, result in enumerate(results)]
    recordings = [
        RecordingReport({**recording_document(result), "files": name}, summary_row(result))
        for result, name in zip(results, names, strict=True)
    ]
    if not draw:
        return recordings, {}
    timelines = {name["timeline"]: draw_timeline(result) for result, name in zip(results, names, strict=True)}
    return recordings, {TABLE_NAME: table(results).encode(), **timelines}


def command() -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    run_main(main)
