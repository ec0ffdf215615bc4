"""Nothing in the network becomes float64: Apple's GPU, which accelerate chooses by itself, has no such type."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modeling_fdp import dynamic_image, dynamic_image_phases, rank_pooling_weights
from modeling_fdp.motion_fdp import motion_channels, stabilize
from modeling_fdp.presets_fdp import PRESETS
from modeling_fdp.temporal_pooling_fdp import POOLINGS
from tests.mps_tensor import OnMps


class NoFloat64(TorchDispatchMode):
    """Refuses every operation that returns float64, also one that starts from no tensor at all."""

    def __torch_dispatch__(self, function, kinds, arguments=(), options=None):
        answer = function(*arguments, **(options or {}))
        if any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves(answer)):
            raise TypeError(f"{function} returned float64, which MPS has not")
        return answer


@pytest.mark.parametrize("preset", PRESETS)
def test_training_and_answers_need_no_float64(small_model, clips, preset):
    model = small_model(preset, action_units=["4", "12"], class_weights=[1, 2, 3], focal_gamma=1.0)
    frames = clips(image_size=model.config.image_size)
    targets = {
        "labels": torch.tensor([0, 2]),
        "action_unit_targets": torch.tensor([[0.0, 1.0], [float("nan"), 1.0]]),
    }
    with NoFloat64():
        model.train()(frames, **targets).loss.backward()
        model.eval()(frames, **targets)
    model.zero_grad()
    on_device = {name: value.as_subclass(OnMps) for name, value in targets.items()}
    with torch.no_grad():
        outputs = model(frames.as_subclass(OnMps), **on_device)
    assert isinstance(outputs.logits, OnMps) and isinstance(outputs.loss, OnMps)


def test_movement_patterns_need_no_float64(small_model, clips):
    model = small_model("tiny", reference="movement_patterns", dynamic_image_frames="along_curve")
    with NoFloat64():
        model.train()(clips(), labels=torch.tensor([0, 2])).loss.backward()
        model.eval()
        with torch.no_grad():
            assert isinstance(model(clips().as_subclass(OnMps)).logits, OnMps)


@pytest.mark.parametrize("pooling", [name for name in POOLINGS if name != "interleaved_convolution"])
@pytest.mark.parametrize("reference", ["first_frame_motion", "first_frame_pixels", "first_frame_features"])
def test_every_reference_and_pooling_needs_no_float64(small_model, clips, reference, pooling):
    model = small_model("tiny", reference=reference, temporal_pooling=pooling)
    with NoFloat64(), torch.no_grad():
        model(clips(), labels=torch.tensor([0, 2]))
        assert isinstance(model(clips().as_subclass(OnMps)).logits, OnMps)


def test_pictures_of_clips_need_no_float64(clips):
    frames = clips().as_subclass(OnMps)
    with NoFloat64():
        for normalization in ("signed", "min_max"):
            assert isinstance(dynamic_image(frames, normalization=normalization, quantize=True), OnMps)
        dynamic_image_phases(frames, torch.tensor([3, 0]).as_subclass(OnMps))
        motion_channels(stabilize(frames), 12.0, 4)
        rank_pooling_weights(8)


def test_the_guards_see_a_float64():
    with NoFloat64(), pytest.raises(TypeError, match="float64"):
        torch.arange(3, dtype=torch.float64)
    for convert in (torch.Tensor.double, lambda tensor: tensor.to(torch.float64)):
        with pytest.raises(TypeError, match="float64"):
            convert(torch.zeros(2).as_subclass(OnMps))


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        *((preset, {}) for preset in PRESETS),
        ("tiny", {"reference": "movement_patterns", "dynamic_image_frames": "along_curve"}),
        *(("tiny", {"temporal_pooling": pooling}) for pooling in POOLINGS if pooling != "interleaved_convolution"),
    ],
)
def test_constants_are_made_on_the_device_of_the_frames(small_model, clips, preset, settings, monkeypatch):
    """On the device "meta", which refuses tensors of the CPU, so that a forgotten `device=` fails without a GPU."""
    # Checks of values are left out of compiled networks, and have no values to check on this device.
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(torch, "autocast", lambda *kinds, **settings: nullcontext())  # it does not know this device
    model = small_model(preset, **settings).eval().to("meta")
    assert model(clips(image_size=model.config.image_size).to("meta")).logits.is_meta
