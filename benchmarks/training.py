"""Speed and memory of training steps.

    python -m benchmarks training                                # the frame loop, batched, bfloat16, fused AdamW
    python -m benchmarks training --preset any_window            # the same of the network of the recipe `any_window`
    python -m benchmarks training memory --preset tiny           # peak memory of the process, or of the card
    python -m benchmarks training estimate --preset base         # the same without a device
    python -m benchmarks training loading --preset small         # share of a step that reading clips takes

A step is forward, loss, backward, gradient clipping, AdamW. Clips are noise, because only their number and size
matter.
"""

import argparse
import sys
import tempfile
import unittest.mock
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from benchmarks.inference import LOOP, PRESETS, build, build_loop, configure, macs_per_clip, random_clips
from benchmarks.timing import Function, Row, compute_peak, parse, parser, peak_resident_bytes, report, take_turns
from modeling_fdp import FDPConfig, FDPForVideoClassification
from training_fdp.data.clips import Clip
from training_fdp.methods.arithmetic import lay_out_channels_last

GIB = 2**30
# CASME II: 67 frames on average (Yan et al. 2014).
FRAMES_PER_CLIP = 67
IMAGE_SIZE = 64
NUM_CLASSES = 5


class StoredClips:
    """Clips in memory-mapped files, as the cache of aligned clips holds them.

    Args:
        folder (`Path`): Folder of the files.
        num_clips (`int`): Number of clips.
    """

    def __init__(self, folder: Path, num_clips: int) -> None:
        random = np.random.default_rng(0)
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = [folder / f"{number}.npy" for number in range(num_clips)]
        for path in self.paths:
            np.save(path, random.integers(0, 256, (FRAMES_PER_CLIP, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Clip:
        """Return one clip as `AlignedClips` does."""
        label, last = index % NUM_CLASSES, FRAMES_PER_CLIP - 1
        return Clip(str(index), "s", self.paths[index], label, onset=0, apex=FRAMES_PER_CLIP // 2, offset=last)


def build_trainer(clips: Any, folder: Path, preset: str, max_steps: int, mixed_precision: str = "no") -> Any:
    """Return the trainer of one fold on clips, nine tenths of them for training, on the CPU."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from evaluation_fdp.protocols import ClipTable, make_folds
    from processing_fdp.video_processing_fdp import FDPVideoProcessor
    from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
    from training_fdp.data.batches import ClipBatches
    from training_fdp.data.options import BatchOptions
    from training_fdp.folds.fold import FoldTrainer
    from training_fdp.folds.loop import FoldContext
    from training_fdp.folds.options import TrainingOptions
    from training_fdp.methods.fdp import FDPMethod
    from training_fdp.methods.fdp_options import FDPOptions

    count = len(clips)
    subjects, labels = (
        [f"s{number % 10}" for number in range(count)],
        [number % NUM_CLASSES for number in range(count)],
    )
    names = [f"class {label}" for label in range(NUM_CLASSES)]
    table = ClipTable([str(number) for number in range(count)], ["noise"] * count, subjects, labels, names)
    method = FDPMethod(FDPOptions(preset=preset))
    network = FDPConfig.from_preset(preset, num_labels=NUM_CLASSES)
    AcceleratorState._reset_state()  # because AcceleratorState refuses another precision in the same process
    accelerator = Accelerator(cpu=True, mixed_precision=mixed_precision)
    context = FoldContext(
        method=method,
        network=network,
        options=TrainingOptions(max_steps=max_steps, eval_batch_size=16, mixed_precision=mixed_precision),
        batch_options=BatchOptions(),
        accelerator=accelerator,
        table=table,
        batches=ClipBatches(
            clips, FDPVideoProcessor(alignment="none"), BatchOptions(), network.num_frames, accelerator.device
        ),
        build_model=lambda fold_facts: method.build(network, fold_facts),
        augmentation=build_augmentation(AugmentationConfig.default(), NUM_CLASSES, method.followers),
        identity="benchmark",
        report=lambda *event: None,
    )
    return FoldTrainer(context, make_folds(table, "loso")[0], 0, "s0", folder / "work")


class Step:
    """One way to train one network, called once per step.

    Args:
        preset (`str`): Preset of the network.
        batch_size (`int`): Clips per step.
        device (`str`): Device of the network.
        laid_out (`bool`): Whether weights are laid out channels last.
        bfloat16 (`bool`): Whether the forward pass runs under autocast.
        fused (`bool`): Whether AdamW is fused.
        loop (`bool`): Whether the encoder takes one frame after the other, as in the authors' code.
    """

    def __init__(
        self,
        preset: str,
        batch_size: int,
        device: str,
        laid_out: bool = False,
        bfloat16: bool = False,
        fused: bool = False,
        loop: bool = False,
    ) -> None:
        self.model = (build_loop if loop else build)(preset, device).train()
        if laid_out:
            lay_out_channels_last(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=fused)
        self.clips, self.bfloat16 = random_clips(self.model, batch_size), bfloat16
        self.labels = torch.zeros(batch_size, dtype=torch.long, device=device)

    def __call__(self) -> None:
        """Train by one step."""
        with torch.autocast(self.clips.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = self.model(self.clips, labels=self.labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def step_rows(options: argparse.Namespace) -> list[Row]:
    """Measure the ways to make a training step."""
    batch_size, device = options.batch_size, options.device
    peaks = {dtype: compute_peak(dtype, device) for dtype in (torch.float32, torch.bfloat16)}
    rows = []
    for preset in options.preset:
        functions: dict[str, Function] = {
            LOOP: Step(preset, batch_size, device, loop=True),
            "batched, float32": Step(preset, batch_size, device),
            "channels last, float32": Step(preset, batch_size, device, laid_out=True),
            "channels last, fused AdamW": Step(preset, batch_size, device, laid_out=True, fused=True),
            "channels last, bfloat16": Step(preset, batch_size, device, laid_out=True, bfloat16=True),
        }
        times = take_turns(functions, options.rounds, device)
        # The backward pass counts as two forward passes.
        operations = 3 * 2 * macs_per_clip(preset) * batch_size
        for way in functions:
            peak = peaks[torch.bfloat16 if "bfloat16" in way else torch.float32]
            rows.append(
                {
                    "preset": preset,
                    "clips": batch_size,
                    "step": way,
                    **times.costs(way, LOOP, batch_size, options),
                    "share of peak": operations / times.core_seconds(way, options) / peak,
                }
            )
    return rows


def checkpoint_activations(model: FDPForVideoClassification, settings: dict[str, bool]) -> None:
    """Enable activation checkpointing, whose method transformers 5.23 has renamed."""
    renamed = hasattr(model, "activation_checkpointing_enable")
    enable = model.activation_checkpointing_enable if renamed else model.gradient_checkpointing_enable
    enable(settings)


def memory_row(preset: str, batch_size: int, rounds: int, device: str, checkpointing: bool) -> Row:
    """Peak memory over the first full step in bfloat16, and clips per second of the following ones."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    step = Step(preset, batch_size, device, bfloat16=True)
    if checkpointing:
        checkpoint_activations(step.model, {"use_reentrant": False})
    before = peak_resident_bytes()
    step()
    step()
    on_card = device != "cpu"
    peak = torch.cuda.max_memory_allocated() if on_card else peak_resident_bytes()
    times = take_turns({"step": step}, rounds, device, warm_up=0)
    return {
        "preset": preset,
        "clips": batch_size,
        "checkpointing": checkpointing,
        "peak GiB": round(peak / GIB, 2),
        "before the first step": None if on_card else round(before / GIB, 2),
        "clips/s": batch_size / times.median("step"),
        "source": "torch.cuda.max_memory_allocated" if on_card else "peak resident set of the process",
    }


def estimated_row(preset: str, batch_size: int, checkpointing: bool) -> Row:
    """Add up the memory of two training steps, on tensors without content.

    PyTorch's tracker counts parameters, gradients, AdamW's state and activations under bfloat16 autocast exactly, but
    not the additions of a device (context, convolution workspaces, fragmentation).
    """
    # Under `is_compiling` the model skips the check for NaN, which tensors without content cannot pass.
    with FakeTensorMode(), unittest.mock.patch("torch.compiler.is_compiling", return_value=True):
        model = FDPForVideoClassification(configure(preset)).train()
        if checkpointing:
            checkpoint_activations(model, {"use_reentrant": False, "preserve_rng_state": False})
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        clips, labels = random_clips(model, batch_size), torch.zeros(batch_size, dtype=torch.long)
        tracker = MemTracker()
        tracker.track_external(model, optimizer)
        with tracker:
            for _ in range(2):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = model(clips, labels=labels).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                tracker.reset_mod_stats()
        (peak,) = tracker.get_tracker_snapshot("peak").values()
    return {
        "preset": preset,
        "clips": batch_size,
        "checkpointing": checkpointing,
        "peak GiB": round(peak["Total"] / GIB, 2),
        "source": "sizes added up by MemTracker, no device",
    }


def loading_row(preset: str, steps: int) -> Row:
    """Share of the steps' time that `ClipBatches.load` takes, on the CPU and from a warm page cache.

    On the CPU, because a card computes while clips are loaded, which would hide the time of loading.
    """
    from torch.profiler import ProfilerActivity, profile, record_function

    from training_fdp.data.batches import ClipBatches
    from training_fdp.folds.loop import StageTrainer

    warm_up = 2
    load, step = ClipBatches.load, StageTrainer._step
    started = []

    def recorded_load(self: ClipBatches, *arguments: object) -> object:
        with record_function("warm-up" if len(started) <= warm_up else "load clips"):
            return load(self, *arguments)

    def recorded_step(self: StageTrainer, *arguments: object) -> object:
        started.append(None)
        with record_function("warm-up" if len(started) <= warm_up else "training step"):
            return step(self, *arguments)

    with (
        tempfile.TemporaryDirectory() as folder,
        unittest.mock.patch.object(ClipBatches, "load", recorded_load),
        unittest.mock.patch.object(StageTrainer, "_step", recorded_step),
        profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler,
    ):
        trainer = build_trainer(StoredClips(Path(folder) / "clips", 246), Path(folder), preset, steps + warm_up)
        trainer._train(trainer.options.batch_size)
    events = {event.key: event for event in profiler.key_averages()}
    step_s, load_s = (events[name].cpu_time_total / 1e6 / steps for name in ("training step", "load clips"))
    return {
        "preset": preset,
        "clips": trainer.options.batch_size,
        "step ms": step_s * 1e3,
        "of which loading, ms": load_s * 1e3,
        "share": load_s / step_s,
    }


def main() -> int:
    """Parse the command line, measure, print."""
    made: argparse.ArgumentParser = parser(__doc__ or "", rounds=3)
    made.add_argument("what", nargs="?", choices=["steps", "memory", "estimate", "loading"], default="steps")
    made.add_argument("--preset", nargs="+", choices=PRESETS, default=["tiny", "any_window", "released"])
    made.add_argument("--batch_size", type=int, default=8)
    made.add_argument("--no_checkpointing", action="store_true", help="memory and estimate")
    options = parse(made)
    size, checkpointing = options.batch_size, not options.no_checkpointing
    if options.what == "memory" and options.device == "cpu" and len(options.preset) > 1:
        raise SystemExit(
            "on a CPU the peak is that of the process, which never falls: name one --preset, not "
            f"{len(options.preset)}"
        )
    if options.what == "steps":
        rows = step_rows(options)
    elif options.what == "memory":
        rows = [memory_row(one, size, options.rounds, options.device, checkpointing) for one in options.preset]
    elif options.what == "estimate":
        rows = [estimated_row(preset, size, checkpointing) for preset in options.preset]
    else:
        rows = [loading_row(preset, options.rounds) for preset in options.preset]
    report("training", {f"Training, {options.what}": rows}, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
