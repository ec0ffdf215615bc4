"""From cached aligned clips to batches on the device: uint8 travels, the device normalises, memory holds one batch."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from training_fdp.config import TrainConfig
from training_fdp.data.augmentation import AugmentationConfig, ClipAugmentation, sample_augmented_indices
from training_fdp.errors import ConfigError
from training_fdp.methods.fdp_targets import pooled_clip

Batch = dict[str, torch.Tensor]


class ClipCollection(Protocol):
    """What is needed of `training_fdp.data.aligned_clips.AlignedClips`."""

    def __len__(self) -> int:
        """Return the number of clips (`int`)."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one clip (`dict`): `frames` uint8 (num_frames, height, width), key-frame indices, label, names."""


def parse_augmentation(text: str) -> AugmentationConfig:
    """Read `--augmentation`.

    Args:
        text (`str`):
            `none`, `default`, NAME=VALUE pairs, or a name followed by pairs, joined by commas:
            `default,flip=0,mixup=0.5`.

    Returns:
        `AugmentationConfig`: the options.

    Raises:
        ConfigError: an unknown name or a value outside its range.
    """
    values: dict[str, Any] = {}
    for item in (part.strip() for part in text.split(",")):
        name, separator, value = item.partition("=")
        if not separator and name in ("none", "default"):
            values = vars(AugmentationConfig.default()).copy() if name == "default" else {}
        elif name not in AugmentationConfig.__dataclass_fields__ or not separator:
            known = ", ".join(AugmentationConfig.__dataclass_fields__)
            raise ConfigError(f"--augmentation does not know '{item}'; give none, default or NAME=VALUE with {known}")
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


class ClipBatches:
    """Builds batches of chosen clips.

    Args:
        clips (`ClipCollection`):
            Aligned clips, memory-mapped.
        processor (`FDPVideoProcessor`):
            Samples and normalises as it will at inference.
        config (`TrainConfig`):
            Settings of the run.
        model_config (`FDPConfig`):
            Says how many frames a clip has, and what the dynamic image is made of.
        device (`torch.device`):
            Where the batches live.
        action_units (`torch.FloatTensor` of shape `(num_clips, num_action_units, 2)`, *optional*):
            Targets of `training_fdp.methods.action_units`.
    """

    def __init__(
        self,
        clips: ClipCollection,
        processor: Any,
        config: TrainConfig,
        model_config: Any,
        device: torch.device,
        action_units: torch.Tensor | None = None,
    ) -> None:
        self.clips = clips
        self.processor = processor
        self.num_frames = model_config.num_frames
        self.stabilized_target = model_config.dynamic_image_frames == "stabilized"
        self.device = device
        self.frame_sampling = config.frame_sampling
        self.dynamic_image_target = config.dynamic_image_target
        self.action_units = action_units

    def load(
        self,
        rows: Sequence[int],
        statistics: tuple[float, float] | None = None,
        augmentation: AugmentationConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> Batch:
        """Read clips and put them on the device.

        Args:
            rows (`Sequence[int]`):
                Which clips.
            statistics (`tuple[float, float]`, *optional*):
                Mean and maximum that replace the fixed normalisation (see `split_statistics`).
            augmentation (`AugmentationConfig`, *optional*):
                Draws the frames of a training clip at random where it says so.
            generator (`torch.Generator`, *optional*):
                Source of those draws, on the CPU.

        Returns:
            `dict`: `pixel_values` float32 (batch_size, num_frames, 1, height, width) in [-1, 1], `labels` int64
            (batch_size,); unless the target is made of the sampled frames, `dynamic_image_targets` float32
            (batch_size, 1, height, width) at gain 1 (see `training_fdp.methods.fdp_targets`); where units are taught,
            `action_units` float32 (batch_size, num_action_units, 2), left and right.
        """
        frames, labels, targets = [], [], []
        for row in rows:
            clip = self.clips[row]
            indices = self._frame_indices(clip, augmentation, generator)
            frames.append(clip["frames"][torch.from_numpy(indices)])
            labels.append(int(clip["label"]))
            if self.dynamic_image_target != "sampled":
                whole = self.processor.normalize_frames(clip["frames"].to(self.device, non_blocking=True))
                key_frames = (clip["onset_index"], clip["apex_index"], clip["offset_index"])
                targets.append(pooled_clip(whole, *key_frames, self.dynamic_image_target, self.stabilized_target))
        # (batch_size, num_frames, height, width) -> (batch_size, num_frames, 1, height, width)
        pixels = self.processor.normalize_frames(torch.stack(frames).to(self.device, non_blocking=True)).unsqueeze(2)
        if statistics is not None:
            mean, maximum = statistics
            pixels = (pixels - mean) / maximum
        batch = {"pixel_values": pixels, "labels": torch.tensor(labels, device=self.device)}
        if targets:
            batch["dynamic_image_targets"] = torch.stack(targets)
        if self.action_units is not None:
            batch["action_units"] = self.action_units[list(rows)].to(self.device)
        return batch

    def split_statistics(self, rows: Sequence[int], batch_size: int = 64) -> tuple[float, float]:
        """Mean of the sampled pixels of these clips, and the maximum of what is left when it is taken off.

        The authors do so for training and test split each (fact sheet on papers, 1.5: "minus its own mean and divided
        by its own max"); for the test split that is a leak. Which maximum they mean, before or after the subtraction,
        is not stated; after it, as here, is our reading.
        """
        total, count, maximum = 0.0, 0, -np.inf
        for start in range(0, len(rows), batch_size):
            pixels = self.load(rows[start : start + batch_size])["pixel_values"]
            total += float(pixels.double().sum())
            count += pixels.numel()
            maximum = max(maximum, float(pixels.max()))
        mean = total / count
        return mean, max(maximum - mean, 1e-6)

    def _frame_indices(
        self, clip: dict[str, Any], augmentation: AugmentationConfig | None, generator: torch.Generator | None
    ) -> np.ndarray:
        total = len(clip["frames"])
        apex = clip["apex_index"] if clip["apex_index"] >= 0 else None
        if self.frame_sampling == "released_stride":
            # Fact sheet on papers, 1.5: frames 0, step, ..., (T-1) step with step = L // T. They skip clips with fewer
            # than T frames; here such a clip repeats frames, so that every clip is judged.
            step = max(total // self.num_frames, 1)
            return np.minimum(np.arange(self.num_frames, dtype=np.int64) * step, total - 1)
        if augmentation is not None and generator is not None and augmentation.is_temporal:
            onset, offset = clip["onset_index"], clip["offset_index"]
            return sample_augmented_indices(total, onset, apex, offset, self.num_frames, augmentation, generator)
        # The apex is an annotation that a new video lacks: it is used where it is asked for, never by default.
        return self.processor.sample_indices(
            total,
            num_frames=self.num_frames,
            onset_index=clip["onset_index"],
            apex_index=apex if self.frame_sampling == "apex" else None,
            offset_index=clip["offset_index"],
        )


class StepSampler:
    """Endless order of training clips, a pure function of the seed and the step.

    Passes over the clips follow each other without a gap, so every step has the same number of clips; a pass has its
    own permutation (or, balanced, its own draw), which depends on the seed and the number of the pass alone. Nothing
    has to be stored to go on after an interruption.

    Args:
        rows (`Sequence[int]`): Clips to learn from.
        labels (`Sequence[int]`): Class of each of these clips.
        clips_per_step (`int`): Clips per optimiser step.
        seed (`int`): Seed of the fold.
        balanced (`bool`, *optional*, defaults to `False`): Draw every class equally often, with replacement.
    """

    def __init__(
        self, rows: Sequence[int], labels: Sequence[int], clips_per_step: int, seed: int, balanced: bool = False
    ) -> None:
        self.rows = np.asarray(rows, dtype=np.int64)
        self.clips_per_step = clips_per_step
        self.seed = seed
        self.probabilities: np.ndarray | None = None
        if balanced:
            _, inverse, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
            self.probabilities = (1 / counts / len(counts))[inverse]
        self._epoch, self._order = -1, self.rows

    def epoch_of(self, step: int) -> int:
        """Return the pass (`int`, 0-based) in which a step (0-based) begins."""
        return step * self.clips_per_step // len(self.rows)

    def steps_for(self, epochs: int) -> int:
        """Return the number of steps (`int`) that make at least so many passes."""
        return -(-epochs * len(self.rows) // self.clips_per_step)

    def __getitem__(self, step: int) -> list[int]:
        """Return the clips (`list[int]`) of a step (0-based)."""
        positions = range(step * self.clips_per_step, (step + 1) * self.clips_per_step)
        return [int(self._ordered(position // len(self.rows))[position % len(self.rows)]) for position in positions]

    def _ordered(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            random = np.random.default_rng((self.seed, epoch))
            if self.probabilities is None:
                self._order = random.permutation(self.rows)
            else:
                self._order = random.choice(self.rows, size=len(self.rows), p=self.probabilities)
            self._epoch = epoch
        return self._order


def chunks(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Yield the rows in pieces of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def augment(batch: Batch, augmentation: ClipAugmentation | None, generator: torch.Generator) -> Batch:
    """Return the batch (`dict`) after augmentation, or as it is without one."""
    return batch if augmentation is None else augmentation(batch, generator)
