"""SMIC and SMIC-E: micro-expressions before a fast, a normal and a near-infrared camera (docs/sources.md, SMIC)."""

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import ClassVar

from hub_datasets.base import CorpusBuilder, Layout
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile
from hub_datasets.scanning.cells import as_frame_number, as_text, normalise_emotion
from hub_datasets.scanning.sheets import header_with, read_sheet, require_columns

_SUBJECT = r"s\d{1,2}"
_CLIP = re.compile(r"s0*(\d{1,2})_(ne|po|sur)_0*(\d{1,3})", re.IGNORECASE)
_EMOTION_OF_CODE = {"ne": "negative", "po": "positive", "sur": "surprise"}
_CLASSES = ("negative", "positive", "surprise")
_FPS = {"hs": 100.0, "vis": 25.0, "nir": 25.0}
# Clips of the published 164 that SMIC-E keeps as the second or third expression of another one.
_FURTHER_CLIPS = {
    ("s3_ne_02", 2): "s3_ne_03",
    ("s4_ne_04", 2): "s4_ne_05",
    ("s4_ne_04", 3): "s4_ne_06",
    ("s9_sur_01", 2): "s9_sur_02",
}
# Missing from the cropped package; its record is added all the same, so that the clip is reported as lost.
_NOT_CROPPED = "s18_sur_03"


def _packages() -> tuple[Package, ...]:
    packages = []
    for camera in _FPS:
        folder = rf"(^|/)(smic[-_ ])?{camera}"
        packages += [
            Package(f"{camera}_cropped", rf"crop.*{camera}$", _SUBJECT, only_interval=True),
            Package(f"{camera}_raw", rf"raw.*{camera}$", _SUBJECT, only_interval=True),
            Package(f"{camera}_raw", rf"^(?!.*crop).*{folder}$", _SUBJECT, only_interval=True, fallback=True),
            Package(f"{camera}_e", rf"{folder}[-_](e|long)$", _SUBJECT),
        ]
    return tuple(packages)


def _clip_name(text: str) -> tuple[str, str, str] | None:
    """Clip, subject and emotion in the spelling of the disk (s3_ne_01), whatever padding a sheet or a list uses."""
    match = _CLIP.fullmatch(text.strip())
    if match is None:
        return None
    subject, code, number = int(match[1]), match[2].lower(), int(match[3])
    return f"s{subject}_{code}_{number:02d}", f"s{subject}", _EMOTION_OF_CODE[code]


class Smic(CorpusBuilder):
    """SMIC (high-speed HS, visible VIS, near-infrared NIR) and its extended form SMIC-E.

    * **Subjects, clips**: HS 16 subjects, 164 clips of 11 to 58 frames; VIS and NIR 8 subjects, 71 clips each.
    * **Recording**: HS 100 fps, VIS and NIR 25 fps, 640x480.
    * **Labels**: negative 70, positive 51, surprise 43 (HS); no action units, no apex.
    * **SMIC-E**: clips of about six seconds with onset and offset in a sheet; 157 rows for HS. Four more of the 164
      clips are recovered from rows that hold a second or third expression; s1_ne_02, s2_sur_05 and s3_ne_20 are not in
      it.
    * **Frame numbers**: absolute, 6 to 8 digits.
    * **Ends**: outside of SMIC-E no sheet states the offset of a clip; it ends with its folder (`clip_end` is
      `unknown`).
    * **Access**: signed licence, Center for Machine Vision and Signal Analysis, University of Oulu.
    * **Cite**: Li et al., IEEE FG 2013.

    Options: `package` (`hs_cropped`, `hs_raw`, `hs_e` and the same for `vis` and `nir`); `further_expressions`
    (`exclude`, `include`): second expressions of SMIC-E rows without a name in the published list.
    """

    NAME = "smic"
    TITLE = "SMIC: spontaneous micro-expressions before three cameras"
    FPS = 100.0
    ACCESS_PAGE = "https://www.oulu.fi/cmvs/node/41319"
    CITATION = (
        "Li X, Pfister T, Huang X, Zhao G, Pietikainen M. A Spontaneous Micro-expression Database: Inducement, "
        "Collection and Baseline. IEEE FG 2013, pp. 1-6. doi:10.1109/FG.2013.6553717"
    )
    EXPECTED_TREE = """\
SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01/reg_image559740.bmp     (VIS and NIR likewise), or
SMIC_all_raw/HS/s1/micro/negative/s1_ne_01/image559740.bmp, or
SMIC-E_raw image/HS_long/SMIC-HS-E/s03/s3_ne_01/image257900.jpg
SMIC-HS-E_annotation.xlsx                                              (only for SMIC-E)"""
    PACKAGES = _packages()
    SHEETS = (
        SheetFile("orig", r"SMIC[-_ ]HS[-_ ]E[-_ ]annotation[-_ ]orig\.xlsx?", role="hs_orig"),
        SheetFile("e", r"SMIC[-_ ]HS[-_ ]E[-_ ]annotation([-_ ]2019)?\.xlsx?", role="hs"),
        SheetFile("e", r"SMIC[-_ ]VIS[-_ ]E[-_ ]annotation.*\.xlsx?", role="vis"),
        SheetFile("e", r"SMIC[-_ ]NIR[-_ ]E[-_ ]annotation.*\.xlsx?", role="nir"),
    )
    LABEL_SETS = (
        LabelSet.of(
            "3class",
            "the corpus's own three classes, also those of MEGC 2019",
            _CLASSES,
            ("hs", 16, (70, 51, 43)),
            ("hs_e", 16, (68, 51, 42)),
            ("hs_e_orig", 16, (69, 51, 42)),
            # VIS by clip code; those of NIR are inferred, because it filmed the same expressions.
            ("vis", 8, (23, 28, 20)),
            ("nir", 8, (23, 28, 20)),
        ),
    )
    ERRATA = (Erratum("s18_sur_03", "emotion", "negative", "surprise", "the clip code says surprise", "MEGC19"),)
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "further_expressions": ("exclude", "include"),
        "sheet": ("auto", "e", "orig"),
    }

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """Records from the folder names, or from the sheet for SMIC-E."""
        camera, _, form = layout.package.name.partition("_")
        records = self._sheet_records(layout, camera) if form == "e" else self._folder_records(layout, camera)
        return sorted(records, key=lambda record: _order(record.key))

    def sheet_variant(self, layout: Layout, records: list[ClipRecord]) -> str:
        """Camera and form; published counts differ between them."""
        camera, _, form = layout.package.name.partition("_")
        if camera != "hs" or form != "e":
            return camera
        return "hs_e_orig" if self._hs_role(layout) == "hs_orig" else "hs_e"

    def _hs_role(self, layout: Layout) -> str:
        if self.options["sheet"] == "orig":
            return "hs_orig"
        return "hs" if "hs" in layout.sheets or self.options["sheet"] == "e" else "hs_orig"

    def describe_variant(self, layout: Layout, variant: str) -> str:
        """Package, and the sheet where one was read."""
        words = f"package {layout.package.name}"
        return (
            f"sheet {self._sheet_of(layout, variant.partition('_')[0])[0].name}, {words}"
            if self._is_e(layout)
            else words
        )

    @staticmethod
    def _is_e(layout: Layout) -> bool:
        return layout.package.name.endswith("_e")

    def _folder_records(self, layout: Layout, camera: str) -> list[ClipRecord]:
        """One record per clip folder, with the emotion of its name; the sibling `non_micro` is skipped."""
        records = []
        for root in layout.package_roots:
            for subject in layout.tree.content(root).folders.values():
                if re.fullmatch(_SUBJECT, subject.name, re.IGNORECASE):
                    records += [
                        self._record(camera, folder.name, folder.relative_to(root).parts, None, None)
                        for folder in _clip_folders(layout, subject)
                    ]
        if layout.package.name == "hs_cropped" and all(record.key != _NOT_CROPPED for record in records):
            parts = ("s18", "micro", "surprise", _NOT_CROPPED)
            records.append(self._record(camera, _NOT_CROPPED, parts, None, None))
        return records

    def _sheet_of(self, layout: Layout, camera: str) -> tuple[Path, str | int]:
        """Sheet file and worksheet of a camera: VIS has a file of its own, or a worksheet in the HS file."""
        if camera != "hs" and camera in layout.sheets:
            return layout.sheet_path(camera), 0
        return layout.sheet_path(self._hs_role(layout)), camera.upper()

    def _sheet_records(self, layout: Layout, camera: str) -> list[ClipRecord]:
        path, worksheet = self._sheet_of(layout, camera)
        frame = read_sheet(path, worksheet, header_with("Filename", "OnsetF"), encoding=layout.encoding)
        columns = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion"]
        require_columns(frame, columns, path)
        records: list[ClipRecord] = []
        further: list[ClipRecord] = []
        for row in frame.to_dict("records"):
            name = _clip_name(as_text(row["Filename"]))
            if name is None:  # remarks below the table
                continue
            clip, subject, _ = name
            number = int(subject[1:])
            parts = ((f"s{number:02d}", subject), (clip, f"s{number:02d}{clip[len(subject) :]}"))
            onset, offset = as_frame_number(row["OnsetF"]), as_frame_number(row["OffsetF"])
            record = self._record(camera, clip, parts, onset, offset)
            record.emotion = normalise_emotion(row["Emotion"])
            records.append(record)
            further += self._further_records(camera, record, row, as_frame_number(row.get("FirstF")))
        keys = {record.key for record in records}
        return records + [record for record in further if record.key not in keys]

    def _further_records(
        self, camera: str, main: ClipRecord, row: dict[Hashable, object], first: int | None
    ) -> list[ClipRecord]:
        """Second and third expressions of a row; intervals before the previous one (broken formulas) are skipped."""
        records: list[ClipRecord] = []
        end = main.offset
        for position in (2, 3):
            onset, offset = (as_frame_number(row.get(f"{name}{position}F")) for name in ("Onset", "Offset"))
            if onset is None or offset is None or end is None or not end < onset < offset or onset < (first or 0):
                continue
            published_name = _FURTHER_CLIPS.get((main.key, position))
            if published_name is None and self.options["further_expressions"] != "include":
                continue
            record = self._record(camera, main.key, main.folder_parts, onset, offset)
            record.key = published_name or f"{main.key}/{position}"
            record.clip_id = f"smic/{camera}/{record.key}"
            record.notes.append(f"expression {position} of {main.key} in the sheet")
            records.append(record)
            end = offset
        return records

    @staticmethod
    def _record(
        camera: str, name: str, parts: tuple[str | tuple[str, ...], ...], onset: int | None, offset: int | None
    ) -> ClipRecord:
        clip, subject, emotion = _clip_name(name) or (name, "", "")
        return ClipRecord(
            key=clip,
            clip_id=f"smic/{camera}/{clip}",
            subject=subject,
            recording=clip,
            folder_parts=parts,
            onset=onset,
            apex=None,
            offset=offset,
            emotion=emotion,
            fps=_FPS[camera],
        )


def _clip_folders(layout: Layout, folder: Path, depth: int = 3) -> list[Path]:
    """Clip folders below a subject, through `micro` and the emotion."""
    clip_folders = []
    for child in layout.tree.content(folder).folders.values():
        if _clip_name(child.name) is not None:
            clip_folders.append(child)
        elif depth > 1 and child.name.casefold() != "non_micro":
            clip_folders += _clip_folders(layout, child, depth - 1)
    return clip_folders


def _order(key: str) -> list[int | str]:
    """Sort s2 before s10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)]
