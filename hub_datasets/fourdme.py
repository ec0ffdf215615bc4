"""4DME: 267 micro-expressions at 60 frames per second, the gray videos (docs/sources.md, 4DME)."""

from pathlib import Path

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile, Wrong
from hub_datasets.scanning.cells import as_text, normalise_emotion
from hub_datasets.scanning.cutting import Scan
from hub_datasets.scanning.folders import FrameListing
from hub_datasets.scanning.frame_numbering import number_from_clip_start, numbering_remarks
from hub_datasets.scanning.rows import clip_rows

_FIVE = ("positive", "negative", "surprise", "repression", "others")
_COLUMNS = {
    "subject": "sub_ID",
    "clip": "fold_name",
    "onset": "Onset",
    "apex": "Apex",
    "offset": "Offset",
    "emotion": "Emotion",
}
_SUBJECT = r"s?\d{1,3}"


class FourDme(CorpusBuilder):
    """4DME.

    * **Subjects, clips**: 267 micro-expressions with action units, of 41 subjects (not confirmed).
    * **Recording**: 60 fps; four modalities; only the gray videos are read, because the other layouts are not known.
    * **Labels**: positive, negative, surprise, repression, others; a clip may have several (`Surprise+Positive`).
      The counts per class are not known.
    * **Frame numbers**: absolute, or counted from the clip's start; decided by the frames on disk.
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
        LabelSet.of(
            "5class",
            "every clip; one with several emotions counts as the first in the sheet (our choice)",
            _FIVE,
            attribute="first_emotion",
        ),
        LabelSet.of("5class_single", "clips with one emotion alone", _FIVE),
        LabelSet.of("3class", "clips of one emotion that is positive, negative or surprise", _FIVE[:3]),
    )
    ERRATA = (Erratum("row 26", "apex", Wrong.OUTSIDE_INTERVAL, 2490, "the apex is outside the interval", "meb-old"),)

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of the sheet."""
        frame = layout.read_sheet(_COLUMNS.values())
        columns = {**_COLUMNS, "action_units": "AUs" if "AUs" in frame.columns else "AU"}
        records = []
        for row in clip_rows(frame, columns):
            subject, fold = as_text(row.cells["subject"]), row.clip
            records.append(
                row.record(
                    key=f"row {row.position}",
                    clip_id=f"fourdme/{subject}/{fold}/{row.written_onset}",
                    subject=subject,
                    recording=f"{subject}/{fold}",
                    folder_parts=_folder_parts(layout, subject, row.subject, fold),
                    attributes={"first_emotion": normalise_emotion(row.emotion.split("+")[0])},
                )
            )
        return records

    def scan_download(self, root: Path) -> Scan:
        """Scan as the base class does, and add remarks about frame numbering."""
        scan = super().scan_download(root)
        scan.remarks.extend(numbering_remarks(scan))
        return scan

    def fit_to_frames(self, record: ClipRecord, listing: FrameListing) -> None:
        """Renumber a record from the clip's start where its sheet counts in the recording."""
        number_from_clip_start(record, listing)


def _folder_parts(layout: Layout, subject: str, number: int, fold: str) -> tuple[str | tuple[str, ...], ...]:
    clip = (fold, f"{subject}_{fold}")
    if layout.package.name == "gray_registered":
        return (clip,)
    return (subject, f"S{number}", f"S{number:02d}", f"{number}", f"{number:02d}"), clip
