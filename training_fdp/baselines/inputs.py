"""Features of the baselines without gradient descent: computed once per corpus, independent of folds and labels."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from modeling_baselines.optical_flow_baselines import tv_l1_flow
from modeling_fdp import FDPConfig
from modeling_fdp.motion_fdp import motion_channels, stabilize
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.batches import ClipCollection
from training_fdp.data.clips import Clip

GRID_SIZE = 8
_CHUNK_SIZE = 64


def key_indices(clip: Clip, num_frames: int) -> tuple[int, int]:
    """Find onset and apex in a clip.

    Args:
        clip (`Clip`): The clip.
        num_frames (`int`): Its number of frames.

    Returns:
        `(onset, apex)`: Where the corpus does not code the apex, the middle of onset and offset is used.
    """
    onset = 0 if clip.onset is None else clip.onset
    offset = num_frames - 1 if clip.offset is None else clip.offset
    return onset, (onset + offset) // 2 if clip.apex is None else clip.apex


def no_input(clips: ClipCollection, processor: FDPVideoProcessor, num_frames: int) -> torch.Tensor:
    """No features: `(num_clips, 0)`."""
    return torch.zeros(len(clips), 0)


def apex_flow_grid(clips: ClipCollection, processor: FDPVideoProcessor, num_frames: int) -> torch.Tensor:
    """Mean flow from onset to apex in each cell of a grid: `(num_clips, 2 * 8 * 8)`, pixels. Uses the apex."""
    onsets, apexes = [], []
    for row in range(len(clips)):
        frames = clips[row].frames
        onset, apex = key_indices(clips[row], len(frames))
        onsets.append(frames[onset])
        apexes.append(frames[apex])
    return F.adaptive_avg_pool2d(tv_l1_flow(torch.stack(onsets), torch.stack(apexes)), GRID_SIZE).flatten(1)


def motion_grid(clips: ClipCollection, processor: FDPVideoProcessor, num_frames: int) -> torch.Tensor:
    """Mean of FDP's pulse in the middle of the clip in each cell of a grid: `(num_clips, 3 * 8 * 8)`, in [-1, 1]."""
    grids = []
    for start in range(0, len(clips), _CHUNK_SIZE):
        sampled = []
        for row in range(start, min(start + _CHUNK_SIZE, len(clips))):
            frames = clips[row].frames
            indices = np.asarray(processor.sample_indices(len(frames), num_frames=num_frames))
            sampled.append(frames[torch.from_numpy(indices)])
        pixels = processor.normalize_frames(torch.stack(sampled)).unsqueeze(2)
        # Of two moments, the first is the middle; the drift fills the other half of the channels.
        pulse = motion_channels(stabilize(pixels), FDPConfig.reference_gain, 2)[:, 0, :3]
        grids.append(F.adaptive_avg_pool2d(pulse, GRID_SIZE).flatten(1))
    return torch.cat(grids)


InputFunction = Callable[[ClipCollection, FDPVideoProcessor, int], torch.Tensor]
