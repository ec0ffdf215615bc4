"""Fake SMIC and SMIC-E downloads."""

import random
from pathlib import Path
from typing import Any

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter, spread

VARIANTS = ("hs_cropped", "hs_raw", "vis_cropped", "nir_raw", "hs_e", "hs_e_orig", "vis_e")

_HS_PER_SUBJECT = {
    "s1": 6, "s2": 6, "s3": 39, "s4": 19, "s5": 2, "s6": 4, "s8": 13, "s9": 4, "s11": 7, "s12": 9, "s13": 10,
    "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22,
}  # fmt: skip
# Only the totals are published: 71 clips of 8 subjects.
_VIS_PER_SUBJECT = {"s11": 7, "s12": 9, "s13": 10, "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22}
_CODES = {"negative": "ne", "positive": "po", "surprise": "sur"}
_HS_CLASSES = {"negative": 70, "positive": 51, "surprise": 43}
_VIS_CLASSES = {"negative": 23, "positive": 28, "surprise": 20}
# Clips that errata and protocols name; each subject has at least these.
_NAMED = (
    "s1_ne_02", "s2_sur_05", "s3_ne_02", "s3_ne_03", "s3_ne_16", "s3_ne_20", "s3_sur_01", "s3_sur_05", "s3_po_08",
    "s4_ne_04", "s4_ne_05", "s4_ne_06", "s9_sur_01", "s9_sur_02", "s18_ne_01", "s18_sur_03", "s20_ne_06",
    "s20_ne_09", "s20_sur_02",
)  # fmt: skip
_NOT_IN_E = ("s1_ne_02", "s2_sur_05", "s3_ne_03", "s3_ne_20", "s4_ne_05", "s4_ne_06", "s9_sur_02")
_NOT_IN_ORIG = ("s1_ne_02", "s2_sur_05")
_MISSING_WHEN_CROPPED = {"s3_po_08": 2, "s3_sur_01": 1, "s3_sur_05": 1, "s3_ne_16": 1}
# Second expressions in the sheet, as (onset, offset) counted from the first frame; the last one lies before the first.
_SECOND = {
    "s3_ne_02": (20, 26), "s4_ne_04": (20, 26), "s9_sur_01": (20, 26), "s20_ne_06": (20, 26), "s20_ne_09": (20, 26),
    "s20_sur_02": (20, 26), "s18_ne_01": (20, 26), "s18_sur_03": (1, 4),
}  # fmt: skip
_CLIP_FRAMES = 6
_LONG_FRAMES = 45


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the folders of one camera, and the sheet for SMIC-E; see [`tests.fakes.fake.make_fake_corpus`]."""
    camera, _, form = variant.partition("_")
    clips = _clips(camera, full_size, rng)
    if form in ("e", "e_orig"):
        _make_extended(root, camera, form, clips, frames)
        return
    package = root / f"SMIC_all_{form}" / camera.upper()
    template = "reg_image{:06d}.bmp" if form == "cropped" else "image{:06d}.bmp"
    for clip, emotion in clips:
        subject = clip.partition("_")[0]
        if variant == "hs_cropped" and clip == "s18_sur_03":
            continue
        first, missing = _first_frame(clip), _MISSING_WHEN_CROPPED.get(clip, 0) if form == "cropped" else 0
        numbers = [first, *range(first + 1 + missing, first + _CLIP_FRAMES)]
        frames.write(package / subject / "micro" / emotion / clip, numbers, template)
    frames.write(package / "s1" / "non_micro" / "s1_non_01", range(10, 12), template)


def _make_extended(root: Path, camera: str, form: str, clips: list[tuple[str, str]], frames: FrameWriter) -> None:
    left_out = _NOT_IN_ORIG if form == "e_orig" else _NOT_IN_E if camera == "hs" else ()
    second = ["Onset2F", "Offset2F"]
    third = [] if form == "e_orig" or camera == "vis" else ["Onset3F", "Offset3F"]
    header: list[Any] = ["Subject", "Filename", None, "OnsetF", "OffsetF", *second, *third, None, "FirstF", "Emotion"]
    rows: list[list[Any]] = []
    for clip, emotion in clips:
        if clip in left_out:
            continue
        subject, first = clip.partition("_")[0], _first_frame(clip)
        folder = root / "SMIC-E_raw image" / f"{camera.upper()}_long" / f"SMIC-{camera.upper()}-E"
        # Long clips are what SMIC-E is about; those with a single expression need not be so long to show it.
        numbers = range(first, first + (_LONG_FRAMES if clip in _SECOND else _LONG_FRAMES // 2))
        frames.write(folder / f"s{int(subject[1:]):02d}" / clip, numbers, "image{:06d}.jpg")
        written = "negative" if clip == "s18_sur_03" else emotion
        further: list[int | None] = (
            _further(clip, first, with_third=bool(third)) if camera == "hs" else [None] * (2 + len(third))
        )
        first_cell = "MISSING <-426679" if clip == "s3_ne_20" else first
        rows.append([int(subject[1:]), clip, None, first + 6, first + 14, *further, None, first_cell, written])
    remarks: list[list[Any]] = [[None], [None, "Frames are counted from the start of the recording."]]
    name = "SMIC-HS-E_annotation_orig.xlsx" if form == "e_orig" else "SMIC-HS-E_annotation.xlsx"
    write_workbook(root / name, {camera.upper(): [header, *rows, *remarks], "Sheet2": []})


def _further(clip: str, first: int, with_third: bool) -> list[int | None]:
    onset, offset = _SECOND.get(clip, (None, None))
    if onset is None or offset is None:
        return [None] * (4 if with_third else 2)
    cells: list[int | None] = [first + onset, first + offset]
    if not with_third:
        return cells
    if clip == "s4_ne_04":
        return [*cells, first + 32, first + 40]
    if clip == "s9_sur_01":
        return [*cells, *cells]  # repeats the second
    if clip == "s3_ne_02":
        return [*cells, None, None]
    return [*cells, 12, 20]  # a broken formula: far before the clip


def _clips(camera: str, full_size: bool, rng: random.Random) -> list[tuple[str, str]]:
    """Clip names and emotions; the codes of a subject number its clips of that emotion."""
    per_subject = _HS_PER_SUBJECT if camera == "hs" else _VIS_PER_SUBJECT
    classes = _HS_CLASSES if camera == "hs" else _VIS_CLASSES
    named = [clip for clip in _NAMED if clip.partition("_")[0] in per_subject]
    emotion_of = {code: emotion for emotion, code in _CODES.items()}
    fixed = [(clip, emotion_of[clip.split("_")[1]]) for clip in named]
    left_classes = {emotion: count - sum(emotion == other for _, other in fixed) for emotion, count in classes.items()}
    left_subjects = {
        subject: count - sum(clip.partition("_")[0] == subject for clip in named)
        for subject, count in per_subject.items()
    }
    clips = list(fixed)
    taken = set(named)
    for subject, emotion in spread(left_classes, left_subjects, rng):
        number = 1
        while (clip := f"{subject}_{_CODES[emotion]}_{number:02d}") in taken:
            number += 1
        taken.add(clip)
        clips.append((clip, emotion))
    if full_size:
        return clips
    return fixed + [clip for clip in clips[len(fixed) :] if clip[0].endswith("_01")][:6]


def _first_frame(clip: str) -> int:
    """A start of the recording that differs between clips; some have six digits, some seven."""
    subject, code, number = clip[1:].split("_")
    return int(subject) * 60_000 + len(code) * 20_000 + int(number) * 100
