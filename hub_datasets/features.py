"""The row of a clip: the contract between corpora, training and the Hub."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from datasets import ClassLabel, Features, List, Value

from hub_datasets.scanning.action_units import parse_action_units
from hub_datasets.scanning.cutting import ResolvedClip

# A row as `datasets` returns it, by the columns of [`clip_features`] and those that the corpus adds.
ClipRow: TypeAlias = dict[str, Any]


def clip_features(names: Sequence[str]) -> Features:
    """Columns of a clip row.

    Args:
        names (`Sequence[str]`): Class names in label order.

    Returns:
        `datasets.Features`: `frames` are absolute paths in time order inside [onset, offset], empty when `video` is
        set; then `frame_numbers` are 0-based positions in that video. `onset_index`, `apex_index` and `offset_index`
        are 0-based positions in `frames` (in `frame_numbers` for a video). `clip_end` is the kind of the last frame:
        `offset` (the sheet states it), `apex` (the sheet has no offset, so that the clip stops at the strongest
        frame), `recording` (the sheet has no interval, so that the clip is a whole folder or video, quiet time
        included) or `unknown` (the corpus cut the folder, and no usable offset is published).
    """
    return Features(
        {
            "clip_id": Value("string"),
            "corpus": Value("string"),
            "subject": Value("string"),
            "recording": Value("string"),
            "frames": List(Value("string")),
            "video": Value("string"),
            "frame_numbers": List(Value("int32")),
            "onset_index": Value("int32"),
            "apex_index": Value("int32"),
            "offset_index": Value("int32"),
            "clip_end": Value("string"),
            "fps": Value("float32"),
            "action_units": List(
                {
                    "code": Value("string"),
                    "side": Value("string"),
                    "intensity": Value("string"),
                    "alternative": Value("int32"),
                }
            ),
            "emotion": Value("string"),
            "label": ClassLabel(names=list(names)),
            "notes": List(Value("string")),
        }
    )


def clip_row(clip: ResolvedClip, corpus: str, fps: float) -> dict[str, object]:
    """Row of a clip, as [`clip_features`] describes it.

    Args:
        clip (`ResolvedClip`): The clip.
        corpus (`str`): Name of the corpus, unless the clip's record names another.
        fps (`float`): Frames per second, unless the clip's record has its own.

    Returns:
        `dict[str, object]`: values by column.
    """
    record = clip.record
    location = str(clip.location)
    return {
        "clip_id": record.clip_id,
        "corpus": record.corpus or corpus,
        "subject": record.subject,
        "recording": record.recording,
        "frames": [f"{location}/{name}" for name in clip.names],
        "video": location if clip.is_video else None,
        "frame_numbers": clip.numbers,
        "onset_index": clip.onset_index,
        "apex_index": clip.apex_index,
        "offset_index": clip.offset_index,
        "clip_end": None if record.end is None else record.end.value,
        "fps": record.fps if record.fps is not None else fps,
        "action_units": parse_action_units(record.action_units).as_rows(),
        "emotion": record.emotion,
        "label": clip.label,
        "notes": record.notes,
    }
