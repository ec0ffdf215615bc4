"""A few held-out clips of each fold for the report: dynamic images and rank scores. Only where faces may be shown."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation_fdp.atomic_files import write_atomically
from evaluation_fdp.run_folder import SAMPLES_FOLDER
from training_fdp.folds.fold import TrainedFold
from training_fdp.folds.loop import FoldContext
from training_fdp.methods.fdp_targets import dynamic_image_targets

CLIPS_PER_FOLD = 4


@torch.no_grad()
def write_samples(root: Path, key: str, trained: TrainedFold, context: FoldContext) -> None:
    """Keep what the report draws of the first held-out clips of a fold.

    The file lies outside the fold's folder, so that publishing a checkpoint cannot take a picture along.

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
    output = model(pixel_values=batch["pixel_values"])
    constructed = output.dynamic_image
    arrays: dict[str, Any] = {
        "clip_ids": np.array([context.table.clip_ids[row] for row in rows]),
        "labels": np.array([context.table.class_names[context.table.labels[row]] for row in rows]),
        "predictions": np.array(
            [context.table.class_names[label] for label in trained.predictions.labels[: len(rows)]]
        ),
        "targets": dynamic_image_targets(model.config, batch)[:, 0].float().cpu().numpy(),
        "rank_scores": output.rank_scores.float().cpu().numpy(),
    }
    if constructed is not None:
        arrays["constructed"] = constructed[:, 0].float().cpu().numpy()
    folder = root / SAMPLES_FOLDER
    folder.mkdir(exist_ok=True)
    write_atomically(folder / f"{key}.npz", lambda file: np.savez_compressed(file, **arrays))
