"""Remove local paths from settings before they are published or tracked, because others read cards and trackers."""

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath


def without_folder(text: str) -> str:
    """Return a text (`str`) in which an absolute path, also as the value of NAME=VALUE, is cut to its last part."""
    if _is_absolute(text):
        return PureWindowsPath(text).name
    name, equals, value = text.partition("=")
    return f"{name}{equals}{PureWindowsPath(value).name}" if _is_absolute(value) else text


def without_folders(settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings (`dict`) in which every absolute path, at any depth, is cut to its last part."""
    return {name: _cut(value) for name, value in settings.items()}


def _cut(value: object) -> object:
    if isinstance(value, str):
        return without_folder(value)
    if isinstance(value, list):
        return [_cut(item) for item in value]
    return without_folders(value) if isinstance(value, Mapping) else value


def _is_absolute(text: str) -> bool:
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute() or text.startswith("~")
