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
    monkeypatch.setattr(make_spotter, "VALIDATION", (Tree(settings(6, 1, 2, 0.6, speech=True)),))
    monkeypatch.setattr(make_spotter, "RESTING", Tree(settings(6, 1, 2, 0.6, speech=True)))
    written = []
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        words = ["--work_dir", str(tmp_path / "work"), "--output_dir", str(tmp_path / name), "--steps", "2"]
        assert make_spotter.main(words) == 0
        written.append((tmp_path / name / NETWORK_NAME).read_bytes())
    assert written[0] == written[1]
    network = load_network(tmp_path / "first" / NETWORK_NAME)
    assert network.others.abs().sum() > 0 and network.rates.fewest > 0


def test_rates_are_counts_and_a_half_by_the_minute_and_the_usual_one_has_the_best_f1(monkeypatch):
    def example(expressions):
        return Example(
            [(0, np.zeros((7200, 512), np.float16))], np.array(expressions, np.float64).reshape(-1, 2), None
        )

    def one(onset, score):
        return FoundInterval(onset, onset + 10, onset + 20, score, False)

    resting, other = example([(0, 30)]), example([(100, 120), (300, 320)])
    found = {
        # An interval that touches an expression is no false alarm.
        id(resting): [one(10, 0.9), one(500, 0.2), one(900, 0.3), one(1300, 0.3), one(1700, 0.62)],
        id(other): [one(100, 0.6), one(300, 0.45), one(700, 0.4), one(800, 0.1)],
    }
    monkeypatch.setattr(make_spotter, "spotted", lambda network, example, least: found[id(example)])
    rates = measured_rates(None, [resting], [[other]])
    # Two minutes; four, three, one and no false alarms at rest.
    assert [rate for _, rate in rates.measured] == [2.25, 1.75, 0.75, 0.25]
    assert [score for score, _ in rates.measured] == [0.05, 0.225, 0.325, 0.625]
    # Above 0.4 the validation has both expressions and nothing else.
    assert 0.4 < rates.least_score() <= 0.45
