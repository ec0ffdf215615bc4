"""The camera: bands, noise of rows, and video streams held in memory."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from rendered_faces.camera import BLUR_REACH, Sensor, transcoded
from rendered_faces.motion import plan_performance


def frames(count=24, size=(64, 64)):
    """Return a textured square that slides, with sensor noise."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(40, 216, (20, 20)), np.ones((8, 8)))
    for index in range(count):
        part = texture[10 : 10 + size[0], 10 + index : 10 + index + size[1]]
        yield np.clip(part + rng.normal(0, 2, size), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("codec", [("h264", 18), ("h264", 29), ("mjpeg", 2), ("mjpeg", 12)])
@pytest.mark.parametrize("size", [(64, 64), (51, 67)])
def test_a_stream_gives_every_frame_back_in_order(codec, size):
    given = np.stack(list(frames(size=size))).astype(float)
    back = np.stack(list(transcoded(frames(size=size), codec, 25.0)))
    assert back.shape == given.shape
    assert back.dtype == np.uint8
    errors = np.abs(back[:, None].astype(float) - given[None]).mean(axis=(2, 3))
    assert errors.argmin(axis=1).tolist() == list(range(24))
    assert 0 < errors.diagonal().mean() < 12
    assert back.mean() == pytest.approx(given.mean(), abs=1.5)


@pytest.mark.parametrize(("name", "qualities"), [("h264", (16, 23, 30)), ("mjpeg", (2, 6, 14))])
def test_lower_quality_is_worse(name, qualities):
    given = np.stack(list(frames())).astype(float)
    errors = [
        np.abs(np.stack(list(transcoded(frames(), (name, quality), 30.0))) - given).mean() for quality in qualities
    ]
    assert errors == sorted(errors)
    assert errors[-1] > 1.2 * errors[0]


def test_no_frame_is_no_frame():
    assert not list(transcoded(iter(()), ("h264", 20), 25.0))


def quiet(**changes):
    performance = plan_performance((1,), [], fps=50.0, difficulty="mild", duration_s=(0.2, 0.2))
    still = {"noise": 0.0, "blur": 0.0, "gain": np.ones_like(performance.gain)}
    return replace(performance, **(still | changes))


@pytest.mark.parametrize("blur", [0.3, 0.65, 1.0, 1.8, 4.0])
def test_blur_is_a_gaussian_with_the_border_repeated(blur):
    picture = np.random.default_rng(0).random((23, 40)).astype(np.float32)
    expected = 255 * np.sqrt(gaussian_filter(picture.astype(float), blur, mode="nearest", truncate=BLUR_REACH))
    exposed = Sensor(quiet(blur=blur), 1.0).expose(picture.copy(), 0)
    np.testing.assert_allclose(exposed, expected, atol=0.51)
    # In a frame twice as large it is twice as wide.
    np.testing.assert_array_equal(Sensor(quiet(blur=blur / 2), 2.0).expose(picture.copy(), 0), exposed)


def test_bands_are_waves_along_the_rows():
    bands = np.tile(np.float32([0.2, 2.0, 0.25]), (10, 1))
    picture = Sensor(quiet(bands=(bands,)), 1.0).expose(np.full((64, 8), 0.25, np.float32), 3).astype(float)
    expected = 127.5 * (1 + 0.2 * np.sin(2 * np.pi * (2 * np.arange(64) / 64 + 0.25)))
    np.testing.assert_allclose(picture, np.tile(expected[:, None], (1, 8)), atol=0.6)


def test_noise_of_rows_is_shared_by_each_row():
    picture = Sensor(quiet(row_noise=0.02), 1.0).expose(np.full((64, 16), 0.25, np.float32), 0).astype(float)
    assert np.ptp(picture, axis=1).max() == 0
    assert picture[:, 0].std() == pytest.approx(0.02 * 255, rel=0.4)


def test_noise_of_rows_leaves_the_other_noise_as_it_is():
    def second_frame(row_noise):
        sensor = Sensor(quiet(noise=0.02, row_noise=row_noise), 1.0)
        frames = [sensor.expose(np.full((32, 64), 0.25, np.float32), frame) for frame in range(2)]
        return frames[1].astype(float)

    difference = second_frame(0.02) - second_frame(0.0)
    assert np.ptp(difference, axis=1).max() <= 1
    assert difference.std() > 1
