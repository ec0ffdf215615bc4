"""Fake SAMM Long Videos downloads: intervals in long folders."""

import random
from pathlib import Path
from typing import Any

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter, spread
from tests.fakes.samm import few_rows, micro_rows, write_micro_sheet

VARIANTS = ("V3", "V1", "V3-without-emotions")

_MACRO = 343
_VIDEOS = 147
_FRAMES = 32


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the sheet, the videos and the SAMM sheet with the emotions; see [`tests.fakes.fake.make_fake_corpus`]."""
    version, _, without_emotions = variant.partition("-")
    micro = micro_rows(rng)
    if not full_size:
        micro = few_rows(micro)
    rows: list[list[Any]] = []
    videos: dict[str, None] = {}
    for row in micro:
        subject, clip = row[0], row[1]
        videos["_".join(clip.split("_")[:2])] = None
        onset = rng.randint(2, 10)
        offset = 0 if clip == "006_1_2" else onset + 8
        rows.append([subject, clip, 1, onset, onset + 4, offset, None, "Micro - 1/2", row[8], None])
    for subject, video in _macro_videos(list(videos), _MACRO if full_size else 6, full_size, rng):
        videos[video] = None
        onset = rng.randint(2, 10)
        rows.append([subject, f"{video}_{len(rows)}", 1, onset, onset + 10, onset + 20, None, "Macro", "4", None])
    whole_video = 1 if version == "V3" else 0
    rows.append(["006", "006_1_99", 1, whole_video, 30, _FRAMES, None, "Macro", "4", None])
    header = [
        "Subject",
        "Filename",
        "Inducement",
        "Onset",
        "Apex",
        "Offset",
        "Duration",
        "Type",
        "Action Units",
        "Notes",
    ]
    notes: list[list[Any]] = [["SAMM Long Videos"], *[[None] for _ in range(8)], header]
    write_workbook(root / f"SAMM_LongVideos_{version}_Release.xlsx", {"Release": [*notes, *rows]})
    if not without_emotions:
        write_micro_sheet(root / "SAMM_Micro_FACS_Codes_v2.xlsx", micro)
    for video in videos:
        frames.write(root / "SAMM_longvideos" / video, range(1, _FRAMES + 1), video + "_{:04d}.jpg")


def _macro_videos(micro: list[str], count: int, full_size: bool, rng: random.Random) -> list[tuple[str, str]]:
    """Videos of the macro-expressions: enough new ones to make up the published number of videos."""
    new = [f"{subject:03d}_{video}" for subject in range(6, 38) for video in range(50, 60)]
    chosen = new[: max(1, (_VIDEOS if full_size else len(micro) + 2) - len(micro))]
    per_video = {video: count // len(chosen) for video in chosen}
    per_video[chosen[0]] += count - sum(per_video.values())
    return [(video[:3], video) for video, _ in spread({"macro": count}, per_video, rng)]
