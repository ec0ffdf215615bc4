"""Folder layouts of a synthetic corpus: its own, or that of a licensed corpus, which that corpus's loader reads."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hub_datasets.errors import CorpusOptionError
from hub_datasets.scanning.sheets import write_workbook
from rendered_faces.motion import Event
from rendered_faces.prototypes import parse_combination

from .settings import CorpusSettings, RecordingPlan

TRUTH_FOLDER = "ground_truth"
SHEET, MACRO_SHEET = "clips.csv", "macro.csv"
COLUMNS = {
    "subject": "Subject",
    "clip": "Recording",
    "onset": "Onset",
    "apex": "Apex",
    "offset": "Offset",
    "fps": "Fps",
    "action_units": "Action Units",
    "emotion": "Emotion",
}
Cell = str | int | None
# Objective classes I to VI by action units (Davison et al., J. Imaging 4(10), 2018); all else is VII.
_OBJECTIVE_CLASSES = (
    ("6", "12", "6+12", "6+7+12", "7+12"),
    ("1+2", "5", "25", "1+2+25", "25+26", "5+24"),
    ("23", "4", "4+7", "4+5", "4+5+7", "17+24", "4+6+7", "4+38"),
    ("10", "9", "4+9", "4+40", "4+5+40", "4+7+9", "4+9+17", "4+7+10", "4+5+7+9", "7+10"),
    ("1", "15", "1+4", "6+15", "15+17"),
    ("1+2+4", "20"),
)


@dataclass(frozen=True)
class FiledRecording:
    """Folder, ground truth and sheet rows of one recording.

    Args:
        plan (`RecordingPlan`): the recording.
        folder (`str`): its frames, relative to the tree.
        truth (`str`): its ground truth, relative to the tree.
        first_number (`int`): frame number of its first frame.
        events (`tuple` of `Event`): its micro-expressions, in 0-based frames.
        macro_events (`tuple` of `Event`, *optional*): its macro-expressions.
    """

    plan: RecordingPlan
    folder: str
    truth: str
    first_number: int
    events: tuple[Event, ...]
    macro_events: tuple[Event, ...] = ()


class TreeLayout(ABC):
    """Folder layout of a corpus."""

    name: str

    @abstractmethod
    def file(self, settings: CorpusSettings) -> list[FiledRecording]:
        """Return folder and sheet rows of every recording."""

    @abstractmethod
    def frame_name(self, filed: FiledRecording, number: int) -> str:
        """Return the file name of a frame by its frame number."""

    def clip_id(self, filed: FiledRecording, event: Event) -> str:
        """Return the id that the loader gives to a micro-expression, e.g. `casme2/sub01/EP31_01/46`."""
        subject, name = filed.folder.split("/")[-2:]
        return f"{self.name}/{subject}/{name}/{filed.first_number + event.onset}"

    @abstractmethod
    def write_sheets(self, settings: CorpusSettings, filed: list[FiledRecording], root: Path) -> None:
        """Write the annotation sheets into `root`."""


def events_of(filed: Iterable[FiledRecording]) -> Iterator[tuple[FiledRecording, Event]]:
    """Yield every micro-expression with its recording, in sheet order."""
    for recording in filed:
        for event in recording.events:
            yield recording, event


class SyntheticLayout(TreeLayout):
    """Recordings by subject and one CSV sheet."""

    name = "synthetic"

    def file(self, settings: CorpusSettings) -> list[FiledRecording]:
        """Return folder and sheet rows of every recording, e.g. `recordings/s001/r001`."""
        filed = []
        for plan in settings.recordings():
            subject, recording = f"s{plan.subject + 1:03d}", f"r{plan.index + 1:03d}"
            performance = settings.performance(plan)
            filed.append(
                FiledRecording(
                    plan=plan,
                    folder=f"recordings/{subject}/{recording}",
                    truth=f"{TRUTH_FOLDER}/{subject}_{recording}.npz",
                    first_number=1,
                    events=performance.events,
                    macro_events=performance.macro_events,
                )
            )
        return filed

    def frame_name(self, filed: FiledRecording, number: int) -> str:
        """Return `00001.jpg` for frame 1."""
        return f"{number:05d}.jpg"

    def write_sheets(self, settings: CorpusSettings, filed: list[FiledRecording], root: Path) -> None:
        """Write `clips.csv`, and `macro.csv` with the same columns where there are macro-expressions."""
        sheets = {SHEET: list(events_of(filed))}
        if settings.macro_events:
            sheets[MACRO_SHEET] = [(recording, event) for recording in filed for event in recording.macro_events]
        for sheet, rows in sheets.items():
            with (root / sheet).open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(COLUMNS.values())
                for recording, event in rows:
                    subject, name = recording.folder.split("/")[-2:]
                    fps = settings.fps_of(recording.plan)
                    writer.writerow(
                        [subject, name, *_numbers(recording, event), fps, event.action_units_text(), event.emotion]
                    )


def objective_class(combination: str) -> int:
    """Return the objective class, 1 to 7, of a combination, e.g. `"6+L12"`; sides do not count."""
    units = frozenset(code for code, _ in parse_combination(combination))
    for number, combinations in enumerate(_OBJECTIVE_CLASSES, start=1):
        if any(units == frozenset(int(code) for code in listed.split("+")) for listed in combinations):
            return number
    return 7


def _first_number(plan: RecordingPlan, low: int, high: int) -> int:
    """Draw the frame number, in its source video, of a clip's first frame."""
    return int(np.random.default_rng([0xF1, *plan.seed]).integers(low, high))


def _require_single_events(settings: CorpusSettings, layout: str) -> None:
    if settings.events_per_recording != 1:
        raise CorpusOptionError(
            f"a row of {layout}'s sheet names a folder of its own, but {settings.events_per_recording} events per "
            "recording were given: use --layout synthetic for recordings with several."
        )
    for requested, kind in (
        (settings.macro_events, "macro-expressions"),
        (settings.quiet_recordings, "recordings without an expression"),
        (settings.switches.frame_rate, "frame rates of their own for recordings (variation frame_rate)"),
    ):
        if requested:
            raise CorpusOptionError(
                f"{layout}'s sheet has no place for {kind}, but they were given: leave them out, or use --layout "
                "synthetic."
            )


class Casme2Layout(TreeLayout):
    """CASME II: the cropped package, or the raw one when there is quiet time around the events."""

    name = "casme2"

    def file(self, settings: CorpusSettings) -> list[FiledRecording]:
        """Return folder and sheet rows of every recording, e.g. `Cropped/Cropped/sub01/EP31_01`.

        Raises:
            CorpusOptionError: more than one event per recording, or more subjects than two digits hold.
        """
        _require_single_events(settings, "CASME II")
        if settings.num_subjects > 99:
            raise CorpusOptionError(
                f"CASME II numbers its subjects with two digits, but {settings.num_subjects} were given: use "
                "--layout synthetic for more than 99."
            )
        filed = []
        for plan in settings.recordings():
            # Episodes from 31 on, which the real corpus lacks, so that no erratum of the loader applies.
            episode = f"EP{31 + plan.index // 9:02d}_{1 + plan.index % 9:02d}"
            subject = f"sub{plan.subject + 1:02d}"
            raw = settings.neutral_s > 0
            package = "CASME2_RAW/CASME2-RAW" if raw else "Cropped/Cropped"
            filed.append(
                FiledRecording(
                    plan=plan,
                    folder=f"{package}/{subject}/{episode}",
                    truth=f"{TRUTH_FOLDER}/{subject}_{episode}.npz",
                    first_number=1 if raw else _first_number(plan, 20, 300),
                    events=settings.performance(plan).events,
                )
            )
        return filed

    def frame_name(self, filed: FiledRecording, number: int) -> str:
        """Return `reg_img46.jpg` in the cropped package, `img46.jpg` in the raw one."""
        return f"{'reg_' if filed.folder.startswith('Cropped') else ''}img{number}.jpg"

    def write_sheets(self, settings: CorpusSettings, filed: list[FiledRecording], root: Path) -> None:
        """Write the coding sheet with its blank columns, and the objective classes."""
        header = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units"]
        rows, classes = [], []
        for recording, event in events_of(filed):
            subject, episode = recording.folder.split("/")[-2:]
            onset, apex, offset = _numbers(recording, event)
            number = subject.removeprefix("sub")
            # CASME II codes sides but no intensities.
            rows.append([number, episode, None, onset, apex, offset, None, event.combination, event.emotion])
            classes.append([number, episode, objective_class(event.combination)])
        write_workbook(
            root / "CASME2-coding-20140508.xlsx",
            {"Sheet1": [[*header, "Estimated Emotion"], *rows], "Sheet2": [], "Sheet3": []},
        )
        write_workbook(
            root / "CASME2-ObjectiveClasses.xlsx", {"Sheet1": [["Subject", "Filename", "Objective Class"], *classes]}
        )


class SammLayout(TreeLayout):
    """SAMM: clip folders, and the sheet with its header in row 14."""

    name = "samm"
    # The real corpus begins with subject 006.
    FIRST_SUBJECT = 6

    def file(self, settings: CorpusSettings) -> list[FiledRecording]:
        """Return folder and sheet rows of every recording, e.g. `SAMM/006/006_1_2`.

        Raises:
            CorpusOptionError: more than one event per recording, or quiet time around it, or too many subjects.
        """
        _require_single_events(settings, "SAMM")
        if settings.neutral_s > 0:
            raise CorpusOptionError(
                f"SAMM's clip folders hold onset to offset only, but neutral_s is {settings.neutral_s}: leave it at "
                "0, or use --layout synthetic."
            )
        if settings.num_subjects > 900:
            raise CorpusOptionError(
                f"SAMM numbers its subjects with three digits, but {settings.num_subjects} were given: use "
                "--layout synthetic for more than 900."
            )
        filed = []
        for plan in settings.recordings():
            subject = f"{plan.subject + self.FIRST_SUBJECT:03d}"
            # Videos from 8 on, because the real corpus has seven a subject and no erratum of the loader then applies.
            clip = f"{subject}_{8 + plan.index // 9}_{1 + plan.index % 9}"
            filed.append(
                FiledRecording(
                    plan=plan,
                    folder=f"SAMM/{subject}/{clip}",
                    truth=f"{TRUTH_FOLDER}/{clip}.npz",
                    first_number=_first_number(plan, 100, 9000),
                    events=settings.performance(plan).events,
                )
            )
        return filed

    def frame_name(self, filed: FiledRecording, number: int) -> str:
        """Return `006_0562.jpg`, or `006_00562.jpg`: the padding varies by source video, as in the real corpus."""
        subject, video = filed.folder.split("/")[-1].split("_")[:2]
        digits = 5 if (int(subject) + int(video)) % 4 == 0 else 4
        return f"{subject}_{number:0{digits}d}.jpg"

    def write_sheets(self, settings: CorpusSettings, filed: list[FiledRecording], root: Path) -> None:
        """Write the sheet below thirteen rows of notes."""
        header = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration"]
        header += ["Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes"]
        blank: list[Cell] = [None]
        notes: list[list[Cell]] = [["Rendered faces of nobody, in the layout of SAMM"], *([blank] * 10)]
        notes += [["'/' = or"], ["L, R = unilateral"]]
        rows: list[list[Cell]] = []
        for recording, event in events_of(filed):
            clip = recording.folder.split("/")[-1]
            onset, apex, offset = _numbers(recording, event)
            emotion = "Other" if event.emotion == "others" else event.emotion.capitalize()
            row: list[Cell] = [clip[:3], clip, 1, onset, apex, offset, offset - onset + 1, "Micro - 1/2"]
            rows.append([*row, event.action_units_text(), emotion, objective_class(event.combination), None])
        write_workbook(root / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": [*notes, header, *rows]})


def _numbers(filed: FiledRecording, event: Event) -> Iterable[int]:
    """Return the corpus's frame numbers of onset, apex and offset."""
    return (filed.first_number + frame for frame in (event.onset, event.apex, event.offset))


LAYOUTS: dict[str, type[TreeLayout]] = {layout.name: layout for layout in (SyntheticLayout, Casme2Layout, SammLayout)}
