"""Batches of aligned clips: sent to the device as uint8 and normalised there, one batch in memory at a time."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.augmentation import AugmentationConfig, Batch, sample_augmented_indices
from training_fdp.data.clips import Clip
from training_fdp.data.device_frames import DeviceFrames, room_on
from training_fdp.data.options import BatchOptions
from training_fdp.data.windows import Movement, draw_gain, draw_window, light_up, possible_kinds

Statistics = tuple[float, float]
Normalize = Callable[[torch.Tensor], torch.Tensor]
TargetFunction = Callable[[Clip, NDArray[np.int64], Normalize], dict[str, torch.Tensor]]


class ClipCollection(Protocol):
    """The part of `training_fdp.data.aligned_clips.AlignedClips` used here."""

    def __len__(self) -> int:
        """Return the number of clips (`int`)."""

    def __getitem__(self, index: int) -> Clip:
        """Return one clip (`Clip`)."""


class ClipBatches:
    """Builds batches of chosen clips.

    Args:
        clips (`ClipCollection`):
            Aligned clips, memory-mapped.
        processor (`FDPVideoProcessor`):
            Samples and normalises, as at inference.
        options (`BatchOptions`):
            How frames of a clip are sampled.
        num_frames (`int`):
            Frames per clip.
        device (`torch.device`):
            Device of the batches.
        targets (`Callable`, *optional*):
            `targets(clip, indices, normalize)` returns further tensors of a clip (see
            `training_fdp.methods.base.Method.targets`).
    """

    def __init__(
        self,
        clips: ClipCollection,
        processor: FDPVideoProcessor,
        options: BatchOptions,
        num_frames: int,
        device: torch.device,
        targets: TargetFunction | None = None,
    ) -> None:
        self.clips = clips
        self.processor = processor
        self.num_frames = num_frames
        self.device = device
        self.frames = DeviceFrames(device, room_on(device))
        self.frame_sampling = options.frame_sampling
        self.targets = targets

    def load(
        self,
        rows: Sequence[int],
        statistics: Statistics | None = None,
        augmentation: AugmentationConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> Batch:
        """Read clips and put them on the device.

        Args:
            rows (`Sequence[int]`):
                Which clips.
            statistics (`tuple[float, float]`, *optional*):
                Mean and maximum that replace the fixed normalisation (see [`normalized`]).
            augmentation (`AugmentationConfig`, *optional*):
                Samples the frames of training clips at random if it has temporal options, and lights them.
            generator (`torch.Generator`, *optional*):
                Source of those draws, on the CPU.

        Returns:
            `dict`: `pixel_values` float32 (batch_size, num_frames, 1, height, width) in [-1, 1], `labels` int64
            (batch_size,), -1 where there is no class or nothing moves, and what `targets` returned, stacked.
        """
        frames, labels = [], []
        further: list[dict[str, torch.Tensor]] = []
        for row in rows:
            clip = self.clips[row]
            every_frame = self.frames.of(row, clip)
            gain = None
            if augmentation is not None and generator is not None and augmentation.windows > 0:
                clip, indices, gain = self._window(clip, len(every_frame), augmentation, generator)
            else:
                indices = self._frame_indices(clip, len(every_frame), augmentation, generator)
            chosen = every_frame[torch.from_numpy(indices).to(every_frame.device)]
            frames.append(chosen if gain is None else light_up(chosen, gain))
            labels.append(-1 if clip.label is None or not clip.moves else clip.label)
            if self.targets is not None:
                further.append(self.targets(clip, indices, self.normalize))
        # (batch_size, num_frames, height, width) -> (batch_size, num_frames, 1, height, width)
        if len({chosen.device for chosen in frames}) > 1:  # some clips of the batch are kept there
            frames = [chosen.to(self.device) for chosen in frames]
        pixels = self.normalize(torch.stack(frames)).unsqueeze(2)
        batch = {
            "pixel_values": normalized(pixels, statistics),
            "labels": torch.tensor(labels, device=self.device),
        }
        for name in further[0] if further else ():
            batch[name] = torch.stack([values[name] for values in further]).to(self.device)
        return batch

    def normalize(self, frames: torch.Tensor) -> torch.Tensor:
        """Bring uint8 frames to the device and to [-1, 1], as the processor does at inference."""
        return self.processor.normalize_frames(frames.to(self.device, non_blocking=True))

    def split_statistics(self, rows: Sequence[int], batch_size: int = 64) -> Statistics:
        """Mean of the sampled pixels of these clips, and their maximum after subtracting it.

        The authors' release does this separately for training and test split ("minus its own mean and divided by its
        own max"), which for the test split is a leak. Whether the maximum is taken before or after the subtraction is
        not stated; after it is our choice.
        """
        total, count, maximum = 0.0, 0, -np.inf
        for chunk in chunks(rows, batch_size):
            # On the CPU, because not every device has float64.
            pixels = self.load(chunk)["pixel_values"].cpu()
            total += float(pixels.double().sum())
            count += pixels.numel()
            maximum = max(maximum, float(pixels.max()))
        mean = total / count
        return mean, max(maximum - mean, 1e-6)

    def _window(
        self, clip: Clip, total: int, augmentation: AugmentationConfig, generator: torch.Generator
    ) -> tuple[Clip, NDArray[np.int64], NDArray[np.float32]]:
        """Draw a stretch of the recording: the clip as it is shown, numbers of its frames, and their gains."""
        seed, chosen = int(torch.randint(2**62, (1,), generator=generator)), float(torch.rand(1, generator=generator))
        if chosen >= augmentation.windows:
            indices = self._frame_indices(clip, total, augmentation, generator)
            return clip, indices, np.ones(len(indices), np.float32)
        onset = 0 if clip.onset is None else clip.onset
        offset = total - 1 if clip.offset is None else clip.offset
        apex = (onset + offset) // 2 if clip.apex is None else clip.apex
        move, rng = Movement(total, onset, apex, offset), np.random.default_rng(seed)
        window = draw_window(move, rng, possible_kinds(move, clip.apex is not None))
        gain = draw_gain(len(window.numbers), rng)
        shown = sample_augmented_indices(
            len(window.numbers), None, None, None, self.num_frames, augmentation, generator
        )
        return dataclasses.replace(clip, moves=window.moves), window.numbers[shown], gain[shown]

    def _frame_indices(
        self,
        clip: Clip,
        total: int,
        augmentation: AugmentationConfig | None,
        generator: torch.Generator | None,
    ) -> NDArray[np.int64]:
        if self.frame_sampling == "released_stride":
            # The authors' release takes frames 0, step, ..., (T-1) step with step = L // T and skips clips with fewer
            # than T frames; here such a clip repeats frames, so that every clip is evaluated.
            step = max(total // self.num_frames, 1)
            return np.minimum(np.arange(self.num_frames, dtype=np.int64) * step, total - 1)
        if augmentation is not None and generator is not None and augmentation.is_temporal:
            return sample_augmented_indices(
                total, clip.onset, clip.apex, clip.offset, self.num_frames, augmentation, generator
            )
        # The apex is an annotation that a new video lacks, so it is not used by default.
        return self.processor.sample_indices(
            total,
            num_frames=self.num_frames,
            onset_index=clip.onset,
            apex_index=clip.apex if self.frame_sampling == "apex" else None,
            offset_index=clip.offset,
        )


def normalized(pixels: torch.Tensor, statistics: Statistics | None) -> torch.Tensor:
    """Return pixels minus a mean, over a maximum (`torch.Tensor`), or as they are without statistics."""
    if statistics is None:
        return pixels
    mean, maximum = statistics
    return (pixels - mean) / maximum


class StepSampler:
    """Endless order of training clips, a pure function of the seed and the step.

    Passes over the clips are concatenated, so every step has the same number of clips. The permutation of a pass (or,
    balanced, its draw) depends on the seed and the number of the pass alone, so resuming needs no stored state.

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
        """Return the number of steps (`int`) of at least `epochs` passes."""
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
