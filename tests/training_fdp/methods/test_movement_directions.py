"""The directions at which the movement scorer starts: what they find, and the file that holds them."""

import shutil
from pathlib import Path

import pytest
import torch

from modeling_fdp import movement_directions_fdp
from modeling_fdp.motion_fdp import resample, smooth
from modeling_fdp.movement_directions_fdp import MOTION_SIZE, NUM_DIRECTIONS, SCALES, VALUES, fitted_directions
from training_fdp.methods.movement_directions import Recording, fit_directions, motion_of, write_directions

SIDE, FRAMES, ONSET, APEX, OFFSET = 64, 40, 14, 20, 26


def bump(x: float, y: float) -> torch.Tensor:
    """Motion of one pixel at (x, y) of the side: downwards within a tenth of it."""
    place = (torch.arange(SIDE) + 0.5) / SIDE
    weight = torch.exp(-((place - x).square() + (place[:, None] - y).square()) / 2 / 0.1**2)
    return torch.stack([torch.zeros_like(weight), weight])


def recording(seed: int) -> Recording:
    """A muscle at the left moves at the apex; something at the right wanders all the time, four times as far."""
    generator = torch.Generator().manual_seed(seed)
    face = smooth(torch.randn(1, 1, SIDE, SIDE, generator=generator), SIDE / 40)
    time = torch.arange(FRAMES)
    event = torch.exp(-((time - APEX) / 2.5).square())
    wander = 2 * torch.sin(time / 5 + 6 * torch.rand(1, generator=generator))
    flow = event.view(-1, 1, 1, 1) * 0.7 * bump(0.3, 0.6) + wander.view(-1, 1, 1, 1) * bump(0.75, 0.4)
    frames = resample((0.7 * face / face.abs().max()).expand(1, FRAMES, SIDE, SIDE), -flow[None])[0]
    return Recording(frames, ONSET, APEX, OFFSET)


@pytest.fixture(scope="module")
def directions():
    return fit_directions([[recording(seed) for seed in range(6)]], count=2)


def test_they_see_the_event_and_not_what_wanders(directions):
    ratios = []
    for seed in range(6, 9):
        one = recording(seed)
        motion = motion_of(one.frames)
        seen = motion @ directions[0]
        quiet = torch.cat([seen[: ONSET - 3], seen[OFFSET + 3 :]])
        ratios.append((seen[APEX] - seen[[ONSET, OFFSET]].mean()).abs() / quiet.std())
        plain = motion.norm(dim=1)
        assert plain[: ONSET - 3].max() > 0.5 * plain[APEX], "the wandering is as large, unless directions are chosen"
    assert min(ratios) > 4


def test_corpora_count_alike_however_large_they_are():
    one, other = [recording(seed) for seed in range(3)], [recording(seed) for seed in range(3, 5)]
    once, thrice = fit_directions([one, other], count=2), fit_directions([one * 3, other], count=2)
    assert torch.cosine_similarity(once, thrice).abs().min() > 0.999


def test_without_a_quiet_stretch_they_cannot_be_fitted():
    whole = recording(0)
    trimmed = Recording(whole.frames[ONSET : OFFSET + 1], 0, APEX - ONSET, OFFSET - ONSET)
    with pytest.raises(ValueError, match="quiet frames"):
        fit_directions([[trimmed]])


def test_written_directions_are_read_again_to_a_percent(tmp_path):
    path = tmp_path / "copy.py"
    shutil.copy(movement_directions_fdp.__file__, path)
    wanted = torch.randn(NUM_DIRECTIONS, MOTION_SIZE, generator=torch.Generator().manual_seed(0)) * 3
    for _ in range(2):
        write_directions(wanted, path)
        names: dict = {}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
        assert ((names["fitted_directions"]() - wanted).norm(dim=1) / wanted.norm(dim=1)).max() < 0.02
    write_directions(fitted_directions(), path)
    assert path.read_text(encoding="utf-8") == Path(movement_directions_fdp.__file__).read_text(encoding="utf-8")
    assert max(len(line) for line in path.read_text(encoding="utf-8").splitlines()) <= 119
    assert len(SCALES) == NUM_DIRECTIONS and len(VALUES) == NUM_DIRECTIONS * MOTION_SIZE * 5 // 4
