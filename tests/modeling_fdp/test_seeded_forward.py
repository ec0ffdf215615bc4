"""Nobody moves a preset's numbers without raising the version that keeps its runs apart from those before."""

import importlib.util
import json
from pathlib import Path

import pytest

from modeling_fdp.presets_fdp import PRESETS
from training_fdp.runs.identity import NETWORK_VERSION

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
STORED = json.loads((ARTIFACTS / "seeded_forward.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def make_seeded_forward():
    spec = importlib.util.spec_from_file_location("make_seeded_forward", ARTIFACTS / "make_seeded_forward.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("preset", PRESETS)
def test_numbers_of_a_preset_belong_to_its_version(preset, make_seeded_forward):
    moved = make_seeded_forward.moved(STORED["presets"].get(preset, {}), make_seeded_forward.seeded_forward(preset))
    assert not moved, (
        f"{moved} of {preset} moved: raise NETWORK_VERSION, list it in CHANGELOG.md, and run "
        "tests/artifacts/make_seeded_forward.py"
    )


def test_version_is_that_of_the_numbers():
    assert STORED["network_version"] == NETWORK_VERSION, "run tests/artifacts/make_seeded_forward.py"


def test_a_moved_number_is_seen(make_seeded_forward):
    for stored in STORED["presets"].values():
        for name, values in stored.items():
            for index in range(len(values)):
                other = [value + 1e-3 * max(1, abs(value)) * (place == index) for place, value in enumerate(values)]
                assert make_seeded_forward.moved(stored, {**stored, name: other}) == [name]
