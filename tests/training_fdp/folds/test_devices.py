"""A device may lack float64 (Apple's): a tensor class with that one rule stands around what training keeps there."""

import contextlib
from types import SimpleNamespace

import pytest
import torch

from modeling_fdp import FDPConfig, FDPForVideoClassification
from tests.mps_tensor import OnMps
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
from training_fdp.data.batches import ClipBatches
from training_fdp.data.options import BatchOptions
from training_fdp.folds.evaluator import Evaluator
from training_fdp.methods.fdp import FDPMethod
from training_fdp.methods.fdp_options import FDPOptions


def on_device(batch):
    return {name: values.as_subclass(OnMps) for name, values in batch.items()}


class Model:
    """A network whose answers are on the device."""

    def __init__(self):
        torch.manual_seed(0)
        self.network = FDPForVideoClassification(FDPConfig.from_preset("tiny", num_labels=3)).eval()
        self.config, self.training = self.network.config, False

    def eval(self):
        return self

    def train(self, mode=True):
        return self

    def __call__(self, pixel_values):
        output = self.network(pixel_values=pixel_values.as_subclass(torch.Tensor))
        for key, value in list(output.items()):
            if isinstance(value, torch.Tensor):
                output[key] = value.as_subclass(OnMps)
        return output


class Batches:
    def load(self, rows, statistics=None):
        pixels = torch.rand(len(rows), 16, 1, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5
        return on_device({"pixel_values": pixels, "labels": torch.zeros(len(rows), dtype=torch.long)})


def test_the_rule_bites():
    with pytest.raises(TypeError):
        torch.zeros(2).as_subclass(OnMps).double()
    assert torch.zeros(2).as_subclass(OnMps).cpu().double().dtype == torch.float64


def test_clips_are_judged_without_it():
    method = FDPMethod(FDPOptions())
    accelerator = SimpleNamespace(autocast=contextlib.nullcontext)
    evaluator = Evaluator(method, Batches(), accelerator, batch_size=2)
    model = Model()
    reference = evaluator.reference(model.config, [0, 1, 2])
    predictions = evaluator.predict(model, [0, 1], reference=reference)
    assert predictions.probabilities.dtype == "float64" and predictions.probabilities.sum() == pytest.approx(2)
    assert predictions.answers[0]["dynamic_image_mse_mean_image"] >= 0


def test_batches_are_augmented_without_it():
    generator = torch.Generator().manual_seed(0)
    batch = {
        "pixel_values": torch.rand(4, 5, 1, 16, 16, generator=generator) * 2 - 1,
        "labels": torch.arange(4) % 3,
        "dynamic_image_targets": torch.rand(4, 1, 16, 16, generator=generator),
        "action_units": torch.rand(4, 3, 2, generator=generator),
    }
    options = AugmentationConfig(
        flip=0.5, shift=0.1, scale=0.1, rotation=10, gamma=0.2, brightness=0.1, motion_scale=0.3, static_face_mix=0.5,
        mixup=0.5,
    )  # fmt: skip
    augment = build_augmentation(options, 3, FDPMethod(FDPOptions()).followers)
    expected = augment(batch, torch.Generator().manual_seed(1))
    found = augment(on_device(batch), torch.Generator().manual_seed(1))
    for name, values in expected.items():
        assert torch.equal(found[name].cpu(), values), name


def test_statistics_are_summed_without_it(toy_clips):
    clips, _ = toy_clips()
    processor = SimpleNamespace(
        normalize_frames=lambda frames: (frames.float() / 127.5 - 1).as_subclass(OnMps),
        sample_indices=lambda total, num_frames, **_: torch.arange(num_frames).numpy(),
    )
    batches = ClipBatches(clips, processor, BatchOptions(), 4, torch.device("cpu"))
    mean, maximum = batches.split_statistics([0, 1, 2])
    assert -1 < mean < 1 and maximum > 0
