"""One offline HTML page of a corpus: the page of `python -m hub_datasets view`."""

import base64
import io
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from hub_datasets.base import CorpusBuilder
from hub_datasets.check import CheckReport, check_corpus
from hub_datasets.errors import CorpusError, CorpusOptionError
from hub_datasets.features import ClipRow
from hub_datasets.records import ClipEnd
from hub_datasets.scanning.cutting import ResolvedClip
from processing_fdp.frame_source_fdp import ValueRangeWarning, VideoReadError

if TYPE_CHECKING:
    from processing_fdp import FDPVideoProcessor

_TEMPLATE = Path(__file__).with_name("view_template.html")
# Height and width of the frames on the page, in pixels, and their JPEG quality (our choice): 15 kB a clip.
FRAME_SIZE = 96
_JPEG_QUALITY = 85
# Bins of the histogram of lengths, in milliseconds; a micro-expression lasts at most 500. The last bin is open.
LENGTH_BIN_MS, _LENGTH_BINS = 100, 11
# What `check` and the processor report of a clip, as the page's filter names it.
FLAGS = (
    "repaired",
    "frames missing",
    "frames left out",
    "no apex",
    "no offset",
    "length unknown",
    "frames doubtful",
    "not readable",
)


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram.

    Attributes:
        name (`str`): What is counted.
        count (`int`): Clips.
        published (`int`, *optional*): Clips in the publication, where known.
    """

    name: str
    count: int
    published: int | None = None


@dataclass(frozen=True)
class KeyFrame:
    """One frame of a film strip.

    Attributes:
        name (`str`): See [`key_positions`]; '' for a frame between.
        number (`int`): The corpus's frame number (0-based position for a video).
        time_ms (`int`, *optional*): Time since the first frame in milliseconds; `None` without a frame rate.
        image (`str`): Data URI of the aligned crop, a gray JPEG.
    """

    name: str
    number: int
    time_ms: int | None
    image: str


@dataclass(frozen=True)
class ClipView:
    """One clip as the page shows it.

    Attributes:
        row (`ClipRow`): Its row, see [`clip_features`].
        length_ms (`int`, *optional*): Time from the first to the last frame, both included.
        units (`tuple[str, ...]`): Action units as they are written, e.g. `L12B` and `6?` for a doubtful one.
        strip (`list[KeyFrame]`): Aligned frames; none where they cannot be read.
        flags (`dict[str, list[str]]`): What is to be known about the clip, by name of [`FLAGS`], with sentences.
    """

    row: ClipRow
    length_ms: int | None
    units: tuple[str, ...]
    strip: list[KeyFrame]
    flags: dict[str, list[str]]


def write_page(
    builder: CorpusBuilder, output_file: Path, allow_face_figures: bool = False, limit: int | None = None
) -> int:
    """Write one HTML file that shows a corpus and loads nothing.

    It is written clip by clip, so that one strip at a time is in memory, and replaces `output_file` when complete.

    Args:
        builder (`CorpusBuilder`): A builder; its rows need not be prepared.
        output_file (`Path`): The page, an `.html` file.
        allow_face_figures (`bool`, *optional*, defaults to `False`): Show the faces of a corpus whose licence was
            checked; rendered faces need no permission.
        limit (`int`, *optional*): Clips in the list, evenly spread over the sheet; all when omitted. Histograms count
            every clip.

    Returns:
        `int`: clips in the list.

    Raises:
        CorpusOptionError: `output_file` or `limit` cannot be used.
        CorpusError: the faces may not be shown, no clip can be used or the file cannot be written.
    """
    if output_file.suffix.lower() not in (".html", ".htm"):
        raise CorpusOptionError(
            f"--output_file is a page, but {str(output_file)!r} was given: end its name in .html, so that no other "
            "file is replaced."
        )
    if limit is not None and limit < 1:
        raise CorpusOptionError(f"--limit takes a whole number from 1 on, but {limit} was given: raise it.")
    clips = builder.scan.clips
    if not clips:
        raise CorpusError(
            f"a page needs clips, but none of {builder.NAME} can be used: `python -m hub_datasets check "
            f"{builder.NAME}` lists the reasons."
        )
    is_rendered = builder.faces_may_be_published or builder.is_rendered
    if not is_rendered and not allow_face_figures:
        raise CorpusError(
            f"a page shows faces, and those of {builder.NAME} are of real people ({builder.LICENSE.rstrip('.')}): "
            "check what you agreed to, then add --allow_face_figures and keep the file to yourself."
        )
    shown = clips if limit is None else _spread(clips, limit)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    fields = _page_fields(builder, len(shown), is_rendered)
    # Beside the page, because a rename within a folder leaves the old page or the new one, never half of one.
    part = output_file.with_name(f".{output_file.name}.part")
    try:
        output_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                part.open("w", encoding="utf-8", errors="backslashreplace") as stream,
                tqdm(clip_views(builder, shown), f"{builder.NAME}: drawing", len(shown), False, unit="clip") as views,
            ):
                stream.writelines(template.generate(clips=views, **fields))
            os.replace(part, output_file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise CorpusError(f"the page cannot be written to {output_file} ({error}): choose another file.") from error
    return len(shown)


def _spread(clips: Sequence[ResolvedClip], limit: int) -> list[ResolvedClip]:
    """Choose clips evenly spread over the sheet, because the first ones are of one subject."""
    rows = np.unique(np.rint(np.linspace(0, len(clips) - 1, min(limit, len(clips)))).astype(int))
    return [clips[row] for row in rows]


def _page_fields(builder: CorpusBuilder, num_shown: int, is_rendered: bool) -> dict[str, object]:
    """Fields of the template besides the clips, from the annotations alone."""
    clips, report = builder.scan.clips, check_corpus(builder)
    rows: list[ClipRow] = [builder.to_row(clip) for clip in clips]
    units = Counter(code for row in rows for code in {unit["code"] for unit in row["action_units"]})
    lengths = [_length_ms(row, clip) for row, clip in zip(rows, clips, strict=True)]
    histograms = {
        "Classes": class_histogram(report),
        "Length, first to last frame": length_histogram(lengths),
        "Action units": [Bar(code, units[code]) for code in sorted(units, key=_unit_order)],
    }
    return {
        "title": builder.TITLE,
        "licence": builder.LICENSE,
        "is_rendered": is_rendered,
        "report": report,
        "num_shown": num_shown,
        "histograms": histograms,
        "subjects": sorted({row["subject"] for row in rows}),
        "flag_names": FLAGS,
        "frame_size": FRAME_SIZE,
    }


def class_histogram(report: CheckReport) -> list[Bar]:
    """Usable clips of each class, with the published counts."""
    published = report.expected_class_counts
    return [
        Bar(name, count, None if published is None else published.get(name, 0))
        for name, count in report.class_counts.items()
    ]


def length_histogram(lengths_ms: Sequence[int | None]) -> list[Bar]:
    """Count lengths in bins of 100 ms; the last bin is open, and unknown lengths have a bar of their own if any.

    Args:
        lengths_ms (`Sequence[int]`): Milliseconds, `None` where unknown.

    Returns:
        `list[Bar]`: bins in rising order.
    """
    known = [length for length in lengths_ms if length is not None]
    counts = Counter(min(length // LENGTH_BIN_MS, _LENGTH_BINS - 1) for length in known)
    last = (_LENGTH_BINS - 1) * LENGTH_BIN_MS
    names = [f"{start} to {start + LENGTH_BIN_MS - 1} ms" for start in range(0, last, LENGTH_BIN_MS)]
    bars = [Bar(name, counts[index]) for index, name in enumerate([*names, f"{last} ms and more"])]
    return [*bars, Bar("unknown", len(lengths_ms) - len(known))] if len(known) < len(lengths_ms) else bars


def _length_ms(row: ClipRow, clip: ResolvedClip) -> int | None:
    """Length by frame numbers, so that a missing frame does not shorten the clip."""
    return round(1000 * (clip.numbers[-1] - clip.numbers[0] + 1) / row["fps"]) if row["fps"] else None


def _unit_order(code: str) -> tuple[str, int]:
    """Action units first, by number; then descriptors (AD) and head and eye codes (M)."""
    kind = code.rstrip("0123456789")
    return kind, int(code[len(kind) :] or 0)


def clip_views(builder: CorpusBuilder, clips: Sequence[ResolvedClip]) -> Iterator[ClipView]:
    """Yield clips as the page shows them, one at a time.

    Args:
        builder (`CorpusBuilder`): The corpus of the clips.
        clips (`Sequence[ResolvedClip]`): Those to show.
    """
    # Here, because the processor imports torch, which no other command of the corpora needs.
    from processing_fdp import FDPVideoProcessor

    processor = FDPVideoProcessor(size=FRAME_SIZE)
    for clip in clips:
        row: ClipRow = builder.to_row(clip)
        length_ms = _length_ms(row, clip)
        flags = _flags_of(clip, length_ms)
        strip: list[KeyFrame] = []
        try:
            strip, doubts = film_strip(processor, row, clip)
        except VideoReadError as error:
            flags["not readable"] = [str(error)]
        else:
            if doubts:
                flags["frames doubtful"] = doubts
        units = tuple(
            f"{unit['side']}{unit['code']}{unit['intensity']}{'?' if unit['alternative'] else ''}"
            for unit in row["action_units"]
        )
        yield ClipView(row, length_ms, units, strip, flags)


def _flags_of(clip: ResolvedClip, length_ms: int | None) -> dict[str, list[str]]:
    """Flags that need no frame."""
    found = {
        "repaired": clip.record.notes,
        "frames missing": [f"{clip.missing} frames between onset and offset have no file"] * bool(clip.missing),
        "frames left out": [f"{clip.surplus} files of the folder are no frames of the clip"] * bool(clip.surplus),
        "no apex": ["the sheet has no apex that can be used"] * (clip.apex_index is None),
        "no offset": [f"clip_end is {clip.record.end}"] * (clip.record.end is not ClipEnd.OFFSET),
        "length unknown": ["the frame rate is unknown"] * (length_ms is None),
    }
    return {name: list(sentences) for name, sentences in found.items() if sentences}


def key_positions(clip: ResolvedClip) -> dict[int, str]:
    """Positions of the frames of a strip in rising order, with their names.

    Onset, apex and offset with a frame between each two; without an apex, five frames evenly spread. An end
    of the clip that is no annotated onset or offset is named `first` or `last`.

    Returns:
        `dict[int, str]`: names by 0-based position in the clip; '' for frames between.
    """
    onset, apex, offset = clip.onset_index, clip.apex_index, clip.offset_index
    if apex is None:
        between = [onset + (offset - onset) * quarter // 4 for quarter in (1, 2, 3)]
    else:
        between = [(onset + apex) // 2, (apex + offset) // 2]
    names: dict[int, list[str]] = {position: [] for position in between}
    # Quiet time may be at both ends of a recording, and only a stated offset is one.
    first = "first" if clip.record.end is ClipEnd.RECORDING else "onset"
    last = "offset" if clip.record.end is ClipEnd.OFFSET else "last"
    for name, position in ((first, onset), ("apex", apex), (last, offset)):
        if position is not None:
            names.setdefault(position, []).append(name)
    return {position: ", ".join(names[position]) for position in sorted(names)}


def film_strip(processor: "FDPVideoProcessor", row: ClipRow, clip: ResolvedClip) -> tuple[list[KeyFrame], list[str]]:
    """Align the key frames of a clip as training does.

    Args:
        processor (`FDPVideoProcessor`): Its size is that of the frames.
        row (`ClipRow`): Row of the clip.
        clip (`ResolvedClip`): The clip.

    Returns:
        `tuple[list[KeyFrame], list[str]]`: the frames, and what makes them doubtful, one sentence each.

    Raises:
        VideoReadError: the frames cannot be read.
    """
    positions = key_positions(clip)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        aligned = processor.align_clip(
            row["video"] or row["frames"],
            np.array(list(positions)),
            frame_numbers=row["frame_numbers"] if row["video"] else None,
            clip_id=row["clip_id"],
        )
    # Those of the face are in its report, and those of frames that were left out in the notes of the row.
    doubts = [str(warning.message) for warning in caught if issubclass(warning.category, ValueRangeWarning)]
    start = clip.numbers[0]
    strip = [
        KeyFrame(
            name,
            number := clip.numbers[position],
            round(1000 * (number - start) / row["fps"]) if row["fps"] else None,
            _data_uri(pixels.numpy()),
        )
        for (position, name), pixels in zip(positions.items(), aligned.frames, strict=True)
    ]
    return strip, [*aligned.report.warnings(), *doubts]


def _data_uri(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
