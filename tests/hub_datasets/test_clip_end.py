"""What the last frame of a clip is, as far as the sheet tells: the column `clip_end`."""

import csv

import pytest

from hub_datasets.records import ClipEnd


def ends(scan):
    return {clip.record.key: clip.record.end for clip in scan.clips}


def offset_zero(scan):
    return {clip.record.key for clip in scan.clips if any("clip ends at its apex" in n for n in clip.record.notes)}


@pytest.mark.parametrize("variant", ["rawpic", "rawvideo"])
def test_long_videos_of_cas_me_2_end_at_the_apex_where_the_offset_is_missing(fake_corpus, scan, variant):
    found = scan("cas_me_2", fake_corpus("cas_me_2", variant), expressions="both")
    at_apex = {key for key, end in ends(found).items() if end is ClipEnd.APEX}
    assert at_apex and at_apex == offset_zero(found)
    assert {end for key, end in ends(found).items() if key not in at_apex} == {ClipEnd.OFFSET}
    for clip in found.clips:
        assert clip.record.end is not ClipEnd.APEX or clip.apex_index == clip.offset_index


def test_samples_of_cas_me_2_end_with_their_folder_where_the_offset_is_missing(fake_corpus, scan):
    at_apex = offset_zero(scan("cas_me_2", fake_corpus("cas_me_2", "rawpic"), expressions="both"))
    found = ends(scan("cas_me_2", fake_corpus("cas_me_2", "selectedpic"), expressions="both"))
    assert {key for key, end in found.items() if end is ClipEnd.UNKNOWN} == at_apex & set(found)
    assert set(found.values()) == {ClipEnd.OFFSET, ClipEnd.UNKNOWN}


def test_samm_long_ends_at_the_apex_where_the_offset_is_missing(fake_corpus, scan):
    found = scan("samm_long", fake_corpus("samm_long"))
    for clip in found.clips:
        missing = any("the apex ends the clip" in note for note in clip.record.notes)
        assert clip.record.end is (ClipEnd.APEX if missing else ClipEnd.OFFSET)
    assert {ClipEnd.APEX, ClipEnd.OFFSET} == set(ends(found).values())


@pytest.mark.parametrize(
    ("variant", "options", "end"),
    [("hs_raw", {}, ClipEnd.UNKNOWN), ("hs_cropped", {}, ClipEnd.UNKNOWN), ("hs_e", {}, ClipEnd.OFFSET)],
)
def test_smic_knows_offsets_in_its_extended_form_alone(fake_corpus, scan, variant, options, end):
    assert set(ends(scan("smic", fake_corpus("smic", variant), **options)).values()) == {end}


def test_mmew_knows_offsets_where_sheet_and_frames_agree(fake_corpus, scan):
    for clip in scan("mmew", fake_corpus("mmew")).clips:
        whole_folder = any("all were taken, without apex" in note for note in clip.record.notes)
        assert clip.record.end is (ClipEnd.UNKNOWN if whole_folder else ClipEnd.OFFSET)


def test_mmew_does_not_know_where_a_folder_ends_that_fits_no_numbering(damaged_corpus, scan):
    root = damaged_corpus("mmew", "counted-in-recording")
    victim = next(clip for clip in scan("mmew", root).clips if clip.record.attributes.get("numbering"))
    (victim.location / victim.names[-1]).unlink()
    found = ends(scan("mmew", root))
    assert found[victim.record.key] is ClipEnd.UNKNOWN
    assert {end for key, end in found.items() if key != victim.record.key} == {ClipEnd.OFFSET}


@pytest.mark.parametrize("path", ["recordings/p01_00", "recordings/p01_film.mp4"])
@pytest.mark.parametrize(
    ("onset", "offset", "end"),
    [
        ("", "", ClipEnd.RECORDING),
        (2, 6, ClipEnd.OFFSET),
        (2, "", ClipEnd.UNKNOWN),
    ],
)
def test_custom_clips_without_an_interval_are_whole_recordings(fake_corpus, tmp_path, scan, path, onset, offset, end):
    root = tmp_path / "mine"
    root.mkdir()
    (root / "recordings").symlink_to(fake_corpus("custom", "with-video") / "recordings")
    with (root / "clips.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [("path", "subject", "label", "onset", "offset"), (path, "1", "a", onset, offset)]
        )
    (clip,) = scan("custom", root).clips
    assert clip.record.end is end


def test_a_video_that_is_shorter_than_its_offset_ends_somewhere(fake_corpus, tmp_path, scan):
    root = tmp_path / "mine"
    root.mkdir()
    (root / "recordings").symlink_to(fake_corpus("custom", "with-video") / "recordings")
    (root / "clips.csv").write_text("path,subject,label,onset,offset\nrecordings/p01_film.mp4,1,a,2,99\n")
    (clip,) = scan("custom", root).clips
    assert clip.record.end is ClipEnd.UNKNOWN
