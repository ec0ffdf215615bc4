"""Aligned clips on disk: every clip is read, aligned and resized once, then memory-mapped by all later runs.

`python -m training_fdp.data --corpus NAME --data_dir DIR` fills the cache without training.
"""

import contextlib
import gc
import hashlib
import json
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow
import torch
from pyarrow import parquet
from tqdm import tqdm

from evaluation_fdp.atomic_files import name_beside
from evaluation_fdp.errors import ConfigError
from processing_fdp.crop_geometry_fdp import AlignmentError, FaceNotFoundError
from processing_fdp.frame_source_fdp import VideoReadError
from processing_fdp.landmark_tables_fdp import LANDMARK_COLUMNS, find_landmark_file
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.clips import Clip
from training_fdp.errors import TrainingError

if TYPE_CHECKING:  # datasets and pandas, which a prediction does without
    from datasets import Dataset

    from hub_datasets.features import ClipRow

logger = logging.getLogger(__name__)

# Errors of one clip, not of the settings.
UNUSABLE = (VideoReadError, FaceNotFoundError)
# Increase when the same inputs and settings give other pixels than before.
CACHE_VERSION = 1
# Columns of a clip beside its pixels.
_CLIP_COLUMNS = (
    *("clip_id", "subject", "label", "onset_index", "apex_index", "offset_index", "action_units"),
    "frames",
)
_STALE_SECONDS = 24 * 3600
# Settings that do not change prepared frames: they select among them, even their light or only describe them.
_SETTINGS_AFTER_PREPARATION = frozenset(
    {"num_frames", "even_light", "do_sample_frames", "return_metadata", "auto_map"}
)
# Files whose content decides the pixels, beside the frames themselves.
_FILE_SETTINGS = ("landmark_model_path", "landmarks_path")


def _stamp(path: str) -> tuple[str, int, int]:
    """Path, size and modification time of a file; a missing file or folder has size -1."""
    try:
        status = os.stat(path)
    except OSError:
        return path, -1, 0
    return path, status.st_size, status.st_mtime_ns


def _settings_digest(processor: FDPVideoProcessor) -> str:
    settings = {key: value for key, value in processor.to_dict().items() if key not in _SETTINGS_AFTER_PREPARATION}
    files = [_stamp(settings[key]) for key in _FILE_SETTINGS if settings.get(key)]
    text = json.dumps([CACHE_VERSION, settings, files], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _clip_digest(settings_digest: str, row: "ClipRow", has_table_beside: bool = False) -> str:
    files = [_stamp(row["video"])] if row["video"] else [_stamp(path) for path in row["frames"]]
    numbers = list(row["frame_numbers"] or []) if row["video"] else []
    table = find_landmark_file(row["video"] or os.path.dirname(row["frames"][0])) if has_table_beside else None
    tables = [] if table is None else [_stamp(table)]
    # The clip's name finds its landmarks in a landmark file, so it belongs to the input.
    text = json.dumps([settings_digest, row["clip_id"], files, numbers, *tables])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_array(path: Path, values: np.ndarray) -> None:
    """Write all or nothing: a killed run leaves no half array under the final name."""
    with _replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, values)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` on success.

    Not synced to disk as results are, because a cache can be filled again.
    """
    temporary = name_beside(path, ".part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_stale_parts(folder: Path) -> None:
    """Remove files of killed runs; those of running processes are younger than a day."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()


def _landmarks_path(path: Path) -> Path:
    return path.with_suffix(".landmarks.npy")


def _prepare_one(processor: FDPVideoProcessor, row: "ClipRow", path: Path) -> None:
    source = row["video"] or row["frames"]
    numbers = row["frame_numbers"] if row["video"] else None
    clip = processor.align_clip(source, frame_numbers=numbers, clip_id=row["clip_id"])
    if clip.track is not None:
        # (count, 1 + 10): frame_index, then x and y of the five points.
        points = clip.track.points.reshape(len(clip.track.points), 10)
        write_array(_landmarks_path(path), np.column_stack([clip.track.frame_indices, points]))
    write_array(path, clip.frames.cpu().numpy())


_worker_processor: FDPVideoProcessor | None = None


def _start_worker(processor: FDPVideoProcessor) -> None:
    global _worker_processor
    _worker_processor = processor
    # One thread per process, because there is one process per core.
    torch.set_num_threads(1)


def _work(row: "ClipRow", path: Path) -> None:
    if _worker_processor is None:
        raise RuntimeError("a worker prepares clips with the processor of _start_worker, which was not called")
    _prepare_one(_worker_processor, row, path)


class AlignedClips:
    """Prepared clips of a dataset, read lazily from the cache.

    Labels and other columns stay in the dataset's rows, so another label set uses the same cache.

    Args:
        dataset (`datasets.Dataset`): Rows as `hub_datasets.base` describes them.
        paths (`Sequence[Path]`): One `.npy` file per row: uint8 (num_frames, height, width).
        lost (`Mapping[int, str]`, *optional*): Reasons why clips could not be prepared, by their index in the original
            dataset; they are not among the rows.
    """

    def __init__(self, dataset: "Dataset", paths: Sequence[Path], lost: Mapping[int, str] | None = None) -> None:
        self.paths = list(paths)
        self.lost = dict(lost or {})
        known = [name for name in _CLIP_COLUMNS if name in dataset.column_names]
        self._rows = dataset.select_columns(known)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Clip:
        """Return one clip (`Clip`); its frames are read lazily."""
        row = self._rows[index]
        return Clip(
            clip_id=row["clip_id"],
            subject=row["subject"],
            pixels=self.paths[index],
            label=row["label"],
            onset=row["onset_index"],
            apex=row["apex_index"],
            offset=row["offset_index"],
            action_units=tuple(row.get("action_units") or ()),
            frame_files=tuple(row.get("frames") or ()),
        )

    def write_landmarks(self, path: str | os.PathLike[str]) -> int:
        """Write the landmarks by which the clips were cropped, in the form that `alignment="precomputed"` reads.

        Args:
            path (`str` or `os.PathLike`): Parquet file.

        Returns:
            `int`: Clips that have landmarks; without any, nothing is written.
        """
        columns: dict[str, list[object]] = {name: [] for name in LANDMARK_COLUMNS}
        count = 0
        for clip_id, clip_path in zip(self._rows["clip_id"], self.paths, strict=True):
            if not _landmarks_path(clip_path).exists():
                continue
            count += 1
            for values in np.load(_landmarks_path(clip_path)):
                columns["clip_id"].append(clip_id)
                columns["frame_index"].append(int(values[0]))
                for name, value in zip(LANDMARK_COLUMNS[2:], values[1:], strict=True):
                    columns[name].append(float(value))
        if count:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with _replacing(Path(path)) as temporary:
                parquet.write_table(pyarrow.table(columns), temporary)
        return count

    def __iter__(self) -> Iterator[Clip]:
        return (self[index] for index in range(len(self)))


def prepare_clips(
    dataset: "Dataset",
    processor: FDPVideoProcessor,
    cache_dir: str | os.PathLike[str],
    num_proc: int | None = None,
    desc: str = "Aligning clips",
    keep_going: bool = False,
) -> AlignedClips:
    """Read, align and resize every clip of a dataset, or find it in the cache.

    A clip is prepared again when its files (path, size, modification time), its landmark table, its frame numbers or
    the settings of the processor that decide pixels have changed. Clips prepared by an interrupted run are kept.

    Args:
        dataset (`datasets.Dataset`): Rows as `hub_datasets.base` describes them.
        processor ([`FDPVideoProcessor`]): Prepares the clips.
        cache_dir (`str` or `os.PathLike`): Folder of the cache; made where missing.
        num_proc (`int`, *optional*, defaults to the machine's cores): Processes.
        desc (`str`, *optional*, defaults to `"Aligning clips"`): Title of the progress bar.
        keep_going (`bool`, *optional*, defaults to `False`): Leave out clips that cannot be read or have no face,
            instead of raising.

    Returns:
        `AlignedClips`: One entry per row, in the order of the dataset; `lost` holds those left out.

    Raises:
        VideoReadError: A clip cannot be read.
        FaceNotFoundError: A clip has no face and `missing_face` does not allow that.
        TrainingError: A process that prepared clips died.
    """
    if num_proc is not None and num_proc < 1:
        raise ConfigError(f"num_proc must be a whole number from 1 on, got {num_proc}; leave it out for all cores")
    settings_digest = _settings_digest(processor)
    folder = Path(cache_dir) / settings_digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    has_table_beside = processor.alignment == "precomputed" and not processor.landmarks_path
    columns = dataset.select_columns(["clip_id", "video", "frames", "frame_numbers"])
    paths, missing = [], {}
    for row in columns:
        path = folder / f"{_clip_digest(settings_digest, row, has_table_beside)}.npy"
        paths.append(path)
        if path not in missing and not path.exists():
            missing[path] = row
    _remove_stale_parts(folder)
    workers = min(num_proc or _usable_cores(), len(missing))
    refused: dict[Path, str] = {}

    def refuse(path: Path, error: Exception) -> None:
        if not keep_going or isinstance(error, AlignmentError):  # settings with which no clip can be aligned
            raise error
        refused[path] = " ".join(str(error).split())

    with tqdm(total=len(missing), desc=desc, unit="clip", disable=not missing) as progress:
        if workers > 1:
            _prepare_in_processes(processor, missing, workers, progress, refuse)
        else:
            for path, row in missing.items():
                try:
                    _prepare_one(processor, row, path)
                except UNUSABLE as error:
                    refuse(path, error)
                progress.update()
    if not refused:
        return AlignedClips(dataset, paths)
    kept = [row for row, path in enumerate(paths) if path not in refused]
    lost = {row: refused[path] for row, path in enumerate(paths) if path in refused}
    return AlignedClips(dataset.select(kept), [paths[row] for row in kept], lost)


def _usable_cores() -> int:
    """Cores that this process may use; a cluster may assign only part of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare_in_processes(
    processor: FDPVideoProcessor,
    missing: dict[Path, "ClipRow"],
    workers: int,
    progress: tqdm,
    refuse: Callable[[Path, Exception], None],
) -> None:
    # A fork shares imported modules and starts at once, but cannot use CUDA.
    can_fork = "fork" in multiprocessing.get_all_start_methods() and not torch.cuda.is_initialized()
    context = multiprocessing.get_context("fork" if can_fork else "spawn")
    # A child must not free the parent's decoders: FFmpeg's scaler would wait for threads that a fork does not copy.
    gc.collect()
    gc.freeze()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(processor,)) as pool:
        # One clip at a time: batches were measured to save 1 % at most, and the bar would move in jumps.
        jobs = {pool.submit(_work, row, path): path for path, row in missing.items()}
        try:
            for job in as_completed(jobs):
                try:
                    job.result()
                except UNUSABLE as error:
                    refuse(jobs[job], error)
                progress.update()
        except BrokenProcessPool as error:
            raise TrainingError(
                "processes that prepare clips must finish, but one was killed (too little memory, or a decoder that "
                "crashed); run again with num_proc=1 to find the clip"
            ) from error
        finally:
            gc.unfreeze()
            pool.shutdown(cancel_futures=True)
