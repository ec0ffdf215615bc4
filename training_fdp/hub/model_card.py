"""A model card from `results.json`: the pooled figures, chance level and limitations.

Only the pooled metrics of held-out subjects reach a card. A figure that was chosen on the test subject
(`best_on_test_subject`) is left out, and results on rendered faces are named synthetic throughout. A field of the
template without a value is an error, not a blank.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from evaluation_fdp.metrics import METRICS, Metric
from evaluation_fdp.protocols import FINAL_FOLD
from evaluation_fdp.results import Benchmark, FoldSummary, Results
from hub_datasets import get_builder_class
from hub_datasets.errors import CorpusError
from training_fdp.errors import PublishError
from training_fdp.hub.card_metadata import base_model, card_metadata, corpus_title, only_synthetic, synthetic_corpora
from training_fdp.hub.redaction import without_folder
from training_fdp.methods.base import Method
from training_fdp.methods.registry import get_method, method_names

TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
PROTOCOL_SENTENCES = {
    "loso": "Leave-one-subject-out (LOSO): each subject is held out once.",
    "holdout": "One hold-out split by subject.",
    "megc2019": "The MEGC 2019 composite, leave-one-subject-out over its three corpora.",
    "cross_corpus": "Cross-corpus: trained on some corpora, tested on others.",
}
# Options of the training command whose values are local paths.
PATH_OPTIONS = {
    "--data_dir": "DATA_DIR",
    "--test_data_dir": "TEST_DATA_DIR",
    "--output_dir": "OUT",
    "--config": "CONFIG.yaml",
    "--cache_dir": "CACHE_DIR",
    "--init_from": "INIT_FROM",
}
# Settings that leak test data, copy a bug of the authors' release, or prepare clips otherwise than the saved video
# processor; with their harmless value.
SOUND_SETTINGS = {
    "normalization": "fixed",
    "frame_sampling": "linspace",
    "released_test_statistics": False,
    "released_eval_mode": False,
    "released_subject_list": False,
}


@dataclass(frozen=True)
class CardSubject:
    """Checkpoint and repository of a card.

    Args:
        repo_id (`str`): Repository of the card, `namespace/name`.
        checkpoint (`str`): Name of the checkpoint folder: the fold's id, or `final`.
        class_names (`tuple[str, ...]`): Classes of the checkpoint, in the order of its logits.
        model_type (`str`, *optional*): Type of its network.
        revision (`str`, *optional*, defaults to `"main"`): Branch of the card.
        pipelines (`tuple[str, ...]`, *optional*): Tasks of its own pipelines beside `video-classification`.
        alignment (`str`, *optional*, defaults to `"none"`): How its video processor finds the face.
        landmark_model (`str`, *optional*): Name of the landmark model file.
    """

    repo_id: str
    checkpoint: str
    class_names: tuple[str, ...]
    model_type: str = ""
    revision: str = "main"
    pipelines: tuple[str, ...] = ()
    alignment: str = "none"
    landmark_model: str | None = None


def build_model_card(subject: CardSubject, results: Results | None) -> str:
    """Write the card of one checkpoint. Nothing is validated over the network.

    Args:
        subject (`CardSubject`): Repository and checkpoint.
        results (`Results`, *optional*): The run behind the checkpoint; without it the card says that nothing was
            measured.

    Returns:
        `str`: Markdown with a YAML header, with a `model-index` of the pooled figures.

    Raises:
        PublishError: If results and checkpoint have different classes.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        card_data=card_metadata(subject.repo_id, subject.model_type, results).to_yaml(),
        **card_fields(subject, results),
    )


def card_fields(subject: CardSubject, results: Results | None) -> dict[str, object]:
    """Return the fields of the template (`dict`); the same names with and without results.

    Raises:
        PublishError: If results and checkpoint have different classes.
    """
    method = method_behind(subject, results)
    work = None if method is None else method.work
    fields: dict[str, object] = {
        "title": subject.repo_id.split("/")[-1],
        "subject": subject,
        "is_final": subject.checkpoint == FINAL_FOLD,
        "method_title": f"A network of type `{subject.model_type}`" if method is None else method.title,
        "method_summary": Method.summary if method is None else method.summary,
        "differences": () if work is None else work.differences,
        "citation": "" if work is None else work.citation,
        "synthetic": [],
        "only_synthetic": False,
        "results": results,
        "corpus_title": "a corpus that is not recorded",
        "corpora": [],
        "weights_licence": "not stated by the publisher of these weights; ask before you use them.",
        "corpus_licence": "see the corpus.",
        "start_sentence": "",
        "cautions": [],
        "command": "",
        "seeds": "",
        "versions": "",
        **_NO_FIGURES,
    }
    return fields if results is None else fields | _result_fields(subject, results)


# Fields that only a run with held-out clips fills, with their values for all other checkpoints.
_NO_FIGURES: Mapping[str, object] = {
    "benchmarked": False,
    "protocol_sentence": "",
    "coverage_sentence": "",
    "metric_rows": [],
    "majority_class": "",
    "confusion_rows": [],
    "fold": None,
}


def method_behind(subject: CardSubject, results: Results | None) -> type[Method] | None:
    """Find the method of a checkpoint: the one that its run names, else one whose checkpoints have its type.

    Only methods that are known by name are considered, because a results.json is no reason to import a module.

    Returns:
        `type[Method]`, *optional*: `None` for a network of another package that is not registered here.
    """
    named = None if results is None else results.settings.get("method")
    known = method_names()
    if named in known:
        return get_method(str(named))
    methods = (get_method(name) for name in known)
    return next((method for method in methods if method.model_type == subject.model_type), None)


def _result_fields(subject: CardSubject, results: Results) -> dict[str, object]:
    """Fields of the template that a results.json gives, with or without held-out subjects."""
    class_names = tuple(results.class_names)
    if subject.class_names != class_names:
        raise PublishError(
            f"the checkpoint has the classes {', '.join(subject.class_names)}, but results.json was measured on "
            f"{', '.join(class_names)}; publish a checkpoint of that run."
        )
    if results.init_from is not None:
        weights_licence = (
            "research use, under the terms of all that they were trained on; the checkpoint that they started from "
            "brings its own."
        )
        corpus_licence = "see the corpora, and the checkpoint that training started from."
    elif only_synthetic(results):
        weights_licence = "Apache-2.0, as the code; they were trained on rendered faces only."
        corpus_licence = "rendered by a program; no person was recorded."
        if "face_model=" in str(results.settings.get("corpus_options")):
            corpus_licence += " The faces are those of a morphable model, ICT-FaceKit (ICT-VGL, MIT licence)."
    else:
        weights_licence = "research use, under the terms of the corpora that they were trained on."
        corpus_licence = "licensed per researcher by its owners and not part of this repository; ask them for access."
    return {
        "corpus_title": corpus_title(results),
        "corpora": [_corpus_fields(name) for name in dict.fromkeys(results.corpora)],
        "synthetic": synthetic_corpora(results),
        "only_synthetic": only_synthetic(results),
        **({} if results.benchmark is None else _figure_fields(subject, results, results.benchmark)),
        "start_sentence": _start_sentence(results),
        "cautions": _cautions(results),
        "command": public_command(results.command),
        "seeds": ", ".join(map(str, results.seeds)),
        "versions": ", ".join(f"{name} {version}" for name, version in results.versions.items()),
        "weights_licence": weights_licence,
        "corpus_licence": corpus_licence,
    }


def _figure_fields(subject: CardSubject, results: Results, benchmark: Benchmark) -> dict[str, object]:
    """Fields of the template for held-out clips."""
    matrix = benchmark.figures.confusion_matrix
    return {
        "benchmarked": True,
        "protocol_sentence": _protocol_sentence(results.protocol),
        "coverage_sentence": _coverage_sentence(benchmark),
        "metric_rows": [_metric_row(name, metric, benchmark) for name, metric in METRICS.items()],
        "majority_class": results.class_names[benchmark.majority],
        "confusion_rows": list(zip(results.class_names, matrix, strict=True)),
        "fold": _fold_of(subject, benchmark),
    }


def public_command(command: str | Sequence[str]) -> str:
    """Write the training command without local paths.

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


def _corpus_fields(name: str) -> dict[str, str]:
    """Title, page of access, citation and terms of a corpus; its name alone if it has no loader in this package."""
    try:
        builder_class = get_builder_class(name)
    except CorpusError:
        return {"name": name, "title": name, "access": "", "citation": "", "terms": ""}
    page = builder_class.ACCESS_PAGE
    return {
        "name": name,
        "title": builder_class.TITLE.partition(":")[0],
        "access": page if page.startswith("http") else "",
        "citation": builder_class.CITATION,
        "terms": builder_class.MODEL_TERMS,
    }


def _metric_row(name: str, metric: Metric, benchmark: Benchmark) -> dict[str, str]:
    value = f"{benchmark.figures[name]:.3f}"
    if len(benchmark.per_seed) > 1:
        value += f" ± {benchmark.deviation[name]:.3f}"
    interval = "not computed"
    if name in benchmark.interval:
        low, high = benchmark.interval[name]
        interval = f"{low:.3f} to {high:.3f}"
    chance = benchmark.chance["majority"][name]
    return {"name": metric.title, "value": value, "interval": interval, "chance": f"{chance:.3f}"}


def _protocol_sentence(protocol: str) -> str:
    if protocol.startswith("kfold"):
        return f"{protocol.removeprefix('kfold')} folds grouped by subject: each subject is held out once."
    return PROTOCOL_SENTENCES.get(protocol, f"Protocol `{protocol}`.")


def _coverage_sentence(benchmark: Benchmark) -> str:
    folds = {fold.fold for fold in benchmark.folds}
    counted = f"{len(folds)} folds" if len(folds) > 1 else "one fold"
    several = f", for each of {len(benchmark.per_seed)} seeds" if len(benchmark.per_seed) > 1 else ""
    return (
        f"The figures pool {benchmark.num_clips} held-out clips of {counted} once{several}; they are no means over "
        "folds."
    )


def _cautions(results: Results) -> list[str]:
    """Warnings that precede the figures."""
    cautions = list(results.warnings)
    if results.missing_folds:
        cautions.append(f"{len(results.missing_folds)} folds are missing from the figures.")
    if results.lost_clips:
        cautions.append(f"{len(results.lost_clips)} clips could not be used and are missing from the figures.")
    unsound = [
        f"`{name}={results.settings[name]}`"
        for name, sound in SOUND_SETTINGS.items()
        if name in results.settings and results.settings[name] != sound
    ]
    if unsound:
        cautions.append(
            f"An ablation, trained with {', '.join(unsound)} as in the release: the saved video processor does "
            "not prepare clips that way, or the figures contain a leak of the authors' code."
        )
    return cautions


def _start_sentence(results: Results) -> str:
    start = results.init_from
    if start is None:
        return ""
    name = start.name if base_model(start) is None else f"[{start.name}](https://huggingface.co/{start.name})"
    fresh = f" New classes: {', '.join(start.new_classes)}." if start.new_classes else ""
    return f"Training started from {name} (weights sha256 `{start.sha256}`).{fresh}"


def _fold_of(subject: CardSubject, benchmark: Benchmark) -> FoldSummary | None:
    """The fold whose weights the checkpoint holds, by its name; `None` for `final` and for other names."""
    folds = (fold for fold in benchmark.folds if subject.checkpoint in (fold.fold, f"{fold.fold}_seed{fold.seed}"))
    return next(folds, None)
