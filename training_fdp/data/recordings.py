"""Whole recordings in place of clips, with the frames before and after: for training on other windows."""

from pathlib import Path

from datasets import Dataset

from hub_datasets.features import ClipRow
from hub_datasets.scanning.folders import list_frames

# Quiet frames that are kept on each side of a movement, in lengths of it: more would not be shown in any window.
SURROUNDINGS = 3


def whole_recordings(dataset: Dataset) -> Dataset:
    """Extend clips to the quiet frames around them, up to the neighbouring clips of the recording.

    Args:
        dataset (`datasets.Dataset`): rows as `hub_datasets.base` describes them, all clips of their recordings.

    Returns:
        `datasets.Dataset`: rows of `with_surroundings`, with at most `SURROUNDINGS` lengths of the movement on each
        side. Clips of videos, and those whose onset or offset is unknown, are unchanged, because evaluation samples
        the latter from their first or to their last frame.
    """
    rows = [with_surroundings(row) if _is_bounded(row) else row for row in dataset]
    movements: dict[Path, list[tuple[int, int]]] = {}
    for row in filter(_is_bounded, rows):
        movements.setdefault(_folder(row), []).append((row["onset_index"], row["offset_index"]))
    bounded = [_up_to_the_neighbours(row, movements[_folder(row)]) if _is_bounded(row) else row for row in rows]
    return Dataset.from_list(bounded, features=dataset.features)


def _is_bounded(row: ClipRow) -> bool:
    return bool(row["frames"]) and row["onset_index"] is not None and row["offset_index"] is not None


def _folder(row: ClipRow) -> Path:
    return Path(row["frames"][0]).parent


def _up_to_the_neighbours(row: ClipRow, movements: list[tuple[int, int]]) -> ClipRow:
    onset, offset = row["onset_index"], row["offset_index"]
    reach = SURROUNDINGS * (offset - onset + 1)
    first = max([0, onset - reach, *(end + 1 for _, end in movements if end < onset)])
    stop = min([len(row["frames"]), offset + reach + 1, *(start for start, _ in movements if start > offset)])
    names = ("onset_index", "apex_index", "offset_index")
    moved = {name: None if row[name] is None else row[name] - first for name in names}
    numbers = row["frame_numbers"]
    cut = {"frames": row["frames"][first:stop], "frame_numbers": None if numbers is None else numbers[first:stop]}
    return {**row, **cut, **moved}


def with_surroundings(row: ClipRow) -> ClipRow:
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
