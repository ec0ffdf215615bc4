"""What FDP's networks return: features of clips, and predictions with losses."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class FDPModelOutput(ModelOutput):
    """Features of clips.

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch_size, num_encoder_frames, feature_size, height,
            width)`): Feature maps of the frames, moments or patterns.
        pooler_output (`torch.FloatTensor` of shape `(batch_size, representation_size, height, width)`):
            The dynamic representation of the clip.
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`):
            One score per frame, higher for later frames; any scale. Those of moments are interpolated. With
            `reference="movement_patterns"`, higher the further the movement has come.
        detail (`torch.FloatTensor` of shape `(batch_size, stem_channels[0], stem height, stem width)`, *optional*):
            The stem's first map, pooled over time in closed form, for the fine lines of the constructed image. `None`
            with `reference="movement_patterns"`, whose patterns have no order in time.
        stabilized_frames (`torch.FloatTensor` of shape `(batch_size, num_frames, 1, height, width)`, *optional*):
            The frames with the head stabilised, with `reference="first_frame_motion"` and `"movement_patterns"`.
        movement_features (`torch.FloatTensor` of shape `(batch_size, num_features)`, *optional*):
            Further input of the classifier, with `reference="movement_patterns"`; see
            `FDPMovement`.
        movement_size (`torch.FloatTensor` of shape `(batch_size,)`, *optional*):
            How far the face moves, in pixels of the frames, float32; head, light and blinks count little. With
            `reference="movement_patterns"`; see `movement_size` in `movement_patterns_fdp`.
        patterns (`torch.FloatTensor` of shape `(batch_size, num_encoder_frames, channels, side / 2, side / 2)`,
            *optional*): Input of the encoder, with `reference="movement_patterns"`; see `FDPMovement`.
        other_sign_share (`torch.FloatTensor` of shape `(batch_size,)`, *optional*):
            How far the clip leaves the sign of its curve open, from 0 to 0.4. With `reference="movement_patterns"`;
            see `other_sign_share` in `movement_patterns_fdp`.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*):
            The stem's map and the map of each stage, `(batch_size * num_encoder_frames, channels, height, width)`.
        attentions (`tuple[torch.FloatTensor]`, *optional*):
            Weights of each global block, `(batch_size * num_encoder_frames, num_heads, cells, pooled cells)`; eager
            only.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    rank_scores: torch.Tensor | None = None
    detail: torch.Tensor | None = None
    stabilized_frames: torch.Tensor | None = None
    movement_features: torch.Tensor | None = None
    movement_size: torch.Tensor | None = None
    patterns: torch.Tensor | None = None
    other_sign_share: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class FDPVideoClassifierOutput(ModelOutput):
    """Predictions for clips, and losses.

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*):
            Weighted sum of `losses`; `None` if `losses` is empty or `None`.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`):
            Class scores before the softmax, divided by `config.temperature`; with `config.both_signs`, in evaluation,
            the logarithms of averaged probabilities in place of scores.
        dynamic_image (`torch.FloatTensor` of shape `(batch_size, 1, height, width)`, *optional*):
            The constructed dynamic image in [0, 1]; `None` with `dynamic_image_decoder="none"`.
        rank_scores (`torch.FloatTensor` of shape `(batch_size, num_frames)`):
            One score per frame, higher for later frames, or the further the movement has come; any scale.
        action_unit_logits (`torch.FloatTensor` of shape `(batch_size, num_action_units)`, *optional*):
            Scores of `config.action_units` before the sigmoid; `None` without any. With `config.action_unit_sides`
            the higher score of both sides.
        movement_size (`torch.FloatTensor` of shape `(batch_size,)`, *optional*):
            How far the face moves, in pixels of the frames, see `FDPModelOutput`. `None` without
            `reference="movement_patterns"`.
        movement_score (`torch.FloatTensor` of shape `(batch_size,)`, *optional*):
            Whether the face moves at all, float32: below 0 nothing moved, and no class is right. `None` without
            `config.movement_weights`.
        action_unit_side_logits (`torch.FloatTensor` of shape `(batch_size, num_action_units, 2)`, *optional*):
            Scores of the subject's left and right side; `None` without `config.action_unit_sides`.
        losses (`dict[str, torch.FloatTensor]`, *optional*):
            The unweighted parts `"classification"`, `"action_unit"`, `"dynamic_image"` and `"rank"`, those that are
            part of the loss.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): see `FDPModelOutput`.
        attentions (`tuple[torch.FloatTensor]`, *optional*): see `FDPModelOutput`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    dynamic_image: torch.Tensor | None = None
    rank_scores: torch.Tensor | None = None
    action_unit_logits: torch.Tensor | None = None
    movement_size: torch.Tensor | None = None
    movement_score: torch.Tensor | None = None
    action_unit_side_logits: torch.Tensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
