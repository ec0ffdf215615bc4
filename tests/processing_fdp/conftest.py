"""Small clips with known pixels: frame folders, videos and textured heads that move by known amounts."""

import fractions
import math

import numpy as np
import pytest
import torch
from PIL import Image


def _barcode_frames(count, height, width, seed=0):
    """Colour frames whose top rows tell their number; the rest is smooth texture, so that codecs keep it."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    base = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    frames = np.repeat(base[None], count, axis=0).copy()
    for number in range(count):
        for bit in range(6):
            start, stop = bit * width // 6, (bit + 1) * width // 6
            frames[number, : height // 4, start:stop] = 235 if number >> bit & 1 else 20
    return frames


def _read_barcode(gray):
    """Numbers of gray frames, from the bars alone."""
    height, width = gray.shape[1:]
    bars = gray[:, : height // 8]
    bits = [bars[..., bit * width // 6 + 2 : (bit + 1) * width // 6 - 2].mean(axis=(1, 2)) > 127 for bit in range(6)]
    return sum(bit.astype(int) << place for place, bit in enumerate(bits))


def _write_video(path, frames, codec="mjpeg", pix_fmt="yuvj420p", rate=30, rotation=None, timestamps_ms=None):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if rotation is not None:
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("PyAV writes rotated videos from 18.1 on")
            stream.set_display_rotation(rotation)
        if timestamps_ms is not None:
            stream.codec_context.time_base = fractions.Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if timestamps_ms is not None:
                frame.pts, frame.time_base = timestamps_ms[number], fractions.Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def _write_frames(folder, frames, template="img{}.png", first=1):
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, pixels in enumerate(frames, start=first):
        paths.append(str(folder / template.format(number)))
        Image.fromarray(pixels).save(paths[-1])
    return paths


class _MovingHead:
    """A texture given by a formula, so that any motion of it is exact: no resampling enters the truth."""

    height, width = 160, 200

    def __init__(self, seed=0):
        random = np.random.default_rng(seed)
        self.frequency = random.uniform(0.005, 0.1, 60)
        self.angle = random.uniform(0, 2 * np.pi, 60)
        self.phase = random.uniform(0, 2 * np.pi, 60)
        self.noise = random
        rows, columns = np.mgrid[: self.height, : self.width].astype(float)
        self.pixels = np.stack([columns, rows], axis=-1)
        self.centre = np.array([self.width / 2, self.height / 2])
        reference = self._texture(self.pixels)
        self.mean, self.deviation = reference.mean(), reference.std()
        self.landmarks = self.centre + np.array([[-25.0, -18], [25, -15], [0, 5], [-18, 26], [19, 27]])

    def _texture(self, points):
        amplitude = 1 / (self.frequency + 0.02)
        along = points[..., :1] * np.cos(self.angle) + points[..., 1:] * np.sin(self.angle)
        return (amplitude * np.cos(2 * np.pi * self.frequency * along + self.phase)).sum(axis=-1)

    def matrix(self, shift=(0.0, 0.0), turn=0.0, scale=1.0):
        """(2, 3) motion of frame pixels."""
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        offset = self.centre + np.asarray(shift) - linear @ self.centre
        return np.concatenate([linear, offset[:, None]], axis=1)

    def moved_landmarks(self, motion):
        return self.landmarks @ motion[:, :2].T + motion[:, 2]

    def frame(self, motion, gain=1.0, noise=1.5, mouth=0.0):
        """uint8 frame of the moved head; `mouth` pixels of local motion are the expression."""
        points = (self.pixels - motion[:, 2]) @ np.linalg.inv(motion[:, :2]).T
        if mouth:
            near = np.exp(-((points - self.landmarks[3]) ** 2).sum(axis=-1) / (2 * 8**2))
            points = points + near[..., None] * [0, mouth]
        values = 128 + gain * 45 * (self._texture(points) - self.mean) / self.deviation
        values = values + self.noise.normal(0, noise, values.shape)
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _apply_transform(transform, points):
    """Points (..., 2) moved by a (2, 3) transform."""
    return np.asarray(points) @ transform[:, :2].T + transform[:, 2]


def _invert_transform(transform):
    return np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2]


def _drifted_clip(head, count=9, drift=5.0, turn=0.0, scale=0.0, mouth=0.0, flicker=0.0):
    """A clip (num_frames, height, width) of the moving head, and the motion of each frame."""
    times = np.arange(count)
    motions = [
        head.matrix(
            shift=(drift * math.sin(t / 2), 0.7 * drift * (math.cos(t / 3) - 1)),
            turn=turn * math.sin(t / 2),
            scale=1 + scale * math.sin(t / 3),
        )
        for t in times
    ]
    frames = [
        head.frame(motion, gain=1 + flicker * math.sin(3 * t), mouth=mouth * math.sin(math.pi * t / (count - 1)))
        for t, motion in zip(times, motions, strict=True)
    ]
    return torch.from_numpy(np.stack(frames)), motions


@pytest.fixture(scope="session")
def barcode_frames():
    return _barcode_frames


@pytest.fixture(scope="session")
def read_barcode():
    return _read_barcode


@pytest.fixture(scope="session")
def write_video():
    return _write_video


@pytest.fixture(scope="session")
def write_frames():
    return _write_frames


@pytest.fixture(scope="session")
def moving_head():
    return _MovingHead()


@pytest.fixture(scope="session")
def apply_transform():
    return _apply_transform


@pytest.fixture(scope="session")
def invert_transform():
    return _invert_transform


@pytest.fixture(scope="session")
def drifted_clip():
    return _drifted_clip
