"""Stem, fully connected convolution and the graph: against definitions written out, one node or cell at a time."""

import pytest
import torch
from torch.nn import functional as F

from modeling_mol import MOLConfig
from modeling_mol.facial_features_mol import (
    MOLChannelCorrespondence,
    MOLCircularConvolution,
    MOLFullyConnectedConvolution,
    derivatives,
)
from modeling_mol.flow_decoders_mol import correlation


def module_of(kind, *arguments):
    torch.manual_seed(0)
    module = kind(*arguments)
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return module.eval()


def config_of(**changes):
    sizes = {"image_size": 32, "stem_channels": [4, 4, 4, 6], "stem_strides": [2, 2, 2, 1]}
    return MOLConfig.from_preset("small", **{**sizes, **changes})


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("nodes", ["channels", "positions"])
def test_graph_equals_a_loop_over_nodes_and_neighbours(nodes, released):
    config = config_of(graph_nodes=nodes, released_graph=released, num_neighbors=3)
    graph = module_of(MOLChannelCorrespondence, config)
    maps = torch.randn(2, 6, 4, 4)
    expected = []
    for image in maps:
        features = image.flatten(1) if nodes == "channels" else image.flatten(1).T
        gathered = torch.empty_like(features)
        for i, own in enumerate(features):
            cosines = [(float(F.cosine_similarity(own, other, dim=0)), j) for j, other in enumerate(features)]
            nearest = [j for _, j in sorted(cosines, reverse=True) if released or j != i][:3]
            difference = 2 if released else 1
            edges = [graph.own(own) + graph.other(features[j] - difference * own) for j in nearest]
            gathered[i] = torch.stack([edge.relu() for edge in edges]).max(dim=0).values
        answer = (gathered if nodes == "channels" else gathered.T).reshape(image.shape)
        expected.append(image + (answer if released else graph.output(answer[None])[0]))
    with torch.no_grad():
        torch.testing.assert_close(graph(maps), torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_a_node_is_its_own_neighbour_only_as_released():
    maps = torch.randn(3, 6, 16)
    for released in (False, True):
        graph = module_of(MOLChannelCorrespondence, config_of(released_graph=released, num_neighbors=4))
        neighbors = graph.neighbors(maps)
        own = torch.arange(6)[None, :, None]
        assert neighbors.shape == (3, 6, 4)
        assert bool((neighbors == own).any(dim=-1).all()) is released
        assert torch.equal((neighbors[..., :1] == own).all(), torch.tensor(released))


@pytest.mark.parametrize("axis", [2, 3])
def test_circular_convolution_equals_a_sum_over_cells(axis):
    module = module_of(MOLCircularConvolution, 3, 5, axis)
    maps = torch.randn(2, 3, 5, 5)
    code = module.position[:, :, None] if axis == 2 else module.position[:, None]
    normed = module.norm(maps + code)
    expected = torch.zeros_like(maps)
    for step in range(5):
        expected += module.weight[:, step, None, None] * normed.roll(-step, axis)
    torch.testing.assert_close(module(maps), expected + module.bias[:, None, None])


def test_fully_connected_convolution_shifts_with_its_input_and_sees_the_whole_map():
    module = module_of(MOLFullyConnectedConvolution, config_of())
    maps = torch.randn(1, 6, 4, 4)
    with torch.no_grad():
        for branch in (*module.height_first, *module.width_first):
            branch.position.zero_()
        torch.testing.assert_close(module(maps.roll((1, 2), (2, 3))), module(maps).roll((1, 2), (2, 3)))
        branch.position.fill_(0.0)[:, 0] = 1.0
        # The last branch convolves along the height.
        assert not torch.allclose(module(maps.roll(1, 2)), module(maps).roll(1, 2))
        other = maps.clone()
        other[:, :, 3, 3] += 1
        assert ((module(other) - module(maps)).abs().amax(dim=1) > 1e-6).all()


def test_derivatives_of_a_ramp_are_its_slopes():
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    ramp = (2 * columns - 3 * rows)[None, None]
    found = derivatives(ramp, ramp + 0.25)
    assert found.shape == (1, 4, 5, 6)
    torch.testing.assert_close(found[:, :2], torch.cat([ramp, torch.full_like(ramp, 0.25)], dim=1))
    inner = found[0, 2:, 1:-1, 1:-1]
    assert torch.equal(inner[0], torch.full((3, 4), 2.0)) and torch.equal(inner[1], torch.full((3, 4), -3.0))


def test_correlation_is_highest_at_the_displacement():
    first = torch.randn(1, 32, 8, 8)
    second = first.roll((2, -4), (2, 3))
    found = correlation(first, second, 4, 2).unflatten(1, (5, 5))
    # A cell away from the borders has moved by 2 rows and -4 columns: row 3 and column 0 of shifts of -4, -2, 0, 2, 4.
    best = found[0, :, :, 3, 6].flatten().argmax()
    assert (int(best) // 5, int(best) % 5) == (3, 0)
    assert found[0, 3, 0, 3, 6] == pytest.approx(float((first[0, :, 3, 6] ** 2).mean()), rel=1e-5)
