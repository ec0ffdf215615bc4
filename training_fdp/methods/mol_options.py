"""Options that only MOL takes."""

from dataclasses import dataclass
from typing import Literal

from evaluation_fdp.options import option

# The preset of a run whose network is that of --init_from.
PRETRAINED = "pretrained"


@dataclass
class MOLOptions:
    """The MOL network and its targets beside the emotion."""

    preset: Literal["small", "released", "pretrained"] = option(
        "small", "Size of the network; `pretrained`: the network of --init_from, and the default with it."
    )
    motion_targets: Literal["exact", "estimated"] = option(
        "exact",
        "Flow and landmarks to learn: `exact`, of rendered clips from their renderer and of others as with "
        "`estimated`: TV-L1 (scikit-image) and the face mesh. The 68 points of the built-in faces are always the "
        "mesh's; their five points are exact.",
    )
    # Decides no number, because a rendered tree names the files of its model and any other model is refused.
    face_model: str | None = option(
        None, "Folder of the morphable model that a corpus was rendered with, for its exact motion.", decides="nothing"
    )
