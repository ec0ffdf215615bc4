"""Options of the network that every method takes; options of one method are defined in a file beside that method."""

from dataclasses import dataclass

from evaluation_fdp.options import option, require
from training_fdp.cli import read_pairs


@dataclass
class NetworkOptions:
    """Method, input size and initial weights."""

    method: str = option(
        "fdp",
        "The network, its targets and its losses: fdp, a baseline (raw_cnn, videomae, ...), or "
        "MODULE:CLASS of another package.",
    )
    # The identity of a run holds the digest of its weights instead.
    init_from: str | None = option(
        None,
        "Start every fold, and the final model, from the weights of this checkpoint in Hub format: a folder or "
        "NAMESPACE/NAME. The network is then the checkpoint's. Rule of thumb, tried on rendered faces alone: a third "
        "to a tenth of the --learning_rate that trains from nothing (adamw: 3e-4 to 1e-4) and fewer --epochs; let "
        "--selection inner choose the steps rather than the held-out subjects.",
        decides="nothing",
    )
    num_frames: int | None = option(None, "Frames per clip; the network's own number otherwise.")
    image_size: int | None = option(None, "Height and width in pixels; the network's own size otherwise.")
    model_overrides: list[str] = option([], "Any other model setting as NAME=VALUE, several allowed.")

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("num_frames", "image_size"):
            require(self, name, getattr(self, name) is None or getattr(self, name) >= 1, "a whole number from 1 on")

    @property
    def overrides(self) -> dict[str, object]:
        """Requested settings of the network, by name (`dict`)."""
        sizes = {"num_frames": self.num_frames, "image_size": self.image_size}
        given = {name: value for name, value in sizes.items() if value is not None}
        return read_pairs("model_overrides", self.model_overrides) | given
