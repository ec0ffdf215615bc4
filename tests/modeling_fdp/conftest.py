"""Small networks and clips for the tests of the model. Small means a handful of channels."""

import os
from pathlib import Path

import pytest
import torch

from modeling_fdp import FDPConfig, FDPForVideoClassification

SMALL = {
    # Half of what the presets with motion take, and what `released` takes: the same clips suit all.
    "num_frames": 8,
    "stem_channels": [8, 8],
    "stem_strides": [2, 2],
    "hidden_sizes": [8, 8, 16, 16],
    "local_depths": [1, 1, 2, 1],
    "drop_path_rate": 0.0,
    "attention_head_dim": 4,
}
SMALL_BY_PRESET = {
    "tiny": {
        "classifier_dropout": 0.0,
        "hidden_sizes": [8, 16],
        "local_depths": [1, 1],
        "global_hidden_sizes": [16, 32],
        "local_head_dim": 4,
        "feature_size": 8,
        "decoder_size": 8,
    },
    "small": {
        "classifier_dropout": 0.0,
        "global_hidden_sizes": [16, 16, 32, 32],
        "local_head_dim": 4,
        "feature_size": 8,
        "decoder_size": 8,
    },
    "base": {"global_hidden_sizes": [16, 16, 32, 32], "local_head_dim": 4, "feature_size": 32, "decoder_size": 4},
    "paper": {
        "stem_channels": [8],
        "stem_strides": [2],
        "global_hidden_sizes": [16, 16, 32, 32],
        "local_head_dim": 4,
        "feature_size": 16,
        "decoder_size": 4,
    },
    "paper_tiny": {
        "stem_channels": [8],
        "stem_strides": [2],
        "classifier_dropout": 0.0,
        "hidden_sizes": [8, 16],
        "local_depths": [1, 1],
        "global_hidden_sizes": [16, 32],
        "local_head_dim": 4,
        "feature_size": 8,
        "decoder_size": 8,
    },
    "released": {"decoder_size": 4, "classifier_hidden_size": 16},
}
PRESETS = tuple(SMALL_BY_PRESET)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Several test runs share two cores; small tensors gain nothing from threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_config():
    """A factory: the preset's structure at a size that runs in milliseconds."""

    def build(preset, **overrides):
        names = {} if {"num_labels", "id2label"} & set(overrides) else {"num_labels": 3}
        return FDPConfig.from_preset(preset, **{**SMALL, **SMALL_BY_PRESET[preset], **names, **overrides})

    return build


@pytest.fixture(scope="session")
def clips():
    """A factory of clips in which a dark bar sinks over noise: (batch_size, num_frames, 1, size, size) in [-1, 1]."""

    def build(batch_size=2, num_frames=8, image_size=64, seed=0):
        generator = torch.Generator().manual_seed(seed)
        background = torch.rand(batch_size, 1, 1, image_size, image_size, generator=generator) - 0.5
        frames = background.repeat(1, num_frames, 1, 1, 1)
        for clip in range(batch_size):
            # Every clip has its own place and reach of the motion.
            left, reach = (int(torch.randint(4, image_size // 4, (1,), generator=generator)) for _ in range(2))
            for index in range(num_frames):
                top = image_size // 4 + index * reach // num_frames
                frames[clip, index, :, top : top + 3, left : left + image_size // 2] -= 0.4
        return frames

    return build


@pytest.fixture(scope="session")
def small_model(small_config, clips):
    """A factory of models in eval mode whose batch norms have seen clips, so that activations have a sane scale."""

    def build(preset, seed=0, **overrides):
        torch.manual_seed(seed)
        model = FDPForVideoClassification(small_config(preset, **overrides))
        norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None
        model.train()
        with torch.no_grad():
            model(clips(4, image_size=model.config.image_size, num_frames=model.config.num_frames, seed=seed + 1))
        for norm in norms:
            norm.momentum = 0.1
        return model.eval()

    return build


@pytest.fixture(scope="session")
def shared_folder():
    """The folder of facts and fixtures beside the checkout; not part of the repository."""
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("FDP_SHARED", root.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the folder of shared fixtures at {folder} (or FDP_SHARED)")
    return folder
