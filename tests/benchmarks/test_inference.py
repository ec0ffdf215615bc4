"""The benchmarks of the network run, and their figures are of the things they name."""

import pytest
import torch

from benchmarks import inference, training


def test_rows_of_a_preset():
    rows = inference.preset_rows(["tiny"], [2], rounds=1, device="cpu")
    assert [row["way"].split(", ")[1] for row in rows] == ["float32", "float32", "bfloat16"]
    assert rows[0]["times the first way"] == 1.0 and rows[0]["clips/s"] == pytest.approx(2000 / rows[0]["ms"])
    assert rows[0]["M parameters"] < 2 and 0.01 < rows[0]["GMAC per clip"] < 0.5
    assert all(0 < row["share of peak"] < 1.5 for row in rows)


def test_released_network_costs_what_the_fact_sheet_says():
    assert inference.macs_per_clip("released") == pytest.approx(8.63e9, rel=0.005)


def test_fast_ways_answer_as_the_frame_loop():
    """float32 to 1e-4 of a logit; bfloat16 to 1e-2 of a probability."""
    with torch.inference_mode():
        loop, *others = [way() for way in inference.ways("released", 1, "cpu").values()]
        logits, _ = loop
        plain, laid_out, half = others
    torch.testing.assert_close(plain, logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(laid_out, logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(half.float().softmax(-1), logits.softmax(-1), atol=1e-2, rtol=0)


def test_memory_of_training_is_that_of_the_process():
    row = training.memory_row("tiny", 2, rounds=1, device="cpu", checkpointing=True)
    assert row["peak GiB"] >= row["before the first step"] > 0.05 and row["clips/s"] > 0


def test_every_way_to_step_changes_the_weights():
    for settings in ({}, {"laid_out": True, "bfloat16": True}, {"fused": True}):
        step = training.Step("tiny", 2, "cpu", **settings)
        before = step.model.classifier.output.weight.clone()
        step()
        assert not torch.equal(step.model.classifier.output.weight, before)
