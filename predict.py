"""Name the micro-expression in a video file or a folder of frames.

Example:
    python predict.py clip.avi frames/ --model OUT/folds/sub01 --output_dir answers
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_fdp.cli import USER_ERROR_EXIT_CODE, run_main, say

if TYPE_CHECKING:
    from training_fdp.hub.prediction import Prediction

SPARK = "▁▂▃▄▅▆▇█"
# Some inputs have a prediction, others an error.
INCOMPLETE_EXIT_CODE = 1


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a video file or a folder of frames")
    parser.add_argument("--model", required=True, metavar="FOLDER_OR_REPO", help="checkpoint in Hub format")
    parser.add_argument(
        "--method", metavar="MODULE:CLASS", help="what made the checkpoint, where it is not part of this package"
    )
    parser.add_argument("--output_dir", type=Path, metavar="OUT", help="write predictions.json and pictures here")
    parser.add_argument(
        "--processor_overrides",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings of the checkpoint's video processor to replace (`alignment=...`, as for train.py)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser.parse_args()


def sparkline(values: list[float]) -> str:
    """A curve in one line of text, from its lowest to its highest value."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(SPARK[round((value - low) / span * (len(SPARK) - 1))] for value in values)


def face_line(face: dict[str, Any], blinks: list[list[int]] | None) -> str:
    """Source and quality of the face crop, in one line."""
    parts = [f"face: {face['source']}"]
    if face["frames_searched"]:
        parts.append(f"seen in {face['frames_seen']} of {face['frames_searched']} frames searched")
    if face["eye_distance"] is not None:
        parts.append(f"{face['eye_distance']:.0f} pixels between the eyes")
    if face["head_pose"] is not None:
        parts.append("yaw {:.0f}, pitch {:.0f}, roll {:.0f} degrees".format(*face["head_pose"]))
    if blinks is not None:
        parts.append(f"{len(blinks)} blinks" if len(blinks) != 1 else "1 blink")
    return ", ".join(parts)


def main() -> int:
    """Load the model once, predict each input, then print and write; return the exit code (`int`).

    An input that cannot be read is an error of that input alone.
    """
    arguments = parse_arguments()
    # Imported late, because torch delays --help and errors of the command line.
    from tqdm import tqdm
    from transformers.utils import logging as transformers_logging

    from training_fdp.data.aligned_clips import UNUSABLE
    from training_fdp.hub.prediction import (
        Predictor,
        Refusal,
        check_output_dir,
        predictions_document,
        write_predictions,
    )
    from training_fdp.methods.registry import get_method

    # Without transformers' table of loaded weights, because Predictor checks them and raises one sentence.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if arguments.method is not None:
        get_method(arguments.method)
    if arguments.output_dir is not None:
        check_output_dir(arguments.output_dir)
    predictor = Predictor(arguments.model, arguments.processor_overrides)
    predictions, refusals = [], []
    for source in tqdm(arguments.inputs, desc="clips", unit="clip", delay=2, file=sys.stderr):
        try:
            predictions.append(predictor.predict(source))
        except UNUSABLE as error:
            refusals.append(Refusal(source, " ".join(str(error).split())))
    for refusal in refusals:
        say(f"error: {refusal.error}", sys.stderr)
    if not predictions:
        return USER_ERROR_EXIT_CODE
    if arguments.output_dir is not None:
        write_predictions(predictions, arguments.model, arguments.output_dir, refusals)
    if arguments.json:
        print(json.dumps(predictions_document(predictions, arguments.model, refusals), indent=2))
    else:
        print_answers(predictions)
        if arguments.output_dir is not None:
            print(f"Written to {arguments.output_dir}: predictions.json, and the pictures that it names.")
    if refusals:
        say(f"{len(refusals)} of {len(arguments.inputs)} inputs could not be answered", sys.stderr)
    return INCOMPLETE_EXIT_CODE if refusals else 0


def print_answers(predictions: list["Prediction"]) -> None:
    """Print each prediction as text: scores of the classes, curves and numbers."""
    sys.stdout.reconfigure(errors="replace")  # question marks where the terminal lacks the block characters
    for prediction in predictions:
        print(f"{prediction.input}: {prediction.label} ({prediction.score:.3f})")
        for warning in prediction.warnings:
            print(f"  warning: {warning}")
        for name, score in sorted(prediction.scores.items(), key=lambda item: -item[1]):
            print(f"  {name:<16} {score:.3f} {'#' * round(score * 40)}")
        sampled = f"{len(prediction.frame_indices)} of {prediction.num_frames_in_clip} frames"
        for name, curve in prediction.curves.items():
            print(f"  {name.replace('_', ' ')} {sparkline(curve)} over {sampled}")
        for name, number in prediction.numbers.items():
            print(f"  {name.replace('_', ' ')} {number:.3f}")
        if prediction.face is not None:
            print(f"  {face_line(prediction.face, prediction.blinks)}")


if __name__ == "__main__":
    run_main(main)
