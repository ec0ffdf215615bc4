"""Times that a caller gives are used, and what makes an answer doubtful is said."""

import numpy as np
import pytest
from transformers.video_utils import VideoMetadata

from processing_fdp.clip_metadata_fdp import FrameTimes, clip_warnings, frames_at_rate, read_times, spread_over_times
from processing_fdp.video_processing_fdp import FDPVideoProcessor

CLIP = np.random.default_rng(0).integers(0, 256, (20, 64, 64), dtype=np.uint8)
PROCESSOR = FDPVideoProcessor(num_frames=5, alignment="none", return_metadata=True)


def answer(clip=CLIP, **given):
    return PROCESSOR(clip, **given)["video_metadata"]


@pytest.mark.parametrize("form", [dict, lambda **given: VideoMetadata(**given)])
@pytest.mark.parametrize("nest", [lambda one: one, lambda one: [one], lambda one: [[one]]])
def test_metadata_may_be_a_dict_or_an_object_nested_or_flat(form, nest):
    (info,) = answer(video_metadata=nest(form(total_num_frames=20, fps=100)))
    assert (info.fps, info.total_num_frames, info.duration) == (100, 20, 0.2)
    assert info.frames_indices == [0, 5, 10, 14, 19]
    both = answer([CLIP, CLIP], video_metadata=[form(total_num_frames=20, fps=100), form(total_num_frames=20, fps=50)])
    assert [info.fps for info in both] == [100, 50]


def test_frames_of_a_recording_with_gaps_are_chosen_evenly_in_time():
    numbers = [*range(100, 110), *range(190, 200)]
    (info,) = answer(video_metadata={"fps": 200, "frames_indices": numbers, "total_num_frames": 400})
    assert info.frames_indices == [100, 109, 109, 190, 199] or info.frames_indices == [100, 109, 190, 190, 199]
    assert info.total_num_frames == 400 and info.timestamps[0] == 0.5
    # Without gaps, and in strides, nothing changes.
    (plain,) = answer()
    (strided,) = answer(video_metadata={"fps": 200, "frames_indices": list(range(0, 60, 3))})
    assert strided.frames_indices == [3 * index for index in plain.frames_indices]


def test_key_frames_are_kept_where_frames_are_missing():
    times = FrameTimes(100, np.array([0, 1, 2, 10, 20, 21, 22, 40]))
    chosen = PROCESSOR.sample_indices(8, 5, onset_index=1, apex_index=4, offset_index=7, times=times)
    assert chosen[0] == 1 and chosen[-1] == 7 and 4 in chosen and (np.diff(chosen) >= 0).all()
    assert spread_over_times(np.array([2.0, 2.0]), times).tolist() == [2, 2]


@pytest.mark.parametrize("rate, count", [(50, 10), (25, 5), (100, 20), (1, 1)])
def test_frames_per_second_choose_how_many(rate, count):
    (info,) = answer(fps=rate, video_metadata={"fps": 100})
    assert len(info.frames_indices) == count
    metadata = VideoMetadata(total_num_frames=20, fps=100)
    assert PROCESSOR.sample_frames(metadata, fps=rate).tolist() == info.frames_indices
    assert frames_at_rate(20, FrameTimes(100), rate, "clip") == count


@pytest.mark.parametrize(
    "given, words",
    [
        ({"fps": 10}, "needs the times"),
        ({"fps": 200, "video_metadata": {"fps": 100}}, "not invented"),
        ({"fps": 10, "num_frames": 5, "video_metadata": {"fps": 100}}, "leave one out"),
        ({"fps": -1, "video_metadata": {"fps": 100}}, "fps must be a number above 0"),
        ({"video_metadata": {"fps": 0}}, "fps must be a number above 0"),
        ({"video_metadata": {"total_num_frames": 21}}, "total_num_frames"),
        ({"video_metadata": {"frames_indices": [1, 2]}}, "frames_indices"),
        ({"video_metadata": {"frames_indices": list(range(20, 0, -1))}}, "frames_indices"),
        ({"video_metadata": {"frames_indices": list(range(20)), "total_num_frames": 12}}, "total_num_frames"),
        ({"video_metadata": [{"fps": 1}, {"fps": 2}]}, "one entry per clip"),
        ({"video_metadata": ["30 fps"]}, "convert them"),
    ],
)
def test_impossible_times_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        answer(**given)


def test_duration_tells_the_rate():
    assert read_times({"duration": 4.0}, 20, None, "clip").frames_per_second == 5
    assert read_times({"duration": 4.0}, 20, 30.0, "clip").frames_per_second == 5
    assert read_times(None, 20, 30.0, "clip").frames_per_second == 30


@pytest.mark.parametrize(
    "count, rate, size_hw, words",
    [
        (60, 200.0, (120, 100), []),
        (60, None, (120, 100), []),
        (15, 30.0, (32, 40), []),
        (1800, 30.0, (120, 100), ["lasts 60.0 s"]),
        (12000, None, (120, 100), ["has 12000 frames"]),
        (8, 8.0, (120, 100), ["8 frames per second"]),
        (480, 8.0, (20, 24), ["lasts 60.0 s", "8 frames per second", "24 x 20 pixels"]),
        (1, None, (120, 100), ["single frame"]),
    ],
)
def test_what_makes_an_answer_doubtful_is_said(count, rate, size_hw, words):
    said = clip_warnings(count, FrameTimes(rate), size_hw, (64, 64))
    assert len(said) == len(words) and all(word in text for word, text in zip(words, said, strict=True))


def test_warnings_stand_in_the_metadata_of_the_clip(write_video, barcode_frames, tmp_path):
    path = write_video(tmp_path / "slow.avi", barcode_frames(8, 24, 24), rate=8)
    (info,) = answer(path)
    assert len(info.warnings) == 2 and "8 frames per second" in info.warnings[0] and "24 x 24" in info.warnings[1]
    assert [text for one in answer(CLIP) for text in one.warnings] == []
