"""Checkpoints in Hub format, loaded into classes of installed packages; code in their repository is not executed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError
from transformers import AutoModelForVideoClassification, PreTrainedConfig

from evaluation_fdp.errors import ConfigError
from training_fdp.methods.base import Method
from training_fdp.methods.registry import method_names, method_of


def checkpoint_source(name: str, option: str) -> str:
    """Check that a name is an existing folder or a repository name, and not a mistyped path.

    Args:
        name (`str`): Value given by the user.
        option (`str`): Option of that value, for error messages.

    Returns:
        `str`: Argument of `from_pretrained`.

    Raises:
        ConfigError: neither a checkpoint folder nor a repository name.
    """
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise ConfigError(
                f"{option} must be a folder in Hub format, but {name!r} has no config.json; give OUT/folds/ID."
            )
        return str(Path(name))
    try:
        validate_repo_id(name)
    except HFValidationError:
        valid = False
    else:
        valid = name.count("/") == 1 and not Path(name).exists()
    if not valid:
        raise ConfigError(
            f"{option} must be a folder in Hub format or a repository NAMESPACE/NAME, but {name!r} is neither; check "
            "the path."
        )
    return name


def load_pretrained(name: str, option: str) -> tuple[Any, type[Method]]:
    """Load the model of a checkpoint by its `model_type`, complete or not at all.

    Args:
        name (`str`): Folder in Hub format, or a repository `namespace/name`.
        option (`str`): Option of that value, for error messages.

    Returns:
        `tuple[PreTrainedModel, type[Method]]`: the model, on the CPU, and a method of its family.

    Raises:
        ConfigError: there is no such checkpoint, no registered method has its `model_type`, or weights are missing.
    """
    source = checkpoint_source(name, option)
    with loading_refused(name, option):
        settings, _ = PreTrainedConfig.get_config_dict(source)
    kind = str(settings.get("model_type"))
    method = method_of(kind)
    if method is None:
        raise ConfigError(
            f"{option} must be a checkpoint of a known method, but {name!r} is of type {kind!r}, which none of "
            f"{', '.join(method_names())} makes; name its method (predict.py --method MODULE:CLASS; in "
            "Python, import its module first), or load it with its own library."
        )
    with loading_refused(name, option):
        model, report = AutoModelForVideoClassification.from_pretrained(source, output_loading_info=True)
    if lost := sorted(report["missing_keys"]):
        raise ConfigError(
            f"{option} {name!r} lacks {len(lost)} of its weights ({lost[0]} first), so it would answer at random; "
            "save or download the checkpoint again."
        )
    return model, method


@contextmanager
def loading_refused(name: str, option: str) -> Iterator[None]:
    """Turn errors while loading a checkpoint into one sentence (`ConfigError`)."""
    try:
        yield
    except RuntimeError as error:  # raised by transformers for shapes that differ, with a long table
        raise ConfigError(
            f"{option} {name!r} has weights that do not fit its config.json; save or download it again."
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        message = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(f"{option} {name!r} cannot be loaded: {message}; check the name and the folder.") from error
