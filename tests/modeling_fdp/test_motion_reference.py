"""The motion reference: known motions are found, the head's are taken off, and nothing else gets in."""

import math

import pytest
import torch
from torch.nn import functional as F

from modeling_fdp.motion_reference_fdp import affine_part, motion_channels, motion_since, resample, smooth


def texture(side: int, seed: int = 0) -> torch.Tensor:
    """A smooth random picture, about as rough as a face: (1, 1, side, side) in [-1, 1]."""
    noise = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(seed))
    picture = smooth(noise, side / 40)
    return 0.8 * picture / picture.abs().max()


def constant(x: float, y: float, side: int) -> torch.Tensor:
    return torch.tensor([x, y]).view(1, 1, 2, 1, 1).expand(1, 1, 2, side, side)


def bump(x: float, y: float, side: int) -> torch.Tensor:
    """A motion that fades within a tenth of the side around a point left of the middle."""
    position = torch.arange(side) - (side - 1) / 2
    squared = (position + side / 8).square() + position[:, None].square()
    return constant(x, y, side) * torch.exp(-squared / 2 / (side / 10) ** 2)


def moved(picture: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """The picture after its content moved by a flow (resampling reads backwards)."""
    return resample(picture, -flow)


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.0), (0.0, -0.5), (1.5, 1.0), (-2.5, 0.5)])
def test_known_motion_is_found(x: float, y: float) -> None:
    picture = texture(64)
    flow = motion_since(picture, moved(picture, constant(x, y, 64)))[..., 12:-12, 12:-12]
    # The damping holds back what has little texture: a fifth of a short motion.
    assert (flow - constant(x, y, 40)).norm(dim=2).mean() < 0.25 * math.hypot(x, y)


def test_head_motion_is_taken_off_and_the_local_one_is_left() -> None:
    picture = texture(64)
    still = motion_channels(torch.cat([picture, picture]).view(1, 2, 1, 64, 64), 12.0)
    head = moved(picture, constant(1.0, -0.5, 64))
    carried = motion_channels(torch.cat([picture, head]).view(1, 2, 1, 64, 64), 12.0)
    both = moved(moved(picture, bump(0.0, 1.0, 64)), constant(1.0, -0.5, 64))
    expression = motion_channels(torch.cat([picture, both]).view(1, 2, 1, 64, 64), 12.0)
    assert still.abs().max() < 1e-6
    inside = (slice(None), 1, slice(1, 3), slice(16, 48), slice(16, 48))
    assert carried[inside].abs().mean() < 0.1
    down = expression[0, 1, 2]
    assert down[31, 23] > 0.3 and abs(down[31, 50]) < 0.2
    plain = ((head - picture) * 12).tanh()
    assert carried[0, 1, 0].abs().mean() < 0.5 * plain.abs().mean()


def test_affine_motion_is_recovered_whole() -> None:
    side = 48
    position = torch.linspace(-0.5, 0.5, side)
    x, y = position.expand(side, side), position[:, None].expand(side, side)
    flow = torch.stack([1.0 + 2.0 * x - 0.5 * y, -0.3 + 0.7 * x + 1.5 * y]).view(1, 1, 2, side, side)
    assert torch.allclose(affine_part(flow), flow, atol=1e-5)


def test_first_frame_is_zero_and_all_lies_in_range() -> None:
    frames = torch.rand(2, 5, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    channels = motion_channels(frames, 12.0)
    assert channels.shape == (2, 5, 3, 32, 32) and channels.dtype == torch.float32
    assert not channels[:, 0].any() and channels.abs().max() <= 1


def test_flat_skin_with_noise_keeps_still() -> None:
    noise = torch.randn(1, 2, 1, 64, 64, generator=torch.Generator().manual_seed(2)) * (1.5 / 127.5)
    assert motion_channels(noise, 12.0)[:, 1, 1:].abs().mean() < 0.1


def test_mirrored_clip_gives_mirrored_channels() -> None:
    picture = texture(64)
    clip = torch.cat([picture, moved(picture, bump(0.8, 0.4, 64))]).view(1, 2, 1, 64, 64)
    sign = torch.tensor([1.0, -1.0, 1.0]).view(3, 1, 1)
    assert torch.allclose(motion_channels(clip.flip(-1), 12.0), motion_channels(clip, 12.0).flip(-1) * sign, atol=1e-4)


def test_size_of_the_picture_does_not_matter() -> None:
    large = texture(256)
    clip = torch.cat([large, moved(large, bump(4.0, 0.0, 256))])
    peaks = [
        float(motion_channels(F.avg_pool2d(clip, 256 // side).view(1, 2, 1, side, side), 12.0)[0, 1, 1].max())
        for side in (64, 128, 256)
    ]
    assert peaks == pytest.approx([peaks[0]] * 3, rel=0.1)


def test_colours_are_averaged() -> None:
    gray = torch.cat([texture(32, seed) for seed in range(3)]).view(1, 3, 1, 32, 32)
    assert torch.allclose(
        motion_channels(gray.expand(-1, -1, 3, -1, -1), 12.0), motion_channels(gray, 12.0), atol=1e-4
    )


def test_half_precision_around_it_changes_nothing() -> None:
    frames = torch.rand(1, 4, 1, 32, 32, generator=torch.Generator().manual_seed(4)) * 2 - 1
    expected = motion_channels(frames, 12.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(motion_channels(frames, 12.0), expected)
