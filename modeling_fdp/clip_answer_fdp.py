"""From a clip to its answer: reads and measures the clip, then turns the network's output into an answer."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from .answer_fdp import (
    ACTION_UNIT_NAMES,
    NO_FACE,
    STILL_LABEL,
    TOO_LONG,
    ActionUnit,
    ClipFacts,
    FaceFacts,
    MicroExpressionAnswer,
    Movement,
    UsedFrame,
)
from .configuration_fdp import FDPConfig
from .movement_measures_fdp import find_cut, head_size, movement_interval, progress_of, skin_motion

# Largest number of frames through which the face is followed, because that takes ten seconds: five seconds at 200 per
# second, the fastest camera of the corpora.
LONGEST_FOLLOWED = 1000
# Least motion of the head, in pixels of the aligned frames, that gives a warning (our choice).
LEAST_HEAD_MOTION = 1.0
# Motion in pixels that rounding can give equal frames.
LEAST_MOTION = 1e-3
# One in this many frames counts as at rest: those with the lowest scores (our choice).
REST_FRAMES = 5
# Least number of judged frames without a warning, because fewer show nothing of the course of a movement (our choice).
FEWEST_FRAMES = 5
# Keywords by which a caller chooses the judged interval, which is then not narrowed to a stretch with the face.
INTERVAL_KEYS = ("onset_index", "apex_index", "offset_index")
# Longest gap, as a share of the clip's frames, that does not end a stretch with the face, because a detector misses
# single frames (our choice).
LONGEST_GAP = 0.1


@dataclass(frozen=True)
class PreparedClip:
    """One clip, ready for the network.

    Args:
        input (`str`, *optional*): Path of the clip; `None` for frames in memory.
        pixel_values (`torch.FloatTensor` of shape `(1, num_frames, 1, height, width)`): Gray, aligned, in [-1, 1].
        clip (`ClipFacts`): Size and length of the clip.
        frames (`list[UsedFrame]`): The frames of `pixel_values`.
        face (`FaceFacts`, *optional*): How the face was found.
        warnings (`list[str]`): Warnings of the video processor, and of following the face.
        reason (`str`): Why no class of this clip may be named; `""` where one may.
    """

    input: str | None
    pixel_values: torch.Tensor
    clip: ClipFacts
    frames: list[UsedFrame]
    face: FaceFacts | None
    warnings: list[str]
    reason: str = ""


@dataclass(frozen=True)
class AnswerSettings:
    """Settings of a network that answers depend on.

    Args:
        id2label (`Mapping[Any, str]`): Classes in the order of the logits.
        action_units (`list[str]`): FACS codes in the order of `action_unit_logits`.
        scores_follow_movement (`bool`): Whether rank scores are lowest at rest, and not in the first frame.
    """

    id2label: Mapping[Any, str]
    action_units: list[str] = field(default_factory=list)
    scores_follow_movement: bool = False

    @classmethod
    def of(cls, config: FDPConfig) -> "AnswerSettings":
        """Settings of an FDP network."""
        return cls(dict(config.id2label or {}), config.action_units, config.has_patterns)


def prepare_clip(
    processor: Any, source: Any, num_frames: int, track_face: bool = True, **request: Any
) -> PreparedClip:
    """Read, crop and measure one clip.

    If the face shows in parts of the clip only, the longest of these stretches is judged, unless the caller chooses an
    interval.

    Args:
        processor (`FDPVideoProcessor`): Video processor of the checkpoint.
        source (`Any`): One clip, in any form that the processor takes.
        num_frames (`int`): Number of frames for the network.
        track_face (`bool`, *optional*, defaults to `True`): Follow the face through all frames, for stretches, blinks
            and turns; not in clips of more than `LONGEST_FOLLOWED` frames.
        request: Keywords of the processor for this clip, `CLIP_KEYS` of `pipeline_fdp` among them.

    Returns:
        `PreparedClip`: What the network and the answer need.

    Raises:
        ValueError: The clip cannot be read, or a keyword is unknown; one sentence.
    """
    prepared = _read_clip(processor, source, num_frames, request)
    face, clip = prepared.face, prepared.clip
    if not track_face or face is None or face.source not in ("mesh", "frame") or clip.num_frames > LONGEST_FOLLOWED:
        return prepared
    kept = {key: request[key] for key in ("frame_numbers", "input_data_format") if request.get(key) is not None}
    with warnings.catch_warnings():
        # Ignored, because `_read_clip` has given the warnings about reading these frames.
        warnings.simplefilter("ignore")
        track = processor.follow_face(source, **kept)
    given = _given_numbers(request)
    numbers = np.arange(len(track.found)) if given is None else given
    requested = (numbers >= clip.first_index) & (numbers <= clip.last_index)
    stretches = _stretches(track.found[requested], numbers[requested])
    longest = max(stretches, key=lambda stretch: stretch[1] - stretch[0], default=None)
    whole = (clip.first_index, clip.last_index)
    further_warnings = []
    chosen_by_caller = given is not None or any(request.get(key) is not None for key in INTERVAL_KEYS)
    if longest is not None and longest != whole and not chosen_by_caller:
        prepared = _read_clip(processor, source, num_frames, _cut(request, longest, clip))
        further_warnings.append(
            _stretch_warning(float(track.found.mean()), stretches, longest, clip.frames_per_second)
        )
    face = prepared.face or face
    judged = (numbers >= prepared.clip.first_index) & (numbers <= prepared.clip.last_index)
    seen, poses = track.found[judged], track.head_pose[judged]
    turn = np.ptp(poses[seen], axis=0).round(1).tolist() if seen.any() else None
    blinks = [(int(numbers[first]), int(numbers[last])) for first, last in track.blinks()]
    if track.num_faces > 1 >= face.num_faces:
        further_warnings.append(f"{track.num_faces} faces are found and one of them is used: choose it with face=")
    if 0 < seen.sum() < len(seen) and face.frames_seen == face.frames_searched:
        further_warnings.append(f"the face is lost in {len(seen) - int(seen.sum())} of {len(seen)} frames")
    face = replace(
        face,
        num_faces=max(face.num_faces, track.num_faces),
        share_seen=float(track.found[requested].mean()),
        stretches=stretches,
        turn_range=None if turn is None else (turn[0], turn[1], turn[2]),
        blinks=[(a, b) for a, b in blinks if a <= prepared.clip.last_index and b >= prepared.clip.first_index],
    )
    return replace(prepared, face=face, warnings=[*prepared.warnings, *further_warnings])


def _read_clip(processor: Any, source: Any, num_frames: int, request: Mapping[str, object]) -> PreparedClip:
    inputs = processor(
        source, num_frames=num_frames, do_sample_frames=True, return_metadata=True, return_tensors="pt", **request
    )
    metadata = inputs["video_metadata"][0]
    rate, indices, total = metadata.fps, metadata.frames_indices, metadata.total_num_frames
    clip = ClipFacts(
        total, metadata.width, metadata.height, rate, total / rate if rate else None, int(indices[0]), int(indices[-1])
    )
    frames = [UsedFrame(int(index), int(index) / rate if rate else None) for index in indices]
    all_warnings = list(metadata.warnings)
    judged = clip.last_index - clip.first_index + 1
    if judged < FEWEST_FRAMES:
        frames_of_it = "1 frame" if judged == 1 else f"{judged} frames"
        whole = "the clip" if judged == total else "the part that is judged"
        all_warnings.append(f"{whole} has {frames_of_it}, too few to see the course of a movement")
    face = None if metadata.face is None else FaceFacts(**asdict(metadata.face))
    reason = ""
    # Frames no larger than those of the network are crops already, and too small for the search of a face.
    is_crop = max(metadata.height, metadata.width) <= inputs["pixel_values"].shape[-1]
    if face is not None and face.source in ("unseen", "center") and not is_crop:
        reason = NO_FACE
    elif metadata.is_too_long:
        reason = TOO_LONG
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else None
    return PreparedClip(path, inputs["pixel_values"], clip, frames, face, all_warnings, reason)


def _given_numbers(request: Mapping[str, object]) -> np.ndarray | None:
    """Numbers of the clip's frames in a recording, where the caller gives them."""
    metadata = request.get("video_metadata")
    while isinstance(metadata, list | tuple):
        metadata = metadata[0]
    numbers = metadata.get("frames_indices") if isinstance(metadata, Mapping) else None
    return None if numbers is None else np.asarray(numbers)


def _cut(request: Mapping[str, object], stretch: tuple[int, int], clip: ClipFacts) -> dict[str, object]:
    """The request for a stretch of the same clip, whose frames keep their numbers and times."""
    numbers = list(range(stretch[0], stretch[1] + 1))
    given = request.get("frame_numbers")
    times = {"fps": clip.frames_per_second, "frames_indices": numbers, "total_num_frames": clip.num_frames}
    return {
        **request,
        "frame_numbers": numbers if given is None else np.asarray(given).ravel()[numbers].tolist(),
        "video_metadata": times,
    }


def _stretches(found: np.ndarray, numbers: np.ndarray) -> list[tuple[int, int]]:
    """Numbers of the first and last frame of each stretch with the face; short gaps do not end one."""
    seen = np.flatnonzero(found)
    breaks = np.flatnonzero(np.diff(seen) - 1 > LONGEST_GAP * len(found)) + 1
    return [(int(numbers[part[0]]), int(numbers[part[-1]])) for part in np.split(seen, breaks) if len(part)]


def _stretch_warning(
    share: float, stretches: list[tuple[int, int]], judged: tuple[int, int], rate: float | None
) -> str:
    times = "" if rate is None else f" ({judged[0] / rate:.2f} to {judged[1] / rate:.2f} s)"
    frames = f"frames {judged[0]} to {judged[1]}{times}"
    several = "" if len(stretches) == 1 else f", in {len(stretches)} stretches of which the longest is taken"
    return f"the face shows in {share:.0%} of the clip{several}: only {frames} are judged"


def make_answer(
    prepared: PreparedClip,
    output: Mapping[str, Any],
    settings: AnswerSettings,
    images: Mapping[str, np.ndarray] | None = None,
    curves: Mapping[str, list[float]] | None = None,
    numbers: Mapping[str, float] | None = None,
) -> MicroExpressionAnswer:
    """Make the answer of one clip from the output of a network.

    Args:
        prepared (`PreparedClip`): The clip.
        output (`ModelOutput`): Output of the network for one clip: `logits`, and where the network has them
            `rank_scores`, `action_unit_logits`, `action_unit_side_logits`, `movement_size` and `movement_score`.
        settings (`AnswerSettings`): Settings of the network.
        images (`Mapping[str, np.ndarray]`, *optional*): Further pictures by name, see `MicroExpressionAnswer`.
        curves (`Mapping[str, list[float]]`, *optional*): Further curves by name.
        numbers (`Mapping[str, float]`, *optional*): Further outputs by name.

    Returns:
        `MicroExpressionAnswer`: The answer.
    """
    # Not divided by the temperature of the calibration here, because the network has divided the logits by it.
    shares = output["logits"][0].float().softmax(-1).tolist()
    probabilities = {settings.id2label[index]: share for index, share in enumerate(shares)}
    frames = prepared.pixel_values[0].float().mean(1)
    scores = output.get("rank_scores")
    all_curves = {} if scores is None else {"rank_scores": scores[0].float().tolist()}
    follows = settings.scores_follow_movement and scores is not None
    at_rest = np.argsort(all_curves["rank_scores"])[: max(1, len(frames) // REST_FRAMES)].tolist() if follows else [0]
    # Cut to a multiple of 4 pixels, because motion is estimated in whole cells.
    side = frames.shape[-1] - frames.shape[-1] % 4
    square = frames[:, :side, :side]
    motion = skin_motion(square, at_rest)
    progress = progress_of(np.asarray(all_curves["rank_scores"]) if follows else motion)
    size, score = output.get("movement_size"), output.get("movement_score")
    measured = float(motion.max()) if size is None else float(size[0])
    moved = None if score is None else float(score[0])
    # Equal frames are still whatever the score is; without one from calibration they alone are.
    is_still = measured < LEAST_MOTION or (moved is not None and moved < 0)
    interval = (None, None, None) if is_still else [prepared.frames[i].index for i in movement_interval(progress)]
    movement = Movement(measured, moved, is_still, head_size(square), *interval)
    best = max(probabilities, key=probabilities.__getitem__)
    # Not without a face, because then these warnings would be about something else that moves.
    doubts = (
        [] if prepared.reason == NO_FACE else _warnings_of(prepared, movement, float(motion.max()), find_cut(frames))
    )
    return MicroExpressionAnswer(
        input=prepared.input,
        label=None if prepared.reason else STILL_LABEL if is_still else best,
        probability=None if prepared.reason or is_still else probabilities[best],
        probabilities=probabilities,
        movement=movement,
        action_units=_action_units(output, settings.action_units),
        frames=prepared.frames,
        clip=prepared.clip,
        face=prepared.face,
        warnings=[*prepared.warnings, *doubts],
        curves={
            **all_curves,
            "motion": motion.tolist(),
            "progress": (progress * (not is_still)).tolist(),
            **(curves or {}),
        },
        numbers=dict(numbers or {}),
        images={"frames": (frames.cpu().numpy() + 1) / 2, **(images or {})},
        reason=prepared.reason,
    )


def _action_units(output: Mapping[str, Any], codes: list[str]) -> list[ActionUnit]:
    logits, side_logits = output.get("action_unit_logits"), output.get("action_unit_side_logits")
    if logits is None:
        return []
    probabilities = logits[0].float().sigmoid().tolist()
    sides = [(None, None)] * len(codes) if side_logits is None else side_logits[0].float().sigmoid().tolist()
    units = [
        ActionUnit(code, ACTION_UNIT_NAMES.get(code, f"action unit {code}"), probability, *pair)
        for code, probability, pair in zip(codes, probabilities, sides, strict=True)
    ]
    return sorted(units, key=lambda unit: -unit.probability)


def _warnings_of(prepared: PreparedClip, movement: Movement, skin: float, cut: int | None) -> list[str]:
    warnings = []
    if movement.is_still:
        score = "" if movement.score is None else f", movement score {movement.score:.2f}, below 0"
        warnings.append(f"no clear movement: {movement.size:.2f} pixels{score}")
    # Not compared with `movement.size`, because a network can take motion of the head for motion of the skin.
    if movement.head_size > max(skin, LEAST_HEAD_MOTION):
        warnings.append(
            f"the head moves by {movement.head_size:.1f} pixels of the aligned frames, the skin by {skin:.1f}: part "
            "of the movement may be the head's"
        )
    # None with a cut, because the opening of the eyes is compared with that of the whole clip, and a cut may show
    # another person.
    blinks = [] if cut is not None or prepared.face is None else prepared.face.blinks or []
    for first, last in blinks:
        warnings.append(f"the eyes blink in frames {first} to {last}: a blink can be taken for an expression")
    if cut is not None:
        before, after = prepared.frames[cut].index, prepared.frames[cut + 1].index
        warnings.append(
            f"the picture becomes another one between frames {before} and {after}, by a cut, a lost face or a large "
            "turn of the head: give one side of it"
        )
    return warnings
