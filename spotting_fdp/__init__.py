"""Spotting: where in a long recording a face shows micro- and macro-expressions."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spotting_fdp.spotter import Recognition, Recognizer, SpottedExpression, Spotter, SpottingResult

__all__ = ["Recognition", "Recognizer", "SpottedExpression", "Spotter", "SpottingResult"]


def __getattr__(name: str) -> type:
    """Import a class on its first use, because torch delays the --help of the commands in this package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: type = getattr(importlib.import_module("spotting_fdp.spotter"), name)
    return found
