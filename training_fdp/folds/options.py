"""Options of training one fold: how long, by which optimiser, and how the number of steps is chosen."""

from dataclasses import dataclass
from typing import Literal

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.options import option, require

_FROM_ONE = ("epochs", "batch_size", "gradient_accumulation_steps", "eval_batch_size", "checkpoint_steps", "patience")


@dataclass
class TrainingOptions:
    """How every fold is trained."""

    max_steps: int | None = option(None, "Optimiser steps per fold, overrides --epochs; 0: evaluate --init_from.")
    epochs: int = option(30, "Passes over the training clips of a fold.")
    batch_size: int = option(16, "Clips per forward pass.")
    gradient_accumulation_steps: int = option(1, "Forward passes per optimiser step.")
    auto_batch_size: bool = option(
        False, "When memory runs out, split a batch into smaller forward passes; clips per step stay the same."
    )
    eval_batch_size: int = option(32, "Clips per forward pass when predicting.", decides="nothing")
    optimizer: Literal["adamw", "adam", "sgd"] = option("adamw", "Optimiser.")
    learning_rate: float = option(1e-3, "Highest learning rate.")
    weight_decay: float = option(0.05, "Weight decay (decoupled for adamw, an L2 penalty for adam and sgd).")
    lr_schedule: Literal["constant", "linear", "cosine"] = option("cosine", "Course of the rate after the warm-up.")
    warmup_fraction: float = option(0.05, "Share of the steps in which the rate rises from 0.")
    max_grad_norm: float | None = option(1.0, "Gradients are clipped to this norm; 0 leaves them.")
    ema_decay: float | None = option(None, "Decay of the moving average of the weights that then predicts.")
    class_weighting: Literal["none", "balanced"] = option("none", "Weights of the classes in the cross-entropy.")
    sampling: Literal["shuffle", "balanced"] = option("shuffle", "`balanced` draws every class equally often.")
    mixed_precision: Literal["no", "bf16", "fp16", "auto"] = option(
        "no",
        "Arithmetic of the forward pass; `auto`: bf16 where a short trial finds the device faster with it, else no. "
        "What it finds is recorded.",
    )
    deterministic: bool = option(True, "Ask the libraries for kernels that give equal bits in every run.")

    # selection of the step
    selection: Literal["fixed", "inner"] = option(
        "fixed", "`fixed`: the last step. `inner`: early stopping on some of the training subjects."
    )
    inner_fraction: float = option(0.2, "inner: share of the training subjects that is set aside.")
    patience: int = option(10, "inner: evaluations without a better UF1 before training stops.")
    refit: bool = option(True, "inner: train once more on all training subjects for the chosen number of steps.")
    eval_steps: int | None = option(None, "Steps between two evaluations on the inner subjects; default: one epoch.")
    report_literature_selection: bool = option(
        False, "Also report the best epoch on the test subject, beside the reported figure, as `best_on_test_subject`."
    )
    released_eval_mode: bool = option(
        False, "Bug of the authors' release, for ablations: evaluation mode from the second epoch on."
    )

    # execution
    parallelism: Literal["folds", "ddp"] = option(
        "folds", "Several processes: each trains its own folds, or all share every fold (large networks)."
    )
    checkpoint_steps: int = option(100, "Optimiser steps between two checkpoints.", decides="nothing")

    def __post_init__(self) -> None:
        """Check every value, and combinations that contradict each other."""
        for name in _FROM_ONE:
            require(self, name, getattr(self, name) >= 1, "a whole number from 1 on")
        require(self, "eval_steps", self.eval_steps is None or self.eval_steps >= 1, "a whole number from 1 on")
        require(self, "learning_rate", self.learning_rate > 0, "a number above 0")
        require(self, "weight_decay", self.weight_decay >= 0, "a number from 0 on")
        require(self, "warmup_fraction", 0 <= self.warmup_fraction < 1, "in [0, 1)")
        require(self, "inner_fraction", 0 < self.inner_fraction < 1, "in (0, 1)")
        require(self, "max_grad_norm", self.max_grad_norm is None or self.max_grad_norm >= 0, "a number from 0 on")
        require(self, "ema_decay", self.ema_decay is None or 0 <= self.ema_decay < 1, "in [0, 1)")
        if self.report_literature_selection and self.selection == "inner" and not self.refit:
            raise ConfigError(
                "--report_literature_selection evaluates the training on all training subjects, which "
                "--selection inner --no_refit leaves out; add --refit or use --selection fixed"
            )
        if self.max_steps == 0 and (self.selection == "inner" or self.report_literature_selection):
            raise ConfigError(
                "--max_steps 0 evaluates a checkpoint without training, so there is no step to select; leave out "
                "--selection inner and --report_literature_selection"
            )
