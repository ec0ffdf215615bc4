"""A face of a morphable model: its mesh, painted and rasterised."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rendered_faces.errors import RenderingError
from rendered_faces.faces import Face, FaceFamily, FaceState, FloatArray, inverse_2x2, merge_midline, rotation_matrix
from rendered_faces.variations import MORPHABLE_YAW, NONE, Variations

from .complexion import Complexion
from .model import FaceModel, read_face_model
from .paint import (
    LEFT,
    TOP,
    Plane,
    furrows,
    hair_cover,
    paint_eye,
    paint_glasses,
    paint_long_hair,
    paint_skin,
    redness,
    texture_grid,
)

try:
    from . import raster
    from .mesh import ALL_SKIN, DOWN, EYEBALLS, FACE_SKIN, INSIDE_MOUTH, TEETH, DrawnMesh, ball, drawn_mesh, push_back
except ImportError as error:
    raise RenderingError(
        "a morphable face model is rasterised by numba, which is not installed: "
        "pip install 'fdp-micro-expression[synthesis]'."
    ) from error

# The face is framed as in the cropped package of CASME II: ears at the borders, chin near the lower one.
PIXELS_PER_UNIT = 7.0
# Height of the frame's middle above the model's origin.
CENTRE_Y = 0.7
# Expression shapes of each action unit and their shares; `{side}` is L or R. After the table in the README of
# ICT-FaceKit, except: 10 is the sided upper lip shape (the README's mouthShrugUpper has no sides), 23, 25 and 26 are
# not in it.
ACTION_UNIT_SHAPES: dict[int, dict[str, float]] = {
    1: {"browInnerUp_{side}": 1},
    2: {"browOuterUp_{side}": 1},
    4: {"browDown_{side}": 1},
    5: {"eyeWide_{side}": 1},
    6: {"cheekSquint_{side}": 1},
    7: {"eyeSquint_{side}": 1},
    9: {"noseSneer_{side}": 1},
    10: {"mouthUpperUp_{side}": 1},
    12: {"mouthSmile_{side}": 1},
    14: {"mouthDimple_{side}": 1},
    15: {"mouthFrown_{side}": 1},
    17: {"mouthShrugLower": 1},
    20: {"mouthStretch_{side}": 1},
    23: {"mouthPucker": 0.4, "mouthRollLower": 0.4, "mouthRollUpper": 0.4},
    24: {"mouthPress_L": 1, "mouthPress_R": 1, "mouthRollLower": 0.2, "mouthRollUpper": 0.2},
    25: {"mouthLowerDown_L": 1, "mouthLowerDown_R": 1, "mouthUpperUp_L": 0.3, "mouthUpperUp_R": 0.3},
    26: {"jawOpen": 1},
}
# Tones of parts without a texture: mouth socket, eye sockets, gums and tongue, teeth.
PLAIN_PARTS = ((slice(11248, 13294), 0.1), (slice(13294, 14062), 0.2), (slice(14062, 17039), 0.2), (TEETH, 0.45))
# Factor on the standard deviation of identity weights: 1 is the model's population.
IDENTITY_SPREAD = 0.9
# Above 1, because at 1 the lids of some identities do not shut completely.
SHUT_BLINK = 1.12
# Rotation of the eye at a gaze of 1.
GAZE_DEGREES = 18.0


class MorphableFace(Face):
    """One identity of a morphable model.

    Args:
        model (`FaceModel`): the model.
        mesh (`DrawnMesh`): the part of it that is drawn.
        seed (`int`): chooses the identity.
        image_size_hw (`tuple` of two `int`): height and width of the images in pixels.
        variations (`Variations`, *optional*): those of the face are redrawn; none by default.
    """

    landmark_names = tuple(f"multi_pie_{index}" for index in range(68))

    def __init__(
        self,
        model: FaceModel,
        mesh: DrawnMesh,
        seed: int,
        image_size_hw: tuple[int, int],
        variations: Variations = NONE,
    ) -> None:
        super().__init__(image_size_hw)
        self.model, self.mesh = model, mesh
        rng = np.random.default_rng([0x1D3, seed])
        self.weights = IDENTITY_SPREAD * np.clip(rng.standard_normal(len(model.identity)), -2, 2).astype(np.float32)
        self.complexion = Complexion.draw(rng).varied(variations, seed)
        self.units_to_pixels = PIXELS_PER_UNIT * self.pixel_scale
        generic = model.vertices * DOWN
        shape = model.vertices + np.tensordot(self.weights, model.identity.astype(np.float32), axes=1)
        shape = (shape * DOWN - np.array([0, -CENTRE_Y, 0])).astype(np.float32)
        push_back(shape)
        self.eye_centres = [ball(shape[part])[0] for part in EYEBALLS]
        self.rest = self._with_hair(shape[mesh.vertices], generic[mesh.vertices])
        self._eyeballs = [mesh.kept(part) for part in EYEBALLS]
        self._inside_mouth = mesh.kept(INSIDE_MOUTH)
        self._units: dict[tuple[int, str], Shape] = {}
        self._lid_shapes: dict[str, Shape] = {}
        self._paint(generic, seed)

    @property
    def identity(self) -> FloatArray:
        """Identity weights of the model, then the painted part, float32 `(num_parameters,)`."""
        return np.concatenate((self.weights, self.complexion.vector()))

    def render(self, state: FaceState, backdrop: FloatArray | None = None) -> FloatArray:
        """Return the luminance of one frame, float32 `(height, width)` in [0, 1]; see `Face.render`."""
        vertices = self._posed(state)
        height, width = self.image_size_hw
        samples, depth = self._project(vertices, state, raster.ROWS_PER_PIXEL)
        mesh, rows = self.mesh, height * raster.ROWS_PER_PIXEL
        nearest = raster.visible_triangles(samples, depth, mesh.triangles, mesh.num_quads, rows, width, raster.STAGGER)
        behind = self.wall if backdrop is None else backdrop
        if self._long_hair is not None:
            behind = behind.copy()
            self._overlay(behind, self._long_hair, state)
        shown = raster.shown_vertices(nearest, mesh.triangles, len(vertices))
        painted, texture = self._painted(vertices, samples, shown, state), self._furrowed(state)
        picture = raster.shade(nearest, samples, mesh.triangles, mesh.parts, painted, texture, behind)
        if self._glasses is not None:
            self._overlay(picture, self._glasses, state)
        return np.clip(picture, 0, 1, out=picture)

    @property
    def wall(self) -> FloatArray:
        """The luminance behind the head where no scene is given, float32 `(height, width)`."""
        return self._wall

    def landmarks(self, state: FaceState) -> FloatArray:
        """Return the 68 Multi-PIE landmarks, float32 `(68, 2)`, pixels (x, y)."""
        vertices = self.rest[self.mesh.landmarks]
        for weight, shape in self._active(state):
            vertices += np.float32(weight) * shape.at_landmarks
        return self._project(vertices, state)[0]

    def five_points(self, state: FaceState) -> FloatArray:
        """Return the five points of the alignment contract, float32 `(5, 2)`; eyes are the middle of their corners."""
        points = self.landmarks(state)
        eyes = [(points[start] + points[start + 3]) / 2 for start in (36, 42)]
        return np.stack([*eyes, points[30], points[48], points[54]])

    def flow(self, start: FaceState, end: FaceState) -> FloatArray:
        """Return the true motion of the skin in pixels, float32 `(height, width, 2)`.

        Lids follow the gaze of both states; the eyeballs keep that of `start`, because their rotation is no motion of
        skin.
        """
        pixels, depth = self._project(self._posed(start), start)
        height, width = self.image_size_hw
        nearest = raster.visible_triangles(
            pixels, depth, self.mesh.triangles, self.mesh.num_quads, height, width, np.float32(0)
        )
        moved, _ = self._project(self._posed(end, gaze_xy=start.gaze_xy), end)
        return raster.displacement(nearest, pixels, moved, self.mesh.triangles)

    def _with_hair(self, shape: FloatArray, generic: FloatArray) -> FloatArray:
        """Return the mesh with the scalp pushed outwards where hair grows."""
        normals = raster.vertex_normals(shape, self.mesh.triangles, np.ones(len(shape), bool))
        cover = hair_cover(self.complexion, generic[:, 0], generic[:, 1])
        # The back of the head, above the neck, has hair everywhere, because the front view does not show it.
        cover = np.where((generic[:, 2] < 0) & (generic[:, 1] < 2), 1, cover)
        cover[self.mesh.kept(ALL_SKIN).stop :] = 0
        return (shape + self.complexion.hair_volume * cover[:, None] * normals).astype(np.float32)

    def _paint(self, generic: FloatArray, seed: int) -> None:
        """Make the texture atlas: skin above, below it one eye and a patch of each plain tone."""
        texels_per_unit = self.units_to_pixels
        x, y = texture_grid(texels_per_unit)
        places = generic[self.model.landmarks, :2]
        skin = paint_skin(self.complexion, places, x, y, seed)
        self.furrows = {key: _Window.around(line) for key, line in furrows(places, x, y).items()}
        eye_size = max(16, round(4 * texels_per_unit))
        below = np.zeros((eye_size + 4, skin.shape[1]), np.float32)
        _, radius = ball(generic[EYEBALLS[0]])
        below[2 : 2 + eye_size, 2 : 2 + eye_size] = paint_eye(self.complexion, radius, eye_size)
        self.texture = np.concatenate((skin, below))
        skin_rows = skin.shape[0]
        uv = np.stack(((generic[:, 0] - LEFT), (generic[:, 1] - TOP)), axis=1) * texels_per_unit
        for part in EYEBALLS:
            centre, _ = ball(generic[part])
            inside = (generic[part, :2] - centre[:2]) / radius * 0.5 + 0.5
            uv[part] = inside * (eye_size - 1) + (2, skin_rows + 2)
        for index, (part, tone) in enumerate(PLAIN_PARTS):
            column = eye_size + 6 + 4 * index
            self.texture[skin_rows + 1 : skin_rows + 4, column - 1 : column + 2] = tone
            uv[part] = (column, skin_rows + 2)
        self.uv = uv[self.mesh.vertices].astype(np.float32)
        height, width = self.image_size_hw
        slope = np.linspace(-0.5, 0.5, width, dtype=np.float32) * self.complexion.background_slope
        self._wall = np.tile(self.complexion.background + slope, (height, 1)).astype(np.float32)
        self._long_hair = (
            paint_long_hair(self.complexion, seed, texels_per_unit) if self.complexion.long_hair else None
        )
        self._redness = np.ones(len(self.rest), np.float32)
        skin_stop = self.mesh.kept(ALL_SKIN).stop
        self._redness[:skin_stop] = redness(self.complexion, places, generic[self.mesh.vertices[:skin_stop], :2])
        for part in self._eyeballs:
            self._redness[part] = 0
        eyes = self.rest[self.mesh.landmarks[36:48]]
        self._glasses = paint_glasses(self.complexion, eyes, texels_per_unit) if self.complexion.glasses else None

    def _furrowed(self, state: FaceState) -> FloatArray:
        """Return the atlas with the lines that the action units draw."""
        active = [(key, pixels) for key, pixels in state.action_units.items() if key in self.furrows and pixels > 0.05]
        if not active:
            return self.texture
        texture = self.texture.copy()
        for key, pixels in active:
            window = self.furrows[key]
            texture[window.place] *= 1 - np.minimum(np.float32(pixels) * window.values, np.float32(0.6))
        return texture

    def _unit(self, code: int, side: str) -> Shape:
        """Return the shape of one action unit whose largest skin motion is one reference pixel."""
        if (code, side) not in self._units:
            offsets = np.sum(
                [
                    np.float32(share) * self.model.expressions[name.format(side=side)]
                    for name, share in ACTION_UNIT_SHAPES[code].items()
                ],
                axis=0,
            )
            largest = np.sqrt((offsets[FACE_SKIN, :2] ** 2).sum(axis=1)).max()
            self._units[code, side] = Shape.of(offsets / (largest * PIXELS_PER_UNIT), self.mesh)
        return self._units[code, side]

    def _lid_shape(self, name: str) -> Shape:
        """Return a full shape of the model."""
        if name not in self._lid_shapes:
            self._lid_shapes[name] = Shape.of(self.model.expressions[name], self.mesh)
        return self._lid_shapes[name]

    def _active(self, state: FaceState) -> list[tuple[float, Shape]]:
        """Return weight and shape of all motion of a state but that of the eyeballs."""
        units = [(pixels, self._unit(*key)) for key, pixels in merge_midline(state.action_units).items() if pixels]
        return units + [(weight, self._lid_shape(name)) for name, weight in self._lids(state).items() if weight > 0]

    def _posed(self, state: FaceState, gaze_xy: tuple[float, float] | None = None) -> FloatArray:
        """Return vertices in head coordinates (y down) with all but the head's own motion.

        `gaze_xy` replaces the state's gaze for the eyeballs only.
        """
        vertices = self.rest.copy()
        for weight, shape in self._active(state):
            raster.add_offsets(vertices, np.float32(weight), shape.offsets)
        right, down = state.gaze_xy if gaze_xy is None else gaze_xy
        turn = rotation_matrix(GAZE_DEGREES * right, GAZE_DEGREES * down, 0.0)
        for part, centre in zip(self._eyeballs, self.eye_centres, strict=True):
            vertices[part] = (vertices[part] - centre) @ turn.T + centre
        return vertices

    @staticmethod
    def _lids(state: FaceState) -> dict[str, float]:
        """Return the lid shapes of blink and gaze."""
        right, down = state.gaze_xy
        weights = {}
        # For the subject's left eye, outwards is to the image's right.
        for side, outwards in (("L", right), ("R", -right)):
            weights[f"eyeBlink_{side}"] = SHUT_BLINK * state.blink
            weights[f"eyeLookOut_{side}"] = 0.6 * max(outwards, 0) * (1 - state.blink)
            weights[f"eyeLookIn_{side}"] = 0.6 * max(-outwards, 0) * (1 - state.blink)
            weights[f"eyeLookDown_{side}"] = 0.6 * max(down, 0) * (1 - state.blink)
            weights[f"eyeLookUp_{side}"] = 0.6 * max(-down, 0) * (1 - state.blink)
        return weights

    def _project(
        self, vertices: FloatArray, state: FaceState, rows_per_pixel: int = 1
    ) -> tuple[FloatArray, FloatArray]:
        """Return positions (x right, y down) and depth towards the camera, float32.

        Positions are pixels, or, with several rows of samples in a pixel, those of [`raster.shade`]: the samples of
        row 0 lie a quarter of a pixel above and to the left of the pixels' middles.
        """
        height, width = self.image_size_hw
        inset = 0.0 if rows_per_pixel == 1 else 0.25
        centre_x = (width - 1) / 2 + state.shift_xy[0] * self.pixel_scale + inset
        centre_y = (height - 1) / 2 + state.shift_xy[1] * self.pixel_scale + inset
        matrix = rotation_matrix(state.yaw, state.pitch, state.roll) * np.float32(self.units_to_pixels * state.scale)
        matrix[1] *= rows_per_pixel
        nearness = np.float32(state.nearness / (self.pixel_scale * state.scale))
        return raster.project(vertices, matrix, np.float32(centre_x), np.float32(centre_y * rows_per_pixel), nearness)

    def _painted(
        self, vertices: FloatArray, samples: FloatArray, shown: NDArray[np.bool_], state: FaceState
    ) -> FloatArray:
        """Return texture position, light on the paint and light on top of it of the vertices shown, `(n, 4)`."""
        normals = raster.vertex_normals(vertices, self.mesh.triangles, shown)
        rotation, lamp = rotation_matrix(state.yaw, state.pitch, state.roll), state.light
        # Light and camera are fixed while the head turns, so they are rotated into the head's coordinates.
        light = _unit(rotation.T @ np.asarray(lamp.direction, np.float32))
        view = np.ascontiguousarray(rotation[2])
        # The lips shade the mouth, the more the less they part.
        units = merge_midline(state.action_units)
        # Where both sides of the upper lip rise, the left one is used.
        upper = units.get((10, "L")) or units.get((10, "R"), 0.0)
        parted = units.get((25, "L"), 0.0) + units.get((26, "L"), 0.0) + 0.5 * upper
        in_mouth = min(max(0.15 + 0.2 * parted, 0.15), 0.8)
        height, width = self.image_size_hw
        shadow = lamp.ramp((width - 0.5) / 2, (height - 0.5) / 2, self.pixel_scale)
        shadow[2] /= raster.ROWS_PER_PIXEL
        return raster.light_vertices(
            normals,
            shown,
            samples,
            light,
            view,
            _unit(light + view),
            np.array([lamp.key, lamp.ambient, self.complexion.oiliness, lamp.warmth, in_mouth], np.float32),
            shadow,
            self.uv,
            self._redness,
            (self._inside_mouth.start, self._inside_mouth.stop),
            self._eyeballs[0].start,
        )

    def _overlay(self, picture: FloatArray, plane: Plane, state: FaceState) -> None:
        """Lay a flat picture that is fixed to the skull over the frame, in place."""
        corners = np.array([[0, 0, plane.depth], [1, 0, plane.depth], [0, 1, plane.depth]], np.float32)
        (x, y), (right_x, right_y), (down_x, down_y) = self._project(corners, state)[0].tolist()
        inverse = inverse_2x2([[right_x - x, down_x - x], [right_y - y, down_y - y]])
        place = [
            (of_x, of_y, -of_x * x - of_y * y - start)
            for (of_x, of_y), start in zip(inverse, (plane.left, plane.top), strict=True)
        ]
        texels = np.multiply(place, plane.texels_per_unit).astype(np.float32)
        raster.overlay(picture, plane.cover, plane.tone, texels)


def _unit(vector: FloatArray) -> FloatArray:
    """Return a vector of length 1, float32."""
    return (vector / np.sqrt(vector @ vector)).astype(np.float32)


@dataclass(frozen=True)
class Shape:
    """Displacement of the drawn vertices, in model units with y down.

    Args:
        offsets (`np.ndarray` of shape `(num_vertices, 3)`): displacements, float32.
        at_landmarks (`np.ndarray` of shape `(68, 3)`): those of the landmarks.
    """

    offsets: FloatArray
    at_landmarks: FloatArray

    @classmethod
    def of(cls, offsets: FloatArray, mesh: DrawnMesh) -> Shape:
        """Return the drawn part of the model's offsets (`(num_vertices, 3)`, y up)."""
        drawn = (offsets[mesh.vertices] * DOWN).astype(np.float32)
        return cls(drawn, drawn[mesh.landmarks])


@dataclass(frozen=True)
class _Window:
    """The part of a map with values above almost 0: `values` at `place`."""

    place: tuple[slice, slice]
    values: FloatArray

    @classmethod
    def around(cls, line: FloatArray) -> _Window:
        present = line > 1e-4
        rows, columns = np.flatnonzero(present.any(axis=1)), np.flatnonzero(present.any(axis=0))
        place = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        return cls(place, np.ascontiguousarray(line[place]))


@lru_cache(maxsize=1)
def _load(folder: Path) -> tuple[FaceModel, DrawnMesh]:
    # Cached, because every subject of a corpus uses the same model and reading takes seconds.
    model = read_face_model(folder)
    return model, drawn_mesh(model)


class MorphableFaces(FaceFamily):
    """The faces of one morphable model.

    Args:
        folder (`Path`): folder of the model; see `model.read_face_model`.

    Raises:
        FaceModelNotFoundError: it is not there.
    """

    name = "morphable"
    largest_yaw = MORPHABLE_YAW

    def __init__(self, folder: Path) -> None:
        self.model, self.mesh = _load(folder)

    def face(self, seed: int, image_size_hw: tuple[int, int], variations: Variations = NONE) -> MorphableFace:
        """Return the identity of `seed`, framed in images of the given size."""
        return MorphableFace(self.model, self.mesh, seed, image_size_hw, variations)
