import os
import shutil

import datasets
import pytest

from hub_datasets import (
    CorpusOptionError,
    DatasetNotFoundError,
    UnknownLabelSetError,
    get_builder_class,
    load_corpus,
)
from hub_datasets.check import check_corpus
from tests.fakes.fake import FAKE_CORPORA

CORPORA = [name for name in FAKE_CORPORA if name != "custom"]  # custom data has label sets and a sheet of its own


def first_frame(root):
    images = (path for path in root.rglob("*") if path.suffix.lower() in {".jpg", ".png", ".bmp"})
    return min(images)


@pytest.mark.parametrize("name", CORPORA)
def test_rows_keep_the_contract(fake_corpus, corpus_cache, name):
    rows = load_corpus(name, fake_corpus(name), cache_dir=corpus_cache)
    assert isinstance(rows, datasets.Dataset)
    assert len(rows) > 4
    assert len(set(rows["clip_id"])) == len(rows)
    # SMIC codes no action units; of any other corpus none at all means that their column is read under a wrong role.
    assert any(rows["action_units"]) is (name != "smic")
    for row in rows:
        assert row["clip_id"].startswith(f"{row['corpus']}/")
        assert row["subject"] and row["recording"]
        assert row["fps"] > 0
        assert row["frame_numbers"] == sorted(set(row["frame_numbers"]))
        assert (row["onset_index"], row["offset_index"]) == (0, len(row["frame_numbers"]) - 1)
        assert row["apex_index"] is None or 0 <= row["apex_index"] <= row["offset_index"]
        assert row["clip_end"] in {"offset", "apex", "recording", "unknown"}
        assert row["clip_end"] != "apex" or row["apex_index"] == row["offset_index"]
        assert all(os.path.isabs(path) and os.path.isfile(path) for path in row["frames"])
        assert len(row["frames"]) == len(row["frame_numbers"])
        assert row["video"] is None
        assert 0 <= row["label"] < rows.features["label"].num_classes


@pytest.mark.parametrize("name", CORPORA)
def test_no_pixel_enters_the_rows(fake_corpus, corpus_cache, name):
    rows = load_corpus(name, fake_corpus(name), cache_dir=corpus_cache)
    assert not any("Image" in str(feature) or "binary" in str(feature) for feature in rows.features.values())
    assert get_builder_class(name).faces_may_be_published is False


@pytest.mark.parametrize("name", CORPORA)
def test_an_absent_root_says_what_is_needed(tmp_path, name):
    builder_class = get_builder_class(name)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for root, found in (("absent", "no such folder"), ("file", "a file, not a folder"), ("empty", "empty")):
        with pytest.raises(DatasetNotFoundError) as error:
            builder_class(data_dir=tmp_path / root)
        assert isinstance(error.value, FileNotFoundError)
        message = str(error.value)
        assert str(tmp_path / root) in message and found in message
        assert builder_class.EXPECTED_TREE in message
        assert (builder_class.REMEDY or builder_class.ACCESS_PAGE) in message
        assert ("licensed" in message) == (not builder_class.REMEDY)


@pytest.mark.parametrize("name", CORPORA)
def test_unknown_label_sets_and_options_name_the_known_ones(fake_corpus, name):
    builder_class = get_builder_class(name)
    with pytest.raises(UnknownLabelSetError, match=builder_class.LABEL_SETS[0].name):
        builder_class(data_dir=fake_corpus(name), config_name="no such label set")
    with pytest.raises(CorpusOptionError, match="package"):
        builder_class(data_dir=fake_corpus(name), no_such_option="1")
    with pytest.raises(CorpusOptionError, match="'no such package'"):
        builder_class(data_dir=fake_corpus(name), package="no such package")


@pytest.mark.parametrize("name", CORPORA)
def test_a_lost_folder_costs_its_clips_and_no_others(damaged_corpus, name):
    root = damaged_corpus(name)
    builder_class = get_builder_class(name)
    builder = builder_class(data_dir=root)
    before, victim = builder.scan, builder.scan.clips[0]
    shutil.rmtree(victim.location)
    after = builder_class(data_dir=root).scan
    gone = {clip.record.clip_id for clip in before.clips if clip.location == victim.location}
    assert {clip.record.clip_id for clip in after.clips} == {clip.record.clip_id for clip in before.clips} - gone
    if builder.layout.sheets:  # SMIC's plain release has no sheet that could miss a folder
        assert gone <= {lost.clip_id for lost in after.lost}
    assert all(lost.reason for lost in after.lost)


@pytest.mark.parametrize("name", CORPORA)
def test_a_lost_frame_is_reported_and_changes_the_cache(damaged_corpus, corpus_cache, name):
    root = damaged_corpus(name)
    before = load_corpus(name, root, cache_dir=corpus_cache)
    place, victim = next((place, row) for place, row in enumerate(before) if len(row["frames"]) > 2)
    os.remove(victim["frames"][1])
    after = load_corpus(name, root, cache_dir=corpus_cache)
    assert after[place]["frames"] == [path for path in victim["frames"] if path != victim["frames"][1]]
    report = check_corpus(get_builder_class(name)(data_dir=root))
    assert report.missing_frames > 0 or report.repaired
    assert report.exit_code == 1


@pytest.mark.parametrize("name", CORPORA)
def test_a_frame_that_is_text_is_found_when_opened(damaged_corpus, name):
    root = damaged_corpus(name)
    clip = get_builder_class(name)(data_dir=root).scan.clips[0]
    victim = clip.location / clip.names[0]
    victim.write_text("this is no image")
    builder = get_builder_class(name)(data_dir=root)
    assert str(victim) not in str(check_corpus(builder).unreadable)
    assert any(item.get("path") == str(victim) for item in check_corpus(builder, deep=True).unreadable)


@pytest.mark.parametrize("name", CORPORA)
def test_a_loop_of_links_is_survived(damaged_corpus, name):
    root = damaged_corpus(name)
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "self").symlink_to(root / "self")
    here = first_frame(root).parent
    (here / "999999.jpg").symlink_to(here / "999999.jpg")
    assert get_builder_class(name)(data_dir=root).scan.clips


@pytest.mark.parametrize("name", CORPORA[:2])
def test_a_relative_root_becomes_absolute(fake_corpus, corpus_cache, name, monkeypatch):
    root = fake_corpus(name)
    monkeypatch.chdir(root.parent)
    rows = load_corpus(name, root.name, cache_dir=corpus_cache)
    assert all(path.startswith(str(root)) for row in rows for path in row["frames"])


@pytest.mark.parametrize("name", CORPORA)
def test_every_erratum_states_reason_and_source(name):
    for erratum in get_builder_class(name).ERRATA:
        assert erratum.reason and erratum.source and erratum.clip
        assert erratum.field in {"onset", "apex", "offset", "interval", "emotion", "action_units"}


@pytest.mark.parametrize("name", CORPORA)
def test_every_label_set_is_whole(name):
    label_sets = get_builder_class(name).LABEL_SETS
    assert len({label_set.name for label_set in label_sets}) == len(label_sets)
    for label_set in label_sets:
        assert label_set.description
        assert set(label_set.mapping.values()) == set(label_set.names)
        for expected in label_set.expected:
            assert set(expected.counts) == set(label_set.names)


@pytest.mark.parametrize("name", CORPORA)
def test_the_data_sheet_tells_what_a_user_must_know(name):
    builder_class = get_builder_class(name)
    for point in ("Subjects", "Labels", "Access", "Cite"):
        assert f"**{point}" in (builder_class.__doc__ or ""), point
    assert builder_class.CITATION and builder_class.EXPECTED_TREE and builder_class.TITLE and builder_class.LICENSE
