"""Each preset returns, for weights and a clip given by a formula, what it returned when its file was written."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"


@pytest.fixture(scope="module")
def make_golden_tensors():
    spec = importlib.util.spec_from_file_location("make_golden_tensors", ARTIFACTS / "make_golden_tensors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("preset", ["tiny", "small", "base", "released"])
def test_preset_returns_its_golden_tensors(preset, make_golden_tensors):
    with np.load(ARTIFACTS / f"golden_{preset}.npz") as stored:
        golden = dict(stored)
    outputs = make_golden_tensors.golden_outputs(preset)
    assert set(outputs) == set(golden)
    for name, expected in golden.items():
        assert outputs[name].shape == expected.shape, name
        assert expected.std() > 1e-3, f"{name} would agree with anything"
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-3, atol=1e-3, err_msg=name)
