"""CAS(ME)^2: micro- and macro-expressions, four packages, a sheet without headers in which zero means missing."""

import openpyxl
import pytest

from hub_datasets import CasMe2, SheetError, load_corpus


def expected(label_set, variant):
    size = CasMe2.get_label_set(label_set).expected_for(variant)
    return dict(size.counts), size.subjects


@pytest.mark.parametrize(
    ("expressions", "rows", "subjects"), [("micro", 57, 14), ("macro", 300, 20), ("both", 357, 22)]
)
def test_full_size_gives_the_published_counts(fake_corpus, scan, counts, expressions, rows, subjects):
    root = fake_corpus("cas_me_2", full_size=True)
    found = scan("cas_me_2", root, "4class", expressions=expressions)
    assert (found.rows, found.lost, found.sheet_variant) == (rows, [], expressions)
    assert counts(found) == expected("4class", expressions)
    assert counts(found)[1] == subjects
    assert counts(scan("cas_me_2", root, "3class", expressions=expressions))[0] == expected("3class", expressions)[0]


def test_micro_expressions_are_the_default(fake_corpus, scan):
    root = fake_corpus("cas_me_2")
    default, micro = scan("cas_me_2", root), scan("cas_me_2", root, expressions="micro")
    assert [clip.record.clip_id for clip in default.clips] == [clip.record.clip_id for clip in micro.clips]
    assert default.fingerprint == micro.fingerprint


def test_micro_and_macro_do_not_share_a_cache(fake_corpus, corpus_cache):
    root = fake_corpus("cas_me_2")
    ids = {
        expressions: set(load_corpus("cas_me_2", root, cache_dir=corpus_cache, expressions=expressions)["clip_id"])
        for expressions in ("micro", "macro", "both")
    }
    assert ids["micro"] and ids["macro"] and not ids["micro"] & ids["macro"]
    assert ids["both"] == ids["micro"] | ids["macro"]


@pytest.mark.parametrize(
    ("variant", "package", "folder", "sheet"),
    [
        ("selectedpic", "selectedpic", "selectedpic/selectedpic/s16/", "original"),
        ("cropped", "cropped", "cropped/16/", "original"),
        ("cropped-by-index", "cropped", "cropped/2/", "original"),
        ("rawpic", "rawpic", "rawpic/rawpic/s16/16_0", "updated"),
    ],
)
def test_every_package_is_found_and_named(fake_corpus, scan, variant, package, folder, sheet):
    root = fake_corpus("cas_me_2", variant)
    found = scan("cas_me_2", root, expressions="both")
    assert f"package {package}, both expressions" in found.variant
    assert found.variant.startswith(f"sheet {sheet} (CAS(ME)^2code_final")
    clips = [clip for clip in found.clips if clip.record.subject == "s16"]
    assert clips
    for clip in clips:
        assert folder in f"{clip.location.relative_to(root).as_posix()}/"
        assert clip.numbers[0] == clip.record.onset


def test_packages_agree_on_the_frame_numbers(fake_corpus, scan):
    numbers = {}
    for variant in ("selectedpic", "rawpic", "cropped-by-index"):
        for clip in scan("cas_me_2", fake_corpus("cas_me_2", variant), expressions="both").clips:
            numbers.setdefault(clip.record.clip_id, set()).add(tuple(clip.numbers))
    assert numbers and all(len(seen) == 1 for seen in numbers.values())


def test_samples_without_a_crop_are_reported(fake_corpus, scan):
    found = scan("cas_me_2", fake_corpus("cas_me_2", "cropped", full_size=True), expressions="both")
    assert (len(found.clips), len(found.lost)) == (341, 16)
    assert all("no folder" in lost.reason for lost in found.lost)


def test_videos_are_cut_by_position_from_zero(fake_corpus, corpus_cache):
    rows = load_corpus("cas_me_2", fake_corpus("cas_me_2", "rawvideo"), cache_dir=corpus_cache)
    for row in rows:
        assert row["frames"] == []
        assert row["video"].endswith(".avi")
        onset = int(row["clip_id"].rsplit("/", 1)[1])
        assert row["frame_numbers"][0] == onset - 1


@pytest.mark.parametrize("variant", ["rawpic", "rawvideo"])
def test_an_endless_interval_costs_one_clip_and_no_memory(fake_corpus, damaged_corpus, scan, variant):
    root = damaged_corpus("cas_me_2", variant)
    sheet = next(root.glob("*.xlsx"))
    workbook = openpyxl.load_workbook(sheet)
    workbook.worksheets[0]["E1"] = 999_999_999
    workbook.save(sheet)
    before, after = scan("cas_me_2", fake_corpus("cas_me_2", variant)), scan("cas_me_2", root)
    assert len(after.clips) + len(after.lost) == len(before.clips)
    assert max(len(clip.numbers) for clip in after.clips) < 1000


@pytest.mark.parametrize("variant", ["selectedpic", "rawpic", "rawvideo"])
def test_a_missing_offset_is_not_frame_zero(fake_corpus, scan, variant):
    found = scan("cas_me_2", fake_corpus("cas_me_2", variant))
    clip = next(clip for clip in found.clips if clip.record.notes)
    assert clip.offset_index == clip.apex_index == len(clip.numbers) - 1 == 2


def test_a_missing_apex_stays_unknown(fake_corpus, scan):
    found = scan("cas_me_2", fake_corpus("cas_me_2"))
    unknown = [clip for clip in found.clips if clip.apex_index is None]
    assert len(unknown) == 1
    assert (len(unknown[0].numbers), unknown[0].record.notes) == (5, [])


def test_self_reports_are_a_label_set_of_their_own(fake_corpus, scan):
    found = scan("cas_me_2", fake_corpus("cas_me_2", full_size=True), "4class_self_report", expressions="both")
    assert len(found.clips) == 357
    assert {clip.record.attributes["self_report"]: clip.label for clip in found.clips} == {
        "happiness": "positive",
        "surprise": "surprise",
        "anger": "negative",
        "disgust": "negative",
        "fear": "negative",
        "sadness": "negative",
        "pain": "others",
        "helpless": "others",
    }


def test_a_sheet_of_another_kind_is_named(damaged_corpus, scan):
    root = damaged_corpus("cas_me_2")
    workbook = openpyxl.Workbook()
    workbook.active.append([1, "disgust1_1", 5])
    workbook.save(root / "CAS(ME)^2code_final.xlsx")
    with pytest.raises(SheetError, match="must have 9 columns without a header, but has 3"):
        scan("cas_me_2", root)
