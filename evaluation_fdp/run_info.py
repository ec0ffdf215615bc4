"""run.json as a typed object: what decides a run's numbers, and what reports tell about the run."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class StartingWeights:
    """The checkpoint that every fold started from.

    Args:
        name (`str`): Name without folders.
        sha256 (`str`): Digest of its weights.
        new_classes (`list[str]`): Classes that the checkpoint lacks: their rows of the last layer started untrained.
    """

    name: str
    sha256: str
    new_classes: list[str]


@dataclass(frozen=True)
class RunIdentity:
    """What decides the numbers of a run: runs of one identity may share a folder.

    Args:
        settings (`Mapping`): Options that decide numbers, by name.
        clips (`str`): Digest of names, subjects, labels, frames, key frames and action units of the clips.
        sources (`dict[str, str]`): Sheet and package of each corpus.
        class_names (`list[str]`): Classes of the label set.
    """

    settings: Mapping[str, object]
    clips: str
    sources: dict[str, str]
    class_names: list[str]

    @property
    def digest(self) -> str:
        """SHA-256 of its JSON, the first 32 hexadecimal digits (`str`)."""
        content = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class RunInfo:
    """A run as its reports describe it; the content of run.json.

    Args:
        identity (`RunIdentity`): What decides its numbers.
        command (`str`): Command that repeats it.
        corpus (`list[str]`): Corpora that are trained on.
        test_corpus (`list[str]`): Corpora that are held out as a whole.
        label_set (`str`, *optional*): Name of the label set.
        preset (`str`): Size of the network, or name of the baseline.
        protocol (`str`): Name of the protocol.
        selection (`str`): How the number of steps is chosen.
        seeds (`list[int]`): Seeds.
        folds (`list[str]`): Names of all folds of the protocol.
        warnings (`list[str]`): Warnings to read before the figures.
        synthetic (`bool`): Whether every face is rendered.
        faces (`bool`): Whether reports may show faces.
        versions (`dict[str, str]`): Versions of Python and packages.
        lost_clips (`dict[str, str]`, *optional*): Name of each clip that could not be used, and why.
        answers (`dict[str, str]`, *optional*): Titles of the numbers that the method returns beyond the class.
        init_from (`StartingWeights`, *optional*): The checkpoint that training started from.
    """

    identity: RunIdentity
    command: str
    corpus: list[str]
    test_corpus: list[str]
    label_set: str | None
    preset: str
    protocol: str
    selection: str
    seeds: list[int]
    folds: list[str]
    warnings: list[str]
    synthetic: bool
    faces: bool
    versions: dict[str, str]
    lost_clips: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    init_from: StartingWeights | None = None

    @property
    def keys_by_seed(self) -> dict[int, list[str]]:
        """Folder names of all folds (`dict` of `list[str]`), by seed."""
        main_seed = self.identity.settings["seed"]
        return {seed: [fold_key(fold, seed, main_seed) for fold in self.folds] for seed in self.seeds}

    def to_dict(self) -> dict[str, object]:
        """Return the content of run.json (`dict`)."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what [`RunInfo.to_dict`] returned.

        Raises:
            KeyError, TypeError: `content` is not of this version.
        """
        known = {entry.name: content[entry.name] for entry in dataclasses.fields(cls) if entry.name in content}
        known["identity"] = RunIdentity(**content["identity"])
        if known.get("init_from") is not None:
            known["init_from"] = StartingWeights(**known["init_from"])
        return cls(**known)


def fold_key(fold_id: str, seed: int, main_seed: object) -> str:
    """Return the folder name (`str`) of a fold; every seed but the run's `--seed` is part of it."""
    return fold_id if seed == main_seed else f"{fold_id}_seed{seed}"
