"""Fake MMEW downloads: both trees, and a sheet that counts frames in the recording."""

import random
from pathlib import Path
from typing import Any

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter, spread

VARIANTS = ("emotion_first", "subject_first", "counted-in-recording")

_CLASSES = {"happiness": 36, "anger": 8, "surprise": 89, "disgust": 72, "fear": 16, "sadness": 13, "others": 66}
_NUM_SUBJECTS = 30
_HEADER = (
    "Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion", "remarks",
)  # fmt: skip
# Frames in the folders of the rows whose apex and offset the sheet leaves out or has wrong.
_NUM_FRAMES_OF_ROW = {
    33: 75, 35: 54, 36: 59, 37: 98, 38: 80, 39: 93, 40: 58, 41: 61, 42: 68, 142: 88, 143: 80, 145: 85, 146: 61,
    148: 108, 154: 72, 156: 106,
}  # fmt: skip
_UNITS = (4, "4+7", "L12", "1+2", "R14")


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the sheet and one tree; see [`tests.fakes.fake.make_fake_corpus`]."""
    counts = {str(number): sum(_CLASSES.values()) // _NUM_SUBJECTS for number in range(1, _NUM_SUBJECTS + 1)}
    table: list[list[Any]] = []
    emotions = list(_CLASSES)
    for row, (subject, emotion) in enumerate(spread(_CLASSES, counts, rng)):
        clip = f"S{int(subject):02d}-{emotions.index(emotion) + 1:02d}-{row % 10 + 1:03d}"
        num_frames = _NUM_FRAMES_OF_ROW.get(row, 4)
        start = 300 if variant == "counted-in-recording" and row not in _NUM_FRAMES_OF_ROW else 1
        onset, apex, offset = start, start + 1, start + num_frames - 1
        cells: list[Any] = [int(subject), clip, onset, apex, offset, rng.choice(_UNITS), emotion, None]
        if row in _NUM_FRAMES_OF_ROW:
            cells[3:5] = [None, None] if row % 2 else ["/", 3]
        table.append(cells)
        if full_size or row < 45:
            # The folder of the class 'others' is called repression.
            folder_name = "repression" if emotion == "others" else emotion
            if variant == "subject_first":
                folder = root / f"S{int(subject):02d}" / folder_name / clip
            else:
                folder = root / "MMEW_Final" / "Micro_Expression" / folder_name / clip
            frames.write(folder, range(1, num_frames + 1), "{}.jpg")
    if not full_size:
        table = table[:45]
        frames.write(root / "MMEW_Final" / "Macro_Expression" / "S01" / "anger", [1], "S01-07-{:03d}.jpg")
    write_workbook(root / "MMEW_Micro_Exp.xlsx", {"Sheet1": [_HEADER, *table]})
