"""SMIC: three cameras, cropped and raw, and the extended form with its sheet."""

import shutil

import pytest

from hub_datasets import DatasetNotFoundError, SheetError, Smic, load_corpus

PER_SUBJECT = {
    "s1": 6, "s2": 6, "s3": 39, "s4": 19, "s5": 2, "s6": 4, "s8": 13, "s9": 4, "s11": 7, "s12": 9, "s13": 10,
    "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22,
}  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "package", "sheet_variant", "clips", "subjects"),
    [
        ("hs_raw", "hs_raw", "hs", 164, 16),
        ("vis_cropped", "vis_cropped", "vis", 71, 8),
        ("nir_raw", "nir_raw", "nir", 71, 8),
        ("hs_e", "hs_e", "hs_e", 161, 16),
        ("hs_e_orig", "hs_e", "hs_e_orig", 162, 16),
        ("vis_e", "vis_e", "vis", 71, 8),
    ],
)
def test_full_size_gives_the_published_counts(
    fake_corpus, scan, counts, variant, package, sheet_variant, clips, subjects
):
    found = scan("smic", fake_corpus("smic", variant, full_size=True))
    expected = Smic.get_label_set("3class").expected_for(found.sheet_variant)
    assert (found.sheet_variant, expected.total, expected.subjects) == (sheet_variant, clips, subjects)
    assert counts(found) == (dict(expected.counts), subjects)
    assert found.variant.endswith(f"package {package}") and not found.lost


def test_cropped_package_reports_what_it_lacks(fake_corpus, scan, counts):
    found = scan("smic", fake_corpus("smic", "hs_cropped", full_size=True))
    assert counts(found) == ({"negative": 70, "positive": 51, "surprise": 42}, 16)
    assert [lost.clip_id for lost in found.lost] == ["smic/hs/s18_sur_03"]
    holed = {clip.record.key: clip.missing for clip in found.clips if clip.missing}
    assert holed == {"s3_po_08": 2, "s3_sur_01": 1, "s3_sur_05": 1, "s3_ne_16": 1}


def test_subjects_hold_the_published_numbers_of_clips(fake_corpus, scan):
    found = scan("smic", fake_corpus("smic", "hs_raw", full_size=True))
    assert {
        subject: sum(clip.record.subject == subject for clip in found.clips) for subject in PER_SUBJECT
    } == PER_SUBJECT


def test_further_expressions_become_the_clips_they_are_published_as(fake_corpus, scan):
    found = {clip.record.key: clip for clip in scan("smic", fake_corpus("smic", "hs_e")).clips}
    for name, of in (
        ("s3_ne_03", "s3_ne_02"),
        ("s4_ne_05", "s4_ne_04"),
        ("s4_ne_06", "s4_ne_04"),
        ("s9_sur_02", "s9_sur_01"),
    ):
        assert found[name].location == found[of].location
        assert found[name].numbers[0] > found[of].numbers[-1]
        assert of in found[name].record.notes[0]
    assert found["s4_ne_06"].numbers[0] > found["s4_ne_05"].numbers[-1]


def test_broken_further_intervals_are_ignored(fake_corpus, scan):
    """Third intervals that lie far before the clip or repeat the second, and a second before the first."""
    root = fake_corpus("smic", "hs_e")
    usual = scan("smic", root)
    more = scan("smic", root, further_expressions="include")
    assert {clip.record.key for clip in more.clips} - {clip.record.key for clip in usual.clips} == {
        "s20_ne_06/2", "s20_ne_09/2", "s20_sur_02/2", "s18_ne_01/2",
    }  # fmt: skip


def test_wrong_emotion_is_repaired(fake_corpus, scan):
    for variant in ("hs_e", "vis_e"):
        clip = next(
            clip for clip in scan("smic", fake_corpus("smic", variant)).clips if clip.record.key == "s18_sur_03"
        )
        assert clip.label == "surprise" and "negative -> surprise" in clip.record.notes[0]


def test_orig_sheet_has_its_own_rows(fake_corpus, scan):
    keys = {clip.record.key for clip in scan("smic", fake_corpus("smic", "hs_e_orig")).clips}
    assert {"s3_ne_03", "s3_ne_20", "s9_sur_02"} <= keys and not {"s1_ne_02", "s2_sur_05"} & keys


def test_extended_form_needs_its_sheet(damaged_corpus, scan):
    root = damaged_corpus("smic", "hs_e")
    (root / "SMIC-HS-E_annotation.xlsx").unlink()
    with pytest.raises(SheetError, match="kind 'hs"):
        scan("smic", root)


def test_rows_have_no_apex_and_no_action_units(fake_corpus, corpus_cache):
    dataset = load_corpus("smic", fake_corpus("smic", "vis_cropped"), cache_dir=corpus_cache)
    row = dataset[0]
    assert (row["apex_index"], row["action_units"], row["fps"]) == (None, [], 25.0)
    assert dataset.features["label"].names == ["negative", "positive", "surprise"]


def test_camera_can_be_chosen(fake_corpus, tmp_path, scan):
    root = tmp_path / "SMIC"
    for variant in ("hs_raw", "vis_cropped"):
        shutil.copytree(fake_corpus("smic", variant), root, dirs_exist_ok=True)
    assert scan("smic", root).variant == "package hs_raw"
    assert scan("smic", root, package="vis_cropped").variant == "package vis_cropped"
    with pytest.raises(DatasetNotFoundError, match="no package 'nir_raw', only hs_raw, vis_cropped"):
        scan("smic", root, package="nir_raw")


@pytest.mark.parametrize(("variant", "folder"), [("hs_raw", "SMIC_all_raw"), ("hs_cropped", "SMIC_all_cropped")])
def test_root_may_be_any_folder_above_the_subjects(fake_corpus, scan, variant, folder):
    root = fake_corpus("smic", variant)
    assert scan("smic", root / folder).variant == f"package {variant}"
    # Nothing in "HS" tells whether the faces are cropped.
    assert scan("smic", root / folder / "HS").variant == "package hs_raw"


def test_non_micro_folders_are_passed_over(fake_corpus, scan):
    found = scan("smic", fake_corpus("smic", "hs_raw"))
    assert not [clip for clip in found.clips if "non_micro" in clip.location.parts]
