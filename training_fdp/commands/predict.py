"""Name the micro-expression in a video file or a folder of frames.

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
from training_fdp.cli import USER_ERROR_EXIT_CODE, ComplainingParser, no_garbage_collection, run_main, say

if TYPE_CHECKING:
    from modeling_fdp import MicroExpressionAnswer

SPARK = "▁▂▃▄▅▆▇█"
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
        "--method", metavar="MODULE:CLASS", help="what made the checkpoint, where it is not part of this package"
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        metavar="OUT",
        help="write predictions.json, summary.csv, action-unit curves and a picture of each clip here; the pictures "
        "show the face, and without this option nothing is written",
    )
    parser.add_argument(
        "--fps", type=float, metavar="RATE", help="frames per second of all inputs, where their files do not tell"
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


def sparkline(values: list[float]) -> str:
    """A curve in one line of text, from its lowest to its highest value."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(SPARK[round((value - low) / span * (len(SPARK) - 1))] for value in values)


def clip_line(answer: "MicroExpressionAnswer") -> str:
    """Length and rate of the clip, in one line."""
    clip = answer.clip
    rate = "unknown frame rate (--fps)" if clip.frames_per_second is None else f"{clip.frames_per_second:g} per second"
    length = "" if clip.duration_s is None else f", {clip.duration_s:.2f} s"
    shown = "1 frame" if clip.num_frames == 1 else f"{clip.num_frames} frames"
    if len({frame.index for frame in answer.frames}) < len(answer.frames):
        shown += f" ({len(answer.frames)} read, some of them several times)"
    else:
        shown = f"{len(answer.frames)} of {shown}"
    return f"{shown}, {rate}{length}, {clip.width} x {clip.height} pixels"


def movement_line(answer: "MicroExpressionAnswer") -> str:
    """How much moved and when, in one line."""
    movement, rate = answer.movement, answer.clip.frames_per_second
    line = f"movement: {movement.size:.2f} pixels of the aligned face"
    if movement.least_size is not None:
        line += f" (noise below {movement.least_size:.2f})"
    line += f", head {movement.head_size:.2f}"
    for name in ("onset", "apex", "offset"):
        index = getattr(movement, f"{name}_index")
        if index is not None:
            line += f", {name} {index}" + (f" ({index / rate:.2f} s)" if rate else "")
    return line


def face_line(answer: "MicroExpressionAnswer") -> str:
    """Source and quality of the face crop, in one line."""
    face = answer.face
    if face is None:
        return "face: not searched"
    parts = [f"face: {face.source}"]
    if face.frames_searched:
        parts.append(f"seen in {face.frames_seen} of {face.frames_searched} frames searched")
    if face.share_seen is not None:
        parts.append(f"followed through {face.share_seen:.0%} of the clip")
    if face.eye_distance is not None:
        parts.append(f"{face.eye_distance:.0f} pixels between the eyes")
    if face.head_pose is not None:
        parts.append("yaw {}, pitch {}, roll {} degrees".format(*map(round, face.head_pose)))
    if face.blinks is not None:
        parts.append(f"{len(face.blinks)} blinks" if len(face.blinks) != 1 else "1 blink")
    return ", ".join(parts)


def action_unit_line(answer: "MicroExpressionAnswer") -> str:
    """The action units that are more probable than not, or else the most probable one, in one line."""
    likely = [unit for unit in answer.action_units if unit.probability > 0.5] or answer.action_units[:1]
    named = ", ".join(f"AU{int(unit.code):02d} {unit.sided_name} {unit.probability:.2f}" for unit in likely)
    return f"action units: {named}"


def main() -> int:
    """Load the model once, answer each input, then print and write; return the exit code (`int`).

    An input that cannot be read is an error of that input alone.
    """
    arguments = parse_arguments()
    # Imported late, because torch delays --help and errors of the command line.
    with no_garbage_collection():
        from tqdm import tqdm
        from transformers.utils import logging as transformers_logging

        from training_fdp.data.aligned_clips import UNUSABLE
        from training_fdp.hub.answer_files import answers_document, check_output_dir, write_answers
        from training_fdp.hub.prediction import Predictor, Refusal
        from training_fdp.methods.registry import get_method

    # Without transformers' table of loaded weights, because Predictor checks them and raises one sentence.
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
    answers, refusals = [], []
    for source in tqdm(arguments.inputs, desc="clips", unit="clip", delay=2, file=sys.stderr):
        try:
            answers.append(predictor.predict(source, arguments.fps, explain=arguments.output_dir is not None))
        except UNUSABLE as error:
            refusals.append(Refusal(source, " ".join(str(error).split())))
    for refusal in refusals:
        say(f"error: {refusal.error}", sys.stderr)
    if not answers:
        return USER_ERROR_EXIT_CODE
    if arguments.output_dir is not None:
        write_answers(answers, predictor.name, arguments.output_dir, refusals)
    if arguments.json:
        say(json.dumps(answers_document(answers, predictor.name, refusals), indent=2))
    else:
        print_answers(answers)
        if arguments.output_dir is not None:
            say(f"Written to {arguments.output_dir}: predictions.json, summary.csv, and the files they name.")
    if refusals:
        say(f"{len(refusals)} of {len(arguments.inputs)} inputs could not be answered", sys.stderr)
    return INCOMPLETE_EXIT_CODE if refusals else 0


def print_answers(answers: list["MicroExpressionAnswer"]) -> None:
    """Print each answer as text: classes, movement, action units, curves, clip and face."""
    from processing_fdp.clip_metadata_fdp import LONGEST_CLIP_SECONDS

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # question marks where the terminal lacks the block characters
    for answer in answers:
        sure = "nothing moved" if answer.probability is None else f"{answer.probability:.3f}"
        if answer.face is not None and answer.face.source in ("unseen", "center"):
            sure += ", no face found"
        say(f"{answer.input}: {answer.label} ({sure})")
        for warning in answer.warnings:
            say(f"  warning: {warning}")
        if answer.face is not None and answer.face.num_faces > 1:
            say("  --processor_overrides face=0 takes the leftmost face, face=1 the next one")
        if (answer.clip.duration_s or 0) > LONGEST_CLIP_SECONDS:
            say("  spot.py (fdp-spot) finds and names the movements of a long recording")
        for name, share in sorted(answer.probabilities.items(), key=lambda item: -item[1]):
            say(f"  {name:<16} {share:.3f} {'#' * round(share * 40)}")
        say(f"  {movement_line(answer)}")
        if answer.action_units:
            say(f"  {action_unit_line(answer)}")
        # Progress repeats one of the others.
        for name in (name for name in answer.curves if name != "progress"):
            say(f"  {name.replace('_', ' '):<12} {sparkline(answer.curves[name])}")
        for name, number in answer.numbers.items():
            say(f"  {name.replace('_', ' ')} {number:.3f}")
        say(f"  {clip_line(answer)}")
        say(f"  {face_line(answer)}")


def command() -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    run_main(main)
