"""`python -m tools.make_spotter` on two people: the file it writes, and how it measures thresholds."""

import numpy as np
import pytest

from spotting_fdp.intervals import FoundInterval
from spotting_fdp.network import NETWORK_NAME, load_network
from spotting_fdp.network_training import Example
from tools import make_spotter
from tools.make_spotter import Tree, measured_rates, settings


@pytest.mark.slow
def test_the_same_seeds_give_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(make_spotter, "TRAINING", (Tree(settings(5, 1, 2, 0.6), every=(1, 2)),))
    monkeypatch.setattr(make_spotter, "RESTING", (Tree(settings(6, 1, 2, 0.6, speech=True)),))
    written = []
    train = make_spotter.train_network

    def train_into_a_folder(*arguments):
        assert (tmp_path / name).is_dir(), "made before the training"
        return train(*arguments)

    monkeypatch.setattr(make_spotter, "train_network", train_into_a_folder)
    for name in ("first", "again"):
        words = ["--work_dir", str(tmp_path / "work"), "--output_dir", str(tmp_path / name), "--steps", "2"]
        words += ["--faces", str(tmp_path)]  # where no tree asks for the morphable model
        assert make_spotter.main(words) == 0
        written.append((tmp_path / name / NETWORK_NAME).read_bytes())
    assert written[0] == written[1]
    network = load_network(tmp_path / "first" / NETWORK_NAME)
    assert network.others.abs().sum() > 0 and network.rates.fewest > 0


def test_rates_are_counts_and_a_half_by_the_minute(monkeypatch):
    resting = Example([(0, np.zeros((7200, 512), np.float16))], np.array([[0.0, 30.0]]), None)
    # An interval that touches an expression is no false alarm.
    scores = ((10, 0.9), (500, 0.2), (900, 0.3), (1300, 0.3), (1700, 0.62))
    found = [FoundInterval(onset, onset + 10, onset + 20, score, False) for onset, score in scores]
    monkeypatch.setattr(make_spotter, "spotted", lambda network, example, least: found)
    rates = measured_rates(None, [resting])
    # Two minutes; four, three, one and no false alarms at rest.
    assert [rate for _, rate in rates.measured] == [2.25, 1.75, 0.75, 0.25]
    assert [score for score, _ in rates.measured] == [0.1, 0.225, 0.325, 0.625]
    assert rates.usual == 0.5 and 0.325 < rates.least_score() < 0.625
