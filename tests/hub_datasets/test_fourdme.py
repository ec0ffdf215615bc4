"""4DME: the gray videos in three copies, compound emotions, frame numbers stored as floats."""

import pytest

from hub_datasets import FourDme, load_corpus


@pytest.mark.parametrize("variant", ["gray", "gray_crop", "gray_registered"])
def test_every_copy_is_read_whole(fake_corpus, scan, counts, variant):
    found = scan("fourdme", fake_corpus("fourdme", variant, full_size=True))
    assert (found.rows, len(found.clips), found.lost) == (267, 267, [])
    assert counts(found)[1] == 41
    assert found.variant == f"sheet release (4DME_Labelling_Micro_release v1.xlsx), package {variant}"
    assert not [clip.record.clip_id for clip in found.clips if clip.missing or clip.surplus]


def test_compound_emotions_count_once_or_not_at_all(fake_corpus, scan, counts):
    root = fake_corpus("fourdme")
    first, single, three = (scan("fourdme", root, label_set.name) for label_set in FourDme.LABEL_SETS)
    compound = [clip for clip in first.clips if "+" in clip.record.emotion]
    assert compound
    assert {clip.label for clip in compound if clip.record.emotion == "surprise+positive"} == {"surprise"}
    assert len(single.clips) == len(first.clips) - len(compound)
    assert set(counts(three)[0]) == {"positive", "negative", "surprise"}


def test_frames_counted_from_the_clip_and_from_the_recording_meet(fake_corpus, scan):
    found = scan("fourdme", fake_corpus("fourdme"))
    starts = {clip.numbers[0] == 1 for clip in found.clips}
    assert starts == {True, False}
    for clip in found.clips:
        assert (len(clip.numbers), clip.offset_index) == (5, 4)
    assert "the files count from the clip" in found.remarks[0]


def test_a_folder_of_another_length_is_taken_whole(damaged_corpus, scan):
    root = damaged_corpus("fourdme")
    victim = next(clip for clip in scan("fourdme", root).clips if clip.numbers[0] == 1)
    (victim.location / victim.names[-1]).unlink()
    clip = next(c for c in scan("fourdme", root).clips if c.record.clip_id == victim.record.clip_id)
    assert (clip.numbers, clip.apex_index) == ([1, 2, 3, 4], None)
    assert "all were taken" in clip.record.notes[0]


def test_the_erratum_is_applied_where_the_apex_is_impossible(fake_corpus, scan):
    found = scan("fourdme", fake_corpus("fourdme"))
    clip = next(clip for clip in found.clips if clip.record.key == "row 26")
    assert clip.apex_index == 2
    assert clip.record.notes[0].startswith("apex 9999 -> 2490")


def test_kept_units_are_left_out(fake_corpus, corpus_cache):
    rows = load_corpus("fourdme", fake_corpus("fourdme", full_size=True), cache_dir=corpus_cache)
    codes = {tuple(unit["side"] + unit["code"] for unit in row["action_units"]) for row in rows}
    assert codes == {("4",), ("4", "7"), ("L12",), ("1", "2"), ("45",)}
