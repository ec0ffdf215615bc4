"""Training of the spotting network on made-up motion: from its seed, and so that it finds what it learnt."""

import numpy as np
import pytest
import torch

from modeling_fdp.movement_directions_fdp import MOTION_SIZE
from spotting_fdp.intervals import IntervalFinder
from spotting_fdp.motion_stream import region_directions
from spotting_fdp.network_input import NUM_LIDS, NUM_OTHERS
from spotting_fdp.network_training import Example, OtherCrop, other_directions, train_network


def example(seed, num_moments=900):
    """Noise as of a rendered face at rest, three movements of usual size (100), and lids that close twice."""
    rng = np.random.default_rng(seed)
    places = 0.2 * rng.normal(size=(num_moments, MOTION_SIZE))
    lids = np.zeros((num_moments, 6), np.float32)
    # Motion that is 1 along its own direction.
    pattern = region_directions()[:, :16].numpy()
    pattern /= (pattern**2).sum(axis=0)
    expressions = []
    for onset in (150, 400, 700):
        length = int(rng.integers(16, 28))
        hill = np.sin(np.pi * np.arange(length + 1) / length) ** 2
        places[onset : onset + length + 1] += hill[:, None] * pattern[:, int(rng.integers(16))] * 100
        expressions.append((onset, onset + length))
    for closed in (280, 580):
        lids[closed : closed + 9, 0] = np.sin(np.pi * np.arange(9) / 8)
        places[closed : closed + 9, 300:310] += 10 * lids[closed : closed + 9, :1]
    return Example([(0, places.astype(np.float16))], np.array(expressions, np.float64), lids)


@pytest.fixture(scope="module")
def network():
    return train_network([example(seed) for seed in range(1, 9)], seed=0, num_steps=150, num_crops=0)


@pytest.mark.slow
def test_a_trained_network_finds_the_hills_of_another_recording(network):
    other = example(9)
    finder = IntervalFinder(0.4, network.score_runs)
    found = [one for motion in other.motions(network.others) for one in finder.add(motion)[0]] + finder.finish()[0]
    assert len(found) == 3
    for one, (onset, offset) in zip(found, other.expressions, strict=True):
        assert abs(one.onset - onset) <= 4 and abs(one.offset - offset) <= 4 and onset < one.apex < offset


def test_the_seed_decides_the_weights():
    examples = [example(1), example(2)]
    digests = [train_network(examples, seed, 3, num_crops=1).digest() for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_the_directions_of_lids_see_the_lids():
    # A dozen, because noise in a few blinks is large beside lids.
    directions = other_directions([example(seed) for seed in range(1, 13)])
    assert directions.shape == (MOTION_SIZE, NUM_OTHERS) and torch.isfinite(directions).all()
    first = directions[:, 0].abs()
    assert NUM_LIDS >= 1 and first[300:310].mean() > 5 * first[:300].mean()


def test_another_crop_moves_the_motion():
    motion = torch.zeros(1, 2, 16, 16)
    motion[0, 0, 4, 5] = 1.0
    flat = motion.flatten(1)
    assert torch.allclose(OtherCrop(False).motion(flat), flat, atol=1e-5)
    mirrored = OtherCrop(True).motion(flat).unflatten(1, (2, 16, 16))
    assert mirrored[0, 0, 4, 10] == pytest.approx(-1.0, abs=1e-5)
    # A crop that begins one place farther to the right shows everything one place farther to the left.
    shifted = OtherCrop(False, shift=(1.0, 0.0)).motion(flat).unflatten(1, (2, 16, 16))
    assert shifted[0, 0, 4, 4] == pytest.approx(1.0, abs=1e-5)
    assert OtherCrop(False, scale=2.0).motion(torch.ones(1, MOTION_SIZE))[0, 100] == pytest.approx(0.5)
