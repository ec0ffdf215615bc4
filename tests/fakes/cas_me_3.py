"""Fake CAS(ME)^3 downloads: part A as clips and as videos, its two sheets, and part C."""

import random
from pathlib import Path
from typing import Any

from hub_datasets.scanning.sheets import write_workbook
from tests.fakes.fake import FrameWriter, spread
from tests.fakes.xls_writer import write_xls

VARIANTS = ("clips", "videos", "v1", "part_c", "two-parts", "all_v2")

_HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion")
_CLASSES = {"disgust": 250, "surprise": 187, "others": 161, "fear": 86, "anger": 64, "sad": 57, "happy": 55}
_MORE_IN_V1 = {"disgust": 25, "surprise": 12, "others": 5, "fear": 5, "anger": 3, "sad": 6, "happy": 5}
_OBJECTIVE = {"VII": 373, "III": 234, "II": 151, "V": 47, "IV": 37, "I": 15, "VI": 3}
_NUM_MACRO, _SUBJECTS_WITHOUT_MICRO = 3346, (16, 140, 151, 218)
_PART_C_CLASSES = {"negative": 99, "surprise": 30, "others": 20, "positive": 16}
_SUBJECTS = (
    *range(1, 16), 17, *range(39, 43), 77, 138, 139, *range(142, 151), *range(152, 164), *range(165, 191),
    *range(192, 199), *range(200, 205), *range(206, 218),
)  # fmt: skip
_ONLY_OTHERS = (143, 159, 168, 173, 185, 198)
_MOST_CLIPS_OF_A_VIDEO = 17
_UNITS = (4, "4+7", "L12", "T23+B25", "R4+L10", "1+2")
_PART_C_UNITS = (4, "4,7,", "1,2", "?", "4\uff0c7", "L12,")
# Rows that errata and protocols name: subject, video, onset, apex, offset of the sheet, emotion.
_KNOWN: tuple[tuple[int, str, int, int, int, str], ...] = (
    (149, "d", 112, 83, 215, "disgust"),
    (216, "d", 3647, 2650, 2653, "Others"),
    (216, "e", 0, 0, 20, "disgust"),
    (40, "e", 1840, 1842, 0, "Others"),
    (40, "e", 2400, 2401, 0, "Others"),
    (214, "c", 5, 9, 3460, "fear"),
    (14, "J", 40, 40, 44, "surprise"),
    # occluded faces
    *((number, video, onset, onset + 1, onset + 3, "disgust") for number, video, onset in (
        (2, "e", 138), (145, "g", 150), (146, "a", 530), (147, "d", 1146), (147, "e", 1058), (155, "d", 5),
        (179, "b", 7), (200, "b", 518), (204, "a", 606), (206, "a", 10), (206, "c", 69), (214, "b", 5), (214, "k", 4),
        (215, "f", 5), (215, "f", 2183),
    )),
    # left out by HTNet: 8 negative, 3 surprise and 1 happy clip
    (186, "f", 448, 449, 451, "anger"),
    (186, "l", 3634, 3635, 3637, "anger"),
    (186, "l", 3677, 3678, 3680, "sad"),
    *((217, "a", 50 + 10 * place, 52 + 10 * place, 54 + 10 * place, emotion) for place, emotion in enumerate(
        ("fear", "fear", "sad", "surprise", "surprise", "happy")
    )),
    *((9, "b", 50 + 10 * place, 52 + 10 * place, 54 + 10 * place, emotion) for place, emotion in enumerate(
        ("fear", "anger", "surprise")
    )),
)  # fmt: skip
_COMPLETE_SUBJECTS = (9, 217)
_RIGHT_INTERVALS = {
    (216, "d", 3647): (2647, 2653),
    (216, "e", 0): (1, 20),
    (40, "e", 1840): (1840, 1845),
    (40, "e", 2400): (2400, 2403),
    (214, "c", 5): (5, 34),
}

Row = tuple[int, str, int, int, int, Any, str, str]


def make(root: Path, variant: str, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """Write the sheet of a part and one package; see [`tests.fakes.fake.make_fake_corpus`]."""
    if variant in ("part_c", "two-parts"):
        _make_part_c(root, full_size, frames, rng)
        if variant == "part_c":
            return
    if variant == "all_v2":
        _make_all_expressions(root, full_size, frames, rng)
        return
    rows = _rows(variant, rng)
    if not full_size:
        rows = _few(rows)
    table = [[f"spNO.{row[0]}", *row[1:]] for row in rows]
    if variant == "v1":
        header = [*_HEADER, None, None]
        write_xls(root / "cas(me)3_part_A_ME_label_JpgIndex_v1.xls", [header, *([*row, 1, 2] for row in table)])
    else:
        sheets = {"label": [_HEADER, *table], "Sheet1": [], "Sheet3": []}
        write_workbook(root / "annotation" / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", sheets)
    for number, (subject, video, onset, _, offset, *_) in enumerate(rows):
        first, last = _RIGHT_INTERVALS.get((subject, video, onset), (onset, offset))
        numbers = list(range(first, last + 1))
        if len(numbers) > 2 and number % 100 == 3:
            del numbers[1]  # frames were dropped here and there
        if variant == "videos":
            name = f"spNO{subject}" if 210 <= subject <= 215 else f"spNO.{subject}"
            folder = root / "part_A" / "data" / "part_A_split" / "part_A" / name / video
            frames.write(folder / "color", [number for number in numbers if number], "{}.jpg")
            depth = folder if subject % 2 else folder / "depth"
            frames.write(depth, [number for number in numbers if number], "{}.png")
        else:
            name = f"{'spNo' if subject % 2 else 'spNO'}.{subject}_{video}_{onset}"
            package = root / "Part_A_ME_clip" / "Part_A_ME_clip"
            frames.write(package / "frame" / name, [number for number in numbers if number], "{}.jpg")
            if not full_size:
                frames.write(package / "depth" / name, numbers[:-1], "{}.png")
                frames.write(root / "Part_A_MaE_clip" / "frame" / name, numbers[:1], "{}.jpg")


def _make_part_c(root: Path, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    subjects = [number for number in range(1, 32) if number != 22]
    counts = {str(number): 165 // 30 + (place < 165 % 30) for place, number in enumerate(subjects)}
    table: list[list[Any]] = []
    for place, (subject, emotion) in enumerate(spread(_PART_C_CLASSES, counts, rng)):
        if full_size or int(subject) <= 3:
            onset = 100 + 10 * place
            table.append([int(subject), place, onset, onset + 3, _PART_C_UNITS[place % len(_PART_C_UNITS)], emotion])
    header = ["sub", "count", "onset", "offset", "au", "emotion"]
    write_workbook(root / "annotation" / "CAS(ME)3_part_C_ME.xlsx", {"mockCrimeME": [header, *table]})
    package = root / "part_C" / "RGB_Depth" / "part_C" / "part_C"
    for subject, _, onset, offset, *_ in table:
        folder = package / f"{subject:02d}" / "a"
        frames.write(folder / "color", range(onset - 1, offset + 2), "{}.jpg")
        frames.write(folder / "depth", range(onset - 1, offset + 2), "{}.png")


def _make_all_expressions(root: Path, full_size: bool, frames: FrameWriter, rng: random.Random) -> None:
    """The sheet of micro- and macro-expressions, which has no emotions, and clips of one frame."""
    micro = [row for row in _rows("clips", rng) if row[:3] not in _RIGHT_INTERVALS]
    micro += [
        (40, "m", 10 + place, 10 + place, 10 + place, 4, "VII", "others") for place in range(len(_RIGHT_INTERVALS))
    ]
    subjects = (*_SUBJECTS, *_SUBJECTS_WITHOUT_MICRO)
    # The first macro-expression of a subject begins with a micro-expression of the corpus, as nothing forbids.
    macro = [(subjects[place % len(subjects)], "k", 10 * (place // len(subjects)) + 4) for place in range(_NUM_MACRO)]
    if not full_size:
        micro, macro = micro[:20], macro[:20] + macro[-20:]
    table: list[list[Any]] = [
        [f"spNO.{row[0]}", row[1], row[2], row[3], row[2], row[5], row[6], "Micro-expression"] for row in micro
    ]
    table += [[f"spNO.{subject}", video, on, on, on, 12, "I", "Macro-expression"] for subject, video, on in macro]
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "Expression type"]
    blinks: list[list[Any]] = [["Subject", "Filename", "Onset", "Offset"], ["spNO.1", "a", 5, 9]]
    write_xls(
        root / "annotation" / "CAS(ME)3_part_A_v2.xls", [header, *table], blinks, names=("AU+Emotion", "eye blink")
    )
    for subject, video, onset, *_, kind in table:
        package = root / ("Part_A_ME_clip" if kind.startswith("Micro") else "Part_A_MaE_clip")
        frames.write(package / "frame" / f"{subject}_{video}_{onset}", [int(onset)], "{}.jpg")


def _rows(variant: str, rng: random.Random) -> list[Row]:
    """Rows of a sheet: subject, video, onset, apex, offset, units, objective class, emotion."""
    classes = {name: count + (_MORE_IN_V1[name] if variant == "v1" else 0) for name, count in _CLASSES.items()}
    subjects = (*_SUBJECTS, 16) if variant == "v1" else _SUBJECTS
    for *_, emotion in _KNOWN:
        classes[emotion.lower()] -= 1
    free = [subject for subject in subjects if subject not in _COMPLETE_SUBJECTS]
    # Two clips of others for the subjects that have nothing else, then a clip with an emotion for everybody.
    dealt = [(str(subject), "others") for subject in _ONLY_OTHERS for _ in range(2)]
    with_emotion = [str(subject) for subject in free if subject not in _ONLY_OTHERS]
    first = rng.sample([name for name in classes if name != "others" for _ in range(classes[name])], len(with_emotion))
    dealt += zip(with_emotion, first, strict=True)
    for _, emotion in dealt:
        classes[emotion] -= 1
    left = sum(classes.values())
    counts = {
        subject: left // len(with_emotion) + (place < left % len(with_emotion))
        for place, subject in enumerate(with_emotion)
    }
    dealt += spread(classes, counts, rng)
    rows: list[tuple[int, str, int, int, int, str]] = list(_KNOWN)
    clips_of: dict[str, int] = {}
    for subject, emotion in dealt:
        place = clips_of[subject] = clips_of.get(subject, -1) + 1
        # The videos g and h of a subject hold its clips; the first has as many as any video of the corpus.
        video, onset = "gh"[place // _MOST_CLIPS_OF_A_VIDEO], 4000 + 10 * place
        rows.append((int(subject), video, onset, onset + place % 3, onset + 2, emotion))
    objective = _objective_classes(len(rows), rng)
    rows.sort(key=lambda row: row[:2])
    return [(*row[:5], rng.choice(_UNITS), roman, row[5]) for row, roman in zip(rows, objective, strict=True)]


def _objective_classes(total: int, rng: random.Random) -> list[str]:
    classes = [name for name, count in _OBJECTIVE.items() for _ in range(count)]
    classes += ["VII"] * (total - len(classes))
    rng.shuffle(classes)
    return classes


def _few(rows: list[Row]) -> list[Row]:
    """The rows that errata and protocols name, and the first two of every emotion beside them."""
    known = {row[:3] for row in _KNOWN}
    seen: dict[str, int] = {}
    few = []
    for row in rows:
        if row[:3] not in known:
            seen[row[7]] = seen.get(row[7], 0) + 1
        if row[:3] in known or seen[row[7]] <= 2:
            few.append(row)
    return few
