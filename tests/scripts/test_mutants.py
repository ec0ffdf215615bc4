"""The tool that counts mutants: which tests a mutant is tried with, and what is said of it."""

from types import SimpleNamespace

import pytest

pytest.importorskip("mutmut", reason="mutmut does not run on Windows")

from tools.mutants import Reached, forget_results, report


def phase(test, seconds, failed=False):
    return SimpleNamespace(nodeid=test, duration=seconds, failed=failed)


@pytest.fixture
def reached():
    """Four tests that reach a function, of which one fails, and one that reaches another."""
    reached = Reached()
    for test, seconds, failed in (
        ("slow", 6.0, False),
        ("quick", 0.5, False),
        ("broken", 0.1, True),
        ("half", 2.0, False),
    ):
        reached.hit("room.x_function", None)
        reached.pytest_runtest_logreport(phase(test, seconds / 2))
        reached.pytest_runtest_logreport(phase(test, seconds / 2, failed))
    reached.hit("room.x_other")
    reached.pytest_runtest_logreport(phase("alone", 30.0))
    return reached


def test_a_mutant_is_tried_with_the_quickest_tests_that_reach_it_and_pass(reached):
    assert reached.of("room.x_function", 20) == ["quick", "half", "slow"]
    assert reached.of("room.x_function", 2.5) == ["quick", "half"] and reached.of("room.x_function", 0) == ["quick"]
    assert reached.of("room.x_other", 20) == ["alone"], "at least one"
    assert reached.of("room.x_nothing", 20) == []


def test_the_share_that_dies_stands_beside_its_interval(reached):
    found = {"a": "killed", "b": "survived", "c": "stopped", "d": "not reached"} | {
        f"k{n}": "killed" for n in range(6)
    }
    broken, figure = report("room", found, 300, reached).splitlines()
    assert broken == "not used, because it fails on wrapped code: broken"
    share, counts = figure.split("; ")
    assert share == "room: 8 of 10 die, drawn from 300: 80% (95% interval 49% to 94%)"
    assert counts == "7 killed, 1 survived, 1 stopped, 1 not reached"


def test_results_of_the_unchanged_code_are_forgotten():
    from modeling_fdp.motion_fdp import pulse_and_drift

    pulse_and_drift(8, 4)
    assert pulse_and_drift.cache_info().currsize
    forget_results()
    assert not pulse_and_drift.cache_info().currsize
