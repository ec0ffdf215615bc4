"""Writes golden_<preset>.npz beside this file: what each preset returns for weights and a clip given by a formula.

    python tests/artifacts/make_golden_tensors.py

Run it only when a preset is meant to change, and say so in the change log: the files are what keeps checkpoints valid.
No weights are stored; they are drawn per key, so that a renamed or reshaped parameter shows as well.
"""

import sys
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).resolve().parent
# Scale of the convolutions and linear layers: deep presets need a smaller one to keep activations near one.
GAINS = {"tiny": 1.1, "small": 0.95, "base": 0.9, "released": 0.75}
SEED = 7


def formula_value(key, shape, gain, seed=SEED):
    """The tensor for a key, float32 (int64 for counters)."""
    draw = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(shape)
    if key.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    if key.endswith("running_var"):
        value = 1 + 0.2 * np.abs(draw)
    elif key.endswith(("running_mean", "bias")):
        value = 0.1 * draw
    elif len(shape) == 1:
        value = 1 + 0.1 * draw
    else:
        value = gain * draw / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def golden_clips(seed=SEED):
    """Two clips of eight frames: a face-like ramp on which a band moves by fractions of a pixel, (2, 8, 1, 64, 64)."""
    generator = np.random.default_rng([seed, 99])
    rows, columns = np.mgrid[0:64, 0:64] / 63
    clips = []
    for _ in range(2):
        noise, start, step = (
            generator.uniform(-0.3, 0.3, (64, 64)),
            generator.uniform(0.2, 0.6),
            generator.uniform(0.004, 0.01),
        )
        bands = [np.exp(-(((rows - start - step * index) / 0.05) ** 2)) * columns for index in range(8)]
        clips.append(np.stack([np.clip(noise - 0.5 * band, -1, 1) for band in bands]))
    return torch.from_numpy(np.stack(clips)[:, :, None].astype(np.float32))


def golden_outputs(preset):
    """What the preset returns, thinned to a few kilobytes."""
    from modeling_fdp import FDPConfig, FDPForVideoClassification

    with torch.device("meta"):
        model = FDPForVideoClassification(FDPConfig.from_preset(preset, num_labels=5))
    weights = {key: formula_value(key, tuple(value.shape), GAINS[preset]) for key, value in model.state_dict().items()}
    model.load_state_dict(weights, assign=True)
    model.eval()
    with torch.no_grad():
        outputs = model(golden_clips(), labels=torch.tensor([1, 3]))
        features = model.fdp(golden_clips()).pooler_output
    return {
        "logits": outputs.logits.numpy(),
        "rank_scores": outputs.rank_scores.numpy(),
        "dynamic_image": outputs.dynamic_image[:, 0, ::4, ::4].numpy(),
        "representation": features.flatten(1)[:, :: max(1, features[0].numel() // 64)].numpy(),
        "losses": np.asarray([float(outputs.losses[name]) for name in sorted(outputs.losses)], dtype=np.float32),
    }


if __name__ == "__main__":
    for name in sys.argv[1:] or GAINS:
        np.savez_compressed(FOLDER / f"golden_{name}.npz", **golden_outputs(name))
