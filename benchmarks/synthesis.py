"""Frames per second of the synthetic faces, on one core.

python benchmarks/synthesis.py [--face_model DIR] [--frames 60] [--json]

Processor time is what counts where other programs share the core; on an idle one both figures agree.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from rendered_faces.faces import FaceFamily
from rendered_faces.film import film, jpeg_bytes, measure
from rendered_faces.motion import plan_performance
from rendered_faces.procedural.face import ProceduralFaces

SIZES = ((128, 128), (340, 280))


def time_family(family: FaceFamily, size_hw: tuple[int, int], num_frames: int) -> dict[str, float | str]:
    """Render one recording at medium difficulty and return its rates.

    Args:
        family (`FaceFamily`): kind of face.
        size_hw (`tuple` of two `int`): height and width of the frames.
        num_frames (`int`): length of the recording.

    Returns:
        `dict`: kind, size, frames per second of rendering with camera (wall clock and processor time), the same with
        JPEG and ground truth, and the seconds that a new identity takes.
    """
    begun = time.process_time()
    face = family.face(1, size_hw)
    identity_s = time.process_time() - begun
    performance = plan_performance(
        (1,),
        [("happiness", "6+12")],
        fps=200.0,
        difficulty="medium",
        duration_s=((num_frames - 1) / 200.0,) * 2,
    )
    # Displacement maps and compiled code are made once.
    next(film(face, performance))
    measure(face, performance)
    wall, processor = time.perf_counter(), time.process_time()
    frames = list(film(face, performance))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    filed = time.process_time()
    for frame in frames:
        jpeg_bytes(frame, performance.jpeg_quality)
    measure(face, performance)
    filed = time.process_time() - filed
    return {
        "faces": family.name,
        "size": f"{size_hw[0]}x{size_hw[1]}",
        "frames_per_second": round(len(frames) / wall, 1),
        "frames_per_processor_second": round(len(frames) / processor, 1),
        "with_files_and_truth": round(len(frames) / (processor + filed), 1),
        "identity_s": round(identity_s, 2),
    }


def main() -> None:
    """Print one row for each kind of face and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--face_model", type=Path, help="folder of ICT-FaceKit")
    parser.add_argument("--frames", type=int, default=60)
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
