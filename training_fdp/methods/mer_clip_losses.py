"""Losses of MER-CLIP's alignment on an augmented batch, and its answers beyond the class."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from modeling_fdp.action_unit_phrases_fdp import parse_sets, set_similarity
from modeling_fdp.configuration_alignment_fdp import FDPAlignmentConfig
from modeling_fdp.modeling_alignment_fdp import jaccard_targets
from training_fdp.methods.base import Answers, LossContext, Losses
from training_fdp.methods.mer_clip_options import MERCLIPOptions


def alignment_losses(
    model: nn.Module,
    batch: Mapping[str, torch.Tensor],
    context: LossContext[FDPAlignmentConfig, list[str]],
    options: MERCLIPOptions,
) -> Losses:
    """Return the loss under `loss` and its unweighted parts by name (`dict` of 0-d tensors).

    Args:
        model (`nn.Module`): The network, possibly wrapped for several processes.
        batch (`Mapping`): `pixel_values`, `labels` and `action_units` `(batch_size, num_action_units, 2)`.
        context (`LossContext`): Settings, weights of the classes, the fold's sets and the progress of training.
        options (`MERCLIPOptions`): Which alignment, and its schedule.
    """
    config, units = context.config, batch["action_units"]
    inputs = {name: batch[name] for name in ("pixel_values", "labels")} | {"class_weights": context.class_weights}
    if options.alignment == "diagonal":
        output = model(**inputs, action_unit_sets=units.nan_to_num())
        alignment = diagonal_loss(output.logits_per_video, ~units.isnan().flatten(1).all(1))
    elif options.alignment == "sigmoid":
        output = model(**inputs, action_unit_sets=single_units(len(config.action_units)).to(units))
        alignment = phrase_loss(output.logits_per_video, units)
    else:
        sets = parse_sets(context.fold or [], config.action_units, config.action_unit_phrases).to(units)
        targets = jaccard_targets(units, sets)
        output = model(**inputs, action_unit_sets=sets, alignment_targets=targets)
        alignment = output.losses["alignment"]
    classification = output.losses["classification"]
    # MER-CLIP's ramp: the weight of alignment falls from 2 to 1 while that of classification rises from 0 to 1.
    weight = 2 - context.progress if options.alignment_schedule == "linear" else 1.0
    loss = (
        config.alignment_loss_weight * weight * alignment
        + config.classification_loss_weight * (2 - weight) * classification
    )
    return {"loss": loss, "classification": classification, "alignment": alignment}


def diagonal_loss(logits_per_video: torch.Tensor, coded: torch.Tensor) -> torch.Tensor:
    """CLIP's symmetric loss: in the batch, only its own text is right for a clip, and only its own clip for a text.

    Args:
        logits_per_video (`torch.FloatTensor` of shape `(batch_size, batch_size)`): Clips against the texts of clips.
        coded (`torch.BoolTensor` of shape `(batch_size,)`): Whether the action units of a clip are coded; clips
            without them are left out, and their texts as well.

    Returns:
        `torch.FloatTensor` of shape `()`: The mean of both directions; 0 without a coded clip.
    """
    logits = logits_per_video.float()[coded][:, coded]
    if not len(logits):
        return logits_per_video.float().sum() * 0
    right = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def single_units(num_action_units: int) -> torch.Tensor:
    """Return the sets of one unit: left, right and both sides of each.

    Args:
        num_action_units (`int`): How many units are known.

    Returns:
        `torch.FloatTensor` of shape `(3 * num_action_units, num_action_units, 2)`: 0 or 1; in the order of
            `modeling_fdp.action_unit_phrases_fdp.all_phrases`, which ends with "no movement".
    """
    sides = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    return torch.einsum("au,sf->asuf", torch.eye(num_action_units), sides).flatten(0, 1)


def phrase_loss(logits_per_video: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """SigLIP's loss: each phrase of one unit is right or wrong for a clip, whatever the other phrases are.

    Args:
        logits_per_video (`torch.FloatTensor` of shape `(batch_size, 3 * num_action_units)`): Similarities with
            `single_units`, scaled and with their offset.
        units (`torch.FloatTensor` of shape `(batch_size, num_action_units, 2)`): 0, 1, or NaN where not coded.

    Returns:
        `torch.FloatTensor` of shape `()`: Binary cross-entropy, a mean over the coded phrases, as in FDP's
            action-unit head; 0 where no phrase is coded.
    """
    left, right = units.float().unbind(-1)
    targets = torch.stack([left, right, torch.minimum(left, right)], dim=-1).flatten(1)
    known = ~targets.isnan()
    logits = logits_per_video.float()
    losses = F.binary_cross_entropy_with_logits(logits, targets.nan_to_num(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def set_answers(
    logits_per_video: torch.Tensor | None, units: torch.Tensor, config: FDPAlignmentConfig
) -> list[Answers]:
    """Measure how well the set that is nearest to each clip fits its coded action units.

    Args:
        logits_per_video (`torch.FloatTensor` of shape `(batch_size, num_sets)`, *optional*): Similarities with the
            sets of the training clips.
        units (`torch.FloatTensor` of shape `(batch_size, num_action_units, 2)`): Coded units of the clips.
        config (`FDPAlignmentConfig`): Names the sets.

    Returns:
        `list[dict[str, float]]`: Of coded clips `action_unit_f1` of the nearest set; where a clip's own set is among
            the sets, its `retrieval_rank`, 1 for the nearest, and `retrieval_rank_chance`.
    """
    if logits_per_video is None:
        return [{} for _ in units]
    sets = parse_sets(config.action_unit_sets, config.action_units, config.action_unit_phrases).to(units)
    similarity = set_similarity(units, sets)
    answers: list[Answers] = []
    for scores, alike in zip(logits_per_video.float(), similarity, strict=True):
        if alike.isnan().any():
            answers.append({})
            continue
        # F1 of two sets from their Jaccard similarity J: 2J / (1 + J).
        nearest = float(alike[scores.argmax()])
        found = {"action_unit_f1": 2 * nearest / (1 + nearest)}
        if bool((alike == 1).any()):
            found["retrieval_rank"] = float((scores > scores[alike == 1].max()).sum() + 1)
            found["retrieval_rank_chance"] = (len(sets) + 1) / 2
        answers.append(found)
    return answers
