"""Frame numbers counted in the whole recording or from the clip's start, distinguished by the frames on disk."""

from hub_datasets.records import ClipEnd, ClipRecord
from hub_datasets.scanning.cutting import Scan
from hub_datasets.scanning.folders import FrameListing

_NUMBERING, _RECORDING = "numbering", "recording"


def number_from_clip_start(record: ClipRecord, listing: FrameListing) -> None:
    """Renumber a record from the clip's start where its sheet counts in the whole recording.

    A record whose interval lies within the frames is unchanged. The interval is shifted where the folder holds as many
    frames as it has, and [`numbering_remarks`] reports that once; otherwise the clip takes the whole folder, without
    apex.

    Args:
        record (`ClipRecord`): changed in place.
        listing (`FrameListing`): frames of a folder that holds the clip and nothing else.
    """
    if record.onset is None or record.offset is None or not listing.numbers or listing.numbers[0] > 1:
        return
    first, last = listing.numbers[0], listing.numbers[-1]
    if record.onset <= last and record.offset <= last:
        return
    length = record.offset - record.onset + 1
    written = f"{record.onset}..{record.offset}"
    if length == last - first + 1:
        shift = record.onset - first
        record.onset, record.offset = first, last
        if record.apex is not None:
            record.apex -= shift
        record.attributes[_NUMBERING] = _RECORDING
    elif record.onset > last:
        record.onset, record.apex, record.offset, record.end = first, None, last, ClipEnd.UNKNOWN
        record.notes.append(
            f"the frames {written} do not exist, the folder holds {first}..{last}: all were taken, without apex"
        )


def numbering_remarks(scan: Scan) -> list[str]:
    """Remarks about the numbering of a download: one sentence, or none where sheet and files agree."""
    count = sum(clip.record.attributes.get(_NUMBERING) == _RECORDING for clip in scan.clips)
    if not count:
        return []
    return [
        f"{count} of {len(scan.clips)} clips: the sheet counts frames in the recording, the files count from the clip"
    ]
