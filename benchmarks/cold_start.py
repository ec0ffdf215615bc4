"""Time until the first answer of a fresh process: `python -m benchmarks import`.

Each row is a process of its own: imports, `train.py --help`, and `predict.py` with the checkpoint of this package on a
video of 3 seconds, 640 x 480, with a rendered face, which the face mesh finds and follows. A second table, of one
process that has loaded the model: clips per second from decoded frames, and from the video of 30 frames per second,
face mesh included, as multiples of real time.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import Function, Row, both_seconds, parse, parser, report, time_command

FPS, VIDEO_S = 30, 3
HEIGHT, WIDTH, FACE = 480, 640, 400
IMPORTS = {
    "import torch": "import torch",
    "import transformers' PreTrainedModel": "from transformers import PreTrainedModel",
    "and its video processor": "from transformers import PreTrainedModel; import transformers.video_processing_utils",
    "import modeling_fdp": "import modeling_fdp",
    "import training_fdp.runs.run": "import training_fdp.runs.run",
}


def write_video(path: Path) -> None:
    """Write the video: a rendered face pasted into gray frames."""
    import av

    from rendered_faces.film import render_clip

    film = render_clip(1000, "happiness", seed=0, size=FACE, fps=FPS, difficulty="medium", neutral_s=1.2).frames
    there_and_back = np.concatenate([film, film[::-1]] * VIDEO_S)[: FPS * VIDEO_S]
    left, top = (WIDTH - FACE) // 2, (HEIGHT - FACE) // 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in there_and_back:
            frame = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
            frame[top : top + FACE, left : left + FACE] = picture[..., None]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def cold(command: list[str], rounds: int, threads: int | None) -> dict[str, float]:
    """Run a command in fresh processes: median seconds by the clock and of the processor."""
    environment = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    walls, processors = zip(*(time_command(command, environment) for _ in range(rounds)), strict=True)
    return {"s": float(np.median(walls)), "processor s": float(np.median(processors))}


def warm_rows(video: Path, rounds: int) -> list[Row]:
    """Measure a process that has loaded the model: the video from its file, and decoded frames of an aligned face."""
    from training_fdp.hub.prediction import Predictor

    predictor = Predictor()
    from_file = _median(lambda: predictor.predict(str(video)), rounds)
    size = predictor.model.config.image_size
    frames = np.random.default_rng(0).integers(0, 256, (FPS * VIDEO_S, size, size, 1), dtype=np.uint8)

    def decoded() -> None:
        inputs = predictor.processor(
            frames, num_frames=predictor.model.config.num_frames, do_sample_frames=True, return_tensors="pt"
        )
        predictor.model(pixel_values=inputs["pixel_values"])

    predictor.processor.alignment = "none"
    from_frames = _median(decoded, 5 * rounds)
    ways = {f"video of {VIDEO_S} s, face mesh included": from_file, "decoded frames of an aligned face": from_frames}
    return [
        {
            "one clip": way,
            "s": wall,
            "processor s": used,
            "clips per processor s": 1 / used,
            "times real time, processor": VIDEO_S / used,
        }
        for way, (wall, used) in ways.items()
    ]


def _median(function: Function, rounds: int) -> tuple[float, float]:
    """Median seconds by the clock and of the processor, after one call that does not count."""
    function()
    walls, processors = zip(*(both_seconds(function) for _ in range(rounds)), strict=True)
    return float(np.median(walls)), float(np.median(processors))


def main() -> int:
    """Parse the command line, measure, print."""
    options = parse(parser(__doc__ or "", rounds=3))
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        write_video(video)
        commands = {name: [sys.executable, "-c", code] for name, code in IMPORTS.items()}
        commands["train.py --help"] = [sys.executable, "train.py", "--help"]
        commands["predict.py, first answer"] = [sys.executable, "predict.py", str(video)]
        rows = [
            {"fresh process": name, **cold(words, options.rounds, options.threads)} for name, words in commands.items()
        ]
        warm = warm_rows(video, options.rounds)
    report("import", {"Fresh processes": rows, "A process that has loaded the model": warm}, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
