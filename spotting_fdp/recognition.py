"""Names the expressions that the spotter found, with a checkpoint."""

import copy

import numpy as np
from numpy.typing import NDArray

from processing_fdp.video_processing_fdp import FDPVideoProcessor
from spotting_fdp.face_stream import CropSettings
from spotting_fdp.spotter import Recognition
from training_fdp.hub.prediction import Predictor

# While the mouth talks, a class is named only if it is as likely as all others together, and only by a network that
# was trained on talking faces, because a prototype that was not was right in 19 to 35% of the intervals of rendered
# people who talk.
SURE = 0.5
# An action unit is reported from this probability on.
LIKELY = 0.5
# The coarse classes of MEGC (positive, negative, surprise, others) of the words that label sets use.
COARSE = {
    **dict.fromkeys(("positive", "happiness"), "positive"),
    **dict.fromkeys(("negative", "anger", "contempt", "disgust", "fear", "repression", "sadness"), "negative"),
    "surprise": "surprise",
    "others": "others",
}


def coarse_class(label: str | None) -> str | None:
    """Return the coarse class of a label; `None` for one of another vocabulary."""
    return None if label is None else COARSE.get(label.lower())


def fine_class(label: str | None) -> str | None:
    """Return the label where it names an emotion; `None` where it is a coarse class only."""
    return None if label is None or label.lower() in ("positive", "negative") else label


class CheckpointRecognizer:
    """Names expressions with a checkpoint, from the crops that the spotter has cut already.

    Args:
        model (`str` or `Predictor`, *optional*): Folder in Hub format, a repository `namespace/name`, or a predictor
            that has loaded a checkpoint; the shipped checkpoint by default.
        learnt_speech (`bool`, *optional*, defaults to `False`): Whether the checkpoint was trained on talking faces as
            well; one whose `config.learnt_speech` says so needs no word of it.

    Raises:
        ConfigError: If there is no such checkpoint.
    """

    def __init__(self, model: str | Predictor | None = None, learnt_speech: bool = False) -> None:
        # A shallow copy, because its processor is replaced and its network is not.
        self._predictor = copy.copy(model) if isinstance(model, Predictor) else Predictor(model)
        self.name = self._predictor.name
        processor = self._predictor.processor
        # Crops come as the processor would cut them, so it must not look for a face again.
        self._predictor.processor = FDPVideoProcessor(**{**processor.to_dict(), "alignment": "none"})
        self.crop = CropSettings(processor.size_hw, float(processor.crop_scale))
        # Networks of other methods do not have this setting.
        self._learnt_speech = learnt_speech or getattr(self._predictor.model.config, "learnt_speech", False)

    def recognize(self, crops: NDArray[np.uint8], fps: float, talking: bool) -> Recognition:
        """Name the expression in the crops of an interval; see [`spotting_fdp.spotter.Recognizer`]."""
        answer = self._predictor.predict(crops, fps)
        units = {unit.code: unit.probability for unit in answer.action_units}
        # Not `answer.label`, which is `None` for long clips, because the interval holds one expression whatever its
        # length.
        best = max(answer.probabilities, key=answer.probabilities.__getitem__)
        confidence = answer.probabilities[best]
        reason = ""
        if answer.movement.is_still:
            reason = "the checkpoint sees no movement"
        elif talking and not self._learnt_speech:
            reason = "the mouth talks, and the checkpoint has not learnt from talking faces"
        elif talking and confidence < SURE:
            reason = f"the mouth talks, and no class reaches {SURE:g}"
        if reason:
            return Recognition(None, None, answer.probabilities, units, reason, not answer.movement.is_still)
        return Recognition(best, confidence, answer.probabilities, units)
