"""`python -m training_fdp.breakdown`: accuracy on rendered clips by their ground truth."""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.markdown import markdown_table
from hub_datasets.synthetic.layouts import TRUTH_FOLDER
from training_fdp.cli import run_main, say

# Least number of clips in a row of the table.
MIN_CLIPS = 4
# Lid closure, 0 to 1, from which a viewer notices a blink.
BLINK = 0.3
NUM_PARTS = 3


def clip_facts(data_dir: Path, clip_ids: Sequence[str]) -> pd.DataFrame:
    """Read the ground truth of clips of a corpus in the layout `synthetic`.

    Args:
        data_dir (`Path`): The corpus, with `ground_truth/`.
        clip_ids (`Sequence[str]`): `"synthetic/SUBJECT/RECORDING/ONSET"`, onset counted from 1.

    Returns:
        `pandas.DataFrame`: By clip: `motion`, the peak of its strongest action unit in pixels of a frame 128 wide;
        `turn`, how far yaw or pitch, the greater of the two, differ between onset and offset in degrees; `blink`,
        whether the lids shut by more than `BLINK` at some frame; `units`, such as `"4+7"`; `emotion`.

    Raises:
        ConfigError: A clip has no ground truth there.
    """
    return pd.DataFrame([_facts(data_dir, clip_id) for clip_id in clip_ids], index=pd.Index(clip_ids, name="clip_id"))


def _facts(data_dir: Path, clip_id: str) -> dict[str, object]:
    match = re.fullmatch(r"synthetic/([^/]+)/([^/]+)/(\d+)", clip_id)
    if match is None:
        raise ConfigError(
            f"only clips of the corpus synthetic have a ground truth named after them, but this run has {clip_id}; "
            "give runs on --corpus synthetic"
        )
    subject, recording, onset = match.groups()
    path = data_dir / TRUTH_FOLDER / f"{subject}_{recording}.npz"
    try:
        with np.load(path) as archive:
            truth = dict(archive)
    except FileNotFoundError as error:
        raise ConfigError(
            f"the ground truth of {clip_id} must be {path}, which is missing; give the rendered corpus of these "
            "predictions, in the layout synthetic, as --data_dir"
        ) from error
    events = np.flatnonzero(truth["event_frames"][:, 0] + 1 == int(onset))
    if len(events) != 1:
        raise ConfigError(f"{path} has no event that begins at frame {onset}; give the corpus of these predictions")
    first, _, last = truth["event_frames"][events[0]]
    units = set(re.findall(r"\d+", str(truth["event_action_units"][events[0]])))
    # Units of both sides, as L4 and R4; a mouth that speaks at the same time is not the event's.
    shown = [name[1:] in units for name in truth["curve_names"]]
    return {
        "motion": truth["curves"][first : last + 1, shown].max(),
        "turn": np.abs(truth["pose"][last, :2] - truth["pose"][first, :2]).max(),
        "blink": truth["blink"][first : last + 1].max() > BLINK,
        "units": "+".join(sorted(units, key=int)),
        "emotion": str(truth["event_emotions"][events[0]]),
    }


def breakdown_table(accuracy: Mapping[str, pd.Series], facts: pd.DataFrame) -> str:
    """Lay out the accuracy of several runs by groups of clips as Markdown.

    Args:
        accuracy (`Mapping[str, pandas.Series]`): By run, share of seeds that classify each clip correctly, 0 to 1.
        facts (`pandas.DataFrame`): Ground truth of the same clips, from [`clip_facts`].

    Returns:
        `str`: One line per third of motion and of turn, with and without a blink, per action units and emotion that
        at least `MIN_CLIPS` clips share, and of the rest.
    """
    groups: list[tuple[str, pd.Index]] = [("all", facts.index)]
    for name, unit in (("motion", "px"), ("turn", "degrees")):
        # By rank, so that equal values are divided as well.
        parts = pd.qcut(facts[name].rank(method="first"), min(NUM_PARTS, len(facts)), labels=False)
        for _, values in facts[name].groupby(parts):
            groups.append((f"{name} {values.min():.2f} to {values.max():.2f} {unit}", values.index))
    groups += [("a blink", facts.index[facts["blink"]]), ("no blink", facts.index[~facts["blink"]])]
    rare = facts.index[:0]
    for (units, emotion), alike in facts.groupby(["units", "emotion"]):
        if len(alike) >= MIN_CLIPS:
            groups.append((f"units {units}, {emotion}", alike.index))
        else:
            rare = rare.union(alike.index)
    groups.append(("other units", rare))
    header = ["clips", "number", *accuracy]
    rows = [
        [name, str(len(clips)), *(f"{shares[clips].mean():.2f}" for shares in accuracy.values())]
        for name, clips in groups
        if len(clips)
    ]
    return markdown_table(header, rows)


def run_accuracy(run: Path) -> pd.Series:
    """Compute each clip's share of correct predictions over the seeds of a run.

    Args:
        run (`Path`): Folder with predictions.csv.

    Returns:
        `pandas.Series`: 0 to 1 by `clip_id`, sorted.

    Raises:
        ConfigError: There is none.
    """
    path = run / "predictions.csv"
    try:
        predictions = pd.read_csv(path)
    except FileNotFoundError as error:
        raise ConfigError(f"a run has a predictions.csv, but {path} is missing; give the OUT of a run") from error
    return (predictions["label"] == predictions["prediction"]).groupby(predictions["clip_id"]).mean()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, print the table; returns the exit code (`int`)."""
    parser = argparse.ArgumentParser(
        prog="python -m training_fdp.breakdown",
        description="Accuracy of runs on a rendered corpus by motion, head turn, blinks and action units.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="OUT", help="Runs on the same clips.")
    parser.add_argument("--data_dir", type=Path, required=True, help="The rendered corpus, in the layout synthetic.")
    options = parser.parse_args(arguments)
    accuracy = {str(run): run_accuracy(run) for run in options.runs}
    first = accuracy[str(options.runs[0])]
    for name, shares in accuracy.items():
        if not shares.index.equals(first.index):
            raise ConfigError(f"runs are compared on the same clips, but {options.runs[0]} and {name} have other ones")
    say(breakdown_table(accuracy, clip_facts(options.data_dir, list(first.index))))
    return 0


if __name__ == "__main__":
    run_main(main)
