"""Settings of the plain networks."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

NETWORKS = ("appearance_cnn", "raw_cnn", "difference_cnn", "onset_flow_cnn3d", "dynamic_image_resnet18", "videomae")


@strict
class BaselineConfig(PreTrainedConfig):
    r"""Which plain network, and the size of its input.

    Args:
        network (`str`, *optional*, defaults to `"raw_cnn"`):
            `appearance_cnn` (one still frame), `raw_cnn` (frames stacked), `difference_cnn` (frames minus the first),
            `onset_flow_cnn3d` (flow from the first frame), `dynamic_image_resnet18` (the dynamic image of the frames)
            or `videomae` (a small VideoMAE with random weights).
        num_frames (`int`, *optional*, defaults to 16):
            Frames per clip; an even number for `videomae`.
        image_size (`int`, *optional*, defaults to 64):
            Height and width in pixels; a multiple of 16 for `videomae`.

    Raises:
        ValueError: another network, or sizes that it cannot take.
    """

    model_type = "micro_expression_baseline"

    network: str = "raw_cnn"
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
        if self.network not in NETWORKS:
            raise ValueError(f"network is one of {', '.join(NETWORKS)}, got {self.network}; choose one of them")
        if self.num_frames < 2 or self.image_size < 1:
            raise ValueError(
                f"a clip has 2 frames and 1 pixel at least, got num_frames {self.num_frames} and image_size "
                f"{self.image_size}; give larger ones"
            )
        if self.network == "videomae" and (self.num_frames % 2 or self.image_size % 16):
            # VideoMAE would silently leave out the remaining frames and pixels.
            raise ValueError(
                f"videomae takes an even number of frames and a multiple of 16 pixels, but there are "
                f"{self.num_frames} of {self.image_size}; change num_frames and image_size"
            )


BaselineConfig.register_for_auto_class()
