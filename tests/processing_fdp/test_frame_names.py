"""Which files of a folder are frames, and in which order: patterns of names, in any order of the disk."""

import random
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from processing_fdp.clip_reading_fdp import open_frames
from processing_fdp.frame_listing_fdp import IMAGE_SUFFIXES, LeftOutFramesWarning, list_frames, order_frames
from processing_fdp.frame_source_fdp import VideoReadError

TEXT = st.text(st.characters(categories=["L"], exclude_characters="/"), max_size=6)
MARKS = st.sampled_from(["_", "-", " ", ".", "x"])


def shuffled(names, seed):
    names = list(names)
    random.Random(seed).shuffle(names)
    return names


@given(
    prefix=TEXT, mark=MARKS, person=st.integers(0, 999), first=st.integers(0, 300), count=st.integers(2, 40),
    width=st.sampled_from([1, 3, 6]),
    suffix=st.sampled_from(IMAGE_SUFFIXES),
    last=st.sampled_from(["", "_0", "_200fps", "_crop112"]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_the_run_of_digits_that_varies_is_the_frame_number(
    prefix, mark, person, first, count, width, suffix, last, seed
):
    names = [f"{prefix}{person}{mark}{number:0{width}d}{last}{suffix}" for number in range(first, first + count)]
    listing = order_frames(shuffled(names, seed), "folder")
    assert listing.names == names and listing.left_out == []
    # Sub-second decimals aside, which "0.5" may be, every reading agrees on the numbers.
    assert listing.numbers == list(range(first, first + count))


@given(prefix=TEXT, first=st.integers(1, 300), count=st.integers(3, 30), seed=st.integers(0, 99), data=st.data())
def test_copies_and_covers_are_left_out_by_name(prefix, first, count, seed, data):
    names = [f"{prefix}_{number}.jpg" for number in range(first, first + count)]
    original = data.draw(st.sampled_from(names)).removesuffix(".jpg")
    mark = data.draw(
        st.sampled_from(["(1)", " (2)", " - Copy", " - Copy (3)", " (copy)", " copy 2", " 2", "~1", " - 副本"])
    )
    strangers = [f"{original}{mark}.jpg", "cover.png"]
    listing = order_frames(shuffled(names + strangers, seed), "folder")
    assert listing.names == names and listing.left_out == sorted(strangers)


@given(start=st.integers(0, 86_000), count=st.integers(2, 90), rate=st.sampled_from([10, 30]), seed=st.integers(0, 99))
def test_names_of_hours_minutes_seconds_are_in_time_order_or_refused(start, count, rate, seed):
    ticks = range(start * rate, start * rate + count)
    clock = [(t // rate // 3600, t // rate // 60 % 60, t // rate % 60, t % rate) for t in ticks]
    names = [f"face_{h:02d}_{m:02d}_{s:02d}_{f:02d}.png" for h, m, s, f in clock]
    try:
        listing = order_frames(shuffled(names, seed), "folder")
    except VideoReadError as error:
        # Both readings are named, and their order truly differs.
        assert "from left to right" in str(error) and "alone" in str(error)
        assert clock != sorted(clock, key=lambda parts: parts[3]) or len({parts[2] for parts in clock}) > 1
    else:
        assert listing.names == names


@given(first=st.integers(0, 5000), step=st.integers(1, 400), count=st.integers(2, 60))
def test_names_of_seconds_with_decimals_are_in_time_order_or_refused(first, step, count):
    names = [f"t{(first + step * number) / 1000:.3f}.png" for number in range(count)]
    try:
        listing = order_frames(sorted(names, reverse=True), "folder")
    except VideoReadError:
        return
    assert listing.names == names


@pytest.mark.parametrize(
    "names, words",
    [
        (["img9.jpg", "img009.jpg"], ["img009.jpg", "img9.jpg", "share 9"]),
        (["img1.jpg", "img1.png"], ["img1.jpg", "img1.png", "share 1"]),
        (["a.png", "A.png"], ["A.png", "a.png"]),
        (["onset_1.png", "apex_2.png", "offset_3.png"], ["onset_1.png", "apex_2.png", "last number"]),
        (["17_001.png", "3_002.png", "9_003.png"], ["3_002.png", "17_001.png", "alone"]),
        (["t0.7.png", "t0.75.png", "t0.8.png"], ["t0.75.png", "t0.8.png", "decimals"]),
        (["frame.png", "frame2.png", "frame3.png"], ["frame.png", "frame2.png", "has none"]),
        (["cover.png", "img1.png"], ["cover.png", "img1.png", "has none"]),
    ],
)  # fmt: skip
def test_names_of_two_orders_are_refused_with_both(names, words):
    with pytest.raises(VideoReadError) as error:
        order_frames(names, "folder")
    assert all(word in str(error.value) for word in words) and "'folder'" in str(error.value)


def test_names_without_numbers_are_in_natural_order():
    assert order_frames(["b.png", "a.png", "C.png"], "folder").names == ["a.png", "b.png", "C.png"]
    assert order_frames(["b.png", "a.png"], "folder").by_position


def test_folders_and_hidden_files_are_no_frames(tmp_path):
    (tmp_path / "img3.png").mkdir()
    for name in ("img1.png", "img2.png", "._img1.png", "notes4.txt"):
        (tmp_path / name).touch()
    assert list_frames(tmp_path).names == ["img1.png", "img2.png"]


def test_the_reader_says_what_it_left_out(tmp_path):
    for name, level in (("img1.png", 10), ("img2.png", 20), ("img2(1).png", 99), ("cover.png", 99)):
        Image.fromarray(np.full((8, 8), level, np.uint8)).save(tmp_path / name)
    with pytest.warns(LeftOutFramesWarning, match=r"2 images .* left out: 'cover\.png', 'img2\(1\)\.png'"):
        frames = open_frames(tmp_path)
    assert frames.read([0, 1])[:, 0, 0].tolist() == [10, 20] and frames.frame_count == 2
    assert "cover.png" in frames.notes[0]


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [
        ([1, 2, 3, 4], ""),
        ([7], ""),
        ([1, 2, 4, 5], "a gap (2 to 4)"),
        ([1, 2, 5, 6, 7, 8, 11, 12], "2 gaps (2 to 5, 8 to 11)"),
        ([3, 6, 9, 12], ""),
        ([3, 6, 12, 15], "a gap (6 to 12)"),
        # Times in milliseconds, one of them missing.
        ([0, 33, 67, 100, 133], ""),
        ([0, 33, 67, 133, 167], "a gap (67 to 133)"),
    ],
)
def test_the_reader_names_gaps_between_frame_numbers(tmp_path, numbers, gaps):
    for number in numbers:
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / f"img{number:03d}.png")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frames = open_frames(tmp_path)
    assert frames.frame_count == len(numbers)
    assert [str(warning.message) for warning in caught] == frames.notes
    assert len(frames.notes) == bool(gaps) and gaps in "".join(frames.notes)


def test_frames_that_a_sheet_chooses_give_no_warning_of_gaps(tmp_path):
    for number in (1, 2, 5):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / f"img{number}.png")
    assert open_frames(tmp_path, frame_numbers=[0, 1, 2]).notes == []
