"""Reading a morphable face model: the `ICT-FaceKit` clone of the user, or its compact form."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
from datasets.utils import tqdm
from numpy.typing import NDArray

from rendered_faces.errors import FaceModelNotFoundError
from rendered_faces.faces import FloatArray

logger = logging.getLogger(__name__)

NEUTRAL = "generic_neutral_mesh.obj"
# Vertices and polygons that are drawn: all but tear fluid, blend and occlusion shells and lashes, which surround the
# eye and need transparent shaders (ICT-FaceKit README, "Face Model Topology").
NUM_DRAWN_VERTICES = 24591
NUM_DRAWN_POLYGONS = 24692
# Multi-PIE 68 landmark vertices (ICT-FaceKit README, "Facial Landmarks").
LANDMARKS_68 = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443, 268, 493, 1914,
    2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537,
    1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518,
    5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)  # fmt: skip
# The expression shapes of action units, lids and gaze.
NEEDED_EXPRESSIONS = (
    *(f"{name}_{side}"
    for name in (
        "browDown", "browInnerUp", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut",
        "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile",
        "mouthStretch", "mouthUpperUp", "noseSneer",
    )
    for side in ("L", "R")),
    "jawOpen", "mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
)  # fmt: skip


@dataclass(frozen=True)
class FaceModel:
    """A face mesh with linear identity and expression shapes; about 1 unit = 1 cm.

    Args:
        vertices (`np.ndarray` of shape `(num_vertices, 3)`): neutral mesh, float32; x to the subject's left, y up, z
            to the front. Only drawn vertices are kept.
        triangles (`np.ndarray` of shape `(num_triangles, 3)`): vertex indices, int32, counter-clockwise from outside.
        polygons (`np.ndarray` of shape `(num_triangles,)`): polygon that each triangle is part of, int32.
        identity (`np.ndarray` of shape `(num_identities, num_vertices, 3)`): offsets for a weight of 1, float16.
        expressions (`dict` of `str` to `np.ndarray` of shape `(num_vertices, 3)`): offsets of full expressions,
            float32.
        landmarks (`np.ndarray` of shape `(68,)`): vertices of the 68 landmarks, int32.
    """

    vertices: FloatArray
    triangles: NDArray[np.int32]
    polygons: NDArray[np.int32]
    identity: NDArray[np.float16]
    expressions: dict[str, FloatArray]
    landmarks: NDArray[np.int32]


def read_face_model(folder: Path) -> FaceModel:
    """Read a model from its folder.

    Args:
        folder (`Path`): a clone of `ICT-FaceKit`, its `FaceXModel` folder, or a folder with the compact `.npz`. OBJ
            files are read once (about a minute) and cached in compact form in the cache of `datasets`.

    Returns:
        `FaceModel`: the model.

    Raises:
        FaceModelNotFoundError: the folder holds no such model, or a file of it is damaged.
    """
    if not folder.is_dir():
        raise _not_found(folder, "there is no such folder")
    for place in (folder, folder / "FaceXModel"):
        if (place / NEUTRAL).is_file():
            return _from_compact(_compact_form(place))
    compact = sorted(folder.glob("*.npz"))
    if not compact:
        raise _not_found(folder, f"it holds neither {NEUTRAL} nor a compact .npz")
    return _from_compact(compact[0])


def _not_found(folder: Path, problem: str) -> FaceModelNotFoundError:
    return FaceModelNotFoundError(
        f"a face model is the FaceXModel folder of an ICT-FaceKit clone or its compact .npz, but at {folder} "
        f"{problem}: clone ICT-VGL/ICT-FaceKit from GitHub and pass its folder as face_model."
    )


def _from_compact(path: Path) -> FaceModel:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            vertices, faces = arrays["vertices"], arrays["faces"]
            names = [str(name) for name in arrays["expression_names"]]
            expressions, identity, landmarks = (
                arrays["expression_deltas"],
                arrays["identity_deltas"],
                arrays["landmarks68"],
            )
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _not_found(path, f"the file is damaged or of another kind ({error})") from error
    missing = sorted(set(NEEDED_EXPRESSIONS) - set(names))
    if missing or len(vertices) < NUM_DRAWN_VERTICES or len(landmarks) != 68:
        lacks = f"shapes {', '.join(missing)}" if missing else "vertices or landmarks"
        raise _not_found(path, f"the mesh lacks {lacks}")
    quads = faces[:NUM_DRAWN_POLYGONS]
    polygons = np.arange(len(quads), dtype=np.int32)
    second = quads[:, 3] >= 0
    return FaceModel(
        vertices=np.ascontiguousarray(vertices[:NUM_DRAWN_VERTICES], np.float32),
        triangles=np.concatenate((quads[:, :3], quads[second][:, [0, 2, 3]])).astype(np.int32),
        polygons=np.concatenate((polygons, polygons[second])),
        identity=identity[:, :NUM_DRAWN_VERTICES],
        expressions={
            name: expressions[names.index(name), :NUM_DRAWN_VERTICES].astype(np.float32) for name in NEEDED_EXPRESSIONS
        },
        landmarks=landmarks.astype(np.int32),
    )


def _compact_form(folder: Path) -> Path:
    """Return the cached compact form of a folder of OBJ files; made if missing.

    Raises:
        FaceModelNotFoundError: a file is missing or damaged.
    """
    paths = [folder / NEUTRAL, *sorted(folder.glob("identity[0-9]*.obj"))]
    paths += [folder / f"{name}.obj" for name in NEEDED_EXPRESSIONS]
    absent = [path.name for path in paths if not path.is_file()]
    if absent or len(paths) == 1 + len(NEEDED_EXPRESSIONS):
        raise _not_found(folder, f"there are no files {', '.join(absent) or 'identity000.obj, ...'}")
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    digest = hashlib.sha256(repr((str(folder.resolve()), states)).encode()).hexdigest()[:20]
    compact = Path(datasets.config.HF_DATASETS_CACHE) / "face_models" / f"{digest}.npz"
    if compact.is_file():
        return compact
    neutral, faces = _read_obj(paths[0], with_faces=True)
    deltas = []
    for path in tqdm(paths[1:], desc="reading the face model", unit="file"):
        vertices, _ = _read_obj(path, with_faces=False)
        if vertices.shape != neutral.shape:
            raise _not_found(path, f"the mesh has {len(vertices)} vertices where {NEUTRAL} has {len(neutral)}")
        deltas.append((vertices - neutral).astype(np.float16))
    num_identities = len(paths) - 1 - len(NEEDED_EXPRESSIONS)
    compact.parent.mkdir(parents=True, exist_ok=True)
    temporary = compact.with_name(f".{os.getpid()}.{compact.name}")
    np.savez(
        temporary,
        vertices=neutral.astype(np.float32),
        faces=faces,
        expression_names=np.array(NEEDED_EXPRESSIONS),
        expression_deltas=np.stack(deltas[num_identities:]),
        identity_deltas=np.stack(deltas[:num_identities]),
        landmarks68=np.array(LANDMARKS_68, np.int32),
    )
    temporary.replace(compact)
    logger.info("kept the compact form of %s as %s", folder, compact)
    return compact


def _read_obj(path: Path, with_faces: bool) -> tuple[FloatArray, NDArray[np.int32]]:
    """Return vertices (float64) and, if asked, polygons (`(num_polygons, 4)`, -1 for the fourth of a triangle)."""
    try:
        text = path.read_bytes()
        coordinates = re.findall(rb"^v ([^\r\n]+)", text, re.MULTILINE)
        vertices = np.array(b" ".join(coordinates).split(), np.float64).reshape(len(coordinates), 3)
        polygons = []
        for line in re.findall(rb"^f ([^\r\n]+)", text, re.MULTILINE) if with_faces else ():
            corners = [int(corner.split(b"/")[0]) - 1 for corner in line.split()]
            polygons.append([*corners, -1][:4])
        faces = np.array(polygons, np.int32).reshape(len(polygons), 4)
    except (ValueError, OSError) as error:
        raise _not_found(path, f"the file is damaged ({error})") from error
    return vertices, faces
