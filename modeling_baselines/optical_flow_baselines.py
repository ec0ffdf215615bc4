"""TV-L1 optical flow (Zach, Pock and Bischof 2007) of many image pairs at once, in torch.

The parameters are those of the reference description (Sánchez Pérez, Meinhardt-Llopis and Facciolo, IPOL 2013), in
gray levels of 0 to 255. Written here so that the baselines need no further library, run on any device, and process a
whole corpus as one batch.
"""

import torch
import torch.nn.functional as F

_TAU, _LAMBDA, _THETA = 0.25, 0.15, 0.3
_SMALLEST_SIDE = 12


def tv_l1_flow(
    reference: torch.Tensor, moved: torch.Tensor, num_warps: int = 5, num_iterations: int = 30, chunk_size: int = 64
) -> torch.Tensor:
    """Estimate how far each pixel of the reference image has moved.

    Args:
        reference (`torch.Tensor` of shape `(num_pairs, height, width)`): Gray images, 0 to 255.
        moved (`torch.Tensor` of the same shape): The later images.
        num_warps (`int`, *optional*, defaults to 5): Linearisations per scale.
        num_iterations (`int`, *optional*, defaults to 30): Steps of the dual scheme per linearisation.
        chunk_size (`int`, *optional*, defaults to 64): Pairs at a time, which bounds memory.

    Returns:
        `torch.Tensor` of shape `(num_pairs, 2, height, width)`, float32: Displacement (x, y) in pixels;
        `reference(p) = moved(p + flow(p))`.

    Raises:
        ValueError: If the shapes differ.
    """
    if reference.shape != moved.shape or reference.ndim != 3:
        raise ValueError(
            f"optical flow needs two stacks (num_pairs, height, width) of one shape, but got "
            f"{tuple(reference.shape)} and {tuple(moved.shape)}; stack the pairs first."
        )
    flows = [
        _pyramid(first[:, None].float(), second[:, None].float(), num_warps, num_iterations)
        for first, second in zip(reference.split(chunk_size), moved.split(chunk_size), strict=True)
    ]
    return torch.cat(flows) if flows else reference.new_zeros((0, 2, *reference.shape[1:]), dtype=torch.float32)


@torch.no_grad()
def _pyramid(reference: torch.Tensor, moved: torch.Tensor, num_warps: int, num_iterations: int) -> torch.Tensor:
    """Coarse to fine over scales of factor 2."""
    scales = [(reference, moved)]
    while min(scales[-1][0].shape[-2:]) >= 2 * _SMALLEST_SIDE:
        first, second = scales[-1]
        scales.append((F.avg_pool2d(first, 2, ceil_mode=True), F.avg_pool2d(second, 2, ceil_mode=True)))
    flow = torch.zeros(len(reference), 2, *scales[-1][0].shape[-2:], device=reference.device)
    for first, second in reversed(scales):
        size = first.shape[-2:]
        if flow.shape[-2:] != size:
            ratio = torch.tensor([size[1] / flow.shape[-1], size[0] / flow.shape[-2]], device=flow.device)
            flow = F.interpolate(flow, size=size, mode="bilinear") * ratio[None, :, None, None]
        for _ in range(num_warps):
            flow = _linearised(first, second, flow, num_iterations)
    return flow


def _linearised(reference: torch.Tensor, moved: torch.Tensor, flow: torch.Tensor, num_iterations: int) -> torch.Tensor:
    """One warp: minimise the linearised energy around `flow`."""
    warped = _warp(torch.cat([moved, _central_differences(moved)], dim=1), flow)
    image, gradient = warped[:, :1], warped[:, 1:]
    squared = (gradient**2).sum(dim=1, keepdim=True).clamp_min(1e-6)
    constant = image - (gradient * flow).sum(dim=1, keepdim=True) - reference
    limit = _LAMBDA * _THETA
    dual_x, dual_y = torch.zeros_like(flow), torch.zeros_like(flow)
    for _ in range(num_iterations):
        residual = constant + (gradient * flow).sum(dim=1, keepdim=True)
        # Soft threshold of the data term: a full step where the residual allows it, a bounded one elsewhere.
        auxiliary = flow - (residual / squared).clamp(-limit, limit) * gradient
        flow = auxiliary + _THETA * _divergence(dual_x, dual_y)
        step_x = F.pad(flow[..., 1:] - flow[..., :-1], (0, 1))
        step_y = F.pad(flow[..., 1:, :] - flow[..., :-1, :], (0, 0, 0, 1))
        norm = 1 + _TAU / _THETA * torch.sqrt(step_x**2 + step_y**2)
        dual_x = (dual_x + _TAU / _THETA * step_x) / norm
        dual_y = (dual_y + _TAU / _THETA * step_y) / norm
    return flow


def _divergence(dual_x: torch.Tensor, dual_y: torch.Tensor) -> torch.Tensor:
    """Backward differences, the negative adjoint of the forward ones (their last row and column are zero)."""
    along_x = dual_x - F.pad(dual_x[..., :-1], (1, 0))
    along_y = dual_y - F.pad(dual_y[..., :-1, :], (0, 0, 1, 0))
    return along_x + along_y


def _central_differences(image: torch.Tensor) -> torch.Tensor:
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return torch.cat([along_x, along_y], dim=1)


def _warp(images: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Read images at displaced positions."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    columns = torch.arange(width, device=images.device, dtype=flow.dtype) + flow[:, 0]
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    return F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)
