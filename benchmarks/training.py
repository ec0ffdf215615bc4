"""Speed and memory of training: `python benchmarks/training.py {loading,memory,folds,share}` prints a table.

`loading`: share of a training step that reading clips takes, by torch's profiler. `memory`: peak resident memory of a
run on 250 and on 2,500 clips. `folds`: wall time of leave-one-subject-out on a tree of CASME II's size, and of the
same command once every fold is finished. `share`: folds per second when several share a device, as processes, on CUDA
streams or stacked by torch.func. Clips are noise, because only their number and size matter.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from peak_memory import peak_resident_bytes

from training_fdp.data.clips import Clip

ROOT = Path(__file__).resolve().parents[1]
# CASME II: 67 frames on average (Yan et al. 2014).
FRAMES_PER_CLIP = 67
IMAGE_SIZE = 64
NUM_CLASSES = 5


class StoredClips:
    """Clips in memory-mapped files, as the cache of aligned clips holds them.

    Args:
        folder (`Path`): Where the files are written.
        num_clips (`int`): How many.
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


def build_trainer(folder: Path, num_clips: int, preset: str, max_steps: int, on_cpu: bool = False) -> Any:
    """Return the trainer of one fold on stored clips, nine tenths of them for training."""
    from accelerate import Accelerator

    from evaluation_fdp.protocols import ClipTable, make_folds
    from modeling_fdp import FDPConfig
    from processing_fdp.video_processing_fdp import FDPVideoProcessor
    from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
    from training_fdp.data.batches import ClipBatches
    from training_fdp.data.options import BatchOptions
    from training_fdp.folds.fold import FoldTrainer
    from training_fdp.folds.loop import FoldContext
    from training_fdp.folds.options import TrainingOptions
    from training_fdp.methods.fdp import FDPMethod
    from training_fdp.methods.fdp_options import FDPOptions

    clips = StoredClips(folder / "clips", num_clips)
    subjects = [f"s{number % 10}" for number in range(num_clips)]
    labels = [number % NUM_CLASSES for number in range(num_clips)]
    names = [f"class {label}" for label in range(NUM_CLASSES)]
    table = ClipTable([str(number) for number in range(num_clips)], ["noise"] * num_clips, subjects, labels, names)
    method = FDPMethod(FDPOptions(preset=preset))
    network = FDPConfig.from_preset(preset, num_labels=NUM_CLASSES)
    accelerator = Accelerator(cpu=on_cpu or not torch.cuda.is_available())
    context = FoldContext(
        method=method,
        network=network,
        options=TrainingOptions(max_steps=max_steps, eval_batch_size=16),
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


def measure_loading(preset: str, steps: int) -> None:
    """Print the share of the steps' time that `ClipBatches.load` takes, on the CPU and from a warm page cache."""
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
        patch.object(ClipBatches, "load", recorded_load),
        patch.object(StageTrainer, "_step", recorded_step),
        profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler,
    ):
        # On the CPU, because a card computes while clips are loaded, which would hide the time of loading.
        trainer = build_trainer(Path(folder), 246, preset, steps + warm_up, on_cpu=True)
        trainer._train(trainer.options.batch_size)
    events = {event.key: event for event in profiler.key_averages()}
    step_seconds = events["training step"].cpu_time_total / 1e6 / steps
    load_seconds = events["load clips"].cpu_time_total / 1e6 / steps
    print("| preset | clips per step | step (ms) | loading (ms) | share |")
    print("|---|---|---|---|---|")
    share = load_seconds / step_seconds
    batch = trainer.options.batch_size
    print(f"| {preset} | {batch} | {step_seconds * 1e3:.0f} | {load_seconds * 1e3:.2f} | {share:.2%} |")


def measure_memory(preset: str, steps: int) -> None:
    """Print the peak resident memory of training on few and on many clips, each in its own process."""
    print("| preset | clips | pixels on disk (MiB) | highest resident memory (MiB) |")
    print("|---|---|---|---|")
    for num_clips in (250, 2500):
        command = [sys.executable, __file__, "memory-of", "--clips", str(num_clips), "--preset", preset]
        done = subprocess.run([*command, "--steps", str(steps)], capture_output=True, text=True, check=True)
        size = num_clips * FRAMES_PER_CLIP * IMAGE_SIZE**2 / 2**20
        print(f"| {preset} | {num_clips} | {size:.0f} | {done.stdout.strip()} |")


def train_and_print_memory(preset: str, num_clips: int, steps: int) -> None:
    """Train and predict one fold, then print the peak resident memory of this process in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        build_trainer(Path(folder), num_clips, preset, steps).train()
    print(f"{peak_resident_bytes() / 2**20:.0f}")


def measure_folds(preset: str, processes: int, epochs: int) -> None:
    """Print the wall time of 26-fold leave-one-subject-out on 246 clips, and of the finished run once more."""
    from tests.fakes.fake import make_fake_corpus

    with tempfile.TemporaryDirectory() as folder:
        data = make_fake_corpus("casme2", Path(folder) / "CASME II", full_size=True, frame_size=IMAGE_SIZE)
        arguments = [
            *("--corpus", "casme2", "--data_dir", str(data), "--label_set", "5class", "--protocol", "loso"),
            *("--preset", preset, "--epochs", str(epochs), "--no_final_model", "--output_dir", f"{folder}/OUT"),
            *("--cache_dir", f"{folder}/clips"),
        ]
        environment = {**os.environ, "HF_HOME": f"{folder}/home", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1", "--dynamo_backend", "no"]
        launch += ["--mixed_precision", "no", "--num_processes", str(processes)]
        if not torch.cuda.is_available():
            environment["ACCELERATE_USE_CPU"] = "true"
        if processes > 1:
            launch.append("--multi_gpu")
        print(f"| preset | processes | epochs | {'run':>12} | wall time (s) |")
        print("|---|---|---|---|---|")
        for name in ("all folds", "all finished"):
            start = time.perf_counter()
            subprocess.run(
                [*launch, str(ROOT / "train.py"), *arguments], env=environment, check=True, stdout=sys.stderr
            )
            seconds = time.perf_counter() - start
            print(f"| {preset} | {processes} | {epochs} | {name:>12} | {seconds:.1f} |", flush=True)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["loading", "memory", "memory-of", "folds", "share"])
    parser.add_argument("--preset", default=None)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--clips", type=int, default=250)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 2, 4, 8], help="share: folds at once")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="share: cuda or cpu")
    parser.add_argument("--batch_size", type=int, default=16, help="share: clips per step")
    parser.add_argument("--threads", type=int, help="share: CPU threads of all folds together; default: the cores")
    options = parser.parse_args()
    if options.what == "loading":
        measure_loading(options.preset or "small", options.steps)
    elif options.what == "memory":
        measure_memory(options.preset or "tiny", options.steps)
    elif options.what == "memory-of":
        train_and_print_memory(options.preset or "tiny", options.clips, options.steps)
    elif options.what == "share":
        from sharing import measure_sharing

        options.preset = options.preset or "tiny"
        measure_sharing(options)
    else:
        measure_folds(options.preset or "tiny", options.processes, options.epochs)


if __name__ == "__main__":
    main()
