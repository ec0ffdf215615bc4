"""Folders and frames as discovery sees them."""

import pytest

from hub_datasets.scanning.folders import FolderTree, frame_number, list_frames


@pytest.mark.parametrize(
    ("stem", "number"),
    [
        ("reg_img46", 46), ("006_05562", 5562), ("EP01_5-113", 113), ("img1 (copy)", 1), ("Thumbs", None),
        ("1" * 30, None), ("image99999999", 99999999),
    ],
)  # fmt: skip
def test_frame_number_is_the_last_run_of_digits(stem, number):
    assert frame_number(stem) == number


def test_frames_are_sorted_by_number_and_strangers_passed_over(tmp_path):
    for name in ("img10.jpg", "img9.jpg", "img009.jpg", "._img11.jpg", "Thumbs.db", "notes12.txt", "IMG8.JPG"):
        (tmp_path / name).touch()
    found = list_frames(tmp_path)
    assert (found.numbers, found.repeated) == ([8, 9, 10], 1)
    assert list_frames(tmp_path, stem_pattern=r"img1\d").names == ["img10.jpg"]
    assert list_frames(tmp_path, suffixes=(".txt",)).names == ["notes12.txt"]


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
