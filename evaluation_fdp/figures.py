"""Pictures of the report, drawn without a display and written atomically."""

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from evaluation_fdp.atomic_files import write_atomically

DOTS_PER_INCH = 110
# Curves of single folds hide each other; their mean is drawn over them.
CURVE_ALPHA = 0.35


def read_samples(folder: Path, count: int) -> list[dict[str, np.ndarray]]:
    """Read the samples from which pictures of single clips are drawn.

    Args:
        folder (`Path`): Holds one archive per fold, whose arrays have one entry per clip.
        count (`int`): Most clips to return.

    Returns:
        `list[dict]`: Up to `count` clips, the first one of each fold before the second of any.
    """
    folds = []
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as arrays:
            columns = dict(arrays)
        folds.append([dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)])
    clips = [clip for turn in zip_longest(*folds) for clip in turn if clip is not None]
    return clips[:count]


def draw_confusion_matrix(path: Path, matrix: Sequence[Sequence[int]], class_names: Sequence[str], title: str) -> None:
    """Draw counts on shades of recall: rows are the truth, columns the predictions."""
    counts = np.asarray(matrix)
    recall = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        image = axes.imshow(recall, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(counts.shape):
            color = "white" if recall[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color)
        axes.set_xticks(range(len(class_names)), class_names, rotation=45, ha="right")
        axes.set_yticks(range(len(class_names)), class_names)
        axes.set(xlabel="prediction", ylabel="truth", title=title)
        figure.colorbar(image, label="share of the true class")

    side = 2.5 + 0.6 * len(class_names)
    _save(path, (side + 1.2, side), draw)


def draw_subject_accuracy(path: Path, correct: Mapping[str, tuple[int, int]]) -> None:
    """Draw each subject's share of right predictions, with the number of its clips."""
    subjects = sorted(correct, key=lambda subject: (-correct[subject][0] / correct[subject][1], subject))
    shares = [correct[subject][0] / correct[subject][1] for subject in subjects]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.bar(range(len(subjects)), shares, color="#4472a8")
        for position, subject in enumerate(subjects):
            axes.text(position, shares[position] + 0.01, str(correct[subject][1]), ha="center", fontsize=7)
        axes.set_xticks(range(len(subjects)), subjects, rotation=90, fontsize=7)
        axes.set(ylim=(0, 1.08), ylabel="accuracy", title="Held-out subjects (numbers: clips)")

    _save(path, (max(5.0, 0.28 * len(subjects)), 3.6), draw)


def draw_training_curves(path: Path, curves: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Draw the loss and its parts over the steps: a line per fold, their mean, each part in its own panel."""
    # A checkpoint evaluated without training has no steps: its panel stays empty.
    names = [name for name in next(iter(curves.values())) if name != "learning_rate"] or ["loss"]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            lines = [np.asarray(curve.get(name, [])) for curve in curves.values()]
            for values in lines:
                axes.plot(np.arange(1, len(values) + 1), values, color="#4472a8", alpha=CURVE_ALPHA, linewidth=0.8)
            shared = min(len(values) for values in lines)
            mean = np.mean([values[:shared] for values in lines], axis=0)
            axes.plot(np.arange(1, shared + 1), mean, color="#1d3557", linewidth=1.2)
            axes.set(
                title=name.replace("_", " "), xlabel="step", yscale="log" if _positive(curves, name) else "linear"
            )

    _save(path, (3.4 * len(names), 3.0), draw)


def draw_clips(path: Path, clips: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Draw the pictures and curves that a method returns for a few clips, one row each.

    Args:
        path (`Path`): The picture.
        clips (`Sequence[Mapping]`): `clip_ids`, `labels` and `predictions`; under `"image NAME"` pictures `(height,
            width)` in [0, 1], under `"curve NAME"` one value per frame.
    """
    panels = sorted({name for clip in clips for name in clip if name.startswith(("image ", "curve "))}, reverse=True)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(clips), len(panels), squeeze=False)
        for row, clip in zip(grid, clips, strict=True):
            for axes, panel in zip(row, panels, strict=True):
                kind, _, name = panel.partition(" ")
                title = name.replace("_", " ")
                if kind == "curve" and panel in clip:
                    values = clip[panel]
                    axes.plot(np.arange(1, len(values) + 1), values, marker="o", color="#4472a8")
                    axes.set_ylabel(title, fontsize=7)
                    continue
                if panel in clip:
                    axes.imshow(clip[panel], cmap="gray", vmin=0, vmax=1)
                axes.set_xlabel(title, fontsize=7)
                axes.set(xticks=(), yticks=())
            row[0].set_title(f"{clip['clip_ids']}\n{clip['labels']}, predicted {clip['predictions']}", fontsize=7)

    _save(path, (2.4 * len(panels), 2.2 * len(clips)), draw)


def _positive(curves: Mapping[str, Mapping[str, Sequence[float]]], name: str) -> bool:
    return all(min(curve.get(name, [1.0]), default=1.0) > 0 for curve in curves.values())


def _save(path: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> None:
    # Not pyplot's: its figures stay in memory until they are closed, and it looks for a display.
    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=DOTS_PER_INCH))
