"""Heads of MOL: the class of a clip, from its flow or its features, and the landmarks of each frame."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_mol import CLASSIFIER_KERNEL, MOLConfig

_CLASSIFIER_CHANNELS, _LANDMARK_CHANNELS = 32, 32


class MOLClassifier(nn.Module):
    """From the flow or the features of a clip to its class: a convolution over time and space, two linear layers.

    Args:
        config ([`MOLConfig`]): Sizes, width and dropout.
        num_labels (`int`): Number of classes.
    """

    def __init__(self, config: MOLConfig, num_labels: int) -> None:
        super().__init__()
        reads_flow = config.classifier_inputs == "flow"
        num_maps, channels = (config.num_pairs, 2) if reads_flow else (config.num_maps, config.hidden_size)
        # CODEPATH: `small`, because the flow without its mean is small; `released` reads features as they are.
        self.norm = nn.BatchNorm3d(channels) if reads_flow else None
        # Two steps in time remain where there are as many maps, because the pooling halves them.
        kernel = max(1, min(CLASSIFIER_KERNEL, num_maps - 1))
        self.convolution = nn.Conv3d(channels, _CLASSIFIER_CHANNELS, (kernel, 2, 2), stride=(1, 2, 2))
        # `ceil_mode`, because the last of an odd number of steps would not be read.
        self.pool = nn.MaxPool3d(2, ceil_mode=True)
        cells = math.ceil((num_maps - kernel + 1) / 2) * math.ceil(config.map_size // 2 / 2) ** 2
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.hidden = nn.Linear(cells * _CLASSIFIER_CHANNELS, config.classifier_hidden_size)
        self.output = nn.Linear(config.classifier_hidden_size, num_labels)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps `(batch_size, num_maps, num_channels, map_size, map_size)` to logits `(batch_size, num_labels)`."""
        maps = maps.transpose(1, 2)
        if self.norm is not None:
            maps = self.norm(maps)
        pooled = self.pool(F.relu(self.convolution(maps)))
        hidden = F.relu(self.hidden(self.dropout(pooled.flatten(1))))
        logits: torch.Tensor = self.output(self.dropout(hidden))
        return logits


class MOLLandmarkHead(nn.Module):
    """From the features of a frame to the offsets of its landmarks from their mean over the training clips.

    Args:
        config ([`MOLConfig`]): Sizes and number of points.
    """

    def __init__(self, config: MOLConfig) -> None:
        super().__init__()
        stride = config.landmark_stride
        self.convolution = nn.Conv2d(config.hidden_size, _LANDMARK_CHANNELS, 3, stride, padding=stride - 1)
        cells = (config.map_size + 2 * (stride - 1) - 3) // stride + 1
        self.hidden = nn.Linear(_LANDMARK_CHANNELS * cells**2, config.landmark_hidden_size)
        self.output = nn.Linear(config.landmark_hidden_size, 2 * config.num_landmarks)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps `(num_images, hidden_size, map_size, map_size)` to `(num_images, num_landmarks, 2)`, in pixels."""
        hidden = F.relu(self.hidden(F.relu(self.convolution(maps)).flatten(1)))
        offsets: torch.Tensor = self.output(hidden)
        return offsets.reshape(maps.shape[0], -1, 2)
