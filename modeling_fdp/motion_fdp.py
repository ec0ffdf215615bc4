"""Change since the first frame, in closed form: the stabilised difference and the motion of the skin.

Three steps without learned weights:

1. Stabilise the head: fit an affine motion, weighted around the face's centre, from the first to each later frame, and
   warp that frame back.
2. Fit every pixel over time, by least squares, with a pulse (rise and fall, as in a micro-expression), a drift (as of
   head and light) and a constant. The constant is left out, because it absorbs most of the first frame's noise, which
   is part of every difference to the first frame. The fitted curves are sampled at a few moments.
3. Estimate motion from these nearly noiseless pictures: Lucas-Kanade flow by the gradients of the mean frame.

Our choice: the field's oldest finding is that motion separates expressions better than pixels, and a small
network does not learn to divide by image gradients, nor to filter time, from two hundred clips (`docs/results.md`).

Lengths are fractions of the image's side, so that a clip has much the same channels at every size from 64 pixels on.
"""

import math
from collections.abc import Callable
from functools import lru_cache, reduce
from typing import NamedTuple

import torch
from torch.nn import functional as F

from .configuration_encoder_fdp import MOTION_LEAST_FRAMES
from .configuration_encoder_fdp import MOTION_STRIDE as STRIDE

Matrix = tuple[tuple[float, ...], ...]
# Standard deviations: of the windows in which the head's motion and the skin's are constant, and of the window around
# the face's centre in which the head's motion is fitted.
HEAD_MOTION_WINDOW = 1 / 16
MOTION_WINDOW = 1 / 24
HEAD_WINDOW = 1 / 5
HEAD_ITERATIONS = 4
ITERATIONS = 2
# Longest step of one iteration, and the motion that becomes tanh(1).
LONGEST_STEP = 1.5 / 64
MOTION_UNIT = 1 / 96
# Added to the structure tensor of pixels in [-1, 1], gradients per pixel, at a side of 64: skin without texture gets
# no motion from noise.
DAMPING = 2e-5
# Half waves from the first frame to the last that make up a pulse: the first has its apex in the middle, the second
# shifts it.
HALF_WAVES = (1, 2)


class Texture(NamedTuple):
    """Inputs of Lucas-Kanade steps, computed once per picture: gradients, inverse structure tensor."""

    gradient_x: torch.Tensor
    gradient_y: torch.Tensor
    inverse_xx: torch.Tensor
    inverse_yy: torch.Tensor
    inverse_xy: torch.Tensor
    window: float
    damping: float


def stabilize(frames: torch.Tensor, anchor: int = 0) -> torch.Tensor:
    """Warps all frames so that the head is where it is in one of them.

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`): square, in
            [-1, 1]; colours are averaged.
        anchor (`int`, *optional*, defaults to 0): 0-based number of that frame. The middle frame halves the largest
            motion by which frames are warped.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames, 1, height, width)`: single precision. Reliable where the
        head moves by up to about 1/16 of the side.

    Raises:
        ValueError: a side that is not a multiple of 4, which the coarser pictures cannot cover.
    """
    if frames.shape[-1] % STRIDE**2:
        raise ValueError(
            f"Frames must have a side that is a multiple of {STRIDE**2} pixels to stabilise the head, but "
            f"{frames.shape[-1]} was given; resize the frames."
        )
    # In single precision, also under autocast: half precision would round a motion of one gray level away.
    with torch.autocast(frames.device.type, enabled=False):
        planes = frames.float().mean(2)
        motion = head_motion(planes, anchor)
        still = resample_affine(_without(planes, anchor), motion)
        return torch.cat([still[:, :anchor], planes[:, anchor : anchor + 1], still[:, anchor:]], dim=1).unsqueeze(2)


def head_motion(planes: torch.Tensor, anchor: int) -> torch.Tensor:
    """Fits the head's affine motion from one frame to each of the others.

    Args:
        planes (`torch.FloatTensor` of shape `(batch_size, num_frames, height, width)`): square, in [-1, 1].
        anchor (`int`): 0-based number of that frame.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames - 1, 2, 3)`: as from `affine_motion`, in pixels of the
        frames.
    """
    # Half the resolution suffices for the affine motion of the head.
    small = block_means(planes)
    fixed, others = small[:, anchor : anchor + 1], _without(small, anchor)
    texture = texture_of(fixed, HEAD_MOTION_WINDOW)
    motion = planes.new_zeros(*others.shape[:2], 2, 3)
    for iteration in range(HEAD_ITERATIONS):
        moved = others if iteration == 0 else resample_affine(others, motion)
        motion = motion + affine_motion(displacement(texture, fixed - moved))
    return motion * STRIDE


def motion_channels(frames: torch.Tensor, difference_gain: float, num_moments: int) -> torch.Tensor:
    """Computes the change since the first of stabilised frames.

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, 1, height, width)`): from `stabilize`, evenly
            spread in time.
        difference_gain (`float`): the difference is multiplied by this before tanh.
        num_moments (`int`): moments at which the curves are sampled, evenly spaced up to the last frame; at the first
            frame all curves are zero.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_moments, 6, height / 2, width / 2)`: in [-1, 1]; pulse, then
        drift, of: difference to the first frame, motion to the right, motion downwards. Half the resolution, because
        motion is smooth. Zero for a clip in which nothing moves.
    """
    with torch.autocast(frames.device.type, enabled=False):
        planes = frames.squeeze(2)
        side = planes.shape[-1]
        fit = torch.tensor(pulse_and_drift(planes.shape[1], num_moments), device=planes.device, dtype=planes.dtype)
        # Not by einsum: torch 2.11 exports the strides of its result for one size of the batch only.
        curves = fit.transpose(0, 1).flatten(0, 1) @ (planes - planes[:, :1]).flatten(2)
        difference = curves.unflatten(2, planes.shape[2:])
        motion = motion_behind(planes.mean(1, keepdim=True), difference)
        # Remove the remaining head motion, which is estimated better from the fit of all frames than from one.
        motion = without_head(motion)
        shown = block_means(difference).unsqueeze(2) * difference_gain
        channels = torch.cat([shown, motion / (MOTION_UNIT * side)], dim=2)
        # (batch_size, num_moments * 2, 3, ...) -> (batch_size, num_moments, 6, ...)
        return torch.tanh(channels.unflatten(1, (num_moments, 2)).flatten(2, 3))


@lru_cache(maxsize=32)
def pulse_and_drift(num_frames: int, num_moments: int) -> tuple[Matrix, Matrix]:
    """Weights that compute pulse and drift of a curve from its samples, by least squares.

    Samples x_t, t from 0 to 1, are fitted by c + d t + sum_k a_k sin(k pi t). The pulse is the sum of sines, the drift
    d t; c, mostly the noise of the sample that all others refer to, is left out. Python floats, so that every exporter
    treats them as constants.

    Args:
        num_frames (`int`): samples, evenly spread over [0, 1]; at least 5.
        num_moments (`int`): moments to read: t = 1 / num_moments, 2 / num_moments, ... 1.

    Returns:
        `tuple` of two matrices of `num_moments` rows and `num_frames` columns.

    Raises:
        ValueError: fewer samples than that.
    """
    if num_frames < MOTION_LEAST_FRAMES:
        raise ValueError(
            f"A pulse is separated from drift by at least {MOTION_LEAST_FRAMES} frames, but {num_frames} were "
            "given; sample more."
        )
    functions = [_constant, _linear, *(_half_waves(number) for number in HALF_WAVES)]
    times = [index / (num_frames - 1) for index in range(num_frames)]
    samples = [[function(time) for time in times] for function in functions]
    # Gram-Schmidt: subtract from each function what the functions before it explain ...
    bases: list[list[float]] = []
    for values in samples:
        rest = values
        for basis in bases:
            rest = _subtracted(rest, _dot(rest, basis), basis)
        length = math.sqrt(_dot(rest, rest))
        bases.append([value / length for value in rest])
    # ... and backwards, from the last function: weights of the samples whose sum is the coefficient of a function.
    weights: dict[int, list[float]] = {}
    for index in reversed(range(len(functions))):
        unexplained = bases[index]
        for later, known in weights.items():
            unexplained = _subtracted(unexplained, _dot(bases[index], samples[later]), known)
        weights[index] = [value / _dot(bases[index], samples[index]) for value in unexplained]
    moments = [(index + 1) / num_moments for index in range(num_moments)]
    sines = range(len(functions) - len(HALF_WAVES), len(functions))
    pulse = tuple(
        tuple(sum(functions[sine](moment) * weights[sine][frame] for sine in sines) for frame in range(num_frames))
        for moment in moments
    )
    drift = tuple(tuple(moment * weight for weight in weights[1]) for moment in moments)
    return pulse, drift


def texture_of(picture: torch.Tensor, window: float) -> Texture:
    """Prepares Lucas-Kanade steps.

    Args:
        picture (`torch.FloatTensor` of shape `(batch_size, 1, height, width)`): picture whose motion is estimated, in
            [-1, 1].
        window (`float`): standard deviation of the window in which motion is constant, as a fraction of the side.

    Returns:
        `Texture`: gradients per pixel, inverse of the damped structure tensor at half the resolution.
    """
    side = picture.shape[-1]
    window, damping = window * side, DAMPING * (64 / side) ** 2
    # Central differences by hand: torch.gradient cannot be exported with a batch of any size.
    padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    gradient_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    gradient_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    tensor_xx = smooth(gradient_x.square(), window, STRIDE) + damping
    tensor_yy = smooth(gradient_y.square(), window, STRIDE) + damping
    tensor_xy = smooth(gradient_x * gradient_y, window, STRIDE)
    scale = 1 / (tensor_xx * tensor_yy - tensor_xy.square())
    return Texture(gradient_x, gradient_y, tensor_yy * scale, tensor_xx * scale, -tensor_xy * scale, window, damping)


def displacement(texture: Texture, change: torch.Tensor, so_far: torch.Tensor | None = None) -> torch.Tensor:
    """One damped Lucas-Kanade step.

    Args:
        texture (`Texture`): of the picture that moves.
        change (`torch.FloatTensor` of shape `(batch_size, num_pictures, height, width)`): that picture minus the later
            one, warped back by the motion so far.
        so_far (`torch.FloatTensor` of shape `(batch_size, num_pictures, 2, height / 2, width / 2)`, *optional*):
            result of earlier steps, included in the damping term, so that damping acts on the total displacement, not
            on each step.

    Returns:
        `torch.FloatTensor` of the shape of `so_far`: the step to add to `so_far`, in pixels of the picture to the
        right and downwards.
    """
    x = smooth(texture.gradient_x * change, texture.window, STRIDE)
    y = smooth(texture.gradient_y * change, texture.window, STRIDE)
    if so_far is not None:
        x, y = x - texture.damping * so_far[:, :, 0], y - texture.damping * so_far[:, :, 1]
    longest = LONGEST_STEP * change.shape[-1]
    step_x = texture.inverse_xx * x + texture.inverse_xy * y
    step_y = texture.inverse_xy * x + texture.inverse_yy * y
    return torch.stack([step_x, step_y], dim=2).clamp(-longest, longest)


def motion_behind(picture: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
    """Estimates the displacement behind a change of a picture.

    Args:
        picture (`torch.FloatTensor` of shape `(batch_size, 1, height, width)`): in [-1, 1].
        difference (`torch.FloatTensor` of shape `(batch_size, num_pictures, height, width)`): the change.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_pictures, 2, height / 2, width / 2)`: pixels of the picture to
        the right and downwards. Underestimated where there is no texture; meant for motions of up to about two pixels
        at a side of 64.
    """
    texture = texture_of(picture, MOTION_WINDOW)
    motion = displacement(texture, -difference)
    for _ in range(ITERATIONS - 1):
        moved = resample(picture + difference, enlarge(motion))
        motion = motion + displacement(texture, picture - moved, motion)
    return motion


def affine_motion(flow: torch.Tensor) -> torch.Tensor:
    """Fits an affine motion, the head's, to a flow around the middle of the image.

    Args:
        flow (`torch.FloatTensor` of shape `(batch_size, num_pictures, 2, height, width)`): pixels.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_pictures, 2, 3)`: of motion to the right and downwards the value
        in the middle, and the growth across the image from left to right and from top to bottom.
    """
    place = _place(flow.shape[-1], flow)
    weight = torch.exp(-0.5 * (place / HEAD_WINDOW).square())
    weight = weight / weight.sum()
    slope = weight * place / (weight * place.square()).sum()
    # The window is symmetric, so 1, x and y are orthogonal under it, and no equations have to be solved.
    terms = [(weight, weight), (weight, slope), (slope, weight)]
    fit = torch.stack([along_y[:, None] * along_x for along_y, along_x in terms], dim=-1)
    motion: torch.Tensor = flow.flatten(3) @ fit.flatten(0, 1)
    return motion


def without_head(flow: torch.Tensor) -> torch.Tensor:
    """Subtracts the affine motion around the face's centre, which is the head's, from a flow.

    Args:
        flow (`torch.FloatTensor` of shape `(batch_size, num_pictures, 2, side, side)`): pixels.

    Returns:
        `torch.FloatTensor` of the same shape.
    """
    motion = affine_motion(flow).flatten(0, 2)
    planes = torch.addmm(flow.flatten(0, 2).flatten(1), motion, _affine_terms(flow.shape[-1], flow), alpha=-1)
    return planes.view_as(flow)


def resample(planes: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Samples planes at positions displaced by the flow; edges are repeated outside.

    Args:
        planes (`torch.FloatTensor` of shape `(batch_size, num_frames, height, width)`): planes to sample.
        flow (`torch.FloatTensor` of shape `(batch_size, num_frames, 2, height, width)`): pixels.

    Returns:
        `torch.FloatTensor` of the shape of `planes`.
    """
    height, width = planes.shape[-2:]
    x, y = 2 * _place(width, planes), 2 * _place(height, planes)
    place = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    unit = torch.tensor([2 / width, 2 / height], device=flow.device, dtype=flow.dtype)[:, None, None]
    return _read_at(planes, torch.addcmul(place, flow, unit))


def resample_affine(planes: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
    """Samples square planes at positions displaced by an affine motion, as `resample` does by a flow.

    Args:
        planes (`torch.FloatTensor` of shape `(batch_size, num_frames, side, side)`): planes to sample.
        motion (`torch.FloatTensor` of shape `(batch_size, num_frames, 2, 3)`): from `affine_motion`, pixels.

    Returns:
        `torch.FloatTensor` of the shape of `planes`.
    """
    side = planes.shape[-1]
    at_rest = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 2.0]], device=motion.device, dtype=motion.dtype)
    # One product of matrices, because a field of motion and its sum with the places are two more passes over memory.
    return _read_at(planes, ((2 / side) * motion + at_rest) @ _affine_terms(side, motion))


def _read_at(planes: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Samples planes at places from -1 to 1, x then y, of `2 * height * width` values per plane."""
    height, width = planes.shape[-2:]
    # A view whose two coordinates lie in planes, because interleaving them copies the places.
    grid = places.reshape(-1, 2, height, width).permute(0, 2, 3, 1)
    read = F.grid_sample(planes.flatten(0, 1).unsqueeze(1), grid, padding_mode="border", align_corners=False)
    return read.view_as(planes)


def block_means(planes: torch.Tensor, size: int = STRIDE) -> torch.Tensor:
    """Means over blocks of cells; on a CPU ten times as fast as average pooling.

    Args:
        planes (`torch.FloatTensor` of shape `(..., height, width)`): sides are multiples of `size`.
        size (`int`, *optional*, defaults to 2): cells along the side of a block.

    Returns:
        `torch.FloatTensor` of shape `(..., height / size, width / size)`.
    """
    rows = reduce(torch.add, [planes[..., row::size, :] for row in range(size)])
    return reduce(torch.add, [rows[..., column::size] for column in range(size)]) / size**2


def smooth(planes: torch.Tensor, deviation: float, stride: int = 1) -> torch.Tensor:
    """Gaussian smoothing of square planes; the kernel is cut at three deviations and normalised at the edges.

    Computed as two matrix products: four times as fast on a CPU as a convolution of one channel.

    Args:
        planes (`torch.FloatTensor` of shape `(..., side, side)`): planes to smooth.
        deviation (`float`): in cells of the planes.
        stride (`int`, *optional*, defaults to 1): one cell is computed per block of `stride` x `stride`, at its
            centre.

    Returns:
        `torch.FloatTensor` of shape `(..., side / stride, side / stride)`.
    """
    side = planes.shape[-1]
    position = torch.arange(side, device=planes.device, dtype=planes.dtype)
    centre = torch.arange(side // stride, device=planes.device, dtype=planes.dtype) * stride + (stride - 1) / 2
    distance = (centre[:, None] - position).abs()
    kernel = torch.exp(-0.5 * (distance / deviation).square()) * (distance <= 3 * deviation + 0.5)
    kernel = kernel / kernel.sum(1, keepdim=True)
    return kernel @ planes @ kernel.T


def enlarge(flow: torch.Tensor) -> torch.Tensor:
    """Bilinear interpolation of a flow to the frames' own resolution; vectors keep their length.

    Args:
        flow (`torch.FloatTensor` of shape `(batch_size, num_frames, 2, height / 2, width / 2)`): pixels of the frames.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames, 2, height, width)`.
    """
    side = flow.shape[-1]
    position = torch.arange(side * STRIDE, device=flow.device, dtype=flow.dtype)
    position = ((position + 0.5) / STRIDE - 0.5).clamp(0, side - 1)
    distance = (position[:, None] - torch.arange(side, device=flow.device, dtype=flow.dtype)).abs()
    kernel = (1 - distance).clamp(min=0)
    return kernel @ flow @ kernel.T


def _without(planes: torch.Tensor, number: int) -> torch.Tensor:
    """All frames but one."""
    return planes[:, 1:] if number == 0 else torch.cat([planes[:, :number], planes[:, number + 1 :]], dim=1)


def _constant(time: float) -> float:
    return 1.0


def _linear(time: float) -> float:
    return time


def _half_waves(number: int) -> Callable[[float], float]:
    return lambda time: math.sin(number * math.pi * time)


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _subtracted(values: list[float], share: float, other: list[float]) -> list[float]:
    return [a - share * b for a, b in zip(values, other, strict=True)]


def _affine_terms(side: int, like: torch.Tensor) -> torch.Tensor:
    """1, x and y at every pixel: (3, side * side)."""
    x = _place(side, like).expand(side, side)
    return torch.stack([torch.ones_like(x), x, x.T]).flatten(1)


def _place(side: int, like: torch.Tensor) -> torch.Tensor:
    """Centres of pixels along an image of side 1 around 0, the same at every resolution."""
    return (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) / side - 0.5
