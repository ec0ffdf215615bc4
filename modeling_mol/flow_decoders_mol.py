"""Optical flow of pairs of frames from their features: a U-net, or the FlowNetC of the released code."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_mol import MOLConfig
from .facial_features_mol import NUM_DERIVATIVES, derivatives

LEAST_CHANNELS = 16


def convolution_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, kind: type[nn.Conv2d] = nn.Conv2d
) -> nn.Sequential:
    """Build a convolution padded by half its kernel, batch norm and ReLU (`nn.Sequential`)."""
    return nn.Sequential(
        kind(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class MOLFlowOutput(nn.Conv2d):
    """The last convolution of a flow decoder, with small initial weights, so that the initial flow is almost 0."""


class MOLJoinedConvolution(nn.Conv2d):
    """Convolution of maps joined along their channels, computed as the sum of one convolution for each of them.

    No copy of all maps is made, and maps that several pairs share are convolved once.
    """

    def forward(self, parts: tuple[torch.Tensor, ...]) -> torch.Tensor:  # type: ignore[override]
        """Convolves maps as if they were joined in this order.

        Args:
            parts (`tuple[torch.FloatTensor]`): Each `(num_pairs, num_channels, height, width)`; all but the last may
                have one entry for several consecutive pairs.

        Returns:
            `torch.FloatTensor` of shape `(num_pairs, out_channels, height, width)`: the sum.
        """
        *others, weight = self.weight.split([part.shape[1] for part in parts], dim=1)
        total = F.conv2d(parts[-1], weight, self.bias, self.stride, self.padding)
        for part, weight in zip(parts, others, strict=False):
            answer = F.conv2d(part, weight, None, self.stride, self.padding)
            total = (total.unflatten(0, (part.shape[0], -1)) + answer[:, None]).flatten(0, 1)
        return total


class MOLJoinedNorm(nn.BatchNorm2d):
    """Batch norm of maps of earlier frames joined with their changes, like `nn.BatchNorm2d` of the joined maps.

    Earlier maps that several pairs share are normalised once; in the statistics they count once per pair.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    momentum: float

    def forward(  # type: ignore[override]
        self, earlier: torch.Tensor, changes: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Normalises both.

        Args:
            earlier (`torch.FloatTensor` of shape `(num_shared, num_channels, height, width)`): Earlier maps, each of
                `num_pairs / num_shared` consecutive pairs.
            changes (`torch.FloatTensor` of shape `(num_pairs, num_channels, height, width)`): Later maps minus them.

        Returns:
            `tuple[torch.FloatTensor, torch.FloatTensor]`: both, in the same shapes, channels last.
        """
        mean, variance = self.running_mean, self.running_var
        if self.training:
            # With a momentum of 1 they become the statistics of this batch.
            mean, variance = torch.zeros_like(mean), torch.ones_like(variance)
            # Channels last, torch adds the values of a channel one by one, which costs two digits of the variance.
            earlier, changes = earlier.contiguous(), changes.contiguous()
        halves = zip(*(values.chunk(2) for values in (mean, variance, self.weight, self.bias)), strict=True)
        normalized = tuple(
            F.batch_norm(maps, half_mean, half_variance, weight, bias, self.training, 1.0, self.eps)
            for maps, (half_mean, half_variance, weight, bias) in zip((earlier, changes), halves, strict=True)
        )
        if self.training:
            # The divisor of a variance is its count minus 1, where every earlier map counts once per pair.
            share = (1 - 1 / earlier[:, 0].numel()) / (1 - 1 / changes[:, 0].numel())
            of_earlier, of_changes = variance.chunk(2)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(torch.cat([share * of_earlier, of_changes]), self.momentum)
            self.num_batches_tracked.add_(1)
        return tuple(maps.contiguous(memory_format=torch.channels_last) for maps in normalized)


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
        self.input = convolution_norm_relu(2 * config.hidden_size, width, kind=MOLJoinedConvolution)
        layers, joined = [], [2 * config.hidden_size]
        for index in self.levels:
            next_width = max(width // 2, LEAST_CHANNELS)
            joined.append(2 * config.stem_channels[index])
            layers.append(convolution_norm_relu(width + joined[-1], next_width, kind=MOLJoinedConvolution))
            width = next_width
        self.layers = nn.ModuleList(layers)
        next_width = max(width // 2, LEAST_CHANNELS)
        pixels = (NUM_DERIVATIVES if self.takes_derivatives else 2) * config.num_channels
        norms = [*map(MOLJoinedNorm, joined), nn.BatchNorm2d(pixels)]
        # CODEPATH: `small`; with `flow_inputs="frames"` maps are joined as they are.
        self.norms = nn.ModuleList(norms) if self.takes_derivatives else None
        self.fine = nn.Sequential(MOLJoinedConvolution(width + pixels, next_width, 3, padding=1), nn.ReLU())
        self.output = MOLFlowOutput(next_width, 2, 3, padding=1)

    def forward(
        self,
        earlier: torch.Tensor,
        later: torch.Tensor,
        earlier_features: torch.Tensor,
        later_features: torch.Tensor,
        earlier_maps: Mapping[int, torch.Tensor],
        later_maps: Mapping[int, torch.Tensor],
    ) -> torch.Tensor:
        """Estimates the flow of pairs.

        Earlier frames, their features and maps are given once for several consecutive pairs that share them, or once
        per pair: `num_shared` is a divisor of `num_pairs`.

        Args:
            earlier (`torch.FloatTensor` of shape `(num_shared, num_channels, height, width)`): The earlier frames.
            later (`torch.FloatTensor` of shape `(num_pairs, num_channels, height, width)`): The later frames.
            earlier_features (`torch.FloatTensor` of shape `(num_shared, hidden_size, map_size, map_size)`): Features
                of the earlier frames.
            later_features (`torch.FloatTensor` of shape `(num_pairs, hidden_size, map_size, map_size)`): Features of
                the later frames.
            earlier_maps (`dict[int, torch.FloatTensor]`): Maps of the stem of the earlier frames, those that `levels`
                names.
            later_maps (`dict[int, torch.FloatTensor]`): Maps of the stem of the later frames, likewise.

        Returns:
            `torch.FloatTensor` of shape `(num_pairs, 2, height, width)`: displacement (x, y) in units of `flow_scale`.
        """
        hidden = self.input(self._joined(0, earlier_features, later_features))
        for level, (index, layer) in enumerate(zip(self.levels, self.layers, strict=True), start=1):
            hidden = resize(hidden, earlier_maps[index].shape[-1])
            hidden = layer((hidden, *self._joined(level, earlier_maps[index], later_maps[index])))
        earlier = per_pair(earlier, later.shape[0])
        # Subtracted in the dtype of the frames, because half precision would round a change of one gray level away.
        pixels = derivatives(earlier, later) if self.takes_derivatives else torch.cat([earlier, later], dim=1)
        pixels = pixels.to(hidden.dtype)
        if self.norms is not None:
            pixels = self.norms[-1](pixels)
        hidden = self.fine((resize(hidden, self.image_size), pixels.contiguous(memory_format=torch.channels_last)))
        flow: torch.Tensor = self.output(hidden)
        return flow

    def _joined(self, level: int, earlier: torch.Tensor, later: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.norms is None:
            return earlier, later
        changes = (later.unflatten(0, (earlier.shape[0], -1)) - earlier[:, None]).flatten(0, 1)
        joined: tuple[torch.Tensor, ...] = self.norms[level](earlier, changes)
        return joined


class MOLFlowNetC(nn.Module):
    """FlowNetC (Fischer et al., arXiv 1504.06852) on gray frames, with batch norm, up to the frames' size.

    The features of both frames are joined to its map of stride 8 (released code).

    Args:
        config ([`MOLConfig`]): Channels of the frames and of their features.
    """

    # Indices of the stem's maps that it reads: none.
    levels: tuple[int, ...] = ()
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
        earlier_maps: Mapping[int, torch.Tensor],
        later_maps: Mapping[int, torch.Tensor],
    ) -> torch.Tensor:
        """Estimates the flow of pairs; inputs and output as in `MOLFlowUNet`, but the stem's maps are not read."""
        dtype = self.output.weight.dtype
        earlier, earlier_features = (per_pair(values, later.shape[0]) for values in (earlier, earlier_features))
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


def per_pair(values: torch.Tensor, num_pairs: int) -> torch.Tensor:
    """Repeats each of `(num_shared, ...)` for the consecutive pairs that share it (`(num_pairs, ...)`)."""
    return values[:, None].expand(-1, num_pairs // values.shape[0], *values.shape[1:]).flatten(0, 1)


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
