"""How far the movement has come in each sampled frame, as far as the sheet tells, and what it teaches."""

import numpy as np
import pytest
import torch

from modeling_fdp import FDPConfig
from training_fdp.data.clips import Clip
from training_fdp.data.windows import progress
from training_fdp.methods.fdp import FDPMethod
from training_fdp.methods.fdp_options import FDPOptions

FRAMES = torch.zeros(21, 64, 64, dtype=torch.uint8)
INDICES = np.arange(0, 21, 2)


def targets(**key_frames: int | None) -> torch.Tensor:
    config = FDPConfig.from_preset("tiny", reference="movement_patterns")
    clip = Clip("c", "s", FRAMES, 0, **key_frames)
    return FDPMethod(FDPOptions()).targets(clip, INDICES, config, lambda frames: frames / 127.5 - 1)[
        "progress_targets"
    ]


def test_sampled_frames_have_the_progress_of_their_places():
    found = targets(onset=4, apex=10, offset=16)
    assert torch.equal(found, torch.from_numpy(progress(INDICES, 4, 10, 16)))
    assert found[5] == 1 and found[:3].abs().max() == 0 and found[8:].abs().max() == 0


@pytest.mark.parametrize(
    ("key_frames", "known"),
    [
        ({"onset": 4, "apex": None, "offset": 16}, []),
        ({"onset": 4, "apex": 10, "offset": None}, [0, 1, 2, 3, 4, 5]),
        ({"onset": None, "apex": 10, "offset": 16}, [5, 6, 7, 8, 9, 10]),
    ],
)
def test_what_the_sheet_does_not_tell_is_not_taught(key_frames, known):
    assert (~targets(**key_frames).isnan()).nonzero().flatten().tolist() == known


def test_other_references_keep_the_order_in_time():
    clip = Clip("c", "s", FRAMES, 0, onset=4, apex=10, offset=16)
    method = FDPMethod(FDPOptions())
    assert "progress_targets" not in method.targets(clip, INDICES, FDPConfig.from_preset("tiny"), torch.Tensor.float)
