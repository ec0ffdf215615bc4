"""Intervals over subjects: of the figures of a run, and of the difference of two runs on the same clips.

Clips of one subject are not independent, so whole subjects are drawn with replacement and the metrics of their pooled
clips are computed for each draw. An interval covers the choice of subjects, not of seeds: with several seeds every
draw takes the same subjects in each of them, and its figure is the mean over seeds, as the headline is. Bias-corrected
and accelerated bootstrap (BCa; Efron 1987, "Better Bootstrap Confidence Intervals"), by scipy. On simulated corpora of
26 and 16 subjects, five classes, its 95% interval of UF1 held the true value in 93 to 94% of 250 trials, the plain
percentiles' in 92 to 93%; of accuracy both in 91 to 93%.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

from evaluation_fdp.metrics import METRICS, ClassCounts, Counts, confusion_matrix

CONFIDENCE = 0.95
NUM_RESAMPLES = 2000
# Draws are the same in every report of a run.
_SEED = 0
# Draws per pass, because (draws, subjects, classes, classes) has to fit into memory.
_BATCH = 500

Interval = tuple[float, float]


@dataclass(frozen=True)
class SeedAnswers:
    """Predictions of the folds of one seed, clip by clip.

    Args:
        subjects (`Sequence[str]`): Subject of each clip.
        references (`Sequence[int]`): True class of each clip.
        predictions (`Sequence[int]`): Predicted class of each clip.
    """

    subjects: Sequence[str]
    references: Sequence[int]
    predictions: Sequence[int]


@dataclass(frozen=True)
class SubjectCounts:
    """Confusion matrices by seed and subject.

    Args:
        subjects (`tuple[str, ...]`): Their names, sorted.
        matrices (`np.ndarray` of shape `(num_seeds, num_subjects, num_labels, num_labels)`): float64, rows are truth.
    """

    subjects: tuple[str, ...]
    matrices: Counts

    @classmethod
    def of(cls, seeds: Sequence[SeedAnswers], num_labels: int) -> Self:
        """Count the predictions of every seed; the counts of a subject that a seed lacks are 0.

        Raises:
            ValueError: If the columns of a seed differ in length, or an index is no class.
        """
        subjects = tuple(sorted({subject for seed in seeds for subject in seed.subjects}))
        matrices = np.zeros((len(seeds), len(subjects), num_labels, num_labels))
        for number, seed in enumerate(seeds):
            if len(seed.subjects) != len(seed.references):
                raise ValueError(
                    f"each clip needs a subject, but there are {len(seed.subjects)} for {len(seed.references)} clips; "
                    "give one per clip."
                )
            names = np.asarray(seed.subjects)
            truth, predicted = np.asarray(seed.references), np.asarray(seed.predictions)
            for row, subject in enumerate(subjects):
                if (selected := names == subject).any():
                    matrices[number, row] = confusion_matrix(predicted[selected], truth[selected], num_labels)
        return cls(subjects, matrices)


def subject_intervals(counts: SubjectCounts, confidence: float = CONFIDENCE) -> dict[str, Interval]:
    """Compute the interval of every metric.

    Args:
        counts (`SubjectCounts`): Of all held-out clips.
        confidence (`float`, *optional*, defaults to 0.95): Mass inside the interval, in (0, 1).

    Returns:
        `dict[str, tuple[float, float]]`: `(low, high)` per name in `METRICS`.

    Raises:
        ValueError: If `confidence` lies outside (0, 1).
    """
    return _intervals(lambda draws: _scores(draws, counts.matrices), len(counts.subjects), confidence)


def paired_intervals(
    counts: SubjectCounts, reference: SubjectCounts, confidence: float = CONFIDENCE
) -> dict[str, Interval]:
    """Compute the interval of the difference of two runs on the same clips, subject by subject.

    Both runs use the same draws of subjects, so that difficulties common to both cancel out.

    Args:
        counts (`SubjectCounts`): Of a run.
        reference (`SubjectCounts`): Of the run that it is compared with.
        confidence (`float`, *optional*, defaults to 0.95): Mass inside the interval, in (0, 1).

    Returns:
        `dict[str, tuple[float, float]]`: `(low, high)` of run minus reference per name in `METRICS`.

    Raises:
        ValueError: If the runs differ in their clips, or `confidence` lies outside (0, 1).
    """
    truth, expected = (np.unique(run.matrices.sum(axis=-1), axis=0) for run in (counts, reference))
    if counts.subjects != reference.subjects or not np.array_equal(truth, expected):
        raise ValueError(
            "a paired interval compares two runs on the same clips, but their subjects or classes differ; give two "
            "runs with the same corpus, label set and protocol, both complete."
        )
    return _intervals(
        lambda draws: _scores(draws, counts.matrices) - _scores(draws, reference.matrices),
        len(counts.subjects),
        confidence,
    )


def _intervals(score: Callable[[Counts], Counts], num_subjects: int, confidence: float) -> dict[str, Interval]:
    """Bootstrap a statistic that takes how often each subject was drawn, shape (num_draws, num_subjects)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, but is {confidence}; use e.g. 0.95.")

    def statistic(drawn: NDArray[np.int64], axis: int) -> Counts:
        # SciPy draws subjects by their number, along the last axis.
        flat = drawn.reshape(-1, drawn.shape[-1])
        draws = np.zeros((len(flat), num_subjects))
        np.add.at(draws, (np.arange(len(flat))[:, None], flat), 1)
        return score(draws).reshape(len(METRICS), *drawn.shape[:-1])

    if num_subjects == 1:
        # The spread over subjects cannot be estimated from one.
        point = score(np.ones((1, 1)))[:, 0]
        return {name: (float(value), float(value)) for name, value in zip(METRICS, point, strict=True)}
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        # BCa is undefined where all subjects score alike; percentiles, below, are not.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        result = bootstrap(
            (np.arange(num_subjects),),
            statistic,
            method="BCa",
            vectorized=True,
            axis=-1,
            rng=np.random.default_rng(_SEED),
            confidence_level=confidence,
            n_resamples=NUM_RESAMPLES,
            batch=_BATCH,
        )
    tail = (1 - confidence) / 2
    percentiles = np.quantile(result.bootstrap_distribution, (tail, 1 - tail), axis=-1)
    bounds = np.where(np.isfinite(result.confidence_interval), result.confidence_interval, percentiles)
    return {name: (float(low), float(high)) for name, low, high in zip(METRICS, *bounds, strict=True)}


def _scores(draws: Counts, matrices: Counts) -> Counts:
    """Metrics of draws, shape (num_metrics, num_draws): means over the seeds that hold a drawn clip."""
    by_seed = []
    for seed in matrices:
        pooled = np.tensordot(draws, seed, axes=1)
        classes = ClassCounts.of(pooled)
        scores = np.stack([metric.score(classes) for metric in METRICS.values()])
        by_seed.append(np.where(pooled.sum(axis=(1, 2)) > 0, scores, np.nan))
    mean: Counts = np.nanmean(by_seed, axis=0)
    return mean
