"""The fold record: one folder in Hub format with what a finished fold found, complete or not there at all."""

import logging
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation_fdp.atomic_files import fresh_folder, publish_folder, read_json, write_json
from evaluation_fdp.protocols import ClipTable, Fold

if TYPE_CHECKING:
    from training_fdp.folds.fold import TrainedFold

logger = logging.getLogger(__name__)

RECORD_NAME = "fold.json"
CURVE_NAME = "training_curve.json"
RECORD_VERSION = 1
RECORDED_PACKAGES = ("fdp-micro-expression", "torch", "transformers", "datasets", "accelerate", "numpy")


def write_record(
    place: Path,
    aside: Path,
    trained: "TrainedFold",
    fold: Fold,
    seed: int,
    table: ClipTable,
    processor: Any,
    settings: dict[str, Any],
    identity: str,
    origin: dict[str, Any],
) -> None:
    """Save a finished fold: written aside, brought to the disk, renamed into place.

    Args:
        place (`Path`): The fold's folder; not there yet.
        aside (`Path`): Where it is written first, on the same file system.
        trained (`TrainedFold`): The outcome.
        fold (`Fold`): The split.
        seed (`int`): Seed of the run.
        table (`ClipTable`): The clips' columns.
        processor (`FDPVideoProcessor`): Saved beside the weights, so that inference prepares clips alike.
        settings (`dict`): Settings that decide the numbers.
        identity (`str`): Their digest, with the clips'.
        origin (`dict`): `init_from`, the checkpoint that training started from, and `seen_subjects`, whom the model
            has been trained on since its first step, by corpus.

    Raises:
        OSError: the disk is full or read-only; nothing is at `place` then.
    """
    fresh_folder(aside)
    trained.model.save_pretrained(aside)
    processor.save_pretrained(aside)
    write_json(aside / CURVE_NAME, trained.curve)
    record = {
        "record_version": RECORD_VERSION,
        "identity": identity,
        "fold": fold.fold_id,
        "seed": seed,
        "benchmarked": bool(fold.test_indices),
        "note": None if fold.test_indices else "trained on every subject: no held-out figure exists for this model",
        "train_subjects": list(fold.train_subjects),
        "test_subjects": list(fold.test_subjects),
        **origin,
        "num_train_clips": len(fold.train_indices),
        "num_test_clips": len(fold.test_indices),
        "steps": trained.steps,
        "selection": trained.selection,
        "input_statistics": None if trained.statistics is None else list(trained.statistics),
        "forward_batch_size": trained.forward_batch_size,
        "predictions": _prediction_rows(trained, table),
        "best_on_test_subject": _literature(trained),
        "seconds": round(trained.seconds, 3),
        "device": str(next(trained.model.parameters()).device.type),
        "settings": settings,
        "versions": versions(),
    }
    write_json(aside / RECORD_NAME, record)
    publish_folder(aside, place)


def read_record(place: Path, identity: str | None = None) -> dict[str, Any] | None:
    """Read a finished fold.

    Args:
        place (`Path`):
            The fold's folder.
        identity (`str`, *optional*):
            Digest that the record must carry.

    Returns:
        `dict` or `None`: the record; `None` where the fold is not finished, or is another run's.
    """
    path = place / RECORD_NAME
    if not path.exists():
        return None
    record = read_json(path)
    if identity is not None and record["identity"] != identity:
        logger.warning("%s is of a run with other settings or clips and is not used", place)
        return None
    return record


def versions() -> dict[str, str]:
    """Return versions (`dict`) of what computed a result."""
    import torch  # reading records takes a tenth of the time without it

    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _prediction_rows(trained: "TrainedFold", table: ClipTable) -> list[dict[str, Any]]:
    predictions = trained.predictions
    return [
        {
            "clip_id": table.clip_ids[row],
            "corpus": table.corpora[row],
            "subject": table.subjects[row],
            "label": table.labels[row],
            "prediction": label,
            "probabilities": probabilities.tolist(),
            "rank_tau": tau,
            "dynamic_image": image,
        }
        for row, label, probabilities, tau, image in zip(
            predictions.rows,
            predictions.labels,
            predictions.probabilities,
            predictions.rank_tau,
            predictions.dynamic_images,
            strict=True,
        )
    ]


def _literature(trained: "TrainedFold") -> dict[str, Any] | None:
    if trained.best_on_test_subject is None:
        return None
    return {name: trained.best_on_test_subject[name] for name in ("step", "accuracy", "predictions")}
