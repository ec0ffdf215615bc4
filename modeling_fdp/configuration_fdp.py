"""Configuration of FDP (fine-grained dynamic perception, arXiv 2509.06015) and its named presets."""

import copy
import dataclasses
import math
from dataclasses import field
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig

from .configuration_heads_fdp import NUM_MOVEMENT_WEIGHTS, HeadSettings, TemporalPooling
from .presets_fdp import PRESETS

AUTO_MAP = {
    "AutoConfig": "configuration_fdp.FDPConfig",
    "AutoModel": "modeling_fdp.FDPModel",
    "AutoModelForVideoClassification": "modeling_fdp.FDPForVideoClassification",
    "AutoVideoProcessor": "video_processing_fdp.FDPVideoProcessor",
}
# Read by `transformers.pipeline`; `pt` names the auto class that loads the network.
CUSTOM_PIPELINES = {
    "micro-expression-recognition": {
        "impl": "pipeline_fdp.MicroExpressionPipeline",
        "pt": ["AutoModelForVideoClassification"],
        "type": "video",
    },
    "video-classification": {
        "impl": "pipeline_fdp.FDPVideoClassificationPipeline",
        "pt": ["AutoModelForVideoClassification"],
        "type": "video",
    },
}


@strict
class FDPConfig(HeadSettings, PreTrainedConfig):
    r"""Architecture and losses of an FDP network.

    The defaults are the preset `base`: the depths and widths of the authors' code with the attention blocks that the
    paper describes.

    Args:
        num_channels (`int`, *optional*, defaults to 1):
            Channels of a frame. FDP works on gray frames (released code: 1).
        num_frames (`int`, *optional*, defaults to 16):
            Frames per clip (released code: 8; with motion every further frame lowers the noise of the fit). The
            video-classification pipeline reads this field.
        image_size (`int`, *optional*, defaults to 64):
            Height and width of a frame in pixels (released code: 64).
        reference (`str`, *optional*, defaults to `"first_frame_motion"`):
            What frames are compared with before the encoder: `"none"` (paper and released code),
            `"first_frame_motion"` (the head is stabilised, every pixel is fitted over time by a pulse and a drift, and
            the encoder gets both and the skin's motion; see `motion_fdp`), `"movement_patterns"` (any part of a
            movement: curves over time are estimated per clip, and the encoder gets motion and gray regressed on them;
            see `movement_patterns_fdp`), `"first_frame_pixels"` (the plain difference alone), `"frame_and_change"`
            (every frame, and its plain difference as further channels: the smallest change of the paper's input) or
            `"first_frame_features"` (the first frame's features are subtracted after the encoder). Our choice:
            identity dominates raw frames, and the reference to the first frame is the largest single gain in published
            logs on CASME II; the further gain of motion is in `docs/results.md`. Motion assumes frames evenly spaced
            in time.
        reference_gain (`float`, *optional*, defaults to 12.0):
            With every reference but `"none"` and `"first_frame_features"`, the change of gray is
            multiplied by this and passed through tanh: 10 of 255 gray levels become 0.74, so that a blink does not
            dominate a brow. Our choice.
        num_moments (`int`, *optional*, defaults to 4):
            With `"first_frame_motion"`, moments at which the fitted curves are sampled for the encoder. The curves are
            smooth, so a few moments describe them (our choice).
        num_directions (`int`, *optional*, defaults to 16):
            With `"movement_patterns"`, directions onto which the rank scorer projects motion, at most 16. They are
            initialised in closed form and trained (our choice; 8 to 24 performed alike).
        pattern_scale_rate (`float`, *optional*, defaults to 0.5):
            With `"movement_patterns"`, share of training clips whose patterns are multiplied by a factor of 0.7 to
            4.5, to imitate weaker and stronger movements (our choice).
        stem_channels (`list[int]`, *optional*, defaults to `[64, 32, 64, 64]`):
            Output channels of the 3x3 convolutions of the stem (released code).
        stem_strides (`list[int]`, *optional*, defaults to `[2, 1, 1, 2]`):
            Their strides, in pixels of the frame (released code). Motion has half the frame's resolution already, so
            with it the first stride must be even and is halved.
        hidden_sizes (`list[int]`, *optional*, defaults to `[96, 192, 384, 768]`):
            Channels of the local blocks of each stage (released code).
        global_hidden_sizes (`list[int]`, *optional*, defaults to `[128, 256, 512, 1024]`):
            Channels of the global blocks of each stage (listed in the released code, never built by it).
        local_depths (`list[int]`, *optional*, defaults to `[3, 4, 10, 3]`):
            Local relational aggregators per stage, N_L (released code).
        global_depths (`list[int]`, *optional*, defaults to `[1, 1, 1, 1]`):
            Global relational aggregators that close each stage, N_G (paper; 0 in the network as released).
        stage_strides (`list[int]`, *optional*, defaults to `[1, 2, 2, 2]`):
            Stride of the patch embedding that opens each stage, 1 or 2 (released code).
        local_convolution (`str`, *optional*, defaults to `"multi_head"`):
            `"multi_head"`: per-head 3x3 convolution, batch norm, ReLU, concatenation, pointwise convolution (paper).
            `"dense"`: one plain 3x3 convolution (released code).
        local_head_dim (`int`, *optional*, defaults to 32):
            Channels per head of the multi-head convolution (our choice, Next-ViT's value).
        local_mlp_ratio (`float`, *optional*, defaults to 3.0):
            Hidden to outer channels of the MLP of a local block (released code).
        attention_head_dim (`int`, *optional*, defaults to 8):
            Channels per attention head (released code). Flash attention needs a multiple of 8.
        attention_ratio (`float`, *optional*, defaults to 0.75):
            Share of a global block's channels that attention fills; convolution fills the rest (released code).
        key_value_strides (`list[int]`, *optional*, defaults to `[8, 4, 2, 1]`):
            Side of the average pooling of keys and values in each stage, in map cells (released code).
        global_mlp_ratio (`float`, *optional*, defaults to 2.0):
            Hidden to outer channels of the MLP of a global block (released code).
        attention_dropout (`float`, *optional*, defaults to 0.0):
            Dropout on attention weights (released code).
        drop_path_rate (`float`, *optional*, defaults to 0.1):
            Stochastic depth, rising linearly from 0 over all blocks (released code).
        frame_head (`str`, *optional*, defaults to `"pyramid"`):
            `"pyramid"`: all stages are resized to the first stage's map and summed, so that every frame has a spatial
            map (our choice). `"vector"`: batch norm, global average, linear layer to `image_size ** 2` numbers that
            are then read as an image (released code).
        feature_size (`int`, *optional*, defaults to 128):
            Channels of each frame's feature map. 1 with `frame_head="vector"`.
        temporal_pooling (`str`, *optional*, defaults to `"temporal_convolution"`):
            How frames become one dynamic representation, one of `TEMPORAL_POOLINGS`, among them
            `"temporal_convolution"` (one learned kernel per channel over the true time axis, as the released code
            intended), `"rank_pooling"` (the parameters of a linear ranker that is fitted to the clip's own frames) and
            `"interleaved_convolution"` (the released reshape); the classes in `temporal_pooling_fdp` tell more. The
            paper pools "rank features" by an equation that is unknown; on rendered faces the convolution reached a UF1
            of 0.844 and the rank-weighted sum 0.794 (three seeds each, `docs/results.md`), so it is the default, and
            the rank scorer acts through its loss alone.
        rank_pooling_steps (`int`, *optional*, defaults to 8):
            Steps of gradient descent that fit the ranker of `"rank_pooling"` (our choice).
        representation_multiplier (`int`, *optional*, defaults to 1):
            Channels of the dynamic representation per channel of a frame's map; only the convolutions can raise it
            (released code: 8 filters on one channel).
        rank_margin (`float`, *optional*, defaults to 1.0):
            Margin of the pairwise hinge between frames, in units of the score (RankSVM's value; the paper's is
            unknown). Where moments are scored, the frames between them get interpolated scores, and their pairs count
            too.
        rank_smoothing (`str`, *optional*, defaults to `"running_mean"`):
            Input of the rank scorer: `"running_mean"` (mean of the features up to each frame, as rank pooling is
            defined: it orders a movement that returns to rest, but in part also shuffled frames) or `"none"` (features
            of each frame alone, as in the paper: scores fall where the movement reverses, so one that returns cannot
            be ordered).
        rank_grid_size (`int`, *optional*, defaults to 1):
            Cells along a side of the grid over which the rank scorer averages the map of a frame. 1 discards
            positions, so that a feature that only changes its position cannot be ordered (our choice).
        classifier (`str`, *optional*, defaults to `"convolutional"`):
            `"convolutional"`: 3x3 convolution, pooling to a small grid, one linear layer (our choice).
            `"fully_connected"`: 3x3 max pooling and two linear layers (released code).
        classifier_hidden_size (`int`, *optional*, defaults to 256):
            Width of the hidden layer of `"fully_connected"` (released code).
        classifier_grid_size (`int`, *optional*, defaults to 4):
            Cells along a side of the grid that `"convolutional"` pools to; positions are kept because emotions differ
            in where the face moves (our choice).
        classifier_dropout (`float`, *optional*, defaults to 0.0):
            Dropout before the last linear layer.
        dynamic_image_decoder (`str`, *optional*, defaults to `"segnet"`):
            Network that constructs the dynamic image: `"segnet"` (released code), `"light"` (our choice) or `"none"`.
        decoder_size (`int`, *optional*, defaults to 64):
            Channels of the first level; SegNet's levels are 1, 2, 4, 8 and 8 times this (released code: 64).
        dynamic_image_shortcut (`bool`, *optional*, defaults to `True`):
            Whether the light decoder also gets the stem's first map, pooled over time, for its fine lines (our
            choice). `False` constructs the image from the representation alone (paper), as SegNet and
            `reference="movement_patterns"` always do.
        dynamic_image_frames (`str`, *optional*, defaults to `"stabilized"`):
            Frames that the target sums: `"stabilized"` (the head's motion is removed, because it would dominate the
            image; our choice), `"given"` (paper and released code) or `"along_curve"` (stabilized frames, weighted by
            the scores of `reference="movement_patterns"`: the change from rest to peak; our choice).
        dynamic_image_normalization (`str`, *optional*, defaults to `"signed"`):
            Scale of the target: `"signed"` (0.5 means no motion) or `"min_max"` (per image, released code).
        dynamic_image_gain (`float`, *optional*, defaults to 8.0):
            Amplification of the signed target: with 8, a change of 255 / 8 = 32 gray levels reaches black or white.
        classification_loss_weight (`float`, *optional*, defaults to 1.0):
            Weight of the cross-entropy (released code).
        dynamic_image_loss_weight (`float`, *optional*, defaults to 100.0):
            Weight of the mean squared error of the dynamic image (released code).
        rank_loss_weight (`float`, *optional*, defaults to 0.1):
            Weight of the rank hinge; 0 turns it off (released code: no such loss; the paper's weight is unknown).
        action_units (`list[str]`, *optional*, defaults to `[]`):
            FACS codes, e.g. `"12"`, that a second head predicts; empty: no second head. Their labels tell the network
            which part of the face moved (our choice; neither paper nor released code has it).
        action_unit_sides (`bool`, *optional*, defaults to `False`):
            Whether the second head scores the subject's left and right side of every unit apart (our choice).
        action_unit_loss_weight (`float`, *optional*, defaults to 5.0):
            Weight of their binary cross-entropy, a mean over units and clips (our choice).
        class_weights (`list[float]`, *optional*):
            One weight per label in the cross-entropy.
        label_smoothing (`float`, *optional*, defaults to 0.0):
            Share of the target spread evenly over all labels.
        focal_gamma (`float`, *optional*, defaults to 0.0):
            Exponent of the focal factor (1 - p)^gamma; 0 is plain cross-entropy.
        temperature (`float`, *optional*, defaults to 1.0):
            Positive; the classifier's scores are divided by it before they leave the network and before the loss, so
            that every softmax of `logits` is calibrated (temperature scaling, arXiv 1706.04599). Chosen after
            training, on people kept for it.
        movement_weights (`list[float]`, *optional*, defaults to `[]`):
            Three finite numbers, of a network with `reference="movement_patterns"` and action units: weights of its
            likeliest unit and of the logarithm of the movement's size, and a constant, by which it scores whether
            anything moved (`movement_evidence`). Nothing did in clips with a score below 0; the network only reports
            it. Chosen after training, on people kept for it; empty: no score.
        both_signs (`bool`, *optional*, defaults to `False`):
            With `reference="movement_patterns"`: where a clip's two ends leave open at which of them the face is at
            rest, as in a rise or a fall alone, classes and action units are averaged over both signs of its curves,
            the opposite one with a share of up to 0.4. Only in evaluation; `logits` are then logarithms of
            probabilities. Rank scores, representation and dynamic image keep the sign that the curve's rule chooses.
        learnt_speech (`bool`, *optional*, defaults to `False`):
            Whether people talked in the training clips. The network does not use it; of one that has not learnt from
            talking faces, `spot.py` names no class while the mouth talks. A training that starts from a checkpoint
            does not take it over.
        initialization (`str`, *optional*, defaults to `"kaiming"`):
            Of convolutions: `"kaiming"` (our choice) or `"truncated_normal"` with `initializer_range` (released code).
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of linear layers, and of everything with `"truncated_normal"` (released code).

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or fields that contradict each other.

    Example:
    ```python
    >>> from modeling_fdp import FDPConfig

    >>> FDPConfig.from_preset("tiny", num_labels=3).num_labels
    3

    ```
    """

    model_type = "fdp"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["losses", "hidden_states", "attentions"]

    num_channels: int = 1
    num_frames: int = 16
    image_size: int = 64
    reference: Literal[
        "none",
        "first_frame_motion",
        "first_frame_pixels",
        "frame_and_change",
        "first_frame_features",
        "movement_patterns",
    ] = "first_frame_motion"
    reference_gain: float | int = 12.0
    num_moments: int = 4
    num_directions: int = 16
    pattern_scale_rate: float | int = 0.5
    stem_channels: list[int] = field(default_factory=lambda: [64, 32, 64, 64])
    stem_strides: list[int] = field(default_factory=lambda: [2, 1, 1, 2])
    hidden_sizes: list[int] = field(default_factory=lambda: [96, 192, 384, 768])
    global_hidden_sizes: list[int] = field(default_factory=lambda: [128, 256, 512, 1024])
    local_depths: list[int] = field(default_factory=lambda: [3, 4, 10, 3])
    global_depths: list[int] = field(default_factory=lambda: [1, 1, 1, 1])
    stage_strides: list[int] = field(default_factory=lambda: [1, 2, 2, 2])
    local_convolution: Literal["multi_head", "dense"] = "multi_head"
    local_head_dim: int = 32
    local_mlp_ratio: float | int = 3.0
    attention_head_dim: int = 8
    attention_ratio: float | int = 0.75
    key_value_strides: list[int] = field(default_factory=lambda: [8, 4, 2, 1])
    global_mlp_ratio: float | int = 2.0
    attention_dropout: float | int = 0.0
    drop_path_rate: float | int = 0.1
    frame_head: Literal["pyramid", "vector"] = "pyramid"
    feature_size: int = 128
    temporal_pooling: TemporalPooling = "temporal_convolution"
    rank_pooling_steps: int = 8
    representation_multiplier: int = 1
    rank_margin: float | int = 1.0
    rank_smoothing: Literal["running_mean", "none"] = "running_mean"
    rank_grid_size: int = 1
    classifier: Literal["convolutional", "fully_connected"] = "convolutional"
    classifier_hidden_size: int = 256
    classifier_grid_size: int = 4
    classifier_dropout: float | int = 0.0
    dynamic_image_decoder: Literal["segnet", "light", "none"] = "segnet"
    decoder_size: int = 64
    dynamic_image_shortcut: bool = True
    dynamic_image_frames: Literal["stabilized", "given", "along_curve"] = "stabilized"
    dynamic_image_normalization: Literal["signed", "min_max"] = "signed"
    dynamic_image_gain: float | int = 8.0
    classification_loss_weight: float | int = 1.0
    dynamic_image_loss_weight: float | int = 100.0
    rank_loss_weight: float | int = 0.1
    action_units: list[str] = field(default_factory=list)
    action_unit_sides: bool = False
    action_unit_loss_weight: float | int = 5.0
    class_weights: list[float | int] | None = None
    label_smoothing: float | int = 0.0
    focal_gamma: float | int = 0.0
    temperature: float | int = 1.0
    movement_weights: list[float | int] = field(default_factory=list)
    both_signs: bool = False
    learnt_speech: bool = False
    initialization: Literal["kaiming", "truncated_normal"] = "kaiming"
    initializer_range: float | int = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        # transformers leaves `label2id` empty when only `id2label` is given.
        if self.id2label is not None and self.label2id is None:
            self.label2id = {str(name): int(index) for index, name in self.id2label.items()}
        # Saving writes only the entries of the class that is saved; a folder must serve every auto class.
        self.auto_map = {**AUTO_MAP, **(getattr(self, "auto_map", None) or {})}
        # The code of the pipelines is in every checkpoint, so these names hold wherever it is copied to.
        self.custom_pipelines = copy.deepcopy(CUSTOM_PIPELINES)

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "FDPConfig":
        """Builds a named configuration.

        Args:
            name (`str`): `"tiny"` (under 2 M parameters, for CPUs and demos), `"small"` (under 12 M), `"base"` (the
                depths and widths of the authors' code), `"paper"` (the network that the paper describes, raw frames in
                and nothing of ours; `docs/design/paper.md`), `"paper_tiny"` (the same at the widths of `tiny`) or
                `"released"` (the network of the authors' code, for converted checkpoints).
            **overrides: Any field of the configuration, and `num_labels`, `id2label`, `label2id`.

        Returns:
            `FDPConfig`: the preset with the overrides applied.

        Raises:
            ValueError: unknown preset, unknown field, or fields that contradict each other.
        """
        if name not in PRESETS:
            raise ValueError(f"A preset is one of {', '.join(PRESETS)}, but {name!r} was given; choose one of them.")
        known = {entry.name for entry in dataclasses.fields(cls)} | {"num_labels"}
        unknown = sorted(set(overrides) - known)
        if unknown:
            raise ValueError(
                f"Overrides must be fields of FDPConfig, but {', '.join(unknown)} is none; see its documentation."
            )
        values = copy.deepcopy({**PRESETS[name], **overrides})
        id2label = overrides.get("id2label")
        if id2label is not None:
            if overrides.get("num_labels", len(id2label)) != len(id2label):
                raise ValueError(
                    f"`num_labels` must equal the number of labels, but {overrides['num_labels']} was given "
                    f"with {len(id2label)} entries in `id2label`; leave `num_labels` out."
                )
            values.pop("num_labels", None)
        try:
            return cls(**values)
        except StrictDataclassError as error:
            raise ValueError(f"The configuration {name!r} with overrides {overrides} is invalid: {error}") from error

    @property
    def averages_signs(self) -> bool:
        """Whether classes are averaged over both signs of a clip's curves: `both_signs`, with classes to average."""
        one_label = self.problem_type in (None, "single_label_classification") and len(self.id2label or ()) > 1
        return self.both_signs and self.has_patterns and one_label

    def validate_architecture(self) -> None:
        """Checks the fields against each other; runs once after construction."""
        super().validate_architecture()
        self._validate_encoder_numbers()
        self._validate_head_numbers()
        self._validate_losses()
        self._validate_stages()
        self._validate_heads()

    def _validate_losses(self) -> None:
        if len(set(self.action_units)) != len(self.action_units):
            raise ValueError(f"`action_units` must name each code once, but {self.action_units} was given.")
        self._require_below_one(("label_smoothing",))
        if self.temperature <= 0:
            raise ValueError(f"`temperature` must be above 0, but {self.temperature} was given.")
        weights = ("classification", "dynamic_image", "rank", "action_unit")
        for name in (*(f"{name}_loss_weight" for name in weights), "focal_gamma", "rank_margin"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must not be negative, but {getattr(self, name)} was given.")
        if self.class_weights is not None and len(self.class_weights) != self.num_labels:
            raise ValueError(
                f"`class_weights` must hold one weight per label, but {len(self.class_weights)} weights were given "
                f"for {self.num_labels} labels."
            )
        self._validate_movement_weights()
        if self.both_signs and not self.averages_signs:
            raise ValueError(
                "`both_signs` averages at least two classes over the signs of the curves of "
                f"`reference='movement_patterns'`, with one label per clip, but reference={self.reference!r}, "
                f"problem_type={self.problem_type!r} and {self.num_labels} label(s) were given; set it to False."
            )
        shaped = self.class_weights is not None or self.label_smoothing > 0 or self.focal_gamma > 0
        if shaped and self.problem_type in ("multi_label_classification", "regression"):
            raise ValueError(
                "`class_weights`, `label_smoothing` and `focal_gamma` require one label per clip, but "
                f"problem_type={self.problem_type!r} was given; leave them out."
            )
        if not all(weight >= 0 for weight in self.class_weights or ()):
            raise ValueError(f"`class_weights` must not be negative, but {self.class_weights} was given.")

    def _validate_movement_weights(self) -> None:
        weights = self.movement_weights
        if weights and not (self.has_patterns and self.action_units):
            raise ValueError(
                "`movement_weights` weigh the movement size of `reference='movement_patterns'` and action units, but "
                f"reference={self.reference!r} with {len(self.action_units)} action units was given; leave them empty."
            )
        if weights and (len(weights) != NUM_MOVEMENT_WEIGHTS or not all(map(math.isfinite, weights))):
            raise ValueError(
                f"`movement_weights` must be {NUM_MOVEMENT_WEIGHTS} finite numbers or none, but {weights} was given."
            )


FDPConfig.register_for_auto_class()
