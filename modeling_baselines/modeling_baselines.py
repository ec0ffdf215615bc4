"""The plain networks: baselines of the kind that papers compare with, on the same aligned frames."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18
from transformers import PreTrainedModel, VideoMAEConfig, VideoMAEForVideoClassification
from transformers.modeling_outputs import ImageClassifierOutput
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple

from .configuration_baselines import BaselineConfig
from .optical_flow_baselines import tv_l1_flow

# Bring differences of gray values, and gray values for VideoMAE, to about unit size: fixed numbers, because nothing
# may be learnt from test clips.
DIFFERENCE_SCALE, VIDEOMAE_SCALE, DYNAMIC_IMAGE_SCALE = 4.0, 4.0, 4.0


class PlainConvNet(nn.Module):
    """Four 3x3 convolutions over frames stacked as channels, pooling, one linear layer (about 0.2 M weights).

    Args:
        in_channels (`int`): Number of stacked frames.
        num_labels (`int`): Number of classes.
    """

    def __init__(self, in_channels: int, num_labels: int) -> None:
        super().__init__()
        widths, strides = (32, 64, 96, 128), (2, 2, 2, 1)
        layers: list[nn.Module] = []
        for width, stride in zip(widths, strides, strict=True):
            layers += _conv_bn_relu(nn.Conv2d, nn.BatchNorm2d, in_channels, width, stride)
            in_channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * in_channels, num_labels)
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map `(batch_size, in_channels, height, width)` to logits `(batch_size, num_labels)`."""
        return self.head(self.features(inputs))


class FlowConvNet3d(nn.Module):
    """A small 3-D CNN over a flow volume: four 3x3x3 convolutions that keep time until the final pooling.

    Args:
        in_channels (`int`): Channels of the volume (2 for flow).
        num_labels (`int`): Number of classes.
    """

    def __init__(self, in_channels: int, num_labels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (16, 32, 64, 96):
            layers += _conv_bn_relu(nn.Conv3d, nn.BatchNorm3d, in_channels, width, (1, 2, 2))
            in_channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool3d((1, 4, 4)), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * in_channels, num_labels)
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map `(batch_size, in_channels, num_frames, height, width)` to logits `(batch_size, num_labels)`."""
        return self.head(self.features(inputs))


class BaselineForVideoClassification(PreTrainedModel):
    """A plain network that classifies clips.

    Args:
        config ([`BaselineConfig`]): Network and size of its input.
    """

    config: BaselineConfig
    base_model_prefix = "network"
    main_input_name = "pixel_values"
    input_modalities = ["video"]

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.network = _network(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave each layer as torch, torchvision or transformers initialises it."""
        # Their start is also torch's; written here for networks that are built on the meta device.
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        flow: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> ImageClassifierOutput:
        r"""Classify clips.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, 1, height, width)`):
                Gray frames in [-1, 1].
            flow (`torch.FloatTensor` of shape `(batch_size, 2, num_frames - 1, height, width)`, *optional*):
                Flow from the first frame to each later one in pixels, for `onset_flow_cnn3d`; estimated where missing.
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Classes; the cross-entropy is then returned as `loss`.
            **kwargs: `return_dict`.

        Returns:
            [`~transformers.modeling_outputs.ImageClassifierOutput`]: `logits` `(batch_size, num_labels)` and `loss`.
        """
        frames = pixel_values[:, :, 0]
        if self.config.network == "onset_flow_cnn3d":
            logits = self.network(onset_flow(frames) if flow is None else flow)
        elif self.config.network == "videomae":
            logits = self.network(pixel_values=pixel_values * VIDEOMAE_SCALE).logits
        else:
            logits = self.network(_picture(self.config.network, frames))
        loss = None if labels is None else F.cross_entropy(logits.float(), labels)
        return ImageClassifierOutput(loss=loss, logits=logits)


def onset_flow(frames: torch.Tensor) -> torch.Tensor:
    """Estimate the flow from the first frame to every later one.

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, height, width)`): In [-1, 1].

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 2, num_frames - 1, height, width)`: In pixels.
    """
    gray = (frames.float() + 1) * 127.5
    later = gray[:, 1:]
    flow = tv_l1_flow(gray[:, :1].expand_as(later).flatten(0, 1), later.flatten(0, 1))
    return flow.unflatten(0, later.shape[:2]).transpose(1, 2).contiguous()


def dynamic_image(frames: torch.Tensor) -> torch.Tensor:
    """Sum frames by approximate rank pooling (Bilen et al. 2016).

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, height, width)`): In [-1, 1].

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 1, height, width)`: Signed, of about unit size.
    """
    count = frames.shape[1]
    time = torch.arange(1, count + 1, dtype=torch.float32)
    harmonic = torch.cat([torch.zeros(1), (1 / time).cumsum(0)])
    weights = 2 * (count - time + 1) - (count + 1) * (harmonic[-1] - harmonic[:-1])
    # Divided by the sum of positive weights, which grows with the length, so that all lengths have one scale.
    weights = weights / weights.clamp_min(0).sum().clamp_min(1)
    return torch.einsum("t,bthw->bhw", weights.to(frames), frames)[:, None] * DYNAMIC_IMAGE_SCALE


def _picture(network: str, frames: torch.Tensor) -> torch.Tensor:
    """Input of a 2-D network from frames `(batch_size, num_frames, height, width)`."""
    if network == "appearance_cnn":
        return frames[:, frames.shape[1] // 2, None]
    if network == "difference_cnn":
        return (frames[:, 1:] - frames[:, :1]) * DIFFERENCE_SCALE
    return dynamic_image(frames) if network == "dynamic_image_resnet18" else frames


def _network(config: BaselineConfig) -> nn.Module:
    num_labels = len(config.id2label or {})
    if config.network == "videomae":
        settings: dict[str, Any] = {"num_labels": config.num_labels}
        return VideoMAEForVideoClassification(
            VideoMAEConfig(
                image_size=config.image_size, patch_size=16, num_channels=1, num_frames=config.num_frames,
                tubelet_size=2, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512,
                **settings,
            )
        )  # fmt: skip
    if config.network == "onset_flow_cnn3d":
        return FlowConvNet3d(2, num_labels)
    if config.network == "dynamic_image_resnet18":
        network = resnet18(weights=None, num_classes=config.num_labels)
        network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        return network
    channels = {"appearance_cnn": 1, "difference_cnn": config.num_frames - 1}
    return PlainConvNet(channels.get(config.network, config.num_frames), num_labels)


def _conv_bn_relu(
    convolution: type, normalisation: type, in_channels: int, width: int, stride: object
) -> list[nn.Module]:
    return [
        convolution(in_channels, width, 3, stride=stride, padding=1, bias=False),
        normalisation(width),
        nn.ReLU(inplace=True),
    ]


BaselineForVideoClassification.register_for_auto_class("AutoModelForVideoClassification")
