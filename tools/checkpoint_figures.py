"""Calibration of a checkpoint, and the tables of its card, from answers of the uncalibrated network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.disturbances import NOTHING_MOVES, SHORT, TRIMMED, Recording
from benchmarks.windows import Seen, WindowFigures, figures
from evaluation_fdp.calibration import (
    at_temperature,
    best_temperature,
    expected_calibration_error,
    movement_weights,
)

# Rows of `benchmarks.windows` on which the temperature is fitted; neither the head nor the crop moves in them.
CALIBRATION_ROWS = SHORT
# Further rows of moving clips for the regression that tells them from the rows in which nothing moves.
MOVING_ROWS = ("head slides by 4 px",)
# Rows of moving clips of which, in each corpus, at most this share may be called still.
KEPT_ROWS, SHARE_LOST = (TRIMMED, "whole recording", "onset to apex", "50% neutral on both sides"), 0.05


@dataclass(frozen=True)
class Calibration:
    """Temperature and weights of the movement score, found on the recordings of the calibration people.

    Args:
        temperature (`float`): the one with the least negative log-likelihood.
        movement_weights (`list[float]`): of the score below which a clip is called still.
        lost, found (`float`): shares that are called still, of the moving clips of `KEPT_ROWS` and of those without a
            movement.
    """

    temperature: float
    movement_weights: list[float]
    lost: float
    found: float


def calibrate(shown: Mapping[str, Seen], recordings: Sequence[Recording], rows: Sequence[str]) -> Calibration:
    """Find temperature and weights of the movement score.

    Args:
        shown (`Mapping[str, Seen]`): answers of the uncalibrated network, by row of `benchmarks.windows`.
        recordings (`Sequence[Recording]`): recordings of the clips of each row, in the same order.
        rows (`Sequence[str]`): rows on which the temperature is fitted. The movement score is fitted on all that are
            shown.

    Raises:
        ConfigError: the network gives no evidence of a movement.
        ValueError: no row with a movement, or none without.
    """
    probabilities = np.concatenate([shown[row].probabilities for row in rows])
    labels = [recording.label for recording in recordings] * len(rows)
    seeds = _seeds(recordings)
    kept = [row for row in KEPT_ROWS if row in shown]
    by_corpus = [
        np.concatenate([shown[row].known_evidence[seeds == seed] for row in kept]) for seed in sorted(set(seeds))
    ]
    moving = [seen.known_evidence for row, seen in shown.items() if row not in NOTHING_MOVES]
    still = [seen.known_evidence for row, seen in shown.items() if row in NOTHING_MOVES]
    weights = movement_weights(np.concatenate(moving), np.concatenate(still), by_corpus, SHARE_LOST)
    return Calibration(
        temperature=round(best_temperature(probabilities, labels), 4),
        movement_weights=weights,
        lost=float(np.mean([shown[row].called_still(weights) for row in kept])),
        found=float(np.mean([seen.called_still(weights) for row, seen in shown.items() if row in NOTHING_MOVES])),
    )


class CardRow(WindowFigures, total=False):
    """Figures of one row at the temperature, as the card shows them.

    `uf1_by_seed` has the UF1 of each corpus, `None` where nothing moves; `before` is the error of calibration without
    the temperature; `called_still` is the share of clips whose movement score is below 0.
    """

    uf1_by_seed: dict[str, float | None]
    before: float
    called_still: float


def judge(shown: Mapping[str, Seen], recordings: Sequence[Recording], calibration: Calibration) -> dict[str, CardRow]:
    """Compute the rows of the card from answers of the uncalibrated network.

    Returns:
        `dict[str, CardRow]`: per row.
    """
    labels = np.array([recording.label for recording in recordings])
    seeds = _seeds(recordings)
    num_labels = next(iter(shown.values())).probabilities.shape[1]
    after = {name: at_temperature(seen.probabilities, calibration.temperature) for name, seen in shown.items()}
    rows = {name: CardRow(**row) for name, row in figures(after, recordings, num_labels).items()}
    by_seed = {
        seed: figures(
            {name: probabilities[seeds == seed] for name, probabilities in after.items()},
            [recording for recording in recordings if recording.subject.startswith(f"{seed}-")],
            num_labels,
        )
        for seed in sorted(set(seeds))
    }
    for name, seen in shown.items():
        rows[name]["called_still"] = float(np.mean(seen.called_still(calibration.movement_weights)))
        rows[name]["uf1_by_seed"] = {seed: own[name].get("uf1") for seed, own in by_seed.items()}
        if name not in NOTHING_MOVES:
            rows[name]["before"] = expected_calibration_error(seen.probabilities, labels.tolist())
    return rows


def windows_table(rows: Mapping[str, CardRow], families: Mapping[str, str]) -> str:
    """Return the rows of the card as Markdown, the families of faces beside each other."""
    names = [families[seed] for seed in next(iter(rows.values()))["uf1_by_seed"]]
    lines = [
        f"| what is shown | {' | '.join(names)} | all | change (95%) | confidence | called still |",
        f"|---|{'---|' * (len(names) + 4)}",
    ]
    for name, row in rows.items():
        own = [f"{uf1:.2f}" if uf1 is not None else "" for uf1 in row["uf1_by_seed"].values()]
        both = f"{row['uf1']:.2f}" if "uf1" in row else ""
        change = ""
        if "change" in row:
            low, high = row["interval"]
            change = f"{row['change']:+.2f} ({low:+.2f} to {high:+.2f})"
        cells = [name, *own, both, change, f"{row['confidence']:.2f}", f"{100 * row['called_still']:.0f}%"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def calibration_table(rows: Mapping[str, CardRow]) -> str:
    """Return the error of calibration before and after, per row, as Markdown."""
    lines = ["| what is shown | before | after |", "|---|---|---|"]
    for name, row in rows.items():
        if "before" in row:
            lines.append(f"| {name} | {row['before']:.3f} | {row['calibration_error']:.3f} |")
    return "\n".join(lines)


def _seeds(recordings: Sequence[Recording]) -> NDArray[np.str_]:
    """Seed of the corpus of every recording."""
    return np.array([recording.subject.split("-")[0] for recording in recordings])
