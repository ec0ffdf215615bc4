"""FDP's losses on an augmented batch."""

from collections.abc import Mapping

import torch
from torch import nn

from modeling_fdp.configuration_fdp import FDPConfig
from training_fdp.methods.base import LossContext, Losses
from training_fdp.methods.classification import soft_cross_entropy
from training_fdp.methods.fdp_targets import scaled_target


def training_losses(
    model: nn.Module, batch: Mapping[str, torch.Tensor], context: LossContext[FDPConfig, None]
) -> Losses:
    """Return the loss under `loss` and its unweighted parts by name (`dict` of 0-d tensors).

    The cross-entropy of mixup's soft labels is added here, because the model takes hard labels only.

    Args:
        model (`nn.Module`): The network, possibly wrapped for several processes.
        batch (`Mapping`): `pixel_values`, `labels` and, at gain 1, `dynamic_image_targets`; `action_units`
            `(batch_size, num_action_units, 2)`, left and right; `progress_targets` `(batch_size, num_frames)`. The
            last three only where `FDPMethod.targets` returns them.
        context (`LossContext`): Settings of the network and weights of the classes.
    """
    config = context.config
    inputs = {"pixel_values": batch["pixel_values"]}
    if "dynamic_image_targets" in batch:
        inputs["dynamic_image_targets"] = scaled_target(batch["dynamic_image_targets"], config)
    if "action_units" in batch:
        sides = batch["action_units"]
        # For a network without scores of sides a unit moved where one of its sides did, and is unknown (NaN) where one
        # side is.
        inputs["action_unit_targets"] = sides if config.action_unit_sides else sides.amax(dim=-1)
    if "progress_targets" in batch:
        inputs["progress_targets"] = batch["progress_targets"]
    labels, class_weights = batch["labels"], context.class_weights
    if labels.ndim == 1:
        output = model(**inputs, labels=labels, class_weights=class_weights)
        return {"loss": output.loss, **output.losses}
    output = model(**inputs, labels=labels.argmax(dim=1), class_weights=class_weights)
    if class_weights is None and config.class_weights is not None:
        class_weights = torch.tensor(config.class_weights, device=labels.device)
    soft = soft_cross_entropy(output.logits, labels, class_weights)
    loss = output.loss + config.classification_loss_weight * (soft - output.losses["classification"])
    return {"loss": loss, **output.losses, "classification": soft}
