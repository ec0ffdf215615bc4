"""A model card from `results.json`: the pooled figures, what chance would reach, and what they do not say.

Only the pooled metrics of held-out subjects reach a card. A figure that was chosen on the test subject
(`best_on_test_subject`) has no place on it, and results on rendered faces are named synthetic throughout.
"""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from evaluation_fdp.metrics import chance_level, metrics_from_confusion_matrix
from evaluation_fdp.protocols import NO_PROTOCOL
from training_fdp.errors import PublishError
from training_fdp.hub.redaction import without_folder

TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
# Key in `results.json` -> name on the card, metric type of the Hub's model index.
HEADLINE_METRICS = {
    "uf1": ("UF1", "f1"),
    "uar": ("UAR", "recall"),
    "accuracy": ("Accuracy", "accuracy"),
    "f1_weighted": ("Weighted F1", "f1"),
}
DESCRIBED_KEYS = ("corpus", "class_names", "protocol")
REQUIRED_KEYS = ("corpus", "class_names", "metrics", "confusion_matrix", "per_seed", "protocol")
PROTOCOL_SENTENCES = {
    "loso": "Leave-one-subject-out (LOSO): each subject is held out once.",
    "holdout": "One hold-out split by subject.",
    "megc2019": "The MEGC 2019 composite, leave-one-subject-out over its three corpora.",
    "cross_corpus": "Cross-corpus: trained on some corpora, tested on others.",
}
# Options of the training command whose values are places on somebody's disk.
PATH_OPTIONS = {
    "--data_dir": "DATA_DIR",
    "--test_data_dir": "TEST_DATA_DIR",
    "--output_dir": "OUT",
    "--config": "CONFIG.yaml",
    "--cache_dir": "CACHE_DIR",
    "--init_from": "INIT_FROM",
}
# Settings that leak test data, copy a bug of the authors' release, or feed the network otherwise than the saved video
# processor does; with the value that does none of this.
SOUND_SETTINGS = {
    "normalization": "fixed",
    "frame_sampling": "linspace",
    "released_test_statistics": False,
    "released_eval_mode": False,
    "released_subject_list": False,
}
# A figure and the confusion matrix beside it are computed from the same clips; more than rounding is a mix-up.
FIGURE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class CardSubject:
    """What a card speaks about.

    Args:
        repo_id (`str`): Repository that the card will stand in, `namespace/name`.
        checkpoint (`str`): Name of the checkpoint folder: the fold's id, or `final`.
        class_names (`tuple[str, ...]`): Classes of the checkpoint, in the order of its logits.
        alignment (`str`, *optional*, defaults to `"none"`): How its video processor finds the face.
        landmark_model (`str`, *optional*): Name of the model file that this takes.
    """

    repo_id: str
    checkpoint: str
    class_names: tuple[str, ...]
    alignment: str = "none"
    landmark_model: str | None = None


def read_results(path: Path) -> dict[str, Any]:
    """Read and check the results of a run.

    Args:
        path (`Path`): A `results.json`.

    Returns:
        `dict`: Its content, whose headline figures are known to follow from its confusion matrix; without figures
            under the protocol `none`.

    Raises:
        PublishError: If the file is not JSON, lacks a key, or its figures and its confusion matrix disagree.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PublishError(
            f"{path} must be the JSON that train.py writes, but {error}; run train.py again."
        ) from error
    described_only = isinstance(results, dict) and results.get("protocol") == NO_PROTOCOL
    required = DESCRIBED_KEYS if described_only else REQUIRED_KEYS
    if not isinstance(results, dict) or (missing := [key for key in required if not results.get(key)]):
        named = ", ".join(missing) if isinstance(results, dict) else "an object at the top"
        raise PublishError(f"{path} lacks {named}, which a model card needs; collect the run again with train.py.")
    if described_only:
        return results
    for run in results["per_seed"]:
        _check_figures(path, run, run)
    if len(results["per_seed"]) == 1:
        _check_figures(path, results["metrics"], results)
    if len(results["confusion_matrix"]) != len(results["class_names"]):
        raise PublishError(
            f"{path} names {len(results['class_names'])} classes beside a confusion matrix of "
            f"{len(results['confusion_matrix'])} rows; collect the run again with train.py."
        )
    for name in HEADLINE_METRICS:
        mean = np.mean([run[name] for run in results["per_seed"]])
        if not math.isclose(results["metrics"][name], mean, abs_tol=FIGURE_TOLERANCE):
            raise PublishError(
                f"{path} states {name} {results['metrics'][name]}, but the mean over its seeds is {mean:.6f}; collect "
                "the run again with train.py."
            )
    return results


def _check_figures(path: Path, stated: Mapping[str, Any], source: Mapping[str, Any]) -> None:
    """Refuse figures that do not follow from the confusion matrix beside them."""
    try:
        recomputed = metrics_from_confusion_matrix(source["confusion_matrix"])
    except (KeyError, ValueError) as error:
        raise PublishError(f"{path} holds a confusion matrix that cannot be used: {error}") from error
    for name in HEADLINE_METRICS:
        value = stated.get(name)
        if not isinstance(value, int | float) or not math.isclose(value, recomputed[name], abs_tol=FIGURE_TOLERANCE):
            raise PublishError(
                f"{path} states {name} {value}, but its confusion matrix gives {recomputed[name]:.6f}; a card carries "
                "only pooled figures that can be recomputed: collect the run again with train.py."
            )


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
    fields: dict[str, Any] = {
        "title": subject.repo_id.split("/")[-1],
        "repo_id": subject.repo_id,
        "class_names": subject.class_names,
        "alignment": subject.alignment,
        "landmark_model": subject.landmark_model,
        "synthetic": [],
        "results": results,
        "corpus_title": "a corpus that is not recorded",
        "weights_licence": "not stated by whoever published them; ask before you use them.",
        "corpus_licence": "see the corpus.",
    }
    if results is not None:
        fields |= _result_fields(subject, results)
    return ModelCard.from_template(_card_data(subject, results), template_path=str(TEMPLATE), **fields)


def _result_fields(subject: CardSubject, results: Mapping[str, Any]) -> dict[str, Any]:
    """What the template says about measured results."""
    class_names = tuple(results["class_names"])
    if subject.class_names != class_names:
        raise PublishError(
            f"the checkpoint answers {', '.join(subject.class_names)}, but results.json was measured on "
            f"{', '.join(class_names)}; publish a checkpoint of that very run."
        )
    if results.get("init_from"):
        weights_licence = (
            "research use, under the terms of all that they were trained on; the checkpoint that they started from "
            "brings its own."
        )
        corpus_licence = "see the corpora, and the checkpoint that training started from."
    elif only_synthetic(results):
        weights_licence = "Apache-2.0, as the code; they were trained on rendered faces only."
        corpus_licence = "rendered by a program; no person was recorded."
        if any("face_model=" in option for option in (results.get("settings") or {}).get("corpus_options", [])):
            corpus_licence += " The faces are those of a morphable model, ICT-FaceKit (ICT-VGL, MIT licence)."
    else:
        weights_licence = "research use, under the terms of the corpora that they were trained on."
        corpus_licence = "licensed per researcher by its owners and not part of this repository; ask them for access."
    return {
        "corpus_title": corpus_title(results),
        "synthetic": synthetic_corpora(results),
        "only_synthetic": only_synthetic(results),
        "label_set": results.get("label_set"),
        **(_figure_fields(subject, results) if "metrics" in results else {}),
        "start_sentence": _start_sentence(results),
        "cautions": _cautions(results),
        "command": public_command(results.get("command", "accelerate launch train.py")),
        "seeds": ", ".join(map(str, results.get("seeds") or [run["seed"] for run in results["per_seed"]])),
        "versions": ", ".join(f"{name} {version}" for name, version in (results.get("versions") or {}).items()),
        "weights_licence": weights_licence,
        "corpus_licence": corpus_licence,
    }


def _figure_fields(subject: CardSubject, results: Mapping[str, Any]) -> dict[str, Any]:
    """What the template says about held-out clips."""
    class_names = results["class_names"]
    matrix = np.asarray(results["confusion_matrix"], dtype=np.int64)
    references = np.repeat(np.arange(len(matrix)), matrix.sum(axis=1))
    chance = chance_level(references, len(matrix))["majority"]
    return {
        "benchmarked": True,
        "protocol_sentence": _protocol_sentence(results["protocol"]),
        "coverage_sentence": _coverage_sentence(results, int(matrix.sum()) // len(results["per_seed"])),
        "metric_rows": [_metric_row(name, title, results, chance) for name, (title, _) in HEADLINE_METRICS.items()],
        "majority_class": class_names[int(matrix.sum(axis=1).argmax())],
        "confusion_rows": list(zip(class_names, matrix.tolist(), strict=True)),
        "checkpoint_sentence": _checkpoint_sentence(subject, results),
    }


def synthetic_corpora(results: Mapping[str, Any]) -> list[str]:
    """Name the corpora of a run whose clips were rendered (`list[str]`)."""
    names = _corpora(results)
    return names if results.get("synthetic") else [name for name in names if name.startswith("synthetic")]


def only_synthetic(results: Mapping[str, Any]) -> bool:
    """Tell whether all clips of a run were rendered."""
    return synthetic_corpora(results) == _corpora(results)


def corpus_title(results: Mapping[str, Any]) -> str:
    """Write the corpora of a run, rendered ones marked (`str`)."""
    rendered = synthetic_corpora(results)
    marked = {name: "synthetic faces" if name == "synthetic" else f"{name} (synthetic faces)" for name in rendered}
    names = [marked.get(name, name) for name in _corpora(results)]
    tested = results.get("test_corpus") or []
    if not tested:
        return " + ".join(names)
    split = len(names) - len(tested)
    return f"{' + '.join(names[:split])}, tested on {' + '.join(names[split:])}"


def _corpora(results: Mapping[str, Any]) -> list[str]:
    trained, tested = results["corpus"], results.get("test_corpus") or []
    return [*([trained] if isinstance(trained, str) else trained), *tested]


def public_command(command: str | Sequence[str]) -> str:
    """Write the training command without the places on somebody's disk.

    Args:
        command (`str` or `Sequence[str]`): As recorded in `results.json`.

    Returns:
        `str`: Values of path options replaced by their names in capitals, other absolute paths by their last part.
    """
    tokens = shlex.split(command) if isinstance(command, str) else [str(token) for token in command]
    public: list[str] = []
    hidden = False
    for token in tokens:
        option, equals, _ = token.partition("=")
        if option.startswith("--"):
            option = f"--{option[2:].replace('-', '_')}"  # the parser takes both spellings
        if option in PATH_OPTIONS:
            public += [f"{option}={PATH_OPTIONS[option]}"] if equals else [option, PATH_OPTIONS[option]]
            hidden = not equals
        elif token.startswith("--") or not hidden:
            hidden = False
            public.append(without_folder(token))
    return shlex.join(public)


def _card_data(subject: CardSubject, results: Mapping[str, Any] | None) -> ModelCardData:
    tags = ["micro-expression-recognition", "facial-expression", "fdp"]
    evaluations = None
    open_weights = False
    if results is not None:
        # What a checkpoint was trained on before is not recorded here: its terms may not be dropped.
        open_weights = only_synthetic(results) and not results.get("init_from")
        tags += ["synthetic-data"] if synthetic_corpora(results) else []
    if results is not None and "metrics" in results:
        evaluations = [
            EvalResult(
                task_type="video-classification",
                task_name="Micro-expression recognition",
                dataset_type="+".join(results.get("test_corpus") or _corpora(results)),
                dataset_name=f"{corpus_title(results)} ({results['protocol']})",
                dataset_config=str(results.get("label_set") or "default"),
                dataset_split=str(results["protocol"]),
                metric_type=metric_type,
                metric_name=f"{name}, pooled over held-out subjects",
                metric_value=float(results["metrics"][key]),
            )
            for key, (name, metric_type) in HEADLINE_METRICS.items()
        ]
    return ModelCardData(
        license="apache-2.0" if open_weights else "other",
        license_name=None if open_weights else "corpus-terms-research-only",
        library_name="transformers",
        pipeline_tag="video-classification",
        tags=tags,
        model_name=subject.repo_id.split("/")[-1],
        eval_results=evaluations,
    )


def _metric_row(name: str, title: str, results: Mapping[str, Any], chance: Mapping[str, float]) -> dict[str, str]:
    value = f"{results['metrics'][name]:.3f}"
    if len(results["per_seed"]) > 1:
        value += f" ± {np.std([run[name] for run in results['per_seed']], ddof=1):.3f}"
    low, high = (results.get("interval") or {}).get(name, (None, None))
    interval = "not computed" if low is None else f"{low:.3f} to {high:.3f}"
    return {"name": title, "value": value, "interval": interval, "chance": f"{chance[name]:.3f}"}


def _protocol_sentence(protocol: str) -> str:
    if protocol.startswith("kfold"):
        return f"{protocol.removeprefix('kfold')} folds grouped by subject: each subject is held out once."
    return PROTOCOL_SENTENCES.get(protocol, f"Protocol `{protocol}`.")


def _coverage_sentence(results: Mapping[str, Any], num_clips: int) -> str:
    folds = {fold["fold"] for fold in results.get("folds") or []}
    counted = f"{len(folds)} folds" if len(folds) > 1 else "one fold" if folds else "all folds"
    several = f", for each of {len(results['per_seed'])} seeds" if len(results["per_seed"]) > 1 else ""
    return f"The figures pool {num_clips} held-out clips of {counted} once{several}; they are no means over folds."


def _cautions(results: Mapping[str, Any]) -> list[str]:
    """What a reader must know before the figures."""
    cautions = list(results.get("warnings") or [])
    if missing := results.get("missing_folds") or ():
        cautions.append(f"{len(missing)} folds are missing from the figures.")
    settings = results.get("settings") or {}
    unsound = [
        f"`{name}={settings[name]}`"
        for name, sound in SOUND_SETTINGS.items()
        if name in settings and settings[name] != sound
    ]
    if unsound:
        cautions.append(
            f"An ablation, trained with {', '.join(unsound)} as in the release: the saved video processor does "
            "not prepare clips that way, or the figures contain a leak of the authors' code."
        )
    return cautions


def _start_sentence(results: Mapping[str, Any]) -> str:
    start = results.get("init_from")
    return f"Training started from {start['name']} (weights sha256 `{start['sha256']}`)." if start else ""


def _checkpoint_sentence(subject: CardSubject, results: Mapping[str, Any]) -> str:
    if subject.checkpoint == "final":
        return (
            "These weights were trained on all subjects. The figures do **not** belong to them but to models that "
            "never saw whom they were scored on; for these weights no unseen subject is left."
        )
    of_this_fold = [
        fold
        for fold in results.get("folds") or []
        if subject.checkpoint in (fold["fold"], f"{fold['fold']}_seed{fold['seed']}")
    ]
    if not of_this_fold:
        return (
            f"The figures were found beside these weights (`{subject.checkpoint}`), which bear the name of none of "
            "the models behind them."
        )
    fold = of_this_fold[0]
    return (
        f"These weights are those of fold `{subject.checkpoint}` ({fold['num_train_clips']} clips for training, "
        f"{fold['num_test_clips']} held out): one of the models behind the figures, not their average."
    )
