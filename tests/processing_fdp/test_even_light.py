"""Even light: gains vanish, movement stays, and frames without light are filled from their neighbours."""

import numpy as np
import pytest
import torch

from processing_fdp.even_light_fdp import even_light, light_warnings
from processing_fdp.video_processing_fdp import FDPVideoProcessor


def clip(num_frames: int = 12, seed: int = 0) -> torch.Tensor:
    """A face of gray levels from 60 to 120 in which a tenth of the pixels gets brighter over time."""
    generator = torch.Generator().manual_seed(seed)
    frames = (60 + 60 * torch.rand(1, 32, 32, generator=generator)).repeat(num_frames, 1, 1)
    frames[:, 12:18, 10:24] += torch.linspace(0, 30, num_frames)[:, None, None]
    return frames


@pytest.mark.parametrize("seed", range(5))
def test_gains_vanish_exactly(seed):
    frames = clip()
    gains = 0.6 + torch.rand(12, generator=torch.Generator().manual_seed(seed))
    ratio = even_light(frames * gains[:, None, None]) / even_light(frames)
    assert (ratio / ratio[0, 0, 0] - 1).abs().max() < 1e-5, "one factor for the whole clip"


def test_evenly_lit_clips_stay_as_they_are():
    assert torch.allclose(even_light(clip()), clip(), atol=1e-4)


def test_what_moves_is_not_taken_for_light():
    frames = clip() * torch.linspace(1, 1.3, 12)[:, None, None]
    even = even_light(frames)
    inside, outside = even[:, 14, 12], even[:, 4, 4]
    assert outside.std() / outside.mean() < 1e-3 and inside[-1] / inside[0] > 1.15


@pytest.mark.parametrize("dropped", [[5], [0], [11], [4, 5], [0, 1, 11]])
def test_frames_without_light_are_filled_from_their_neighbours(dropped):
    frames = clip()
    dark = frames.clone()
    dark[dropped] *= 0.02
    even = even_light(dark)
    kept = [number for number in range(12) if number not in dropped]
    assert torch.allclose(even[kept], frames[kept], atol=0.05)
    expected = np.interp(dropped, kept, frames[kept, 14, 12])
    assert even[dropped, 14, 12].numpy() == pytest.approx(expected, abs=0.1)


def test_a_clip_without_light_is_left_alone():
    frames = torch.zeros(6, 16, 16, dtype=torch.uint8)
    assert torch.equal(even_light(frames), frames.float())


def test_batches_and_bytes_are_taken_and_each_clip_is_for_itself():
    one, other = clip(seed=1), clip(seed=2)
    other[3] *= 0.01
    together = even_light(torch.stack([one, other]).to(torch.uint8))
    assert together.dtype == torch.float32 and together.shape == (2, 12, 32, 32)
    assert torch.equal(together[0], even_light(one.to(torch.uint8)))
    assert torch.equal(together[1], even_light(other.to(torch.uint8)))


def test_the_processor_evens_light_where_it_is_asked_to(tmp_path):
    frames = (clip() * torch.linspace(1, 1.4, 12)[:, None, None]).round().to(torch.uint8).numpy()
    settings = {"num_frames": 12, "size": {"height": 32, "width": 32}}
    plain, even = (FDPVideoProcessor(alignment="none", even_light=value, **settings) for value in (False, True))
    shown = [processor(frames, return_tensors="pt")["pixel_values"][0, :, 0, 4, 4] for processor in (plain, even)]
    assert shown[0].max() - shown[0].min() > 0.2 and shown[1].max() - shown[1].min() < 0.02
    even.save_pretrained(tmp_path)
    assert FDPVideoProcessor.from_pretrained(tmp_path).even_light is True


@pytest.mark.parametrize(
    ("count", "gain", "warned"), [(0, 1.0, False), (2, 0.1, False), (3, 0.1, True), (9, 2.5, True)]
)
def test_replaced_frames_are_said_where_they_are_many(count, gain, warned):
    frames = torch.full((20, 32, 32), 80.0)
    frames[20 - count :] *= gain
    assert [text.split(" frames")[0] for text in light_warnings(frames)] == [f"{count} of the 20"] * warned
