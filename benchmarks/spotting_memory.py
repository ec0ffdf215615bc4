"""Peak memory of the spotter on rendered videos of several lengths: it must not grow with the length.

    python -m benchmarks spotting_memory --minutes 1 10

Each video repeats one rendered movement there and back (128 x 128 pixels, MJPEG) and is spotted by a process of its
own, from the file, without a checkpoint.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from benchmarks.timing import ROOT
from rendered_faces.film import render_clip

SPOT = """
import resource, sys, torch
from spotting_fdp import Spotter
torch.set_num_threads(1)
result = Spotter().spot(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result.num_frames, result.share_seen)
"""


def write_video(path: Path, minutes: float, fps: int) -> None:
    """Write a video of one rendered face."""
    clip = render_clip(1, "surprise", seed=3, fps=fps, neutral_s=1.0).frames
    there_and_back = [*clip, *clip[-2:0:-1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=fps)
        stream.height, stream.width = clip.shape[1:]
        stream.pix_fmt = "yuvj420p"
        for number in range(round(60 * minutes * fps)):
            frame = av.VideoFrame.from_ndarray(there_and_back[number % len(there_and_back)], format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def main() -> None:
    """Print one row per length."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks spotting_memory", description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0], help="lengths (1 and 10)")
    parser.add_argument("--fps", type=int, default=10, help="frames per second (10)")
    options = parser.parse_args()
    print("| minutes | frames | frames with the face | peak memory | time |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in options.minutes:
            path = Path(folder) / f"{minutes:g}.avi"
            write_video(path, minutes, options.fps)
            started = time.perf_counter()
            command = [sys.executable, "-c", SPOT, str(path)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            peak, frames, share = done.stdout.split()
            seconds = time.perf_counter() - started
            print(f"| {minutes:g} | {int(frames):,} | {float(share):.0%} | {float(peak):.0f} MB | {seconds:.0f} s |")


if __name__ == "__main__":
    main()
