"""`python -m training_fdp.methods.movement_directions`: fit the initial directions of FDP's movement scorer.

Fisher directions: generalised eigenvectors of the motion between rest and apex against the motion in quiet frames,
which is drift and parallax of the head and drift of the light. Each is scaled by the root of its eigenvalue. They are
fitted on recordings with quiet frames around the movement, rendered from the settings `CORPUS` by default, for one
`crop_scale`; another `crop_scale` needs other directions.
"""

import argparse
import base64
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from datasets import config as datasets_config
from tqdm import tqdm

from hub_datasets import load_corpus
from hub_datasets.features import ClipRow
from hub_datasets.synthetic.settings import CorpusSettings
from modeling_fdp import movement_directions_fdp
from modeling_fdp.motion_fdp import stabilize
from modeling_fdp.movement_curves_fdp import motion_by_place
from modeling_fdp.movement_directions_fdp import NUM_DIRECTIONS
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.cli import run_main, say
from training_fdp.data.recordings import with_surroundings

# Standard deviation in frames by which motion is smoothed over time, about as the network averages neighbouring
# frames.
SMOOTHING = 1.2
# Added to the variance of quiet motion, relative to its mean, because directions without any quiet motion in rendered
# faces would otherwise get unbounded weight.
NOISE_FLOOR = 0.2
# Least number of frames of a quiet stretch, and frames left out between it and the movement.
LEAST_QUIET, GAP = 6, 2
# Characters per line of the written file.
LINE = 112
# The crop of every figure in docs/.
CROP = {"alignment": "precomputed", "crop_scale": 2.0, "even_light": True}
# The corpus that is rendered where none is given; no figure in docs/ is measured on its people.
CORPUS = CorpusSettings(
    num_subjects=50, num_clips=500, seed=61_010, mix="5class", difficulty="medium", fps=60.0, neutral_s=0.355
)


class Recording(NamedTuple):
    """Aligned frames of a recording, and the key frames of its movement.

    Args:
        frames (`torch.FloatTensor` of shape `(num_frames, side, side)`): evenly lit, in [-1, 1].
        onset, apex, offset (`int`): 0-based first, strongest and last frame of the movement.
    """

    frames: torch.Tensor
    onset: int
    apex: int
    offset: int


def fit_directions(corpora: Iterable[Iterable[Recording]], count: int = NUM_DIRECTIONS) -> torch.Tensor:
    """Fit directions in closed form.

    Args:
        corpora (`Iterable[Iterable[Recording]]`): recordings with quiet frames before or after the movement; every
            corpus has the same weight, however large it is.
        count (`int`, *optional*, defaults to 16): number of directions.

    Returns:
        `torch.FloatTensor` of shape `(count, MOTION_SIZE)`: directions in the order of falling eigenvalues.

    Raises:
        ValueError: a corpus has no quiet stretch that is long enough.
    """
    products = [_products(recordings) for recordings in corpora]
    noise, signal = (torch.stack(parts).mean(0) for parts in zip(*products, strict=True))
    noise = noise + NOISE_FLOOR * noise.trace() / len(noise) * torch.eye(len(noise), dtype=noise.dtype)
    whitening = torch.linalg.inv(torch.linalg.cholesky(noise))
    ratios, axes = torch.linalg.eigh(whitening @ signal @ whitening.T)
    directions = whitening.T @ (axes * ratios.clamp(min=0).sqrt())
    return directions.flip(1)[:, :count].T.float().contiguous()


def _products(recordings: Iterable[Recording]) -> tuple[torch.Tensor, torch.Tensor]:
    """Second moments of quiet motion, and of the motion between apex and the mean of onset and offset."""
    quiet, moved = [], []
    for recording in recordings:
        motion = _smoothed(motion_of(recording.frames))
        stretches = (motion[: max(recording.onset - GAP + 1, 0)], motion[recording.offset + GAP :])
        quiet += [part - part.mean(0) for part in stretches if len(part) >= LEAST_QUIET]
        moved.append(motion[recording.apex] - (motion[recording.onset] + motion[recording.offset]) / 2)
    if not quiet:
        raise ValueError(
            f"directions need recordings with {LEAST_QUIET} quiet frames before or after a movement, but none has; "
            "give a corpus of whole recordings (python -m hub_datasets generate --neutral_s 0.355)."
        )
    still, signal = torch.cat(quiet).double(), torch.stack(moved).double()
    return still.T @ still / len(still), signal.T @ signal / len(signal)


def motion_of(frames: torch.Tensor) -> torch.Tensor:
    """Motion of all frames against their mean, stabilised on the middle frame: `(num_frames, MOTION_SIZE)`."""
    still = stabilize(frames[None, :, None], anchor=len(frames) // 2)
    return motion_by_place(still.squeeze(2))[0]


def _smoothed(motion: torch.Tensor) -> torch.Tensor:
    at = torch.arange(len(motion), dtype=motion.dtype)
    weight = torch.softmax(-0.5 * ((at[:, None] - at) / SMOOTHING).square(), 1)
    return weight @ motion


def read_recordings(rows: Iterable[ClipRow], processor: FDPVideoProcessor) -> Iterator[Recording]:
    """Read and crop the whole recording of every clip whose apex is known."""
    for row in rows:
        whole = with_surroundings(row)
        if whole["apex_index"] is None or not whole["frames"]:
            continue
        frames = processor.align_clip(whole["frames"], clip_id=row["clip_id"]).frames
        yield Recording(
            processor.normalize_frames(frames), whole["onset_index"], whole["apex_index"], whole["offset_index"]
        )


def main(arguments: list[str] | None = None) -> int:
    """Fit directions and write them.

    Args:
        arguments (`list[str]`, *optional*): Command line; that of the process by default.

    Returns:
        `int`: Exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m training_fdp.methods.movement_directions", description=__doc__)
    parser.add_argument("--corpus", default="synthetic", help="corpus of whole recordings (synthetic)")
    parser.add_argument("--data_dir", nargs="+", type=Path, help="its folders; rendered from the seed when omitted")
    parser.add_argument("--crop_scale", type=float, default=CROP["crop_scale"], help="that of the processor (2.0)")
    default = Path(movement_directions_fdp.__file__)
    parser.add_argument("--output_file", type=Path, default=default, help="the network's own file by default")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    torch.set_num_threads(1)
    processor = FDPVideoProcessor(**{**CROP, "crop_scale": options.crop_scale})
    folders = options.data_dir or [_rendered()]
    rows = [load_corpus(options.corpus, data_dir=folder) for folder in folders]
    directions = fit_directions(read_recordings(tqdm(corpus, unit="recording"), processor) for corpus in rows)
    write_directions(directions, options.output_file)
    say(f"{len(directions)} directions from {sum(map(len, rows))} recordings in {options.output_file}")
    return 0


def write_directions(directions: torch.Tensor, path: Path) -> None:
    """Replace the directions in the file of the network's code that holds them.

    Args:
        directions (`torch.FloatTensor` of shape `(NUM_DIRECTIONS, MOTION_SIZE)`): rounded to 8 bits each, with one
            scale per direction: an error of about one percent.
        path (`Path`): a copy of `modeling_fdp/movement_directions_fdp.py`.
    """
    scales = directions.abs().amax(1) / 127
    values = (directions / scales[:, None]).round().to(torch.int8).numpy().tobytes()
    text = base64.b85encode(values).decode()
    lines = [f'    "{text[start : start + LINE]}"' for start in range(0, len(text), LINE)]
    numbers = [f"    {', '.join(f'{float(scale):.6g}' for scale in part)}," for part in scales.split(8)]
    code = path.read_text(encoding="utf-8")
    for name, content in (("SCALES", numbers), ("VALUES", lines)):
        block = "\n".join([f"{name} = (", *content, ")  # fmt: skip"])
        pattern = rf"^{name} = \(\n(?:.*\n)*?\)(?:  # fmt: skip)?$"
        code = re.sub(pattern, block, code, flags=re.MULTILINE)
    path.write_text(code, encoding="utf-8")


def _rendered() -> Path:
    from hub_datasets.synthetic.layouts import LAYOUTS
    from hub_datasets.synthetic.tree import write_tree

    root = Path(datasets_config.HF_DATASETS_CACHE) / "synthetic_frames" / CORPUS.digest()
    write_tree(CORPUS, LAYOUTS["synthetic"](), root)
    return root


if __name__ == "__main__":
    run_main(main)
