"""Identity of the people in clips, and whether a checkpoint was trained on them."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evaluation_fdp.errors import ConfigError, ProtocolError
from evaluation_fdp.protocols import ClipTable, Fold
from hub_datasets.records import RENDERED_MANIFEST
from hub_datasets.scanning.cells import first_spellings, subject_key

Subjects = Mapping[str, Sequence[str]]
RENDERED = "rendered "


def rendered_people(name: str, folder: Path) -> str:
    """Name the people of a rendered tree (`str`); the text after the comma identifies them in every layout.

    The seed is part of it, because subject 1 has another face with another seed.
    """
    settings = json.loads((folder / RENDERED_MANIFEST).read_text(encoding="utf-8")).get("settings", {})
    kind = "morphable" if settings.get("face_model") else "built-in"
    return f"{RENDERED}{name}, {kind} faces of seed {settings.get('seed')}"


def same_faces(rendered: str, other: str) -> bool:
    """Whether two identities of people mean the same rendered faces (`bool`), in any layout."""
    return rendered.startswith(RENDERED) and rendered.partition(", ")[2] == other.partition(", ")[2]


def check_other_faces(people: Iterable[str]) -> None:
    """Refuse two rendered trees of the same faces: people held out of one would be in the training set of the other.

    Raises:
        ConfigError: two of them show the same faces.
    """
    for other, rendered in itertools.combinations(people, 2):
        if same_faces(rendered, other):
            raise ConfigError(
                f"corpora of one run must show other people, but {rendered} has the faces of {other}; render one of "
                "them with another --seed"
            )


def unify_spellings(corpora: Sequence[str], subjects: Sequence[str]) -> tuple[list[str], list[str]]:
    """Write every subject in one spelling, the first one, because a fold would train on the other one.

    The sheets of one folder are unified as they are read; this is for several folders of the same people.

    Args:
        corpora (`Sequence[str]`): Corpus that filmed the subject of each clip.
        subjects (`Sequence[str]`): Subject of each clip.

    Returns:
        `tuple`: the subjects in one spelling, and one sentence for each subject with several.
    """
    # Imported here, because the scanner of corpora loads datasets and pandas, which a prediction does without.
    from hub_datasets.scanning.cutting import describe_spellings

    chosen = {
        corpus: first_spellings(
            (subject for name, subject in zip(corpora, subjects, strict=True) if name == corpus), subject_key
        )
        for corpus in dict.fromkeys(corpora)
    }
    sentences = [f"{corpus}: {text}" for corpus, spelled in chosen.items() for text in describe_spellings(spelled)]
    return [chosen[corpus][subject] for corpus, subject in zip(corpora, subjects, strict=True)], sentences


def subjects_by_corpus(table: ClipTable, people: Mapping[str, str], rows: Sequence[int]) -> dict[str, list[str]]:
    """Return the subjects of clips (`dict[str, list[str]]`) by corpus, with names that do not depend on the run.

    The corpus that a run of several corpora puts before each subject is removed.

    Args:
        table (`ClipTable`): The clips.
        people (`Mapping[str, str]`): Identity of the people shown, by corpus, where it is not the corpus's name.
        rows (`Sequence[int]`): Which clips.
    """
    subjects_of: dict[str, set[str]] = {}
    for row in rows:
        corpus = table.corpora[row]
        identity = people.get(corpus, corpus)
        subject = table.subjects[row].removeprefix(f"{corpus}-").removeprefix(f"{identity}-")
        subjects_of.setdefault(identity, set()).add(subject)
    return {corpus: sorted(subjects) for corpus, subjects in sorted(subjects_of.items())}


def all_seen_subjects(seen_here: Subjects, seen_before: Subjects | None) -> dict[str, list[str]] | None:
    """Return the training subjects of a model and of its initial checkpoint (`dict[str, list[str]]`).

    Args:
        seen_here (`Mapping[str, Sequence[str]]`): Training subjects of the fold, by corpus.
        seen_before (`Mapping[str, Sequence[str]]`, *optional*): Those of the initial checkpoint; `None` where unknown,
            and then the result is `None` too.
    """
    if seen_before is None:
        return None
    names = sorted({*seen_here, *seen_before})
    return {name: sorted({*seen_here.get(name, ()), *seen_before.get(name, ())}) for name in names}


def check_unseen(
    start_name: str,
    seen: Subjects | None,
    table: ClipTable,
    people: Mapping[str, str],
    folds: Sequence[Fold],
) -> list[str]:
    """Check that the initial checkpoint was not trained on held-out subjects.

    Args:
        start_name (`str`): Its name, for messages.
        seen (`Mapping[str, Sequence[str]]`, *optional*): Its training subjects, by corpus.
        table (`ClipTable`): The clips.
        people (`Mapping[str, str]`): Identity of the people shown, by corpus, where it is not the corpus's name.
        folds (`Sequence[Fold]`): All folds of the run.

    Returns:
        `list[str]`: warnings where this cannot be checked.

    Raises:
        ProtocolError: it was trained on some of them.
    """
    if seen is None:
        message = f"{start_name}, which training started from, does not say whom it was trained on"
        return [f"{message}; the figures hold only if these were not the held-out subjects"] if folds else []
    for fold in folds:
        tested = subjects_by_corpus(table, people, fold.test_indices)
        for corpus, subjects in tested.items():
            known = {subject_key(subject) for subject in seen.get(corpus, ())}
            if shared := sorted(subject for subject in subjects if subject_key(subject) in known):
                raise ProtocolError(
                    f"--init_from {start_name} was trained on {corpus}, subject {shared[0]}, whom fold {fold.fold_id} "
                    "holds out; start from a checkpoint of other subjects"
                )
            for other in set(seen) - {corpus}:
                # One seed gives the same faces in every layout, under other names.
                if same_faces(corpus, other):
                    raise ProtocolError(
                        f"--init_from {start_name} was trained on {other}, the same people as {corpus} in another "
                        "layout; start from a checkpoint of other subjects, or render with another --seed"
                    )
    return []
