"""Optical flow of pairs of frames from their features: a U-net, or the FlowNetC of the released code."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_mol import MOLConfig
from .facial_features_mol import NUM_DERIVATIVES, derivatives

LEAST_CHANNELS = 16


def convolution_norm_relu(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    """Build a convolution padded by half its kernel, batch norm and ReLU (`nn.Sequential`)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class MOLFlowOutput(nn.Conv2d):
    """The last convolution of a flow decoder, with small initial weights, so that the initial flow is almost 0."""


class MOLFlowUNet(nn.Module):
    """U-net from the features of two frames to a flow of the frames' size; the stem's maps are joined (our choice).

    It has no correlation volume, because the frames of a micro-expression differ by tenths of a pixel, less than a
    cell of any map; over such distances the brightness is linear in the motion.

    With `flow_inputs="derivatives"` each layer reads the earlier frame's map and its difference from the later
    frame's, both normalised, because the difference is a hundredth of the map and would hardly change the layer's
    output.

    Args:
        config ([`MOLConfig`]): Sizes and widths.
    """

    def __init__(self, config: MOLConfig) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.takes_derivatives = config.flow_inputs == "derivatives"
        # The first stem map of each size that is larger than the features', smallest first.
        sizes = config.stem_sizes
        self.levels = [
            index
            for index in reversed(range(len(sizes)))
            if sizes[index] > config.map_size and sizes[index] not in sizes[index + 1 :]
        ]
        width = config.flow_hidden_size
        self.input = convolution_norm_relu(2 * config.hidden_size, width)
        layers, joined = [], [2 * config.hidden_size]
        for index in self.levels:
            next_width = max(width // 2, LEAST_CHANNELS)
            joined.append(2 * config.stem_channels[index])
            layers.append(convolution_norm_relu(width + joined[-1], next_width))
            width = next_width
        self.layers = nn.ModuleList(layers)
        next_width = max(width // 2, LEAST_CHANNELS)
        pixels = (NUM_DERIVATIVES if self.takes_derivatives else 2) * config.num_channels
        norms = [nn.BatchNorm2d(channels) for channels in (*joined, pixels)]
        # CODEPATH: `small`; with `flow_inputs="frames"` maps are joined as they are.
        self.norms = nn.ModuleList(norms) if self.takes_derivatives else None
        self.fine = nn.Sequential(nn.Conv2d(width + pixels, next_width, 3, padding=1), nn.ReLU())
        self.output = MOLFlowOutput(next_width, 2, 3, padding=1)

    def forward(
        self,
        earlier: torch.Tensor,
        later: torch.Tensor,
        earlier_features: torch.Tensor,
        later_features: torch.Tensor,
        earlier_maps: list[torch.Tensor],
        later_maps: list[torch.Tensor],
    ) -> torch.Tensor:
        """Estimates the flow of pairs.

        Args:
            earlier (`torch.FloatTensor` of shape `(num_pairs, num_channels, height, width)`): The earlier frames.
            later (`torch.FloatTensor` of the same shape): The later frames.
            earlier_features (`torch.FloatTensor` of shape `(num_pairs, hidden_size, map_size, map_size)`): Features of
                the earlier frames.
            later_features (`torch.FloatTensor` of the same shape): Features of the later frames.
            earlier_maps (`list[torch.FloatTensor]`): Maps of the stem of the earlier frames.
            later_maps (`list[torch.FloatTensor]`): Maps of the stem of the later frames.

        Returns:
            `torch.FloatTensor` of shape `(num_pairs, 2, height, width)`: displacement (x, y) in units of `flow_scale`.
        """
        hidden = self.input(self._joined(0, earlier_features, later_features))
        for level, (index, layer) in enumerate(zip(self.levels, self.layers, strict=True), start=1):
            hidden = resize(hidden, earlier_maps[index].shape[-1])
            hidden = layer(torch.cat([hidden, self._joined(level, earlier_maps[index], later_maps[index])], dim=1))
        # Subtracted in the dtype of the frames, because half precision would round a change of one gray level away.
        pixels = derivatives(earlier, later) if self.takes_derivatives else torch.cat([earlier, later], dim=1)
        pixels = pixels.to(hidden.dtype)
        if self.norms is not None:
            pixels = self.norms[-1](pixels)
        hidden = self.fine(torch.cat([resize(hidden, self.image_size), pixels], dim=1))
        flow: torch.Tensor = self.output(hidden)
        return flow

    def _joined(self, level: int, earlier: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        if self.norms is None:
            return torch.cat([earlier, later], dim=1)
        joined: torch.Tensor = self.norms[level](torch.cat([earlier, later - earlier], dim=1))
        return joined


class MOLFlowNetC(nn.Module):
    """FlowNetC (Fischer et al., arXiv 1504.06852) on gray frames, with batch norm, up to the frames' size.

    The features of both frames are joined to its map of stride 8 (released code).

    Args:
        config ([`MOLConfig`]): Channels of the frames and of their features.
    """

    # Displacements of the correlation in cells: 21 x 21, two cells apart (released code).
    reach, spacing = 20, 2

    def __init__(self, config: MOLConfig) -> None:
        super().__init__()
        self.image_1 = convolution_norm_relu(config.num_channels, 64, 7, 2)
        self.image_2 = convolution_norm_relu(64, 128, 5, 2)
        self.image_3 = convolution_norm_relu(128, 256, 5, 2)
        self.redirect = convolution_norm_relu(256, 32, 1)
        num_shifts = (2 * self.reach // self.spacing + 1) ** 2
        self.encoder = nn.ModuleList(
            [
                convolution_norm_relu(num_shifts + 32 + 2 * config.hidden_size, 256),
                nn.Sequential(convolution_norm_relu(256, 512, 3, 2), convolution_norm_relu(512, 512)),
                nn.Sequential(convolution_norm_relu(512, 512, 3, 2), convolution_norm_relu(512, 512)),
                nn.Sequential(convolution_norm_relu(512, 1024, 3, 2), convolution_norm_relu(1024, 1024)),
            ]
        )
        # Per scale, from stride 64 to 1: channels of the encoder's map that is joined, and of the upsampled map.
        joined = (512, 512, 256, 128, 64, 0)
        passed = (512, 256, 128, 64, 32, 16)
        self.flows, self.ups, self.flow_ups = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = 1024
        for skip, channels in zip(joined, passed, strict=True):
            self.flows.append(nn.Conv2d(width, 2, 3, padding=1))
            self.flow_ups.append(nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1))
            self.ups.append(nn.Sequential(nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.ReLU()))
            width = skip + channels + 2
        self.output = MOLFlowOutput(width, 2, 3, padding=1)

    def forward(
        self,
        earlier: torch.Tensor,
        later: torch.Tensor,
        earlier_features: torch.Tensor,
        later_features: torch.Tensor,
        earlier_maps: list[torch.Tensor],
        later_maps: list[torch.Tensor],
    ) -> torch.Tensor:
        """Estimates the flow of pairs; inputs and output as in `MOLFlowUNet`, but the stem's maps are not read."""
        dtype = self.output.weight.dtype
        first = self.image_1(earlier.to(dtype))
        second = self.image_2(first)
        third = self.image_3(second)
        other = self.image_3(self.image_2(self.image_1(later.to(dtype))))
        joined = [correlation(third, other, self.reach, self.spacing), self.redirect(third)]
        maps = [first, second]
        hidden = torch.cat([*joined, earlier_features, later_features], dim=1)
        for layer in self.encoder:
            hidden = layer(hidden)
            maps.append(hidden)
        skips = [*maps[-2::-1], None]
        for skip, flow, flow_up, up in zip(skips, self.flows, self.flow_ups, self.ups, strict=True):
            parts = [up(hidden), flow_up(flow(hidden))]
            hidden = torch.cat(parts if skip is None else [skip, *parts], dim=1)
        answer: torch.Tensor = self.output(hidden)
        return answer


def resize(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Resizes maps `(num_images, num_channels, height, width)` to square ones, bilinear (`torch.Tensor`)."""
    return F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)


def correlation(first: torch.Tensor, second: torch.Tensor, reach: int, spacing: int) -> torch.Tensor:
    """Mean product of the features of a cell with those of displaced cells of another map.

    Args:
        first (`torch.FloatTensor` of shape `(num_pairs, num_channels, height, width)`): Features.
        second (`torch.FloatTensor` of the same shape): Features of the later frames; 0 outside of the map.
        reach (`int`): Largest displacement in cells.
        spacing (`int`): Step between two displacements in cells.

    Returns:
        `torch.FloatTensor` of shape `(num_pairs, num_shifts, height, width)`: one map per displacement, in
            row-major order.
    """
    height, width = first.shape[-2:]
    padded = F.pad(second, (reach, reach, reach, reach))
    shifts = range(0, 2 * reach + 1, spacing)
    products = [
        (first * padded[..., row : row + height, column : column + width]).mean(dim=1)
        for row in shifts
        for column in shifts
    ]
    return torch.stack(products, dim=1)
