"""The fold record: one folder with the results of a finished fold, complete or absent."""

import dataclasses
import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from evaluation_fdp.atomic_files import fresh_folder, publish_folder, read_json, write_json
from evaluation_fdp.protocols import ClipTable
from evaluation_fdp.run_info import StartingWeights

logger = logging.getLogger(__name__)

RECORD_NAME = "fold.json"
CURVE_NAME = "training_curve.json"
RECORD_VERSION = 2
RECORDED_PACKAGES = ("fdp-micro-expression", "torch", "transformers", "datasets", "accelerate", "numpy")


@dataclass
class Predictions:
    """Predictions of a model for some clips, row by row.

    Args:
        rows (`list[int]`): Rows of the clip table.
        probabilities (`np.ndarray` of shape `(num_clips, num_labels)`): float64, rows sum to 1.
        answers (`list[dict[str, float]]`): Numbers that the method returns beyond the class, by name, finite; one
            dictionary per clip, empty where there are none.
    """

    rows: list[int]
    probabilities: NDArray[np.float64]
    answers: list[dict[str, float]]

    @property
    def labels(self) -> list[int]:
        """The most probable class of each clip (`list[int]`); of equal ones the first."""
        return [int(label) for label in self.probabilities.argmax(axis=1)] if self.rows else []

    def by_clip(self, table: ClipTable) -> list["ClipPrediction"]:
        """Return each prediction beside the truth (`list[ClipPrediction]`), for the record."""
        return [
            ClipPrediction(
                clip_id=table.clip_ids[row],
                corpus=table.corpora[row],
                subject=table.subjects[row],
                label=int(table.labels[row]),
                prediction=prediction,
                probabilities=probabilities.tolist(),
                answers=dict(answers),
            )
            for row, prediction, probabilities, answers in zip(
                self.rows, self.labels, self.probabilities, self.answers, strict=True
            )
        ]


@dataclass(frozen=True)
class ClipPrediction:
    """Prediction for one held-out clip.

    Args:
        clip_id (`str`): Its name.
        corpus (`str`): Its corpus.
        subject (`str`): Its subject.
        label (`int`): True class.
        prediction (`int`): Predicted class.
        probabilities (`list[float]`): One per class.
        answers (`dict[str, float]`): Numbers beyond the class; see [`Predictions`].
    """

    clip_id: str
    corpus: str
    subject: str
    label: int
    prediction: int
    probabilities: list[float]
    answers: dict[str, float]


class Selection(TypedDict, total=False):
    """How the number of optimiser steps of a fold was chosen.

    Args:
        method (`str`): `fixed` or `inner`.
        inner_subjects (`list[str]`): With `inner`, training subjects that were held out for it.
        steps (`int`): With `inner`, the chosen number.
        planned_steps (`int`): With `inner`, the number for which the learning rate was scheduled.
        looks (`list[dict[str, float]]`): With `inner`, figures of each evaluation on the inner subjects.
    """

    method: str
    inner_subjects: list[str]
    steps: int
    planned_steps: int
    looks: list[dict[str, float]]


@dataclass(frozen=True)
class LiteratureSelection:
    """The epoch of a fold that scored best on its own held-out clips, as much of the literature selects. Not a result.

    Args:
        step (`int`): Optimiser steps of that epoch's end.
        accuracy (`float`): On the held-out clips, in [0, 1].
        predictions (`list[int]`): Predicted class per held-out clip, in the order of the record's predictions.
    """

    step: int
    accuracy: float
    predictions: list[int]


@dataclass(frozen=True)
class FoldRecord:
    """Results of a finished fold; the content of `fold.json`.

    Args:
        identity (`str`): Digest of the clips and settings that decide the run's numbers.
        fold (`str`): Name of the fold.
        seed (`int`): Seed of the run.
        train_subjects (`list[str]`): Subjects that were trained on.
        test_subjects (`list[str]`): Subjects that were held out; none for the final model.
        num_train_clips (`int`): Clips that were trained on.
        num_test_clips (`int`): Clips that were held out.
        steps (`int`): Optimiser steps behind the model.
        selection (`Selection`): How the number of steps was chosen.
        predictions (`list[ClipPrediction]`): One per held-out clip.
        seconds (`float`): Wall time.
        device (`str`): Type of the device.
        settings (`dict`): Settings that decide the numbers.
        init_from (`StartingWeights`, *optional*): The checkpoint that training started from.
        seen_subjects (`dict[str, list[str]]`, *optional*): Subjects that the model was trained on, by its starting
            checkpoints too, by corpus.
        input_statistics (`list[float]`, *optional*): Normalisation by the training clips: mean and maximum.
        forward_batch_size (`int`, *optional*): Clips per forward pass that fitted into memory.
        best_on_test_subject (`LiteratureSelection`, *optional*): Where requested.
        versions (`dict[str, str]`, *optional*): Versions of Python and packages; this process's by default.
    """

    identity: str
    fold: str
    seed: int
    train_subjects: list[str]
    test_subjects: list[str]
    num_train_clips: int
    num_test_clips: int
    steps: int
    selection: Selection
    predictions: list[ClipPrediction]
    seconds: float
    device: str
    settings: Mapping[str, object]
    init_from: StartingWeights | None = None
    seen_subjects: dict[str, list[str]] | None = None
    input_statistics: list[float] | None = None
    forward_batch_size: int | None = None
    best_on_test_subject: LiteratureSelection | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=lambda: versions())

    @property
    def benchmarked(self) -> bool:
        """Whether subjects were held out (`bool`)."""
        return bool(self.test_subjects)

    @property
    def note(self) -> str | None:
        """Note on a model without held-out figures (`str`, *optional*)."""
        return None if self.benchmarked else "trained on every subject: no held-out figure exists for this model"

    def to_dict(self) -> dict[str, object]:
        """Return the content of `fold.json` (`dict`)."""
        content = dataclasses.asdict(self)
        return {"record_version": RECORD_VERSION, "benchmarked": self.benchmarked, "note": self.note, **content}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what [`FoldRecord.to_dict`] returned."""
        names = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in content.items() if name in names}
        values["predictions"] = [ClipPrediction(**row) for row in values["predictions"]]
        chosen, start = values["best_on_test_subject"], values["init_from"]
        values["best_on_test_subject"] = None if chosen is None else LiteratureSelection(**chosen)
        values["init_from"] = None if start is None else StartingWeights(**start)
        return cls(**values)


def write_record(
    fold_folder: Path,
    staging_folder: Path,
    record: FoldRecord,
    curve: Mapping[str, Sequence[float]],
    save: Callable[[Path], object] = lambda folder: None,
) -> None:
    """Write a finished fold to `staging_folder`, flush it to disk, then rename it to `fold_folder`.

    Args:
        fold_folder (`Path`): The fold's folder; not there yet.
        staging_folder (`Path`): Folder to write first, on the same file system.
        record (`FoldRecord`): Results of the fold.
        curve (`Mapping[str, Sequence[float]]`): Loss, its parts and the learning rate per step.
        save (`Callable[[Path], object]`, *optional*): Writes the model, in Hub format, into the folder it is given.

    Raises:
        OSError: the disk is full or read-only; `fold_folder` does not exist then.
    """
    fresh_folder(staging_folder)
    save(staging_folder)
    write_json(staging_folder / CURVE_NAME, curve)
    write_json(staging_folder / RECORD_NAME, record.to_dict())
    publish_folder(staging_folder, fold_folder)


def read_record(fold_folder: Path, identity: str | None = None) -> FoldRecord | None:
    """Read a finished fold.

    Args:
        fold_folder (`Path`):
            The fold's folder.
        identity (`str`, *optional*):
            Digest that the record must carry.

    Returns:
        `FoldRecord` or `None`: the record; `None` where the fold is not finished, or belongs to another run.
    """
    path = fold_folder / RECORD_NAME
    if not path.exists():
        return None
    content = read_json(path)
    if content.get("record_version") != RECORD_VERSION or identity not in (None, content["identity"]):
        logger.warning("%s is of a run with other settings or clips and is not used", fold_folder)
        return None
    return FoldRecord.from_dict(content)


def versions() -> dict[str, str]:
    """Return versions (`dict[str, str]`) of Python and of the packages that compute a result."""
    version_of = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            version_of[package] = version(package)
        except PackageNotFoundError:
            version_of[package] = "not installed"
    return version_of
