"""results.json as typed objects: settings of a run, figures of its held-out clips, and its final model.

[`Results.from_dict`] computes the figures of seeds and the headline from the confusion matrices, so that a figure
edited in the file reaches neither a table nor a card.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from evaluation_fdp.errors import ResultsError
from evaluation_fdp.intervals import Interval
from evaluation_fdp.metrics import METRICS, Figures, chance_level
from evaluation_fdp.run_info import StartingWeights

RESULTS_NAME = "results.json"
SCHEMA_PATH = Path(__file__).parent / "results.schema.json"
# Version of results.schema.json; raise it with every change that older files do not keep.
SCHEMA_VERSION = 2


@dataclass(frozen=True)
class FoldSummary:
    """One finished fold of one seed.

    Args:
        fold (`str`): Its name.
        seed (`int`): Seed of the run.
        test_subjects (`list[str]`): Held-out subjects.
        num_train_subjects (`int`): Number of training subjects.
        num_train_clips (`int`): Their clips.
        num_test_clips (`int`): Held-out clips.
        num_correct (`int`): Those that were predicted right.
        steps (`int`): Optimiser steps.
        seconds (`float`): Wall time.
    """

    fold: str
    seed: int
    test_subjects: list[str]
    num_train_subjects: int
    num_train_clips: int
    num_test_clips: int
    num_correct: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class Answer:
    """One number that a method returns beyond the class, over the held-out clips.

    Args:
        title (`str`): Its name in reports.
        mean (`float`): Mean over clips.
        std (`float`): Deviation over clips.
    """

    title: str
    mean: float
    std: float


@dataclass(frozen=True)
class FinalModel:
    """The model trained on all subjects, so that no subject is left to hold out.

    Args:
        path (`str`): Its folder in OUT.
        note (`str`): How it was trained.
        num_train_clips (`int`): Clips.
        num_train_subjects (`int`): Subjects.
    """

    path: str
    note: str
    num_train_clips: int
    num_train_subjects: int


@dataclass(frozen=True)
class Benchmark:
    """Figures of the held-out clips, pooled once over all folds.

    Args:
        per_seed (`dict[int, Figures]`): Figures of each seed; not empty.
        num_subjects (`int`): Held-out subjects.
        class_counts (`list[int]`): Held-out clips of each class, in one seed.
        interval (`dict[str, tuple[float, float]]`): 95% interval over subjects of each metric.
        folds (`list[FoldSummary]`): Every finished fold.
        answers (`dict[str, Answer]`, *optional*): Numbers that the method returns beyond the class.
        per_corpus (`dict[str, Figures]`, *optional*): Figures of each corpus, where clips of several were held out.
        best_on_test_subject (`Figures`, *optional*): Each fold's best epoch on its own held-out clips. Not a result.
    """

    per_seed: dict[int, Figures]
    num_subjects: int
    class_counts: list[int]
    interval: dict[str, Interval]
    folds: list[FoldSummary]
    answers: dict[str, Answer] = field(default_factory=dict)
    per_corpus: dict[str, Figures] = field(default_factory=dict)
    best_on_test_subject: Figures | None = None

    @property
    def figures(self) -> Figures:
        """The headline (`Figures`): the mean over seeds of every figure, the sum of the confusion matrices."""
        return Figures.mean(list(self.per_seed.values()))

    @property
    def num_clips(self) -> int:
        """Held-out clips of one seed (`int`)."""
        return sum(self.class_counts)

    @property
    def deviation(self) -> dict[str, float]:
        """Sample deviation over seeds of every metric (`dict[str, float]`); 0 for a single seed."""
        if len(self.per_seed) == 1:
            return dict.fromkeys(METRICS, 0.0)
        return {name: float(np.std([run[name] for run in self.per_seed.values()], ddof=1)) for name in METRICS}

    @property
    def chance(self) -> dict[str, dict[str, float]]:
        """Scores of guessing on these clips (`dict`); see [`chance_level`]."""
        return chance_level(self.class_counts)

    @property
    def majority(self) -> int:
        """The most frequent class (`int`), of equal ones the first."""
        return int(np.argmax(self.class_counts))

    def to_dict(self, class_names: list[str]) -> dict[str, object]:
        """Return its part of results.json (`dict`)."""
        figures = self.figures.to_dict()
        matrix = figures.pop("confusion_matrix")
        content: dict[str, object] = {
            "num_clips": self.num_clips,
            "num_subjects": self.num_subjects,
            "metrics": figures,
            "deviation": self.deviation,
            "interval": {name: list(bounds) for name, bounds in self.interval.items()},
            "chance": self.chance,
            "majority_class": class_names[self.majority],
            "class_counts": dict(zip(class_names, self.class_counts, strict=True)),
            "confusion_matrix": matrix,
            "per_seed": [{"seed": seed, **run.to_dict()} for seed, run in self.per_seed.items()],
            "folds": [dataclasses.asdict(fold) for fold in self.folds],
            "answers": {name: dataclasses.asdict(answer) for name, answer in self.answers.items()},
        }
        if self.per_corpus:
            content["per_corpus"] = {name: figures.to_dict() for name, figures in self.per_corpus.items()}
        if self.best_on_test_subject is not None:
            content["best_on_test_subject"] = self.best_on_test_subject.to_dict()
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what [`Benchmark.to_dict`] returned; figures of seeds are computed from their confusion matrices."""
        literature = content.get("best_on_test_subject")
        return cls(
            per_seed={run["seed"]: Figures.of(run["confusion_matrix"]) for run in content["per_seed"]},
            num_subjects=content["num_subjects"],
            class_counts=list(content["class_counts"].values()),
            interval={name: (low, high) for name, (low, high) in content["interval"].items()},
            folds=[FoldSummary(**fold) for fold in content["folds"]],
            answers={name: Answer(**answer) for name, answer in content["answers"].items()},
            per_corpus={name: Figures.from_dict(values) for name, values in content.get("per_corpus", {}).items()},
            best_on_test_subject=None if literature is None else Figures.from_dict(literature),
        )


@dataclass(frozen=True)
class Results:
    """The content of results.json.

    Args:
        command (`str`): Command that reproduces the run from the same corpora.
        corpus (`list[str]`): Corpora that were trained on.
        test_corpus (`list[str]`): Corpora that were held out as a whole.
        label_set (`str`, *optional*): Name of the label set.
        class_names (`list[str]`): Its classes.
        preset (`str`): Size of the network, or name of the baseline.
        protocol (`str`): Name of the protocol.
        selection (`str`): How the number of steps was chosen.
        seeds (`list[int]`): Seeds of the run.
        synthetic (`bool`): Whether every face is rendered.
        warnings (`list[str]`): Warnings to read before the figures.
        versions (`dict[str, str]`): Versions of Python and packages.
        settings (`dict`): Settings that decide the numbers.
        missing_folds (`dict[str, str]`, *optional*): Folder name of each missing fold and why.
        lost_clips (`dict[str, str]`, *optional*): Name of each clip that could not be used and why.
        init_from (`StartingWeights`, *optional*): The checkpoint that training started from.
        benchmark (`Benchmark`, *optional*): Figures of held-out clips; `None` where no subject was held out.
        final_model (`FinalModel`, *optional*): The model of all subjects, where there is one.
    """

    command: str
    corpus: list[str]
    test_corpus: list[str]
    label_set: str | None
    class_names: list[str]
    preset: str
    protocol: str
    selection: str
    seeds: list[int]
    synthetic: bool
    warnings: list[str]
    versions: dict[str, str]
    settings: Mapping[str, object]
    missing_folds: dict[str, str] = field(default_factory=dict)
    lost_clips: dict[str, str] = field(default_factory=dict)
    init_from: StartingWeights | None = None
    benchmark: Benchmark | None = None
    final_model: FinalModel | None = None

    @property
    def complete(self) -> bool:
        """Whether every fold of every seed is in the figures (`bool`)."""
        return not self.missing_folds

    @property
    def corpora(self) -> list[str]:
        """All corpora of the run (`list[str]`), those trained on first."""
        return [*self.corpus, *self.test_corpus]

    def to_dict(self) -> dict[str, object]:
        """Return the content of results.json (`dict`)."""
        run = {name: getattr(self, name) for name in _RUN_FIELDS}
        pooled = {} if self.benchmark is None else self.benchmark.to_dict(self.class_names)
        return {
            "schema_version": SCHEMA_VERSION,
            "complete": self.complete,
            **run,
            "init_from": None if self.init_from is None else dataclasses.asdict(self.init_from),
            **pooled,
            "final_model": None
            if self.final_model is None
            else {**dataclasses.asdict(self.final_model), "benchmarked": False},
        }

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Check the content of a results.json against its schema and read it.

        Args:
            content (`Any`): What [`Results.to_dict`] returned, or a file held.

        Raises:
            ResultsError: If it does not keep the schema, or its parts disagree on the number of classes.
        """
        import jsonschema  # imported here, because only reading needs it

        try:
            jsonschema.validate(content, results_schema())
        except jsonschema.ValidationError as error:
            raise ResultsError(
                f"results must keep results.schema.json, but {error.json_path} is wrong: {error.message[:200]}; "
                "collect the run again with train.py --collect OUT"
            ) from error
        initial_checkpoint, final = content["init_from"], content["final_model"]
        final_fields = {name: value for name, value in (final or {}).items() if name != "benchmarked"}
        try:
            benchmark = Benchmark.from_dict(content) if "per_seed" in content else None
        except ValueError as error:
            raise ResultsError(f"results hold a confusion matrix that cannot be used: {error}") from error
        results = cls(
            **{name: content[name] for name in _RUN_FIELDS},
            init_from=None if initial_checkpoint is None else StartingWeights(**initial_checkpoint),
            benchmark=benchmark,
            final_model=None if final is None else FinalModel(**final_fields),
        )
        results._check_classes()
        return results

    def _check_classes(self) -> None:
        if self.benchmark is None:
            return
        sizes = {len(run.confusion_matrix) for run in self.benchmark.per_seed.values()}
        if sizes | {len(self.benchmark.class_counts)} != {len(self.class_names)}:
            raise ResultsError(
                f"results name {len(self.class_names)} classes beside a confusion matrix of {max(sizes)} rows; "
                "collect the run again with train.py --collect OUT"
            )


_RUN_FIELDS = (
    "missing_folds", "lost_clips", "command", "corpus", "test_corpus", "label_set", "class_names", "preset",
    "protocol", "selection", "seeds", "synthetic", "warnings", "versions", "settings",
)  # fmt: skip


@cache
def results_schema() -> dict[str, Any]:
    """Return the schema of results.json (`dict`), with the metrics that `METRICS` lists."""
    schema: dict[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    schema["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    for name in ("scores", "intervals", "deviations", "figures"):
        schema["$defs"][name].setdefault("required", []).extend(METRICS)
    return schema


def read_results(path: Path) -> Results:
    """Read a results.json.

    Args:
        path (`Path`): The file.

    Raises:
        ResultsError: If it cannot be read, is not JSON or does not keep the schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path} must be the JSON that train.py writes, but {error}; collect the run again with "
            "train.py --collect OUT"
        ) from error
    try:
        return Results.from_dict(content)
    except ResultsError as error:
        raise ResultsError(f"{path}: {error}") from error
