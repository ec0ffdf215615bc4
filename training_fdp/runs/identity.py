"""Identity of a run: the settings that decide its figures, the command that repeats it, and library versions."""

import shlex
from collections.abc import Sequence

from evaluation_fdp.fold_records import versions
from training_fdp.config import TrainConfig
from training_fdp.methods.registry import get_method


def run_settings(config: TrainConfig, start_digest: str | None) -> dict[str, object]:
    """Return the settings that decide the figures (`dict`); a checkpoint is identified by its weights' digest."""
    settings = config.identity() | {"method_version": get_method(config.network.method).version}
    return settings if start_digest is None else settings | {"init_from": f"sha256 {start_digest}"}


def recorded_command(arguments: Sequence[str], num_processes: int | None = None) -> str:
    """Return the command (`str`) that repeats the whole run.

    Args:
        arguments (`Sequence[str]`): What followed `train.py`.
        num_processes (`int`, *optional*): Processes that shared each fold, where they did.
    """
    launcher = "accelerate launch train.py"
    if num_processes is not None:
        launcher = f"accelerate launch --num_processes {num_processes} train.py"
    return f"{launcher} {shlex.join(_without_part(arguments))}".strip()


def _without_part(arguments: Sequence[str]) -> list[str]:
    """Leave out `--folds`, because the recorded command is that of the whole run."""
    kept, skip = [], False
    for argument in arguments:
        if argument.split("=")[0] == "--folds":
            skip = "=" not in argument
        elif skip:
            skip = False
        else:
            kept.append(argument)
    return kept


def computing_versions() -> dict[str, str]:
    """Return library versions (`dict[str, str]`), and the name of the GPU if there is one."""
    import torch  # imported here, because a finished run is reported without it

    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return versions() | gpu
