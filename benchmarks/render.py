"""Frames per second of the rendered faces, on one core: rendering, camera and JPEG.

    python -m benchmarks render [--face_model DIR] [--frames 120]

Processor time of short bursts. The median rate is lower where other programs on the core empty its caches; the best
burst is close to that of an idle machine.
"""

import statistics
import sys
import time
from itertools import islice
from pathlib import Path

import torch

from benchmarks.timing import parse, parser, report
from rendered_faces.faces import FaceFamily
from rendered_faces.film import FRAMES_AT_ONCE, film, jpeg_bytes, measure
from rendered_faces.motion import plan_performance
from rendered_faces.procedural.face import ProceduralFaces
from rendered_faces.variations import switches_of

# Frames in a burst, because `film` renders so many at once.
BURST = FRAMES_AT_ONCE
CASES = (("medium", (128, 128)), ("wild", (128, 128)), ("medium", (340, 280)))


def time_family(
    family: FaceFamily, difficulty: str, size_hw: tuple[int, int], num_frames: int
) -> dict[str, float | str]:
    """Render one recording and return its rates.

    Args:
        family (`FaceFamily`): kind of face.
        difficulty (`str`): `"medium"` or `"wild"`; at 200 frames per second either way.
        size_hw (`tuple` of two `int`): height and width of the frames.
        num_frames (`int`): length of the recording.

    Returns:
        `dict`: kind, difficulty, size, frames per processor second with camera and JPEG (median and best of bursts of
        eight frames), milliseconds of ground truth per frame, and seconds per new identity.
    """
    variations = switches_of(difficulty).without("frame_rate")
    family.face(0, size_hw, variations)
    start = time.process_time()
    face = family.face(1, size_hw, variations)
    identity_s = time.process_time() - start
    performance = plan_performance(
        (1,),
        [("happiness", "6+12")],
        fps=200.0,
        difficulty=difficulty,
        duration_s=((num_frames - 1) / 200.0,) * 2,
        variations=variations,
        largest_yaw=family.largest_yaw,
    )
    # Warm up: displacement maps and compiled code are made once.
    next(film(face, performance))
    measure(face, performance)
    bursts, frames = [], film(face, performance)
    # The last burst is left out: a codec's frames come late, so that all of its renderings belong to the one before.
    for _ in range(max(1, performance.num_frames // BURST - 1)):
        start = time.process_time()
        for frame in islice(frames, BURST):
            jpeg_bytes(frame, performance.jpeg_quality)
        bursts.append((time.process_time() - start) / BURST)
    start = time.process_time()
    measure(face, performance)
    return {
        "faces": family.name,
        "difficulty": difficulty,
        "size": f"{size_hw[0]}x{size_hw[1]}",
        "frames/s": round(1 / statistics.median(bursts)),
        "best burst": round(1 / min(bursts)),
        "truth, ms": round(1000 * (time.process_time() - start) / performance.num_frames, 2),
        "new identity, s": round(identity_s, 2),
    }


def main() -> int:
    """Measure each kind of face at each size, print."""
    made = parser(__doc__ or "", rounds=1)
    made.add_argument("--face_model", type=Path, help="folder of ICT-FaceKit")
    made.add_argument("--frames", type=int, default=120)
    options = parse(made)
    torch.set_num_threads(1)
    families: list[FaceFamily] = [ProceduralFaces()]
    if options.face_model is not None:
        from rendered_faces.morphable.face import MorphableFaces

        families.append(MorphableFaces(options.face_model))
    rows = [time_family(family, *case, options.frames) for family in families for case in CASES]
    report("render", {"Rendering, one core": rows}, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
