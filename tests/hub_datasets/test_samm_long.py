"""SAMM Long Videos: intervals in long folders, with repairs, and emotions joined from the SAMM sheet."""

import pytest

from hub_datasets import SammLong, SheetError, load_corpus


def test_full_size_gives_the_published_counts(fake_corpus, scan, counts):
    root = fake_corpus("samm_long", full_size=True)
    by_type = scan("samm_long", root)
    assert counts(by_type)[0] == {"micro": 159, "macro": 343}
    assert len({clip.record.recording for clip in by_type.clips}) == 147
    micro = {clip.record.subject for clip in by_type.clips if clip.label == "micro"}
    assert len(micro) == 29
    for name in ("5class", "3class"):
        (expected,) = SammLong.get_label_set(name).expected
        assert counts(scan("samm_long", root, name)) == (dict(expected.counts), expected.subjects)


@pytest.mark.parametrize("variant", ["V3", "V1"])
def test_sheet_versions_and_artefacts(fake_corpus, scan, variant):
    found = scan("samm_long", fake_corpus("samm_long", variant))
    assert found.sheet_variant == variant and not found.lost
    # Rows that span a whole video are no expressions.
    assert not [clip for clip in found.clips if clip.record.key.startswith("006_1_99")]


def test_missing_offset_ends_at_the_apex(fake_corpus, scan):
    found = {clip.record.key: clip for clip in scan("samm_long", fake_corpus("samm_long")).clips}
    clip = found["006_1_2/micro"]
    assert clip.offset_index == clip.apex_index and "offset 0" in clip.record.notes[0]


def test_emotions_need_the_samm_sheet(fake_corpus, scan):
    root = fake_corpus("samm_long", "V3-without-emotions")
    assert scan("samm_long", root).clips
    with pytest.raises(SheetError, match="'emotions'"):
        scan("samm_long", root, "5class")


def test_rows_are_cut_from_the_long_video(fake_corpus, corpus_cache):
    dataset = load_corpus("samm_long", fake_corpus("samm_long"), cache_dir=corpus_cache)
    row = dataset[0]
    assert len(row["frames"]) == row["frame_numbers"][-1] - row["frame_numbers"][0] + 1 < 32
    assert dataset.features["label"].names == ["micro", "macro"]
