"""The named configurations of FDP: what each preset changes against the defaults of `FDPConfig`, which are `base`."""

from typing import Any

# The network as the paper describes it, at any width: raw frames, one ordinary convolution as stem, a global block
# at the end of every stage, a score per frame, ranked features pooled, and the dynamic image of the frames as given,
# made from the representation alone. `docs/design/paper.md` lists what the paper leaves open.
_PAPER: dict[str, Any] = {
    "num_frames": 8,
    "reference": "none",
    "stem_channels": [64],
    "stem_strides": [2],
    "temporal_pooling": "rank_pooling",
    "rank_smoothing": "none",
    "rank_grid_size": 4,
    "dynamic_image_frames": "given",
    "dynamic_image_shortcut": False,
}

# Widths and depths of the smallest networks.
_TINY: dict[str, Any] = {
    "hidden_sizes": [96, 128],
    "global_hidden_sizes": [96, 128],
    "local_depths": [1, 1],
    "stage_strides": [2, 2],
    "local_mlp_ratio": 2.0,
    "feature_size": 64,
    "classifier_dropout": 0.3,
    "drop_path_rate": 0.05,
    "dynamic_image_decoder": "light",
    "decoder_size": 32,
}

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        **_TINY,
        "stem_channels": [32, 64],
        "stem_strides": [2, 2],
        "global_depths": [0, 1],
        "key_value_strides": [2, 1],
    },
    "small": {
        "stem_channels": [32, 64],
        "stem_strides": [2, 2],
        "hidden_sizes": [64, 96, 192, 320],
        "global_hidden_sizes": [64, 128, 256, 384],
        "local_depths": [2, 2, 4, 2],
        "local_head_dim": 16,
        "feature_size": 96,
        "classifier_dropout": 0.3,
        "drop_path_rate": 0.1,
        "dynamic_image_decoder": "light",
        "decoder_size": 64,
    },
    "base": {},
    "paper": {**_PAPER, "stage_strides": [2, 2, 2, 2]},
    "paper_tiny": {**_PAPER, **_TINY, "global_depths": [1, 1], "key_value_strides": [4, 2]},
    # The network that the authors' code builds, quirks included; they are described in the modules concerned.
    "released": {
        "num_labels": 5,
        "num_frames": 8,
        "reference": "none",
        "global_depths": [0, 0, 0, 0],
        "local_convolution": "dense",
        "frame_head": "vector",
        "feature_size": 1,
        "representation_multiplier": 8,
        "temporal_pooling": "interleaved_convolution",
        "classifier": "fully_connected",
        "rank_loss_weight": 0.0,
        "dynamic_image_frames": "given",
        "dynamic_image_normalization": "min_max",
        "initialization": "truncated_normal",
    },
}
