"""Measures of an aligned clip beside the network's output: motion of skin and head in pixels, likeness of frames.

They need no network, so that the answer of any network for gray aligned frames can be compared with the pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch

from .motion_fdp import (
    HEAD_WINDOW,
    head_motion,
    motion_behind,
    stabilize,
    without_head,
)

# The size of a motion is that of the strongest share of its cells, as in `movement_patterns_fdp`.
STRONGEST_SHARE = 0.05
# Half axes of the face in an aligned frame, as shares of half its side: hair, wall and clothes are outside (our
# choice).
FACE_WIDTH, FACE_HEIGHT = 0.7, 0.8
# A movement lasts while it is above this share of its peak (our choice).
REST_SHARE = 0.25
# A cut: two frames in a row are less alike than this, and their difference is this many times the usual one. Within
# rendered clips with blinks, speech and head turns the likeness stays above 0.83; between two people it is below 0.61.
LEAST_LIKENESS, UNUSUAL = 0.75, 4.0


def skin_motion(frames: torch.Tensor, at_rest: Sequence[int]) -> np.ndarray:
    """Distance of the skin from its place at rest, after the head is stabilised.

    Args:
        frames (`torch.FloatTensor` of shape `(num_frames, height, width)`): gray, square, in [-1, 1].
        at_rest (`Sequence[int]`): 0-based numbers of frames at rest, whose mean is the place at rest.

    Returns:
        `np.ndarray` of shape `(num_frames,)`: float64, pixels; root mean square over the strongest 5% of the face.
    """
    still = stabilize(frames[None, :, None], anchor=at_rest[0])[:, :, 0]
    rest = still[:, list(at_rest)].mean(1, keepdim=True)
    flow = motion_behind(rest, still - rest)
    flow = without_head(flow)
    place = torch.linspace(-1, 1, flow.shape[-1], device=flow.device)
    on_face = (place[:, None] / FACE_HEIGHT).square() + (place / FACE_WIDTH).square() <= 1
    squares = flow.square().sum(2)[0][:, on_face]
    strongest = squares.topk(max(1, round(STRONGEST_SHARE * squares.shape[1])), dim=1).values
    curve: np.ndarray = strongest.mean(1).sqrt().double().cpu().numpy()
    return curve


def head_size(frames: torch.Tensor) -> float:
    """Largest motion of the head between any two frames, in pixels: root mean square over the face.

    Args:
        frames (`torch.FloatTensor` of shape `(num_frames, height, width)`): gray, square, in [-1, 1].
    """
    anchor = len(frames) // 2
    fitted = head_motion(frames[None].float(), anchor)[0]
    motion = torch.cat([fitted[:anchor], torch.zeros_like(fitted[:1]), fitted[anchor:]])
    between = (motion[:, None] - motion[None]).square()
    # Under the window of `affine_motion`, 1, x and y are orthogonal, and x and y have its variance.
    squares = between[..., 0] + HEAD_WINDOW**2 * between[..., 1:].sum(-1)
    return float(squares.sum(-1).max().sqrt())


def progress_of(curve: np.ndarray) -> np.ndarray:
    """Progress of a movement, from a curve of its size.

    Args:
        curve (`np.ndarray` of shape `(num_frames,)`): at least two values, smallest at rest.

    Returns:
        `np.ndarray` of shape `(num_frames,)`: from 0, at rest, to 1, at the strongest; 0 throughout for a flat curve.
        The second smallest value counts as rest, because a curve of differences from one of the frames is 0 in that
        frame.
    """
    floor = float(np.sort(curve)[1])
    rise = float(curve.max()) - floor
    return ((curve - floor) / rise).clip(0, 1) if rise > 0 else np.zeros_like(curve)


def movement_interval(progress: np.ndarray) -> tuple[int, int, int]:
    """Onset, apex and offset: from the strongest frame outwards to the first one near rest.

    Args:
        progress (`np.ndarray` of shape `(num_frames,)`): from `progress_of`.

    Returns:
        `tuple[int, int, int]`: 0-based positions in the curve; its first or last one where the movement does not come
        to rest.
    """
    apex = int(np.argmax(progress))
    resting = progress <= REST_SHARE
    before, after = np.flatnonzero(resting[:apex]), np.flatnonzero(resting[apex:])
    return (int(before[-1]) if len(before) else 0, apex, apex + int(after[0]) if len(after) else len(progress) - 1)


def likeness(frames: torch.Tensor) -> np.ndarray:
    """Correlation of each frame with the next one, which a change of light leaves as it is.

    Args:
        frames (`torch.FloatTensor` of shape `(num_frames, height, width)`): gray.

    Returns:
        `np.ndarray` of shape `(num_frames - 1,)`: float64 in [-1, 1]; 1 between two flat frames, 0 between a flat and
        another frame.
    """
    pixels = frames.flatten(1).double().cpu().numpy()
    pixels = pixels - pixels.mean(axis=1, keepdims=True)
    lengths = np.sqrt((pixels**2).sum(axis=1))
    # A frame is flat if its standard deviation is below one gray level.
    flat = lengths < np.sqrt(pixels.shape[1]) / 127.5
    products = (pixels[:-1] * pixels[1:]).sum(axis=1) / np.maximum(lengths[:-1] * lengths[1:], 1e-12)
    answer: np.ndarray = np.where(flat[:-1] & flat[1:], 1.0, np.where(flat[:-1] | flat[1:], 0.0, products))
    return answer


def find_cut(frames: torch.Tensor) -> int | None:
    """Position of the frame after which the picture becomes another one, 0-based (`int`); `None` without one.

    A cut, a face that is lost, or, between frames that are far apart in time, a large turn of the head.

    Args:
        frames (`torch.FloatTensor` of shape `(num_frames, height, width)`): gray.
    """
    alike = likeness(frames)
    usual = 1 - float(np.median(alike))
    worst = int(np.argmin(alike))
    return worst if alike[worst] < LEAST_LIKENESS and 1 - alike[worst] > UNUSUAL * usual else None
