"""Files of answers: one JSON, one table, and per clip a picture and action-unit curves; all of them, or none."""

import csv
import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation_fdp.atomic_files import read_json, write_json, write_text
from evaluation_fdp.errors import ConfigError
from modeling_fdp import MicroExpressionAnswer
from training_fdp.hub.prediction import Refusal

PREDICTIONS_NAME, SUMMARY_NAME = "predictions.json", "summary.csv"
# Bytes of a file's name that come from its input; file systems allow 255, and number, kind and suffix are added.
LONGEST_STEM = 80
SUMMARY_COLUMNS = (
    "input", "label", "reason", "probability", "movement_size", "head_size", "onset_index", "apex_index",
    "offset_index", "num_frames", "frames_per_second", "face", "action_units", "expressions", "warnings", "error",
)  # fmt: skip
# Least probability of an action unit that the table lists.
LIKELY = 0.5


@dataclass(frozen=True)
class RecordingReport:
    """The spotted expressions of an input that is longer than one expression, in the form of the files.

    Args:
        document (`dict`): A recording as `answer.schema.json` describes it.
        summary (`dict`): Its row in `summary.csv`; columns of `SUMMARY_COLUMNS` that are missing stay empty.
    """

    document: dict[str, object]
    summary: dict[str, object]


def write_answers(
    answers: Sequence[MicroExpressionAnswer],
    model: str,
    output_dir: Path,
    refusals: Sequence[Refusal] = (),
    recordings: Sequence[RecordingReport] = (),
    files_of_recordings: Mapping[str, bytes] | None = None,
) -> None:
    """Write `predictions.json`, `summary.csv`, and per clip a picture and, where units are named, their curves.

    Files are written to a temporary folder beside `output_dir` and moved at the end. Fills `files` of each answer.

    Args:
        answers (`Sequence[MicroExpressionAnswer]`): Answers of clips. The pictures of them show the face.
        model (`str`): The checkpoint, recorded in the JSON.
        output_dir (`Path`): Made where it does not exist; files of the same names are replaced.
        refusals (`Sequence[Refusal]`, *optional*): Clips without an answer, recorded as errors.
        recordings (`Sequence[RecordingReport]`, *optional*): Reports on longer inputs.
        files_of_recordings (`Mapping[str, bytes]`, *optional*): Further files by name, which `recordings` name.

    Raises:
        ConfigError: If `output_dir` is a file.
    """
    check_output_dir(output_dir)
    output_dir = output_dir.resolve()
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir.parent, prefix=f".{output_dir.name}.") as staging:
        for number, answer in enumerate(answers):
            answer.files = {}
            for kind, suffix, content in _files_of(answer):
                name = f"{number:03d}_{_file_stem(answer.input or 'clip')}_{kind}{suffix}"
                (Path(staging) / name).write_bytes(content)
                answer.files[kind] = name
        for name, content in (files_of_recordings or {}).items():
            (Path(staging) / name).write_bytes(content)
        found = [recording.document for recording in recordings]
        write_json(Path(staging) / PREDICTIONS_NAME, answers_document(answers, model, refusals, found))
        rows = [_summary_row(answer) for answer in answers] + [recording.summary for recording in recordings]
        rows += [asdict(refusal) for refusal in refusals]
        write_text(Path(staging) / SUMMARY_NAME, _table(SUMMARY_COLUMNS, rows))
        output_dir.mkdir(exist_ok=True)
        for path in sorted(Path(staging).iterdir()):
            os.replace(path, output_dir / path.name)


def check_output_dir(output_dir: Path) -> None:
    """Refuse an output folder that is a file or lies in one, before any work is done."""
    for path in (output_dir, *output_dir.parents):
        if path.is_file():
            raise ConfigError(f"--output_dir must be a folder, but {path} is a file; choose another name.")


def answers_document(
    answers: Sequence[MicroExpressionAnswer],
    model: str,
    refusals: Sequence[Refusal] = (),
    recordings: Sequence[dict[str, object]] = (),
) -> dict[str, object]:
    """One JSON document of all answers, as `answer.schema.json` describes it.

    Args:
        answers (`Sequence[MicroExpressionAnswer]`): In the order of the command line.
        model (`str`): Their checkpoint.
        refusals (`Sequence[Refusal]`, *optional*): Clips without an answer.
        recordings (`Sequence[dict]`, *optional*): Inputs that are longer than one expression, as
            `spotting_fdp.report.recording_document` describes them, with the names of their `files`.

    Returns:
        `dict`: `model`; `predictions` and `recordings`, one object per answered input; and `errors`, one per input
        without an answer.
    """
    return {
        "model": model,
        "predictions": [answer.to_dict() for answer in answers],
        "recordings": list(recordings),
        "errors": [asdict(refusal) for refusal in refusals],
    }


def schema() -> dict[str, object]:
    """Return the JSON schema of `answers_document` (`dict`)."""
    content: dict[str, object] = read_json(Path(__file__).with_name("answer.schema.json"))
    return content


def _files_of(answer: MicroExpressionAnswer) -> Iterator[tuple[str, str, bytes]]:
    """Kind, suffix and content of each file of one clip."""
    # Imported late, because importing matplotlib takes long and most answers are only printed.
    from training_fdp.hub.answer_picture import draw_answer

    yield "picture", ".png", draw_answer(answer)
    if answer.action_units and answer.label is not None:
        rows = answer.action_unit_curves()
        yield "action_units", ".csv", _table(tuple(rows[0]), rows).encode()


def _summary_row(answer: MicroExpressionAnswer) -> dict[str, object]:
    movement, face = answer.movement, answer.face
    likely = [f"AU{int(unit.code):02d}" for unit in answer.action_units if unit.probability > LIKELY]
    return {
        "input": answer.input,
        "label": answer.label,
        "reason": answer.reason,
        "probability": answer.probability,
        "movement_size": movement.size,
        "head_size": movement.head_size,
        "onset_index": movement.onset_index,
        "apex_index": movement.apex_index,
        "offset_index": movement.offset_index,
        "num_frames": answer.clip.num_frames,
        "frames_per_second": answer.clip.frames_per_second,
        "face": None if face is None else face.source,
        "action_units": "+".join(sorted(likely)),
        "warnings": "; ".join(answer.warnings),
    }


def _table(columns: Sequence[str], rows: Sequence[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _file_stem(source: str) -> str:
    stem = re.sub(r"[^\w.-]+", "_", Path(source).resolve().stem)
    # Cut by bytes, as file systems count: one character takes up to four.
    return stem.encode()[:LONGEST_STEM].decode(errors="ignore") or "clip"
