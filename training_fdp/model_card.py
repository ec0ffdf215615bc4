"""A model card from `results.json`: the pooled figures, what chance would reach, and what they do not say.

Only the pooled metrics of held-out subjects reach a card. A figure that was chosen on the test subject
(`best_on_test_subject`) has no place on it, and results on rendered faces are named synthetic throughout.
"""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from training_fdp.errors import ConfigError
from training_fdp.metrics import chance_level, metrics_from_confusion_matrix

TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
# Key in `results.json` -> name on the card, metric type of the Hub's model index.
HEADLINE_METRICS = {
    "uf1": ("UF1", "f1"),
    "uar": ("UAR", "recall"),
    "accuracy": ("Accuracy", "accuracy"),
    "f1_weighted": ("Weighted F1", "f1"),
}
REQUIRED_KEYS = ("corpus", "class_names", "metrics", "confusion_matrix", "protocol")
PROTOCOL_SENTENCES = {
    "loso": "Leave-one-subject-out (LOSO): each subject is held out once.",
    "kfold5": "Five folds grouped by subject: each subject is held out once.",
    "holdout": "One hold-out split by subject.",
}
# Options of the training command whose values are places on somebody's disk.
PATH_OPTIONS = {"--data_dir": "DATA_DIR", "--output_dir": "OUT", "--config": "CONFIG.yaml", "--cache_dir": "CACHE_DIR"}
# A figure and the confusion matrix beside it are computed from the same clips; more than rounding is a mix-up.
FIGURE_TOLERANCE = 1e-6


class PublishError(ConfigError):
    """A checkpoint or its results that cannot be published as they are."""


@dataclass(frozen=True)
class CardSubject:
    """What a card speaks about.

    Args:
        repo_id (`str`): Repository that the card will stand in, `namespace/name`.
        checkpoint (`str`): Name of the checkpoint folder: the fold's id, or `final`.
        class_names (`tuple[str, ...]`): Classes of the checkpoint, in the order of its logits.
    """

    repo_id: str
    checkpoint: str
    class_names: tuple[str, ...]


def read_results(path: Path) -> dict[str, Any]:
    """Read and check the results of a run.

    Args:
        path (`Path`): A `results.json`.

    Returns:
        `dict`: Its content, whose headline figures are known to follow from its confusion matrix.

    Raises:
        PublishError: If the file is not JSON, lacks a key, or its figures and its confusion matrix disagree.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PublishError(
            f"{path} must be the JSON that train.py writes, but {error}; run train.py again."
        ) from error
    if not isinstance(results, dict) or (missing := [key for key in REQUIRED_KEYS if key not in results]):
        named = ", ".join(missing) if isinstance(results, dict) else "an object at the top"
        raise PublishError(f"{path} lacks {named}, which a model card needs; collect the run again with train.py.")
    try:
        recomputed = metrics_from_confusion_matrix(results["confusion_matrix"])
    except ValueError as error:
        raise PublishError(f"{path} holds a confusion matrix that cannot be used: {error}") from error
    if len(results["confusion_matrix"]) != len(results["class_names"]):
        raise PublishError(
            f"{path} names {len(results['class_names'])} classes beside a confusion matrix of "
            f"{len(results['confusion_matrix'])} rows; collect the run again with train.py."
        )
    for name in HEADLINE_METRICS:
        stated = results["metrics"].get(name)
        if not isinstance(stated, int | float) or not math.isclose(stated, recomputed[name], abs_tol=FIGURE_TOLERANCE):
            raise PublishError(
                f"{path} states {name} {stated}, but its confusion matrix gives {recomputed[name]:.6f}; a card "
                "carries only pooled figures that can be recomputed: collect the run again with train.py."
            )
    return results


def build_model_card(subject: CardSubject, results: Mapping[str, Any] | None) -> ModelCard:
    """Write the card of one checkpoint. Nothing is validated over the network.

    Args:
        subject (`CardSubject`): Repository and checkpoint.
        results (`Mapping`, *optional*): What [`read_results`] returned; without it the card says that nothing was
            measured.

    Returns:
        `ModelCard`: With a `model-index` of the pooled figures.

    Raises:
        PublishError: If the results speak of other classes than the checkpoint.
    """
    synthetic = results is not None and is_synthetic(results)
    fields: dict[str, Any] = {
        "title": subject.repo_id.split("/")[-1],
        "repo_id": subject.repo_id,
        "class_names": subject.class_names,
        "synthetic": synthetic,
        "results": results,
        "corpus_title": "a corpus that is not recorded",
        "weights_licence": "not stated by whoever published them; ask before you use them.",
        "corpus_licence": "see the corpus.",
    }
    if results is not None:
        fields |= _result_fields(subject, results, synthetic)
    return ModelCard.from_template(_card_data(subject, results, synthetic), template_path=str(TEMPLATE), **fields)


def _result_fields(subject: CardSubject, results: Mapping[str, Any], synthetic: bool) -> dict[str, Any]:
    """What the template says about measured results."""
    class_names = tuple(results["class_names"])
    if subject.class_names != class_names:
        raise PublishError(
            f"the checkpoint answers {', '.join(subject.class_names)}, but results.json was measured on "
            f"{', '.join(class_names)}; publish a checkpoint of that very run."
        )
    matrix = np.asarray(results["confusion_matrix"], dtype=np.int64)
    references = np.repeat(np.arange(len(matrix)), matrix.sum(axis=1))
    chance = chance_level(references, len(matrix))["majority"]
    if synthetic:
        weights_licence = "Apache-2.0, as the code; they were trained on rendered faces only."
        corpus_licence = "rendered by a program; no person was recorded."
    else:
        weights_licence = "research use, under the terms of the corpus that they were trained on."
        corpus_licence = "licensed per researcher by its owners and not part of this repository; ask them for access."
    return {
        "corpus_title": _corpus_title(results, synthetic),
        "label_set": results.get("label_set"),
        "protocol_sentence": PROTOCOL_SENTENCES.get(results["protocol"], f"Protocol `{results['protocol']}`."),
        "coverage_sentence": _coverage_sentence(results, int(matrix.sum())),
        "metric_rows": [
            {"name": name, "value": f"{results['metrics'][key]:.3f}", "chance": f"{chance[key]:.3f}"}
            for key, (name, _) in HEADLINE_METRICS.items()
        ],
        "majority_class": class_names[int(matrix.sum(axis=1).argmax())],
        "confusion_rows": list(zip(class_names, matrix.tolist(), strict=True)),
        "checkpoint_sentence": _checkpoint_sentence(subject, results),
        "command": public_command(results.get("command", "accelerate launch train.py")),
        "seed": results.get("seed", "not recorded"),
        "versions": ", ".join(f"{name} {version}" for name, version in (results.get("versions") or {}).items()),
        "weights_licence": weights_licence,
        "corpus_licence": corpus_licence,
    }


def is_synthetic(results: Mapping[str, Any]) -> bool:
    """Tell whether the clips behind the results were rendered."""
    return bool(results.get("synthetic")) or str(results["corpus"]).startswith("synthetic")


def public_command(command: str | Sequence[str]) -> str:
    """Write the training command without the places on somebody's disk.

    Args:
        command (`str` or `Sequence[str]`): As recorded in `results.json`.

    Returns:
        `str`: Values of path options replaced by their names in capitals, other absolute paths by their last part.
    """
    tokens = shlex.split(command) if isinstance(command, str) else [str(token) for token in command]
    public: list[str] = []
    for token in tokens:
        option, equals, _ = token.partition("=")
        if equals and option in PATH_OPTIONS:
            public.append(f"{option}={PATH_OPTIONS[option]}")
        elif public and public[-1] in PATH_OPTIONS:
            public.append(PATH_OPTIONS[public[-1]])
        else:
            public.append(PurePath(token).name if PurePath(token).is_absolute() else token)
    return shlex.join(public)


def _card_data(subject: CardSubject, results: Mapping[str, Any] | None, synthetic: bool) -> ModelCardData:
    tags = ["micro-expression-recognition", "facial-expression", "fdp"] + (["synthetic-data"] if synthetic else [])
    if results is None:
        evaluations = None
    else:
        evaluations = [
            EvalResult(
                task_type="video-classification",
                task_name="Micro-expression recognition",
                dataset_type=str(results["corpus"]),
                dataset_name=f"{_corpus_title(results, synthetic)} ({results['protocol']})",
                dataset_config=str(results.get("label_set") or "default"),
                dataset_split=str(results["protocol"]),
                metric_type=metric_type,
                metric_name=f"{name}, pooled over held-out subjects",
                metric_value=float(results["metrics"][key]),
            )
            for key, (name, metric_type) in HEADLINE_METRICS.items()
        ]
    open_weights = results is not None and synthetic
    return ModelCardData(
        license="apache-2.0" if open_weights else "other",
        license_name=None if open_weights else "corpus-terms-research-only",
        library_name="transformers",
        pipeline_tag="video-classification",
        tags=tags,
        model_name=subject.repo_id.split("/")[-1],
        eval_results=evaluations,
    )


def _corpus_title(results: Mapping[str, Any], synthetic: bool) -> str:
    name = str(results["corpus"])
    if not synthetic:
        return name
    return "synthetic faces" if name == "synthetic" else f"{name} (synthetic faces)"


def _coverage_sentence(results: Mapping[str, Any], num_clips: int) -> str:
    folds = results.get("folds") or []
    missing = results.get("missing_folds") or []
    gap = f" **{len(missing)} folds are missing from them.**" if missing else ""
    counted = f"{len(folds)} folds" if len(folds) > 1 else "one fold" if folds else "all folds"
    return f"The figures pool {num_clips} held-out clips of {counted} once; they are no means over folds.{gap}"


def _checkpoint_sentence(subject: CardSubject, results: Mapping[str, Any]) -> str:
    if subject.checkpoint == "final":
        return (
            "These weights were trained on all subjects. The figures do **not** belong to them but to models that "
            "never saw whom they were scored on; for these weights no unseen subject is left."
        )
    of_this_fold = [
        fold
        for fold in results.get("folds") or []
        if isinstance(fold, Mapping) and str(fold.get("id")) == subject.checkpoint
    ]
    sizes = ""
    if of_this_fold and {"num_train_clips", "num_test_clips"} <= set(of_this_fold[0]):
        fold = of_this_fold[0]
        sizes = f" ({fold['num_train_clips']} clips for training, {fold['num_test_clips']} held out)"
    return (
        f"These weights are those of fold `{subject.checkpoint}`{sizes}: one of the models behind the figures, "
        "not their average."
    )
