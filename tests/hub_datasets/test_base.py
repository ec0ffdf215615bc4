"""What every corpus inherits: discovery, cutting, repairs, errors and a cache that is never stale."""

import io
import os
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import datasets
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_datasets import Casme2, DatasetNotFoundError, SheetError, UnknownLabelSetError, load_corpus
from hub_datasets.base import clip_features
from hub_datasets.errors import CorpusError, CorpusOptionError
from hub_datasets.records import RENDERED_MANIFEST, ClipRecord, Erratum, Wrong
from hub_datasets.scanning.cells import (
    as_frame_number,
    as_objective_class,
    as_subject_number,
    as_text,
    normalise_emotion,
)
from hub_datasets.scanning.cutting import LostClip, apply_errata, cut_clip
from hub_datasets.scanning.folders import FrameListing


def record(**changes):
    values = {
        "key": "s/c", "clip_id": "x/s/c/10", "subject": "s", "recording": "s/c", "folder_parts": ("s", "c"),
        "onset": 10, "apex": 12, "offset": 15, "emotion": "disgust",
    }  # fmt: skip
    return ClipRecord(**(values | changes))


def listing(tmp_path, numbers, left_out=(), by_position=False):
    names = [f"img{number}.jpg" for number in numbers]
    return FrameListing(tmp_path, list(numbers), names, left_out, by_position)


# Cells and names


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        (None, None), ("", None), ("/", None), (float("nan"), None), (float("inf"), None), (True, None),
        ("MISSING <-426679", None), (12, 12), (12.0, 12), ("12", 12), (" 012 ", 12), ("12.0", 12), (1e300, None),
    ],
)  # fmt: skip
def test_frame_numbers_of_cells(cell, number):
    assert as_frame_number(cell) == number


@pytest.mark.parametrize(("cell", "number"), [("01", 1), (1, 1), (1.0, 1), ("sub01", 1), ("s03", 3), ("x", None)])
def test_subject_numbers_of_cells(cell, number):
    assert as_subject_number(cell) == number


def test_words_of_cells():
    assert [as_text(cell) for cell in (None, float("nan"), 7.0, 7, " a ")] == ["", "", "7", "7", "a"]
    assert [normalise_emotion(word) for word in (" Other", "Others", "comtempt", "Happiness ")] == [
        "others", "others", "contempt", "happiness",
    ]  # fmt: skip
    assert [as_objective_class(cell) for cell in (1, "4", "vii", 8, None)] == ["I", "IV", "VII", "", ""]


# Cutting


def test_cut_takes_the_interval(tmp_path):
    clip = cut_clip(record(), listing(tmp_path, range(1, 30)), label="a", only_interval=False)
    assert (clip.numbers, clip.onset_index, clip.apex_index, clip.offset_index) == (list(range(10, 16)), 0, 2, 5)
    assert (clip.missing, clip.surplus, clip.record.notes) == (0, 0, [])


def test_cut_reports_missing_and_surplus_frames(tmp_path):
    clip = cut_clip(
        record(), listing(tmp_path, (8, 10, 13, 15, 16), left_out=("img10(1).jpg",)), label="a", only_interval=True
    )
    assert (clip.numbers, clip.missing, clip.surplus) == ([10, 13, 15], 3, 3)
    # The apex 12 has no file: 13 is the nearest.
    assert clip.apex_index == 1
    assert len(clip.record.notes) == 4


@pytest.mark.parametrize(
    ("changes", "numbers", "reason"),
    [
        ({}, (), "no frames"),
        ({}, (1, 2), "none of the interval"),
        ({"offset": 5}, (10, 11), "before onset"),
    ],
)
def test_clip_without_frames_is_lost(tmp_path, changes, numbers, reason):
    outcome = cut_clip(record(**changes), listing(tmp_path, numbers), label="a", only_interval=False)
    assert isinstance(outcome, LostClip) and reason in outcome.reason


@pytest.mark.parametrize("changes", [{"onset": None, "offset": None}, {"offset": None}, {"offset": 0}])
def test_incomplete_interval_takes_the_whole_folder(tmp_path, changes):
    clip = cut_clip(record(apex=None, **changes), listing(tmp_path, range(10, 14)), label="a", only_interval=True)
    assert (clip.numbers, clip.apex_index) == ([10, 11, 12, 13], None)
    assert bool(clip.record.notes) == (changes.get("onset", 10) is not None)


@pytest.mark.parametrize(
    ("apex", "index", "notes"), [(None, None, 0), (10, 0, 0), (15, 5, 0), (9, None, 1), (99, None, 1)]
)
def test_apex_may_be_absent_at_the_edge_or_outside(tmp_path, apex, index, notes):
    clip = cut_clip(record(apex=apex), listing(tmp_path, range(10, 16)), label="a", only_interval=True)
    assert (clip.apex_index, len(clip.record.notes)) == (index, notes)


_NUMBERS = st.none() | st.integers(-50, 400)


@given(
    numbers=st.lists(st.integers(0, 300), unique=True, max_size=60).map(sorted),
    onset=_NUMBERS,
    apex=_NUMBERS,
    offset=_NUMBERS,
    only_interval=st.booleans(),
)
def test_whatever_sheet_and_folder_say_a_clip_is_sound(numbers, onset, apex, offset, only_interval):
    clip = record(onset=onset, apex=apex, offset=offset)
    outcome = cut_clip(clip, listing(Path("folder"), numbers), label="a", only_interval=only_interval)
    if isinstance(outcome, LostClip):
        assert outcome.reason
        return
    assert outcome.numbers == sorted(set(outcome.numbers)) and set(outcome.numbers) <= set(numbers)
    assert outcome.names == [f"img{number}.jpg" for number in outcome.numbers]
    assert 0 == outcome.onset_index <= outcome.offset_index == len(outcome.numbers) - 1
    assert outcome.apex_index is None or 0 <= outcome.apex_index <= outcome.offset_index
    if onset is not None and offset is not None and onset <= offset:
        assert outcome.numbers == [number for number in numbers if onset <= number <= offset]
        assert outcome.missing == offset - onset + 1 - len(outcome.numbers)
        if apex is not None and onset <= apex <= offset:
            nearest = min(abs(number - apex) for number in outcome.numbers)
            assert abs(outcome.numbers[outcome.apex_index] - apex) == nearest
    # Nothing is repaired in silence.
    repaired = outcome.missing or outcome.surplus or (apex is not None and outcome.apex_index is None)
    assert not repaired or outcome.record.notes


@pytest.mark.parametrize(
    ("wrong", "changes", "applied"),
    [
        (12, {}, True),
        (13, {}, False),
        (None, {"apex": None}, True),
        (Wrong.OUTSIDE_INTERVAL, {"apex": 99}, True),
        (Wrong.OUTSIDE_INTERVAL, {}, False),
        (Wrong.OUTSIDE_INTERVAL, {"apex": None}, False),
        (Wrong.ANYTHING_ELSE, {}, True),
        (Wrong.ANYTHING_ELSE, {"apex": 14}, False),
    ],
)
def test_erratum_applies_only_to_the_error_it_knows(wrong, changes, applied):
    clip = record(**changes)
    apply_errata([clip], [Erratum("s/c", "apex", wrong, 14, "because", "someone")])
    assert (clip.apex == 14 and len(clip.notes) == 1) == applied
    assert applied == any("because (someone)" in note for note in clip.notes)


# Errors


def test_absent_root_says_what_to_do(tmp_path):
    with pytest.raises(DatasetNotFoundError) as raised:
        load_corpus("casme2", tmp_path / "nowhere")
    message = str(raised.value)
    assert str(tmp_path / "nowhere") in message and "there is no such folder" in message
    assert Casme2.EXPECTED_TREE in message and Casme2.ACCESS_PAGE in message
    assert isinstance(raised.value, FileNotFoundError) and isinstance(raised.value, CorpusError)
    assert str(pickle.loads(pickle.dumps(raised.value))) == message


@pytest.mark.parametrize("what", ["no data_dir", "file", "empty", "strangers", "loop", "no frames", "no sheet"])
def test_wrong_roots_are_named(what, tmp_path, damaged_corpus):
    root = tmp_path / "root"
    expected = {
        "no data_dir": "no data_dir was given",
        "file": "a file, not a folder",
        "empty": "the folder is empty",
        "strangers": "it holds holiday/, notes.txt",
        "loop": "cannot be followed|no such folder",
        "no frames": "no folder with frames.*unpack Cropped.zip first",
        "no sheet": "no annotation sheet",
    }[what]
    if what == "file":
        root.touch()
    elif what in ("empty", "strangers"):
        root.mkdir()
    elif what == "loop":
        root.symlink_to(root)
    elif what in ("no frames", "no sheet"):
        root = damaged_corpus("casme2")
    if what == "strangers":
        (root / "holiday").mkdir()
        (root / "notes.txt").touch()
    if what == "no frames":
        shutil.rmtree(root / "Cropped")
        (root / "Cropped.zip").touch()
    if what == "no sheet":
        (root / "CASME2-coding-20140508.xlsx").unlink()
    with pytest.raises(DatasetNotFoundError, match=expected):
        Casme2(data_dir=None if what == "no data_dir" else root, cache_dir=tmp_path / "cache")


def test_unknown_names_are_refused(fake_corpus, corpus_cache):
    root = fake_corpus("casme2")
    with pytest.raises(UnknownLabelSetError, match="'9class' was given"):
        Casme2(data_dir=root, config_name="9class", cache_dir=corpus_cache)
    with pytest.raises(CorpusOptionError, match="'croped' was given"):
        Casme2(data_dir=root, package="croped", cache_dir=corpus_cache)
    with pytest.raises(CorpusOptionError, match="colour"):
        Casme2(data_dir=root, colour="red", cache_dir=corpus_cache)
    with pytest.raises(DatasetNotFoundError, match="no package 'raw', only cropped"):
        Casme2(data_dir=root, package="raw", cache_dir=corpus_cache)
    with pytest.raises(DatasetNotFoundError, match="no annotation sheet of the version 2019"):
        Casme2(data_dir=root, sheet="2019", cache_dir=corpus_cache)


def test_damaged_sheets_are_named(damaged_corpus, corpus_cache):
    root = damaged_corpus("casme2")
    sheet = root / "CASME2-coding-20140508.xlsx"
    workbook = openpyxl.load_workbook(sheet)
    workbook.worksheets[0]["D1"] = "Start"
    workbook.save(sheet)
    with pytest.raises(SheetError, match="OnsetFrame"):
        Casme2(data_dir=root, cache_dir=corpus_cache)
    sheet.write_bytes(b"PK\x03\x04 not a workbook")
    with pytest.raises(SheetError, match="CASME2-coding"):
        Casme2(data_dir=root, cache_dir=corpus_cache)


def test_sheet_row_with_nonsense_costs_that_clip_alone(damaged_corpus, scan):
    root = damaged_corpus("casme2")
    before = scan("casme2", root)
    sheet = root / "CASME2-coding-20140508.xlsx"
    workbook = openpyxl.load_workbook(sheet)
    page = workbook.worksheets[0]
    row = next(row for row in page.iter_rows(min_row=2) if row[8].value == "others")
    row[3].value, row[5].value, row[7].value = "soon", -4, "???"
    page.append(["03", "../../etc", None, 1, 2, 3, None, 4, "disgust"])
    page.append([None, None, None, "remark"])
    workbook.save(sheet)
    after = scan("casme2", root)
    assert len(after.clips) == len(before.clips)
    assert after.rows == before.rows + 1
    assert [lost.reason for lost in after.lost] == ["no folder sub03/../../etc in this package"]


def test_duplicate_rows_are_reported(damaged_corpus, scan):
    root = damaged_corpus("casme2")
    workbook = openpyxl.load_workbook(root / "CASME2-coding-20140508.xlsx")
    page = workbook.worksheets[0]
    page.append([cell.value for cell in page[2]])
    workbook.save(root / "CASME2-coding-20140508.xlsx")
    assert [lost.reason for lost in scan("casme2", root, "7class").lost] == ["the sheet lists this clip twice"]


# Losses on disk


def test_lost_folders_and_frames_do_not_cost_the_corpus(damaged_corpus, scan):
    root = damaged_corpus("casme2")
    whole = scan("casme2", root, "7class")
    victims = [clip for clip in whole.clips if not clip.record.notes][:3]
    shutil.rmtree(victims[0].location)
    for name in victims[1].names:
        (victims[1].location / name).unlink()
    (victims[2].location / victims[2].names[1]).unlink()
    found = scan("casme2", root, "7class")
    assert len(found.clips) == len(whole.clips) - 2
    assert {lost.clip_id for lost in found.lost} == {clip.record.clip_id for clip in victims[:2]}
    holed = next(clip for clip in found.clips if clip.record.key == victims[2].record.key)
    assert holed.missing == 1 and "1 of the" in holed.record.notes[0]


def test_frame_sets_without_any_clip_are_no_dataset(damaged_corpus, corpus_cache):
    root = damaged_corpus("casme2")
    for path in root.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(DatasetNotFoundError, match="no usable clip"):
        load_corpus("casme2", root, cache_dir=corpus_cache)


# Discovery


@pytest.mark.parametrize(
    "new_place",
    ["Cropped", "CROPPED/Cropped", "CASME2_preprocessed_Li Xiaobai/Cropped", "data/Cropped-updated/Cropped"],
)
def test_any_nesting_is_found(damaged_corpus, scan, new_place):
    root = damaged_corpus("casme2")
    (root / "Cropped" / "Cropped").rename(root / "moved")
    shutil.rmtree(root / "Cropped")
    (root / new_place).parent.mkdir(parents=True, exist_ok=True)
    (root / "moved").rename(root / new_place)
    found = scan("casme2", root)
    assert found.clips and not found.lost and found.variant.endswith("package cropped")


@pytest.mark.parametrize("name", ["a::b", "zip:: c", "ü #%25 [x]"])
def test_any_folder_name_will_do(fake_corpus, tmp_path, corpus_cache, name):
    """`datasets` takes '::' for a chain of addresses, once a builder has been made."""
    root = tmp_path / name
    shutil.copytree(fake_corpus("casme2"), root)
    for _ in range(2):
        dataset = load_corpus("casme2", root, cache_dir=corpus_cache)
        assert dataset[0]["frames"][0].startswith(str(root))


def test_names_that_are_no_text_are_passed_over(damaged_corpus, corpus_cache, tmp_path):
    """File systems take any bytes; rows are UTF-8."""
    root = damaged_corpus("casme2")
    before = len(load_corpus("casme2", root, cache_dir=corpus_cache))
    folder = next(path for path in sorted(root.rglob("EP30_*")) if path.is_dir())
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/img\xff7.jpg")).touch()
        Path(os.fsdecode(os.fsencode(root) + b"/\xff")).mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    assert len(load_corpus("casme2", root, cache_dir=corpus_cache)) == before
    with pytest.raises(DatasetNotFoundError, match="not valid UTF-8"):
        Casme2(data_dir=os.fsdecode(os.fsencode(root) + b"/\xff"), cache_dir=corpus_cache)


def test_letter_case_and_subject_padding_do_not_matter(damaged_corpus, scan):
    root = damaged_corpus("casme2")
    before = len(scan("casme2", root).clips)
    folder = root / "Cropped" / "Cropped" / "sub01"
    for clip in list(folder.iterdir()):
        clip.rename(folder / clip.name.lower())
    folder.rename(folder.with_name("Sub1"))
    assert len(scan("casme2", root).clips) == before


def test_root_may_be_the_package_itself(damaged_corpus, scan):
    root = damaged_corpus("casme2", "2014-selected")
    package = root / "CASME2_RAW_selected"
    (root / "CASME2-coding-20140508.xlsx").rename(package / "CASME2-coding-20140508.xlsx")
    assert scan("casme2", package).variant.endswith("package selected")


def test_the_frames_and_not_the_sheet_tell_whether_people_were_recorded(damaged_corpus, corpus_cache, tmp_path):
    frames = damaged_corpus("casme2", "2014-selected")
    rendered = tmp_path / "both" / "a"
    rendered.mkdir(parents=True)
    (rendered / RENDERED_MANIFEST).write_text("{}")
    (frames / "CASME2-coding-20140508.xlsx").rename(rendered / "CASME2-coding-20140508.xlsx")
    frames.rename(tmp_path / "both" / "b")
    builder = Casme2(data_dir=tmp_path / "both", cache_dir=corpus_cache)
    assert builder.scan.clips
    assert not builder.is_rendered
    assert builder.rendered_roots == {}
    (tmp_path / "both" / "b" / RENDERED_MANIFEST).write_text("{}")
    assert Casme2(data_dir=tmp_path / "both", cache_dir=corpus_cache).is_rendered


# Rows and cache


def test_builder_the_long_way(fake_corpus, corpus_cache):
    builder = Casme2(data_dir=fake_corpus("casme2"), config_name="5class", cache_dir=corpus_cache)
    builder.download_and_prepare()
    dataset = builder.as_dataset()["train"]
    assert dataset.features == clip_features(dataset.features["label"].names)
    assert len(dataset) == len(builder.scan.clips)
    assert not builder.faces_may_be_published
    assert not builder.is_rendered


def test_frames_are_decoded_only_when_asked_for(fake_corpus, corpus_cache):
    dataset = load_corpus("casme2", fake_corpus("casme2"), cache_dir=corpus_cache)
    pictures = dataset.cast_column("frames", datasets.List(datasets.Image(mode="L")))
    assert pictures[0]["frames"][0].size == (16, 16)
    assert isinstance(dataset[0]["frames"][0], str)


def test_several_processes_write_the_same_rows(fake_corpus, tmp_path):
    root = fake_corpus("casme2")
    one = load_corpus("casme2", root, cache_dir=tmp_path / "one")
    two = load_corpus("casme2", root, cache_dir=tmp_path / "two", num_proc=2)
    assert one.to_list() == two.to_list()


def test_rows_are_never_stale(damaged_corpus, corpus_cache):
    root = damaged_corpus("casme2")

    def load():
        return load_corpus("casme2", root, "7class", cache_dir=corpus_cache)

    first = load()
    again = load()
    assert first.cache_files == again.cache_files
    # an edited sheet
    sheet = root / "CASME2-coding-20140508.xlsx"
    workbook = openpyxl.load_workbook(sheet)
    workbook.worksheets[0].delete_rows(2)
    workbook.save(sheet)
    second = load()
    assert len(second) == len(first) - 1
    # a frame taken away, then put back
    frame = second[0]["frames"][-1]
    shutil.move(frame, root / "aside")
    third = load()
    assert third[0]["frames"] == second[0]["frames"][:-1] and third[0]["notes"] != second[0]["notes"]
    shutil.move(root / "aside", frame)
    assert load().to_list() == second.to_list()


def test_cache_is_found_again_by_another_process(fake_corpus, corpus_cache):
    """Sets are ordered anew in every process; the cache key must not depend on it."""
    code = (
        "from hub_datasets import Casme2; import sys;"
        "print(Casme2(data_dir=sys.argv[1], config_name='3class', cache_dir=sys.argv[2]).cache_dir)"
    )
    folders = set()
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code, str(fake_corpus("casme2")), str(corpus_cache)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        folders.add(run.stdout.strip())
    assert len(folders) == 1


def test_folders_are_listed_once_and_no_frame_is_opened(fake_corpus, corpus_cache, monkeypatch):
    root = fake_corpus("casme2")
    listed = Counter()
    opened = []
    real_scandir, real_open = os.scandir, io.open

    def counting_scandir(folder):
        listed[str(folder)] += 1
        return real_scandir(folder)

    def counting_open(path, *arguments, **keywords):
        opened.append(str(path))
        return real_open(path, *arguments, **keywords)

    monkeypatch.setattr(os, "scandir", counting_scandir)
    monkeypatch.setattr(io, "open", counting_open)
    monkeypatch.setattr("builtins.open", counting_open)
    builder = Casme2(data_dir=root, config_name="7class", cache_dir=corpus_cache)
    clip_folders = [str(clip.location) for clip in builder.scan.clips]
    assert clip_folders and all(listed[folder] == 1 for folder in clip_folders)
    assert not [path for path in opened if path.endswith(".jpg")]


def test_relative_data_dir_is_made_absolute(fake_corpus, corpus_cache, monkeypatch):
    root = fake_corpus("casme2")
    monkeypatch.chdir(root.parent)
    row = load_corpus("casme2", root.name, cache_dir=corpus_cache)[0]
    assert row["frames"][0].startswith(str(root))
