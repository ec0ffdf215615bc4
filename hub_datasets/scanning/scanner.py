"""Meeting a download: find its sheets and packages, read the rows, repair them, and cut the frames of every clip.

Nothing here knows of `datasets`; [`hub_datasets.base.CorpusBuilder`] makes rows of what is found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hub_datasets.errors import CorpusOptionError, DatasetNotFoundError, SheetError, UnknownLabelSetError
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile
from hub_datasets.scanning.cutting import LostClip, ResolvedClip, Scan, apply_errata, choose_interval, cut_clip
from hub_datasets.scanning.folders import FolderTree, FrameListing, is_text, list_frames, parallel_map
from processing_fdp.frame_source_fdp import VideoReadError

ANY = "auto"
# Without listing the frames, nothing else stops a slip of the pen from asking for a billion of them (our choice).
LONGEST_VIDEO_CLIP = 100_000


@dataclass(frozen=True)
class Layout:
    """What was found below the root.

    Attributes:
        tree (`FolderTree`): Case-insensitive view of the download.
        package (`Package`): The package that is used.
        package_roots (`list[Path]`): Its folders; more than one where a corpus comes in sections.
        sheets (`dict[str, tuple[SheetFile, Path]]`): Sheet of each role.
    """

    tree: FolderTree
    package: Package
    package_roots: list[Path]
    sheets: dict[str, tuple[SheetFile, Path]]

    def sheet_path(self, role: str = "annotation") -> Path:
        """Path of the sheet of a role.

        Raises:
            SheetError: the download holds no such sheet.
        """
        if role not in self.sheets:
            raise SheetError(
                f"a sheet of the kind {role!r} is needed below {self.tree.root}, but none was found: put it beside "
                "the annotation sheet."
            )
        return self.sheets[role][1]


class CorpusScanner:
    """What a corpus declares, and how its download is met.

    Attributes:
        label_set (`LabelSet`): The classes that were asked for.
        options (`dict[str, str]`): Value of every option, `auto` where none was given.
        layout (`Layout`): What was found below the root; set by [`CorpusScanner.scan_download`].
    """

    # Facts, filled in by each corpus.
    NAME: ClassVar[str] = ""
    PEOPLE: ClassVar[str] = ""  # name of another corpus that filmed the very same subjects, under the same numbers
    TITLE: ClassVar[str] = ""
    FPS: ClassVar[float] = 0.0
    ACCESS_PAGE: ClassVar[str] = ""
    LICENSE: ClassVar[str] = "Licensed per researcher; frames and annotations must not be redistributed."
    CITATION: ClassVar[str] = ""
    EXPECTED_TREE: ClassVar[str] = ""
    REMEDY: ClassVar[str] = ""  # how to get a corpus that is no licensed download, a sentence
    PACKAGES: ClassVar[tuple[Package, ...]] = ()  # in order of preference
    SHEETS: ClassVar[tuple[SheetFile, ...]] = ()  # in order of preference within a role
    LABEL_SETS: ClassVar[tuple[LabelSet, ...]] = ()  # the first is the default
    ERRATA: ClassVar[tuple[Erratum, ...]] = ()
    # Besides `package` and `sheet`, which every corpus has; no values mean any text.
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    VIDEO_FIRST_FRAME: ClassVar[int] = 1  # number of the first frame of a video in the sheet

    label_set: LabelSet
    options: dict[str, str]
    layout: Layout

    # What a corpus defines.

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """Turn the annotation sheet into records, in sheet order; the one method that every corpus writes."""
        raise NotImplementedError(f"{type(self).__name__} must define read_records")

    def sheet_variant(self, layout: Layout, records: list[ClipRecord]) -> str:
        """Version of the sheet, which selects the published counts; told by the file name by default."""
        return layout.sheets["annotation"][0].variant if "annotation" in layout.sheets else ""

    def fit_to_frames(self, record: ClipRecord, listing: FrameListing) -> None:
        """Repair a record in place once its frames are known; by default, sheet versions are reconciled."""
        if self.layout.package.only_interval:
            errata = [erratum for erratum in self.ERRATA if erratum.clip == record.key]
            choose_interval(record, listing, errata)

    # What a corpus may use or override.

    @classmethod
    def get_label_set(cls, name: str | None) -> LabelSet:
        """Label set by name; the corpus's first one for `None`.

        Raises:
            UnknownLabelSetError: there is none of that name.
        """
        if name is None:
            return cls.LABEL_SETS[0]
        for label_set in cls.LABEL_SETS:
            if label_set.name == name:
                return label_set
        known = ", ".join(label_set.name for label_set in cls.LABEL_SETS)
        raise UnknownLabelSetError(
            f"{cls.NAME} has the label sets {known}, but {name!r} was asked for: choose one of them."
        )

    @classmethod
    def allowed_options(cls) -> dict[str, tuple[str, ...]]:
        """Every option with its values; `auto` comes first and takes the best that is found."""
        allowed = {name: tuple(values) for name, values in cls.OPTIONS.items()}
        allowed.setdefault("package", (ANY, *dict.fromkeys(package.name for package in cls.PACKAGES)))
        variants = dict.fromkeys(sheet.variant for sheet in cls.SHEETS if sheet.role == "annotation")
        allowed.setdefault("sheet", (ANY, *variants))
        return allowed

    def prepare_root(self, data_dir: str | Path | None, cache_dir: str | Path | None) -> Path:
        """Absolute root of the download; a relative one would make two working directories share a cache.

        Raises:
            DatasetNotFoundError: `data_dir` is missing, is no folder or leads back to itself.
        """
        if data_dir is None:
            raise self.not_found("None", "no data_dir was given")
        try:
            root = Path(data_dir).expanduser().resolve()
        except (OSError, RuntimeError) as error:  # a symbolic link that leads back to itself
            raise self.not_found(str(data_dir), f"the path cannot be followed ({error})") from error
        if not is_text(str(root)):
            raise self.not_found(ascii(str(root)), "the path is not valid UTF-8: rename the folder")
        if not root.is_dir():
            found = "it is a file, not a folder" if root.exists() else "there is no such folder"
            raise self.not_found(str(root), found)
        return root

    @classmethod
    def not_found(cls, root: str, found: str) -> DatasetNotFoundError:
        """Error that names the root, what was found, what was expected and how to get it."""
        licensed = (
            "The corpus is licensed and never downloaded: point data_dir at your own copy, or request access at "
            f"{cls.ACCESS_PAGE}."
        )
        return DatasetNotFoundError.for_corpus(
            name=cls.NAME, root=root, found=found, expected_tree=cls.EXPECTED_TREE, remedy=cls.REMEDY or licensed
        )

    def discover(self, root: Path) -> Layout:
        """Find the sheets and the frames below the root, whatever their nesting.

        Raises:
            DatasetNotFoundError: the sheet or the frames are missing.
        """
        tree = FolderTree(root)
        sheets = self.find_sheets(tree)
        package, roots = self.find_package(tree, self.wanted_packages(sheets))
        return Layout(tree, package, roots, sheets)

    def wanted_sheets(self) -> Sequence[SheetFile]:
        """Sheets to look for, in order of preference; a corpus in several parts narrows them by an option."""
        return self.SHEETS

    def wanted_packages(self, sheets: Mapping[str, tuple[SheetFile, Path]]) -> Sequence[Package]:
        """Packages that belong to the sheets that were found, in order of preference."""
        return self.PACKAGES

    def find_sheets(self, tree: FolderTree) -> dict[str, tuple[SheetFile, Path]]:
        """Best sheet of each role; the annotation sheet must be there.

        Raises:
            DatasetNotFoundError: it is not.
        """
        stop = "|".join(dict.fromkeys(package.child_pattern for package in self.PACKAGES))
        wanted = self.options["sheet"]
        found: dict[str, tuple[SheetFile, Path]] = {}
        for sheet in self.wanted_sheets():
            if sheet.role in found or (sheet.role == "annotation" and wanted not in (ANY, sheet.variant)):
                continue
            paths = [path for path in tree.files_named(sheet.file_pattern, stop) if not path.name.startswith("~$")]
            if paths:
                found[sheet.role] = (sheet, paths[0])
        if any(sheet.role == "annotation" for sheet in self.wanted_sheets()) and "annotation" not in found:
            version = "" if wanted == ANY else f" of the version {wanted}"
            raise self.not_found(str(tree.root), f"no annotation sheet{version}; {tree.summary()}")
        return found

    def find_package(self, tree: FolderTree, packages: Sequence[Package]) -> tuple[Package, list[Path]]:
        """Best package that is there, with all of its folders.

        Raises:
            DatasetNotFoundError: none of the packages, or not the one that was asked for, is there.
        """
        wanted = self.options["package"]
        present: list[str] = []
        # The root's own name counts only where nothing below it tells the packages apart.
        named = [package for package in packages if package.path_pattern and not package.fallback]
        for candidates, with_root_name in ((named, False), (packages, True)):
            for package in candidates:
                roots = tree.package_folders(package, with_root_name)
                if roots and wanted in (ANY, package.name):
                    return package, roots
                if roots:
                    present.append(package.name)
        if present:
            raise self.not_found(str(tree.root), f"no package {wanted!r}, only {', '.join(dict.fromkeys(present))}")
        raise self.not_found(str(tree.root), f"no folder with frames; {tree.summary()}")

    def scan_download(self, root: Path) -> Scan:
        """Read the sheet, apply the errata, list every folder once in threads and cut the clips of the label set."""
        self.layout = layout = self.discover(root)
        records = self.read_records(layout)
        variant = self.sheet_variant(layout, records)
        scan = Scan(variant=self.describe_variant(layout, variant), sheet_variant=variant, rows=len(records))
        apply_errata(records, self.ERRATA)
        wanted: list[tuple[ClipRecord, str]] = []
        for record in records:
            label = self.label_set.class_of(record)
            if record.problem:
                scan.lost.append(LostClip(record.clip_id, record.problem))
            elif label is None:
                scan.left_out += 1
            else:
                wanted.append((record, label))
        self._cut_all(layout, wanted, scan)
        return scan

    def describe_variant(self, layout: Layout, variant: str) -> str:
        """Sheet and package that were found, in words."""
        parts = []
        if "annotation" in layout.sheets:
            name = layout.sheets["annotation"][1].name
            parts.append(f"sheet {variant} ({name})" if variant else f"sheet {name}")
        parts.append(f"package {layout.package.name}")
        return ", ".join(parts)

    def locate(self, layout: Layout, record: ClipRecord) -> Path | None:
        """Folder (or video file) of a record in any of the package's folders."""
        find = layout.tree.find_video if layout.package.video else layout.tree.find_folder
        return next(
            (path for root in layout.package_roots if (path := find(root, record.folder_parts)) is not None), None
        )

    def is_video(self, layout: Layout, path: Path) -> bool:
        """Whether a located clip is a video file and not a folder of frames."""
        return layout.package.video

    def _cut_all(self, layout: Layout, wanted: list[tuple[ClipRecord, str]], scan: Scan) -> None:
        located = [(record, label, self.locate(layout, record)) for record, label in wanted]
        # dict.fromkeys: recordings with several expressions are listed once
        paths = dict.fromkeys(path for _, _, path in located if path is not None)
        folders = [path for path in paths if not self.is_video(layout, path)]
        listed = parallel_map(self._list_folder, folders, f"{self.NAME}: listing frames")
        listings = dict(zip(folders, listed, strict=True))
        seen: set[str] = set()
        for record, label, path in located:
            outcome: ResolvedClip | LostClip
            if record.clip_id in seen:
                outcome = LostClip(record.clip_id, "the sheet lists this clip twice")
            elif path is None:
                outcome = LostClip(record.clip_id, f"no folder {readable_parts(record.folder_parts)} in this package")
            elif self.is_video(layout, path):
                outcome = self.cut_video(record, path, label)
            else:
                outcome = self._cut_folder(layout, record, listings[path], label)
            seen.add(record.clip_id)
            if isinstance(outcome, ResolvedClip):
                scan.clips.append(outcome)
            else:
                scan.lost.append(outcome)

    def _list_folder(self, folder: Path) -> FrameListing | str:
        package = self.layout.package
        try:
            return list_frames(folder, package.frame_stem, package.frame_suffixes)
        except VideoReadError as error:
            return str(error)
        except OSError as error:
            return f"the folder cannot be listed: {error}"

    def _cut_folder(
        self, layout: Layout, record: ClipRecord, listing: FrameListing | str, label: str
    ) -> ResolvedClip | LostClip:
        if isinstance(listing, str):
            return LostClip(record.clip_id, listing)
        self.fit_to_frames(record, listing)
        return cut_clip(record, listing, label=label, only_interval=layout.package.only_interval)

    def cut_video(self, record: ClipRecord, path: Path, label: str) -> ResolvedClip | LostClip:
        """Cut a clip out of a video file by position; rows count its frames from 0, whatever the sheet does."""
        first = self.VIDEO_FIRST_FRAME
        if record.onset is None or record.offset is None or not first <= record.onset <= record.offset:
            return LostClip(record.clip_id, f"a video needs a valid interval, not {record.onset}..{record.offset}")
        if record.offset - record.onset >= LONGEST_VIDEO_CLIP:
            return LostClip(
                record.clip_id, f"the interval {record.onset}..{record.offset} is too long for an expression"
            )
        numbers = list(range(record.onset - first, record.offset - first + 1))
        apex = record.apex
        if apex is not None and not record.onset <= apex <= record.offset:
            record.notes.append(
                f"apex {apex} lies outside the interval {record.onset}..{record.offset} and was dropped"
            )
            apex = None
        return ResolvedClip(
            record=record,
            location=path,
            names=[],
            numbers=numbers,
            onset_index=0,
            apex_index=None if apex is None else apex - record.onset,
            offset_index=len(numbers) - 1,
            label=label,
        )

    def _pop_options(self, kwargs: dict[str, Any]) -> dict[str, str]:
        """Take the options of the corpus out of the arguments of a builder."""
        options = {}
        for name, values in self.allowed_options().items():
            value = kwargs.pop(name, None)
            value = ANY if value is None else str(value)
            if values and value not in values and value != ANY:
                raise CorpusOptionError(
                    f"option {name} of {self.NAME} takes {', '.join(values)}, but {value!r} was given: choose one."
                )
            options[name] = value
        return options


def readable_parts(parts: Sequence[str | tuple[str, ...]]) -> str:
    """Way to a folder, for messages; the first spelling stands for all."""
    return "/".join(part if isinstance(part, str) else part[0] for part in parts)
