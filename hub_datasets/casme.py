"""CASME: 189 micro-expressions at 60 frames per second (docs/sources.md, CASME)."""

from collections import Counter
from dataclasses import replace

import pandas as pd

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.errors import SheetError
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile, Wrong
from hub_datasets.scanning.cutting import choose_interval
from hub_datasets.scanning.folders import FrameListing
from hub_datasets.scanning.rows import clip_rows
from hub_datasets.scanning.sheets import require_columns

_SUBJECT = r"sub\d{1,2}"
_FOUR = ("disgust", "repression", "surprise", "tense")
_EIGHT = (*_FOUR, "happiness", "sadness", "contempt", "fear")
_POLARITY = {
    "happiness": "positive",
    "disgust": "negative",
    "sadness": "negative",
    "contempt": "negative",
    "fear": "negative",
    "surprise": "surprise",
    "tense": "others",
    "repression": "others",
}
# Beginnings of the column names of the merged sheet; the headers of the two section sheets are known in part.
_COLUMNS = {
    "subject": "Subject",
    "clip": "Filename",
    "onset": "Onset",
    "apex": "Apex",
    "offset": "Offset",
    "action_units": "AU",
    "emotion": "Emotion",
}
_SECTION_EMOTION_COLUMN = 11


def _from_the_folder(clip: str, row: int, field: str, right: int | tuple[int, int]) -> Erratum:
    reason = "the sheet does not fit the frames of the folder"
    return Erratum(clip, field, Wrong.ANYTHING_ELSE, right, reason, f"meb, sheet row {row}", if_frames_agree=True)


class Casme(CorpusBuilder):
    """CASME.

    * **Subjects, clips**: 18 subjects with 189 clips in the sheet that circulates (195 in the paper).
    * **Recording**: 60 fps; section A (subjects 1 to 7) 1280x720, section B (8 and up) 640x480.
    * **Labels**: tense 68, disgust 45, repression 39, surprise 20, happiness 7, sadness 6, contempt 2, fear 2.
    * **Frame numbers**: absolute in the episode; an episode may hold up to six clips, so that frames are always cut by
      onset and offset, and a clip's key includes its onset where the file name is shared.
    * **Second apexes** (`ApexF2`) are not used.
    * **Access**: request form and signed licence.
    * **Cite**: Yan et al., IEEE FG 2013.

    Options: `package` (`cropped`, `selected`, `raw`), `sheet` (`merged`, `sections`, `section_b`).
    """

    NAME = "casme"
    TITLE = "CASME: spontaneous micro-expressions from neutralised faces at 60 fps"
    FPS = 60.0
    ACCESS_PAGE = "http://casme.psych.ac.cn/casme/e1"
    CITATION = (
        "Yan W-J, Wu Q, Liu Y-J, Wang S-J, Fu X. CASME database: A dataset of spontaneous micro-expressions collected "
        "from neutralized faces. IEEE FG 2013, pp. 1-7. doi:10.1109/FG.2013.6553799"
    )
    EXPECTED_TREE = """\
casme.xlsx                                        (the merged sheet, or 'Section A.xls' and 'Section B.xls')
Cropped/sub01/EP01_5/reg_EP01_5-113.jpg           (at least one of the three packages)
CASME_raw_selected/sub01/EP01_5/EP01_5-113.jpg
CASME/RAW/CASME_A/Section A/sub01/EP01_5/EP01_5-113.jpg
CASME/RAW/CASME_B/Section B/sub08/EP12_2/EP12_2-047.jpg"""
    # Folders may hold several clips in every package, so that surplus frames are no error.
    PACKAGES = (
        Package("cropped", r"crop", _SUBJECT),
        Package("selected", r"selected", _SUBJECT),
        Package("raw", r"section|raw(?!.*selected)", _SUBJECT),
        Package("frames", r"", _SUBJECT),
    )
    SHEETS = (
        SheetFile("merged", r"casme(1|[ _-]?coding.*)?\.(xlsx?|csv)"),
        SheetFile("sections", r"section[ _]?a\.(xlsx?|csv)"),
        SheetFile("section_b", r"section[ _]?b\.(xlsx?|csv)"),
        SheetFile("section_b", r"section[ _]?b\.(xlsx?|csv)", role="section_b"),
    )
    LABEL_SETS = (
        LabelSet.of("4class", "the four large classes", _FOUR, ("merged", None, (45, 39, 20, 68))),
        LabelSet.of("8class", "every emotion of the sheet", _EIGHT, ("merged", 18, (45, 39, 20, 68, 7, 6, 2, 2))),
        LabelSet.of(
            "4class_polarity",
            "polarity, with tense and repression among the others",
            ("negative", "positive", "surprise", "others"),
            ("merged", 18, (55, 7, 20, 107)),
            words=_POLARITY,
        ),
    )
    ERRATA = (
        _from_the_folder("sub03/EP07_1", 40, "interval", (100, 149)),
        _from_the_folder("sub03/EP07_1", 40, "apex", 120),
        _from_the_folder("sub03/EP09_3", 42, "interval", (101, 119)),
        _from_the_folder("sub03/EP09_3", 42, "apex", 110),
        _from_the_folder("sub03/EP09_4", 43, "interval", (57, 74)),
        _from_the_folder("sub03/EP09_4", 43, "apex", 65),
        _from_the_folder("sub06/EP02_5/7", 54, "offset", 40),
        _from_the_folder("sub13/EP08_5", 140, "offset", 142),
    )

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of the merged sheet, or of the section sheets found."""
        tables = [_read_table(layout, "annotation")]
        if layout.sheets["annotation"][0].variant == "sections" and "section_b" in layout.sheets:
            tables.append(_read_table(layout, "section_b"))
        records = []
        for row in clip_rows(pd.concat(tables), _COLUMNS):
            folder = f"sub{row.subject:02d}"
            recording = f"{folder}/{row.clip}"
            records.append(
                row.record(
                    key=recording,
                    clip_id=f"casme/{recording}/{row.written_onset}",
                    subject=folder,
                    recording=recording,
                    folder_parts=((folder, f"sub{row.subject}"), row.clip),
                )
            )
        clips_in = Counter(record.recording for record in records)
        for record in records:
            if clips_in[record.recording] > 1:
                record.key = f"{record.recording}/{record.onset}"
        return records

    def fit_to_frames(self, record: ClipRecord, listing: FrameListing) -> None:
        """Apply errata where the frames agree, because the wrong values of the sheet are not known."""
        if record.onset is None or record.offset is None:
            return
        length = record.offset - record.onset + 1
        present = sum(record.onset <= number <= record.offset for number in listing.numbers)
        if self.layout.package.name == "raw" and 0 < length == present:  # any interval fits a whole episode
            return
        errata = [erratum for erratum in self.ERRATA if erratum.clip == record.key]
        as_written = (record.onset, record.offset)
        intervals = [
            replace(
                erratum,
                field="interval",
                wrong=as_written,
                right=(record.onset, erratum.right) if isinstance(erratum.right, int) else erratum.right,
            )
            for erratum in errata
            if erratum.field != "apex"
        ]
        choose_interval(record, listing, [*intervals, *(erratum for erratum in errata if erratum.field == "apex")])


def _read_table(layout: Layout, role: str) -> pd.DataFrame:
    """Read one sheet into the seven columns of [`_COLUMNS`]."""
    frame = layout.read_sheet(role=role)
    names = {wanted: _column(frame, begins=wanted) for wanted in _COLUMNS.values()}
    names["AU"] = names["AU"] or _column(frame, begins="action")
    names["Emotion"] = names["Emotion"] or _column(frame, ends="emotion")
    new_names = {name: wanted for wanted, name in names.items() if name is not None}
    table = frame[list(new_names)].rename(columns=new_names)
    if "Emotion" not in table.columns:
        table["Emotion"] = _twelfth_column(layout, role, table)
    require_columns(table, _COLUMNS.values(), layout.sheet_path(role))
    return table[list(_COLUMNS.values())]


def _column(frame: pd.DataFrame, begins: str = "", ends: str = "") -> str | None:
    names = (name for name in frame.columns if name.casefold().startswith(begins.casefold()))
    return next((name for name in names if name.casefold().endswith(ends)), None)


def _twelfth_column(layout: Layout, role: str, table: pd.DataFrame) -> pd.Series:
    """Emotions of a section sheet: its twelfth column, whatever its header."""
    plain = layout.read_sheet(role=role, header_row=None)
    if _SECTION_EMOTION_COLUMN not in plain.columns:
        raise SheetError(
            f"The sheet {layout.sheet_path(role)} must have a column Emotion, or emotions in its twelfth column, but "
            "has neither: use the sheet that the corpus ships."
        )
    column = plain[_SECTION_EMOTION_COLUMN]
    return column.set_axis(column.index - 1).reindex(table.index)
