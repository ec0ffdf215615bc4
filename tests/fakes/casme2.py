"""Fake CASME II downloads: three sheet versions, three packages."""

import random
from pathlib import Path

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter, spread

VARIANTS = ("2014", "2019", "updated", "2014-selected", "2014-raw", "2014-two-packages")

_SHEET_NAMES = {
    "2014": "CASME2-coding-20140508.xlsx",
    "2019": "CASME2-coding-20190701.xlsx",
    "updated": "CASME2-coding-updated.xlsx",
}
_PER_SUBJECT = (9, 13, 7, 5, 19, 5, 9, 3, 14, 14, 10, 12, 8, 4, 3, 4, 36, 3, 16, 11, 2, 2, 12, 10, 7, 17)
_MEGC_PER_SUBJECT = {
    1: 3, 2: 9, 3: 5, 4: 2, 5: 6, 6: 4, 7: 5, 8: 1, 9: 10, 11: 4, 12: 11, 13: 2, 14: 3, 15: 3, 16: 3, 17: 31, 19: 11,
    20: 2, 21: 1, 22: 2, 23: 8, 24: 3, 25: 5, 26: 11,
}  # fmt: skip
_MEGC_CLASSES = {"disgust": 61, "repression": 27, "happiness": 32, "surprise": 25}
_NOT_IN_MEGC = (("04", "EP12_01f", "disgust"), ("05", "EP09_05f", "disgust"))
_OBJECTIVE = {"1": 25, "2": 15, "3": 99, "4": 26, "5": 20, "6": 1, "7": 69}
# Clips whose errors the corpus's errata know: (onset, apex, offset) of the 2014 sheet, or an interval around the known
# apex.
_KNOWN: dict[str, tuple[int, int | str, int]] = {
    "04/EP12_01f": (261, "/", 321), "05/EP03_01": (60, 68, 80), "05/EP07_01": (70, 77, 90),
    "05/EP09_05f": (74, 74, 90),
    "05/EP16_04f": (150, 166, 170), "06/EP01_01": (90, 100, 110), "07/EP06_01": (15, 40, 68),
    "12/EP09_02": (16, 60, 101), "12/EP09_06": (66, 111, 111), "13/EP09_10": (70, 80, 90), "16/EP01_08": (73, 88, 110),
    "17/EP03_09": (120, 134, 140), "17/EP06_07": (220, 231, 240), "17/EP13_09": (45, 53, 60),
    "17/EP15_03": (320, 329, 340), "18/EP19_01": (100, 111, 120), "20/EP16_01": (71, 91, 111),
    "20/EP16_04": (95, 103, 110), "25/EP09_02": (90, 98, 105), "25/EP12_01": (145, 153, 160),
    "25/EP18_04f": (90, 98, 98), "24/EP07_01": (40, 44, 50), "24/EP07_04f": (60, 66, 70), "24/EP10_03": (80, 85, 90),
}  # fmt: skip
_UPDATED_INTERVALS = {
    "16/EP01_08": (73, 96), "07/EP06_01": (56, 116), "12/EP09_02": (161, 206), "12/EP09_06": (66, 106),
    "20/EP16_01": (71, 106),
}  # fmt: skip
# The other clips that have no apex in the updated sheet are among the known ones; these three keep theirs.
_MOVED_IN_2019 = ("24/EP07_01", "24/EP07_04f", "24/EP10_03")
_UNITS = (4, "4+7", "L12", "R14+17", "1+2", "?", "12+L10", "4+5+7")

Row = tuple[str, str, int, int | str, int, int | str, str]


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write sheets and at least one package; see [`tests.fakes.fake.make_fake_corpus`]."""
    version, _, packages = variant.partition("-")
    rows = _rows(version, rng)
    objective = _objective_classes(rows, rng)
    if not full_size:
        rows = _few(rows)
    header = [
        "Subject", "Filename", None, "OnsetFrame", "ApexFrame ", "OffsetFrame", None,
        "Action Units", "Estimated Emotion",
    ]  # fmt: skip
    body = [
        [subject if version == "2014" else int(subject), clip, None, onset, apex, offset, None, units, emotion]
        for subject, clip, onset, apex, offset, units, emotion in rows
    ]
    write_workbook(root / _SHEET_NAMES[version], {"Sheet1": [header, *body], "Sheet2": [], "Sheet3": []})
    classes = [[row[0], row[1], objective[f"{row[0]}/{row[1]}"]] for row in rows if row[:2] != ("24", "EP02_07")]
    write_workbook(
        root / "CASME2-ObjectiveClasses.xlsx", {"Sheet1": [["Subject", "Filename", "Objective Class"], *classes]}
    )
    for subject, clip, onset, _, offset, _, _ in rows:
        key = f"{subject}/{clip}"
        # The folders agree with the corrected intervals, wherever the sheet versions disagree.
        first, last = _UPDATED_INTERVALS.get(key, (onset, offset))
        folder = Path(f"sub{subject}") / clip
        if packages in ("", "two-packages"):
            frames.write(root / "Cropped" / "Cropped" / folder, range(first, last + 1), "reg_img{}.jpg")
        if packages in ("selected", "two-packages"):
            frames.write(root / "CASME2_RAW_selected" / folder, range(first, last + 1), "img{}.jpg")
        if packages == "raw":
            # Real episodes begin at frame 1; late ones are shortened here, for they would be most of the tree.
            start = 1 if onset < 100 else onset - 10
            frames.write(root / "CASME2_RAW" / "CASME2-RAW" / folder, range(start, max(last, offset) + 4), "img{}.jpg")
            frames.write(root / "CASME2_RAW" / "CASME2-RAW" / "sub01" / "EP99_99", (1, 2), "img{}.jpg")


def _rows(version: str, rng: random.Random) -> list[Row]:
    subjects = {f"{number:02d}": count for number, count in enumerate(_PER_SUBJECT, start=1)}
    megc = {f"{number:02d}": count for number, count in _MEGC_PER_SUBJECT.items()}
    fixed = {subject: sum(name == subject for name, _, _ in _NOT_IN_MEGC) for subject in subjects}
    rest = {subject: count - megc.get(subject, 0) - fixed[subject] for subject, count in subjects.items()}
    pairs = spread(_MEGC_CLASSES, megc, rng)
    # Sadness is the moved clips of sub24 and four more; subjects 10 and 18 have nothing but others.
    others = spread(
        {"others": 99, "sadness": 4, "fear": 2},
        {**rest, "24": rest["24"] - 3},
        rng,
        lambda subject, emotion: emotion == "others" or subject not in ("10", "18"),
    )
    clips: dict[str, list[tuple[str, str]]] = {subject: [] for subject in subjects}
    for subject, clip, emotion in _NOT_IN_MEGC:
        clips[subject].append((clip, emotion))
    for key in _MOVED_IN_2019:
        clips["24"].append((key[3:], "surprise" if version == "2019" else "sadness"))
    names = {subject: [key[3:] for key in _KNOWN if key[:2] == subject] for subject in subjects}
    for subject, emotion in pairs + others:
        taken = {clip for clip, _ in clips[subject]}
        known = next((name for name in names[subject] if name not in taken), None)
        clips[subject].append((known or f"EP{len(taken) + 30:02d}_{rng.randint(1, 9):02d}", emotion))
    rows = [_row(version, subject, clip, emotion, rng) for subject in subjects for clip, emotion in clips[subject]]
    if version == "updated":
        rows.insert(222, ("24", "EP02_07", 61, 91, 106, "4+9", "disgust"))
    return rows


def _row(version: str, subject: str, clip: str, emotion: str, rng: random.Random) -> Row:
    key = f"{subject}/{clip}"
    apex: int | str
    if key in _KNOWN:
        onset, apex, offset = _KNOWN[key]
        if version == "updated":
            onset, offset = _UPDATED_INTERVALS.get(key, (onset, offset))
            apex = apex if key in _MOVED_IN_2019 else "/"
    else:
        onset = rng.randint(20, 400)
        apex, offset = onset + rng.randint(1, 3), onset + rng.randint(4, 7)
    return subject, clip, onset, apex, offset, rng.choice(_UNITS), emotion


def _objective_classes(rows: list[Row], rng: random.Random) -> dict[str, int]:
    subjects: dict[str, int] = {}
    for row in rows:
        if row[:2] != ("24", "EP02_07"):
            subjects[row[0]] = subjects.get(row[0], 0) + 1
    # Every subject has a clip of the classes I to V: the first one of each gets III.
    dealt = spread(_OBJECTIVE, subjects, rng, first=dict.fromkeys(subjects, "3"))
    keys = [f"{row[0]}/{row[1]}" for row in rows if row[:2] != ("24", "EP02_07")]
    return {key: int(name) for key, (_, name) in zip(keys, dealt, strict=True)}


def _few(rows: list[Row]) -> list[Row]:
    """The known clips, and the first two of every emotion beside them."""
    seen: dict[str, int] = {}
    few = []
    for row in rows:
        known = f"{row[0]}/{row[1]}" in _KNOWN or row[:2] == ("24", "EP02_07")
        if not known:
            seen[row[6]] = seen.get(row[6], 0) + 1
        if known or seen[row[6]] <= 2:
            few.append(row)
    return few
