"""Several folds on one device at once: as processes, on CUDA streams of one process, or stacked by torch.func.

`python -m benchmarks loso share --device cuda --preset tiny --at_once 1 2 4 8` prints the table. All three train the
same networks on the same batches: forward, loss, backward, AdamW. Reading clips, augmentation, gradient clipping and
the checks of the input, which synchronise the device, are left out.

Batch norm under torch.func: its running statistics are buffers, so they are stacked as the parameters are and mapped
over; the layer then updates each network's row of them in place. Drop path draws separately for each network
(`randomness="different"`), so that stacked folds do not equal folds trained alone bit by bit.
"""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch
from torch import multiprocessing
from torch.func import functional_call, stack_module_state
from torch.nn import functional as F

from benchmarks.timing import Row

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

    from modeling_fdp import FDPConfig, FDPForVideoClassification
    from modeling_fdp.outputs_fdp import FDPVideoClassifierOutput

NUM_CLASSES = 5
LEARNING_RATE = 1e-3
# Thirty passes over the 246 clips of CASME II in batches of 16.
STEPS_PER_FOLD = 460
WARM_UP_STEPS = 3
LONGEST_WAIT_S = 600.0

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def build_models(
    preset: str, count: int, device: torch.device, **overrides: object
) -> list[FDPForVideoClassification]:
    """Return networks in training mode (`list[FDPForVideoClassification]`), each of its own seed."""
    from modeling_fdp import FDPConfig, FDPForVideoClassification

    config = FDPConfig.from_preset(preset, num_labels=NUM_CLASSES, **overrides)
    models = []
    for seed in range(count):
        torch.manual_seed(seed)
        models.append(FDPForVideoClassification(config).to(device).train())
    return models


def make_batch(config: FDPConfig, batch_size: int, seed: int, device: torch.device) -> Batch:
    """Return frames, labels and dynamic images (`tuple`) of one fold: noise, because only sizes matter."""
    from modeling_fdp.dynamic_image_fdp import dynamic_image_target

    generator = torch.Generator().manual_seed(seed)
    shape = (batch_size, config.num_frames, 1, config.image_size, config.image_size)
    pixels = (torch.rand(shape, generator=generator) * 2 - 1).to(device)
    labels = torch.randint(0, NUM_CLASSES, (batch_size,), generator=generator).to(device)
    return pixels, labels, dynamic_image_target(pixels, config)


def training_loss(output: FDPVideoClassifierOutput, batch: Batch, config: FDPConfig) -> torch.Tensor:
    """Return the model's loss (0-d), computed outside of it so that torch.func can map over it."""
    from modeling_fdp.temporal_pooling_fdp import rank_hinge_loss

    _, labels, target = batch
    loss = config.classification_loss_weight * F.cross_entropy(output.logits, labels)
    loss = loss + config.dynamic_image_loss_weight * F.mse_loss(output.dynamic_image, target)
    return loss + config.rank_loss_weight * rank_hinge_loss(output.rank_scores, config.rank_margin)


def streamed_step(
    models: Sequence[FDPForVideoClassification], batches: Sequence[Batch], device: torch.device
) -> Callable[[], None]:
    """Return a function that trains every network by one step, each on its own CUDA stream; on a CPU in turn."""
    on_card = device.type == "cuda"
    streams = [torch.cuda.stream(torch.cuda.Stream(device)) if on_card else nullcontext() for _ in models]
    optimizers = [torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE) for model in models]

    def step() -> None:
        for model, batch, optimizer, stream in zip(models, batches, optimizers, streams, strict=True):
            with stream:
                training_loss(model(pixel_values=batch[0]), batch, model.config).backward()
                optimizer.step()
                optimizer.zero_grad()

    return step


def stacked_step(
    models: Sequence[FDPForVideoClassification], batches: Sequence[Batch]
) -> tuple[Callable[[], None], dict[str, torch.Tensor]]:
    """Return a function that trains all networks by one joint step, and their stacked parameters and buffers (`dict`).

    AdamW is elementwise, so that stacked parameters are updated as those of each network alone.
    """
    parameters, buffers = stack_module_state(list(models))
    skeleton, config = models[0], models[0].config
    # Eager, because fused attention on a CPU has no batching rule and vmap would loop over networks.
    skeleton.set_attn_implementation("eager")
    optimizer = torch.optim.AdamW(parameters.values(), lr=LEARNING_RATE)
    together: Batch = tuple(torch.stack(part) for part in zip(*batches, strict=True))

    def one(parameters: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor], batch: Batch) -> torch.Tensor:
        output = functional_call(skeleton, (parameters, buffers), kwargs={"pixel_values": batch[0]})
        return training_loss(output, batch, config)

    mapped = torch.vmap(one, randomness="different")

    def step() -> None:
        mapped(parameters, buffers, together).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, {**parameters, **buffers}


@contextmanager
def unchecked() -> Iterator[None]:
    """Skip the model's checks of its input, as a compiled model does."""
    with patch("torch.compiler.is_compiling", return_value=True):
        yield


def timed(
    step: Callable[[], None], steps: int, device: torch.device, wait: Callable[[], object]
) -> tuple[float, float]:
    """Return start and end of the measured steps (`tuple` of seconds on the machine's clock)."""

    def finish() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with unchecked():
        finish()  # weights and batches were made on another stream
        for _ in range(WARM_UP_STEPS):
            step()
        finish()
        wait()
        start = time.monotonic()
        for _ in range(steps):
            step()
        finish()
    return start, time.monotonic()


def _train_alone(
    rank: int, options: Namespace, threads: int, barrier: Barrier, spans: Queue[tuple[float, float]]
) -> None:
    """Main function of one of several processes on a device."""
    torch.set_num_threads(threads)
    device = torch.device(options.device)
    (model,) = build_models(options.preset, 1, device)
    batch = make_batch(model.config, options.batch_size, rank, device)
    spans.put(timed(streamed_step([model], [batch], device), options.rounds, device, barrier.wait))


def measure_processes(options: Namespace, folds: int) -> float:
    """Return the seconds in which `folds` processes train one fold each; they share the cores of the machine."""
    context = multiprocessing.get_context("spawn")
    # With a timeout, because a process may end early, most likely for lack of memory.
    barrier, spans = context.Barrier(folds, timeout=LONGEST_WAIT_S), context.Queue()
    threads = max(options.threads // folds, 1)
    processes = [
        context.Process(target=_train_alone, args=(rank, options, threads, barrier, spans)) for rank in range(folds)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit(
            f"{folds} folds at once: a process ended early, see above; try fewer folds or smaller batches"
        )
    measured = [spans.get() for _ in processes]
    return max(end for _, end in measured) - min(start for start, _ in measured)


def measure_in_one_process(options: Namespace, folds: int, way: str) -> float:
    """Return the seconds in which one process trains `folds` folds together."""
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    models = build_models(options.preset, folds, device)
    batches = [make_batch(models[0].config, options.batch_size, seed, device) for seed in range(folds)]
    if way == "streams":
        step = streamed_step(models, batches, device)
    else:
        step, _ = stacked_step(models, batches)
    start, end = timed(step, options.rounds, device, lambda: None)
    return end - start


def sharing_rows(options: Namespace) -> list[Row]:
    """Steps and folds per second of each way, for each number of folds at once."""
    options.threads = options.threads or os.cpu_count() or 1
    rows = []
    for folds in options.at_once:
        for way in ("processes", "streams", "stacked"):
            if way == "processes":
                seconds = measure_processes(options, folds)
            else:
                seconds = measure_in_one_process(options, folds, way)
            rate = folds * options.rounds / seconds
            title = "one after the other" if way == "streams" and options.device == "cpu" else way
            rows.append({"way": title, "folds at once": folds, "steps/s": rate, "folds/s": rate / STEPS_PER_FOLD})
    return rows
