"""Sending a publication to the Hub: one commit, nothing half-sent, safe to repeat.

A commit is atomic on the Hub, large files that arrived before an interruption are kept there, and the client leaves
out unchanged files. So a push may be repeated at any point, by [`push`] itself where the Hub asks to wait, or by the
user.
"""

import errno
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OIDCError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from training_fdp.errors import PublishError

logger = logging.getLogger(__name__)

MAIN = "main"
# HTTP statuses of failures that may pass: another commit came first (409, 412), too many requests (429), a fault of
# the Hub (5xx).
PASSING = (409, 412, 429, 500, 502, 503, 504)
ATTEMPTS = 4
# Seconds before the first repetition, doubled each time, unless the Hub names a time (Retry-After).
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 120.0
# Requests that the client of the Hub repeats by itself; if they fail, [`push`] does not repeat them.
REPEATED_BY_CLIENT = ("/preupload/", "/info/lfs/")


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

    def read(self) -> bytes:
        """Return its content (`bytes`)."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


@dataclass(frozen=True)
class Publication:
    """Content of one commit.

    Args:
        repo_id (`str`): Target repository.
        revision (`str`): Branch of that repository.
        files (`tuple[OutgoingFile, ...]`): Sorted by name.
        card (`str`): Content of the repository's `README.md`, which is one of the files.
        results (`Path`, *optional*): The `results.json` with the figures of the card.
        repo_type (`str`, *optional*, defaults to `"model"`): `"model"` or `"dataset"`.
        message (`str`, *optional*): Message of the commit.
    """

    repo_id: str
    revision: str
    files: tuple[OutgoingFile, ...]
    card: str
    results: Path | None = None
    repo_type: str = "model"
    message: str = "Upload the checkpoint, its code and its card"


def push(publication: Publication, public: bool = False, api: HfApi | None = None) -> str:
    """Send a publication in one commit; without changes there is no commit.

    Args:
        publication (`Publication`): What to send.
        public (`bool`, *optional*, defaults to `False`): Whether everybody may read the repository.
        api (`HfApi`, *optional*): Client to push with; the default takes the endpoint and the token of the
            environment (`HF_TOKEN`, the login of `hf auth login`, or `HF_OIDC_RESOURCE` in CI).

    Returns:
        `str`: URL of the commit, or of the existing one without changes.

    Raises:
        PublishError: Without a token, for an existing repository whose visibility differs from `public`, and when the
            Hub cannot be reached or refuses.
    """
    api = api or HfApi()
    try:
        token = api.token or get_token()
    except OIDCError as error:
        raise PublishError(f"HF_OIDC_RESOURCE is set, but {' '.join(str(error).split())}") from error
    if token is None:
        raise PublishError("pushing needs a Hub token and none is set; run `hf auth login`, or set HF_TOKEN.")
    for attempt in range(ATTEMPTS):
        try:
            return _send(publication, public, api)
        except (HTTPError, OSError, RuntimeError) as error:  # RuntimeError: a large upload failed
            wait_s = _wait_s(error, attempt)
            if wait_s is None:
                raise PublishError(f"the Hub did not take {publication.repo_id}: {_reason(error)}") from error
            logger.warning("the Hub answered %d; pushing again in %g s", _status(error), wait_s)
            time.sleep(wait_s)
    raise PublishError(
        f"the Hub did not take {publication.repo_id} in {ATTEMPTS} attempts; run the same command again later."
    )


def check_repo_id(repo_id: str, option: str = "--repo_id") -> None:
    """Refuse a repository name without its namespace, or with signs that the Hub does not allow.

    Args:
        repo_id (`str`): The name.
        option (`str`, *optional*, defaults to `"--repo_id"`): Option of that value, for the error message.

    Raises:
        PublishError: it is not NAMESPACE/NAME.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PublishError(f"{option} must be a valid NAMESPACE/NAME, but {error}") from error
    if repo_id.count("/") != 1:
        raise PublishError(
            f"{option} must be NAMESPACE/NAME, but is {repo_id!r}; put your user or organisation first."
        )


def _send(publication: Publication, public: bool, api: HfApi) -> str:
    _open_repository(api, publication, public)
    if publication.revision != MAIN:
        api.create_branch(
            publication.repo_id, branch=publication.revision, repo_type=publication.repo_type, exist_ok=True
        )
    operations = [
        CommitOperationAdd(file.name, file.content if isinstance(file.content, bytes) else str(file.content))
        for file in publication.files
    ]
    # The client leaves out unchanged files, and makes no commit without files.
    commit = api.create_commit(
        publication.repo_id,
        operations,
        repo_type=publication.repo_type,
        revision=publication.revision,
        commit_message=publication.message,
    )
    return commit.commit_url


def _open_repository(api: HfApi, publication: Publication, public: bool) -> None:
    """Create the repository, or check the visibility of an existing one."""
    repo_id, repo_type = publication.repo_id, publication.repo_type
    try:
        existing = api.repo_info(repo_id, repo_type=repo_type)
    except RepositoryNotFoundError:
        # Two pushes at once may both try to create it.
        api.create_repo(repo_id, repo_type=repo_type, private=not public, exist_ok=True)
        existing = api.repo_info(repo_id, repo_type=repo_type)
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


def _status(error: Exception) -> int | None:
    """HTTP status of an error, `None` where no answer came."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _wait_s(error: Exception, attempt: int) -> float | None:
    """Seconds to wait before the next attempt, `None` where none would help."""
    if not isinstance(error, HfHubHTTPError) or _status(error) not in PASSING or attempt == ATTEMPTS - 1:
        return None
    if any(part in str(error.response.url) for part in REPEATED_BY_CLIENT):
        return None
    asked = error.response.headers.get("Retry-After", "")
    wait_s = float(asked) if asked.isdecimal() else FIRST_WAIT_S * 2**attempt
    return wait_s if wait_s <= LONGEST_WAIT_S else None


def _reason(error: Exception) -> str:
    """The Hub's message on one line, with a remedy."""
    if isinstance(error, HfHubHTTPError):
        status = _status(error)
        if status in (401, 403):
            return f"the token was refused ({status}); use one that may write to this namespace."
        if status == 429:
            asked = error.response.headers.get("Retry-After", "")
            when = f"in {asked} s" if asked.isdecimal() else "later"
            return f"too many requests (429); run the same command again {when}."
        if status in PASSING:
            return f"it answered {status} in every attempt; run the same command again later."
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space is left on this machine's disk; free some and run the same command again."
    message = " ".join(str(error).split()) or type(error).__name__
    return f"{message.rstrip('.')}; check the connection and the name, then run the same command again."
