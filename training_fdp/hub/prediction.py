"""Predictions for a video file or a folder of frames: label, scores and the method's other outputs.

Code in the checkpoint's repository is not executed: weights and settings are loaded into this package's classes.
"""

import io
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evaluation_fdp.atomic_files import write_json
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.cli import read_pairs
from training_fdp.errors import ConfigError
from training_fdp.methods.pretrained import checkpoint_source, load_pretrained, loading_refused

PREDICTIONS_NAME = "predictions.json"
# Frames: five seconds at 200 frames per second, the fastest camera of the corpora; tracking the face through them
# takes ten seconds.
LONGEST_FOLLOWED = 1000
# Settings of the video processor that are fixed by the network or by `Predictor`.
SETTINGS_OF_THE_MODEL = frozenset({"num_frames", "size", "do_sample_frames", "return_metadata"})
# File systems allow names of 255 bytes; number, kind and suffix need the rest.
LONGEST_STEM = 80


@dataclass
class Prediction:
    """Prediction for one clip.

    Args:
        input (`str`): The path as it was given.
        label (`str`): The class with the highest score.
        score (`float`): Its softmax score in [0, 1]; not a calibrated probability.
        scores (`dict[str, float]`): All classes, in the order of the model.
        num_frames_in_clip (`int`): Frames that the source has.
        frame_indices (`list[int]`): Frames passed to the model, 0-based.
        frames_per_second (`float`, *optional*): As the video file states it.
        warnings (`list[str]`): Reasons to doubt the prediction, one sentence each: a clip of many seconds, few frames
            per second, few pixels, no face.
        numbers (`dict[str, float]`): Further outputs by name; of FDP `ordered_pairs`, the
            share of frame pairs whose later frame scores higher.
        curves (`dict[str, list[float]]`): One value per frame of `frame_indices`, by name; of FDP `rank_scores`.
        images (`dict[str, np.ndarray]`): Pictures `(height, width)`, float32 in [0, 1], by name; of FDP
            `dynamic_image`, 0.5 where nothing moves.
        face (`dict`, *optional*): How the face was found, the fields of `processing_fdp.face_report_fdp.FaceReport`.
        blinks (`list[list[int]]`, *optional*): First and last frame of each blink, 0-based; `None` where the face was
            not tracked: in clips of more than `LONGEST_FOLLOWED` frames, and without face detection.
        files (`dict[str, str]`): Pictures written for this clip, by content.
    """

    input: str
    label: str
    score: float
    scores: dict[str, float]
    num_frames_in_clip: int
    frame_indices: list[int]
    frames_per_second: float | None
    warnings: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    images: dict[str, NDArray[np.float32]] = field(repr=False, default_factory=dict)
    face: dict[str, Any] | None = None
    blinks: list[list[int]] | None = None
    files: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything but pixels, ready for JSON; numbers and curves are entries of their own."""
        content = asdict(replace(self, images={}))
        del content["images"]
        curves, numbers = content.pop("curves"), content.pop("numbers")
        return {**content, **numbers, **curves}


@dataclass(frozen=True)
class Refusal:
    """A clip without a prediction.

    Args:
        input (`str`): The path as it was given.
        error (`str`): Why, in one sentence.
    """

    input: str
    error: str


def _overridden(processor: FDPVideoProcessor, pairs: Sequence[str]) -> FDPVideoProcessor:
    """Replace settings of a checkpoint's video processor."""
    overrides = read_pairs("processor_overrides", pairs)
    if fixed := sorted(overrides.keys() & SETTINGS_OF_THE_MODEL):
        raise ConfigError(
            f"--processor_overrides sets how frames are read and faces found, but {', '.join(fixed)} is fixed by the "
            "network of --model; leave it out"
        )
    try:
        return FDPVideoProcessor(**{**processor.to_dict(), **overrides})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the video processor cannot be built with {overrides}: {error}") from None


class Predictor:
    """Predicts clips with a checkpoint.

    Args:
        model (`str`): Folder in Hub format, or a repository `namespace/name`.
        processor_overrides (`Sequence[str]`, *optional*): NAME=VALUE settings of its video processor to replace, read
            as `train.py` reads them.

    Raises:
        ConfigError: If there is no such checkpoint, no registered method has its `model_type`, or a setting is unknown
        to the processor or fixed by the network.
    """

    def __init__(self, model: str, processor_overrides: Sequence[str] = ()) -> None:
        self.name = model
        self.model, method = load_pretrained(model, "--model")
        self.method = method(method.options_class())
        with loading_refused(model, "--model"):
            processor = FDPVideoProcessor.from_pretrained(checkpoint_source(model, "--model"))
        self.processor = _overridden(processor, processor_overrides)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model.to(self.device).eval()

    @torch.inference_mode()
    def predict(self, source: str) -> Prediction:
        """Predict one clip.

        Args:
            source (`str`): A video file or a folder of frames.

        Returns:
            `Prediction`: The prediction; clips are prepared as in the video-classification pipeline.

        Raises:
            VideoReadError: If the clip cannot be read.
        """
        config = self.model.config
        inputs = self.processor(
            source, num_frames=config.num_frames, do_sample_frames=True, return_metadata=True, return_tensors="pt"
        )
        metadata = inputs["video_metadata"][0]
        pixel_values = inputs["pixel_values"].to(self.device, self.model.dtype)
        output = self.model(**self.method.inputs({"pixel_values": pixel_values}))
        probabilities = output.logits[0].float().softmax(-1).tolist()
        best = int(np.argmax(probabilities))
        face = None if metadata.face is None else asdict(metadata.face)
        names = [config.id2label[index] for index in range(len(probabilities))]
        shown = self.method.shown(output, config)[0]
        return Prediction(
            input=source,
            label=names[best],
            score=probabilities[best],
            scores=dict(zip(names, probabilities, strict=True)),
            num_frames_in_clip=metadata.total_num_frames,
            frame_indices=list(metadata.frames_indices),
            frames_per_second=metadata.fps,
            numbers=shown.numbers,
            curves=shown.curves,
            images=shown.images,
            face=face,
            blinks=self._blinks(source, metadata),
            warnings=list(metadata.warnings),
        )

    def _blinks(self, source: str, metadata: Any) -> list[list[int]] | None:
        """Blinks of a clip that shows a face and is short enough to track it through all frames."""
        looked = metadata.face is not None and metadata.face.source in ("mesh", "frame")
        if not looked or metadata.total_num_frames > LONGEST_FOLLOWED:
            return None
        return [list(blink) for blink in self.processor.follow_face(source).blinks()]


def write_predictions(
    predictions: Sequence[Prediction], model: str, output_dir: Path, refusals: Sequence[Refusal] = ()
) -> None:
    """Write `predictions.json` and the pictures of each clip: all of them, or none.

    Files are written to a temporary folder beside `output_dir` and moved at the end. Fills `files` of each prediction.

    Args:
        predictions (`Sequence[Prediction]`): What to write.
        model (`str`): The checkpoint, recorded in the JSON.
        output_dir (`Path`): Made where it does not exist; files of the same names are replaced.
        refusals (`Sequence[Refusal]`, *optional*): Clips without a prediction, recorded as errors.

    Raises:
        ConfigError: If `output_dir` is a file.
    """
    check_output_dir(output_dir)
    output_dir = output_dir.resolve()
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir.parent, prefix=f".{output_dir.name}.") as staging:
        for number, prediction in enumerate(predictions):
            prediction.files = {}
            for kind, picture in _pictures(prediction):
                name = f"{number:03d}_{_file_stem(prediction.input)}_{kind}.png"
                (Path(staging) / name).write_bytes(picture)
                prediction.files[kind] = name
        write_json(Path(staging) / PREDICTIONS_NAME, predictions_document(predictions, model, refusals))
        output_dir.mkdir(exist_ok=True)
        for path in sorted(Path(staging).iterdir()):
            os.replace(path, output_dir / path.name)


def check_output_dir(output_dir: Path) -> None:
    """Refuse an output folder that is a file, before any work is done."""
    if output_dir.exists() and not output_dir.is_dir():
        raise ConfigError(f"--output_dir must be a folder, but {output_dir} is a file; choose another name.")


def predictions_document(
    predictions: Sequence[Prediction], model: str, refusals: Sequence[Refusal] = ()
) -> dict[str, Any]:
    """One JSON document of all predictions.

    Args:
        predictions (`Sequence[Prediction]`): Predictions in the order of the command line.
        model (`str`): Their checkpoint.
        refusals (`Sequence[Refusal]`, *optional*): Clips without a prediction.

    Returns:
        `dict`: `model`, `predictions`, one object per predicted input, and `errors`, one per other input.
    """
    return {
        "model": model,
        "predictions": [prediction.to_dict() for prediction in predictions],
        "errors": [asdict(refusal) for refusal in refusals],
    }


def _pictures(prediction: Prediction) -> Iterator[tuple[str, bytes]]:
    """PNG files of one prediction, by content."""
    # Imported late, because most predictions are printed only.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    for name, image in prediction.images.items():
        gray = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(gray).save(buffer, format="PNG")
        yield name, buffer.getvalue()
    for name, curve in prediction.curves.items():
        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        axes.plot(prediction.frame_indices, curve, marker="o")
        title = f"{prediction.label} ({prediction.score:.2f})"
        axes.set(xlabel="frame", ylabel=name.replace("_", " "), title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        yield name, buffer.getvalue()


def _file_stem(source: str) -> str:
    stem = re.sub(r"[^\w.-]+", "_", Path(source).resolve().stem)
    # Cut by bytes, as file systems count: one character takes up to four.
    return stem.encode()[:LONGEST_STEM].decode(errors="ignore") or "clip"
