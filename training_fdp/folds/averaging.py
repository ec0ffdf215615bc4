"""Moving average of the weights: what predicts may be calmer than what learns."""

import copy
from typing import Any

import torch
from torch import nn


class MovingAverage:
    """Exponential moving average of a model's weights and running statistics.

    Early on the decay is lowered to (1 + n) / (10 + n) after n updates, so that the random start is soon forgotten
    (the rule of TensorFlow's ExponentialMovingAverage, which most vision code follows).

    Args:
        model (`nn.Module`): The model that learns.
        decay (`float`): Weight of the past, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after one optimiser step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name].to(average.dtype), 1 - decay)
            else:
                average.copy_(current[name])

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on (`dict`)."""
        return {"updates": self.updates, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.updates = state["updates"]
        self.model.load_state_dict(state["model"])
