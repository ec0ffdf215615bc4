"""Settings of a synthetic corpus, which determine every pixel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from hub_datasets.errors import CorpusError, CorpusOptionError, DatasetNotFoundError
from rendered_faces.errors import FaceModelNotFoundError, RenderingError, RenderingOptionError
from rendered_faces.faces import FaceFamily, subject_light
from rendered_faces.film import check_recording
from rendered_faces.motion import Performance, plan_performance
from rendered_faces.prototypes import MIXES, deal_emotions
from rendered_faces.variations import BUILT_IN_YAW, MORPHABLE_YAW, Variations, switches_of
from rendered_faces.wild import drawn_frame_rate

# Raise it whenever the same settings would give other pixels or another truth: caches are then rendered again.
# 8: two samples a pixel, shaded once where they lie on one surface; sensor noise drawn by torch; motion below a
# thousandth of a pixel is none; the built-in faces take rough steps first.
# 9: edges of polygons by linear functions and blur by shifted sums, so that few gray values differ, nearly all by 1.
GENERATOR_VERSION = 9


@dataclass(frozen=True)
class CorpusSettings:
    """A synthetic corpus.

    Args:
        num_subjects (`int`, *optional*, defaults to 10): identities.
        num_clips (`int`, *optional*, defaults to 120): micro-expressions, dealt evenly to the subjects.
        seed (`int`, *optional*, defaults to 0): seed of every random draw.
        size_hw (`tuple` of two `int`, *optional*, defaults to `(128, 128)`): height and width of the frames.
        difficulty (`str`, *optional*, defaults to `"mild"`): `"mild"`, `"medium"`, `"hard"` or `"wild"`; see
            `motion.DIFFICULTIES`.
        fps (`float`, *optional*, defaults to 100.0): frames per second, 60 to 200 in the field; the variation
            `frame_rate` draws another one for each recording.
        duration_s (`tuple` of two `float`, *optional*, defaults to `(0.2, 0.4)`): shortest and longest
            micro-expression.
        mix (`str`, *optional*, defaults to `"3class"`): how often each emotion occurs; see `prototypes.MIXES`.
        events_per_recording (`int`, *optional*, defaults to 1): micro-expressions in one recording.
        neutral_s (`float`, *optional*, defaults to 0.0): mean quiet time before, between and after them, in seconds.
        speech (`bool`, *optional*, defaults to `False`): whether the subjects talk.
        face_model (`str`, *optional*): folder of a morphable model; the built-in faces when omitted.
        timing (`str`, *optional*, defaults to `"pulse"`): course of the events in time, one of `events.TIMINGS`, or
            `"mixed"`.
        durations (`str`, *optional*): corpus whose published durations are drawn instead of `duration_s`, one of
            `events.PUBLISHED_DURATIONS`.
        macro_events (`int`, *optional*, defaults to 0): macro-expressions inserted into each recording.
        quiet_recordings (`int`, *optional*, defaults to 0): further recordings of each subject in which no expression
            occurs.
        variations (`Variations`, *optional*): enabled variations; those of the difficulty when omitted.

    Raises:
        CorpusOptionError: a setting is out of its range.
    """

    num_subjects: int = 10
    num_clips: int = 120
    seed: int = 0
    size_hw: tuple[int, int] = (128, 128)
    difficulty: str = "mild"
    fps: float = 100.0
    duration_s: tuple[float, float] = (0.2, 0.4)
    mix: str = "3class"
    events_per_recording: int = 1
    neutral_s: float = 0.0
    speech: bool = False
    face_model: str | None = None
    timing: str = "pulse"
    durations: str | None = None
    macro_events: int = 0
    quiet_recordings: int = 0
    variations: Variations | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("num_subjects", 1, 9_999),
            ("num_clips", 1, 10_000_000),
            ("seed", 0, 2**63 - 1),
            ("events_per_recording", 1, 1000),
            ("macro_events", 0, 1000),
            ("quiet_recordings", 0, 1000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise CorpusOptionError(
                    f"{name} must be {low} to {high}, but {value} was given: choose within that range."
                )
        try:
            check_recording(
                self.size_hw,
                self.fps,
                self.difficulty,
                self.duration_s,
                self.neutral_s,
                self.timing,
                self.durations,
            )
        except RenderingOptionError as error:
            raise CorpusOptionError(str(error)) from error
        if self.macro_events and not self.neutral_s:
            raise CorpusOptionError(
                f"macro-expressions need quiet time around them, but macro_events is {self.macro_events} and "
                "neutral_s is 0: give neutral_s, e.g. 2."
            )
        if self.mix not in MIXES:
            raise CorpusOptionError(
                f"mix is one of {', '.join(MIXES)}, but {self.mix!r} was given: choose one of them."
            )

    @property
    def switches(self) -> Variations:
        """The enabled variations."""
        return switches_of(self.difficulty) if self.variations is None else self.variations

    def digest(self) -> str:
        """Return a short digest of the settings and of the generator's version."""
        # A face model is identified by its files, not by its path.
        numbers = {**asdict(self), "face_model": self._face_model_files(), "variations": self.switches.chosen()}
        text = json.dumps([GENERATOR_VERSION, numbers], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def _face_model_files(self) -> list[list[str | int]]:
        """Return names and sizes of the model's files: another model at the same path gives other pixels.

        Raises:
            DatasetNotFoundError: the folder cannot be read.
        """
        if self.face_model is None:
            return []
        folder = Path(self.face_model)
        try:
            return [[path.name, path.stat().st_size] for path in sorted(folder.rglob("*.[on][bp][jz]"))]
        except OSError as error:
            raise DatasetNotFoundError(
                f"the face model at {folder} cannot be read ({error}): pass the folder of an ICT-FaceKit clone."
            ) from error

    def family(self) -> FaceFamily:
        """Return the face family.

        Raises:
            DatasetNotFoundError: `face_model` is no folder with a morphable model.
            CorpusError: its rasteriser is not installed.
        """
        if self.face_model is None:
            from rendered_faces.procedural.face import ProceduralFaces

            return ProceduralFaces()
        try:
            from rendered_faces.morphable.face import MorphableFaces

            return MorphableFaces(Path(self.face_model))
        except FaceModelNotFoundError as error:
            raise DatasetNotFoundError(str(error)) from error
        except RenderingError as error:
            raise CorpusError(str(error)) from error

    def recordings(self) -> Iterator[RecordingPlan]:
        """Yield the recordings to render, subject by subject."""
        rng = np.random.default_rng([0xC0F, self.seed])
        emotions = deal_emotions(rng, self.num_clips, self.mix)
        # 32-bit identities from 2**16 on, because examples use smaller ones.
        faces = np.random.default_rng([0x1D, self.seed]).integers(2**16, 2**32, self.num_subjects)
        for subject, clips in enumerate(np.array_split(np.arange(self.num_clips), self.num_subjects)):
            for index, start in enumerate(range(0, len(clips), self.events_per_recording)):
                chosen = clips[start : start + self.events_per_recording]
                yield RecordingPlan(
                    subject=subject,
                    index=index,
                    face_seed=int(faces[subject]),
                    seed=(self.seed, subject, index),
                    emotions=tuple(emotions[clip] for clip in chosen),
                )
            num_recordings = -(-len(clips) // self.events_per_recording)
            for index in range(num_recordings, num_recordings + self.quiet_recordings):
                yield RecordingPlan(subject, index, int(faces[subject]), (self.seed, subject, index))

    def fps_of(self, recording: RecordingPlan) -> float:
        """Return the frame rate of a recording."""
        return drawn_frame_rate(self.switches, recording.seed, self.fps)

    def performance(self, recording: RecordingPlan) -> Performance:
        """Return the script of a recording without rendering it."""
        rng = np.random.default_rng([0x3AC, *recording.seed])
        macros = rng.choice(list(MIXES[self.mix]), self.macro_events) if recording.emotions else ()
        return plan_performance(
            recording.seed,
            [(emotion, None) for emotion in recording.emotions],
            fps=self.fps,
            difficulty=self.difficulty,
            duration_s=self.duration_s,
            neutral_s=self.neutral_s,
            speech=self.speech,
            timing=self.timing,
            durations=self.durations,
            macros=tuple(map(str, macros)),
            variations=self.switches,
            largest_yaw=BUILT_IN_YAW if self.face_model is None else MORPHABLE_YAW,
            light=subject_light(recording.face_seed),
        )


@dataclass(frozen=True)
class RecordingPlan:
    """Plan of one recording.

    Args:
        subject (`int`): 0-based subject.
        index (`int`): 0-based recording of that subject.
        face_seed (`int`): identity.
        seed (`tuple` of `int`): seed of the script.
        emotions (`tuple` of `str`): of its events, in order; none in a quiet recording.
    """

    subject: int
    index: int
    face_seed: int
    seed: tuple[int, ...]
    emotions: tuple[str, ...] = field(default=())
