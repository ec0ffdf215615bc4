"""Answers for video files and folders of frames with a checkpoint of any method.

Code in the checkpoint's repository is not executed: weights and settings are loaded into this package's classes.
"""

import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation_fdp.errors import ConfigError
from modeling_fdp import MicroExpressionAnswer
from modeling_fdp.clip_answer_fdp import PreparedClip, make_answer, prepare_clip
from processing_fdp.clip_reading_fdp import ClipSource
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.cli import read_pairs
from training_fdp.data.processor import learnt_settings
from training_fdp.methods.arithmetic import fastest_precision, lay_out_channels_last
from training_fdp.methods.pretrained import checkpoint_source, load_pretrained, loading_refused

# Settings of the video processor that are fixed by the network or by `Predictor`.
SETTINGS_OF_THE_MODEL = frozenset({"num_frames", "size", "do_sample_frames", "return_metadata"})
SHIPPED_MODEL = "fdp-tiny"
# Folders of the shipped checkpoint: that of the repository, and those in which the wheel puts it (`data-files` in
# pyproject.toml) for all users and for one.
SHIPPED_FOLDERS = (
    Path(__file__).resolve().parents[2] / "checkpoints",
    Path(sysconfig.get_path("data")) / "share" / "fdp-micro-expression",
    Path(sysconfig.get_path("data", sysconfig.get_preferred_scheme("user"))) / "share" / "fdp-micro-expression",
)
# Of `Predictor.importance`: places along a side at which a part of the face is held still, side of a part as a share
# of the frame's, and clips per batch.
PLACES, PART, PARTS_PER_BATCH = 7, 1 / 4, 7


@dataclass(frozen=True)
class Refusal:
    """A clip without an answer.

    Args:
        input (`str`): The path as it was given.
        error (`str`): Why, in one sentence.
    """

    input: str
    error: str


def shipped_model() -> str:
    """Return the folder of the checkpoint that comes with this package (`str`).

    Raises:
        ConfigError: This copy of the package has none.
    """
    for folder in SHIPPED_FOLDERS:
        if (folder / SHIPPED_MODEL / "config.json").is_file():
            return str(folder / SHIPPED_MODEL)
    raise ConfigError(
        f"without --model the checkpoint {SHIPPED_MODEL} of this package answers, but this copy has none; give a "
        "checkpoint of your own, such as the one that `make demo` trains"
    )


def _overridden(processor: FDPVideoProcessor, pairs: Sequence[str], model: str) -> FDPVideoProcessor:
    """Replace settings of a checkpoint's video processor; those with which the network learnt are refused."""
    overrides = read_pairs("processor_overrides", pairs)
    if fixed := sorted(overrides.keys() & SETTINGS_OF_THE_MODEL):
        raise ConfigError(
            f"--processor_overrides sets how frames are read and faces found, but {', '.join(fixed)} is fixed by the "
            "network of --model; leave it out"
        )
    try:
        replaced = FDPVideoProcessor(**{**processor.to_dict(), **overrides})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the video processor cannot be built with {overrides}: {error}") from None
    learnt_settings(processor, overrides, f"--model {model}")
    return replaced


class Predictor:
    """A checkpoint that answers clips.

    Args:
        model (`str`, *optional*): Folder in Hub format, or a repository `namespace/name`; the shipped checkpoint by
            default.
        processor_overrides (`Sequence[str]`, *optional*): NAME=VALUE settings of its video processor to replace, read
            as `train.py` reads them.
        mixed_precision (`str`, *optional*, defaults to `"no"`): Arithmetic of the network: `no`, `bf16`, or `auto`,
            which is bf16 where a short trial finds the device faster with it.

    Raises:
        ConfigError: If there is no such checkpoint, no registered method has its `model_type`, or a setting is unknown
        to the processor or fixed by the network.

    Attributes:
        name (`str`): As given; that of the shipped checkpoint by default.
        source (`str`): Its folder or repository.
    """

    def __init__(
        self,
        model: str | None = None,
        processor_overrides: Sequence[str] = (),
        mixed_precision: Literal["no", "bf16", "auto"] = "no",
    ) -> None:
        self.name = SHIPPED_MODEL if model is None else model
        model = shipped_model() if model is None else model
        self.source = model
        self.model, method = load_pretrained(model, "--model")
        self.method = method(method.options_class())
        with loading_refused(model, "--model"):
            processor = FDPVideoProcessor.from_pretrained(checkpoint_source(model, "--model"))
        self.processor = _overridden(processor, processor_overrides, model)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model.to(self.device).eval()
        if self.device.type == "cpu":
            lay_out_channels_last(self.model)
        self.mixed_precision = fastest_precision(self.device) if mixed_precision == "auto" else mixed_precision

    @torch.inference_mode()
    def predict(
        self, source: ClipSource, frames_per_second: float | None = None, explain: bool = False
    ) -> MicroExpressionAnswer:
        """Answer one clip.

        Args:
            source (`ClipSource`): A video file, a folder of frames or another form that the video processor takes.
            frames_per_second (`float`, *optional*): Frame rate of the recording, where its file states none or a wrong
                one.
            explain (`bool`, *optional*, defaults to `False`): Add `images["importance"]`, see [`importance`], where a
                class is named.

        Returns:
            `MicroExpressionAnswer`: The answer that the pipeline "micro-expression-recognition" gives as well.

        Raises:
            VideoReadError: If the clip cannot be read.
        """
        config = self.model.config
        times = None if frames_per_second is None else {"fps": frames_per_second}
        prepared = prepare_clip(self.processor, source, config.num_frames, video_metadata=times)
        batch = {"pixel_values": prepared.pixel_values.to(self.device, self.model.dtype)}
        output = self._output(batch)
        shown = self.method.shown(output, config, batch)[0]
        settings = self.method.answer_settings(config)
        answer = make_answer(prepared, output, settings, shown.images, shown.curves, shown.numbers)
        if explain and answer.label is not None:
            answer.images["importance"] = self.importance(prepared, int(output.logits[0].argmax()))
        return answer

    @torch.inference_mode()
    def importance(self, prepared: PreparedClip, class_index: int) -> NDArray[np.float32]:
        """Measure how much the class depends on the motion of each part of the face.

        One part at a time is held still: every frame shows it at its median over time. The loss of probability of the
        class is the importance of the part's motion (occlusion of Zeiler and Fergus 2014, of motion instead of pixels;
        our choice).

        Args:
            prepared (`PreparedClip`): The clip.
            class_index (`int`): The class.

        Returns:
            `np.ndarray` of shape `(height, width)`: float32 in [-1, 1]: loss of probability, mean over the parts that
            cover each pixel; below 0 where the motion speaks against the class.
        """
        pixel_values = prepared.pixel_values.to(self.device, self.model.dtype)
        side = pixel_values.shape[-1]
        still = pixel_values.median(dim=1, keepdim=True).values
        size = round(side * PART)
        starts = [round(place) for place in np.linspace(0, side - size, PLACES)]
        parts = [(slice(top, top + size), slice(left, left + size)) for top in starts for left in starts]
        whole = self._probability(pixel_values, class_index)[0]
        total, count = np.zeros((side, side)), np.zeros((side, side))
        for first in range(0, len(parts), PARTS_PER_BATCH):
            chunk = parts[first : first + PARTS_PER_BATCH]
            clips = pixel_values.repeat(len(chunk), 1, 1, 1, 1)
            for clip, (rows, columns) in zip(clips, chunk, strict=True):
                clip[..., rows, columns] = still[0, ..., rows, columns]
            for (rows, columns), probability in zip(chunk, self._probability(clips, class_index), strict=True):
                total[rows, columns] += whole - probability
                count[rows, columns] += 1
        return (total / count).astype(np.float32)

    def _output(self, batch: dict[str, torch.Tensor]) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision == "bf16"):
            return self.model(**self.method.inputs(batch))

    def _probability(self, pixel_values: torch.Tensor, class_index: int) -> NDArray[np.float64]:
        logits = self._output({"pixel_values": pixel_values}).logits
        probabilities: NDArray[np.float64] = logits.double().softmax(-1)[:, class_index].cpu().numpy()
        return probabilities
