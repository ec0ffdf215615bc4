"""Frames per second of the rendered faces, on one core: rendering, camera and JPEG.

python -m benchmarks.synthesis [--face_model DIR] [--frames 120] [--json]

Processor time of short bursts. The median rate is lower where other programs on the core empty its caches; the best
burst is close to that of an idle machine.
"""

import argparse
import json
import statistics
import time
from itertools import islice
from pathlib import Path

import torch

from rendered_faces.faces import FaceFamily
from rendered_faces.film import film, jpeg_bytes, measure
from rendered_faces.motion import plan_performance
from rendered_faces.procedural.face import ProceduralFaces

# Frames in a burst.
BURST = 10
SIZES = ((128, 128), (340, 280))


def time_family(family: FaceFamily, size_hw: tuple[int, int], num_frames: int) -> dict[str, float | str]:
    """Render one recording at medium difficulty and return its rates.

    Args:
        family (`FaceFamily`): kind of face.
        size_hw (`tuple` of two `int`): height and width of the frames.
        num_frames (`int`): length of the recording.

    Returns:
        `dict`: kind, size, frames per processor second with camera and JPEG (median and best of bursts of ten
        frames), milliseconds of ground truth per frame, and seconds per new identity.
    """
    family.face(0, size_hw)
    start = time.process_time()
    face = family.face(1, size_hw)
    identity_s = time.process_time() - start
    performance = plan_performance(
        (1,),
        [("happiness", "6+12")],
        fps=200.0,
        difficulty="medium",
        duration_s=((num_frames - 1) / 200.0,) * 2,
    )
    # Warm up: displacement maps and compiled code are made once.
    next(film(face, performance))
    measure(face, performance)
    bursts, frames = [], film(face, performance)
    for _ in range(performance.num_frames // BURST):
        start = time.process_time()
        for frame in islice(frames, BURST):
            jpeg_bytes(frame, performance.jpeg_quality)
        bursts.append((time.process_time() - start) / BURST)
    start = time.process_time()
    measure(face, performance)
    return {
        "faces": family.name,
        "size": f"{size_hw[0]}x{size_hw[1]}",
        "frames_per_second": round(1 / statistics.median(bursts)),
        "best_burst": round(1 / min(bursts)),
        "truth_ms": round(1000 * (time.process_time() - start) / performance.num_frames, 2),
        "identity_s": round(identity_s, 2),
    }


def main() -> None:
    """Print one row for each kind of face and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--face_model", type=Path, help="folder of ICT-FaceKit")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    families: list[FaceFamily] = [ProceduralFaces()]
    if args.face_model is not None:
        from rendered_faces.morphable.face import MorphableFaces

        families.append(MorphableFaces(args.face_model))
    rows = [time_family(family, size_hw, args.frames) for family in families for size_hw in SIZES]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(" | ".join(rows[0]))
    for row in rows:
        print(" | ".join(str(value) for value in row.values()))


if __name__ == "__main__":
    main()
