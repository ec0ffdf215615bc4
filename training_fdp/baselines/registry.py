"""The baselines by name: what each one sees, what it knows beyond the clip, and how it learns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from training_fdp.baselines import inputs
from training_fdp.data.augmentation import AugmentationConfig

from .classifiers import Classifier, ClassPrior, LogisticClassifier, NetworkClassifier
from .networks import (
    DifferenceConvNet,
    FlowConvNet3d,
    MotionConvNet,
    PlainConvNet,
    VideoMAEClassifier,
    build_dynamic_image_resnet,
)


@dataclass(frozen=True)
class Baseline:
    """One method to compare with.

    Args:
        title (`str`): What tables call it.
        knows (`str`): What it is told that FDP is not; `""` for nothing.
        see (`Callable`): Makes the inputs of all clips; see `training_fdp.baselines.inputs`.
        classifier (`Callable[[int], Classifier]`): Builds the learner for a number of epochs, which those without
            epochs ignore.
        version (`int`, *optional*, defaults to 1): Raise it whenever the same options would give other figures: an OUT
            begun before is then refused instead of mixed with it.
    """

    title: str
    knows: str
    see: inputs.InputFunction
    classifier: Callable[[int], Classifier]
    version: int = 1


# Frames are drawn once, before the folds: what would draw them anew is off.
_STILL_AUGMENTATION = replace(AugmentationConfig.default(), time_jitter=0.0, speed=0.0, phase=0.0)


def _network(
    build: Callable[[torch.Size, int], nn.Module], times: int = 1, **options: Any
) -> Callable[[int], Classifier]:
    def make(epochs: int) -> Classifier:
        return NetworkClassifier(build, times * epochs, **options)

    return make


def _difference(shape: torch.Size, num_labels: int) -> nn.Module:
    return DifferenceConvNet(shape[0], num_labels)


def _plain(shape: torch.Size, num_labels: int) -> nn.Module:
    return PlainConvNet(shape[0], num_labels)


BASELINES: dict[str, Baseline] = {
    "class_prior": Baseline("class prior", "", inputs.no_input, lambda epochs: ClassPrior()),
    "appearance_cnn": Baseline("one still frame + CNN", "", inputs.middle_frame, _network(_plain)),
    "raw_cnn": Baseline("raw frames + CNN", "", inputs.raw_frames, _network(_plain)),
    "difference_cnn": Baseline("frames minus the first + CNN", "", inputs.raw_frames, _network(_difference)),
    # FDP's own augmentation, so that FDP's architecture is compared and not its training.
    "augmented_difference_cnn": Baseline(
        "frames minus the first + CNN, augmented as FDP",
        "",
        inputs.raw_frames,
        _network(_difference, augmentation=_STILL_AUGMENTATION),
    ),
    # FDP's input and augmentation in front of a plain network: what the rest of FDP adds to them.
    "motion_cnn": Baseline(
        "FDP's motion channels + CNN, augmented as FDP",
        "",
        inputs.raw_frames,
        _network(lambda shape, num_labels: MotionConvNet(num_labels), augmentation=_STILL_AUGMENTATION),
    ),
    "apex_flow_logistic": Baseline(
        "onset-apex flow grid + logistic regression",
        "apex",
        inputs.apex_flow_grid,
        lambda epochs: LogisticClassifier(),
    ),
    # FDP's input in front of no network at all.
    "motion_logistic": Baseline(
        "FDP's pulse in a grid + logistic regression", "", inputs.motion_grid, lambda epochs: LogisticClassifier()
    ),
    "onset_flow_cnn3d": Baseline(
        "flow from the first frame + 3-D CNN",
        "",
        inputs.onset_flow,
        _network(lambda shape, num_labels: FlowConvNet3d(shape[0], num_labels), mirror_channel=0),
    ),
    "dynamic_image_resnet18": Baseline(
        "dynamic image + ResNet-18",
        "",
        inputs.dynamic_image,
        _network(lambda shape, num_labels: build_dynamic_image_resnet(num_labels)),
    ),
    # Three times the epochs: after as many as the others have, its loss is still 1.0 of the 1.6 that guessing costs.
    "videomae": Baseline(
        "VideoMAE, tiny, from scratch",
        "",
        inputs.raw_frames,
        _network(lambda shape, num_labels: VideoMAEClassifier(shape[0], shape[-1], num_labels), times=3),
        version=2,
    ),
}
# Trained by the main program with its own recipe, since it is a preset of the model.
RELEASED = "fdp_released"
RELEASED_TITLE = "FDP, network and training as released"
