"""The classifiers that name the micro-expression from the dynamic representation."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_fdp import POOLED_CELLS, FDPConfig
from .frame_encoder_fdp import FDPConvNormReLU


def _average_over_grid(maps: torch.Tensor, grid_size: int) -> torch.Tensor:
    """(..., side, side) -> (..., grid_size, grid_size)."""
    cells, remainder = divmod(maps.shape[-1], grid_size)
    if remainder:
        return F.adaptive_avg_pool2d(maps, grid_size)
    # The same where the grid divides the map, but with a deterministic gradient on GPUs.
    return F.avg_pool2d(maps, cells)


class FDPConvolutionalClassifier(nn.Module):
    """3x3 convolution, average over the cells of a small grid, one linear layer (our choice)."""

    seen_size: int

    def __init__(self, config: FDPConfig, num_labels: int) -> None:
        super().__init__()
        size = config.representation_size
        self.norm = nn.BatchNorm2d(size)
        self.convolution = FDPConvNormReLU(size, size)
        self.grid_size = config.classifier_grid_size
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.seen_size = size * self.grid_size**2
        self.output = nn.Linear(self.seen_size, num_labels)

    def forward(self, representation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch_size, representation_size, height, width) -> (batch_size, num_labels) and what the last layer saw."""
        hidden_states = self.convolution(self.norm(representation))
        hidden_states = self.dropout(_average_over_grid(hidden_states, self.grid_size).flatten(1))
        return self.output(hidden_states), hidden_states


class FDPFullyConnectedClassifier(nn.Module):
    """3x3 max pooling, linear, ReLU, linear (released code). Fixed to the configured image size."""

    seen_size: int

    def __init__(self, config: FDPConfig, num_labels: int) -> None:
        super().__init__()
        cells = config.image_size // config.feature_stride // POOLED_CELLS
        self.hidden = nn.Linear(config.representation_size * cells**2, config.classifier_hidden_size)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.seen_size = config.classifier_hidden_size
        self.output = nn.Linear(self.seen_size, num_labels)

    def forward(self, representation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch_size, representation_size, height, width) -> (batch_size, num_labels) and what the last layer saw."""
        hidden_states = F.max_pool2d(representation, POOLED_CELLS).flatten(1)
        hidden_states = self.dropout(F.relu(self.hidden(hidden_states)))
        return self.output(hidden_states), hidden_states
