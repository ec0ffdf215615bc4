"""Starting every fold from a pretrained checkpoint: its weights, its network, and whom it has already seen."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig
from transformers.utils import cached_file

from evaluation_fdp.atomic_files import file_digest, read_json
from evaluation_fdp.fold_records import RECORD_NAME
from evaluation_fdp.protocols import Fold
from evaluation_fdp.run_folder import WEIGHTS_NAME
from modeling_fdp import FDPConfig
from training_fdp.config import PRETRAINED
from training_fdp.data.corpora import Corpora, same_faces
from training_fdp.errors import ConfigError, ProtocolError
from training_fdp.methods.pretrained import checkpoint_source, load_pretrained, loading_refused

logger = logging.getLogger(__name__)

OPTION = "--init_from"
# The last layer, whose rows are the classes; the two classifiers of the model call it alike.
CLASS_WEIGHTS = ("classifier.output.weight", "classifier.output.bias")
# How the network learns, not what it is: these may differ from the checkpoint's.
LEARNING_FIELDS = frozenset(
    {
        "action_unit_loss_weight", "attention_dropout", "class_weights", "classification_loss_weight",
        "classifier_dropout", "drop_path_rate",
        "dynamic_image_frames", "dynamic_image_gain", "dynamic_image_loss_weight", "dynamic_image_normalization",
        "focal_gamma", "initialization", "initializer_range", "label_smoothing", "rank_loss_weight", "rank_margin",
    }
)  # fmt: skip
NETWORK_FIELDS = {entry.name for entry in fields(FDPConfig)} - {entry.name for entry in fields(PreTrainedConfig)}
# Longer lists help nobody.
SHOWN = 4

Subjects = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Initialization:
    """A checkpoint that training starts from.

    Args:
        name (`str`): Repository, or the folder's last name: reports are read by others.
        sha256 (`str`): Digest of its file of weights.
        config (`FDPConfig`): Its settings.
        weights (`dict[str, torch.Tensor]`): Its parameters and buffers, on the CPU.
        seen_subjects (`dict[str, list[str]]`, *optional*): Whom it was trained on, by corpus (see
            [`subjects_by_corpus`]); `None` where it does not say.
    """

    name: str
    sha256: str
    config: Any
    weights: Mapping[str, torch.Tensor]
    seen_subjects: Subjects | None

    @property
    def class_names(self) -> list[str]:
        """Its classes in the order of its logits (`list[str]`)."""
        return [self.config.id2label[label] for label in range(self.config.num_labels)]

    @property
    def network(self) -> dict[str, Any]:
        """The settings of its network (`dict`); weights of the classes belong to the clips that it was trained on."""
        return {name: getattr(self.config, name) for name in NETWORK_FIELDS} | {"class_weights": None}

    def check_network(self, preset: str, overrides: Mapping[str, Any]) -> None:
        """Refuse to be another network than was asked for.

        Args:
            preset (`str`): What was asked for, or `pretrained`.
            overrides (`Mapping[str, Any]`): Further settings that were asked for; those of `LEARNING_FIELDS` may
                differ.

        Raises:
            ConfigError: fields that are not the checkpoint's.
        """
        asked = dict(overrides)
        if preset != PRETRAINED:
            described = FDPConfig.from_preset(preset)
            # The corpora decide the action units, as they decide the classes.
            asked = {name: getattr(described, name) for name in NETWORK_FIELDS - {"action_units"}} | asked
        differences = [
            f"{name} is {self.network[name]} there, {asked[name]} was asked for"
            for name in sorted((NETWORK_FIELDS - LEARNING_FIELDS) & set(asked))
            if asked[name] != self.network[name]
        ]
        if differences:
            more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
            raise ConfigError(
                f"{OPTION} {self.name} is another network than asked for ({'; '.join(differences[:SHOWN])}{more}); "
                "leave --preset, --num_frames, --image_size and these --model_overrides out, or start from a "
                "checkpoint that has them"
            )

    def fill(self, model: Any) -> None:
        """Put the weights into an untrained model of the same network.

        Classes in another order have their rows put in order; with other classes the last layer stays untrained.
        """
        names = [model.config.id2label[label] for label in range(model.config.num_labels)]
        anew = self.new_parameters(names)
        known = model.state_dict()
        weights = {name: value for name, value in self.weights.items() if name not in anew}
        if not model.config.action_units:
            weights = {name: value for name, value in weights.items() if name in known}
        if not anew:
            order = [self.class_names.index(name) for name in names]
            weights |= {name: weights[name][order] for name in CLASS_WEIGHTS}
        model.load_state_dict(weights, strict=not anew)

    def new_parameters(self, class_names: Sequence[str]) -> list[str]:
        """Return the parameters (`list[str]`) that start untrained for these classes."""
        return [] if sorted(self.class_names) == sorted(class_names) else list(CLASS_WEIGHTS)

    def facts(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return what records and reports say of it (`dict`)."""
        return {"name": self.name, "sha256": self.sha256, "new_parameters": self.new_parameters(class_names)}


def read_initialization(name: str) -> Initialization:
    """Load the checkpoint that `--init_from` names.

    Args:
        name (`str`): Folder in Hub format, or a repository `namespace/name`.

    Raises:
        ConfigError: there is no such checkpoint, or it is not one of FDP's, or not whole.
    """
    source = checkpoint_source(name, OPTION)
    with loading_refused(name, OPTION):
        digest = file_digest(Path(str(cached_file(source, WEIGHTS_NAME))))
    model = load_pretrained(name, OPTION)
    folder = Path(name)
    record = folder / RECORD_NAME
    seen = read_json(record).get("seen_subjects") if record.is_file() else None
    shown = folder.resolve().name if folder.is_dir() else name
    return Initialization(shown, digest, model.config, model.state_dict(), seen)


def subjects_by_corpus(corpora: Corpora, rows: Sequence[int]) -> dict[str, list[str]]:
    """Return whose clips these are (`dict[str, list[str]]`), under names that do not depend on the run.

    A run of several corpora puts the corpus before the subject, which is taken off again. Some corpora show the people
    of another one, and rendered corpora of one name show other people: `Corpora.people` says whom.
    """
    found: dict[str, set[str]] = {}
    for row in rows:
        corpus = corpora.table.corpora[row]
        people = corpora.people.get(corpus, corpus)
        subject = corpora.table.subjects[row].removeprefix(f"{corpus}-").removeprefix(f"{people}-")
        found.setdefault(people, set()).add(subject)
    return {corpus: sorted(subjects) for corpus, subjects in sorted(found.items())}


def all_seen_subjects(start: Initialization | None, corpora: Corpora, fold: Fold) -> dict[str, list[str]] | None:
    """Return whom a model has seen after its fold (`dict[str, list[str]]`), its start included.

    `None` where that is not known, because the start does not say.
    """
    here = subjects_by_corpus(corpora, fold.train_indices)
    if start is None:
        return here
    if start.seen_subjects is None:
        return None
    names = sorted({*here, *start.seen_subjects})
    return {name: sorted({*here.get(name, ()), *start.seen_subjects.get(name, ())}) for name in names}


def check_unseen(start: Initialization, corpora: Corpora, folds: Sequence[Fold]) -> list[str]:
    """Make sure that the checkpoint has not seen whom a fold holds out.

    Returns:
        `list[str]`: what a reader must know where that cannot be made sure.

    Raises:
        ProtocolError: it has seen some of them.
    """
    if start.seen_subjects is None:
        said = f"{start.name}, which training started from, does not say whom it was trained on"
        return [f"{said}; the figures hold only if it never saw the held-out subjects"] if folds else []
    for fold in folds:
        tested = subjects_by_corpus(corpora, fold.test_indices)
        for corpus, subjects in tested.items():
            if shared := sorted(set(subjects) & set(start.seen_subjects.get(corpus, ()))):
                raise ProtocolError(
                    f"{OPTION} {start.name} was trained on {corpus}, subject {shared[0]}, whom fold {fold.fold_id} "
                    "holds out; start from a checkpoint of other subjects"
                )
            for other in set(start.seen_subjects) - {corpus}:
                # One seed draws the same faces in every layout, under other names.
                if same_faces(corpus, other):
                    raise ProtocolError(
                        f"{OPTION} {start.name} was trained on {other}, the same people as {corpus} in another "
                        "layout; start from a checkpoint of other subjects, or render with another --seed"
                    )
    return []
