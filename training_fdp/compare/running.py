"""Runs the rows of the table that are not finished."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation_fdp.comparison import distinct_runs, paired_differences
from evaluation_fdp.intervals import Interval
from evaluation_fdp.results import RESULTS_NAME, Results, read_results
from training_fdp.cli import user_facing_errors
from training_fdp.runs.run import run_unfinished

from .planning import Plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """The rows of one start, and how they differ from the first of them.

    Args:
        start (`str`): `scratch` or `pretrained`.
        plans (`dict[str, Plan]`): The rows by name; `not_run` says why one has no figures.
        results (`dict[str, Results]`): The figures of those that have some.
        differences (`dict[str, tuple[float, float]]`): 95% interval of each difference in UF1 from the first row.
        distinct (`list[str]`): Rows that differ from the first by Holm's procedure.
    """

    start: str
    plans: dict[str, Plan]
    results: dict[str, Results]
    differences: dict[str, Interval]
    distinct: list[str]

    @property
    def reference(self) -> str:
        """The first row (`str`)."""
        return next(iter(self.plans))

    @property
    def complete(self) -> bool:
        """Whether every row that can run has all of its folds (`bool`)."""
        could_run = [name for name, plan in self.plans.items() if not plan.not_run]
        return all(name in self.results and self.results[name].complete for name in could_run)


def run_rows(plans: Sequence[Plan]) -> list[Part]:
    """Run what is not finished, one row after the other; what fails does not end the others.

    Args:
        plans (`Sequence[Plan]`): Of `plan_rows`.

    Returns:
        `list[Part]`: One per start.
    """
    done: list[tuple[Plan, Results | None]] = []
    for plan in plans:
        if not plan.not_run:
            logger.warning("%s, %s", plan.start, plan.name)
            plan = replace(plan, not_run=_run(plan))
        path = plan.folder / RESULTS_NAME
        done.append((plan, read_results(path) if path.exists() and not plan.not_run else None))
    starts = dict.fromkeys(plan.start for plan in plans)
    return [_part(start, [pair for pair in done if pair[0].start == start]) for start in starts]


def _run(plan: Plan) -> str:
    """Run a row and its pretraining; returns why there are no figures, or nothing."""
    try:
        if plan.pretraining and run_unfinished(plan.pretraining):
            return "its pretraining has not finished; run the command again"
        run_unfinished(plan.arguments)
    except user_facing_errors() as error:
        return " ".join(str(error).split())
    return "" if (plan.folder / RESULTS_NAME).exists() else "no fold has finished; the messages above say why"


def _part(start: str, done: Sequence[tuple[Plan, Results | None]]) -> Part:
    plans = {plan.name: plan for plan, _ in done}
    results = {plan.name: found for plan, found in done if found is not None}
    folders = {name: plan.folder for name, plan in plans.items()}
    reference = next(iter(plans))
    differences = paired_differences(results, folders, reference)
    return Part(start, plans, results, differences, distinct_runs(results, folders, reference))
