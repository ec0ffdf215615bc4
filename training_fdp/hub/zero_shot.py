"""Compare clips with sets of action units that are named in words, by a checkpoint of `--method mer_clip`.

The sets need not be among those of training; `training_fdp.combinations` measures how well such sets are recognised.
"""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch.nn.functional import normalize

from evaluation_fdp.errors import ConfigError
from modeling_fdp.modeling_alignment_fdp import LARGEST_SCALE
from training_fdp.hub.prediction import Predictor
from training_fdp.methods.mer_clip import MERCLIPMethod


class LabelScore(TypedDict):
    """A set of action units and its share of the softmax over all candidates."""

    label: str
    score: float


class SourceScore(TypedDict):
    """A clip and its cosine similarity with the set, in [-1, 1]."""

    source: str
    score: float


class ActionUnitMatcher:
    """Scores how well sets of action units describe clips, and orders clips by how well a set describes them.

    Called like transformers' zero-shot pipelines:

        matcher = ActionUnitMatcher("OUT/folds/sub01")
        matcher(["clip.avi"], candidate_labels=["inner brow raiser and lip corner puller", "brow lowerer"])

    Args:
        model (`str`): Folder in Hub format, or a repository `namespace/name`, of `--method mer_clip`.
        processor_overrides (`Sequence[str]`, *optional*): As for `predict.py`.

    Raises:
        ConfigError: there is no such checkpoint, or it is of another method.
    """

    def __init__(self, model: str, processor_overrides: Sequence[str] = ()) -> None:
        predictor = Predictor(model, processor_overrides)
        if predictor.model.config.model_type != MERCLIPMethod.model_type:
            raise ConfigError(
                f"sets of action units are compared with clips by checkpoints of --method {MERCLIPMethod.name}, but "
                f"{model!r} is of type {predictor.model.config.model_type!r}; train or name one of those"
            )
        self.model, self.processor, self.device = predictor.model, predictor.processor, predictor.device

    def __call__(self, sources: Sequence[str], candidate_labels: Sequence[str]) -> list[list[LabelScore]]:
        """Score every candidate for every clip.

        Args:
            sources (`Sequence[str]`): Video files or folders of frames.
            candidate_labels (`Sequence[str]`): Sets of action units in phrases or codes (`"1+12"`).

        Returns:
            `list[list[dict]]`: Per clip `label` and `score`, the highest score first; scores of a clip sum to 1 and
            are not calibrated.

        Raises:
            ConfigError: no candidate, or an unknown unit or phrase.
            VideoReadError: a clip cannot be read.
        """
        similarities = self._similarities(sources, candidate_labels)
        scale = float(self.model.logit_scale.detach().exp().clamp(max=LARGEST_SCALE))
        answers = []
        for row in (scale * similarities).softmax(-1).tolist():
            found = [LabelScore(label=label, score=score) for label, score in zip(candidate_labels, row, strict=True)]
            answers.append(sorted(found, key=lambda answer: answer["score"], reverse=True))
        return answers

    def rank(self, text: str, sources: Sequence[str]) -> list[SourceScore]:
        """Order clips by how well a set of action units describes them.

        Args:
            text (`str`): The set, in phrases or codes.
            sources (`Sequence[str]`): Video files or folders of frames.

        Returns:
            `list[SourceScore]`: the most similar clip first.

        Raises:
            ConfigError: an unknown unit or phrase.
            VideoReadError: a clip cannot be read.
        """
        scores = self._similarities(sources, [text])[:, 0].tolist()
        found = [SourceScore(source=source, score=score) for source, score in zip(sources, scores, strict=True)]
        return sorted(found, key=lambda answer: answer["score"], reverse=True)

    @torch.inference_mode()
    def _similarities(self, sources: Sequence[str], texts: Sequence[str]) -> torch.Tensor:
        """Cosine similarities `(num_clips, num_texts)`; texts are read first, because clips take longer."""
        if not texts or isinstance(texts, str):
            raise ConfigError(f"candidates are a list of one or more sets of action units, but {texts!r} was given")
        try:
            texts_as_sets = self.model.action_unit_sets(texts)
            vectors = normalize(self.model.get_text_features(action_unit_sets=texts_as_sets).pooler_output, dim=-1)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if isinstance(sources, str):
            raise ConfigError(f"clips are a list of files or folders, but {sources!r} was given; put it into a list")
        rows = []
        for source in sources:
            inputs = self.processor(
                source, num_frames=self.model.config.num_frames, do_sample_frames=True, return_tensors="pt"
            )
            pixels = inputs["pixel_values"].to(self.device, self.model.dtype)
            clip = normalize(self.model.get_video_features(pixels).pooler_output, dim=-1)
            rows.append(clip[0] @ vectors.T)
        return torch.stack(rows) if rows else vectors.new_zeros(0, len(texts))
