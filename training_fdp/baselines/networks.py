"""The networks of the baselines: plain on purpose, each about what the literature puts beside a proposed method."""

import torch
from torch import nn
from torchvision.models import resnet18

from modeling_fdp import FDPConfig
from modeling_fdp.configuration_fdp import MOTION_CHANNELS
from modeling_fdp.motion_fdp import motion_channels, stabilize
from training_fdp.errors import ConfigError


class PlainConvNet(nn.Module):
    """Four 3x3 convolutions over frames stacked as channels, pooling, one linear layer (about 0.2 M weights).

    Args:
        in_channels (`int`): Number of stacked frames.
        num_labels (`int`): Number of classes.
        first_stride (`int`, *optional*, defaults to 2): Of the first convolution.
    """

    def __init__(self, in_channels: int, num_labels: int, first_stride: int = 2) -> None:
        super().__init__()
        widths, strides = (32, 64, 96, 128), (first_stride, 2, 2, 1)
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


class DifferenceConvNet(nn.Module):
    """[`PlainConvNet`] on frames minus the first one.

    Args:
        num_frames (`int`): Number of frames.
        num_labels (`int`): Number of classes.
    """

    # Brings differences of gray values to about unit size; fixed, so nothing is learnt from test clips.
    scale = 4.0

    def __init__(self, num_frames: int, num_labels: int) -> None:
        super().__init__()
        self.network = PlainConvNet(num_frames - 1, num_labels)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map frames `(batch_size, num_frames, height, width)` to logits `(batch_size, num_labels)`."""
        return self.network((inputs[:, 1:] - inputs[:, :1]) * self.scale)


class MotionConvNet(nn.Module):
    """[`PlainConvNet`] on what FDP's encoder sees: pulse and drift of stabilised differences and motion.

    Args:
        num_labels (`int`): Number of classes.
    """

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        # Motion comes at half the frame's resolution: later layers then see the maps that they see of frames.
        self.network = PlainConvNet(MOTION_CHANNELS * FDPConfig.num_moments, num_labels, first_stride=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map frames `(batch_size, num_frames, height, width)` to logits `(batch_size, num_labels)`."""
        channels = motion_channels(stabilize(inputs.unsqueeze(2)), FDPConfig.reference_gain, FDPConfig.num_moments)
        return self.network(channels.flatten(1, 2))


class FlowConvNet3d(nn.Module):
    """A small 3-D CNN over a flow volume: four 3x3x3 convolutions that keep time until the final pooling.

    Args:
        in_channels (`int`): Channels of the volume (2 for flow).
        num_labels (`int`): Number of classes.
    """

    def __init__(self, in_channels: int, num_labels: int) -> None:
        super().__init__()
        widths = (16, 32, 64, 96)
        layers: list[nn.Module] = []
        for width in widths:
            layers += _conv_bn_relu(nn.Conv3d, nn.BatchNorm3d, in_channels, width, (1, 2, 2))
            in_channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool3d((1, 4, 4)), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * in_channels, num_labels)
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map `(batch_size, in_channels, num_frames, height, width)` to logits `(batch_size, num_labels)`."""
        return self.head(self.features(inputs))


class VideoMAEClassifier(nn.Module):
    """A VideoMAE encoder of `tiny` size with random weights, as `transformers` has it (0.9 M weights).

    Args:
        num_frames (`int`): Frames per clip, an even number.
        image_size (`int`): Image side in pixels, a multiple of 16.
        num_labels (`int`): Number of classes.

    Raises:
        ConfigError: Other numbers, of which the network would leave out the rest without a word.
    """

    # Brings gray values to about unit deviation, as VideoMAE's own processor does. Without it the network hardly
    # starts to learn; fixed, so nothing is learnt from test clips.
    scale = 4.0

    def __init__(self, num_frames: int, image_size: int, num_labels: int) -> None:
        super().__init__()
        if num_frames % 2 or image_size % 16:
            raise ConfigError(
                f"videomae takes an even number of frames and a multiple of 16 pixels, but there are {num_frames} of "
                f"{image_size}; change --num_frames and --image_size or leave it out by --baselines"
            )
        # Imported here: transformers takes seconds, and most baselines do without.
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification

        config = VideoMAEConfig(
            image_size=image_size,
            patch_size=16,
            num_channels=1,
            num_frames=num_frames,
            tubelet_size=2,
            hidden_size=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=512,
        )
        config.num_labels = num_labels
        self.model = VideoMAEForVideoClassification(config)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map `(batch_size, num_frames, height, width)` to logits `(batch_size, num_labels)`."""
        return self.model(pixel_values=inputs[:, :, None] * self.scale).logits


def build_dynamic_image_resnet(num_labels: int) -> nn.Module:
    """Build a ResNet-18 for one gray image, random weights (11.2 M)."""
    network = resnet18(weights=None, num_classes=num_labels)
    network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return network


def _conv_bn_relu(
    convolution: type, normalisation: type, in_channels: int, width: int, stride: object
) -> list[nn.Module]:
    return [
        convolution(in_channels, width, 3, stride=stride, padding=1, bias=False),
        normalisation(width),
        nn.ReLU(inplace=True),
    ]
