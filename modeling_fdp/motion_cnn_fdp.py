"""The baseline `motion_cnn`: FDP's motion channels in front of a plain network, to measure what the rest of FDP adds.

It is in this folder because transformers copies only files of one folder into a checkpoint, and it needs
`motion_fdp.py`; its plain network is that of `modeling_baselines` written out again for the same reason
(`tests/modeling_baselines/test_baselines.py` holds the two equal).
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple

from .configuration_encoder_fdp import MOTION_CHANNELS
from .configuration_fdp import FDPConfig
from .motion_fdp import motion_channels, stabilize

# Four 3 x 3 convolutions: output channels and strides. Motion has half the frame's resolution, so that the first has
# stride 1 where the same network on frames has stride 2.
WIDTHS, STRIDES = (32, 64, 96, 128), (1, 2, 2, 1)
POOLED_SIZE = 4
DROPOUT = 0.3


class MotionCNNConfig(PreTrainedConfig):
    """Size of the input.

    Args:
        num_frames (`int`, *optional*, defaults to 16): Frames per clip.
        image_size (`int`, *optional*, defaults to 64): Height and width in pixels.
    """

    model_type = "fdp_motion_cnn"

    num_frames: int = 16
    image_size: int = 64


class MotionConvNet(nn.Module):
    """Four convolutions over stacked channels, pooling and one linear layer.

    Args:
        in_channels (`int`): Channels of the input.
        num_labels (`int`): Number of classes.
    """

    def __init__(self, in_channels: int, num_labels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, stride in zip(WIDTHS, STRIDES, strict=True):
            convolution = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            in_channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(POOLED_SIZE),
            nn.Flatten(),
            nn.Dropout(DROPOUT),
            nn.Linear(POOLED_SIZE**2 * in_channels, num_labels),
        )

    def forward(self, channels: torch.Tensor) -> torch.Tensor:
        """Map `(batch_size, in_channels, height, width)` to logits `(batch_size, num_labels)`."""
        logits: torch.Tensor = self.head(self.features(channels))
        return logits


class MotionCNNForVideoClassification(PreTrainedModel):
    """A plain network on the input of FDP's encoder: pulse and drift of stabilised differences and motion.

    Args:
        config ([`MotionCNNConfig`]): Size of the input.
    """

    config: MotionCNNConfig
    base_model_prefix = "network"
    main_input_name = "pixel_values"

    def __init__(self, config: MotionCNNConfig) -> None:
        super().__init__(config)
        self.num_labels = len(config.id2label or {})
        self.network = MotionConvNet(MOTION_CHANNELS * FDPConfig.num_moments, self.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave each layer as torch initialises it."""
        # Their start is also torch's; written here for networks that are built on the meta device.
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Unpack[TransformersKwargs]
    ) -> ImageClassifierOutput:
        r"""Classify clips.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, 1, height, width)`):
                Gray frames in [-1, 1].
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Classes; the cross-entropy is then returned as `loss`.
            **kwargs: `return_dict`.

        Returns:
            [`~transformers.modeling_outputs.ImageClassifierOutput`]: `logits` `(batch_size, num_labels)` and `loss`.
        """
        channels = motion_channels(stabilize(pixel_values), FDPConfig.reference_gain, FDPConfig.num_moments)
        logits = self.network(channels.flatten(1, 2))
        loss = None if labels is None else F.cross_entropy(logits.float(), labels)
        return ImageClassifierOutput(loss=loss, logits=logits)


MotionCNNConfig.register_for_auto_class()
MotionCNNForVideoClassification.register_for_auto_class("AutoModelForVideoClassification")
