"""spot.py as a user runs it."""

import json

import av
import pytest

from rendered_faces.film import render_clip


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("films") / "long film.avi"
    frames = render_clip(1, "surprise", seed=3, fps=60, neutral_s=3.0).frames[100:360]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=60)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuvj420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return path


def test_good_recordings_are_spotted_and_bad_ones_get_a_line(run_script, film, tmp_path):
    answer = run_script("spot.py", film, "missing.mp4", "--spot_only", "--json", "--output_dir", tmp_path / "out")
    assert answer.returncode == 1
    content = json.loads(answer.stdout)
    (recording,) = content["recordings"]
    assert recording["megc"]["counts"] == {"all": 1, "micro": 1, "macro": 0}
    assert recording["num_frames"] == 256 and recording["frames_per_second"] == 60
    assert [error["input"] for error in content["errors"]] == ["missing.mp4"]
    assert answer.stderr.count("error: ") == 1 and "missing.mp4" in answer.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "000_long_film_timeline.png",
        "expressions.csv",
        "spotting.json",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fps", "0"], "--fps must be a number above 0"),
        (["--false_alarms_per_minute", "0"], "false alarms a minute are given from"),
        (["--face", "second"], "'largest' or a number from 0 on"),
        (["--model", "nowhere/at-all"], "--model"),
    ],
)
def test_a_bad_option_is_one_sentence(run_script, film, words, message):
    answer = run_script("spot.py", film, *words)
    assert answer.returncode == 2 and answer.stdout == ""
    assert message in answer.stderr and "Traceback" not in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
