"""Methods by name. A method of another package registers itself, or is named as MODULE:CLASS."""

import importlib

from evaluation_fdp.errors import ConfigError
from training_fdp.methods.base import Method

# By import path, because importing a method imports its network, and a run needs only one.
BUILT_IN = {
    "fdp": "training_fdp.methods.fdp:FDPMethod",
    "fdp_released": "training_fdp.methods.fdp:ReleasedFDPMethod",
    "mol": "training_fdp.methods.mol:MOLMethod",
    "mer_clip": "training_fdp.methods.mer_clip:MERCLIPMethod",
    "appearance_cnn": "training_fdp.methods.baselines:AppearanceCNN",
    "raw_cnn": "training_fdp.methods.baselines:RawCNN",
    "difference_cnn": "training_fdp.methods.baselines:DifferenceCNN",
    "augmented_difference_cnn": "training_fdp.methods.baselines:AugmentedDifferenceCNN",
    "motion_cnn": "training_fdp.methods.baselines:MotionCNN",
    "onset_flow_cnn3d": "training_fdp.methods.baselines:OnsetFlowCNN3d",
    "dynamic_image_resnet18": "training_fdp.methods.baselines:DynamicImageResNet18",
    "phase_images": "training_fdp.methods.phase_images:PhaseImages",
    "videomae": "training_fdp.methods.baselines:VideoMAE",
}
_registered: dict[str, type[Method]] = {}


def register_method(method: type[Method]) -> type[Method]:
    """Register a method under its name; a decorator.

    Raises:
        ConfigError: another method has that name.
    """
    known = _registered.get(method.name)
    if method.name in BUILT_IN or (known is not None and known.__qualname__ != method.__qualname__):
        raise ConfigError(f"a method called '{method.name}' exists; give the new one another name")
    _registered[method.name] = method
    return method


def method_names() -> list[str]:
    """Return the names of all registered methods (`list[str]`)."""
    return [*BUILT_IN, *_registered]


def get_method(name: str) -> type[Method]:
    """Return a method by its name, or by MODULE:CLASS, which is then known by its name (`type[Method]`).

    Raises:
        ConfigError: there is none, its module cannot be imported or lacks it, or it is no method.
    """
    if name in _registered:
        return _registered[name]
    import_path = BUILT_IN.get(name, name)
    module, colon, attribute = import_path.partition(":")
    if not colon:
        raise ConfigError(
            f"no method is called '{name}'; choose among {', '.join(method_names())}, or name one of another package "
            "as MODULE:CLASS"
        )
    try:
        contents = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"the method {name} cannot be imported ({error}); install its package") from error
    method = getattr(contents, attribute, None)
    if method is None:
        raise ConfigError(f"the module {module} must hold {attribute}, but does not; check the name of the class")
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise ConfigError(f"{name} must be a subclass of training_fdp.methods.base.Method; name such a class")
    if lacking := [field for field in ("name", "title", "model_type") if not hasattr(method, field)]:
        raise ConfigError(
            f"a method has a name, a title and a model_type of its own, but {name} lacks {', '.join(lacking)}; set "
            "them in the class"
        )
    if method.name not in method_names():  # its checkpoints are opened by their model_type from now on
        register_method(method)
    return method


def method_of(model_type: str) -> type[Method] | None:
    """Return a method whose checkpoints have this `model_type` (`type[Method]`), `None` without one."""
    for name in method_names():
        method = get_method(name)
        if method.model_type == model_type:
            method.register_auto_classes()
            return method
    return None
