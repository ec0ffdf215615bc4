"""Base class of all corpora: find the download, read the sheet, apply errata, cut clips and return their rows.

A corpus file declares packages, sheets, label sets and errata, and turns its sheet into [`ClipRecord`]s by
[`CorpusBuilder.read_records`]. All other steps are here and in [`hub_datasets.scanning`].
No pixel is read: rows hold paths, so nothing that could be pushed to a Hub contains a face.
"""

import hashlib
import inspect
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import datasets

from hub_datasets.errors import CorpusOptionError, DatasetNotFoundError, UnknownLabelSetError
from hub_datasets.features import clip_features, clip_row
from hub_datasets.records import ClipRecord, Erratum, LabelSet, Package, SheetFile
from hub_datasets.scanning.cutting import (
    LostClip,
    ResolvedClip,
    Scan,
    apply_errata,
    choose_interval,
    cut_clip,
    cut_video,
    rendered_root,
    unify_subjects,
)
from hub_datasets.scanning.folders import FolderTree, FrameListing, is_text, list_frames, parallel_map
from hub_datasets.scanning.layout import ANY, Layout, find_package, find_sheets, readable_parts
from processing_fdp.frame_source_fdp import VideoReadError

_BUILDER_ARGUMENTS = frozenset(inspect.signature(datasets.DatasetBuilder.__init__).parameters) - {"config_kwargs"}
# Raise it whenever the same download gives other rows or columns. 1.1.0: the column `clip_end`.
_ROWS_VERSION = datasets.Version("1.1.0")


@dataclass
class CorpusConfig(datasets.BuilderConfig):
    """Configuration of a corpus: its name is the label set.

    Attributes:
        options (`dict[str, str]`): Options of the corpus that differ from `auto`, e.g. `{"package": "cropped"}`.
    """

    options: dict[str, str] = field(default_factory=dict)


def _keep_paths_local(module_name: str) -> None:
    """Keep `datasets` from replacing `Path` and `open` in a builder's module.

    Its versions read URLs and would take a folder named `a::b` for a chain of URLs, while corpora are local.
    `_patched_for_streaming` is the flag by which `datasets.streaming` recognises a patched module.
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
        label_set (`LabelSet`): The requested classes.
        options (`dict[str, str]`): Value of every option, `auto` where none was given.
        layout (`Layout`): Package and sheets found below the root.
        scan (`Scan`): Usable clips, lost clips and remarks.

    Raises:
        DatasetNotFoundError: the corpus is not at `data_dir`.
        UnknownLabelSetError: the corpus has no label set of that name.
        CorpusOptionError: an option or its value is unknown.
        SheetError: the annotation sheet cannot be read.
    """

    VERSION = _ROWS_VERSION
    BUILDER_CONFIG_CLASS = CorpusConfig

    # Set by each corpus.
    NAME: ClassVar[str] = ""
    PEOPLE: ClassVar[str] = ""  # name of another corpus that filmed the same subjects, under the same numbers
    TITLE: ClassVar[str] = ""  # "NAME: what it is", one line
    FPS: ClassVar[float] = 0.0
    ACCESS_PAGE: ClassVar[str] = ""
    LICENSE: ClassVar[str] = "Licensed per researcher; frames and annotations must not be redistributed."
    CITATION: ClassVar[str] = ""
    EXPECTED_TREE: ClassVar[str] = ""
    REMEDY: ClassVar[str] = ""  # one sentence: how to get a corpus that is not a licensed download
    # Paragraph and points of the corpus's card that differ from those of licensed corpora; see hub_datasets/card.py.
    TERMS: ClassVar[str] = ""
    ADVICE: ClassVar[tuple[str, ...]] = ()
    # Sentence for the cards of models trained on it, where its agreement needs one beside the page of access.
    MODEL_TERMS: ClassVar[str] = ""
    PACKAGES: ClassVar[tuple[Package, ...]] = ()  # in order of preference
    SHEETS: ClassVar[tuple[SheetFile, ...]] = ()  # in order of preference within a role
    LABEL_SETS: ClassVar[tuple[LabelSet, ...]] = ()  # the first is the default
    ERRATA: ClassVar[tuple[Erratum, ...]] = ()
    # Besides `package`, `sheet` and `encoding`, which every corpus has; no values mean any text.
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    VIDEO_FIRST_FRAME: ClassVar[int] = 1  # number of the first frame of a video in the sheet
    # True for rendered faces alone, because frames of licensed corpora must not be published.
    faces_may_be_published: ClassVar[bool] = False

    layout: Layout

    def __init_subclass__(cls, **kwargs: object) -> None:
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
        self._refuse_unknown(kwargs)
        self.requested_cache_dir = cache_dir
        root = self.prepare_root(data_dir, cache_dir)
        self.scan = self.scan_download(root)
        self.scan.fingerprint = self._fingerprint(self.scan, self.layout)
        super().__init__(
            cache_dir=str(cache_dir) if cache_dir is not None else None,
            config_name=self.label_set.name,
            data_dir=str(root),
            options={name: value for name, value in self.options.items() if value != ANY},
            hash=self.scan.fingerprint,
            **kwargs,
        )

    # Required of each corpus.

    def read_records(self, layout: Layout) -> list[ClipRecord]:
        """Turn the annotation sheet into records, in sheet order; the one abstract method."""
        raise NotImplementedError(f"{type(self).__name__} must define read_records")

    # Optional overrides.

    def sheet_variant(self, layout: Layout, records: list[ClipRecord]) -> str:
        """Version of the sheet, which selects the published counts; taken from the file name by default."""
        return layout.sheets["annotation"][0].variant if "annotation" in layout.sheets else ""

    def fit_to_frames(self, record: ClipRecord, listing: FrameListing) -> None:
        """Repair a record in place by its frames; by default, choose between the intervals of sheet versions."""
        if self.layout.package.only_interval:
            errata = [erratum for erratum in self.ERRATA if erratum.clip == record.key]
            choose_interval(record, listing, errata)

    def wanted_sheets(self) -> Sequence[SheetFile]:
        """Sheets to look for, in order of preference; a corpus in several parts narrows them by an option."""
        return self.SHEETS

    def wanted_packages(self, sheets: Mapping[str, tuple[SheetFile, Path]]) -> Sequence[Package]:
        """Packages that belong to the sheets that were found, in order of preference."""
        return self.PACKAGES

    def find_sheets(self, tree: FolderTree) -> dict[str, tuple[SheetFile, Path]]:
        """First sheet of each role that is found, in order of preference.

        Raises:
            DatasetNotFoundError: there is no annotation sheet.
        """
        wanted = self.wanted_sheets()
        sheets = find_sheets(tree, wanted, self.PACKAGES, version := self.options["sheet"])
        if any(sheet.role == "annotation" for sheet in wanted) and "annotation" not in sheets:
            which = "" if version == ANY else f" of the version {version}"
            raise self.not_found(str(tree.root), f"no annotation sheet{which}; {tree.summary()}")
        return sheets

    def discover(self, root: Path) -> Layout:
        """Find the sheets and the frames below the root, whatever their nesting.

        Raises:
            DatasetNotFoundError: the sheet or the frames are missing.
        """

        def not_found(found: str) -> NoReturn:
            raise self.not_found(str(root), found)

        tree = FolderTree(root)
        sheets = self.find_sheets(tree)
        package, roots = find_package(tree, self.wanted_packages(sheets), self.options["package"], not_found)
        return Layout(tree, package, roots, sheets, self.encoding)

    def describe_variant(self, layout: Layout, variant: str) -> str:
        """Sheet and package that were found, in words."""
        parts = []
        if "annotation" in layout.sheets:
            name = layout.sheets["annotation"][1].name
            parts.append(f"sheet {variant} ({name})" if variant else f"sheet {name}")
        parts.append(f"package {layout.package.name}")
        return ", ".join(parts)

    def locate(self, layout: Layout, record: ClipRecord) -> Path | None:
        """Folder (or video file) of a record, `None` where there is none; `record.problem` may give the reason."""
        find = layout.tree.find_video if layout.package.video else layout.tree.find_folder
        return next(
            (path for root in layout.package_roots if (path := find(root, record.folder_parts)) is not None), None
        )

    def is_video(self, layout: Layout, path: Path) -> bool:
        """Whether a located clip is a video file and not a folder of frames."""
        return layout.package.video

    def cut_video(self, record: ClipRecord, path: Path, label: str) -> ResolvedClip | LostClip:
        """Cut a clip out of a video file."""
        return cut_video(record, path, label, self.VIDEO_FIRST_FRAME)

    def extra_features(self) -> dict[str, object]:
        """Columns that only this corpus has; `to_row` fills them."""
        return {}

    def to_row(self, clip: ResolvedClip) -> dict[str, object]:
        """Row of a clip, as [`clip_features`] describes it."""
        return clip_row(clip, self.NAME, self.FPS)

    # Public interface.

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
            f"{cls.NAME} has the label sets {known}, but {name!r} was given: choose one of them."
        )

    @classmethod
    def allowed_options(cls) -> dict[str, tuple[str, ...]]:
        """Every option with its values; `auto`, the first, selects the preferred one found."""
        allowed = {name: tuple(values) for name, values in cls.OPTIONS.items()}
        allowed.setdefault("package", (ANY, *dict.fromkeys(package.name for package in cls.PACKAGES)))
        variants = dict.fromkeys(sheet.variant for sheet in cls.SHEETS if sheet.role == "annotation")
        allowed.setdefault("sheet", (ANY, *variants))
        allowed.setdefault("encoding", ())
        return allowed

    @classmethod
    def not_found(cls, root: str, found: str) -> DatasetNotFoundError:
        """Error with the root, its content, the expected layout and how to get the corpus."""
        licensed = (
            "The corpus is licensed and never downloaded: point data_dir at your own copy, or request access at "
            f"{cls.ACCESS_PAGE}."
        )
        return DatasetNotFoundError.for_corpus(
            name=cls.NAME, root=root, found=found, expected_tree=cls.EXPECTED_TREE, remedy=cls.REMEDY or licensed
        )

    @property
    def encoding(self) -> str | None:
        """Encoding of sheets in CSV (`str`), `None` where no option names one."""
        return None if self.options["encoding"] == ANY else self.options["encoding"]

    @property
    def rendered_roots(self) -> dict[str, Path]:
        """Root of the rendered tree, the folder of its manifest, for each rendered corpus (`dict[str, Path]`).

        Keys are values of the column `corpus`: one, or those of a composite's rendered parts. A corpus with a clip
        outside of a rendered tree is left out.
        """
        root = rendered_root(self.scan.clips, self.layout.tree.root)
        return {} if root is None else {self.NAME: root}

    @property
    def is_rendered(self) -> bool:
        """Whether every clip is rendered (`bool`), trees in the layout of a licensed corpus included."""
        corpora = {clip.record.corpus or self.NAME for clip in self.scan.clips}
        return bool(corpora) and corpora == set(self.rendered_roots)

    def prepare(self, num_proc: int | None = None) -> datasets.Dataset:
        """Write the rows into the cache unless it holds them, and return them.

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

    # Scanning.

    def prepare_root(self, data_dir: str | Path | None, cache_dir: str | Path | None) -> Path:
        """Absolute root of the download; a relative one would make two working directories share a cache.

        Raises:
            DatasetNotFoundError: `data_dir` is missing, is not a folder or is a cycle of symbolic links.
        """
        if data_dir is None:
            raise self.not_found("None", "no data_dir was given")
        try:
            root = Path(data_dir).expanduser().resolve()
        except (OSError, RuntimeError) as error:  # a cycle of symbolic links
            raise self.not_found(str(data_dir), f"the path cannot be followed ({error})") from error
        if not is_text(str(root)):
            raise self.not_found(ascii(str(root)), "the path is not valid UTF-8: rename the folder")
        if not root.is_dir():
            found = "it is a file, not a folder" if root.exists() else "there is no such folder"
            raise self.not_found(str(root), found)
        return root

    def scan_download(self, root: Path) -> Scan:
        """Read the sheet, apply the errata, list every folder once in threads and cut the clips of the label set."""
        self.layout = layout = self.discover(root)
        records = self.read_records(layout)
        variant = self.sheet_variant(layout, records)
        scan = Scan(variant=self.describe_variant(layout, variant), sheet_variant=variant, rows=len(records))
        scan.remarks += unify_subjects(records)
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

    def _cut_all(self, layout: Layout, wanted: list[tuple[ClipRecord, str]], scan: Scan) -> None:
        located = [(record, label, self.locate(layout, record)) for record, label in wanted]
        # dict.fromkeys: recordings with several expressions are listed once
        paths = dict.fromkeys(path for _, _, path in located if path is not None)
        folders = [path for path in paths if not self.is_video(layout, path)]
        listed = parallel_map(self._list_folder, folders, f"{self.NAME}: listing frames")
        listings = dict(zip(folders, listed, strict=True))
        clip_ids: set[str] = set()
        for record, label, path in located:
            outcome: ResolvedClip | LostClip
            if record.clip_id in clip_ids:
                outcome = LostClip(record.clip_id, "the sheet lists this clip twice")
            elif path is None:
                missing = f"no folder {readable_parts(record.folder_parts)} in this package"
                outcome = LostClip(record.clip_id, record.problem or missing)
            elif self.is_video(layout, path):
                outcome = self.cut_video(record, path, label)
            else:
                outcome = self._cut_folder(layout, record, listings[path], label)
            clip_ids.add(record.clip_id)
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

    def _pop_options(self, kwargs: dict[str, object]) -> dict[str, str]:
        """Remove the options of the corpus from the arguments of a builder and check them."""
        options = {}
        for name, values in self.allowed_options().items():
            value = kwargs.pop(name, None)
            value = ANY if value is None else str(value)
            if values and value not in values and value != ANY:
                raise CorpusOptionError(
                    f"option {name} of {self.NAME} takes {', '.join(values)}, but {value!r} was given: choose one."
                )
            options[name] = value
        if options["encoding"] != ANY:
            _check_encoding(options["encoding"])
        return options

    def _refuse_unknown(self, kwargs: Collection[str]) -> None:
        unknown = set(kwargs) - _BUILDER_ARGUMENTS
        if unknown:
            raise CorpusOptionError(
                f"{self.NAME} has the options {', '.join(self.options)}, but {', '.join(sorted(unknown))} was given: "
                "choose among these, or leave it out."
            )

    def _fingerprint(self, scan: Scan, layout: Layout) -> str:
        """Digest of the sheets and of every row, so that an edited sheet or folder gets a new cache folder."""
        # Not the whole label set: the order of its frozen sets changes from process to process.
        digest = hashlib.sha256(f"{self.NAME} {self.VERSION} {self.label_set.name} {self.label_set.names}".encode())
        for role, (_, path) in sorted(layout.sheets.items(), key=itemgetter(0)):
            digest.update(role.encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        for clip in scan.clips:
            row = self.to_row(clip)
            digest.update(repr(sorted(row.items())).encode(errors="surrogateescape"))
        return digest.hexdigest()[:24]

    # Hooks of `datasets.GeneratorBasedBuilder`.

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=self.TITLE,
            features=datasets.Features({**clip_features(self.label_set.names), **self.extra_features()}),
            homepage=self.ACCESS_PAGE,
            license=self.LICENSE,
            citation=self.CITATION,
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        # A list, because datasets shards list arguments over num_proc.
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN, gen_kwargs={"clips": self.scan.clips})]

    def _generate_examples(self, clips: list[ResolvedClip]) -> Iterator[tuple[str, dict[str, object]]]:
        for clip in clips:
            yield clip.record.clip_id, self.to_row(clip)


def _check_encoding(name: str) -> None:
    try:
        "".encode(name)
    except LookupError as error:
        raise CorpusOptionError(
            f"option encoding takes a text encoding of Python, e.g. cp932 or gb18030, but {name!r} was given: "
            "choose another."
        ) from error
