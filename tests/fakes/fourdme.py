"""Fake 4DME downloads: the gray videos in each of their copies."""

import random
from pathlib import Path
from typing import Any

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter

VARIANTS = ("gray", "gray_crop", "gray_registered")

_NUM_CLIPS = 267
_NUM_SUBJECTS = 41
_APEX_OUTSIDE = 26
_EMOTIONS = ("Positive", "Negative", "Surprise", "Repression", "Others", "Surprise+Positive", "Negative+Repression")
_UNITS = (4, "4+7", "L12+4(k)", "1+2", "45")
_CODES = ("1", "2", "4", "7", "12", "45")


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the sheet and one copy; see [`tests.fakes.fake.make_fake_corpus`]."""
    apostrophe = "'" if variant == "gray_registered" else ""
    header = [
        f"sub_ID{apostrophe}", "fold_name", f"Emotion{apostrophe}", "Onset", "Apex", "Offset", "AUs",
        *(f"AU{code}" for code in _CODES), "fold", "eye blink", "Total",
    ]  # fmt: skip
    table: list[list[Any]] = []
    for row in range(_NUM_CLIPS if full_size else 30):
        subject = f"S{row % _NUM_SUBJECTS + 1}"
        fold = f"{subject}_1st_{row // _NUM_SUBJECTS + 1:03d}_01_1"
        onset = 2400 + 10 * row if row < _NUM_CLIPS // 2 else 1
        apex, offset = onset + 2, onset + 4
        if row == _APEX_OUTSIDE:
            onset, apex, offset = 2488, 9999, 2492
        units = rng.choice(_UNITS)
        flags = [int(code in str(units)) for code in _CODES]
        table.append(
            [subject, fold, _EMOTIONS[row % 7], float(onset), float(apex), float(offset), units, *flags, 1, 0, 1]
        )
        # Half of the folders that the sheet counts in the recording count from their own start.
        first = 1 if row % 2 else onset
        folder = {
            "gray": root / "gray_micro" / subject / fold,
            "gray_crop": root / "gray_micro_crop" / subject / fold,
            "gray_registered": root / "gray_micro_register_final" / fold,
        }[variant]
        frames.write(folder, range(first, first + offset - onset + 1), "{}.jpg")
    write_workbook(root / "4DME_Labelling_Micro_release v1.xlsx", {"Sheet1": [header, *table]})
