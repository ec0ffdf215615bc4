"""Small networks of MOL and clips for them."""

import pytest
import torch

from modeling_mol import MOLConfig, MOLForVideoClassification

SMALL = {
    "num_frames": 4,
    "image_size": 32,
    "stem_channels": [8, 16, 16],
    "stem_kernel_sizes": [3, 3, 1],
    "stem_strides": [2, 2, 1],
    "stem_paddings": [1, 1, 0],
    "num_landmarks": 5,
    "flow_hidden_size": 16,
    "landmark_hidden_size": 16,
    "classifier_hidden_size": 16,
}


@pytest.fixture(scope="session")
def small_mol():
    """`small_mol(setting=value, ...)`: a network of a few thousand weights in evaluation mode."""

    def build(**changes):
        torch.manual_seed(0)
        config = MOLConfig.from_preset("small", **{**SMALL, "num_labels": 3, **changes})
        return MOLForVideoClassification(config).eval()

    return build


@pytest.fixture(scope="session")
def frames():
    """`frames(num_frames, size)`: two clips of a pattern that moves."""

    def make(num_frames=4, size=32, batch_size=2):
        rows = torch.arange(size)[:, None] / size
        times = torch.arange(num_frames)[:, None, None] / num_frames
        clip = torch.sin(9 * rows.T + times) * torch.cos(7 * rows - times)
        return torch.stack([clip.roll(number, -1) * 0.8**number for number in range(batch_size)])[:, :, None] * 0.9

    return make
