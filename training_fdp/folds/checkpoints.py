"""The state of an unfinished fold on disk."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias, TypedDict

import torch

from evaluation_fdp.atomic_files import write_atomically
from evaluation_fdp.fold_records import Selection
from training_fdp.errors import TrainingError

# Errors of torch's unpickler on files that are no checkpoint.
DAMAGED = (RuntimeError, EOFError, ValueError, OSError, UnpicklingError, LookupError, TypeError, AttributeError)


# State of a model, an optimiser or a scaler, as torch defines it.
TorchState: TypeAlias = dict[str, Any]


class BestEvaluation(TypedDict, total=False):
    """The best evaluation during a training, by which the number of steps is selected.

    Args:
        step (`int`): Steps done.
        uf1 (`float`): On the inner subjects.
        accuracy (`float`): On the held-out clips, for the literature's selection.
        look (`int`): Its number among the evaluations, from 1.
        weights (`dict[str, torch.Tensor]`): The model.
        predictions (`list[int]`): Class of each held-out clip.
    """

    step: int
    uf1: float
    accuracy: float
    look: int
    weights: dict[str, torch.Tensor]
    predictions: list[int]


class FoldState(TypedDict):
    """Content of the checkpoint of an unfinished fold.

    Args:
        identity (`str`): Digest of everything that decides the figures.
        stage (`str`): Name of the stage.
        step (`int`): Steps done.
        model (`dict`): State of the trained model.
        optimizer (`dict`): State of the optimiser.
        average (`dict`, *optional*): State of the moving average.
        scaler (`dict`, *optional*): State of the loss scaler.
        curve (`dict[str, list[float]]`): Loss, its parts and the learning rate per step.
        looks (`list[dict[str, float]]`): Figures of each evaluation.
        best (`BestEvaluation`, *optional*): The best of them.
        selection (`Selection`): How the number of steps is chosen.
    """

    identity: str
    stage: str
    step: int
    model: TorchState
    optimizer: TorchState
    average: TorchState | None
    scaler: TorchState | None
    curve: dict[str, list[float]]
    looks: list[dict[str, float]]
    best: BestEvaluation | None
    selection: Selection


def save_checkpoint(path: Path, state: FoldState) -> None:
    """Save tensors and plain numbers atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path, device: torch.device) -> FoldState | None:
    """Return the saved state (`FoldState`), `None` where there is none; only tensors and plain values are unpickled.

    Raises:
        TrainingError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"the checkpoint {path} cannot be read ({reason}); delete it to start the fold again"
        ) from error
