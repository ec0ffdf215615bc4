"""What a frame shows beyond the first one, in closed form: the stabilised difference and the motion of the skin.

No weights: Lucas-Kanade flow from the first frame to every other, by the first frame's gradients throughout, split
into the affine motion of the whole face, which is taken off, and the rest, which is the expression. Our choice: the
field's oldest finding is that motion tells expressions apart better than pixels do, and a small network does not learn
to divide by image gradients from two hundred clips (`docs/results.md`).

Lengths are fractions of the image's side, so that a clip has much the same channels at every size from 64 pixels on.
"""

import torch
from torch.nn import functional as F

# Standard deviations: of the smoothing before gradients are taken, of the window in which motion is constant, and of
# the window around the middle of the face that says what the whole head does.
PRE_SMOOTHING = 1 / 80
MOTION_WINDOW = 1 / 32
HEAD_WINDOW = 1 / 5
ITERATIONS = 3
# Longest step of one iteration, and the motion that becomes tanh(1).
LONGEST_STEP = 1.5 / 64
MOTION_UNIT = 1 / 64
# Added to the structure tensor of pixels in [-1, 1], gradients per pixel, at a side of 64: skin without texture keeps
# still instead of following its noise.
DAMPING = 2e-4


def motion_channels(frames: torch.Tensor, difference_gain: float) -> torch.Tensor:
    """Turns frames into what changed since the first one.

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`): square, in
            [-1, 1]; colours are averaged.
        difference_gain (`float`): the stabilised difference is multiplied by this before tanh.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_frames, 3, height, width)`: in [-1, 1]; difference to the first
        frame once the head is held still, motion to the right, motion downwards. Zero for the first frame.
    """
    # In single precision, also under autocast: half precision would round a motion of one gray level away.
    with torch.autocast(frames.device.type, enabled=False):
        planes = frames.float().mean(2)
        first, later = planes[:, :1], planes[:, 1:]
        flow = motion_since(first, later)
        head = affine_part(flow)
        difference = resample(later, head) - first
        unit = MOTION_UNIT * frames.shape[-1]
        channels = torch.cat([difference.unsqueeze(2) * difference_gain, (flow - head) / unit], dim=2)
        return F.pad(torch.tanh(channels), (0, 0, 0, 0, 0, 0, 1, 0))


def motion_since(first: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """Displacement of what the first frame shows, by damped Lucas-Kanade steps on one scale.

    Args:
        first (`torch.FloatTensor` of shape `(batch_size, 1, height, width)`): in [-1, 1].
        later (`torch.FloatTensor` of shape `(batch_size, num_later, height, width)`): in [-1, 1].

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_later, 2, height, width)`: pixels to the right and downwards, on
        the first frame's grid. Underestimated where there is no texture; reliable up to about 1/16 of the side.
    """
    side = first.shape[-1]
    window, longest, damping = MOTION_WINDOW * side, LONGEST_STEP * side, DAMPING * (64 / side) ** 2
    first, later = smooth(first, PRE_SMOOTHING * side), smooth(later, PRE_SMOOTHING * side)
    # Central differences by hand: torch.gradient cannot be exported with a batch of any size.
    padded = F.pad(first, (1, 1, 1, 1), mode="replicate")
    gradient_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    gradient_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    tensor_xx = smooth(gradient_x.square(), window) + damping
    tensor_yy = smooth(gradient_y.square(), window) + damping
    tensor_xy = smooth(gradient_x * gradient_y, window)
    scale = 1 / (tensor_xx * tensor_yy - tensor_xy.square())
    flow = torch.zeros_like(later).unsqueeze(2).repeat(1, 1, 2, 1, 1)
    for iteration in range(ITERATIONS):
        moved = later if iteration == 0 else resample(later, flow)
        # The damping also pulls the motion so far back, or it would only slow the iterations.
        x, y = flow.unbind(2)
        target_x = smooth(gradient_x * (first - moved), window) - damping * x
        target_y = smooth(gradient_y * (first - moved), window) - damping * y
        step_x = (tensor_yy * target_x - tensor_xy * target_y) * scale
        step_y = (tensor_xx * target_y - tensor_xy * target_x) * scale
        flow = flow + torch.stack([step_x, step_y], dim=2).clamp(-longest, longest)
    return flow


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


def smooth(planes: torch.Tensor, deviation: float) -> torch.Tensor:
    """Gaussian smoothing of square planes; the kernel is cut at three deviations and normalised at the edges.

    Two matrix products: four times as fast on a CPU as a convolution of one channel.
    """
    position = torch.arange(planes.shape[-1], device=planes.device, dtype=planes.dtype)
    distance = (position[:, None] - position).abs()
    kernel = torch.exp(-0.5 * (distance / deviation).square()) * (distance <= 3 * deviation + 0.5)
    kernel = kernel / kernel.sum(1, keepdim=True)
    return kernel @ planes @ kernel.T


def _normal(position: torch.Tensor) -> torch.Tensor:
    weight = torch.exp(-0.5 * (position / HEAD_WINDOW).square())
    return weight / weight.sum()
