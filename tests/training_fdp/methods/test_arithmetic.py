"""The precision that a trial finds, and that what it chooses answers as single precision does."""

import time

import pytest
import torch
from torch import nn

from modeling_fdp import FDPConfig, FDPForVideoClassification
from rendered_faces.film import render_clip
from training_fdp.methods import arithmetic
from training_fdp.methods.arithmetic import fastest_precision, lay_out_channels_last

CPU = torch.device("cpu")


@pytest.mark.parametrize(("half", "expected"), [(1.0, "bf16"), (1.9, "no"), (8.0, "no")])
def test_bfloat16_must_be_clearly_faster(monkeypatch, half, expected):
    """By a fifth, because conversions cost something in a network."""
    calls = []

    def seconds(convolve, device):
        calls.append(convolve().dtype)
        return half if calls[-1] == torch.bfloat16 else 2.0

    monkeypatch.setattr(arithmetic, "_seconds", seconds)
    assert fastest_precision(CPU) == expected
    assert calls.count(torch.float32) == calls.count(torch.bfloat16) > 1


def test_a_device_without_bfloat16_computes_in_single_precision(monkeypatch):
    def seconds(convolve, device):
        if convolve().dtype == torch.bfloat16:
            raise RuntimeError("not implemented for 'BFloat16'")
        return 1.0

    monkeypatch.setattr(arithmetic, "_seconds", seconds)
    assert fastest_precision(CPU) == "no"


def test_the_trial_is_short():
    """20 ms of an idle processor; here of the processor time of one thread, with room for a slow one."""
    start = time.process_time()
    assert fastest_precision(CPU) in ("no", "bf16")
    assert time.process_time() - start < 1


def test_the_layout_changes_strides_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv3d(4, 4, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lay_out_channels_last(model)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def rendered_clips(count, num_frames, size=64):
    """Evenly sampled frames of rendered movements, as the processor brings them to a model."""
    clips = []
    for number in range(count):
        emotion = ("happiness", "surprise", "disgust")[number % 3]
        film = render_clip(number, emotion, seed=number, size=size, fps=30, difficulty="medium").frames
        frames = torch.from_numpy(film[torch.linspace(0, len(film) - 1, num_frames).round().long().numpy()])
        clips.append(frames[:, None].float() / 127.5 - 1)
    return torch.stack(clips)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny", "released"])
@torch.inference_mode()
def test_bfloat16_answers_as_single_precision_on_rendered_clips(preset):
    torch.manual_seed(0)
    model = FDPForVideoClassification(FDPConfig.from_preset(preset, num_labels=5)).eval()
    clips = rendered_clips(3, model.config.num_frames)
    exact = model(clips).logits.softmax(-1)
    lay_out_channels_last(model)
    laid_out = model(clips).logits.softmax(-1)
    torch.testing.assert_close(laid_out, exact, atol=1e-4, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(clips).logits.float().softmax(-1)
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, atol=1e-2, rtol=0)
    first, second = exact.topk(2, -1).values.unbind(-1)
    clear = first - second > 2e-2
    assert torch.equal(rounded.argmax(-1)[clear], exact.argmax(-1)[clear])
