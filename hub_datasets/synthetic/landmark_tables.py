"""The exact five points of every frame, written where a video processor looks for known landmarks.

One `landmarks.parquet` in each subject's folder, beside the folders of frames: `alignment=precomputed` finds it there,
and no scanner of a corpus takes it for a frame, a sheet or a package.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from rendered_faces.faces import FloatArray

from .layouts import FiledRecording, TreeLayout

# Name and columns that `alignment=precomputed` of processing_fdp reads.
TABLE = "landmarks.parquet"
POINTS = ("left_eye", "right_eye", "nose_tip", "left_mouth_corner", "right_mouth_corner")
# Raise it whenever tables change: those of older trees are then rewritten, without rendering a frame.
TABLES_VERSION = 1


def write_landmark_tables(layout: TreeLayout, filed: Iterable[FiledRecording], root: Path) -> None:
    """Write the tables of a rendered tree, one subject at a time.

    Rows of a clip have the id of its loader and frames counted from the onset. Rows of a whole recording have the name
    of its folder, for callers who give that folder to a video processor.

    Args:
        layout (`TreeLayout`): folder layout of the tree.
        filed (`Iterable` of `FiledRecording`): its recordings, subject by subject.
        root (`Path`): the tree.

    Raises:
        OSError: a ground truth is missing or damaged, or the tree cannot be written.
    """
    for folder, recordings in groupby(filed, key=lambda recording: (root / recording.folder).parent):
        table = _subject_table(layout, recordings, root)
        # Another process may be writing the same table.
        temporary = folder / f".{os.getpid()}.{TABLE}"
        parquet.write_table(table, temporary)
        temporary.replace(folder / TABLE)


def _subject_table(layout: TreeLayout, recordings: Iterable[FiledRecording], root: Path) -> pa.Table:
    names: list[str] = []
    indices: list[np.ndarray] = []
    points: list[FloatArray] = []
    for recording in recordings:
        try:
            with np.load(root / recording.truth) as truth:
                five_points = truth["five_points"]
        except (BadZipFile, KeyError, ValueError) as error:
            raise OSError(f"the ground truth {recording.truth} is damaged: {error}") from error
        whole = (Path(recording.folder).name, five_points)
        clips = (
            (layout.clip_id(recording, event), five_points[event.onset : event.offset + 1])
            for event in recording.events
        )
        for name, part in (whole, *clips):
            names += [name] * len(part)
            indices.append(np.arange(len(part), dtype=np.int32))
            points.append(part)
    columns = np.concatenate(points).reshape(-1, 2 * len(POINTS)).T
    coordinates = [f"{point}_{axis}" for point in POINTS for axis in "xy"]
    return pa.table(
        {
            "clip_id": names,
            "frame_index": np.concatenate(indices),
            **dict(zip(coordinates, np.ascontiguousarray(columns), strict=True)),
        }
    )
