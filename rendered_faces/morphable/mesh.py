"""The part of a morphable model's mesh that is visible to a camera in front of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rendered_faces.faces import FloatArray, rotation_matrix

from . import raster
from .model import FaceModel

# Vertices of each part (ICT-FaceKit README, "Face Model Topology").
FACE_SKIN, ALL_SKIN = slice(0, 9409), slice(0, 11248)
EYEBALLS = (slice(21451, 23021), slice(23021, 24591))
TEETH = slice(17039, 21451)
INSIDE_MOUTH = slice(14062, 21451)
# The iris meshes lie behind the front of the ball, where the iris is painted instead.
HIDDEN_POLYGONS = ((22296, 23094), (23894, 24692))
# Eyeballs and teeth are pushed back, because identity shapes move lids and lips a little against them.
EYEBALL_DEPTH, TEETH_DEPTH = 0.22, 0.35
# y points down in the image, up in the model.
DOWN = np.array([1, -1, 1], np.float32)
# Poses and expressions for testing visibility, beyond those of any script, in degrees and full shapes. Faces differ
# from the generic one, so triangles around visible ones are kept too.
_YAWS, _PITCHES = (-40, -20, 0, 20, 40), (-25, 0, 25)
_EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.6, "mouthLowerDown_L": 1, "mouthLowerDown_R": 1, "mouthUpperUp_L": 1, "mouthUpperUp_R": 1},
    {"mouthSmile_L": 1, "mouthSmile_R": 1, "eyeWide_L": 1, "eyeWide_R": 1, "browInnerUp_L": 1, "browInnerUp_R": 1},
    {"mouthPucker": 1, "eyeBlink_L": 1, "eyeBlink_R": 1, "noseSneer_L": 1, "noseSneer_R": 1},
)
_NEIGHBOURS = 1
# Largest angle from an eyeball's front that lids show, gaze and turns of the head included.
_EYE_CAP_DEGREES = 80.0


@dataclass(frozen=True)
class DrawnMesh:
    """Vertices and triangles to draw, for all identities of one model.

    Args:
        vertices (`np.ndarray` of shape `(num_kept,)`): their numbers in the model, ascending, int32.
        triangles (`np.ndarray` of shape `(num_triangles, 3)`): numbers among the kept vertices, int32, clockwise from
            outside in the model's axes, which is counter-clockwise with y down.
        num_quads (`int`): how many pairs of triangles at the beginning are the halves of a quad; see
            `raster.visible_triangles`.
        parts (`np.ndarray` of shape `(num_triangles,)`): 0 skin, 1 eyeball, 2 everything else, int32.
        landmarks (`np.ndarray` of shape `(68,)`): the landmarks among the kept vertices, int32.
    """

    vertices: NDArray[np.int32]
    triangles: NDArray[np.int32]
    num_quads: int
    parts: NDArray[np.int32]
    landmarks: NDArray[np.int32]

    def kept(self, part: slice) -> slice:
        """Return the slice of a part of the model among the kept vertices."""
        start, stop = np.searchsorted(self.vertices, (part.start, part.stop))
        return slice(int(start), int(stop))


def drawn_mesh(model: FaceModel) -> DrawnMesh:
    """Return the visible part of a model."""
    triangles, num_quads = _paired(model)
    seen = _seen(model, triangles, num_quads)
    # A quad is kept whole.
    quads = seen[: 2 * num_quads].reshape(-1, 2).any(axis=1)
    order = np.concatenate((np.repeat(quads, 2), seen[2 * num_quads :]))
    triangles, num_quads = triangles[order], int(quads.sum())
    kept = np.unique(np.concatenate((triangles.ravel(), model.landmarks))).astype(np.int32)
    first = triangles[:, 0]
    parts = np.where(first < ALL_SKIN.stop, 0, np.where(first >= EYEBALLS[0].start, 1, 2))
    return DrawnMesh(
        vertices=kept,
        triangles=np.searchsorted(kept, triangles).astype(np.int32),
        num_quads=num_quads,
        parts=parts.astype(np.int32),
        landmarks=np.searchsorted(kept, model.landmarks).astype(np.int32),
    )


def push_back(vertices: FloatArray) -> None:
    """Push eyeballs and teeth of a whole mesh back behind lids and lips, in place."""
    for part, depth in ((EYEBALLS[0], EYEBALL_DEPTH), (EYEBALLS[1], EYEBALL_DEPTH), (TEETH, TEETH_DEPTH)):
        vertices[part, 2] -= depth


def ball(vertices: FloatArray) -> tuple[FloatArray, float]:
    """Return centre and radius of an eyeball from its vertices; the radius from width and height alone."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    radius = float((high[0] - low[0]) / 2)
    centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2] + radius], np.float32)
    return centre, radius


def _paired(model: FaceModel) -> tuple[NDArray[np.int32], int]:
    """Return the triangles that face the camera with y down, skin first, halves of quads in pairs; how many pairs."""
    shown = np.ones(len(model.triangles), bool)
    for start, stop in HIDDEN_POLYGONS:
        shown &= (model.polygons < start) | (model.polygons >= stop)
    triangles, polygons = model.triangles[shown], model.polygons[shown]
    order = np.argsort(polygons, kind="stable")
    triangles, polygons = triangles[order], polygons[order]
    is_first = np.append(polygons[1:] == polygons[:-1], False)
    is_half = is_first | np.append(False, is_first[:-1])
    # The model's halves are a, b, c and a, c, d; mirrored they are a, d, c and a, c, b.
    quads = triangles[is_half].reshape(-1, 2, 3)[:, ::-1, [0, 2, 1]]
    singles = triangles[~is_half][:, [0, 2, 1]]
    # Skin is drawn first, because the rasteriser skips triangles behind it.
    quads, singles = (part[np.argsort(_corner(part) >= ALL_SKIN.stop, kind="stable")] for part in (quads, singles))
    return np.ascontiguousarray(np.concatenate((quads.reshape(-1, 3), singles)), np.int32), len(quads)


def _corner(polygons: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return one vertex of each polygon."""
    return polygons.reshape(len(polygons), -1)[:, 0]


def _seen(model: FaceModel, triangles: NDArray[np.int32], num_quads: int) -> NDArray[np.bool_]:
    """Return which triangles can be seen."""
    seen = np.zeros(len(triangles), bool)
    side, scale = 320, np.float32(320 / 26)
    for shapes in _EXPRESSIONS:
        vertices = model.vertices.copy()
        for name, weight in shapes.items():
            vertices += np.float32(weight) * model.expressions[name]
        vertices *= DOWN
        push_back(vertices)
        for yaw, pitch in product(_YAWS, _PITCHES):
            turned = vertices @ rotation_matrix(yaw, pitch, 0.0).T
            pixels = turned[:, :2] * scale + np.float32(side / 2)
            depth = np.ascontiguousarray(turned[:, 2])
            nearest = raster.visible_triangles(pixels, depth, triangles, num_quads, side, side, np.float32(0))
            seen[nearest[nearest >= 0]] = True
    for _ in range(_NEIGHBOURS):
        touched = np.zeros(len(model.vertices), bool)
        touched[triangles[seen]] = True
        seen |= touched[triangles].any(axis=1)
    for part in EYEBALLS:
        centre, radius = ball(model.vertices[part])
        on_ball = (triangles[:, 0] >= part.start) & (triangles[:, 0] < part.stop)
        middle = model.vertices[triangles].mean(axis=1) - centre
        front = middle[:, 2] > radius * np.cos(np.deg2rad(_EYE_CAP_DEGREES))
        seen = np.where(on_ball, front, seen)
    return seen
