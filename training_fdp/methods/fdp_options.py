"""Options that only FDP takes."""

from dataclasses import dataclass
from typing import Literal

from evaluation_fdp.options import option

# The preset of a run that takes its network from --init_from.
PRETRAINED = "pretrained"
Preset = Literal["tiny", "small", "base", "paper", "released", "pretrained"]


@dataclass
class FDPOptions:
    """Which FDP network, and what it learns beside the emotion."""

    preset: Preset = option(
        "tiny", "Size of the network; `pretrained` is that of --init_from, and what that option sets by itself."
    )
    action_units: Literal["coded", "none"] = option(
        "coded",
        "`coded`: also learn to name the action units that the corpus codes of the training clips, if it codes any; "
        "those of held-out clips count for nothing.",
    )
    dynamic_image_target: Literal["sampled", "full_clip", "onset_apex"] = option(
        "sampled",
        "Dynamic image to construct: of the frames that the model sees, of all aligned frames from onset to offset, "
        "or of all from onset to apex. The latter two follow augmentation in space, not in time or light.",
    )


@dataclass
class ReleasedFDPOptions(FDPOptions):
    """Those of the authors' network, as its recipe sets them."""

    preset: Preset = option("released", "The authors' network.")
    # It knows no action units.
    action_units: Literal["coded", "none"] = option("none", "The authors' network names no action units.")
