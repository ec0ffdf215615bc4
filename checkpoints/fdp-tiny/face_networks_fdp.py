"""The two networks of the face mesh: BlazeFace finds faces, FaceMesh places 468 points on one.

Both are MediaPipe's, rewritten as torch modules; `tools/convert_face_mesh.py` takes the weights from the wheel
`mediapipe==0.10.21` (Apache-2.0, see `FACE_MESH_NOTICE.md`). BlazeFace: Bazarevsky et al. 2019, arXiv 1907.05047,
short range; FaceMesh: Kartynnik et al. 2019, arXiv 1907.06724. Channels, strides and heads are those of MediaPipe's
model files.
"""

import functools
import os
import shutil

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

WEIGHTS_NAME = "face_mesh.safetensors"
# Saved with the weights: their source and licence.
NOTICE_NAMES = ("FACE_MESH_NOTICE.md", "FACE_MESH_LICENSE.txt")
NUM_POINTS = 468
# Sides of the square inputs, in pixels.
DETECTOR_SIZE = 128
MESH_SIZE = 192
# The detector's outputs are on two grids: cells along a side, and boxes in each cell.
DETECTOR_GRIDS = ((16, 2), (8, 6))
# A box: middle, width and height, then six points (x, y): two eyes, nose tip, mouth, two ears.
DETECTOR_VALUES = 16


def _pad_same(images: torch.Tensor, kernel_size: int, stride: int) -> torch.Tensor:
    """Pad as TensorFlow's "SAME": an odd remainder is added on the right and below."""
    pads = [max((-(-side // stride) - 1) * stride + kernel_size - side, 0) for side in images.shape[:-3:-1]]
    return F.pad(images, [amount for pad in pads for amount in (pad // 2, pad - pad // 2)])


class ResidualBlock(nn.Module):
    """Depthwise 3 x 3 and pointwise convolution beside a shortcut, then an activation.

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the output, at least `in_channels`; the shortcut is 0 in the added ones.
        stride (`int`): 1 or 2; with 2 the shortcut is max-pooled.
        activation (`nn.Module`): Applied to the sum.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, activation: nn.Module) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - in_channels
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, 3, stride, padding=1 if stride == 1 else 0, groups=in_channels
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)
        self.activation = activation

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map (batch_size, in_channels, height, width) to (batch_size, out_channels, height / stride, ...)."""
        padded, shortcut = hidden_states, hidden_states
        if self.stride == 2:
            padded, shortcut = _pad_same(hidden_states, 3, 2), F.max_pool2d(hidden_states, 2)
        if self.new_channels:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        activated: torch.Tensor = self.activation(shortcut + self.pointwise(self.depthwise(padded)))
        return activated


class BlazeFace(nn.Module):
    """Short-range face detector: 896 boxes with six points each."""

    # Output channels of the blocks, and indices of the blocks that halve the map.
    CHANNELS = (24, 28, 32, 36, 42, 48, 56, 64, 72, 80, 88, 96, 96, 96, 96, 96)
    HALVING = (2, 5, 11)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, self.CHANNELS[0], 5, 2)
        inputs = (self.CHANNELS[0], *self.CHANNELS[:-1])
        blocks = [
            ResidualBlock(before, after, 2 if index in self.HALVING else 1, nn.ReLU())
            for index, (before, after) in enumerate(zip(inputs, self.CHANNELS, strict=True))
        ]
        self.fine, self.coarse = nn.Sequential(*blocks[:11]), nn.Sequential(*blocks[11:])
        channels = (self.CHANNELS[10], self.CHANNELS[-1])
        self.score_heads = nn.ModuleList(
            nn.Conv2d(width, boxes, 1) for width, (_, boxes) in zip(channels, DETECTOR_GRIDS, strict=True)
        )
        self.box_heads = nn.ModuleList(
            nn.Conv2d(width, boxes * DETECTOR_VALUES, 1)
            for width, (_, boxes) in zip(channels, DETECTOR_GRIDS, strict=True)
        )

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Score and place every box.

        Args:
            pixel_values (`torch.Tensor` of shape `(batch_size, 3, 128, 128)`): float32, RGB in [-1, 1].

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: Scores before the sigmoid `(batch_size, 896)`, and boxes
            `(batch_size, 896, 16)` in pixels, relative to the middles of `detector_anchors`.
        """
        fine = self.fine(F.relu(self.stem(_pad_same(pixel_values, 5, 2))))
        maps = (fine, self.coarse(fine))
        # (batch_size, boxes * values, rows, columns) -> (batch_size, rows * columns * boxes, values)
        scores = [
            head(hidden).permute(0, 2, 3, 1).flatten(1) for head, hidden in zip(self.score_heads, maps, strict=True)
        ]
        boxes = [
            head(hidden).permute(0, 2, 3, 1).reshape(len(hidden), -1, DETECTOR_VALUES)
            for head, hidden in zip(self.box_heads, maps, strict=True)
        ]
        return torch.cat(scores, dim=1), torch.cat(boxes, dim=1)


def detector_anchors() -> torch.Tensor:
    """Middles of the cells that the boxes of `BlazeFace` belong to: `(896, 2)`, float32, pixels (x, y) of 128."""
    middles = []
    for cells, boxes in DETECTOR_GRIDS:
        steps = (torch.arange(cells, dtype=torch.float32) + 0.5) * (DETECTOR_SIZE / cells)
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        middles.append(torch.stack([columns, rows], dim=-1).reshape(-1, 2).repeat_interleave(boxes, dim=0))
    return torch.cat(middles)


class FaceMesh(nn.Module):
    """Places 468 points on the face in a square, and scores the presence of a face."""

    # Channels and stride of the blocks before the heads.
    BLOCKS = (
        *((16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1)),
        *((128, 2), (128, 1), (128, 1), (128, 2), (128, 1), (128, 1)),
    )
    HEAD_CHANNELS = 32

    def __init__(self) -> None:
        super().__init__()
        channels = self.BLOCKS[0][0]
        self.stem = nn.Conv2d(3, channels, 3, 2)
        self.stem_activation = nn.PReLU(channels)
        blocks = []
        for width, stride in self.BLOCKS:
            blocks.append(ResidualBlock(channels, width, stride, nn.PReLU(width)))
            channels = width
        self.trunk = nn.Sequential(*blocks)
        self.points_head = self._head(channels, num_blocks=3, num_values=3 * NUM_POINTS)
        self.presence_head = self._head(channels, num_blocks=1, num_values=1)

    @classmethod
    def _head(cls, channels: int, num_blocks: int, num_values: int) -> nn.Sequential:
        narrow = cls.HEAD_CHANNELS
        blocks = [
            ResidualBlock(channels, channels, 1 if index else 2, nn.PReLU(channels)) for index in range(num_blocks)
        ]
        return nn.Sequential(
            *blocks,
            nn.Conv2d(channels, narrow, 1),
            nn.PReLU(narrow),
            ResidualBlock(narrow, narrow, 1, nn.PReLU(narrow)),
            nn.Conv2d(narrow, num_values, 3),
        )

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Place the points.

        Args:
            pixel_values (`torch.Tensor` of shape `(batch_size, 3, 192, 192)`): float32, RGB in [0, 1].

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: Points `(batch_size, 468, 3)` in pixels of the input (x, y from its
            upper left edge; z towards the camera is negative, in the scale of x), and the presence of a face before
            the sigmoid, `(batch_size,)`.
        """
        hidden_states = self.trunk(self.stem_activation(self.stem(_pad_same(pixel_values, 3, 2))))
        points = self.points_head(hidden_states).reshape(-1, NUM_POINTS, 3)
        return points, self.presence_head(hidden_states).flatten()


class FaceNetworks(nn.Module):
    """Both networks, as one file of weights holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = BlazeFace()
        self.mesh = FaceMesh()


def packaged_weights() -> str:
    """Path of the weights beside this file, which need not exist."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), WEIGHTS_NAME)


def copy_weights(weights: str, folder: str | os.PathLike[str]) -> list[str]:
    """Copy weights and licence into a folder, without their mode, because files of a cache may be read-only.

    Args:
        weights (`str`): Path of the weights; files that do not exist are not copied.
        folder (`str` or `os.PathLike`): Target.

    Returns:
        `list[str]`: Paths of the copies.
    """
    copies = []
    for name in (WEIGHTS_NAME, *NOTICE_NAMES):
        original, copy = os.path.join(os.path.dirname(weights), name), os.path.join(folder, name)
        if not os.path.isfile(original):
            continue
        if not os.path.exists(copy) or not os.path.samefile(original, copy):
            shutil.copyfile(original, copy)
        copies.append(copy)
    return copies


@functools.lru_cache(maxsize=2)
def load_face_networks(path: str) -> FaceNetworks:
    """Load both networks for inference on the CPU in single precision; each process loads them once.

    Args:
        path (`str`): `face_mesh.safetensors`.

    Returns:
        `FaceNetworks`: In evaluation mode, without gradients.

    Raises:
        OSError: If the file cannot be read.
        SafetensorError: If it is no safetensors file.
        RuntimeError: If it holds other weights.
    """
    networks = FaceNetworks()
    networks.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
    return networks.eval().requires_grad_(False).to(memory_format=torch.channels_last)
