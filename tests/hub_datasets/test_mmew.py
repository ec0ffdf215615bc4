"""MMEW: both trees, rows without apex and offset, a class with two names, two ways to number frames."""

import pytest

from hub_datasets import Mmew


@pytest.mark.parametrize("label_set", [label_set.name for label_set in Mmew.LABEL_SETS])
def test_full_size_gives_the_published_counts(fake_corpus, scan, counts, label_set):
    found = scan("mmew", fake_corpus("mmew", full_size=True), label_set)
    size = Mmew.get_label_set(label_set).expected_for("original")
    assert (found.rows, found.lost) == (300, [])
    assert counts(found)[0] == dict(size.counts)
    assert size.total == {"7class": 300, "6class": 234, "4class": 263, "3class": 234}[label_set]


@pytest.mark.parametrize(
    ("variant", "package", "folder"),
    [
        ("emotion_first", "emotion_first", "MMEW_Final/Micro_Expression/repression"),
        ("subject_first", "subject_first", "S0"),
        ("counted-in-recording", "emotion_first", "MMEW_Final/Micro_Expression/repression"),
    ],
)
def test_both_trees_give_the_same_clips(fake_corpus, scan, variant, package, folder):
    root = fake_corpus("mmew", variant)
    found = scan("mmew", root)
    assert found.variant == f"sheet original (MMEW_Micro_Exp.xlsx), package {package}"
    usual = scan("mmew", fake_corpus("mmew"))
    assert [(clip.record.recording, clip.numbers, clip.apex_index) for clip in found.clips] == [
        (clip.record.recording, clip.numbers, clip.apex_index) for clip in usual.clips
    ]
    others = [clip for clip in found.clips if clip.label == "others"]
    assert others and all(clip.record.emotion == "others" for clip in others)
    assert all(clip.location.relative_to(root).as_posix().startswith(folder) for clip in others)


def test_the_still_macro_expressions_are_no_clips(fake_corpus, scan):
    root = fake_corpus("mmew")
    assert (root / "MMEW_Final" / "Macro_Expression").is_dir()
    assert not [clip for clip in scan("mmew", root).clips if "Macro" in str(clip.location)]


def test_every_row_without_apex_and_offset_is_completed(fake_corpus, scan):
    found = scan("mmew", fake_corpus("mmew", full_size=True))
    by_row = {clip.record.attributes["row"]: clip for clip in found.clips}
    right = {(erratum.clip, erratum.field): erratum.right for erratum in Mmew.ERRATA}
    assert len(right) == 32
    for (row, field), value in right.items():
        clip = by_row[row]
        index = clip.apex_index if field == "apex" else clip.offset_index
        assert clip.numbers[index] == value, (row, field)
        assert any(note.startswith(f"{field} ") for note in clip.record.notes), (row, field)


def test_a_folder_that_disagrees_is_not_corrected(damaged_corpus, scan):
    root = damaged_corpus("mmew")
    clip = next(clip for clip in scan("mmew", root).clips if clip.record.attributes["row"] == "row 36")
    (clip.location / clip.names[-1]).unlink()
    changed = next(c for c in scan("mmew", root).clips if c.record.clip_id == clip.record.clip_id)
    assert changed.numbers[-1] == 3  # as the sheet says
    assert not any("->" in note for note in changed.record.notes)


def test_numbering_in_the_recording_is_recognised_and_said(fake_corpus, scan):
    found = scan("mmew", fake_corpus("mmew", "counted-in-recording"))
    assert found.remarks == ["36 of 45 clips: the sheet counts frames in the recording, the files count from the clip"]
    assert not [clip.record.clip_id for clip in found.clips if clip.missing or clip.surplus]
    assert scan("mmew", fake_corpus("mmew")).remarks == []
