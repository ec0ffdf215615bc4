"""Networks that construct the dynamic image from the dynamic representation."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_fdp import FDPConfig
from .frame_encoder_fdp import FDPConvNormReLU

SEGNET_MULTIPLIERS = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


class FDPSegNetLayer(nn.Module):
    """3x3 convolution with bias, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch_size, in_channels, height, width) -> (batch_size, out_channels, height, width)."""
        return F.relu(self.norm(self.conv(hidden_states)))


class FDPImageOutput(nn.Conv2d):
    """3x3 convolution to the logits of pixels; a separate class, because it is initialised near zero."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)


class FDPSegNetDecoder(nn.Module):
    """SegNet (Badrinarayanan et al., 2017; released code).

    VGG16-BN encoder, mirrored decoder, maxima put back where they were taken. A representation coarser than the image
    is first unfolded to full size: channels become pixels.
    """

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        self.unfold = config.feature_stride
        channels = config.representation_size // self.unfold**2
        levels = [[config.decoder_size * multiplier for multiplier in level] for level in SEGNET_MULTIPLIERS]
        encoder = []
        for level in levels:
            encoder.append(nn.Sequential())
            for width in level:
                encoder[-1].append(FDPSegNetLayer(channels, width))
                channels = width
        decoder = []
        for index in reversed(range(len(levels))):
            # The last layer of a level already has the width of the level above it.
            widths = levels[index][1:] + ([levels[index - 1][-1]] if index else [])
            decoder.append(nn.Sequential())
            for width in widths:
                decoder[-1].append(FDPSegNetLayer(channels, width))
                channels = width
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder)
        self.output = FDPImageOutput(channels, 1)

    def forward(self, representation: torch.Tensor, detail: torch.Tensor | None) -> torch.Tensor:
        """(batch_size, representation_size, map height, map width) -> (batch_size, 1, height, width) in [0, 1].

        `detail` is ignored: only the light decoder reads it.
        """
        hidden_states = representation
        if self.unfold > 1:
            hidden_states = F.pixel_shuffle(hidden_states, self.unfold)
        places = []
        for level in self.encoder:
            hidden_states, place = F.max_pool2d(level(hidden_states), 2, return_indices=True)
            places.append(place)
        for level in self.decoder:
            hidden_states = level(unpool(hidden_states, places.pop()))
        return torch.sigmoid(self.output(hidden_states))


def unpool(hidden_states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Puts pooled maxima back where they were taken, zeros elsewhere.

    The same as `torch.nn.functional.max_unpool2d`, which has no ONNX form and no deterministic one on GPUs; places of
    2x2 windows never collide, so a scatter has both.

    Args:
        hidden_states (`torch.FloatTensor` of shape `(batch_size, channels, height, width)`): pooled maxima.
        places (`torch.LongTensor` of the same shape): their indices in the flattened map of twice the side.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, channels, 2 * height, 2 * width)`.
    """
    batch_size, channels, height, width = hidden_states.shape
    flat = hidden_states.new_zeros(batch_size, channels, 4 * height * width)
    flat = flat.scatter(2, places.flatten(2), hidden_states.flatten(2))
    unpooled: torch.Tensor = flat.unflatten(2, (2 * height, 2 * width))
    return unpooled


class FDPLightDecoder(nn.Module):
    """A small encoder-decoder for small presets (our choice).

    One level down and up again on the representation, then up to the cells of the stem's first map. With
    `config.dynamic_image_shortcut` that map is concatenated, because a coarse representation lacks its fine lines: a
    lid or a lip moves by a fraction of a pixel. Without it the image is constructed from the representation alone;
    with patterns its channels are unfolded into pixels.
    """

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        size = config.decoder_size
        self.enter = FDPConvNormReLU(config.representation_size, size)
        self.down = FDPConvNormReLU(size, 2 * size, stride=2)
        self.bottom = FDPConvNormReLU(2 * size, size)
        self.merge = FDPConvNormReLU(size, size)
        self.stem_stride = config.stem_strides[0]
        self.has_shortcut = config.has_decoder_shortcut
        self.to_stem = _to_stem(config, size)
        self.detail = FDPConvNormReLU(size + (config.stem_channels[0] if self.has_shortcut else 0), size // 2)
        # Each pixel of a cell of the stem's map is one channel of the last convolution: no layer runs at full size.
        self.output = FDPImageOutput(size // 2, self.stem_stride**2)

    def forward(self, representation: torch.Tensor, detail: torch.Tensor | None) -> torch.Tensor:
        """Constructs dynamic images.

        Args:
            representation (`torch.FloatTensor` of shape `(batch_size, representation_size, map height, map width)`):
                the dynamic representation.
            detail (`torch.FloatTensor`, *optional*): the stem's first map, pooled over time, of shape
                `(batch_size, stem_channels[0], stem height, stem width)`; ignored without a shortcut.

        Returns:
            `torch.FloatTensor` of shape `(batch_size, 1, height, width)`: in [0, 1].
        """
        entered = self.enter(representation)
        lowered = self.bottom(self.down(entered))
        merged = self.merge(entered + F.interpolate(lowered, size=entered.shape[-2:], mode="nearest"))
        drawn = self.to_stem(merged)
        if self.has_shortcut and detail is not None:
            drawn = torch.cat([drawn, detail], dim=1)
        return torch.sigmoid(F.pixel_shuffle(self.output(self.detail(drawn)), self.stem_stride))


def _to_stem(config: FDPConfig, size: int) -> nn.Module:
    """Resizes the representation to the stem's first map."""
    stem_stride = config.stem_strides[0]
    if stem_stride > config.feature_stride:
        # The released vector is an image of full size.
        return nn.AvgPool2d(stem_stride // config.feature_stride)
    coarser = config.feature_stride // stem_stride
    if not config.has_patterns:
        return nn.Upsample(scale_factor=coarser, mode="nearest")
    return nn.Sequential(FDPConvNormReLU(size, size * coarser**2), nn.PixelShuffle(coarser))
