"""MMEW: 300 micro-expressions at 90 frames per second (docs/sources.md, MMEW)."""

from pathlib import Path

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile, Wrong
from hub_datasets.scanning.cells import name_key
from hub_datasets.scanning.cutting import Scan, correct, is_wrong
from hub_datasets.scanning.folders import FrameListing
from hub_datasets.scanning.frame_numbering import number_from_clip_start, numbering_remarks
from hub_datasets.scanning.rows import clip_rows

_SEVEN = ("happiness", "surprise", "disgust", "anger", "fear", "sadness", "others")
_FOUR = ("happiness", "surprise", "disgust", "others")
# One class has two names, others and repression, of which the sheet and the folders use different ones.
_WORDS = {**{word: word for word in _SEVEN}, "repression": "others"}
_POLARITY = {
    "happiness": "positive",
    "surprise": "surprise",
    "disgust": "negative",
    "anger": "negative",
    "fear": "negative",
    "sadness": "negative",
}
_EMOTION_FOLDER = r"happiness|surprise|disgust|repression|others?|fear|sadness|anger"
_COLUMNS = {
    "subject": "Subject",
    "clip": "Filename",
    "onset": "OnsetFrame",
    "apex": "ApexFrame",
    "offset": "OffsetFrame",
    "action_units": "Action Units",
    "emotion": "Estimated Emotion",
}
# (apex, offset) by 0-based row of the sheet, from meb, because the sheet lacks them or has them wrong.
_APEX_AND_OFFSET_OF_ROW = {
    33: (40, 75), 35: (15, 54), 36: (46, 59), 37: (20, 98), 38: (25, 80), 39: (20, 93), 40: (23, 58), 41: (28, 61),
    42: (32, 68), 142: (56, 88), 143: (32, 80), 145: (27, 85), 146: (22, 61), 148: (29, 108), 154: (31, 72),
    156: (38, 106),
}  # fmt: skip


def _erratum(row: int, field: str, right: int) -> Erratum:
    reason = "the sheet leaves it out or has it wrong, and the folder has this many frames"
    return Erratum(f"row {row}", field, Wrong.ANYTHING_ELSE, right, reason, "meb", if_frames_agree=True)


class Mmew(CorpusBuilder):
    """MMEW.

    * **Subjects, clips**: 36 subjects in the paper, 300 micro-expressions (the 900
      macro-expressions are stills and are not read).
    * **Recording**: 90 fps, 1920x1080; the released micro frames are 231x231 colour.
    * **Labels**: happiness 36, anger 8, surprise 89, disgust 72, fear 16, sadness 13, others 66 (folder `repression`).
    * **Frame numbers**: from 1 in each clip; numbers counted in the recording are recognised by the frames.
      Where neither fits, the whole folder is taken (`clip_end` is `unknown`).
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
        LabelSet.of(
            "7class", "every emotion of the sheet", _SEVEN, ("", None, (36, 89, 72, 8, 16, 13, 66)), words=_WORDS
        ),
        LabelSet.of("6class", "the basic emotions, without others", _SEVEN[:6], ("", None, (36, 89, 72, 8, 16, 13))),
        LabelSet.of(
            "4class",
            "the four large classes",
            _FOUR,
            ("", None, (36, 89, 72, 66)),
            words={word: name for word, name in _WORDS.items() if name in _FOUR},
        ),
        LabelSet.of(
            "3class",
            "polarity, without others",
            ("negative", "positive", "surprise"),
            ("", None, (109, 36, 89)),
            words=_POLARITY,
        ),
    )
    ERRATA = tuple(
        _erratum(row, field, right)
        for row, (apex, offset) in _APEX_AND_OFFSET_OF_ROW.items()
        for field, right in (("apex", apex), ("offset", offset))
    )

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of the sheet; emotion folders are looked up, since their names may differ from it."""
        folder_parts = _folder_parts_by_clip(layout)
        records = []
        for row in clip_rows(layout.read_sheet(_COLUMNS.values()), _COLUMNS):
            clip, folder = row.clip, f"S{row.subject:02d}"
            expected = (row.emotion, clip) if layout.package.name == "emotion_first" else (folder, row.emotion, clip)
            records.append(
                row.record(
                    key=clip,
                    clip_id=f"mmew/{clip}/{row.written_onset}",
                    subject=folder,
                    recording=clip,
                    folder_parts=folder_parts.get(name_key(clip), expected),
                    attributes={"row": f"row {row.position}"},
                )
            )
        return records

    def scan_download(self, root: Path) -> Scan:
        """Scan as the base class does, and add remarks about frame numbering."""
        scan = super().scan_download(root)
        scan.remarks.extend(numbering_remarks(scan))
        return scan

    def fit_to_frames(self, record: ClipRecord, listing: FrameListing) -> None:
        """Apply the errata of a row where the folder agrees, then renumber it from the clip's start."""
        errata = [erratum for erratum in self.ERRATA if erratum.clip == record.attributes["row"]]
        offset = next((erratum.right for erratum in errata if erratum.field == "offset"), None)
        if offset is not None and listing.numbers and listing.numbers[-1] == offset:
            for erratum in errata:
                if is_wrong(record, erratum):
                    correct(record, erratum)
        number_from_clip_start(record, listing)


def _folder_parts_by_clip(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Path parts of every clip folder of the package, by [`name_key`]."""
    levels = 1 if layout.package.name == "emotion_first" else 2
    parts_of: dict[str, tuple[str, ...]] = {}
    for root in layout.package_roots:
        parents: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
        for _ in range(levels):
            parents = [
                (child, (*parts, child.name))
                for folder, parts in parents
                for child in layout.tree.content(folder).folders.values()
            ]
        for folder, parts in parents:
            for name in layout.tree.content(folder).folders:
                parts_of.setdefault(name, (*parts, name))
    return parts_of
