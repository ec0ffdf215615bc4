"""Paint for the morphable model: skin, brows, lips, hair and eyes over the front view of the generic mesh.

The texture coordinates of a vertex are its position on the generic face, so that one recipe in generic coordinates
fits all identities. Units are the model's (about 1 cm), x to the image's right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rendered_faces.faces import FloatArray
from rendered_faces.painting import bump, smooth_noise, step_at

from .complexion import Complexion

# Extent of the skin's texture, in model units.
LEFT, RIGHT, TOP, BOTTOM = -13.0, 13.0, -15.5, 20.0


def texture_grid(texels_per_unit: float) -> tuple[FloatArray, FloatArray]:
    """Return generic coordinates x and y of the texels, float32 arrays of the texture's shape."""
    width = round((RIGHT - LEFT) * texels_per_unit) + 1
    height = round((BOTTOM - TOP) * texels_per_unit) + 1
    x, y = np.meshgrid(np.linspace(LEFT, RIGHT, width), np.linspace(TOP, BOTTOM, height))
    return x.astype(np.float32), y.astype(np.float32)


def hair_cover(complexion: Complexion, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the density of hair on the front view, 0 to 1."""
    fringe = complexion.fringe * np.exp(-(((x - complexion.parting) / 5.0) ** 2))
    # The hairline falls towards the temples and runs down before the ears.
    line = complexion.hairline - 0.03 * x**2 - 0.012 * np.maximum(np.abs(x) - 4.5, 0) ** 3 * 10 - fringe
    forehead = step_at(-y - np.maximum(line, 1.0), 0.5)
    return forehead * step_at(np.where(-y < 4.2, 7.9 - np.abs(x), 1.0), 0.2)


def paint_skin(complexion: Complexion, landmarks: FloatArray, x: FloatArray, y: FloatArray, seed: int) -> FloatArray:
    """Return the albedo of skin, brows, lips and hair.

    Args:
        complexion (`Complexion`): parameters.
        landmarks (`np.ndarray` of shape `(68, 2)`): positions on the generic face.
        x (`np.ndarray` of shape `(texture_height, texture_width)`): generic coordinates of the texels.
        y (`np.ndarray` of shape `(texture_height, texture_width)`): the same.
        seed (`int`): seed of the identity, for the noise.

    Returns:
        `np.ndarray` of shape `(texture_height, texture_width)`, float32 in [0, 1].
    """
    rng = np.random.default_rng([0x5C2, seed])
    size = (x.shape[0], x.shape[1])
    tone = np.full_like(x, complexion.skin_tone)
    tone *= 1 + complexion.mottle * (smooth_noise(rng, size, (40, 30)) + 0.8 * smooth_noise(rng, size, (110, 80)))
    tone *= 1 + 0.6 * complexion.mottle * smooth_noise(rng, size, (260, 190))
    tone *= 1 - complexion.freckles * np.clip(smooth_noise(rng, size, (190, 140)) - 1.3, 0, 1)
    for _ in range(int(complexion.moles)):
        mole_x, mole_y, radius = rng.uniform(-6, 6), rng.uniform(-8, 7), rng.uniform(0.08, 0.18)
        tone *= 1 - 0.55 * bump(x, y, mole_x, mole_y, radius, radius)
    for corner_a, corner_b in ((36, 39), (42, 45)):
        eye_x, eye_y = (landmarks[corner_a] + landmarks[corner_b]) / 2
        tone *= 1 - complexion.eye_shadow * bump(x, y, eye_x, eye_y, 2.3, 1.5)
    # Blood: cheeks, nose and lips are a little darker than the rest.
    tone *= 1 - 0.06 * (bump(np.abs(x), y, 4.6, 1.0, 2.0, 1.8) + bump(x, y, 0, 0.3, 1.3, 1.2))
    for side in (-1, 1):
        tone *= 1 - 0.5 * bump(x, y, side * 0.62, landmarks[33, 1] - 0.12, 0.36, 0.2)
    beard = step_at(y - 1.8 + 0.35 * np.clip(np.abs(x) - 4, -2, 3), 1.0) * step_at(8.5 - y, 1.5)
    tone *= 1 - complexion.stubble * beard * (1 + 0.3 * smooth_noise(rng, size, (280, 210)))
    more = np.random.default_rng([0x5C3, seed])
    tone = _paint_age(complexion, landmarks, x, y, tone, more)
    tone = _paint_beard(complexion, landmarks, x, y, tone, beard, more)
    tone = _paint_lips(complexion, landmarks, x, y, tone, smooth_noise(rng, size, (50, 190)))
    tone = _paint_lashes(complexion, landmarks, x, y, tone)
    tone = _paint_brows(complexion, landmarks, x, y, tone, smooth_noise(rng, size, (230, 190)))
    cover = hair_cover(complexion, x, y + 0.3 * smooth_noise(rng, size, (20, 90)))
    strands = smooth_noise(rng, size, (26, 230)) + 0.6 * smooth_noise(rng, size, (60, 230))
    tone = tone * (1 - cover) + complexion.hair_tone * np.clip(1 + 0.3 * strands, 0.3, 2) * cover
    if complexion.collar:
        cloth = complexion.shirt_tone * (1 + complexion.stripes * np.sin(4 * x + 2 * y))
        tone += (cloth - tone) * step_at(y - complexion.collar + 0.04 * x * x, 0.2)
    return np.clip(tone, 0.01, 0.95).astype(np.float32)


def _paint_age(
    complexion: Complexion,
    landmarks: FloatArray,
    x: FloatArray,
    y: FloatArray,
    tone: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the skin with pores, wrinkles and blush; each is 0 unless a variation is on."""
    size = (x.shape[0], x.shape[1])
    if complexion.pores:
        tone = tone * (1 + complexion.pores * smooth_noise(rng, size, (480, 350)))
    if complexion.wrinkles:
        brow_y, bend = float(landmarks[[19, 24], 1].mean()), 0.35 * smooth_noise(rng, size, (12, 9))
        across = (0.5 + 0.5 * np.cos((y - brow_y + bend) * 3.6)) ** 6 * bump(x, y, 0, brow_y - 3.2, 4.6, 2.2)
        rays = (0.5 + 0.5 * np.cos((y + 2.6 + bend) * 8)) ** 4 * bump(np.abs(x), y, 6.2, -2.6, 0.9, 1.6)
        fold = np.clip((y - landmarks[31, 1] + 0.5) / (landmarks[48, 1] - landmarks[31, 1]), 0, 1.2)
        beside = np.exp(-(((np.abs(x) - 1.9 - 1.6 * fold) / 0.16) ** 2)) * (fold > 0.05) * (fold < 1.15)
        tone = tone * (1 - complexion.wrinkles * np.clip(across + rays + beside, 0, 1))
    return tone * (1 - complexion.blush * bump(np.abs(x), y, 4.9, 0.6, 1.8, 1.4))


def _paint_beard(
    complexion: Complexion,
    landmarks: FloatArray,
    x: FloatArray,
    y: FloatArray,
    tone: FloatArray,
    lower_face: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    if not complexion.beard and not complexion.moustache:
        return tone
    size = (x.shape[0], x.shape[1])
    hairs = 0.8 + 0.3 * smooth_noise(rng, size, (150, 260)) + 0.2 * smooth_noise(rng, size, (40, 120))
    mouth_x, mouth_y = landmarks[[48, 54]].mean(axis=0)
    around_mouth = bump(x, y, mouth_x, mouth_y, 2.4, 0.75)
    cover = complexion.beard * lower_face * step_at(y - mouth_y + 1.2 + 0.25 * (np.abs(x) - 3.5), 0.8)
    lip_y = float(landmarks[51, 1] + landmarks[33, 1]) / 2 + 0.1
    band = np.exp(-(np.abs((y - lip_y - 0.06 * x * x) / 0.5) ** 3)) * step_at(3.3 - np.abs(x), 0.5)
    cover = np.maximum(cover, complexion.moustache * band) * (1 - np.clip(1.6 * around_mouth, 0, 1) * (band < 0.3))
    cover = np.clip(cover * hairs, 0, 0.95)
    return tone + (0.7 * complexion.hair_tone * np.clip(hairs, 0.3, 1.5) - tone) * cover


def paint_long_hair(complexion: Complexion, seed: int, texels_per_unit: float) -> Plane:
    """Return hair that falls beside the neck, on a plane behind the face."""
    rng = np.random.default_rng([0x5C4, seed])
    columns, rows = round(26 * texels_per_unit), round(32 * texels_per_unit)
    x, y = np.meshgrid(-13 + np.arange(columns) / texels_per_unit, -16 + np.arange(rows) / texels_per_unit)
    waves = 0.5 * smooth_noise(rng, (rows, columns), (9, 5))
    width = rng.uniform(8.6, 11.0) - 0.02 * np.clip(-y, 0, 20) ** 2 + waves
    cover = step_at(width - np.abs(x), 0.3) * step_at(complexion.long_hair + 2 * waves - y, 0.6)
    strands = smooth_noise(rng, (rows, columns), (12, 150)) + 0.6 * smooth_noise(rng, (rows, columns), (30, 220))
    tone = np.clip(0.8 * complexion.hair_tone * np.clip(1 + 0.35 * strands, 0.2, 2), 0.01, 1)
    return Plane(cover.astype(np.float32), tone.astype(np.float32), -13.0, -16.0, -2.0, texels_per_unit)


def redness(complexion: Complexion, landmarks: FloatArray, places: FloatArray) -> FloatArray:
    """Return how much redder than gray the surface is at positions of the generic face (`(n, 2)`): skin 1, lips 2."""
    x, y = places[:, 0], places[:, 1]
    mouth_x, mouth_y = landmarks[[48, 54]].mean(axis=0)
    red = 1 + bump(x, y, mouth_x, mouth_y, 2.2, 0.8)
    cloth = step_at(y - complexion.collar, 0.2) if complexion.collar else np.zeros_like(y)
    return (red * (1 - 0.8 * hair_cover(complexion, x, y)) * (1 - 0.8 * cloth)).astype(np.float32)


def _paint_lips(
    complexion: Complexion, landmarks: FloatArray, x: FloatArray, y: FloatArray, tone: FloatArray, creases: FloatArray
) -> FloatArray:
    upper, lower = landmarks[48:55], landmarks[[48, 59, 58, 57, 56, 55, 54]]
    inside = (x > upper[0, 0]) & (x < upper[-1, 0])
    top, bottom = np.interp(x, upper[:, 0], upper[:, 1]), np.interp(x, lower[:, 0], lower[:, 1])
    lip = step_at(y - top + 0.05, 0.13) * step_at(bottom + 0.08 - y, 0.16) * inside
    return tone * (1 - complexion.lip_contrast * lip * (1 + 0.1 * creases))


def _paint_lashes(
    complexion: Complexion, landmarks: FloatArray, x: FloatArray, y: FloatArray, tone: FloatArray
) -> FloatArray:
    for start in (36, 42):
        eye = landmarks[start : start + 6]
        upper, lower = eye[[0, 1, 2, 3]], eye[[0, 5, 4, 3]]
        upper, lower = upper[np.argsort(upper[:, 0])], lower[np.argsort(lower[:, 0])]
        along = step_at(x - upper[0, 0] + 0.1, 0.15) * step_at(upper[-1, 0] + 0.1 - x, 0.15)
        above = np.exp(-(((y - np.interp(x, upper[:, 0], upper[:, 1])) / 0.13) ** 2))
        below = np.exp(-(((y - np.interp(x, lower[:, 0], lower[:, 1])) / 0.09) ** 2))
        tone = tone * (1 - 0.75 * along * above) * (1 - 0.3 * along * below)
        if complexion.liner:
            drawn = np.exp(-(((y - np.interp(x, upper[:, 0], upper[:, 1]) + 0.12) / 0.2) ** 2))
            tone = tone * (1 - complexion.liner * along * np.maximum(drawn, 0.5 * below))
    return tone


def _paint_brows(
    complexion: Complexion, landmarks: FloatArray, x: FloatArray, y: FloatArray, tone: FloatArray, hairs: FloatArray
) -> FloatArray:
    for brow in (landmarks[17:22], landmarks[22:27]):
        left, right = brow[0, 0] - 0.2, brow[-1, 0] + 0.2
        middle = np.interp(x, brow[:, 0], brow[:, 1]) - complexion.brow_lift
        # Thick at the nose, thin at the temple.
        inner = np.clip(1 - np.abs(x) / np.abs(brow[:, 0]).max(), 0, 1)
        thickness = complexion.brow_thickness * (0.55 + 0.75 * inner)
        cover = np.exp(-(np.abs((y - middle) / thickness) ** 2.5)) * step_at(x - left, 0.35) * step_at(right - x, 0.35)
        cover = np.clip(cover * complexion.brow_density * (1 + 0.35 * hairs), 0, 0.97)
        tone = tone * (1 - cover) + 0.8 * complexion.hair_tone * cover
    return tone


def paint_eye(complexion: Complexion, radius: float, size: int) -> FloatArray:
    """Return the albedo of an eyeball seen from the front.

    Args:
        complexion (`Complexion`): parameters of the iris.
        radius (`float`): radius of the eyeball, model units.
        size (`int`): texels along each side; the ball's outline touches the border.

    Returns:
        `np.ndarray` of shape `(size, size)`, float32.
    """
    axis = np.linspace(-radius, radius, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    distance = np.hypot(x, y) / complexion.iris_radius
    rays = 1 + 0.12 * np.cos(np.arctan2(y, x) * 17) * np.clip(1 - distance, 0, 1)
    iris = complexion.iris_tone * rays * (0.75 + 0.4 * distance) * (1 - 0.4 * step_at(distance - 0.86, 0.08))
    white = 0.62 * (1 - 0.25 * np.clip(np.abs(x) / 1.4, 0, 1) ** 2)
    ball = white + (iris - white) * step_at(1 - distance, 0.07)
    ball = ball + (0.02 - ball) * step_at(0.4 - distance, 0.06)
    return ball.astype(np.float32)


@dataclass(frozen=True)
class Plane:
    """An upright plane with a picture, before or behind the head.

    Args:
        cover (`np.ndarray` of shape `(rows, columns)`): opacity in [0, 1], float32.
        tone (`np.ndarray` of shape `(rows, columns)`): luminance, float32.
        left, top (`float`): position of its first texel, model units from the middle of the frame.
        depth (`float`): its distance before the model's origin.
        texels_per_unit (`float`): its resolution.
    """

    cover: FloatArray
    tone: FloatArray
    left: float
    top: float
    depth: float
    texels_per_unit: float


def paint_glasses(complexion: Complexion, eyes: FloatArray, texels_per_unit: float) -> Plane:
    """Return rims on a plane before the eyes.

    Args:
        complexion (`Complexion`): parameters of the glasses.
        eyes (`np.ndarray` of shape `(12, 3)`): corners and lids of the right, then of the left eye.
        texels_per_unit (`float`): resolution.
    """
    right_eye, left_eye = eyes[:6].mean(axis=0), eyes[6:].mean(axis=0)
    left, right = right_eye[0] - 3.5, left_eye[0] + 3.5
    top, bottom = min(right_eye[1], left_eye[1]) - 3.0, max(right_eye[1], left_eye[1]) + 3.5
    columns, rows = round((right - left) * texels_per_unit), round((bottom - top) * texels_per_unit)
    x, y = np.meshgrid(left + np.arange(columns) / texels_per_unit, top + np.arange(rows) / texels_per_unit)
    cover, glass = np.zeros_like(x), np.zeros_like(x)
    for eye in (right_eye, left_eye):
        ring = (np.abs((x - eye[0]) / 2.5) ** 3 + np.abs((y - eye[1] - 0.2) / 1.8) ** 3) ** (1 / 3)
        cover = np.maximum(cover, np.exp(-(((ring - 1) / complexion.rim) ** 2)))
        glass = np.maximum(glass, step_at(1 - ring, 0.05))
    between = (x > right_eye[0] + 2.4) & (x < left_eye[0] - 2.4)
    cover = 0.9 * np.maximum(cover, between * np.exp(-(((y - right_eye[1] + 0.2) / 0.15) ** 2)))
    cover = np.maximum(cover, complexion.lens * glass)
    tone = np.full(cover.shape, 0.05, np.float32)
    depth = float(eyes[:, 2].max()) + 1.2
    return Plane(cover.astype(np.float32), tone, float(left), float(top), depth, texels_per_unit)


def furrows(landmarks: FloatArray, x: FloatArray, y: FloatArray) -> dict[tuple[int, str], FloatArray]:
    """Return the skin lines of action units, for which the mesh is too coarse.

    Args:
        landmarks (`np.ndarray` of shape `(68, 2)`): positions on the generic face.
        x (`np.ndarray` of shape `(texture_height, texture_width)`): generic coordinates of the texels.
        y (`np.ndarray` of shape `(texture_height, texture_width)`): the same.

    Returns:
        `dict` of `(code, side)` to `np.ndarray`: darkening for one reference pixel of motion, float32.
    """
    lines = {}
    for side, sign in (("L", 1.0), ("R", -1.0)):
        u = x * np.float32(sign)
        brow_y = float(landmarks[[19, 24], 1].mean())
        fold = np.clip((y - landmarks[31, 1] + 0.5) / (landmarks[48, 1] - landmarks[31, 1]), 0, 1)
        nasolabial = np.exp(-(((u - 1.7 - 1.7 * fold) / 0.2) ** 2))
        nasolabial *= step_at(fold - 0.15, 0.15) * step_at(0.9 - fold, 0.15)
        across = 0.5 + 0.5 * np.cos((y - brow_y) * 5)
        lines[1, side] = 0.035 * across**3 * bump(u, y, 1.6, brow_y - 2.6, 1.8, 1.5)
        lines[2, side] = 0.03 * across**3 * bump(u, y, 4.2, brow_y - 2.4, 1.5, 1.3)
        lines[4, side] = 0.06 * bump(u, y, 0.65, brow_y + 0.8, 0.22, 1.0)
        lines[6, side] = 0.04 * (0.5 + 0.5 * np.cos((y + 3.2) * 9)) ** 2 * bump(u, y, 5.9, -3.2, 0.8, 1.2)
        lines[9, side] = 0.05 * (0.5 + 0.5 * np.cos((y + 3.4) * 8)) ** 2 * bump(u, y, 0.6, -3.4, 0.7, 1.0)
        lines[10, side] = 0.05 * nasolabial
        lines[12, side] = 0.05 * nasolabial
        lines[14, side] = 0.07 * bump(u, y, abs(float(landmarks[54, 0])) + 0.6, float(landmarks[54, 1]), 0.25, 0.5)
    return {key: line.astype(np.float32) for key, line in lines.items()}
