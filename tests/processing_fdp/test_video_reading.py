"""Reading: what is read is what was written, frame by frame, or one clear sentence says why not."""

import importlib
import os
import re
import shutil
import sys
import threading
import types
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from processing_fdp import frame_files_fdp, frame_source_fdp, video_decoders_fdp, video_pictures_fdp
from processing_fdp.clip_reading_fdp import VideoReadError, open_frames
from processing_fdp.frame_arrays_fdp import FrameArray
from processing_fdp.frame_listing_fdp import list_frames
from processing_fdp.video_decoders_fdp import open_decoder
from processing_fdp.video_probe_fdp import TruncatedVideoWarning, probe_video

BACKENDS = ["pyav", "decord", "opencv"]
VIDEOS = {
    "mjpeg.avi": ("mjpeg", "yuvj420p"),
    "mpeg4.avi": ("mpeg4", "yuv420p"),
    "huffyuv.avi": ("huffyuv", "rgb24"),
    "h264.mp4": ("libx264", "yuv420p"),
    "h264.mov": ("libx264", "yuv420p"),
    "gray.mkv": ("ffv1", "gray"),
    "vp9.webm": ("libvpx-vp9", "yuv420p"),
}


def backend_or_skip(name):
    module = {"pyav": "av", "decord": "decord", "opencv": "cv2"}[name]
    try:
        importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"{module} does not load here: {error}")
    return name


def read_all(source, **options):
    with open_frames(source, **options) as frames:
        return frames.read(np.arange(frames.frame_count))


@pytest.fixture(scope="module")
def videos(tmp_path_factory, barcode_frames, write_video):
    folder = tmp_path_factory.mktemp("videos")
    frames = barcode_frames(17, 48, 64)
    return {name: write_video(folder / name, frames, *codec) for name, codec in VIDEOS.items()}


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("template", ["img{}.png", "reg_img{}.png", "006_1_2_{:05d}.png", "s1 {}.bmp", "2024-{}.PNG"])
def test_folder_is_read_in_the_order_of_its_last_numbers(
    template, tmp_path, barcode_frames, write_frames, read_barcode
):
    frames = barcode_frames(12, 32, 48)
    paths = write_frames(tmp_path, frames, template=template, first=8)
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / ".hidden7.png").write_bytes(b"x")
    assert [os.path.join(tmp_path, name) for name in list_frames(tmp_path).names] == paths
    gray = read_all(tmp_path)
    assert read_barcode(gray).tolist() == list(range(12))
    assert np.array_equal(gray, read_all(str(tmp_path)))


def test_names_without_numbers_come_in_the_order_of_names(tmp_path, write_frames):
    write_frames(tmp_path, np.zeros((1, 4, 4), np.uint8), template="b.png")
    write_frames(tmp_path, np.full((1, 4, 4), 9, np.uint8), template="a.png")
    assert read_all(tmp_path)[:, 0, 0].tolist() == [9, 0]


def test_two_files_with_one_number_are_refused_with_both_names(tmp_path, write_frames):
    write_frames(tmp_path, np.zeros((1, 4, 4), np.uint8), template="img1.png")
    write_frames(tmp_path, np.zeros((1, 4, 4), np.uint8), template="img01.png")
    with pytest.raises(VideoReadError, match=r"img01\.png.*img1\.png.*share 1"):
        open_frames(tmp_path)


def test_mixed_sizes_are_refused_with_names(tmp_path, write_frames):
    write_frames(tmp_path, np.zeros((2, 4, 4), np.uint8))
    write_frames(tmp_path, np.zeros((1, 5, 4), np.uint8), first=3)
    with pytest.raises(VideoReadError, match=r"img3\.png' has 4 x 5.*img1\.png' has 4 x 4"):
        read_all(tmp_path)


@pytest.mark.parametrize("prepare", ["empty", "text_only"])
def test_folder_without_images_is_refused(prepare, tmp_path):
    if prepare == "text_only":
        (tmp_path / "notes.txt").write_text("no frames")
    with pytest.raises(VideoReadError, match=r"must hold images, .* or video files one by one"):
        open_frames(tmp_path)


def test_folder_of_too_many_files_is_refused_before_it_is_read(tmp_path, monkeypatch):
    for module in (frame_source_fdp, frame_files_fdp):
        monkeypatch.setattr(module, "MAX_CLIP_FRAMES", 50)
    for number in range(60):
        (tmp_path / f"{number}.jpg").touch()
    with pytest.raises(VideoReadError, match="may have 50 frames"):
        open_frames(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "missing"])
def test_damaged_frame_is_named(damage, tmp_path, write_frames):
    paths = write_frames(tmp_path, np.random.default_rng(0).integers(0, 256, (3, 40, 40), dtype=np.uint8), "i{}.jpg")
    content = {"empty": b"", "text": b"this is not a picture", "truncated": Path(paths[1]).read_bytes()[:700]}
    if damage == "missing":
        os.remove(paths[1])
    else:
        with open(paths[1], "wb") as file:
            file.write(content[damage])
    with pytest.raises(VideoReadError, match=r"i2\.jpg"):
        read_all(paths)


def test_decompression_bomb_is_refused_unread(tmp_path):
    path = tmp_path / "bomb1.png"
    Image.new("1", (1, 1)).save(path)
    header = b"IHDR" + (30000).to_bytes(4, "big") * 2 + path.read_bytes()[24:29]
    path.write_bytes(path.read_bytes()[:12] + header + zlib.crc32(header).to_bytes(4, "big") + path.read_bytes()[33:])
    with pytest.raises(VideoReadError, match=r"bomb1\.png"):
        open_frames(tmp_path)


def test_8k_frame_is_read(tmp_path):
    Image.new("L", (7680, 4320), 77).save(tmp_path / "1.jpg")
    gray = read_all(tmp_path)
    assert gray.shape == (1, 4320, 7680) and (gray == 77).all()


def test_path_with_a_newline_is_read_and_quoted_in_errors(tmp_path, write_frames):
    folder = tmp_path / "two\nlines"
    write_frames(folder, np.zeros((2, 4, 4), np.uint8))
    assert read_all(folder).shape == (2, 4, 4)
    with pytest.raises(VideoReadError) as error:
        open_frames(tmp_path / "no\nsuch")
    assert "\n" not in str(error.value)


def test_address_is_not_fetched():
    with pytest.raises(VideoReadError, match="download it first"):
        open_frames("http://127.0.0.1:9/clip.mp4")


# ---------------------------------------------------------------- video files


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", VIDEOS)
def test_backends_are_frame_exact_and_equal(name, backend, videos, read_barcode):
    backend_or_skip(backend)
    reference = read_all(videos[name])
    assert read_barcode(reference).tolist() == list(range(17))
    assert np.array_equal(read_all(videos[name], backend=backend), reference)
    with open_frames(videos[name], backend=backend) as frames:
        assert frames.frames_per_second == pytest.approx(30)
        # Out of the middle, backwards, with repeats, then a single last one.
        for numbers in ([5, 9, 16], [0, 1], [3, 3, 3, 7, 7], [16]):
            assert np.array_equal(frames.read(np.array(numbers)), reference[numbers]), numbers


@pytest.mark.parametrize("backend", BACKENDS)
def test_frame_numbers_select_frames_of_a_video(backend, videos, read_barcode):
    backend_or_skip(backend)
    assert read_barcode(read_all(videos["h264.mp4"], backend=backend, frame_numbers=[4, 9, 10])).tolist() == [4, 9, 10]
    backwards = read_all(videos["h264.mp4"], backend=backend, frame_numbers=[9, 4, 10, 4])
    assert read_barcode(backwards).tolist() == [9, 4, 10, 4]
    with pytest.raises(VideoReadError, match=r"4\.\.17 .*17 frames"):
        open_frames(videos["h264.mp4"], backend=backend, frame_numbers=[4, 17])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rotation", [90, 180, -90])
@pytest.mark.parametrize("codec", [("libx264", "yuv420p", "mp4"), ("mjpeg", "yuvj420p", "mov")])
def test_rotated_video_comes_upright_from_all_backends(
    codec, rotation, backend, tmp_path, barcode_frames, write_video
):
    backend_or_skip(backend)
    frames = barcode_frames(5, 48, 64)
    plain = read_all(write_video(tmp_path / f"plain.{codec[2]}", frames, *codec[:2]))
    turned = read_all(
        write_video(tmp_path / f"turned.{codec[2]}", frames, *codec[:2], rotation=rotation), backend=backend
    )
    assert np.array_equal(turned, np.rot90(plain, rotation // 90, axes=(1, 2)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_variable_frame_rate_gives_each_frame_once(name, backend, tmp_path, barcode_frames, write_video, read_barcode):
    backend_or_skip(backend)
    times = [0, 20, 70, 90, 200, 210, 300, 460, 470, 500]
    path = write_video(tmp_path / name, barcode_frames(10, 48, 64), "libx264", "yuv420p", timestamps_ms=times)
    assert read_barcode(read_all(path, backend=backend)).tolist() == list(range(10))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("codec", [("libx264", "yuv420p"), ("mjpeg", "yuvj420p")])
def test_frames_that_an_edit_list_cuts_off_are_no_damage(
    codec, backend, tmp_path, barcode_frames, write_video, read_barcode
):
    """Trimmed phone videos keep the frames in the file; the film begins later."""
    backend_or_skip(backend)
    path = Path(write_video(tmp_path / "trimmed.mp4", barcode_frames(17, 48, 64), *codec))
    data = bytearray(path.read_bytes())
    media_time = data.index(b"elst") + 16
    first = int.from_bytes(data[media_time : media_time + 4], "big")
    # Five frames of 512 ticks each.
    data[media_time : media_time + 4] = (first + 5 * 512).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    assert read_barcode(read_all(path, backend=backend)).tolist() == list(range(5, 17))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("height, width, count", [(47, 63, 3), (48, 64, 1), (33, 33, 2)])
def test_odd_sizes_and_single_frames(height, width, count, backend, tmp_path, barcode_frames, write_video):
    backend_or_skip(backend)
    frames = barcode_frames(count, height, width)
    path = write_video(tmp_path / "odd.avi", frames, "huffyuv", "rgb24")
    assert np.array_equal(read_all(path, backend=backend), read_all(frames))


@pytest.mark.parametrize("name", ["mjpeg.avi", "mpeg4.avi", "h264.mp4", "gray.mkv", "vp9.webm"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_video_is_an_error_or_a_warning_with_numbers(name, share, videos, tmp_path):
    whole = Path(videos[name]).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(VideoReadError, match=name):
        open_frames(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            gray = read_all(path, allow_truncated=True)
        except VideoReadError:
            # Nothing decodes any more, e.g. an MP4 without its index.
            assert share < 0.9 or name == "h264.mp4"
            return
    assert [w.category for w in caught] == [TruncatedVideoWarning]
    assert re.search(rf"{len(gray)} of at least \d+ frames", str(caught[0].message))
    assert 0 < len(gray) <= 17
    assert np.array_equal(gray, read_all(videos[name])[: len(gray)])


def test_whole_video_warns_of_nothing_with_allow_truncated(videos, recwarn):
    for name, path in videos.items():
        assert len(read_all(path, allow_truncated=True)) == 17, name
    assert not [warning for warning in recwarn if issubclass(warning.category, TruncatedVideoWarning)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "content", [b"", b"hello, I am a text\n" * 50, b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"]
)
def test_file_that_is_no_video_is_refused(content, backend, tmp_path):
    backend_or_skip(backend)
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoReadError, match=r"clip\.mp4"):
        open_frames(path, backend=backend)


def test_picture_named_mp4_is_refused(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "clip.jpg")
    os.rename(tmp_path / "clip.jpg", tmp_path / "clip.mp4")
    with pytest.raises(VideoReadError, match=r"clip\.mp4"):
        open_frames(tmp_path / "clip.mp4")


def test_audio_without_pictures_is_refused(tmp_path):
    import av

    path = tmp_path / "voice.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoReadError, match="picture track"):
        open_frames(path)


def test_frame_size_in_a_header_is_checked_before_memory_is_taken(videos, monkeypatch):
    monkeypatch.setattr(frame_source_fdp, "MAX_FRAME_PIXELS", 1000)
    with pytest.raises(VideoReadError, match="may have 1,000 pixels"):
        open_frames(videos["h264.mp4"])


def test_chunks_of_a_long_video_are_bounded_and_equal(tmp_path, barcode_frames, write_video, monkeypatch):
    path = write_video(tmp_path / "long.avi", barcode_frames(60, 24, 32))
    whole = read_all(path)
    monkeypatch.setattr(frame_source_fdp, "CHUNK_BYTES", 24 * 32 * 7)
    with open_frames(path) as frames:
        chunks = list(frames.iter_chunks(np.arange(60)))
    assert max(len(indices) for indices, _ in chunks) == 7
    assert np.array_equal(np.concatenate([gray for _, gray in chunks]), whole)


def test_chunks_in_order_decode_each_frame_once(videos, monkeypatch):
    starts = []
    original = video_decoders_fdp.PyAVDecoder._start
    monkeypatch.setattr(video_decoders_fdp.PyAVDecoder, "_start", lambda self: starts.append(self) or original(self))
    with open_frames(videos["h264.mp4"]) as frames:
        for number in range(17):
            frames.read([number])
    assert len(starts) == 1


def test_intra_only_video_decodes_only_what_is_asked(videos):
    assert probe_video(videos["mjpeg.avi"]).intra_only and not probe_video(videos["h264.mp4"]).intra_only


def test_readers_in_several_threads_do_not_disturb_each_other(videos):
    expected = {name: read_all(path) for name, path in videos.items()}
    wrong = []

    def read(name, backend):
        if not np.array_equal(read_all(videos[name], backend=backend), expected[name]):
            wrong.append((name, backend))

    threads = [
        threading.Thread(target=read, args=(name, backend))
        for name in list(videos)[:4]
        for backend in ("pyav", "decord")
    ]
    backend_or_skip("decord")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_unknown_backend_and_missing_module_say_what_to_do(videos, tmp_path, monkeypatch):
    with pytest.raises(VideoReadError, match="video_backend is one of"):
        open_decoder(videos["mjpeg.avi"], backend="vlc")
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(VideoReadError, match="pip install decord"):
        open_decoder(videos["mjpeg.avi"], backend="decord")
    monkeypatch.setattr(video_pictures_fdp, "av", None)
    # A file that nobody has probed: probes of files that have lain for a while are kept.
    new = shutil.copyfile(videos["mjpeg.avi"], tmp_path / "new.avi")
    with pytest.raises(VideoReadError, match="pip install av"):
        open_decoder(str(new))


def test_torchcodec_is_called_as_its_api_wants(videos, monkeypatch):
    """FFmpeg is not on every machine, so a stand-in takes torchcodec's place at the import."""
    reference = read_all(videos["mjpeg.avi"])

    class StandIn:
        def __init__(self, path, seek_mode):
            assert os.path.isabs(path) and seek_mode == "exact"
            self.decoder = open_decoder(path, "pyav")

        def get_frames_at(self, indices):
            if 13 in indices:
                raise RuntimeError("damaged")
            data = torch.from_numpy(self.decoder.read(np.array(indices)).copy()).permute(0, 3, 1, 2)
            return types.SimpleNamespace(data=data)

    monkeypatch.setitem(sys.modules, "torchcodec.decoders", types.SimpleNamespace(VideoDecoder=StandIn))
    with open_frames(videos["mjpeg.avi"], backend="torchcodec") as frames:
        assert np.array_equal(frames.read([2, 2, 9]), reference[[2, 2, 9]])
        with pytest.raises(VideoReadError, match="damaged"):
            frames.read([13])


def test_decord_bridge_is_left_alone(videos):
    backend_or_skip("decord")
    import decord

    before = decord.bridge.current_bridge() if hasattr(decord.bridge, "current_bridge") else None
    read_all(videos["mjpeg.avi"], backend="decord")
    reader = decord.VideoReader(videos["mjpeg.avi"])
    assert hasattr(reader.get_batch([0]), "asnumpy")
    if before is not None:
        assert decord.bridge.current_bridge() == before


def test_array_source_reads_colour_for_detectors():
    rgb = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)
    assert np.array_equal(FrameArray(rgb).read_rgb([1]), rgb[[1]])
    gray = FrameArray(rgb[..., 0])
    assert np.array_equal(gray.read_rgb([0]), np.repeat(rgb[[0], ..., :1], 3, axis=-1))


def test_every_image_file_is_decoded_once(tmp_path, write_frames, monkeypatch):
    """The first frame tells the size of the clip, and is kept."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 20, 24), dtype=np.uint8)
    paths = write_frames(tmp_path / "clip", pixels)
    opened = []
    original = frame_files_fdp._open_image
    monkeypatch.setattr(frame_files_fdp, "_open_image", lambda path: opened.append(path) or original(path))
    with open_frames(paths) as frames:
        assert np.array_equal(frames.read(range(4)), pixels)
        assert opened == paths
        assert np.array_equal(frames.read_rgb([0])[..., 1], pixels[:1])
