"""What is dropped while training, and never otherwise: classifier, attention weights, branches of blocks."""

import copy

import pytest
import torch

from modeling_fdp import FDPForVideoClassification
from modeling_fdp.frame_encoder_fdp import FDPAttention, FDPDropPath, FDPGlobalAggregator, FDPLocalAggregator


@pytest.mark.parametrize("preset", ["tiny", "released"])
def test_classifier_drops_what_its_last_layer_sees(small_model, clips, preset):
    model = small_model(preset, classifier_dropout=0.5)
    with torch.no_grad():
        representation = model.fdp(clips(8)).pooler_output
        kept = model.classifier(representation)[1]
        for module in model.classifier.modules():
            # Not the batch norms, whose statistics training would change.
            module.training = isinstance(module, torch.nn.Dropout)
        dropped = model.classifier(representation)[1]
    seen = kept != 0
    assert 0.3 < float((dropped[seen] == 0).float().mean()) < 0.7
    survivors = dropped != 0
    assert torch.allclose(dropped[survivors], 2 * kept[survivors], atol=1e-5)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_attention_weights_are_dropped_while_training_alone(small_config, implementation):
    config = small_config("base", attention_dropout=0.5)
    config._attn_implementation = implementation
    torch.manual_seed(0)
    attention = FDPAttention(config, 16, key_value_stride=1)
    maps = torch.randn(4, 16, 8, 8)
    attention.eval()
    assert torch.equal(attention(maps)[0], attention(maps)[0])
    attention.train()
    with torch.no_grad():
        output, weights = attention(maps)
    assert not torch.allclose(output, attention(maps)[0], atol=1e-4)
    if implementation == "eager":
        assert 0.4 < float((weights == 0).float().mean()) < 0.6
        assert 0.9 < float(weights.sum(-1).mean()) < 1.1, "what is kept is scaled up"


def silenced(block, branches):
    """A copy in which these branches add nothing."""
    quiet = copy.deepcopy(block)
    for branch in branches:
        for parameter in getattr(quiet, branch).parameters():
            parameter.data.zero_()
    return quiet


@pytest.mark.parametrize(
    ("kind", "branch"),
    [
        ("local", "convolution"),
        ("local", "mlp"),
        ("global", "attention"),
        ("global", "convolution"),
        ("global", "mlp"),
    ],
)
def test_every_branch_of_a_block_is_dropped_for_whole_frames(small_config, kind, branch):
    config = small_config("base")
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    if kind == "local":
        branches, block = {"convolution", "mlp"}, FDPLocalAggregator(config, 8, 8, 1, drop_path=0.5)
    else:
        branches, block = {"convolution", "mlp", "attention"}, FDPGlobalAggregator(config, 8, 0, 1, drop_path=0.5)
    frames = torch.randn(64, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    alone, nothing = silenced(block, branches - {branch}).eval(), silenced(block, branches).eval()
    with torch.no_grad():
        whole, without = alone(frames), nothing(frames)
        for module in alone.modules():
            # Not the batch norms, whose statistics training would change.
            module.training = isinstance(module, FDPDropPath)
        answer = alone(frames)
    dropped = (answer - without).flatten(1).abs().amax(1) < 1e-6
    assert 0.25 < float(dropped.float().mean()) < 0.75
    if branch != "attention":
        # What attention adds passes through another convolution and a rectifier behind it.
        assert torch.allclose((answer - without)[~dropped], 2 * (whole - without)[~dropped], atol=1e-4)


@pytest.mark.parametrize("preset", ["tiny", "base", "paper"])
def test_rates_of_dropped_branches_rise_linearly_over_all_blocks(small_config, preset):
    model = FDPForVideoClassification(small_config(preset, drop_path_rate=0.3))
    rates = [
        [part.rate for part in block.modules() if isinstance(part, FDPDropPath)]
        for block in model.modules()
        if isinstance(block, (FDPLocalAggregator, FDPGlobalAggregator))
    ]
    assert len(rates) == sum(model.config.local_depths) + sum(model.config.global_depths) > 2
    assert [len(of_block) for of_block in rates] == [1] * len(rates)
    expected = torch.linspace(0, 0.3, len(rates))
    assert torch.allclose(torch.tensor([of_block[0] for of_block in rates]), expected, atol=1e-6)
