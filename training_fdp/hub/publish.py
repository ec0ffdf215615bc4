"""Publication of checkpoints, one commit each: the files that are uploaded or refused; `push.py` sends them.

The corpora are licensed per researcher, so the rule is an allow-list: only what `UPLOADED` names is ever uploaded,
and only after [`why_refused`] returned `None` for it. Any other file in the folder stops the push, except the records
of a training run, which are not uploaded.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from safetensors import SafetensorError, safe_open

from evaluation_fdp.errors import ResultsError
from evaluation_fdp.metrics import METRICS
from evaluation_fdp.pooled_results import PREDICTIONS_NAME, pool_predictions, read_predictions
from evaluation_fdp.protocols import FINAL_FOLD
from evaluation_fdp.results import RESULTS_NAME, Results, read_results
from training_fdp.errors import PublishError
from training_fdp.hub.model_card import CardSubject, build_model_card, public_command
from training_fdp.hub.push import MAIN, OutgoingFile, Publication, check_repo_id
from training_fdp.hub.redaction import without_folder, without_folders
from training_fdp.hub.scanner import HEAD_BYTES, why_refused

logger = logging.getLogger(__name__)

CARD_NAME = "README.md"
# The corpus that may be published, and so be a benchmark on the Hub.
RENDERED = "synthetic"
# Files uploaded from a checkpoint's folder, besides the card and the run's results.
UPLOADED = (
    "config.json",
    "model.safetensors",
    "model-?????-of-?????.safetensors",
    "model.safetensors.index.json",
    "video_preprocessor_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "face_mesh.safetensors",
    "spotter.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "FACE_MESH_NOTICE.md",
    "FACE_MESH_LICENSE.txt",
    "*.py",
)
# JSON files that hold no settings.
UNREAD_SETTINGS = ("model.safetensors.index.json",)
# Files of a run or an earlier card: of no use to a reader, so neither uploaded nor refused.
LEFT_BEHIND = (CARD_NAME, RESULTS_NAME, "fold.json", "training_curve.json", "__pycache__")


def prepare_publications(
    folder: Path,
    repo_id: str,
    folds: bool = False,
    revision: str = MAIN,
    without_results: bool = False,
    benchmark: str | None = None,
) -> tuple[Publication, ...]:
    """Check a checkpoint, or the checkpoints of a run, and write their cards. Nothing is sent, nothing is written.

    Args:
        folder (`Path`): A folder in Hub format, or the OUT of a run, of which `final/` is published.
        repo_id (`str`): `namespace/name`.
        folds (`bool`, *optional*, defaults to `False`): Of an OUT, also publish each fold, as branch `fold-NAME`.
        revision (`str`, *optional*, defaults to `"main"`): Branch of the checkpoint.
        without_results (`bool`, *optional*, defaults to `False`): Publish a checkpoint that no run measured, such as
            converted weights of the authors; its card has no figures.
        benchmark (`str`, *optional*): Dataset repository of the rendered corpus that the checkpoint was judged on: its
            figures are added as `.eval_results/*.yaml`. In a run they belong to the folds and not to `final/`.

    Returns:
        `tuple[Publication, ...]`: What [`push`] sends, the checkpoint of `revision` first.

    Raises:
        PublishError: If a folder is incomplete, holds a file that must not be uploaded, or has no results.
        ResultsError: If the results of the run cannot be read.
    """
    is_run = (folder / FINAL_FOLD).is_dir() or (folder / "folds").is_dir()
    if folds and not is_run:
        raise PublishError(f"--folds publishes the folds of a run, but {folder} has no folds/; give the OUT of a run.")
    main = folder / FINAL_FOLD if is_run else folder
    if is_run and not main.is_dir():
        raise PublishError(
            f"{folder} is a run without {FINAL_FOLD}/, so it has no model of all subjects; train it with "
            "--final_model, or give one of its folds."
        )
    if benchmark is not None and main.name == FINAL_FOLD and not folds:
        raise PublishError(
            f"--benchmark adds the figures of a model, but {main} was trained on all subjects and has none of its "
            "own; give one of the folds, or add --folds."
        )
    chosen = [(main, revision)]
    if folds:
        chosen += [(path, f"fold-{path.name}") for path in sorted((folder / "folds").iterdir()) if path.is_dir()]
    return tuple(
        prepare_publication(path, repo_id, branch, without_results, None if path.name == FINAL_FOLD else benchmark)
        for path, branch in chosen
    )


def prepare_publication(
    checkpoint: Path,
    repo_id: str,
    revision: str = MAIN,
    without_results: bool = False,
    benchmark: str | None = None,
) -> Publication:
    """Check a checkpoint folder and write its card; see [`prepare_publications`]."""
    check_repo_id(repo_id)
    paths = collect_files(checkpoint)
    results_path = find_results(checkpoint)
    if results_path is None and not without_results:
        raise PublishError(
            f"{checkpoint} has no {RESULTS_NAME}, in it or in the run above it, so that its card would have no "
            "figures; give a checkpoint of a run, or add --without_results."
        )
    results = None if results_path is None else public_results(load_results(results_path))
    config = _read_json(checkpoint / "config.json")
    files: list[OutgoingFile] = []
    processor: dict[str, Any] = {}
    for path in paths:
        if path.suffix != ".json" or path.name in UNREAD_SETTINGS:
            files.append(OutgoingFile(path.name, path))
            continue
        content = _read_json(path)
        cleaned = without_folders(content)
        files.append(OutgoingFile(path.name, path if cleaned == content else _json_bytes(cleaned)))
        if path.name != "config.json":
            processor |= cleaned
    subject = CardSubject(
        repo_id=repo_id,
        checkpoint=checkpoint.resolve().name,
        class_names=_class_names(config, checkpoint),
        model_type=str(config.get("model_type", "")),
        revision=revision,
        pipelines=tuple(sorted(set(config.get("custom_pipelines") or {}) - {"video-classification"})),
        alignment=str(processor.get("alignment", "none")),
        landmark_model=processor.get("landmark_model_path"),
    )
    card = build_model_card(subject, results)
    files.append(OutgoingFile(CARD_NAME, card.encode()))
    if benchmark is not None:
        check_repo_id(benchmark, "--benchmark")
        files.append(benchmark_results(results, benchmark, f"{repo_id}/blob/{revision}/{RESULTS_NAME}"))
    if results is not None:
        files.append(OutgoingFile(RESULTS_NAME, _json_bytes(results.to_dict())))
    _scan(checkpoint, files)
    ordered = sorted(files, key=lambda file: file.name)
    return Publication(repo_id, revision, tuple(ordered), card, results_path)


def benchmark_results(results: Results | None, benchmark: str, source: str) -> OutgoingFile:
    """Write the figures of a run on the rendered corpus as the Hub reads them for a benchmark's leaderboard.

    Args:
        results (`Results`, *optional*): The run.
        benchmark (`str`): Dataset repository of the corpus, whose `eval.yaml` has a task per metric.
        source (`str`): Path of the run's `results.json` on the Hub, after `https://huggingface.co/`.

    Returns:
        `OutgoingFile`: `.eval_results/<name of the repository>.yaml`.

    Raises:
        PublishError: no subject was held out, or held-out subjects are of another corpus than the rendered one.
    """
    if results is None or results.benchmark is None:
        raise PublishError("--benchmark adds figures, but nobody was held out in this run; leave it out.")
    judged = results.test_corpus or results.corpus
    if judged != [RENDERED]:
        raise PublishError(
            f"--benchmark is for models that were judged on the corpus {RENDERED}, but these were judged on "
            f"{', '.join(judged)}; leave it out."
        )
    measured = results.benchmark
    notes = (
        f"label set {results.label_set or 'default'}, protocol {results.protocol}, {measured.num_clips} clips of "
        f"{measured.num_subjects} held-out subjects, seeds {', '.join(map(str, results.seeds))}; "
        "rendered faces"
    )
    entries = [
        EvalResultEntry(
            dataset_id=benchmark,
            task_id=name,
            value=measured.figures[name],
            source_url=f"https://huggingface.co/{source}",
            source_name=RESULTS_NAME,
            notes=notes,
        )
        for name in METRICS
    ]
    content = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
    return OutgoingFile(f".eval_results/{benchmark.rpartition('/')[2]}.yaml", content.encode())


def collect_files(checkpoint: Path) -> list[Path]:
    """List the files of a checkpoint that may be uploaded.

    Args:
        checkpoint (`Path`): Folder in Hub format.

    Returns:
        `list[Path]`: Sorted by name.

    Raises:
        PublishError: For the first file that may not be uploaded, and for a folder that could not be loaded again.
    """
    if not checkpoint.is_dir():
        raise PublishError(f"{checkpoint} is not a folder; give a checkpoint that train.py wrote, as OUT/folds/ID.")
    files = []
    for path in sorted(checkpoint.iterdir()):
        if any(fnmatchcase(path.name, name) for name in LEFT_BEHIND):
            continue
        if path.is_symlink() or not path.is_file() or not any(fnmatchcase(path.name, name) for name in UPLOADED):
            raise PublishError(_refusal(path))
        files.append(path)
    _check_loadable(checkpoint, files)
    return files


def find_results(checkpoint: Path) -> Path | None:
    """Find the results of a checkpoint's run.

    Args:
        checkpoint (`Path`): The folder itself, `OUT/final` or `OUT/folds/ID`.

    Returns:
        `Path`, *optional*: The nearest `results.json` of that run; other parent folders are not searched.
    """
    folder = checkpoint.resolve()
    folders = [folder]
    if folder.name == FINAL_FOLD:
        folders.append(folder.parent)
    if folder.parent.name == "folds":
        folders.append(folder.parent.parent)
    return next((folder / RESULTS_NAME for folder in folders if (folder / RESULTS_NAME).is_file()), None)


def load_results(path: Path) -> Results:
    """Read results and recompute every figure from the predictions beside them, or else from confusion matrices.

    Args:
        path (`Path`): A `results.json`.

    Returns:
        `Results`: Without intervals where there is no `predictions.csv`, because they cannot be computed again.

    Raises:
        ResultsError: If a file cannot be read, or the two contradict each other.
    """
    results = read_results(path)
    if results.benchmark is None:
        return results
    predictions = path.with_name(PREDICTIONS_NAME)
    if not predictions.exists():
        return replace(results, benchmark=replace(results.benchmark, interval={}))
    seeds = read_predictions(predictions, results.class_names)
    try:
        benchmark = pool_predictions(results.benchmark, seeds, len(results.class_names))
    except ResultsError as error:
        raise ResultsError(f"{predictions}: {error}") from error
    return replace(results, benchmark=benchmark)


def public_results(results: Results) -> Results:
    """Return results (`Results`) without local paths, as they are published."""
    return replace(
        results,
        command=public_command(results.command),
        settings=without_folders(results.settings),
        warnings=[" ".join(map(without_folder, warning.split(" "))) for warning in results.warnings],
    )


def _refusal(path: Path) -> str:
    if path.is_symlink():
        kind = "is a link, and what it points to may be anything"
    elif path.is_dir():
        kind = "is a folder, and a checkpoint on the Hub is flat"
    else:
        kind = why_refused(path.name, _head(path)) or "is not a file that a checkpoint needs"
    return f"{path} {kind}; move it out of the folder and push again."


def _scan(checkpoint: Path, files: Sequence[OutgoingFile]) -> None:
    """Refuse listed files with content that must not be public; weights are checked by `_check_loadable`."""
    for file in files:
        if file.name.endswith(".safetensors"):
            continue
        if (reason := why_refused(file.name, file.read())) is not None:
            raise PublishError(f"{checkpoint / file.name} {reason}; remove it from there and push again.")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _check_loadable(checkpoint: Path, files: list[Path]) -> None:
    """Refuse a folder that a reader could not load: missing files, or a file whose content does not match its name."""
    names = {path.name for path in files}
    weights = [path for path in files if path.suffix == ".safetensors"]
    if "config.json" not in names or not any(path.name.startswith("model") for path in weights):
        missing = "config.json" if "config.json" not in names else "model.safetensors"
        raise PublishError(f"{checkpoint} lacks {missing}; give a checkpoint that train.py wrote, as OUT/folds/ID.")
    for path in weights:
        try:
            with safe_open(path, framework="numpy") as tensors:
                logger.debug("%s holds %d tensors", path, len(tensors.keys()))
        except (SafetensorError, OSError) as error:
            raise PublishError(f"{path} is not a safetensors file ({error}); save the checkpoint again.") from error
    referred = {f"{entry.split('--')[-1].split('.')[0]}.py" for entry in _auto_map(files)}
    if lost := sorted(referred - names):
        raise PublishError(
            f"{checkpoint} refers to {', '.join(lost)} in its auto_map and has no such file; save it again."
        )
    if not referred:
        raise PublishError(
            f"{checkpoint} has no auto_map in config.json, so it could not be loaded without this package; save "
            "model and processor with save_pretrained."
        )


def _auto_map(files: list[Path]) -> list[str]:
    """Entries `file.Class` of all the auto_maps of a folder."""
    entries: list[str] = []
    for path in files:
        if path.suffix == ".json" and path.name not in UNREAD_SETTINGS:
            mapped = _read_json(path).get("auto_map") or {}
            entries += [value for value in mapped.values() if isinstance(value, str)]
    return entries


def _class_names(config: dict[str, Any], checkpoint: Path) -> tuple[str, ...]:
    names = config.get("id2label") or {}
    if not names:
        raise PublishError(f"{checkpoint / 'config.json'} has no id2label, so a label would be a bare number; add it.")
    return tuple(names[key] for key in sorted(names, key=int))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PublishError(f"{path} is not JSON ({error}); save the checkpoint again.") from error
    if not isinstance(content, dict):
        raise PublishError(f"{path} must hold a JSON object, but holds {type(content).__name__}; save it again.")
    return content


def _json_bytes(content: object) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
