"""FDP's network that embeds clips and sets of action units in one space (after MER-CLIP, arXiv 2505.05937)."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple

from .action_unit_phrases_fdp import parse_sets, set_similarity, spelled
from .classification_fdp import FDPConvolutionalClassifier, FDPFullyConnectedClassifier, classification_loss
from .configuration_alignment_fdp import FDPAlignmentConfig
from .emotion_inference_fdp import FDPEmotionInference
from .modeling_fdp import FDPModel, FDPPreTrainedModel
from .outputs_fdp import FDPModelOutput
from .text_towers_fdp import TEXT_TOWERS, FDPPhraseVectors, FDPTextTransformer, phrase_tokenizer

# CLIP's bound of the inverse temperature.
LARGEST_SCALE = 100.0


@dataclass
class FDPVideoTextAlignmentOutput(ModelOutput):
    """Predictions for clips, similarities with sets of action units, and losses.

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*):
            Weighted sum of `losses`; `None` without any.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`):
            Scores of the emotions before the softmax, divided by `config.temperature`; texts play no part in them.
        logits_per_video (`torch.FloatTensor` of shape `(batch_size, num_sets)`, *optional*):
            Scaled cosine similarity of each clip with each set, plus the offset where there is one; `None` without any
            set.
        logits_per_text (`torch.FloatTensor` of shape `(num_sets, batch_size)`, *optional*): its transpose.
        video_embeds (`torch.FloatTensor` of shape `(batch_size, projection_size)`): unit vectors.
        text_embeds (`torch.FloatTensor` of shape `(num_sets, projection_size)`, *optional*): unit vectors.
        losses (`dict[str, torch.FloatTensor]`, *optional*):
            The unweighted parts `"classification"` and `"alignment"`, those that are part of the loss.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): see `FDPModelOutput`.
        attentions (`tuple[torch.FloatTensor]`, *optional*): see `FDPModelOutput`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    logits_per_video: torch.Tensor | None = None
    logits_per_text: torch.Tensor | None = None
    video_embeds: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class FDPForVideoTextAlignment(FDPPreTrainedModel):
    """FDP's video tower, a text tower for sets of action units, and emotion inference over the video's tokens.

    The vectors of `config.action_unit_sets` are stored in the buffer `text_table`, which is computed again when the
    model is switched to evaluation and when it is saved, because inference must need neither a text tower nor a
    tokenizer.
    """

    config: FDPAlignmentConfig
    # As in `FDPForVideoClassification`: every part of the loss is a mean over the clips of the call.
    accepts_loss_kwargs = False

    def __init__(self, config: FDPAlignmentConfig) -> None:
        super().__init__(config)
        self.num_labels = len(config.id2label or ())
        self.fdp = FDPModel(config)
        projections: dict[str, type[FDPConvolutionalClassifier] | type[FDPFullyConnectedClassifier]] = {
            "convolutional": FDPConvolutionalClassifier,
            "fully_connected": FDPFullyConnectedClassifier,
        }
        # The layers with which `FDPForVideoClassification` scores action units, so that the two can be compared.
        self.video_projection = projections[config.classifier](config, config.projection_size)
        self.video_norm = nn.LayerNorm(config.projection_size)
        # CODEPATH: "none" in checkpoints whose text tower was dropped.
        tower = None if config.text_tower == "none" else TEXT_TOWERS[config.text_tower](config)
        self.text_tower = tower
        self.emotion = FDPEmotionInference(config, self.num_labels)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init)))
        # CODEPATH: `None` unless each text is judged alone.
        bias = config.logit_bias_init
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))
        self.text_table = nn.Buffer(torch.zeros(len(config.action_unit_sets), config.projection_size))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, FDPForVideoTextAlignment):
            init.constant_(module.logit_scale, module.config.logit_scale_init)
            if module.logit_bias is not None:
                init.constant_(module.logit_bias, float(module.config.logit_bias_init or 0))
            init.zeros_(module.text_table)
        elif isinstance(module, FDPPhraseVectors):
            init.zeros_(module.vectors)
        elif isinstance(module, FDPEmotionInference):
            init.normal_(module.place_in_time, std=self.config.initializer_range)
            init.normal_(module.place_in_face, std=self.config.initializer_range)

    def train(self, mode: bool = True) -> "FDPForVideoTextAlignment":
        """Switches to training or evaluation; for evaluation, `config.action_unit_sets` are encoded again.

        Args:
            mode (`bool`, *optional*, defaults to `True`): whether to switch to training.

        Returns:
            `FDPForVideoTextAlignment`: the model itself.
        """
        super().train(mode)
        if not mode:
            self.update_text_table()
        return self

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Saves the model, after encoding `config.action_unit_sets` again, and the tokenizer of the phrases.

        Args:
            save_directory (`str` or `os.PathLike`): the folder.
            *args: see `PreTrainedModel.save_pretrained`.
            **kwargs: see `PreTrainedModel.save_pretrained`.
        """
        self.update_text_table()
        super().save_pretrained(save_directory, *args, **kwargs)
        # CODEPATH: only this tower reads tokens.
        if self.config.text_tower == "transformer":
            phrase_tokenizer(self.config).save_pretrained(save_directory)

    @torch.no_grad()
    def update_text_table(self) -> None:
        """Encodes `config.action_unit_sets` into `text_table`; without a text tower the table stays as it is."""
        # Not on the meta device, whose tensors have no values.
        if self.text_tower is not None and not self.text_table.is_meta:
            known = self.action_unit_sets(self.config.action_unit_sets)
            self.text_table.copy_(F.normalize(self.text_tower(known), dim=-1))

    def drop_text_tower(self) -> None:
        """Removes the text tower; emotions and similarities with `config.action_unit_sets` do not change."""
        self.update_text_table()
        self.text_tower = None
        self.config.text_tower, self.config.phrase_vector_size = "none", 0

    def action_unit_sets(self, texts: Iterable[str]) -> torch.Tensor:
        """Reads sets of action units.

        Args:
            texts (`Iterable[str]`): codes (`"1+2+L12"`) or phrases (`"inner brow raiser and lip corner puller"`).

        Returns:
            `torch.FloatTensor` of shape `(num_sets, num_action_units, 2)`: left and right, on the model's device.

        Raises:
            ValueError: an unknown unit or phrase.
        """
        sets = parse_sets(texts, self.config.action_units, self.config.action_unit_phrases)
        return sets.to(self.logit_scale.device)

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        action_unit_sets: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """Encodes sets of action units, or sentences about them.

        Args:
            input_ids (`torch.LongTensor` of shape `(num_texts, num_tokens)`, *optional*):
                Tokens of the checkpoint's tokenizer, for `text_tower="transformer"`.
            attention_mask (`torch.LongTensor` of the same shape, *optional*): 0 at padding.
            action_unit_sets (`torch.FloatTensor` of shape `(num_sets, num_action_units, 2)`, *optional*):
                Sets, as the method `action_unit_sets` returns them; every tower takes them.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`.

        Returns:
            `BaseModelOutputWithPooling`: `pooler_output` `(num_texts, projection_size)`, vectors whose direction is
            compared; for tokens also `last_hidden_state`.

        Raises:
            ValueError: neither or both of the inputs, tokens for a tower that reads none, or a set without a vector
                where the text tower was dropped.
        """
        if (input_ids is None) == (action_unit_sets is None):
            raise ValueError("Texts must be given as `input_ids` or as `action_unit_sets`, but not both; choose one.")
        if action_unit_sets is not None:
            return BaseModelOutputWithPooling(pooler_output=self._text_vectors(action_unit_sets))
        if not isinstance(self.text_tower, FDPTextTransformer):
            raise ValueError(
                f"`input_ids` must be for text_tower='transformer', but this model has {self.config.text_tower!r}; "
                "give `action_unit_sets`."
            )
        outputs = self.text_tower.model(input_ids, attention_mask, **kwargs)
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=outputs.text_embeds,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _text_vectors(self, sets: torch.Tensor) -> torch.Tensor:
        # CODEPATH: `None` in checkpoints whose text tower was dropped.
        if self.text_tower is not None:
            vectors: torch.Tensor = self.text_tower(sets)
            return vectors
        names = [spelled(units, self.config.action_units) for units in sets]
        if unknown := sorted(set(names) - set(self.config.action_unit_sets)):
            raise ValueError(
                f"Without a text tower a set must be one of `config.action_unit_sets`, but {unknown} was given; use "
                "a checkpoint that still has its text tower."
            )
        return self.text_table[[self.config.action_unit_sets.index(name) for name in names]]

    @can_return_tuple
    def get_video_features(
        self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> BaseModelOutputWithPooling:
        """Encodes clips.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
                Gray aligned frames in time order, in [-1, 1].
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`.

        Returns:
            `BaseModelOutputWithPooling`: `pooler_output` `(batch_size, projection_size)`, vectors whose direction is
            compared; the rest is that of `FDPModelOutput`.
        """
        outputs = self.fdp(pixel_values, **kwargs)
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=self._clip_vectors(outputs),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _clip_vectors(self, outputs: FDPModelOutput) -> torch.Tensor:
        vectors: torch.Tensor = self.video_norm(
            self.video_projection(outputs.pooler_output, outputs.movement_features)[0]
        )
        return vectors

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        action_unit_sets: torch.Tensor | None = None,
        alignment_targets: torch.Tensor | None = None,
        class_weights: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> FDPVideoTextAlignmentOutput:
        """Infers emotions, and compares clips with sets of action units.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
                Gray aligned frames in time order, in [-1, 1].
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                True classes, in [0, num_labels).
            action_unit_sets (`torch.FloatTensor` of shape `(num_sets, num_action_units, 2)`, *optional*):
                Sets to compare with, as the method `action_unit_sets` returns them; `config.action_unit_sets` by
                default.
            alignment_targets (`torch.FloatTensor` of shape `(batch_size, num_sets)`, *optional*):
                Share of each clip that belongs to each set, see `jaccard_targets`; rows of NaN are left out.
            class_weights (`torch.FloatTensor` of shape `(num_labels,)`, *optional*):
                Weights of the classes in the cross-entropy; the configuration's by default.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`.

        Returns:
            `FDPVideoTextAlignmentOutput`: scores, similarities and losses.

        Raises:
            ValueError: targets that do not fit the sets, or an input that the video tower does not take.
        """
        outputs = self.fdp(pixel_values, **kwargs)
        clips = self._clip_vectors(outputs)
        # Divided by the temperature of the calibration, as in `FDPForVideoClassification`.
        logits = self.emotion(outputs.last_hidden_state, clips) / self.config.temperature
        videos = F.normalize(clips, dim=-1)
        texts = self._texts(action_unit_sets)
        similarities = None
        if len(texts):
            similarities = self.logit_scale.exp().clamp(max=LARGEST_SCALE) * videos @ texts.T
            if self.logit_bias is not None:
                similarities = similarities + self.logit_bias
        losses = {}
        if labels is not None:
            weights = class_weights
            # CODEPATH: no preset; checkpoints of a training with weighted classes.
            if weights is None and self.config.class_weights is not None:
                weights = torch.tensor(self.config.class_weights, device=logits.device)
            losses["classification"] = classification_loss(
                logits, labels.long(), weights, self.config.label_smoothing, self.config.focal_gamma
            )
        if alignment_targets is not None:
            losses["alignment"] = alignment_loss(similarities, alignment_targets)
        weighted = [getattr(self.config, f"{name}_loss_weight") * value for name, value in losses.items()]
        return FDPVideoTextAlignmentOutput(
            loss=sum(weighted) if weighted else None,
            logits=logits,
            logits_per_video=similarities,
            logits_per_text=None if similarities is None else similarities.T,
            video_embeds=videos,
            text_embeds=texts if len(texts) else None,
            losses=losses or None,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _texts(self, sets: torch.Tensor | None) -> torch.Tensor:
        """Unit vectors of `sets`, or of `config.action_unit_sets`: encoded in training, stored ones in evaluation."""
        # CODEPATH: `None` in checkpoints whose text tower was dropped.
        if sets is None and self.training and self.text_tower is not None:
            sets = self.action_unit_sets(self.config.action_unit_sets)
        return self.text_table if sets is None else F.normalize(self._text_vectors(sets), dim=-1)


def jaccard_targets(units: torch.Tensor, sets: torch.Tensor) -> torch.Tensor:
    """Shares of each clip that belong to the sets: in proportion to the square of the Jaccard similarity.

    Not the diagonal of the batch (MER-CLIP), because most clips have units in common, and the diagonal punishes equal
    sets of two clips (our choice).

    Args:
        units (`torch.FloatTensor` of shape `(batch_size, num_action_units, 2)`): 0, 1, or NaN where not coded.
        sets (`torch.FloatTensor` of shape `(num_sets, num_action_units, 2)`): distinct sets of the training clips.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_sets)`: rows sum to 1; NaN for clips that are not coded or have
        no unit in common with any set.
    """
    weights = set_similarity(units, sets).square()
    total = weights.sum(1, keepdim=True)
    return torch.where(total > 0, weights / total, torch.full_like(weights, float("nan")))


def alignment_loss(logits_per_video: torch.Tensor | None, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the softmax over sets, a mean over clips with targets.

    Args:
        logits_per_video (`torch.FloatTensor` of shape `(batch_size, num_sets)`): scaled similarities.
        targets (`torch.FloatTensor` of the same shape): rows sum to 1, or are NaN and left out.

    Returns:
        `torch.FloatTensor` of shape `()`: in float32; 0 where no clip has targets.

    Raises:
        ValueError: targets of another shape, or no set.
    """
    if logits_per_video is None or logits_per_video.shape != targets.shape:
        expected = "none, as there are no sets" if logits_per_video is None else tuple(logits_per_video.shape)
        raise ValueError(
            f"`alignment_targets` must have one row per clip and one column per set, which is {expected}, but "
            f"{tuple(targets.shape)} was given; compute them for the same sets."
        )
    known = ~targets.isnan().any(1)
    losses = -(targets.nan_to_num() * F.log_softmax(logits_per_video.float(), dim=1)).sum(1)
    return (losses * known).sum() / known.sum().clamp(min=1)


FDPForVideoTextAlignment.register_for_auto_class("AutoModelForVideoClassification")
FDPForVideoTextAlignment.register_for_auto_class("AutoModel")
