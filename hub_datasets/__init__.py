"""Facial micro-expression corpora as `datasets` builders: one file per corpus, rows that hold paths and no pixels.

`load_corpus("casme2", data_dir=..., label_set="5class")` returns the rows,
`Casme2(data_dir=..., config_name="5class")` the builder. Builder modules are imported on first use.
"""

import importlib
from typing import Any

from hub_datasets.errors import (
    CorpusError,
    CorpusOptionError,
    DatasetNotFoundError,
    SheetError,
    UnknownCorpusError,
    UnknownLabelSetError,
)

_FROM_REGISTRY = ("CORPUS_NAMES", "get_builder_class", "load_corpus")

__all__ = [
    "CORPUS_NAMES",
    "CorpusError",
    "CorpusOptionError",
    "DatasetNotFoundError",
    "SheetError",
    "UnknownCorpusError",
    "UnknownLabelSetError",
    "get_builder_class",
    "load_corpus",
]


def __getattr__(name: str) -> Any:
    """Import the registry and the builder classes on first use, because importing `datasets` takes seconds."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    registry = importlib.import_module("hub_datasets.registry")
    if name in _FROM_REGISTRY:
        return getattr(registry, name)
    if name in registry.BUILDER_CLASS_NAMES:
        return registry.get_builder_class(registry.BUILDER_CLASS_NAMES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
