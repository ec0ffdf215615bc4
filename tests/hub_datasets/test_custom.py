"""A user's own CSV: folders, videos, and everything that may be wrong with it."""

import csv
import posixpath
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_datasets import Custom, DatasetNotFoundError, SheetError, load_corpus
from hub_datasets.custom import _path_problem
from hub_datasets.errors import CorpusOptionError


@pytest.fixture
def corpus(tmp_path, fake_corpus):
    """`corpus(*rows, header=...)`: a CSV over the clips of the fake, which has recordings p01_00 to p03_08."""
    root = tmp_path / "mine"
    root.mkdir()
    (root / "recordings").symlink_to(fake_corpus("custom", "with-video") / "recordings")

    def write(*rows, header=("path", "subject", "label", "onset", "apex", "offset"), name="clips.csv"):
        with (root / name).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *rows])
        return root

    return write


GOOD = ("recordings/p01_00", "p01", "negative", 2, 4, 6)


def test_folders_and_videos_in_one_file(fake_corpus, corpus_cache):
    dataset = load_corpus("custom", fake_corpus("custom", "with-video"), cache_dir=corpus_cache)
    assert len(dataset) == 10 and dataset.features["label"].names == ["negative", "positive", "surprise"]
    film = next(row for row in dataset if row["video"])
    assert film["frames"] == [] and film["frame_numbers"] == list(range(2, 13))
    assert (film["onset_index"], film["apex_index"], film["offset_index"]) == (0, 3, 10)
    folder = dataset[0]
    assert folder["video"] is None and len(folder["frames"]) == 9 and folder["fps"] == 30
    assert folder["action_units"][1] == {"code": "12", "side": "L", "intensity": "", "alternative": 0}


def test_three_columns_are_enough(fake_corpus, corpus_cache):
    dataset = load_corpus("custom", fake_corpus("custom", "minimal"), cache_dir=corpus_cache)
    assert all(row["frame_numbers"] == list(range(1, 15)) and row["apex_index"] is None for row in dataset)


def test_video_without_interval_is_taken_whole(corpus, scan):
    root = corpus(("recordings/p01_film.mp4", "p01", "a"), header=("Clip", "Subject ID", "Class"))
    (clip,) = scan("custom", root).clips
    assert clip.numbers == list(range(20)) and clip.record.fps == 25


def test_interval_beyond_the_video_is_cut(corpus, scan):
    root = corpus(("recordings/p01_film.mp4", "p01", "a", 15, "", 99))
    (clip,) = scan("custom", root).clips
    assert clip.numbers == list(range(15, 20)) and "offset 99 -> 19" in clip.record.notes[0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("/etc", "p01", "a"), "is absolute"),
        (("C:\\clips\\a", "p01", "a"), "is absolute"),
        (("\\\\server\\share", "p01", "a"), "is absolute"),
        (("~/clips", "p01", "a"), "is absolute"),
        (("../secret", "p01", "a"), "leaves the folder"),
        (("recordings\\..\\..\\secret", "p01", "a"), "leaves the folder"),
        (("recordings/nowhere", "p01", "a"), "no folder recordings/nowhere"),
        (("", "p01", "a"), "no path"),
        (("recordings/p02_01", "", "a"), "no subject or no label"),
        (("recordings/p02_01", "p01", ""), "no subject or no label"),
        (("recordings/p02_01", "p01", "a", "start"), "onset is not a frame number"),
        (("recordings/p02_01", "p01", "a", 90, 95, 99), "none of the interval"),
        (("loop", "p01", "a"), "no folder loop"),
        (("text.mp4", "p01", "a"), "cannot be read as a video"),
        (("empty", "p01", "a"), "no frames"),
        (GOOD, "twice"),
    ],
)
def test_one_bad_row_is_reported_and_the_rest_kept(corpus, scan, row, reason):
    root = corpus(GOOD, row)
    (root / "loop").symlink_to(root / "loop")
    (root / "empty").mkdir()
    (root / "text.mp4").write_text("no video")
    found = scan("custom", root)
    assert [clip.record.recording for clip in found.clips] == ["recordings/p01_00"]
    assert len(found.lost) == 1 and reason in found.lost[0].reason


@given(st.text(alphabet="ab./\\\\~: C\0", max_size=12))
def test_no_path_leads_out_of_the_folder(path):
    root = PurePosixPath("/data/mine")
    if not _path_problem(path):
        inside = posixpath.normpath(root / path.replace("\\", "/"))
        assert inside == str(root) or inside.startswith(f"{root}/")


def test_labels_can_be_ordered_and_left_out(corpus, corpus_cache):
    rows = [("recordings/p01_00", "p01", "b"), ("recordings/p02_01", "p02", "a"), ("recordings/p03_02", "p03", "c")]
    root = corpus(*rows, header=("path", "subject", "label"))
    assert load_corpus("custom", root, cache_dir=corpus_cache).features["label"].names == ["a", "b", "c"]
    chosen = load_corpus("custom", root, cache_dir=corpus_cache, labels="c, a")
    assert chosen.features["label"].names == ["c", "a"] and len(chosen) == 2
    with pytest.raises(CorpusOptionError, match="but d was given"):
        load_corpus("custom", root, cache_dir=corpus_cache, labels="a,d")


def test_csv_is_found_or_named(corpus, corpus_cache):
    root = corpus(GOOD, name="first.csv")
    assert len(load_corpus("custom", root, cache_dir=corpus_cache)) == 1
    corpus(GOOD, ("recordings/p02_01", "p02", "positive", 2, 4, 6), name="second.csv")
    with pytest.raises(DatasetNotFoundError, match="2 CSV files"):
        load_corpus("custom", root, cache_dir=corpus_cache)
    assert len(load_corpus("custom", root, cache_dir=corpus_cache, csv="second.csv")) == 2
    assert len(load_corpus("custom", root / "second.csv", cache_dir=corpus_cache)) == 2
    with pytest.raises(DatasetNotFoundError, match="no CSV file"):
        load_corpus("custom", root, cache_dir=corpus_cache, csv="third.csv")


def test_unusable_files_are_named(corpus, corpus_cache):
    with pytest.raises(SheetError, match="add label"):
        load_corpus("custom", corpus(GOOD[:2], header=("path", "subject")), cache_dir=corpus_cache)
    with pytest.raises(SheetError, match="rows"):
        load_corpus("custom", corpus(*[GOOD] * 100_000), cache_dir=corpus_cache)
    with pytest.raises(SheetError, match="must hold words"):
        load_corpus("custom", corpus(), cache_dir=corpus_cache)


def test_custom_recordings_are_never_published():
    assert not Custom.faces_may_be_published
