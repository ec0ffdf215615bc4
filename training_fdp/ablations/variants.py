"""The variants: each is the reference with a few settings changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

REFERENCE = "reference"


@dataclass(frozen=True)
class Pretraining:
    """A run on rendered clips of other people whose weights initialise a variant.

    Args:
        num_clips (`int`): Number of clips, ten per person, with balanced classes.
        seed (`int`): Seed of the rendered people.
        epochs (`int`): Passes over them.
    """

    num_clips: int
    seed: int
    epochs: int


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Args:
        group (`str`): Its question.
        title (`str`): Its name in the table.
        settings (`Mapping[str, object]`): Fields of `TrainConfig` that differ from the reference.
        model (`Mapping[str, object]`): Fields of `FDPConfig` that differ.
        processor (`Mapping[str, object]`): Settings of the video processor that differ.
        global_depth (`int`, *optional*): Global blocks in every stage of the reference.
        pretraining (`Pretraining`, *optional*): The run that yields the initial weights.
    """

    group: str
    title: str
    settings: Mapping[str, object] = field(default_factory=dict)
    model: Mapping[str, object] = field(default_factory=dict)
    processor: Mapping[str, object] = field(default_factory=dict)
    global_depth: int | None = None
    pretraining: Pretraining | None = None


# One number per frame cell, as in the release, so that its reshape and the true time axis are the only difference.
_RELEASED_HEAD = {"frame_head": "vector", "feature_size": 1, "representation_multiplier": 8}
_STATISTICS = {"normalization": "train_statistics"}

_AUGMENTATIONS = {
    "flip": "flip=0.5",
    "shift": "shift=0.05",
    "scale": "scale=0.05",
    "rotation": "rotation=5",
    "gamma and brightness": "gamma=0.2,brightness=0.1",
    "motion scale": "motion_scale=0.4",
    "temporal jitter": "time_jitter=0.3",
    "speed": "speed=0.1",
    "phases": "phase=0.5",
    "phases, the fall played backwards": "phase=0.5,reverse_offset_phase=true",
    "LocalStaticFaceMix": "static_face_mix=0.5",
    "mixup": "mixup=0.5",
    "windows of whole recordings": "windows=1",
}


def _augmentation_variants() -> dict[str, Variant]:
    variants = {"augmentation_none": Variant("augmentation", "no augmentation", {"augmentation": "none"})}
    for title, pairs in _AUGMENTATIONS.items():
        name = f"augmentation_{pairs.partition('=')[0]}" + ("_backwards" if "reverse" in pairs else "")
        variants[name] = Variant("augmentation", f"only {title}", {"augmentation": pairs})
    return variants


# As many steps with 30,000 clips as with 10,000.
_PRETRAININGS = (Pretraining(1_000, 9101, 30), Pretraining(10_000, 9100, 6), Pretraining(30_000, 9103, 2))


def _pretraining_variants() -> dict[str, Variant]:
    variants = {}
    for first in _PRETRAININGS:
        title = f"{first.num_clips:,} rendered clips of other people"
        name = f"pretraining_{first.num_clips}"
        variants[name] = Variant("pretraining", f"{title} and no training", {"max_steps": 0}, pretraining=first)
        variants[f"{name}_trained"] = Variant(
            "pretraining", f"{title}, then training", {"learning_rate": 3e-4}, pretraining=first
        )
    return variants


VARIANTS: dict[str, Variant] = {
    REFERENCE: Variant("reference", "reference"),
    "time_axis_true": Variant(
        "time axis",
        "released head, true time axis",
        model={**_RELEASED_HEAD, "temporal_pooling": "temporal_convolution"},
    ),
    "time_axis_released": Variant(
        "time axis",
        "released head, released reshape",
        model={**_RELEASED_HEAD, "temporal_pooling": "interleaved_convolution"},
    ),
    "global_none": Variant("global blocks", "no global block", global_depth=0),
    "global_all": Variant("global blocks", "a global block in every stage", global_depth=1),
    "rank_0": Variant("rank hinge", "weight 0", model={"rank_loss_weight": 0.0}),
    "rank_1": Variant("rank hinge", "weight 1", model={"rank_loss_weight": 1.0}),
    "pooling_rank_weighted": Variant("pooling", "by rank scores", model={"temporal_pooling": "rank_weighted"}),
    "pooling_closed_form": Variant("pooling", "closed form", model={"temporal_pooling": "closed_form"}),
    "pooling_score_weighted": Variant(
        "pooling", "softmax of the scores", model={"temporal_pooling": "score_weighted"}
    ),
    "pooling_convolution": Variant(
        "pooling", "temporal convolution", model={"temporal_pooling": "temporal_convolution"}
    ),
    "image_weight_0": Variant(
        "dynamic image",
        "weight 0, no decoder",
        model={"dynamic_image_loss_weight": 0.0, "dynamic_image_decoder": "none"},
    ),
    "image_weight_1": Variant("dynamic image", "weight 1", model={"dynamic_image_loss_weight": 1.0}),
    "image_weight_10": Variant("dynamic image", "weight 10", model={"dynamic_image_loss_weight": 10.0}),
    "image_weight_100": Variant("dynamic image", "weight 100", model={"dynamic_image_loss_weight": 100.0}),
    "image_min_max": Variant(
        "dynamic image", "target stretched to its own extremes", model={"dynamic_image_normalization": "min_max"}
    ),
    "target_given": Variant(
        "dynamic image target", "of the frames as given, the head moving", model={"dynamic_image_frames": "given"}
    ),
    "target_full_clip": Variant(
        "dynamic image target", "of all frames, onset to offset", {"dynamic_image_target": "full_clip"}
    ),
    "target_onset_apex": Variant(
        "dynamic image target", "of all frames, onset to apex", {"dynamic_image_target": "onset_apex"}
    ),
    "target_both_phases": Variant(
        "dynamic image target", "of all frames, mean of both phases", {"dynamic_image_target": "both_phases"}
    ),
    "first_frame_none": Variant("first frame", "no reference to it", model={"reference": "none"}),
    "first_frame_pixels": Variant("first frame", "its pixels", model={"reference": "first_frame_pixels"}),
    "frame_and_change": Variant(
        "first frame", "frames and the change of their pixels", model={"reference": "frame_and_change"}
    ),
    "first_frame_motion": Variant("first frame", "motion since then", model={"reference": "first_frame_motion"}),
    "first_frame_features": Variant("first frame", "its features", model={"reference": "first_frame_features"}),
    "alignment_per_frame": Variant("alignment", "per frame", processor={"alignment_mode": "per_frame"}),
    **_augmentation_variants(),
    "released_eval_mode": Variant("release's faults", "evaluation mode from epoch 2", {"released_eval_mode": True}),
    "train_statistics": Variant("release's faults", "training statistics", _STATISTICS),
    "test_statistics": Variant(
        "release's faults", "each split's own statistics", {**_STATISTICS, "released_test_statistics": True}
    ),
    "best_on_test_subject": Variant(
        "release's faults", "same training, best epoch also recorded", {"report_literature_selection": True}
    ),
    "action_units_none": Variant("action units", "emotion alone", {"action_units": "none"}),
    "action_units_half": Variant("action units", "half the weight", model={"action_unit_loss_weight": 2.5}),
    "size_tiny": Variant("size", "tiny", {"preset": "tiny"}),
    "size_small": Variant("size", "small", {"preset": "small"}),
    "size_base": Variant("size", "base", {"preset": "base"}),
    "frames_8": Variant("input", "8 frames", {"num_frames": 8}),
    "frames_16": Variant("input", "16 frames", {"num_frames": 16}),
    "moments_2": Variant("input", "2 moments", model={"num_moments": 2}),
    "moments_8": Variant("input", "8 moments", model={"num_moments": 8}),
    "pixels_64": Variant("input", "64 pixels", {"image_size": 64}),
    "pixels_96": Variant("input", "96 pixels", {"image_size": 96}),
    "pixels_128": Variant("input", "128 pixels", {"image_size": 128}),
    **_pretraining_variants(),
}
