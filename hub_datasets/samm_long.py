"""SAMM Long Videos: micro- and macro-expressions as intervals of long recordings (docs/sources.md, SAMM)."""

import re

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import ClipEnd, ClipRecord, LabelSet, Package, SheetFile
from hub_datasets.scanning.cells import as_text
from hub_datasets.scanning.rows import clip_rows
from hub_datasets.scanning.sheets import header_with

_SUBJECT_VIDEO = r"\d{3}_\d{1,2}"
_TYPES = ("micro", "macro")
# Columns are read by position, because V1 to V3 name them differently and public loaders agree on their order.
_COLUMNS = {
    name: position
    for position, name in enumerate(
        ("subject", "clip", "inducement", "onset", "apex", "offset", "duration", "type", "action_units", "notes")
    )
}
_FIVE = ("surprise", "happiness", "anger", "contempt", "others")
_NEGATIVE = ("anger", "contempt", "disgust", "fear", "sadness")


class SammLong(CorpusBuilder):
    """SAMM Long Videos.

    * **Subjects, clips**: 147 videos with 343 macro- and 159 micro-expressions; 29 subjects with micro-expressions.
    * **Recording**: 200 fps, gray; a video is a folder of frames, numbered from 1.
    * **Labels**: micro or macro. Emotions of the micro-expressions are read from the SAMM sheet, where it is
      found below the same root; the label sets of emotions need it.
    * **Repairs**: an offset of 0 is missing, and the apex then ends the clip (`clip_end` is `apex`); macro rows that
      begin at frame 0 (V1, V2) or 1 (V3) span a whole video and are left out.
    * **Access**: signed licence agreement, Manchester Metropolitan University.
    * **Cite**: Yap et al., IEEE FG 2020.
    """

    NAME = "samm_long"
    PEOPLE = "samm"
    TITLE = "SAMM Long Videos: intervals of micro- and macro-expressions"
    FPS = 200.0
    ACCESS_PAGE = "http://personalpages.manchester.ac.uk/staff/adrian.davison/SAMM.html"
    MODEL_TERMS = (
        "SAMM is handed out under a signed agreement: check the terms that you signed before you use or pass on "
        "weights that were trained on it."
    )
    CITATION = (
        "Yap CH, Kendrick C, Yap MH. SAMM Long Videos: A Spontaneous Facial Micro- and Macro-Expressions Dataset. "
        "IEEE FG 2020. arXiv:1911.01519"
    )
    EXPECTED_TREE = """\
SAMM_LongVideos_V3_Release.xlsx        (or V2, V1)
SAMM_longvideos/006_1/006_1_0001.jpg
SAMM_Micro_FACS_Codes_v2.xlsx          (only for the label sets of emotions)"""
    PACKAGES = (Package("frames", r"", _SUBJECT_VIDEO),)
    SHEETS = (
        SheetFile("V3", r"SAMM_?Long_?Videos_V3.*\.(xlsx?|csv)"),
        SheetFile("V2", r"SAMM_?Long_?Videos_V2.*\.(xlsx?|csv)"),
        SheetFile("V1", r"SAMM_?Long_?Videos_V1.*\.(xlsx?|csv)"),
        SheetFile("", r"SAMM(_\d{8})?_Micro_FACS_Codes.*\.(xlsx?|csv)", role="emotions"),
    )
    LABEL_SETS = (
        LabelSet.of("type", "micro- or macro-expression", _TYPES, ("", None, (159, 343)), attribute="type"),
        LabelSet.of(
            "5class",
            "the five classes of SAMM, micro-expressions only",
            _FIVE,
            ("", 27, (15, 26, 57, 12, 26)),
        ),
        LabelSet.of(
            "3class",
            "the MEGC 2019 classes, micro-expressions only",
            ("negative", "positive", "surprise"),
            ("", 28, (92, 26, 15)),
            words={**dict.fromkeys(_NEGATIVE, "negative"), "happiness": "positive", "surprise": "surprise"},
        ),
    )

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row that names a type, below the notes and the header."""
        emotions = (
            {} if self.label_set.attribute == "type" and "emotions" not in layout.sheets else self._emotions(layout)
        )
        records: list[ClipRecord] = []
        for row in clip_rows(layout.read_sheet(header_row=None), _COLUMNS):
            written = as_text(row.cells["type"]).casefold()
            kind = next((name for name in _TYPES if written.startswith(name)), None)
            video = re.match(_SUBJECT_VIDEO, row.clip)
            if kind is None or video is None or (kind == "macro" and row.onset in (0, 1)):
                continue
            record = row.record(
                key=f"{row.clip}/{kind}",
                clip_id=f"samm_long/{row.clip}/{kind}/{row.written_onset}",
                subject=f"{row.subject:03d}",
                recording=video[0],
                folder_parts=(video[0],),
                emotion=emotions.get(row.clip, "") if kind == "micro" else "",
                attributes={"type": kind},
            )
            if row.offset in (None, 0) and row.apex is not None:
                record.offset, record.end = row.apex, ClipEnd.APEX
                record.notes.append(f"offset {row.offset} -> {row.apex}: missing in the sheet, the apex ends the clip")
            records.append(record)
        return records

    @staticmethod
    def _emotions(layout: Layout) -> dict[str, str]:
        """Emotion of each micro-expression, from the SAMM sheet."""
        columns = {"clip": "Filename", "emotion": "Estimated Emotion"}
        header = header_with("Subject", "Filename")
        frame = layout.read_sheet(columns.values(), "emotions", header_row=header)
        return {row.clip: row.emotion for row in clip_rows(frame, columns, needed=())}
