"""Timing, tables and the page that is made of them."""

import time

import pytest
import torch

from benchmarks.timing import Times, as_markdown, compute_peak, exponent, take_turns


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
