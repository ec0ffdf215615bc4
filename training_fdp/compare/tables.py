"""The table of all methods as Markdown and as JSON, and the list of its runs."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import torch

from evaluation_fdp.atomic_files import write_json, write_text
from evaluation_fdp.comparison import comparison_table
from evaluation_fdp.markdown import markdown_table
from evaluation_fdp.metrics import HEADLINE, METRICS
from training_fdp.runs.identity import recorded_command

from .planning import PRETRAINED, ROWS, SCRATCH, TIMED_CLIPS, Plan
from .running import Part

# Name of the files in OUT and of the block in a page.
NAME = "comparison"
TITLES = {SCRATCH: "From random weights", PRETRAINED: "After learning clips of other people"}


def plans_as_text(plans: Sequence[Plan]) -> str:
    """Lay out rows before they run (`str`): a Markdown table, then the commands of rows that can run."""
    header = ("start", "method", "weights", "clips/s", "told in training", "told of held-out clips", "cannot run")
    rows = [
        (
            plan.start, plan.name, f"{plan.parameters:,}", f"{plan.clips_per_s:.3g}", plan.taught, plan.told,
            plan.not_run,
        )
        for plan in plans
    ]  # fmt: skip
    commands = [
        f"train.py {shlex.join(command)}"
        for plan in plans
        for command in (plan.pretraining, plan.arguments)
        if command and not plan.not_run
    ]
    return "\n".join([markdown_table(header, rows), "", *commands])


def part_as_text(part: Part) -> str:
    """Lay out the rows of one start as Markdown (`str`): a table, the result of Holm's test, rows without figures."""
    sections = [f"### {TITLES[part.start]}"]
    if part.results:
        shown = {name: part.plans[name] for name in part.results}
        columns = {
            "weights": {name: f"{plan.parameters:,}" for name, plan in shown.items()},
            "clips/s": {name: f"{plan.clips_per_s:.3g}" for name, plan in shown.items()},
            "told in training": {name: plan.taught for name, plan in shown.items()},
            "told of held-out clips": {name: plan.told for name, plan in shown.items()},
        }
        titles = {name: ROWS[name].title for name in shown}
        sections.append(comparison_table(part.results, titles, part.reference, columns, part.differences))
    if part.differences:
        title, first = METRICS[HEADLINE].title, ROWS[part.reference].title
        named = ", ".join(ROWS[name].title for name in part.distinct) or "none"
        sections.append(
            "Each interval of a difference is for one comparison alone. Of all "
            f"{len(part.differences)} comparisons with {first} together (Holm, 5%), these differ in {title}: {named}."
        )
    if reasons := [f"- {ROWS[name].title}: {plan.not_run}" for name, plan in part.plans.items() if plan.not_run]:
        sections.append("\n".join(["Without figures:", "", *reasons]))
    return "\n\n".join(sections)


def write_tables(parts: Sequence[Part], root: Path, command: str) -> str:
    """Write comparison.md and comparison.json.

    Args:
        parts (`Sequence[Part]`): Parts that have run.
        root (`Path`): OUT.
        command (`str`): The command that runs all parts again.

    Returns:
        `str`: The content of comparison.md.
    """
    is_card = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if is_card else f"a CPU, threads: {torch.get_num_threads()}"
    note = (
        "Every method is told the class of a training clip, and where a clip begins and ends; the columns name what "
        f"it is told beside that. Clips per second are those of a forward pass of {TIMED_CLIPS} clips on {device}, "
        "with all that the network computes from the frames (flow, the apex), without reading and aligning them. "
        "Training seeds are in the deviation (±), subjects in the intervals."
    )
    text = "\n\n".join([*map(part_as_text, parts), note])
    write_text(root / f"{NAME}.md", f"{text}\n")
    content = {"command": command, "device": device, "parts": [part_as_dict(part) for part in parts]}
    write_json(root / f"{NAME}.json", content)
    return text


def part_as_dict(part: Part) -> dict[str, object]:
    """Return the rows of one start for comparison.json (`dict`)."""
    return {"start": part.start, "reference": part.reference, "rows": [_row(part, name) for name in part.plans]}


def _row(part: Part, name: str) -> dict[str, object]:
    plan, results = part.plans[name], part.results.get(name)
    row: dict[str, object] = {
        "name": name,
        "title": ROWS[name].title,
        "command": recorded_command(plan.arguments),
        "pretraining": recorded_command(plan.pretraining) if plan.pretraining else None,
        "told_in_training": plan.taught,
        "told_of_held_out_clips": plan.told,
        "parameters": plan.parameters,
        "clips_per_s": plan.clips_per_s,
        "not_run": plan.not_run or None,
    }
    if results is None or results.benchmark is None:
        return row
    benchmark = results.benchmark
    return row | {
        "complete": results.complete,
        "seeds": results.seeds,
        "metrics": {metric: benchmark.figures[metric] for metric in METRICS},
        "deviation": benchmark.deviation,
        "interval": benchmark.interval,
        "difference_interval": part.differences.get(name),
        "distinct": name in part.distinct,
    }
