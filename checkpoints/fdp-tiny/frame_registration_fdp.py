"""Registration of the frames of a clip to its first one: the head's drift, with sub-pixel precision.

Gauss-Newton on the gray values, coarse to fine, all frames at once. To be robust to pixels that do not move with the
head (the expression itself, blinks) and to changes of brightness and contrast, weights fall with the residual
(Geman-McClure), and gain and offset are fitted.
"""

import itertools
import logging
import math

import numpy as np
import torch
import torch.nn.functional as F

from .crop_geometry_fdp import sample_frames

logger = logging.getLogger(__name__)

REGISTRATIONS = ("translation", "similarity")
# The crop that is registered: its shorter side in pixels, at most, and the margin for drift around it.
_WORK_SIDE = 128
_MARGIN = 0.2
_PYRAMID = (8, 4, 2, 1)
_ITERATIONS = 12
# Radius, over half the crop, of the part that is fitted: the face, without the still background.
_FACE_RADIUS = 0.6
# Shifts tried before the descent, as a share of the crop's side.
_SEARCH_REACH = 0.25
# Steps below this many work pixels end the iteration.
_TOLERANCE = 1e-3


class FrameRegistration:
    """Registers frames to the first frame of a clip.

    Args:
        first_frame (`torch.Tensor` of shape `(height, width)`): uint8.
        transform (`np.ndarray` of shape `(2, 3)`): Crop of the first frame, crop pixels to frame pixels.
        size_hw (`tuple[int, int]`): Height and width of that crop.
        model (`str`): "translation" (2 numbers per frame) or "similarity" (shift, turn and scale: 4).
    """

    def __init__(
        self, first_frame: torch.Tensor, transform: np.ndarray, size_hw: tuple[int, int], model: str = "translation"
    ) -> None:
        self.model = model
        self.work_transform, self.work_hw = _work_crop(transform, size_hw)
        self._last = torch.zeros(2 if model == "translation" else 4)
        self._template = self._work_frames(first_frame[None])
        self._levels = [_template_level(self._template[0], factor, model) for factor in self._factors()]

    def _factors(self) -> list[int]:
        # The coarsest level has at least about twenty pixels.
        return [factor for factor in _PYRAMID if min(self.work_hw) // factor >= 20] or [1]

    def _work_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Crop to the registered area, smoothed so that bilinear sampling between pixels stays unbiased."""
        return _blur(sample_frames(frames, self.work_transform, self.work_hw))

    def register(self, frames: torch.Tensor) -> np.ndarray:
        """Motion of frames against the first one.

        Frames of a long clip come in order, in chunks: each chunk is initialised with the last motion.

        Args:
            frames (`torch.Tensor` of shape `(num_frames, height, width)`): uint8.

        Returns:
            `np.ndarray` of shape `(num_frames, 2, 3)`: float64; maps a pixel (x, y, 1) of the first frame to the pixel
            of the same point of the head in each frame.
        """
        work = self._work_frames(frames)
        motion = self._last.to(work.device).repeat(len(work), 1)
        coarsest = self._factors()[0]
        motion = _search(F.avg_pool2d(work[:, None], coarsest)[:, 0], self._levels[0], motion, coarsest)
        for factor, level in zip(self._factors(), self._levels, strict=True):
            motion = _refine(F.avg_pool2d(work[:, None], factor)[:, 0], level, motion, factor, self.model)
        self._last = motion[-1].cpu()
        return np.stack([self._frame_motion(row) for row in motion.cpu().double().numpy()])

    def _frame_motion(self, motion: np.ndarray) -> np.ndarray:
        """Turn work-crop parameters into a motion of frame pixels."""
        height, width = self.work_hw
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        a, b = motion[2:] if len(motion) == 4 else (0.0, 0.0)
        linear = np.array([[1 + a, -b], [b, 1 + a]])
        work = np.eye(3)
        work[:2, :2], work[:2, 2] = linear, centre + motion[:2] - linear @ centre
        to_frame = np.vstack([self.work_transform, [0.0, 0.0, 1.0]])
        return (to_frame @ work @ np.linalg.inv(to_frame))[:2]


def _work_crop(transform: np.ndarray, size_hw: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Crop with a margin, no finer than the frame's pixels and no larger than `_WORK_SIDE`."""
    pitch = np.linalg.norm(transform[:, :2], axis=0)
    extent_wh = pitch * np.array([size_hw[1], size_hw[0]])
    step = max(1.0, float(extent_wh.min()) / _WORK_SIDE)
    width, height = (math.ceil(side * (1 + 2 * _MARGIN) / step) for side in extent_wh)
    middle = transform @ np.array([(size_hw[1] - 1) / 2, (size_hw[0] - 1) / 2, 1.0])
    linear = transform[:, :2] / pitch * step
    offset = middle - linear @ np.array([(width - 1) / 2, (height - 1) / 2])
    return np.concatenate([linear, offset[:, None]], axis=1), (height, width)


def _blur(frames: torch.Tensor, sigma: float = 1.0) -> torch.Tensor:
    taps = torch.exp(-(torch.arange(-3, 4, dtype=torch.float32) ** 2) / (2 * sigma**2)).to(frames.device)
    taps = taps / taps.sum()
    padded = F.pad(frames[:, None], (3, 3, 3, 3), mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, 7)), taps.view(1, 1, 7, 1))[:, 0]


class _TemplateLevel:
    """One pyramid level of the first frame: gray values inside the margin and their derivatives by the motion.

    Args:
        template (`torch.Tensor` of shape `(height, width)`): float32.
        model (`str`): "translation" or "similarity".
    """

    def __init__(self, template: torch.Tensor, model: str) -> None:
        height, width = template.shape
        border_y, border_x = (int(side * _MARGIN / (1 + 2 * _MARGIN)) for side in (height, width))
        self.inside = (slice(border_y, height - border_y), slice(border_x, width - border_x))
        rows, columns = torch.meshgrid(
            torch.arange(height, dtype=torch.float32, device=template.device),
            torch.arange(width, dtype=torch.float32, device=template.device),
            indexing="ij",
        )
        self.x = (columns - (width - 1) / 2)[self.inside]
        self.y = (rows - (height - 1) / 2)[self.inside]
        self.size_wh = (width, height)
        gradient_y, gradient_x = torch.gradient(template)
        gradient_x, gradient_y = gradient_x[self.inside], gradient_y[self.inside]
        self.values = template[self.inside].flatten()
        radius = ((self.x / self.x.max().clamp(min=1)) ** 2 + (self.y / self.y.max().clamp(min=1)) ** 2).sqrt()
        # Constant inside, falling to 0 at the border.
        self.window = torch.exp(-((radius / _FACE_RADIUS) ** 4)).flatten()
        parts = [gradient_x, gradient_y]
        if model == "similarity":
            parts += [gradient_x * self.x + gradient_y * self.y, gradient_y * self.x - gradient_x * self.y]
        # The last two columns are gain and offset of the brightness.
        parts += [template[self.inside], torch.ones_like(self.x)]
        self.jacobian = torch.stack([part.flatten() for part in parts], dim=1)

    def grid(self, motion: torch.Tensor) -> torch.Tensor:
        """Sampling positions of each frame: (num_frames, height, width, 2) in grid_sample's -1..1 (edge to edge)."""
        shift_x, shift_y = motion[:, 0, None, None], motion[:, 1, None, None]
        x, y = self.x + shift_x, self.y + shift_y
        if motion.shape[1] == 4:
            a, b = motion[:, 2, None, None], motion[:, 3, None, None]
            x, y = x + a * self.x - b * self.y, y + b * self.x + a * self.y
        return torch.stack([x * (2 / self.size_wh[0]), y * (2 / self.size_wh[1])], dim=-1)


def _template_level(template: torch.Tensor, factor: int, model: str) -> _TemplateLevel:
    return _TemplateLevel(F.avg_pool2d(template[None, None], factor)[0, 0], model)


def _search(frames: torch.Tensor, level: _TemplateLevel, motion: torch.Tensor, factor: int) -> torch.Tensor:
    """Chooses the best of the initial motion and of whole-pixel shifts around it, at the coarsest level.

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): float32, at this level's size.
        level (`_TemplateLevel`): The first frame.
        motion (`torch.Tensor` of shape `(num_frames, 2 or 4)`): Initial motion: shift in work pixels, then scale and
            turn.
        factor (`int`): Work pixels per pixel of this level.

    Returns:
        `torch.Tensor` of the shape of `motion`: Initial motion of the descent.
    """
    # Every second pixel suffices, because the descent converges from one pixel away.
    steps = math.ceil(_SEARCH_REACH * min(level.x.shape) / 2)
    places = [2 * step for step in range(-steps, steps + 1)]
    best, best_cost = motion.clone(), torch.full((len(frames),), math.inf, device=frames.device)
    # Nearest shifts first, so that ties (frames without texture) get no shift.
    shifts = sorted(itertools.product(places, repeat=2), key=lambda shift: math.hypot(*shift))
    for shift in shifts:
        tried = motion.clone()
        tried[:, :2] += factor * torch.tensor(shift, dtype=motion.dtype, device=motion.device)
        scaled = tried.clone()
        scaled[:, :2] /= factor
        residual = _residual(frames, level, scaled)
        cost = (level.window * residual.abs()).mean(dim=1)
        better = cost < best_cost - 1e-4
        best[better] = tried[better]
        best_cost[better] = cost[better]
    return best


def _residual(frames: torch.Tensor, level: _TemplateLevel, motion: torch.Tensor) -> torch.Tensor:
    """Frames, warped to the first one and matched in brightness, minus the first one: (num_frames, pixels)."""
    sampled = F.grid_sample(frames[:, None], level.grid(motion), padding_mode="border", align_corners=False).flatten(1)
    gain, offset = _brightness(sampled, level)
    return sampled * gain + offset - level.values


def _refine(
    frames: torch.Tensor, level: _TemplateLevel, motion: torch.Tensor, factor: int, model: str
) -> torch.Tensor:
    """Gauss-Newton at one pyramid level.

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): float32, at this level's size.
        level (`_TemplateLevel`): The first frame.
        motion (`torch.Tensor` of shape `(num_frames, 2 or 4)`): Initial motion: shift in work pixels, then scale and
            turn.
        factor (`int`): Work pixels per pixel of this level.
        model (`str`): "translation" or "similarity".

    Returns:
        `torch.Tensor` of the shape of `motion`: No worse than the initial motion for any frame.
    """
    size = 2 if model == "translation" else 4
    current = motion.clone()
    current[:, :2] /= factor
    best, best_cost = current.clone(), torch.full((len(frames),), math.inf, device=frames.device)
    scale = None
    for _ in range(_ITERATIONS):
        residual = _residual(frames, level, current)
        if scale is None:
            # Fixed within a level, so that costs can be compared; 1.48 makes the median deviation a standard one.
            spread = residual[:, level.window > 0.5].abs().median(dim=1, keepdim=True).values
            scale = (1.48 * spread).clamp(min=0.5)
        squares = (residual / (3 * scale)) ** 2
        cost = (level.window * squares / (1 + squares)).mean(dim=1)
        better = cost < best_cost
        best[better], best_cost = current[better], torch.minimum(cost, best_cost)
        weights = level.window / (1 + squares) ** 2
        # (num_frames, parameters, parameters)
        weighted = weights[:, :, None] * level.jacobian
        normal = weighted.transpose(1, 2) @ level.jacobian
        normal.diagonal(dim1=1, dim2=2).add_(1e-6 * normal.diagonal(dim1=1, dim2=2).amax(dim=1, keepdim=True) + 1e-9)
        step = torch.linalg.solve(normal, (weighted.transpose(1, 2) @ residual[:, :, None]))[:, :size, 0]
        # Inverse compositional: the step moves the template, so its inverse is applied to the frame's motion.
        current = _compose(current, step)
        if step[:, :2].abs().max() < _TOLERANCE:
            break
    best[:, :2] *= factor
    return best


def _brightness(sampled: torch.Tensor, level: _TemplateLevel) -> tuple[torch.Tensor, torch.Tensor]:
    """Gain and offset that match each frame's mean and deviation to those of the first one, within the face."""
    share = level.window / level.window.sum()

    def statistics(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = (share * values).sum(dim=-1, keepdim=True)
        return mean, (share * (values - mean) ** 2).sum(dim=-1, keepdim=True).sqrt()

    target_mean, target_deviation = statistics(level.values)
    mean, deviation = statistics(sampled)
    gain = (target_deviation / deviation.clamp(min=1e-3)).clamp(0.5, 2.0)
    return gain, target_mean - gain * mean


def _compose(motion: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """The motion after the inverse of a small step, to first order in the step."""
    if motion.shape[1] == 2:
        return motion - step
    shift, (a, b) = motion[:, :2], (motion[:, 2:3], motion[:, 3:4])
    x, y = step[:, 0:1], step[:, 1:2]
    turned = torch.cat([(1 + a) * x - b * y, b * x + (1 + a) * y], dim=1)
    scale, turn = step[:, 2:3], step[:, 3:4]
    spun = torch.cat([(1 + a) * scale - b * turn, b * scale + (1 + a) * turn], dim=1)
    return torch.cat([shift - turned, motion[:, 2:] - spun], dim=1)
