"""MMEW: 300 micro-expressions at 90 frames per second (fact sheet, section 7)."""

from pathlib import Path

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import (
    ClipRecord,
    Erratum,
    Expected,
    LabelSet,
    Package,
    SheetFile,
    Wrong,
    as_frame_number,
    as_subject_number,
    as_text,
    identity_labels,
    normalise_emotion,
)
from hub_datasets.scanning.cutting import Scan, correct, is_wrong
from hub_datasets.scanning.folders import FrameListing
from hub_datasets.scanning.frame_numbering import number_from_clip_start, numbering_remarks
from hub_datasets.scanning.sheets import read_sheet, require_columns

_SEVEN = ("happiness", "surprise", "disgust", "anger", "fear", "sadness", "others")
_FOUR = ("happiness", "surprise", "disgust", "others")
# The sheet and the folders do not agree on the name of one class: others in the one is repression in the other.
_WORDS = {**identity_labels(_SEVEN), "repression": "others"}
_POLARITY = {
    "happiness": "positive",
    "surprise": "surprise",
    "disgust": "negative",
    "anger": "negative",
    "fear": "negative",
    "sadness": "negative",
}
_EMOTION_FOLDER = r"happiness|surprise|disgust|repression|others?|fear|sadness|anger"
_COLUMNS = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion")
# 0-based row of the sheet: (apex, offset) as meb found them; the sheet leaves them out or has them wrong.
_APEX_AND_OFFSET_OF_ROW = {
    33: (40, 75), 35: (15, 54), 36: (46, 59), 37: (20, 98), 38: (25, 80), 39: (20, 93), 40: (23, 58), 41: (28, 61),
    42: (32, 68), 142: (56, 88), 143: (32, 80), 145: (27, 85), 146: (22, 61), 148: (29, 108), 154: (31, 72),
    156: (38, 106),
}  # fmt: skip


def _erratum(row: int, field: str, right: int) -> Erratum:
    reason = "the sheet leaves it out or has it wrong, and the folder has this many frames"
    return Erratum(f"row {row}", field, Wrong.ANYTHING_ELSE, right, reason, "fact sheet 7, meb", if_frames_agree=True)


class Mmew(CorpusBuilder):
    """MMEW.

    * **Subjects, clips**: 36 subjects in the paper, 300 micro-expressions (the 900
      macro-expressions are stills and are not read).
    * **Recording**: 90 fps, 1920x1080; the released micro frames are 231x231 colour.
    * **Labels**: happiness 36, anger 8, surprise 89, disgust 72, fear 16, sadness 13, others 66 (folder `repression`).
    * **Frame numbers**: from 1 in each clip; a sheet that counts in the recording is recognised by the frames.
    * **Access**: signed licence to benxianyeye@163.com.
    * **Cite**: Ben et al., IEEE TPAMI 44(9), 2022.

    Options: `package` (`subject_first`, `emotion_first`), `sheet` (`original`, `v2`).
    """

    NAME = "mmew"
    TITLE = "MMEW: micro- and macro-expressions of the same subjects at 90 fps"
    FPS = 90.0
    ACCESS_PAGE = "http://www.dpailab.com/database.html"
    CITATION = (
        "Ben X, Ren Y, Zhang J, Wang S-J, Kpalma K, Meng W, Liu Y-J. Video-based Facial Micro-Expression Analysis: A "
        "Survey of Datasets, Features and Algorithms. IEEE Transactions on Pattern Analysis and Machine Intelligence "
        "44(9):5826-5846, 2022. doi:10.1109/TPAMI.2021.3067464"
    )
    EXPECTED_TREE = """\
MMEW_Micro_Exp.xlsx                                        (or MMEW_Micro_Exp_v2.xlsx)
MMEW_Final/Micro_Expression/happiness/S03-01-002/1.jpg     (or, as the web page has it:)
S03/happiness/S03-01-002/1.jpg"""
    PACKAGES = (
        Package("emotion_first", r"^(?!.*macro)(?!.*(^|/)s\d\d$)", _EMOTION_FOLDER, only_interval=True),
        Package("subject_first", r"^(?!.*macro)", r"s\d{2}", only_interval=True),
    )
    SHEETS = (
        SheetFile("original", r"MMEW_Micro_Exp\.(xlsx?|csv)"),
        SheetFile("v2", r"MMEW_Micro_Exp.*v2\.(xlsx?|csv)"),
    )
    LABEL_SETS = (
        LabelSet(
            "7class",
            _SEVEN,
            _WORDS,
            "every emotion of the sheet",
            (Expected(dict(zip(_SEVEN, (36, 89, 72, 8, 16, 13, 66), strict=True))),),
        ),
        LabelSet(
            "6class",
            _SEVEN[:6],
            identity_labels(_SEVEN[:6]),
            "the basic emotions, without others",
            (Expected(dict(zip(_SEVEN, (36, 89, 72, 8, 16, 13), strict=False))),),
        ),
        LabelSet(
            "4class",
            _FOUR,
            {word: name for word, name in _WORDS.items() if name in _FOUR},
            "the four large classes",
            (Expected(dict(zip(_FOUR, (36, 89, 72, 66), strict=True))),),
        ),
        LabelSet(
            "3class",
            ("negative", "positive", "surprise"),
            _POLARITY,
            "polarity, without others",
            (Expected({"negative": 109, "positive": 36, "surprise": 89}),),
        ),
    )
    ERRATA = tuple(
        _erratum(row, field, right)
        for row, (apex, offset) in _APEX_AND_OFFSET_OF_ROW.items()
        for field, right in (("apex", apex), ("offset", offset))
    )

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of the sheet; emotion folders are looked up, since their names may differ from it."""
        path = layout.sheet_path()
        frame = read_sheet(path)
        require_columns(frame, _COLUMNS, path)
        folder_parts = _folder_parts_by_clip(layout)
        records = []
        for row, subject, clip, onset, apex, offset, units, emotion in frame[list(_COLUMNS)].itertuples():
            number, clip = as_subject_number(subject), as_text(clip)
            if number is None or not clip:
                continue
            folder, emotion = f"S{number:02d}", normalise_emotion(emotion)
            expected = (emotion, clip) if layout.package.name == "emotion_first" else (folder, emotion, clip)
            records.append(
                ClipRecord(
                    key=clip,
                    clip_id=f"mmew/{clip}/{as_text(onset)}",
                    subject=folder,
                    recording=clip,
                    folder_parts=folder_parts.get(clip.casefold(), expected),
                    onset=as_frame_number(onset),
                    apex=as_frame_number(apex),
                    offset=as_frame_number(offset),
                    emotion=emotion,
                    action_units=as_text(units),
                    attributes={"row": f"row {row}"},
                )
            )
        return records

    def scan_download(self, root: Path) -> Scan:
        """Scan as every corpus, and say how frames were found to be numbered."""
        scan = super().scan_download(root)
        scan.remarks.extend(numbering_remarks(scan))
        return scan

    def fit_to_frames(self, record: ClipRecord, listing: FrameListing) -> None:
        """Complete the rows known to be wrong where the folder agrees, then settle how frames are numbered."""
        errata = [erratum for erratum in self.ERRATA if erratum.clip == record.attributes["row"]]
        offset = next((erratum.right for erratum in errata if erratum.field == "offset"), None)
        if offset is not None and listing.numbers and listing.numbers[-1] == offset:
            for erratum in errata:
                if is_wrong(record, erratum):
                    correct(record, erratum)
        number_from_clip_start(record, listing)


def _folder_parts_by_clip(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Way to every clip folder of the package, by case-folded name."""
    levels = 1 if layout.package.name == "emotion_first" else 2
    found: dict[str, tuple[str, ...]] = {}
    for root in layout.package_roots:
        ways: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
        for _ in range(levels):
            ways = [
                (child, (*parts, child.name))
                for folder, parts in ways
                for child in layout.tree.content(folder).folders.values()
            ]
        for folder, parts in ways:
            for name in layout.tree.content(folder).folders:
                found.setdefault(name, (*parts, name))
    return found
