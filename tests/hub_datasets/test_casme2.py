"""CASME II: three sheet versions, three packages, every erratum, every published count."""

import pytest

from hub_datasets import Casme2, load_corpus
from hub_datasets.scanning.cells import as_frame_number
from hub_datasets.scanning.sheets import read_sheet

SHEETS = ("2014", "2019", "updated")


@pytest.mark.parametrize("version", SHEETS)
def test_full_size_gives_the_published_counts(fake_corpus, scan, counts, version):
    root = fake_corpus("casme2", version, full_size=True)
    for label_set in Casme2.LABEL_SETS:
        found = scan("casme2", root, label_set.name)
        expected = label_set.expected_for(version)
        assert counts(found) == (dict(expected.counts), expected.subjects), label_set.name
        assert (found.rows, found.lost) == (256 if version == "updated" else 255, [])


def test_published_totals():
    totals = {
        (size.variant, label_set.name): (size.total, size.subjects)
        for label_set in Casme2.LABEL_SETS
        for size in label_set.expected
    }
    assert totals[("2014", "5class")] == (246, 26)
    assert totals[("updated", "5class")] == (247, 26)
    assert totals[("2019", "5class")] == (249, 26)
    assert totals[("", "3class")] == (145, 24)
    assert totals[("", "objective")] == (185, 26)
    assert totals[("", "objective7")][0] == 255


@pytest.mark.parametrize(
    ("variant", "package", "prefix"),
    [
        ("2014", "cropped", "reg_img"),
        ("2014-selected", "selected", "img"),
        ("2014-raw", "raw", "img"),
        ("2014-two-packages", "cropped", "reg_img"),
    ],
)
def test_packages_give_the_same_frame_numbers(fake_corpus, scan, variant, package, prefix):
    found = scan("casme2", fake_corpus("casme2", variant), "7class")
    assert found.variant.endswith(f"package {package}")
    # sub16/EP01_08 ends at 96 only in the packages that hold the interval alone.
    clip = next(clip for clip in found.clips if clip.record.key == "sub24/EP07_01")
    assert (clip.numbers, clip.apex_index) == (list(range(40, 51)), 4)
    assert clip.names == [f"{prefix}{number}.jpg" for number in range(40, 51)]
    assert not [clip.record.clip_id for clip in found.clips if clip.missing or clip.surplus]


def test_package_and_sheet_can_be_chosen(fake_corpus, scan):
    root = fake_corpus("casme2", "2014-two-packages")
    assert scan("casme2", root, package="selected").variant.endswith("package selected")
    assert "2014" in scan("casme2", root, sheet="2014").variant


def test_every_apex_that_the_updated_sheet_lacks_is_filled_in(fake_corpus, scan):
    found = scan("casme2", fake_corpus("casme2", "updated"), "7class")
    by_key = {clip.record.key: clip for clip in found.clips}
    repaired = [erratum for erratum in Casme2.ERRATA if erratum.field == "apex"]
    assert len(repaired) == 21
    for erratum in repaired:
        clip = by_key[erratum.clip]
        assert clip.numbers[clip.apex_index] == erratum.right, erratum.clip
        assert any(note.startswith("apex None ->") for note in clip.record.notes), erratum.clip


@pytest.mark.parametrize(
    ("clip", "interval"),
    [
        ("sub16/EP01_08", (73, 96)),
        ("sub07/EP06_01", (56, 116)),
        ("sub12/EP09_02", (161, 206)),
        ("sub12/EP09_06", (66, 106)),
        ("sub20/EP16_01", (71, 106)),
    ],
)
def test_frames_decide_where_sheets_disagree(fake_corpus, scan, clip, interval):
    found = {clip.record.key: clip for clip in scan("casme2", fake_corpus("casme2", "2014"), "7class").clips}
    assert (found[clip].numbers[0], found[clip].numbers[-1]) == interval
    assert found[clip].missing == found[clip].surplus == 0
    assert "fit this interval" in found[clip].record.notes[0]


def test_raw_package_keeps_the_interval_of_the_sheet(fake_corpus, scan):
    """A whole episode holds either interval, so that the frames cannot decide."""
    found = {clip.record.key: clip for clip in scan("casme2", fake_corpus("casme2", "2014-raw"), "7class").clips}
    assert (found["sub12/EP09_02"].numbers[0], found["sub12/EP09_02"].numbers[-1]) == (16, 101)


def test_renamed_sheet_is_told_by_its_content(damaged_corpus, scan):
    for version in SHEETS:
        root = damaged_corpus("casme2", version)
        sheet = next(root.glob("CASME2-coding-*"))
        sheet.rename(root / "casme2_coding.xlsx")
        assert scan("casme2", root).sheet_variant == version
        for path in root.rglob("*"):
            if path.is_file():
                path.unlink()
        root.rename(root.with_name(f"done_{version}"))


def test_objective_classes_need_their_sheet(damaged_corpus, scan):
    root = damaged_corpus("casme2")
    (root / "CASME2-ObjectiveClasses.xlsx").unlink()
    with pytest.raises(ValueError, match=r"kind 'objective' .* put it beside"):
        scan("casme2", root, "objective")
    assert scan("casme2", root, "5class").clips


def test_rows_have_the_contract_types(fake_corpus, corpus_cache):
    dataset = load_corpus("casme2", fake_corpus("casme2"), "5class", cache_dir=corpus_cache)
    row = dataset[0]
    assert row["clip_id"] == f"casme2/{row['recording']}/{row['frame_numbers'][0]}"
    assert row["corpus"] == "casme2" and row["subject"].startswith("sub")
    assert len(row["frames"]) == len(row["frame_numbers"]) == row["offset_index"] + 1
    assert row["onset_index"] == 0 and row["video"] is None and row["fps"] == 200.0
    assert dataset.features["label"].names == ["surprise", "happiness", "disgust", "repression", "others"]
    assert dataset.features["label"].int2str(row["label"]) == row["emotion"]


def test_sheet_of_the_fake_has_the_real_quirks(fake_corpus):
    frame = read_sheet(next(fake_corpus("casme2").glob("CASME2-coding-*")))
    assert "ApexFrame" in frame.columns and "Unnamed: 2" not in frame.columns
    assert frame["Subject"].map(type).eq(str).all()
    slash = frame[frame["Filename"] == "EP12_01f"].iloc[0]
    assert slash["ApexFrame"] == "/" and as_frame_number(slash["ApexFrame"]) is None
