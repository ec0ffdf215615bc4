"""Compare designs of the network quickly: learn from one synthetic corpus, test once on another with other subjects.

Only the frames that are sampled are rendered, and every clip is aligned once, by the true landmarks of its first
frame, so that the comparison is about the network alone. One training run per row instead of one per fold: the figures
say which design is better, not what a benchmark would give. `python benchmarks/design_choices.py --designs plain
default` prints one line per design and seed.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hub_datasets.synthetic.faces import Face
from hub_datasets.synthetic.motion import Performance
from hub_datasets.synthetic.render import gaussian_blur
from hub_datasets.synthetic.settings import CorpusSettings
from modeling_fdp import FDPConfig, FDPForVideoClassification
from training_fdp.augmentation import AugmentationConfig, build_augmentation, sample_augmented_indices
from training_fdp.baselines.classifiers import LogisticClassifier
from training_fdp.baselines.networks import DifferenceConvNet, PlainConvNet
from training_fdp.baselines.optical_flow import tv_l1_flow
from training_fdp.metrics import classification_metrics

CLASSES = ("happiness", "disgust", "repression", "surprise", "others")
NUM_RENDERED, NUM_FRAMES = 16, 8
FRAMES = np.rint(np.linspace(0, NUM_RENDERED - 1, NUM_FRAMES)).astype(int)
# Where the five points of the first frame go, as fractions of the side.
TEMPLATE = np.float32([[0.34, 0.36], [0.66, 0.36], [0.5, 0.56], [0.38, 0.74], [0.62, 0.74]]) * 128 - 0.5
CONVOLUTION = {"temporal_pooling": "temporal_convolution"}
NO_DECODER = {"decoder": "none", "dynamic_image_loss_weight": 0.0}


@dataclass
class Corpus:
    """Frames (num_clips, 17, 64, 64) uint8, the last one at the apex; labels (num_clips,) int64; subjects."""

    frames: torch.Tensor
    labels: torch.Tensor
    subjects: list[str]


def render_corpus(settings: CorpusSettings, cache: Path) -> Corpus:
    """Render a corpus, or read what an earlier run rendered."""
    path = cache / f"{settings.digest()}.npz"
    if not path.exists():
        clips = list(render_clips(settings))
        frames, labels, subjects = (np.array(column) for column in zip(*clips, strict=True))
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, frames=frames, labels=labels, subjects=subjects)
    found = np.load(path)
    labels = torch.from_numpy(found["labels"]).long()
    return Corpus(torch.from_numpy(found["frames"]), labels, [str(subject) for subject in found["subjects"]])


def render_clips(settings: CorpusSettings) -> Iterator[tuple[np.ndarray, int, int]]:
    """Yield frames, label and subject of each clip."""
    family, face, seed = settings.family(), None, None
    for plan in settings.recordings():
        if plan.face_seed != seed:
            face, seed = family.face(plan.face_seed, settings.size_hw), plan.face_seed
        performance = settings.performance(plan)
        event = performance.events[0]
        points = face.five_points(performance.state(event.onset)).astype(np.float32)
        transform, _ = cv2.estimateAffinePartial2D(points, TEMPLATE, method=cv2.LMEDS)
        indices = [*np.rint(np.linspace(event.onset, event.offset, NUM_RENDERED)).astype(int), event.apex]
        random = np.random.default_rng([0xCA3E, *performance.seed])
        frames = [take_picture(face, performance, int(index), random, transform) for index in indices]
        yield np.stack(frames), CLASSES.index(event.emotion), plan.subject


def take_picture(
    face: Face, performance: Performance, index: int, random: np.random.Generator, transform: np.ndarray
) -> np.ndarray:
    """One frame as the camera, the file and the alignment leave it: (64, 64) uint8."""
    picture = face.render(performance.state(index))
    if performance.blur * face.pixel_scale > 0.2:
        picture = gaussian_blur(picture, performance.blur * face.pixel_scale)
    picture = np.sqrt(picture) * performance.gain[index]
    picture += performance.noise * random.standard_normal(picture.shape, dtype=np.float32)
    gray = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    _, file = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, performance.jpeg_quality])
    aligned = cv2.warpAffine(cv2.imdecode(file, 0), transform, (128, 128), borderMode=cv2.BORDER_REPLICATE)
    return aligned.reshape(64, 2, 64, 2).astype(np.float32).mean((1, 3)).round().astype(np.uint8)


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


class Channels(nn.Module):
    """FDP on several channels per frame: `f` the first frame, `p`, `d`, `n` the previous, own and next difference."""

    def __init__(self, kinds: str, **overrides: object) -> None:
        super().__init__()
        self.kinds = kinds
        self.model = build_fdp(num_channels=len(kinds), reference="none", **NO_DECODER, **overrides)

    def forward(self, pixel_values: torch.Tensor, **rest: torch.Tensor) -> object:
        """As the model."""
        difference = torch.tanh((pixel_values - pixel_values[:, :1]) * 12)
        channels = {
            "f": pixel_values[:, :1].expand_as(pixel_values),
            "p": torch.cat([difference[:, :1], difference[:, :-1]], dim=1),
            "d": difference,
            "n": torch.cat([difference[:, 1:], difference[:, -1:]], dim=1),
        }
        return self.model(pixel_values=torch.cat([channels[kind] for kind in self.kinds], dim=2), **rest)


def build_fdp(**overrides: object) -> FDPForVideoClassification:
    """FDP of size tiny."""
    return FDPForVideoClassification(FDPConfig.from_preset("tiny", num_labels=len(CLASSES), **overrides))


DESIGNS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: Plain(DifferenceConvNet(NUM_FRAMES, len(CLASSES))),
    "plain_raw": lambda: Plain(PlainConvNet(NUM_FRAMES, len(CLASSES))),
    "default": build_fdp,
    "rank_weighted": lambda: build_fdp(temporal_pooling="rank_weighted"),
    "convolution": lambda: build_fdp(**CONVOLUTION),
    "convolution_no_decoder": lambda: build_fdp(**CONVOLUTION, **NO_DECODER),
    "convolution_dropout": lambda: build_fdp(**CONVOLUTION, classifier_dropout=0.3),
    "convolution_gain_4": lambda: build_fdp(**CONVOLUTION, reference_gain=4.0),
    "first_and_difference": lambda: Channels("fd", **CONVOLUTION),
    "first_and_difference_two_filters": lambda: Channels("fd", **CONVOLUTION, representation_multiplier=2),
    "first_and_neighbours": lambda: Channels("fpdn", **CONVOLUTION),
}


def train(model: nn.Module, corpus: Corpus, epochs: int, seed: int, augmented: bool, batch_size: int = 16) -> None:
    """AdamW 1e-3 with one cycle, balanced cross-entropy, gradients clipped at 1."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    config = AugmentationConfig.default() if augmented else AugmentationConfig()
    augment = build_augmentation(config, len(CLASSES))
    num_clips = len(corpus.labels)
    counts = torch.bincount(corpus.labels, minlength=len(CLASSES)).clamp_min(1)
    weights = num_clips / (len(CLASSES) * counts.float())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    steps = epochs * (num_clips // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps + 1, pct_start=0.1)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(num_clips, generator=generator)
        for start in range(0, num_clips - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            frames = torch.stack([corpus.frames[row][draw_frames(config, generator)] for row in rows])
            batch = {"pixel_values": to_pixels(frames), "labels": corpus.labels[rows]}
            batch = augment(batch, generator) if augmented else batch
            loss = model(**batch, class_weights=weights).loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()


def draw_frames(config: AugmentationConfig, generator: torch.Generator) -> torch.Tensor:
    """Indices of the frames of one training clip."""
    if not config.is_temporal:
        return torch.from_numpy(FRAMES)
    last = NUM_RENDERED - 1
    return torch.from_numpy(sample_augmented_indices(NUM_RENDERED, 0, None, last, NUM_FRAMES, config, generator))


def to_pixels(frames: torch.Tensor) -> torch.Tensor:
    """uint8 (batch_size, num_frames, 64, 64) to float (batch_size, num_frames, 1, 64, 64) in [-1, 1]."""
    return frames.float().div(127.5).sub(1)[:, :, None]


@torch.no_grad()
def judge(model: nn.Module, corpus: Corpus) -> dict:
    """Pooled metrics on all clips of a corpus."""
    model.eval()
    pixels = to_pixels(corpus.frames[:, FRAMES])
    predicted = torch.cat([model(pixel_values=chunk).logits for chunk in pixels.split(64)]).argmax(dim=1)
    return classification_metrics(predicted.numpy(), corpus.labels.numpy(), len(CLASSES))


def flow_baseline(training: Corpus, test: Corpus) -> dict:
    """Onset-apex flow grid and logistic regression, which is told the apex."""
    grids = [
        F.adaptive_avg_pool2d(tv_l1_flow(corpus.frames[:, 0], corpus.frames[:, NUM_RENDERED]), 8).flatten(1)
        for corpus in (training, test)
    ]
    labels = training.labels.numpy()
    outcome = LogisticClassifier().fit_predict(grids[0], labels, training.subjects, grids[1], len(CLASSES), 0)
    return classification_metrics(outcome.probabilities.argmax(axis=1), test.labels.numpy(), len(CLASSES))


def main() -> None:
    """Print one line per design and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--no_augmentation", action="store_true")
    parser.add_argument("--face_model", help="folder of a morphable model; the built-in faces when omitted")
    parser.add_argument("--cache_dir", type=Path, default=Path("runs/design_choices"))
    options = parser.parse_args()
    shared = {"difficulty": "medium", "mix": "casme2", "face_model": options.face_model}
    training = render_corpus(CorpusSettings(num_subjects=26, num_clips=246, seed=501, **shared), options.cache_dir)
    test = render_corpus(CorpusSettings(num_subjects=60, num_clips=600, seed=777, **shared), options.cache_dir)
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
