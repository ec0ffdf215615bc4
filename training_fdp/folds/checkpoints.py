"""The state of an unfinished fold on disk."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from evaluation_fdp.atomic_files import write_atomically
from training_fdp.errors import TrainingError

# Errors of torch's unpickler on files that are no checkpoint.
DAMAGED = (RuntimeError, EOFError, ValueError, OSError, UnpicklingError, LookupError, TypeError, AttributeError)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain numbers atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Return the saved state (`dict`), or `None` where there is none. Only tensors and plain values are unpickled.

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
