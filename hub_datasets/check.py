"""Compare a download with the published counts: the report of `python -m hub_datasets check`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import chain

from hub_datasets.base import CorpusBuilder
from hub_datasets.scanning.action_units import parse_action_units
from hub_datasets.scanning.cutting import LostClip, ResolvedClip
from hub_datasets.scanning.folders import parallel_map
from processing_fdp.frame_files_fdp import read_image
from processing_fdp.frame_source_fdp import VideoReadError
from processing_fdp.video_files_fdp import probe_clip_file, read_through

EXIT_USABLE, EXIT_LOSSES, EXIT_UNUSABLE = 0, 1, 2


@dataclass
class CheckReport:
    """Findings about one corpus and label set; the fields of [`CheckReport.as_json`] are a stable interface.

    Attributes:
        corpus (`str`): Name of the corpus.
        variant (`str`): Sheet version and package that were found.
        rows (`int`): Annotated expressions in the sheet.
        clips (`int`): Usable clips of the label set.
        subjects (`int`): Subjects with a usable clip.
        class_counts (`dict[str, int]`): Usable clips per class.
        expected_class_counts (`dict[str, int]`, *optional*): The published counts for this sheet version, where known.
        missing_frames (`int`): Frames between onset and offset without a file, over all clips.
        repaired (`list[dict[str, str]]`): `clip_id` and `reason` of every note.
        unreadable (`list[dict[str, str]]`): `clip_id` or `path`, and `reason`, of lost clips and of files that cannot
            be read (the latter with `deep` alone).
        usable (`bool`): Whether there is a usable clip.
        label_set (`str`): Name of the label set.
        expected_subjects (`int`, *optional*): The published number of subjects.
        complete_clips (`int`): Clips with every frame.
        surplus_frames (`int`): Files outside the clips where the package should hold none.
        left_out (`int`): Rows that the label set leaves out.
        remarks (`list[str]`): Remarks about the download as a whole.
        clip_ends (`dict[str, int]`): Clips by `clip_end`, the kind of their last frame.
        clips_with_units (`int`): Clips with at least one action unit.
        deep (`bool`): Whether the frames were read.
    """

    corpus: str
    variant: str
    label_set: str
    rows: int = 0
    clips: int = 0
    subjects: int = 0
    class_counts: dict[str, int] = field(default_factory=dict)
    expected_class_counts: dict[str, int] | None = None
    missing_frames: int = 0
    repaired: list[dict[str, str]] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    usable: bool = False
    expected_subjects: int | None = None
    complete_clips: int = 0
    surplus_frames: int = 0
    left_out: int = 0
    remarks: list[str] = field(default_factory=list)
    clip_ends: dict[str, int] = field(default_factory=dict)
    clips_with_units: int = 0
    deep: bool = False

    _JSON_KEYS = (
        "corpus",
        "variant",
        "rows",
        "clips",
        "subjects",
        "class_counts",
        "expected_class_counts",
        "missing_frames",
        "repaired",
        "unreadable",
        "usable",
    )

    @property
    def has_losses(self) -> bool:
        """Whether clips, frames or published counts are missing; repairs alone are no loss."""
        short = any(
            self.class_counts.get(name, 0) < count for name, count in (self.expected_class_counts or {}).items()
        )
        return bool(self.missing_frames or self.unreadable or short)

    @property
    def exit_code(self) -> int:
        """0 when usable, 1 when usable with losses, 2 when not."""
        if not self.usable:
            return EXIT_UNUSABLE
        return EXIT_LOSSES if self.has_losses else EXIT_USABLE

    def as_json(self) -> dict[str, object]:
        """The findings under the documented keys."""
        values = asdict(self)
        return {key: values[key] for key in self._JSON_KEYS}

    def as_text(self) -> str:
        """The findings as text for a terminal."""
        lines = [
            f"corpus           {self.corpus}, label set {self.label_set}",
            f"found            {self.variant}",
            f"rows             {self.rows} in the sheet, {self.left_out} left out by the label set",
            f"clips            {self.clips} usable, {self.complete_clips} of them with all frames",
            f"missing frames   {self.missing_frames}",
            f"surplus frames   {self.surplus_frames}",
            f"last frames      {', '.join(f'{end} {count}' for end, count in self.clip_ends.items()) or 'none'}",
            f"action units     coded in {self.clips_with_units} clips",
            f"subjects         {self.subjects}{_published(self.expected_subjects)}",
        ]
        for name in self.class_counts:
            expected = None if self.expected_class_counts is None else self.expected_class_counts.get(name, 0)
            lines.append(f"  {name:<15}{self.class_counts[name]}{_published(expected)}")
        if not self.deep:
            lines.append("frames           not read, only listed; --deep reads them all")
        lines += [f"note             {remark}" for remark in self.remarks]
        lines += [f"repaired         {item['clip_id']}: {item['reason']}" for item in self.repaired]
        for item in self.unreadable:
            heading, name = ("unreadable", item["path"]) if "path" in item else ("lost clip", item["clip_id"])
            lines.append(f"{heading:<17}{name}: {item['reason']}")
        verdict = {EXIT_USABLE: "usable", EXIT_LOSSES: "usable with losses", EXIT_UNUSABLE: "not usable"}
        return "\n".join([*lines, f"verdict          {verdict[self.exit_code]}"])


def _published(count: int | None) -> str:
    return "" if count is None else f" (published: {count})"


def check_corpus(builder: CorpusBuilder, deep: bool = False) -> CheckReport:
    """Compare the scan of a builder with the published counts.

    Args:
        builder (`CorpusBuilder`): A builder; its rows need not be prepared.
        deep (`bool`, *optional*, defaults to `False`): Read every frame of every clip, as training does.

    Returns:
        `CheckReport`: the findings.
    """
    scan, label_set = builder.scan, builder.label_set
    problems = unreadable_files(scan.clips) if deep else []
    clips = _readable(scan.clips, problems)
    counts = Counter(clip.label for clip in clips)
    expected = label_set.expected_for(scan.sheet_variant)
    return CheckReport(
        corpus=builder.NAME,
        variant=scan.variant,
        label_set=label_set.name,
        rows=scan.rows,
        clips=len(clips),
        subjects=len({clip.record.subject for clip in clips}),
        class_counts={name: counts[name] for name in label_set.names},
        expected_class_counts=None if expected is None else dict(expected.counts),
        expected_subjects=None if expected is None else expected.subjects,
        missing_frames=sum(clip.missing for clip in scan.clips),
        surplus_frames=sum(clip.surplus for clip in scan.clips),
        complete_clips=sum(not clip.missing for clip in clips),
        left_out=scan.left_out,
        repaired=[
            {"clip_id": clip.record.clip_id, "reason": note} for clip in scan.clips for note in clip.record.notes
        ],
        unreadable=[*map(_lost_item, scan.lost), *problems],
        usable=bool(clips),
        remarks=list(scan.remarks),
        clip_ends=dict(Counter(clip.record.end.value for clip in clips if clip.record.end is not None)),
        clips_with_units=sum(bool(parse_action_units(clip.record.action_units).as_rows()) for clip in clips),
        deep=deep,
    )


def _readable(clips: list[ResolvedClip], problems: list[dict[str, str]]) -> list[ResolvedClip]:
    """The clips that training can use beside these problems of `unreadable_files`."""
    lost = {item["clip_id"] for item in problems if "clip_id" in item}
    paths = {item["path"] for item in problems if "path" in item}
    return [clip for clip in clips if clip.record.clip_id not in lost and paths.isdisjoint(_files(clip))]


def _files(clip: ResolvedClip) -> list[str]:
    return [str(clip.location)] if clip.is_video else [str(clip.location / name) for name in clip.names]


def unreadable_files(clips: list[ResolvedClip]) -> list[dict[str, str]]:
    """Read the frames of all clips with the reader of training.

    Returns:
        `list[dict[str, str]]`: `path` and `reason` of files that cannot be used, and `clip_id` and `reason` of clips
        whose frames cannot be used together.
    """
    # Clips of one recording share frames and videos: each file is read once.
    images = dict.fromkeys(str(clip.location / name) for clip in clips for name in clip.names)
    first = {str(clip.location / clip.names[0]) for clip in clips if clip.names}
    read = parallel_map(lambda path: _read_image(path, path in first), images, "reading images", "image")
    size_of = dict(zip(images, read, strict=True))
    recordings: dict[str, list[ResolvedClip]] = {}
    for clip in clips:
        if clip.is_video:
            recordings.setdefault(str(clip.location), []).append(clip)
    problems = [{"path": path, "reason": size} for path, size in size_of.items() if isinstance(size, str)]
    problems += chain.from_iterable(parallel_map(_video_problems, recordings.items(), "reading videos", "video"))
    return problems + [
        {"clip_id": clip.record.clip_id, "reason": f"its frames must have one size, but have {', '.join(sizes)}"}
        for clip in clips
        if len(sizes := _sizes(size_of[str(clip.location / name)] for name in clip.names)) > 1
    ]


def _sizes(sizes: Iterable[tuple[int, int] | str]) -> list[str]:
    return sorted({f"{size[1]} x {size[0]}" for size in sizes if not isinstance(size, str)})


def _read_image(path: str, is_first: bool) -> tuple[int, int] | str:
    try:
        return read_image(path, is_first)
    except VideoReadError as error:
        return str(error)


def _video_problems(recording: tuple[str, list[ResolvedClip]]) -> list[dict[str, str]]:
    """What is wrong with the clips of one video: those behind a damage are lost and those before it are not."""
    path, clips = recording
    try:
        count = probe_clip_file(path).frame_count
    except VideoReadError as error:
        return [{"path": path, "reason": str(error)}]
    problems = []
    inside = []
    for clip in clips:
        last = max(clip.numbers)
        if last < count:
            inside.append(clip)
        else:
            reason = f"{path} has {count} frames, but it needs frame {last}, counted from 0"
            problems.append({"clip_id": clip.record.clip_id, "reason": reason})
    if inside and _cannot_read(path, inside):
        reasons = {clip.record.clip_id: _cannot_read(path, [clip]) for clip in inside}
        problems += [{"clip_id": clip_id, "reason": reason} for clip_id, reason in reasons.items() if reason]
    return problems


def _cannot_read(path: str, clips: list[ResolvedClip]) -> str:
    """Why the frames of these clips of one video cannot be read; empty where they can."""
    try:
        read_through(path, sorted(set().union(*(clip.numbers for clip in clips))))
    except VideoReadError as error:
        return str(error)
    return ""


def _lost_item(lost: LostClip) -> dict[str, str]:
    return {"clip_id": lost.clip_id, "reason": lost.reason}
