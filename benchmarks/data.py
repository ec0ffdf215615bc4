"""Speed of reading, aligning and augmenting clips: `python -m benchmarks data [--clips 250] [--num_proc 2]`.

Clips of 60 JPEG frames of 640 x 480 go through `prepare_clips` with alignment "precomputed", against a plain loop of
Pillow decode, crop, resize per frame in one process; then once more from the cache. A few clips are drawn and read
under several clip ids, so that the disk's cache is warm for both. Then the time that Pillow alone takes for the parts
of this work, which bounds every reader that uses the same JPEG library. Last, each augmentation of a batch on the
device.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.timing import Function, Row, both_seconds, parse, parser, report, take_turns
from hub_datasets.base import clip_features
from processing_fdp.clip_reading_fdp import open_frames
from processing_fdp.crop_geometry_fdp import crop_transform, warp_frames
from processing_fdp.landmark_tables_fdp import LANDMARK_COLUMNS
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.aligned_clips import prepare_clips
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation

HEIGHT, WIDTH = 480, 640
# A face of about 280 pixels in a frame of 640 x 480, as CASME II has it: eyes 112 pixels apart, slightly tilted.
LANDMARKS = np.array([[264.0, 190], [376, 197], [320, 250], [270, 300], [370, 303]])
SIZE = 64
# Clips that are drawn; all further clips repeat them.
DISTINCT = 8
QUALITY = 90
AUGMENTATIONS = {
    "none": AugmentationConfig(),
    "flip": AugmentationConfig(flip=0.5),
    "shift, scale, rotation": AugmentationConfig(shift=0.05, scale=0.05, rotation=5.0),
    "gamma, brightness": AugmentationConfig(gamma=0.2, brightness=0.1),
    "motion_scale": AugmentationConfig(motion_scale=0.4),
    "static_face_mix": AugmentationConfig(static_face_mix=0.5),
    "mixup": AugmentationConfig(mixup=0.5),
    "default": AugmentationConfig.default(),
}


def draw_clip(folder: Path, num_frames: int, quality: int, seed: int) -> list[str]:
    """Smooth colour texture that drifts, with camera noise, as JPEG files."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(40, 216, (30, 40, 3), dtype=np.uint8))
    texture = np.asarray(coarse.resize((WIDTH + 40, HEIGHT + 40), Image.Resampling.BICUBIC)).astype(np.float32)
    folder.mkdir(parents=True)
    paths = []
    for number in range(num_frames):
        shift = number * 20 // num_frames
        pixels = texture[shift : shift + HEIGHT, shift : shift + WIDTH] + random.normal(0, 2, (HEIGHT, WIDTH, 1))
        paths.append(str(folder / f"img{number + 1}.jpg"))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1], quality=quality)
    return paths


def plain_loop(clips: list[list[str]]) -> list[np.ndarray]:
    """The plain loop: decode, crop the upright box, resize, convert to gray; one frame after the other."""
    transform = crop_transform(LANDMARKS, (SIZE, SIZE), 2.5)
    corners = transform @ np.array([[-0.5, SIZE - 0.5], [-0.5, SIZE - 0.5], [1, 1]]) + 0.5
    box = (*corners[:, 0].round().astype(int).tolist(), *corners[:, 1].round().astype(int).tolist())
    prepared = []
    for paths in clips:
        frames = []
        for path in paths:
            with Image.open(path) as image:
                face = image.crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR).convert("L")
            frames.append(np.asarray(face))
        prepared.append(np.stack(frames))
    return prepared


def time_stages(paths: list[str], fast_jpeg: bool) -> dict[str, float]:
    """Milliseconds of processor time per clip, in one process: decode to gray, resample."""
    transform = crop_transform(LANDMARKS, (SIZE, SIZE), 2.5)
    started = time.process_time()
    with open_frames(paths, fast_jpeg=fast_jpeg) as source:
        opened = time.process_time()
        divisor = source.shrink(4.4)
        gray = source.read(range(len(paths)))
    decoded = time.process_time()
    warp_frames(torch.from_numpy(gray), transform / divisor, (SIZE, SIZE))
    resampled = time.process_time()
    return {
        "open_ms": round(1000 * (opened - started), 2),
        "decode_ms": round(1000 * (decoded - opened), 2),
        "resample_ms": round(1000 * (resampled - decoded), 2),
    }


def pillow_rows(paths: list[str], rounds: int) -> list[Row]:
    """Time what Pillow takes for a clip: the plain loop, exact gray, the stored luma plane, and an eighth of it."""
    ways: dict[str, Function] = {
        "plain loop": lambda: plain_loop([paths]),
        "decode to RGB, convert to gray": lambda: _decode(paths, None),
        "decode the luma plane": lambda: _decode(paths, (WIDTH, HEIGHT)),
        # The smallest picture that can be decoded from a JPEG file, whose time is that of reading the Huffman code.
        "decode the luma plane at an eighth": lambda: _decode(paths, (WIDTH // 8, HEIGHT // 8)),
    }
    times = take_turns(ways, rounds)
    return [
        {
            "Pillow alone, one clip": way,
            "processor ms": times.processor_median(way) * 1e3,
            "times the plain loop": times.processor_speedup(way, "plain loop"),
        }
        for way in ways
    ]


def _decode(paths: list[str], luma_size: tuple[int, int] | None) -> None:
    for path in paths:
        with Image.open(path) as image:
            if luma_size is not None:
                image.draft("L", luma_size)
            image.convert("L")


def clip_rows(root: Path, num_clips: int, num_frames: int) -> tuple[Any, list[list[str]], Path]:
    """Write the clips; return their rows (`datasets.Dataset`), the frames of drawn clips, and the landmark table."""
    import datasets

    drawn = [draw_clip(root / f"clip{number}", num_frames, QUALITY, number) for number in range(DISTINCT)]
    table = root / "landmarks.csv"
    points = ",".join(str(value) for value in LANDMARKS.flatten())
    lines = [",".join(LANDMARK_COLUMNS), *(f"bench/{clip},-1,{points}" for clip in range(num_clips))]
    table.write_text("\n".join(lines))
    row = {"corpus": "bench", "subject": "1", "recording": "r", "video": None, "onset_index": 0, "apex_index": None}
    row |= {"offset_index": num_frames - 1, "clip_end": "offset", "fps": 200.0, "action_units": [], "emotion": ""}
    row |= {"label": 0, "frame_numbers": list(range(num_frames)), "notes": []}
    rows = [{**row, "clip_id": f"bench/{clip}", "frames": drawn[clip % DISTINCT]} for clip in range(num_clips)]
    return datasets.Dataset.from_list(rows, features=clip_features(["none"])), drawn, table


def preparation_rows(num_clips: int, num_frames: int, num_proc: int) -> list[Row]:
    """Time the plain loop, both JPEG settings, and the second run from the cache."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset, drawn, table = clip_rows(root, num_clips, num_frames)
        plain = [drawn[clip % DISTINCT] for clip in range(min(num_clips, 2 * DISTINCT))]
        plain_loop(plain[:1])
        wall, used = both_seconds(lambda: plain_loop(plain))
        plain_ms = 1e3 * used / len(plain)
        rows.append(_row("plain loop, one process", len(plain), wall, used, plain_ms))
        for fast_jpeg in (False, True):
            processor = FDPVideoProcessor(
                size=SIZE, alignment="precomputed", landmarks_path=str(table), fast_jpeg=fast_jpeg
            )
            prepare = _preparing(dataset, processor, root / "cache", num_proc)
            name = "fast_jpeg=True" if fast_jpeg else "exact gray"
            rows.append(_row(f"{name}, {num_proc} processes", num_clips, *both_seconds(prepare), plain_ms))
            rows.append(_row(f"{name}, from the cache", num_clips, *both_seconds(prepare), plain_ms))
    return rows


def _preparing(dataset: Any, processor: Any, cache: Path, num_proc: int) -> Callable[[], object]:
    return lambda: prepare_clips(dataset, processor, cache, num_proc=num_proc)


def _row(name: str, clips: int, wall: float, used: float, plain_ms: float) -> Row:
    return {
        "preparation": name,
        "clips": clips,
        "s": wall,
        "clips/s": clips / wall,
        "processor ms per clip": 1e3 * used / clips,
        "times the plain loop, by processor time": plain_ms / (1e3 * used / clips),
    }


def augmentation_rows(options: argparse.Namespace) -> list[Row]:
    """Time each augmentation of a batch of 16 clips of 8 frames."""
    shape = (16, 8, 1, SIZE, SIZE)
    pixels, labels = torch.rand(shape) * 2 - 1, torch.arange(16) % 5
    batch = {"pixel_values": pixels.to(options.device), "labels": labels.to(options.device)}
    generator = torch.Generator().manual_seed(0)
    functions = {name: _augmenting(config, batch, generator) for name, config in AUGMENTATIONS.items()}
    times = take_turns(functions, options.rounds, options.device)
    return [
        {"augmentation": name, "ms of one core or card per batch of 16": times.core_seconds(name, options) * 1e3}
        for name in functions
    ]


def _augmenting(config: AugmentationConfig, batch: dict[str, torch.Tensor], generator: torch.Generator) -> Function:
    augment = build_augmentation(config, num_labels=5)
    return lambda: augment(batch, generator)


def main() -> int:
    """Parse the command line, measure, print."""
    made = parser(__doc__ or "", rounds=10)
    made.add_argument("--clips", type=int, default=250)
    made.add_argument("--frames", type=int, default=60)
    made.add_argument("--num_proc", type=int, default=2)
    options = parse(made)
    with tempfile.TemporaryDirectory() as folder:
        paths = draw_clip(Path(folder) / "clip", options.frames, QUALITY, 0)
        stages = [
            {"one clip": "fast_jpeg=True" if fast else "exact gray", **time_stages(paths, fast)}
            for fast in (False, True)
        ]
        bounds = pillow_rows(paths, options.rounds)
    tables = {
        "Preparation": preparation_rows(options.clips, options.frames, options.num_proc),
        "Stages, processor time": stages,
        "Bounds": bounds,
        "Augmentation": augmentation_rows(options),
    }
    report("data", tables, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
