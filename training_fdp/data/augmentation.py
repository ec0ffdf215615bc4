"""Augmentation of clips: frame indices before stacking, pixels as one batch on the device.

Changes in space and brightness are drawn once per clip and applied to all of its frames, because motion between frames
is the signal. Random numbers come from a CPU generator, so that a seed gives the same clips on every device. Bounds
are small: a micro-expression moves a 64-pixel face by about one pixel.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from evaluation_fdp.errors import ConfigError
from training_fdp.data.followers import Follower, Mixed, per_clip

Batch = dict[str, torch.Tensor]


def _up_to(bound: float, default: float = 0.0) -> float:
    """Declare an option in [0, bound]; a speed or scale of 1 or more could leave no frame or no face."""
    return dataclasses.field(default=default, metadata={"bound": bound})


def bounds_of(options: type) -> dict[str, float]:
    """Return the largest value of each option that is no switch (`dict[str, float]`).

    Args:
        options (`type`): A dataclass of options.

    Raises:
        TypeError: an option was declared without one, so that any value would be accepted.
    """
    numbers = [entry for entry in dataclasses.fields(options) if entry.type is not bool]
    if unbounded := [entry.name for entry in numbers if "bound" not in entry.metadata]:
        raise TypeError(
            f"an augmentation has a largest value, but {', '.join(unbounded)} has none; declare it by _up_to"
        )
    return {entry.name: entry.metadata["bound"] for entry in numbers}


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """Kinds and ranges of random changes of training clips. Every option is off by default.

    Args:
        flip (`float`, *optional*, defaults to 0.0): Probability of mirroring left and right (action-unit sides are
            swapped).
        shift (`float`, *optional*, defaults to 0.0): Largest translation, as a fraction of the image side.
        scale (`float`, *optional*, defaults to 0.0): Largest relative change of size; above 1 it crops.
        rotation (`float`, *optional*, defaults to 0.0): Largest rotation in degrees.
        gamma (`float`, *optional*, defaults to 0.0): Largest absolute logarithm of the exponent on gray values in [0,
            1].
        brightness (`float`, *optional*, defaults to 0.0): Largest relative change of exposure.
        motion_scale (`float`, *optional*, defaults to 0.0): Largest absolute logarithm of the factor on each frame's
            difference from the first one: a linear change of expression intensity (our choice).
        time_jitter (`float`, *optional*, defaults to 0.0): Largest displacement of a frame, as a fraction of the frame
            step.
        speed (`float`, *optional*, defaults to 0.0): Largest relative change of the time span that the frames cover.
        phase (`float`, *optional*, defaults to 0.0): Probability of taking only onset to apex or only apex to offset,
            each as often (arXiv 2510.15466), where the apex is known.
        reverse_offset_phase (`bool`, *optional*, defaults to `False`): Play apex to offset backwards, so that both
            phases rise from a neutral face. Not in the paper: our choice, for models that refer to the first frame.
        static_face_mix (`float`, *optional*, defaults to 0.0): Probability of LocalStaticFaceMix (MER-CLIP, arXiv
            2505.05937): one of four regions blended half and half, in all frames, with the first frame of another
            clip.
        mixup (`float`, *optional*, defaults to 0.0): Probability of mixing a clip with another one; labels become
            soft.
        mixup_alpha (`float`, *optional*, defaults to 0.4): Parameter of the symmetric beta distribution of the mixing
            weight.
        windows (`float`, *optional*, defaults to 0.0): Probability of showing another stretch of the recording than
            onset to offset, at another rate and in other light (`training_fdp.data.windows`). Labels become soft:
            where nothing moves, every class has an equal share. Held-out clips are shown from onset to offset.

    Raises:
        ValueError: If an option lies outside its range.
    """

    flip: float = _up_to(1.0)
    shift: float = _up_to(0.5)
    scale: float = _up_to(0.5)
    rotation: float = _up_to(45.0)
    gamma: float = _up_to(math.inf)
    brightness: float = _up_to(1.0)
    motion_scale: float = _up_to(math.inf)
    time_jitter: float = _up_to(0.5)
    speed: float = _up_to(0.9)
    phase: float = _up_to(1.0)
    reverse_offset_phase: bool = False
    static_face_mix: float = _up_to(1.0)
    mixup: float = _up_to(1.0)
    mixup_alpha: float = _up_to(math.inf, default=0.4)
    windows: float = _up_to(1.0)

    def __post_init__(self) -> None:
        for name, bound in bounds_of(type(self)).items():
            if not 0 <= getattr(self, name) <= bound:
                raise ValueError(
                    f"augmentation.{name} must lie in [0, {bound}], but is {getattr(self, name)}; 0 turns it off."
                )
        if self.mixup_alpha == 0:
            raise ValueError("augmentation.mixup_alpha must be above 0, but is 0; set mixup to 0 to turn mixup off.")

    @classmethod
    def default(cls) -> "AugmentationConfig":
        """The options of `--augmentation default`; `training_fdp.ablations` measures each alone."""
        return cls(
            flip=0.5, shift=0.05, scale=0.05, rotation=5.0, gamma=0.2, brightness=0.1, time_jitter=0.3, speed=0.1
        )

    @classmethod
    def any_window(cls) -> "AugmentationConfig":
        """The options of `--augmentation any_window`: windows of recordings, and crops as far off as a detector's."""
        return cls(flip=0.5, shift=0.07, scale=0.18, rotation=6.0, gamma=0.2, brightness=0.1, windows=1.0)

    @property
    def is_temporal(self) -> bool:
        """Whether frame indices are drawn at random."""
        return self.time_jitter > 0 or self.speed > 0 or self.phase > 0 or self.windows > 0

    @property
    def mixes_labels(self) -> bool:
        """Whether labels become soft."""
        return self.mixup > 0 or self.windows > 0


_NAMED = {
    "none": AugmentationConfig,
    "default": AugmentationConfig.default,
    "any_window": AugmentationConfig.any_window,
}


def parse_augmentation(text: str) -> AugmentationConfig:
    """Read `--augmentation`.

    Args:
        text (`str`):
            `none`, `default`, `any_window`, NAME=VALUE pairs, or a name followed by pairs, joined by commas:
            `default,flip=0,mixup=0.5`.

    Returns:
        `AugmentationConfig`: the options.

    Raises:
        ConfigError: an unknown name or a value outside its range.
    """
    values: dict[str, Any] = {}
    for item in (part.strip() for part in text.split(",")):
        name, separator, value = item.partition("=")
        if not separator and name in _NAMED:
            values = vars(_NAMED[name]()).copy()
        elif name not in AugmentationConfig.__dataclass_fields__ or not separator:
            names, known = ", ".join(_NAMED), ", ".join(AugmentationConfig.__dataclass_fields__)
            raise ConfigError(f"--augmentation has no part '{item}'; give {names} or NAME=VALUE with {known}")
        else:
            values[name] = _number(name, value)
    try:
        return AugmentationConfig(**values)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _number(name: str, value: str) -> float | bool:
    if name == "reverse_offset_phase":
        if value.strip().lower() not in ("true", "false"):
            raise ConfigError(f"--augmentation {name} must be true or false, got '{value}'; write {name}=true")
        return value.strip().lower() == "true"
    try:
        return float(value)
    except ValueError:
        raise ConfigError(
            f"--augmentation {name} must be a number, got '{value}'; write for example {name}=0.5"
        ) from None


def sample_augmented_indices(
    total: int,
    onset: int | None,
    apex: int | None,
    offset: int | None,
    num_frames: int,
    config: AugmentationConfig,
    generator: torch.Generator,
) -> NDArray[np.int64]:
    """Draw the frames of one training clip: phase, then speed, then jitter, always in time order.

    With all temporal options off this is the rounded linspace with both ends that evaluation uses.

    Args:
        total (`int`): Number of frames of the clip.
        onset (`int` or `None`): Index of the first frame of the expression; `None`: 0.
        apex (`int` or `None`): Index of the strongest frame; `None`: unknown, and `phase` does nothing.
        offset (`int` or `None`): Index of the last frame of the expression; `None`: the last one.
        num_frames (`int`): Number of indices to draw; short clips repeat frames.
        config (`AugmentationConfig`): Options.
        generator (`torch.Generator`): CPU generator, advanced by the same amount for every clip.

    Returns:
        `np.ndarray` of shape `(num_frames,)`, int64, in [0, total).

    Raises:
        ValueError: If there is no frame, or the indices are not in order.
    """
    start = 0 if onset is None else onset
    end = total - 1 if offset is None else offset
    if not 0 <= start <= end < total:
        raise ValueError(
            f"a clip needs 0 <= onset <= offset < number of frames, but has onset {start}, offset {end} and {total} "
            "frames; check the coding sheet."
        )
    phase, side, factor, position, *jitter = torch.rand(
        4 + num_frames, generator=generator, dtype=torch.float64
    ).tolist()
    backwards = False
    if phase < config.phase and apex is not None and start < apex < end:
        falls = side >= 0.5
        start, end = (apex, end) if falls else (start, apex)
        backwards = falls and config.reverse_offset_phase
    span = (end - start) * (1 + config.speed * (2 * factor - 1))
    # A shorter span is placed at random inside the clip; a longer one repeats its first or last frame.
    first = start + position * (end - start - span)
    positions = first + np.linspace(0, span, num_frames)
    step = span / max(num_frames - 1, 1)
    positions = positions + config.time_jitter * step * (2 * np.array(jitter) - 1)
    indices = np.rint(np.clip(np.sort(positions), start, end)).astype(np.int64)
    return indices[::-1].copy() if backwards else indices


def build_augmentation(
    config: AugmentationConfig, num_labels: int | None = None, followers: Mapping[str, Follower] | None = None
) -> "ClipAugmentation":
    """Build the augmentation of batches on the device.

    Args:
        config (`AugmentationConfig`): Options; the temporal ones act in [`sample_augmented_indices`] instead.
        num_labels (`int`, *optional*): Number of classes; needed by mixup and windows, whose labels are soft.
        followers (`Mapping[str, Follower]`, *optional*): Augmentation of the other tensors of a batch, by name.

    Returns:
        [`ClipAugmentation`]: Called as `augment(batch, generator)`.

    Raises:
        ValueError: If mixup or windows are on and `num_labels` is missing.
    """
    return ClipAugmentation(config, num_labels, followers)


class ClipAugmentation:
    """Random changes of a batch of clips, alike over the frames of each clip.

    Args:
        config (`AugmentationConfig`): Options.
        num_labels (`int`, *optional*): Number of classes; needed by mixup and windows.
        followers (`Mapping[str, Follower]`, *optional*): How the other tensors of a batch follow, by name; those that
            are not named stay as they are.
    """

    def __init__(
        self,
        config: AugmentationConfig,
        num_labels: int | None = None,
        followers: Mapping[str, Follower] | None = None,
    ) -> None:
        if config.mixes_labels and num_labels is None:
            raise ValueError("mixup and windows make soft labels: they need num_labels; pass it.")
        self.config = config
        self.num_labels = num_labels
        self.followers = dict(followers or {})

    @torch.no_grad()
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Augment one batch.

        Args:
            batch (`dict`): `pixel_values` of shape `(batch_size, num_frames, num_channels, height, width)` in [-1, 1]
                and, optionally, `labels` `(batch_size,)`, -1 where nothing moves, and tensors that have a follower.
                Other entries are unchanged.
            generator (`torch.Generator`): On the CPU.

        Returns:
            `dict`: A new batch; with mixup or windows `labels` has shape `(batch_size, num_labels)` and rows that sum
            to 1.
        """
        batch = dict(batch)
        # Numbers are drawn for every option, on or off, so that switching one does not change the others' draws. A new
        # augmentation must not add an eleventh column, which would change every run, but draw from a generator of its
        # own, `np.random.default_rng([mix_seed, *b"name"])`; `hash("name")` differs between processes.
        draws = torch.rand(len(batch["pixel_values"]), 10, generator=generator, dtype=torch.float64)
        mix_seed = int(torch.randint(2**31, (1,), generator=generator))
        draws = draws.float().to(batch["pixel_values"].device)
        if self.config.mixes_labels and self.num_labels is not None and batch.get("labels", draws).ndim == 1:
            batch["labels"] = soft_labels(batch["labels"], self.num_labels).to(batch["pixel_values"].dtype)
        self._flip(batch, draws[:, 0])
        self._transform(batch, draws[:, 1:5])
        self._scale_motion(batch, draws[:, 5])
        self._change_light(batch, draws[:, 6:8])
        mixing = np.random.default_rng(mix_seed)
        self._mix_static_faces(batch, draws[:, 8], mixing)
        self._mix_clips(batch, draws[:, 9], mixing)
        return batch

    def _following(self, batch: Batch) -> list[tuple[str, Follower]]:
        return [(name, follower) for name, follower in self.followers.items() if name in batch]

    def _flip(self, batch: Batch, draw: torch.Tensor) -> None:
        if self.config.flip == 0:
            return
        mirrored = draw < self.config.flip
        pixels = batch["pixel_values"]
        batch["pixel_values"] = torch.where(per_clip(mirrored, pixels), pixels.flip(-1), pixels)
        for name, follower in self._following(batch):
            values = batch[name]
            batch[name] = torch.where(per_clip(mirrored, values), follower.mirror(values), values)

    def _transform(self, batch: Batch, draws: torch.Tensor) -> None:
        """Rotate, scale and shift with one sampling grid per clip."""
        config = self.config
        if config.shift == config.scale == config.rotation == 0:
            return
        pixels = batch["pixel_values"]
        height, width = pixels.shape[-2:]
        signed = 2 * draws - 1
        angle = torch.deg2rad(config.rotation * signed[:, 0])
        zoom = 1 / (1 + config.scale * signed[:, 1])
        shift = 2 * config.shift * signed[:, 2:4]
        cosine, sine = zoom * torch.cos(angle), zoom * torch.sin(angle)
        # Normalised coordinates stretch the shorter side; the ratios undo this, so that oblong images are not sheared.
        rows = (cosine, -sine * height / width, shift[:, 0], sine * width / height, cosine, shift[:, 1])
        theta = torch.stack(rows, dim=1).reshape(-1, 2, 3)
        grid = F.affine_grid(theta, [len(pixels), 1, height, width], align_corners=False).to(pixels.dtype)
        moved = F.grid_sample(pixels.flatten(1, 2), grid, padding_mode="border", align_corners=False)
        batch["pixel_values"] = moved.reshape(pixels.shape)
        in_pixels = (cosine, -sine, shift[:, 0] * width / 2, sine, cosine, shift[:, 1] * height / 2)
        affine = torch.stack(in_pixels, dim=1).reshape(-1, 2, 3)
        for name, follower in self._following(batch):
            batch[name] = follower.warp(batch[name], grid, affine)

    def _scale_motion(self, batch: Batch, draw: torch.Tensor) -> None:
        if self.config.motion_scale == 0:
            return
        pixels = batch["pixel_values"]
        factor = torch.exp(self.config.motion_scale * (2 * draw - 1))
        reference = pixels[:, :1]
        batch["pixel_values"] = (reference + per_clip(factor, pixels) * (pixels - reference)).clamp(-1, 1)
        for name, follower in self._following(batch):
            batch[name] = follower.scale_motion(batch[name], factor)

    def _change_light(self, batch: Batch, draws: torch.Tensor) -> None:
        """Gamma and exposure of the frames; targets stay those of the original light."""
        config = self.config
        if config.gamma == config.brightness == 0:
            return
        pixels = batch["pixel_values"]
        signed = 2 * draws - 1
        exponent = torch.exp(config.gamma * signed[:, 0])
        exposure = 1 + config.brightness * signed[:, 1]
        gray = ((pixels + 1) / 2).clamp(0, 1) ** per_clip(exponent, pixels) * per_clip(exposure, pixels)
        batch["pixel_values"] = gray.clamp(0, 1) * 2 - 1

    def _mix_static_faces(self, batch: Batch, draw: torch.Tensor, mixing: np.random.Generator) -> None:
        """LocalStaticFaceMix: changes identity, halves the contrast of motion, keeps the label."""
        pixels = batch["pixel_values"]
        partner = _partners(len(pixels), mixing).to(pixels.device)
        region = torch.from_numpy(mixing.integers(0, 4, len(pixels))).to(pixels.device)
        if self.config.static_face_mix == 0 or len(pixels) < 2:
            return
        masks = _face_regions(pixels.shape[-2], pixels.shape[-1]).to(pixels.device)[region]
        masks = masks & (draw < self.config.static_face_mix)[:, None, None]
        blended = (pixels + pixels[partner, :1]) / 2
        batch["pixel_values"] = torch.where(masks[:, None, None], blended, pixels)
        for name, follower in self._following(batch):
            batch[name] = follower.scale_motion_inside(batch[name], masks, 0.5)

    def _mix_clips(self, batch: Batch, draw: torch.Tensor, mixing: np.random.Generator) -> None:
        """Mixup (Zhang et al. 2018) with a weight per clip."""
        if self.config.mixup == 0 or self.num_labels is None:
            return
        pixels = batch["pixel_values"]
        partner = _partners(len(pixels), mixing).to(pixels.device)
        drawn = torch.from_numpy(mixing.beta(self.config.mixup_alpha, self.config.mixup_alpha, len(pixels)))
        weight = torch.where(draw < self.config.mixup, drawn.float().to(draw.device), torch.ones_like(draw))
        mixed: list[tuple[str, Follower]] = [(name, Mixed()) for name in ("pixel_values", "labels") if name in batch]
        for name, follower in [*mixed, *self._following(batch)]:
            batch[name] = follower.mix(batch[name], batch[name][partner], weight)


def soft_labels(labels: torch.Tensor, num_labels: int) -> torch.Tensor:
    """Turn classes into shares.

    Args:
        labels (`torch.LongTensor` of shape `(batch_size,)`): Classes; -1 where nothing moves.
        num_labels (`int`): Number of classes.

    Returns:
        `torch.FloatTensor` of shape `(batch_size, num_labels)`: 1 for the class; equal shares where nothing moves.
    """
    one_hot = F.one_hot(labels.clamp(min=0), num_labels).float()
    return torch.where(labels[:, None] < 0, 1 / num_labels, one_hot)


def _partners(batch_size: int, mixing: np.random.Generator) -> torch.Tensor:
    """Another clip for every clip: the next in a random cycle, so none is its own partner (unless it is alone)."""
    order = mixing.permutation(batch_size)
    partner = np.empty(batch_size, dtype=np.int64)
    partner[order] = np.roll(order, 1)
    return torch.from_numpy(partner)


def _face_regions(height: int, width: int) -> torch.Tensor:
    """The four regions of LocalStaticFaceMix as bool masks (4, height, width).

    Top quarter, bottom quarter, left and right half of the middle band (facts of the released code).
    """
    masks = torch.zeros(4, height, width, dtype=torch.bool)
    quarter, half = height // 4, width // 2
    masks[0, :quarter] = True
    masks[1, height - quarter :] = True
    masks[2, quarter : height - quarter, :half] = True
    masks[3, quarter : height - quarter, half:] = True
    return masks
