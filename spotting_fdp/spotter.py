"""Expressions of one face in a recording of any length, read once and in bounded memory."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation_fdp.spotting import kind_of
from processing_fdp.clip_reading_fdp import ClipSource, open_frames
from processing_fdp.frame_source_fdp import MAX_RECORDING_FRAMES, FrameSource, VideoReadError
from processing_fdp.video_processing_fdp import warn_in_metadata_only
from spotting_fdp.face_stream import CropSettings, FacePart, FaceStream, Interruption
from spotting_fdp.intervals import MARGIN, WINDOW, Activity, FoundInterval, IntervalFinder
from spotting_fdp.motion_stream import RATE, MotionStream
from spotting_fdp.network import NETWORK_NAME, find_network, is_unknown
from spotting_fdp.thresholds import CLOSED_FORM

# Share of the length of an interval that is added on each side for the recogniser. On rendered faces accuracy is the
# same with 0 to 20% and lower with 40% (our choice).
SURROUNDINGS = 0.2
# Least frame rate at which a block of motion, two seconds, has `motion_stream.LEAST_FRAMES`.
LEAST_SPOTTED_FPS = 4.0
# Below this many frames per second a micro-expression of a third of a second has fewer than five frames.
LEAST_FPS = 15.0
# Points of the activity curve that are kept, up to twice as many, because a picture does not show more.
ACTIVITY_POINTS = 2000
# A recording of which less than this share shows the face, or with less than this many seconds of it, is doubtful.
LEAST_SHARE_SEEN, LEAST_SECONDS = 0.5, 5.0


@dataclass(frozen=True)
class Recognition:
    """Class and action units of an interval.

    Args:
        label (`str`, *optional*): The class; `None` where none is named.
        confidence (`float`, *optional*): Its probability, in [0, 1].
        probabilities (`dict[str, float]`): Of all classes.
        action_units (`dict[str, float]`): Probability of each unit, by its FACS code.
        reason (`str`): Why no class is named; `""` where one is.
        moves (`bool`): Whether the recogniser sees a movement at all.
    """

    label: str | None = None
    confidence: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    action_units: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    moves: bool = True


class Recognizer(Protocol):
    """Names the expression in the crops of an interval; `crop` says how these must be cut."""

    crop: CropSettings

    def recognize(self, crops: NDArray[np.uint8], fps: float, talking: bool) -> Recognition:
        """Name the expression in gray crops `(num_frames, height, width)`; `talking`: whether the mouth talks."""


@dataclass(frozen=True)
class SpottedExpression:
    """One expression that was found.

    Args:
        onset, apex, offset (`int`): 0-based frames of the recording, the offset included.
        onset_s, apex_s, offset_s (`float`): The same in seconds from the first frame.
        kind (`str`): `"micro"` up to half a second from onset to offset, else `"macro"`.
        score (`float`): Of the spotting network, its probability of an expression in [0, 1]; of the closed form, the
            motion at the apex in robust standard deviations above the recording's median.
        talking (`bool`): Whether the mouth talks around the apex; the closed form then judges the upper face alone.
        recognition (`Recognition`, *optional*): Class and action units; `None` without a recogniser.
    """

    onset: int
    apex: int
    offset: int
    onset_s: float
    apex_s: float
    offset_s: float
    kind: str
    score: float
    talking: bool
    recognition: Recognition | None = None

    @property
    def is_shown(self) -> bool:
        """Whether the recogniser agrees that something moves; while the mouth talks its view does not count (`bool`).

        It sees what the spotting network does not: noise and nods have no action unit. While the mouth talks something
        always moves.
        """
        return self.talking or self.recognition is None or self.recognition.moves


@dataclass
class SpottingResult:
    """The expressions of one recording.

    Args:
        input (`str`): The recording as it was given.
        frames_per_second (`float`): Its frame rate.
        num_frames (`int`): Number of its frames.
        expressions (`list[SpottedExpression]`): In time order; they do not overlap.
        least_score (`float`): Least score of an expression.
        false_alarms_per_minute (`float`): Rate at which rendered people at rest reach `least_score`.
        share_seen (`float`): Share of the frames that show the face, in [0, 1].
        talking_share (`float`): Share of the seen time in which the mouth talks, in [0, 1].
        interruptions (`list[Interruption]`): Moments across which no motion was measured.
        activity (`list[tuple[float, float, bool]]`): Time in seconds, highest score from there to the next entry, and
            whether the mouth talks; for the picture.
        warnings (`list[str]`): Reasons to doubt the result, one sentence each.
        left_out (`int`): Intervals that are not among the expressions, because the mouth does not talk in them and the
            recogniser sees no movement.
    """

    input: str
    frames_per_second: float
    num_frames: int
    expressions: list[SpottedExpression]
    least_score: float
    false_alarms_per_minute: float
    share_seen: float
    talking_share: float
    interruptions: list[Interruption]
    activity: list[tuple[float, float, bool]]
    warnings: list[str]
    left_out: int = 0

    @property
    def duration_s(self) -> float:
        """Length of the recording in seconds."""
        return self.num_frames / self.frames_per_second

    def count(self, kind: str | None = None) -> int:
        """Number of expressions, of one kind or of all."""
        return sum(kind in (None, one.kind) for one in self.expressions)

    @property
    def in_words(self) -> str:
        """What was found, in one line."""
        found = f"{self.count('micro')} micro-, {self.count('macro')} macro-expressions in {self.duration_s:.1f} s"
        if not self.left_out:
            return found
        return f"{found}; {self.left_out} left out, in which the checkpoint sees no movement"

    def to_dict(self) -> dict[str, object]:
        """Everything but the activity, ready for JSON."""
        content = asdict(replace(self, activity=[]))
        del content["activity"]
        counts = {"all": self.count(), "micro": self.count("micro"), "macro": self.count("macro")}
        return {**content, "duration_s": self.duration_s, "counts": counts}


class Spotter:
    """Finds the expressions of one face in recordings.

    Args:
        false_alarms_per_minute (`float`, *optional*): Threshold, as the rate at which people at rest reach it;
            measured on rendered people (`spotting_fdp.thresholds`). By default that of the network's file, 0.5 for the
            shipped one; 3 for the closed form.
        recognizer (`Recognizer`, *optional*): Names the expressions, and says in which intervals nothing moves.
        face (`str` or `int`, *optional*, defaults to `"largest"`): Which face, as in `FaceFollower`.
        model (`str`, *optional*): Folder or repository of the checkpoint whose spotting network is taken, if it has
            one; the shipped checkpoint by default.
        closed_form (`bool`, *optional*, defaults to `False`): Whether to do without a network.
        crop (`CropSettings`, *optional*): Crop in which motion is measured. The directions belong to the default;
            `benchmarks.spotting` measures what another one costs.

    Raises:
        ConfigError: If the rate was not measured, or the network cannot be loaded.

    Example:
    ```python
    >>> from rendered_faces.film import render_clip
    >>> from spotting_fdp import Spotter

    >>> frames = render_clip(1, "happiness", seed=3, fps=60, neutral_s=2.0).frames
    >>> result = Spotter().spot(frames, fps=60.0)
    >>> result.count("micro")
    1

    ```
    """

    def __init__(
        self,
        false_alarms_per_minute: float | None = None,
        recognizer: Recognizer | None = None,
        face: str | int = "largest",
        model: str | None = None,
        closed_form: bool = False,
        crop: CropSettings | None = None,
    ) -> None:
        self.network = None if closed_form else find_network(model)
        # Warnings of every result.
        self.warnings: list[str] = []
        if self.network is None and not closed_form and is_unknown(model):
            self.warnings.append(
                f"{NETWORK_NAME} of {model} is not in the cache and the Hub could not be asked for it: expressions "
                "are found by the closed form, which misses more of them; run once with access to the Hub, or choose "
                "the closed form by --closed_form"
            )
        self.rates = CLOSED_FORM if self.network is None else self.network.rates
        self.false_alarms_per_minute = self.rates.usual if false_alarms_per_minute is None else false_alarms_per_minute
        self.least_score = self.rates.least_score(self.false_alarms_per_minute)
        self.recognizer = recognizer
        self.face = face
        self.crop = CropSettings() if crop is None else crop

    def spot(
        self, source: ClipSource, fps: float | None = None, progress: Callable[[int, int], None] | None = None
    ) -> SpottingResult:
        """Find the expressions of one recording.

        Args:
            source (`ClipSource`): A video file, a folder of frames, or frames in memory, as `open_frames` reads them.
            fps (`float`, *optional*): Frame rate; needed where the source does not state it.
            progress (`Callable[[int, int], None]`, *optional*): Called with the number of frames that are done and the
                number of all.

        Returns:
            `SpottingResult`: The expressions.

        Raises:
            VideoReadError: If the recording cannot be read, or its frame rate is unknown or below
                `LEAST_SPOTTED_FPS`.
        """
        with warn_in_metadata_only(), open_frames(source, max_frames=MAX_RECORDING_FRAMES) as frames:
            return self.spot_frames(frames, fps, progress)

    def spot_frames(
        self, frames: FrameSource, fps: float | None = None, progress: Callable[[int, int], None] | None = None
    ) -> SpottingResult:
        """Find the expressions of a recording that is open; see `spot`."""
        rate = frames.frames_per_second if fps is None else fps
        if rate is None or not rate > 0:
            raise VideoReadError(
                f"a recording needs frames per second above 0 to tell how long a movement lasts, but {frames.name!r} "
                f"has {rate}; give fps="
            )
        if rate < LEAST_SPOTTED_FPS:
            raise VideoReadError(
                f"movements are found from {LEAST_SPOTTED_FPS:g} frames per second on, but {frames.name!r} has "
                f"{rate:.3g}; film faster, or give fps= if that is wrong"
            )
        own = self.crop
        wanted = own if self.recognizer is None else self.recognizer.crop
        stream = FaceStream(frames, rate, (own,) if wanted == own else (own, wanted), face=self.face)
        if self.network is None:
            motion, finder = MotionStream(rate), IntervalFinder(self.least_score)
        else:
            motion = MotionStream(rate, self.network.others)
            finder = IntervalFinder(self.least_score, self.network.score_runs)
        recent, curve = _RecentCrops(rate), _ActivityCurve()
        all_found: list[SpottedExpression] = []

        def take(found: list[FoundInterval], activities: list[Activity]) -> None:
            for activity in activities:
                curve.add(activity)
            all_found.extend(self._expression(one, rate, frames.frame_count, recent) for one in found)

        for part in stream.parts():
            recent.add(part)
            for curves in motion.add(part):
                take(*finder.add(curves))
            if progress is not None:
                progress(part.first + len(part), frames.frame_count)
        for curves in motion.finish():
            take(*finder.add(curves))
        take(*finder.finish())
        expressions = [one for one in all_found if one.is_shown]
        return SpottingResult(
            input=frames.name,
            frames_per_second=rate,
            num_frames=frames.frame_count,
            expressions=expressions,
            least_score=self.least_score,
            false_alarms_per_minute=self.false_alarms_per_minute,
            share_seen=stream.frames_seen / frames.frame_count,
            talking_share=curve.talking_share,
            interruptions=stream.interruptions,
            activity=curve.points,
            warnings=[*self.warnings, *frames.notes, *_warnings(frames, rate, stream)],
            left_out=len(all_found) - len(expressions),
        )

    def _expression(
        self, found: FoundInterval, fps: float, num_frames: int, recent: "_RecentCrops"
    ) -> SpottedExpression:
        onset, apex, offset = (
            min(max(round(moment / RATE * fps), 0), num_frames - 1)
            for moment in (found.onset, found.apex, found.offset)
        )
        recognition = None
        if self.recognizer is not None:
            around = round(SURROUNDINGS * (offset - onset))
            crops = recent.between(onset - around, offset + around)
            recognition = self.recognizer.recognize(crops, fps, found.talking)
        seconds = (offset - onset) / fps
        return SpottedExpression(
            onset=onset,
            apex=apex,
            offset=offset,
            onset_s=onset / fps,
            apex_s=apex / fps,
            offset_s=offset / fps,
            kind=kind_of(seconds),
            score=found.score,
            talking=found.talking,
            recognition=recognition,
        )


class _RecentCrops:
    """The crops of the last minutes, as many as `IntervalFinder` may look back."""

    def __init__(self, fps: float) -> None:
        self._length = round((WINDOW + 2 * MARGIN) / RATE * fps)
        self._parts: list[FacePart] = []

    def add(self, part: FacePart) -> None:
        self._parts.append(part)
        while self._parts[0].first + len(self._parts[0]) < part.first + len(part) - self._length:
            del self._parts[0]

    def between(self, first: int, last: int) -> NDArray[np.uint8]:
        """Crops of the recogniser from frame `first` to `last`, as far as they are in memory."""
        chosen = [
            part.crops[-1].numpy()[max(first - part.first, 0) : max(last + 1 - part.first, 0)] for part in self._parts
        ]
        return np.concatenate([crops for crops in chosen if len(crops)])


class _ActivityCurve:
    """The highest score per stretch of time; stretches are joined in pairs whenever there are too many."""

    def __init__(self) -> None:
        self._span = RATE // 10
        self._highest: dict[int, tuple[float, bool]] = {}
        self._moments = 0
        self._talking = 0

    def add(self, activity: Activity) -> None:
        self._moments += len(activity.scores)
        self._talking += int(activity.talking.sum())
        for stretch, score, talking in self._stretches(activity):
            self._keep(stretch, score, talking)
        while len(self._highest) > 2 * ACTIVITY_POINTS:
            held, self._highest, self._span = self._highest, {}, 2 * self._span
            for stretch, (score, talking) in held.items():
                self._keep(stretch // 2, score, talking)

    def _stretches(self, activity: Activity) -> Iterator[tuple[int, float, bool]]:
        at = (activity.first + np.arange(len(activity.scores))) // self._span
        starts = np.flatnonzero(np.diff(at, prepend=at[0] - 1))
        highest = np.maximum.reduceat(activity.scores, starts)
        talking = np.logical_or.reduceat(activity.talking, starts)
        yield from zip(at[starts].tolist(), highest.tolist(), talking.tolist(), strict=True)

    def _keep(self, stretch: int, score: float, talking: bool) -> None:
        before = self._highest.get(stretch, (score, False))
        self._highest[stretch] = max(before[0], score), before[1] or talking

    @property
    def points(self) -> list[tuple[float, float, bool]]:
        return [
            (stretch * self._span / RATE, score, talking)
            for stretch, (score, talking) in sorted(self._highest.items())
        ]

    @property
    def talking_share(self) -> float:
        return self._talking / self._moments if self._moments else 0.0


def _warnings(frames: FrameSource, fps: float, stream: FaceStream) -> list[str]:
    """Reasons to doubt the result, one sentence each."""
    sentences = []
    if fps < LEAST_FPS:
        sentences.append(
            f"{fps:g} frames per second show a micro-expression of a third of a second in {max(1, round(fps / 3))} "
            f"frames: film at {LEAST_FPS:g} or more"
        )
    share = stream.frames_seen / frames.frame_count
    if share == 0:
        sentences.append(f"no face in {frames.frame_count} frames: nothing was judged")
    elif share < LEAST_SHARE_SEEN:
        sentences.append(f"the face shows in {share:.0%} of the frames: the rest was not judged")
    if stream.most_faces > 1:
        sentences.append(f"{stream.most_faces} faces are found and one of them is judged: choose it with face=")
    if 0 < stream.frames_seen / fps < LEAST_SECONDS:
        sentences.append(
            f"the face shows for {stream.frames_seen / fps:.1f} s, too short to know what is usual for it: scores are "
            f"rough below {LEAST_SECONDS:g} s"
        )
    return sentences
