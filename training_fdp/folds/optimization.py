"""Optimiser, learning-rate schedule and moving average."""

import copy
import math
from collections.abc import Iterable

import torch
from torch import nn
from transformers import PreTrainedModel

from training_fdp.folds.checkpoints import TorchState
from training_fdp.folds.options import TrainingOptions


def build_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimiser (`torch.optim.Optimizer`) of a run.

    With adamw, biases and normalisation weights do not decay (usual practice); adam and sgd add the penalty to every
    weight, as the authors' script does.
    """
    if options.optimizer == "adamw":
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=options.learning_rate)
    if options.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    return torch.optim.SGD(
        model.parameters(), lr=options.learning_rate, momentum=0.9, weight_decay=options.weight_decay
    )


def learning_rate_factor(schedule: str, step: int, num_steps: int, warmup_fraction: float) -> float:
    """Return the share (`float` in [0, 1]) of the highest learning rate that a step uses.

    Args:
        schedule (`str`):
            `constant`, `linear` or `cosine`; the last two end at 0 after the last step.
        step (`int`):
            Step, 0-based.
        num_steps (`int`):
            Planned steps.
        warmup_fraction (`float`):
            Share of the steps in which the rate rises in equal parts.
    """
    warmup = round(warmup_fraction * num_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(num_steps - warmup, 1)
    return 1 - progress if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def balanced_class_weights(labels: Iterable[int], num_labels: int) -> torch.Tensor:
    """Return weights (`torch.FloatTensor` of shape `(num_labels,)`) inverse to the class counts, mean 1 over clips.

    A class without a clip gets 0.
    """
    counts = torch.bincount(torch.as_tensor(list(labels)), minlength=num_labels).float()
    occurring = (counts > 0).sum()
    return torch.where(counts > 0, counts.sum() / (occurring * counts.clamp(min=1)), torch.zeros_like(counts))


class MovingAverage:
    """Exponential moving average of a model's weights and running statistics.

    Early on the decay is lowered to (1 + n) / (10 + n) after n updates, so that the random initialisation soon loses
    its weight (the rule of TensorFlow's ExponentialMovingAverage, which most vision code follows). Not
    `torch.optim.swa_utils.AveragedModel`, because its first update copies the weights.

    Args:
        model (`PreTrainedModel`): The trained model.
        decay (`float`): Weight of the past, in [0, 1).
    """

    def __init__(self, model: PreTrainedModel, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model: PreTrainedModel = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights after one optimiser step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name].to(average.dtype), 1 - decay)
            else:
                average.copy_(current[name])

    def state_dict(self) -> TorchState:
        """Return the state for resuming (`dict`)."""
        return {"updates": self.updates, "model": self.model.state_dict()}

    def load_state_dict(self, state: TorchState) -> None:
        """Resume from a saved state."""
        self.updates = state["updates"]
        self.model.load_state_dict(state["model"])
