"""Recordings that the benchmark of spotting reads: their frames and their truth, also at half the rate."""

import numpy as np
import pytest

from benchmarks.spotting import rendered_recordings
from evaluation_fdp.spotting import Expression


@pytest.mark.parametrize(("every", "fps", "count", "interval"), [(1, 60.0, 41, (10, 40)), (2, 30.0, 21, (5, 20))])
def test_every_second_frame_is_a_recording_of_half_the_rate(tmp_path, every, fps, count, interval):
    frames = tmp_path / "recordings" / "s1" / "r1"
    frames.mkdir(parents=True)
    for number in range(41):
        (frames / f"img{number:03d}.jpg").touch()
    (tmp_path / "ground_truth").mkdir()
    np.savez(
        tmp_path / "ground_truth" / "s1_r1.npz",
        fps=60.0,
        event_frames=np.array([[10, 14, 40]]),
        event_emotions=np.array(["happiness"]),
        macro_frames=np.zeros((0, 3), int),
        macro_emotions=np.array([], dtype=str),
    )
    (recording,) = rendered_recordings(tmp_path, every)
    assert (recording.fps, recording.num_frames) == (fps, count) and recording.source[1].endswith(f"{every:03d}.jpg")
    assert recording.annotated == [Expression("s1/r1", *interval, "micro", "positive")]
