"""SAMM: the sheet below its notes, two frame paddings, every erratum, every published count."""

import pytest

from hub_datasets import Samm, load_corpus


def test_full_size_gives_the_published_counts(fake_corpus, scan, counts):
    root = fake_corpus("samm", full_size=True)
    for label_set in Samm.LABEL_SETS:
        found = scan("samm", root, label_set.name)
        (expected,) = label_set.expected
        assert counts(found) == (dict(expected.counts), expected.subjects), label_set.name
        assert (found.rows, found.lost) == (159, [])


def test_published_totals():
    sizes = {label_set.name: label_set.expected[0] for label_set in Samm.LABEL_SETS}
    totals = {name: (size.total, size.subjects) for name, size in sizes.items()}
    assert totals == {
        "5class": (136, 27), "3class": (133, 28), "3class_small": (110, 26), "4class": (136, 27), "8class": (159, 29),
        "objective": (68, 21), "objective7": (159, 29),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "package"), [("frames", "frames"), ("cropped", "cropped"), ("frames-2018", "frames")]
)
def test_variants_give_the_same_clips(fake_corpus, scan, variant, package):
    found = scan("samm", fake_corpus("samm", variant), "8class")
    usual = scan("samm", fake_corpus("samm"), "8class")
    assert found.variant.endswith(f"package {package}") and not found.lost
    assert [(clip.record.clip_id, clip.numbers, clip.label) for clip in found.clips] == [
        (clip.record.clip_id, clip.numbers, clip.label) for clip in usual.clips
    ]


def test_root_may_be_the_cropped_package(damaged_corpus, scan):
    root = damaged_corpus("samm", "cropped")
    (root / "SAMM_Micro_FACS_Codes_v2.xlsx").rename(root / "SAMM_CROP" / "SAMM_Micro_FACS_Codes_v2.xlsx")
    assert scan("samm", root / "SAMM_CROP").variant.endswith("package cropped")


def test_every_erratum_is_applied_and_said(fake_corpus, scan):
    found = {clip.record.key: clip for clip in scan("samm", fake_corpus("samm"), "8class").clips}
    for erratum in Samm.ERRATA:
        clip = found[erratum.clip]
        value = clip.numbers[clip.apex_index] if erratum.field == "apex" else clip.numbers[-1]
        assert value == erratum.right, erratum.clip
        assert any(erratum.source in note for note in clip.record.notes), erratum.clip
        assert clip.missing == clip.surplus == 0


def test_both_paddings_are_read(fake_corpus, scan):
    found = {clip.record.key: clip for clip in scan("samm", fake_corpus("samm"), "8class").clips}
    assert found["006_1_2"].names[0] == "006_05562.jpg" and found["006_1_2"].numbers[0] == 5562
    digits = {len(name.partition("_")[2].partition(".")[0]) for clip in found.values() for name in clip.names}
    assert digits == {4, 5}


def test_alternatives_of_action_units_are_kept(fake_corpus, corpus_cache):
    rows = {row["clip_id"]: row for row in load_corpus("samm", fake_corpus("samm"), "8class", cache_dir=corpus_cache)}
    units = rows["samm/011/011_4_2/900"]["action_units"]
    assert [(unit["code"], unit["side"]) for unit in units] == [("12", "L"), ("14", "L")]
    assert units[0]["alternative"] == units[1]["alternative"] > 0
    assert rows["samm/006/006_2_4/180"]["action_units"][0]["intensity"] == "B"
