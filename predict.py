"""Name the micro-expression in a video file or a folder of frames.

Example:
    python predict.py clip.avi frames/ --model OUT/folds/sub01 --output_dir answers
"""

import argparse
import json
import sys
from pathlib import Path

from training_fdp.cli import run_main

SPARK = "▁▂▃▄▅▆▇█"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a video file or a folder of frames")
    parser.add_argument("--model", required=True, metavar="FOLDER_OR_REPO", help="checkpoint in Hub format")
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


def main() -> None:
    """Load the model once, answer for each input, then print and write."""
    arguments = parse_arguments()
    # Imported late: --help and a mistyped option should not wait for torch.
    from tqdm import tqdm
    from transformers.utils import logging as transformers_logging

    from training_fdp.hub.prediction import Predictor, check_output_dir, predictions_document, write_predictions

    # What matters of transformers' table of loaded weights is checked by Predictor and said in one sentence.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if arguments.output_dir is not None:
        check_output_dir(arguments.output_dir)
    predictor = Predictor(arguments.model, arguments.processor_overrides)
    progress = tqdm(arguments.inputs, desc="clips", unit="clip", delay=2, file=sys.stderr)
    predictions = [predictor.predict(source) for source in progress]
    if arguments.output_dir is not None:
        write_predictions(predictions, arguments.model, arguments.output_dir)
    if arguments.json:
        print(json.dumps(predictions_document(predictions, arguments.model), indent=2))
        return
    sys.stdout.reconfigure(errors="replace")  # a terminal without the block characters shows question marks
    for prediction in predictions:
        print(f"{prediction.input}: {prediction.label} ({prediction.score:.3f})")
        for name, score in sorted(prediction.scores.items(), key=lambda item: -item[1]):
            print(f"  {name:<16} {score:.3f} {'#' * round(score * 40)}")
        seen = f"{len(prediction.frame_indices)} of {prediction.num_frames_in_clip} frames"
        print(
            f"  rank curve {sparkline(prediction.rank_scores)} over {seen}: "
            f"{prediction.ordered_pairs:.0%} of frame pairs in order (100%: it only rises)"
        )
    if arguments.output_dir is not None:
        print(f"Written to {arguments.output_dir}: predictions.json, and the pictures that it names.")


if __name__ == "__main__":
    run_main(main)
