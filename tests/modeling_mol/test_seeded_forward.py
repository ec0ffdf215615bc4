"""Nobody moves a preset's numbers without raising the version that keeps its runs apart from those before."""

import importlib
import json
from pathlib import Path

import pytest

from training_fdp.methods.mol import MOLMethod

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
STORED = json.loads((ARTIFACTS / "seeded_forward_mol.json").read_text(encoding="utf-8"))


@pytest.fixture
def generators(monkeypatch):
    monkeypatch.syspath_prepend(ARTIFACTS)
    return [importlib.import_module(name) for name in ("make_seeded_forward", "make_seeded_forward_mol")]


@pytest.mark.parametrize("preset", STORED["forms"])
def test_numbers_of_a_preset_belong_to_its_version(preset, generators):
    comparison, mol = generators
    moved = comparison.moved(STORED["forms"][preset], mol.seeded_forward(preset))
    assert not moved, (
        f"{moved} of {preset} moved: raise MOLMethod.version, list it in CHANGELOG.md, and run "
        "tests/artifacts/make_seeded_forward_mol.py"
    )


def test_version_is_that_of_the_numbers(generators):
    assert set(STORED["forms"]) == set(generators[1].FORMS)
    assert STORED["version"] == MOLMethod.version, "run tests/artifacts/make_seeded_forward_mol.py"
