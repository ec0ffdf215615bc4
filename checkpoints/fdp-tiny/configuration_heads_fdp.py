"""Part of [`FDPConfig`] behind the encoder: temporal poolings, sizes that follow from its fields, and their checks."""

from typing import Literal, NamedTuple

from .configuration_encoder_fdp import MOTION_REFERENCES, EncoderSettings

# Of the likeliest action unit, of the movement's size, and the constant.
NUM_MOVEMENT_WEIGHTS = 3
# Cells along a side of what the fully connected classifier pools over.
POOLED_CELLS = 3


class PoolingTraits(NamedTuple):
    """Properties of a temporal pooling that other parts of the network depend on.

    Args:
        has_kernel (`bool`): It learns one weight per frame, so that clips have exactly `num_frames` frames, and may
            widen the channels.
        reads_scores (`bool`): It weights frames by their rank scores, so the scorer is built even with
            `rank_loss_weight=0`.
    """

    has_kernel: bool
    reads_scores: bool


# A new temporal pooling is a name and a row here, and a class in `temporal_pooling_fdp`.
TemporalPooling = Literal[
    "rank_weighted",
    "rank_pooling",
    "closed_form",
    "score_weighted",
    "temporal_convolution",
    "interleaved_convolution",
]
TEMPORAL_POOLINGS: dict[TemporalPooling, PoolingTraits] = {
    "rank_weighted": PoolingTraits(has_kernel=False, reads_scores=True),
    "rank_pooling": PoolingTraits(has_kernel=False, reads_scores=True),
    "closed_form": PoolingTraits(has_kernel=False, reads_scores=False),
    "score_weighted": PoolingTraits(has_kernel=False, reads_scores=True),
    "temporal_convolution": PoolingTraits(has_kernel=True, reads_scores=False),
    "interleaved_convolution": PoolingTraits(has_kernel=True, reads_scores=False),
}


class HeadSettings(EncoderSettings):
    """Base class of [`FDPConfig`] for the fields of pooling, ranking, classifier and decoder.

    `FDPConfig` declares and documents them.
    """

    feature_size: int
    temporal_pooling: TemporalPooling
    representation_multiplier: int
    rank_grid_size: int
    rank_loss_weight: float | int
    classifier: str
    classifier_grid_size: int
    decoder_size: int
    dynamic_image_shortcut: bool
    dynamic_image_frames: str

    @property
    def representation_size(self) -> int:
        """Channels of the dynamic representation."""
        return self.feature_size * self.representation_multiplier

    @property
    def has_decoder_shortcut(self) -> bool:
        """Whether the light decoder gets the stem's first map, pooled over time; patterns have no time axis."""
        return self.dynamic_image_shortcut and not self.has_patterns

    @property
    def takes_any_length(self) -> bool:
        """Whether clips may have other than `num_frames` frames."""
        return self.reference in MOTION_REFERENCES or not TEMPORAL_POOLINGS[self.temporal_pooling].has_kernel

    @property
    def has_rank_scorer(self) -> bool:
        """Whether a scorer of frame features is trained or its scores are read; else scores are in closed form."""
        if self.has_patterns:
            # `FDPMovementScorer` ranks the frames.
            return False
        return self.rank_loss_weight > 0 or TEMPORAL_POOLINGS[self.temporal_pooling].reads_scores

    def _validate_head_numbers(self) -> None:
        names = (
            "feature_size",
            "representation_multiplier",
            "decoder_size",
            "classifier_hidden_size",
            "classifier_grid_size",
            "rank_pooling_steps",
            "rank_grid_size",
        )
        self._require_at_least(1, names)
        self._require_below_one(("classifier_dropout",))

    def _validate_heads(self) -> None:
        vector = self.frame_head == "vector"
        if vector and self.feature_size != 1:
            raise ValueError(
                f"`frame_head='vector'` keeps one channel per frame, but feature_size={self.feature_size} was given; "
                "set it to 1."
            )
        if self.temporal_pooling == "interleaved_convolution" and not vector:
            raise ValueError(
                "`temporal_pooling='interleaved_convolution'` reshapes one vector per frame, but "
                f"frame_head={self.frame_head!r} was given; use 'vector' or 'temporal_convolution'."
            )
        if self.has_patterns and (
            self.temporal_pooling != "temporal_convolution" or self.classifier != "convolutional"
        ):
            raise ValueError(
                "`reference='movement_patterns'` shows patterns without an order in time, which only "
                "`temporal_pooling='temporal_convolution'` and `classifier='convolutional'` take, but "
                f"{self.temporal_pooling!r} and {self.classifier!r} were given."
            )
        if self.dynamic_image_frames == "along_curve" and not self.has_patterns:
            raise ValueError(
                "`dynamic_image_frames='along_curve'` weights frames by the scores of "
                f"`reference='movement_patterns'`, but reference={self.reference!r} was given; use 'stabilized'."
            )
        if not TEMPORAL_POOLINGS[self.temporal_pooling].has_kernel and self.representation_multiplier != 1:
            raise ValueError(
                f"`temporal_pooling={self.temporal_pooling!r}` keeps the channels, but representation_multiplier="
                f"{self.representation_multiplier} was given; set it to 1."
            )
        if self.dynamic_image_decoder == "light" and self.decoder_size < 2:
            raise ValueError(
                "`decoder_size` must be at least 2 with dynamic_image_decoder='light', but "
                f"{self.decoder_size} was given."
            )
        if self.dynamic_image_decoder == "segnet" and self.representation_size % self.feature_stride**2:
            raise ValueError(
                "The SegNet decoder unfolds the representation to full size, so its channels must be a multiple of "
                f"{self.feature_stride**2}, but there are {self.representation_size}; change `feature_size`."
            )
        cells = self.image_size // self.feature_stride
        if self.classifier == "convolutional" and cells < self.classifier_grid_size:
            raise ValueError(
                f"`classifier_grid_size` must not exceed the map of {cells} cells, but {self.classifier_grid_size} "
                "was given."
            )
        if self.has_rank_scorer and cells < self.rank_grid_size:
            raise ValueError(
                f"`rank_grid_size` must not exceed the map of {cells} cells, but {self.rank_grid_size} was given."
            )
        if self.classifier == "fully_connected" and cells < POOLED_CELLS:
            raise ValueError(
                f"`classifier='fully_connected'` pools over {POOLED_CELLS} x {POOLED_CELLS} cells, but the map has "
                f"{cells} along a side; give larger frames or smaller strides."
            )
