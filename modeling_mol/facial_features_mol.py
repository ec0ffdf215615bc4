"""MOL's features of a frame: a stem, a convolution that covers the whole map, and a graph over feature maps."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_mol import MOLConfig

# Channels that `derivatives` makes of one: a frame, its difference from a later one, its gradient along x and y.
NUM_DERIVATIVES = 4


class MOLStem(nn.Module):
    """Convolutions over one frame, or over the derivatives of its pair; shared by all frames.

    Args:
        config ([`MOLConfig`]): Inputs, channels, kernels, strides, paddings and normalisation.
    """

    def __init__(self, config: MOLConfig) -> None:
        super().__init__()
        takes_derivatives = config.stem_inputs == "derivatives"
        num_inputs = (NUM_DERIVATIVES if takes_derivatives else 1) * config.num_channels
        # CODEPATH: `small`, because differences are a hundredth of the frames; `released` reads frames.
        self.norm = nn.BatchNorm2d(num_inputs) if takes_derivatives else None
        widths = [num_inputs, *config.stem_channels]
        layers: list[nn.Module] = []
        for index, channels in enumerate(config.stem_channels):
            is_normalized = config.stem_normalization and index + 1 < len(config.stem_channels)
            convolution = nn.Conv2d(
                widths[index],
                channels,
                config.stem_kernel_sizes[index],
                stride=config.stem_strides[index],
                padding=config.stem_paddings[index],
                bias=not is_normalized,
            )
            # CODEPATH: `small` normalises; the stem of `released` is linear.
            after = [nn.BatchNorm2d(channels), nn.ReLU()] if is_normalized else []
            layers.append(nn.Sequential(convolution, *after))
        self.layers = nn.ModuleList(layers)

    def forward(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """Maps inputs `(num_images, num_inputs, height, width)` to the map of each convolution, largest first."""
        maps = []
        if self.norm is not None:
            frames = self.norm(frames)
        for layer in self.layers:
            frames = layer(frames)
            maps.append(frames)
        return maps


class MOLCircularConvolution(nn.Module):
    """Position code, batch norm and a circular depthwise convolution along one axis, with a kernel as long as it.

    Args:
        num_channels (`int`): Channels.
        size (`int`): Cells along a side of the map.
        axis (`int`): Axis of `(num_images, num_channels, height, width)`: 2 or 3.
    """

    def __init__(self, num_channels: int, size: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.position = nn.Parameter(torch.zeros(num_channels, size))
        self.norm = nn.BatchNorm2d(num_channels)
        self.weight = nn.Parameter(torch.zeros(num_channels, size))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Convolves `(num_images, num_channels, height, width)`."""
        size = self.weight.shape[1]
        position = self.position[:, :, None] if self.axis == 2 else self.position[:, None, :]
        maps = self.norm(maps + position)
        cells = torch.arange(size, device=maps.device)
        # Circular convolution as a product with one matrix per channel: (num_channels, output cell, input cell).
        matrix = self.weight[:, (cells[None] - cells[:, None]) % size]
        equation = "coi,nciw->ncow" if self.axis == 2 else "coi,nchi->ncho"
        return torch.einsum(equation, matrix, maps) + self.bias[:, None, None]


class MOLFullyConnectedConvolution(nn.Module):
    """FCC of the paper: convolution with a receptive field of the whole map; residual.

    One half of the channels is convolved along the height and then the width, the other half the other way round.

    Args:
        config ([`MOLConfig`]): Channels and size of the map.
    """

    def __init__(self, config: MOLConfig) -> None:
        super().__init__()
        half, size = config.hidden_size // 2, config.map_size
        self.height_first = nn.Sequential(*(MOLCircularConvolution(half, size, axis) for axis in (2, 3)))
        self.width_first = nn.Sequential(*(MOLCircularConvolution(half, size, axis) for axis in (3, 2)))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps `(num_images, hidden_size, map_size, map_size)` to the same shape."""
        first, second = maps.chunk(2, dim=1)
        return maps + torch.cat([self.height_first(first), self.width_first(second)], dim=1)


class MOLChannelCorrespondence(nn.Module):
    """CCC of the paper: each node of a graph gathers from the nodes that are most like it; residual.

    Nodes are feature maps with one feature per cell (paper), or cells with one feature per channel (released code).
    The feature of an edge from node i to j is ReLU(A x_i + B (x_j - x_i)); the node takes the maximum over j.

    Args:
        config ([`MOLConfig`]): Nodes and neighbours.
    """

    def __init__(self, config: MOLConfig) -> None:
        super().__init__()
        self.num_neighbors = config.num_neighbors
        self.connects_channels = config.graph_nodes == "channels"
        self.is_released = config.released_graph
        num_features = config.map_size**2 if self.connects_channels else config.hidden_size
        self.own = nn.Linear(num_features, num_features)
        # Without a bias, because a bias of B cancels in B (x_j - x_i).
        self.other = nn.Linear(num_features, num_features, bias=False)
        # CODEPATH: the 1x1 convolution of the paper's figure, in `small`; `released` lacks it.
        self.output = None if config.released_graph else nn.Conv2d(config.hidden_size, config.hidden_size, 1)

    def neighbors(self, nodes: torch.Tensor) -> torch.Tensor:
        """Finds the neighbours of each node.

        Args:
            nodes (`torch.FloatTensor` of shape `(num_images, num_nodes, num_features)`): Features of the nodes.

        Returns:
            `torch.LongTensor` of shape `(num_images, num_nodes, num_neighbors)`: the most similar first, by the cosine
            of their features.
        """
        directions = F.normalize(nodes.detach().float(), dim=-1)
        similarity = directions @ directions.transpose(1, 2)
        # CODEPATH: in `released` a node is its own first neighbour.
        if not self.is_released:
            own = torch.eye(similarity.shape[1], dtype=torch.bool, device=similarity.device)
            similarity = similarity.masked_fill(own, float("-inf"))
        return similarity.topk(self.num_neighbors, dim=-1).indices

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps `(num_images, hidden_size, map_size, map_size)` to the same shape."""
        nodes = maps.flatten(2)
        if not self.connects_channels:
            nodes = nodes.transpose(1, 2)
        own, other = self.own(nodes), self.other(nodes)
        # The maximum over j is taken before the ReLU, because only B x_j depends on j and the ReLU is monotonic.
        times = 2 if self.is_released else 1
        edges = F.relu(torch.sub(own, other, alpha=times) + largest_rows(other, self.neighbors(nodes)))
        if not self.connects_channels:
            edges = edges.transpose(1, 2)
        edges = edges.reshape(maps.shape)
        # CODEPATH: `small`; `released` has no 1x1 convolution.
        if self.output is not None:
            edges = self.output(edges)
        return maps + edges


class MOLBlock(nn.Module):
    """F5C of the paper: the fully connected convolution, then the channel correspondence.

    Args:
        config ([`MOLConfig`]): Whether each of the two is built, and their sizes.
    """

    def __init__(self, config: MOLConfig) -> None:
        super().__init__()
        # CODEPATH: every preset has both; each can be left out to measure its effect.
        self.fully_connected = (
            MOLFullyConnectedConvolution(config) if config.use_fully_connected_convolution else nn.Identity()
        )
        # CODEPATH: as above.
        self.correspondence = MOLChannelCorrespondence(config) if config.use_channel_correspondence else nn.Identity()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps `(num_images, hidden_size, map_size, map_size)` to the same shape."""
        # Both compute with all cells of a map, which then lie beside each other.
        features: torch.Tensor = self.correspondence(self.fully_connected(maps.contiguous()))
        return features


def largest_rows(rows: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Take the maximum over the chosen rows, separately for each column.

    Args:
        rows (`torch.FloatTensor` of shape `(num_images, num_rows, num_columns)`): Values.
        chosen (`torch.LongTensor` of shape `(num_images, num_answers, num_chosen)`): Rows of each answer, 0-based.

    Returns:
        `torch.FloatTensor` of shape `(num_images, num_answers, num_columns)`: the maxima.
    """
    # Rows of all images in one list, because whole rows are copied faster than single values; `max` and not `amax`,
    # because the gradient of `amax` compares all values with the maxima again.
    first = rows.shape[1] * torch.arange(rows.shape[0], device=rows.device)
    numbers = (chosen + first[:, None, None]).permute(2, 0, 1)
    candidates = rows.flatten(0, 1).index_select(0, numbers.flatten()).unflatten(0, numbers.shape)
    largest: torch.Tensor = candidates.max(dim=0).values
    return largest


def derivatives(earlier: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """Computes the terms of the optical-flow equation: I, I_t, I_x and I_y.

    Args:
        earlier (`torch.FloatTensor` of shape `(num_pairs, num_channels, height, width)`): Earlier frames.
        later (`torch.FloatTensor` of the same shape): Later frames.

    Returns:
        `torch.FloatTensor` of shape `(num_pairs, NUM_DERIVATIVES * num_channels, height, width)`: the earlier frame,
        the difference and the central differences of the earlier frame along x and y, per pixel.
    """
    padded = F.pad(earlier, (1, 1, 1, 1), mode="replicate")
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return torch.cat([earlier, later - earlier, along_x, along_y], dim=1)
