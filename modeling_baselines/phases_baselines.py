"""Phases of a movement: where the apex is, and one dynamic image from onset to apex and one from apex to offset."""

import torch
import torch.nn.functional as F

# A phase of fewer different frames is no movement: two frames give the plain difference of a pair.
LEAST_PHASE_FRAMES = 3
# Share of the picture's side that is cut off around it before the apex is estimated, because hair and background move
# with the head.
_BORDER = 0.1
# Frames over which differences are averaged, an odd number.
_SMOOTHING = 5


def estimate_apex(frames: torch.Tensor) -> torch.Tensor:
    """Estimate the apex as the frame that differs most from rest.

    Rest is taken to change linearly from the first frame to the last, so that a slow turn of the head does not count
    as the movement; differences are averaged over five frames. Our choice, since the paper's rule is unknown: the
    frame that differs most from the first one was 44% of the clip away from the apex of rendered faces, this one 10%.
    That is no better than the middle of the clip (`python -m benchmarks apex`), so a coded apex is worth having.

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, height, width)`): Clips from onset to offset.

    Returns:
        `torch.LongTensor` of shape `(batch_size,)`: 0-based index of the frame; never the first or the last one of
        clips with three frames or more.
    """
    count, height, width = frames.shape[1:]
    top, left = int(height * _BORDER), int(width * _BORDER)
    face = frames[:, :, top : height - top, left : width - left].float()
    share = torch.linspace(0, 1, count, device=frames.device)[:, None, None]
    rest = face[:, :1] * (1 - share) + face[:, -1:] * share
    difference = (face - rest).abs().mean(dim=(2, 3))
    padded = F.pad(difference[:, None], (_SMOOTHING // 2, _SMOOTHING // 2), mode="replicate")
    smooth = F.avg_pool1d(padded, _SMOOTHING, stride=1)[:, 0]
    if count > 2:  # both ends are at rest by definition
        return smooth[:, 1:-1].argmax(dim=1) + 1
    return smooth.argmax(dim=1)


def phase_spans(num_frames: int, apex_index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return first and last frame of rise, fall and whole clip.

    Args:
        num_frames (`int`): Frames per clip.
        apex_index (`torch.LongTensor` of shape `(batch_size,)`): Frame of the apex, part of both phases.

    Returns:
        `(first, last)`: Two `torch.LongTensor` of shape `(batch_size, 3)`, both ends included.
    """
    start, end = torch.zeros_like(apex_index), torch.full_like(apex_index, num_frames - 1)
    return torch.stack([start, apex_index, start], dim=1), torch.stack([apex_index, end, end], dim=1)


def phase_exists(frames: torch.Tensor, apex_index: torch.Tensor) -> torch.Tensor:
    """Tell which images a clip has: a phase needs three different frames, and a clip without phases has the whole.

    Repeated frames, which short clips are padded with, count once.

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, height, width)`): Clips.
        apex_index (`torch.LongTensor` of shape `(batch_size,)`): Frame of the apex.

    Returns:
        `torch.BoolTensor` of shape `(batch_size, 3)`: rise, fall, and whole clip, which always exists.
    """
    repeats = (frames[:, 1:] == frames[:, :-1]).flatten(2).all(dim=2)
    number = F.pad((~repeats).long().cumsum(dim=1), (1, 0))
    first, last = phase_spans(frames.shape[1], apex_index)
    distinct = number.gather(1, last) - number.gather(1, first) + 1
    exists = distinct >= LEAST_PHASE_FRAMES
    exists[:, 2] = True
    return exists


def phase_images(frames: torch.Tensor, apex_index: torch.Tensor, reverse_fall: bool) -> torch.Tensor:
    """Sum each phase, and the whole clip, by approximate rank pooling (Bilen et al. 2016).

    Args:
        frames (`torch.FloatTensor` of shape `(batch_size, num_frames, height, width)`): In [-1, 1].
        apex_index (`torch.LongTensor` of shape `(batch_size,)`): Frame of the apex.
        reverse_fall (`bool`): Sum apex to offset backwards.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, 3, height, width)`: Signed, 0 where nothing moves; the positive
        weights sum to 1, so that phases of all lengths have one scale.
    """
    num_frames = frames.shape[1]
    first, last = phase_spans(num_frames, apex_index)
    weights = _rank_weights(num_frames, first, last)
    if reverse_fall:
        # From the offset back to the apex: the weights of a phase that long, read from the other end.
        mirrored = _rank_weights(num_frames, num_frames - 1 - last, num_frames - 1 - first).flip(2)
        weights = torch.stack([weights[:, 0], mirrored[:, 1], weights[:, 2]], dim=1)
    return torch.einsum("bpt,bthw->bphw", weights.to(frames.dtype), frames)


def _rank_weights(num_frames: int, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """alpha_t = 2(n - t + 1) - (n + 1)(H_n - H_{t-1}) inside each span of n frames, 0 outside, positive ones sum to 1.

    `(batch_size, num_spans)` each -> `(batch_size, num_spans, num_frames)`.
    """
    device = first.device
    time = torch.arange(num_frames, device=device)
    harmonic = F.pad((1.0 / (time + 1)).cumsum(dim=0), (1, 0))
    length = (last - first + 1)[..., None]
    position = time - first[..., None] + 1
    inside = (position >= 1) & (position <= length)
    before = harmonic[(position - 1).clamp(0, num_frames)]
    weights = 2 * (length - position + 1) - (length + 1) * (harmonic[length] - before)
    weights = torch.where(inside & (length > 1), weights, torch.zeros_like(weights))
    return weights / weights.clamp(min=0).sum(dim=-1, keepdim=True).clamp(min=1e-6)
