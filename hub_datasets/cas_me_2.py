"""CAS(ME)^2: 57 micro- and 300 macro-expressions at 30 frames per second (docs/sources.md, CAS(ME)^2)."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from hub_datasets.base import ANY, CorpusBuilder, Layout
from hub_datasets.errors import SheetError
from hub_datasets.records import ClipEnd, ClipRecord, LabelSet, Package, SheetFile
from hub_datasets.scanning.cells import normalise_emotion
from hub_datasets.scanning.folders import VIDEO_SUFFIXES
from hub_datasets.scanning.rows import clip_rows

_FOUR = ("positive", "negative", "surprise", "others")
_SELF_REPORTED = {
    "happiness": "positive",
    "surprise": "surprise",
    "anger": "negative",
    "disgust": "negative",
    "fear": "negative",
    "sadness": "negative",
    "pain": "others",
    "helpless": "others",
    "helpness": "others",
}
# The sheet counts subjects from 1 to 22; folders have the numbers of the recording sessions (sheet 'naming rule1').
_SUBJECT_OF_INDEX = dict(
    enumerate((15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40), start=1)
)
_SMALLEST_SUBJECT = min(_SUBJECT_OF_INDEX.values())
# Stimulus codes in the titles of the long videos (sheet 'naming rule2'); the words after the code vary.
_FILM_CODES = {
    "disgust1": "0101",
    "disgust2": "0102",
    "anger1": "0401",
    "anger2": "0402",
    "happy1": "0502",
    "happy2": "0503",
    "happy3": "0505",
    "happy4": "0507",
    "happy5": "0508",
}
_SUBJECT = r"s?\d{1,2}"
_MICRO, _MACRO, _BOTH = "micro", "macro", "both"
# Columns are read by position, because no worksheet has a header row.
_COLUMNS = {
    name: position
    for position, name in enumerate(
        ("subject", "clip", "onset", "apex", "offset", "action_units", "emotion", "type", "self_report")
    )
}


class CasMe2(CorpusBuilder):
    """CAS(ME)^2.

    * **Subjects, clips**: 22 subjects watched 9 films (87 long videos); 57 micro-expressions of 14 subjects and 300
      macro-expressions of 20.
    * **Recording**: 30 fps, 640x480 colour.
    * **Labels**: micro: positive 8, negative 21, surprise 9, others 19; macro: positive 87, negative 95, surprise 13,
      others 105 (not confirmed). The subjects' self-reports are the label set `4class_self_report`.
    * **Frame numbers**: absolute in the long video, from 1.
    * **Zero means missing**: an apex of 0 is unknown; an offset of 0 is replaced by the last frame of the sample, in a
      long video by the apex (`clip_end` is then `apex`).
    * **Access**: request form and signed licence.
    * **Cite**: Qu et al., IEEE TAFFC 9(4), 2018.

    Options: `expressions` (`micro`, the default, `macro`, `both`), `package` (`selectedpic`, `cropped`, which lacks 16
    samples, `rawpic`, `rawvideo`), `sheet` (`updated`, `original`).
    """

    NAME = "cas_me_2"
    TITLE = "CAS(ME)^2: spontaneous macro- and micro-expressions in long videos at 30 fps"
    FPS = 30.0
    ACCESS_PAGE = "http://casme.psych.ac.cn/casme/e3"
    CITATION = (
        "Qu F, Wang S-J, Yan W-J, Li H, Wu S, Fu X. CAS(ME)^2: A Database for Spontaneous Macro-Expression and "
        "Micro-Expression Spotting and Recognition. IEEE Transactions on Affective Computing 9(4):424-436, 2018. "
        "doi:10.1109/TAFFC.2017.2654440"
    )
    EXPECTED_TREE = """\
CAS(ME)^2code_final.xlsx                          (or CAS(ME)^2code_final(Updated).xlsx)
selectedpic/s15/disgust2_3/img501.jpg             (at least one of the four packages)
cropped/15/disgust2_3/img501.jpg
rawpic/s15/15_0102eatingworms/img001.jpg
rawvideo/s15/15_0102eatingworms.avi"""
    PACKAGES = (
        Package("selectedpic", r"selected", r"s\d{1,2}", only_interval=True),
        Package("cropped", r"crop", _SUBJECT, only_interval=True),
        Package("rawpic", r"raw_?pic", r"s\d{1,2}"),
        Package("rawvideo", r"raw_?video", r"s\d{1,2}", video=True),
    )
    SHEETS = (
        SheetFile("updated", r"CAS\(?ME\)?\^?2.*code_?final.*updated.*\.xlsx?"),
        SheetFile("original", r"(?!.*updated)CAS\(?ME\)?\^?2.*code_?final.*\.xlsx?"),
    )
    LABEL_SETS = (
        LabelSet.of(
            "4class",
            "the classes of the sheet",
            _FOUR,
            (_MICRO, 14, (8, 21, 9, 19)),
            (_MACRO, 20, (87, 95, 13, 105)),
            (_BOTH, 22, (95, 116, 22, 124)),
        ),
        LabelSet.of(
            "3class",
            "the classes of the sheet without others",
            _FOUR[:3],
            (_MICRO, None, (8, 21, 9)),
            (_MACRO, None, (87, 95, 13)),
            (_BOTH, None, (95, 116, 22)),
        ),
        LabelSet.of(
            "4class_self_report",
            "polarity of the self-reported emotions",
            _FOUR,
            words=_SELF_REPORTED,
            attribute="self_report",
        ),
    )
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {"expressions": (_MICRO, _MACRO, _BOTH)}

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of the chosen type; (subject, clip name) is unique."""
        frame = layout.read_sheet(header_row=None)
        if frame.shape[1] < len(_COLUMNS) - 1:  # the last column, the self-report, may be absent
            raise SheetError(
                f"The first worksheet of {layout.sheet_path()} must have {len(_COLUMNS)} columns without a header, "
                f"but has {frame.shape[1]}: use the sheet that the corpus ships."
            )
        keyed_by_index = _keyed_by_index(layout)
        wanted = self._wanted_expressions()
        records = []
        for row in clip_rows(frame, _COLUMNS):
            if row.subject not in _SUBJECT_OF_INDEX or "_" not in row.clip:
                continue
            if wanted != _BOTH and not normalise_emotion(row.cells["type"]).startswith(wanted):
                continue
            number = _SUBJECT_OF_INDEX[row.subject]
            subject, film = f"s{number}", row.clip.rsplit("_", 1)[0].casefold()
            record = row.record(
                key=f"{subject}/{row.clip}",
                clip_id=f"cas_me_2/{subject}/{row.clip}/{row.written_onset}",
                subject=subject,
                recording=f"{subject}/{film}",
                folder_parts=_folder_parts(layout, row.subject if keyed_by_index else number, row.clip, film),
                apex=row.apex or None,
                offset=row.offset or None,
                attributes={"self_report": normalise_emotion(row.cells["self_report"])},
            )
            _close_interval(layout, record)
            records.append(record)
        return records

    def sheet_variant(self, layout: Layout, records: list[ClipRecord]) -> str:
        """The published counts depend on the type of expression, not on the version of the sheet."""
        return self._wanted_expressions()

    def describe_variant(self, layout: Layout, variant: str) -> str:
        """Sheet, package and type of expression."""
        sheet, path = layout.sheets["annotation"]
        return f"sheet {sheet.variant} ({path.name}), package {layout.package.name}, {variant} expressions"

    def _wanted_expressions(self) -> str:
        chosen = self.options["expressions"]
        return _MICRO if chosen == ANY else chosen


def _keyed_by_index(layout: Layout) -> bool:
    """Whether the folders are named 1 to 22, as one copy of the cropped package is, instead of 15 to 40."""
    names = [name for root in layout.package_roots for name in layout.tree.content(root).folders]
    return any(name.isdigit() and int(name) < _SMALLEST_SUBJECT for name in names)


def _folder_parts(layout: Layout, number: int, clip: str, film: str) -> tuple[str | tuple[str, ...], ...]:
    subject = (f"s{number}", str(number))
    if layout.package.name in ("selectedpic", "cropped"):
        return subject, clip
    # Long videos: the four digits after the subject are known, the rest of the name is looked up.
    code = _FILM_CODES.get(film, film)
    for root in layout.package_roots:
        folder = layout.tree.find_folder(root, (subject,))
        if folder is None:
            continue
        content = layout.tree.content(folder)
        entries: Mapping[str, Path] = content.files if layout.package.video else content.folders
        for entry in entries.values():
            if entry.name.partition("_")[2].startswith(code):
                is_video = entry.suffix.lower() in VIDEO_SUFFIXES
                return subject, entry.stem if layout.package.video and is_video else entry.name
    return subject, f"{number}_{code}"


def _close_interval(layout: Layout, record: ClipRecord) -> None:
    """End a clip of a long video at its apex where the sheet has no offset; samples end with their folder."""
    if record.offset is None and record.apex is not None and layout.package.name in ("rawpic", "rawvideo"):
        record.offset, record.end = record.apex, ClipEnd.APEX
        record.notes.append("offset 0 means missing: the clip ends at its apex (softnet)")
