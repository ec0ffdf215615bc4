"""Values are taken by one rule; a clip that becomes a little brighter never jumps from one range to another."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from processing_fdp.clip_reading_fdp import open_frames
from processing_fdp.frame_source_fdp import ValueRangeWarning, VideoReadError

RAMP = np.tile(np.linspace(0, 1, 64), (3, 16, 1))


def read(source):
    with open_frames(source) as frames:
        return frames.read(np.arange(frames.frame_count)).astype(int)


def read_or_none(source):
    try:
        return read(source)
    except VideoReadError:
        return None


@given(
    peak=st.floats(0.01, 300), growth=st.floats(1.0, 1.02), kind=st.sampled_from([np.float32, np.float64, np.float16])
)
def test_a_little_brighter_is_a_little_brighter_or_refused(peak, growth, kind):
    before, after = (read_or_none((RAMP * value).astype(kind)) for value in (peak, peak * growth))
    if before is not None and after is not None:
        assert np.abs(before - after).max() <= 2 + 255 * (growth - 1)


@pytest.mark.parametrize("threshold", [1, 1.25, 16, 255, 271])
def test_the_answer_does_not_jump_around_a_threshold(threshold):
    answers = [read_or_none(RAMP * threshold * (1 + step / 1000)) for step in range(-5, 6)]
    means = [answer.mean() for answer in answers if answer is not None]
    assert means and max(means) - min(means) < 3


@pytest.mark.parametrize("peak", [1.0000002, 1.02, 1.1, 1.25])
def test_overshoot_of_unit_floats_is_clipped(peak):
    expected = np.clip(np.rint(RAMP * peak * 255), 0, 255)
    assert np.abs(read((RAMP * peak).astype(np.float32)) - expected).max() <= 1
    under = RAMP * peak - 0.05
    assert read(under).min() == 0 and np.abs(read(under) - np.clip(np.rint(under * 255), 0, 255)).max() <= 1


@pytest.mark.parametrize("peak", [16, 200, 255, 270])
def test_overshoot_of_byte_floats_is_clipped(peak):
    assert np.abs(read(RAMP * peak) - np.clip(np.rint(RAMP * peak), 0, 255)).max() <= 1


@pytest.mark.parametrize(
    "low, high", [(0, 1.3), (0, 8), (0, 15.9), (-1, 1), (-0.2, 0.2), (-3, 3), (0, 300), (-60, 255)]
)
def test_ranges_that_nobody_can_tell_are_refused(low, high):
    with pytest.raises(VideoReadError, match="spans"):
        read(low + RAMP * (high - low))


@pytest.mark.parametrize("highest", [256, 1023, 4095, 65535, -1])
def test_whole_numbers_beyond_a_byte_are_refused(highest):
    with pytest.raises(VideoReadError, match=r"0\.\.255"):
        read(np.rint(RAMP * highest).astype(np.int32))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("highest", [255, 1023, 4095, 4096, 16383, 16384, 40000, 65535])
def test_sixteen_bit_files_are_a_full_range_or_refused(highest, suffix, tmp_path):
    values = np.rint(RAMP * highest).astype(np.uint16)
    for number, frame in enumerate(values):
        Image.fromarray(frame).save(tmp_path / f"{number}.{suffix}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read_or_none(tmp_path)
        in_memory = read_or_none([Image.fromarray(frame) for frame in values])
    assert (found is None) == (in_memory is None) == (highest < 4096)
    if found is not None:
        assert np.abs(found - values / 257).max() <= 1 and np.array_equal(found, in_memory)
        assert (4096 <= highest < 16384) == any(warning.category is ValueRangeWarning for warning in caught)


def test_a_black_first_frame_of_sixteen_bits_says_nothing(tmp_path):
    for number, level in enumerate((0, 30000)):
        Image.fromarray(np.full((8, 8), level, np.uint16)).save(tmp_path / f"{number}.png")
    assert read(tmp_path)[:, 0, 0].tolist() == [0, 117]
