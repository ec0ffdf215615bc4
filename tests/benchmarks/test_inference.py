"""The benchmarks of the network run, and their figures are of the things they name."""

from argparse import Namespace

import pytest
import torch

from benchmarks import inference, training

OPTIONS = Namespace(preset=["tiny"], batch_sizes=[2], batch_size=2, rounds=1, device="cpu", clock=False)


@pytest.mark.slow
def test_rows_of_a_preset():
    rows = inference.preset_rows(OPTIONS)
    assert [row["way"].split(", ")[1] for row in rows] == ["float32", "float32", "float32", "bfloat16"]
    assert rows[0]["times frame loop, float32"] == 1.0
    assert rows[0]["clips per processor s"] == pytest.approx(2000 / rows[0]["processor ms"])
    assert rows[0]["M parameters"] < 2 and 0.01 < rows[0]["GMAC per clip"] < 0.5
    assert all(0 < row["share of peak"] < 1.5 for row in rows)


def test_released_network_costs_what_the_fact_sheet_says():
    assert inference.macs_per_clip("released") == pytest.approx(8.63e9, rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["any_window", "released"])
def test_fast_ways_answer_as_the_frame_loop(preset):
    """float32 to 1e-4 of a logit; bfloat16 to 1e-2 of a probability."""
    with torch.inference_mode():
        logits, plain, laid_out, half = [way() for way in inference.ways(preset, 2, "cpu").values()]
    torch.testing.assert_close(plain, logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(laid_out, logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(half.float().softmax(-1), logits.softmax(-1), atol=1e-2, rtol=0)


def test_memory_of_training_is_that_of_the_process():
    row = training.memory_row("tiny", 2, rounds=1, device="cpu", checkpointing=True)
    assert row["peak GiB"] >= row["before the first step"] > 0.05 and row["clips/s"] > 0


def test_every_way_to_step_changes_the_weights():
    for settings in ({}, {"laid_out": True, "bfloat16": True}, {"fused": True}, {"loop": True}):
        step = training.Step("any_window", 2, "cpu", **settings)
        before = step.model.classifier.output.weight.clone()
        step()
        assert not torch.equal(step.model.classifier.output.weight, before)


def test_the_recipe_of_the_shipped_checkpoint_is_what_is_measured():
    config = inference.configure("any_window")
    assert (config.reference, config.num_frames, config.num_labels) == ("movement_patterns", 32, 5)


@pytest.mark.slow
def test_steps_are_compared_with_the_frame_loop():
    rows = training.step_rows(OPTIONS)
    assert rows[0]["step"] == training.LOOP and rows[0]["times frame loop, float32"] == 1.0
    assert all(row["processor ms"] > 0 for row in rows)


@pytest.mark.slow
def test_exported_networks_answer_as_pytorch():
    """int8 weights cost accuracy, which the table tells; the others cost none."""
    pytest.importorskip("onnxruntime", reason="the exports need onnxruntime")
    rows = {row["one clip through"]: row for row in inference.export_rows("tiny", OPTIONS)}
    for way in ("torch.export", "ONNX Runtime"):
        assert rows[way]["largest difference of a probability"] < 1e-4 and rows[way]["same class, of 16"] == 16
    assert rows["ONNX Runtime, int8 weights"]["largest difference of a probability"] < 0.2
