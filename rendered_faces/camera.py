"""Camera and recorder: sensor, blur, noise and compression."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .faces import FloatArray
from .performance import Performance

UInt8Array = NDArray[np.uint8]
# Radius of the blur's Gaussian, in standard deviations.
BLUR_REACH = 3.0
# Blur below this many pixels is not applied.
LEAST_BLUR = 0.2
# The fastest setting of x264 is similar to webcams' hardware encoders; pictures refer back by at most a second.
H264_PRESET = "ultrafast"


class Sensor:
    """One camera during one recording.

    Args:
        performance (`Performance`): the script.
        pixel_scale (`float`): pixels of a frame for one of a 128-pixel frame.
    """

    def __init__(self, performance: Performance, pixel_scale: float) -> None:
        self.performance = performance
        self.blur = _blur_weights(performance.blur * pixel_scale)
        first = int(np.random.default_rng([0xCA3E, *performance.seed]).integers(2**63))
        self.noise = torch.Generator().manual_seed(first)
        self.row_noise = np.random.default_rng([0xCA3F, *performance.seed])

    def expose(self, picture: FloatArray, frame: int) -> UInt8Array:
        """Return a frame, uint8 of shape `(height, width)`.

        Args:
            picture (`np.ndarray` of shape `(height, width)`): luminance, float32; overwritten.
            frame (`int`): 0-based number of the frame.
        """
        script = self.performance
        if len(self.blur) > 1:
            picture = _blurred(_blurred(picture, self.blur, 0), self.blur, 1)
        # Display gamma first, then gain: recordings differ in gray values, not in light.
        np.sqrt(picture, out=picture)
        picture *= script.gain[frame]
        height = picture.shape[0]
        for bands in script.bands:
            amplitude, cycles, phase = bands[frame]
            rows = np.arange(height, dtype=np.float32) / np.float32(height)
            picture *= (1 + amplitude * np.sin(2 * np.pi * (cycles * rows + phase))).astype(np.float32)[:, None]
        # Torch draws normal numbers three times as fast as NumPy.
        picture += torch.empty(picture.shape).normal_(0, script.noise, generator=self.noise).numpy()
        if script.row_noise:
            picture += script.row_noise * self.row_noise.standard_normal((height, 1), dtype=np.float32)
        np.clip(picture, 0, 1, out=picture)
        picture *= 255
        picture += np.float32(0.5)
        return picture.astype(np.uint8)


def _blur_weights(deviation: float) -> FloatArray:
    """Return a Gaussian from its middle to its reach, float32; one weight of 1 where it is too narrow to be seen."""
    if deviation <= LEAST_BLUR:
        return np.ones(1, np.float32)
    weights = np.exp(-0.5 * (np.arange(int(BLUR_REACH * deviation + 0.5) + 1) / deviation) ** 2)
    return (weights / (2 * weights.sum() - weights[0])).astype(np.float32)


def _blurred(picture: FloatArray, weights: FloatArray, axis: int) -> FloatArray:
    """Return a picture blurred along one axis, its border repeated outside, float32.

    Whole pictures are shifted and added, because that takes half the time of `scipy.ndimage.gaussian_filter`.
    """
    reach, length = len(weights) - 1, picture.shape[axis]
    padded = np.empty([side + 2 * reach * (index == axis) for index, side in enumerate(picture.shape)], np.float32)

    def part(start: int, stop: int) -> FloatArray:
        return padded[start:stop] if axis == 0 else padded[:, start:stop]

    part(reach, reach + length)[:] = picture
    part(0, reach)[:] = part(reach, reach + 1)
    part(reach + length, 2 * reach + length)[:] = part(reach + length - 1, reach + length)
    blurred = part(reach, reach + length) * weights[0]
    pair = np.empty_like(blurred)
    for distance, weight in enumerate(weights[1:], 1):
        before, after = reach - distance, reach + distance
        np.add(part(before, before + length), part(after, after + length), out=pair)
        pair *= weight
        blurred += pair
    return blurred


def transcoded(frames: Iterable[UInt8Array], codec: tuple[str, int], fps: float) -> Iterator[UInt8Array]:
    """Yield frames after encoding and decoding in memory.

    Args:
        frames (`Iterable` of `np.ndarray` of shape `(height, width)`): gray, uint8, all of one size.
        codec (`tuple` of `str` and `int`): `"h264"` and its constant rate factor, or `"mjpeg"` and its quantiser.
        fps (`float`): frames per second.
    """
    encoder: av.VideoCodecContext | None = None
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(codec[0], "r"))
    decoder.thread_count = 1
    # Reused, because preparing a conversion of colours takes longer than one.
    towards, back = VideoReformatter(), VideoReformatter()
    size = (0, 0)
    for index, frame in enumerate(frames):
        if encoder is None:
            size = frame.shape[0], frame.shape[1]
            encoder = _encoder(codec, size, fps)
        # Chroma is subsampled two by two, so sides must be even.
        odd = size[0] % 2 or size[1] % 2
        even = np.pad(frame, ((0, size[0] % 2), (0, size[1] % 2)), mode="edge") if odd else frame
        picture = towards.reformat(av.VideoFrame.from_ndarray(even, format="gray"), format=encoder.pix_fmt)
        picture.pts = index
        for packet in encoder.encode(picture):
            yield from _decoded(decoder, packet, back, size)
    if encoder is not None:
        for packet in encoder.encode(None):
            yield from _decoded(decoder, packet, back, size)
        yield from _decoded(decoder, None, back, size)


def _encoder(codec: tuple[str, int], size_hw: tuple[int, int], fps: float) -> av.VideoCodecContext:
    name, quality = codec
    encoder = av.CodecContext.create("libx264" if name == "h264" else "mjpeg", "w")
    encoder.width, encoder.height = size_hw[1] + size_hw[1] % 2, size_hw[0] + size_hw[0] % 2
    encoder.framerate, encoder.time_base = Fraction(round(fps)), Fraction(1, round(fps))
    # One thread, for identical results in every run.
    encoder.thread_count = 1
    if name == "h264":
        encoder.pix_fmt = "yuv420p"
        encoder.options = {"crf": str(quality), "preset": H264_PRESET, "g": str(round(fps))}
    else:
        encoder.pix_fmt = "yuvj420p"
        encoder.options = {"qmin": str(quality), "qmax": str(quality)}
        encoder.qmin = encoder.qmax = quality
    return encoder


def _decoded(
    decoder: av.VideoCodecContext, packet: av.Packet | None, back: VideoReformatter, size_hw: tuple[int, int]
) -> Iterator[UInt8Array]:
    for picture in decoder.decode(packet):
        gray = back.reformat(picture, format="gray").to_ndarray()
        yield gray[: size_hw[0], : size_hw[1]].astype(np.uint8, copy=False)
