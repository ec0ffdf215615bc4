"""What a download really holds, beside what was published: the report behind `python -m hub_datasets check`."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from hub_datasets.base import CorpusBuilder
from hub_datasets.scanning.cutting import LostClip, ResolvedClip
from hub_datasets.scanning.folders import parallel_map
from hub_datasets.scanning.video_files import probe_video

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
        unreadable (`list[dict[str, str]]`): `clip_id` or `path`, and `reason`, of clips that were lost and of images
            that cannot be opened (the latter only when asked to look).
        usable (`bool`): Whether training can begin, losses or not.
        label_set (`str`): Name of the label set.
        expected_subjects (`int`, *optional*): The published number of subjects.
        complete_clips (`int`): Clips with every frame.
        surplus_frames (`int`): Files that should not be there.
        left_out (`int`): Rows that the label set does not want.
        remarks (`list[str]`): What was noticed about the download as a whole.
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

    def as_json(self) -> dict[str, Any]:
        """The findings under the documented keys."""
        values = asdict(self)
        return {key: values[key] for key in self._JSON_KEYS}

    def as_text(self) -> str:
        """The findings for people."""
        lines = [
            f"corpus           {self.corpus}, label set {self.label_set}",
            f"found            {self.variant}",
            f"rows             {self.rows} in the sheet, {self.left_out} left out by the label set",
            f"clips            {self.clips} usable, {self.complete_clips} of them with all frames",
            f"missing frames   {self.missing_frames}",
            f"surplus frames   {self.surplus_frames}",
            f"subjects         {self.subjects}{_published(self.expected_subjects)}",
        ]
        for name in self.class_counts:
            expected = None if self.expected_class_counts is None else self.expected_class_counts.get(name, 0)
            lines.append(f"  {name:<15}{self.class_counts[name]}{_published(expected)}")
        lines += [f"note             {remark}" for remark in self.remarks]
        lines += [f"repaired         {item['clip_id']}: {item['reason']}" for item in self.repaired]
        lines += [
            f"unreadable       {item.get('path') or item['clip_id']}: {item['reason']}" for item in self.unreadable
        ]
        verdict = {EXIT_USABLE: "usable", EXIT_LOSSES: "usable with losses", EXIT_UNUSABLE: "not usable"}
        return "\n".join([*lines, f"verdict          {verdict[self.exit_code]}"])


def _published(count: int | None) -> str:
    return "" if count is None else f" (published: {count})"


def check_corpus(builder: CorpusBuilder, deep: bool = False) -> CheckReport:
    """Report on what a builder found.

    Args:
        builder (`CorpusBuilder`): A corpus at its folder; nothing needs to be prepared.
        deep (`bool`, *optional*, defaults to `False`): Decode every image and open every video.

    Returns:
        `CheckReport`: the findings.
    """
    scan, label_set = builder.scan, builder.label_set
    counts = Counter(clip.label for clip in scan.clips)
    expected = label_set.expected_for(scan.sheet_variant)
    report = CheckReport(
        corpus=builder.NAME,
        variant=scan.variant,
        label_set=label_set.name,
        rows=scan.rows,
        clips=len(scan.clips),
        subjects=len({clip.record.subject for clip in scan.clips}),
        class_counts={name: counts[name] for name in label_set.names},
        expected_class_counts=None if expected is None else dict(expected.counts),
        expected_subjects=None if expected is None else expected.subjects,
        missing_frames=sum(clip.missing for clip in scan.clips),
        surplus_frames=sum(clip.surplus for clip in scan.clips),
        complete_clips=sum(not clip.missing for clip in scan.clips),
        left_out=scan.left_out,
        repaired=[
            {"clip_id": clip.record.clip_id, "reason": note} for clip in scan.clips for note in clip.record.notes
        ],
        unreadable=[_lost_item(lost) for lost in scan.lost],
        usable=bool(scan.clips),
        remarks=list(scan.remarks),
    )
    if deep:
        report.unreadable += unreadable_files(scan.clips)
    return report


def unreadable_files(clips: list[ResolvedClip]) -> list[dict[str, str]]:
    """Open every image and every video of the clips.

    Returns:
        `list[dict[str, str]]`: `path` and `reason` of those that cannot be used.
    """
    # Clips of one recording share frames and videos: each file is opened once.
    images = dict.fromkeys(str(clip.location / name) for clip in clips for name in clip.names)
    needed: dict[str, int] = {}
    for clip in clips:
        if clip.is_video:
            needed[str(clip.location)] = max(clip.numbers[-1], needed.get(str(clip.location), 0))
    problems = [
        *zip(images, parallel_map(image_problem, images, "opening images", "image"), strict=True),
        *zip(needed, parallel_map(_video_problem, needed.items(), "opening videos", "video"), strict=True),
    ]
    return [{"path": path, "reason": problem} for path, problem in problems if problem]


def _video_problem(needed: tuple[str, int]) -> str:
    path, last = needed
    probed = probe_video(Path(path))
    if isinstance(probed, str):
        return probed
    return "" if last < probed[0] else f"it has {probed[0]} frames, but a clip needs frame {last}, counted from 0"


def _lost_item(lost: LostClip) -> dict[str, str]:
    return {"clip_id": lost.clip_id, "reason": lost.reason}


def image_problem(path: str | Path) -> str:
    """Decode an image and say what is wrong with it; '' when nothing is."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
