"""The benchmark of the model runs, and its numbers are of the things it names."""

import argparse
import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "inference.py"


@pytest.fixture(scope="module")
def inference():
    spec = importlib.util.spec_from_file_location("inference_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # A script finds what lies beside it.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def arguments():
    return argparse.Namespace(
        preset=["tiny"],
        batch_size=2,
        rounds=1,
        device="cpu",
        dtype="float32",
        channels_last=False,
        no_checkpointing=False,
        no_autocast=True,
    )


def test_table_of_a_preset(inference, arguments):
    result = inference.preset_table(arguments)
    (row,) = result["rows"]
    assert row["preset"] == "tiny" and row["parameters_m"] < 2
    assert 0.01 < row["gmacs_per_clip"] < 0.5 and row["clips_per_s_batch_2"] > 0
    assert inference.render(result).splitlines()[0].startswith("| preset | parameters_m |")


def test_released_network_costs_what_the_fact_sheet_says(inference):
    assert inference.macs_per_clip("released") == pytest.approx(8.63e9, rel=0.005)


def test_frame_loop_gives_what_the_batch_gives(inference, arguments):
    result = inference.compare_loop(arguments)
    assert result["largest_difference_of_logits"] < 1e-4
    assert [row["best_ms"] > 0 for row in result["rows"]] == [True] * 3


def test_memory_of_training_is_that_of_the_process(inference, arguments):
    (row,) = inference.training_cost(arguments)["rows"]
    assert row["peak_gib"] >= row["of_which_before_the_first_step_gib"] > 0.05 and row["checkpointing"]
    assert row["median_clips_per_s"] > 0


def test_memory_of_several_presets_in_one_process_is_refused(inference, arguments):
    arguments.preset = ["tiny", "small"]
    with pytest.raises(SystemExit, match="name one --preset, not 2"):
        inference.training_cost(arguments)
