"""Gray: equal pixels give equal gray, in whatever form, mode or orientation they come."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from processing_fdp.clip_reading_fdp import VideoReadError, open_frames


def read_all(source, **options):
    with open_frames(source, **options) as frames:
        return frames.read(np.arange(frames.frame_count))


def test_gray_formula_is_the_stated_one():
    random = np.random.default_rng(1)
    rgb = random.integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    red, green, blue = (rgb[..., channel].astype(np.int64) for channel in range(3))
    expected = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    assert np.array_equal(read_all(rgb), expected)


def forms_of(rgb):
    """One clip in every form that may be given."""
    yield "array_thwc", rgb
    yield "array_tchw", rgb.transpose(0, 3, 1, 2)
    yield "tensor_thwc", torch.from_numpy(rgb)
    yield "tensor_tchw", torch.from_numpy(rgb).permute(0, 3, 1, 2)
    yield "float_unit", rgb.astype(np.float32) / 255
    yield "float_255", rgb.astype(np.float64)
    yield "half_tensor", torch.from_numpy(rgb).to(torch.bfloat16)
    yield "rgba", np.concatenate([rgb, np.full((*rgb.shape[:3], 1), 7, np.uint8)], axis=-1)
    yield "int64", rgb.astype(np.int64)
    yield "pil", [Image.fromarray(frame) for frame in rgb]
    yield "list_hwc", list(rgb)
    yield "list_chw", list(rgb.transpose(0, 3, 1, 2))
    yield "list_of_tensors", list(torch.from_numpy(rgb))


def test_equal_pixels_give_equal_gray_in_every_form(tmp_path, barcode_frames, write_frames):
    rgb = barcode_frames(6, 34, 50)
    paths = write_frames(tmp_path, rgb)
    expected = read_all(tmp_path)
    for name, form in [*forms_of(rgb), ("paths", paths), ("path_objects", [*map(os.fspath, paths)])]:
        assert np.array_equal(read_all(form), expected), name
    for name, form in [("gray_array", expected), ("gray_pil", [Image.fromarray(frame) for frame in expected])]:
        assert np.array_equal(read_all(form), expected), name


def test_float_rounding_is_to_the_nearest_level():
    values = np.full((1, 2, 2), 0.5, np.float32)
    assert read_all(values)[0, 0, 0] == 128
    assert (read_all(np.ones((1, 2, 2), np.float32)) == 255).all()


@pytest.mark.parametrize(
    "values, words",
    [
        (np.zeros((0, 4, 4), np.uint8), "has shape"),
        (np.full((2, 4, 4), -1.0), "spans -1"),
        (np.full((2, 4, 4), np.nan), "spans nan"),
        (np.full((2, 4, 4), 300.0), "spans 300"),
        (np.full((2, 4, 4), 40000, np.uint16), "spans 40000"),
        (np.zeros((30, 40, 3), np.uint8), "axis of frames"),
        (np.zeros((2, 5, 6, 7), np.uint8), "input_data_format"),
        (np.zeros((2, 3, 6, 3), np.uint8), "input_data_format"),
        (np.zeros((4,), np.uint8), "reshape"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)], "one size"),
        ([], "at least one frame"),
        (["a.png", np.zeros((4, 4))], "convert them"),
        (42, "int"),
    ],
)
def test_unusable_values_are_refused(values, words):
    with pytest.raises(VideoReadError, match=words):
        open_frames(values)


def test_ambiguous_channels_are_settled_by_the_keyword():
    values = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 3), dtype=np.uint8)
    last = read_all(values, input_data_format="channels_last")
    first = read_all(values, input_data_format="channels_first")
    assert last.shape == (2, 3, 6) and first.shape == (2, 6, 3)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_image_modes_come_out_as_gray(mode, tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    if mode == "1":
        ramp = np.where(ramp > 127, 255, 0).astype(np.uint8)
    image = Image.fromarray(ramp.astype(np.uint16) * 257 if mode == "I;16" else ramp)
    image = image if mode == "I;16" else image.convert(mode)
    path = tmp_path / ("1.tif" if mode == "CMYK" else "1.png")
    image.save(path)
    gray = read_all(tmp_path)[0]
    assert np.abs(gray.astype(int) - ramp).max() <= 1
    assert gray[0, 0] == 0 and gray[0, 255] == 255


def test_orientation_tag_of_a_photograph_is_obeyed(tmp_path):
    pixels = np.zeros((10, 20), np.uint8)
    pixels[:, 10:] = 200
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "1.png", exif=exif)
    gray = read_all(tmp_path)
    assert gray.shape == (1, 20, 10) and gray[0, -1].min() == 200 and gray[0, 0].max() == 0


def test_luma_alone_is_equal_for_gray_files_and_close_for_colour(tmp_path, barcode_frames, write_frames):
    rgb = barcode_frames(3, 64, 96) // 2 + 60
    write_frames(tmp_path / "colour", rgb, "i{}.jpg")
    write_frames(tmp_path / "gray", rgb[..., 0], "i{}.jpg")
    assert np.array_equal(read_all(tmp_path / "gray", fast_jpeg=True), read_all(tmp_path / "gray"))
    exact, luma = read_all(tmp_path / "colour").astype(int), read_all(tmp_path / "colour", fast_jpeg=True)
    assert np.abs(exact - luma).mean() < 0.05 and np.abs(exact - luma).max() <= 8
