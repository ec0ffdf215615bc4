"""Timing, tables and the page that is made of them."""

import time
from argparse import Namespace

import pytest
import torch

from benchmarks.timing import Times, as_markdown, compute_peak, exponent, processor_seconds, take_turns


def test_all_ways_are_called_in_turn_after_their_warm_up():
    calls = []
    times = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert "".join(calls) == "ab" + "ab" * 2
    assert len(times.wall["a"]) == len(times.processor["b"]) == 2


def test_speed_up_is_the_median_of_pairs():
    """One round in which the machine was busy with the fast way alone does not count."""
    wall = {"slow": [4.0, 4.0, 8.0], "fast": [2.0, 2.0, 16.0]}
    assert Times(wall, wall).speedup("fast", over="slow") == 2.0


def test_sleeping_takes_the_clock_and_no_processor():
    times = take_turns({"sleep": lambda: time.sleep(0.05)}, rounds=1, warm_up=0)
    assert times.median("sleep") >= 0.05 > 2 * times.processor_median("sleep")


@pytest.mark.parametrize(("device", "clock"), [("cpu", False), ("cpu", True), ("cuda", False)])
def test_costs_are_of_the_processor_unless_the_clock_is_asked_for_or_a_card_measured(device, clock):
    times = Times({"a": [4.0], "b": [1.0]}, {"a": [2.0], "b": [1.0]})
    costs = times.costs("b", "a", 3, Namespace(device=device, clock=clock))
    if device == "cpu" and not clock:
        assert costs == {"processor ms": 1000.0, "clips per processor s": 3.0, "times a": 2.0}
    else:
        assert costs == {"ms": 1000.0, "clips per s": 3.0, "times a": 4.0}


def test_processor_seconds_are_finer_than_a_clock_tick():
    """A second run from the cache takes less than the 10 ms that os.times() counts in."""
    first = processor_seconds()
    spent = next(used for _ in range(100_000) if (used := processor_seconds() - first) > 0)
    assert spent < 0.01


def test_exponent_of_a_power_law():
    assert exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    assert exponent([1, 2, 4], [5, 5, 5]) == pytest.approx(0)


def test_peak_is_that_of_a_processor():
    assert 1e8 < compute_peak(torch.float32, rounds=1) < 1e14


def test_tables_of_a_document():
    document = {
        "command": "python -m benchmarks x",
        "machine": {"processor": "P", "cores": 2, "threads": 1, "torch": "2"},
        "tables": {"T": [{"a": 0.12345, "b": None}, {"a": 1234.5, "b": "x"}]},
    }
    lines = as_markdown(document).splitlines()
    assert lines[0] == "`python -m benchmarks x` (P, 2 cores, 1 threads, torch 2)"
    assert lines[2:] == ["T:", "", "| a | b |", "|---|---|", "| 0.123 |  |", "| 1,234 | x |"]
