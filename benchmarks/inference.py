"""Size and speed of the presets, the released network batched against its frame loop, memory and speed of training.

    python benchmarks/inference.py                                   # table: parameters, MACs, clips/s
    python benchmarks/inference.py --compare-loop                    # released: frames in one batch or in a loop
    python benchmarks/inference.py --training --batch-size 36 --device cuda          # memory and speed of training
    python benchmarks/inference.py --training --estimate --preset base --batch-size 36            # without a GPU

Pixels are random, because the time of a convolution does not depend on them. All alternatives are timed in turn, so
that a busy machine slows them alike; best and median of the rounds are reported.
"""

import argparse
import json
import platform
import statistics
import sys
import time
import unittest.mock
from collections.abc import Callable

import torch
from peak_memory import peak_resident_bytes
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode

from modeling_fdp import FDPConfig, FDPForVideoClassification

PRESETS = ("tiny", "small", "base", "released")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
GIB = 2**30


def build(preset: str, device: str, dtype: torch.dtype = torch.float32) -> FDPForVideoClassification:
    """Build a preset with five labels and random weights, in eval mode."""
    torch.manual_seed(0)
    return FDPForVideoClassification(FDPConfig.from_preset(preset, num_labels=5)).to(device, dtype).eval()


def random_clips(model: FDPForVideoClassification, batch_size: int) -> torch.Tensor:
    """Draw pixels in [-1, 1] in the shape that the model takes, on its device."""
    config = model.config
    shape = (batch_size, config.num_frames, config.num_channels, config.image_size, config.image_size)
    return torch.rand(shape, device=model.device) * 2 - 1


def seconds(function: Callable[[], object], device: str) -> float:
    """Time one call, synchronised with the device."""
    if device != "cpu":
        torch.accelerator.synchronize()
    start = time.perf_counter()
    function()
    if device != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - start


def take_turns(functions: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, list[float]]:
    """Time the functions in turn, after one warm-up call each."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function, device))
    return times


def macs_per_clip(preset: str) -> float:
    """Count multiply-accumulates of convolutions, linear layers and attention products for one clip."""
    model = build(preset, "cpu")
    model.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(random_clips(model, 1))
    return counter.get_total_flops() / 2


def preset_table(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure every preset at batch size 1 and at `--batch-size`."""
    rows = []
    for preset in arguments.preset or PRESETS:
        macs = macs_per_clip(preset)
        model = build(preset, arguments.device, DTYPES[arguments.dtype])
        if arguments.channels_last:
            model.use_channels_last()
        one, many = random_clips(model, 1), random_clips(model, arguments.batch_size)
        with torch.inference_mode():
            times = take_turns(
                {"one": lambda m=model, x=one: m(x), "many": lambda m=model, x=many: m(x)},
                arguments.rounds,
                arguments.device,
            )
        rows.append(
            {
                "preset": preset,
                "parameters_m": round(sum(value.numel() for value in model.parameters()) / 1e6, 2),
                "gmacs_per_clip": round(macs / 1e9, 3),
                "clips_per_s_batch_1": round(1 / min(times["one"]), 1),
                f"clips_per_s_batch_{arguments.batch_size}": round(arguments.batch_size / min(times["many"]), 1),
                f"median_clips_per_s_batch_{arguments.batch_size}": round(
                    arguments.batch_size / statistics.median(times["many"]), 1
                ),
            }
        )
    return {"rows": rows}


def compare_loop(arguments: argparse.Namespace) -> dict[str, object]:
    """Run one clip through the released network: all frames in one batch, and frame by frame as the authors do."""
    model = build("released", arguments.device)
    clip = random_clips(model, 1)
    frames = clip.flatten(0, 1)

    served = build("released", arguments.device)
    served.use_channels_last()

    def loop() -> tuple[torch.Tensor, torch.Tensor]:
        maps = [model.fdp.encoder(frame[None]) for frame in frames]
        representation = model.fdp.pooling(torch.stack([features for features, _ in maps], dim=1), None)
        return model.classifier(representation)[0], model.decoder(representation, maps[0][1])

    with torch.inference_mode():
        difference = max(float((loop()[0] - network(clip).logits).abs().max()) for network in (model, served))
        ways = {"loop": loop, "batched": lambda: model(clip), "batched, channels last": lambda: served(clip)}
        times = take_turns(ways, arguments.rounds, arguments.device)
    rows = [
        {
            "released, one clip": name,
            "best_ms": round(1e3 * min(taken), 1),
            "median_ms": round(1e3 * statistics.median(taken), 1),
            "speedup_best": round(min(times["loop"]) / min(taken), 2),
            "speedup_median": round(
                statistics.median(slow / fast for slow, fast in zip(times["loop"], taken, strict=True)), 2
            ),
        }
        for name, taken in times.items()
    ]
    return {"rows": rows, "largest_difference_of_logits": difference}


def checkpoint_activations(model: FDPForVideoClassification, settings: dict[str, bool]) -> None:
    """Enable activation checkpointing, whose method transformers 5.23 has renamed."""
    renamed = hasattr(model, "activation_checkpointing_enable")
    enable = model.activation_checkpointing_enable if renamed else model.gradient_checkpointing_enable
    enable(settings)


def training_cost(arguments: argparse.Namespace) -> dict[str, object]:
    """Train each preset for a few steps (AdamW, autocast, checkpointing): highest memory, and speed."""
    presets = arguments.preset or PRESETS
    if arguments.device == "cpu" and len(presets) > 1:
        raise SystemExit(
            f"on a CPU the peak is that of the process, which never falls: name one --preset, not {len(presets)}"
        )
    return {"rows": [train_a_preset(preset, arguments) for preset in presets]}


def train_a_preset(preset: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Measure one preset: the peak over its first full step, clips per second over the following rounds."""
    if arguments.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model = build(preset, arguments.device).train()
    if not arguments.no_checkpointing:
        checkpoint_activations(model, {"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    labels = torch.zeros(arguments.batch_size, dtype=torch.long, device=arguments.device)
    clips = random_clips(model, arguments.batch_size)
    before = peak_resident_bytes()
    dtype = torch.bfloat16 if arguments.dtype == "float32" and not arguments.no_autocast else DTYPES[arguments.dtype]

    def step(batch_size: int) -> None:
        with torch.autocast(arguments.device, dtype=dtype, enabled=not arguments.no_autocast):
            loss = model(clips[:batch_size], labels=labels[:batch_size]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    # The first step, on two clips, makes the optimizer's state; memory is measured over the second.
    for batch_size in (2, arguments.batch_size):
        step(batch_size)
    if arguments.device == "cuda":
        peak, source = torch.cuda.max_memory_allocated(), "torch.cuda.max_memory_allocated"
    else:
        peak, source = peak_resident_bytes(), "peak resident set of the process"
    taken = [seconds(lambda: step(arguments.batch_size), arguments.device) for _ in range(arguments.rounds)]
    return {
        "preset": preset,
        "batch_size": arguments.batch_size,
        "autocast": "off" if arguments.no_autocast else str(dtype).removeprefix("torch."),
        "checkpointing": not arguments.no_checkpointing,
        "peak_gib": round(peak / GIB, 2),
        "of_which_before_the_first_step_gib": round(before / GIB, 2) if arguments.device == "cpu" else None,
        "median_clips_per_s": round(arguments.batch_size / statistics.median(taken), 1),
        "source": source,
    }


def estimate_training_memory(arguments: argparse.Namespace) -> dict[str, object]:
    """Add up the memory of two training steps, on tensors without content.

    PyTorch's tracker counts parameters, gradients, AdamW's state and activations under bfloat16 autocast exactly, but
    not the additions of a device (context, convolution workspaces, fragmentation).
    """
    (preset,) = arguments.preset or ("base",)
    # Under `is_compiling` the model skips the check for NaN, which tensors without content cannot pass.
    with FakeTensorMode(), unittest.mock.patch("torch.compiler.is_compiling", return_value=True):
        model = FDPForVideoClassification(FDPConfig.from_preset(preset, num_labels=5)).train()
        if not arguments.no_checkpointing:
            checkpoint_activations(model, {"use_reentrant": False, "preserve_rng_state": False})
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        clips = random_clips(model, arguments.batch_size)
        labels = torch.zeros(arguments.batch_size, dtype=torch.long)
        tracker = MemTracker()
        tracker.track_external(model, optimizer)
        with tracker:
            for _ in range(2):
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not arguments.no_autocast):
                    loss = model(clips, labels=labels).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                tracker.reset_mod_stats()
        (peak,) = tracker.get_tracker_snapshot("peak").values()
    row = {
        "preset": preset,
        "batch_size": arguments.batch_size,
        "autocast": "off" if arguments.no_autocast else "bfloat16",
        "checkpointing": not arguments.no_checkpointing,
        "peak_gib": round(peak["Total"] / GIB, 2),
        "source": "sizes added up by MemTracker, no device",
    }
    return {"rows": [row]}


def render(result: dict[str, object]) -> str:
    """Return the rows as a Markdown table."""
    rows = result["rows"]
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", nargs="+", choices=PRESETS, help="presets to measure; all by default")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--threads", type=int, help="CPU threads; PyTorch's own choice by default")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--channels-last", action="store_true", help="weights in channels-last layout, for CPUs")
    parser.add_argument("--compare-loop", action="store_true", help="released network: batched against a frame loop")
    parser.add_argument("--training", action="store_true", help="peak memory and speed of training")
    parser.add_argument("--estimate", action="store_true", help="with --training: add up tensor sizes, no device")
    parser.add_argument("--no-checkpointing", action="store_true", help="with --training")
    parser.add_argument("--no-autocast", action="store_true", help="with --training: full precision")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    measure = preset_table
    if arguments.compare_loop:
        measure = compare_loop
    elif arguments.training:
        measure = estimate_training_memory if arguments.estimate else training_cost
    result = measure(arguments)
    result["machine"] = {
        "device": arguments.device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "processor": torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine(),
    }
    print(json.dumps(result) if arguments.json else f"{render(result)}\n\n{result['machine']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
