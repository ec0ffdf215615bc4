"""The baselines by name: methods that are trained as FDP is, and three without gradient descent."""

from collections.abc import Callable
from dataclasses import dataclass

from training_fdp.baselines import inputs
from training_fdp.baselines.classifiers import Classifier, ClassPrior, LogisticClassifier
from training_fdp.methods.fdp import FDPMethod
from training_fdp.methods.registry import get_method


@dataclass(frozen=True)
class FixedBaseline:
    """A baseline without gradient descent.

    Args:
        title (`str`): Its name in tables.
        make_inputs (`Callable`): Computes the features of all clips; see `training_fdp.baselines.inputs`.
        build_classifier (`Callable[[], Classifier]`): Builds the classifier.
        version (`int`): Raised whenever the same options would give other figures, so that older folds in OUT are
            refused.
        privileged_annotation (`str`, *optional*, defaults to `""`): Annotation that it needs and a new video lacks.
    """

    title: str
    make_inputs: inputs.InputFunction
    build_classifier: Callable[[], Classifier]
    version: int
    privileged_annotation: str = ""


FIXED: dict[str, FixedBaseline] = {
    "class_prior": FixedBaseline("class prior", inputs.no_input, ClassPrior, version=1),
    "apex_flow_logistic": FixedBaseline(
        "onset-apex flow grid + logistic regression",
        inputs.apex_flow_grid,
        LogisticClassifier,
        version=1,
        privileged_annotation="apex",
    ),
    # FDP's input without a network; has FDP's version.
    "motion_logistic": FixedBaseline(
        "FDP's pulse in a grid + logistic regression", inputs.motion_grid, LogisticClassifier, FDPMethod.version
    ),
}
TRAINED = (
    "appearance_cnn", "raw_cnn", "difference_cnn", "augmented_difference_cnn", "motion_cnn", "onset_flow_cnn3d",
    "dynamic_image_resnet18", "phase_images", "videomae",
)  # fmt: skip
# The authors' network takes hours without a GPU, so it runs only when it is named.
RELEASED = "fdp_released"
BASELINES = (*FIXED, *TRAINED)


def baseline_titles() -> dict[str, str]:
    """Return the titles of the baselines (`dict[str, str]`, by name)."""
    titles = {
        name: baseline.title
        + (f" (told the {baseline.privileged_annotation})" if baseline.privileged_annotation else "")
        for name, baseline in FIXED.items()
    }
    return titles | {name: get_method(name).title for name in (*TRAINED, RELEASED)}
