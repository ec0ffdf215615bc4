"""Tables of landmarks that were found earlier: beside the clips, or at a given path."""

import csv
import functools
import importlib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from .crop_geometry_fdp import LANDMARK_NAMES, AlignmentError, check_landmarks

LANDMARK_FILE_NAMES = ("landmarks.parquet", "landmarks.csv")
LANDMARK_COLUMNS = ("clip_id", "frame_index", *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy"))


@dataclass(frozen=True)
class LandmarkTrack:
    """Landmarks of some frames of a clip.

    Args:
        frame_indices (`np.ndarray` of shape `(count,)`): int64, 0-based in the clip, rising; -1 alone: whole clip.
        points (`np.ndarray` of shape `(count, 5, 2)`): float64, pixels (x, y).
    """

    frame_indices: np.ndarray
    points: np.ndarray


def find_landmark_file(clip_path: str) -> str | None:
    """Landmark table beside a clip: in its folder, or in the parent folder.

    Args:
        clip_path (`str`): Frame folder or video file.

    Returns:
        `str` or `None`: Path of the table.
    """
    clip_path = os.path.abspath(clip_path)
    for folder in (clip_path, os.path.dirname(clip_path)):
        for name in LANDMARK_FILE_NAMES:
            if os.path.isfile(os.path.join(folder, name)):
                return os.path.join(folder, name)
    return None


def load_landmarks(path: str) -> dict[str, LandmarkTrack]:
    """Read a landmark table.

    Args:
        path (`str`):
            CSV or Parquet with the columns `clip_id`, `frame_index` (0-based in the clip; -1: whole clip), then
            `left_eye_x`, `left_eye_y`, `right_eye_x`, ..., `right_mouth_corner_y` in pixels.

    Returns:
        `dict[str, LandmarkTrack]`: By clip.

    Raises:
        AlignmentError: If the table is missing, lacks columns or holds other values than numbers.
    """
    if not os.path.isfile(path):
        raise AlignmentError(f"landmarks_path must be a CSV or Parquet file, but there is none at {path!r}; check it")
    return _load_landmarks(path, os.stat(path).st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _load_landmarks(path: str, _modified_ns: int) -> dict[str, LandmarkTrack]:
    columns = _read_parquet(path) if path.lower().endswith((".parquet", ".pq")) else _read_csv(path)
    missing = [name for name in LANDMARK_COLUMNS if name not in columns]
    if missing:
        raise AlignmentError(f"a landmark table needs the columns {missing}, which {path!r} lacks; add them")
    try:
        points = np.array([columns[name] for name in LANDMARK_COLUMNS[2:]], dtype=np.float64).T.reshape(-1, 5, 2)
        frames = np.array(columns["frame_index"], dtype=np.int64)
    except (TypeError, ValueError) as error:
        raise AlignmentError(f"a landmark table holds numbers, but {path!r} does not ({error}); correct it") from error
    rows: dict[str, list[int]] = {}
    for row, clip_id in enumerate(columns["clip_id"]):
        rows.setdefault(str(clip_id), []).append(row)
    tracks = {}
    for clip_id, chosen in rows.items():
        order = sorted(chosen, key=lambda row: int(frames[row]))
        tracks[clip_id] = LandmarkTrack(frames[order], check_landmarks(points[order], f"{clip_id} in {path}"))
    return tracks


def _read_csv(path: str) -> dict[str, list[str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            return {name: [row[name] for row in rows] for name in reader.fieldnames or ()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AlignmentError(f"a landmark table must be readable, but {path!r} is not ({error}); repair it") from error


def _read_parquet(path: str) -> dict[str, list[Any]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise AlignmentError(f"reading {path!r} needs pyarrow; run pip install pyarrow or give a CSV file") from error
    try:
        # One thread, because the table is also read in forked workers.
        columns: dict[str, list[Any]] = parquet.read_table(path, use_threads=False).to_pydict()
    except (OSError, ValueError) as error:
        raise AlignmentError(f"a landmark table must be readable, but {path!r} is not ({error}); repair it") from error
    return columns
