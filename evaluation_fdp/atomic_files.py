"""Atomic writes: after an interruption a file is the old one or the new one, never a part of it."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a temporary file beside `path`, flush it to disk, then rename it to `path`.

    Args:
        path (`Path`):
            The file; its folder exists.
        write (`Callable[[BinaryIO], object]`):
            Writes the content.

    Raises:
        OSError: the disk is full or read-only; the old file, if any, is as it was.
    """
    temporary = name_beside(path, ".tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def name_beside(path: Path, suffix: str) -> Path:
    """Return a temporary name (`Path`) beside a file, unique among writers on all machines.

    Not by `tempfile`, because only the owner could read its files.
    """
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{suffix}")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically; numbers keep all their digits, NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file (`str`, hexadecimal)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_folder(staging_folder: Path, destination: Path) -> None:
    """Flush the files of a finished folder to disk, then rename it to its destination."""
    with ThreadPoolExecutor() as pool:  # at once, because each of them waits for the disk
        for _ in pool.map(_sync_file, filter(Path.is_file, staging_folder.rglob("*"))):
            pass  # an error of one is raised here
    _sync_folder(staging_folder)
    destination.parent.mkdir(parents=True, exist_ok=True)
    os.rename(staging_folder, destination)
    _sync_folder(destination.parent)


def fresh_folder(path: Path) -> Path:
    """Make the folder and return it (`Path`), without the files of an interrupted run."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Flush a rename to disk, except on Windows, where folders cannot be opened."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
