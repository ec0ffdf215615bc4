"""CAS(ME)^3: part A as clips and as videos, part C, both sheets of part A, depth beside the frames."""

import shutil

import pytest

from hub_datasets import CasMe3, DatasetNotFoundError, UnknownLabelSetError, load_corpus
from hub_datasets.scanning.sheets import read_sheet


def by_key(found):
    return {clip.record.key: clip for clip in found.clips}


@pytest.mark.parametrize(
    ("variant", "sheet", "rows", "subjects"),
    [("clips", "v2", 860, 94), ("v1", "v1", 921, 95), ("part_c", "part_c", 165, 30)],
)
def test_full_size_gives_the_published_counts(fake_corpus, scan, counts, variant, sheet, rows, subjects):
    root = fake_corpus("cas_me_3", variant, full_size=True)
    checked = 0
    for label_set in CasMe3.LABEL_SETS:
        size = label_set.expected_for(sheet)
        if size is None:
            continue
        found = scan("cas_me_3", root, label_set.name)
        assert (found.rows, found.sheet_variant, found.lost) == (rows, sheet, [])
        found_counts, found_subjects = counts(found)
        assert found_counts == {name: count for name, count in size.counts.items() if count}, label_set.name
        assert size.subjects in (None, found_subjects), label_set.name
        if size.total == rows:
            assert found_subjects == subjects
            checked += 1
    assert checked


def test_published_totals():
    totals = {
        (label_set.name, size.variant): (size.total, size.subjects)
        for label_set in CasMe3.LABEL_SETS
        for size in label_set.expected
    }
    assert totals["7class", "v2"] == (860, 94)
    assert totals["7class_merclip", "v2"] == (857, 94)
    assert totals["4class", "v2"] == (860, 94)
    assert totals["3class", "v2"] == (699, 88)
    assert totals["3class_htnet", "v2"][0] == 687
    assert totals["7class", "v1"] == (921, 95)
    assert totals["4class", "part_c"] == (165, 30)


@pytest.mark.parametrize("variant", ["clips", "videos", "v1"])
@pytest.mark.parametrize(
    ("clip", "first", "last", "apex"),
    [
        ("spNO.149/d/112", 112, 215, 160),
        ("spNO.216/d/3647", 2647, 2653, 2650),
        ("spNO.216/e/0", 1, 20, 12),
        ("spNO.40/e/no offset 1", 1840, 1845, 1842),
        ("spNO.40/e/no offset 2", 2400, 2403, 2401),
        ("spNO.214/c/5", 5, 34, 9),
    ],
)
def test_every_erratum_is_applied(fake_corpus, scan, variant, clip, first, last, apex):
    found = by_key(scan("cas_me_3", fake_corpus("cas_me_3", variant)))[clip]
    assert (found.numbers[0], found.numbers[-1], found.numbers[found.apex_index]) == (first, last, apex)
    sources = tuple(f"({erratum.source})" for erratum in CasMe3.ERRATA if erratum.clip == clip)
    assert sources and any("->" in note and note.endswith(sources) for note in found.record.notes)


def test_every_erratum_is_exercised(fake_corpus, scan):
    keys = by_key(scan("cas_me_3", fake_corpus("cas_me_3")))
    assert {erratum.clip for erratum in CasMe3.ERRATA} <= keys.keys()


@pytest.mark.parametrize(
    ("variant", "package"), [("clips", "clips"), ("videos", "videos"), ("v1", "clips"), ("part_c", "part_c")]
)
def test_the_package_is_named(fake_corpus, scan, variant, package):
    assert scan("cas_me_3", fake_corpus("cas_me_3", variant), "4class").variant.endswith(f"package {package}")


def test_upper_case_videos_and_folders_are_found(fake_corpus, scan):
    for variant in ("clips", "videos"):
        found = by_key(scan("cas_me_3", fake_corpus("cas_me_3", variant)))
        assert found["spNO.14/j/40"].numbers == [40, 41, 42, 43, 44]


def test_one_video_holds_many_clips(fake_corpus, scan):
    found = scan("cas_me_3", fake_corpus("cas_me_3", "videos"))
    shared = [clip for clip in found.clips if clip.record.recording == "spNO.217/a"]
    assert len(shared) == 6
    assert len({clip.location for clip in shared}) == 1
    assert len({clip.record.clip_id for clip in found.clips}) == len(found.clips)


def test_gaps_are_reported(fake_corpus, scan):
    clip = by_key(scan("cas_me_3", fake_corpus("cas_me_3")))["spNO.2/e/138"]
    assert (clip.numbers, clip.missing) == ([138, 140, 141], 1)


@pytest.mark.parametrize("variant", ["clips", "videos", "part_c"])
def test_depth_lies_parallel_to_the_frames(fake_corpus, corpus_cache, variant):
    rows = load_corpus("cas_me_3", fake_corpus("cas_me_3", variant), "4class", cache_dir=corpus_cache)
    assert sum(path is not None for row in rows for path in row["depth_frames"]) > len(rows)
    for row in rows:
        assert len(row["depth_frames"]) == len(row["frames"])
        for path, depth in zip(row["frames"], row["depth_frames"], strict=True):
            assert depth is None or depth.rsplit("/", 1)[1] == path.rsplit("/", 1)[1].replace(".jpg", ".png")
    if variant == "clips":  # the fake lacks the last depth image of every clip
        assert any(row["depth_frames"][-1] is None for row in rows)


def test_without_depth_the_column_is_empty(damaged_corpus, corpus_cache):
    root = damaged_corpus("cas_me_3")
    shutil.rmtree(root / "Part_A_ME_clip" / "Part_A_ME_clip" / "depth")
    rows = load_corpus("cas_me_3", root, cache_dir=corpus_cache)
    assert all(row["depth_frames"] == [] for row in rows)


def test_a_new_depth_image_is_not_served_stale(damaged_corpus, corpus_cache):
    root = damaged_corpus("cas_me_3")
    before = load_corpus("cas_me_3", root, cache_dir=corpus_cache)[0]
    missing = before["frames"][-1].replace("/frame/", "/depth/").replace(".jpg", ".png")
    shutil.copy(before["depth_frames"][0], missing)
    assert load_corpus("cas_me_3", root, cache_dir=corpus_cache)[0]["depth_frames"][-1] == missing


def test_the_part_can_be_chosen(fake_corpus, scan):
    root = fake_corpus("cas_me_3", "two-parts")
    assert "package clips" in scan("cas_me_3", root, "4class").variant
    assert "package clips" in scan("cas_me_3", root, "4class", part="A").variant
    assert "package part_c" in scan("cas_me_3", root, "4class", part="C").variant
    assert "package part_c" in scan("cas_me_3", root, "4class", sheet="part_c").variant


def test_a_part_that_is_not_there_is_an_error(fake_corpus, scan):
    with pytest.raises(DatasetNotFoundError, match="no annotation sheet"):
        scan("cas_me_3", fake_corpus("cas_me_3", "clips"), "4class", part="C")


@pytest.mark.parametrize("label_set", ["7class", "objective"])
def test_part_c_has_no_such_classes(fake_corpus, scan, label_set):
    with pytest.raises(UnknownLabelSetError, match="label sets 4class, 3class, but"):
        scan("cas_me_3", fake_corpus("cas_me_3", "part_c"), label_set)


def test_part_c_reads_its_comma_joined_units(fake_corpus, corpus_cache):
    root = fake_corpus("cas_me_3", "part_c", full_size=True)
    cells = read_sheet(root / "annotation" / "CAS(ME)3_part_C_ME.xlsx", sheet="mockCrimeME")["au"].to_list()
    assert {4, "4,7,", "?", "4\uff0c7"} <= set(cells)
    rows = load_corpus("cas_me_3", root, "4class", cache_dir=corpus_cache)
    units = [[unit["code"] for unit in row["action_units"]] for row in rows]
    assert [units[cells.index(cell)] for cell in (4, "4,7,", "?", "4\uff0c7")] == [["4"], ["4", "7"], [], ["4", "7"]]
    assert all(row["apex_index"] is None for row in rows)


def test_the_sheet_of_all_expressions_has_macro_expressions_too(fake_corpus, scan, counts):
    root = fake_corpus("cas_me_3", "all_v2", full_size=True)
    found = scan("cas_me_3", root, "expression_type")
    assert found.variant == "sheet all_v2 (CAS(ME)3_part_A_v2.xls), package all_clips"
    assert counts(found) == ({"micro": 860, "macro": 3346}, 98)
    assert (found.rows, found.lost) == (4206, [])
    # the same onset of the same video may begin a micro- and a macro-expression
    assert {"spNO.214/k/4", "spNO.214/k/4/macro"} <= by_key(found).keys()
    with pytest.raises(UnknownLabelSetError, match="expression_type, objective, objective7, but '7class'"):
        scan("cas_me_3", root)


def test_occluded_clips_can_be_dropped(fake_corpus, scan):
    root = fake_corpus("cas_me_3")
    kept, dropped = scan("cas_me_3", root), scan("cas_me_3", root, occluded="drop")
    assert kept.rows - dropped.rows == 15
    assert by_key(kept).keys() - by_key(dropped).keys() >= {"spNO.214/b/5", "spNO.215/f/2183"}
    assert kept.fingerprint != dropped.fingerprint
