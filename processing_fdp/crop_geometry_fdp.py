"""From five landmarks to aligned crops: the geometry of the crop and the resampling.

Landmarks are float arrays (5, 2) of pixels (x, y), pixel centres at whole numbers, in the order left eye, right eye,
nose tip, left mouth corner, right mouth corner; left and right as seen in the image. A transform is a (2, 3) matrix
that takes a pixel (x, y, 1) of the crop to a pixel of the frame.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from .frame_source_fdp import VideoReadError

LANDMARK_NAMES = ("left_eye", "right_eye", "nose_tip", "left_mouth_corner", "right_mouth_corner")
# Outside the frame the crop is mid-gray, 0 after normalisation (released code: a border of gray 128).
BORDER_VALUE = 128
# Frames resampled at once; results do not depend on it.
_WARP_FRAMES = 64


class AlignmentError(VideoReadError):
    """The alignment settings cannot be used: a module, a model file or a landmark table is missing or unusable.

    A subclass of `VideoReadError`, so that handlers of unreadable clips catch it as well.
    """


class FaceNotFoundError(ValueError):
    """The alignment found no face.

    Args:
        message (`str`): One sentence with the remedy.
        clip (`str`, *optional*): The clip.
        frame (`int`, *optional*): 0-based frame of the clip.
    """

    def __init__(self, message: str, clip: str | None = None, frame: int | None = None) -> None:
        super().__init__(message)
        self.clip = clip
        self.frame = frame


def check_landmarks(landmarks: object, name: str) -> np.ndarray:
    """Convert landmarks to float64 and check their shape.

    Args:
        landmarks (`array-like` of shape `(5, 2)` or `(count, 5, 2)`): Points in the order of this file's docstring.
        name (`str`): Name of the clip in errors.

    Returns:
        `np.ndarray` of the same shape: float64.

    Raises:
        AlignmentError: If the shape differs or a value is not finite.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim not in (2, 3) or points.shape[-2:] != (5, 2) or 0 in points.shape or not np.isfinite(points).all():
        raise AlignmentError(
            f"landmarks are (5, 2) or (frames, 5, 2) finite pixels (x, y), but {name!r} has shape {points.shape}; "
            f"give {', '.join(LANDMARK_NAMES)}"
        )
    return points


def crop_transform(landmarks: np.ndarray, size_hw: tuple[int, int], crop_scale: float) -> np.ndarray:
    """Similarity transform of the crop: eyes level, a square around eyes, nose tip and mouth corners.

    The square's side is the largest extent over the five points times `crop_scale`, as in the authors' crop. It is
    centred on the middle of their extent, which the authors do not state (our choice).

    Args:
        landmarks (`np.ndarray` of shape `(5, 2)`): Points in the order of this file's docstring.
        size_hw (`tuple[int, int]`): Height and width of the crop; the square fills the shorter side.
        crop_scale (`float`): Side of the square over the largest extent.

    Returns:
        `np.ndarray` of shape `(2, 3)`: float64, crop pixels to frame pixels.

    Raises:
        AlignmentError: If the points coincide.
    """
    across = landmarks[1] - landmarks[0]
    angle = math.atan2(across[1], across[0])
    cosine, sine = math.cos(angle), math.sin(angle)
    # Columns are the axes of the levelled face in the frame.
    axes = np.array([[cosine, -sine], [sine, cosine]])
    levelled = landmarks @ axes
    low, high = levelled.min(axis=0), levelled.max(axis=0)
    extent = float((high - low).max())
    if extent < 1e-6:
        raise AlignmentError(f"landmarks must span the face, but all lie at {landmarks[0]}; detect them again")
    centre = axes @ ((low + high) / 2)
    height, width = size_hw
    linear = axes * (extent * crop_scale / min(height, width))
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.concatenate([linear, (centre - linear @ middle)[:, None]], axis=1)


def frame_transform(frame_hw: tuple[int, int], size_hw: tuple[int, int]) -> np.ndarray:
    """Transform that stretches the whole frame onto the crop, edge to edge.

    Args:
        frame_hw (`tuple[int, int]`): Height and width of the frame.
        size_hw (`tuple[int, int]`): Height and width of the crop.

    Returns:
        `np.ndarray` of shape `(2, 3)`: float64, crop pixels to frame pixels.
    """
    scale_y, scale_x = frame_hw[0] / size_hw[0], frame_hw[1] / size_hw[1]
    return np.array([[scale_x, 0.0, scale_x / 2 - 0.5], [0.0, scale_y, scale_y / 2 - 0.5]])


def centre_transform(frame_hw: tuple[int, int], size_hw: tuple[int, int]) -> np.ndarray:
    """Transform of the largest square in the middle of the frame, for clips without a face.

    Args:
        frame_hw (`tuple[int, int]`): Height and width of the frame.
        size_hw (`tuple[int, int]`): Height and width of the crop.

    Returns:
        `np.ndarray` of shape `(2, 3)`: float64, crop pixels to frame pixels.
    """
    scale = min(frame_hw) / min(size_hw)
    offset = [(frame - 1) / 2 - scale * (size - 1) / 2 for frame, size in zip(frame_hw, size_hw, strict=True)]
    return np.array([[scale, 0.0, offset[1]], [0.0, scale, offset[0]]])


def resize_frames(frames: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    """Resize whole frames; bilinear with antialiasing, because aliased texture would seem to move.

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): uint8.
        size_hw (`tuple[int, int]`): Height and width of the result.

    Returns:
        `torch.Tensor` of shape `(num_frames, *size_hw)`: uint8, rounded once.
    """
    if tuple(frames.shape[1:]) == tuple(size_hw):
        return frames
    resized = F.interpolate(frames[:, None].float(), size=size_hw, mode="bilinear", antialias=True)
    return _round(resized[:, 0])


def shrink_transforms(transforms: np.ndarray, divisor: int) -> np.ndarray:
    """Transforms into frames that were divided by a whole number.

    Args:
        transforms (`np.ndarray` of shape `(..., 2, 3)`): Crop pixels to frame pixels.
        divisor (`int`): Frame pixels per pixel of the divided frame, along each side.

    Returns:
        `np.ndarray` of the same shape: Crop pixels to pixels of the divided frame.
    """
    shrunk = transforms / divisor
    # Pixel centres at whole numbers: centre x of a frame is (x + 0.5) / divisor - 0.5 of the divided one.
    shrunk[..., 2] += 0.5 / divisor - 0.5
    return shrunk


def pitch_of(transforms: np.ndarray) -> float:
    """Frame pixels per crop pixel of the first transform, by which all frames of a clip are filtered."""
    return float(np.linalg.norm(transforms.reshape(-1, 2, 3)[0, :, :2], axis=0).mean())


def warp_frames(
    frames: torch.Tensor, transforms: np.ndarray, size_hw: tuple[int, int], pitch: float | None = None
) -> torch.Tensor:
    """Resample frames through affine transforms, antialiased, and round once.

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): uint8.
        transforms (`np.ndarray` of shape `(2, 3)` or `(num_frames, 2, 3)`): Crop pixels to frame pixels.
        size_hw (`tuple[int, int]`): Height and width of the crops.
        pitch (`float`, *optional*): `pitch_of` the whole clip, where `frames` is a part of it.

    Returns:
        `torch.Tensor` of shape `(num_frames, *size_hw)`: uint8; `BORDER_VALUE` outside the frame.
    """
    return _round(sample_frames(frames, transforms, size_hw, pitch) + BORDER_VALUE)


def _round(values: torch.Tensor) -> torch.Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)


def sample_frames(
    frames: torch.Tensor,
    transforms: np.ndarray,
    size_hw: tuple[int, int],
    pitch: float | None = None,
    samples: int | None = None,
) -> torch.Tensor:
    """Resample frames through affine transforms without rounding.

    A crop pixel that covers many frame pixels is their mean: whole blocks of frame pixels are averaged first, then
    each crop pixel is the mean of `k` x `k` bilinear samples.

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): uint8.
        transforms (`np.ndarray` of shape `(2, 3)` or `(num_frames, 2, 3)`): Crop pixels to frame pixels.
        size_hw (`tuple[int, int]`): Height and width of the crops.
        pitch (`float`, *optional*): `pitch_of` the whole clip, where `frames` is a part of it.
        samples (`int`, *optional*):
            `k`; 2 or 3 by default, depending on the crop. 1 is three times as fast, and enough for a network that was
            trained on bilinear samples.

    Returns:
        `torch.Tensor` of shape `(num_frames, *size_hw)`: float32, less `BORDER_VALUE`, so 0 outside the frame.
    """
    pitch = pitch_of(transforms) if pitch is None else pitch
    if transforms.ndim == 3 and len(frames) > _WARP_FRAMES:
        parts = [slice(start, start + _WARP_FRAMES) for start in range(0, len(frames), _WARP_FRAMES)]
        return torch.cat([sample_frames(frames[part], transforms[part], size_hw, pitch, samples) for part in parts])
    if samples is None:
        # Powers of two, so that frames halved while decoding are filtered alike; the rest is 2 or 3 samples.
        block = max(1, 2 ** math.floor(math.log2(pitch / 1.5)))
        samples = max(1, round(pitch / block))
    else:
        block = max(1, math.floor(pitch / samples))
    left, top, region = _covered_region(frames, transforms, size_hw, block)
    grid = _sampling_grid(transforms, (left, top), block, region.shape[1:], size_hw, samples).to(frames.device)
    if transforms.ndim == 2:
        # Frames are channels, so that the weights of a sample are computed once for all of them.
        sampled = F.grid_sample(region[None], grid[None], padding_mode="zeros", align_corners=False)[0]
    else:
        sampled = F.grid_sample(region[:, None], grid, padding_mode="zeros", align_corners=False)[:, 0]
    return _block_sums(sampled, samples) / (samples * samples)


def _sampling_grid(
    transforms: np.ndarray,
    origin_xy: tuple[int, int],
    block: int,
    region_hw: tuple[int, ...],
    size_hw: tuple[int, int],
    samples: int,
) -> torch.Tensor:
    """Where each crop pixel is sampled, in grid_sample's -1..1 (edge to edge) of the pooled region."""
    scale = np.array([2 / (block * region_hw[1]), 2 / (block * region_hw[0])])
    matrix = transforms * scale[:, None]
    matrix[..., 2] -= (np.array(origin_xy) - 0.5) * scale + 1
    # Written out by element: a matrix product may round differently with the number of frames.
    coefficients = torch.from_numpy(matrix.astype(np.float32))[..., None, None]
    rows = (torch.arange(size_hw[0] * samples, dtype=torch.float32)[:, None] + 0.5) / samples - 0.5
    columns = (torch.arange(size_hw[1] * samples, dtype=torch.float32)[None] + 0.5) / samples - 0.5
    axes = [
        coefficients[..., axis, 0, :, :] * columns
        + coefficients[..., axis, 1, :, :] * rows
        + coefficients[..., axis, 2, :, :]
        for axis in (0, 1)
    ]
    return torch.stack(axes, dim=-1)


def _covered_region(
    frames: torch.Tensor, transforms: np.ndarray, size_hw: tuple[int, int], block: int
) -> tuple[int, int, torch.Tensor]:
    """Cut out the region of the samples and average its blocks: left, top, means (float32) less the border value."""
    height, width = frames.shape[1:]
    corners = np.array([[x, y, 1.0] for x in (-0.5, size_hw[1] - 0.5) for y in (-0.5, size_hw[0] - 0.5)])
    reach = (transforms @ corners.T).swapaxes(-1, -2).reshape(-1, 2)
    low = np.floor(reach.min(axis=0)).astype(int) - block
    high = np.ceil(reach.max(axis=0)).astype(int) + block + 1
    # A crop wholly outside the frame gets one block, from which no sample reads.
    left, top = (int(min(max(low[i], 0), (width, height)[i] - 1)) // block * block for i in (0, 1))
    right, bottom = (int(max(min(high[i], (width, height)[i]), (left, top)[i] + 1)) for i in (0, 1))
    region = frames[:, top:bottom, left:right]
    missing = (-(right - left) % block, -(bottom - top) % block)
    if any(missing):
        region = F.pad(region, (0, missing[0], 0, missing[1]), value=BORDER_VALUE)
    # Integers as long as possible, in the smallest type that holds their sum.
    sums = _block_sums(region, block)
    return left, top, sums.to(torch.float32) / (block * block) - BORDER_VALUE


def _block_sums(values: torch.Tensor, block: int) -> torch.Tensor:
    """Sum of blocks of pixels; sums of strided views are several times faster here than a pooling kernel."""
    if block == 1:
        return values
    wide = values.dtype
    if wide == torch.uint8:
        wide = torch.int16 if block <= 11 else torch.int32
    rows = values[:, ::block].to(wide)
    for start in range(1, block):
        rows = rows + values[:, start::block]
    both = rows[..., ::block]
    for start in range(1, block):
        both = both + rows[..., start::block]
    return both
