"""Configuration of FDP's alignment of clips with the text of their action units (after MER-CLIP, arXiv 2505.05937)."""

import math
from dataclasses import field
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict

from .action_unit_phrases_fdp import parse_units
from .configuration_fdp import FDPConfig

ALIGNMENT_AUTO_MAP = {
    "AutoConfig": "configuration_alignment_fdp.FDPAlignmentConfig",
    "AutoModel": "modeling_alignment_fdp.FDPForVideoTextAlignment",
    "AutoModelForVideoClassification": "modeling_alignment_fdp.FDPForVideoTextAlignment",
}


@strict
class FDPAlignmentConfig(FDPConfig):
    r"""FDP's network with the heads of MER-CLIP: one space of clips and sets of action units, and emotion inference.

    All fields of [`FDPConfig`] describe the video tower. The dynamic image is not constructed and frames are not
    ranked, because MER-CLIP does neither.

    Args:
        text_tower (`str`, *optional*, defaults to `"table"`):
            How a set of action units is turned into a vector: `"table"` (the sum of one learnt vector per unit and
            side, layer norm; it composes sets that were never trained), `"transformer"` (a small CLIP text transformer
            on our phrases), `"pretrained"` (the mean of vectors that another text model gave the phrases, and a learnt
            projection) or `"none"` (the sets of `text_table` alone). MER-CLIP takes a frozen ViCLIP text tower.
        action_unit_phrases (`list[str]`, *optional*, defaults to `[]`):
            The phrase of each of `action_units`.
        action_unit_sets (`list[str]`, *optional*, defaults to `[]`):
            The sets whose vectors are stored in `text_table`, such as `"1+2+L12"`.
        projection_size (`int`, *optional*, defaults to 128):
            Size of the common space (released code: 512).
        logit_scale_init (`float`, *optional*, defaults to 2.6593):
            Logarithm of the initial inverse temperature, ln(1 / 0.07) (CLIP; released code).
        logit_bias_init (`float`, *optional*):
            Initial value of an offset that is learnt and added to all similarities (SigLIP), for a loss that judges
            each text alone; none by default, because a softmax over texts does not depend on it.
        text_hidden_size (`int`, *optional*, defaults to 128):
            Width of the text transformer.
        text_num_layers (`int`, *optional*, defaults to 2):
            Layers of the text transformer.
        text_num_heads (`int`, *optional*, defaults to 4):
            Attention heads of the text transformer.
        phrase_vector_size (`int`, *optional*, defaults to 0):
            With `text_tower="pretrained"`, size of the vectors that the other text model gave.
        token_grid_size (`int`, *optional*, defaults to 8):
            Cells along a side of the grid of tokens that emotion inference gets of each frame's map.
        emotion_hidden_size (`int`, *optional*, defaults to 128):
            Width of emotion inference (released code: 512).
        emotion_num_layers (`int`, *optional*, defaults to 2):
            Transformer blocks of emotion inference (released code). The class token after each is classified by one
            shared layer, and the scores are averaged.
        emotion_num_heads (`int`, *optional*, defaults to 4):
            Attention heads of emotion inference (released code).
        emotion_dropout (`float`, *optional*, defaults to 0.1):
            Dropout before the last linear layer of emotion inference (released code).
        alignment_loss_weight (`float`, *optional*, defaults to 1.0):
            Weight of the alignment loss.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or fields that contradict each other.

    Example:
    ```python
    >>> from modeling_fdp import FDPAlignmentConfig

    >>> config = FDPAlignmentConfig.from_preset(
    ...     "tiny", action_units=["1", "12"], action_unit_phrases=["inner brow raiser", "lip corner puller"]
    ... )
    >>> config.text_tower
    'table'

    ```
    """

    model_type = "fdp_alignment"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["losses", "text_embeds", "hidden_states", "attentions"]

    dynamic_image_decoder: Literal["segnet", "light", "none"] = "none"
    rank_loss_weight: float | int = 0.0
    text_tower: Literal["table", "transformer", "pretrained", "none"] = "table"
    action_unit_phrases: list[str] = field(default_factory=list)
    action_unit_sets: list[str] = field(default_factory=list)
    projection_size: int = 128
    logit_scale_init: float | int = math.log(1 / 0.07)
    logit_bias_init: float | int | None = None
    text_hidden_size: int = 128
    text_num_layers: int = 2
    text_num_heads: int = 4
    phrase_vector_size: int = 0
    token_grid_size: int = 8
    emotion_hidden_size: int = 128
    emotion_num_layers: int = 2
    emotion_num_heads: int = 4
    emotion_dropout: float | int = 0.1
    alignment_loss_weight: float | int = 1.0

    def __post_init__(self, **kwargs: Any) -> None:
        self.auto_map = {**ALIGNMENT_AUTO_MAP, **(getattr(self, "auto_map", None) or {})}
        super().__post_init__(**kwargs)

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "FDPAlignmentConfig":
        """Builds a named configuration, see [`FDPConfig.from_preset`].

        Args:
            name (`str`): preset of the video tower.
            **overrides: Any field of the configuration, and `num_labels`, `id2label`, `label2id`.

        Returns:
            `FDPAlignmentConfig`: the preset with the overrides applied.
        """
        config = super().from_preset(name, **{"dynamic_image_decoder": "none", "rank_loss_weight": 0.0, **overrides})
        if not isinstance(config, cls):
            raise TypeError(f"A preset must build {cls.__name__}, but {type(config).__name__} was built.")
        return config

    def _validate_heads(self) -> None:
        super()._validate_heads()
        if self.both_signs:
            raise ValueError("`both_signs` is of the classifier of `FDPForVideoClassification`; set it to False.")
        if self.movement_weights:
            raise ValueError(
                "`movement_weights` are of the action units of `FDPForVideoClassification`; leave them empty."
            )
        if len(self.action_unit_phrases) != len(self.action_units):
            raise ValueError(
                f"`action_unit_phrases` must hold one phrase per action unit, but {len(self.action_unit_phrases)} "
                f"phrases were given for {len(self.action_units)} units."
            )
        if len({phrase.lower() for phrase in self.action_unit_phrases}) != len(self.action_unit_phrases):
            raise ValueError(f"`action_unit_phrases` must differ, but {self.action_unit_phrases} was given.")
        for text in self.action_unit_sets:
            parse_units(text, self.action_units, self.action_unit_phrases)
        for name in ("projection_size", "token_grid_size", "text_num_layers", "emotion_num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, but {getattr(self, name)} was given.")
        for name in ("text", "emotion"):
            size, heads = getattr(self, f"{name}_hidden_size"), getattr(self, f"{name}_num_heads")
            if heads < 1 or size < 1 or size % heads:
                raise ValueError(
                    f"`{name}_hidden_size` must be a multiple of `{name}_num_heads`, but {size} and {heads} were "
                    "given."
                )
        if (self.text_tower == "pretrained") != (self.phrase_vector_size > 0):
            raise ValueError(
                "`phrase_vector_size` must be the size of the vectors with text_tower='pretrained' and 0 otherwise, "
                f"but {self.phrase_vector_size} was given with text_tower={self.text_tower!r}."
            )
        if not 0 <= self.emotion_dropout < 1 or self.alignment_loss_weight < 0:
            raise ValueError(
                "`emotion_dropout` must lie in [0, 1) and `alignment_loss_weight` must not be negative, but "
                f"{self.emotion_dropout} and {self.alignment_loss_weight} were given."
            )


FDPAlignmentConfig.register_for_auto_class()
