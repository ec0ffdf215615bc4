"""Files of spotted recordings: a table, a JSON document with the answers to MEGC's questions, and timelines.

None of them shows a face.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from evaluation_fdp.atomic_files import write_atomically, write_json, write_text
from spotting_fdp.recognition import LIKELY, coarse_class, fine_class
from spotting_fdp.spotter import SpottedExpression, SpottingResult
from training_fdp.hub.prediction import Refusal

DOCUMENT_NAME, TABLE_NAME = "spotting.json", "expressions.csv"
COLUMNS = (
    "input", "kind", "onset_frame", "apex_frame", "offset_frame", "onset_s", "apex_s", "offset_s", "score", "talking",
    "label", "confidence", "coarse_emotion", "fine_emotion", "action_units", "why_no_label",
)  # fmt: skip
# File systems allow names of 255 bytes; number, kind and suffix need the rest.
LONGEST_STEM = 80
DOTS_PER_INCH = 110
COLORS = {"micro": "#c1443c", "macro": "#4472a8"}


def likely_action_units(expressions: Sequence[SpottedExpression]) -> list[str]:
    """Return the codes of the action units that are more probable than not in one of the expressions, in order."""
    units = {
        code
        for one in expressions
        if one.recognition is not None
        for code, probability in one.recognition.action_units.items()
        if probability >= LIKELY
    }
    return sorted(units, key=lambda code: (int(re.sub(r"\D", "", code) or 0), code))


def megc_answers(result: SpottingResult) -> dict[str, object]:
    """Answer the questions of MEGC 2026 about a recording (`dict`, ready for JSON).

    Counts of all, micro- and macro-expressions; their intervals in frames; the set of action units; coarse and fine
    emotion of each expression, `null` where the checkpoint names none.
    """
    return {
        "counts": {"all": result.count(), "micro": result.count("micro"), "macro": result.count("macro")},
        "intervals": {
            kind: [[one.onset, one.offset] for one in result.expressions if one.kind == kind] for kind in COLORS
        },
        "action_units": likely_action_units(result.expressions),
        "expressions": [
            {
                "onset": one.onset,
                "offset": one.offset,
                "kind": one.kind,
                "action_units": likely_action_units([one]),
                "coarse_emotion": coarse_class(_label(one)),
                "fine_emotion": fine_class(_label(one)),
            }
            for one in result.expressions
        ],
    }


def recording_document(result: SpottingResult) -> dict[str, object]:
    """Return everything about a recording but its activity (`dict`, ready for JSON)."""
    return {**result.to_dict(), "megc": megc_answers(result)}


def summary_row(result: SpottingResult) -> dict[str, object]:
    """Return the row of a recording in `summary.csv` of predict.py; its expressions have a table of their own."""
    return {
        "input": result.input,
        "num_frames": result.num_frames,
        "frames_per_second": result.frames_per_second,
        "action_units": "+".join(f"AU{int(code):02d}" for code in likely_action_units(result.expressions)),
        "expressions": result.count(),
        "warnings": "; ".join(result.warnings),
    }


def document(
    results: Sequence[SpottingResult], model: str | None, refusals: Sequence[Refusal] = ()
) -> dict[str, object]:
    """One JSON document of all recordings (`dict`).

    Args:
        results (`Sequence[SpottingResult]`): In the order of the command line.
        model (`str`, *optional*): Checkpoint that named the expressions; `None` if none did.
        refusals (`Sequence[Refusal]`, *optional*): Recordings without a result.
    """
    return {
        "model": model,
        "recordings": [recording_document(result) for result in results],
        "errors": [asdict(refusal) for refusal in refusals],
    }


def table(results: Sequence[SpottingResult]) -> str:
    """Return all expressions as CSV, one row each, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        for one in result.expressions:
            named = one.recognition
            writer.writerow(
                {
                    "input": result.input,
                    "kind": one.kind,
                    "onset_frame": one.onset,
                    "apex_frame": one.apex,
                    "offset_frame": one.offset,
                    "onset_s": round(one.onset_s, 4),
                    "apex_s": round(one.apex_s, 4),
                    "offset_s": round(one.offset_s, 4),
                    "score": round(one.score, 3),
                    "talking": one.talking,
                    "label": _label(one),
                    "confidence": None if named is None or named.confidence is None else round(named.confidence, 4),
                    "coarse_emotion": coarse_class(_label(one)),
                    "fine_emotion": fine_class(_label(one)),
                    "action_units": "+".join(likely_action_units([one])),
                    "why_no_label": "" if named is None else named.reason,
                }
            )
    return text.getvalue()


def write_results(
    results: Sequence[SpottingResult], model: str | None, output_dir: Path, refusals: Sequence[Refusal] = ()
) -> list[Path]:
    """Write `spotting.json`, `expressions.csv` and a timeline of each recording.

    Args:
        results (`Sequence[SpottingResult]`): In the order of the command line.
        model (`str`, *optional*): As in `document`.
        output_dir (`Path`): Made where it does not exist; files of the same names are replaced.
        refusals (`Sequence[Refusal]`, *optional*): As in `document`.

    Returns:
        `list[Path]`: The files.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    pictures = []
    for number, result in enumerate(results):
        pictures.append(output_dir / timeline_name(number, result))
        write_timeline(result, pictures[-1])
    write_text(output_dir / TABLE_NAME, table(results))
    write_json(output_dir / DOCUMENT_NAME, document(results, model, refusals))
    return [output_dir / DOCUMENT_NAME, output_dir / TABLE_NAME, *pictures]


def timeline_name(number: int, result: SpottingResult) -> str:
    """File name of the timeline of a recording, which is the `number`-th."""
    stem = re.sub(r"[^\w.-]+", "_", Path(result.input).stem).encode()[:LONGEST_STEM].decode(errors="ignore")
    return f"{number:03d}_{stem or 'recording'}_timeline.png"


def write_timeline(result: SpottingResult, path: Path) -> None:
    """Write the timeline of a recording as a PNG."""
    picture = draw_timeline(result)
    write_atomically(path, lambda file: file.write(picture))


def draw_timeline(result: SpottingResult) -> bytes:
    """Draw the score of each moment, the threshold, the expressions, and where the face could not be judged.

    Args:
        result (`SpottingResult`): A recording.

    Returns:
        `bytes`: A PNG.
    """
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots()
    duration = result.duration_s
    times = np.array([time for time, _, _ in result.activity])
    scores = np.array([score for _, score, _ in result.activity])
    # Clipped below, because the level of noise says nothing, and above, because the highest peaks would hide the rest.
    top = max(4 * result.least_score, 1.1 * max((one.score for one in result.expressions), default=0.0))
    # Scores of the network are probabilities, those of the closed form are far above 1.
    top = min(top, 1.0) if result.least_score < 1 else top
    if len(times):
        step = float(np.median(np.diff(times))) if len(times) > 1 else duration
        broken = np.concatenate([[False], np.diff(times) > 1.5 * step])
        axes.plot(
            np.insert(times, np.flatnonzero(broken), np.nan),
            np.insert(np.clip(scores, 0, top), np.flatnonzero(broken), np.nan),
            color="#444444",
            linewidth=0.7,
        )
        talking = np.array([talks for _, _, talks in result.activity])
        axes.fill_between(times, 0, top, where=talking, color="#f0d9a0", alpha=0.6, linewidth=0, step="post")
        for start, end in _gaps(times, step, duration):
            axes.axvspan(start, end, color="#bbbbbb", alpha=0.5, linewidth=0)
    else:
        axes.axvspan(0, duration, color="#bbbbbb", alpha=0.5, linewidth=0)
    axes.axhline(result.least_score, color="#444444", linewidth=0.8, linestyle="--")
    for one in result.expressions:
        # As wide as a line at least, because a micro-expression in an hour is narrower than a pixel.
        width = max(one.offset_s - one.onset_s, duration / 1000)
        axes.axvspan(one.onset_s, one.onset_s + width, color=COLORS[one.kind], alpha=0.35, linewidth=0)
        axes.plot([one.apex_s], [min(one.score, top)], marker="v", markersize=4, color=COLORS[one.kind])
        named = _label(one)
        if named is not None and len(result.expressions) <= 40:
            axes.annotate(
                named, (one.apex_s, min(one.score, top)), rotation=90, fontsize=7, ha="center", va="bottom",
                xytext=(0, 4), textcoords="offset points",
            )  # fmt: skip
    axes.set(xlim=(0, duration), ylim=(0, 1.25 * top), xlabel="seconds", ylabel="score of an expression")
    axes.set_title(f"{Path(result.input).name}: {result.in_words}", fontsize=10)
    shown = [Patch(color=color, alpha=0.35, label=f"{kind}-expression") for kind, color in COLORS.items()]
    shown += [Patch(color="#f0d9a0", alpha=0.6, label="talks"), Patch(color="#bbbbbb", alpha=0.5, label="no face")]
    axes.legend(handles=shown, ncols=4, fontsize=7, loc="upper right", frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()


def _gaps(times: np.ndarray, step: float, duration: float) -> list[tuple[float, float]]:
    """Stretches of more than one step without activity."""
    edges = np.concatenate([[-step], times, [duration]])
    wide = np.flatnonzero(np.diff(edges) > 1.5 * step)
    return [(max(float(edges[index]) + step, 0.0), float(edges[index + 1])) for index in wide]


def _label(expression: SpottedExpression) -> str | None:
    return None if expression.recognition is None else expression.recognition.label
