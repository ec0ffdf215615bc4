"""benchmarks windows: what each disturbance shows, and that its figures are those of the clips that were answered."""

import numpy as np
import pytest

from benchmarks.disturbances import CROPS, DISTURBANCES, LIGHT, NOTHING_MOVES, WINDOWS, Recording, moved
from benchmarks.windows import judge, table

NUM_FRAMES, ONSET, APEX, OFFSET = 60, 20, 28, 40


def recording(number: int = 0, label: int = 0, subject: str = "s") -> Recording:
    """Frame t is t gray levels plus a fixed pattern: what is shown can be read off its mean."""
    pattern = np.random.default_rng(number).integers(80, 90, (32, 32), dtype=np.uint8)
    frames = np.arange(NUM_FRAMES, dtype=np.uint8)[:, None, None] + pattern
    crops = {"as trained": frames, **dict.fromkeys(CROPS, frames)}
    return Recording(f"c{number}", subject, label, ONSET, APEX, OFFSET, 60.0, crops)


def shown(name: str) -> list[int]:
    """Numbers of the frames that a window shows."""
    return WINDOWS[name](recording(), np.random.default_rng(0)).tolist()


@pytest.mark.parametrize("name", DISTURBANCES)
def test_every_row_shows_frames_of_the_recording_and_leaves_it_alone(name):
    whole = recording()
    before = whole.frames.copy()
    frames = DISTURBANCES[name](whole, np.random.default_rng(1))
    assert frames.dtype == np.uint8 and frames.shape[1:] == (32, 32) and len(frames) >= 4
    assert np.array_equal(whole.frames, before)
    again = DISTURBANCES[name](whole, np.random.default_rng(1))
    assert np.array_equal(frames, again), "the same generator gives the same clip"


@pytest.mark.parametrize(
    ("name", "first", "last", "count"),
    [
        ("trimmed", 20, 40, 21),
        ("50% neutral on both sides", 10, 50, 41),
        ("50% neutral before", 10, 40, 31),
        ("whole recording", 0, 59, 60),
        ("onset to apex", 20, 28, 9),
        ("apex to offset", 28, 40, 13),
        ("first third of the rise", 20, 23, 4),
        ("25% to offset", 25, 40, 16),
        ("backwards", 40, 20, 21),
        ("30 fps", 20, 40, 11),
        ("8 fps", 20, 36, 4),
        ("every frame doubled", 20, 40, 42),
        ("lasts as CASME II's shortest", 20, 40, 8),
        ("lasts as CASME II's longest", 20, 40, 43),
    ],
)
def test_windows_hold_the_frames_that_their_names_say(name, first, last, count):
    numbers = shown(name)
    assert (numbers[0], numbers[-1], len(numbers)) == (first, last, count)


def test_there_and_back_is_the_same_from_both_ends():
    numbers = shown("onset to apex, there and back")
    assert numbers == numbers[::-1] and max(numbers) == APEX and numbers.count(APEX) == 1


def test_two_events_show_the_movement_twice_with_a_pause():
    numbers = shown("two events")
    assert numbers.count(APEX) == 2 and max(numbers) > OFFSET


def test_an_early_apex_comes_early_and_a_held_one_stays():
    early = shown("apex at 12%")
    assert len(early) == 21 and abs(early.index(APEX) - 0.12 * 20) <= 1
    assert sum(abs(number - APEX) <= 1 for number in shown("apex held for half the clip")) > 20


def test_light_changes_brightness_alone():
    frames = recording().frames[ONSET : OFFSET + 1]
    pulse = LIGHT["exposure rises and falls by 8%"](recording(), np.random.default_rng(0))
    ratio = pulse.mean((1, 2)) / frames.mean((1, 2))
    assert ratio[[0, -1]] == pytest.approx(1, abs=0.01) and ratio[10] == pytest.approx(1.08, abs=0.01)
    first = LIGHT["first frame 20% brighter"](recording(), np.random.default_rng(0))
    assert np.array_equal(first[1:], frames[1:]) and first[0].mean() == pytest.approx(1.2 * frames[0].mean(), rel=0.01)
    black = LIGHT["one black frame"](recording(), np.random.default_rng(0)).mean((1, 2))
    assert sorted(black)[0] < 5 < 50 < sorted(black)[1]


def test_moved_frames_are_the_same_picture_elsewhere():
    frames = np.random.default_rng(0).integers(0, 255, (1, 32, 32), dtype=np.uint8)
    shifted = moved(frames, np.array([[2 / 32, -3 / 32]]))
    assert np.array_equal(shifted[0, :-3, 2:], frames[0, 3:, :-2])


def test_nothing_moves_in_the_rows_that_say_so():
    pattern = recording().frames[0].mean()
    shown = {
        name: np.rint(disturb(recording(), np.random.default_rng(0)).mean((1, 2)) - pattern)
        for name, disturb in NOTHING_MOVES.items()
    }
    quiet, joined = shown["quiet stretch"], shown["quiet stretches, joined"]
    assert (quiet < ONSET).all() or (quiet > OFFSET).all()
    assert len(joined) > len(quiet) and ((joined < ONSET) | (joined > OFFSET)).all()
    assert min(joined) < ONSET and max(joined) > OFFSET
    slow = shown["quiet stretch, 8 fps"]
    assert len(slow) < len(quiet) and set(slow) <= set(quiet)
    marked = recording()
    marked.frames[ONSET : OFFSET + 1] = 0
    for name in ("exposure drifts by 10%", "shadow of 5% on half the face", "head slides by 4 px"):
        changed = NOTHING_MOVES[f"quiet stretch, {name}"](marked, np.random.default_rng(0))
        plain = NOTHING_MOVES["quiet stretch"](marked, np.random.default_rng(0))
        assert changed.shape == plain.shape and not np.array_equal(changed, plain)
        assert changed.mean((1, 2)).min() > 0, "no frame of the movement"


def test_figures_are_those_of_the_answers():
    recordings = [recording(number, label=number % 2, subject=f"s{number // 2}") for number in range(8)]
    pictures = {rec.frames[0].tobytes(): rec.label for rec in recordings}

    def answer(clips):
        """Right for whole recordings, class 0 for anything else."""
        chosen = [pictures[clip[0].tobytes()] if len(clip) == NUM_FRAMES else 0 for clip in clips]
        return np.eye(2)[chosen] * 0.6 + 0.2

    rows = judge(answer, recordings, 2, ["whole recording", "onset to apex", "quiet stretch"])
    assert list(rows) == ["trimmed", "whole recording", "onset to apex", "quiet stretch"]
    assert rows["whole recording"]["uf1"] == rows["whole recording"]["accuracy"] == 1
    assert rows["trimmed"]["uf1"] == pytest.approx((2 * 4 / 12) / 2), "one class right in half the clips, one never"
    assert rows["whole recording"]["change"] == pytest.approx(1 - 1 / 3)
    assert rows["onset to apex"]["change"] == 0 and "change" not in rows["trimmed"]
    low, high = rows["whole recording"]["interval"]
    assert low <= rows["whole recording"]["change"] <= high
    assert "uf1" not in rows["quiet stretch"] and rows["quiet stretch"]["confidence"] == pytest.approx(0.8)
    lines = table(rows).splitlines()
    assert len(lines) == 6 and lines[3].startswith("| whole recording | 1.000 | 1.000 | 0.80 | +0.667 |")
