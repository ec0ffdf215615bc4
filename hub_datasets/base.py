"""The skeleton that every corpus follows: find the download, read the sheet, repair, cut, and hand out clip rows.

A corpus file declares facts (packages, sheets, label sets, errata) and turns its sheet into [`ClipRecord`]s.
Everything else happens here, once: root discovery, frame listing, errata, notes, the cache key, features and errors.
No pixel is read: rows hold paths, so nothing that could be pushed to a Hub contains a face.
"""

import hashlib
import inspect
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import datasets
from datasets import ClassLabel, Features, List, Value

from hub_datasets.action_units import parse_action_units
from hub_datasets.errors import CorpusOptionError, DatasetNotFoundError, SheetError, UnknownLabelSetError
from hub_datasets.folders import FolderTree, FrameListing, list_frames, parallel_map
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile
from hub_datasets.resolve import LostClip, ResolvedClip, Scan, apply_errata, choose_interval, cut_clip

logger = logging.getLogger(__name__)

ANY = "auto"
_BUILDER_ARGUMENTS = frozenset(inspect.signature(datasets.DatasetBuilder.__init__).parameters) - {"config_kwargs"}
_SKELETON_VERSION = datasets.Version("1.0.0")


def clip_features(names: Sequence[str]) -> Features:
    """Columns of a clip row (the contract between corpora, training and the Hub).

    Args:
        names (`Sequence[str]`): Class names in label order.

    Returns:
        `datasets.Features`: `frames` are absolute paths in time order inside [onset, offset], empty when `video` is
        set; then `frame_numbers` are 0-based positions in that video. `onset_index`, `apex_index` and `offset_index`
        are 0-based positions in `frames` (in `frame_numbers` for a video).
    """
    return Features(
        {
            "clip_id": Value("string"),
            "corpus": Value("string"),
            "subject": Value("string"),
            "recording": Value("string"),
            "frames": List(Value("string")),
            "video": Value("string"),
            "frame_numbers": List(Value("int32")),
            "onset_index": Value("int32"),
            "apex_index": Value("int32"),
            "offset_index": Value("int32"),
            "fps": Value("float32"),
            "action_units": List(
                {
                    "code": Value("string"),
                    "side": Value("string"),
                    "intensity": Value("string"),
                    "alternative": Value("int32"),
                }
            ),
            "emotion": Value("string"),
            "label": ClassLabel(names=list(names)),
            "notes": List(Value("string")),
        }
    )


# Without listing the frames, nothing else stops a slip of the pen from asking for a billion of them (our choice).
LONGEST_VIDEO_CLIP = 100_000


@dataclass
class CorpusConfig(datasets.BuilderConfig):
    """Configuration of a corpus: its name is the label set.

    Attributes:
        options (`dict[str, str]`): Options of the corpus that differ from `auto`, e.g. `{"package": "cropped"}`.
    """

    options: dict[str, str] = field(default_factory=dict)


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


def _keep_paths_local(module_name: str) -> None:
    """Tell `datasets` to leave `Path` and `open` of a builder's module alone.

    It replaces them by versions that read URLs, and for those a folder called `a::b` is a chain of addresses. Corpora
    are local; the mark is the one that `datasets.streaming` sets itself once it has been there.
    """
    sys.modules[module_name].__dict__["_patched_for_streaming"] = True


_keep_paths_local(__name__)


class CorpusBuilder(datasets.GeneratorBasedBuilder):
    """Base of all corpora.

    Args:
        data_dir (`str` or `Path`): Root of the licensed download.
        config_name (`str`, *optional*): Label set; the first of `LABEL_SETS` when omitted.
        cache_dir (`str` or `Path`, *optional*): Where prepared rows are kept; the cache of `datasets` when omitted.
        **kwargs: Options of the corpus (the keys of `OPTIONS`), and arguments of `datasets.DatasetBuilder`.

    Attributes:
        scan (`Scan`): What was found, lost and repaired.

    Raises:
        DatasetNotFoundError: there is no such download at `data_dir`.
        UnknownLabelSetError: the corpus has no such label set.
        CorpusOptionError: an option or its value is unknown.
        SheetError: the annotation sheet cannot be read.
    """

    VERSION = _SKELETON_VERSION
    BUILDER_CONFIG_CLASS = CorpusConfig

    # Facts, filled in by each corpus.
    NAME: ClassVar[str] = ""
    TITLE: ClassVar[str] = ""
    FPS: ClassVar[float] = 0.0
    ACCESS_PAGE: ClassVar[str] = ""
    LICENSE: ClassVar[str] = "Licensed per researcher; frames and annotations must not be redistributed."
    CITATION: ClassVar[str] = ""
    EXPECTED_TREE: ClassVar[str] = ""
    PACKAGES: ClassVar[tuple[Package, ...]] = ()  # in order of preference
    SHEETS: ClassVar[tuple[SheetFile, ...]] = ()  # in order of preference within a role
    LABEL_SETS: ClassVar[tuple[LabelSet, ...]] = ()  # the first is the default
    ERRATA: ClassVar[tuple[Erratum, ...]] = ()
    # Besides `package` and `sheet`, which every corpus has; no values mean any text.
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    VIDEO_FIRST_FRAME: ClassVar[int] = 1  # number of the first frame of a video in the sheet
    # Only rendered faces may ever leave the machine: every licensed corpus keeps the default.
    faces_may_be_published: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _keep_paths_local(cls.__module__)
        cls.BUILDER_CONFIGS = [
            CorpusConfig(name=label_set.name, version=cls.VERSION, description=label_set.description)
            for label_set in cls.LABEL_SETS
        ]
        cls.DEFAULT_CONFIG_NAME = cls.LABEL_SETS[0].name if cls.LABEL_SETS else None

    def __init__(
        self,
        *,
        data_dir: str | Path | None = None,
        config_name: str | None = None,
        cache_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        self.label_set = self.get_label_set(config_name)
        self.options = self._pop_options(kwargs)
        self.requested_cache_dir = cache_dir
        root = self.prepare_root(data_dir, cache_dir)
        self.scan = self.scan_download(root)
        super().__init__(
            cache_dir=str(cache_dir) if cache_dir is not None else None,
            config_name=self.label_set.name,
            data_dir=str(root),
            options={name: value for name, value in self.options.items() if value != ANY},
            hash=self.scan.fingerprint,
            **kwargs,
        )

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
        if not root.is_dir():
            found = "it is a file, not a folder" if root.exists() else "there is no such folder"
            raise self.not_found(str(root), found)
        return root

    @classmethod
    def not_found(cls, root: str, found: str) -> DatasetNotFoundError:
        """Error that names the root, what was found, what was expected and where access is requested."""
        return DatasetNotFoundError.for_corpus(
            name=cls.NAME, root=root, found=found, expected_tree=cls.EXPECTED_TREE, access_page=cls.ACCESS_PAGE
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

    def extra_features(self) -> dict[str, Any]:
        """Columns that only this corpus has; `to_row` fills them."""
        return {}

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
        named = [package for package in packages if package.path_pattern]
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
        scan.fingerprint = self._fingerprint(scan, layout)
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
        options = {}
        for name, values in self.allowed_options().items():
            value = kwargs.pop(name, None)
            value = ANY if value is None else str(value)
            if values and value not in values and value != ANY:
                raise CorpusOptionError(
                    f"option {name} of {self.NAME} takes {', '.join(values)}, but {value!r} was given: choose one."
                )
            options[name] = value
        unknown = set(kwargs) - _BUILDER_ARGUMENTS
        if unknown:
            raise CorpusOptionError(
                f"{self.NAME} has the options {', '.join(options)}, but {', '.join(sorted(unknown))} was given: "
                "leave it out."
            )
        return options

    def _fingerprint(self, scan: Scan, layout: Layout) -> str:
        """Digest of the sheets and of every row as handed out: an edited sheet or folder gives a new cache."""
        digest = hashlib.sha256(f"{self.NAME} {self.VERSION} {self.label_set}".encode())
        for role, (_, path) in sorted(layout.sheets.items()):
            digest.update(role.encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        for clip in scan.clips:
            row = self.to_row(clip)
            digest.update(repr(sorted(row.items())).encode(errors="surrogateescape"))
        return digest.hexdigest()[:24]

    def prepare(self, num_proc: int | None = None) -> datasets.Dataset:
        """Write the rows into the cache, unless they are there, and return them.

        Args:
            num_proc (`int`, *optional*): Processes that write rows.

        Returns:
            `datasets.Dataset`: the clips.

        Raises:
            DatasetNotFoundError: no clip of the label set has frames.
        """
        if not self.scan.clips:
            reason = self.scan.lost[0].reason if self.scan.lost else "the sheet has no row of this label set"
            raise self.not_found(str(self.layout.tree.root), f"{self.scan.variant}, but no usable clip ({reason})")
        workers = min(num_proc, len(self.scan.clips)) if num_proc is not None and num_proc > 1 else None
        self.download_and_prepare(num_proc=workers)
        return self.as_dataset(split=datasets.Split.TRAIN)

    # What datasets asks for.

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=self.TITLE,
            features=Features({**clip_features(self.label_set.names), **self.extra_features()}),
            homepage=self.ACCESS_PAGE,
            license=self.LICENSE,
            citation=self.CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        # A list argument is what datasets shards over num_proc.
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN, gen_kwargs={"clips": self.scan.clips})]

    def _generate_examples(self, clips: list[ResolvedClip]) -> Iterator[tuple[str, dict[str, Any]]]:
        for clip in clips:
            yield clip.record.clip_id, self.to_row(clip)

    def to_row(self, clip: ResolvedClip) -> dict[str, Any]:
        """Row of a clip, as [`clip_features`] describes it."""
        record = clip.record
        location = str(clip.location)
        return {
            "clip_id": record.clip_id,
            "corpus": record.corpus or self.NAME,
            "subject": record.subject,
            "recording": record.recording,
            "frames": [f"{location}/{name}" for name in clip.names],
            "video": location if clip.is_video else None,
            "frame_numbers": clip.numbers,
            "onset_index": clip.onset_index,
            "apex_index": clip.apex_index,
            "offset_index": clip.offset_index,
            "fps": record.fps if record.fps is not None else self.FPS,
            "action_units": parse_action_units(record.action_units).as_rows(),
            "emotion": record.emotion,
            "label": clip.label,
            "notes": record.notes,
        }


def readable_parts(parts: Sequence[str | tuple[str, ...]]) -> str:
    """Way to a folder, for messages; the first spelling stands for all."""
    return "/".join(part if isinstance(part, str) else part[0] for part in parts)
