"""TV-L1 flow: known motions, and another implementation of it."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from modeling_baselines.optical_flow_baselines import tv_l1_flow


def moved_pairs(count=6, size=48, amplitude=1.5, noise=2.0, seed=0):
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size].astype(float)
    references, later, flows = [], [], []
    for _ in range(count):
        image = gaussian_filter(generator.standard_normal((size, size)), 1.5)
        image = (image - image.min()) / (image.max() - image.min()) * 255
        flow = gaussian_filter(generator.standard_normal((2, size, size)), (0, 6, 6))
        flow *= amplitude / np.abs(flow).max()
        reference = map_coordinates(image, [rows + flow[1], columns + flow[0]], order=3, mode="nearest")
        references.append(reference + noise * generator.standard_normal(image.shape))
        later.append(image + noise * generator.standard_normal(image.shape))
        flows.append(flow)
    return torch.tensor(np.stack(references)), torch.tensor(np.stack(later)), np.stack(flows)


def endpoint_error(flow, truth):
    return float(np.sqrt(((flow - truth) ** 2).sum(axis=1)).mean())


def test_flow_recovers_a_known_motion_of_a_pixel():
    references, later, truth = moved_pairs()
    flow = tv_l1_flow(references, later).numpy()
    still = endpoint_error(np.zeros_like(truth), truth)
    assert endpoint_error(flow, truth) < 0.35 * still
    assert still > 0.4


def test_flow_is_as_good_as_scikit_image():
    registration = pytest.importorskip("skimage.registration")
    references, later, truth = moved_pairs(count=3)
    theirs = np.stack(
        [
            registration.optical_flow_tvl1(a.numpy() / 255, b.numpy() / 255)[::-1]
            for a, b in zip(references, later, strict=True)
        ]
    )
    ours = tv_l1_flow(references, later).numpy()
    assert endpoint_error(ours, truth) < 1.4 * endpoint_error(theirs, truth)


def test_flow_of_equal_images_is_zero_and_chunks_do_not_matter():
    references, later, _ = moved_pairs(count=3, size=32)
    assert tv_l1_flow(references, references).abs().max() < 1e-3
    whole = tv_l1_flow(references, later, num_warps=2, num_iterations=5)
    parts = tv_l1_flow(references, later, num_warps=2, num_iterations=5, chunk_size=2)
    torch.testing.assert_close(whole, parts)
    with pytest.raises(ValueError, match="one shape"):
        tv_l1_flow(references, later[:2])
