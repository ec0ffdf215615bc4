"""Fake CASME downloads: the merged sheet with two packages, the raw release in sections."""

import random
from pathlib import Path
from typing import Any

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter, spread
from tests.fakes.xls_writer import write_xls

VARIANTS = ("cropped", "selected", "sections")

_PER_SUBJECT = (38, 2, 5, 5, 2, 18, 26, 24, 7, 6, 1, 3, 9, 11, 3, 4, 10, 15)
_CLASSES = {
    "tense": 68, "disgust": 45, "repression": 39, "surprise": 20, "happiness": 7, "sadness": 6, "contempt": 2,
    "fear": 2,
}  # fmt: skip
_LAST_OF_SECTION_A = 7
# Row of the sheet: file name, then onset, apex and offset as the fake sheet has them and as the folder has the frames.
_KNOWN = {
    40: ("EP07_1", (10, 12, 30), (100, 149)),
    42: ("EP09_3", (1, 2, 10), (101, 119)),
    43: ("EP09_4", (157, 165, 174), (57, 74)),
    54: ("EP02_5", (7, 20, 400), (7, 40)),
    140: ("EP08_5", (130, 135, 172), (130, 142)),
}
_ROWS_OF_ONE_EPISODE = range(52, 58)  # sub06 EP02_5: the most clips that one episode holds
_ROWS_OF_SHARED_EPISODES = range(27)  # sub01: nine episodes of three clips
_UNITS = (4, "4+7", "L14", "R12+15", "1+2", "9+L10")


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the sheets and one package; see [`tests.fakes.fake.make_fake_corpus`]."""
    rows = _rows(rng)
    if not full_size:
        rows = _few(rows)
    body = [
        [subject, clip, None, *written, None, units, emotion] for subject, clip, written, _, units, emotion in rows
    ]
    if variant == "sections":
        # Only Subject, Filename and the place of the emotion, the twelfth column, are known of these two sheets.
        header = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "AU", None, None, "Felt"]
        for letter, wanted in (("A", True), ("B", False)):
            rows_of = [[*row[:9], None, "x", row[9]] for row in body if (row[0] <= _LAST_OF_SECTION_A) == wanted]
            folder = root / "CASME" / "RAW" / f"CASME_{letter}"
            folder.mkdir(parents=True, exist_ok=True)
            write_xls(folder / f"Section {letter}.xls", [header, *rows_of])
    else:
        header = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "AU", "Emotion"]
        write_workbook(root / "casme.xlsx", {"Sheet1": [header, *body]})
    for subject, clip, _, (first, last), _, _ in rows:
        padding = "{}" if subject <= _LAST_OF_SECTION_A else "{:03d}"
        folder = Path(f"sub{subject:02d}") / clip
        if variant == "cropped":
            frames.write(root / "Cropped" / "Cropped" / folder, range(first, last + 1), f"reg_{clip}-{padding}.jpg")
        elif variant == "selected":
            frames.write(root / "CASME_raw_selected" / folder, range(first, last + 1), f"{clip}-{padding}.jpg")
        else:
            letter = "A" if subject <= _LAST_OF_SECTION_A else "B"
            section = root / "CASME" / "RAW" / f"CASME_{letter}" / f"Section {letter}"
            frames.write(section / folder, range(max(1, first - 3), last + 4), f"img{padding}.jpg")


def _rows(rng: random.Random) -> list[tuple[int, str, list[Any], tuple[int, int], Any, str]]:
    """Rows of the merged sheet: subject, file, [onset, apex 1, apex 2, offset], frames on disk, units, emotion."""
    pairs = spread(_CLASSES, {str(index): count for index, count in enumerate(_PER_SUBJECT, start=1)}, rng)
    rows: list[tuple[int, str, list[Any], tuple[int, int], Any, str]] = []
    misspelt = {"contempt": "comtempt", "tense": "Tense "}
    for row, (subject, emotion) in enumerate(pairs):
        place = 100 + 10 * (row % 6)  # clips of one episode follow each other
        clip = f"EP{row % 19 + 1:02d}_{row + 10}"
        written, on_disk = (place, place + 2, place + 5), (place, place + 5)
        if row in _ROWS_OF_ONE_EPISODE:
            clip = "EP02_5"
        if row in _ROWS_OF_SHARED_EPISODES:
            clip = f"EP{row // 3 + 1:02d}"
        if row in _KNOWN:
            clip, written, on_disk = _KNOWN[row]
        onset, apex, offset = written
        second_apex = apex + 1 if row % 50 == 0 else None
        emotion = misspelt.get(emotion, emotion) if row % 2 else emotion
        rows.append((int(subject), clip, [onset, apex, second_apex, offset], on_disk, rng.choice(_UNITS), emotion))
    return rows


def _few(rows: list[Any]) -> list[Any]:
    """The known clips and their episodes, and the first two of every emotion beside them."""
    seen: dict[str, int] = {}
    few = []
    for index, row in enumerate(rows):
        seen[row[5]] = seen.get(row[5], 0) + 1
        if index in _KNOWN or index in _ROWS_OF_ONE_EPISODE or seen[row[5]] <= 2:
            few.append(row)
    return few
