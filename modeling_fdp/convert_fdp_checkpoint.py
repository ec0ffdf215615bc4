"""Maps the state dicts that the authors' code saves (class `FDP`, 438 keys) to the preset `released`.

`convert_checkpoint.py` is the command line around it.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .configuration_fdp import FDPConfig
from .modeling_fdp import FDPForVideoClassification

SEGNET_LAYERS = (2, 2, 3, 3, 3)
MAX_NAMED_KEYS = 5


class CheckpointError(ValueError):
    """A file that is not a state dict of the released FDP."""


def convert_key(key: str, depths: Sequence[int]) -> str | None:
    """Translates a key of the released state dict to this package's key.

    Args:
        key (`str`): key of the authors' state dict.
        depths (`Sequence[int]`): local blocks per stage; the released code numbers them across stages.

    Returns:
        `str` or `None`: key of `FDPForVideoClassification`, or `None` if the released network has no such tensor.
    """
    for pattern, replacement in (
        (r"frame_rep\.stem\.(\d+)\.(conv|norm)\.(\w+)", r"fdp.encoder.stem.\1.\2.\3"),
        (r"frame_rep\.norm\.(\w+)", r"fdp.encoder.head.norm.\1"),
        (r"frame_rep\.proj_head\.0\.(\w+)", r"fdp.encoder.head.projection.\1"),
        (r"mer\.conv3d\.(\w+)", r"fdp.pooling.convolution.\1"),
        (r"mer\.fc1\.(\w+)", r"classifier.hidden.\1"),
        (r"mer\.fc2\.(\w+)", r"classifier.output.\1"),
        (r"dyimg_net\.conv11d\.(\w+)", r"decoder.output.\1"),
    ):
        if match := re.fullmatch(pattern, key):
            return match.expand(replacement)
    if match := re.fullmatch(r"frame_rep\.features\.(\d+)\.(.+)", key):
        return _convert_block_key(int(match[1]), match[2], depths)
    if match := re.fullmatch(r"dyimg_net\.(conv|bn)(\d)(\d)(d?)\.(\w+)", key):
        return _convert_segnet_key(match)
    return None


def _convert_block_key(block: int, name: str, depths: Sequence[int]) -> str | None:
    stage = 0
    while stage < len(depths) and block >= depths[stage]:
        block -= depths[stage]
        stage += 1
    if stage == len(depths):
        return None
    name = name.replace("patch_embed.", "patch_embedding.").replace("mhca.group_conv3x3.", "convolution.")
    return f"fdp.encoder.stages.{stage}.blocks.{block}.{name}"


def _convert_segnet_key(match: re.Match[str]) -> str:
    layer = "conv" if match[1] == "conv" else "norm"
    level, position = int(match[2]), int(match[3])
    if not match[4]:
        return f"decoder.encoder.{level - 1}.{position - 1}.{layer}.{match[5]}"
    # The released decoder numbers levels and layers down to 1; here they are numbered up from 0.
    last = SEGNET_LAYERS[level - 1] if level <= len(SEGNET_LAYERS) else 0
    return f"decoder.decoder.{len(SEGNET_LAYERS) - level}.{last - position}.{layer}.{match[5]}"


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Reads a `.pth` without executing code in it.

    Args:
        path (`str` or `Path`):
            file that `torch.save` wrote: a state dict, bare or under `state_dict` or `model`, with or without the
            `module.` prefix of data-parallel training.

    Returns:
        `dict[str, torch.Tensor]`: tensors by their names, on the CPU.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: not a state dict, or one that needs code to be unpickled.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The checkpoint must be a file, but {path} is none; check the path.")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"A checkpoint must hold tensors only, but {path} cannot be read that way "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); save `model.state_dict()`."
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = isinstance(content, Mapping) and all(isinstance(value, torch.Tensor) for value in content.values())
    if not tensors or not content:
        raise CheckpointError(f"A checkpoint must be a dict of tensors, but {path} is not; save `model.state_dict()`.")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def convert_state_dict(
    state_dict: Mapping[str, torch.Tensor], labels: Sequence[str] | None = None
) -> FDPForVideoClassification:
    """Builds the preset `released` with the weights of the authors' state dict.

    Args:
        state_dict (`Mapping[str, torch.Tensor]`): tensors by the authors' names.
        labels (`Sequence[str]`, *optional*): class names in the order of the checkpoint's outputs.

    Returns:
        `FDPForVideoClassification`: in eval mode.

    Raises:
        CheckpointError: a missing key, an unexpected key, a wrong shape, or the wrong number of labels.
    """
    output = state_dict.get("mer.fc2.weight")
    if output is None or output.ndim != 2:
        raise CheckpointError(
            "A released checkpoint must have the matrix 'mer.fc2.weight', but it is missing; give a released FDP."
        )
    names: dict[str, Any] = {"num_labels": output.shape[0]}
    if labels is not None:
        if len(labels) != output.shape[0] or len(set(labels)) != len(labels):
            raise CheckpointError(
                f"`labels` must name the {output.shape[0]} outputs of the checkpoint, each once, but "
                f"{list(labels)} was given."
            )
        names = {"id2label": dict(enumerate(labels)), "label2id": {name: index for index, name in enumerate(labels)}}
    config = FDPConfig.from_preset("released", **names)
    model = FDPForVideoClassification(config)
    expected = model.state_dict()
    converted: dict[str, torch.Tensor] = {}
    unexpected, misshapen = [], []
    for key, value in state_dict.items():
        name = convert_key(key, config.local_depths)
        if name is None or name not in expected:
            unexpected.append(key)
        elif value.shape != expected[name].shape:
            misshapen.append(f"{key} {tuple(value.shape)} instead of {tuple(expected[name].shape)}")
        else:
            converted[name] = value
    wrong_shapes = {entry.split(" ")[0] for entry in misshapen}
    taken = set(converted) | {convert_key(key, config.local_depths) for key in wrong_shapes}
    missing = sorted(set(expected) - taken)
    faults = [
        f"{len(keys)} {kind} ({', '.join(keys[:MAX_NAMED_KEYS])}{', ...' if len(keys) > MAX_NAMED_KEYS else ''})"
        for kind, keys in (("unexpected", unexpected), ("of the wrong shape", misshapen), ("missing", missing))
        if keys
    ]
    if faults:
        raise CheckpointError(
            f"The keys must be those of the released FDP, but there are {'; '.join(faults)}; only unchanged released "
            "networks can be converted."
        )
    model.load_state_dict(converted)
    model.eval()
    return model
