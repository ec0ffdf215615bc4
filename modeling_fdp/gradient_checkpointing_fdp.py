"""Activation checkpointing that updates batch norm's running statistics once per batch."""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn


def keep_running_statistics(checkpoint: Callable[..., Any], model: nn.Module) -> Callable[..., Any]:
    """Wraps a checkpointing function so that the second forward of a block does not update statistics again.

    Checkpointing runs every block twice per step, and batch norm would count the same batch twice: a model trained
    with checkpointing would differ from one trained without.

    Args:
        checkpoint (`Callable`): `torch.utils.checkpoint.checkpoint`, or a partial of it.
        model (`nn.Module`): model with the batch norms.

    Returns:
        `Callable`: replaces `checkpoint`. The reentrant form accepts no contexts and is returned unchanged, with a
            warning.
    """
    keywords = getattr(checkpoint, "keywords", {})
    if keywords.get("use_reentrant", True):
        warnings.warn(
            "checkpointing must leave batch norm's running statistics alone, but use_reentrant=True counts every "
            "batch twice; set use_reentrant=False",
            stacklevel=2,
        )
        return checkpoint
    if "context_fn" in keywords:
        return checkpoint

    def contexts() -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        return contextlib.nullcontext(), _frozen_statistics(model)

    return functools.partial(checkpoint, context_fn=contexts)


@contextlib.contextmanager
def _frozen_statistics(model: nn.Module) -> Iterator[None]:
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
