"""The frame encoder of FDP: stem, local and global relational aggregators, and head."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_fdp import FDPConfig


def average_over_grid(maps: torch.Tensor, grid_size: int) -> torch.Tensor:
    """(batch_size, channels, side, side) -> (batch_size, channels, grid_size, grid_size)."""
    cells, remainder = divmod(maps.shape[-1], grid_size)
    if remainder:
        return F.adaptive_avg_pool2d(maps, grid_size)
    # The same where the grid divides the map, but with a deterministic gradient on GPUs.
    return F.avg_pool2d(maps, cells)


class FDPDropPath(nn.Module):
    """Stochastic depth: drops the residual branch of a whole frame while training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Keeps the shape (batch_size, ...) and the expectation."""
        if self.rate == 0.0 or not self.training:
            return hidden_states
        keep = 1.0 - self.rate
        shape = (hidden_states.shape[0],) + (1,) * (hidden_states.ndim - 1)
        mask = torch.rand(shape, device=hidden_states.device, dtype=torch.float32) < keep
        return hidden_states * mask.to(hidden_states.dtype) / keep

    def extra_repr(self) -> str:
        """Shown in the printed model."""
        return f"rate={self.rate}"


class FDPConvNormReLU(nn.Module):
    """3x3 convolution without bias, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch_size, in_channels, height, width) -> (batch_size, out_channels, height / stride, width / stride)."""
        return F.relu(self.norm(self.conv(hidden_states)))


class FDPPatchEmbedding(nn.Module):
    """Brings a map to a block's width: 2x2 average pooling where the stride is 2, 1x1 convolution, batch norm."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch_size, in_channels, height, width) -> (batch_size, out_channels, height / stride, width / stride)."""
        if self.stride > 1:
            hidden_states = F.avg_pool2d(hidden_states, self.stride)
        embedded: torch.Tensor = self.norm(self.conv(hidden_states))
        return embedded


def patch_embedding(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """A patch embedding, or nothing where neither width nor size change (released code)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return FDPPatchEmbedding(in_channels, out_channels, stride)


class FDPMLP(nn.Module):
    """Two 1x1 convolutions with a ReLU between them."""

    def __init__(self, hidden_size: int, ratio: float) -> None:
        super().__init__()
        inner_size = round(hidden_size * ratio)
        self.conv1 = nn.Conv2d(hidden_size, inner_size, 1)
        self.conv2 = nn.Conv2d(inner_size, hidden_size, 1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Keeps (batch_size, hidden_size, height, width)."""
        answer: torch.Tensor = self.conv2(F.relu(self.conv1(hidden_states)))
        return answer


class FDPMultiHeadConvolution(nn.Module):
    """Each head its own 3x3 convolution, batch norm and ReLU; concatenated and mixed by a pointwise convolution.

    This is the paper's local relational aggregator. One grouped convolution computes all heads.
    """

    def __init__(self, hidden_size: int, head_dim: int) -> None:
        super().__init__()
        self.heads = FDPConvNormReLU(hidden_size, hidden_size, groups=hidden_size // head_dim)
        self.projection = nn.Conv2d(hidden_size, hidden_size, 1, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Keeps (batch_size, hidden_size, height, width)."""
        mixed: torch.Tensor = self.projection(self.heads(hidden_states))
        return mixed


class FDPLocalAggregator(GradientCheckpointingLayer):
    """Local relational aggregator (the authors' `LFA`): convolution and MLP, each with a skip connection.

    The paper says multi-head convolution with batch norm, ReLU and a pointwise convolution; the released code has one
    dense 3x3 convolution. `config.local_convolution` chooses.
    """

    def __init__(self, config: FDPConfig, in_channels: int, hidden_size: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.patch_embedding = patch_embedding(in_channels, hidden_size, stride)
        self.convolution: nn.Module
        if config.local_convolution == "dense":
            self.convolution = nn.Conv2d(hidden_size, hidden_size, 3, padding=1, bias=False)
        else:
            self.convolution = FDPMultiHeadConvolution(hidden_size, config.local_head_dim)
        self.norm = nn.BatchNorm2d(hidden_size)
        self.mlp = FDPMLP(hidden_size, config.local_mlp_ratio)
        self.drop_path = FDPDropPath(drop_path)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch_size, in_channels, height, width) -> (batch_size, hidden_size, height / stride, width / stride)."""
        hidden_states = self.patch_embedding(hidden_states)
        hidden_states = hidden_states + self.drop_path(self.convolution(hidden_states))
        hidden_states = hidden_states + self.drop_path(self.mlp(self.norm(hidden_states)))
        return hidden_states


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Plain attention: (batch_size, num_heads, length, head_dim) to (batch_size, length, num_heads, head_dim)."""
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = F.softmax(weights, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class FDPAttention(nn.Module):
    """Multi-head self-attention over the cells of one frame's map, keys and values pooled (the authors' `E_MHSA`).

    The released code defines it with a pooling of the flattened cells by the square of the stride, which averages
    whole rows; here a square of cells is pooled, so that a key belongs to one region of the face.
    """

    def __init__(self, config: FDPConfig, hidden_size: int, key_value_stride: int) -> None:
        super().__init__()
        self.config = config
        self.head_dim = config.attention_head_dim
        self.num_heads = hidden_size // self.head_dim
        self.scaling = self.head_dim**-0.5
        self.key_value_stride = key_value_stride
        self.is_causal = False
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        # No bias for keys: it would shift all scores of a query equally, which softmax cancels, so its gradient would
        # be 0.
        self.k_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.o_proj = nn.Linear(hidden_size, hidden_size)
        self.key_value_norm = nn.BatchNorm2d(hidden_size) if key_value_stride > 1 else nn.Identity()

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Keeps (batch_size, hidden_size, height, width); also returns the attention weights, or `None`."""
        height, width = hidden_states.shape[-2:]
        pooled = hidden_states
        if self.key_value_stride > 1:
            pooled = self.key_value_norm(F.avg_pool2d(hidden_states, self.key_value_stride))
        # (batch_size, hidden_size, height, width) -> (batch_size, height * width, hidden_size)
        cells, pooled_cells = hidden_states.flatten(2).transpose(1, 2), pooled.flatten(2).transpose(1, 2)
        attention: Callable[..., tuple[torch.Tensor, torch.Tensor | None]] = eager_attention_forward
        if self.config._attn_implementation != "eager":
            attention = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        output, weights = attention(
            self,
            self._split_heads(self.q_proj(cells)),
            self._split_heads(self.k_proj(pooled_cells)),
            self._split_heads(self.v_proj(pooled_cells)),
            None,
            scaling=self.scaling,
            dropout=self.config.attention_dropout if self.training else 0.0,
        )
        output = self.o_proj(output.flatten(2))
        # (batch_size, height * width, hidden_size) -> (batch_size, hidden_size, height, width)
        return output.transpose(1, 2).unflatten(2, (height, width)), weights

    def _split_heads(self, cells: torch.Tensor) -> torch.Tensor:
        # (batch_size, length, hidden_size) -> (batch_size, num_heads, length, head_dim)
        heads: torch.Tensor = cells.unflatten(2, (self.num_heads, self.head_dim))
        return heads.transpose(1, 2)


class FDPGlobalAggregator(GradientCheckpointingLayer):
    """Global relational aggregator (the authors' `GFA`).

    Attention on most channels, a multi-head convolution on the rest, concatenation, MLP. The paper ends every stage
    with it; the released code defines but never builds it.
    """

    def __init__(self, config: FDPConfig, in_channels: int, stage: int, stride: int, drop_path: float) -> None:
        super().__init__()
        hidden_size = config.global_hidden_sizes[stage]
        attention_size = config.attention_size(stage)
        rest_size = hidden_size - attention_size
        self.patch_embedding = patch_embedding(in_channels, attention_size, stride)
        self.attention_norm = nn.BatchNorm2d(attention_size)
        self.attention = FDPAttention(config, attention_size, config.key_value_strides[stage])
        self.projection = FDPPatchEmbedding(attention_size, rest_size)
        self.convolution = FDPMultiHeadConvolution(rest_size, min(config.local_head_dim, rest_size))
        self.norm = nn.BatchNorm2d(hidden_size)
        self.mlp = FDPMLP(hidden_size, config.global_mlp_ratio)
        self.drop_path = FDPDropPath(drop_path)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch_size, in_channels, height, width) -> (batch_size, hidden_size, height / stride, width / stride)."""
        attended = self.patch_embedding(hidden_states)
        attended = attended + self.drop_path(self.attention(self.attention_norm(attended))[0])
        rest = self.projection(attended)
        rest = rest + self.drop_path(self.convolution(rest))
        hidden_states = torch.cat([attended, rest], dim=1)
        hidden_states = hidden_states + self.drop_path(self.mlp(self.norm(hidden_states)))
        return hidden_states


class FDPStage(nn.Module):
    """N_L local aggregators followed by N_G global ones; the first block changes width and size."""

    def __init__(self, config: FDPConfig, stage: int, in_channels: int, drop_path: list[float]) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for index, rate in enumerate(drop_path):
            stride = config.stage_strides[stage] if index == 0 else 1
            if index < config.local_depths[stage]:
                blocks.append(FDPLocalAggregator(config, in_channels, config.hidden_sizes[stage], stride, rate))
                in_channels = config.hidden_sizes[stage]
            else:
                blocks.append(FDPGlobalAggregator(config, in_channels, stage, stride, rate))
                in_channels = config.global_hidden_sizes[stage]
        self.blocks = nn.ModuleList(blocks)
        self.out_channels = in_channels

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch_size, in_channels, height, width) -> (batch_size, out_channels, height / stride, width / stride)."""
        for block in self.blocks:
            hidden_states = block(hidden_states)
        return hidden_states


class FDPPyramidHead(nn.Module):
    """Feature map of a frame: all stages resized to the first, `feature_size` channels, summed, normalised.

    The paper only names a "head block"; the released code averages the last 2x2 map and projects it to a vector that
    is then treated as an image. The fine maps are kept here, because a brow moves by a pixel.
    """

    def __init__(self, config: FDPConfig, stage_channels: list[int]) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, config.feature_size, 1, bias=False) for channels in stage_channels
        )
        self.norm = nn.BatchNorm2d(config.feature_size)

    def forward(self, stage_maps: list[torch.Tensor]) -> torch.Tensor:
        """Maps of all stages -> (batch_size, feature_size, height, width), not negative."""
        fused = self.laterals[-1](stage_maps[-1])
        for lateral, stage_map in zip(reversed(self.laterals[:-1]), reversed(stage_maps[:-1]), strict=True):
            scale = stage_map.shape[-1] // fused.shape[-1]
            if scale > 1:
                fused = F.interpolate(fused, scale_factor=float(scale), mode="nearest")
            fused = fused + lateral(stage_map)
        return F.relu(self.norm(fused))


class FDPVectorHead(nn.Module):
    """Batch norm, global average and a linear layer to `image_size ** 2` numbers, read as an image (released code)."""

    def __init__(self, config: FDPConfig, stage_channels: list[int]) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.norm = nn.BatchNorm2d(stage_channels[-1])
        self.projection = nn.Linear(stage_channels[-1], config.image_size**2)

    def forward(self, stage_maps: list[torch.Tensor]) -> torch.Tensor:
        """Maps of all stages -> (batch_size, 1, image_size, image_size)."""
        vector: torch.Tensor = self.projection(self.norm(stage_maps[-1]).mean((-2, -1)))
        image: torch.Tensor = vector.unflatten(1, (1, self.image_size, self.image_size))
        return image


class FDPFrameEncoder(nn.Module):
    """Stem, stages and head. All frames of all clips form one batch and are encoded independently."""

    def __init__(self, config: FDPConfig) -> None:
        super().__init__()
        in_channels = config.encoder_channels
        stem = []
        for out_channels, stride in zip(config.stem_channels, config.encoder_strides, strict=True):
            stem.append(FDPConvNormReLU(in_channels, out_channels, stride))
            in_channels = out_channels
        self.stem = nn.Sequential(*stem)
        depths = [
            n_local + n_global for n_local, n_global in zip(config.local_depths, config.global_depths, strict=True)
        ]
        num_blocks = sum(depths)
        rates = [config.drop_path_rate * index / max(num_blocks - 1, 1) for index in range(num_blocks)]
        stages, stage_channels = [], []
        for stage, depth in enumerate(depths):
            stages.append(FDPStage(config, stage, in_channels, rates[:depth]))
            rates = rates[depth:]
            in_channels = stages[-1].out_channels
            stage_channels.append(in_channels)
        self.stages = nn.ModuleList(stages)
        head = FDPPyramidHead if config.frame_head == "pyramid" else FDPVectorHead
        self.head = head(config, stage_channels)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes frames.

        Args:
            frames (`torch.FloatTensor` of shape `(num_images, encoder_channels, height, width)`): frames, moments or
                patterns.

        Returns:
            `tuple`: the feature map of each image, `(num_images, feature_size, map height, map width)`, and the stem's
            first map, `(num_images, stem_channels[0], stem height, stem width)`.
        """
        first, *others = self.stem
        detail = hidden_states = first(frames)
        for layer in others:
            hidden_states = layer(hidden_states)
        stage_maps = []
        for stage in self.stages:
            hidden_states = stage(hidden_states)
            stage_maps.append(hidden_states)
        return self.head(stage_maps), detail
