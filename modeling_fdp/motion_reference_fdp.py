"""What a clip shows beyond its first frame, in closed form: the stabilised difference and the motion of the skin.

No weights. Lucas-Kanade flow from the first frame to every other, by the first frame's gradients throughout, is split
into the affine motion of the whole face, which is taken off, and the rest, which is the expression. Over time, every
place of the face is then split by least squares into a pulse, which rises and falls, and a drift, which goes one way:
a micro-expression is a pulse, head and light drift, and a constant, which is left out, takes most of the noise of the
first frame, which every difference to it repeats. What the encoder sees are the fitted curves, free of most of the
noise of single frames.

Our choice: the field's oldest finding is that motion tells expressions apart better than pixels do, and a small
network does not learn to divide by image gradients, nor to filter time, from two hundred clips (`docs/results.md`).

Lengths are fractions of the image's side, so that a clip has much the same channels at every size from 64 pixels on.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch.nn import functional as F

from .configuration_fdp import MOTION_LEAST_FRAMES
from .configuration_fdp import MOTION_STRIDE as STRIDE

Matrix = tuple[tuple[float, ...], ...]
# Standard deviations: of the smoothing before gradients are taken, of the window in which motion is constant, and of
# the window around the middle of the face that says what the whole head does.
PRE_SMOOTHING = 1 / 80
MOTION_WINDOW = 1 / 24
HEAD_WINDOW = 1 / 5
ITERATIONS = 3
# Longest step of one iteration, and the motion that becomes tanh(1).
LONGEST_STEP = 1.5 / 64
MOTION_UNIT = 1 / 96
# Added to the structure tensor of pixels in [-1, 1], gradients per pixel, at a side of 64: skin without texture keeps
# still instead of following its noise.
DAMPING = 2e-5
# Half waves from the first frame to the last that make up a pulse: one puts the apex in the middle, two move it.
HALF_WAVES = (1, 2)


def motion_channels(frames: torch.Tensor, difference_gain: float, num_moments: int) -> torch.Tensor:
    """Turns frames into what happened since the first one.

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`): square, evenly
            spread in time, in [-1, 1]; colours are averaged.
        difference_gain (`float`): the stabilised difference is multiplied by this before tanh.
        num_moments (`int`): moments at which the curves are read, evenly spread up to the last frame; at the first
            frame all curves are zero.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_moments, 6, height / 2, width / 2)`: in [-1, 1]; pulse, then
        drift, of: difference to the first frame once the head is held still, motion to the right, motion downwards.
        Half the resolution, because motion is smooth. Zero for a clip in which nothing moves.
    """
    # In single precision, also under autocast: half precision would round a motion of one gray level away.
    with torch.autocast(frames.device.type, enabled=False):
        planes = frames.float().mean(2)
        first, later = planes[:, :1], planes[:, 1:]
        side = planes.shape[-1]
        flow = motion_since(first, later)
        head = affine_part(flow)
        difference = F.avg_pool2d(resample(later, enlarge(head)) - first, STRIDE)
        tracks = torch.cat([difference.unsqueeze(2) * difference_gain, (flow - head) / (MOTION_UNIT * side)], dim=2)
        fit = torch.tensor(pulse_and_drift(frames.shape[1], num_moments), device=planes.device, dtype=planes.dtype)
        # The first frame's own difference is zero and adds nothing to a sum.
        fitted = torch.einsum("kmt,btchw->bmkchw", fit[..., 1:], tracks)
        return torch.tanh(fitted.flatten(2, 3))


@lru_cache(maxsize=32)
def pulse_and_drift(num_frames: int, num_moments: int) -> tuple[Matrix, Matrix]:
    """Weights that read pulse and drift of a curve off its samples, by least squares.

    Samples x_t, t from 0 to 1, are fitted by c + d t + sum_k a_k sin(k pi t). The pulse is the sum of sines, the drift
    d t; c, mostly the noise of the sample that all others refer to, is left out. Plain numbers, so that every exporter
    takes them for constants.

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
            f"A pulse is told from drift and noise by at least {MOTION_LEAST_FRAMES} frames, but {num_frames} were "
            "given; sample more."
        )
    functions = [_constant, _linear, *(_half_waves(number) for number in HALF_WAVES)]
    times = [index / (num_frames - 1) for index in range(num_frames)]
    samples = [[function(time) for time in times] for function in functions]
    # Gram-Schmidt: of each function the part that those before it do not explain ...
    bases: list[list[float]] = []
    for values in samples:
        rest = values
        for basis in bases:
            rest = _less(rest, _dot(rest, basis), basis)
        length = math.sqrt(_dot(rest, rest))
        bases.append([value / length for value in rest])
    # ... and back, last function first: the weights on the samples that give its coefficient.
    weights: dict[int, list[float]] = {}
    for index in reversed(range(len(functions))):
        unexplained = bases[index]
        for later, known in weights.items():
            unexplained = _less(unexplained, _dot(bases[index], samples[later]), known)
        weights[index] = [value / _dot(bases[index], samples[index]) for value in unexplained]
    moments = [(index + 1) / num_moments for index in range(num_moments)]
    sines = range(len(functions) - len(HALF_WAVES), len(functions))
    pulse = tuple(
        tuple(sum(functions[sine](moment) * weights[sine][frame] for sine in sines) for frame in range(num_frames))
        for moment in moments
    )
    drift = tuple(tuple(moment * weight for weight in weights[1]) for moment in moments)
    return pulse, drift


def motion_since(first: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """Displacement of what the first frame shows, by damped Lucas-Kanade steps on one scale.

    Args:
        first (`torch.FloatTensor` of shape `(batch_size, 1, height, width)`): in [-1, 1].
        later (`torch.FloatTensor` of shape `(batch_size, num_later, height, width)`): in [-1, 1].

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_later, 2, height / 2, width / 2)`: pixels of the frames to the
        right and downwards, on the first frame's grid. Underestimated where there is no texture; reliable up to about
        1/16 of the side.
    """
    side = first.shape[-1]
    window, longest, damping = MOTION_WINDOW * side, LONGEST_STEP * side, DAMPING * (64 / side) ** 2
    first, later = smooth(first, PRE_SMOOTHING * side), smooth(later, PRE_SMOOTHING * side)
    # Central differences by hand: torch.gradient cannot be exported with a batch of any size.
    padded = F.pad(first, (1, 1, 1, 1), mode="replicate")
    gradient_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    gradient_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    tensor_xx = smooth(gradient_x.square(), window, STRIDE) + damping
    tensor_yy = smooth(gradient_y.square(), window, STRIDE) + damping
    tensor_xy = smooth(gradient_x * gradient_y, window, STRIDE)
    scale = 1 / (tensor_xx * tensor_yy - tensor_xy.square())
    inverse_xx, inverse_yy, inverse_xy = tensor_yy * scale, tensor_xx * scale, -tensor_xy * scale
    x = y = torch.zeros_like(F.avg_pool2d(later, STRIDE))
    for iteration in range(ITERATIONS):
        moved = later if iteration == 0 else resample(later, enlarge(torch.stack([x, y], dim=2)))
        change = first - moved
        # The damping also pulls the motion so far back, or it would only slow the iterations.
        target_x = smooth(gradient_x * change, window, STRIDE) - damping * x
        target_y = smooth(gradient_y * change, window, STRIDE) - damping * y
        x = x + (inverse_xx * target_x + inverse_xy * target_y).clamp(-longest, longest)
        y = y + (inverse_xy * target_x + inverse_yy * target_y).clamp(-longest, longest)
    return torch.stack([x, y], dim=2)


def affine_part(flow: torch.Tensor) -> torch.Tensor:
    """The affine motion that fits a flow best around the middle of the image: what the whole head does.

    Args:
        flow (`torch.FloatTensor` of shape `(batch_size, num_frames, 2, height, width)`): pixels.

    Returns:
        `torch.FloatTensor` of the same shape.
    """
    height, width = flow.shape[-2:]
    x = torch.linspace(-0.5, 0.5, width, device=flow.device)
    y = torch.linspace(-0.5, 0.5, height, device=flow.device)
    weight_x, weight_y = _normal(x), _normal(y)
    # The window is symmetric, so 1, x and y are orthogonal under it and the fit needs no equations solved.
    mean = torch.einsum("btchw,h,w->btc", flow, weight_y, weight_x)
    slope_x = torch.einsum("btchw,h,w->btc", flow, weight_y, weight_x * x) / (weight_x * x.square()).sum()
    slope_y = torch.einsum("btchw,h,w->btc", flow, weight_y * y, weight_x) / (weight_y * y.square()).sum()
    grow_x = slope_x[..., None, None] * x
    grow_y = slope_y[..., None, None] * y[:, None]
    return mean[..., None, None] + grow_x + grow_y


def resample(planes: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Reads planes where the flow points to; edges are repeated outside.

    Args:
        planes (`torch.FloatTensor` of shape `(batch_size, num_frames, height, width)`): what is read.
        flow (`torch.FloatTensor` of shape `(batch_size, num_frames, 2, height, width)`): pixels.

    Returns:
        `torch.FloatTensor` of the shape of `planes`.
    """
    height, width = planes.shape[-2:]
    x = (torch.arange(width, device=planes.device) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, device=planes.device) + 0.5) * (2 / height) - 1
    grid = torch.stack([x + flow[:, :, 0] * (2 / width), y[:, None] + flow[:, :, 1] * (2 / height)], dim=-1)
    read = F.grid_sample(
        planes.flatten(0, 1).unsqueeze(1), grid.flatten(0, 1), padding_mode="border", align_corners=False
    )
    return read.view_as(planes)


def smooth(planes: torch.Tensor, deviation: float, stride: int = 1) -> torch.Tensor:
    """Gaussian smoothing of square planes; the kernel is cut at three deviations and normalised at the edges.

    Two matrix products: four times as fast on a CPU as a convolution of one channel.

    Args:
        planes (`torch.FloatTensor` of shape `(..., side, side)`): what is smoothed.
        deviation (`float`): in cells of the planes.
        stride (`int`, *optional*, defaults to 1): only every so manyth cell is computed, centred among those it stands
            for.

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


def _constant(time: float) -> float:
    return 1.0


def _linear(time: float) -> float:
    return time


def _half_waves(number: int) -> Callable[[float], float]:
    return lambda time: math.sin(number * math.pi * time)


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _less(values: list[float], share: float, other: list[float]) -> list[float]:
    return [a - share * b for a, b in zip(values, other, strict=True)]


def _normal(position: torch.Tensor) -> torch.Tensor:
    weight = torch.exp(-0.5 * (position / HEAD_WINDOW).square())
    return weight / weight.sum()
