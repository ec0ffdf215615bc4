"""Spotting metrics of the Micro-Expression Grand Challenge (MEGC): where in long recordings expressions were found.

A found interval is right if its intersection over union (IoU) with an annotated interval is at least 0.5; each
annotated interval is found at most once. True positives, false positives and false negatives are summed over all
recordings before precision, recall and F1 are computed (guideline of MEGC 2019). STRS, the score of spotting and
recognition in later editions, is F1 of spotting times F1 of recognition over the true positives.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

LEAST_IOU = 0.5
KINDS = ("micro", "macro")
# Longest micro-expression in seconds; MEGC takes at most 15 frames at 30 fps (docs/sources.md, MEGC2019).
LONGEST_MICRO_S = 0.5


@dataclass(frozen=True)
class Expression:
    """An expression in a long recording, annotated or found.

    Args:
        recording (`str`): Name of the recording.
        onset (`int`): First frame.
        offset (`int`): Last frame, which belongs to the expression.
        kind (`str`, *optional*, defaults to `"micro"`): `"micro"` or `"macro"`.
        label (`str`, *optional*): Class; `None` where none is known or named.

    Raises:
        ValueError: If the offset lies before the onset, or the kind is another.
    """

    recording: str
    onset: int
    offset: int
    kind: str = "micro"
    label: str | None = None

    def __post_init__(self) -> None:
        if self.offset < self.onset:
            raise ValueError(
                f"an expression ends at or after its onset, but {self.recording} has {self.onset}..{self.offset}; "
                "swap or correct them."
            )
        if self.kind not in KINDS:
            raise ValueError(f"an expression is one of {KINDS}, but got {self.kind!r}; choose one of them.")

    @property
    def length(self) -> int:
        """Frames, onset and offset included."""
        return self.offset - self.onset + 1


def kind_of(seconds: float) -> str:
    """Return `"micro"` for an expression of at most `LONGEST_MICRO_S` seconds, else `"macro"`."""
    return "micro" if seconds <= LONGEST_MICRO_S else "macro"


@dataclass(frozen=True)
class SpottingCounts:
    """Counts of one kind of expression over all recordings.

    Args:
        true_positives (`int`): Found intervals that match an annotated one.
        false_positives (`int`): Found intervals that do not.
        false_negatives (`int`): Annotated intervals that were not found.
        count_error (`float`, *optional*): Mean over recordings of the absolute difference between the numbers of found
            and annotated expressions; `None` without recordings.
        recognition_f1 (`float`, *optional*): Macro F1 of the classes of the true positives; `None` without classes. A
            class that occurs neither in truth nor in predictions counts as 0; a true positive without a class counts
            as missed.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    count_error: float | None = None
    recognition_f1: float | None = None

    @property
    def precision(self) -> float:
        """Share of the found intervals that are right, in [0, 1]; 0 if none was found."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the annotated intervals that were found, in [0, 1]; 0 if there is none."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), in [0, 1]; 0 if nothing is annotated and nothing found."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def strs(self) -> float | None:
        """F1 of spotting times F1 of recognition, in [0, 1]; `None` without classes."""
        return None if self.recognition_f1 is None else self.f1 * self.recognition_f1

    def to_dict(self) -> dict[str, float | None]:
        """Return counts and scores by name (`dict`)."""
        return {
            **asdict(self),
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "strs": self.strs,
        }


@dataclass(frozen=True)
class SpottingFigures:
    """Spotting metrics of a set of recordings.

    Args:
        micro (`SpottingCounts`): Micro-expressions against found intervals of that kind.
        macro (`SpottingCounts`): Macro-expressions against found intervals of that kind.
        together (`SpottingCounts`): Sums of both, the overall score of MEGC.
        any_kind (`SpottingCounts`): Intervals of any kind against each other, so that a confusion of the kinds is no
            error.
        least_iou (`float`): Least IoU of a match.
        minutes (`float`, *optional*): Length of all recordings.
    """

    micro: SpottingCounts
    macro: SpottingCounts
    together: SpottingCounts
    any_kind: SpottingCounts
    least_iou: float = LEAST_IOU
    minutes: float | None = None

    @property
    def false_alarms_per_minute(self) -> float | None:
        """False positives of any kind per minute of recording; `None` where the length is unknown."""
        return None if self.minutes is None else self.any_kind.false_positives / self.minutes

    def to_dict(self) -> dict[str, object]:
        """Return all figures by name (`dict`), ready for JSON."""
        counts = {name: getattr(self, name).to_dict() for name in (*KINDS, "together", "any_kind")}
        return {
            **counts,
            "false_alarms_per_minute": self.false_alarms_per_minute,
            "least_iou": self.least_iou,
            "minutes": self.minutes,
        }


def iou_of_intervals(first: Expression, second: Expression) -> float:
    """Intersection over union of two intervals of one recording in frames, in [0, 1]."""
    shared = min(first.offset, second.offset) - max(first.onset, second.onset) + 1
    return max(shared, 0) / (first.length + second.length - max(shared, 0))


def match_expressions(
    found: Sequence[Expression], annotated: Sequence[Expression], least_iou: float = LEAST_IOU
) -> list[tuple[int, int]]:
    """Match found to annotated intervals, one to one.

    As many pairs as possible; among these the largest sum of IoU.

    Args:
        found (`Sequence[Expression]`): Found intervals, in any order.
        annotated (`Sequence[Expression]`): Annotated intervals, in any order.
        least_iou (`float`, *optional*, defaults to 0.5): Least IoU of a match, in (0, 1].

    Returns:
        `list[tuple[int, int]]`: Positions in `found` and in `annotated`.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    columns: dict[str, list[int]] = defaultdict(list)
    for positions, expressions in ((rows, found), (columns, annotated)):
        for position, expression in enumerate(expressions):
            positions[expression.recording].append(position)
    pairs = []
    for recording in rows.keys() & columns.keys():
        overlap = np.array(
            [
                [iou_of_intervals(found[row], annotated[column]) for column in columns[recording]]
                for row in rows[recording]
            ]
        )
        # A pair below the least IoU is worth nothing; any other is worth more than all sums of IoU together.
        worth = np.where(overlap >= least_iou, overlap + overlap.size, 0.0)
        for row, column in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
            if overlap[row, column] >= least_iou:
                pairs.append((rows[recording][row], columns[recording][column]))
    return sorted(pairs)


def spotting_metrics(
    found: Sequence[Expression],
    annotated: Sequence[Expression],
    *,
    recordings: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    minutes: float | None = None,
    least_iou: float = LEAST_IOU,
) -> SpottingFigures:
    """Compute spotting metrics over recordings.

    Args:
        found (`Sequence[Expression]`): Found intervals of all recordings.
        annotated (`Sequence[Expression]`): Annotated intervals of all recordings.
        recordings (`Sequence[str]`, *optional*): All recordings, also those without any interval, over which count
            errors are averaged; by default those that occur.
        class_names (`Sequence[str]`, *optional*): Label set, for the recognition of the true positives; without it
            there is no STRS.
        minutes (`float`, *optional*): Length of all recordings, for false alarms per minute.
        least_iou (`float`, *optional*, defaults to 0.5): Least IoU of a match, in (0, 1].

    Returns:
        `SpottingFigures`: See there.

    Raises:
        ValueError: If an annotated class is not in `class_names`, an interval is in none of `recordings`, or
            `least_iou` or `minutes` is out of its range.

    Example:
    ```python
    >>> from evaluation_fdp.spotting import Expression, spotting_metrics

    >>> annotated = [Expression("film", 100, 109), Expression("film", 300, 330, "macro")]
    >>> found = [Expression("film", 102, 110), Expression("film", 500, 509)]
    >>> figures = spotting_metrics(found, annotated, minutes=2.0)
    >>> figures.micro.f1, figures.macro.recall, figures.false_alarms_per_minute
    (0.6666666666666666, 0.0, 0.5)

    ```
    """
    if not 0 < least_iou <= 1:
        raise ValueError(f"least_iou must lie above 0 and be at most 1, but is {least_iou}; use 0.5.")
    if minutes is not None and not minutes > 0:
        raise ValueError(f"minutes must be above 0, but is {minutes}; give the length of all recordings.")
    occurring = {expression.recording for expression in (*found, *annotated)}
    names = sorted(occurring) if recordings is None else list(recordings)
    if strangers := sorted(occurring - set(names)):
        raise ValueError(
            f"every interval belongs to one of the recordings, but {strangers[0]!r} is none of them; name them all."
        )
    labels = None if class_names is None else list(class_names)
    if labels is not None and (unknown := {one.label for one in annotated} - {None, *labels}):
        raise ValueError(f"classes must be among {labels}, but {sorted(map(str, unknown))} occur; correct them.")

    def counted(kinds: Sequence[str]) -> tuple[SpottingCounts, list[tuple[Expression, Expression]]]:
        chosen, true = ([one for one in expressions if one.kind in kinds] for expressions in (found, annotated))
        pairs = [(chosen[row], true[column]) for row, column in match_expressions(chosen, true, least_iou)]
        counts = SpottingCounts(
            len(pairs),
            len(chosen) - len(pairs),
            len(true) - len(pairs),
            _count_error(chosen, true, names),
            _recognition_f1(pairs, labels),
        )
        return counts, pairs

    (micro, micro_pairs), (macro, macro_pairs), (any_kind, _) = (counted(kinds) for kinds in (*zip(KINDS), KINDS))
    together = SpottingCounts(
        micro.true_positives + macro.true_positives,
        micro.false_positives + macro.false_positives,
        micro.false_negatives + macro.false_negatives,
        any_kind.count_error,
        _recognition_f1([*micro_pairs, *macro_pairs], labels),
    )
    return SpottingFigures(micro, macro, together, any_kind, least_iou, minutes)


def _count_error(found: Sequence[Expression], annotated: Sequence[Expression], names: Sequence[str]) -> float | None:
    if not names:
        return None
    difference = dict.fromkeys(names, 0)
    for sign, expressions in ((1, found), (-1, annotated)):
        for expression in expressions:
            difference[expression.recording] += sign
    return sum(map(abs, difference.values())) / len(difference)


def _recognition_f1(pairs: Sequence[tuple[Expression, Expression]], labels: Sequence[str] | None) -> float | None:
    """Macro F1 of the classes of matched pairs (found, annotated) whose true class is known."""
    if labels is None:
        return None
    # The last column is for what is no class of the label set.
    counts: NDArray[np.int64] = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    index = {label: position for position, label in enumerate(labels)}
    for predicted, true in pairs:
        if true.label is not None:
            named = len(labels) if predicted.label is None else index.get(predicted.label, len(labels))
            counts[index[true.label], named] += 1
    right, truth, named_as = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)[: len(labels)]
    return float(np.mean([_ratio(2 * hits, total) for hits, total in zip(right, truth + named_as, strict=True)]))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
