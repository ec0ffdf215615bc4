"""Settings of the networks on one dynamic image per phase of the movement."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

# Images of which each way of training makes use, in the order of the network's `phase_logits`.
IMAGES = ("rise", "fall", "full")
USED_IMAGES = {
    "full": ("full",),
    "replace": ("rise", "fall"),
    "add": ("rise", "fall", "full"),
    "random": ("rise", "fall"),
}
VIT_PATCH_SIZE = 8


@strict
class PhaseImagesConfig(PreTrainedConfig):
    r"""Which dynamic images a clip is summed into, and the image network that classifies them (arXiv 2510.15466).

    Args:
        image_network (`str`, *optional*, defaults to `"cnn"`):
            `"cnn"` (four convolutions), `"resnet18"` or `"vit"` (a small vision transformer); from random weights.
        phases (`str`, *optional*, defaults to `"replace"`):
            `"full"`: one image from onset to offset. `"replace"`: one from onset to apex and one from apex to offset.
            `"add"`: all three. `"random"`: as `"replace"`, but training draws one of the two per clip and step.
        fall_direction (`str`, *optional*, defaults to `"reversed"`):
            `"reversed"`: apex to offset is summed backwards, so that both images go from rest to apex (our choice).
            `"as_is"`: in time order. The two are different images, because weights of rank pooling are not odd under
            reversal of time; which one the paper takes is not known here.
        num_frames (`int`, *optional*, defaults to 16):
            Frames per clip.
        image_size (`int`, *optional*, defaults to 64):
            Height and width in pixels; a multiple of 8 for `vit`.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: an unknown name, or sizes that the network cannot take.
    """

    model_type = "micro_expression_phase_images"

    image_network: Literal["cnn", "resnet18", "vit"] = "cnn"
    phases: Literal["full", "replace", "add", "random"] = "replace"
    fall_direction: Literal["reversed", "as_is"] = "reversed"
    num_frames: int = 16
    image_size: int = 64

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in `label2id`, which transformers leaves empty when only `id2label` is given."""
        super().__post_init__(**kwargs)
        if self.id2label is not None and self.label2id is None:
            self.label2id = {str(name): int(label) for label, name in self.id2label.items()}

    def validate_architecture(self) -> None:
        """Check the fields against each other; runs once after construction."""
        super().validate_architecture()
        if self.num_frames < 3 or self.image_size < 1:
            raise ValueError(
                f"a phase has 3 frames and 1 pixel at least, got num_frames {self.num_frames} and image_size "
                f"{self.image_size}; give larger ones"
            )
        if self.image_network == "vit" and self.image_size % VIT_PATCH_SIZE:
            raise ValueError(
                f"vit takes a multiple of {VIT_PATCH_SIZE} pixels, but image_size is {self.image_size}; change it"
            )

    @property
    def used_images(self) -> tuple[str, ...]:
        """Images that are trained and averaged, of `"rise"`, `"fall"` and `"full"` (`tuple[str, ...]`)."""
        return USED_IMAGES[self.phases]


PhaseImagesConfig.register_for_auto_class()
