"""Accuracy of a checkpoint with int8 weights on rendered faces: `python -m benchmarks quantisation [--recordings 60]`.

Recordings of people on whom no checkpoint was trained go through the video processor, face mesh included, and then
clip by clip through the network in PyTorch and its exports. Each row says how many clips keep the class of PyTorch,
and how many are classified rightly.
"""

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.inference import exported
from benchmarks.timing import Row, parse, parser, report
from hub_datasets import get_builder_class
from hub_datasets.synthetic.layouts import LAYOUTS
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import write_tree
from modeling_fdp import FDPForVideoClassification
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.hub.prediction import shipped_model

LABEL_SET = "4class"
RECORDINGS_PER_PERSON = 5


def rendered_clips(
    model: FDPForVideoClassification, processor: FDPVideoProcessor, settings: CorpusSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Render a corpus and prepare its clips for a network.

    Args:
        model (`FDPForVideoClassification`): Its classes are those of the label set `4class`.
        processor (`FDPVideoProcessor`): Video processor of the same checkpoint.
        settings (`CorpusSettings`): Corpus to render.

    Returns:
        `tuple` of `torch.Tensor`: pixel values float32 `(num_clips, num_frames, 1, height, width)` in [-1, 1], and
        classes int64 `(num_clips,)`.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "recordings"
        write_tree(settings, LAYOUTS["synthetic"](), root)
        builder = get_builder_class("synthetic")
        rows = builder(data_dir=root, cache_dir=Path(folder) / "rows", config_name=LABEL_SET).prepare()
        rows = [*rows.align_labels_with_mapping(model.config.label2id, "label")]
        pixels = [processor(row["frames"], return_tensors="pt")["pixel_values"] for row in rows]
    return torch.cat(pixels), torch.tensor([row["label"] for row in rows])


@torch.inference_mode()
def quantisation_rows(model: FDPForVideoClassification, clips: torch.Tensor, labels: torch.Tensor) -> list[Row]:
    """Compare exports of a network with the network, one clip at a time.

    Args:
        model (`FDPForVideoClassification`): In eval mode.
        clips (`torch.Tensor` of shape `(num_clips, num_frames, 1, height, width)`): float32 in [-1, 1].
        labels (`torch.Tensor` of shape `(num_clips,)`): int64 classes.

    Returns:
        `list[dict]`: A row per way; PyTorch is the first.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        ways = exported(model, clips[:1], Path(folder))
        exact = torch.cat([model(one[None]).logits for one in clips]).softmax(-1)
        for name, run in ways.items():
            answers = torch.cat([run(one[None]) for one in clips]).softmax(-1)
            rows.append(
                {
                    "network through": name,
                    "rendered clips": len(clips),
                    "class of PyTorch": int((answers.argmax(-1) == exact.argmax(-1)).sum()),
                    "right class": int((answers.argmax(-1) == labels).sum()),
                    "largest difference of a probability": float((answers - exact).abs().max()),
                    "mean difference of a probability": float((answers - exact).abs().mean()),
                }
            )
    return rows


def main() -> int:
    """Parse the command line, render, compare, print."""
    made = parser(__doc__ or "", rounds=1)
    made.add_argument("--model", help="checkpoint with the classes of `4class` (the one of this package)")
    made.add_argument("--recordings", type=int, default=60, help="recordings, five of each person (60)")
    made.add_argument("--seed", type=int, default=83_101, help="seed of the people and their movements (83101)")
    made.add_argument("--difficulty", default="medium", help="mild, medium, hard or wild (medium)")
    options = parse(made)
    folder = options.model or shipped_model()
    model = FDPForVideoClassification.from_pretrained(folder).eval()
    settings = CorpusSettings(
        num_subjects=max(1, options.recordings // RECORDINGS_PER_PERSON),
        num_clips=options.recordings,
        seed=options.seed,
        difficulty=options.difficulty,
        fps=60.0,
        neutral_s=0.355,
        mix=LABEL_SET,
    )
    clips, labels = rendered_clips(model, FDPVideoProcessor.from_pretrained(folder), settings)
    report(
        "quantisation",
        {f"Exports on rendered faces, seed {options.seed}": quantisation_rows(model, clips, labels)},
        options,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
