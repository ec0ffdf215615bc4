"""Write `golden_face_mesh.npz`: what MediaPipe's own model files answer, to which the torch networks are held.

    python tests/artifacts/make_golden_face_mesh.py mediapipe-0.10.21-cp312-cp312-manylinux_2_28_x86_64.whl FACE.png

Runs the model files of the wheel (see `tools/convert_face_mesh.py`) in LiteRT; needs `pip install ai-edge-litert`.
FACE.png is a face of the built-in renderer (seed 3 of `ProceduralFaces`, 256 pixels in the middle of 400), nobody's;
it is stored beside the answers. The noise is drawn again by whoever compares.
"""

import sys
import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

FILES = {
    "detector": ("mediapipe/modules/face_detection/face_detection_short_range.tflite", 128),
    "mesh": ("mediapipe/modules/face_landmark/face_landmark.tflite", 192),
}
# Bytes to what each network takes: the detector wants [-1, 1], the mesh [0, 1].
SCALES = {"detector": (2 / 255, -1.0), "mesh": (1 / 255, 0.0)}


def main(wheel: str, picture: str) -> None:
    arrays = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, (file, size) in FILES.items():
            face = np.asarray(Image.open(picture).convert("RGB").resize((size, size)))
            noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
            # The face is gray: one channel is enough. The noise is drawn again by whoever compares.
            arrays[f"{name}_face"] = face[:, :, 0]
            scale, shift = SCALES[name]
            for kind, pixels in (("noise", noise), ("face", face)):
                interpreter = Interpreter(model_content=archive.read(file))
                interpreter.allocate_tensors()
                values = pixels[None].astype(np.float32) * np.float32(scale) + np.float32(shift)
                interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
                interpreter.invoke()
                for number, output in enumerate(interpreter.get_output_details()):
                    arrays[f"{name}_{kind}_{number}"] = interpreter.get_tensor(output["index"])
    np.savez_compressed(Path(__file__).with_name("golden_face_mesh.npz"), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
