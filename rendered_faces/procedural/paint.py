"""Relief and paint of the built-in face: depth, skin, brows, lips, hair, eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rendered_faces.faces import FloatArray
from rendered_faces.painting import bump, smooth_noise, step_at

from .anatomy import Anatomy, Slit
from .units import SlitOpening, nasolabial

# Reach of the lashes from the rim of the upper lid, in face units: beyond, they darken by less than float32 can tell.
# It is more than the half texel by which the gap is blurred.
RIM_REACH = 0.07


@dataclass(frozen=True)
class Skin:
    """The maps that do not change within a clip, all float32 of shape `(map_height, map_width)`.

    Args:
        albedo (`np.ndarray`): share of reflected light, in [0, 1]; lids and lips shut.
        alpha (`np.ndarray`): 1 on head, hair and clothes, 0 on the background.
        head (`np.ndarray`): 1 on the head, whose relief is lit; neck and clothes lie behind it in flat light.
        redness (`np.ndarray`): how much redder than gray the surface is: skin 1, lips 2, hair and clothes hardly.
        occluder (`np.ndarray` of shape `(2, map_height, map_width)` or `None`): cover and tone of glasses or a strand
            of hair, fixed to the skull and not to the skin.
    """

    albedo: FloatArray
    alpha: FloatArray
    head: FloatArray
    redness: FloatArray
    occluder: FloatArray | None


def relief(anatomy: Anatomy, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the depth of the resting face towards the camera, float32, face units."""
    a = anatomy
    u = np.abs(x)
    # Constant outside, because fixed-point steps do not converge at a cliff.
    bowl = np.clip(1.06 - a.outline(x, y) ** 2.2, 0.06, None)
    depth = 0.85 * bowl**0.55
    ridge_y = np.clip((y - a.eye_y + 0.06) / (a.nose_y - a.eye_y), 0, 1)
    ridge = 0.8 * ridge_y**1.3 * (1 - step_at(y - a.nose_y - 0.01, 0.1))
    depth += a.nose_height * ridge * np.exp(-((u / (a.nose_ridge + 0.05 * ridge_y)) ** 2))
    depth += 0.3 * a.nose_height * bump(x, y, 0, a.nose_y - 0.04, 0.11, 0.09)
    depth += 0.08 * bump(u, y, 0.8 * a.nose_width, a.nose_y - 0.01, 0.06, 0.06)
    depth += 0.04 * bump(x, y, 0, a.nose_y - 0.02, 0.08, 0.07)
    depth -= 0.13 * bump(u, y, 0.9 * a.eye_x, a.eye_y - 0.02, 0.19, 0.11)
    depth += 0.07 * bump(u, y, a.eye_x, a.eye_y, 0.13, 0.09)
    depth += a.brow_ridge * bump(u, y, 0.9 * a.eye_x, a.brow_y + 0.02, 0.3, 0.09)
    depth += a.cheek_bulge * bump(u, y, 1.2 * a.eye_x, a.nose_y - 0.1, 0.24, 0.22)
    depth -= 0.01 * nasolabial(a, u, y)
    upper = bump(u, y, 0.12, a.mouth_y - 0.5 * a.upper_lip, 0.2, 0.8 * a.upper_lip + 0.01)
    lower = bump(x, y, 0, a.mouth_y + 0.55 * a.lower_lip, 0.22, 0.8 * a.lower_lip + 0.01)
    depth += 0.05 * bump(x, y, 0, a.mouth_y, 0.4, 0.26) + 0.04 * upper + 0.055 * lower
    depth -= 0.04 * bump(x, y, 0, a.mouth_y, 0.62 * a.mouth_width, 0.016)
    depth -= 0.02 * bump(x, y, 0, a.mouth_y - 0.15, 0.028, 0.07)
    depth -= 0.05 * bump(x, y, 0, a.mouth_y + 0.21, 0.2, 0.05)
    depth += a.chin_bulge * bump(x, y, 0, a.chin_y - 0.14, 0.2, 0.13)
    return depth.astype(np.float32)


def paint_skin(anatomy: Anatomy, x: FloatArray, y: FloatArray, seed: int) -> Skin:
    """Return the resting maps of one identity, lids and lips shut."""
    a = anatomy
    rng = np.random.default_rng([0x5C1, seed])
    u = np.abs(x)
    size = (x.shape[0], x.shape[1])
    tone = np.full_like(x, a.skin_tone)
    mottle = smooth_noise(rng, size, (24, 20)) + 0.7 * smooth_noise(rng, size, (70, 66))
    tone *= 1 + a.skin_mottle * mottle + 0.5 * a.skin_mottle * smooth_noise(rng, size, (150, 140))
    tone *= 1 - a.freckles * np.clip(smooth_noise(rng, size, (150, 142)) - 1.2, 0, 1)
    for _ in range(rng.integers(0, 5)):
        mole_x, mole_y = rng.uniform(-0.7, 0.7), rng.uniform(-0.6, 0.9)
        tone *= 1 - 0.6 * bump(x, y, mole_x, mole_y, 0.018, 0.018)
    tone *= 1 - 0.12 * bump(u, y, a.eye_x, a.eye_y, 0.26, 0.17)
    tone *= 1 - a.folds * (nasolabial(a, u, y) + bump(u, y, 0.9 * a.eye_x, a.eye_y + 0.13, 0.14, 0.018))
    tone *= 1 - 0.8 * a.folds * (0.5 + 0.5 * np.cos((y - a.brow_y) * 42)) * bump(x, y, 0, a.brow_y - 0.27, 0.45, 0.14)
    beard_y = step_at(y - a.mouth_y + 0.15 + 0.3 * np.maximum(u - 0.45, 0), 0.12)
    grain = 1 + 0.3 * smooth_noise(rng, size, (190, 170))
    tone *= 1 - a.stubble * beard_y * grain * (1 - bump(x, y, 0, a.mouth_y, 0.36, 0.12))
    more = np.random.default_rng([0x5C2, seed])
    if a.pores:
        tone *= 1 + a.pores * smooth_noise(more, size, (300, 260))
    tone *= 1 - a.blush * bump(u, y, 1.25 * a.eye_x, a.nose_y - 0.02, 0.2, 0.15)
    tone = _paint_lips(a, x, y, tone, smooth_noise(rng, size, (30, 90)))
    tone = _paint_beard(a, x, y, tone, beard_y, more)
    tone *= 1 - 0.7 * bump(u, y, 0.45 * a.nose_width, a.nose_y + 0.03, 0.045, 0.022)
    # The crease of the upper lid, and the lashes of the shut line.
    for sign in (-1.0, 1.0):
        slit = a.eye_slit(sign, 0.0, 0.0)
        line, _, _ = slit.columns(x)
        inside = np.clip(1 - ((x - slit.centre_x) / (slit.half_width * 1.1)) ** 2, 0, 1) ** 0.5
        tone *= 1 - 0.28 * inside * np.exp(-(((y - line + 0.62 * slit.reach_up) / 0.022) ** 2))
        tone *= 1 - 0.55 * inside * np.exp(-(((y - line) / 0.014) ** 2))
        tone *= 1 - a.liner * inside * np.exp(-(((y - line + 0.03) / 0.04) ** 2))
    tone = _paint_brows(a, x, y, tone, smooth_noise(rng, size, (120, 150)))
    tone, alpha, head = _paint_hair(a, x, y, tone, rng)
    occluder = _paint_occluder(a, x, y)
    tone = np.clip(tone, 0.01, 0.98)
    lips = bump(x, y, 0, a.mouth_y, a.mouth_width, 1.5 * (a.upper_lip + a.lower_lip))
    hair = step_at(a.hairline_y + 0.35 * x**2 - y, 0.04)
    red = (1 + lips) * (1 - 0.8 * hair) * np.where(y > 1.3, 0.3, 1.0)
    tone, alpha, head, red = (part.astype(np.float32) for part in (tone, alpha, head, red))
    return Skin(tone, alpha, head, red, occluder)


def _paint_lips(a: Anatomy, x: FloatArray, y: FloatArray, tone: FloatArray, creases: FloatArray) -> FloatArray:
    line, _, _ = a.mouth_slit(0.0, 0.0).columns(x)
    along = np.clip(1 - (x / (a.mouth_width * 0.98)) ** 2, 0, 1)
    top, bottom = a.lip_edges(x)
    lip = step_at(y - top, 0.014) * step_at(bottom - y, 0.02) * (along > 0)
    lip = lip * (1 - 0.25 * (y > line))
    tone = tone * (1 - a.lip_contrast * lip * (1 + 0.12 * creases))
    shut = np.exp(-(((y - line) / 0.013) ** 2)) * np.clip(along * 3, 0, 1) ** 0.5
    return tone * (1 - 0.6 * shut) * (1 - 0.3 * bump(np.abs(x), y, a.mouth_width, a.mouth_y, 0.03, 0.025))


def _paint_beard(
    a: Anatomy, x: FloatArray, y: FloatArray, tone: FloatArray, lower_face: FloatArray, rng: np.random.Generator
) -> FloatArray:
    if not a.beard and not a.moustache:
        return tone
    size = (x.shape[0], x.shape[1])
    hairs = 0.8 + 0.3 * smooth_noise(rng, size, (110, 150)) + 0.2 * smooth_noise(rng, size, (30, 70))
    top, bottom = a.lip_edges(x)
    lips = step_at(y - top + 0.02, 0.02) * step_at(bottom + 0.03 - y, 0.02) * (np.abs(x) < a.mouth_width)
    lip_y = (a.nose_y + 0.05 + a.mouth_y - a.upper_lip) / 2
    band = np.exp(-(np.abs((y - lip_y - 0.3 * x * x) / 0.07) ** 3)) * step_at(0.9 * a.mouth_width - np.abs(x), 0.06)
    cover = np.maximum(a.beard * lower_face, a.moustache * band) * (1 - lips)
    cover = np.clip(cover * hairs, 0, 0.95)
    return tone + (0.7 * a.hair_tone * np.clip(hairs, 0.3, 1.5) - tone) * cover


def _paint_brows(a: Anatomy, x: FloatArray, y: FloatArray, tone: FloatArray, hairs: FloatArray) -> FloatArray:
    u = np.abs(x)
    along = (u - a.eye_x) / a.brow_length
    thickness = a.brow_thickness * np.clip(1.1 - 0.45 * along, 0.4, 1.6)
    ends = step_at(1 - np.abs(along), 0.12)
    cover = np.exp(-(np.abs((y - a.brow_line(x)) / thickness) ** 2.5)) * ends
    cover = np.clip(cover * a.brow_density * (1 + 0.35 * hairs), 0, 0.97)
    return tone * (1 - cover) + 0.8 * a.hair_tone * cover


def _paint_hair(
    a: Anatomy, x: FloatArray, y: FloatArray, tone: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    size = (x.shape[0], x.shape[1])
    strands = smooth_noise(rng, size, (14, 170)) + 0.6 * smooth_noise(rng, size, (40, 190))
    half = a.cheek_width + 0.02
    # Edge of the hair: across the forehead, then down beside the temples.
    ragged = 0.025 * smooth_noise(rng, size, (8, 60))
    fringe_y = (
        a.hairline_y + 0.35 * x**2 + a.fringe * np.exp(-(((x - a.parting) / 0.7) ** 2)) * (a.brow_y - a.hairline_y)
    )
    temple = step_at(np.abs(x) - half + 0.16 - 0.1 * np.clip(y + 0.6, 0, 1), 0.05) * step_at(0.06 + ragged - y, 0.04)
    hair = np.maximum(step_at(fringe_y + ragged - y, 0.04), temple)
    hair_tone = a.hair_tone * np.clip(1 + 0.35 * strands, 0.3, 2)
    tone = tone * (1 - hair) + hair_tone * hair
    outline = a.outline(x, y)
    head = step_at(1 - outline, 0.02)
    ear_x, ear_y = (np.abs(x) - a.cheek_width - 0.03) / 0.09, (y - 0.02) / 0.21
    ear_radius = np.hypot(ear_x, ear_y)
    ear = step_at(1 - ear_radius, 0.08)
    neck = step_at(0.6 * a.cheek_width - np.abs(x), 0.03) * step_at(y - 0.6, 0.05)
    shirt = step_at(y - 1.4 - 0.25 * (1 - np.minimum(np.abs(x), 1)), 0.03)
    # Shadow of the chin on the neck.
    shadow = 0.6 + 0.3 * np.clip((outline - 1) / 0.3, 0, 1)
    cloth = a.shirt_tone * (1 + a.stripes * np.sin(40 * x + 15 * y))
    under = a.skin_tone * shadow * (1 - shirt) + cloth * shirt
    under = under * (1 - ear) + a.skin_tone * (0.75 - 0.3 * bump(ear_x, ear_y, 0.1, -0.1, 0.5, 0.5)) * ear
    tone = tone * head + under * (1 - head)
    return tone, np.maximum(head, np.maximum(np.maximum(neck, shirt), ear)), head


def _paint_occluder(a: Anatomy, x: FloatArray, y: FloatArray) -> FloatArray | None:
    if not a.glasses and not a.strand:
        return None
    cover, tone = np.zeros_like(x), np.full_like(x, 0.08)
    if a.glasses:
        u = np.abs(x)
        ring = (np.abs((u - a.eye_x) / 0.3) ** 3 + np.abs((y - a.eye_y - 0.02) / 0.2) ** 3) ** (1 / 3)
        cover = np.exp(-(((ring - 1) / a.rim) ** 2))
        bridge = np.exp(-(((y - a.eye_y + 0.03 - 0.3 * u) / 0.022) ** 2)) * (u < a.eye_x - 0.28)
        arms = np.exp(-(((y - a.eye_y + 0.03) / 0.022) ** 2)) * (u > a.eye_x + 0.28) * (u < a.cheek_width)
        cover = np.maximum(cover, np.maximum(bridge, arms)) * 0.9
        cover = np.maximum(cover, a.lens * step_at(1 - ring, 0.05))
    if a.strand:
        side = 1.0 if a.parting > 0 else -1.0
        path = side * (0.15 + 0.38 * np.clip((y + 0.95) / 0.9, 0, 1) ** 0.7)
        lock = np.exp(-(((x - path) / (0.035 * np.clip(1.1 - (y + 0.9) / 0.9, 0.1, 1))) ** 2)) * step_at(0.0 - y, 0.1)
        cover = np.maximum(cover, 0.85 * lock)
        tone = np.where(lock > 0.3, a.hair_tone, tone)
    return np.stack((cover, tone)).astype(np.float32)


@dataclass(frozen=True)
class _SlitTexels:
    """The texels that both eyes, one of them or the mouth can move: what no frame changes about them.

    Args:
        rows (`slice`): their rows.
        columns (`np.ndarray` of shape `(num_columns,)`): their columns, int64; those of the image's left eye first.
        x (`np.ndarray` of shape `(num_columns,)`): coordinates to the image's right.
        y (`np.ndarray` of shape `(num_rows, 1)`): coordinates down.
        centre_x (`np.ndarray` of shape `(num_columns,)`): middle of the slit that the column belongs to.
        line (`np.ndarray` of shape `(num_columns,)`): y of the closed line.
        rims (`tuple` of `np.ndarray`): of each slit, how far the rims are from the line in its columns where they are
            by 1 in its middle.
    """

    rows: slice
    columns: NDArray[np.int64]
    x: FloatArray
    y: FloatArray
    centre_x: FloatArray
    line: FloatArray
    rims: tuple[FloatArray, ...]

    @classmethod
    def of(cls, slits: Sequence[Slit], x: FloatArray, y: FloatArray) -> _SlitTexels:
        """Return the texels of slits that share their rows, on maps with the coordinates `(map_height, map_width)`."""
        ranges = [_columns_of(slit, x) for slit in slits]
        columns, rows = np.concatenate(ranges), _rows_of(slits[0], y)
        shapes = [replace(slit, up=1.0).columns(x[0, part]) for slit, part in zip(slits, ranges, strict=True)]
        lines, rims, _ = zip(*shapes, strict=True)
        centres = np.repeat([slit.centre_x for slit in slits], [len(part) for part in ranges]).astype(np.float32)
        return cls(rows, columns, x[0, columns], y[rows, :1], centres, np.concatenate(lines), rims)


class SlitPainter:
    """Parts lids and lips of one face.

    Args:
        anatomy (`Anatomy`): where the parts of the face are.
        albedo (`np.ndarray` of shape `(map_height, map_width)`): the resting albedo, lids and lips shut, float32.
        gloss (`np.ndarray` of shape `(map_height, map_width)`): the resting strength of the highlight, float32.
        x (`np.ndarray` of shape `(map_height, map_width)`): coordinates of the texels, to the image's right.
        y (`np.ndarray` of shape `(map_height, map_width)`): the same, down.
    """

    def __init__(self, anatomy: Anatomy, albedo: FloatArray, gloss: FloatArray, x: FloatArray, y: FloatArray) -> None:
        self.anatomy, self.albedo, self.gloss = anatomy, albedo, gloss
        self.x, self.y = x, y
        self.texels_per_unit = 1 / float(x[0, 1] - x[0, 0])
        self._texels: dict[tuple[float, ...], _SlitTexels] = {}

    def paint(self, opening: SlitOpening, displacement: FloatArray, albedo: FloatArray, gloss: FloatArray) -> None:
        """Part what is open, in place.

        Args:
            opening (`SlitOpening`): lids, lips and gaze.
            displacement (`np.ndarray` of shape `(3, map_height, map_width)`): of the skin; eyeballs and teeth do not
                follow.
            albedo (`np.ndarray` of shape `(map_height, map_width)`): where to write the albedo, float32.
            gloss (`np.ndarray` of shape `(map_height, map_width)`): where to write the strength of the highlight,
                float32; it is three times as high where it is wet.
        """
        # Both eyes at once, because they share their rows and most of the time is that of calls.
        for slits in (opening.slits[:2], opening.slits[2:]):
            parted = [slit for slit in slits if slit.up + slit.down > 0]
            if parted:
                self._part(parted, opening.gaze_xy, displacement, albedo, gloss)

    def _part(
        self,
        slits: list[Slit],
        gaze_xy: tuple[float, float],
        displacement: FloatArray,
        albedo: FloatArray,
        gloss: FloatArray,
    ) -> None:
        key = tuple(slit.centre_x for slit in slits)
        if key not in self._texels:
            self._texels[key] = _SlitTexels.of(slits, self.x, self.y)
        texels, slit = self._texels[key], slits[0]
        up = np.concatenate([one.up * rim for one, rim in zip(slits, texels.rims, strict=True)])
        down = np.concatenate([one.down * rim for one, rim in zip(slits, texels.rims, strict=True)])
        source = (slit.shut(texels.y, texels.line, up, down) - self.y[0, 0]) * self.texels_per_unit
        parted = _read_columns(self.albedo, source, texels.columns)
        # Beyond these rows there are neither lashes nor a gap.
        upper, lower = texels.line - up, texels.line + down
        limits = (upper.min() - RIM_REACH, lower.max() + RIM_REACH)
        first, last = np.searchsorted(texels.y[:, 0], limits).tolist()
        rows = slice(texels.rows.start + first, texels.rows.start + last)
        y, skin = texels.y[first:last], parted[first:last]
        below_lid = y - upper
        inside = np.minimum(below_lid, lower - y)
        gap = np.clip(inside * self.texels_per_unit + 0.5, 0, 1) * (up + down > 0)
        true_y = y + displacement[1, rows][:, texels.columns]
        if slit.centre_x == 0:
            filling = np.where(true_y < self.anatomy.mouth_y + 0.02, 0.42, 0.05) * np.clip(inside * 40, 0.1, 1)
        else:
            true_x = texels.x + displacement[0, rows][:, texels.columns]
            filling = _eyeball(self.anatomy, slit, texels.centre_x, true_x, true_y, below_lid, gaze_xy)
            lashes = np.exp(-((below_lid / 0.016) ** 2)) * np.clip((up + down) * 14, 0, 1)
            skin, filling = skin * (1 - 0.6 * lashes), filling * (1 - 0.75 * lashes)
        parted[first:last] = skin + (filling - skin) * gap
        albedo[texels.rows, texels.columns] = parted
        gloss[rows, texels.columns] = self.gloss[rows, texels.columns] * (1 + 2 * gap)


def _columns_of(slit: Slit, x: FloatArray) -> NDArray[np.int64]:
    """Return the columns of texels that a slit can move."""
    left, right = np.searchsorted(x[0], (slit.centre_x - slit.half_width, slit.centre_x + slit.half_width))
    return np.arange(left, right)


def _rows_of(slit: Slit, y: FloatArray) -> slice:
    """Return the rows of texels that a slit can move."""
    limits = slit.centre_y - slit.reach_up - 0.1, slit.centre_y + slit.reach_down + 0.1
    top, bottom = np.searchsorted(y[:, 0], limits)
    return slice(int(top), int(bottom))


def _read_columns(texture: FloatArray, rows: FloatArray, columns: NDArray[np.int64]) -> FloatArray:
    """Return `texture[rows, columns]` for fractional rows, linearly; the texture is contiguous."""
    rows = np.clip(rows, 0, texture.shape[0] - 1.001)
    above = np.floor(rows)
    width, texels = texture.shape[1], texture.ravel()
    places = above.astype(np.int64) * width + columns
    upper, lower = texels.take(places), texels.take(places + width)
    return upper + (lower - upper) * (rows - above)


def _eyeball(
    a: Anatomy,
    slit: Slit,
    centre_x: FloatArray,
    x: FloatArray,
    y: FloatArray,
    below_lid: FloatArray,
    gaze_xy: tuple[float, float],
) -> FloatArray:
    """Return the albedo of the eye between the lids: white, iris, pupil, and the upper lid's shadow."""
    iris_x = centre_x + np.float32(0.075 * gaze_xy[0])
    iris_y = slit.centre_y - 0.12 * a.aperture + 0.05 * gaze_xy[1]
    radius = 0.5 * a.aperture + 0.012
    right, down = x - iris_x, y - iris_y
    distance = np.sqrt(right * right + down * down) * np.float32(1 / radius)
    white = 0.6 * (1 - 0.35 * np.minimum(np.abs(x - centre_x) / slit.half_width, 1) ** 2)
    iris = a.iris_tone * (0.75 + 0.35 * distance) * np.where(distance > 0.82, np.float32(0.65), np.float32(1))
    ball = white + (iris - white) * step_at(1 - distance, 0.12)
    ball = ball + (0.008 - ball) * step_at(0.42 - distance, 0.1)
    glint = bump(right, down, -0.3 * radius, -0.35 * radius, 0.018, 0.018)
    ball = ball * (0.6 + 0.4 * np.clip(below_lid / 0.06, 0, 1))
    return ball + 0.75 * glint
