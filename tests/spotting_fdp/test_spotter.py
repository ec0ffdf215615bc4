"""The spotter on rendered recordings, and its memory."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation_fdp.spotting import Expression, iou_of_intervals
from processing_fdp import FDPVideoProcessor, frame_source_fdp
from processing_fdp.frame_source_fdp import VideoReadError
from spotting_fdp import Recognition, Spotter
from spotting_fdp.face_stream import CropSettings
from spotting_fdp.spotter import SpottedExpression

ROOT = Path(__file__).resolve().parents[2]


class EchoRecognizer:
    """Remembers what it was shown."""

    crop = CropSettings((48, 48), 2.5)

    def __init__(self):
        self.calls = []

    def recognize(self, crops, fps, talking):
        self.calls.append((crops.shape, crops.dtype, fps, talking))
        return Recognition("surprise", 0.9, {"surprise": 0.9}, {"1": 0.8})


@pytest.fixture(scope="module")
def result(clip):
    recognizer = EchoRecognizer()
    done = []
    spotter = Spotter(1.0, recognizer)
    result = spotter.spot(clip.frames, fps=60.0, progress=lambda frame, total: done.append((frame, total)))
    return result, recognizer, done


def test_the_expression_of_a_rendered_recording_is_found_and_named(clip, result):
    event = clip.truth.events[0]
    (found,) = result[0].expressions
    true, spotted = Expression("", event.onset, event.offset), Expression("", found.onset, found.offset)
    assert iou_of_intervals(true, spotted) >= 0.5
    assert abs(found.apex - event.apex) <= 4
    assert found.kind == "micro" and not found.talking
    assert found.onset_s == pytest.approx(found.onset / 60)
    assert found.recognition.label == "surprise"
    assert (result[0].count(), result[0].count("micro"), result[0].count("macro")) == (1, 1, 0)


def test_a_crop_that_is_off_by_a_tenth_finds_the_same_expression(clip, result):
    (usual,) = result[0].expressions
    (found,) = Spotter(1.0, crop=CropSettings(crop_scale=2.2)).spot(clip.frames, fps=60.0).expressions
    assert abs(found.apex - usual.apex) <= 4 and found.score != usual.score


def test_the_recogniser_sees_the_interval_and_a_fifth_around_it_in_its_own_crop(result):
    (found,) = result[0].expressions
    (call,) = result[1].calls
    around = round(0.2 * (found.offset - found.onset))
    assert call == ((found.offset - found.onset + 1 + 2 * around, 48, 48), np.uint8, 60.0, False)


class Doubter(EchoRecognizer):
    def recognize(self, crops, fps, talking):
        return Recognition(reason="no movement", moves=False)


def test_an_interval_without_a_movement_is_left_out_and_counted(clip):
    result = Spotter(1.0, Doubter()).spot(clip.frames, fps=60.0)
    assert (result.expressions, result.left_out) == ([], 1)
    assert result.to_dict()["left_out"] == 1 and result.to_dict()["counts"]["all"] == 0
    assert result.in_words.endswith("1 left out, in which the checkpoint sees no movement")
    assert "left out" not in replace(result, left_out=0).in_words


def test_while_the_mouth_talks_the_recogniser_is_not_asked_whether_anything_moves():
    still = Recognition(reason="no movement", moves=False)
    found = SpottedExpression(0, 5, 9, 0.0, 0.1, 0.2, "micro", 0.9, talking=False, recognition=still)
    assert not found.is_shown and replace(found, talking=True).is_shown
    assert replace(found, recognition=None).is_shown


def test_progress_ends_with_all_frames(clip, result):
    assert result[2][-1] == (len(clip.frames), len(clip.frames))


def test_a_slow_camera_finds_the_same_expression(clip):
    (found,) = Spotter().spot(clip.frames[::2], fps=30.0).expressions
    event = clip.truth.events[0]
    true, spotted = Expression("", event.onset, event.offset), Expression("", 2 * found.onset, 2 * found.offset)
    assert iou_of_intervals(true, spotted) >= 0.5


def test_a_person_at_rest_has_no_expression(clip):
    quiet = clip.frames[: clip.truth.events[0].onset - 10]
    assert Spotter(0.5).spot(quiet, fps=60.0).expressions == []


def test_one_frozen_frame_has_no_expression(clip):
    result = Spotter().spot(clip.frames[:1].repeat(200, 0), fps=60.0)
    assert result.expressions == []
    assert max(score for _, score, _ in result.activity) < 1


def test_a_still_face_before_a_noisy_camera_has_no_expression(clip):
    noise = np.random.default_rng(0).normal(0, 5, (300, *clip.frames.shape[1:]))
    result = Spotter().spot((clip.frames[0] + noise).clip(0, 255).astype(np.uint8), fps=60.0)
    assert result.share_seen == 1 and result.expressions == []


def test_no_face_is_a_warning_and_no_error():
    result = Spotter().spot(np.full((40, 96, 96), 90, np.uint8), fps=30.0)
    assert (result.expressions, result.share_seen, result.activity) == ([], 0.0, [])
    assert "no face in 40 frames" in result.warnings[0]


def test_a_slow_rate_and_a_short_recording_are_warnings(clip):
    warnings = Spotter().spot(clip.frames[::6], fps=10.0).warnings
    assert any(
        "10 frames per second show a micro-expression of a third of a second in 3 frames" in one for one in warnings
    )


@pytest.mark.parametrize("fps", [None, 0.0, -25.0])
def test_a_recording_without_a_rate_is_refused_with_the_remedy(fps):
    with pytest.raises(VideoReadError, match="give fps="):
        Spotter().spot(np.zeros((10, 64, 64), np.uint8), fps=fps)


def test_a_recording_too_slow_for_any_movement_is_refused():
    """Six hours of one frame a minute."""
    with pytest.raises(VideoReadError, match=r"from 4 frames per second on, but 'array' has 0\.0167"):
        Spotter().spot(np.zeros((360, 8, 8), np.uint8), fps=1 / 60)


def test_more_frames_than_a_clip_may_have_are_spotted(monkeypatch, tmp_path):
    monkeypatch.setattr(frame_source_fdp, "MAX_CLIP_FRAMES", 20)
    for number in range(24):
        Image.fromarray(np.full((32, 32), 90, np.uint8)).save(tmp_path / f"img{number}.png")
    with pytest.raises(VideoReadError, match="may have 20 frames"):
        FDPVideoProcessor()([str(path) for path in sorted(tmp_path.iterdir())])
    assert Spotter().spot(str(tmp_path), fps=30.0).num_frames == 24


_MEASURE = """
import resource, sys
import numpy as np, torch
from spotting_fdp import spotter
from spotting_fdp.face_stream import FacePart
torch.set_num_threads(1)
minutes = int(sys.argv[1])
rough = torch.rand(1, 1, 90, 90, generator=torch.Generator().manual_seed(0))
texture = (torch.nn.functional.avg_pool2d(rough, 11, 1)[0, 0] * 900 - 320).clamp(0, 255).to(torch.uint8)

class Stream:
    frames_seen, most_faces, interruptions = 1, 1, []
    def __init__(self, *_, **__): pass
    def parts(self):
        for first in range(0, minutes * 60 * 8, 120):
            shifts = [8 + (number % 97 == 0) for number in range(first, first + 120)]
            yield FacePart(first, (torch.stack([texture[at : at + 64, 8:72] for at in shifts]),), first > 0)

class Frames:
    name, notes, frames_per_second, frame_count = "generated", [], 8.0, minutes * 60 * 8

spotter.FaceStream = Stream
result = spotter.Spotter().spot_frames(Frames())
assert abs(result.activity[-1][0] / 60 - minutes) < 0.1
assert len(result.activity) <= 2 * spotter.ACTIVITY_POINTS
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_twenty_minutes_need_no_more_memory_than_two():
    def peak(minutes):
        command = [sys.executable, "-c", _MEASURE, str(minutes)]
        return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert peak(20) - peak(2) < 15
