"""Frame i of the reader is picture i of FFmpeg's decoder, for every container and codec, whole and cut."""

import importlib
import warnings

import numpy as np
import pytest

from processing_fdp import video_probe_fdp
from processing_fdp.clip_reading_fdp import open_frames
from processing_fdp.frame_source_fdp import VideoReadError, to_gray
from processing_fdp.video_files_fdp import probe_clip_file, read_through
from processing_fdp.video_orientation_fdp import Orientation
from processing_fdp.video_probe_fdp import TruncatedVideoWarning, UnshownFramesWarning, probe_video
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from rendered_faces.faces import FaceState
from rendered_faces.procedural.face import ProceduralFaces

from . import video_table as table

BACKENDS = [
    name
    for name, module in (
        ("pyav", "av"),
        ("decord", "decord"),
        ("opencv", "cv2"),
        ("torchcodec", "torchcodec.decoders"),
    )
    if importlib.util.find_spec(module.split(".")[0])
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    frames = table.textured_frames()
    return {name: table.write(folder / name, name, frames) for name in table.CODECS}


def read_rgb(path, **options):
    with open_frames(path, **options) as frames:
        return frames.read_rgb(np.arange(frames.frame_count))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", table.CODECS)
def test_whole_files_give_every_frame(name, backend, whole):
    reference = table.shown_by_ffmpeg(whole[name])
    assert len(reference) == table.COUNT
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_rgb(whole[name], backend=backend), reference)
    assert probe_clip_file(str(whole[name])).frame_count == table.COUNT
    # Out of the middle, and backwards.
    with open_frames(whole[name], backend=backend) as frames:
        for numbers in ([11, 20], [3, 3, 4], [table.COUNT - 1]):
            assert np.array_equal(frames.read_rgb(numbers), reference[numbers])


@pytest.mark.parametrize("first_packet", [0, 3, 8, 9, 13])
@pytest.mark.parametrize("name", table.CODECS)
def test_cut_files_give_what_can_be_shown_and_say_what_cannot(name, first_packet, whole, tmp_path):
    path = table.copy_from_packet(whole[name], tmp_path / name, first_packet)
    try:
        reference = table.shown_by_ffmpeg(path)
    except ValueError:
        pytest.skip("FFmpeg shows nothing of it")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frames = read_rgb(path)
    probe = probe_video(str(path))
    assert probe.damage is None and len(frames) == probe.frame_count == probe_clip_file(str(path)).frame_count
    if probe.picture_of_frame is None:
        assert np.array_equal(frames, reference)
    said = [str(warning.message) for warning in caught if warning.category is UnshownFramesWarning]
    assert len(said) == bool(probe.unshown_count)
    if said:
        assert f"first {probe.unshown_count} pictures" in said[0] and f"the {len(frames)} after them" in said[0]
        assert probe_clip_file(str(path)).notes == said
    for backend in BACKENDS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.array_equal(read_rgb(path, backend=backend), frames), backend
            read_through(str(path), range(probe.frame_count))


@pytest.mark.parametrize("name", ["mjpeg.avi", "huffyuv.avi", "mpeg4.avi"])
def test_empty_chunks_of_avi_repeat_the_last_picture(name, tmp_path):
    """Recorders that drop a frame write an empty chunk, which players show as the picture before it."""
    ticks = [0, 1, 2, 4, 5, 9, 10, 16]
    path = table.write(tmp_path / name, name, table.textured_frames(len(ticks)), ticks)
    shown = table.shown_by_ffmpeg(path)
    assert len(shown) == len(ticks)
    expected = shown[np.searchsorted(ticks, np.arange(ticks[-1] + 1), side="right") - 1]
    for backend in BACKENDS:
        assert np.array_equal(read_rgb(path, backend=backend), expected), backend
    assert probe_clip_file(str(path)).frame_count == ticks[-1] + 1
    # Two more empty chunks at the end, which only the header counts.
    data = bytearray(path.read_bytes())
    place = data.index(b"strh") + 8 + 32
    assert int.from_bytes(data[place : place + 4], "little") == ticks[-1] + 1
    data[place : place + 4] = (ticks[-1] + 3).to_bytes(4, "little")
    path.write_bytes(data)
    assert np.array_equal(read_rgb(path), np.concatenate([expected, expected[-1:], expected[-1:]]))


def test_a_clock_that_ticks_more_often_than_frames_are_shown_repeats_nothing(tmp_path):
    path = table.write(tmp_path / "mjpeg.avi", "mjpeg.avi", table.textured_frames(4), [0, 5, 10, 15])
    data = bytearray(path.read_bytes())
    place = data.index(b"strh") + 8 + 32
    data[place : place + 4] = (4).to_bytes(4, "little")
    path.write_bytes(data)
    assert np.array_equal(read_rgb(path), table.shown_by_ffmpeg(path))


@pytest.mark.parametrize("name", ["h264_b.mp4", "hevc_open.mkv", "vp8_hidden.webm", "mpeg4_b.avi"])
def test_damage_in_the_middle_is_damage(name, whole, tmp_path):
    data = bytearray(whole[name].read_bytes())
    path = tmp_path / name
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(VideoReadError, match=name):
        read_rgb(path)
    if name == "h264_b.mp4":
        # Its index lies at the end and is gone.
        return
    with pytest.warns(TruncatedVideoWarning, match=r"cut or damaged: \d+ of at least"):
        frames = read_rgb(path, allow_truncated=True)
    assert 0 < len(frames) < table.COUNT
    assert np.array_equal(frames, table.shown_by_ffmpeg(whole[name])[: len(frames)])


def test_short_videos_are_decoded_once_and_long_ones_twice(whole, monkeypatch):
    streams = []
    original = video_probe_fdp.PictureStream.__init__
    monkeypatch.setattr(
        video_probe_fdp.PictureStream,
        "__init__",
        lambda self, *given, **named: streams.append(self) or original(self, *given, **named),
    )
    video_probe_fdp._known.clear()
    expected = read_rgb(whole["vp8_hidden.webm"])
    assert len(streams) == 1
    video_probe_fdp._known.clear()
    streams.clear()
    monkeypatch.setattr(video_probe_fdp, "KEPT_BYTES", 10_000)
    assert np.array_equal(read_rgb(whole["vp8_hidden.webm"]), expected)
    assert len(streams) == 2


def test_a_file_that_changed_is_looked_at_again(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(video_probe_fdp, "_SETTLED_SECONDS", -1.0)
    path = tmp_path / "clip.avi"
    path.write_bytes(whole["mjpeg.avi"].read_bytes())
    assert probe_video(str(path)).frame_count == table.COUNT
    table.write(path, "mjpeg.avi", table.textured_frames(5))
    assert probe_video(str(path)).frame_count == 5


# ---------------------------------------------------------------- display geometry

ONE = 1 << 16
# (a, b, c, d) of every quarter turn, with and without a mirror.
TURNS = [
    (1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
    (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0),
]  # fmt: skip


def displayed(picture, turn):
    """The definition, pixel by pixel: (p, q) is shown at (a p + c q + x, b p + d q + y)."""
    a, b, c, d = turn
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    right, down = a * columns + c * rows, b * columns + d * rows
    right, down = right - right.min(), down - down.min()
    shown = np.empty((down.max() + 1, right.max() + 1, *picture.shape[2:]), picture.dtype)
    shown[down, right] = picture
    return shown


@pytest.mark.parametrize("turn", TURNS)
def test_every_quarter_turn_and_mirror_is_shown_as_players_do(turn, whole, tmp_path):
    a, b, c, d = (ONE * value for value in turn)
    path = table.with_display_matrix(whole["h264_b.mp4"], tmp_path / "turned.mp4", (a, b, 0, c, d, 0, 0, 0, 1 << 30))
    expected = np.stack([displayed(picture, turn) for picture in table.shown_by_ffmpeg(path)])
    for backend in BACKENDS:
        assert np.array_equal(read_rgb(path, backend=backend), expected), backend
    with open_frames(path) as frames:
        assert frames.size_hw == expected.shape[1:3]


@pytest.mark.parametrize("turn", TURNS)
def test_the_face_of_a_turned_video_is_found(turn, tmp_path):
    face = ProceduralFaces().face(3, (160, 160))
    picture = np.sqrt(np.clip(face.render(FaceState()), 0, 1))
    upright = np.repeat((picture * 255).astype(np.uint8)[..., None], 3, axis=-1)
    a, b, c, d = turn
    # The matrix of a quarter turn or mirror is orthogonal: its transpose takes the shown picture to the stored one.
    stored = np.stack([displayed(upright, (a, c, b, d))] * 4)
    plain = table.write(tmp_path / "h264_b.mp4", "h264_b.mp4", stored)
    numbers = (ONE * a, ONE * b, 0, ONE * c, ONE * d, 0, 0, 0, 1 << 30)
    path = table.with_display_matrix(plain, tmp_path / "turned.mp4", numbers)
    report = FDPVideoProcessor().align_clip(path).report
    assert (report.source, report.frames_seen) == ("mesh", 4)
    assert report.head_pose[2] == pytest.approx(0, abs=10)  # roll: neither sideways nor upside down


@pytest.mark.parametrize("degrees, fits", [(1.0, True), (-1.5, True), (10, False), (45, False)])
@pytest.mark.parametrize("turn", TURNS)
def test_small_slips_of_a_matrix_are_rounded_and_other_angles_refused(turn, degrees, fits):
    angle = np.radians(degrees)
    matrix = np.array(turn).reshape(2, 2) @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    (a, b), (c, d) = np.rint(matrix * ONE).astype(int).tolist()
    numbers = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    if not fits:
        with pytest.raises(VideoReadError, match=r"quarter turns.*'v\.mp4'"):
            Orientation.from_matrix(numbers, "v.mp4")
        return
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    shown = Orientation.from_matrix(numbers, "v.mp4").apply(picture[None, ..., None])[0, ..., 0]
    assert np.array_equal(shown, displayed(picture, turn))


def test_a_matrix_of_nothing_is_refused():
    with pytest.raises(VideoReadError, match="display matrix"):
        Orientation.from_matrix((0,) * 9, "v.mp4")


# ---------------------------------------------------------------- bit depth


@pytest.mark.parametrize("highest, outcome", [(900, "refused"), (4000, "refused"), (12000, "warned"), (65535, "read")])
def test_gray_video_of_16_bits_is_taken_as_a_full_range(highest, outcome, tmp_path):
    import av

    from processing_fdp.frame_source_fdp import ValueRangeWarning

    path = tmp_path / "deep.mkv"
    ramp = np.tile(np.linspace(0, highest, 64), (32, 1)).astype(np.uint16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "gray16le"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp, format="gray16le")))
        container.mux(stream.encode())
    if outcome == "refused":
        with pytest.raises(VideoReadError, match=f"nothing above {highest}"):
            read_rgb(path)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gray = to_gray(read_rgb(path))
    assert (outcome == "warned") == any(warning.category is ValueRangeWarning for warning in caught)
    assert np.abs(gray[0].astype(int) - ramp / 257).max() <= 2
