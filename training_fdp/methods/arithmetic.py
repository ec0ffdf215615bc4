"""Memory layout and precision in which a device convolves fastest; outputs of a network change by rounding alone."""

import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

Precision = Literal["no", "bf16"]

# A convolution of the size of the networks' own: about 2 ms in single precision on one core.
_TRIAL_MAP, _TRIAL_CHANNELS = (8, 64, 16, 16), 64
_TRIAL_ROUNDS = 5
# bfloat16 must win by this factor, because converting to and from it costs something in a network.
_LEAST_GAIN = 1.2


@torch.no_grad()
def lay_out_channels_last(model: nn.Module) -> None:
    """Lay the weights of 2-D convolutions out channels last, which CPUs run faster; values and names do not change.

    `to(memory_format=...)` is not used, because it refuses networks that also have 3-D convolutions.
    """
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def fastest_precision(device: torch.device) -> Precision:
    """Time a convolution in single precision and in bfloat16, in turn, and return the faster (`str`): `no` or `bf16`.

    The trial takes about 20 ms. Processors are timed and not looked up, because lists of those that compute bfloat16
    natively go out of date; the others emulate it at a fraction of the speed of single precision.
    """
    maps = torch.rand(_TRIAL_MAP, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(_TRIAL_CHANNELS, _TRIAL_MAP[1], 3, 3, device=device)
    weight = weight.contiguous(memory_format=torch.channels_last)
    half_maps, half_weight = maps.bfloat16(), weight.bfloat16()
    ways: dict[Precision, Callable[[], torch.Tensor]] = {
        "no": lambda: F.conv2d(maps, weight, padding=1),
        "bf16": lambda: F.conv2d(half_maps, half_weight, padding=1),
    }
    best = dict.fromkeys(ways, float("inf"))
    try:
        for _ in range(_TRIAL_ROUNDS + 1):  # the first call of each is its warm-up, and never the best
            for name, convolve in ways.items():
                best[name] = min(best[name], _seconds(convolve, device))
    except RuntimeError:  # a device without bfloat16
        return "no"
    return "bf16" if best["bf16"] * _LEAST_GAIN < best["no"] else "no"


def _seconds(function: Callable[[], torch.Tensor], device: torch.device) -> float:
    start = time.perf_counter()
    with torch.inference_mode():
        function()
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - start
