"""Writing so that a file is either the old one or the new one, whole, whatever happens in between."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place, bring it to the disk, then rename it into place.

    Args:
        path (`Path`):
            The file; its folder exists.
        write (`Callable[[BinaryIO], object]`):
            Writes the content.

    Raises:
        OSError: the disk is full or read-only; the old file, if any, is as it was.
    """
    aside = name_beside(path, ".tmp")
    try:
        with aside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    _sync_folder(path.parent)


def name_beside(path: Path, suffix: str) -> Path:
    """Return a name (`Path`) beside a file that no other writer takes, on whatever machine.

    A file made under it has the permissions that others expect; one of `tempfile` could be read by its owner alone.
    """
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{suffix}")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically; numbers keep all their digits, NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file (`str`, hexadecimal)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_folder(aside: Path, place: Path) -> None:
    """Bring a finished folder to the disk, file by file, and rename it into place."""
    for path in sorted(aside.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _sync_folder(aside)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.rename(aside, place)
    _sync_folder(place.parent)


def fresh_folder(path: Path) -> Path:
    """Return the folder (`Path`), empty: what an interrupted run left there is removed."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _sync_folder(path: Path) -> None:
    """Bring a rename to the disk; folders cannot be opened on Windows, where the rename itself has to do."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
