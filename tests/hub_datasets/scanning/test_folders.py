"""Folders and frames as discovery sees them."""

import pytest

from hub_datasets.scanning.folders import FolderTree, list_frames
from processing_fdp.frame_source_fdp import VideoReadError


@pytest.mark.parametrize(
    ("stems", "numbers"),
    [
        (["reg_img46", "reg_img47", "reg_img100"], [46, 47, 100]),
        (["006_05562", "006_05563"], [5562, 5563]),
        (["EP01_5-113", "EP01_5-114"], [113, 114]),
        (["006_05562"], [5562]),
        (["000001_0", "000002_0"], [1, 2]),
    ],
)
def test_frame_number_is_the_run_of_digits_that_varies(stems, numbers, tmp_path):
    for stem in stems:
        (tmp_path / f"{stem}.jpg").touch()
    found = list_frames(tmp_path)
    assert (found.numbers, found.names) == (numbers, [f"{stem}.jpg" for stem in stems])


@pytest.mark.parametrize("stems", [["1" * 30, "2" * 30], ["image9999999998", "image9999999999"], ["a", "b"]])
def test_what_is_no_frame_number_is_counted_by_position(stems, tmp_path):
    for stem in stems:
        (tmp_path / f"{stem}.jpg").touch()
    found = list_frames(tmp_path)
    assert (found.numbers, found.by_position) == ([1, 2], True)


def test_frames_are_sorted_by_number_and_strangers_passed_over(tmp_path):
    for name in ("img10.jpg", "img9.jpg", "img9(1).jpg", "._img11.jpg", "Thumbs.db", "notes12.txt", "IMG8.JPG"):
        (tmp_path / name).touch()
    found = list_frames(tmp_path)
    assert (found.numbers, found.left_out) == ([8, 9, 10], ("img9(1).jpg",))
    assert list_frames(tmp_path, stem_pattern=r"img1\d").names == ["img10.jpg"]
    assert list_frames(tmp_path, suffixes=(".txt",)).names == ["notes12.txt"]


def test_two_files_of_one_number_are_refused(tmp_path):
    for name in ("img9.jpg", "img009.jpg", "img10.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(VideoReadError, match=r"img009\.jpg.*img9\.jpg.*share 9"):
        list_frames(tmp_path)


def test_symbolic_links_that_lead_back_end(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    walked = list(FolderTree(tmp_path).walk())
    assert [folder.relative_to(tmp_path).as_posix() for folder in walked] == [".", "a", "a/b"]


def test_images_are_counted_and_not_kept(tmp_path):
    for name in ("img1.jpg", "img2.PNG", "._img3.jpg", "sheet.csv", "clip.avi"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    tree = FolderTree(tmp_path)
    content = tree.content(tmp_path)
    assert (set(content.folders), set(content.files), content.num_images) == (
        {"folder.png"}, {"sheet.csv", "clip.avi"}, 2,
    )  # fmt: skip
    assert tree.summary() == "it holds 2 images, folder.png/, clip.avi, sheet.csv"
