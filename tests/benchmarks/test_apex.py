"""The error of estimated apexes: shares by hand, and that clips without an apex are left out."""

from types import SimpleNamespace

import numpy as np
import torch

from benchmarks.apex import apex_places
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.clips import Clip


def clip(apex, total=21):
    """A square that is brightest in frame 8."""
    time = np.arange(total)
    frames = np.full((total, 24, 24), 90)
    frames[:, 8:16, 8:16] += np.rint(80 * np.minimum(time / 8, (total - 1 - time) / 12)).astype(int)[:, None, None]
    return Clip("c", "s", torch.from_numpy(frames.astype(np.uint8)), 0, 0, apex, total - 1)


def test_the_error_is_a_share_of_the_clip_and_clips_without_an_apex_are_left_out():
    processor = FDPVideoProcessor(alignment="none", num_frames=21, size={"height": 24, "width": 24})
    prepared = SimpleNamespace(
        clips=[clip(8), clip(None), clip(0), clip(12)], processor=processor, network=SimpleNamespace(num_frames=21)
    )
    places = apex_places(prepared)
    np.testing.assert_allclose(places[:, [0, 2]], [[0.4, 20], [0.6, 20]])
    np.testing.assert_allclose(places[:, 1], [0.4, 0.4], atol=0.051)
