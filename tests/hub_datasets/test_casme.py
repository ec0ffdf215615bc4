import shutil
from collections import Counter

import pytest

from hub_datasets import Casme, SheetError, load_corpus
from hub_datasets.scanning.sheets import read_sheet
from tests.fakes.fake import fake_variants


def by_id(builder):
    return {clip.record.clip_id: clip for clip in builder.scan.clips}


@pytest.mark.parametrize("label_set", [label_set.name for label_set in Casme.LABEL_SETS])
def test_full_size_has_the_published_counts(fake_corpus, label_set):
    builder = Casme(data_dir=fake_corpus("casme", full_size=True), config_name=label_set)
    expected = builder.label_set.expected_for("merged")
    assert Counter(clip.label for clip in builder.scan.clips) == expected.counts
    assert builder.scan.rows == 189
    if expected.subjects is not None:
        assert len({clip.record.subject for clip in builder.scan.clips}) == expected.subjects == 18


@pytest.mark.parametrize("variant", fake_variants("casme"))
def test_every_variant_gives_the_same_clips_and_says_which_it_is(fake_corpus, variant):
    builder = Casme(data_dir=fake_corpus("casme", variant), config_name="8class")
    assert not builder.scan.lost
    usual = Casme(data_dir=fake_corpus("casme"), config_name="8class")
    assert {key: clip.numbers for key, clip in by_id(builder).items()} == {
        key: clip.numbers for key, clip in by_id(usual).items()
    }
    sheet, package = {
        "cropped": ("sheet merged (casme.xlsx)", "package cropped"),
        "selected": ("sheet merged (casme.xlsx)", "package selected"),
        "sections": ("sheet sections (Section A.xls)", "package raw"),
    }[variant]
    assert builder.scan.variant == f"{sheet}, {package}"


@pytest.mark.parametrize("variant", fake_variants("casme"))
@pytest.mark.parametrize(
    ("clip", "first", "last", "apex"),
    [
        ("sub03/EP09_3/1", 101, 119, 110),
        ("sub03/EP09_4/157", 57, 74, 65),
        ("sub06/EP02_5/7", 7, 40, 20),
        ("sub13/EP08_5/130", 130, 142, 135),
    ],
)
def test_every_erratum_is_applied_where_the_frames_agree(fake_corpus, variant, clip, first, last, apex):
    found = by_id(Casme(data_dir=fake_corpus("casme", variant), config_name="8class"))[f"casme/{clip}"]
    assert (found.numbers[0], found.numbers[-1]) == (first, last)
    assert found.numbers[found.apex_index] == apex
    assert any("the sheet does not fit the frames" in note for note in found.record.notes)


def test_the_erratum_of_row_40_is_applied(fake_corpus):
    builder = Casme(data_dir=fake_corpus("casme", full_size=True), config_name="8class")
    found = by_id(builder)["casme/sub03/EP07_1/10"]
    assert (found.numbers[0], found.numbers[-1], found.numbers[found.apex_index]) == (100, 149, 120)


def test_a_right_sheet_is_not_corrected(damaged_corpus):
    root = damaged_corpus("casme", "selected")
    folder = root / "CASME_raw_selected" / "sub13" / "EP08_5"
    for number in range(143, 173):
        shutil.copy(folder / "EP08_5-130.jpg", folder / f"EP08_5-{number}.jpg")
    found = by_id(Casme(data_dir=root, config_name="8class"))["casme/sub13/EP08_5/130"]
    assert (found.numbers[0], found.numbers[-1], found.record.notes) == (130, 172, [])


def test_one_episode_gives_several_clips_with_frames_of_their_own(fake_corpus):
    builder = Casme(data_dir=fake_corpus("casme", full_size=True), config_name="8class")
    clips = [clip for clip in builder.scan.clips if clip.record.recording == "sub06/EP02_5"]
    assert len(clips) == 6
    assert len({clip.record.clip_id for clip in clips}) == len({clip.record.key for clip in clips}) == 6
    assert all(clip.location == clips[0].location and not clip.missing for clip in clips)
    shared = Counter(clip.record.recording for clip in builder.scan.clips)
    assert sum(count for count in shared.values() if count > 1) == 33


def test_padded_and_unpadded_frames_sort_by_number(fake_corpus, corpus_cache):
    rows = load_corpus("casme", fake_corpus("casme", "selected"), "8class", corpus_cache)
    row = next(row for row in rows if row["subject"] == "sub13")
    assert row["frames"][0].endswith("EP08_5-130.jpg")
    assert row["frame_numbers"] == sorted(row["frame_numbers"])


def test_the_misspelt_emotion_counts(fake_corpus):
    assert "comtempt" in read_sheet(fake_corpus("casme", full_size=True) / "casme.xlsx")["Emotion"].to_list()


def test_the_second_section_alone_is_read(damaged_corpus):
    root = damaged_corpus("casme", "sections")
    shutil.rmtree(root / "CASME" / "RAW" / "CASME_A")
    builder = Casme(data_dir=root, config_name="8class")
    assert builder.scan.variant == "sheet section_b (Section B.xls), package raw"
    assert {int(clip.record.subject[3:]) > 7 for clip in builder.scan.clips} == {True}


def test_a_sheet_without_emotions_is_named(damaged_corpus):
    root = damaged_corpus("casme")
    (root / "casme.xlsx").unlink()
    (root / "casme.csv").write_text("Subject,Filename,OnsetF,ApexF1,OffsetF,AU\n1,EP01,100,102,105,4\n")
    with pytest.raises(SheetError, match=r"casme\.csv must have a column Emotion"):
        Casme(data_dir=root)
