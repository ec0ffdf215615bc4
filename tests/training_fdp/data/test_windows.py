"""Windows for training: every kind holds what it says, any recording has one, and the light is a gain per frame."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training_fdp.data.windows import (
    LEAST_FRAMES,
    WINDOW_KINDS,
    Movement,
    draw_gain,
    draw_window,
    light_up,
    progress,
)

LONG = Movement(total=90, onset=30, apex=40, offset=55)


@st.composite
def movements(draw):
    total = draw(st.integers(4, 120))
    onset, apex, offset = sorted(draw(st.lists(st.integers(0, total - 1), min_size=3, max_size=3)))
    return Movement(total, onset, apex, offset)


@given(movements(), st.sampled_from(list(WINDOW_KINDS)), st.integers(0, 2**16))
@settings(max_examples=300, deadline=None)
def test_every_window_lies_in_its_recording(move, kind, seed):
    window = draw_window(move, np.random.default_rng(seed), (kind,))
    assert window.numbers.min() >= 0 and window.numbers.max() < move.total and len(window.numbers) >= LEAST_FRAMES
    assert window.moves == (window.kind != "nothing") and window.kind in (kind, "trimmed")
    again = draw_window(move, np.random.default_rng(seed), (kind,))
    assert np.array_equal(again.numbers, window.numbers), "the generator decides"


def drawn(kind, count=200, move=LONG):
    return [draw_window(move, np.random.default_rng(seed), (kind,)).numbers for seed in range(count)]


def test_shares_are_those_that_are_named():
    kinds = [draw_window(LONG, np.random.default_rng(seed)).kind for seed in range(4000)]
    for kind, (share, _) in WINDOW_KINDS.items():
        assert kinds.count(kind) / len(kinds) == pytest.approx(share, abs=0.02)
    assert sum(share for share, _ in WINDOW_KINDS.values()) == pytest.approx(1)


def test_a_rise_ends_near_the_apex_and_a_fall_starts_there():
    # The last frame of a thinned rise lies up to a step of seven frames before its end.
    assert all(numbers.max() <= 30 + 1.15 * 10 + 1 for numbers in drawn("rise"))
    assert all(numbers.min() >= 40 - 0.15 * 15 - 1 for numbers in drawn("fall"))


def test_nothing_shows_quiet_frames_on_both_sides_of_the_movement():
    before, after = 0, 0
    for numbers in drawn("nothing"):
        assert (numbers < 30).all() or (numbers > 55).all()
        before, after = before + (numbers < 30).all(), after + (numbers > 55).all()
    assert min(before, after) > 50
    tight = Movement(total=20, onset=0, apex=8, offset=19)
    assert draw_window(tight, np.random.default_rng(0), ("nothing",)).kind == "trimmed", "there is no quiet stretch"


def test_twice_shows_the_apex_twice_and_held_shows_it_long():
    whole = [numbers for numbers in drawn("twice") if len(numbers) > 52]
    assert whole and all((np.sort(numbers) == 40).sum() == 2 for numbers in whole)
    assert max((abs(numbers - 40) <= 1).sum() for numbers in drawn("held at the apex")) > 10


def test_some_are_played_backwards_and_nearly_half_are_thinned():
    windows = drawn("whole recording", 2000)
    assert np.mean([numbers[0] > numbers[-1] for numbers in windows]) == pytest.approx(0.08, abs=0.02)
    assert np.mean([abs(numbers[1] - numbers[0]) > 1 for numbers in windows]) == pytest.approx(0.45, abs=0.04)


def test_progress_rises_to_the_apex_and_falls_to_rest():
    course = progress(np.arange(90), 30, 40, 55)
    assert course.dtype == np.float32 and course[40] == 1
    assert (course[:31] == 0).all() and (course[55:] == 0).all()
    assert (np.diff(course[30:41]) > 0).all() and (np.diff(course[40:56]) < 0).all()
    assert course[35] == pytest.approx(0.5)
    assert np.array_equal(progress(np.array([40, 30, 50]), 30, 40, 55), course[[40, 30, 50]])


@pytest.mark.parametrize("key_frames", [(10, 5, 20), (0, 5, 30), (-1, 5, 20)])
def test_key_frames_out_of_order_are_refused(key_frames):
    with pytest.raises(ValueError, match="coding sheet"):
        Movement(30, *key_frames)


def test_light_changes_in_a_third_and_is_black_rarely():
    gains = [draw_gain(24, np.random.default_rng(seed)) for seed in range(2000)]
    dark = np.array([gain.min() < 0.5 for gain in gains])
    lit = np.array([np.ptp(gain[gain > 0.5]) > 0 for gain in gains])
    assert dark.mean() == pytest.approx(0.04, abs=0.015) and lit.mean() == pytest.approx(0.35, abs=0.04)
    bright = np.concatenate([gain for gain, black in zip(gains, dark, strict=True) if not black])
    assert bright.min() > 0.74 and bright.max() < 1.26


def test_light_is_a_factor_per_frame():
    frames = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    lit = light_up(frames, np.array([0.5, 1.0, 3.0], np.float32))
    assert lit.dtype == torch.uint8 and lit[:, 0, 0].tolist() == [50, 100, 255]
