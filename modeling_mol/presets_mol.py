"""The named configurations of MOL: fields of each preset that differ from the defaults of `MOLConfig`, `small`."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "small": {},
    # The network of the authors' code (MOL@0a75455 in docs/sources.md) in its published shape; docs/design/mol.md
    # lists the details that are not known, and our choices for them.
    "released": {
        "num_frames": 8,
        "image_size": 128,
        "stem_inputs": "frames",
        "stem_channels": [8, 32, 64, 128],
        "stem_kernel_sizes": [4, 3, 2, 1],
        "stem_strides": [2, 2, 2, 1],
        "stem_paddings": [0, 0, 1, 0],
        "stem_normalization": False,
        "position_std": 1.0,
        "graph_nodes": "positions",
        "released_graph": True,
        "separate_roles": True,
        "flow_reference": "previous",
        "flow_decoder": "flownet_c",
        "classifier_inputs": "features",
        "landmark_stride": 1,
        "landmark_hidden_size": 512,
        "classifier_hidden_size": 256,
        # The released loss is cross-entropy + 10 * squared error of the flow in pixels / 7 pairs + 0.5 * (sum over 7
        # frames and 136 coordinates of the error over the distance of the eyes) / 68, in means over all numbers.
        "flow_loss": "squared",
        "flow_loss_weight": 10 / 7,
        "landmark_loss_weight": 7.0,
    },
}
