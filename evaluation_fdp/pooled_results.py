"""Pooled results, computed from the fold records alone: every held-out clip counts once, folds are never averaged."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation_fdp.errors import ResultsError
from evaluation_fdp.fold_records import ClipPrediction, FoldRecord
from evaluation_fdp.intervals import SeedAnswers, SubjectCounts, subject_intervals
from evaluation_fdp.metrics import Figures, classification_metrics
from evaluation_fdp.results import RESULTS_NAME, Answer, Benchmark, FoldSummary

PREDICTIONS_NAME = "predictions.csv"


def pool_records(
    records: Mapping[int, Sequence[FoldRecord]],
    class_names: Sequence[str],
    answer_titles: Mapping[str, str] | None = None,
) -> Benchmark:
    """Pool the held-out predictions of all folds, seed by seed.

    Args:
        records (`Mapping[int, Sequence[FoldRecord]]`):
            Fold records by seed.
        class_names (`Sequence[str]`):
            Names of the classes.
        answer_titles (`Mapping[str, str]`, *optional*):
            Titles of the answers beyond the class; the name where there is none.

    Returns:
        `Benchmark`: the figures; `best_on_test_subject` where every fold recorded it.
    """
    num_labels = len(class_names)
    rows = {seed: [row for record in folds for row in record.predictions] for seed, folds in records.items()}
    all_rows = [row for seed_rows in rows.values() for row in seed_rows]
    counts = SubjectCounts.of([_answers_of(seed_rows) for seed_rows in rows.values()], num_labels)
    corpora = sorted({row.corpus for row in all_rows})
    return Benchmark(
        per_seed={seed: _figures(seed_rows, num_labels) for seed, seed_rows in rows.items()},
        num_subjects=len(counts.subjects),
        class_counts=_class_counts(next(iter(rows.values())), num_labels),
        interval=subject_intervals(counts),
        folds=[_fold_summary(record) for folds in records.values() for record in folds],
        answers=_beyond_the_class(all_rows, answer_titles or {}),
        per_corpus={corpus: _of_corpus(rows.values(), corpus, num_labels) for corpus in corpora}
        if len(corpora) > 1
        else {},
        best_on_test_subject=_best_on_test_subject(records, num_labels),
    )


def predictions_csv(records: Mapping[int, Sequence[FoldRecord]], class_names: Sequence[str]) -> str:
    """Return all held-out predictions as CSV text (`str`); floats keep all their digits.

    Columns: clip_id, subject, fold, label, prediction, prob_<class> ...; with several seeds `seed` at the end.
    """
    several = len(records) > 1
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = ["clip_id", "subject", "fold", "label", "prediction", *(f"prob_{name}" for name in class_names)]
    writer.writerow([*header, "seed"] if several else header)
    for seed, folds in records.items():
        for record in folds:
            for row in record.predictions:
                cells = [
                    row.clip_id,
                    row.subject,
                    record.fold,
                    class_names[row.label],
                    class_names[row.prediction],
                    *(repr(value) for value in row.probabilities),
                ]
                writer.writerow([*cells, seed] if several else cells)
    return buffer.getvalue()


def read_predictions(path: Path, class_names: Sequence[str]) -> list[SeedAnswers]:
    """Read the predictions of a run.

    Args:
        path (`Path`): A predictions.csv.
        class_names (`Sequence[str]`): Names of the classes.

    Returns:
        `list[SeedAnswers]`: One per seed, in the order of the file.

    Raises:
        ResultsError: If the file lacks a column or names another class.
    """
    index = {name: number for number, name in enumerate(class_names)}
    seeds: dict[str, list[tuple[str, int, int]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                cells = (row["subject"], index[row["label"]], index[row["prediction"]])
            except KeyError as error:
                raise ResultsError(
                    f"{path} must hold subject, label and prediction, with the classes {', '.join(class_names)}, but "
                    f"{error} is missing or unknown; collect the run again with train.py --collect OUT"
                ) from error
            seeds.setdefault(row.get("seed", ""), []).append(cells)
    return [SeedAnswers(*map(list, zip(*rows, strict=True))) for rows in seeds.values()]


def pool_predictions(benchmark: Benchmark, seeds: Sequence[SeedAnswers], num_labels: int) -> Benchmark:
    """Compute the figures and intervals of a benchmark from its predictions.

    Args:
        benchmark (`Benchmark`): As read from results.json; folds and answers are kept.
        seeds (`Sequence[SeedAnswers]`): The predictions, in the order of its seeds.
        num_labels (`int`): Number of classes.

    Raises:
        ResultsError: If the predictions do not give the confusion matrices of the benchmark.
    """
    figures = [classification_metrics(seed.predictions, seed.references, num_labels) for seed in seeds]
    if figures != list(benchmark.per_seed.values()):
        raise ResultsError(
            f"the predictions give other confusion matrices than {RESULTS_NAME} beside them; collect the run again "
            "with train.py --collect OUT"
        )
    counts = SubjectCounts.of(seeds, num_labels)
    return dataclasses.replace(
        benchmark,
        num_subjects=len(counts.subjects),
        class_counts=np.bincount(seeds[0].references, minlength=num_labels).tolist(),
        interval=subject_intervals(counts),
    )


def _answers_of(rows: Sequence[ClipPrediction]) -> SeedAnswers:
    return SeedAnswers([row.subject for row in rows], [row.label for row in rows], [row.prediction for row in rows])


def _figures(rows: Sequence[ClipPrediction], num_labels: int) -> Figures:
    return classification_metrics([row.prediction for row in rows], [row.label for row in rows], num_labels)


def _class_counts(rows: Sequence[ClipPrediction], num_labels: int) -> list[int]:
    counts: list[int] = np.bincount([row.label for row in rows], minlength=num_labels).tolist()
    return counts


def _of_corpus(seeds: Iterable[Sequence[ClipPrediction]], corpus: str, num_labels: int) -> Figures:
    by_seed = ([row for row in rows if row.corpus == corpus] for rows in seeds)
    # An unfinished seed may lack a corpus.
    return Figures.mean([_figures(rows, num_labels) for rows in by_seed if rows])


def _fold_summary(record: FoldRecord) -> FoldSummary:
    return FoldSummary(
        fold=record.fold,
        seed=record.seed,
        test_subjects=record.test_subjects,
        num_train_subjects=len(record.train_subjects),
        num_train_clips=record.num_train_clips,
        num_test_clips=record.num_test_clips,
        num_correct=sum(row.prediction == row.label for row in record.predictions),
        steps=record.steps,
        seconds=record.seconds,
    )


def _beyond_the_class(rows: Sequence[ClipPrediction], titles: Mapping[str, str]) -> dict[str, Answer]:
    """Mean and deviation over clips of each answer that every clip has, in the order of the first clip."""
    answers = {}
    for name in rows[0].answers:
        values = [row.answers[name] for row in rows if name in row.answers]
        if len(values) == len(rows):
            answers[name] = Answer(titles.get(name, name), float(np.mean(values)), float(np.std(values)))
    return answers


def _best_on_test_subject(records: Mapping[int, Sequence[FoldRecord]], num_labels: int) -> Figures | None:
    """The literature's figure: each fold's best epoch on its own test clips, then pooled."""
    runs = []
    for folds in records.values():
        chosen = [record.best_on_test_subject for record in folds if record.best_on_test_subject is not None]
        if len(chosen) < len(folds):
            return None
        predictions = [label for selection in chosen for label in selection.predictions]
        references = [row.label for record in folds for row in record.predictions]
        runs.append(classification_metrics(predictions, references, num_labels))
    return Figures.mean(runs)
