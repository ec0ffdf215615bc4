"""From records of a sheet to frames on disk: errata, subjects, intervals, missing frames; repairs add notes."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hub_datasets.records import RENDERED_MANIFEST, ClipEnd, ClipRecord, Erratum, Wrong
from hub_datasets.scanning.cells import first_spellings, subject_key
from hub_datasets.scanning.folders import FrameListing
from processing_fdp.frame_listing_fdp import describe_left_out

# Bounds mistyped intervals, because the frames of a video are not listed (our choice).
LONGEST_VIDEO_CLIP = 100_000


@dataclass
class ResolvedClip:
    """A clip whose frames were found.

    Attributes:
        record (`ClipRecord`): The clip after errata.
        location (`Path`): Folder of the frames, or the video file.
        names (`list[str]`): Frame file names in time order; empty for a video.
        numbers (`list[int]`): The corpus's frame numbers (0-based positions for a video).
        onset_index, offset_index (`int`): Positions in `numbers`.
        apex_index (`int`, *optional*): Position of the apex, `None` when unknown.
        label (`str`): Class name.
        missing (`int`): Frame numbers between onset and offset without a file.
        surplus (`int`): Files outside onset to offset where the package promises none, and images that are no frames.
    """

    record: ClipRecord
    location: Path
    names: list[str]
    numbers: list[int]
    onset_index: int
    apex_index: int | None
    offset_index: int
    label: str
    missing: int = 0
    surplus: int = 0

    @property
    def is_video(self) -> bool:
        """Whether the frames must be cut from a video file."""
        return not self.names


@dataclass(frozen=True)
class LostClip:
    """A clip of the sheet that cannot be used, and why."""

    clip_id: str
    reason: str


@dataclass
class Scan:
    """Result of scanning a download.

    Attributes:
        variant (`str`): Sheet version, file and package, in words.
        sheet_variant (`str`): Sheet version alone, which selects the published counts.
        rows (`int`): Annotated expressions in the sheet.
        clips (`list[ResolvedClip]`): Usable clips of the chosen label set, in sheet order.
        lost (`list[LostClip]`): Clips of the label set that cannot be used.
        left_out (`int`): Rows that the label set leaves out.
        remarks (`list[str]`): Remarks about the download as a whole.
        fingerprint (`str`): Digest of the rows and the sheets; names the cache folder.
    """

    variant: str
    sheet_variant: str
    rows: int = 0
    clips: list[ResolvedClip] = field(default_factory=list)
    lost: list[LostClip] = field(default_factory=list)
    left_out: int = 0
    remarks: list[str] = field(default_factory=list)
    fingerprint: str = ""


def apply_errata(records: Iterable[ClipRecord], errata: Iterable[Erratum]) -> None:
    """Correct records in place where they have the error of an erratum; each correction adds a note."""
    by_clip: dict[str, list[Erratum]] = {}
    for erratum in errata:
        if not erratum.if_frames_agree:
            by_clip.setdefault(erratum.clip, []).append(erratum)
    for record in records:
        for erratum in by_clip.get(record.key, ()):
            if is_wrong(record, erratum):
                correct(record, erratum)


def is_wrong(record: ClipRecord, erratum: Erratum) -> bool:
    """Whether a record has the error of an erratum."""
    value = read_field(record, erratum.field)
    if erratum.wrong is Wrong.OUTSIDE_INTERVAL:
        onset, apex, offset = record.onset, record.apex, record.offset
        return onset is not None and offset is not None and apex is not None and not onset <= apex <= offset
    if erratum.wrong is Wrong.ANYTHING_ELSE:
        return value != erratum.right
    return value == erratum.wrong


def read_field(record: ClipRecord, name: str) -> object:
    """Value of a field that an erratum names; `interval` is the pair (onset, offset)."""
    return (record.onset, record.offset) if name == "interval" else getattr(record, name)


def correct(record: ClipRecord, erratum: Erratum) -> None:
    """Write the right value of an erratum, and a note."""
    before = read_field(record, erratum.field)
    if erratum.field == "interval":
        record.onset, record.offset = erratum.interval
    else:
        setattr(record, erratum.field, erratum.right)
    record.notes.append(f"{erratum.field} {before} -> {erratum.right}: {erratum.reason} ({erratum.source})")


def unify_subjects(records: Sequence[ClipRecord]) -> list[str]:
    """Write every subject in one spelling, the first of the sheet, because a fold would train on the other one.

    Args:
        records (`Sequence[ClipRecord]`): Corrected in place; each correction adds a note.

    Returns:
        `list[str]`: one sentence for each subject with several spellings.
    """
    chosen = first_spellings((record.subject for record in records), subject_key)
    for record in records:
        if (right := chosen[record.subject]) != record.subject:
            record.notes.append(f"subject {record.subject!r} -> {right!r}: two spellings of one subject")
            record.subject = right
    return describe_spellings(chosen)


def describe_spellings(chosen: Mapping[str, str]) -> list[str]:
    """Describe the subjects with several spellings (`list[str]`), in one sentence each.

    Args:
        chosen (`Mapping[str, str]`): The spelling that is kept, by spelling; see [`first_spellings`].
    """
    spellings: dict[str, list[str]] = {}
    for text, right in chosen.items():
        spellings.setdefault(right, []).append(repr(text))
    return [
        f"the subjects {', '.join(texts)} are taken for one person, {right!r}: give different people different names"
        for right, texts in spellings.items()
        if len(texts) > 1
    ]


def choose_interval(record: ClipRecord, listing: FrameListing, errata: Sequence[Erratum]) -> None:
    """Choose between the intervals of sheet versions by the frames on disk.

    Args:
        record (`ClipRecord`): Corrected in place.
        listing (`FrameListing`): Frames of a folder that holds onset to offset and nothing else.
        errata (`Sequence[Erratum]`): Those of this clip.
    """
    if record.onset is None or record.offset is None or not listing.numbers:
        return
    best = None
    fewest = _misfit(listing.numbers, record.onset, record.offset)
    for erratum in errata:
        if not erratum.if_frames_agree:
            continue
        if (record.onset, record.offset) == erratum.wrong and (
            misfit := _misfit(listing.numbers, *erratum.interval)
        ) < fewest:
            best, fewest = erratum, misfit
    if best is None:
        return
    correct(record, best)
    interval = range(best.interval[0], best.interval[1] + 1)
    if record.apex not in interval:
        # The apex belongs to the discarded interval.
        apexes = (erratum for erratum in errata if erratum.field == "apex" and erratum.right in interval)
        if (apex := next(apexes, None)) is not None:
            correct(record, Erratum(apex.clip, "apex", record.apex, apex.right, apex.reason, apex.source))


def _misfit(numbers: list[int], onset: int, offset: int) -> int:
    present = bisect_right(numbers, offset) - bisect_left(numbers, onset)
    missing = max(0, offset - onset + 1) - present
    return missing + len(numbers) - present


def cut_clip(record: ClipRecord, listing: FrameListing, *, label: str, only_interval: bool) -> ResolvedClip | LostClip:
    """Cut the frames of a clip out of its folder.

    Args:
        record (`ClipRecord`): The clip after errata; every repair adds a note.
        listing (`FrameListing`): Frames of the folder.
        label (`str`): Class of the clip.
        only_interval (`bool`): The folder should hold onset to offset and nothing else; other frames are surplus.

    Returns:
        `ResolvedClip` or `LostClip`: the latter when no frame of the interval exists.
    """
    if not listing.numbers:
        return LostClip(record.clip_id, f"no frames in {listing.folder}")
    if listing.by_position and (record.onset is not None or record.offset is not None):
        return LostClip(
            record.clip_id,
            f"the frames {record.onset}..{record.offset} cannot be found, because no run of digits numbers the frames "
            f"of {listing.folder} ({listing.names[0]!r} to {listing.names[-1]!r}): rename them, or leave onset and "
            "offset out",
        )
    onset, offset = _interval(record, listing, only_interval)
    if record.end is None:
        record.end = _end_of(record, only_interval)
    if offset < onset:
        return LostClip(record.clip_id, f"offset {offset} lies before onset {onset}")
    first, past = bisect_left(listing.numbers, onset), bisect_right(listing.numbers, offset)
    numbers, names = listing.numbers[first:past], listing.names[first:past]
    if not numbers:
        held = f"{listing.numbers[0]}..{listing.numbers[-1]}"
        return LostClip(record.clip_id, f"the folder holds frames {held}, none of the interval {onset}..{offset}")
    missing = offset - onset + 1 - len(numbers)
    if missing:
        record.notes.append(f"{missing} of the {offset - onset + 1} frames {onset}..{offset} are missing on disk")
    outside = len(listing.numbers) - len(numbers) if only_interval else 0
    if outside:
        record.notes.append(f"{outside} frames outside the interval {onset}..{offset} were left out")
    if listing.left_out:
        record.notes.append(describe_left_out(listing.left_out, listing.folder.name))
    return ResolvedClip(
        record=record,
        location=listing.folder,
        names=names,
        numbers=numbers,
        onset_index=0,
        apex_index=apex_position(record, numbers, onset, offset),
        offset_index=len(numbers) - 1,
        label=label,
        missing=missing,
        surplus=outside + len(listing.left_out),
    )


def _interval(record: ClipRecord, listing: FrameListing, only_interval: bool) -> tuple[int, int]:
    onset, offset = record.onset, record.offset
    if onset is None or offset is None or (offset < onset and only_interval):
        whole = (listing.numbers[0], listing.numbers[-1])
        if onset is not None or offset is not None:
            record.notes.append(
                f"interval {onset}..{offset} is incomplete: the whole folder was taken, {whole[0]}..{whole[1]}"
            )
        return whole
    return onset, offset


def _end_of(record: ClipRecord, only_interval: bool) -> ClipEnd:
    """Kind of the last frame of [`_interval`]."""
    onset, offset = record.onset, record.offset
    if onset is not None and offset is not None and (onset <= offset or not only_interval):
        return ClipEnd.OFFSET
    return ClipEnd.RECORDING if onset is None and offset is None and not only_interval else ClipEnd.UNKNOWN


def cut_video(record: ClipRecord, path: Path, label: str, first_number: int) -> ResolvedClip | LostClip:
    """Cut a clip out of a video file by position; rows count its frames from 0, also where the sheet does not.

    Args:
        record (`ClipRecord`): The clip after errata, with onset and offset; every repair adds a note.
        path (`Path`): The video.
        label (`str`): Class of the clip.
        first_number (`int`): Number of the video's first frame in the sheet.

    Returns:
        `ResolvedClip` or `LostClip`: the latter where the interval is invalid or longer than 100,000 frames.
    """
    onset, apex, offset = record.onset, record.apex, record.offset
    if onset is None or offset is None or not first_number <= onset <= offset:
        return LostClip(record.clip_id, f"a video needs a valid interval, not {onset}..{offset}")
    if offset - onset >= LONGEST_VIDEO_CLIP:
        return LostClip(record.clip_id, f"the interval {onset}..{offset} is too long for an expression")
    numbers = list(range(onset - first_number, offset - first_number + 1))
    if apex is not None and not onset <= apex <= offset:
        record.notes.append(f"apex {apex} lies outside the interval {onset}..{offset} and was dropped")
        apex = None
    if record.end is None:
        record.end = ClipEnd.OFFSET
    return ResolvedClip(
        record=record,
        location=path,
        names=[],
        numbers=numbers,
        onset_index=0,
        apex_index=None if apex is None else apex - onset,
        offset_index=len(numbers) - 1,
        label=label,
    )


def apex_position(record: ClipRecord, numbers: list[int], onset: int, offset: int) -> int | None:
    """Index of the apex in `numbers`: `None` when unknown or outside, that of the nearest frame when it is missing."""
    if record.apex is None:
        return None
    if not onset <= record.apex <= offset:
        record.notes.append(f"apex {record.apex} lies outside the interval {onset}..{offset} and was dropped")
        return None
    index = min(bisect_left(numbers, record.apex), len(numbers) - 1)
    if index > 0 and record.apex - numbers[index - 1] < abs(numbers[index] - record.apex):
        index -= 1
    if numbers[index] != record.apex:
        record.notes.append(
            f"apex frame {record.apex} is missing on disk: the nearest, {numbers[index]}, stands for it"
        )
    return index


def rendered_root(clips: Iterable[ResolvedClip], top: Path) -> Path | None:
    """Find the rendered tree that holds the frames of all clips.

    Args:
        clips (`Iterable[ResolvedClip]`): Clips that lie below `top`.
        top (`Path`): Root of the download; a rendered tree may lie any number of folders below it.

    Returns:
        `Path` or `None`: the folder of its manifest; `None` if a clip is in no rendered tree, or there is no clip.
    """
    roots = {top: top if (top / RENDERED_MANIFEST).is_file() else None}

    def root_of(folder: Path) -> Path | None:
        if folder not in roots:
            roots[folder] = folder if (folder / RENDERED_MANIFEST).is_file() else root_of(folder.parent)
        return roots[folder]

    # The manifest is above the folders of clips, except where the download is a single clip.
    clip_roots = [root_of(top if clip.location == top else clip.location.parent) for clip in clips]
    return clip_roots[0] if clip_roots and None not in clip_roots else None
