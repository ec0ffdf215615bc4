"""Settings without the places on somebody's disk: cards and trackers are read by others."""

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any


def without_folder(text: str) -> str:
    """Return a text (`str`) in which an absolute path, also as the value of NAME=VALUE, is cut to its last part."""
    if _is_absolute(text):
        return PureWindowsPath(text).name
    name, equals, value = text.partition("=")
    return f"{name}{equals}{PureWindowsPath(value).name}" if _is_absolute(value) else text


def without_folders(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings (`dict`) in which every absolute path, alone or in a list, is cut to its last part."""
    return {
        name: [_cut(item) for item in value] if isinstance(value, list) else _cut(value)
        for name, value in settings.items()
    }


def _cut(value: Any) -> Any:
    return without_folder(value) if isinstance(value, str) else value


def _is_absolute(text: str) -> bool:
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute() or text.startswith("~")
