"""Time until the first answer of a fresh process: `python -m benchmarks import`.

Each row is a process of its own: imports, `train.py --help`, and `predict.py` on a video of 3 seconds, 640 x 480,
with a rendered face, which the face mesh finds and follows. Beside it, in one process: clips per second from decoded
frames, and how many times real time a video takes at 30 frames per second, face mesh included.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import Row, parse, parser, report, seconds, time_command

FPS, VIDEO_S = 30, 3
HEIGHT, WIDTH, FACE = 480, 640, 400
IMPORTS = {
    "import torch": "import torch",
    "import transformers' PreTrainedModel": "from transformers import PreTrainedModel",
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


def write_checkpoint(folder: Path) -> None:
    """Write an untrained `tiny` with its processor: the time does not depend on the weights."""
    from modeling_fdp import FDPConfig, FDPForVideoClassification
    from processing_fdp.video_processing_fdp import FDPVideoProcessor

    model = FDPForVideoClassification(FDPConfig.from_preset("tiny", num_labels=5))
    model.save_pretrained(folder)
    FDPVideoProcessor(num_frames=model.config.num_frames, size=model.config.image_size).save_pretrained(folder)


def cold(command: list[str], rounds: int) -> dict[str, float]:
    """Run a command in fresh processes: median seconds by the clock and of the processor."""
    walls, processors = zip(*(time_command(command) for _ in range(rounds)), strict=True)
    return {"s": float(np.median(walls)), "processor s": float(np.median(processors))}


def warm_rows(checkpoint: Path, video: Path, rounds: int) -> list[Row]:
    """Measure a process that has loaded the model: the video from its file, and decoded frames of 64 pixels."""
    from training_fdp.hub.prediction import Predictor

    predictor = Predictor(str(checkpoint))
    predictor.predict(str(video))
    from_file = float(np.median([seconds(lambda: predictor.predict(str(video))) for _ in range(rounds)]))
    size = predictor.model.config.image_size
    frames = np.random.default_rng(0).integers(0, 256, (FPS * VIDEO_S, size, size, 1), dtype=np.uint8)

    def decoded() -> None:
        inputs = predictor.processor(
            frames, num_frames=predictor.model.config.num_frames, do_sample_frames=True, return_tensors="pt"
        )
        predictor.model(pixel_values=inputs["pixel_values"])

    predictor.processor.alignment = "none"
    decoded()
    from_frames = float(np.median([seconds(decoded) for _ in range(5 * rounds)]))
    return [
        {"tiny, one clip": f"video of {VIDEO_S} s, face mesh included", "s": from_file,
         "times real time": VIDEO_S / from_file, "clips/s": 1 / from_file},
        {"tiny, one clip": "decoded frames", "s": from_frames, "times real time": None, "clips/s": 1 / from_frames},
    ]  # fmt: skip


def main() -> int:
    """Parse the command line, measure, print."""
    options = parse(parser(__doc__ or "", rounds=3))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, video = Path(folder) / "model", Path(folder) / "video.mp4"
        write_checkpoint(checkpoint)
        write_video(video)
        commands = {name: [sys.executable, "-c", code] for name, code in IMPORTS.items()}
        commands["train.py --help"] = [sys.executable, "train.py", "--help"]
        commands["predict.py, first answer"] = [sys.executable, "predict.py", str(video), "--model", str(checkpoint)]
        rows = [{"fresh process": name, **cold(words, options.rounds)} for name, words in commands.items()]
        warm = warm_rows(checkpoint, video, options.rounds)
    report("import", {"Fresh processes": rows, "A process that has loaded the model": warm}, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
