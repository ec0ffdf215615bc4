"""Dynamic images: the weights and their identities, the scales, the phases, gradients."""

import pytest
import torch

from modeling_fdp import dynamic_image, dynamic_image_phases, rank_pooling_weights
from modeling_fdp.dynamic_image_fdp import phase_weights


def test_weights_for_eight_frames_are_the_published_ones():
    expected = torch.tensor([-8.461, -1.461, 1.039, 2.039, 2.289, 2.089, 1.589, 0.875])
    assert torch.allclose(rank_pooling_weights(8), expected, atol=1e-3)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 8, 16, 65])
def test_closed_form_equals_the_sum_form(num_frames):
    total = torch.tensor(
        [sum((2 * i - num_frames - 1) / i for i in range(n, num_frames + 1)) for n in range(1, num_frames + 1)]
    )
    weights = rank_pooling_weights(num_frames)
    assert torch.allclose(weights, total, atol=1e-4)
    assert abs(float(weights.sum())) < 1e-3


@pytest.mark.parametrize("num_frames", [2, 5, 8])
def test_weights_on_frames_equal_pairwise_differences_of_running_means(num_frames):
    frames = torch.randn(num_frames, generator=torch.Generator().manual_seed(num_frames))
    means = torch.stack([frames[: t + 1].mean() for t in range(num_frames)])
    pairs = sum(means[q] - means[t] for q in range(num_frames) for t in range(q))
    assert torch.allclose((rank_pooling_weights(num_frames) * frames).sum(), pairs, atol=1e-4)


def test_weights_lie_on_the_device_asked_for():
    assert rank_pooling_weights(8, device="meta").device.type == "meta"


def test_no_frames_is_refused():
    with pytest.raises(ValueError, match="num_frames=0"):
        rank_pooling_weights(0)


def test_still_clip_is_gray_and_brightness_does_not_matter(clips):
    still = clips(num_frames=1).repeat(1, 8, 1, 1, 1)
    assert torch.allclose(dynamic_image(still), torch.full((2, 1, 64, 64), 0.5), atol=1e-5)
    assert torch.allclose(dynamic_image(still, normalization="min_max"), torch.full((2, 1, 64, 64), 0.5))
    moving = clips() * 0.5
    assert torch.allclose(dynamic_image(moving), dynamic_image(moving + 0.2), atol=1e-4)


def test_signed_scale_is_fixed_and_reversal_flips_a_two_frame_clip():
    clip = torch.zeros(1, 2, 1, 1, 2)
    clip[0, 1, 0, 0, 0] = 0.1
    brighter = dynamic_image(clip, gain=8.0)
    # 0.1 of [-1, 1] is 0.05 of [0, 1]; half of 8 times that above gray.
    assert torch.allclose(brighter, torch.tensor([[[[0.7, 0.5]]]]), atol=1e-6)
    assert torch.allclose(dynamic_image(clip.flip(1)), 1 - brighter, atol=1e-6)


def test_min_max_fills_the_range_and_quantises_downwards(clips):
    image = dynamic_image(clips(), normalization="min_max")
    assert torch.equal(image.amin((1, 2, 3)), torch.zeros(2)) and torch.equal(image.amax((1, 2, 3)), torch.ones(2))
    levels = dynamic_image(clips(), normalization="min_max", quantize=True) * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert torch.equal(levels.round(), (image * 255).floor())
    with pytest.raises(ValueError, match="'max'"):
        dynamic_image(clips(), normalization="max")


def test_batches_equal_single_clips_and_half_precision_is_close(clips):
    batch = clips(3)
    for normalization in ("signed", "min_max"):
        single = torch.cat([dynamic_image(clip[None], normalization=normalization) for clip in batch])
        assert torch.allclose(dynamic_image(batch, normalization=normalization), single, atol=1e-6)
    half = dynamic_image(batch.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    assert (half.float() - dynamic_image(batch)).abs().mean() < 0.02


def test_gradients_are_those_of_finite_differences():
    clip = (torch.rand(1, 4, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.02).float()
    clip.requires_grad_(True)
    for normalization in ("signed", "min_max"):
        (gradient,) = torch.autograd.grad(dynamic_image(clip, normalization=normalization).square().sum(), clip)
        step = torch.zeros_like(clip)
        step[0, 1, 0, 1, 1] = 1e-3
        with torch.no_grad():
            up = dynamic_image(clip + step, normalization=normalization).square().sum()
            down = dynamic_image(clip - step, normalization=normalization).square().sum()
        assert float(gradient[0, 1, 0, 1, 1]) == pytest.approx(float((up - down) / 2e-3), rel=0.05, abs=1e-2)


def test_phases_are_the_images_of_the_parts(clips):
    frames = clips(3)
    apex_index = torch.tensor([0, 4, 7])
    phases = dynamic_image_phases(frames, apex_index)
    assert phases.shape == (3, 2, 1, 64, 64)
    assert torch.allclose(phases[1, 0], dynamic_image(frames[1, :5]), atol=1e-5)
    assert torch.allclose(phases[1, 1], dynamic_image(frames[1, 4:]), atol=1e-5)
    assert torch.allclose(phases[0, 0], torch.full((1, 64, 64), 0.5)), "an empty phase says no motion"
    assert torch.allclose(phases[0, 1], dynamic_image(frames[0]), atol=1e-5)
    assert torch.allclose(phases[2, 1], torch.full((1, 64, 64), 0.5))


def test_a_rise_and_fall_cancels_over_the_clip_but_not_over_its_phases():
    height = torch.tensor([0.0, 0.05, 0.1, 0.15, 0.15, 0.1, 0.05, 0.0])
    clip = height.view(1, 8, 1, 1, 1).expand(1, 8, 1, 4, 4)
    whole = (dynamic_image(clip) - 0.5).abs().mean()
    rise, fall = (dynamic_image_phases(clip, torch.tensor([3]))[0] - 0.5).mean((1, 2, 3))
    assert rise > whole and fall < 0


@pytest.mark.parametrize("apex", [-1, 8])
def test_apex_outside_the_clip_is_refused(clips, apex):
    with pytest.raises(ValueError, match=rf"8 frames .*{apex}"):
        dynamic_image_phases(clips(1), torch.tensor([apex]))


def test_phase_weights_are_zero_outside_their_span():
    weights = phase_weights(torch.tensor([2]), torch.tensor([5]), 8)
    assert torch.equal(weights[0] != 0, torch.tensor([False, False, True, True, True, True, False, False]))
    assert torch.allclose(weights[0, 2:6], rank_pooling_weights(4), atol=1e-5)
