"""What each baseline sees of a clip: arrays made once per corpus, independent of folds, labels and subjects."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from modeling_fdp import FDPConfig
from modeling_fdp.dynamic_image_fdp import rank_pooling_weights
from modeling_fdp.motion_fdp import motion_channels, stabilize

from .optical_flow import tv_l1_flow

GRID_SIZE = 8
# Brings dynamic images to about unit size; a fixed number, so nothing is learnt from test clips.
_IMAGE_SCALE = 4.0
_CHUNK_SIZE = 64


class Clips(Protocol):
    """The part of `AlignedClips` that baselines use."""

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Frames (uint8, all of them), the key indices, label and names of one clip."""
        ...


def key_indices(clip: dict[str, Any]) -> tuple[int, int]:
    """Find onset and apex in a clip.

    Returns:
        `(onset, apex)`: Where the corpus does not code the apex, the frame in the middle of onset and offset stands
        for it.
    """
    total = len(clip["frames"])
    onset = max(int(clip["onset_index"]), 0)
    offset = int(clip["offset_index"]) if int(clip["offset_index"]) >= 0 else total - 1
    apex = int(clip["apex_index"])
    return onset, apex if apex >= 0 else (onset + offset) // 2


def sampled_frames(clips: Clips, processor: Any, num_frames: int) -> torch.Tensor:
    """Sample frames as the model does.

    Returns:
        `torch.Tensor` of shape `(num_clips, num_frames, height, width)`, uint8.
    """
    return torch.stack(
        [clip["frames"][torch.from_numpy(_indices(processor, clip, num_frames))] for clip in _iterate(clips)]
    )


def no_input(clips: Clips, processor: Any, num_frames: int) -> torch.Tensor:
    """Nothing: `(num_clips, 0)`."""
    return torch.zeros(len(clips), 0)


def middle_frame(clips: Clips, processor: Any, num_frames: int) -> torch.Tensor:
    """One still frame halfway through the clip, appearance without motion: `(num_clips, 1, H, W)` in [-1, 1]."""
    middle = torch.stack([clip["frames"][len(clip["frames"]) // 2] for clip in _iterate(clips)])
    return middle[:, None].float() / 127.5 - 1


def raw_frames(clips: Clips, processor: Any, num_frames: int) -> torch.Tensor:
    """Sampled frames as they are: `(num_clips, num_frames, H, W)` in [-1, 1]."""
    return sampled_frames(clips, processor, num_frames).float() / 127.5 - 1


def apex_flow_grid(clips: Clips, processor: Any, num_frames: int) -> torch.Tensor:
    """Mean flow from onset to apex in each cell of a grid: `(num_clips, 2 * 8 * 8)`, pixels. Knows the apex."""
    pairs = [(clip["frames"], *key_indices(clip)) for clip in _iterate(clips)]
    flow = tv_l1_flow(
        torch.stack([frames[onset] for frames, onset, _ in pairs]),
        torch.stack([frames[apex] for frames, _, apex in pairs]),
    )
    return F.adaptive_avg_pool2d(flow, GRID_SIZE).flatten(1)


def motion_grid(clips: Clips, processor: Any, num_frames: int) -> torch.Tensor:
    """Mean of FDP's pulse in the middle of the clip in each cell of a grid: `(num_clips, 3 * 8 * 8)`, in [-1, 1]."""
    grids = []
    for frames in raw_frames(clips, processor, num_frames).split(_CHUNK_SIZE):
        # Of two moments, the first is the middle; the drift fills the other half of the channels.
        pulse = motion_channels(stabilize(frames.unsqueeze(2)), FDPConfig.reference_gain, 2)[:, 0, :3]
        grids.append(F.adaptive_avg_pool2d(pulse, GRID_SIZE).flatten(1))
    return torch.cat(grids)


def onset_flow(clips: Clips, processor: Any, num_frames: int) -> torch.Tensor:
    """Flow from the first sampled frame to every later one: `(num_clips, 2, num_frames - 1, H, W)`, pixels."""
    frames = sampled_frames(clips, processor, num_frames)
    reference = frames[:, :1].expand_as(frames[:, 1:])
    flow = tv_l1_flow(reference.flatten(0, 1), frames[:, 1:].flatten(0, 1))
    return flow.unflatten(0, (len(frames), num_frames - 1)).transpose(1, 2).contiguous()


def dynamic_image(clips: Clips, processor: Any, num_frames: int) -> torch.Tensor:
    """Signed dynamic image of the whole clip by approximate rank pooling: `(num_clips, 1, H, W)`, about unit size."""
    images = []
    for clip in _iterate(clips):
        weights = torch.as_tensor(rank_pooling_weights(len(clip["frames"]))).float()
        # The sum of positive weights grows with the length; by its inverse a step of one gray level counts alike.
        weights = weights / weights.clamp_min(0).sum().clamp_min(1)
        images.append(torch.einsum("t,thw->hw", weights, clip["frames"].float() / 127.5))
    return torch.stack(images)[:, None] * _IMAGE_SCALE


InputFunction = Callable[[Clips, Any, int], torch.Tensor]


def _iterate(clips: Clips) -> Iterable[dict[str, Any]]:
    return (clips[index] for index in range(len(clips)))


def _indices(processor: Any, clip: dict[str, Any], num_frames: int) -> Any:
    return processor.sample_indices(len(clip["frames"]), num_frames=num_frames)
