"""Runs the rows of the table that are not finished."""

import logging
from collections.abc import Iterator, Sequence
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
    """The rows of one start, and their differences from the first of them.

    Args:
        start (`str`): `scratch` or `pretrained`.
        plans (`dict[str, Plan]`): The rows by name; `not_run` says why a row has no figures.
        results (`dict[str, Results]`): The results of rows that have figures.
        differences (`dict[str, Interval]`): 95% interval of each difference in UF1 from the first row.
        distinct (`list[str]`): Rows that differ from the first by Holm's procedure.
        unfinished (`list[str]`): Rows that can run and lack folds.
    """

    start: str
    plans: dict[str, Plan]
    results: dict[str, Results]
    differences: dict[str, Interval]
    distinct: list[str]
    unfinished: list[str]

    @property
    def reference(self) -> str:
        """The first row (`str`)."""
        return next(iter(self.plans))


def run_rows(plans: Sequence[Plan]) -> Iterator[Part]:
    """Run the unfinished rows, one after the other; a row that fails does not stop the next ones.

    Args:
        plans (`Sequence[Plan]`): As `plan_rows` returns them.

    Yields:
        `Part`: The rows of one start, when all of them have run.
    """
    for start in dict.fromkeys(plan.start for plan in plans):
        planned = {plan.name: plan for plan in plans if plan.start == start}
        done = {name: plan if plan.not_run else replace(plan, not_run=_run(plan)) for name, plan in planned.items()}
        results = {name: read_results(plan.folder / RESULTS_NAME) for name, plan in done.items() if not plan.not_run}
        folders = {name: plan.folder for name, plan in done.items()}
        finished = {name for name, run in results.items() if run.complete}
        unfinished = [name for name, plan in planned.items() if not plan.not_run and name not in finished]
        reference = next(iter(planned))
        differences = paired_differences(results, folders, reference)
        yield Part(start, done, results, differences, distinct_runs(results, folders, reference), unfinished)


def _run(plan: Plan) -> str:
    """Run a row and its pretraining; return why it has no figures, or an empty string."""
    logger.warning("%s, %s", plan.start, plan.name)
    try:
        if plan.pretraining and run_unfinished(plan.pretraining):
            return "its pretraining has not finished; run the command again"
        run_unfinished(plan.arguments)
    except user_facing_errors() as error:
        return " ".join(str(error).split())
    return "" if (plan.folder / RESULTS_NAME).exists() else "no fold has finished; the messages above say why"
