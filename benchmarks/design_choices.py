r"""Compare designs of the network quickly: learn from one rendered corpus, test once on another with other subjects.

One training run per row instead of one per fold: the figures say which design is better, not what a benchmark would
give, and the two corpora must not serve one afterwards. They are made by

    python -m hub_datasets generate --face_model DIR --difficulty medium --mix casme2 --fps 60 --size 128 128 \
        --num_subjects 26 --num_clips 246 --seed 501 --output_dir TRAIN
    python -m hub_datasets generate --face_model DIR --difficulty medium --mix casme2 --fps 60 --size 128 128 \
        --num_subjects 60 --num_clips 600 --seed 777 --output_dir TEST

and `python benchmarks/design_choices.py --training_dir TRAIN --test_dir TEST --designs plain default` prints one line
per design and seed.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import datasets
import torch
import torch.nn.functional as F
from torch import nn

from hub_datasets import load_corpus
from modeling_fdp import FDPConfig, FDPForVideoClassification, FDPVideoProcessor
from training_fdp.augmentation import AugmentationConfig, build_augmentation, sample_augmented_indices
from training_fdp.baselines.classifiers import LogisticClassifier
from training_fdp.baselines.networks import DifferenceConvNet, MotionConvNet, PlainConvNet
from training_fdp.baselines.optical_flow import tv_l1_flow
from training_fdp.clips import AlignedClips, prepare_clips
from training_fdp.metrics import classification_metrics

NUM_FRAMES, NUM_CLASSES = FDPConfig.num_frames, 5
NO_DECODER = {"decoder": "none", "dynamic_image_loss_weight": 0.0}


class Plain(nn.Module):
    """A baseline network behind the model's interface."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, class_weights: torch.Tensor | None = None
    ) -> SimpleNamespace:
        """Logits, and the loss where labels are given."""
        logits = self.network(pixel_values[:, :, 0])
        loss = None if labels is None else F.cross_entropy(logits, labels, weight=class_weights)
        return SimpleNamespace(logits=logits, loss=loss)


def build_fdp(**overrides: object) -> FDPForVideoClassification:
    """FDP of size tiny."""
    model = FDPForVideoClassification(FDPConfig.from_preset("tiny", num_labels=NUM_CLASSES, **overrides))
    model.use_channels_last()
    return model


DESIGNS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: Plain(DifferenceConvNet(NUM_FRAMES, NUM_CLASSES)),
    "plain_raw": lambda: Plain(PlainConvNet(NUM_FRAMES, NUM_CLASSES)),
    "plain_motion": lambda: Plain(MotionConvNet(NUM_CLASSES)),
    "default": build_fdp,
    "pixels": lambda: build_fdp(reference="first_frame_pixels"),
    "rank_weighted": lambda: build_fdp(temporal_pooling="rank_weighted"),
    "no_decoder": lambda: build_fdp(**NO_DECODER),
    "no_dropout": lambda: build_fdp(classifier_dropout=0.0),
    "two_filters": lambda: build_fdp(representation_multiplier=2),
}


def train(
    model: nn.Module, clips: AlignedClips, epochs: int, seed: int, augmented: bool, batch_size: int = 16
) -> None:
    """AdamW 1e-3 with one cycle, balanced cross-entropy, gradients clipped at 1."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    config = AugmentationConfig.default() if augmented else AugmentationConfig()
    augment = build_augmentation(config, NUM_CLASSES)
    labels = torch.tensor(clips.labels)
    counts = torch.bincount(labels, minlength=NUM_CLASSES).clamp_min(1)
    weights = len(clips) / (NUM_CLASSES * counts.float())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    steps = epochs * (len(clips) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps + 1, pct_start=0.1)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(clips), generator=generator)
        for rows in order[: len(clips) // batch_size * batch_size].split(batch_size):
            frames = torch.stack([training_frames(clips[int(row)]["frames"], config, generator) for row in rows])
            batch = {"pixel_values": to_pixels(frames), "labels": labels[rows]}
            batch = augment(batch, generator) if augmented else batch
            loss = model(**batch, class_weights=weights).loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()


def training_frames(frames: torch.Tensor, config: AugmentationConfig, generator: torch.Generator) -> torch.Tensor:
    """The frames of one training clip: (num_frames, height, width)."""
    total = len(frames)
    if not config.is_temporal:
        return test_frames(frames)
    indices = sample_augmented_indices(total, 0, None, total - 1, NUM_FRAMES, config, generator)
    return frames[torch.from_numpy(indices)]


def test_frames(frames: torch.Tensor) -> torch.Tensor:
    """Evenly spread frames of one clip: (num_frames, height, width)."""
    return frames[torch.linspace(0, len(frames) - 1, NUM_FRAMES).round().long()]


def to_pixels(frames: torch.Tensor) -> torch.Tensor:
    """uint8 (batch_size, num_frames, height, width) to float (batch_size, num_frames, 1, height, width) in [-1, 1]."""
    return frames.float().div(127.5).sub(1)[:, :, None]


@torch.no_grad()
def judge(model: nn.Module, clips: AlignedClips) -> dict:
    """Pooled metrics on all clips of a corpus."""
    model.eval()
    pixels = to_pixels(torch.stack([test_frames(clip["frames"]) for clip in clips]))
    predicted = torch.cat([model(pixel_values=chunk).logits for chunk in pixels.split(64)]).argmax(dim=1)
    return classification_metrics(predicted.numpy(), clips.labels, NUM_CLASSES)


def flow_baseline(training: AlignedClips, test: AlignedClips) -> dict:
    """Onset-apex flow grid and logistic regression, which is told the apex."""
    grids = []
    for clips in (training, test):
        onset = torch.stack([clip["frames"][0] for clip in clips])
        apex = torch.stack([clip["frames"][clip["apex_index"]] for clip in clips])
        grids.append(F.adaptive_avg_pool2d(tv_l1_flow(onset, apex), 8).flatten(1))
    labels = torch.tensor(training.labels).numpy()
    outcome = LogisticClassifier().fit_predict(grids[0], labels, training.subjects, grids[1], NUM_CLASSES, 0)
    return classification_metrics(outcome.probabilities.argmax(axis=1), test.labels, NUM_CLASSES)


def main() -> None:
    """Print one line per design and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training_dir", type=Path, required=True)
    parser.add_argument("--test_dir", type=Path, required=True)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--no_augmentation", action="store_true")
    parser.add_argument("--crop_scale", type=float, default=2.0)
    parser.add_argument("--registration", default="none")
    options = parser.parse_args()
    processor = FDPVideoProcessor(
        alignment="precomputed", crop_scale=options.crop_scale, registration=options.registration
    )
    cache = Path(datasets.config.HF_DATASETS_CACHE) / "fdp_aligned_clips"
    training, test = (
        prepare_clips(load_corpus("synthetic", data_dir=folder, label_set="5class"), processor, cache)
        for folder in (options.training_dir, options.test_dir)
    )
    flow = flow_baseline(training, test)
    print(f"apex flow + logistic regression: UF1 {flow['uf1']:.3f}, accuracy {flow['accuracy']:.3f}", flush=True)
    for name in options.designs:
        for seed in options.seeds:
            start = time.monotonic()
            torch.manual_seed(seed)
            model = DESIGNS[name]()
            train(model, training, options.epochs, seed, not options.no_augmentation)
            result, learnt = judge(model, test), judge(model, training)
            print(
                f"{name}, seed {seed}: UF1 {result['uf1']:.3f}, accuracy {result['accuracy']:.3f}, "
                f"UF1 on the training clips {learnt['uf1']:.3f}, {time.monotonic() - start:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
