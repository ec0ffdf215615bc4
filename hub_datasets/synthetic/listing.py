"""The files of a finished rendered tree, known from its settings: what may be published, and nothing beside it."""

from __future__ import annotations

import json
from pathlib import Path

from hub_datasets.errors import CorpusError
from hub_datasets.records import RENDERED_MANIFEST
from rendered_faces.variations import Variations

from .landmark_tables import TABLE
from .layouts import MACRO_SHEET, SHEET, SyntheticLayout
from .settings import GENERATOR_VERSION, CorpusSettings


def rendered_settings(root: Path) -> CorpusSettings:
    """Read the settings of a finished tree of the layout `synthetic`.

    Args:
        root (`Path`): The tree.

    Returns:
        `CorpusSettings`: Its settings; of a morphable model the path is not kept, and is given as its folder's name.

    Raises:
        CorpusError: the folder holds no finished tree of that layout, or one of another version of the renderer.
    """
    try:
        manifest = json.loads((root / RENDERED_MANIFEST).read_text(encoding="utf-8"))
        given = dict(manifest["settings"])
        layout, version, digest = manifest["layout"], manifest["generator_version"], manifest["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"a rendered corpus is a finished tree of `python -m hub_datasets generate`, but {root} has no readable "
            f"{RENDERED_MANIFEST} ({error}): render one, or finish this one by the same command."
        ) from error
    if layout != SyntheticLayout.name:
        raise CorpusError(
            f"a rendered corpus for others has the layout synthetic, but {root} has that of {layout} and would be "
            "taken for that corpus: render it with --layout synthetic."
        )
    if version != GENERATOR_VERSION:
        raise CorpusError(
            f"{root} was rendered by version {version} of the renderer, and this is version {GENERATOR_VERSION}, "
            "which cannot tell its files: render it again."
        )
    try:
        for name in ("size_hw", "duration_s"):
            given[name] = tuple(given[name])
        given["face_model"] = "face_model" if given["face_model"] else None
        given["variations"] = None if given["variations"] is None else Variations(**given["variations"])
        settings = CorpusSettings(**given)
    except (KeyError, TypeError) as error:
        raise CorpusError(f"{root / RENDERED_MANIFEST} was changed ({error}): render the corpus again.") from error
    # The digest of a tree of a morphable model also covers the model's files, which need not be here.
    if settings.face_model is None and settings.digest() != digest:
        raise CorpusError(f"{root / RENDERED_MANIFEST} was changed after rendering: render the corpus again.")
    return settings


def rendered_files(settings: CorpusSettings) -> set[str]:
    """List the files of a tree of the layout `synthetic` with these settings (`set[str]`), relative to its root."""
    layout = SyntheticLayout()
    files = {RENDERED_MANIFEST, SHEET, *({MACRO_SHEET} if settings.macro_events else ())}
    for filed in layout.file(settings):
        num_frames = len(settings.performance(filed.plan).curves)
        numbers = range(filed.first_number, filed.first_number + num_frames)
        files |= {f"{filed.folder}/{layout.frame_name(filed, number)}" for number in numbers}
        files |= {filed.truth, f"{filed.folder.rpartition('/')[0]}/{TABLE}"}
    return files
