"""A face from a morphable model: its mesh, painted and rasterised."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rendered_faces.errors import RenderingError
from rendered_faces.faces import Face, FaceFamily, FaceState, FloatArray, merge_midline, rotation_matrix

from .model import FaceModel, read_face_model
from .paint import LEFT, TOP, Complexion, furrows, hair_cover, paint_eye, paint_skin, texture_grid

try:
    from . import raster
except ImportError as error:
    raise RenderingError(
        "a morphable face model is rasterised by numba, which is not installed: "
        "pip install 'fdp-micro-expression[synthesis]'."
    ) from error

# The face is framed as in the cropped package of CASME II: ears at the borders, chin near the lower one.
PIXELS_PER_UNIT = 7.0
# Height of the frame's middle above the model's origin.
CENTRE_Y = 0.7
# Identity shapes move lids and lips a little against what lies behind them: pushed back, neither pokes through.
EYEBALL_DEPTH, TEETH_DEPTH = 0.22, 0.35
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
# Vertices of each drawn part and its paint (ICT-FaceKit README, "Face Model Topology"): a tone for plain parts.
FACE_SKIN, ALL_SKIN = slice(0, 9409), slice(0, 11248)
EYEBALLS = (slice(21451, 23021), slice(23021, 24591))
TEETH = slice(17039, 21451)
INSIDE_MOUTH = slice(14062, 21451)
PLAIN_PARTS = ((slice(11248, 13294), 0.1), (slice(13294, 14062), 0.2), (slice(14062, 17039), 0.2), (TEETH, 0.45))
# The iris meshes lie behind the front of the ball, where the iris is painted instead.
HIDDEN_POLYGONS = ((22296, 23094), (23894, 24692))
# How much of an identity weight's standard deviation is used: 1 is the model's own population.
IDENTITY_SPREAD = 0.9
# At 1 the lids of some identities stay apart by a sliver.
SHUT_BLINK = 1.12
# The eye turns this far when the gaze is 1.
GAZE_DEGREES = 18.0


class MorphableFace(Face):
    """One identity of a morphable model.

    Args:
        model (`FaceModel`): the model.
        seed (`int`): chooses the identity.
        image_size_hw (`tuple` of two `int`): height and width of the images in pixels.
    """

    landmark_names = tuple(f"multi_pie_{index}" for index in range(68))

    def __init__(self, model: FaceModel, seed: int, image_size_hw: tuple[int, int]) -> None:
        super().__init__(image_size_hw)
        self.model = model
        rng = np.random.default_rng([0x1D3, seed])
        self.weights = IDENTITY_SPREAD * np.clip(rng.standard_normal(len(model.identity)), -2, 2).astype(np.float32)
        self.look = Complexion.draw(rng)
        self.units_to_pixels = PIXELS_PER_UNIT * self.pixel_scale
        shape = model.vertices + np.tensordot(self.weights, model.identity.astype(np.float32), axes=1)
        # From here on y points down, as in the image; that mirrors the mesh, so the triangles are turned round too.
        down = np.array([1, -1, 1], np.float32)
        generic = model.vertices * down
        hidden = np.zeros(len(model.triangles), bool)
        for start, stop in HIDDEN_POLYGONS:
            hidden |= (model.polygons >= start) & (model.polygons < stop)
        self.triangles = np.ascontiguousarray(model.triangles[~hidden, ::-1])
        self.rest = self._with_hair((shape * down).astype(np.float32), generic)
        for part, depth in ((EYEBALLS[0], EYEBALL_DEPTH), (EYEBALLS[1], EYEBALL_DEPTH), (TEETH, TEETH_DEPTH)):
            self.rest[part, 2] -= depth
        self.eye_centres = [_ball(self.rest[ball])[0] for ball in EYEBALLS]
        self._shapes: dict[tuple[int, str], FloatArray] = {}
        self._lid_shapes: dict[str, FloatArray] = {}
        self._paint(generic, seed)

    @property
    def identity(self) -> FloatArray:
        """Identity weights of the model, then the painted part, float32 `(num_parameters,)`."""
        return np.concatenate((self.weights, self.look.vector()))

    def render(self, state: FaceState) -> FloatArray:
        """Return the luminance of one frame, float32 `(height, width)` in [0, 1]."""
        vertices = self._posed(state)
        scale = raster.SUPERSAMPLING
        height, width = self.image_size_hw
        pixels, depth = self._project(vertices, state)
        # Sample centres: sample i of a pixel grid scaled by s lies at (i + 0.5) / s - 0.5.
        samples = (pixels + np.float32(0.5)) * np.float32(scale) - np.float32(0.5)
        nearest = raster.visible_triangles(samples, depth, self.triangles, height * scale, width * scale)
        lit, gloss = self._light(vertices, state)
        texture = self._furrowed(state)
        picture = raster.shade(nearest, samples, self.triangles, lit, gloss, self.uv, texture, scale, self._background)
        if self.look.glasses:
            picture = self._with_glasses(picture, state)
        return np.clip(picture, 0, 1)

    def landmarks(self, state: FaceState) -> FloatArray:
        """Return the 68 Multi-PIE landmarks, float32 `(68, 2)`, pixels (x, y)."""
        vertices = self._posed(state, self.model.landmarks)
        return self._project(vertices, state)[0]

    def five_points(self, state: FaceState) -> FloatArray:
        """Return the five points of the alignment contract, float32 `(5, 2)`; eyes are the middle of their corners."""
        points = self.landmarks(state)
        eyes = [(points[start] + points[start + 3]) / 2 for start in (36, 42)]
        return np.stack([*eyes, points[30], points[48], points[54]])

    def flow(self, start: FaceState, end: FaceState) -> FloatArray:
        """Return the true motion of the skin in pixels, float32 `(height, width, 2)`.

        Lids follow the gaze of both states; the eyeballs keep that of `start`, for their turn is no motion of skin.
        """
        pixels, depth = self._project(self._posed(start), start)
        nearest = raster.visible_triangles(pixels, depth, self.triangles, *self.image_size_hw)
        moved, _ = self._project(self._posed(end, gaze_xy=start.gaze_xy), end)
        return raster.displacement(nearest, pixels, moved, self.triangles)

    def _with_hair(self, shape: FloatArray, generic: FloatArray) -> FloatArray:
        """Return the mesh with the scalp pushed outwards where hair grows."""
        normals = raster.vertex_normals(shape, self.triangles)
        cover = hair_cover(self.look, generic[:, 0], generic[:, 1])
        # The back of the head hides behind the face on the front view: above the neck, all of it has hair.
        cover = np.where((generic[:, 2] < 0) & (generic[:, 1] < 2), 1, cover)
        cover[ALL_SKIN.stop :] = 0
        return (shape + self.look.hair_volume * cover[:, None] * normals).astype(np.float32)

    def _paint(self, generic: FloatArray, seed: int) -> None:
        """Make the texture atlas: skin above, below it one eye and a patch of each plain tone."""
        texels_per_unit = self.units_to_pixels
        x, y = texture_grid(texels_per_unit)
        places = generic[self.model.landmarks, :2]
        skin = paint_skin(self.look, places, x, y, seed)
        self.furrows = furrows(places, x, y)
        eye_size = max(16, round(4 * texels_per_unit))
        below = np.zeros((eye_size + 4, skin.shape[1]), np.float32)
        _, radius = _ball(generic[EYEBALLS[0]])
        below[2 : 2 + eye_size, 2 : 2 + eye_size] = paint_eye(self.look, radius, eye_size)
        self.texture = np.concatenate((skin, below))
        self.skin_rows = skin.shape[0]
        uv = np.stack(((generic[:, 0] - LEFT), (generic[:, 1] - TOP)), axis=1) * texels_per_unit
        for ball in EYEBALLS:
            centre, _ = _ball(generic[ball])
            inside = (generic[ball, :2] - centre[:2]) / radius * 0.5 + 0.5
            uv[ball] = inside * (eye_size - 1) + (2, self.skin_rows + 2)
        for index, (part, tone) in enumerate(PLAIN_PARTS):
            column = eye_size + 6 + 4 * index
            self.texture[self.skin_rows + 1 : self.skin_rows + 4, column - 1 : column + 2] = tone
            uv[part] = (column, self.skin_rows + 2)
        self.uv = uv.astype(np.float32)
        height, width = self.image_size_hw
        slope = np.linspace(-0.5, 0.5, width, dtype=np.float32) * self.look.background_slope
        self._background = np.tile(self.look.background + slope, (height, 1)).astype(np.float32)

    def _furrowed(self, state: FaceState) -> FloatArray:
        """Return the atlas with the lines that the action units draw."""
        active = [(key, pixels) for key, pixels in state.action_units.items() if key in self.furrows and pixels > 0.05]
        if not active:
            return self.texture
        lines = np.sum([np.float32(pixels) * self.furrows[key] for key, pixels in active], axis=0)
        texture = self.texture.copy()
        texture[: self.skin_rows] *= 1 - np.minimum(lines, np.float32(0.6))
        return texture

    def _shape(self, code: int, side: str) -> FloatArray:
        """Return vertex offsets (y down) of one action unit whose largest skin motion is one reference pixel."""
        if (code, side) not in self._shapes:
            parts = [
                np.float32(share) * self.model.expressions[name.format(side=side)]
                for name, share in ACTION_UNIT_SHAPES[code].items()
            ]
            offsets = np.sum(parts, axis=0) * np.array([1, -1, 1], np.float32)
            largest = np.sqrt((offsets[FACE_SKIN, :2] ** 2).sum(axis=1)).max()
            self._shapes[code, side] = (offsets / (largest * PIXELS_PER_UNIT)).astype(np.float32)
        return self._shapes[code, side]

    def _lid_shape(self, name: str) -> FloatArray:
        """Return vertex offsets (y down) of a full shape of the model."""
        if name not in self._lid_shapes:
            self._lid_shapes[name] = self.model.expressions[name] * np.array([1, -1, 1], np.float32)
        return self._lid_shapes[name]

    def _posed(
        self,
        state: FaceState,
        chosen: NDArray[np.int32] | slice = slice(None),
        gaze_xy: tuple[float, float] | None = None,
    ) -> FloatArray:
        """Return vertices in head coordinates (y down) with all but the head's own motion.

        `gaze_xy` turns the eyeballs, and nothing else, otherwise than the state does.
        """
        vertices = self.rest[chosen].copy()
        for (code, side), pixels in merge_midline(state.action_units).items():
            if pixels != 0:
                raster.add_offsets(vertices, np.float32(pixels), self._shape(code, side)[chosen])
        for name, weight in self._lids(state).items():
            if weight > 0:
                raster.add_offsets(vertices, np.float32(weight), self._lid_shape(name)[chosen])
        if isinstance(chosen, slice):
            right, down = state.gaze_xy if gaze_xy is None else gaze_xy
            turn = rotation_matrix(GAZE_DEGREES * right, GAZE_DEGREES * down, 0.0)
            for ball, centre in zip(EYEBALLS, self.eye_centres, strict=True):
                vertices[ball] = (vertices[ball] - centre) @ turn.T + centre
        return vertices

    @staticmethod
    def _lids(state: FaceState) -> dict[str, float]:
        """Return the lid shapes that blink and gaze ask for."""
        right, down = state.gaze_xy
        weights = {}
        # The subject's left eye looks out when it looks to the image's right.
        for side, outwards in (("L", right), ("R", -right)):
            weights[f"eyeBlink_{side}"] = SHUT_BLINK * state.blink
            weights[f"eyeLookOut_{side}"] = 0.6 * max(outwards, 0) * (1 - state.blink)
            weights[f"eyeLookIn_{side}"] = 0.6 * max(-outwards, 0) * (1 - state.blink)
            weights[f"eyeLookDown_{side}"] = 0.6 * max(down, 0) * (1 - state.blink)
            weights[f"eyeLookUp_{side}"] = 0.6 * max(-down, 0) * (1 - state.blink)
        return weights

    def _project(self, vertices: FloatArray, state: FaceState) -> tuple[FloatArray, FloatArray]:
        """Return pixels (x right, y down) and depth towards the camera, float32."""
        height, width = self.image_size_hw
        rotation = rotation_matrix(state.yaw, state.pitch, state.roll)
        middle = np.array([0, -CENTRE_Y, 0], np.float32)
        turned = (vertices - middle) @ rotation.T
        shift = np.array(state.shift_xy, np.float32) * np.float32(self.pixel_scale)
        centre = np.array([(width - 1) / 2, (height - 1) / 2], np.float32) + shift
        pixels = turned[:, :2] * np.float32(self.units_to_pixels * state.scale) + centre
        return pixels.astype(np.float32), np.ascontiguousarray(turned[:, 2], np.float32)

    def _light(self, vertices: FloatArray, state: FaceState) -> tuple[FloatArray, FloatArray]:
        """Return light on the paint and on top of it at every vertex, float32 `(num_vertices,)`."""
        normals = raster.vertex_normals(vertices, self.triangles)
        rotation = rotation_matrix(state.yaw, state.pitch, state.roll)
        light = np.asarray(state.light.direction, np.float32)
        # Light and camera stand still while the head turns: bring them into the head's coordinates.
        light = rotation.T @ (light / np.linalg.norm(light))
        view = rotation.T @ np.array([0, 0, 1], np.float32)
        half = (light + view) / np.linalg.norm(light + view)
        diffuse = np.maximum(normals @ light, 0)
        # Light from everywhere reaches hollows less; slopes away from the camera stand in for that.
        ambient = state.light.ambient * (0.7 + 0.3 * (normals @ view))
        lit = ambient + state.light.key * diffuse
        gloss = self.look.oiliness * state.light.key * np.maximum(normals @ half, 0) ** 24
        # The lips shade what is behind them, the more the less they part.
        units = merge_midline(state.action_units)
        # Where both sides of the upper lip rise, the left one counts.
        upper = units.get((10, "L")) or units.get((10, "R"), 0.0)
        parted = units.get((25, "L"), 0.0) + units.get((26, "L"), 0.0) + 0.5 * upper
        lit[INSIDE_MOUTH] *= np.float32(np.clip(0.15 + 0.2 * parted, 0.15, 0.8))
        gloss[INSIDE_MOUTH] = 0
        gloss[EYEBALLS[0].start :] = 0.9 * state.light.key * np.maximum(normals[EYEBALLS[0].start :] @ half, 0) ** 300
        return lit.astype(np.float32), gloss.astype(np.float32)

    def _with_glasses(self, picture: FloatArray, state: FaceState) -> FloatArray:
        """Draw rims that are fixed to the skull, on a plane before the eyes."""
        points = self.rest[self.model.landmarks[36:48]]
        right_eye, left_eye = points[:6].mean(axis=0), points[6:].mean(axis=0)
        front = float(points[:, 2].max()) + 1.2
        corners = np.array([[0, 0, front], [1, 0, front], [0, 1, front]], np.float32)
        origin, along_x, along_y = self._project(corners, state)[0]
        inverse = np.linalg.inv(np.stack((along_x - origin, along_y - origin), axis=1))
        height, width = self.image_size_hw
        columns, rows = np.meshgrid(np.arange(width) - origin[0], np.arange(height) - origin[1])
        x, y = inverse[0, 0] * columns + inverse[0, 1] * rows, inverse[1, 0] * columns + inverse[1, 1] * rows
        cover = np.zeros_like(x)
        for eye in (right_eye, left_eye):
            ring = (np.abs((x - eye[0]) / 2.5) ** 3 + np.abs((y - eye[1] - 0.2) / 1.8) ** 3) ** (1 / 3)
            cover = np.maximum(cover, np.exp(-(((ring - 1) / 0.07) ** 2)))
        between = (x > right_eye[0] + 2.4) & (x < left_eye[0] - 2.4)
        cover = np.maximum(cover, between * np.exp(-(((y - right_eye[1] + 0.2) / 0.15) ** 2)))
        return (picture * (1 - 0.9 * cover) + 0.05 * 0.9 * cover).astype(np.float32)


def _ball(vertices: FloatArray) -> tuple[FloatArray, float]:
    """Return centre and radius of an eyeball from its vertices; the front bulges, so width and height decide."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    radius = float((high[0] - low[0]) / 2)
    centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2] + radius], np.float32)
    return centre, radius


@lru_cache(maxsize=1)
def _load(folder: Path) -> FaceModel:
    # Every subject of a corpus uses the same model; reading it takes seconds.
    return read_face_model(folder)


class MorphableFaces(FaceFamily):
    """The faces of one morphable model.

    Args:
        folder (`Path`): where the model lies; see `face_model.read_face_model`.

    Raises:
        FaceModelNotFoundError: it does not lie there.
    """

    name = "morphable"

    def __init__(self, folder: Path) -> None:
        self.model = _load(folder)

    def face(self, seed: int, image_size_hw: tuple[int, int]) -> MorphableFace:
        """Return the identity that belongs to `seed`, framed in images of the given size."""
        return MorphableFace(self.model, seed, image_size_hw)
