"""4DME: 267 micro-expressions at 60 frames per second, the gray videos (fact sheet, section 8)."""

from pathlib import Path

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import (
    ClipRecord,
    Erratum,
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
from hub_datasets.scanning.cutting import Scan
from hub_datasets.scanning.folders import FrameListing
from hub_datasets.scanning.frame_numbering import number_from_clip_start, numbering_remarks
from hub_datasets.scanning.sheets import read_sheet, require_columns

_FIVE = ("positive", "negative", "surprise", "repression", "others")
_COLUMNS = ("sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset")
_SUBJECT = r"s?\d{1,3}"


class FourDme(CorpusBuilder):
    """4DME.

    * **Subjects, clips**: 267 micro-expressions with action units, of 41 subjects (not confirmed).
    * **Recording**: 60 fps; four modalities, of which the layout of the gray videos alone is known and read.
    * **Labels**: positive, negative, surprise, repression, others; a clip may have several (`Surprise+Positive`).
      The counts per class are not known.
    * **Frame numbers**: settled by the frames on disk: absolute, or from the clip's start.
    * **Action units** are read from the text column; units marked `(k)` are kept, not moved, and are left out. The 0/1
      columns beside it are not used: those of rows 144 and 145 are swapped.
    * **Access**: signed agreement with the University of Oulu (CMVS).
    * **Cite**: Li et al., IEEE TAFFC, 2022.

    Options: `package` (`gray`, `gray_crop`, `gray_registered`).
    """

    NAME = "fourdme"
    TITLE = "4DME: spontaneous 4D micro-expressions, the gray videos at 60 fps"
    FPS = 60.0
    ACCESS_PAGE = "https://www.oulu.fi/cmvs"
    CITATION = (
        "Li X, Cheng S, Li Y, Behzad M, Shen J, Zafeiriou S, Pantic M, Zhao G. 4DME: A Spontaneous 4D "
        "Micro-Expression Dataset With Multimodalities. IEEE Transactions on Affective Computing, 2022. "
        "doi:10.1109/TAFFC.2022.3182342"
    )
    EXPECTED_TREE = """\
4DME_Labelling_Micro_release v1.xlsx
gray_micro/<sub_ID>/<fold_name>/1.jpg             (or gray_micro_crop, the faces alone)
gray_micro_register_final/<fold_name>/1.jpg       (an earlier copy)"""
    PACKAGES = (
        Package("gray", r"gray_micro(?!_crop|_register)", _SUBJECT, only_interval=True),
        Package("gray_crop", r"gray_micro_crop", _SUBJECT, only_interval=True),
        Package("gray_registered", r"gray_micro_register", r"s\d+_.+", only_interval=True),
        Package("frames", r"", _SUBJECT, only_interval=True),
    )
    SHEETS = (SheetFile("release", r"4DME_Labell?ing_Micro.*\.(xlsx?|csv)"),)
    LABEL_SETS = (
        LabelSet(
            "5class",
            _FIVE,
            identity_labels(_FIVE),
            "every clip; one with several emotions counts under the first that the sheet names (our choice)",
            attribute="first_emotion",
        ),
        LabelSet("5class_single", _FIVE, identity_labels(_FIVE), "clips with one emotion alone"),
        LabelSet(
            "3class",
            _FIVE[:3],
            identity_labels(_FIVE[:3]),
            "clips that are positive, negative or surprised and nothing else",
        ),
    )
    ERRATA = (
        Erratum(
            "row 26",
            "apex",
            Wrong.OUTSIDE_INTERVAL,
            2490,
            "the apex is outside the interval",
            "fact sheet 8, meb-old",
        ),
    )

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of the sheet."""
        path = layout.sheet_path()
        frame = read_sheet(path)
        require_columns(frame, _COLUMNS, path)
        units_column = "AUs" if "AUs" in frame.columns else "AU"
        units_of_row = frame[units_column] if units_column in frame.columns else frame["Emotion"].map(lambda _: None)
        records = []
        for row, subject, fold, emotion, onset, apex, offset in frame[list(_COLUMNS)].itertuples():
            subject, fold = as_text(subject), as_text(fold)
            if as_subject_number(subject) is None or not fold:
                continue
            emotion = normalise_emotion(emotion)
            records.append(
                ClipRecord(
                    key=f"row {row}",
                    clip_id=f"fourdme/{subject}/{fold}/{as_text(onset)}",
                    subject=subject,
                    recording=f"{subject}/{fold}",
                    folder_parts=_folder_parts(layout, subject, fold),
                    onset=as_frame_number(onset),
                    apex=as_frame_number(apex),
                    offset=as_frame_number(offset),
                    emotion=emotion,
                    action_units=as_text(units_of_row[row]),
                    attributes={"first_emotion": normalise_emotion(emotion.split("+")[0])},
                )
            )
        return records

    def scan_download(self, root: Path) -> Scan:
        """Scan as every corpus, and say how frames were found to be numbered."""
        scan = super().scan_download(root)
        scan.remarks.extend(numbering_remarks(scan))
        return scan

    def fit_to_frames(self, record: ClipRecord, listing: FrameListing) -> None:
        """Settle how frames are numbered."""
        number_from_clip_start(record, listing)


def _folder_parts(layout: Layout, subject: str, fold: str) -> tuple[str | tuple[str, ...], ...]:
    number = as_subject_number(subject)
    clip = (fold, f"{subject}_{fold}")
    if layout.package.name == "gray_registered":
        return (clip,)
    return (subject, f"S{number}", f"S{number:02d}", f"{number}", f"{number:02d}"), clip
