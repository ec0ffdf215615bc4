"""A stand-in for a tensor on Apple's GPU, so that a machine without one keeps its rule."""

import torch


class OnMps(torch.Tensor):
    """A tensor with the one rule of MPS: it never becomes float64; `.cpu()` leaves the device."""

    @classmethod
    def __torch_function__(cls, function, kinds, arguments=(), options=None):
        options = options or {}
        name = getattr(function, "__name__", "")
        if name == "double" or any(value is torch.float64 for value in [*arguments, *options.values()]):
            raise TypeError(f"{name}: the MPS framework doesn't support float64")
        answer = super().__torch_function__(function, kinds, arguments, options)
        return answer.as_subclass(torch.Tensor) if name == "cpu" else answer
