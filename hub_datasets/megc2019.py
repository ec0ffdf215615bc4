"""The composite database of the MEGC 2019 challenge, drawn from CASME II, SAMM and SMIC (docs/sources.md, MEGC)."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from hub_datasets.base import ANY, CorpusBuilder, Layout
from hub_datasets.casme2 import Casme2
from hub_datasets.errors import DatasetNotFoundError
from hub_datasets.records import LabelSet, Package
from hub_datasets.samm import Samm
from hub_datasets.scanning.cells import OBJECTIVE_CLASSES, as_subject_number
from hub_datasets.scanning.cutting import ResolvedClip, Scan
from hub_datasets.scanning.folders import FolderTree
from hub_datasets.smic import Smic

_CLASSES = ("negative", "positive", "surprise")
_PARTS: dict[str, tuple[type[CorpusBuilder], str]] = {
    "casme2": (Casme2, r"casme.?(2|ii)"),
    "samm": (Samm, r"samm"),
    "smic": (Smic, r"smic"),
}
_PARTS_OF = {"3class": ("casme2", "samm", "smic"), "objective": ("casme2", "samm")}
_OFFICIAL_LIST = r"combined_3_?class_gt.*\.csv"


class Megc2019(CorpusBuilder):
    """MEGC 2019 composite database.

    * **Subjects, clips**: 68 subjects, 442 clips: SMIC-HS 164 (16 subjects), CASME II 145 (24), SAMM 133 (28).
    * **Labels**: negative 250, positive 109, surprise 83. Negative is repression, anger, contempt, disgust, fear and
      sadness, but CASME II's fear and sadness clips are left out; so are two of its disgust clips.
    * **MEGC 2018**: the label set `objective` is that challenge's composite, 253 clips of 47 subjects without SMIC.
    * **Rows**: `corpus` names the part; scores of one part are the pooled predictions restricted to it.
    * **Official list**: where `combined_3class_gt.csv` is below the root, the rows are compared with it.
    * **Access**: the three licences; this package ships no part of them.
    * **Cite**: See et al., IEEE FG 2019, and the three corpora.

    Options: `casme2_dir`, `samm_dir`, `smic_dir` (folders of the parts, found below the root by name when omitted),
    and `casme2_package`, `samm_package`, `smic_package`.
    """

    NAME = "megc2019"
    TITLE = "MEGC 2019 composite database: CASME II, SAMM and SMIC in three classes"
    FPS = 200.0
    ACCESS_PAGE = "https://facial-micro-expressiongc.github.io/MEGC2019/"
    MODEL_TERMS = (
        "SAMM, one of its three corpora, is handed out under a signed agreement: check the terms that you signed "
        "before you use or pass on weights that were trained on it."
    )
    CITATION = (
        "See J, Yap MH, Li J, Hong X, Wang S-J. MEGC 2019 - The Second Facial Micro-Expressions Grand Challenge. "
        "IEEE FG 2019."
    )
    TERMS = (
        "**This card carries no data.** The composite is drawn from your own copies of CASME II, SAMM and SMIC, each "
        "licensed per\nresearcher; neither frames nor sheets may be passed on, and this package never downloads them."
    )
    EXPECTED_TREE = """\
CASME2/     as `python -m hub_datasets describe casme2` shows
SAMM/       as `python -m hub_datasets describe samm` shows
SMIC/       as `python -m hub_datasets describe smic` shows (the high-speed part)
combined_3class_gt.csv                 (optional: the official list, for comparison)"""
    PACKAGES = (Package("parts", r"", r".*"),)
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        f"{part}_{kind}": () for part in _PARTS for kind in ("dir", "package")
    }
    LABEL_SETS = (
        LabelSet.of("3class", "the challenge's three classes", _CLASSES, ("", 68, (250, 109, 83))),
        LabelSet.of(
            "objective",
            "MEGC 2018: objective (action unit) classes I to V of CASME II and SAMM; SMIC has no action units",
            OBJECTIVE_CLASSES[:5],
            ("", 47, (49, 28, 119, 34, 23)),
        ),
    )

    def scan_download(self, root: Path) -> Scan:
        """Scan the three parts and join their clips."""
        tree = FolderTree(root)
        self.layout = Layout(tree, self.PACKAGES[0], [root], {})
        parts = {name: self._part(tree, name) for name in _PARTS_OF[self.label_set.name]}
        self._rendered_roots = {name: root for part in parts.values() for name, root in part.rendered_roots.items()}
        scan = Scan(
            variant="; ".join(f"{name}: {part.scan.variant}" for name, part in parts.items()),
            sheet_variant="",
        )
        for name, part in parts.items():
            for clip in part.scan.clips:
                clip.record.corpus = name
                clip.record.fps = clip.record.fps if clip.record.fps is not None else part.FPS
            scan.rows += part.scan.rows
            scan.left_out += part.scan.left_out
            scan.clips += part.scan.clips
            scan.lost += part.scan.lost
            scan.remarks += part.scan.remarks
        lists = tree.files_named(_OFFICIAL_LIST, max_depth=1)
        if lists and self.label_set.name == "3class":
            scan.remarks += compare_with_official_list(lists[0], scan.clips)
        return scan

    @property
    def rendered_roots(self) -> dict[str, Path]:
        """Root of the rendered tree of each rendered part; each part may have its own tree."""
        return dict(self._rendered_roots)

    def _part(self, tree: FolderTree, name: str) -> CorpusBuilder:
        """Builder of a part: in the given folder, else in a folder of that name, else in the root itself."""
        builder_class, name_pattern = _PARTS[name]
        given = self.options[f"{name}_dir"]
        if given != ANY:
            candidates = [Path(given)]
        else:
            children = tree.content(tree.root).folders.values()
            candidates = [folder for folder in children if re.search(name_pattern, folder.name, re.IGNORECASE)]
            candidates.append(tree.root)
        package = self.options[f"{name}_package"]
        if package == ANY and name == "smic":
            packages = [choice.name for choice in Smic.PACKAGES if choice.name in ("hs_cropped", "hs_raw", "hs_e")]
        else:
            packages = [package]
        reasons = []
        for folder in candidates:
            for choice in packages:
                try:
                    return builder_class(
                        data_dir=folder,
                        config_name=self.label_set.name,
                        package=choice,
                        encoding=self.encoding,
                        cache_dir=self.requested_cache_dir,
                    )
                except DatasetNotFoundError as error:
                    reasons.append(str(error).partition(". ")[0])
        raise self.not_found(str(tree.root), f"no usable {name} part ({'; '.join(reasons)})")


def compare_with_official_list(path: Path, clips: list[ResolvedClip]) -> list[str]:
    """Compare clips with the official list.

    Args:
        path (`Path`): `combined_3class_gt.csv`: database, subject, clip, class without a header; copies with a header
            and with blank rows exist.
        clips (`list[ResolvedClip]`): Clips of the three parts.

    Returns:
        `list[str]`: one sentence per kind of difference; none when they agree.
    """
    official: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        for cells in csv.reader(stream):
            row = [cell.strip() for cell in cells]
            if len(row) >= 4 and row[0].lower() in _PARTS and row[3] in ("0", "1", "2"):
                official[_official_key(*row[:3])] = _CLASSES[int(row[3])]
    classes = {_official_key(clip.record.corpus, clip.record.subject, clip.record.key): clip.label for clip in clips}
    remarks = []
    for difference, keys in (
        ("are in the official list but not here", official.keys() - classes.keys()),
        ("are here but not in the official list", classes.keys() - official.keys()),
        (
            "have another class in the official list",
            {key for key in classes if official.get(key, classes[key]) != classes[key]},
        ),
    ):
        if keys:
            clip_keys = sorted(keys)
            more = f" and {len(clip_keys) - 5} more" if len(clip_keys) > 5 else ""
            remarks.append(f"{len(clip_keys)} clips {difference}: {', '.join(clip_keys[:5])}{more}")
    return remarks


def _official_key(corpus: str, subject: str, clip: str) -> str:
    """One spelling for sub01/EP02_01f and EP02_01f, 6 and 006, s03_ne_01 and s3_ne_01."""
    clip = clip.rpartition("/")[2].casefold()
    clip = re.sub(r"^s0+(?=\d)", "s", clip) if corpus.lower() == "smic" else clip
    return f"{corpus.lower()}/{as_subject_number(subject)}/{clip}"
