"""What the flow decoder and the graph compute without copies, against the same with copies: answers and gradients."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from modeling_mol.facial_features_mol import largest_rows
from modeling_mol.flow_decoders_mol import MOLJoinedConvolution, MOLJoinedNorm, per_pair
from modeling_mol.modeling_mol import as_images, earlier_frames

PAIRS, CHANNELS, SIZE = 6, 3, 5
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def leaf(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


def gradients(answer, inputs):
    """Gradients of a sum in which every number of the answer has a weight of its own."""
    weights = torch.linspace(-1, 1, answer.numel()).reshape(answer.shape)
    return torch.autograd.grad((answer * weights).sum(), inputs)


@pytest.mark.parametrize("num_shared", [2, 6])
def test_joined_convolution_equals_the_convolution_of_joined_maps(num_shared):
    plain = nn.Conv2d(4 + 2 * CHANNELS, 4, 3, stride=1, padding=1)
    joined = MOLJoinedConvolution(4 + 2 * CHANNELS, 4, 3, stride=1, padding=1)
    joined.load_state_dict(plain.state_dict())
    hidden, later = leaf(PAIRS, 4, SIZE, SIZE), leaf(PAIRS, CHANNELS, SIZE, SIZE)
    earlier = leaf(num_shared, CHANNELS, SIZE, SIZE)
    expected = plain(torch.cat([hidden, per_pair(earlier, PAIRS), later], dim=1))
    found = joined((hidden, earlier, later))
    assert_close(found, expected, **CLOSE)
    inputs = [hidden, earlier, later]
    assert_close(
        gradients(found, [*inputs, *joined.parameters()]), gradients(expected, [*inputs, *plain.parameters()]), **CLOSE
    )


@pytest.mark.parametrize("num_shared", [2, 6])
@pytest.mark.parametrize("training", [True, False])
def test_joined_norm_equals_the_norm_of_joined_maps(num_shared, training):
    plain, joined = nn.BatchNorm2d(2 * CHANNELS), MOLJoinedNorm(2 * CHANNELS)
    for values in (plain.weight, plain.bias):
        nn.init.normal_(values)
    plain.running_mean.fill_(0.3)
    plain.running_var.fill_(1.7)
    joined.load_state_dict(plain.state_dict())
    plain.train(training)
    joined.train(training)
    earlier, changes = leaf(num_shared, CHANNELS, SIZE, SIZE), leaf(PAIRS, CHANNELS, SIZE, SIZE)
    for _ in range(2):  # twice, because the statistics of the first call are those that the second one follows
        expected = plain(torch.cat([per_pair(earlier + 2, PAIRS), changes], dim=1))
        first, second = joined(earlier + 2, changes)
        found = torch.cat([per_pair(first, PAIRS), second], dim=1)
        assert_close(found, expected, **CLOSE)
        inputs = [earlier, changes]
        assert_close(
            gradients(found, [*inputs, *joined.parameters()]),
            gradients(expected, [*inputs, *plain.parameters()]),
            **CLOSE,
        )
    assert_close(joined.state_dict(), plain.state_dict(), **CLOSE)
    assert joined.num_batches_tracked == (2 if training else 0)


def test_largest_rows_equal_a_maximum_over_copies():
    rows = leaf(2, 7, 4)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.stack([torch.randperm(7, generator=generator)[:3] for _ in range(10)]).unflatten(0, (2, 5))
    expected = torch.stack([values[numbers].amax(dim=1) for values, numbers in zip(rows, chosen, strict=True)])
    found = largest_rows(rows, chosen)
    assert torch.equal(found, expected)
    assert_close(gradients(found, [rows]), gradients(expected, [rows]), **CLOSE)


@pytest.mark.parametrize(("frames", "reference"), [(slice(0, 3), "previous"), (slice(0, 1), "first")])
def test_images_are_the_chosen_frames_clip_by_clip(frames, reference):
    values = torch.randn(2, 4, CHANNELS, SIZE, SIZE)
    found = as_images(values, frames)
    assert torch.equal(per_pair(found, 6), earlier_frames(values, reference).flatten(0, 1))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(as_images(values, slice(1, None)), values[:, 1:].flatten(0, 1))


@pytest.mark.parametrize("changes", [{}, {"flow_inputs": "frames"}, {"separate_roles": True}])
def test_a_shared_earlier_frame_trains_the_network_as_one_per_pair_does(changes, small_mol, frames):
    """In double precision, because the norms, one after the other, enlarge what single precision rounds."""

    def repeat_earlier(module, inputs):
        first, later, features, later_features, maps, later_maps = inputs
        first, features = per_pair(first, PAIRS), per_pair(features, PAIRS)
        return first, later, features, later_features, {i: per_pair(m, PAIRS) for i, m in maps.items()}, later_maps

    trained = []
    for is_repeated in (False, True):
        model = small_mol(classifier_dropout=0.0, **changes).double().train()
        if is_repeated:
            model.flow_decoder.register_forward_pre_hook(repeat_earlier)
        output = model(frames().double(), labels=torch.tensor([0, 2]))
        (output.loss + output.flow.pow(2).mean()).backward()
        slopes = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        trained.append([output.logits, output.flow, model.state_dict(), slopes])
    assert_close(*trained, **CLOSE)


class Answers(nn.Module):
    """Class, flow and landmarks of a network as a tuple, which a trace can return."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, clips):
        output = self.network(clips)
        return output.logits, output.flow, output.landmarks


@pytest.mark.parametrize("settings", [{}, {"flow_inputs": "frames"}])
def test_a_trace_of_two_clips_answers_five(settings, small_mol):
    model = Answers(small_mol(num_frames=3, **settings))
    side = model.network.config.image_size
    clips = torch.rand(5, 3, 1, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        traced = torch.jit.trace(model, clips[:2])
        for found, expected in zip(traced(clips), model(clips), strict=True):
            assert_close(found, expected, **CLOSE)
