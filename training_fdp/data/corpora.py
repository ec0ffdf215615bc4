"""From the names on a command line to the clips of a run: rows, columns, pixels, and what may be shown of them."""

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets

from evaluation_fdp.protocols import ClipTable
from hub_datasets import get_builder_class
from hub_datasets.records import RENDERED_MANIFEST
from training_fdp.config import TrainConfig
from training_fdp.errors import ConfigError

# What decides a clip's input and targets, beside its name, subject and label. Of files the names: trees may be moved.
_DECISIVE_COLUMNS = ("frames", "frame_numbers", "onset_index", "apex_index", "offset_index", "action_units")


@dataclass
class Corpora:
    """The clips of a run.

    Args:
        dataset (`datasets.Dataset`): Rows of all corpora, those that are only tested on last.
        table (`ClipTable`): The columns that protocols read.
        faces_may_be_published (`bool`): Whether every corpus permits showing its faces.
        is_rendered (`bool`): Whether every face is synthetic; figures must then be labelled so.
        warnings (`list[str]`): Clips that were left out because they cannot be used.
        people (`dict[str, str]`): Whose subjects a corpus shows, by corpus, where its name does not say so: those of
            another corpus, or of a rendered one, where a seed tells them from others under the same names.
        sources (`dict[str, str]`): Sheet and package of each corpus, in words.
    """

    dataset: Any
    table: ClipTable
    faces_may_be_published: bool
    is_rendered: bool = False
    warnings: list[str] = field(default_factory=list)
    people: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What of the clips decides the numbers of a run (`dict`), wherever they lie.

        `clips` is a digest of which there are, whose, what they are called, which frames they have, and of what the
        sheet says of their key frames and action units; `sources` names sheets and packages.
        """
        table = self.table
        rows = list(zip(table.clip_ids, table.subjects, [int(label) for label in table.labels], strict=True))
        content = hashlib.sha256(json.dumps(rows).encode())
        if self.dataset is not None:
            known = [name for name in _DECISIVE_COLUMNS if name in self.dataset.column_names]
            for row in self.dataset.select_columns(known):
                files = [os.path.basename(path) for path in row.get("frames") or []]
                content.update(json.dumps({**row, "frames": files}, sort_keys=True, default=str).encode())
        return {"clips": content.hexdigest(), "sources": self.sources, "class_names": list(table.class_names)}


def load_corpora(config: TrainConfig) -> Corpora:
    """Load the corpora that a run trains and tests on.

    Args:
        config (`TrainConfig`): Settings.

    Returns:
        `Corpora`: rows without pixels.

    Raises:
        CorpusError: a corpus, its folder, its sheet or its label set is not as it must be.
        ConfigError: options of a corpus that is not there, numbers of corpora and folders that do not match, corpora
            with different classes, two rendered ones of the same faces, or clips that cannot be used while
            `allow_lost_clips` is off.
    """
    train = _pair(config.corpus, config.data_dir, "data_dir")
    test = _pair(config.test_corpus, config.test_data_dir, "test_data_dir")
    options = _options_by_corpus(config.pairs("corpus_options"), [*config.corpus, *config.test_corpus])
    builders, parts, warnings = [], [], []
    people: dict[str, str] = {}
    prefixes: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name, folder in [*train, *test]:
        builder = get_builder_class(name)(data_dir=folder, config_name=config.label_set, **options[name])
        builders.append(builder)
        rows = builder.prepare()
        sources[name] = builder.scan.variant
        if lost := builder.scan.lost:
            said = f"{len(lost)} clips of {name} cannot be used, first {lost[0].clip_id} ({lost[0].reason})"
            if not config.allow_lost_clips:
                raise ConfigError(
                    f"{said}; complete the download, or leave such clips out with --allow_lost_clips true"
                )
            warnings.append(f"{said}; they were left out")
        rendered = {corpus: _rendered_people(corpus, root) for corpus, root in builder.rendered_roots.items()}
        people |= rendered
        if builder.PEOPLE and name not in rendered:
            people[name] = prefixes[name] = builder.PEOPLE
        parts.append(rows.filter(lambda label: label is not None, input_columns="label"))
    _check_other_faces(people.values())
    class_names = parts[0].features["label"].names
    for position, (name, _) in enumerate([*train, *test]):
        found = parts[position].features["label"].names
        if set(found) != set(class_names):
            raise ConfigError(
                f"corpora of one run need the same classes, but {train[0][0]} has {class_names}, {name} has {found}; "
                "choose a --label_set that they share"
            )
        if found != class_names:
            # Each corpus lists its classes in its own order; a class is known by its name.
            order = {class_name: number for number, class_name in enumerate(class_names)}
            parts[position] = parts[position].align_labels_with_mapping(order, "label")
    dataset = datasets.concatenate_datasets(parts) if len(parts) > 1 else parts[0]
    corpora = list(dataset["corpus"])
    subjects = list(dataset["subject"])
    if len(set(corpora)) > 1:
        # Two corpora may both have a subject 1: the corpus that first filmed them is then part of the name.
        subjects = [
            f"{prefixes.get(corpus, corpus)}-{subject}" for corpus, subject in zip(corpora, subjects, strict=True)
        ]
    table = ClipTable(list(dataset["clip_id"]), corpora, subjects, [int(x) for x in dataset["label"]], class_names)
    is_rendered = all(builder.is_rendered for builder in builders)
    faces = is_rendered or all(builder.faces_may_be_published for builder in builders)
    return Corpora(dataset, table, faces, is_rendered, warnings, people, sources)


def clip_cache_folder(cache_dir: str | None) -> Path:
    """Return the folder (`Path`) that keeps aligned clips: the one that was asked for, or the default."""
    if cache_dir is not None:
        return Path(cache_dir)
    return Path(datasets.config.HF_DATASETS_CACHE) / "fdp_aligned_clips"


def _rendered_people(name: str, folder: Path) -> str:
    """Name the people of a rendered tree: subject 1 has another face where another seed drew it.

    What follows the comma says who they are, in whatever layout.
    """
    settings = json.loads((folder / RENDERED_MANIFEST).read_text(encoding="utf-8")).get("settings", {})
    kind = "morphable" if settings.get("face_model") else "built-in"
    return f"rendered {name}, {kind} faces of seed {settings.get('seed')}"


def _check_other_faces(people: Iterable[str]) -> None:
    """Refuse two rendered trees of the same faces: whoever is held out of one would be learnt from the other."""
    for other, rendered in itertools.combinations(people, 2):
        if same_faces(rendered, other):
            raise ConfigError(
                f"corpora of one run must show other people, but {rendered} has the faces of {other}; render one of "
                "them with another --seed"
            )


def same_faces(rendered: str, other: str) -> bool:
    """Whether two names of `Corpora.people` mean the same rendered faces (`bool`), in whatever layouts."""
    return rendered.startswith("rendered ") and rendered.partition(", ")[2] == other.partition(", ")[2]


def _options_by_corpus(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give each corpus its options: `NAME` is one of every corpus, `CORPUS.NAME` of one alone."""
    own: dict[str, dict[str, Any]] = {
        name: {key: value for key, value in options.items() if "." not in key} for name in names
    }
    for key, value in options.items():
        name, dot, option = key.partition(".")
        if dot and name not in own:
            raise ConfigError(
                f"--corpus_options gives {option} to {name}, but the corpora are {', '.join(own)}; name one of them"
            )
        if dot:
            own[name][option] = value
    return own


def _pair(names: Sequence[str], folders: Sequence[str], option: str) -> list[tuple[str, str | None]]:
    """Give each corpus its folder; no folder at all is left to the loaders to judge."""
    if folders and len(folders) != len(names):
        raise ConfigError(
            f"--{option} takes one folder per corpus, but there are {len(folders)} folders for {list(names)}; "
            "give them in the same order"
        )
    return [(name, folders[position] if folders else None) for position, name in enumerate(names)]
