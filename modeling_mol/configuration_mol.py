"""Configuration of MOL (micro-expression, optical flow and landmarks, arXiv 2506.14511) and its named presets."""

import copy
import dataclasses
from dataclasses import field
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig

from .presets_mol import PRESETS

AUTO_MAP = {
    "AutoConfig": "configuration_mol.MOLConfig",
    "AutoModel": "modeling_mol.MOLModel",
    "AutoModelForVideoClassification": "modeling_mol.MOLForVideoClassification",
    "AutoVideoProcessor": "video_processing_fdp.FDPVideoProcessor",
}
# FlowNetC halves its map six times.
FLOWNET_STRIDE = 64
# Largest kernel of the classifier's convolution over time, in frames (released code: 5).
CLASSIFIER_KERNEL = 5


@strict
class MOLConfig(PreTrainedConfig):
    r"""Architecture and losses of a MOL network.

    The defaults are the preset `small`: our reading of the paper's figure, without the faults of the released code
    (`docs/design/mol.md`). Every frame but the first is paired with an earlier one; the flow is the motion from the
    earlier frame to the later one.

    Args:
        num_channels (`int`, *optional*, defaults to 1):
            Channels of a frame; gray (released code: 1).
        num_frames (`int`, *optional*, defaults to 8):
            Frames per clip, at least 2 (released code: 8). The linear layers of the classifier depend on it.
        image_size (`int`, *optional*, defaults to 64):
            Height and width of a frame in pixels (released code: 128). The graph's and the heads' linear layers depend
            on it.
        stem_inputs (`str`, *optional*, defaults to `"derivatives"`):
            Inputs of the stem for a frame: `"derivatives"`, the earlier frame of its pair, the difference from it and
            its gradient, all normalised (our choice); `"frames"`, the frame alone (figure of the paper). From
            `"frames"` neither flow nor class of a movement is learnt from hundreds of clips, because a frame's
            features then differ from those of the earlier one by a hundredth of their variance.
        stem_channels (`list[int]`, *optional*, defaults to `[32, 64, 128, 128]`):
            Output channels of each convolution of the stem; the last number is the width of the features.
        stem_kernel_sizes (`list[int]`, *optional*, defaults to `[3, 3, 3, 1]`):
            Kernel size of each convolution of the stem.
        stem_strides (`list[int]`, *optional*, defaults to `[2, 2, 1, 1]`):
            Stride of each convolution of the stem; frames of 64 pixels then give 16 x 16 cells, as frames of 128
            pixels do in the released code.
        stem_paddings (`list[int]`, *optional*, defaults to `[1, 1, 1, 0]`):
            Padding of each convolution of the stem.
        stem_normalization (`bool`, *optional*, defaults to `True`):
            Whether batch norm and ReLU follow each convolution of the stem but the last; the released stem is linear.
        use_fully_connected_convolution (`bool`, *optional*, defaults to `True`):
            Whether features pass the fully connected convolution, whose kernels are as long as the map.
        use_channel_correspondence (`bool`, *optional*, defaults to `True`):
            Whether features pass the channel correspondence, a graph over feature maps.
        position_std (`float`, *optional*, defaults to 0.02):
            Standard deviation of the initial position codes of the fully connected convolution (released code: 1).
        graph_nodes (`str`, *optional*, defaults to `"channels"`):
            `"channels"`: the graph connects feature maps (paper). `"positions"`: it connects cells of the map
            (released code).
        num_neighbors (`int`, *optional*, defaults to 4):
            Neighbours of a node, by cosine similarity (released code: 4).
        released_graph (`bool`, *optional*, defaults to `False`):
            Whether to repeat the faults of the released graph: a node is its own first neighbour, its features are
            subtracted from its neighbours' twice, and the 1x1 convolution of the figure is missing.
        separate_roles (`bool`, *optional*, defaults to `False`):
            Whether the earlier and the later frame of a pair pass blocks with weights of their own (released code), so
            that a frame is encoded once for each.
        flow_reference (`str`, *optional*, defaults to `"first"`):
            The earlier frame of each pair: `"first"`, the first frame of the clip, whose difference from later ones is
            larger; `"previous"`, the frame before (paper).
        flow_decoder (`str`, *optional*, defaults to `"unet"`):
            `"unet"`: a U-net on the features, the stem's maps and the frames; `"flownet_c"`: FlowNetC (arXiv
            1504.06852), which holds nine tenths of the weights of the released network; `"none"`: no flow.
        flow_inputs (`str`, *optional*, defaults to `"derivatives"`):
            Inputs of the layers of `"unet"`: `"derivatives"`, the earlier frame's maps and their difference from the
            later frame's, and in the last layers the pixels of the earlier frame, their difference from the later
            frame's and their gradient, all normalised; `"frames"`, maps and pixels of both frames (figure of the
            paper).
        flow_hidden_size (`int`, *optional*, defaults to 64):
            Channels of the coarsest layer of `"unet"`; halved at each larger map, 16 at least.
        classifier_inputs (`str`, *optional*, defaults to `"flow"`):
            Inputs of the classifier: `"flow"`, the estimated flow of all pairs without its mean over the frame, which
            is mostly that of the head, one vector per cell of the features (our choice); `"features"`, the features of
            all frames (figure of the paper), from which the class is not learnt from hundreds of clips.
        num_landmarks (`int`, *optional*, defaults to 68):
            Points per frame: 68 in the order of 300-W, 5 in that of the alignment, 0 for none.
        landmark_stride (`int`, *optional*, defaults to 2):
            Stride of the landmark head's convolution, 1 or 2 (released code: 1, without padding).
        landmark_hidden_size (`int`, *optional*, defaults to 256):
            Width of the landmark head (released code: 512).
        classifier_hidden_size (`int`, *optional*, defaults to 256):
            Width of the classifier (released code: 256).
        classifier_dropout (`float`, *optional*, defaults to 0.5):
            Dropout before both linear layers of the classifier (released code: 0.5).
        flow_loss (`str`, *optional*, defaults to `"charbonnier"`):
            `"charbonnier"`: mean of sqrt(x^2 + 0.01^2), where x is the error in units of the buffer `flow_scale`;
            `"squared"`: mean of the squared error in pixels (released code).
        flow_loss_weight (`float`, *optional*, defaults to 10.0):
            Weight of the flow's loss beside the cross-entropy, above 1, because the initial gradient of the
            cross-entropy is far larger in the layers that both share; the paper's weight is unknown.
        landmark_loss_weight (`float`, *optional*, defaults to 1.0):
            Weight of the landmarks' loss beside the cross-entropy; the paper's weight is unknown.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of the initial weights of linear layers.

    Raises:
        ValueError: fields that contradict each other.
    """

    model_type = "mol"

    num_channels: int = 1
    num_frames: int = 8
    image_size: int = 64
    stem_inputs: Literal["derivatives", "frames"] = "derivatives"
    stem_channels: list[int] = field(default_factory=lambda: [32, 64, 128, 128])
    stem_kernel_sizes: list[int] = field(default_factory=lambda: [3, 3, 3, 1])
    stem_strides: list[int] = field(default_factory=lambda: [2, 2, 1, 1])
    stem_paddings: list[int] = field(default_factory=lambda: [1, 1, 1, 0])
    stem_normalization: bool = True
    use_fully_connected_convolution: bool = True
    use_channel_correspondence: bool = True
    position_std: float | int = 0.02
    graph_nodes: Literal["channels", "positions"] = "channels"
    num_neighbors: int = 4
    released_graph: bool = False
    separate_roles: bool = False
    flow_reference: Literal["first", "previous"] = "first"
    flow_decoder: Literal["unet", "flownet_c", "none"] = "unet"
    flow_inputs: Literal["derivatives", "frames"] = "derivatives"
    flow_hidden_size: int = 64
    classifier_inputs: Literal["flow", "features"] = "flow"
    num_landmarks: int = 68
    landmark_stride: int = 2
    landmark_hidden_size: int = 256
    classifier_hidden_size: int = 256
    classifier_dropout: float | int = 0.5
    flow_loss: Literal["charbonnier", "squared"] = "charbonnier"
    flow_loss_weight: float | int = 10.0
    landmark_loss_weight: float | int = 1.0
    initializer_range: float | int = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        # transformers leaves `label2id` empty when only `id2label` is given.
        if self.id2label is not None and self.label2id is None:
            self.label2id = {str(name): int(index) for index, name in self.id2label.items()}
        # Saving writes only the entries of the class that is saved; a folder must serve every auto class.
        self.auto_map = {**AUTO_MAP, **(getattr(self, "auto_map", None) or {})}

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "MOLConfig":
        """Builds a named configuration.

        Args:
            name (`str`): `"small"` (our reading of the paper, for frames of 64 pixels) or `"released"` (the shape of
                the authors' network, for frames of 128 pixels).
            **overrides: Any field of the configuration, and `num_labels`, `id2label`, `label2id`.

        Returns:
            `MOLConfig`: the preset with the overrides applied.

        Raises:
            ValueError: unknown preset, unknown field, or fields that contradict each other.
        """
        if name not in PRESETS:
            raise ValueError(f"A preset is one of {', '.join(PRESETS)}, but {name!r} was given; choose one of them.")
        known = {entry.name for entry in dataclasses.fields(cls)} | {"num_labels"}
        if unknown := sorted(set(overrides) - known):
            raise ValueError(
                f"Overrides must be fields of MOLConfig, but {', '.join(unknown)} is none; see its documentation."
            )
        try:
            return cls(**copy.deepcopy({**PRESETS[name], **overrides}))
        except StrictDataclassError as error:
            raise ValueError(f"The configuration {name!r} with overrides {overrides} is invalid: {error}") from error

    @property
    def hidden_size(self) -> int:
        """Channels of a frame's features."""
        return self.stem_channels[-1]

    @property
    def stem_sizes(self) -> list[int]:
        """Cells along a side of the map of each convolution of the stem."""
        sizes, size = [], self.image_size
        for kernel, stride, padding in zip(self.stem_kernel_sizes, self.stem_strides, self.stem_paddings, strict=True):
            size = (size + 2 * padding - kernel) // stride + 1
            sizes.append(size)
        return sizes

    @property
    def map_size(self) -> int:
        """Cells along a side of a frame's features."""
        return self.stem_sizes[-1]

    @property
    def num_pairs(self) -> int:
        """Pairs of frames per clip."""
        return self.num_frames - 1

    @property
    def num_maps(self) -> int:
        """Feature maps per clip: one per frame, or with `separate_roles` two per pair."""
        return 2 * self.num_pairs if self.separate_roles else self.num_frames

    def validate_architecture(self) -> None:
        """Checks the fields against each other; runs once after construction."""
        super().validate_architecture()
        self._validate_numbers()
        if self.num_landmarks not in (0, 5, 68):
            raise ValueError(
                f"`num_landmarks` must be 68, 5 or 0, but {self.num_landmarks} was given; choose one of these, "
                "because the points that a mirror image swaps are known for them alone."
            )
        if self.flow_decoder == "none" and self.classifier_inputs == "flow":
            raise ValueError(
                "`classifier_inputs='flow'` needs a flow, but `flow_decoder` is 'none'; set `classifier_inputs` to "
                "'features', or give a decoder."
            )
        if self.flow_decoder == "flownet_c" and self.image_size % FLOWNET_STRIDE:
            raise ValueError(
                f"`flow_decoder='flownet_c'` halves the frame six times, so `image_size` must be a multiple of "
                f"{FLOWNET_STRIDE}, but {self.image_size} was given; change one of them."
            )
        if self.flow_decoder == "flownet_c" and self.map_size * 8 != self.image_size:
            raise ValueError(
                f"`flow_decoder='flownet_c'` joins the features with its map of {self.image_size // 8} cells, but "
                f"they have {self.map_size}; set strides of the stem whose product is 8."
            )

    def _validate_numbers(self) -> None:
        counts = {
            len(self.stem_channels),
            len(self.stem_kernel_sizes),
            len(self.stem_strides),
            len(self.stem_paddings),
        }
        if len(counts) != 1 or not self.stem_channels:
            raise ValueError(
                "`stem_channels`, `stem_kernel_sizes`, `stem_strides` and `stem_paddings` must have one entry per "
                f"convolution, but {self.stem_channels}, {self.stem_kernel_sizes}, {self.stem_strides} and "
                f"{self.stem_paddings} were given."
            )
        for name in ("stem_channels", "stem_kernel_sizes", "stem_strides"):
            if any(value < 1 for value in getattr(self, name)):
                raise ValueError(f"`{name}` must be numbers from 1 on, but {getattr(self, name)} was given.")
        for name, least in (
            ("num_channels", 1),
            ("num_frames", 2),
            ("image_size", 1),
            ("num_neighbors", 1),
            ("flow_hidden_size", 1),
            ("landmark_hidden_size", 1),
            ("classifier_hidden_size", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` must be at least {least}, but {getattr(self, name)} was given.")
        if self.map_size < 4:
            raise ValueError(
                f"The stem must leave a map of 4 x 4 cells, but frames of {self.image_size} pixels leave "
                f"{self.map_size}; give larger frames or smaller strides."
            )
        if self.use_fully_connected_convolution and self.hidden_size % 2:
            raise ValueError(
                f"The fully connected convolution halves the channels, but the stem ends with {self.hidden_size}; "
                "give an even number."
            )
        nodes = self.hidden_size if self.graph_nodes == "channels" else self.map_size**2
        if self.use_channel_correspondence and self.num_neighbors >= nodes:
            raise ValueError(
                f"`num_neighbors` must be below the {nodes} nodes of the graph, but {self.num_neighbors} was given."
            )
        if self.landmark_stride not in (1, 2):
            raise ValueError(f"`landmark_stride` must be 1 or 2, but {self.landmark_stride} was given.")
        if not 0 <= self.classifier_dropout < 1:
            raise ValueError(f"`classifier_dropout` must lie in [0, 1), but {self.classifier_dropout} was given.")
        for name in ("flow_loss_weight", "landmark_loss_weight", "position_std", "initializer_range"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must not be negative, but {getattr(self, name)} was given.")


MOLConfig.register_for_auto_class()
