"""FDP's motion channels in front of a plain network, as a model of transformers.

It imports FDP's code, so its checkpoints load only where this package is installed.
"""

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForVideoClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from modeling_baselines.modeling_baselines import PlainConvNet
from modeling_fdp import FDPConfig
from modeling_fdp.configuration_fdp import MOTION_CHANNELS
from modeling_fdp.motion_fdp import motion_channels, stabilize


class MotionCNNConfig(PreTrainedConfig):
    """Size of the input.

    Args:
        num_frames (`int`, *optional*, defaults to 16): Frames per clip.
        image_size (`int`, *optional*, defaults to 64): Height and width in pixels.
    """

    model_type = "fdp_motion_cnn"

    num_frames: int = 16
    image_size: int = 64


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
        # Motion has half the frame's resolution, so stride 1 keeps the sizes of later maps.
        self.network = PlainConvNet(MOTION_CHANNELS * FDPConfig.num_moments, self.num_labels, first_stride=1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave each layer as torch initialises it."""

    def forward(self, pixel_values: torch.Tensor) -> ImageClassifierOutput:
        """Map gray frames `(batch_size, num_frames, 1, height, width)` in [-1, 1] to `logits`."""
        channels = motion_channels(stabilize(pixel_values), FDPConfig.reference_gain, FDPConfig.num_moments)
        return ImageClassifierOutput(logits=self.network(channels.flatten(1, 2)))


AutoConfig.register(MotionCNNConfig.model_type, MotionCNNConfig)
AutoModelForVideoClassification.register(MotionCNNConfig, MotionCNNForVideoClassification)
