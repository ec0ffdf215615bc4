"""Pictures and curves of a few held-out clips per fold, for reports. Only where faces may be shown."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation_fdp.atomic_files import write_atomically
from evaluation_fdp.run_folder import SAMPLES_FOLDER
from training_fdp.folds.fold import TrainedFold
from training_fdp.folds.loop import FoldContext

CLIPS_PER_FOLD = 4


@torch.no_grad()
def write_samples(root: Path, key: str, trained: TrainedFold, context: FoldContext) -> None:
    """Write the pictures and curves that a method shows for the first held-out clips of a fold.

    The file lies outside the fold's folder, so that it is not published with the checkpoint.

    Args:
        root (`Path`): OUT.
        key (`str`): Name of the fold's folder.
        trained (`TrainedFold`): The outcome.
        context (`FoldContext`): Source of the clips.
    """
    rows = trained.predictions.rows[:CLIPS_PER_FOLD]
    if not rows:
        return
    model = trained.model.eval()
    batch = context.batches.load(rows, trained.statistics)
    shown = context.method.shown(model(**context.method.inputs(batch)), model.config, batch)
    if not (shown[0].images or shown[0].curves):
        return
    names = context.table.class_names
    arrays: dict[str, Any] = {
        "clip_ids": np.array([context.table.clip_ids[row] for row in rows]),
        "labels": np.array([names[context.table.labels[row]] for row in rows]),
        "predictions": np.array([names[label] for label in trained.predictions.labels[: len(rows)]]),
    }
    for name in shown[0].images:
        arrays[f"image {name}"] = np.stack([clip.images[name] for clip in shown])
    for name in shown[0].curves:
        arrays[f"curve {name}"] = np.array([clip.curves[name] for clip in shown])
    folder = root / SAMPLES_FOLDER
    folder.mkdir(exist_ok=True)
    write_atomically(folder / f"{key}.npz", lambda file: np.savez_compressed(file, **arrays))
