"""Publication of checkpoints, one commit each: which files are uploaded, which refused, and the push.

The corpora are licensed per researcher, so the rule is an allow-list: only what `UPLOADED` names is ever uploaded,
and only after [`why_refused`] returned `None` for it. Any other file in the folder stops the push, except the records
of a training run, which are not uploaded.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from evaluation_fdp.errors import ResultsError
from evaluation_fdp.pooled_results import PREDICTIONS_NAME, pool_predictions, read_predictions
from evaluation_fdp.protocols import FINAL_FOLD
from evaluation_fdp.results import RESULTS_NAME, Results, read_results
from training_fdp.errors import PublishError
from training_fdp.hub.model_card import CardSubject, build_model_card, public_command
from training_fdp.hub.redaction import without_folder, without_folders
from training_fdp.hub.scanner import HEAD_BYTES, why_refused

logger = logging.getLogger(__name__)

CARD_NAME = "README.md"
MAIN = "main"
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
    "FACE_MESH_NOTICE.md",
    "FACE_MESH_LICENSE.txt",
    "*.py",
)
# JSON files that hold no settings.
UNREAD_SETTINGS = ("model.safetensors.index.json",)
# Files of a run or an earlier card: of no use to a reader, so neither uploaded nor refused.
LEFT_BEHIND = (CARD_NAME, RESULTS_NAME, "fold.json", "training_curve.json", "__pycache__")


@dataclass(frozen=True)
class OutgoingFile:
    """One file of a commit.

    Args:
        name (`str`): Its name in the repository.
        content (`Path` or `bytes`): A file to send unchanged, or the bytes to send instead.
    """

    name: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """Bytes (`int`)."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @property
    def made(self) -> bool:
        """Whether its content is generated (`bool`): the card, the results, settings without their local paths."""
        return isinstance(self.content, bytes)


@dataclass(frozen=True)
class Publication:
    """Content of one commit.

    Args:
        repo_id (`str`): Target repository.
        revision (`str`): Its branch.
        files (`tuple[OutgoingFile, ...]`): Sorted by name.
        card (`str`): Content of its `README.md`, which is among the files.
        results (`Path`, *optional*): Source of the card's figures.
    """

    repo_id: str
    revision: str
    files: tuple[OutgoingFile, ...]
    card: str
    results: Path | None


def prepare_publications(
    folder: Path, repo_id: str, folds: bool = False, revision: str = MAIN
) -> tuple[Publication, ...]:
    """Check a checkpoint, or the checkpoints of a run, and write their cards. Nothing is sent, nothing is written.

    Args:
        folder (`Path`): A folder in Hub format, or the OUT of a run, of which `final/` is published.
        repo_id (`str`): `namespace/name`.
        folds (`bool`, *optional*, defaults to `False`): Of an OUT, also publish each fold, as branch `fold-NAME`.
        revision (`str`, *optional*, defaults to `"main"`): Branch of the checkpoint.

    Returns:
        `tuple[Publication, ...]`: What [`push`] sends, the checkpoint of `revision` first.

    Raises:
        PublishError: If a folder is incomplete, or holds a file that must not be uploaded.
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
    chosen = [(main, revision)]
    if folds:
        chosen += [(path, f"fold-{path.name}") for path in sorted((folder / "folds").iterdir()) if path.is_dir()]
    return tuple(prepare_publication(path, repo_id, branch) for path, branch in chosen)


def prepare_publication(checkpoint: Path, repo_id: str, revision: str = MAIN) -> Publication:
    """Check a checkpoint folder and write its card; see [`prepare_publications`]."""
    _check_repo_id(repo_id)
    paths = collect_files(checkpoint)
    results_path = find_results(checkpoint)
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
        alignment=str(processor.get("alignment", "none")),
        landmark_model=processor.get("landmark_model_path"),
    )
    card = str(build_model_card(subject, results))
    files.append(OutgoingFile(CARD_NAME, card.encode()))
    if results is not None:
        files.append(OutgoingFile(RESULTS_NAME, _json_bytes(results.to_dict())))
    _scan(checkpoint, files)
    ordered = sorted(files, key=lambda file: file.name)
    return Publication(repo_id, revision, tuple(ordered), card, results_path)


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
    """Return results (`Results`) as they are published: without local paths."""
    return replace(
        results,
        command=public_command(results.command),
        settings=without_folders(results.settings),
        warnings=[" ".join(map(without_folder, warning.split(" "))) for warning in results.warnings],
    )


def push(publication: Publication, public: bool = False, api: HfApi | None = None) -> str:
    """Send a publication in one commit; without changes there is no commit.

    Args:
        publication (`Publication`): What [`prepare_publication`] returned.
        public (`bool`, *optional*, defaults to `False`): Whether everybody may read the repository.
        api (`HfApi`, *optional*): Client to push with; the default takes the endpoint and the token of the
            environment.

    Returns:
        `str`: URL of the commit, or of the existing one without changes.

    Raises:
        PublishError: Without a token, for an existing repository whose visibility differs from `public`, and when the
        Hub cannot be reached or refuses.
    """
    api = api or HfApi()
    if (api.token or get_token()) is None:
        raise PublishError("pushing needs a Hub token and none is set; run `hf auth login`, or set HF_TOKEN.")
    operations = [
        CommitOperationAdd(file.name, file.content if isinstance(file.content, bytes) else str(file.content))
        for file in publication.files
    ]
    try:
        _open_repository(api, publication.repo_id, public)
        if publication.revision != MAIN:
            api.create_branch(publication.repo_id, branch=publication.revision, exist_ok=True)
        # The client leaves out unchanged files, and makes no commit without files.
        commit = api.create_commit(
            publication.repo_id,
            operations,
            revision=publication.revision,
            commit_message="Upload the FDP checkpoint, its code and its card",
        )
    except (HTTPError, OSError, RuntimeError) as error:  # RuntimeError: a large upload failed
        raise PublishError(f"the Hub did not take {publication.repo_id}: {_reason(error)}") from error
    return commit.commit_url


def _open_repository(api: HfApi, repo_id: str, public: bool) -> None:
    """Create the repository, or check the visibility of an existing one."""
    try:
        existing = api.model_info(repo_id)
    except RepositoryNotFoundError:
        # Two pushes at once may both try to create it.
        api.create_repo(repo_id, private=not public, exist_ok=True)
        existing = api.model_info(repo_id)
    if not existing.private and not public:
        raise PublishError(
            f"{repo_id} exists and everybody can read it, but --public was not given; add --public, or choose another "
            "name."
        )
    if existing.private and public:
        raise PublishError(
            f"{repo_id} exists and is private, which a push does not change, but --public was given; open it in its "
            "settings on the Hub, or leave --public out."
        )


def _check_repo_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PublishError(f"--repo_id must be a valid NAMESPACE/NAME, but {error}") from error
    if repo_id.count("/") != 1:
        raise PublishError(
            f"--repo_id must be NAMESPACE/NAME, but is {repo_id!r}; put your user or organisation first."
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
        content = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
        if (reason := why_refused(file.name, content)) is not None:
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


def _json_bytes(content: Any) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _reason(error: Exception) -> str:
    """The Hub's message on one line, with a remedy."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, HfHubHTTPError) and status in (401, 403):
        return f"the token was refused ({status}); use one that may write to this namespace."
    message = " ".join(str(error).split()) or type(error).__name__
    return f"{message.rstrip('.')}; check the connection and the name, then run the same command again."
