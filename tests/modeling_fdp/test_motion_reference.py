"""The motion reference: known motions are found, the head's are taken off, and nothing else gets in."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modeling_fdp.motion_fdp import (
    affine_motion,
    block_means,
    enlarge,
    motion_behind,
    motion_channels,
    pulse_and_drift,
    resample,
    resample_affine,
    smooth,
    stabilize,
    without_head,
)

GAIN, MOMENTS = 12.0, 4
# Index of the moment in the middle of the clip, of four.
MIDDLE = 1
# Channels: pulse, then drift, of difference, motion to the right, motion downwards.
PULSE, DRIFT = slice(0, 3), slice(3, 6)
# The cell in the middle of `bump`, and one that it does not reach, of a map of 32 x 32.
HERE, THERE = (15, 11), (15, 26)
# Motion over time, from 0 at the first frame.
Course = Callable[[float], float]


def rise_and_fall(time: float) -> float:
    return math.sin(math.pi * time)


def one_way(time: float) -> float:
    return time


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


def affine(side: int) -> torch.Tensor:
    """A head that shifts by a pixel, turns and comes nearer."""
    position = torch.linspace(-0.5, 0.5, side)
    x, y = position.expand(side, side), position[:, None].expand(side, side)
    return torch.stack([1.0 + x - 0.5 * y, -0.5 + 0.5 * x + y]).view(1, 1, 2, side, side)


def moved(picture: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """The picture after its content moved by a flow (resampling reads backwards)."""
    return resample(picture, -flow)


def clip_of(picture: torch.Tensor, *motions: tuple[torch.Tensor, Course], num_frames: int = 16) -> torch.Tensor:
    """A clip (1, num_frames, 1, side, side) in which the picture follows each flow along its course."""
    frames = []
    for index in range(num_frames):
        frame = picture
        for flow, course in motions:
            frame = moved(frame, flow * course(index / (num_frames - 1)))
        frames.append(frame)
    return torch.cat(frames).unsqueeze(0)


def channels(frames: torch.Tensor, num_moments: int = MOMENTS) -> torch.Tensor:
    """(batch_size, num_moments, 6, side / 2, side / 2), as the network sees clips."""
    return motion_channels(stabilize(frames), GAIN, num_moments)


def channels_of(frames: torch.Tensor) -> torch.Tensor:
    """(num_moments, 6, side / 2, side / 2) of a batch of one clip."""
    return channels(frames)[0]


class TestPulseAndDrift:
    @pytest.mark.parametrize("num_frames", [5, 6, 8, 16, 30, 65])
    @pytest.mark.parametrize("num_moments", [2, 4, 7])
    def test_weights_are_those_of_least_squares(self, num_frames: int, num_moments: int) -> None:
        def functions(time: np.ndarray) -> np.ndarray:
            return np.stack([np.ones_like(time), time, np.sin(np.pi * time), np.sin(2 * np.pi * time)], axis=1)

        inverse = np.linalg.pinv(functions(np.linspace(0, 1, num_frames)))
        read = functions(np.arange(1, num_moments + 1) / num_moments)
        pulse, drift = np.asarray(pulse_and_drift(num_frames, num_moments))
        assert pulse.shape == drift.shape == (num_moments, num_frames)
        np.testing.assert_allclose(pulse, read[:, 2:] @ inverse[2:], atol=1e-10)
        np.testing.assert_allclose(drift, read[:, 1:2] @ inverse[1:2], atol=1e-10)

    @pytest.mark.parametrize("num_frames", [5, 8, 16, 30])
    def test_constant_line_and_half_wave_are_told_apart(self, num_frames: int) -> None:
        time, moments = np.linspace(0, 1, num_frames), np.arange(1, 5) / 4
        pulse, drift = np.asarray(pulse_and_drift(num_frames, 4))
        for curve, its_pulse, its_drift in (
            (np.ones(num_frames), np.zeros(4), np.zeros(4)),
            (time, np.zeros(4), moments),
            (np.sin(np.pi * time), np.sin(np.pi * moments), np.zeros(4)),
            (np.sin(2 * np.pi * time), np.sin(2 * np.pi * moments), np.zeros(4)),
            (0.7 - 2 * time + 3 * np.sin(np.pi * time), 3 * np.sin(np.pi * moments), -2 * moments),
        ):
            np.testing.assert_allclose(pulse @ curve, its_pulse, atol=1e-10)
            np.testing.assert_allclose(drift @ curve, its_drift, atol=1e-10)

    def test_more_frames_lower_the_noise(self) -> None:
        noise = [np.linalg.norm(pulse_and_drift(num_frames, 4), axis=-1)[0, MIDDLE] for num_frames in (5, 8, 16, 30)]
        assert noise == sorted(noise, reverse=True) and noise[-1] < 0.6 * noise[0]


class TestOverTime:
    def test_still_clip_is_zero(self) -> None:
        assert channels_of(clip_of(texture(64))).abs().max() < 1e-6

    def test_what_rises_and_falls_is_pulse_and_not_drift(self) -> None:
        seen = channels_of(clip_of(texture(64), (bump(0.0, 1.0, 64), rise_and_fall)))
        down = seen[:, 2]
        assert down[MIDDLE][HERE] > 0.5 and abs(down[MIDDLE][THERE]) < 0.2
        assert 0.3 < down[0][HERE] < down[MIDDLE][HERE] > down[2][HERE] > 0.3 and abs(down[3]).max() < 1e-5
        assert seen[MIDDLE, 0].abs().max() > 0.5, "the difference shows it too"
        assert seen[:, DRIFT].abs().max() < 1e-3

    def test_what_goes_one_way_is_drift_and_not_pulse(self) -> None:
        seen = channels_of(clip_of(texture(64), (bump(0.0, 1.0, 64), one_way)))
        down = seen[:, 5]
        assert down[3][HERE] > 0.5 and (down[:, HERE[0], HERE[1]].diff() > 0.05).all()
        assert seen[:, PULSE].abs().max() < 0.1

    def test_apex_may_lie_early_or_late(self) -> None:
        for shift, course in ((0.3, "early"), (-0.3, "late")):
            motion = (
                bump(0.0, 0.5, 64),
                lambda time, s=shift: rise_and_fall(time) + s * math.sin(2 * math.pi * time),
            )
            down = channels_of(clip_of(texture(64), motion))[:, 2, HERE[0], HERE[1]]
            assert (down[0] > 1.3 * down[2]) if course == "early" else (down[2] > 1.3 * down[0])

    def test_slow_motion_of_the_whole_head_is_in_neither(self) -> None:
        picture, head = texture(64), affine(64)
        seen = channels_of(clip_of(picture, (head, one_way)))
        plain = ((moved(picture, head) - picture) * GAIN).tanh().abs().mean()
        inside = seen[..., 8:24, 8:24].abs().mean((0, 2, 3))
        assert plain > 0.5 and inside[[0, 3]].max() < 0.25 * plain
        assert inside[[1, 2, 4, 5]].max() < 0.1

    def test_expression_is_found_while_the_head_moves(self) -> None:
        motions = (bump(0.0, 1.0, 64), rise_and_fall), (affine(64), one_way)
        seen = channels_of(clip_of(texture(64), *motions))
        assert seen[MIDDLE, 2][HERE] > 0.5 and abs(seen[MIDDLE, 2][THERE]) < 0.2
        assert seen[:, 5, HERE[0], HERE[1]].abs().max() < 0.1

    def test_light_that_changes_slowly_is_drift_and_not_pulse(self) -> None:
        clip = clip_of(0.8 * texture(64)) + torch.linspace(0, 0.08, 16).view(1, 16, 1, 1, 1)
        seen = channels_of(clip)
        assert seen[3, 3].mean() == pytest.approx(math.tanh(0.08 * GAIN), abs=0.02)
        assert seen[:, PULSE].abs().mean() < 0.02

    def test_noise_of_the_first_frame_is_not_repeated_by_all(self) -> None:
        clip = clip_of(texture(64))
        clip[:, 0] += torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(2)) * (4 / 127.5)
        plain = F.avg_pool2d((clip[0, 5] - clip[0, 0]) * GAIN, 2).tanh().abs().mean()
        difference = channels_of(clip)[:, [0, 3]].abs().mean((2, 3))
        assert difference[:, 0].max() < 0.5 * plain and difference[:, 1].max() < 0.75 * plain

    @pytest.mark.parametrize("num_frames", [5, 8, 30])
    def test_number_of_frames_does_not_matter(self, num_frames: int) -> None:
        motions = (bump(0.5, 1.0, 64), rise_and_fall), (affine(64) / 2, one_way)
        picture = texture(64)
        expected = channels_of(clip_of(picture, *motions, num_frames=16))
        seen = channels_of(clip_of(picture, *motions, num_frames=num_frames))
        assert seen.shape == expected.shape == (4, 6, 32, 32) and expected[MIDDLE, 2].max() > 0.5
        assert (seen - expected).abs().mean() < 0.01
        # Bilinear interpolation blurs frames by their fraction of a pixel, which differs between the lengths.
        assert (seen - expected)[:, [1, 2, 4, 5], 4:-4, 4:-4].abs().max() < 0.05

    @pytest.mark.parametrize("num_moments", [2, 3, 8])
    def test_moments_read_the_same_curves(self, num_moments: int) -> None:
        clip = clip_of(texture(64), (bump(0.0, 1.0, 64), rise_and_fall), (affine(64), one_way))
        fine = channels(clip, 24)
        assert torch.allclose(
            channels(clip, num_moments), fine[:, 24 // num_moments - 1 :: 24 // num_moments], atol=1e-4
        )


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.0), (0.0, -0.5), (1.5, 1.0), (-2.5, 0.5)])
def test_known_motion_is_found(x: float, y: float) -> None:
    picture = texture(64)
    flow = motion_behind(picture, moved(picture, constant(x, y, 64)) - picture)
    assert flow.shape == (1, 1, 2, 32, 32), "half the resolution, in pixels of the full frame"
    # The damping holds back what has little texture: a fifth of a short motion.
    error = flow[..., 6:-6, 6:-6] - constant(x, y, 20)
    assert error.norm(dim=2).mean() < 0.25 * math.hypot(x, y)


def test_affine_motion_is_recovered_whole() -> None:
    side = 48
    position = torch.linspace(-0.5, 0.5, side)
    x, y = position.expand(side, side), position[:, None].expand(side, side)
    flow = torch.stack([1.0 + 2.0 * x - 0.5 * y, -0.3 + 0.7 * x + 1.5 * y]).view(1, 1, 2, side, side)
    assert torch.allclose(without_head(flow), torch.zeros_like(flow), atol=1e-5)
    planes = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(resample_affine(planes, affine_motion(flow)), resample(planes, flow), atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_means_over_blocks_are_those_of_average_pooling(size: int) -> None:
    planes = torch.rand(2, 3, 12, 18, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(block_means(planes, size), F.avg_pool2d(planes, size))


def test_half_resolution_is_centred_on_the_full_one() -> None:
    ramp = torch.arange(32.0).expand(1, 1, 32, 32)
    halved = smooth(ramp, 1.5, 2)
    assert halved.shape == (1, 1, 16, 16) and torch.allclose(smooth(ramp, 1.5)[..., 6:-6, 6:-6], ramp[..., 6:-6, 6:-6])
    assert torch.allclose(halved[..., 3:-3], (torch.arange(16.0) * 2 + 0.5).expand(1, 1, 16, 16)[..., 3:-3], atol=1e-4)
    flow = torch.randn(2, 3, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(flow.flatten(0, 1), scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(enlarge(flow), expected.view(2, 3, 2, 32, 32), atol=1e-5)


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize(
    ("shift", "turn", "growth", "remainder"),
    [
        (1, 0.0, 0.0, 0.05),
        (-4, 0.0, 0.0, 0.05),
        # Fractions of a pixel blur, both when the test moves the picture and when it is moved back.
        (1, 0.06, 0.0, 0.3),
        (0, 0.0, 0.06, 0.3),
        (2, -0.04, 0.04, 0.3),
    ],
)
def test_head_is_held_still(side: int, shift: int, turn: float, growth: float, remainder: float) -> None:
    """Shifts in 64ths of the side; turns in radians, growth in parts, about the middle."""
    x = ((torch.arange(side) + 0.5) / side - 0.5).expand(side, side) * side
    flow = torch.stack([shift * side / 64 + growth * x - turn * x.T, growth * x.T + turn * x]).view(
        1, 1, 2, side, side
    )
    clip = clip_of(texture(side), (flow, one_way), num_frames=4)
    still = stabilize(clip)
    assert torch.equal(still[:, 0], clip[:, 0]) and still.dtype == torch.float32
    inside = slice(side // 8, -side // 8)
    before, after = ((frames[0, -1] - frames[0, 0])[:, inside, inside].abs().mean() for frames in (clip, still))
    assert after < remainder * before


def test_a_single_frame_is_still_already() -> None:
    assert torch.equal(stabilize(texture(32)[None]), texture(32)[None])
    with pytest.raises(ValueError, match="multiple of 4"):
        stabilize(torch.zeros(1, 2, 1, 34, 34))


@pytest.mark.parametrize("num_moments", [2, 4])
def test_all_lies_in_range(num_moments: int) -> None:
    frames = torch.rand(2, 5, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    seen = channels(frames, num_moments)
    assert seen.shape == (2, num_moments, 6, 16, 16) and seen.dtype == torch.float32
    assert 0.5 < seen.abs().max() <= 1
    assert seen[:, -1, PULSE].abs().max() < 1e-4, "a pulse is over when the clip is"
    alone = torch.cat([channels(clip[None], num_moments) for clip in frames])
    assert torch.allclose(seen, alone, atol=1e-4), "each clip for itself"


def test_flat_skin_with_noise_keeps_still() -> None:
    noise = torch.randn(1, 8, 1, 64, 64, generator=torch.Generator().manual_seed(2)) * (1.5 / 127.5)
    assert channels_of(noise)[:, [1, 2, 4, 5]].abs().mean() < 0.1


def test_mirrored_clip_gives_mirrored_channels() -> None:
    clip = clip_of(texture(64), (bump(0.8, 0.4, 64), rise_and_fall), (constant(0.5, 0.2, 64), one_way), num_frames=8)
    sign = torch.tensor([1.0, -1.0, 1.0] * 2).view(6, 1, 1)
    assert torch.allclose(channels_of(clip.flip(-1)), channels_of(clip).flip(-1) * sign, atol=1e-3)


def test_size_of_the_picture_does_not_matter() -> None:
    large = clip_of(texture(256), (bump(4.0, 2.0, 256), rise_and_fall), num_frames=8).squeeze(0)
    at = {side: channels_of(F.avg_pool2d(large, 256 // side).unsqueeze(0)) for side in (64, 128, 256)}
    peaks = [float(channels[MIDDLE, 1].max()) for channels in at.values()]
    assert peaks == pytest.approx([peaks[0]] * 3, rel=0.1) and peaks[0] > 0.5
    for side in (128, 256):
        difference = F.avg_pool2d(at[side], side // 64) - at[64]
        # The head's motion, which an expression pulls along a little, is estimated at every size for itself.
        for channel, share in enumerate((0.35, 0.15, 0.2)):
            reach = at[64][:, channel].abs()
            assert difference[:, channel].abs().mean() < share * reach.mean(), (side, channel)
        # The gain of the difference shows every fraction of a pixel by which the head is held; the motion is smooth.
        # Towards the borders, what the head does is extrapolated from the face.
        assert difference[:, 1:3, 4:-4, 4:-4].abs().max() < 0.2 * peaks[0], side
        assert difference[:, DRIFT].abs().max() < 0.01, side


def test_size_of_the_picture_does_not_matter_to_fit_and_flow() -> None:
    """Without a head to hold, every channel is the same at every size, up to the borders."""
    large = clip_of(texture(256), (bump(4.0, 2.0, 256), rise_and_fall), num_frames=8).squeeze(0)
    at = {
        side: motion_channels(F.avg_pool2d(large, 256 // side).unsqueeze(0), GAIN, MOMENTS)[0]
        for side in (64, 128, 256)
    }
    for side in (128, 256):
        difference = (F.avg_pool2d(at[side], side // 64) - at[64]).abs()
        for channel in range(3):
            assert difference[:, channel].mean() < 0.1 * at[64][:, channel].abs().mean(), (side, channel)
        assert difference[:, 1:3].max() < 0.1 * at[64][MIDDLE, 1].max(), side


def test_colours_are_averaged() -> None:
    gray = torch.cat([texture(32, seed) for seed in range(5)]).view(1, 5, 1, 32, 32)
    expected = channels(gray)
    assert torch.allclose(channels(gray.expand(-1, -1, 3, -1, -1)), expected, atol=1e-4)
    tint = torch.tensor([0.2, -0.3, 0.1]).view(1, 1, 3, 1, 1)
    assert torch.allclose(channels(gray + tint), expected, atol=1e-3)


def test_half_precision_around_it_changes_nothing() -> None:
    frames = torch.rand(1, 5, 1, 32, 32, generator=torch.Generator().manual_seed(4)) * 2 - 1
    expected = channels(frames)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(channels(frames), expected)
