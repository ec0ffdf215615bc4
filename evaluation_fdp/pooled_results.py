"""Pooled results, computed from the fold records alone: every held-out clip counts once, folds are never averaged."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation_fdp.fold_records import ClipPrediction, FoldRecord
from evaluation_fdp.metrics import (
    SCALAR_METRICS,
    chance_level,
    classification_metrics,
    mean_and_deviation,
    subject_bootstrap_interval,
)


def pool_records(
    records: Mapping[int, Sequence[FoldRecord]],
    class_names: Sequence[str],
    answer_titles: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Pool the held-out predictions of all folds, seed by seed.

    Args:
        records (`Mapping[int, Sequence[FoldRecord]]`):
            Fold records by seed.
        class_names (`Sequence[str]`):
            Names of the classes.
        answer_titles (`Mapping[str, str]`, *optional*):
            What a report calls the answers beyond the class; those without a title go by their names.

    Returns:
        `dict`: `metrics` and `confusion_matrix` (of the one seed; for several seeds the mean of the metrics and the
        sum of the matrices), `per_seed`, `deviation`, `interval` (subject bootstrap, 95%), `chance`, `majority_class`,
        `folds`, `per_corpus`, `answers`, and, where it was recorded, `best_on_test_subject`.
    """
    num_labels = len(class_names)
    rows = {seed: [row for record in found for row in record.predictions] for seed, found in records.items()}
    per_seed = {seed: _metrics(found, num_labels) for seed, found in rows.items()}
    everything = [row for found in rows.values() for row in found]
    references = [row.label for row in next(iter(rows.values()))]
    interval = subject_bootstrap_interval(
        [row.prediction for row in everything],
        [row.label for row in everything],
        [row.subject for row in everything],
        num_labels,
    )
    counts = np.bincount(references, minlength=num_labels)
    metrics = _mean_metrics(list(per_seed.values()))
    pooled: dict[str, Any] = {
        "num_clips": len(references),
        "num_subjects": len({row.subject for row in everything}),
        "metrics": {name: value for name, value in metrics.items() if name != "confusion_matrix"},
        "confusion_matrix": metrics["confusion_matrix"],
        "per_seed": [{"seed": seed, **found} for seed, found in per_seed.items()],
        "deviation": mean_and_deviation(list(per_seed.values())),
        "interval": {name: list(bounds) for name, bounds in interval.items()},
        "chance": chance_level(references, num_labels),
        "majority_class": class_names[int(counts.argmax())],
        "class_counts": {name: int(count) for name, count in zip(class_names, counts, strict=True)},
        "folds": [_fold_summary(record) for found in records.values() for record in found],
        "answers": _answers(everything, answer_titles or {}),
    }
    corpora = sorted({row.corpus for row in everything})
    if len(corpora) > 1:
        pooled["per_corpus"] = {
            corpus: _mean_metrics(
                # A seed that was cut short may lack a corpus.
                [_metrics(own, num_labels) for found in rows.values() if (own := _of_corpus(found, corpus))]
            )
            for corpus in corpora
        }
    literature = _best_on_test_subject(records, num_labels)
    if literature is not None:
        pooled["best_on_test_subject"] = literature
    return pooled


def predictions_csv(records: Mapping[int, Sequence[FoldRecord]], class_names: Sequence[str]) -> str:
    """Return all held-out predictions as CSV text (`str`); floats keep all their digits.

    Columns: clip_id, subject, fold, label, prediction, prob_<class> ...; with several seeds `seed` at the end.
    """
    several = len(records) > 1
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = ["clip_id", "subject", "fold", "label", "prediction", *(f"prob_{name}" for name in class_names)]
    writer.writerow([*header, "seed"] if several else header)
    for seed, found in records.items():
        for record in found:
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


def _of_corpus(rows: Sequence[ClipPrediction], corpus: str) -> list[ClipPrediction]:
    return [row for row in rows if row.corpus == corpus]


def _metrics(rows: Sequence[ClipPrediction], num_labels: int) -> dict[str, Any]:
    return classification_metrics([row.prediction for row in rows], [row.label for row in rows], num_labels)


def _mean_metrics(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean over seeds of every figure, sum of the confusion matrices; a single seed stays as it is."""
    if len(runs) == 1:
        return dict(runs[0])
    mean: dict[str, Any] = {name: float(np.mean([run[name] for run in runs])) for name in SCALAR_METRICS}
    for name in ("f1_per_class", "recall_per_class"):
        mean[name] = np.mean([run[name] for run in runs], axis=0).tolist()
    mean["confusion_matrix"] = np.sum([run["confusion_matrix"] for run in runs], axis=0).tolist()
    return mean


def _fold_summary(record: FoldRecord) -> dict[str, Any]:
    correct = sum(row.prediction == row.label for row in record.predictions)
    return {
        "fold": record.fold,
        "seed": record.seed,
        "test_subjects": record.test_subjects,
        "num_train_subjects": len(record.train_subjects),
        "num_train_clips": record.num_train_clips,
        "num_test_clips": record.num_test_clips,
        "num_correct": correct,
        "steps": record.steps,
        "seconds": record.seconds,
    }


def _answers(rows: Sequence[ClipPrediction], titles: Mapping[str, str]) -> dict[str, Any]:
    """Mean and deviation over clips of each answer that every clip has, in the order in which a model answers."""
    found = {}
    for name in rows[0].answers:
        values = [row.answers[name] for row in rows if name in row.answers]
        if len(values) == len(rows):
            found[name] = {
                "title": titles.get(name, name),
                "mean": float(np.mean(values)),
                "std": float(np.std(values)),
            }
    return found


def _best_on_test_subject(records: Mapping[int, Sequence[FoldRecord]], num_labels: int) -> dict[str, Any] | None:
    """The literature's figure: each fold's best epoch on its own test clips, then pooled."""
    runs = []
    for found in records.values():
        chosen = [record.best_on_test_subject for record in found if record.best_on_test_subject is not None]
        if len(chosen) < len(found):
            return None
        predictions = [label for selection in chosen for label in selection.predictions]
        references = [row.label for record in found for row in record.predictions]
        runs.append(classification_metrics(predictions, references, num_labels))
    return _mean_metrics(runs)
