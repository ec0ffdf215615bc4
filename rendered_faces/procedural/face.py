"""The built-in face: a shaded relief with painted skin, whose action units bend the relief.

A face is a set of maps over its own flat coordinates (x to the image's right, y down, 1 = half the width of the face):
depth, albedo, and for each action unit a displacement (x, y, depth). A frame is rendered by inverse mapping: for every
pixel a few fixed-point steps find the point of the face there, at which the shaded map is sampled. The same maps give
landmarks and the true flow by forward mapping. Lips and lids part along slits with exact inverses. All of it is our
choice, without photographs, scans or trained models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from rendered_faces.faces import Face, FaceFamily, FaceState, FloatArray, inverse_2x2, rotation_matrix
from rendered_faces.variations import BUILT_IN_YAW, NONE, Variations

from .anatomy import PIXELS_PER_UNIT, Anatomy
from .paint import SlitPainter, paint_skin, relief
from .units import NOWHERE, DisplacementMaps, SlitOpening, Window

# Extent of the maps, in face units: head, ears and collar. Outside, the border is repeated: wall, and clothes below.
MAP_X = 1.32
MAP_TOP, MAP_BOTTOM = -1.62, 1.7
# Positions as `sample_at` takes them: face units times the scale, less the start for y.
GRID_SCALE = 1 / MAP_X, 2 / (MAP_BOTTOM - MAP_TOP)
GRID_TOP = MAP_TOP * GRID_SCALE[1] + 1
# The more the steep sides of the nose are tilted, the less a step gains. Measured on twelve faces of 128 pixels, as
# the share of the head's pixels that stay off by more than 0.1: with six steps none up to a lean of 0.15 (tangent of
# the angle to the camera, 8 degrees of yaw) and 0.5 % at 0.2, but 8.5 % at 0.3 (15 degrees of yaw and 8 of pitch);
# with the steps of `fixed_point_steps` 0.6 % at 0.28, 0.9 % at 0.3, 1.9 % at 0.35, about the largest there is. Half of
# the last ones do not converge, because the nose hides them.
FEWEST_STEPS, STEEP_LEAN, STEPS_PER_LEAN = 6, 0.2, 120
# The first steps sample the maps at the nearest texel, in a fifth of the time.
ROUGH_STEPS = 3


@dataclass(frozen=True)
class MapGrid:
    """Flat coordinates of the maps' texels.

    Args:
        texels_per_unit (`float`): resolution of the maps.
    """

    texels_per_unit: float

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the maps in texels."""
        height = round((MAP_BOTTOM - MAP_TOP) * self.texels_per_unit) + 1
        return height, round(2 * MAP_X * self.texels_per_unit) + 1

    def coordinates(self) -> tuple[FloatArray, FloatArray]:
        """Return x and y of every texel, two float32 arrays of shape `(height, width)`."""
        height, width = self.size_hw
        x, y = np.meshgrid(np.linspace(-MAP_X, MAP_X, width), np.linspace(MAP_TOP, MAP_BOTTOM, height))
        return x.astype(np.float32), y.astype(np.float32)


def sample_maps(maps: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sample maps at points, bilinearly; the border is repeated outside.

    Args:
        maps (`torch.Tensor` of shape `(num_maps, map_height, map_width)`): maps to sample.
        x (`torch.Tensor` of shape `(height, width)`): positions, in face units to the image's right.
        y (`torch.Tensor` of shape `(height, width)`): positions, in face units down.

    Returns:
        `torch.Tensor` of shape `(num_maps, height, width)`.
    """
    return sample_at(maps, torch.stack((x / MAP_X, (y - MAP_TOP) * (2 / (MAP_BOTTOM - MAP_TOP)) - 1)))


def sample_at(maps: torch.Tensor, grid: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Sample maps as [`sample_maps`] does.

    Args:
        maps (`torch.Tensor` of shape `(num_maps, map_height, map_width)`): maps to sample.
        grid (`torch.Tensor` of shape `(2, height, width)`): positions: -1 to 1 over the maps, x before y. Two
            planes, because differences of planes take a tenth of the time of differences of pairs.
        mode (`str`, *optional*, defaults to `"bilinear"`): or `"nearest"`.

    Returns:
        `torch.Tensor` of shape `(num_maps, height, width)`.
    """
    where = grid.permute(1, 2, 0)[None]
    return F.grid_sample(maps[None], where, mode=mode, padding_mode="border", align_corners=True)[0]


def points_of(grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the x and y in face units, each `(height, width)`, of positions as `sample_at` takes them."""
    return grid[0] * MAP_X, (grid[1] + 1) * ((MAP_BOTTOM - MAP_TOP) / 2) + MAP_TOP


def fixed_point_steps(lean: float) -> int:
    """Return the number of fixed-point steps for a head with this lean."""
    # The number grows by one at a time, so that frames of a turning head do not jump.
    return FEWEST_STEPS + math.ceil(max(lean - STEEP_LEAN, 0) * STEPS_PER_LEAN)


def slopes(surface: FloatArray, texels_per_unit: float) -> FloatArray:
    """Return what `np.gradient` does, in half the time: slopes down and to the right, float32 `(2, height, width)`."""
    gradient = np.empty((2, *surface.shape), np.float32)
    down, right = gradient
    np.subtract(surface[2:], surface[:-2], out=down[1:-1])
    np.subtract(surface[:, 2:], surface[:, :-2], out=right[:, 1:-1])
    # At the border the neighbour is one texel away and not two.
    down[0], down[-1] = 2 * (surface[1] - surface[0]), 2 * (surface[-1] - surface[-2])
    right[:, 0], right[:, -1] = 2 * (surface[:, 1] - surface[:, 0]), 2 * (surface[:, -1] - surface[:, -2])
    gradient /= 2 / texels_per_unit
    return gradient


class ProceduralFace(Face):
    """One built-in identity; it renders one frame at a time, so that threads need one each.

    Args:
        seed (`int`): chooses the identity.
        image_size_hw (`tuple` of two `int`): height and width of the images in pixels.
        variations (`Variations`, *optional*): those of the face are redrawn; none by default.
    """

    def __init__(self, seed: int, image_size_hw: tuple[int, int], variations: Variations = NONE) -> None:
        super().__init__(image_size_hw)
        self.anatomy = Anatomy.draw(seed).varied(variations, seed)
        self.units_to_pixels = PIXELS_PER_UNIT * self.pixel_scale
        # 1.25 texels a pixel keep the lids sharp and the maps small.
        self.grid = MapGrid(1.25 * self.units_to_pixels)
        self.x, self.y = self.grid.coordinates()
        self.depth = relief(self.anatomy, self.x, self.y)
        self.skin = paint_skin(self.anatomy, self.x, self.y, seed)
        self.displacements = DisplacementMaps(self.anatomy, self.x, self.y, pixels_per_unit=PIXELS_PER_UNIT)
        self._depth_tensor = torch.from_numpy(self.depth)
        map_height, map_width = self.grid.size_hw
        self._texels_xy = ((map_width - 1) / (2 * MAP_X), (map_height - 1) / (MAP_BOTTOM - MAP_TOP))
        height, width = image_size_hw
        self._columns, self._rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        self._from_middle = (self._columns - middle_x) / self.pixel_scale, (self._rows - middle_y) / self.pixel_scale
        # The wall behind the head is a little brighter on one side.
        slope = (self._columns / (width - 1) - 0.5) * self.anatomy.background_slope
        self._wall = np.tile(self.anatomy.background + slope, (height, 1))
        self._slope = slopes(self.depth, self.grid.texels_per_unit)
        self._normal = self._normals(self._slope, self.skin.head)
        self._oil = (self.anatomy.oiliness * self.skin.head).astype(np.float32)
        self._slits = SlitPainter(self.anatomy, self.skin.albedo, self._oil, self.x, self.y)
        # Overwritten by every frame, so that less memory passes through the caches.
        self._lit = np.stack((self.skin.albedo, self.skin.alpha))
        self._gloss = self._oil.copy()
        self._normal_now, self._lifted = self._normal.copy(), NOWHERE
        self._plane = np.empty((2, height, width), np.float32)
        self._offset = np.empty((2, *self.depth.shape), np.float32)
        self._lights = np.empty((2, self.depth.size), np.float32)
        names, points = self.anatomy.landmarks()
        self.landmark_names = names
        self._landmark_points = points

    @property
    def identity(self) -> FloatArray:
        """The anatomy as numbers, float32 `(num_parameters,)`."""
        return self.anatomy.vector()

    @property
    def wall(self) -> FloatArray:
        """The luminance behind the head where no scene is given, float32 `(height, width)`."""
        return self._wall

    def render(self, state: FaceState, backdrop: FloatArray | None = None) -> FloatArray:
        """Return the luminance of one frame, float32 `(height, width)` in [0, 1]; see `Face.render`."""
        displacement, window = self.displacements.total(state.action_units)
        grid, rigid_grid = self._pixel_to_face(state, displacement, window)
        # Texels in view: the frame shows a part of the map's height, and interpolation needs one more row.
        last = self.grid.size_hw[0] - 1
        grid_y = grid[1].numpy()
        top, bottom = ((float(limit) + 1) / 2 * last for limit in (grid_y.min(), grid_y.max()))
        rows = slice(min(max(int(top) - 1, 0), last), min(max(int(bottom) + 2, 0), last) + 1)
        albedo, gloss = self._lit[0], self._gloss
        albedo[rows], gloss[rows] = self.skin.albedo[rows], self._oil[rows]
        opening = SlitOpening.of(self.anatomy, state)
        self._slits.paint(opening, displacement, albedo, gloss)
        self._shade(albedo[rows], gloss[rows], displacement[2], window, rows, state)
        luminance, alpha = sample_at(torch.from_numpy(self._lit), grid)
        if state.light.shadow:
            luminance *= torch.from_numpy(state.light.share(*self._from_middle))
        behind = torch.from_numpy(self._wall if backdrop is None else backdrop)
        frame = torch.lerp(behind, luminance, alpha)
        if self.skin.occluder is not None:
            cover, tone = sample_at(torch.from_numpy(self.skin.occluder), rigid_grid)
            frame = torch.lerp(frame, tone, cover)
        return frame.clamp_(0, 1).numpy()

    def landmarks(self, state: FaceState) -> FloatArray:
        """Return the landmarks named in `landmark_names`, float32 `(num_landmarks, 2)`, pixels (x, y)."""
        x, y = self._landmark_points.T
        return self._project_points(x, SlitOpening.of(self.anatomy, state).forward(x, y), state)

    def five_points(self, state: FaceState) -> FloatArray:
        """Return the five points of the alignment contract, float32 `(5, 2)`, pixels (x, y)."""
        x, y = self.anatomy.five_points().T
        return self._project_points(x, y, state)

    def flow(self, start: FaceState, end: FaceState) -> FloatArray:
        """Return the true skin motion from `start` to `end`, float32 `(height, width, 2)` in pixels."""
        grid, _ = self._pixel_to_face(start, *self.displacements.total(start.action_units))
        x, y = points_of(grid)
        opened = SlitOpening.of(self.anatomy, start)
        # Inverse mapping in two steps: pixel -> point of the bent skin -> point of the skin with lips and lids shut.
        shut_x, shut_y = x.numpy(), opened.inverse(x.numpy(), y.numpy())
        end_x, end_y = self._project(shut_x, SlitOpening.of(self.anatomy, end).forward(shut_x, shut_y), end)
        start_x, start_y = self._project(shut_x, opened.forward(shut_x, shut_y), start)
        flow = np.stack((end_x - start_x, end_y - start_y), axis=-1)
        alpha = sample_maps(torch.from_numpy(self.skin.alpha)[None], x, y)[0].numpy()
        return np.where(alpha[..., None] > 0.5, flow, 0).astype(np.float32)

    def _camera(self, state: FaceState) -> tuple[FloatArray, tuple[float, float]]:
        """Return the map from head to pixels (2 x 3) and the pixel of the head's centre."""
        rotation = rotation_matrix(state.yaw, state.pitch, state.roll)
        height, width = self.image_size_hw
        centre_x = (width - 1) / 2 + state.shift_xy[0] * self.pixel_scale
        centre_y = (height - 1) / 2 + state.shift_xy[1] * self.pixel_scale
        return rotation[:2] * (self.units_to_pixels * state.scale), (centre_x, centre_y)

    def _pixel_to_face(
        self, state: FaceState, displacement: FloatArray, window: Window
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the face point before displacement and the rigid one at each pixel, in coordinates of `sample_at`."""
        matrix, (centre_x, centre_y) = self._camera(state)
        inverse = inverse_2x2(matrix[:, :2].tolist())
        depth_x, depth_y = matrix[:, 2].tolist()
        lean = [of_x * depth_x + of_y * depth_y for of_x, of_y in inverse]
        # At a point p: p + displacement(p) + lean * depth(p) = plane; in the coordinates of `sample_at`.
        for part, (of_x, of_y), unit, start in zip(self._plane, inverse, GRID_SCALE, (0.0, GRID_TOP), strict=True):
            origin = -(of_x * unit) * centre_x - of_y * unit * centre_y - start
            np.add(self._columns * (of_x * unit), self._rows * (of_y * unit) + origin, out=part)
        scale = np.array(GRID_SCALE, np.float32)[:, None, None]
        tilt = np.multiply(lean, GRID_SCALE).astype(np.float32)[:, None, None]
        offset = np.multiply(tilt, self.depth, out=self._offset)
        # The rigid one is needed where something is fixed to the skull.
        rigid_offset = offset if self.skin.occluder is None else offset.copy()
        if window[0].stop:
            moved = displacement[:, *window]
            offset[:, *window] += moved[:2] * scale + tilt * moved[2]
        maps, plane = torch.from_numpy(offset), torch.from_numpy(self._plane)
        place = plane
        for step in range(fixed_point_steps(math.hypot(*lean))):
            sampled = sample_at(maps, place, "nearest" if step < ROUGH_STEPS else "bilinear")
            place = torch.sub(plane, sampled, out=sampled)
        if self.skin.occluder is None:
            return place, place
        maps, rigid = torch.from_numpy(rigid_offset), place
        for _ in range(2):
            sampled = sample_at(maps, rigid)
            rigid = torch.sub(plane, sampled, out=sampled)
        return place, rigid

    def _project(self, x: FloatArray, y: FloatArray, state: FaceState) -> tuple[FloatArray, FloatArray]:
        """Return the pixels (x, y) of points of the face with parted lids and lips, one per pixel of an image."""
        displacement = torch.from_numpy(self.displacements.total(state.action_units)[0])
        maps = torch.cat((displacement, self._depth_tensor[None]))
        moved_x, moved_y, moved_z, depth = sample_maps(maps, torch.from_numpy(x), torch.from_numpy(y)).numpy()
        return self._to_pixels(x + moved_x, y + moved_y, depth + moved_z, state)

    def _project_points(self, x: FloatArray, y: FloatArray, state: FaceState) -> FloatArray:
        """Return the pixels of a few points, float32 `(num_points, 2)`; maps are read only where the points are."""
        (depth,) = self._read(self.depth[None], x, y)
        moved = np.zeros((3, len(x)))
        for pixels, unit in self.displacements.parts(state.action_units):
            moved += pixels * self._read(unit, x, y)
        projected = self._to_pixels(x + moved[0], y + moved[1], depth + moved[2], state)
        return np.stack(projected, axis=1).astype(np.float32)

    def _read(self, maps: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return what `sample_maps` does, for a few points inside the maps: shape `(num_maps, num_points)`."""
        column, row = (x + MAP_X) * self._texels_xy[0], (y - MAP_TOP) * self._texels_xy[1]
        left, top = column.astype(np.int64), row.astype(np.int64)
        across, down = column - left, row - top
        upper = maps[:, top, left] * (1 - across) + maps[:, top, left + 1] * across
        lower = maps[:, top + 1, left] * (1 - across) + maps[:, top + 1, left + 1] * across
        return upper * (1 - down) + lower * down

    def _to_pixels(
        self, x: FloatArray, y: FloatArray, depth: FloatArray, state: FaceState
    ) -> tuple[FloatArray, FloatArray]:
        matrix, (centre_x, centre_y) = self._camera(state)
        pixel_x, pixel_y = np.tensordot(matrix, np.stack((x, y, depth)), axes=1)
        return pixel_x + centre_x, pixel_y + centre_y

    @staticmethod
    def _normals(slope: FloatArray, head: FloatArray) -> FloatArray:
        """Return unit normals (3, ...) of a relief with the slopes down and to the right (2, ...), float32."""
        normal = np.empty((3, *head.shape), np.float32)
        # The slope at the outline is limited, because hair and skin are soft.
        slope_y, slope_x = np.clip(slope, -2.5, 2.5) * head
        normal[2] = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
        np.multiply(slope_x, -normal[2], out=normal[0])
        np.multiply(slope_y, -normal[2], out=normal[1])
        return normal

    def _shade(
        self,
        albedo: FloatArray,
        gloss: FloatArray,
        lift: FloatArray,
        window: Window,
        rows: slice,
        state: FaceState,
    ) -> None:
        """Light the albedo of some rows, in place: Lambert, an ambient floor and a Blinn-Phong highlight.

        The relief is lifted by `lift`, which is 0 outside `window`; `gloss` is the highlight's strength and is
        overwritten.
        """
        # The light is fixed while the head turns, so it is rotated into the head's coordinates.
        rotation = rotation_matrix(state.yaw, state.pitch, state.roll)
        light = np.asarray(state.light.direction, np.float32)
        light = rotation.T @ (light / np.linalg.norm(light))
        half = light + rotation[2]
        half /= np.linalg.norm(half)
        normal = self._moved_normals(lift, window, rows)[:, rows]
        lights = self._lights[:, : normal[0].size]
        np.matmul(np.stack((light, half)), normal.reshape(3, -1), out=lights)
        # Torch does this in a seventh of NumPy's time.
        torch.from_numpy(lights).clamp_(min=0)
        lit, mirror = lights.reshape(2, *normal.shape[1:])
        lit *= np.float32(state.light.key)
        # Hollows get less ambient light than bumps, which is approximated by the slope to the camera.
        lit += np.float32(0.3 * state.light.ambient) * normal[2]
        lit += np.float32(0.7 * state.light.ambient)
        albedo *= lit
        if state.light.warmth:
            albedo *= 1 + np.float32(state.light.warmth) * self.skin.redness[rows]
        # The highlight's power is 24.
        mirror *= mirror
        mirror *= mirror
        mirror *= mirror
        gloss *= mirror
        mirror *= mirror
        gloss *= mirror
        gloss *= np.float32(state.light.key)
        albedo += gloss

    def _moved_normals(self, lift: FloatArray, window: Window, rows: slice) -> FloatArray:
        """Return the unit normals of the lifted relief, float32 `(3, map_height, map_width)`, valid within `rows`."""
        normal = self._normal_now
        normal[:, *self._lifted] = self._normal[:, *self._lifted]
        self._lifted = NOWHERE
        if window[0].stop:
            # The slope depends on one more texel at each side.
            (top, bottom), (left, right) = ((max(part.start - 1, 0), part.stop + 1) for part in window)
            top, bottom = max(top, rows.start), min(bottom, rows.stop)
            if bottom - top > 1:
                self._lifted = place = slice(top, bottom), slice(left, right)
                slope = self._slope[:, *place] + slopes(lift[place], self.grid.texels_per_unit)
                normal[:, *place] = self._normals(slope, self.skin.head[place])
        return normal


class ProceduralFaces(FaceFamily):
    """The built-in family, without a download."""

    name = "procedural"
    largest_yaw = BUILT_IN_YAW

    def face(self, seed: int, image_size_hw: tuple[int, int], variations: Variations = NONE) -> ProceduralFace:
        """Return the identity of `seed`, framed in images of the given size."""
        return ProceduralFace(seed, image_size_hw, variations)
