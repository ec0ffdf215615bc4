"""Fake CAS(ME)^2 downloads: a sheet without headers and each of the four packages."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter, spread

VARIANTS = ("selectedpic", "cropped", "cropped-by-index", "rawpic", "rawvideo")

_SUBJECTS = (15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40)
_MICRO_SUBJECTS = (1, 2, 3, 7, 8, 9, 11, 12, 13, 14, 15, 18, 20, 21)
_WITHOUT_MACRO = (1, 21)
_MICRO = {"positive": 8, "negative": 21, "surprise": 9, "others": 19}
_MACRO = {"positive": 87, "negative": 95, "surprise": 13, "others": 105}
_FILMS = {
    "disgust1": "0101disgustingteeth", "disgust2": "0102eatingworms", "anger1": "0401girlcrashing",
    "anger2": "0402beatingpregnantwoman", "happy1": "0502funnyerrors", "happy2": "0503unnyfarting",
    "happy3": "0505funnyinnovations", "happy4": "0507climbingthewall", "happy5": "0508funnydunkey",
}  # fmt: skip
_REPORTS = ("happiness", "disgust", "anger", "surprise", "fear", "sadness", "pain", "helpless")
_NOT_CROPPED = 16
_FEW = 5


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the sheet and one package; see [`tests.fakes.fake.make_fake_corpus`]."""
    rows = _rows(rng)
    if not full_size:
        rows = _few(rows)
    rules: dict[str, list[list[Any]]] = {
        "naming rule1": [[number, f"s{subject}", number] for number, subject in enumerate(_SUBJECTS, start=1)],
        "naming rule2": [[title[:4], film] for film, title in _FILMS.items()],
    }
    table = [[*row, rng.choice(_REPORTS)] for row in rows]
    updated = "(Updated)" if variant == "rawpic" else ""
    write_workbook(root / f"CAS(ME)^2code_final{updated}.xlsx", {"CASFEcode_final": table, **rules})
    recorded: dict[tuple[int, str], set[int]] = {}
    for number, (index, clip, onset, apex, offset, *_) in enumerate(rows):
        numbers = range(onset, (offset or apex) + 1)
        subject = _SUBJECTS[index - 1]
        if variant == "selectedpic":
            frames.write(root / "selectedpic" / "selectedpic" / f"s{subject}" / clip, numbers, "img{:03d}.jpg")
        elif variant.startswith("cropped") and number >= (_NOT_CROPPED if full_size else 1):
            name = str(index if variant == "cropped-by-index" else subject)
            frames.write(root / "cropped" / name / clip, numbers, "img{:03d}.jpg")
        recording = (subject, clip.rsplit("_", 1)[0])
        recorded.setdefault(recording, {1}).update(range(onset - 2, numbers[-1] + 3))
    for (subject, film), kept in recorded.items():
        title = f"{subject}_{_FILMS[film]}"
        if variant == "rawpic":
            folder = root / "rawpic" / "rawpic" / f"s{subject}" / title
            frames.write(folder, kept, "img{:03d}.jpg")  # the long pauses between are left out
        elif variant == "rawvideo":
            write_video(root / "rawvideo" / f"s{subject}" / f"{title}.avi", max(kept))


def write_video(path: Path, num_frames: int, fps: int = 30) -> None:
    """Write a gray video whose frame k has the brightness 16 + k, within bounds.

    Args:
        path (`Path`): an ``.avi`` file; its folder is created if needed.
        num_frames (`int`): frames to write.
        fps (`int`, *optional*, defaults to 30): frames per second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(fps))
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for number in range(num_frames):
            pixels = np.full((16, 16, 3), min(16 + number, 235), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _rows(rng: random.Random) -> list[list[Any]]:
    """Rows of the sheet without the self-report: index, clip, onset, apex, offset, units, emotion, type."""
    micro = spread(_MICRO, _evenly(_MICRO_SUBJECTS, sum(_MICRO.values())), rng)
    macro_subjects = tuple(index for index in range(1, len(_SUBJECTS) + 1) if index not in _WITHOUT_MACRO)
    macro = spread(_MACRO, _evenly(macro_subjects, sum(_MACRO.values())), rng)
    rows: list[list[Any]] = []
    clips_in: dict[tuple[int, str], int] = {}
    for kind, pairs in (("micro-expression", micro), ("macro-expression", macro)):
        for subject, emotion in pairs:
            index = int(subject)
            film = rng.choice(tuple(_FILMS))
            count = clips_in[index, film] = clips_in.get((index, film), 0) + 1
            onset = 95 * count
            apex, offset = onset + 2, onset + 4
            row = [index, f"{film}_{count}", onset, apex, offset, "4+7", emotion, kind]
            if len(rows) % 40 == 1:
                row[4] = 0  # a missing offset
            if len(rows) % 40 == 2:
                row[3] = 0  # a missing apex
            rows.append(row)
    return rows


def _evenly(subjects: tuple[int, ...], total: int) -> dict[str, int]:
    return {
        str(subject): total // len(subjects) + (number < total % len(subjects))
        for number, subject in enumerate(subjects)
    }


def _few(rows: list[list[Any]]) -> list[list[Any]]:
    """The first rows of every type, those with a zero among them, and the first two of every emotion."""
    seen: dict[str, int] = {}
    few = []
    for row in rows:
        for name in (row[7], row[7] + row[6]):
            seen[name] = seen.get(name, 0) + 1
        if seen[row[7]] <= _FEW or seen[row[7] + row[6]] <= 2:
            few.append(row)
    return few
