"""Splits into training and held-out subjects, derived from the clips; no subject is on both sides."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation_fdp.errors import ProtocolError

# The protocol without folds: it trains final/ and benchmarks nothing.
NO_PROTOCOL = "none"
PROTOCOL_PATTERN = re.compile(rf"loso|kfold[1-9]\d*|holdout|megc2019|cross_corpus|{NO_PROTOCOL}")
FINAL_FOLD = "final"
HOLDOUT_PARTS = 5
_LONGEST_NAME = 100
# Device names of Windows, which refuses files and folders of these names, with any extension.
_RESERVED_NAME = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# Released code (CYF-cuber/FDP@7ad36d9, train.py): its list of test subjects lacks this one, which stays in training.
RELEASED_UNTESTED = {"casme2": frozenset({"18"})}


@dataclass(frozen=True)
class ClipTable:
    """The columns that a protocol reads, one entry per clip.

    Args:
        clip_ids (`Sequence[str]`): Unique names.
        corpora (`Sequence[str]`): Corpus of each clip.
        subjects (`Sequence[str]`): Subject of each clip, unique across corpora.
        labels (`Sequence[int]`): Class of each clip.
        class_names (`Sequence[str]`): Names of the classes.
    """

    clip_ids: Sequence[str]
    corpora: Sequence[str]
    subjects: Sequence[str]
    labels: Sequence[int]
    class_names: Sequence[str]

    def __post_init__(self) -> None:
        """Refuse repeated ids and an empty table."""
        repeated = [clip for clip, count in Counter(self.clip_ids).items() if count > 1]
        if repeated:
            raise ProtocolError(f"clip_id must be unique, but {repeated[0]} occurs twice; check the corpus loader")
        if not self.clip_ids:
            raise ProtocolError("the corpus holds no clip of this label set; check --data_dir and --label_set")


@dataclass(frozen=True)
class Fold:
    """One split.

    Args:
        fold_id (`str`): Name of the fold, usable as a folder name.
        train_indices (`tuple[int, ...]`): Rows of the clip table to learn from, ascending.
        test_indices (`tuple[int, ...]`): Rows that are held out, ascending; empty for the final model.
        train_subjects (`tuple[str, ...]`): Their subjects, sorted.
        test_subjects (`tuple[str, ...]`): Their subjects, sorted.
    """

    fold_id: str
    train_indices: tuple[int, ...]
    test_indices: tuple[int, ...]
    train_subjects: tuple[str, ...]
    test_subjects: tuple[str, ...]


def make_folds(
    table: ClipTable, protocol: str, test_corpora: Sequence[str] = (), released_subject_list: bool = False
) -> list[Fold]:
    """Split the clips.

    Args:
        table (`ClipTable`):
            The clips.
        protocol (`str`):
            `loso` and `megc2019` (leave-one-subject-out), `kfoldN` (N subject-grouped folds of like class counts),
            `holdout` (one fifth of the subjects), `cross_corpus` (each test corpus once), `none` (no fold at all).
        test_corpora (`Sequence[str]`, *optional*, defaults to `()`):
            Corpora that `cross_corpus` holds out; they are never trained on.
        released_subject_list (`bool`, *optional*, defaults to `False`):
            Leave out the folds that the authors' list of test subjects lacks.

    Returns:
        `list[Fold]`: in a fixed order that depends on the clips alone.

    Raises:
        ProtocolError: too few subjects for the protocol, or a fold name that two subjects share.
    """
    if protocol == NO_PROTOCOL:
        return []
    if protocol == "cross_corpus":
        folds = [_fold_by_corpus(table, corpus, set(test_corpora)) for corpus in test_corpora]
    else:
        groups = _subject_groups(table, protocol)
        folds = [_fold(table, name, subjects) for name, subjects in groups]
    if released_subject_list:
        folds = _without_released_gap(table, folds)
    check_folds(table, folds)
    return folds


def final_fold(table: ClipTable, test_corpora: Sequence[str] = ()) -> Fold:
    """Return the split of the final model (`Fold`): all training clips, nothing held out."""
    rows = tuple(row for row, corpus in enumerate(table.corpora) if corpus not in set(test_corpora))
    return Fold(FINAL_FOLD, rows, (), _subjects_of(table, rows), ())


def inner_split(table: ClipTable, fold: Fold, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Set some training subjects aside for early stopping.

    Args:
        table (`ClipTable`):
            The clips.
        fold (`Fold`):
            The fold whose training subjects are split; its test subjects are not used.
        fraction (`float`):
            Share of the training subjects to set aside, in (0, 1); at least one, and at least one stays.
        seed (`int`):
            Seed of the choice.

    Returns:
        `tuple[list[int], list[int]]`: rows to train on, rows to stop by.

    Raises:
        ProtocolError: there are fewer than two training subjects.
    """
    subjects = list(fold.train_subjects)
    if len(subjects) < 2:
        raise ProtocolError(
            f"--selection inner needs two training subjects, but fold {fold.fold_id} has {len(subjects)}; "
            "use --selection fixed"
        )
    count = min(max(1, round(fraction * len(subjects))), len(subjects) - 1)
    chosen = set(np.random.default_rng(seed).permutation(subjects)[:count].tolist())
    training_rows = [row for row in fold.train_indices if table.subjects[row] not in chosen]
    stopping_rows = [row for row in fold.train_indices if table.subjects[row] in chosen]
    return training_rows, stopping_rows


def check_folds(table: ClipTable, folds: Sequence[Fold]) -> None:
    """Check at run time that no fold leaks and that each clip is tested once.

    Raises:
        ProtocolError: a subject or clip on both sides of a fold, a clip that two folds test, an empty side, or two
            folds of one name.
    """
    tested: Counter[int] = Counter()
    for fold in folds:
        shared = {table.subjects[row] for row in fold.train_indices} & {
            table.subjects[row] for row in fold.test_indices
        }
        if shared:
            raise ProtocolError(
                f"subjects {sorted(shared)} are on both sides of fold {fold.fold_id}; use --protocol loso"
            )
        if not fold.train_indices or not fold.test_indices:
            raise ProtocolError(
                f"fold {fold.fold_id} has {len(fold.train_indices)} training and {len(fold.test_indices)} test clips; "
                "both sides need some, choose another protocol"
            )
        tested.update(fold.test_indices)
    twice = [row for row, count in tested.items() if count > 1]
    if twice:
        raise ProtocolError(f"clip {table.clip_ids[twice[0]]} is tested by two folds; each clip may be predicted once")
    # Folds become folders, and the file systems of macOS and Windows ignore letter case.
    names = Counter(fold.fold_id.casefold() for fold in folds)
    doubled = [fold.fold_id for fold in folds if names[fold.fold_id.casefold()] > 1]
    if doubled:
        raise ProtocolError(f"two folds are called '{doubled[0]}'; rename one of the subjects in the coding sheet")


def untaught_classes(table: ClipTable, fold: Fold) -> list[str]:
    """Return the classes (`list[str]`) of test clips that no training clip has."""
    trained = {table.labels[row] for row in fold.train_indices}
    missing = {table.labels[row] for row in fold.test_indices} - trained
    return [table.class_names[label] for label in sorted(missing)]


def select_folds(folds: Sequence[Fold], wanted: str) -> list[Fold]:
    """Choose the folds that `--folds` asks for.

    Args:
        folds (`Sequence[Fold]`):
            All folds of the protocol.
        wanted (`str`):
            `all`, names joined by commas, or `K/N`: every N-th fold from the K-th on (K from 1), so that N job-array
            tasks share the folds without naming them.

    Returns:
        `list[Fold]`: the chosen ones, in the order of the protocol.

    Raises:
        ProtocolError: a name that is not among the folds, or a part that does not exist.
    """
    if wanted == "all":
        return list(folds)
    part = re.fullmatch(r"(\d+)/(\d+)", wanted)
    if part:
        number, parts = int(part[1]), int(part[2])
        if not 1 <= number <= parts:
            raise ProtocolError(f"--folds K/N takes K from 1 to N, got {wanted}; write for example 1/4")
        return list(folds[number - 1 :: parts])
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    known = {fold.fold_id: fold for fold in folds}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ProtocolError(f"--folds names {unknown or 'nothing'}; the folds are all or some of {','.join(known)}")
    return [fold for fold in folds if fold.fold_id in names]


def folder_name(text: str) -> str:
    """Return a subject's name (`str`) in at most 100 characters that every file system takes.

    A digest of the name is added where letters beyond ASCII would otherwise be lost (two names in Chinese would both
    become the same), where the name is cut, and where Windows reserves the name.
    """
    text = unicodedata.normalize("NFC", text)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
    is_reserved = _RESERVED_NAME.fullmatch(name) is not None
    if text.isascii() and len(name) <= _LONGEST_NAME and not is_reserved:
        return name or "unnamed"
    name = name.replace(".", "-") if is_reserved else name
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return f"{name[: _LONGEST_NAME - len(digest) - 1].strip('-.') or 'subject'}-{digest}"


def _subject_groups(table: ClipTable, protocol: str) -> list[tuple[str, set[str]]]:
    """Return the name and the held-out subjects of each fold of a protocol without test corpora."""
    subjects = sorted(set(table.subjects))
    if len(subjects) < 2:
        raise ProtocolError(
            f"protocol {protocol} holds out subjects, but all clips are of one, {subjects[0]}; add another subject"
        )
    if protocol in ("loso", "megc2019"):
        return [(folder_name(subject), {subject}) for subject in subjects]
    if protocol == "holdout":
        return [("holdout", _balanced_groups(table, min(HOLDOUT_PARTS, len(subjects)))[0])]
    parts = int(protocol.removeprefix("kfold"))
    if not 2 <= parts <= len(subjects):
        raise ProtocolError(
            f"protocol {protocol} needs between 2 and as many folds as subjects, but there are {len(subjects)} "
            f"subjects; choose kfold2 to kfold{len(subjects)}, or loso"
        )
    return [(f"fold{number}", group) for number, group in enumerate(_balanced_groups(table, parts))]


def _balanced_groups(table: ClipTable, parts: int) -> list[set[str]]:
    """Assign subjects to groups of like class counts: the largest first, each where it unbalances least.

    Our choice instead of scikit-learn's StratifiedGroupKFold, which may leave a group empty with few subjects.
    """
    counts = {subject: np.zeros(len(table.class_names)) for subject in sorted(set(table.subjects))}
    for subject, label in zip(table.subjects, table.labels, strict=True):
        counts[subject][label] += 1
    order = sorted(counts, key=lambda subject: (-counts[subject].sum(), subject))
    # Rare classes weigh as much as common ones.
    weights = 1 / np.maximum(sum(counts.values()), 1)
    totals = [np.zeros(len(table.class_names)) for _ in range(parts)]
    groups: list[set[str]] = [set() for _ in range(parts)]
    for position, subject in enumerate(order):
        empty = [number for number, group in enumerate(groups) if not group]
        must_fill = len(order) - position <= len(empty)
        candidates = empty if must_fill else range(parts)

        def spread(number: int, subject: str = subject) -> float:
            trial = [total + counts[subject] * (index == number) for index, total in enumerate(totals)]
            return float((np.std(trial, axis=0) * weights).sum())

        best = min(candidates, key=lambda number: (round(spread(number), 12), number))
        groups[best].add(subject)
        totals[best] = totals[best] + counts[subject]
    return groups


def _fold(table: ClipTable, name: str, held_out: set[str]) -> Fold:
    test = tuple(row for row, subject in enumerate(table.subjects) if subject in held_out)
    train = tuple(row for row, subject in enumerate(table.subjects) if subject not in held_out)
    return Fold(name, train, test, _subjects_of(table, train), _subjects_of(table, test))


def _fold_by_corpus(table: ClipTable, corpus: str, test_corpora: set[str]) -> Fold:
    test = tuple(row for row, name in enumerate(table.corpora) if name == corpus)
    train = tuple(row for row, name in enumerate(table.corpora) if name not in test_corpora)
    return Fold(folder_name(corpus), train, test, _subjects_of(table, train), _subjects_of(table, test))


def _without_released_gap(table: ClipTable, folds: Sequence[Fold]) -> list[Fold]:
    """Drop the folds of the subjects that the authors' list lacks; those subjects stay in training."""
    corpora = set(table.corpora)
    if corpora != {"casme2"} or any(len(fold.test_subjects) != 1 for fold in folds):
        raise ProtocolError(
            f"--released_subject_list needs leave-one-subject-out on casme2, got {sorted(corpora)}; drop the switch"
        )
    untested = RELEASED_UNTESTED["casme2"]
    return [fold for fold in folds if _last_number(fold.test_subjects[0]) not in untested]


def _last_number(text: str) -> str:
    numbers = re.findall(r"\d+", text)
    return numbers[-1].lstrip("0") if numbers else ""


def _subjects_of(table: ClipTable, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(sorted({table.subjects[row] for row in rows}))
