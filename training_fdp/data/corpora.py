"""The clips of a run from corpus names: rows, columns, pixels and permissions."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import datasets

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.protocols import ClipTable
from hub_datasets import get_builder_class
from training_fdp.cli import read_pairs
from training_fdp.data.options import DataOptions
from training_fdp.data.people import check_other_faces, rendered_people, unify_spellings

# Columns that decide a clip's input and targets, beside its name, subject and label. Of files only the names count, so
# that a corpus may be moved.
LOST_CLIPS_REMEDY = "complete the download, or leave such clips out with --allow_lost_clips true"
_DECISIVE_COLUMNS = ("frames", "frame_numbers", "onset_index", "apex_index", "offset_index", "action_units")


class ClipsIdentity(TypedDict):
    """The arguments of [`evaluation_fdp.run_info.RunIdentity`] beside the settings."""

    clips: str
    sources: dict[str, str]
    class_names: list[str]


@dataclass
class Corpora:
    """The clips of a run.

    Args:
        dataset (`datasets.Dataset`): Rows of all corpora, test corpora last.
        table (`ClipTable`): The columns that protocols read.
        faces_may_be_published (`bool`): Whether every corpus permits showing its faces.
        is_rendered (`bool`): Whether every face is synthetic; figures are then labelled synthetic.
        warnings (`list[str]`): Clips that were left out because they cannot be used.
        people (`dict[str, str]`): Identity of the people shown, by corpus, where it differs from the corpus's name:
            the corpus that filmed them or, for rendered faces, generator and seed.
        sources (`dict[str, str]`): Sheet and package of each corpus, in words.
        lost_clips (`dict[str, str]`): Name of each clip that was left out, and why.
    """

    dataset: datasets.Dataset
    table: ClipTable
    faces_may_be_published: bool
    is_rendered: bool = False
    warnings: list[str] = field(default_factory=list)
    people: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    lost_clips: dict[str, str] = field(default_factory=dict)

    @cached_property
    def identity(self) -> ClipsIdentity:
        """The properties of the clips that decide the figures of a run (`dict`), independent of paths.

        `clips` is a digest of names, subjects, labels, frames, key frames and action units; `sources` names sheets and
        packages.
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


def load_corpora(options: DataOptions) -> Corpora:
    """Load the corpora that a run trains and tests on.

    Args:
        options (`DataOptions`): Which corpora, where, with which label set.

    Returns:
        `Corpora`: rows without pixels.

    Raises:
        CorpusError: a corpus, its folder, its sheet or its label set is invalid.
        ConfigError: options of a corpus that is not used, numbers of corpora and folders that differ, corpora
            with different classes, two rendered ones of the same faces, or clips that cannot be used while
            `allow_lost_clips` is off.
    """
    train = _pair(options.corpus, options.data_dir, "data_dir")
    test = _pair(options.test_corpus, options.test_data_dir, "test_data_dir")
    builder_options = _options_by_corpus(
        read_pairs("corpus_options", options.corpus_options), [*options.corpus, *options.test_corpus]
    )
    builders, parts, warnings = [], [], []
    people: dict[str, str] = {}
    prefixes: dict[str, str] = {}
    sources: dict[str, str] = {}
    lost_clips: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for position, (name, folder) in enumerate([*train, *test]):
        # Several folders of one corpus have names of their own, because those of a rendered one show other people.
        again = [earlier for earlier, _ in [*train, *test][:position]].count(name)
        key = f"{name}_{again + 1}" if again else name
        builder = get_builder_class(name)(data_dir=folder, config_name=options.label_set, **builder_options[name])
        builders.append(builder)
        rows = builder.prepare()
        if again:
            repeated[key] = name
            rows = rows.map(lambda _, key=key: {"corpus": key}, load_from_cache_file=False, keep_in_memory=True)
        sources[key] = builder.scan.variant
        if lost := builder.scan.lost:
            message = lost_clips_sentence(name, [(clip.clip_id, clip.reason) for clip in lost])
            if not options.allow_lost_clips:
                raise ConfigError(f"{message}; {LOST_CLIPS_REMEDY}")
            warnings.append(f"{message}; they were left out")
            lost_clips |= {clip.clip_id: clip.reason for clip in lost}
        rendered = {corpus: rendered_people(corpus, root) for corpus, root in builder.rendered_roots.items()}
        people |= {key if corpus == name else corpus: faces for corpus, faces in rendered.items()}
        if (builder.PEOPLE or again) and name not in rendered:
            # Two folders of one corpus may show the same people, who then are one subject.
            people[key] = prefixes[key] = builder.PEOPLE or name
        parts.append(rows.filter(lambda label: label is not None, input_columns="label"))
    check_other_faces(people.values())
    class_names = parts[0].features["label"].names
    for position, (name, _) in enumerate([*train, *test]):
        names = parts[position].features["label"].names
        if set(names) != set(class_names):
            raise ConfigError(
                f"corpora of one run need the same classes, but {train[0][0]} has {class_names}, {name} has {names}; "
                "choose a --label_set that they share"
            )
        if names != class_names:
            # Corpora list classes in different orders, so they are matched by name.
            order = {class_name: number for number, class_name in enumerate(class_names)}
            parts[position] = parts[position].align_labels_with_mapping(order, "label")
    dataset = datasets.concatenate_datasets(parts) if len(parts) > 1 else parts[0]
    corpora = list(dataset["corpus"])
    subjects = list(dataset["subject"])
    if len(set(corpora)) > 1:
        # Two corpora may both have a subject 1, so the corpus that filmed them is put before the subject.
        filmed_by = [prefixes.get(corpus, corpus) for corpus in corpora]
        subjects, respelled = unify_spellings(filmed_by, subjects)
        warnings += respelled
        subjects = [f"{corpus}-{subject}" for corpus, subject in zip(filmed_by, subjects, strict=True)]
    # In the rows a clip keeps its name, by which its landmarks are found.
    clip_ids = [
        f"{corpus}/{clip_id.removeprefix(repeated[corpus] + '/')}" if corpus in repeated else clip_id
        for corpus, clip_id in zip(corpora, dataset["clip_id"], strict=True)
    ]
    table = ClipTable(clip_ids, corpora, subjects, [int(x) for x in dataset["label"]], class_names)
    is_rendered = all(builder.is_rendered for builder in builders)
    faces = is_rendered or all(builder.faces_may_be_published for builder in builders)
    return Corpora(dataset, table, faces, is_rendered, warnings, people, sources, lost_clips)


def without_lost_clips(corpora: Corpora, lost: Mapping[int, str]) -> Corpora:
    """Leave out the clips that could not be prepared, and add warnings.

    Args:
        corpora (`Corpora`): The clips of a run.
        lost (`Mapping[int, str]`): Why, by row.

    Returns:
        `Corpora`: the same where none was lost.

    Raises:
        ConfigError: none is left.
    """
    if not lost:
        return corpora
    table = corpora.table
    kept = [row for row in range(len(table.clip_ids)) if row not in lost]
    columns = {
        name: [getattr(table, name)[row] for row in kept] for name in ("clip_ids", "corpora", "subjects", "labels")
    }
    by_corpus: dict[str, list[tuple[str, str]]] = {}
    for row, reason in lost.items():
        by_corpus.setdefault(table.corpora[row], []).append((table.clip_ids[row], reason))
    sentences = [lost_clips_sentence(name, clips) for name, clips in by_corpus.items()]
    if not kept:
        raise ConfigError(
            f"no clip is left: {'; '.join(sentences)}; complete the download or change the alignment settings"
        )
    warnings = [f"{sentence}; they were left out" for sentence in sentences]
    return replace(
        corpora,
        dataset=corpora.dataset.select(kept),
        table=ClipTable(**columns, class_names=table.class_names),
        warnings=[*corpora.warnings, *warnings],
        lost_clips=corpora.lost_clips | {table.clip_ids[row]: reason for row, reason in lost.items()},
    )


def still_clips_warning(corpora: Corpora) -> list[str]:
    """Name the clips of a single frame (`list[str]`, a sentence or none): they stay, and nothing moves in them."""
    if corpora.dataset is None or "frame_numbers" not in corpora.dataset.column_names:
        return []
    numbers = zip(corpora.table.clip_ids, corpora.dataset["frame_numbers"], strict=True)
    still = [clip_id for clip_id, frames in numbers if len(frames) == 1]
    if not still:
        return []
    return [
        f"{len(still)} of {len(corpora.table.clip_ids)} clips have a single frame, in which nothing moves: "
        f"{', '.join(still)}"
    ]


def clip_cache_folder(cache_dir: str | None) -> Path:
    """Return the folder (`Path`) of aligned clips: `cache_dir`, or the default."""
    if cache_dir is not None:
        return Path(cache_dir)
    return Path(datasets.config.HF_DATASETS_CACHE) / "fdp_aligned_clips"


def lost_clips_sentence(name: str, lost: Sequence[tuple[str, str]]) -> str:
    """Count clips that cannot be used, reason by reason, and name the first of each (`str`).

    Args:
        name (`str`): Their corpus.
        lost (`Sequence[tuple[str, str]]`): Name of each clip and why it cannot be used.
    """
    # A reason may name a file, so kinds are compared by the text before the first colon or bracket.
    kinds: dict[str, tuple[str, str]] = {}
    counts: Counter[str] = Counter()
    for clip_id, reason in lost:
        kind = reason.partition(":")[0].partition(" (")[0]
        kinds.setdefault(kind, (clip_id, reason))
        counts[kind] += 1
    listed = "; ".join(f"{counts[kind]} as {clip_id} ({reason})" for kind, (clip_id, reason) in kinds.items())
    return f"{len(lost)} clips of {name} cannot be used: {listed}"


def _options_by_corpus(options: Mapping[str, object], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give each corpus its options: `NAME` applies to every corpus, `CORPUS.NAME` to one."""
    by_corpus: dict[str, dict[str, Any]] = {
        name: {key: value for key, value in options.items() if "." not in key} for name in names
    }
    for key, value in options.items():
        name, dot, option = key.partition(".")
        if dot and name not in by_corpus:
            raise ConfigError(
                f"--corpus_options gives {option} to {name}, but the corpora are {', '.join(names)}; name one of them"
            )
        if dot:
            by_corpus[name][option] = value
    return by_corpus


def _pair(names: Sequence[str], folders: Sequence[str], option: str) -> list[tuple[str, str | None]]:
    """Give each corpus its folder; without any folder the loaders decide."""
    if folders and len(folders) != len(names):
        raise ConfigError(
            f"--{option} takes one folder per corpus, but there are {len(folders)} folders for {list(names)}; "
            "give them in the same order"
        )
    return [(name, folders[position] if folders else None) for position, name in enumerate(names)]
