"""Times of the frames of a clip, from its file or its caller, and warnings about a clip."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers.video_utils import VideoMetadata

from .face_report_fdp import FaceReport

# A micro-expression lasts at most half a second (Yan et al., "How Fast are the Leaked Facial Expressions", Journal of
# Nonverbal Behavior 37, 2013); other expressions last a few seconds (the limit is our choice).
LONGEST_CLIP_SECONDS = 5.0
# The slowest cameras of the corpora are those of SMIC's VIS and NIR parts with 25 frames per second (our choice).
LOWEST_FRAME_RATE = 24.0
# Without a rate: five seconds at 200 frames per second, the fastest camera of the corpora.
LONGEST_CLIP_FRAMES = 1000


@dataclass
class ClipMetadata(VideoMetadata):
    """Metadata of a clip.

    Args:
        face (`FaceReport`, *optional*): How the face was found.
        warnings (`list[str]`): Reasons to doubt the prediction, one sentence each.
        is_too_long (`bool`): Whether the frames that the model gets span more than one expression can last; see the
            function [`is_too_long`]. All other fields are those of `transformers.video_utils.VideoMetadata`.
    """

    face: FaceReport | None = None
    warnings: list[str] = field(default_factory=list)
    is_too_long: bool = False

    @classmethod
    def of(
        cls,
        times: "FrameTimes",
        frame_count: int,
        indices: np.ndarray,
        size_hw: tuple[int, int],
        video_backend: str,
        face: FaceReport,
        warnings: list[str],
    ) -> "ClipMetadata":
        """Describe a clip, or the recording that it was taken from.

        Args:
            times (`FrameTimes`): Times of its frames.
            frame_count (`int`): Frames of the clip.
            indices (`np.ndarray` of shape `(count,)`): int64, frames of the clip that the model gets.
            size_hw (`tuple[int, int]`): Height and width of the frames in pixels.
            video_backend (`str`): Decoder.
            face (`FaceReport`): How the face was found.
            warnings (`list[str]`): Reasons to doubt the prediction.
        """
        rate, numbers = times.frames_per_second, times.recording_indices
        total = times.recording_length or (frame_count if numbers is None else int(numbers[-1]) + 1)
        return cls(
            total_num_frames=total,
            fps=rate,
            width=size_hw[1],
            height=size_hw[0],
            duration=total / rate if rate else None,
            video_backend=video_backend,
            frames_indices=(indices if numbers is None else numbers[indices]).tolist(),
            face=face,
            warnings=warnings,
            is_too_long=is_too_long(times.ticks(int(indices[0]), int(indices[-1])), rate),
        )


@dataclass(frozen=True)
class FrameTimes:
    """Times of the frames of a clip.

    Args:
        frames_per_second (`float`, *optional*): Rate of the recording; `None` where unknown.
        recording_indices (`np.ndarray` of shape `(num_frames,)`, *optional*): int64, number of each frame in the
            recording that it was taken from; `None` where the clip is the whole recording.
        recording_length (`int`, *optional*): Frames of that recording.
    """

    frames_per_second: float | None = None
    recording_indices: np.ndarray | None = None
    recording_length: int | None = None

    def ticks(self, first: int, last: int) -> int:
        """Frames of the recording from one frame of the clip to another, both included."""
        numbers = self.recording_indices
        return last - first + 1 if numbers is None else int(numbers[last] - numbers[first]) + 1


def spread_metadata(given: Any, count: int) -> list[Mapping[str, Any] | None]:
    """Spread `video_metadata` over the clips of a batch.

    Args:
        given (`Mapping`, `VideoMetadata`, `list` of them, nested or flat, or `None`): As in transformers' video
            processors.
        count (`int`): Clips.

    Raises:
        ValueError: If there is not one for each clip, or an entry is of another kind.
    """
    if given is None:
        return [None] * count
    entries = [given] if isinstance(given, Mapping) else list(given)
    flat = [one for entry in entries for one in ([entry] if entry is None or isinstance(entry, Mapping) else entry)]
    if any(one is not None and not isinstance(one, Mapping) for one in flat):
        kinds = sorted({type(one).__name__ for one in flat})
        raise ValueError(f"video_metadata holds dicts or VideoMetadata, but got {kinds}; convert them")
    if len(flat) != count:
        raise ValueError(
            f"video_metadata takes one entry per clip, but got {len(flat)} for {count} clips; give one for each"
        )
    return flat


def read_times(given: Mapping[str, Any] | None, frame_count: int, own_rate: float | None, clip: str) -> FrameTimes:
    """Read the times of a clip's frames from a caller's metadata.

    Args:
        given (`Mapping`, *optional*): `fps`, `duration` (seconds), `total_num_frames` and `frames_indices`, all
            optional; other fields are ignored.
        frame_count (`int`): Frames of the clip.
        own_rate (`float`, *optional*): Frames per second of the file; the caller's value has precedence.
        clip (`str`): Name of the clip in errors.

    Raises:
        ValueError: If a field is impossible or contradicts the clip.
    """
    if given is None:
        return FrameTimes(own_rate)
    rate, duration = (_positive(name, given.get(name), clip) for name in ("fps", "duration"))
    indices, total = given.get("frames_indices"), given.get("total_num_frames")
    if indices is not None:
        indices = np.asarray(indices, dtype=np.int64)
        if indices.shape != (frame_count,) or (np.diff(indices) < 0).any() or indices[0] < 0:
            raise ValueError(
                f"frames_indices must hold one rising number for each of the {frame_count} frames of {clip!r}, but "
                f"has shape {indices.shape} and spans {indices.min(initial=0)}..{indices.max(initial=0)}; correct it"
            )
    length = int(total) if total is not None else None
    if length is not None and (length != frame_count if indices is None else indices[-1] >= length):
        raise ValueError(
            f"total_num_frames must fit the clip, but is {length} for {clip!r} of {frame_count} frames"
            f"{'' if indices is None else f' up to number {indices[-1]}'}; correct it or give frames_indices"
        )
    if rate is None and duration is not None:
        rate = (length or frame_count) / duration
    return FrameTimes(rate if rate is not None else own_rate, indices, length)


def _positive(name: str, value: object, clip: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a number above 0, but is {value!r} for {clip!r}; correct it or leave it out")
    return float(value)


def frames_at_rate(frame_count: int, times: FrameTimes, rate: float, clip: str) -> int:
    """Number of frames of a clip at another rate.

    Args:
        frame_count (`int`): Frames of the clip.
        times (`FrameTimes`): Times of its frames.
        rate (`float`): Frames per second to take.
        clip (`str`): Name of the clip in errors.

    Returns:
        `int`: At least 1.

    Raises:
        ValueError: If the clip's own rate is unknown or lower.
    """
    wanted = _positive("fps", rate, clip) or 0.0
    if times.frames_per_second is None:
        raise ValueError(
            f"sampling with fps={rate} needs the times of the frames, but {clip!r} has none; give video_metadata= "
            "with its fps, or num_frames="
        )
    indices = times.recording_indices
    ticks = frame_count if indices is None else int(indices[-1] - indices[0]) + 1
    count = max(1, int(ticks / times.frames_per_second * wanted))
    if count > frame_count:
        raise ValueError(
            f"frames can be left out and not invented, but fps={rate} asks for {count} of the {frame_count} frames of "
            f"{clip!r}, which has {times.frames_per_second:g} per second; give a lower one or num_frames="
        )
    return count


def is_too_long(frame_count: int, frames_per_second: float | None) -> bool:
    """Whether frames span more time than one expression can last, so that a class of all of them means nothing.

    Args:
        frame_count (`int`): Number of consecutive frames.
        frames_per_second (`float`, *optional*): Their rate; without one, more than `LONGEST_CLIP_FRAMES` are too many.
    """
    if frames_per_second is None:
        return frame_count > LONGEST_CLIP_FRAMES
    return frame_count / frames_per_second > LONGEST_CLIP_SECONDS


def clip_warnings(
    frame_count: int,
    times: FrameTimes,
    size_hw: tuple[int, int],
    crop_hw: tuple[int, int],
    first: int = 0,
    last: int | None = None,
) -> list[str]:
    """Warnings about a clip that make any prediction doubtful.

    Args:
        frame_count (`int`): Frames of the clip.
        times (`FrameTimes`): Times of its frames.
        size_hw (`tuple[int, int]`): Height and width of the frames in pixels.
        crop_hw (`tuple[int, int]`): Height and width of the model's input.
        first (`int`, *optional*, defaults to 0): First frame that the model gets, 0-based.
        last (`int`, *optional*): Last frame that the model gets; that of the clip by default.

    Returns:
        `list[str]`: One sentence each; empty for clips like those of the corpora.
    """
    warnings = []
    rate = times.frames_per_second
    ticks = times.ticks(first, frame_count - 1 if last is None else last)
    if frame_count == 1:
        warnings.append("the clip is a single frame, in which nothing moves")
    if is_too_long(ticks, rate):
        length = (
            f"has {ticks} frames, more than {LONGEST_CLIP_SECONDS:g} s of the fastest camera of any corpus"
            if rate is None
            else f"lasts {ticks / rate:.1f} s, but an expression lasts {LONGEST_CLIP_SECONDS:g} s at most and a "
            "micro-expression half a second"
        )
        warnings.append(f"the clip {length}: cut it from onset to offset")
    if rate is not None and rate < LOWEST_FRAME_RATE:
        half, fifth = (max(1, round(rate / parts)) for parts in (2, 5))
        warnings.append(
            f"the clip has {rate:.3g} frames per second, too few for a micro-expression: of one that lasts half a "
            f"second they are {half}, of a fifth {fifth}; record at {LOWEST_FRAME_RATE:g} or more"
        )
    if size_hw[0] < crop_hw[0] // 2 or size_hw[1] < crop_hw[1] // 2:
        warnings.append(
            f"the frames have {size_hw[1]} x {size_hw[0]} pixels, less than half of the {crop_hw[1]} x {crop_hw[0]} "
            "of the model's input: they are enlarged, and small motions are lost"
        )
    return warnings


def spread_frames(first: int, apex: int | None, last: int, count: int, times: FrameTimes) -> np.ndarray:
    """Choose frames evenly spaced on both sides of the apex, which is one of them if at least three are taken.

    Args:
        first (`int`): First frame, 0-based.
        apex (`int`, *optional*): Frame between both, or one of them; `None` where unknown.
        last (`int`): Last frame.
        count (`int`): Frames to take.
        times (`FrameTimes`): Times of the frames.

    Returns:
        `np.ndarray` of shape `(count,)`: int64, never decreasing.
    """
    if apex is None or count < 3 or not first < apex < last:
        if count == 1 and apex is not None:
            return np.array([apex], dtype=np.int64)
        return spread_over_times(np.linspace(first, last, count), times)
    middle = min(max(round((apex - first) / (last - first) * (count - 1)), 1), count - 2)
    rising = spread_over_times(np.linspace(first, apex, middle + 1), times)
    falling = spread_over_times(np.linspace(apex, last, count - middle), times)
    return np.concatenate([rising, falling[1:]])


def spread_over_times(positions: Sequence[float] | np.ndarray, times: FrameTimes) -> np.ndarray:
    """Map positions in a clip to the frames at the same share of its duration.

    Args:
        positions (`np.ndarray` of shape `(count,)`): Between two frames of the clip, evenly spaced by number.
        times (`FrameTimes`): Times of the frames.

    Returns:
        `np.ndarray` of shape `(count,)`: int64, nearest frames.
    """
    positions = np.asarray(positions, dtype=np.float64)
    if times.recording_indices is not None and positions[-1] > positions[0]:
        numbers = times.recording_indices.astype(np.float64)
        ends = np.interp(positions[[0, -1]], np.arange(len(numbers)), numbers)
        share = (positions - positions[0]) / (positions[-1] - positions[0])
        positions = np.interp(ends[0] + share * (ends[1] - ends[0]), numbers, np.arange(len(numbers)))
    return np.rint(positions).astype(np.int64)
