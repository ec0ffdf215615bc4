"""Fake DFME downloads: the three sheets and trees of the challenge split."""

import random
from pathlib import Path
from typing import Any

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter, spread

VARIANTS = ("challenge", "train-only")

_EMOTIONS = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
# Split: sheet, folder, clips per class, number of subjects, the first of them.
_SPLITS: dict[str, tuple[str, str, tuple[int, ...], int, int]] = {
    "train": ("training_full_with_AU.xlsx", "DFME_train", (161, 100, 548, 265, 206, 278, 298), 176, 1),
    "test_a": ("testA_full_with_AU.xlsx", "test_data_A/test_data_A", (39, 34, 129, 62, 63, 46, 101), 42, 200),
    "test_b": ("testB_full_with_AU.xlsx", "test_data_B/test_data_B", (41, 37, 58, 38, 42, 35, 48), 41, 300),
}
_HEADER = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU")
_UNITS = (4, "4+L7", "AD31", "12+M57", "AD38+AD39+M58", "1+2")
_FEW = 12


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the sheets and the trees; see [`tests.fakes.fake.make_fake_corpus`]."""
    for split, (sheet, folder, counts, num_subjects, first) in _SPLITS.items():
        if variant == "train-only" and split != "train":
            continue
        total = sum(counts)
        subjects = {
            f"sub{first + place:04d}": total // num_subjects + (place < total % num_subjects)
            for place in range(num_subjects)
        }
        pairs = spread(dict(zip(_EMOTIONS, counts, strict=True)), subjects, rng)
        table: list[list[Any]] = []
        clips_of: dict[str, int] = {}
        for place, (subject, emotion) in enumerate(pairs if full_size else pairs[:_FEW]):
            number = clips_of[subject] = clips_of.get(subject, 0) + 1
            clip = f"{subject}_{number:02d}"
            onset = place % 3
            last = onset if full_size else onset + 2
            fps = (500, 300, 200)[place % 3]
            identity = _EMOTIONS.index(emotion)
            table.append(
                [subject, clip, onset, min(onset + 1, last), last, emotion, identity, fps, _UNITS[place % len(_UNITS)]]
            )
            frames.write(root / folder / clip, range(onset if full_size else 0, last + 1), "{:05d}.png")
        write_workbook(root / sheet, {"Sheet1": [_HEADER, *table]})
