"""Answers of a checkpoint to a few movements of real faces, too few for an accuracy.

    python -m benchmarks real_movements --model CKPT --data_dir FOLDER

FOLDER holds videos and `index.json`: of each movement `file`, `onset` and `apex` (0-based frames) and `expression`, a
word for how it looks. Every movement is shown as its rise alone, as its rise backwards, there and back, and its first
third there and back. Counts of answers are printed, by expression; frames are neither drawn nor written.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.disturbances import Frames, there_and_back
from benchmarks.windows import Seen, network_view
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.methods.pretrained import checkpoint_source, load_pretrained


def shown_numbers(onset: int, apex: int) -> dict[str, NDArray[np.int64]]:
    """Return the frames of a movement, by how it is shown."""
    rise = np.arange(onset, apex + 1)
    third = np.arange(onset, max(onset + 2, onset + round((apex - onset) / 3) + 1))
    return {
        "rise alone": rise,
        "rise backwards": rise[::-1].copy(),
        "there and back": there_and_back(rise),
        "first third, there and back": there_and_back(third),
    }


def count_answers(
    view: Callable[[Sequence[Frames]], Seen],
    names: Sequence[str],
    clips: Sequence[tuple[str, dict[str, Frames]]],
    weights: Sequence[float],
) -> dict[str, dict[str, Counter[str]]]:
    """Count answers by way of showing and expression.

    Args:
        view (`Callable`): from clips to answers.
        names (`Sequence[str]`): classes.
        clips (`Sequence[tuple[str, dict]]`): expression, and frames by how they are shown.
        weights (`Sequence[float]`): `config.movement_weights`, by which clips are called still; empty: none is.

    Returns:
        `dict[str, dict[str, Counter]]`: counts of answers, which are classes or "still".
    """
    found: dict[str, dict[str, Counter[str]]] = {}
    for expression, ways in clips:
        for way, frames in ways.items():
            seen = view([frames])
            still = len(weights) > 0 and seen.called_still(weights)[0]
            answer = "still" if still else names[int(seen.probabilities[0].argmax())]
            found.setdefault(way, {}).setdefault(expression, Counter())[answer] += 1
    return found


def table(found: dict[str, dict[str, Counter[str]]]) -> str:
    """Return the counts as a Markdown table."""
    expressions = sorted({expression for row in found.values() for expression in row})
    lines = [f"| shown | {' | '.join(expressions)} |", f"|---|{'---|' * len(expressions)}"]
    for way, row in found.items():
        cells = [
            ", ".join(f"{count} {answer}" for answer, count in row.get(expression, Counter()).most_common())
            for expression in expressions
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Parse the command line, show every movement, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="checkpoint: a folder in Hub format or NAMESPACE/NAME")
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with videos and index.json")
    options = parser.parse_args()
    model = load_pretrained(options.model, "--model")[0].eval()
    processor = FDPVideoProcessor.from_pretrained(checkpoint_source(options.model, "--model"))
    clips = []
    for entry in json.loads((options.data_dir / "index.json").read_text(encoding="utf-8"))["clips"]:
        first = max(entry["onset"] - 1, 0)
        numbers = list(range(first, entry["apex"] + 1))
        frames = processor.align_clip(str(options.data_dir / entry["file"]), frame_numbers=numbers).frames.numpy()
        ways = shown_numbers(entry["onset"] - first, entry["apex"] - first)
        clips.append((entry["expression"], {way: frames[chosen] for way, chosen in ways.items()}))
    names = [model.config.id2label[number] for number in range(model.config.num_labels)]
    weights = getattr(model.config, "movement_weights", [])
    print(table(count_answers(network_view(model, processor), names, clips, weights)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
