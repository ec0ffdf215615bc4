"""The picture of one answer: frames, dynamic images, importance, classes, action units and curves."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from modeling_fdp import MicroExpressionAnswer
from modeling_fdp.answer_fdp import STILL_LABEL

DOTS_PER_INCH = 110
# Largest number of frames in the strip, because a face cannot be seen in smaller ones.
MOST_FRAMES_SHOWN = 14
MOST_ACTION_UNITS = 10
INK, MUTED, MARK = "#1d3557", "#b8c4d6", "#d1495b"
# Labels of curves and titles of images by name; those of other methods are labelled by their names.
CURVES = {"rank_scores": "rank score", "motion": "motion of the skin (pixels)"}
IMAGES = {"target": "dynamic image,\ncomputed from the frames", "dynamic_image": "dynamic image,\nconstructed"}
# Least range of an axis, for motion in pixels and for all other curves, because noise at full height looks like a
# movement.
LEAST_MOTION_SHOWN, LEAST_RISE_SHOWN = 0.5, 1e-2
# Least loss of probability that is drawn in full colour, because noise in full colour looks important.
LEAST_IMPORTANCE = 0.05


def draw_answer(answer: MicroExpressionAnswer) -> bytes:
    """Draw one answer.

    Args:
        answer (`MicroExpressionAnswer`): An answer with its images; an image that is missing gets no panel.

    Returns:
        `bytes`: A PNG.
    """
    if answer.label is None:
        # Frames and warnings alone, because classes, dynamic images and curves would be taken for an answer.
        figure = Figure(figsize=(13, 2.6), layout="constrained")
        part = figure.subfigures(1, 1, squeeze=False)[0, 0]
        _draw_frames(part, answer)
        _note_warnings(part, answer)
    else:
        figure = Figure(figsize=(13, 8.2), layout="constrained")
        top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=(1.1, 1.9, 1.7))[:, 0]
        _draw_frames(top, answer)
        _draw_images(middle, answer)
        _draw_curves(bottom, answer)
        _note_warnings(bottom, answer)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()


def _headline(answer: MicroExpressionAnswer) -> str:
    movement = answer.movement
    if answer.label is None:
        return answer.reason
    if movement.is_still:
        return f"{answer.label}: no clear movement, {movement.size:.2f} pixels"
    return f"{answer.label} ({answer.probability:.2f}), movement of {movement.size:.2f} pixels"


def _draw_frames(part: SubFigure, answer: MicroExpressionAnswer) -> None:
    part.suptitle(_headline(answer), fontsize=14, color=INK)
    frames = answer.images["frames"]
    interval = (answer.movement.onset_index, answer.movement.apex_index, answer.movement.offset_index)
    names = dict(zip(interval, ("onset", "apex", "offset"), strict=True))
    shown = frames_shown([frame.index for frame in answer.frames], interval)
    for axes, position in zip(part.subplots(1, len(shown), squeeze=False).flat, shown, strict=True):
        frame = answer.frames[position]
        axes.imshow(frames[position], cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=(), yticks=())
        time = f"{frame.index}" if frame.time_s is None else f"{frame.index}\n{frame.time_s:.2f} s"
        name = names.get(frame.index)
        axes.set_xlabel(f"{time}\n{name}" if name else time, fontsize=8, color=MARK if name else "black")


def frames_shown(indices: Sequence[int], interval: Sequence[int | None]) -> list[int]:
    """Choose the frames of the strip.

    Args:
        indices (`Sequence[int]`): Numbers of the frames used, never decreasing; repeats are shown once.
        interval (`Sequence[int | None]`): Numbers of frames that must be among the chosen ones; `None` is ignored.

    Returns:
        `list[int]`: Rising positions in `indices`, `MOST_FRAMES_SHOWN` at most: those of `interval`, and others evenly
        spread.
    """
    first = {index: position for position, index in reversed(list(enumerate(indices)))}
    distinct = sorted(first.values())
    wanted = sorted({first[index] for index in interval if index is not None})
    if len(distinct) <= MOST_FRAMES_SHOWN:
        return distinct
    spread = [distinct[round(place)] for place in np.linspace(0, len(distinct) - 1, MOST_FRAMES_SHOWN)]
    for position in wanted:
        # Replaces the nearest chosen position that is not wanted itself.
        free = [place for place, shown in enumerate(spread) if shown not in wanted]
        if position not in spread:
            spread[min(free, key=lambda place: abs(spread[place] - position))] = position
    return sorted(spread)


def _draw_images(part: SubFigure, answer: MicroExpressionAnswer) -> None:
    pictures = [name for name, image in answer.images.items() if name not in ("frames", "importance")]
    has_importance, has_units = "importance" in answer.images, bool(answer.action_units)
    ratios = [1.0] * (len(pictures) + has_importance) + [1.1] + [1.5] * has_units
    panels = iter(part.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0])
    for name in sorted(pictures, reverse=True):
        axes = next(panels)
        axes.imshow(answer.images[name], cmap="gray", vmin=0, vmax=1)
        axes.set_title(IMAGES.get(name, name.replace("_", " ")), fontsize=9)
        axes.set(xticks=(), yticks=())
    if has_importance:
        _draw_importance(next(panels), answer)
    names = list(answer.probabilities)[::-1]
    shares = [answer.probabilities[name] for name in names]
    _draw_bars(next(panels), names, shares, answer.label, "probability of the class")
    if has_units:
        units = answer.action_units[:MOST_ACTION_UNITS][::-1]
        titles = [f"{unit.sided_name}  AU{int(unit.code):02d}" for unit in units]
        marked = STILL_LABEL if answer.movement.is_still else None
        _draw_bars(
            next(panels), titles, [unit.probability for unit in units], marked, "probability of the action unit"
        )


def _draw_importance(axes: Axes, answer: MicroExpressionAnswer) -> None:
    importance = answer.images["importance"]
    largest = max(float(np.abs(importance).max()), LEAST_IMPORTANCE)
    axes.imshow(answer.images["frames"][len(answer.frames) // 2], cmap="gray", vmin=0, vmax=1)
    axes.imshow(importance, cmap="RdBu_r", vmin=-largest, vmax=largest, alpha=0.45, interpolation="bilinear")
    axes.set_title(f"where the motion matters\n(red: up to -{largest:.2f} if held still)", fontsize=9)
    axes.set(xticks=(), yticks=())


def _draw_bars(axes: Axes, names: list[str], values: list[float], marked: str | None, title: str) -> None:
    # Bars stand at positions and not at names, because two units of another method may have the same name.
    colors = [INK if marked is None or name == marked else MUTED for name in names]
    axes.barh(range(len(names)), values, color=colors)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlim(0, 1.15)
    for position, value in enumerate(values):
        axes.text(value + 0.02, position, f"{value:.2f}", va="center", fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([0, 0.5, 1])
    axes.spines[["top", "right"]].set_visible(False)


def _draw_curves(part: SubFigure, answer: MicroExpressionAnswer) -> None:
    timed = all(frame.time_s is not None for frame in answer.frames)
    times = [frame.time_s if timed else frame.index for frame in answer.frames]
    rate = answer.clip.frames_per_second
    movement = answer.movement
    ends = [
        None if index is None else (index / rate if timed and rate else index)
        for index in (movement.onset_index, movement.apex_index, movement.offset_index)
    ]
    curves = {name: curve for name, curve in answer.curves.items() if name != "progress"}
    panels = part.subplots(1, len(curves), squeeze=False)[0]
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        axes.plot(times, curve, marker="o", color=INK, markersize=4)
        if name == "motion":
            axes.set_ylim(0, 1.1 * max(*curve, LEAST_MOTION_SHOWN))
        elif max(curve) - min(curve) < LEAST_RISE_SHOWN:
            axes.set_ylim(min(curve) - LEAST_RISE_SHOWN, max(curve) + LEAST_RISE_SHOWN)
        axes.set_ylabel(CURVES.get(name, name.replace("_", " ")), fontsize=9)
        axes.set_xlabel("seconds" if timed else "frame", fontsize=9)
        if not timed:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        if ends[0] is not None:
            axes.axvspan(ends[0], ends[2], color=MUTED, alpha=0.35, linewidth=0)
            axes.axvline(ends[1], color=MARK, linewidth=1)


def _note_warnings(part: SubFigure, answer: MicroExpressionAnswer) -> None:
    notes = [f"- {warning}" for warning in answer.warnings]
    if notes:
        part.supxlabel("\n".join(note[:170] for note in notes[:5]), fontsize=8, color=MARK, x=0.01, ha="left")
