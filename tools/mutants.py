"""Mutants drawn at random from each room, and the share of them that its tests kill: `make mutants SAMPLE=100 SEED=1`.

    python -m tools.mutants --sample 100 --seed 1 --rooms evaluation_fdp

mutmut changes the code of a copy of the repository, one expression at a time. The tests of a room are run once on the
unchanged code, to see which of them reach which function; a mutant is then tried with those that reach its function,
the quickest first, up to `--seconds` together. A mutant that only slower tests or tests of other rooms would kill
counts as alive, so the share is a lower bound. mutmut's own runner is not used, because it stops at the first test
that its wrappers break, and runs all tests four times before the first mutant.
"""

import argparse
import functools
import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[1]
# The tests of each room.
ROOMS = {
    "modeling_fdp": "tests/modeling_fdp",
    "evaluation_fdp": "tests/evaluation_fdp",
    "training_fdp/folds": "tests/training_fdp/folds",
    "training_fdp/baselines": "tests/training_fdp/test_baselines.py",
}
# A mutant is stopped after `PATIENCE` times the seconds of its tests and `START_S` for the start, because it may loop.
PATIENCE, START_S = 10, 60
PYTEST = ["-q", "--no-header", "-p", "no:cacheprovider", "--import-mode=importlib", "-m", "not slow"]


class Mutant(NamedTuple):
    """One change.

    Args:
        name (`str`): Module and function with its number, as mutmut's wrappers know it.
        function (`str`): Module and function.
    """

    name: str
    function: str


class Reached:
    """A pytest plugin that records which tests reach which function, how long they take and which of them fail."""

    def __init__(self) -> None:
        self.tests: dict[str, set[str]] = defaultdict(set)
        self.seconds: Counter[str] = Counter()
        self.failed: set[str] = set()
        self._hits: set[str] = set()

    def hit(self, function: str, caller: str | None = None) -> None:
        """Record that the running test reached a function."""
        self._hits.add(function)

    def pytest_runtest_logreport(self, report: "pytest.TestReport") -> None:
        """Record a phase of a test."""
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)
        for function in self._hits:
            self.tests[function].add(report.nodeid)
        self._hits.clear()

    def of(self, function: str, limit_s: float) -> list[str]:
        """Return the quickest tests that reach a function (`list[str]`), at least one, up to a time."""
        chosen, spent = [], 0.0
        for test in sorted(self.tests[function] - self.failed, key=lambda test: (self.seconds[test], test)):
            spent += self.seconds[test]
            if chosen and spent > limit_s:
                break
            chosen.append(test)
        return chosen


def write_mutants(room: str, copy: Path) -> list[Mutant]:
    """Write the code of a room with all its mutants into the copy; return the mutants (`list[Mutant]`), sorted."""
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name, mangled_name_from_mutant_name

    found = []
    for path in sorted((copy / room).glob("*.py")):
        place = path.relative_to(copy)
        mutated = mutate_file_contents(str(place), path.read_text(encoding="utf-8"))
        path.write_text(mutated.code, encoding="utf-8")
        names = [get_mutant_name(place, name) for name in mutated.mutant_names]
        found += [Mutant(name, mangled_name_from_mutant_name(name)) for name in names]
    return sorted(found)


def reach(tests: str) -> Reached:
    """Run the tests of a room on the unchanged code."""
    import hypothesis
    import pytest

    # Without a deadline, because on a busy machine a test that exceeds it would kill the mutant.
    hypothesis.settings.register_profile("mutants", deadline=None)
    hypothesis.settings.load_profile("mutants")
    trampoline = importlib.import_module("mutmut.mutation.trampoline")
    reached = Reached()
    trampoline.record_trampoline_hit = reached.hit
    trampoline.set_mutant_under_test("stats")
    pytest.main([*PYTEST, tests], plugins=[reached])
    trampoline.set_mutant_under_test("")
    forget_results()
    return reached


def forget_results() -> None:
    """Clear the caches of the rooms' functions, because what the unchanged code computed would hide a mutant."""
    for name, module in list(sys.modules.items()):
        if name.startswith(tuple(room.replace("/", ".") for room in ROOMS)):
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


def start(mutant: Mutant, tests: Sequence[str], limit_s: int) -> int:
    """Try a mutant in a fork of this process; return the number of the process (`int`)."""
    if process := os.fork():
        return process
    import pytest
    from mutmut.mutation.trampoline import set_mutant_under_test

    signal.alarm(limit_s)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    set_mutant_under_test(mutant.name)
    os._exit(int(pytest.main([*PYTEST, "-x", *tests])))


def outcomes(mutants: Sequence[Mutant], reached: Reached, seconds: float, jobs: int) -> dict[str, str]:
    """Try mutants (`dict[str, str]`): `killed`, `survived`, `stopped` (it looped or crashed) or `not reached`."""
    found, running, waiting = {}, {}, list(mutants)
    while waiting or running:
        if waiting and len(running) < jobs:
            mutant = waiting.pop()
            tests = reached.of(mutant.function, seconds)
            if tests:
                limit_s = START_S + int(PATIENCE * sum(reached.seconds[test] for test in tests))
                running[start(mutant, tests, limit_s)] = mutant.name
            else:
                found[mutant.name] = say_outcome(mutant.name, "not reached")
            continue
        process, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        name = running.pop(process)
        found[name] = say_outcome(name, "survived" if code == 0 else "killed" if code > 0 else "stopped")
    return found


def say_outcome(name: str, outcome: str) -> str:
    """Print the outcome of a mutant, because all of them take long; return the outcome (`str`)."""
    sys.stdout.write(f"{outcome:11} {name}\n")
    sys.stdout.flush()
    return outcome


def report(room: str, found: dict[str, str], population: int, reached: Reached) -> str:
    """Return the figure of a room (`str`), after the tests that fail on wrapped code and were not used."""
    from scipy.stats import binomtest

    counts = Counter(found.values())
    dead = counts["killed"] + counts["stopped"]
    bounds = binomtest(dead, len(found)).proportion_ci(method="wilson")
    said = ", ".join(f"{number} {status}" for status, number in counts.most_common())
    figure = (
        f"{room}: {dead} of {len(found)} die, drawn from {population}: {dead / len(found):.0%} "
        f"(95% interval {bounds.low:.0%} to {bounds.high:.0%}); {said}"
    )
    return "\n".join(
        [*(f"not used, because it fails on wrapped code: {test}" for test in sorted(reached.failed)), figure]
    )


def main() -> int:
    """Draw, try and count mutants; return the exit code (`int`)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS), choices=ROOMS, metavar="ROOM")
    parser.add_argument("--sample", type=int, default=100, help="mutants of each room; default: 100")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw; default: 0")
    parser.add_argument("--seconds", type=float, default=20.0, help="time of the tests of one mutant; default: 20")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time; default: 2")
    options = parser.parse_args()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with TemporaryDirectory() as folder:
        copy = Path(folder).resolve()
        for name in filter(lambda name: (ROOT / name).is_file(), listed.splitlines()):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
        os.chdir(copy)
        sys.path[:] = [str(copy), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
        # All rooms first, because what one room's tests have imported is not read again.
        mutants = {room: write_mutants(room, copy) for room in options.rooms}
        for room, all_of_it in mutants.items():
            drawn = random.Random(options.seed).sample(all_of_it, min(options.sample, len(all_of_it)))
            reached = reach(ROOMS[room])
            found = outcomes(drawn, reached, options.seconds, options.jobs)
            sys.stdout.write(report(room, found, len(all_of_it), reached) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
