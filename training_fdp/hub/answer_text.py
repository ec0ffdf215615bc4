"""An answer as text: a headline, its warnings, and one line for each of its parts."""

from modeling_fdp import MicroExpressionAnswer

SPARK = "▁▂▃▄▅▆▇█"
# Words for sources of `FaceFacts`; a source without an entry is printed as it is.
SOURCES = {"frame": "fills the frames", "unseen": "none, whole frames", "center": "none, middle of the frames"}


def headline(answer: MicroExpressionAnswer) -> str:
    """The class with its probability, or the reason why no class is named."""
    if answer.label is None:
        return answer.reason
    return f"{answer.label} ({'nothing moved' if answer.probability is None else f'{answer.probability:.3f}'})"


def answer_lines(answer: MicroExpressionAnswer) -> list[str]:
    """Lines of text for a terminal, the first of which is the input and its headline.

    Args:
        answer (`MicroExpressionAnswer`): An answer; of one without a label, classes and curves are left out.
    """
    lines = [f"warning: {warning}" for warning in answer.warnings]
    if answer.face is not None and answer.face.num_faces > 1:
        lines.append("--processor_overrides face=0 takes the leftmost face, face=1 the next one")
    if answer.label is not None:
        lines += [
            f"{name:<16} {share:.3f} {'#' * round(share * 40)}"
            for name, share in sorted(answer.probabilities.items(), key=lambda item: -item[1])
        ]
        lines.append(movement_line(answer))
        if answer.action_units:
            lines.append(action_unit_line(answer))
        # Without `progress`, because it is `rank_scores` or `motion` on another scale.
        lines += [
            f"{name.replace('_', ' '):<12} {sparkline(curve)}"
            for name, curve in answer.curves.items()
            if name != "progress"
        ]
        lines += [f"{name.replace('_', ' ')} {number:.3f}" for name, number in answer.numbers.items()]
    lines += [clip_line(answer), face_line(answer)]
    return [f"{answer.input}: {headline(answer)}", *(f"  {line}" for line in lines)]


def sparkline(values: list[float]) -> str:
    """A curve in one line of text, from its lowest to its highest value."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(SPARK[round((value - low) / span * (len(SPARK) - 1))] for value in values)


def clip_line(answer: MicroExpressionAnswer) -> str:
    """Length and rate of the clip, in one line."""
    clip = answer.clip
    rate = "unknown frame rate (--fps)" if clip.frames_per_second is None else f"{clip.frames_per_second:g} per second"
    length = "" if clip.duration_s is None else f", {clip.duration_s:.2f} s"
    shown = "1 frame" if clip.num_frames == 1 else f"{clip.num_frames} frames"
    if len({frame.index for frame in answer.frames}) < len(answer.frames):
        shown += f" ({len(answer.frames)} read, some of them several times)"
    else:
        shown = f"{len(answer.frames)} of {shown}"
    return f"{shown}, {rate}{length}, {clip.width} x {clip.height} pixels"


def movement_line(answer: MicroExpressionAnswer) -> str:
    """How much moved and when, in one line."""
    movement, rate = answer.movement, answer.clip.frames_per_second
    line = f"movement: {movement.size:.2f} pixels of the aligned face"
    if movement.score is not None:
        line += f", score {movement.score:.2f} (below 0: nothing moved)"
    line += f", head {movement.head_size:.2f}"
    for name in ("onset", "apex", "offset"):
        index = getattr(movement, f"{name}_index")
        if index is not None:
            line += f", {name} {index}" + (f" ({index / rate:.2f} s)" if rate else "")
    return line


def face_line(answer: MicroExpressionAnswer) -> str:
    """Source and quality of the face crop, in one line."""
    face = answer.face
    if face is None or face.source == "none":
        return "face: not searched"
    parts = [f"face: {SOURCES.get(face.source, face.source)}"]
    if face.frames_searched:
        parts.append(f"seen in {face.frames_seen} of {face.frames_searched} frames searched")
    if face.share_seen is not None:
        parts.append(f"followed through {face.share_seen:.0%} of the clip")
    if face.eye_distance is not None:
        parts.append(f"{face.eye_distance:.0f} pixels between the eyes")
    if face.head_pose is not None:
        parts.append("yaw {}, pitch {}, roll {} degrees".format(*map(round, face.head_pose)))
    if face.blinks is not None:
        parts.append(f"{len(face.blinks)} blinks" if len(face.blinks) != 1 else "1 blink")
    return ", ".join(parts)


def action_unit_line(answer: MicroExpressionAnswer) -> str:
    """The action units that are more probable than not, or else the most probable one, in one line."""
    likely = [unit for unit in answer.action_units if unit.probability > 0.5] or answer.action_units[:1]
    named = ", ".join(f"AU{int(unit.code):02d} {unit.sided_name} {unit.probability:.2f}" for unit in likely)
    return f"action units: {named}"
