"""DFME: the challenge split, its three trees, rates that differ clip by clip."""

import shutil

import pytest

from hub_datasets import DatasetNotFoundError, Dfme, load_corpus
from hub_datasets.scanning.sheets import read_sheet, write_workbook


@pytest.mark.parametrize(
    ("split", "rows", "subjects"), [("all", 2629, 259), ("train", 1856, 176), ("test_a", 474, 42), ("test_b", 299, 41)]
)
def test_full_size_gives_the_published_counts(fake_corpus, scan, counts, split, rows, subjects):
    found = scan("dfme", fake_corpus("dfme", full_size=True), "7class", split=split)
    size = Dfme.get_label_set("7class").expected_for(split)
    assert (found.rows, found.lost, found.sheet_variant) == (rows, [], split)
    assert counts(found) == (dict(size.counts), subjects)
    assert size.total == rows


def test_rows_say_their_split_and_rate(fake_corpus, corpus_cache):
    rows = load_corpus("dfme", fake_corpus("dfme"), cache_dir=corpus_cache)
    assert {row["split"] for row in rows} == {"train", "test_a", "test_b"}
    folders = {"train": "DFME_train", "test_a": "test_data_A/test_data_A", "test_b": "test_data_B/test_data_B"}
    for row in rows:
        assert f"/{folders[row['split']]}/" in row["frames"][0]
        assert row["clip_id"].startswith(f"dfme/{row['split']}/")
    assert set(rows["fps"]) == {500.0, 300.0, 200.0}


def test_descriptors_and_head_codes_are_units(fake_corpus, corpus_cache):
    rows = load_corpus("dfme", fake_corpus("dfme"), cache_dir=corpus_cache)
    codes = {unit["code"] for row in rows for unit in row["action_units"]}
    assert {"AD31", "AD38", "AD39", "M57", "M58", "12"} <= codes


def test_frames_count_from_zero(fake_corpus, scan):
    found = scan("dfme", fake_corpus("dfme"))
    assert any(clip.numbers[0] == 0 and clip.names[0] == "00000.png" for clip in found.clips)


def test_a_name_in_two_splits_is_two_clips(damaged_corpus, scan):
    root = damaged_corpus("dfme")
    sheet = root / "testA_full_with_AU.xlsx"
    frame = read_sheet(sheet)
    old, new = frame.loc[0, "Filename"], "sub0001_01"
    frame.loc[0, "Filename"] = new
    write_workbook(sheet, {"Sheet1": [list(frame.columns), *frame.to_numpy().tolist()]})
    folder = root / "test_data_A" / "test_data_A"
    (folder / old).rename(folder / new)
    same = [clip for clip in scan("dfme", root).clips if clip.location.name == new]
    assert {clip.record.attributes["split"] for clip in same} == {"train", "test_a"}
    assert len({clip.location for clip in same}) == 2


def test_a_download_of_one_split_is_read_and_named(fake_corpus, scan):
    root = fake_corpus("dfme", "train-only")
    found = scan("dfme", root)
    assert found.sheet_variant == "train"
    assert found.variant == "split train (training_full_with_AU.xlsx)"
    with pytest.raises(DatasetNotFoundError, match="no sheet of the split test_a"):
        scan("dfme", root, split="test_a")


def test_a_folder_that_is_itself_the_split_is_read(fake_corpus, tmp_path, scan):
    root = fake_corpus("dfme", "train-only")
    flat = shutil.copytree(root / "DFME_train", tmp_path / "frames")
    shutil.copy(root / "training_full_with_AU.xlsx", flat)
    assert len(scan("dfme", flat).clips) == len(scan("dfme", root).clips)


def test_an_impossible_rate_costs_no_clip_and_is_said(damaged_corpus, corpus_cache):
    root = damaged_corpus("dfme", "train-only")
    sheet = root / "training_full_with_AU.xlsx"
    frame = read_sheet(sheet)
    frame.loc[3, "Fps"] = 0
    write_workbook(sheet, {"Sheet1": [list(frame.columns), *frame.to_numpy().tolist()]})
    rows = load_corpus("dfme", root, cache_dir=corpus_cache)
    assert (rows[3]["fps"], rows[3]["notes"]) == (500.0, ["Fps '0' is no frame rate: 500 is assumed"])
    assert [row["notes"] for row in rows if row["notes"]] == [rows[3]["notes"]]
