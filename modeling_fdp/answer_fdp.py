"""The answer for one clip: class, action units, movement, face, frames and warnings; plain values, ready for JSON."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

# The label of clips in which nothing moved. No class of a corpus has this name.
STILL_LABEL = "neutral"
# Why an answer has no label.
NO_FACE, TOO_LONG = "no face found", "longer than one expression"
# Names of the main codes of FACS (Ekman, Friesen and Hager 2002).
ACTION_UNIT_NAMES = {
    "1": "inner brow raiser", "2": "outer brow raiser", "4": "brow lowerer", "5": "upper lid raiser",
    "6": "cheek raiser", "7": "lid tightener", "9": "nose wrinkler", "10": "upper lip raiser",
    "11": "nasolabial deepener", "12": "lip corner puller", "13": "sharp lip puller", "14": "dimpler",
    "15": "lip corner depressor", "16": "lower lip depressor", "17": "chin raiser", "18": "lip pucker",
    "20": "lip stretcher", "22": "lip funneler", "23": "lip tightener", "24": "lip pressor", "25": "lips part",
    "26": "jaw drop", "27": "mouth stretch", "28": "lip suck",
}  # fmt: skip


@dataclass(frozen=True)
class ActionUnit:
    """One action unit that the network was trained on.

    Args:
        code (`str`): FACS code, e.g. `"12"`.
        name (`str`): Its name in FACS.
        probability (`float`): Probability that it moved on either side of the face, in [0, 1]; sigmoid of the
            network's score.
        left, right (`float`, *optional*): Probability that it moved on the subject's left and right side; `None` where
            the network does not score sides.
    """

    code: str
    name: str
    probability: float
    left: float | None = None
    right: float | None = None

    @property
    def sided_name(self) -> str:
        """The name, after the side where only one is more probable than not (`str`)."""
        moved = {"left": (self.left or 0) > 0.5, "right": (self.right or 0) > 0.5}
        sides = [side for side in moved if moved[side]]
        return f"{sides[0]} {self.name}" if len(sides) == 1 else self.name


@dataclass(frozen=True)
class Movement:
    """Size and time of the movement. Pixels are those of the aligned frames, whose side is `config.image_size`.

    Args:
        size (`float`): How far the skin moves, in pixels: root mean square over the strongest 5% of the face. The
            estimate of a network with `reference="movement_patterns"`, else the largest value of `curves["motion"]`.
        score (`float`, *optional*): Whether the face moved at all: below 0 nothing did (`config.movement_weights`,
            chosen in calibration); `None` where the network has no such score.
        is_still (`bool`): Whether `score` is below 0, or `size` below what rounding gives equal frames.
        head_size (`float`): How far the head moves, in pixels: the same measure of the affine motion that is taken off
            before the skin's is measured, between any two of the frames used.
        onset_index, apex_index, offset_index (`int`, *optional*): Frames of the clip, among those used: the last one
            at rest before the strongest motion, the strongest motion, and the first one at rest after it; the first or
            last frame used where none is at rest. `None` where nothing moved.
    """

    size: float
    score: float | None
    is_still: bool
    head_size: float
    onset_index: int | None = None
    apex_index: int | None = None
    offset_index: int | None = None


@dataclass(frozen=True)
class UsedFrame:
    """One frame that the network was given.

    Args:
        index (`int`): In the clip, 0-based.
        time_s (`float`, *optional*): Seconds since the clip's first frame; `None` without a frame rate.
    """

    index: int
    time_s: float | None


@dataclass(frozen=True)
class ClipFacts:
    """Size and length of the clip that was read.

    Args:
        num_frames (`int`): Number of its frames.
        width, height (`int`): Size of a frame in pixels.
        frames_per_second (`float`, *optional*): Frame rate, from the file or the caller.
        duration_s (`float`, *optional*): Length in seconds.
        first_index, last_index (`int`): First and last frame of the interval that was judged, 0-based.
    """

    num_frames: int
    width: int
    height: int
    frames_per_second: float | None
    duration_s: float | None
    first_index: int
    last_index: int


@dataclass(frozen=True)
class FaceFacts:
    """How the face was found, where it shows, and how it turns and blinks.

    Args:
        source (`str`): Basis of the crop, as in `FaceReport` of the video processor.
        frames_searched, frames_seen (`int`): Frames in which a face was searched for the crop, and found.
        num_faces (`int`): Largest number of faces in one frame.
        eye_distance (`float`, *optional*): Median distance of the eyes in pixels of the source.
        head_pose (`tuple[float, float, float]`, *optional*): Median yaw, pitch and roll in degrees.
        share_seen (`float`, *optional*): Share of all frames that show the face, in [0, 1]: of the clip, or of the
            interval that the caller gave.
        stretches (`list[tuple[int, int]]`, *optional*): First and last frame, 0-based, of each stretch that shows the
            face, in time order. Without an interval of the caller the longest one alone is judged.
        turn_range (`tuple[float, float, float]`, *optional*): Largest minus smallest yaw, pitch and roll in degrees.
        blinks (`list[tuple[int, int]]`, *optional*): First and last frame of each blink, 0-based.

    The last four are `None` where the face was not tracked through the clip: without face detection, and in long
    clips. The last two are of the judged interval.
    """

    source: str
    frames_searched: int = 0
    frames_seen: int = 0
    num_faces: int = 0
    eye_distance: float | None = None
    head_pose: tuple[float, float, float] | None = None
    share_seen: float | None = None
    stretches: list[tuple[int, int]] | None = None
    turn_range: tuple[float, float, float] | None = None
    blinks: list[tuple[int, int]] | None = None


@dataclass
class MicroExpressionAnswer:
    """The answer for one clip.

    Args:
        input (`str`, *optional*): The clip's path; `None` for frames in memory.
        label (`str`, *optional*): The most probable class, or `"neutral"` where nothing moved; `None` where `reason`
            says why none is named.
        probability (`float`, *optional*): Probability of `label`; `None` where nothing moved, because no class is
            right then, and where none is named.
        probabilities (`dict[str, float]`): Probability of each class, in the order of the model; they mean nothing
            without a face or without a movement.
        movement (`Movement`): Size and time of the movement.
        action_units (`list[ActionUnit]`): Action units that the network scores, most probable first; empty without
            such a head.
        frames (`list[UsedFrame]`): Frames that the network was given.
        clip (`ClipFacts`): Size and length of the clip.
        face (`FaceFacts`, *optional*): How the face was found.
        warnings (`list[str]`): Reasons to doubt the answer, one sentence each.
        curves (`dict[str, list[float]]`): One value per frame of `frames`: `rank_scores`, the network's score of
            progress where the network has one, `motion`, how far the skin is from its place at rest, in pixels, and
            `progress`, how far the movement has come: from 0, at rest, to 1, at its strongest, by the scores of a
            network whose scores follow the movement, else by `motion`; 0 throughout where nothing moved.
        numbers (`dict[str, float]`): Further outputs by name.
        images (`dict[str, np.ndarray]`): float32 in [0, 1], by name, not part of the JSON: `frames` `(num_frames,
            height, width)`, aligned; `dynamic_image` and `target` `(height, width)`, the dynamic image that the
            network constructs and the one computed from the frames; `importance`, in [-1, 1], see
            `Predictor.importance`.
        files (`dict[str, str]`): Files written for this clip, by content.
        reason (`str`): Why no class is named: `NO_FACE` or `TOO_LONG`; `""` where one is.
    """

    input: str | None
    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    movement: Movement
    action_units: list[ActionUnit]
    frames: list[UsedFrame]
    clip: ClipFacts
    face: FaceFacts | None
    warnings: list[str]
    curves: dict[str, list[float]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict, repr=False)
    files: dict[str, str] = field(default_factory=dict)
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """All fields but `images`, in dicts and lists, as `training_fdp/hub/answer.schema.json` describes them."""
        content: dict[str, Any] = _without_tuples(asdict(replace(self, images={})))
        del content["images"]
        return content

    def action_unit_curves(self) -> list[dict[str, Any]]:
        """Action units over time, one row per frame of the judged interval.

        The network gives one probability per clip. A row multiplies it by how far the movement has come: 0 at rest, 1
        at its strongest, linear between the frames used.

        Returns:
            `list[dict]`: `frame` (0-based), `time` (seconds, or `None`) and one column per unit in the names of
            py-feat, `AU01`.
        """
        numbers = np.arange(self.clip.first_index, self.clip.last_index + 1)
        shares = np.interp(numbers, [frame.index for frame in self.frames], self.curves["progress"])
        rate = self.clip.frames_per_second
        units = sorted(self.action_units, key=lambda unit: int(unit.code))
        return [
            {
                "frame": int(number),
                "time": None if rate is None else round(int(number) / rate, 6),
                **{f"AU{int(unit.code):02d}": round(unit.probability * float(share), 6) for unit in units},
            }
            for number, share in zip(numbers, shares, strict=True)
        ]


def _without_tuples(content: Any) -> Any:
    """Replaces tuples by lists, because JSON reads them back as lists."""
    if isinstance(content, dict):
        return {name: _without_tuples(value) for name, value in content.items()}
    return [_without_tuples(value) for value in content] if isinstance(content, list | tuple) else content
