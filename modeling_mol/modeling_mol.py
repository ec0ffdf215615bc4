"""MOL: micro-expressions with optical flow and landmarks as further tasks (arXiv 2506.14511)."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_mol import MOLConfig
from .facial_features_mol import MOLBlock, MOLCircularConvolution, MOLStem, derivatives
from .flow_decoders_mol import MOLFlowNetC, MOLFlowOutput, MOLFlowUNet
from .heads_mol import MOLClassifier, MOLLandmarkHead

# Where the Charbonnier loss turns from a square into an absolute value, in units of `flow_scale` (our choice).
CHARBONNIER_WIDTH = 0.01
# Indices of the landmarks of both eyes, by the number of landmarks; see `inter_ocular_distance`.
EYES = {5: ((0,), (1,)), 68: (tuple(range(36, 42)), tuple(range(42, 48)))}


@dataclass
class MOLModelOutput(ModelOutput):
    """Features of the frames of clips.

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch_size, num_maps, hidden_size, map_size, map_size)`):
            Feature maps in time order: of each frame, or with `separate_roles` of both frames of each pair.
        pooler_output (`torch.FloatTensor` of shape `(batch_size, hidden_size)`): Mean of `last_hidden_state` over maps
            and cells.
        earlier_features (`torch.FloatTensor` of shape `(batch_size, num_pairs, hidden_size, map_size, map_size)`):
            Features of the earlier frame of each pair.
        frame_features (`torch.FloatTensor` of shape `(batch_size, num_frames, hidden_size, map_size, map_size)`):
            Features of every frame: of the first one as the earlier frame of a pair, of all others as the later one.
        stem_maps (`tuple[torch.FloatTensor]`): Maps of the stem, each `(batch_size, num_frames, channels, size,
            size)`.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): Output of each block, `(batch_size * frames,
            hidden_size, map_size, map_size)`.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    earlier_features: torch.Tensor | None = None
    frame_features: torch.Tensor | None = None
    stem_maps: tuple[torch.Tensor, ...] | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


@dataclass
class MOLVideoClassifierOutput(ModelOutput):
    """Predictions for clips, and losses.

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*): Weighted sum of `losses`; `None` without targets.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`): Class scores before the softmax.
        flow (`torch.FloatTensor` of shape `(batch_size, 2, num_frames - 1, height, width)`, *optional*):
            Displacement (x, y) in pixels from the earlier to the later frame of each pair; `None` with
            `flow_decoder="none"`.
        landmarks (`torch.FloatTensor` of shape `(batch_size, num_frames, num_landmarks, 2)`, *optional*):
            Points (x, y) of each frame in pixels from the middle of the frame; `None` with `num_landmarks=0`.
        losses (`dict[str, torch.FloatTensor]`, *optional*): The unweighted parts `"classification"`, `"flow"` and
            `"landmarks"`, those whose targets were given.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): see `MOLModelOutput`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    flow: torch.Tensor | None = None
    landmarks: torch.Tensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class MOLPreTrainedModel(PreTrainedModel):
    """Weight initialisation and supported features of all MOL models."""

    config: MOLConfig
    base_model_prefix = "mol"
    main_input_name = "pixel_values"
    input_modalities = "video"
    _no_split_modules = ["MOLBlock"]
    _can_record_outputs = {"hidden_states": MOLBlock}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, MOLCircularConvolution):
            init.normal_(module.position, std=self.config.position_std)
            # 1 / sqrt(fan_in), because each output is a sum over the cells of one axis.
            init.normal_(module.weight, std=module.weight.shape[1] ** -0.5)
            init.zeros_(module.bias)
        elif isinstance(module, MOLFlowOutput):
            # The initial flow is almost 0.
            init.normal_(module.weight, std=1e-3)
        elif isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, MOLForVideoClassification):
            init.ones_(module.flow_scale)
            init.zeros_(module.mean_landmarks)


class MOLModel(MOLPreTrainedModel):
    """Stem and blocks, from frames to features."""

    _keys_to_ignore_on_load_unexpected = [
        r"^classifier\.", r"^flow_decoder\.", r"^landmark_head\.", r"^flow_scale$", r"^mean_landmarks$"
    ]  # fmt: skip

    def __init__(self, config: MOLConfig) -> None:
        super().__init__(config)
        self.stem = MOLStem(config)
        self.block = MOLBlock(config)
        # CODEPATH: in `small` both frames of a pair pass one block; `released` has a block for each.
        self.earlier_block = MOLBlock(config) if config.separate_roles else None
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> MOLModelOutput:
        """Computes the features of the frames of clips.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
                Gray aligned frames in time order, in [-1, 1].
            **kwargs: `output_hidden_states`, `return_dict`.

        Returns:
            `MOLModelOutput`: features of frames and pairs.

        Raises:
            ValueError: pixels of a shape that the configuration does not take, NaN or infinite.
        """
        self._check_pixel_values(pixel_values)
        clips = pixel_values.shape[:2]
        frames = pixel_values.flatten(0, 1)
        # CODEPATH: `small`; `released` reads the frames.
        if self.config.stem_inputs == "derivatives":
            # Before the cast, because half precision would round a change of one gray level away.
            earlier = torch.cat([pixel_values[:, :1], earlier_frames(pixel_values, self.config.flow_reference)], dim=1)
            frames = derivatives(earlier.flatten(0, 1), frames)
        # (batch_size, num_frames, channels, height, width) -> (batch_size * num_frames, ...) and back
        stem_maps = tuple(maps.unflatten(0, clips) for maps in self.stem(frames.to(self.dtype)))
        earlier = earlier_frames(stem_maps[-1], self.config.flow_reference)
        # CODEPATH: `small`; the other branch is `released`.
        if self.earlier_block is None:
            features = self.block(stem_maps[-1].flatten(0, 1)).unflatten(0, clips)
            earlier_features = earlier_frames(features, self.config.flow_reference)
            stacked = features
        else:
            later = self.block(stem_maps[-1][:, 1:].flatten(0, 1)).unflatten(0, earlier.shape[:2])
            earlier_features = self.earlier_block(earlier.flatten(0, 1)).unflatten(0, earlier.shape[:2])
            features = torch.cat([earlier_features[:, :1], later], dim=1)
            # Pairs in time order, the earlier frame of each before the later one.
            stacked = torch.stack([earlier_features, later], dim=2).flatten(1, 2)
        return MOLModelOutput(
            last_hidden_state=stacked,
            pooler_output=stacked.mean(dim=(1, 3, 4)),
            earlier_features=earlier_features,
            frame_features=features,
            stem_maps=stem_maps,
        )

    def get_input_embeddings(self) -> nn.Module:
        """The convolution that reads the input; transformers and PEFT call this method.

        Returns:
            `nn.Module`: the first convolution of the stem; with `stem_inputs="derivatives"` a batch norm precedes it.
        """
        first: nn.Module = self.stem.layers[0]
        return first.get_submodule("0")

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the convolution that reads the input.

        Args:
            value (`nn.Module`): takes `(num_images, num_inputs, height, width)`: `num_channels`, or four times as many
                with `stem_inputs="derivatives"`.
        """
        self.stem.layers[0].set_submodule("0", value)

    def _check_pixel_values(self, pixel_values: torch.Tensor) -> None:
        config = self.config
        expected = (config.num_frames, config.num_channels, config.image_size, config.image_size)
        shape = tuple(pixel_values.shape)
        if pixel_values.ndim != 5 or shape[0] < 1 or shape[1:] != expected:
            raise ValueError(
                f"`pixel_values` must have shape (batch_size, {', '.join(map(str, expected))}), that is (batch_size, "
                f"num_frames, num_channels, height, width), but {shape} was given; use the checkpoint's video "
                "processor."
            )
        if not pixel_values.is_floating_point():
            raise ValueError(
                f"`pixel_values` must be floating point in [-1, 1], but {pixel_values.dtype} was given; use the video "
                "processor."
            )
        if not torch.compiler.is_compiling() and not bool(torch.isfinite(pixel_values).all()):
            raise ValueError("`pixel_values` must be finite, but some are NaN or infinite; check the frames.")


class MOLForVideoClassification(MOLPreTrainedModel):
    """MOL with heads for the class of the micro-expression, the optical flow and the landmarks.

    Two buffers are computed from the training clips (`store_training_facts`) and saved with the weights: `flow_scale`,
    the root mean square of the clips' flow in pixels, and `mean_landmarks`, to which the landmark head adds offsets.
    """

    # Every part of the loss is a mean over the clips of the call; see `FDPForVideoClassification`.
    accepts_loss_kwargs = False

    def __init__(self, config: MOLConfig) -> None:
        super().__init__(config)
        self.num_labels = len(config.id2label or ())
        self.mol = MOLModel(config)
        self.classifier = MOLClassifier(config, self.num_labels)
        decoders: dict[str, type[MOLFlowUNet] | type[MOLFlowNetC]] = {"unet": MOLFlowUNet, "flownet_c": MOLFlowNetC}
        decoder = decoders.get(config.flow_decoder)
        # CODEPATH: every preset has both heads; each can be left out to measure its effect.
        self.flow_decoder = None if decoder is None else decoder(config)
        # CODEPATH: as above.
        self.landmark_head = MOLLandmarkHead(config) if config.num_landmarks else None
        self.flow_scale = nn.Buffer(torch.ones(()))
        self.mean_landmarks = nn.Buffer(torch.zeros(config.num_landmarks, 2))
        self.post_init()

    @torch.no_grad()
    def store_training_facts(self, flow_scale: float, mean_landmarks: torch.Tensor) -> None:
        """Stores the two buffers that are computed from the training clips.

        Args:
            flow_scale (`float`): Root mean square of the clips' flow in pixels, above 0.
            mean_landmarks (`torch.FloatTensor` of shape `(num_landmarks, 2)`): Mean of the clips' landmarks, in pixels
                from the middle of the frame.

        Raises:
            ValueError: a scale that is not above 0, or landmarks of another shape.
        """
        if not flow_scale > 0 or mean_landmarks.shape != self.mean_landmarks.shape:
            raise ValueError(
                f"`flow_scale` must be above 0 and `mean_landmarks` of shape {tuple(self.mean_landmarks.shape)}, but "
                f"{flow_scale} and {tuple(mean_landmarks.shape)} were given."
            )
        self.flow_scale.fill_(flow_scale)
        self.mean_landmarks.copy_(mean_landmarks)

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        flow_targets: torch.Tensor | None = None,
        landmark_targets: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MOLVideoClassifierOutput:
        """Classifies clips, and estimates the motion and the landmarks of their frames.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
                Gray aligned frames in time order, in [-1, 1].
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                True classes, in [0, num_labels).
            flow_targets (`torch.FloatTensor` of shape `(batch_size, 2, num_frames - 1, height, width)`, *optional*):
                True displacement (x, y) in pixels from the earlier to the later frame of each pair.
            landmark_targets (`torch.FloatTensor` of shape `(batch_size, num_frames, num_landmarks, 2)`, *optional*):
                True points in pixels from the middle of the frame; NaN where unknown.
            **kwargs: `output_hidden_states`, `return_dict`.

        Returns:
            `MOLVideoClassifierOutput`: scores, flow, landmarks, and the losses whose targets were given.

        Raises:
            ValueError: an input of a shape, type or range that the configuration does not take.
        """
        outputs = self.mol(pixel_values, **kwargs)
        scaled_flow = self._scaled_flow(
            pixel_values, outputs.earlier_features, outputs.frame_features, outputs.stem_maps
        )
        inputs = outputs.last_hidden_state
        # CODEPATH: `small`; in `released` the classifier reads features.
        if self.config.classifier_inputs == "flow" and scaled_flow is not None:
            inputs = self._centred(scaled_flow)
        logits = self.classifier(inputs)
        landmarks = self._landmarks(outputs.frame_features)
        losses = {}
        if labels is not None:
            self._check_labels(labels, logits)
            losses["classification"] = F.cross_entropy(logits.float(), labels.long())
        if flow_targets is not None:
            losses["flow"] = self._flow_loss(scaled_flow, flow_targets)
        if landmark_targets is not None:
            losses["landmarks"] = self._landmark_loss(landmarks, landmark_targets)
        weights = {
            "classification": 1.0,
            "flow": self.config.flow_loss_weight,
            "landmarks": self.config.landmark_loss_weight,
        }
        weighted = [weights[name] * value for name, value in losses.items()]
        return MOLVideoClassifierOutput(
            loss=torch.stack(weighted).sum() if weighted else None,
            logits=logits,
            flow=None if scaled_flow is None else scaled_flow * self.flow_scale,
            landmarks=landmarks,
            losses=losses or None,
            hidden_states=outputs.hidden_states,
        )

    def _scaled_flow(
        self,
        pixel_values: torch.Tensor,
        earlier_features: torch.Tensor,
        features: torch.Tensor,
        stem_maps: tuple[torch.Tensor, ...],
    ) -> torch.Tensor | None:
        """Flow in units of `flow_scale`, `(batch_size, 2, num_pairs, height, width)`."""
        if self.flow_decoder is None:
            return None
        pairs = (pixel_values.shape[0], self.config.num_pairs)
        # CODEPATH: in `small` the first frame is given once for all pairs of its clip, so that nothing is computed for
        # each of them again; pairs of `released` have earlier frames of their own.
        earlier = slice(0, 1) if self.config.flow_reference == "first" else slice(0, self.config.num_pairs)
        later = slice(1, None)
        read = {index: stem_maps[index] for index in self.flow_decoder.levels}
        flow: torch.Tensor = self.flow_decoder(
            as_images(pixel_values, earlier),
            as_images(pixel_values, later),
            as_images(earlier_features, earlier),
            as_images(features, later),
            {index: as_images(maps, earlier) for index, maps in read.items()},
            {index: as_images(maps, later) for index, maps in read.items()},
        )
        # (batch_size * num_pairs, 2, height, width) -> (batch_size, 2, num_pairs, height, width)
        return flow.reshape(*pairs, *flow.shape[1:]).transpose(1, 2)

    def _centred(self, scaled_flow: torch.Tensor) -> torch.Tensor:
        """Flow without its mean over the frame, `(batch_size, num_pairs, 2, map_size, map_size)`."""
        pooled = F.adaptive_avg_pool2d(scaled_flow.transpose(1, 2).flatten(0, 1), self.config.map_size)
        centred = pooled - pooled.mean(dim=(2, 3), keepdim=True)
        return centred.reshape(-1, self.config.num_pairs, *centred.shape[1:])

    def _landmarks(self, features: torch.Tensor) -> torch.Tensor | None:
        if self.landmark_head is None:
            return None
        offsets: torch.Tensor = self.landmark_head(features.flatten(0, 1))
        return self.mean_landmarks + offsets.reshape(*features.shape[:2], *offsets.shape[1:])

    def _flow_loss(self, scaled_flow: torch.Tensor | None, targets: torch.Tensor) -> torch.Tensor:
        scale = self.flow_scale.float()
        error = self._checked("flow_targets", targets, scaled_flow).float() - targets.float() / scale
        # CODEPATH: `small`; the last line is `released`.
        if self.config.flow_loss == "charbonnier":
            return torch.sqrt(error**2 + CHARBONNIER_WIDTH**2).mean()
        return ((error * scale) ** 2).mean()

    def _landmark_loss(self, landmarks: torch.Tensor | None, targets: torch.Tensor) -> torch.Tensor:
        answers = self._checked("landmark_targets", targets, landmarks).float()
        is_known = targets.isfinite().all(dim=(2, 3))
        # Unknown points become 0 before the difference, because NaN times 0 is NaN.
        known = targets.float().nan_to_num()
        error = (answers - known).abs().mean(dim=(2, 3)) / inter_ocular_distance(known).clamp_min(1.0)
        return (error * is_known).sum() / is_known.sum().clamp_min(1)

    @staticmethod
    def _checked(name: str, targets: torch.Tensor, answers: torch.Tensor | None) -> torch.Tensor:
        """Return `answers`, the output of a head; raises `ValueError` where the shape of `targets` differs."""
        if answers is None or targets.shape != answers.shape:
            expected = "no such targets" if answers is None else f"shape {tuple(answers.shape)}"
            raise ValueError(
                f"`{name}` must fit the configuration, which asks for {expected}, but shape {tuple(targets.shape)} "
                "was given."
            )
        return answers

    def _check_labels(self, labels: torch.Tensor, logits: torch.Tensor) -> None:
        if labels.shape != logits.shape[:1] or labels.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"`labels` must be {logits.shape[0]} integers, one per clip, but shape {tuple(labels.shape)} of type "
                f"{labels.dtype} was given."
            )
        if not torch.compiler.is_compiling() and bool(((labels < 0) | (labels >= self.num_labels)).any()):
            raise ValueError(
                f"`labels` must lie in [0, {self.num_labels}), but values from {int(labels.min())} to "
                f"{int(labels.max())} were given; set `num_labels` to the number of classes."
            )


def earlier_frames(values: torch.Tensor, flow_reference: str) -> torch.Tensor:
    """Select the entry of the earlier frame of each pair.

    Args:
        values (`torch.Tensor` of shape `(batch_size, num_frames, ...)`): One entry per frame.
        flow_reference (`str`): `"first"` or `"previous"`.

    Returns:
        `torch.Tensor` of shape `(batch_size, num_frames - 1, ...)`: the first frame's entry, repeated, or the entries
        of all frames but the last.
    """
    return values[:, :1].expand_as(values[:, 1:]) if flow_reference == "first" else values[:, :-1]


def as_images(values: torch.Tensor, frames: slice) -> torch.Tensor:
    """Choose frames of clips and list them as images, channels last, because large maps are convolved faster so.

    Args:
        values (`torch.Tensor` of shape `(batch_size, num_frames, num_channels, height, width)`): Frames or their maps.
        frames (`slice`): Those to choose.

    Returns:
        `torch.Tensor` of shape `(batch_size * num_chosen, num_channels, height, width)`: clip by clip.
    """
    # Moved before they are chosen, so that the gradient, in which 0 stands for all others, has the same layout.
    images = values.movedim(2, -1)[:, frames].flatten(0, 1).movedim(-1, 1)
    return images.contiguous(memory_format=torch.channels_last)


def inter_ocular_distance(landmarks: torch.Tensor) -> torch.Tensor:
    """Measure the distance between the two eyes, each the mean of its landmarks.

    Args:
        landmarks (`torch.FloatTensor` of shape `(..., num_landmarks, 2)`): 5 or 68 points.

    Returns:
        `torch.FloatTensor` of shape `(...)`: in the unit of the landmarks.
    """
    left, right = (landmarks[..., list(points), :].mean(dim=-2) for points in EYES[landmarks.shape[-2]])
    distance: torch.Tensor = torch.linalg.vector_norm(right - left, dim=-1)
    return distance


MOLModel.register_for_auto_class("AutoModel")
MOLForVideoClassification.register_for_auto_class("AutoModelForVideoClassification")
