"""Whole recordings in place of clips, with what was filmed before and after: for training on other windows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_datasets.scanning.folders import list_frames


def with_surroundings(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give a clip all frames of its recording, and its key frames their places among them.

    The clip keeps its name, so its landmarks are found as before and it is cropped as before. Sampling from onset to
    offset, as evaluation does, still shows the clip alone.

    Args:
        row (`Mapping`): of a corpus, as `hub_datasets.base.clip_features` describes it.

    Returns:
        `dict`: the row with `frames`, `frame_numbers`, `onset_index`, `apex_index` and `offset_index` of its
        recording. A video, whose length no row tells, stays as it is.
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
