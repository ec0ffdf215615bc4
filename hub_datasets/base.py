"""The skeleton that every corpus follows: find the download, read the sheet, repair, cut, and hand out clip rows.

A corpus file declares facts (packages, sheets, label sets, errata) and turns its sheet into [`ClipRecord`]s.
Everything else happens once: discovery, frame listing, errata and notes in [`hub_datasets.scanning.scanner`], rows,
cache key and features here. No pixel is read: rows hold paths, so nothing that could be pushed to a Hub contains a
face.
"""

import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar

import datasets
from datasets import ClassLabel, Features, List, Value

from hub_datasets.errors import CorpusOptionError
from hub_datasets.scanning.action_units import parse_action_units
from hub_datasets.scanning.cutting import ResolvedClip, Scan, rendered_root
from hub_datasets.scanning.scanner import ANY, CorpusScanner, Layout

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


@dataclass
class CorpusConfig(datasets.BuilderConfig):
    """Configuration of a corpus: its name is the label set.

    Attributes:
        options (`dict[str, str]`): Options of the corpus that differ from `auto`, e.g. `{"package": "cropped"}`.
    """

    options: dict[str, str] = field(default_factory=dict)


def _keep_paths_local(module_name: str) -> None:
    """Tell `datasets` to leave `Path` and `open` of a builder's module alone.

    It replaces them by versions that read URLs, and for those a folder called `a::b` is a chain of addresses. Corpora
    are local; the mark is the one that `datasets.streaming` sets itself once it has been there.
    """
    sys.modules[module_name].__dict__["_patched_for_streaming"] = True


_keep_paths_local(__name__)


class CorpusBuilder(CorpusScanner, datasets.GeneratorBasedBuilder):
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

    @property
    def rendered_roots(self) -> dict[str, Path]:
        """Root of the rendered tree, where its manifest lies, for each corpus that shows nobody (`dict[str, Path]`).

        Keys are those of the column `corpus`: one, or those of a composite's parts that were rendered. A corpus with a
        clip outside of rendered trees shows people and is left out.
        """
        root = rendered_root(self.scan.clips, self.layout.tree.root)
        return {} if root is None else {self.NAME: root}

    @property
    def is_rendered(self) -> bool:
        """Whether nobody's face is in it (`bool`): all of it was rendered, also where it imitates licensed corpora."""
        corpora = {clip.record.corpus or self.NAME for clip in self.scan.clips}
        return bool(corpora) and corpora == set(self.rendered_roots)

    def extra_features(self) -> dict[str, Any]:
        """Columns that only this corpus has; `to_row` fills them."""
        return {}

    def _refuse_unknown(self, kwargs: dict[str, Any]) -> None:
        unknown = set(kwargs) - _BUILDER_ARGUMENTS
        if unknown:
            raise CorpusOptionError(
                f"{self.NAME} has the options {', '.join(self.options)}, but {', '.join(sorted(unknown))} was given: "
                "choose among these, or leave it out."
            )

    def _fingerprint(self, scan: Scan, layout: Layout) -> str:
        """Digest of the sheets and of every row as handed out: an edited sheet or folder gives a new cache."""
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
