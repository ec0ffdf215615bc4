"""Writing a corpus to disk: recordings in parallel, each complete or absent, resumable at any moment."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from datasets.utils import tqdm

from hub_datasets.errors import CorpusError
from hub_datasets.records import RENDERED_MANIFEST as MANIFEST
from rendered_faces.faces import Face
from rendered_faces.film import film, jpeg_bytes, measure

from .landmark_tables import TABLES_VERSION, write_landmark_tables
from .layouts import FiledRecording, TreeLayout
from .settings import GENERATOR_VERSION, CorpusSettings

logger = logging.getLogger(__name__)

# Matches what `_temporary_path` returns.
_TEMPORARY_NAME = re.compile(r"\.\d+\.(?P<name>.+)")


def is_complete(root: Path, settings: CorpusSettings, layout: TreeLayout) -> bool:
    """Whether `root` already holds exactly this corpus, finished."""
    manifest = _read_manifest(root)
    return bool(manifest.get("digest") == settings.digest() and manifest.get("layout") == layout.name)


def _read_manifest(root: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return manifest


def write_tree(settings: CorpusSettings, layout: TreeLayout, root: Path, num_proc: int = 1) -> None:
    """Render a corpus into a folder; recordings that are already there are kept, missing landmark tables are added.

    Args:
        settings (`CorpusSettings`): the corpus.
        layout (`TreeLayout`): its folder layout.
        root (`Path`): the folder; made if absent.
        num_proc (`int`, *optional*, defaults to 1): processes that render.

    Raises:
        CorpusError: the folder holds something else, or cannot be written.
    """
    if is_complete(root, settings, layout):
        _add_landmark_tables(settings, layout, root)
        return
    # Both raise for a bad face model or layout before anything is written.
    settings.family()
    filed = layout.file(settings)
    _claim(root, settings, layout)
    missing = [recording for recording in filed if not (root / recording.truth).is_file()]
    if len(missing) < len(filed):
        logger.info("%d of %d recordings are already rendered in %s", len(filed) - len(missing), len(filed), root)
    try:
        _render_all(settings, layout, root, missing, num_proc)
        write_landmark_tables(layout, filed, root)
        _write_sheets(settings, layout, filed, root)
        _sweep(filed, root)
        _write_atomically(root / MANIFEST, lambda path: path.write_text(_manifest(settings, layout), encoding="utf-8"))
        (root / f"{MANIFEST}.unfinished").unlink(missing_ok=True)
    except OSError as error:
        raise CorpusError(
            f"the corpus cannot be written to {root}: {error}; free some space or choose another."
        ) from error


def _add_landmark_tables(settings: CorpusSettings, layout: TreeLayout, root: Path) -> None:
    """Add missing landmark tables to a finished tree, and replace older ones."""
    if _read_manifest(root).get("landmark_tables") == TABLES_VERSION:
        return
    try:
        write_landmark_tables(layout, layout.file(settings), root)
        _write_atomically(root / MANIFEST, lambda path: path.write_text(_manifest(settings, layout), encoding="utf-8"))
    except OSError as error:
        # Not an error, because the frames are usable: the tree may be read-only, or its ground truth moved.
        logger.warning("landmark tables cannot be written to %s: %s", root, error)


def _manifest(settings: CorpusSettings, layout: TreeLayout) -> str:
    content = {
        "what": "rendered faces of nobody; see ground_truth/",
        "layout": layout.name,
        "generator_version": GENERATOR_VERSION,
        "landmark_tables": TABLES_VERSION,
        "digest": settings.digest(),
        # Without the path of the face model, which is private; `digest` covers its files.
        "settings": {**asdict(settings), "face_model": settings.face_model is not None},
    }
    return json.dumps(content, indent=2) + "\n"


def _claim(root: Path, settings: CorpusSettings, layout: TreeLayout) -> None:
    """Make the folder and write the corpus's digest into it, so that two corpora never share a folder.

    Raises:
        CorpusError: it holds another corpus, finished or not, or other files.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        claim = root / f"{MANIFEST}.unfinished"
        owner = f"{layout.name} {settings.digest()}"
        if claim.is_file() and claim.read_text(encoding="utf-8") == owner:
            return
        # A run killed while it wrote the claim leaves a temporary file.
        if not all(_TEMPORARY_NAME.fullmatch(path.name) for path in root.iterdir()):
            raise CorpusError(
                f"a corpus needs a folder of its own, but {root} holds other files or a corpus of other settings: "
                "give an empty folder, or the settings of the corpus in it."
            )
        _write_atomically(claim, lambda path: path.write_text(owner, encoding="utf-8"))
    except OSError as error:
        raise CorpusError(f"the corpus cannot be written to {root}: {error}; choose another folder.") from error


def _render_all(
    settings: CorpusSettings, layout: TreeLayout, root: Path, missing: list[FiledRecording], num_proc: int
) -> None:
    bar = tqdm(total=len(missing), desc="rendering synthetic faces", unit="recording", disable=not missing)
    with bar:
        if num_proc <= 1 or len(missing) < 2:
            for recording in missing:
                render_recording(settings, layout, root, recording)
                bar.update()
            return
        # Spawned, because a forked process would inherit the locks of torch's threads.
        workers = min(num_proc, len(missing))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_use_one_thread) as pool:
            tasks = [pool.submit(render_recording, settings, layout, root, recording) for recording in missing]
            try:
                for task in as_completed(tasks):
                    task.result()
                    bar.update()
            except BrokenProcessPool as error:
                raise CorpusError(
                    f"one of {workers} rendering processes ended without a message. A script that renders in several "
                    'processes needs its work below `if __name__ == "__main__":`, because each process imports the '
                    "script: put it there. Otherwise memory most likely ran out: run it again with fewer processes; "
                    "finished recordings are kept."
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _write_sheets(settings: CorpusSettings, layout: TreeLayout, filed: list[FiledRecording], root: Path) -> None:
    """Write the sheets and put each in place in one step: another process may be reading them already."""
    temporary = root / f".sheets.{os.getpid()}"
    try:
        temporary.mkdir(exist_ok=True)
        layout.write_sheets(settings, filed, temporary)
        for path in temporary.iterdir():
            path.replace(root / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(filed: list[FiledRecording], root: Path) -> None:
    """Remove the temporary files of killed runs, once every recording is in place.

    Where another process is still writing one of them, its [`render_recording`] returns without an error.
    """
    names: dict[Path, set[str]] = {}
    for recording in filed:
        for path in (root / recording.folder, root / recording.truth):
            names.setdefault(path.parent, set()).add(path.name)
    for folder, recorded in names.items():
        for leftover in folder.glob(".*"):
            match = _TEMPORARY_NAME.fullmatch(leftover.name)
            if match is None or match["name"] not in recorded:
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
                continue
            # One that cannot be removed is harmless.
            with suppress(OSError):
                leftover.unlink()


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@lru_cache(maxsize=4)
def built_face(settings: CorpusSettings, face_seed: int) -> Face:
    """Return a subject's face (`Face`); recordings come subject by subject, so it is built once for all of them."""
    return settings.family().face(face_seed, settings.size_hw, settings.switches)


def render_recording(settings: CorpusSettings, layout: TreeLayout, root: Path, filed: FiledRecording) -> None:
    """Render one recording: frames first, ground truth last, each put in place in one step."""
    truth = root / filed.truth
    if truth.is_file():
        # Another process has rendered it.
        return
    face = built_face(settings, filed.plan.face_seed)
    performance = settings.performance(filed.plan)
    folder = root / filed.folder
    temporary = _temporary_path(folder)
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        for position, frame in enumerate(film(face, performance)):
            name = layout.frame_name(filed, filed.first_number + position)
            (temporary / name).write_bytes(jpeg_bytes(frame, performance.jpeg_quality))
        _rename(temporary, folder)
    except FileNotFoundError:
        # Another process finished the recording and ran `_sweep`.
        if not truth.is_file():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    truth.parent.mkdir(parents=True, exist_ok=True)
    _write_atomically(truth, measure(face, performance).save)


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        # Another process, or an interrupted run, has written the same frames.
        if not folder.is_dir():
            raise


def _temporary_path(path: Path) -> Path:
    """Return this process's temporary path for `path`, in the same folder."""
    # The process id comes first, because numpy appends .npz to names that lack it.
    return path.with_name(f".{os.getpid()}.{path.name}")


def _write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, then rename it to `path`."""
    temporary = _temporary_path(path)
    try:
        write(temporary)
        temporary.replace(path)
    except FileNotFoundError:
        # Another process finished the tree and ran `_sweep`.
        if not path.is_file():
            raise
    finally:
        temporary.unlink(missing_ok=True)
