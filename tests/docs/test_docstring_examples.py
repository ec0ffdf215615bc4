"""The examples in docstrings run and answer what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("modeling_fdp", "processing_fdp", "hub_datasets", "rendered_faces", "evaluation_fdp", "training_fdp")
FILES = sorted(
    path for room in ROOMS for path in (ROOT / room).rglob("*.py") if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_run(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    result = doctest.testmod(module, verbose=False)
    assert result.attempted and not result.failed
