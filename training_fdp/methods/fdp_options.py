"""Options that only FDP takes."""

from dataclasses import dataclass
from typing import Literal

from evaluation_fdp.options import option

# The preset of a run whose network is that of --init_from.
PRETRAINED = "pretrained"
Preset = Literal["tiny", "small", "base", "paper", "paper_tiny", "released", "pretrained"]


@dataclass
class FDPOptions:
    """The FDP network and its targets beside the emotion."""

    preset: Preset = option(
        "tiny", "Size of the network; `pretrained`: the network of --init_from, and the default with it."
    )
    action_units: Literal["coded", "none"] = option(
        "coded",
        "`coded`: also train on the action units that the corpus codes, if it codes any; "
        "those of held-out clips are not used.",
    )
    dynamic_image_target: Literal["sampled", "full_clip", "onset_apex", "both_phases"] = option(
        "sampled",
        "Dynamic image to construct: of the model's input frames, of all aligned frames from onset to offset, "
        "of all from onset to apex, or the mean of the latter and of apex to offset played backwards. All but the "
        "first follow augmentation in space, not in time or light.",
    )


@dataclass
class ReleasedFDPOptions(FDPOptions):
    """Options of `fdp_released`: those of FDP with the defaults of the authors' network."""

    preset: Preset = option("released", "The authors' network.")
    # The authors' network has no head for action units.
    action_units: Literal["coded", "none"] = option("none", "The authors' network names no action units.")
