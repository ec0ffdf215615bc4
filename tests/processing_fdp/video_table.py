"""Small videos of every container and codec of the table, whole and cut, made with PyAV."""

import fractions
import struct
from pathlib import Path

import numpy as np

X264 = "keyint=8:min-keyint=8:scenecut=0:log-level=none:"
# name: (codec, options, format). Every kind of group of pictures, hidden packets, packets that are pictures.
CODECS = {
    "mjpeg.avi": ("mjpeg", {}, "yuvj420p"),
    "huffyuv.avi": ("huffyuv", {}, "rgb24"),
    "mpeg4.avi": ("mpeg4", {"g": "8"}, "yuv420p"),
    "mpeg4_b.avi": ("mpeg4", {"g": "8", "bf": "2"}, "yuv420p"),
    "h264_b.avi": ("libx264", {"x264-params": X264 + "bframes=2"}, "yuv420p"),
    "h264_b.mp4": ("libx264", {"x264-params": X264 + "bframes=2"}, "yuv420p"),
    "h264_open.mp4": ("libx264", {"x264-params": X264 + "open-gop=1:bframes=3:b-adapt=0"}, "yuv420p"),
    "h264_open.mkv": ("libx264", {"x264-params": X264 + "open-gop=1:bframes=3:b-adapt=0"}, "yuv420p"),
    "hevc_open.mkv": ("libx265", {"x265-params": X264 + "open-gop=1:bframes=4:b-adapt=0"}, "yuv420p"),
    "hevc_open.mp4": ("libx265", {"x265-params": X264 + "open-gop=1:bframes=4:b-adapt=0"}, "yuv420p"),
    "vp8_hidden.webm": ("libvpx", {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "6", "b": "200k"}, "yuv420p"),
    "vp9_hidden.webm": ("libvpx-vp9", {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "6", "b": "200k"}, "yuv420p"),
    "ffv1.mkv": ("ffv1", {}, "gray"),
    "ffv1_groups.mkv": ("ffv1", {"g": "4", "level": "1"}, "gray"),
    "mpeg2.mpg": ("mpeg2video", {"g": "8", "bf": "2"}, "yuv420p"),
    "mpeg1.mpeg": ("mpeg1video", {"g": "8"}, "yuv420p"),
    "wmv2.wmv": ("wmv2", {"g": "8"}, "yuv420p"),
    "prores.mov": ("prores_ks", {}, "yuv422p10le"),
    "h264.m4v": ("libx264", {"x264-params": X264 + "bframes=0"}, "yuv420p"),
}
FORMATS = {".m4v": "mp4", ".mpeg": "mpeg", ".mpg": "mpeg", ".wmv": "asf"}
HEIGHT, WIDTH, COUNT = 48, 64, 29


def textured_frames(count: int = COUNT) -> np.ndarray:
    texture = np.random.default_rng(0).integers(40, 220, (HEIGHT // 4, WIDTH // 4, 3), dtype=np.uint8)
    texture = texture.repeat(4, 0).repeat(4, 1)
    return np.stack([np.roll(texture, 3 * number, 1) for number in range(count)])


def write(path: Path, name: str, frames: np.ndarray, ticks: list[int] | None = None) -> Path:
    import av

    codec, options, pixels = CODECS[name]
    with av.open(str(path), "w", format=FORMATS.get(path.suffix)) as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        if ticks is not None:
            stream.codec_context.time_base = fractions.Fraction(1, 30)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[number], fractions.Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_from_packet(source: Path, target: Path, first_packet: int) -> Path:
    """Cut with stream copy, as `ffmpeg -c copy` does: what the first pictures refer to stays behind."""
    import av

    with av.open(str(source)) as given, av.open(str(target), "w", format=FORMATS.get(target.suffix)) as taken:
        stream = taken.add_stream_from_template(given.streams.video[0])
        packets = (packet for packet in given.demux(video=0) if packet.dts is not None)
        for number, packet in enumerate(packets):
            if number >= first_packet:
                packet.stream = stream
                taken.mux(packet)
    return target


def shown_by_ffmpeg(path: Path) -> np.ndarray:
    """The reference: every packet decoded in order; packets that refer to what was cut off give nothing."""
    import av

    shown = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            try:
                shown += [frame.to_ndarray(format="rgb24", threads=1) for frame in packet.decode()]
            except av.InvalidDataError:
                # Before the first key frame; after it the file would be damaged, which no file of the table is.
                assert not shown
    return np.stack(shown)


def with_display_matrix(path: Path, target: Path, matrix: tuple[int, ...]) -> Path:
    """Write nine numbers into the track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd")
    struct.pack_into(">9i", data, place + 8 + (32 if data[place + 4] == 1 else 20) + 16, *matrix)
    target.write_bytes(data)
    return target
