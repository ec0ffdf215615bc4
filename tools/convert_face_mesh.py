"""Take the weights of the face mesh from MediaPipe's wheel: `python -m tools.convert_face_mesh WHEEL`.

Get the wheel with `pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64
mediapipe==0.10.21`, and the reader of its model files with `pip install tflite`. The weights are stored as the model
files hold them, in float16; nothing is rounded. Writes `processing_fdp/face_mesh.safetensors`.
"""

import argparse
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tflite
import torch
from safetensors.torch import save

from processing_fdp.face_networks_fdp import FaceNetworks, packaged_weights

WHEEL_SHA256 = "956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5"
DETECTOR_FILE = "mediapipe/modules/face_detection/face_detection_short_range.tflite"
MESH_FILE = "mediapipe/modules/face_landmark/face_landmark.tflite"
LICENCE = "Apache-2.0, The MediaPipe Authors"

# A block of our network, and the names of its depthwise convolution, pointwise convolution and activation in the model
# file.
Block = tuple[str, str, str, str | None]


def _numbered(name: str, number: int) -> str:
    """Name of a layer in BlazeFace's file, where Keras gives the first layer of a kind no number."""
    return f"{name}_{number}" if number else name


DETECTOR_BLOCKS: tuple[Block, ...] = tuple(
    (
        f"fine.{index}" if index < 11 else f"coarse.{index - 11}",
        _numbered("depthwise_conv2d", index),
        f"conv2d_{index + 1}",
        None,
    )
    for index in range(16)
)
DETECTOR_LAYERS = {
    "stem": "conv2d",
    "score_heads.0": "classificator_8",
    "score_heads.1": "classificator_16",
    "box_heads.0": "regressor_8",
    "box_heads.1": "regressor_16",
}
MESH_BLOCKS: tuple[Block, ...] = (
    *(
        (f"trunk.{index}", f"depthwise_conv2d_{index + 1}", f"conv2d_{index + 2}", f"p_re_lu_{index + 2}")
        for index in range(14)
    ),
    *(
        (f"points_head.{index}", f"depthwise_conv2d_{index + 15}", f"conv2d_{index + 16}", f"p_re_lu_{index + 16}")
        for index in range(3)
    ),
    ("points_head.5", "depthwise_conv2d_18", "conv2d_20", "p_re_lu_20"),
    ("presence_head.0", "depthwise_conv2d_23", "conv2d_28", "p_re_lu_26"),
    ("presence_head.3", "depthwise_conv2d_24", "conv2d_30", "p_re_lu_28"),
)
MESH_LAYERS = {
    "stem": "conv2d_1",
    "stem_activation": "p_re_lu_1",
    "points_head.3": "conv2d_19",
    "points_head.4": "p_re_lu_19",
    "points_head.6": "conv2d_21",
    "presence_head.1": "conv2d_29",
    "presence_head.2": "p_re_lu_27",
    "presence_head.4": "conv2d_31",
}


def read_layers(model_file: bytes) -> dict[str, list[np.ndarray]]:
    """Read the weights of every layer of a TFLite file.

    Args:
        model_file (`bytes`): The file.

    Returns:
        `dict[str, list[np.ndarray]]`: By the name of the layer's output: kernel and bias of a convolution, slopes of a
        PReLU; float16, as stored (kernels: output, rows, columns, input).
    """
    model = tflite.Model.GetRootAsModel(model_file, 0)
    graph = model.Subgraphs(0)
    operators = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
    # Input of each DEQUANTIZE by its output, because all half-precision weights pass through one.
    stored: dict[int, int] = {}
    layers: dict[str, list[np.ndarray]] = {}
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = operators[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs, output = [int(number) for number in operator.InputsAsNumpy()], int(operator.Outputs(0))
        if kind == "DEQUANTIZE":
            stored[output] = inputs[0]
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "PRELU"):
            weights = [_read_tensor(model, graph.Tensors(stored[number])) for number in inputs[1:]]
            layers[graph.Tensors(output).Name().decode()] = weights
    return layers


def _read_tensor(model: Any, tensor: Any) -> np.ndarray:
    values = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
    return np.frombuffer(values, np.float16).reshape(tensor.ShapeAsNumpy())


def name_weights(
    layers: dict[str, list[np.ndarray]], blocks: tuple[Block, ...], plain: dict[str, str]
) -> dict[str, np.ndarray]:
    """Put the layers of a model file under the names of our modules, in torch's order of axes."""
    names = dict(plain)
    for ours, depthwise, pointwise, activation in blocks:
        names |= {f"{ours}.depthwise": depthwise, f"{ours}.pointwise": pointwise}
        names |= {f"{ours}.activation": activation} if activation else {}
    weights = {}
    for ours, theirs in names.items():
        kernel, *bias = layers[theirs]
        if not bias:
            weights[f"{ours}.weight"] = kernel.reshape(-1)
            continue
        # Depthwise: (1, rows, columns, channels) -> (channels, 1, rows, columns). Others: input channels to the front.
        weights[f"{ours}.weight"] = (
            kernel.transpose(3, 0, 1, 2) if "depthwise" in ours else kernel.transpose(0, 3, 1, 2)
        )
        weights[f"{ours}.bias"] = bias[0]
    return weights


def convert(wheel: Path, destination: Path) -> None:
    """Write the weights of both networks.

    Args:
        wheel (`Path`): `mediapipe-0.10.21-*.whl` with the hash above.
        destination (`Path`): Safetensors file to write.

    Raises:
        ValueError: If the wheel is another one.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise ValueError(f"the wheel must have the SHA-256 {WHEEL_SHA256}, but {wheel.name} has {digest}; download it")
    with zipfile.ZipFile(wheel) as archive:
        detector, mesh = (read_layers(archive.read(name)) for name in (DETECTOR_FILE, MESH_FILE))
    weights = {
        f"detector.{name}": kernel for name, kernel in name_weights(detector, DETECTOR_BLOCKS, DETECTOR_LAYERS).items()
    }
    weights |= {f"mesh.{name}": kernel for name, kernel in name_weights(mesh, MESH_BLOCKS, MESH_LAYERS).items()}
    tensors = {name: torch.from_numpy(kernel.copy()) for name, kernel in weights.items()}
    FaceNetworks().load_state_dict(tensors)
    source = {"source": "mediapipe==0.10.21", "sha256": WHEEL_SHA256, "licence": LICENCE}
    # Not by save_file, because it makes its file readable for the owner alone.
    destination.write_bytes(save(tensors, metadata=source))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.21-cp312-cp312-manylinux_2_28_x86_64.whl")
    convert(parser.parse_args().wheel, Path(packaged_weights()))
