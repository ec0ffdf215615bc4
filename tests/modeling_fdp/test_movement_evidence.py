"""Evidence that a face moved, and the score that a network makes of it."""

import math

import pytest
import torch

from modeling_fdp import FDPConfig, FDPForVideoClassification
from modeling_fdp.movement_evidence_fdp import movement_evidence, movement_score


def test_it_is_the_likeliest_unit_and_the_logarithm_of_the_size():
    units = torch.tensor([[0.0, math.log(3), -100.0], [-100.0, -100.0, -100.0]])
    found = movement_evidence(torch.tensor([0.49, 0.0]), units)
    assert found[0].tolist() == pytest.approx([0.75, math.log(0.5)])
    assert found[1].tolist() == pytest.approx([0.0, math.log(0.01)])


def test_the_score_is_a_weighted_sum_in_single_precision():
    evidence, weights = torch.randn(3, 2), [1.5, -0.3, 0.7]
    with torch.autocast("cpu", torch.bfloat16):
        score = movement_score(evidence, weights)
    assert score.dtype == torch.float32
    assert torch.allclose(score, 1.5 * evidence[:, 0] - 0.3 * evidence[:, 1] + 0.7, atol=1e-6)


def test_a_network_scores_what_it_answers(monkeypatch):
    torch.manual_seed(0)
    config = FDPConfig.from_preset(
        "tiny", num_labels=3, num_frames=8, reference="movement_patterns", action_units=["4", "12"],
        action_unit_sides=True, both_signs=True,
    )  # fmt: skip
    model = FDPForVideoClassification(config).eval()
    clip = torch.rand(2, 8, 1, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    weights = [1.0, -2.0, 0.5]
    with torch.no_grad():
        plain = model(clip)
        monkeypatch.setattr(model.config, "movement_weights", weights)
        output = model(clip)
        half = model.to(torch.bfloat16)(clip.bfloat16())
    assert plain.movement_score is None and torch.equal(plain.logits, output.logits)
    likeliest = output.action_unit_side_logits.flatten(1).amax(1).sigmoid()
    expected = 1.0 * likeliest - 2.0 * (output.movement_size + 0.01).log() + 0.5
    assert output.movement_score.shape == (2,) and torch.allclose(output.movement_score, expected, atol=1e-5)
    assert half.movement_score.dtype == torch.float32
    assert torch.allclose(half.movement_score, output.movement_score, atol=0.05)
