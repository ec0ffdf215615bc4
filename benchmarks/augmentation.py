"""Time of each augmentation on one batch: `python benchmarks/augmentation.py [--device cuda]`."""

import argparse
import json
import time

import torch

from training_fdp.data.augmentation import AugmentationConfig, build_augmentation, sample_augmented_indices

OPTIONS = {
    "none": AugmentationConfig(),
    "flip": AugmentationConfig(flip=0.5),
    "shift, scale, rotation": AugmentationConfig(shift=0.05, scale=0.05, rotation=5.0),
    "gamma, brightness": AugmentationConfig(gamma=0.2, brightness=0.1),
    "motion_scale": AugmentationConfig(motion_scale=0.4),
    "static_face_mix": AugmentationConfig(static_face_mix=0.5),
    "mixup": AugmentationConfig(mixup=0.5),
    "default": AugmentationConfig.default(),
}


def time_batch(config: AugmentationConfig, batch: dict[str, torch.Tensor], repeats: int) -> float:
    """Median milliseconds for one batch."""
    augment = build_augmentation(config, num_labels=5)
    generator = torch.Generator().manual_seed(0)
    durations = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        augment(batch, generator)
        if batch["pixel_values"].is_cuda:
            torch.cuda.synchronize()
        durations.append(1000 * (time.perf_counter() - start))
    # Without the first two batches, which warm up.
    return sorted(durations[2:])[repeats // 2]


def time_indices(repeats: int) -> float:
    """Milliseconds to draw the frames of one clip."""
    config = AugmentationConfig(time_jitter=0.3, speed=0.1, phase=0.5)
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    for _ in range(repeats):
        sample_augmented_indices(60, 0, 25, 59, 8, config, generator)
    return 1000 * (time.perf_counter() - start) / repeats


def main() -> None:
    """Print one JSON object: milliseconds per batch by option."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--num_frames", type=int, default=8)
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    shape = (options.batch_size, options.num_frames, 1, options.image_size, options.image_size)
    batch = {
        "pixel_values": (torch.rand(shape) * 2 - 1).to(options.device),
        "labels": (torch.arange(options.batch_size) % 5).to(options.device),
    }
    timings = {name: round(time_batch(config, batch, options.repeats), 3) for name, config in OPTIONS.items()}
    print(json.dumps({"shape": shape, "device": options.device, "threads": torch.get_num_threads(), "ms": timings}))
    print(json.dumps({"ms_per_clip_to_draw_frames": round(time_indices(200), 4)}))


if __name__ == "__main__":
    main()
