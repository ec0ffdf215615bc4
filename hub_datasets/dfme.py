"""DFME: 2629 micro-expressions of the challenge split at 200 to 500 frames per second (docs/sources.md, DFME)."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from datasets import Value

from hub_datasets.base import ANY, CorpusBuilder, Layout
from hub_datasets.records import ClipRecord, LabelSet, Package, SheetFile
from hub_datasets.scanning.cells import as_frame_number, as_text
from hub_datasets.scanning.cutting import ResolvedClip
from hub_datasets.scanning.folders import FolderTree
from hub_datasets.scanning.rows import SheetRow, clip_rows

_SEVEN = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_POLARITY = {**dict.fromkeys(_SEVEN, "negative"), "happiness": "positive", "surprise": "surprise"}
_COLUMNS = {
    "subject": "Subject",
    "clip": "Filename",
    "onset": "OnsetFrame",
    "apex": "ApexFrame",
    "offset": "OffsetFrame",
    "emotion": "Emotion",
    "fps": "Fps",
    "action_units": "AU",
}
_CLIP = r"sub\d{1,5}_\d+"
# Pattern of each split's folder of frames. The sheet roles have the same names.
_SPLIT_FOLDERS = {"train": r"train", "test_a": r"test(_data)?_?a", "test_b": r"test(_data)?_?b"}
_ALL = "all"


class Dfme(CorpusBuilder):
    """DFME, the split of the CCAC 2024 challenge.

    * **Subjects, clips**: train 1856 clips of 176 subjects, test A 474 of 42, test B 299 of 41 (the whole corpus has
      7526 clips of 671 subjects).
    * **Recording**: 500, 300 or 200 fps, clip by clip; 1024x768.
    * **Labels**: anger, contempt, disgust, fear, happiness, sadness, surprise.
    * **Frame numbers**: relative to the clip, from 0.
    * **Access**: licence agreement, signed by a supervisor for students, e-mailed to the authors; no commercial use.
    * **Cite**: Zhao et al., IEEE TAFFC, 2023.

    Rows have one more column, `split`: `train`, `test_a` or `test_b`.

    Options: `split` (`all`, the default: every split found; `train`, `test_a`, `test_b`).
    """

    NAME = "dfme"
    TITLE = "DFME: dynamic facial micro-expressions at 200 to 500 fps, challenge split"
    FPS = 500.0
    ACCESS_PAGE = "https://mea-lab-421.github.io"
    CITATION = (
        "Zhao S, Tang H, Mao X, Liu S, Zhang Y, Wang H, Xu T, Chen E. DFME: A New Benchmark for Dynamic Facial "
        "Micro-Expression Recognition. IEEE Transactions on Affective Computing, 2023. doi:10.1109/TAFFC.2023.3341918"
    )
    EXPECTED_TREE = """\
training_full_with_AU.xlsx   testA_full_with_AU.xlsx   testB_full_with_AU.xlsx
DFME_train/sub0003_01/00109.png
test_data_A/test_data_A/sub0008_01/00000.png
test_data_B/test_data_B/sub0011_01/00000.png"""
    PACKAGES = (Package("frames", r"", _CLIP),)
    SHEETS = (
        SheetFile("challenge", r"train(ing)?_.*\.(xlsx?|csv)", role="train"),
        SheetFile("challenge", r"test_?A_.*\.(xlsx?|csv)", role="test_a"),
        SheetFile("challenge", r"test_?B_.*\.(xlsx?|csv)", role="test_b"),
    )
    LABEL_SETS = (
        LabelSet.of(
            "7class",
            "the classes of the challenge",
            _SEVEN,
            (_ALL, None, (241, 171, 735, 365, 311, 359, 447)),
            ("train", 176, (161, 100, 548, 265, 206, 278, 298)),
            ("test_a", 42, (39, 34, 129, 62, 63, 46, 101)),
            ("test_b", 41, (41, 37, 58, 38, 42, 35, 48)),
        ),
        LabelSet.of(
            "3class",
            "polarity, for comparison with the other corpora",
            ("negative", "positive", "surprise"),
            (_ALL, None, (1871, 311, 447)),
            ("train", None, (1352, 206, 298)),
            ("test_a", None, (310, 63, 101)),
            ("test_b", None, (209, 42, 48)),
            words=_POLARITY,
        ),
    )
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {"split": (_ALL, *_SPLIT_FOLDERS)}

    def find_sheets(self, tree: FolderTree) -> dict[str, tuple[SheetFile, Path]]:
        """Sheets of the requested splits; `all` takes those found.

        Raises:
            DatasetNotFoundError: the sheet of the split, or every sheet, is missing.
        """
        sheets = super().find_sheets(tree)
        wanted = self._wanted_split()
        if wanted != _ALL:
            sheets = {role: sheet for role, sheet in sheets.items() if role == wanted}
        if not sheets:
            raise self.not_found(str(tree.root), f"no sheet of the split {wanted}; {tree.summary()}")
        return sheets

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """One record per row of the sheets of the splits."""
        return [record for split in _SPLIT_FOLDERS if split in layout.sheets for record in _read_split(layout, split)]

    def sheet_variant(self, layout: Layout, records: list[ClipRecord]) -> str:
        """The splits whose sheets are found, by which the published counts differ; `all` for all three."""
        return _ALL if len(layout.sheets) == len(_SPLIT_FOLDERS) else "+".join(sorted(layout.sheets, reverse=True))

    def describe_variant(self, layout: Layout, variant: str) -> str:
        """Sheets and splits that were found."""
        names = ", ".join(path.name for _, path in layout.sheets.values())
        return f"split {variant} ({names})"

    def locate(self, layout: Layout, record: ClipRecord) -> Path | None:
        """Folder of a clip below the folder of its split; names may repeat across splits."""
        marked = {root: _splits_named_by(root, layout.tree.root) for root in layout.package_roots}
        roots = [root for root, splits in marked.items() if record.attributes["split"] in splits]
        unmarked = [root for root, splits in marked.items() if not splits]
        folders = (layout.tree.find_folder(root, record.folder_parts) for root in roots or unmarked)
        return next((folder for folder in folders if folder is not None), None)

    def extra_features(self) -> dict[str, object]:
        """The split of the challenge."""
        return {"split": Value("string")}

    def to_row(self, clip: ResolvedClip) -> dict[str, object]:
        """Row of a clip with its split."""
        return {**super().to_row(clip), "split": clip.record.attributes["split"]}

    def _wanted_split(self) -> str:
        chosen = self.options["split"]
        return _ALL if chosen == ANY else chosen


@lru_cache
def _splits_named_by(folder: Path, root: Path) -> tuple[str, ...]:
    """Splits whose pattern matches the path from the root to a folder."""
    path = folder.relative_to(root).as_posix()
    return tuple(split for split, pattern in _SPLIT_FOLDERS.items() if re.search(pattern, path, re.IGNORECASE))


def _read_split(layout: Layout, split: str) -> list[ClipRecord]:
    records = []
    for row in clip_rows(layout.read_sheet(_COLUMNS.values(), split), _COLUMNS, needed=("clip",)):
        rate = as_frame_number(row.cells["fps"])
        rate = rate if rate and rate > 0 else None
        written = as_text(row.cells["fps"])
        records.append(
            row.record(
                key=f"{split}/{row.clip}",
                clip_id=f"dfme/{split}/{row.clip}/{row.written_onset}",
                subject=_subject(row),
                recording=f"{split}/{row.clip}",
                folder_parts=(row.clip,),
                fps=None if rate is None else float(rate),
                attributes={"split": split},
                notes=[] if rate else [f"Fps {written!r} is no frame rate: {Dfme.FPS:g} is assumed"],
            )
        )
    return records


def _subject(row: SheetRow) -> str:
    """Subject in the spelling of the clip folders, ``sub0003``; taken from the clip where the sheet has none."""
    return row.clip.rsplit("_", 1)[0] if row.subject < 0 else f"sub{row.subject:04d}"
