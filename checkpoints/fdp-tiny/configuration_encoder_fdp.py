"""Encoder part of [`FDPConfig`]: sizes that follow from its fields, and checks of these fields."""

import math
from collections.abc import Iterable

from .movement_directions_fdp import NUM_DIRECTIONS

SEGNET_TOTAL_STRIDE = 32
# Output of `motion_fdp`: channels, stride in pixels of the frame, least number of frames.
MOTION_CHANNELS, MOTION_STRIDE, MOTION_LEAST_FRAMES = 6, 2, 5
# The side of its frames must be a multiple of this, because the head is stabilised on coarser pictures first.
MOTION_SIDE = MOTION_STRIDE**2
# Output of `movement_patterns_fdp`: channels, patterns per clip, least number of frames. The side must be a multiple
# of the last number, because the scorer's grid divides half of it.
MOVEMENT_CHANNELS, NUM_PATTERNS, MOVEMENT_LEAST_FRAMES, MOVEMENT_SIDE = 7, 5, 3, 32
# References whose output is motion at half the frame's resolution.
MOTION_REFERENCES = ("first_frame_motion", "movement_patterns")


class EncoderSettings:
    """Base class of [`FDPConfig`] for the fields of the encoder, which `FDPConfig` declares and documents."""

    num_channels: int
    num_frames: int
    image_size: int
    reference: str
    num_moments: int
    num_directions: int
    pattern_scale_rate: float | int
    stem_channels: list[int]
    stem_strides: list[int]
    hidden_sizes: list[int]
    global_hidden_sizes: list[int]
    local_depths: list[int]
    global_depths: list[int]
    stage_strides: list[int]
    local_convolution: str
    local_head_dim: int
    attention_head_dim: int
    attention_ratio: float | int
    key_value_strides: list[int]
    frame_head: str
    dynamic_image_decoder: str

    @property
    def encoder_channels(self) -> int:
        """Input channels of the encoder: those of the motion, or of a frame, with or without its change."""
        channels = {
            "first_frame_motion": MOTION_CHANNELS,
            "movement_patterns": MOVEMENT_CHANNELS,
            "frame_and_change": 2 * self.num_channels,
        }
        return channels.get(self.reference, self.num_channels)

    @property
    def encoder_strides(self) -> list[int]:
        """Strides of the stem's convolutions; motion has half the frame's resolution already."""
        if self.reference not in MOTION_REFERENCES:
            return self.stem_strides
        return [self.stem_strides[0] // MOTION_STRIDE, *self.stem_strides[1:]]

    @property
    def has_patterns(self) -> bool:
        """Whether the encoder's input is patterns, which have no order in time."""
        return self.reference == "movement_patterns"

    @property
    def num_encoder_frames(self) -> int:
        """Images per clip that the encoder processes: moments, patterns or frames."""
        numbers = {"first_frame_motion": self.num_moments, "movement_patterns": NUM_PATTERNS}
        return numbers.get(self.reference, self.num_frames)

    @property
    def least_frames(self) -> int:
        """Least number of frames per clip: two for motion, five to separate a pulse from drift and noise."""
        least = {"first_frame_motion": MOTION_LEAST_FRAMES, "movement_patterns": MOVEMENT_LEAST_FRAMES}
        return least.get(self.reference, 2)

    @property
    def stem_stride(self) -> int:
        """Pixels per cell of the stem's map."""
        return math.prod(self.stem_strides)

    @property
    def feature_stride(self) -> int:
        """Pixels per cell of each frame's feature map."""
        return 1 if self.frame_head == "vector" else self.stem_stride * self.stage_strides[0]

    def stage_sizes(self, image_size: int | None = None) -> list[int]:
        """Cells along a side of the map of each stage.

        Args:
            image_size (`int`, *optional*): side of the frame in pixels; the configuration's by default.

        Returns:
            `list[int]`: one entry per stage.

        Raises:
            ValueError: a stride or a key/value pooling that does not divide the map.
        """
        size = self.image_size if image_size is None else image_size
        total_stride = self.stem_stride * math.prod(self.stage_strides)
        if self.dynamic_image_decoder == "segnet":
            total_stride = math.lcm(total_stride, SEGNET_TOTAL_STRIDE)
        if self.reference in MOTION_REFERENCES:
            total_stride = math.lcm(
                total_stride, MOTION_SIDE if self.reference == "first_frame_motion" else MOVEMENT_SIDE
            )
        if size <= 0 or size % total_stride:
            raise ValueError(
                f"Frames must have a side that is a multiple of {total_stride} pixels (the strides of stem, stages, "
                f"decoder and motion), but {size} was given; resize the frames or change the strides."
            )
        sizes = []
        size //= self.stem_stride
        for stage, stride in enumerate(self.stage_strides):
            size //= stride
            if self.global_depths[stage] and size % self.key_value_strides[stage]:
                raise ValueError(
                    f"`key_value_strides` must divide the map of its stage, but stage {stage} has a map of {size} "
                    f"cells and a key/value stride of {self.key_value_strides[stage]}; change one of them."
                )
            sizes.append(size)
        return sizes

    def attention_size(self, stage: int) -> int:
        """Channels of a global block that attention processes; convolution processes the others.

        Args:
            stage (`int`): 0-based stage.

        Returns:
            `int`: a multiple of `attention_head_dim`.

        Raises:
            ValueError: one branch gets no channels, or a number that is not a multiple of its head size.
        """
        width = self.global_hidden_sizes[stage]
        size = round(width * self.attention_ratio / self.attention_head_dim) * self.attention_head_dim
        rest_head_dim = min(self.local_head_dim, width - size)
        if not 0 < size < width or (width - size) % rest_head_dim:
            raise ValueError(
                f"`attention_ratio` must leave channels to both branches, in whole heads, but stage {stage} with "
                f"{width} channels and a ratio of {self.attention_ratio} gives {size} to attention (heads of "
                f"{self.attention_head_dim}) and {width - size} to convolution (heads of {self.local_head_dim})."
            )
        return size

    def _require_at_least(self, least: int, names: Iterable[str]) -> None:
        for name in names:
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` must be at least {least}, but {getattr(self, name)} was given.")

    def _require_below_one(self, names: Iterable[str]) -> None:
        for name in names:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must lie in [0, 1), but {getattr(self, name)} was given.")

    def _validate_encoder_numbers(self) -> None:
        self._require_at_least(
            1, ("num_channels", "image_size", "local_head_dim", "attention_head_dim", "num_directions")
        )
        for name in ("stem_channels", "stem_strides", "hidden_sizes", "key_value_strides"):
            if any(value < 1 for value in getattr(self, name)):
                raise ValueError(f"`{name}` must be numbers from 1 on, but {getattr(self, name)} was given.")
        for name in ("local_depths", "global_depths"):
            if any(value < 0 for value in getattr(self, name)):
                raise ValueError(f"`{name}` must be numbers from 0 on, but {getattr(self, name)} was given.")
        for name in ("local_mlp_ratio", "global_mlp_ratio"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be above 0, but {getattr(self, name)} was given.")
        self._require_below_one(("drop_path_rate", "attention_dropout"))
        if self.num_frames < self.least_frames:
            raise ValueError(
                f"`num_frames` must be at least {self.least_frames} with reference={self.reference!r}, but "
                f"{self.num_frames} was given."
            )
        if self.num_moments < 2:
            raise ValueError(f"`num_moments` must be at least 2 to rank them, but {self.num_moments} was given.")
        if self.num_directions > NUM_DIRECTIONS:
            raise ValueError(
                f"`num_directions` must be at most {NUM_DIRECTIONS}, the number fitted, but {self.num_directions} was "
                "given."
            )
        if not 0 <= self.pattern_scale_rate <= 1:
            raise ValueError(f"`pattern_scale_rate` must lie in [0, 1], but {self.pattern_scale_rate} was given.")

    def _validate_stages(self) -> None:
        if len(self.stem_channels) != len(self.stem_strides):
            raise ValueError(
                f"`stem_strides` must have one entry per stem convolution, but {len(self.stem_strides)} strides and "
                f"{len(self.stem_channels)} channels were given."
            )
        if not self.stem_channels:
            raise ValueError("`stem_channels` must name at least one convolution, but [] was given.")
        if self.reference in MOTION_REFERENCES and self.stem_strides[0] % MOTION_STRIDE:
            raise ValueError(
                "Motion has half the frame's resolution, so the first of `stem_strides` must be even, but "
                f"{self.stem_strides} was given."
            )
        names = ("hidden_sizes", "global_hidden_sizes", "global_depths", "stage_strides", "key_value_strides")
        for name in names:
            if len(getattr(self, name)) != len(self.local_depths):
                raise ValueError(
                    f"`{name}` must have one entry per stage, but it has {len(getattr(self, name))} and "
                    f"`local_depths` has {len(self.local_depths)}."
                )
        if any(stride not in (1, 2) for stride in self.stage_strides):
            raise ValueError(f"`stage_strides` must be 1 or 2, but {self.stage_strides} was given.")
        for stage, width in enumerate(self.hidden_sizes):
            if self.local_depths[stage] + self.global_depths[stage] < 1:
                raise ValueError(f"Every stage needs a block, but stage {stage} has neither local nor global ones.")
            if self.local_convolution == "multi_head" and width % self.local_head_dim:
                raise ValueError(
                    f"`hidden_sizes` must be multiples of `local_head_dim`, but stage {stage} has {width} channels "
                    f"and a head has {self.local_head_dim}."
                )
            if self.global_depths[stage]:
                self.attention_size(stage)
        self.stage_sizes()
