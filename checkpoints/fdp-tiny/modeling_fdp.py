"""FDP: fine-grained dynamic perception for facial micro-expression recognition (arXiv 2509.06015)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .classification_fdp import (
    FDPConvolutionalClassifier,
    FDPFullyConnectedClassifier,
    action_unit_loss,
    averaged_logits,
    averaged_unit_logits,
    classification_loss,
    other_label_loss,
)
from .configuration_fdp import FDPConfig
from .dynamic_image_decoder_fdp import FDPImageOutput, FDPLightDecoder, FDPSegNetDecoder
from .dynamic_image_fdp import dynamic_image_target, rank_pooling_weights
from .frame_encoder_fdp import FDPAttention, FDPFrameEncoder, FDPStage
from .gradient_checkpointing_fdp import keep_running_statistics
from .motion_fdp import motion_channels, stabilize
from .movement_curves_fdp import FDPMovementDirections
from .movement_evidence_fdp import movement_evidence, movement_score
from .movement_patterns_fdp import (
    SIGNED_PATTERNS,
    FDPMovement,
    FDPMovementReference,
    opposite_features,
    opposite_patterns,
)
from .outputs_fdp import FDPModelOutput, FDPVideoClassifierOutput
from .temporal_pooling_fdp import (
    POOLINGS,
    FDPRankScorer,
    closed_form_rank_scores,
    progress_loss,
    rank_hinge_loss,
    scores_per_frame,
)

if TYPE_CHECKING:
    from transformers import BaseVideoProcessor

    from .pipeline_fdp import MicroExpressionPipeline


class FDPPreTrainedModel(PreTrainedModel):
    """Weight initialisation and supported features of all FDP models."""

    config: FDPConfig
    base_model_prefix = "fdp"
    main_input_name = "pixel_values"
    input_modalities = "video"
    supports_gradient_checkpointing = True
    _no_split_modules = ["FDPLocalAggregator", "FDPGlobalAggregator"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": FDPStage, "attentions": FDPAttention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        # CODEPATH: `released` is initialised as in the authors' code, every other preset by Kaiming's rule.
        if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)) and self.config.initialization == "truncated_normal":
            init.trunc_normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, FDPMovementDirections):
            module.start_at_closed_form()
        elif isinstance(module, FDPImageOutput):
            # The initial image is near "no motion" (sigmoid of 0), the value of most target pixels.
            init.normal_(module.weight, std=1e-3)
        elif isinstance(module, (nn.Conv2d, nn.Conv3d)):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @torch.no_grad()
    def use_channels_last(self) -> "FDPPreTrainedModel":
        """Lays the weights of 2-D convolutions out channels last, which CPUs run about a third faster.

        Values, names and saved files stay the same. `to(memory_format=torch.channels_last)` cannot be used, because it
        refuses the 3-D convolution of some presets. Loading weights undoes it, so call it last.

        Returns:
            `FDPPreTrainedModel`: the model itself.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        return self

    def _set_gradient_checkpointing(
        self,
        enable: bool = True,
        gradient_checkpointing_func: Callable[..., Any] = checkpoint,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Keeps batch norm's statistics, which transformers' own form would update twice per step."""
        if enable:
            gradient_checkpointing_func = keep_running_statistics(gradient_checkpointing_func, self)
        super()._set_gradient_checkpointing(enable, gradient_checkpointing_func, *args, **kwargs)


class FDPModel(FDPPreTrainedModel):
    """Frame encoder, rank scorer and temporal pooling: clips to dynamic representations."""

    _keys_to_ignore_on_load_unexpected = [r"^classifier\.", r"^decoder\.", r"^action_unit_output\."]

    def __init__(self, config: FDPConfig) -> None:
        super().__init__(config)
        self.encoder = FDPFrameEncoder(config)
        # CODEPATH: checkpoints with `reference="movement_patterns"`, which no preset takes.
        self.movement = FDPMovementReference(config) if config.has_patterns else None
        # CODEPATH: every preset but `released` has a scorer.
        self.rank_scorer = FDPRankScorer(config) if config.has_rank_scorer else None
        self.pooling = POOLINGS[config.temporal_pooling](config)
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> FDPModelOutput:
        """Computes the features of clips.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
                Gray aligned frames in time order, in [-1, 1].
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`.

        Returns:
            `FDPModelOutput`: features per frame and per clip.

        Raises:
            ValueError: pixels of a shape that the configuration does not take, NaN or infinite.
        """
        self._check_pixel_values(pixel_values)
        num_frames = pixel_values.shape[1]
        movement = None if self.movement is None else self.movement(pixel_values)
        # CODEPATH: `tiny`, `small` and `base` stabilise the head; `paper` and `released` take frames as given.
        stabilized = stabilize(pixel_values) if self.config.reference == "first_frame_motion" else None
        frames = self._refer_to_first_frame(pixel_values, stabilized) if movement is None else movement.patterns
        frames = frames.to(self.dtype)
        # (batch_size, frames, channels, height, width) -> (batch_size * frames, channels, height, width) and back
        features, detail = (maps.unflatten(0, frames.shape[:2]) for maps in self.encoder(frames.flatten(0, 1)))
        if movement is not None:
            return self._output_of_patterns(features, frames, movement)
        # CODEPATH: no preset; an option that the ablations measure.
        if self.config.reference == "first_frame_features":
            features = features - features[:, :1]
        rank_scores = closed_form_rank_scores(features) if self.rank_scorer is None else self.rank_scorer(features)
        pooled = self.pooling(features, rank_scores)
        # CODEPATH: `tiny`, `small` and `base` score moments of the motion; `paper` and `released` score frames.
        if self.config.reference == "first_frame_motion":
            rank_scores = scores_per_frame(rank_scores, num_frames)
        weights = rank_pooling_weights(detail.shape[1], device=detail.device, dtype=detail.dtype) / detail.shape[1]
        return FDPModelOutput(
            last_hidden_state=features,
            pooler_output=pooled,
            rank_scores=rank_scores,
            # A sum, because a matrix product would change the memory layout of the stem's gradients.
            detail=(weights.view(-1, 1, 1, 1) * detail).sum(1),
            stabilized_frames=stabilized,
        )

    def of_other_sign(self, output: FDPModelOutput) -> tuple[torch.Tensor, torch.Tensor]:
        """Representation of clips whose curves have the opposite sign, with `reference="movement_patterns"`.

        Args:
            output (`FDPModelOutput`): of the clips.

        Returns:
            `tuple`: their `pooler_output` and `movement_features`, of the same shapes as those of `output`.

        Raises:
            ValueError: an output of another `reference`, which has no curves.
        """
        patterns, features, movement = output.patterns, output.last_hidden_state, output.movement_features
        if patterns is None or features is None or movement is None:
            raise ValueError(
                "Curves have a sign with `reference='movement_patterns'`, but the output of "
                f"reference={self.config.reference!r} was given; leave it out."
            )
        opposite = opposite_patterns(patterns)
        changed = self.encoder(opposite.flatten(0, 1))[0].unflatten(0, opposite.shape[:2])
        pooled = self.pooling(torch.cat([changed, features[:, SIGNED_PATTERNS:]], 1), output.rank_scores)
        return pooled, opposite_features(movement, self.config.num_directions)

    def _output_of_patterns(
        self, features: torch.Tensor, patterns: torch.Tensor, movement: FDPMovement
    ) -> FDPModelOutput:
        return FDPModelOutput(
            last_hidden_state=features,
            pooler_output=self.pooling(features, movement.rank_scores),
            rank_scores=movement.rank_scores,
            stabilized_frames=movement.still_frames,
            movement_features=movement.features,
            movement_size=movement.size,
            patterns=patterns,
            other_sign_share=movement.other_sign_share,
        )

    def get_input_embeddings(self) -> nn.Module:
        """The convolution that reads the input; transformers and PEFT call this method.

        Returns:
            `nn.Module`: the first convolution of the stem.
        """
        first: nn.Module = self.encoder.stem[0]
        return first.get_submodule("conv")

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the convolution that reads the input.

        Args:
            value (`nn.Module`): takes `(num_images, encoder_channels, height, width)`.
        """
        self.encoder.stem[0].conv = value

    def _refer_to_first_frame(self, pixel_values: torch.Tensor, stabilized: torch.Tensor | None) -> torch.Tensor:
        """Input of the encoder: the frames (paper, released code) or their change since the first."""
        if stabilized is not None:
            return motion_channels(stabilized, self.config.reference_gain, self.config.num_moments)
        # CODEPATH: `paper` and `released` encode the frames; the difference of pixels, alone or beside the frames, is
        # an option that no preset takes.
        if self.config.reference not in ("first_frame_pixels", "frame_and_change"):
            return pixel_values
        # In the pixels' own precision: half precision would round a motion of one gray level away.
        change = torch.tanh((pixel_values - pixel_values[:, :1]) * self.config.reference_gain)
        # CODEPATH: as above.
        return change if self.config.reference == "first_frame_pixels" else torch.cat([pixel_values, change], dim=2)

    def _check_pixel_values(self, pixel_values: torch.Tensor) -> None:
        config = self.config
        shape = tuple(pixel_values.shape)
        if pixel_values.ndim != 5:
            raise ValueError(
                "`pixel_values` must have the 5 axes (batch_size, num_frames, num_channels, height, width), but shape "
                f"{shape} was given; the video processor returns that form."
            )
        if not pixel_values.is_floating_point():
            raise ValueError(
                f"`pixel_values` must be floating point in [-1, 1], but {pixel_values.dtype} was given; use the video "
                "processor."
            )
        batch_size, num_frames, num_channels, height, width = shape
        if batch_size < 1:
            raise ValueError(f"`pixel_values` must hold at least one clip, but shape {shape} was given.")
        if num_channels != config.num_channels:
            raise ValueError(
                f"`pixel_values` must have {config.num_channels} channel(s) per frame, but shape {shape} has "
                f"{num_channels}; convert the frames with the video processor."
            )
        if num_frames != config.num_frames and (num_frames < config.least_frames or not config.takes_any_length):
            # CODEPATH: both are parts of the error message; only `released` requires one number of frames.
            expected = f"at least {config.least_frames}" if config.takes_any_length else f"exactly {config.num_frames}"
            raise ValueError(
                f"`pixel_values` must have {expected} frames per clip (reference={config.reference!r}, "
                f"temporal_pooling={config.temporal_pooling!r}), but shape {shape} has {num_frames}; sample that many "
                "frames."
            )
        fixed_size = config.frame_head == "vector" or config.classifier == "fully_connected"
        if height != width or (fixed_size and height != config.image_size):
            expected = f"{config.image_size} x {config.image_size} pixels" if fixed_size else "square"
            raise ValueError(f"Frames must be {expected}, but shape {shape} was given; resize the frames.")
        config.stage_sizes(height)
        if not torch.compiler.is_compiling() and not bool(torch.isfinite(pixel_values).all()):
            broken = int((~torch.isfinite(pixel_values)).sum())
            raise ValueError(
                f"`pixel_values` must be finite, but {broken} of {pixel_values.numel()} values are NaN or infinite; "
                "check the frames."
            )


class FDPForVideoClassification(FDPPreTrainedModel):
    """FDP with heads for the class of the micro-expression, the dynamic image and action units.

    The latter two are optional, see the configuration.
    """

    # Every part of the loss is a mean over the clips of the call. Without this, transformers' Trainer takes **kwargs
    # for a loss that divides by `num_items_in_batch`, and leaves out its own division by the steps it accumulates.
    accepts_loss_kwargs = False

    def __init__(self, config: FDPConfig) -> None:
        super().__init__(config)
        self.num_labels = len(config.id2label or ())
        self.fdp = FDPModel(config)
        classifiers: dict[str, type[FDPConvolutionalClassifier] | type[FDPFullyConnectedClassifier]] = {
            "convolutional": FDPConvolutionalClassifier,
            "fully_connected": FDPFullyConnectedClassifier,
        }
        classifier = classifiers[config.classifier](config, self.num_labels)
        self.classifier = classifier
        decoders: dict[str, type[FDPSegNetDecoder] | type[FDPLightDecoder]] = {
            "segnet": FDPSegNetDecoder,
            "light": FDPLightDecoder,
        }
        decoder = decoders.get(config.dynamic_image_decoder)
        self.decoder = None if decoder is None else decoder(config)
        # CODEPATH: sides in checkpoints of a corpus that codes them; one score per unit in all others.
        num_scores = len(config.action_units) * (2 if config.action_unit_sides else 1)
        self.action_unit_output = nn.Linear(classifier.hidden_size, num_scores) if num_scores else None
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        dynamic_image_targets: torch.Tensor | None = None,
        class_weights: torch.Tensor | None = None,
        action_unit_targets: torch.Tensor | None = None,
        progress_targets: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> FDPVideoClassifierOutput:
        """Classifies clips and constructs their dynamic images.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
                Gray aligned frames in time order, in [-1, 1].
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                True classes, in [0, num_labels). With another `config.problem_type` than one label per clip a
                `torch.FloatTensor` of shape `(batch_size, num_labels)`.
            dynamic_image_targets (`torch.FloatTensor` of shape `(batch_size, 1, height, width)`, *optional*):
                Target of the constructed image, in [0, 1]. Made from `pixel_values` on their device when only `labels`
                are given; given alone, it trains the image and the ranking without classes.
            class_weights (`torch.FloatTensor` of shape `(num_labels,)`, *optional*):
                Weights of the classes in the cross-entropy; the configuration's by default.
            action_unit_targets (`torch.FloatTensor` of shape `(batch_size, num_action_units)`, *optional*):
                1 where a unit of `config.action_units` moved, 0 where not, NaN where not coded. With
                `config.action_unit_sides` of shape `(batch_size, num_action_units, 2)`: the subject's left and right.
            progress_targets (`torch.FloatTensor` of shape `(batch_size, num_frames)`, *optional*):
                Progress of the movement in each frame, from 0, at rest, to 1, at the apex; NaN where unknown. Scores
                are then trained on it instead of time; with `reference="movement_patterns"` the rank loss requires it.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`.

        Returns:
            `FDPVideoClassifierOutput`: scores, dynamic image, rank scores and losses.

        Raises:
            ValueError: an input of a shape, type or range that the configuration does not take.
        """
        outputs = self.fdp(pixel_values, **kwargs)
        logits, action_unit_logits = self._scores(outputs.pooler_output, outputs.movement_features)
        share = outputs.other_sign_share
        # CODEPATH: checkpoints of `--recipe any_window`; no preset.
        if share is not None and self.config.averages_signs and not self.training:
            other_logits, other_units = self._scores(*self.fdp.of_other_sign(outputs))
            logits = averaged_logits(logits, other_logits, share)
            if action_unit_logits is not None and other_units is not None:
                action_unit_logits = averaged_unit_logits(action_unit_logits, other_units, share)
        # Here, so that the pipelines of transformers, exported graphs and losses agree with it.
        logits = logits / self.config.temperature
        side_logits = None
        # CODEPATH: checkpoints of `--recipe any_window`; no preset.
        if action_unit_logits is not None and self.config.action_unit_sides:
            side_logits = action_unit_logits.unflatten(1, (-1, 2))
            action_unit_logits = side_logits.amax(2)
        moved = None
        # CODEPATH: calibrated checkpoints; no preset.
        if self.config.movement_weights and outputs.movement_size is not None and action_unit_logits is not None:
            evidence = movement_evidence(outputs.movement_size, action_unit_logits)
            moved = movement_score(evidence, self.config.movement_weights)
        constructed = None if self.decoder is None else self.decoder(outputs.pooler_output, outputs.detail)
        loss, losses = None, None
        if any(target is not None for target in (labels, dynamic_image_targets, action_unit_targets)):
            losses = {}
            if labels is not None:
                losses["classification"] = self._classification_loss(logits, labels, class_weights)
            if action_unit_targets is not None:
                losses["action_unit"] = self._action_unit_loss(
                    action_unit_logits if side_logits is None else side_logits, action_unit_targets
                )
            # CODEPATH: every preset; a weight of 0 is an option that the ablations measure.
            if constructed is not None and self.config.dynamic_image_loss_weight > 0:
                target = self._dynamic_image_target(pixel_values, dynamic_image_targets, outputs)
                losses["dynamic_image"] = F.mse_loss(constructed.float(), target)
            # CODEPATH: every preset but `released`; the last form is the paper's, used without `progress_targets`.
            if self.config.rank_loss_weight > 0 and progress_targets is not None:
                losses["rank"] = progress_loss(outputs.rank_scores.float(), progress_targets, self.config.rank_margin)
            # CODEPATH: as above.
            elif self.config.rank_loss_weight > 0 and not self.config.has_patterns:
                losses["rank"] = rank_hinge_loss(outputs.rank_scores.float(), self.config.rank_margin)
            weighted = [getattr(self.config, f"{name}_loss_weight") * value for name, value in losses.items()]
            loss = sum(weighted) if weighted else None
        return FDPVideoClassifierOutput(
            loss=loss,
            logits=logits,
            dynamic_image=constructed,
            rank_scores=outputs.rank_scores,
            action_unit_logits=action_unit_logits,
            movement_size=outputs.movement_size,
            movement_score=moved,
            action_unit_side_logits=side_logits,
            losses=losses,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _scores(
        self, representation: torch.Tensor, movement: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Scores of the classes before the temperature, and of the action units, if there are any."""
        logits, seen = self.classifier(representation, movement)
        return logits, None if self.action_unit_output is None else self.action_unit_output(seen)

    def as_pipeline(self, video_processor: "BaseVideoProcessor", **kwargs: Any) -> "MicroExpressionPipeline":
        """Makes a pipeline of this network, without a checkpoint on disk and without remote code.

        Args:
            video_processor (`BaseVideoProcessor`): prepares the clips.
            **kwargs: of `transformers.Pipeline`: `device`, `batch_size` and others.

        Returns:
            `MicroExpressionPipeline`: clips to answers.
        """
        # By this import transformers copies the pipelines into every checkpoint. Here, because importing all of
        # transformers' pipelines takes as long as importing the network.
        from .pipeline_fdp import TASK, MicroExpressionPipeline

        return MicroExpressionPipeline(self, video_processor=video_processor, task=TASK, **kwargs)

    def _classification_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, class_weights: torch.Tensor | None
    ) -> torch.Tensor:
        # CODEPATH: no preset; checkpoints of a training with several labels per clip or with numbers.
        if self.config.problem_type in ("multi_label_classification", "regression"):
            if labels.shape != logits.shape:
                raise ValueError(
                    f"`labels` must have the shape {tuple(logits.shape)} of the logits with "
                    f"problem_type={self.config.problem_type!r}, but {tuple(labels.shape)} was given."
                )
            return other_label_loss(logits, labels, self.config.problem_type)
        self._check_labels(labels, logits)
        # CODEPATH: no preset; checkpoints of a training with weighted classes.
        if class_weights is None and self.config.class_weights is not None:
            class_weights = torch.tensor(self.config.class_weights, device=logits.device)
        return classification_loss(
            logits, labels.long(), class_weights, self.config.label_smoothing, self.config.focal_gamma
        )

    def _action_unit_loss(self, logits: torch.Tensor | None, labels: torch.Tensor) -> torch.Tensor:
        if logits is None or labels.shape != logits.shape:
            expected = "no such targets" if logits is None else f"shape {tuple(logits.shape)}"
            raise ValueError(
                f"`action_unit_targets` must follow `config.action_units`, which asks for {expected}, but shape "
                f"{tuple(labels.shape)} was given."
            )
        known = labels.nan_to_num()
        if not torch.compiler.is_compiling() and bool(((known < 0) | (known > 1)).any()):
            raise ValueError(
                f"`action_unit_targets` must lie in [0, 1] or be NaN, but values from {float(known.min())} to "
                f"{float(known.max())} were given; use NaN for units that were not coded."
            )
        return action_unit_loss(logits, labels)

    def _dynamic_image_target(
        self, pixel_values: torch.Tensor, given: torch.Tensor | None, outputs: FDPModelOutput
    ) -> torch.Tensor:
        expected = (pixel_values.shape[0], 1, *pixel_values.shape[-2:])
        if given is not None:
            if tuple(given.shape) != expected:
                raise ValueError(
                    f"`dynamic_image_targets` must have shape {expected}, but {tuple(given.shape)} was given."
                )
            return given.float()
        return dynamic_image_target(pixel_values, self.config, outputs.stabilized_frames, outputs.rank_scores)

    def _check_labels(self, labels: torch.Tensor, logits: torch.Tensor) -> None:
        if labels.shape != logits.shape[:1] or labels.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"`labels` must be {logits.shape[0]} integers, one per clip, but shape {tuple(labels.shape)} of type "
                f"{labels.dtype} was given."
            )
        if torch.compiler.is_compiling():
            return
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.num_labels:
            raise ValueError(
                f"`labels` must lie in [0, {self.num_labels}), but values from {low} to {high} were given; set "
                "`num_labels` to the number of classes."
            )


FDPModel.register_for_auto_class("AutoModel")
FDPForVideoClassification.register_for_auto_class("AutoModelForVideoClassification")
