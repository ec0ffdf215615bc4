"""Calibration of a checkpoint and the rows of its card, on answers made by hand."""

import numpy as np
import pytest

from benchmarks.disturbances import NOTHING_MOVES, TRIMMED, Recording
from benchmarks.windows import Seen
from evaluation_fdp.errors import ConfigError
from tools.checkpoint_figures import KEPT_ROWS, calibrate, judge

CLIPS = 30


@pytest.fixture
def recordings():
    frames = {"as trained": np.zeros((1, 2, 2), np.uint8)}
    return [
        Recording(f"c{number}", f"{seed}-s{number % 5}", number % 2, 0, 0, 0, 60.0, frames)
        for seed in (1, 2)
        for number in range(CLIPS)
    ]


@pytest.fixture
def shown(recordings):
    rng = np.random.default_rng(0)
    labels = np.array([recording.label for recording in recordings])
    harder = np.array([recording.subject.startswith("2") for recording in recordings])

    def seen(unit):
        probabilities = np.where(labels[:, None] == np.arange(2), 0.8, 0.2)
        return Seen(probabilities, np.stack([unit - 0.1 * harder, rng.normal(size=len(labels))], 1))

    moving = {row: seen(rng.normal(0.9, 0.1, 2 * CLIPS)) for row in (*KEPT_ROWS, "8 fps")}
    # Of a row that no share is promised for.
    moving["8 fps"].evidence[:, 0] -= 0.5
    return {**moving, **{row: seen(rng.normal(0.3, 0.1, 2 * CLIPS)) for row in NOTHING_MOVES}}


def test_of_every_corpus_at_most_a_twentieth_of_the_kept_rows_is_called_still(recordings, shown):
    found = calibrate(shown, recordings, [TRIMMED])
    lost = np.stack([shown[row].called_still(found.movement_weights) for row in KEPT_ROWS])
    assert max(lost[:, :CLIPS].mean(), lost[:, CLIPS:].mean()) <= 0.05
    assert found.lost == pytest.approx(lost.mean()) and found.found > 0.95
    assert found.movement_weights[0] > 0 and found.temperature < 1, "0.8 where all are right"
    rows = judge(shown, recordings, found)
    assert rows["8 fps"]["called_still"] == pytest.approx(shown["8 fps"].called_still(found.movement_weights).mean())
    assert rows["8 fps"]["called_still"] > 0.3 and "uf1" not in rows["quiet stretch"]


def test_a_network_without_evidence_is_refused(recordings, shown):
    without = {row: Seen(seen.probabilities, None) for row, seen in shown.items()}
    with pytest.raises(ConfigError, match="needs movement_patterns and action units"):
        calibrate(without, recordings, [TRIMMED])
