"""Accuracy of a checkpoint on other windows, light and crops than those of its training.

    python -m benchmarks windows --model CKPT                           # renders recordings
    python -m benchmarks windows --model CKPT --corpus NAME --data_dir DIR --label_set SET
    python -m benchmarks windows --model CKPT --short                   # ten rows

One row per disturbance: unweighted F1 (UF1), accuracy, mean confidence, and the change of UF1 against the trimmed row
with a 95% interval, from a paired bootstrap over people (`evaluation_fdp.intervals`). A corpus must hold whole
recordings, with frames before and after its movements, of people on whom the checkpoint was not trained. Evaluate a
model of one face family on the other as well (`--face_model`), and speech on a corpus rendered with `--speech`.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from benchmarks.disturbances import CROPS, DISTURBANCES, NOTHING_MOVES, SHORT, TRIMMED, Frames, Recording
from evaluation_fdp.calibration import Probabilities, expected_calibration_error
from evaluation_fdp.errors import ConfigError
from evaluation_fdp.intervals import SeedAnswers, SubjectCounts, paired_intervals
from evaluation_fdp.metrics import classification_metrics
from hub_datasets import get_builder_class
from hub_datasets.features import ClipRow
from hub_datasets.synthetic.settings import CorpusSettings
from modeling_fdp.movement_evidence_fdp import movement_evidence, movement_score
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.recordings import with_surroundings
from training_fdp.methods.pretrained import checkpoint_source, load_pretrained

BATCH_SIZE = 32
# Recordings rendered by default, with a seed that no training of this repository uses.
OWN_RECORDINGS = CorpusSettings(
    num_subjects=26, num_clips=246, seed=61_000, mix="casme2", difficulty="medium", fps=60.0, neutral_s=0.355
)

Answer = Callable[[Sequence[Frames]], Probabilities]


class Seen(NamedTuple):
    """Answers of a network for clips.

    Args:
        probabilities (`np.ndarray` of shape `(num_clips, num_labels)`): rows sum to 1.
        evidence (`np.ndarray` of shape `(num_clips, 2)`, *optional*): whether anything moves, from
            `movement_evidence`; `None` where the network gives none.
    """

    probabilities: Probabilities
    evidence: NDArray[np.float64] | None

    @property
    def known_evidence(self) -> NDArray[np.float64]:
        """The evidence (`np.ndarray` of shape `(num_clips, 2)`).

        Raises:
            ConfigError: the network gives none.
        """
        if self.evidence is None:
            raise ConfigError(
                "to call clips still, a network needs movement_patterns and action units, but this one "
                "lacks them; train with --recipe any_window on a corpus that codes action units"
            )
        return self.evidence

    def called_still(self, weights: Sequence[float]) -> NDArray[np.bool_]:
        """Whether each clip is called still with these `config.movement_weights`.

        Returns:
            `np.ndarray` of shape `(num_clips,)`: bool.

        Raises:
            ConfigError: the network gives no evidence.
        """
        still: NDArray[np.bool_] = movement_score(torch.from_numpy(self.known_evidence), weights).numpy() < 0
        return still


class WindowFigures(TypedDict, total=False):
    """Metrics of one row.

    `confidence` is in every row; `uf1`, `accuracy` and `calibration_error` are in all but those of `NOTHING_MOVES`;
    `change` of UF1 against the trimmed row, and its 95% `interval`, are in all of these but the trimmed row.
    """

    confidence: float
    uf1: float
    accuracy: float
    calibration_error: float
    change: float
    interval: list[float]


def judge(
    answer: Answer, recordings: Sequence[Recording], num_labels: int, names: Sequence[str] = (), seed: int = 0
) -> dict[str, WindowFigures]:
    """Disturb recordings and compute the metrics of the predictions.

    Args:
        answer (`Callable`): takes clips, uint8 `(num_frames, height, width)` of any length, and returns probabilities
            of shape `(num_clips, num_labels)`.
        recordings (`Sequence[Recording]`): movements with the frames around them.
        num_labels (`int`): classes.
        names (`Sequence[str]`, *optional*): rows of `DISTURBANCES`; all by default. The trimmed row comes first.
        seed (`int`, *optional*, defaults to 0): seed of all random draws, per row and recording.

    Returns:
        `dict[str, WindowFigures]`: see `figures`.
    """
    shown = {name: answer(clips) for name, clips in disturbed(recordings, names, seed)}
    return figures(shown, recordings, num_labels)


def disturbed(
    recordings: Sequence[Recording], names: Sequence[str] = (), seed: int = 0
) -> Iterator[tuple[str, list[Frames]]]:
    """Yield the name of each row and its clips; the trimmed row comes first."""
    for name in [TRIMMED, *(name for name in names or DISTURBANCES if name != TRIMMED)]:
        disturb, number = DISTURBANCES[name], list(DISTURBANCES).index(name)
        yield name, [disturb(rec, np.random.default_rng([seed, number, item])) for item, rec in enumerate(recordings)]


def figures(
    shown: Mapping[str, Probabilities], recordings: Sequence[Recording], num_labels: int
) -> dict[str, WindowFigures]:
    """Compute the metrics of every row.

    Args:
        shown (`Mapping[str, np.ndarray]`): probabilities of the clips of each row, the trimmed one first.
        recordings (`Sequence[Recording]`): recordings of these clips, in the same order.
        num_labels (`int`): classes.

    Returns:
        `dict[str, WindowFigures]`: per row.
    """
    labels = [recording.label for recording in recordings]
    people = [recording.subject for recording in recordings]
    rows: dict[str, WindowFigures] = {}
    trimmed: SubjectCounts | None = None
    for name, probabilities in shown.items():
        rows[name] = {"confidence": float(probabilities.max(1).mean())}
        if name in NOTHING_MOVES:
            continue
        predictions = probabilities.argmax(1).tolist()
        found = classification_metrics(predictions, labels, num_labels)
        counts = SubjectCounts.of([SeedAnswers(people, labels, predictions)], num_labels)
        rows[name] |= {"uf1": found["uf1"], "accuracy": found["accuracy"]}
        rows[name]["calibration_error"] = expected_calibration_error(probabilities, labels)
        if trimmed is None:
            trimmed = counts
            continue
        rows[name] |= {
            "change": found["uf1"] - rows[TRIMMED]["uf1"],
            "interval": list(paired_intervals(counts, trimmed)["uf1"]),
        }
    return rows


def network_answer(model: PreTrainedModel, processor: FDPVideoProcessor) -> Answer:
    """Return a function from clips to probabilities; see `network_view`."""
    view = network_view(model, processor)
    return lambda clips: view(clips).probabilities


def network_view(model: PreTrainedModel, processor: FDPVideoProcessor) -> Callable[[Sequence[Frames]], Seen]:
    """Return a function from clips to answers, with the frame sampling of the checkpoint's processor."""
    # One processor for all clips, because building one takes longer than a clip; clips are aligned already.
    sampler = FDPVideoProcessor(**{**processor.to_dict(), "alignment": "none", "num_frames": model.config.num_frames})

    @torch.inference_mode()
    def view(clips: Sequence[Frames]) -> Seen:
        probabilities, evidence = [], []
        for start in range(0, len(clips), BATCH_SIZE):
            # With a channel axis, because four gray frames could be one frame of four channels.
            batch = sampler([clip[..., None] for clip in clips[start : start + BATCH_SIZE]], return_tensors="pt")
            output = model(pixel_values=batch["pixel_values"].to(model.device, model.dtype))
            probabilities.append(output.logits.double().softmax(-1).cpu().numpy())
            size, units = (getattr(output, name, None) for name in ("movement_size", "action_unit_logits"))
            if size is not None and units is not None:
                evidence.append(movement_evidence(size, units).double().cpu().numpy())
        return Seen(np.concatenate(probabilities), np.concatenate(evidence) if evidence else None)

    return view


def read_recordings(rows: Sequence[ClipRow], processor: FDPVideoProcessor) -> list[Recording]:
    """Read the whole recording of every clip, in the crop of the clip alone and in the crops of `CROPS`.

    Args:
        rows (`Sequence[ClipRow]`): rows of a corpus of frame folders (see `hub_datasets.features.clip_features`).
        processor (`FDPVideoProcessor`): aligns the clips.

    Returns:
        `list[Recording]`: one per row that has a class.

    Raises:
        ValueError: a clip is not a folder of frames, or its recording has no other frames.
    """
    crop_processors = {
        name: FDPVideoProcessor(**{**processor.to_dict(), "crop_scale": processor.crop_scale * factor})
        for name, (factor, _, _) in CROPS.items()
    }
    recordings = []
    for row in rows:
        if row["label"] is None:
            continue
        whole = with_surroundings(row)
        onset, offset, last = whole["onset_index"], whole["offset_index"], len(whole["frames"]) - 1
        if onset == 0 and offset >= last:
            raise ValueError(
                f"windows need a folder with the frames around a movement, but {row['clip_id']} has none; give a "
                "corpus of whole recordings (python -m hub_datasets generate --neutral_s 0.355)."
            )
        # The middle replaces an unknown apex.
        apex = whole["apex_index"] if whole["apex_index"] is not None else (onset + offset) // 2
        aligned = processor.align_clip(whole["frames"], clip_id=row["clip_id"])
        crops = {"as trained": aligned.frames.numpy()}
        points = None if aligned.track is None else np.median(aligned.track.points, axis=0)
        for name, (_, degrees, down) in CROPS.items():
            if points is None:
                continue
            cropper = crop_processors[name]
            moved = _other_points(points, cropper.crop_scale, degrees, down)
            crops[name] = cropper.align_clip(whole["frames"], landmarks=moved).frames.numpy()
        recordings.append(
            Recording(row["clip_id"], row["subject"], row["label"], onset, apex, offset, float(row["fps"]), crops)
        )
    return recordings


def _other_points(points: NDArray[np.float64], crop_scale: float, degrees: float, down: float) -> NDArray[np.float64]:
    """Rotate five points about their mean and move them up by 64ths of the crop, which lowers the face in it."""
    angle, middle = np.deg2rad(degrees), points.mean(0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    side = crop_scale * np.ptp(points, axis=0).max()
    return (points - middle) @ turn.T + middle - np.array([0, down / 64 * side])


def table(rows: Mapping[str, WindowFigures]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what is shown | UF1 | accuracy | confidence | change of UF1 | 95% |", "|---|---|---|---|---|---|"]
    for name, row in rows.items():
        if "uf1" not in row:
            lines.append(f"| {name} | | | {row['confidence']:.2f} | | |")
            continue
        change = "| |"
        if "change" in row:
            low, high = row["interval"]
            change = f"{row['change']:+.3f} | {low:+.3f} to {high:+.3f} |"
        lines.append(f"| {name} | {row['uf1']:.3f} | {row['accuracy']:.3f} | {row['confidence']:.2f} | {change}")
    return "\n".join(lines)


def main() -> int:
    """Parse the command line, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="checkpoint: a folder in Hub format or NAMESPACE/NAME")
    parser.add_argument("--corpus", default="synthetic", help="corpus of whole recordings (synthetic)")
    parser.add_argument("--data_dir", type=Path, help="its folder; the synthetic corpus is rendered when omitted")
    parser.add_argument(
        "--label_set", help="label set of the corpus; the one with the checkpoint's classes when omitted"
    )
    parser.add_argument("--face_model", help="folder of a morphable model, rendered instead of the built-in faces")
    parser.add_argument("--output_dir", type=Path, help="folder for rendered recordings (the cache of datasets)")
    parser.add_argument("--short", action="store_true", help="ten rows")
    parser.add_argument("--rows", nargs="+", choices=list(DISTURBANCES), help="rows by name")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random draws (0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    model = load_pretrained(options.model, "--model")[0].eval()
    processor = FDPVideoProcessor.from_pretrained(checkpoint_source(options.model, "--model"))
    builder = get_builder_class(options.corpus)
    data_dir = options.data_dir or _render(options.output_dir, options.face_model)
    classes = [model.config.id2label[number] for number in range(model.config.num_labels)]
    label_set = options.label_set or next(
        (one.name for one in builder.LABEL_SETS if sorted(one.names) == sorted(classes)), None
    )
    if label_set is None:
        parser.error(f"--label_set of {options.corpus} must have the classes {', '.join(classes)}, but none has")
    rows = builder(data_dir=data_dir, config_name=label_set).prepare()
    rows = rows.align_labels_with_mapping({name: number for number, name in enumerate(classes)}, "label")
    recordings = read_recordings(rows, processor)
    # Rows of `CROPS` are left out for clips that were aligned without landmarks, because they have no other crop.
    available = [name for name in DISTURBANCES if name not in CROPS or name in recordings[0].crops]
    names = options.rows or [name for name in available if not options.short or name in SHORT]
    results = judge(network_answer(model, processor), recordings, len(classes), names, options.seed)
    print(json.dumps(results) if options.json else table(results))
    return 0


def _render(folder: Path | None, face_model: str | None) -> Path:
    """Render the default recordings unless they are rendered already; return their folder."""
    from datasets import config

    from hub_datasets.synthetic.layouts import LAYOUTS
    from hub_datasets.synthetic.tree import write_tree

    settings = replace(OWN_RECORDINGS, face_model=face_model)
    root = folder or Path(config.HF_DATASETS_CACHE) / "synthetic_frames" / settings.digest()
    write_tree(settings, LAYOUTS["synthetic"](), root)
    return root


if __name__ == "__main__":
    sys.exit(main())
