"""Speed of reading and aligning frame folders: `python benchmarks/alignment.py [--clips 1000] [--num_proc 2]`.

Clips of 60 JPEG frames of 640 x 480 go through `prepare_clips` with alignment "precomputed", against a plain loop of
Pillow decode, crop, resize per frame in one process. A few clips are drawn and read under several
clip ids, so that the disk's cache is warm for both. Prints one JSON object.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hub_datasets.base import clip_features
from processing_fdp.clip_reading_fdp import open_frames
from processing_fdp.crop_geometry_fdp import crop_transform, warp_frames
from processing_fdp.landmark_tables_fdp import LANDMARK_COLUMNS
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.aligned_clips import prepare_clips

HEIGHT, WIDTH = 480, 640
# A face of about 280 pixels in a frame of 640 x 480, as CASME II has it: eyes 112 pixels apart, slightly tilted.
LANDMARKS = np.array([[264.0, 190], [376, 197], [320, 250], [270, 300], [370, 303]])
SIZE = 64


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


def processor_seconds() -> float:
    """Processor time of this process and its finished children, which other programs affect less than wall time."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Print clips per second of the plain loop and of both JPEG settings, and the time of each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--distinct", type=int, default=8, help="Clips to draw; the others repeat them.")
    parser.add_argument("--plain_clips", type=int, default=100, help="Clips of the plain loop.")
    parser.add_argument("--quality", type=int, default=90, help="Quality of the JPEG files.")
    parser.add_argument("--num_proc", type=int, default=2)
    options = parser.parse_args()
    import datasets

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        drawn = [draw_clip(root / f"clip{n}", options.frames, options.quality, n) for n in range(options.distinct)]
        chosen = [drawn[clip % options.distinct] for clip in range(options.clips)]
        table = root / "landmarks.csv"
        points = ",".join(str(value) for value in LANDMARKS.flatten())
        lines = [",".join(LANDMARK_COLUMNS), *(f"bench/{clip},-1,{points}" for clip in range(options.clips))]
        table.write_text("\n".join(lines))
        row = {
            "corpus": "bench",
            "subject": "1",
            "recording": "r",
            "video": None,
            "onset_index": 0,
            "apex_index": None,
        }
        row |= {"offset_index": options.frames - 1, "clip_end": "offset", "fps": 200.0}
        row |= {"action_units": [], "emotion": "", "label": 0}
        numbers = list(range(options.frames))
        rows = [
            {**row, "clip_id": f"bench/{clip}", "frames": paths, "frame_numbers": numbers, "notes": []}
            for clip, paths in enumerate(chosen)
        ]
        dataset = datasets.Dataset.from_list(rows, features=clip_features(["none"]))

        plain_loop(chosen[: options.distinct])
        started, used = time.perf_counter(), processor_seconds()
        plain_loop(chosen[: options.plain_clips])
        plain_rate = options.plain_clips / (time.perf_counter() - started)
        plain_ms = 1000 * (processor_seconds() - used) / options.plain_clips
        report = {
            "clips": options.clips,
            "frames_per_clip": options.frames,
            "kilobytes_per_frame": round(os.path.getsize(drawn[0][0]) / 1000, 1),
            "num_proc": options.num_proc,
            "cores": os.cpu_count(),
            "plain_loop": {
                "clips": options.plain_clips,
                "clips_per_s": round(plain_rate, 2),
                "processor_ms": round(plain_ms, 1),
            },
        }
        for fast_jpeg in (False, True):
            processor = FDPVideoProcessor(
                size=SIZE, alignment="precomputed", landmarks_path=str(table), fast_jpeg=fast_jpeg
            )
            started, used = time.perf_counter(), processor_seconds()
            prepare_clips(dataset, processor, root / "cache", num_proc=options.num_proc)
            rate = options.clips / (time.perf_counter() - started)
            per_clip_ms = 1000 * (processor_seconds() - used) / options.clips
            report["fast_jpeg" if fast_jpeg else "exact"] = {
                "clips_per_s": round(rate, 2),
                "times_plain_loop": round(rate / plain_rate, 2),
                "processor_ms": round(per_clip_ms, 1),
                "times_plain_loop_by_processor_time": round(plain_ms / per_clip_ms, 2),
                "stages_of_a_clip": time_stages(drawn[0], fast_jpeg),
            }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
