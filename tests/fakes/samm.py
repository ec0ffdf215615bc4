"""Fake SAMM downloads: the sheet below its notes, frames of 4 and 5 digits."""

import random
from pathlib import Path
from typing import Any

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter, spread

VARIANTS = ("frames", "cropped", "frames-2018")

PER_SUBJECT = {
    "006": 11, "007": 10, "009": 4, "010": 4, "011": 20, "012": 3, "013": 6, "014": 11, "015": 3, "016": 5, "017": 6,
    "018": 4, "019": 3, "020": 9, "021": 2, "022": 5, "023": 1, "024": 1, "025": 4, "026": 13, "028": 3, "030": 3,
    "031": 1, "032": 6, "033": 5, "034": 3, "035": 9, "036": 1, "037": 3,
}  # fmt: skip
_MEGC_PER_SUBJECT = {
    "006": 11, "007": 8, "009": 4, "010": 4, "011": 20, "012": 3, "013": 6, "014": 10, "015": 3, "016": 5, "017": 4,
    "018": 3, "019": 1, "020": 4, "021": 2, "022": 5, "023": 1, "024": 1, "026": 9, "028": 3, "030": 3, "031": 1,
    "032": 4, "033": 5, "034": 3, "035": 8, "036": 1, "037": 1,
}  # fmt: skip
_CLASSES = {
    "Anger": 57, "Happiness": 26, "Surprise": 15, "Contempt": 12, "Disgust": 9, "Fear": 8, "Sadness": 6,
}  # fmt: skip
_OBJECTIVE = {"1": 24, "2": 13, "3": 20, "4": 8, "5": 3, "6": 7, "7": 84}
_WITHOUT_I_TO_V = ("010", "013", "017", "023", "024", "025", "031", "034")
# Clips that errata and protocols name: onset, apex, offset of the sheet, and its action units.
_KNOWN: dict[str, tuple[int, int, int, str | int]] = {
    "006_1_2": (5562, 5565, 5570, "4"),
    "006_2_4": (180, 184, 188, "7B"),
    "007_6_1": (700, 704, 708, "(R6 or R12) + R15"),
    "007_6_5": (800, 804, 808, "(R6 or R12) + R15"),
    "011_4_2": (900, 904, 908, "L12 or L14"),
    "013_1_9": (5730, 5735, 5799, "12+15 "),
    "014_5_2": (400, 404, 408, "L12 or L14"),
    "028_4_1": (1080, 1060, 1130, 4),
    "032_3_1": (4920, 4990, 4960, "R14+17+soft focus"),
    "032_3_2": (5120, 5127, 5135, "ref(7B)+43"),
    "035_7_2": (300, 304, 308, "A/L12"),
    "037_3_2": (3196, 3200, 3204, "T18+B18"),
}
_UNITS = (4, "4+7", "12 + 15", "7B", "A12B", "10A/B", "L12", "R14+17")
_NOTES = (
    "SAMM Micro Movements",
    "Please cite the database paper.",
    None,
    "'/' = or",
    "'?' = unclear offset",
    "L, R, A",
)
_FIRST_DATA_ROW = 15


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the sheet and one package; see [`tests.fakes.fake.make_fake_corpus`]."""
    rows = micro_rows(rng)
    if not full_size:
        rows = few_rows(rows)
    if variant == "frames-2018":
        name = "SAMM_20181215_Micro_FACS_Codes_v2.xlsx"
        rows = [[int(row[0]), *row[1:9], "Others" if row[9] == "Other" else row[9], *row[10:]] for row in rows]
    else:
        name = "SAMM_Micro_FACS_Codes_v2.xlsx"
    write_micro_sheet(root / name, rows)
    package = root / ("SAMM_CROP" if variant == "cropped" else "SAMM")
    for number, row in enumerate(rows):
        subject, clip, onset, offset = f"{int(row[0]):03d}", row[1], row[3], row[5]
        digits = 5 if onset > 999 or number % 5 == 0 else 4
        last = 5739 if clip == "013_1_9" else offset
        frames.write(package / subject / clip, range(onset, last + 1), subject + f"_{{:0{digits}d}}.jpg")


def write_micro_sheet(path: Path, rows: list[list[Any]]) -> None:
    """Write rows below the notes and the header, which stands in row 14."""
    header = [
        "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
        "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
    ]  # fmt: skip
    notes = [[_NOTES[index] if index < len(_NOTES) else None] for index in range(_FIRST_DATA_ROW - 2)]
    write_workbook(path, {"MICRO_ONLY": [*notes, header, *rows]})


def micro_rows(rng: random.Random) -> list[list[Any]]:
    """The 159 rows of the sheet, its formulas included."""
    megc = spread(
        _CLASSES,
        _MEGC_PER_SUBJECT,
        rng,
        # Subjects 024 and 036 have nothing but disgust; all others stay in the small sets, which leave disgust out.
        first={subject: "Disgust" if subject in ("024", "036") else "Anger" for subject in _MEGC_PER_SUBJECT},
    )
    emotions: dict[str, list[str]] = {subject: [] for subject in PER_SUBJECT}
    for subject, emotion in megc:
        emotions[subject].append(emotion)
    for subject, count in PER_SUBJECT.items():
        emotions[subject] += ["Other"] * (count - len(emotions[subject]))
    classes = _objective_classes(rng)
    rows: list[list[Any]] = []
    for subject, words in emotions.items():
        names = [clip for clip in _KNOWN if clip.startswith(subject)]
        names += [f"{subject}_{10 + index // 4}_{index % 4 + 1}" for index in range(len(words) - len(names))]
        for clip, emotion, objective in zip(names, words, classes[subject], strict=True):
            rows.append(_row(_FIRST_DATA_ROW + len(rows), subject, clip, emotion, int(objective), rng))
    return rows


def _row(line: int, subject: str, clip: str, emotion: str, objective: int, rng: random.Random) -> list[Any]:
    if clip in _KNOWN:
        onset, apex, offset, units = _KNOWN[clip]
    else:
        onset = rng.randint(20, 900)
        apex, offset, units = onset + rng.randint(1, 3), onset + rng.randint(4, 7), rng.choice(_UNITS)
    duration = f"=F{line}-D{line}+1"
    return [subject, clip, 1, onset, apex, offset, duration, "Micro - 1/2", units, emotion, objective, None]


def _objective_classes(rng: random.Random) -> dict[str, list[str]]:
    dealt = spread(
        _OBJECTIVE,
        PER_SUBJECT,
        rng,
        lambda subject, name: name in "67" if subject in _WITHOUT_I_TO_V else True,
        first={subject: "1" for subject in PER_SUBJECT if subject not in _WITHOUT_I_TO_V},
    )
    classes: dict[str, list[str]] = {}
    for subject, name in dealt:
        classes.setdefault(subject, []).append(name)
    return classes


def few_rows(rows: list[list[Any]]) -> list[list[Any]]:
    """The known clips, and the first two of every emotion beside them; formulas follow their new lines."""
    seen: dict[str, int] = {}
    few: list[list[Any]] = []
    for row in rows:
        if row[1] not in _KNOWN:
            seen[row[9]] = seen.get(row[9], 0) + 1
        if row[1] in _KNOWN or seen[row[9]] <= 2:
            line = _FIRST_DATA_ROW + len(few)
            few.append([*row[:6], f"=F{line}-D{line}+1", *row[7:]])
    return few
