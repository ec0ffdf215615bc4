"""Error of the apex that phase-aware dynamic images estimate where the sheet names none.

    python -m benchmarks apex --corpus synthetic --data_dir DIR --processor_overrides alignment=precomputed

Takes the options of train.py that choose clips. Prints the mean and the median distance to the coded apex as shares of
the clip and in frames of the recording, beside two guesses that read no frame: the middle of the clip, and the mean
place of the apex in all clips, which is not known before.
"""

import sys
import tempfile

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation_fdp.markdown import markdown_table
from modeling_baselines.phases_baselines import estimate_apex
from training_fdp.cli import run_main
from training_fdp.config import parse_train_config
from training_fdp.runs.engine import build_accelerator
from training_fdp.runs.prepare import PreparedRun, prepare_run


def apex_places(prepared: PreparedRun) -> NDArray[np.float64]:
    """Coded and estimated apex of every clip whose sheet names one inside the movement.

    Args:
        prepared (`PreparedRun`): Clips and their processor.

    Returns:
        `np.ndarray` of shape `(num_clips, 3)`: Coded and estimated place, from 0 at the onset to 1 at the offset, and
        the frames between the two ends.
    """
    places = []
    for row in range(len(prepared.clips)):
        clip = prepared.clips[row]
        frames = clip.frames
        first = 0 if clip.onset is None else clip.onset
        last = len(frames) - 1 if clip.offset is None else clip.offset
        if clip.apex is None or not first < clip.apex < last:
            continue
        indices = prepared.processor.sample_indices(
            len(frames), num_frames=prepared.network.num_frames, onset_index=clip.onset, offset_index=clip.offset
        )
        sampled = prepared.processor.normalize_frames(frames[torch.from_numpy(indices)])
        estimated = indices[int(estimate_apex(sampled[None]))]
        length = last - first
        places.append(((clip.apex - first) / length, (estimated - first) / length, length))
    return np.array(places, dtype=np.float64).reshape(-1, 3)


def main() -> int:
    """Print the table; return the exit code (`int`)."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--method", "phase_images", "--protocol", "loso", "--output_dir", folder, *sys.argv[1:]]
        config = parse_train_config(arguments)
        prepared = prepare_run(config, build_accelerator(config.training, config.run))
        places = apex_places(prepared)
    if not len(places):
        print("no clip has a coded apex inside its movement; give a corpus whose sheet names one")
        return 1
    coded, estimated, length = places.T
    rows = []
    guesses = {"estimate": estimated, "middle of the clip": 0.5, "mean place of all clips": coded.mean()}
    for title, guess in guesses.items():
        error = np.abs(coded - guess)
        frames = error * length
        rows.append((title, f"{error.mean():.3f}", f"{np.median(error):.3f}", f"{frames.mean():.1f}"))
    kind = "rendered clips" if prepared.corpora.is_rendered else "clips"
    print(f"{len(places)} {kind}, {length.mean():.1f} frames long on average")
    print(markdown_table(("apex", "mean error (share)", "median", "mean error (frames)"), rows))
    return 0


if __name__ == "__main__":
    run_main(main)
