"""Whole recordings in place of clips, with the frames before and after: for training on other windows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_datasets.scanning.folders import list_frames


def with_surroundings(row: Mapping[str, Any]) -> dict[str, Any]:
    """Extend a clip to all frames of its recording, and shift its key frames accordingly.

    The clip keeps its name, so landmarks and crop do not change. Sampling from onset to offset, as in evaluation,
    still gives the clip alone.

    Args:
        row (`Mapping`): of a corpus, as `hub_datasets.base.clip_features` describes it.

    Returns:
        `dict`: the row with `frames`, `frame_numbers`, `onset_index`, `apex_index` and `offset_index` of its
        recording. A video is unchanged, because rows do not hold its length.
    """
    if not row["frames"]:
        return dict(row)
    first = Path(row["frames"][0])
    listing = list_frames(first.parent)
    start = listing.names.index(first.name)
    key_frames = {
        name: None if row[name] is None else start + row[name]
        for name in ("onset_index", "apex_index", "offset_index")
    }
    frames = [f"{first.parent}/{name}" for name in listing.names]
    return {**row, "frames": frames, "frame_numbers": listing.numbers, **key_frames}
