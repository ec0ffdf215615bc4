"""One file of many pictures is a clip; a single picture is none."""

import numpy as np
import pytest
from PIL import Image, features

from processing_fdp.clip_reading_fdp import open_frames
from processing_fdp.frame_source_fdp import VideoReadError
from processing_fdp.video_files_fdp import probe_clip_file, read_through
from processing_fdp.video_processing_fdp import FDPVideoProcessor

COUNT = 12
KINDS = {
    "a.gif": {"disposal": 2, "duration": 40},
    "a.webp": {"lossless": True, "duration": 40},
    "a.png": {"duration": 40},
    "a.apng": {"format": "PNG", "duration": 40},
    "a.tif": {},
    "a.tiff": {"compression": "tiff_lzw"},
    "a.avif": {"quality": 95, "duration": 40},
}


@pytest.fixture(scope="module")
def pictures():
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
    return [Image.fromarray(np.roll(ramp, 5 * number, 1)) for number in range(COUNT)]


@pytest.fixture(params=KINDS)
def animation(request, pictures, tmp_path):
    if request.param == "a.avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / request.param
    mode = "L" if "tif" in request.param else "RGB"
    first, *others = [picture.convert(mode) for picture in pictures]
    first.save(path, save_all=True, append_images=others, **KINDS[request.param])
    return path


def read(source, **options):
    with open_frames(source, **options) as frames:
        return frames.read(np.arange(frames.frame_count)).astype(int)


def test_every_picture_is_a_frame(animation, pictures):
    expected = np.stack([np.asarray(picture) for picture in pictures]).astype(int)
    tolerance = 12 if animation.suffix == ".avif" else 4 if animation.suffix == ".gif" else 0
    found = read(animation)
    assert np.abs(found - expected).max() <= tolerance
    assert np.array_equal(read(str(animation), frame_numbers=[9, 2, 2, 5]), found[[9, 2, 2, 5]])
    with Image.open(animation) as opened:
        assert np.array_equal(read(opened), found) and np.array_equal(read([opened]), found)
    file = probe_clip_file(str(animation))
    assert file.frame_count == COUNT
    assert file.frames_per_second in (None, pytest.approx(25))
    read_through(str(animation), [0, 7])
    with pytest.raises(VideoReadError, match="0-based"):
        read_through(str(animation), [7, COUNT])


def test_the_processor_takes_it_as_one_clip(animation):
    processor = FDPVideoProcessor(num_frames=4, alignment="none")
    values = processor([str(animation), str(animation)], return_tensors="np")["pixel_values"]
    assert values.shape[:2] == (2, 4) and np.ptp(values[0, :, 0, 0, 0]) > 0.1


def test_an_animation_is_no_frame_of_a_folder_or_a_list(animation, pictures):
    for number in (1, 2):
        pictures[number].convert("RGB").save(animation.parent / f"b{number}.png")
    for source in ([animation.parent / "b2.png", animation], [animation.parent / "b1.png", animation]):
        with pytest.raises(VideoReadError, match=f"{animation.name}.*holds {COUNT}"):
            read(source)
    with Image.open(animation) as opened, pytest.raises(VideoReadError, match="animation"):
        read([pictures[0], opened])


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tif", "bmp"])
def test_a_single_picture_is_no_clip(suffix, pictures, tmp_path):
    path = tmp_path / f"still.{suffix}"
    pictures[0].save(path)
    for source in (path, str(path), Image.open(path)):
        with pytest.raises(VideoReadError, match="single picture"):
            read(source)
    with pytest.raises(VideoReadError, match="single picture"):
        probe_clip_file(str(path))
    # In a list it is a frame, and the answer's metadata says that nothing moves.
    (info,) = FDPVideoProcessor(alignment="none", return_metadata=True)([path])["video_metadata"]
    assert any("single frame" in text for text in info.warnings)


def test_the_still_of_an_animated_png_is_no_frame(pictures, tmp_path):
    path = tmp_path / "a.png"
    still = Image.fromarray(np.full((48, 64), 77, np.uint8))
    still.save(path, save_all=True, append_images=pictures, default_image=True)
    assert np.array_equal(read(path), np.stack([np.asarray(picture) for picture in pictures]))


def test_a_damaged_animation_is_named(animation):
    data = animation.read_bytes()
    animation.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoReadError, match=animation.name):
        read(animation)
