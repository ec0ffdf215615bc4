"""Nobody moves a preset's numbers without raising the version that keeps its runs apart from those before."""

import importlib.util
import json
from pathlib import Path

import pytest

from training_fdp.methods.fdp import FDPMethod

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
STORED = json.loads((ARTIFACTS / "seeded_forward.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def make_seeded_forward():
    spec = importlib.util.spec_from_file_location("make_seeded_forward", ARTIFACTS / "make_seeded_forward.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("form", STORED["forms"])
def test_numbers_of_a_form_belong_to_its_version(form, make_seeded_forward):
    moved = make_seeded_forward.moved(STORED["forms"][form], make_seeded_forward.seeded_forward(form))
    assert not moved, (
        f"{moved} of {form} moved: raise FDPMethod.version, list it in CHANGELOG.md, and run "
        "tests/artifacts/make_seeded_forward.py"
    )


def test_version_is_that_of_the_numbers(make_seeded_forward):
    assert set(STORED["forms"]) == set(make_seeded_forward.forms())
    assert STORED["version"] == FDPMethod.version, "run tests/artifacts/make_seeded_forward.py"


def test_a_moved_number_is_seen(make_seeded_forward):
    for stored in STORED["forms"].values():
        for name, values in stored.items():
            for index in range(len(values)):
                step = 1e-3 * make_seeded_forward.scale(values)
                other = [value + step * (place == index) for place, value in enumerate(values)]
                assert make_seeded_forward.moved(stored, {**stored, name: other}) == [name]
