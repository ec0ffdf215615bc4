"""One checkpoint folder to one repository in one commit: what may leave, what is refused, and the push itself.

The corpora are licensed per researcher, so the rule is an allow-list: only the files named here are ever uploaded.
Whatever else lies in the folder stops the push by its name, but for the records that a training run keeps there,
which stay behind.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from evaluation_fdp.protocols import FINAL_FOLD
from training_fdp.errors import PublishError
from training_fdp.hub.model_card import CardSubject, build_model_card, read_results
from training_fdp.hub.redaction import without_folders

logger = logging.getLogger(__name__)

RESULTS_NAME = "results.json"
CARD_NAME = "README.md"
# Files that make a checkpoint loadable; nothing else is uploaded, but for the card.
PUBLISHED = (
    "config.json",
    "model.safetensors",
    "model-?????-of-?????.safetensors",
    "model.safetensors.index.json",
    "video_preprocessor_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "*.py",
)
# JSON files that hold no settings.
UNREAD_SETTINGS = ("model.safetensors.index.json",)
# What a run or an earlier card left there: of no use to a reader, so it is neither uploaded nor complained about.
LEFT_BEHIND = (CARD_NAME, RESULTS_NAME, "fold.json", "training_curve.json", "__pycache__")
RECORDINGS = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".tif",
    ".tiff",
    ".gif",
    ".webp",
    ".avi",
    ".mp4",
    ".mov",
    ".mkv",
    ".webm",
)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy", ".npz", ".joblib", ".h5")


@dataclass(frozen=True)
class Publication:
    """All that one commit will hold.

    Args:
        repo_id (`str`): Target repository.
        files (`tuple[Path, ...]`): Files that are uploaded under their own names.
        card (`str`): Content of the repository's `README.md`.
        results (`Path`, *optional*): Where the card's figures come from.
        rewritten (`Mapping[str, bytes]`): Files, by name, that are uploaded with other content than on disk: settings
            that named places on this machine name only the file there.
    """

    repo_id: str
    files: tuple[Path, ...]
    card: str
    results: Path | None
    rewritten: Mapping[str, bytes] = field(default_factory=dict)


def prepare_publication(checkpoint: Path, repo_id: str) -> Publication:
    """Check a checkpoint folder and write its card. Nothing is sent, nothing is written.

    Args:
        checkpoint (`Path`): Folder in Hub format.
        repo_id (`str`): `namespace/name`.

    Returns:
        `Publication`: What [`push`] sends.

    Raises:
        PublishError: If the folder is incomplete, holds a file that must not leave, or its results cannot be read.
    """
    _check_repo_id(repo_id)
    files = collect_files(checkpoint)
    results_path = find_results(checkpoint)
    results = None if results_path is None else read_results(results_path)
    config = _read_json(checkpoint / "config.json")
    settings = [path for path in files if path.suffix == ".json" and path.name not in UNREAD_SETTINGS]
    processor: dict[str, Any] = {}
    for path in settings:
        if path.name != "config.json":
            processor |= without_folders(_read_json(path))
    subject = CardSubject(
        repo_id=repo_id,
        checkpoint=checkpoint.resolve().name,
        class_names=_class_names(config, checkpoint),
        alignment=str(processor.get("alignment", "none")),
        landmark_model=processor.get("landmark_model_path"),
    )
    rewritten = {}
    for path in settings:
        content = _read_json(path)
        if (cleaned := without_folders(content)) != content:
            rewritten[path.name] = (json.dumps(cleaned, indent=2, sort_keys=True) + "\n").encode()
    return Publication(repo_id, tuple(files), str(build_model_card(subject, results)), results_path, rewritten)


def collect_files(checkpoint: Path) -> list[Path]:
    """List the files of a checkpoint that may leave.

    Args:
        checkpoint (`Path`): Folder in Hub format.

    Returns:
        `list[Path]`: Sorted by name.

    Raises:
        PublishError: For the first file that may not leave, and for a folder that could not be loaded again.
    """
    if not checkpoint.is_dir():
        raise PublishError(f"{checkpoint} is not a folder; give a checkpoint that train.py wrote, as OUT/folds/ID.")
    files = []
    for path in sorted(checkpoint.iterdir()):
        if any(fnmatchcase(path.name, name) for name in LEFT_BEHIND):
            continue
        if path.is_symlink() or not path.is_file() or not any(fnmatchcase(path.name, name) for name in PUBLISHED):
            raise PublishError(_refusal(path))
        files.append(path)
    _check_loadable(checkpoint, files)
    return files


def find_results(checkpoint: Path) -> Path | None:
    """Find the results that a checkpoint belongs to.

    Args:
        checkpoint (`Path`): The folder itself, `OUT/final` or `OUT/folds/ID`.

    Returns:
        `Path`, *optional*: The nearest `results.json` of that run; a folder that only happens to lie above is not
            searched.
    """
    folder = checkpoint.resolve()
    places = [folder]
    if folder.name == FINAL_FOLD:
        places.append(folder.parent)
    if folder.parent.name == "folds":
        places.append(folder.parent.parent)
    return next((place / RESULTS_NAME for place in places if (place / RESULTS_NAME).is_file()), None)


def push(publication: Publication, public: bool = False, api: HfApi | None = None) -> str:
    """Send a publication in one commit.

    Args:
        publication (`Publication`): What [`prepare_publication`] returned.
        public (`bool`, *optional*, defaults to `False`): Whether everybody may read the repository.
        api (`HfApi`, *optional*): Client to push with; the default takes the endpoint and the token of the
            environment.

    Returns:
        `str`: Address of the commit.

    Raises:
        PublishError: Without a token, for a repository that everybody can read although `public` was not asked for or
            the other way round, and when the Hub cannot be reached or refuses.
    """
    api = api or HfApi()
    if (api.token or get_token()) is None:
        raise PublishError("pushing needs a Hub token and none is set; run `hf auth login`, or set HF_TOKEN.")
    operations = [
        CommitOperationAdd(path.name, publication.rewritten.get(path.name) or str(path)) for path in publication.files
    ]
    operations.append(CommitOperationAdd(CARD_NAME, publication.card.encode()))
    try:
        _open_repository(api, publication.repo_id, public)
        commit = api.create_commit(
            publication.repo_id, operations, commit_message="Upload the FDP checkpoint, its code and its card"
        )
    except (HTTPError, OSError, RuntimeError) as error:  # RuntimeError: a large file that did not arrive
        raise PublishError(f"the Hub did not take {publication.repo_id}: {_reason(error)}") from error
    return commit.commit_url


def _open_repository(api: HfApi, repo_id: str, public: bool) -> None:
    """Create the repository, or make sure that an existing one is as open as asked."""
    try:
        existing = api.model_info(repo_id)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=not public)
        return
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
    elif path.suffix.lower() in RECORDINGS:
        kind = "is a picture or a video, and recordings of faces never leave this machine"
    elif path.suffix.lower() in PICKLES:
        kind = "may hold a pickle or raw arrays, which can run code or carry faces"
    else:
        kind = "is not a file that a checkpoint needs"
    return f"{path} {kind}; move it out of the folder and push again."


def _check_loadable(checkpoint: Path, files: list[Path]) -> None:
    """Refuse a folder that a reader could not load: missing parts, or a file that is not what its name says."""
    names = {path.name for path in files}
    weights = [path for path in files if path.suffix == ".safetensors"]
    if "config.json" not in names or not weights:
        missing = "config.json" if "config.json" not in names else "model.safetensors"
        raise PublishError(f"{checkpoint} lacks {missing}; give a checkpoint that train.py wrote, as OUT/folds/ID.")
    for path in weights:
        try:
            with safe_open(path, framework="numpy") as tensors:
                logger.debug("%s holds %d tensors", path, len(tensors.keys()))
        except (SafetensorError, OSError) as error:
            raise PublishError(f"{path} is not a safetensors file ({error}); save the checkpoint again.") from error
    referred = {f"{entry.split('--')[-1].split('.')[0]}.py" for entry in _auto_map(checkpoint, files)}
    if lost := sorted(referred - names):
        raise PublishError(
            f"{checkpoint} refers to {', '.join(lost)} in its auto_map and has no such file; save it again."
        )
    if not referred:
        raise PublishError(
            f"{checkpoint} has no auto_map in config.json, so that nobody could load it without this package; save "
            "model and processor with save_pretrained."
        )


def _auto_map(checkpoint: Path, files: list[Path]) -> list[str]:
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


def _reason(error: Exception) -> str:
    """What the Hub said, on one line, with what to do about it."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, HfHubHTTPError) and status in (401, 403):
        return f"the token was refused ({status}); use one that may write to this namespace."
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{said.rstrip('.')}; check the connection and the name, then run the same command again."
