"""An image network on the dynamic images of the phases of a movement (arXiv 2510.15466)."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18
from transformers import PreTrainedModel, ViTConfig, ViTForImageClassification
from transformers.utils import ModelOutput

from .configuration_phase_images_baselines import IMAGES, VIT_PATCH_SIZE, PhaseImagesConfig
from .modeling_baselines import DYNAMIC_IMAGE_SCALE, PlainConvNet
from .phases_baselines import estimate_apex, phase_exists, phase_images

# Index of `apex_index` where the sheet names no apex.
UNKNOWN_APEX = -1


@dataclass
class PhaseImagesOutput(ModelOutput):
    """Predictions from the images of a clip.

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*): Cross-entropy, a mean over the images of each clip and
            then over clips.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`): Logarithm of the mean softmax over the images
            of the clip that exist.
        phase_logits (`torch.FloatTensor` of shape `(batch_size, 3, num_labels)`): Scores of onset to apex, apex to
            offset, and the whole clip; before the softmax.
        phase_mask (`torch.BoolTensor` of shape `(batch_size, 3)`): Images that the mean is over.
        phase_exists (`torch.BoolTensor` of shape `(batch_size, 3)`): Phases with three different frames or more; the
            whole clip always.
        apex_index (`torch.LongTensor` of shape `(batch_size,)`): Frame that the clip was cut at.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    phase_logits: torch.Tensor | None = None
    phase_mask: torch.Tensor | None = None
    phase_exists: torch.Tensor | None = None
    apex_index: torch.Tensor | None = None


class PhaseImagesForVideoClassification(PreTrainedModel):
    """Cuts clips at the apex, sums each part into one image, and classifies the images by one network.

    Args:
        config ([`PhaseImagesConfig`]): Images, image network and sizes.
    """

    config: PhaseImagesConfig
    base_model_prefix = "network"
    main_input_name = "pixel_values"
    input_modalities = ["video"]

    def __init__(self, config: PhaseImagesConfig) -> None:
        super().__init__(config)
        self.num_labels: int = len(config.id2label or {})
        self.network = _image_network(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave each layer as torch, torchvision or transformers initialises it."""

    def forward(
        self,
        pixel_values: torch.Tensor,
        apex_index: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        class_weights: torch.Tensor | None = None,
    ) -> PhaseImagesOutput:
        r"""Classify clips.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, 1, height, width)`):
                Gray frames from onset to offset, in [-1, 1].
            apex_index (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                0-based index of the apex among these frames; -1, or no tensor, where it is estimated.
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*): Classes.
            class_weights (`torch.FloatTensor` of shape `(num_labels,)`, *optional*): Weights of the classes in the
                loss. A clip counts once, however many images it has.

        Returns:
            [`PhaseImagesOutput`]: Scores of the clips and of their images.

        Raises:
            ValueError: an apex outside the clip.
        """
        frames = pixel_values[:, :, 0]
        apex_index = self._apex(frames, apex_index)
        exists = phase_exists(frames, apex_index)
        mask = self._chosen(exists)
        images = phase_images(frames, apex_index, self.config.fall_direction == "reversed") * DYNAMIC_IMAGE_SCALE
        # In training only images of the loss, because the statistics of batch norm are taken over all.
        shown = mask if self.training else torch.ones_like(mask)
        scores = images.new_zeros(*mask.shape, self.num_labels)
        scores[shown] = self._score(images[shown][:, None]).to(scores.dtype)
        loss = None
        if labels is not None:
            losses = F.cross_entropy(
                scores.float().transpose(1, 2), labels[:, None].expand(mask.shape), class_weights, reduction="none"
            )
            share = 1.0 if class_weights is None else class_weights[labels].mean()
            loss = ((losses * mask).sum(dim=1) / mask.sum(dim=1)).mean() / share
        return PhaseImagesOutput(
            loss=loss,
            logits=_log_mean_softmax(scores, mask),
            phase_logits=scores,
            phase_mask=mask,
            phase_exists=exists,
            apex_index=apex_index,
        )

    def _chosen(self, exists: torch.Tensor) -> torch.Tensor:
        """Images that are trained and averaged: the configured ones that exist, or the whole clip without any."""
        used = torch.tensor([name in self.config.used_images for name in IMAGES], device=exists.device)
        whole = torch.tensor([False, False, True], device=exists.device)
        mask = exists & used
        mask = torch.where(mask.any(dim=1, keepdim=True), mask, whole)
        if self.training and self.config.phases == "random":
            drawn = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, -1).argmax(dim=1)
            mask = F.one_hot(drawn, mask.shape[1]).bool()
        return mask

    def _apex(self, frames: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
        if given is None:
            return estimate_apex(frames)
        if bool(((given < UNKNOWN_APEX) | (given >= frames.shape[1])).any()):
            raise ValueError(
                f"apex_index must lie in the clip of {frames.shape[1]} frames or be {UNKNOWN_APEX} where it is "
                f"unknown, but {given.tolist()} was given; count from 0 among the frames that were sampled"
            )
        return torch.where(given == UNKNOWN_APEX, estimate_apex(frames), given)

    def _score(self, images: torch.Tensor) -> torch.Tensor:
        scores = self.network(images)
        return scores if isinstance(scores, torch.Tensor) else scores.logits


def _log_mean_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`(batch_size, 3, num_labels)` and `(batch_size, 3)` -> `(batch_size, num_labels)`."""
    shares = F.log_softmax(scores.float(), dim=-1).masked_fill(~mask[..., None], float("-inf"))
    return torch.logsumexp(shares, dim=1) - mask.sum(dim=1, keepdim=True).log()


def _image_network(config: PhaseImagesConfig) -> nn.Module:
    num_labels = len(config.id2label or {})
    if config.image_network == "resnet18":
        network = resnet18(weights=None, num_classes=num_labels)
        network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        return network
    if config.image_network == "vit":
        settings: dict[str, Any] = {"num_labels": num_labels}
        return ViTForImageClassification(
            ViTConfig(
                image_size=config.image_size, patch_size=VIT_PATCH_SIZE, num_channels=1, hidden_size=128,
                num_hidden_layers=4, num_attention_heads=4, intermediate_size=512, **settings,
            )
        )  # fmt: skip
    return PlainConvNet(1, num_labels)


PhaseImagesForVideoClassification.register_for_auto_class("AutoModelForVideoClassification")
