"""Corpora by name; a corpus's module is imported on first use."""

import importlib
from pathlib import Path
from typing import Any

import datasets

from hub_datasets.base import CorpusBuilder
from hub_datasets.errors import UnknownCorpusError

# Name on command lines: module and builder class.
_BUILDERS = {
    "casme": ("hub_datasets.casme", "Casme"),
    "casme2": ("hub_datasets.casme2", "Casme2"),
    "samm": ("hub_datasets.samm", "Samm"),
    "samm_long": ("hub_datasets.samm_long", "SammLong"),
    "cas_me_2": ("hub_datasets.cas_me_2", "CasMe2"),
    "cas_me_3": ("hub_datasets.cas_me_3", "CasMe3"),
    "smic": ("hub_datasets.smic", "Smic"),
    "mmew": ("hub_datasets.mmew", "Mmew"),
    "fourdme": ("hub_datasets.fourdme", "FourDme"),
    "dfme": ("hub_datasets.dfme", "Dfme"),
    "megc2019": ("hub_datasets.megc2019", "Megc2019"),
    "custom": ("hub_datasets.custom", "Custom"),
    "synthetic": ("hub_datasets.synthetic.corpus", "Synthetic"),
}
CORPUS_NAMES = tuple(_BUILDERS)
BUILDER_CLASS_NAMES = {class_name: name for name, (_, class_name) in _BUILDERS.items()}


def get_builder_class(name: str) -> type[CorpusBuilder]:
    """Builder class of a corpus.

    Args:
        name (`str`): One of [`CORPUS_NAMES`].

    Returns:
        `type[CorpusBuilder]`: the class, not yet instantiated.

    Raises:
        UnknownCorpusError: there is no corpus of that name.
    """
    if name not in _BUILDERS:
        raise UnknownCorpusError(
            f"a corpus is one of {', '.join(CORPUS_NAMES)}, but {name!r} was given: choose one of them."
        )
    module_name, class_name = _BUILDERS[name]
    builder_class: type[CorpusBuilder] = getattr(importlib.import_module(module_name), class_name)
    return builder_class


def load_corpus(
    name: str,
    data_dir: str | Path | None = None,
    label_set: str | None = None,
    cache_dir: str | Path | None = None,
    num_proc: int | None = None,
    **options: Any,
) -> datasets.Dataset:
    """Load a corpus as a dataset of clip rows; no pixel is read.

    Args:
        name (`str`): One of [`CORPUS_NAMES`].
        data_dir (`str` or `Path`, *optional*): Root of your licensed download; not needed for `synthetic`.
        label_set (`str`, *optional*): Label set; the corpus's first one when omitted.
        cache_dir (`str` or `Path`, *optional*): Where prepared rows are kept; the cache of `datasets` when omitted.
        num_proc (`int`, *optional*): Processes that write the rows.
        **options: Options of the corpus, e.g. `package="cropped"`, `sheet="2019"`.

    Returns:
        `datasets.Dataset`: rows as [`hub_datasets.features.clip_features`] describes them.

    Raises:
        CorpusError: the corpus, its label set, an option, the download or its sheet cannot be used.
    """
    builder_class = get_builder_class(name)
    builder = builder_class(data_dir=data_dir, config_name=label_set, cache_dir=cache_dir, **options)
    return builder.prepare(num_proc=num_proc)
