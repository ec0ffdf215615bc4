"""Options that only MER-CLIP's alignment takes."""

from dataclasses import dataclass
from typing import Literal

from evaluation_fdp.options import option
from training_fdp.methods.fdp_options import Preset


@dataclass
class MERCLIPOptions:
    """The video tower, the text tower and the alignment."""

    preset: Preset = option(
        "tiny", "Size of the video tower; `pretrained`: the network of --init_from, and the default with it."
    )
    text_tower: Literal["table", "transformer", "pretrained"] = option(
        "table",
        "`table`: one learnt vector per action unit and side, summed; `transformer`: a small CLIP text transformer "
        "from random weights on our phrases; `pretrained`: vectors of the phrases by --text_model and a learnt "
        "projection.",
    )
    # Not needed to use a checkpoint, because every checkpoint holds the vectors of the phrases.
    text_model: str | None = option(
        None,
        "With `--text_tower pretrained`: the text model, a folder in Hub format or NAMESPACE/NAME, which is only "
        "fetched because it is named here. It is read once and not trained.",
    )
    alignment: Literal["jaccard", "diagonal", "sigmoid"] = option(
        "jaccard",
        "Texts that a clip is compared with. `jaccard`: all distinct sets of the fold's training clips, each in "
        "proportion to the units that it shares with the clip; `diagonal`: those of the clips in the batch, of which "
        "only its own is right (MER-CLIP as released); `sigmoid`: all phrases of one unit, each right or wrong "
        "independently of the others (SigLIP).",
    )
    alignment_schedule: Literal["constant", "linear"] = option(
        "constant",
        "Weights of alignment and classification: 1 and 1, or from 2 and 0 to 1 and 1 (MER-CLIP as released).",
    )
