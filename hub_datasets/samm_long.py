"""SAMM Long Videos: micro- and macro-expressions as intervals of long recordings (fact sheet, section 3)."""

import re

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import (
    ClipRecord,
    Expected,
    LabelSet,
    Package,
    SheetFile,
    as_frame_number,
    as_subject_number,
    as_text,
    identity_labels,
    normalise_emotion,
)
from hub_datasets.scanning.sheets import header_with, read_sheet, require_columns

_SUBJECT_VIDEO = r"\d{3}_\d{1,2}"
_TYPES = ("micro", "macro")
# Loaders agree on the order of the columns and keep no header (fact sheet, section 3).
_COLUMNS = ("subject", "clip", "inducement", "onset", "apex", "offset", "duration", "type", "units", "notes")
_FIVE = ("surprise", "happiness", "anger", "contempt", "others")
_NEGATIVE = ("anger", "contempt", "disgust", "fear", "sadness")


class SammLong(CorpusBuilder):
    """SAMM Long Videos.

    * **Subjects, clips**: 147 videos with 343 macro- and 159 micro-expressions; 29 subjects with micro-expressions.
    * **Recording**: 200 fps, gray; a video is a folder of frames, numbered from 1.
    * **Labels**: micro or macro. Emotions of the micro-expressions come from the SAMM sheet, where it is found below
      the same root; the label sets of emotions need it.
    * **Repairs**: an offset of 0 is missing, and the apex then ends the clip; macro rows that begin at frame 0 (V1,
      V2) or 1 (V3) span a whole video and are left out.
    * **Access**: signed licence agreement, Manchester Metropolitan University.
    * **Cite**: Yap et al., IEEE FG 2020.
    """

    NAME = "samm_long"
    PEOPLE = "samm"
    TITLE = "SAMM Long Videos: intervals of micro- and macro-expressions"
    FPS = 200.0
    ACCESS_PAGE = "http://personalpages.manchester.ac.uk/staff/adrian.davison/SAMM.html"
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
        LabelSet(
            "type",
            _TYPES,
            identity_labels(_TYPES),
            "micro- or macro-expression",
            (Expected({"micro": 159, "macro": 343}),),
            attribute="type",
        ),
        LabelSet(
            "5class",
            _FIVE,
            identity_labels(_FIVE),
            "the five classes of SAMM, micro-expressions only",
            (Expected(dict(zip(_FIVE, (15, 26, 57, 12, 26), strict=True)), 27),),
        ),
        LabelSet(
            "3class",
            ("negative", "positive", "surprise"),
            {**dict.fromkeys(_NEGATIVE, "negative"), "happiness": "positive", "surprise": "surprise"},
            "the MEGC 2019 classes, micro-expressions only",
            (Expected({"negative": 92, "positive": 26, "surprise": 15}, 28),),
        ),
    )

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row that names a type; notes and the header stand above."""
        frame = read_sheet(layout.sheet_path(), header_row=None)
        emotions = (
            {} if self.label_set.attribute == "type" and "emotions" not in layout.sheets else self._emotions(layout)
        )
        records: list[ClipRecord] = []
        for cells in frame.itertuples(index=False):
            row = dict(zip(_COLUMNS, cells, strict=False))
            kind = as_text(row.get("type")).casefold()
            number, clip = as_subject_number(row.get("subject")), as_text(row.get("clip"))
            tokens = re.match(r"(\d{3}_\d{1,2})", clip)
            if number is None or tokens is None or not kind.startswith(_TYPES):
                continue
            kind = "micro" if kind.startswith("micro") else "macro"
            onset, apex, offset = (as_frame_number(row[name]) for name in ("onset", "apex", "offset"))
            if kind == "macro" and onset in (0, 1):
                continue
            clip_id = f"samm_long/{clip}/{kind}/{as_text(row['onset'])}"
            record = ClipRecord(
                key=f"{clip}/{kind}",
                clip_id=clip_id,
                subject=f"{number:03d}",
                recording=tokens[1],
                folder_parts=(tokens[1],),
                onset=onset,
                apex=apex,
                offset=offset,
                emotion=emotions.get(clip, "") if kind == "micro" else "",
                action_units=as_text(row.get("units")),
                attributes={"type": kind},
            )
            if offset in (None, 0) and apex is not None:
                record.offset = apex
                record.notes.append(f"offset {offset} -> {apex}: missing in the sheet, the apex ends the clip")
            records.append(record)
        return records

    @staticmethod
    def _emotions(layout: Layout) -> dict[str, str]:
        """Emotion of each micro-expression, from the SAMM sheet."""
        path = layout.sheet_path("emotions")
        frame = read_sheet(path, header_row=header_with("Subject", "Filename"))
        require_columns(frame, ["Filename", "Estimated Emotion"], path)
        return {
            as_text(clip): normalise_emotion(emotion)
            for clip, emotion in frame[["Filename", "Estimated Emotion"]].itertuples(index=False)
        }
