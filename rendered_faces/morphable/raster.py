"""A z-buffer rasteriser compiled by numba (extra `synthesis`); one thread, identical results in every run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rendered_faces.faces import FloatArray

IntArray = NDArray[np.int32]
# Single precision in numba; the annotation allows any number, because Python has no such type.
Number = Any

# Rows of samples in a pixel: lids and lips move by fractions of one. The samples of odd rows lie this much further to
# the right, so that the two of a pixel lie on its diagonal, a quarter from its middle.
ROWS_PER_PIXEL, STAGGER = 2, np.float32(0.5)
# Overlap of neighbouring triangles, in samples, so that rounding leaves no gaps between them.
OVERLAP = np.float32(1e-3)
# A pixel whose samples lie on one part, this many texels apart at most, is shaded once, in its middle.
SMOOTH_TEXELS = np.float32(1.5)


@njit(cache=True, error_model="numpy")
def add_offsets(vertices: FloatArray, weight: np.float32, moved: IntArray, offsets: FloatArray) -> None:
    """Add `weight` times `offsets` (`(num_moved, 3)`) to the vertices that `moved` names, in place, all float32."""
    for index in range(moved.shape[0]):
        vertex = moved[index]
        for axis in range(3):
            vertices[vertex, axis] += weight * offsets[index, axis]


@njit(cache=True, error_model="numpy")
def vertex_normals(vertices: FloatArray, triangles: IntArray) -> FloatArray:
    """Return unit normals, float32 `(num_vertices, 3)`, each weighted by the area of the triangles around it."""
    normals = np.zeros_like(vertices)
    for index in range(triangles.shape[0]):
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for vertex in (a, b, c):
            normals[vertex, 0] += nx
            normals[vertex, 1] += ny
            normals[vertex, 2] += nz
    for vertex in range(normals.shape[0]):
        x, y, z = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 0:
            inverse = np.float32(1) / length
            normals[vertex, 0], normals[vertex, 1], normals[vertex, 2] = x * inverse, y * inverse, z * inverse
    return normals


@njit(cache=True, error_model="numpy")
def project(
    vertices: FloatArray, matrix: FloatArray, centre_x: np.float32, centre_y: np.float32, nearness: np.float32
) -> tuple[FloatArray, FloatArray]:
    """Return pixels (`(num_vertices, 2)`, x right, y down) and depth towards the camera (`(num_vertices,)`), float32.

    Args:
        vertices (`np.ndarray` of shape `(num_vertices, 3)`): relative to the point projected to the centre.
        matrix (`np.ndarray` of shape `(3, 3)`): rotation times pixels per unit.
        centre_x (`np.float32`): column of the centre.
        centre_y (`np.float32`): row of the centre.
        nearness (`np.float32`): 1 / distance of the camera in pixels; 0 is a camera infinitely far away.
    """
    pixels = np.empty((vertices.shape[0], 2), np.float32)
    depth = np.empty(vertices.shape[0], np.float32)
    for vertex in range(vertices.shape[0]):
        x, y, z = vertices[vertex, 0], vertices[vertex, 1], vertices[vertex, 2]
        right = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z
        down = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z
        near = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z
        grown = np.float32(1) / (np.float32(1) - nearness * near)
        pixels[vertex, 0] = right * grown + centre_x
        pixels[vertex, 1] = down * grown + centre_y
        # In this form depth is linear over a triangle of the image.
        depth[vertex] = near * grown
    return pixels, depth


@njit(cache=True, error_model="numpy")
def light_vertices(
    normals: FloatArray,
    light: FloatArray,
    view: FloatArray,
    half: FloatArray,
    key: np.float32,
    ambient: np.float32,
    oiliness: np.float32,
    painted: FloatArray,
) -> None:
    """Write light on the paint and on top of it into columns 2 and 3 of `painted`, in place.

    `light`, `view` and `half` (`(3,)`) are unit vectors to the light, to the camera and halfway between.
    """
    zero, bright, dim = np.float32(0), np.float32(0.7), np.float32(0.3)
    for vertex in range(normals.shape[0]):
        x, y, z = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        diffuse = max(x * light[0] + y * light[1] + z * light[2], zero)
        facing = x * view[0] + y * view[1] + z * view[2]
        mirror = max(x * half[0] + y * half[1] + z * half[2], zero)
        # Hollows get less ambient light, which is approximated by the slope away from the camera.
        painted[vertex, 2] = ambient * (bright + dim * facing) + key * diffuse
        square = mirror * mirror
        fourth = square * square
        eighth = fourth * fourth
        painted[vertex, 3] = oiliness * key * eighth * eighth * eighth


@njit(cache=True, error_model="numpy")
def _is_hidden(front: FloatArray, nearest: np.float32, left: int, right: int, top: int, bottom: int) -> bool:
    """Whether the whole window of the z-buffer is nearer than a depth."""
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            if front[y, x] < nearest:
                return False
    return True


@njit(cache=True, error_model="numpy")
def _area(pixels: FloatArray, a: int, b: int, c: int) -> Number:
    """Return twice the area of a triangle, positive where its normal points to the camera (y points down)."""
    ax, ay = pixels[a, 0], pixels[a, 1]
    return (pixels[b, 0] - ax) * (pixels[c, 1] - ay) - (pixels[b, 1] - ay) * (pixels[c, 0] - ax)


@njit(cache=True, error_model="numpy")
def _slope(pixels: FloatArray, start: int, end: int) -> Number:
    """Return the shift of an edge to the right per row down, 0 for a level one."""
    down = pixels[end, 1] - pixels[start, 1]
    return (pixels[end, 0] - pixels[start, 0]) / down if down != 0 else np.float32(0)


@njit(cache=True, error_model="numpy")
def visible_triangles(
    pixels: FloatArray,
    depth: FloatArray,
    triangles: IntArray,
    num_quads: int,
    height: int,
    width: int,
    stagger: np.float32,
) -> tuple[IntArray, FloatArray]:
    """Return the nearest triangle at every sample and the sample's barycentric coordinates.

    Args:
        pixels (`np.ndarray` of shape `(num_vertices, 2)`): positions in this raster, x right, y down.
        depth (`np.ndarray` of shape `(num_vertices,)`): grows towards the camera.
        triangles (`np.ndarray` of shape `(num_triangles, 3)`): vertex indices; back faces are left out.
        num_quads (`int`): how many pairs at the beginning are the halves a, b, c and a, c, d of one quad: drawing
            both at once takes little more time than drawing one.
        height (`int`): rows of samples.
        width (`int`): columns of samples.
        stagger (`np.float32`): how far the samples of odd rows lie to the right.

    Returns:
        `tuple` of two `np.ndarray`: triangles, int32 `(height, width)`, -1 where there is none, and the shares of the
        second and third corner, float32 `(height, width, 2)`, undefined where there is none.
    """
    nearest = np.full((height, width), -1, np.int32)
    front = np.full((height, width), -np.inf, np.float32)
    shares = np.empty((height, width, 2), np.float32)
    num_triangles = triangles.shape[0]
    zero: Number = np.float32(0)
    one = np.float32(1)
    # Every turn draws one convex quad a, b, c, d: triangle `index` is its half a, b, c and the next one a, c, d. A
    # triangle is a quad whose fourth corner is its third one. All in one function, because calls with many arrays cost
    # as much as drawing.
    for index in range(num_triangles):
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        d, other = c, zero
        area = _area(pixels, a, b, c)
        if index < 2 * num_quads:
            mate = index ^ 1
            first_half = index & 1 == 0
            opposite = triangles[mate, 2] if first_half else triangles[mate, 1]
            other = _area(pixels, a, c, opposite) if first_half else _area(pixels, a, opposite, b)
            if area > 0 and other > 0:
                p, q, r, s = (a, b, c, opposite) if first_half else (a, opposite, b, c)
                if _area(pixels, p, q, s) > 0 and _area(pixels, q, r, s) > 0:
                    if not first_half:
                        continue
                    d = opposite
        if area <= 0:
            continue
        ax, ay, cx, cy = pixels[a, 0], pixels[a, 1], pixels[c, 0], pixels[c, 1]
        bx, by, dx, dy = pixels[b, 0], pixels[b, 1], pixels[d, 0], pixels[d, 1]
        left = max(np.float32(0), np.ceil(min(min(ax, bx), min(cx, dx)) - stagger))
        right = min(np.float32(front.shape[1] - 1), np.floor(max(max(ax, bx), max(cx, dx))))
        top = max(np.float32(0), np.ceil(min(min(ay, by), min(cy, dy))))
        bottom = min(np.float32(front.shape[0] - 1), np.floor(max(max(ay, by), max(cy, dy))))
        # Triangles smaller than the samples' spacing may lie between samples.
        if left > right or top > bottom:
            continue
        # Skip triangles behind all that is drawn already.
        za, zb, zc, zd = depth[a], depth[b], depth[c], depth[d]
        if _is_hidden(front, max(max(za, zb), max(zc, zd)), int(left), int(right), int(top), int(bottom)):
            continue
        # Shares of a triangle's second and third corner are linear in x and y from the first corner.
        scale, rest = one / area, one / other if d != c else zero
        second_x, second_y, third_x, third_y = (
            (cy - ay) * scale,
            (ax - cx) * scale,
            (ay - by) * scale,
            (bx - ax) * scale,
        )
        later_x, later_y, last_x, last_y = (dy - ay) * rest, (ax - dx) * rest, (ay - cy) * rest, (cx - ax) * rest
        # Every edge bounds each row on one side: on the left where it goes up, on neither where it is level.
        slope_ab, slope_bc = _slope(pixels, a, b), _slope(pixels, b, c)
        slope_cd, slope_da = _slope(pixels, c, d), _slope(pixels, d, a)
        nothing, everything = np.float32(-1e30), np.float32(1e30)
        for y in range(int(top), int(bottom) + 1):
            row = np.float32(y)
            at_ab, at_bc = ax + (row - ay) * slope_ab, bx + (row - by) * slope_bc
            at_cd, at_da = cx + (row - cy) * slope_cd, dx + (row - dy) * slope_da
            low = max(
                max(at_ab if by < ay else nothing, at_bc if cy < by else nothing),
                max(at_cd if dy < cy else nothing, at_da if ay < dy else nothing),
            )
            high = min(
                min(at_ab if by > ay else everything, at_bc if cy > by else everything),
                min(at_cd if dy > cy else everything, at_da if ay > dy else everything),
            )
            shift = stagger if y & 1 else np.float32(0)
            first = int(np.ceil(max(low - shift - OVERLAP, left)))
            last = int(np.floor(min(high - shift + OVERLAP, right)))
            down = row - ay
            for x in range(first, last + 1):
                across = np.float32(x) + shift - ax
                if d == c or across * (cy - ay) - down * (cx - ax) >= 0:
                    share_b, share_c = across * second_x + down * second_y, across * third_x + down * third_y
                    z, triangle = za + share_b * (zb - za) + share_c * (zc - za), index
                else:
                    share_b, share_c = across * later_x + down * later_y, across * last_x + down * last_y
                    z, triangle = za + share_b * (zc - za) + share_c * (zd - za), index + 1
                if z > front[y, x]:
                    front[y, x] = z
                    nearest[y, x] = triangle
                    shares[y, x, 0] = share_b
                    shares[y, x, 1] = share_c
    return nearest, shares


@njit(cache=True, error_model="numpy")
def _mixed(corners: IntArray, shares: FloatArray, painted: FloatArray) -> tuple[Number, Number, Number, Number]:
    """Interpolate the vertices' four numbers within a triangle."""
    a, b, c, share_b, share_c = corners[0], corners[1], corners[2], shares[0], shares[1]
    share_a = np.float32(1) - share_b - share_c
    return (
        share_a * painted[a, 0] + share_b * painted[b, 0] + share_c * painted[c, 0],
        share_a * painted[a, 1] + share_b * painted[b, 1] + share_c * painted[c, 1],
        share_a * painted[a, 2] + share_b * painted[b, 2] + share_c * painted[c, 2],
        share_a * painted[a, 3] + share_b * painted[b, 3] + share_c * painted[c, 3],
    )


@njit(cache=True, error_model="numpy")
def _lit(texture: FloatArray, u: Number, v: Number, light: Number, gloss: Number) -> Number:
    """Return reflected light: the bilinear texture, lit, and the gloss on it."""
    zero = np.float32(0)
    u = min(max(u, zero), np.float32(texture.shape[1] - 1.01))
    v = min(max(v, zero), np.float32(texture.shape[0] - 1.01))
    column, row = int(u), int(v)
    across, down = u - np.float32(column), v - np.float32(row)
    upper = texture[row, column] + (texture[row, column + 1] - texture[row, column]) * across
    lower = texture[row + 1, column] + (texture[row + 1, column + 1] - texture[row + 1, column]) * across
    return (upper + (lower - upper) * down) * light + gloss


@njit(cache=True, error_model="numpy")
def shade(
    nearest: IntArray,
    shares: FloatArray,
    triangles: IntArray,
    parts: IntArray,
    painted: FloatArray,
    texture: FloatArray,
    background: FloatArray,
) -> FloatArray:
    """Return the picture; each pixel is the mean of its two samples.

    Args:
        nearest (`np.ndarray` of shape `(2 * height, width)`): triangle at every sample, -1 for none.
        shares (`np.ndarray` of shape `(2 * height, width, 2)`): of its second and third corner.
        triangles (`np.ndarray` of shape `(num_triangles, 3)`): vertex indices.
        parts (`np.ndarray` of shape `(num_triangles,)`): part of the head; paint is not continuous between parts.
        painted (`np.ndarray` of shape `(num_vertices, 4)`): texture column and row in texels, light on the texture,
            light on top of it.
        texture (`np.ndarray` of shape `(texture_height, texture_width)`): albedo.
        background (`np.ndarray` of shape `(height, width)`): the picture behind.

    Returns:
        `np.ndarray` of shape `(height, width)`, float32.
    """
    height, width = background.shape
    picture = np.empty((height, width), np.float32)
    half = np.float32(0.5)
    for y in range(height):
        for x in range(width):
            first, second = nearest[2 * y, x], nearest[2 * y + 1, x]
            if first < 0 and second < 0:
                picture[y, x] = background[y, x]
                continue
            if first < 0 or second < 0:
                row = 2 * y if second < 0 else 2 * y + 1
                u, v, light, gloss = _mixed(triangles[nearest[row, x]], shares[row, x], painted)
                picture[y, x] = half * (_lit(texture, u, v, light, gloss) + background[y, x])
                continue
            u0, v0, l0, g0 = _mixed(triangles[first], shares[2 * y, x], painted)
            u1, v1, l1, g1 = _mixed(triangles[second], shares[2 * y + 1, x], painted)
            if parts[first] == parts[second] and abs(u1 - u0) <= SMOOTH_TEXELS and abs(v1 - v0) <= SMOOTH_TEXELS:
                # One surface: shade the middle between the two samples.
                u, v, light, gloss = half * (u0 + u1), half * (v0 + v1), half * (l0 + l1), half * (g0 + g1)
                picture[y, x] = _lit(texture, u, v, light, gloss)
            else:
                picture[y, x] = half * (_lit(texture, u0, v0, l0, g0) + _lit(texture, u1, v1, l1, g1))
    return picture


@njit(cache=True, error_model="numpy")
def displacement(nearest: IntArray, shares: FloatArray, moved: FloatArray, triangles: IntArray) -> FloatArray:
    """Return how far the surface seen at every pixel moves, float32 `(height, width, 2)`, 0 where there is none.

    `nearest` and `shares` are those of one sample a pixel; `moved` (`(num_vertices, 2)`) is where the vertices go.
    """
    flow = np.zeros((nearest.shape[0], nearest.shape[1], 2), np.float32)
    for y in range(nearest.shape[0]):
        for x in range(nearest.shape[1]):
            index = nearest[y, x]
            if index < 0:
                continue
            a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
            share_b, share_c = shares[y, x, 0], shares[y, x, 1]
            share_a = np.float32(1) - share_b - share_c
            for axis in range(2):
                place = share_a * moved[a, axis] + share_b * moved[b, axis] + share_c * moved[c, axis]
                flow[y, x, axis] = place - np.float32((x, y)[axis])
    return flow


@njit(cache=True, error_model="numpy")
def overlay(picture: FloatArray, cover: FloatArray, tone: FloatArray, place: FloatArray) -> None:
    """Lay a flat picture over the frame, in place.

    Args:
        picture (`np.ndarray` of shape `(height, width)`): the frame, float32.
        cover (`np.ndarray` of shape `(rows, columns)`): opacity in [0, 1], float32; nothing lies beyond its border.
        tone (`np.ndarray` of shape `(rows, columns)`): luminance, float32.
        place (`np.ndarray` of shape `(2, 3)`): column and row of `cover` as linear functions of (x, y, 1), float32.
    """
    rows, columns = np.float32(cover.shape[0] - 1), np.float32(cover.shape[1] - 1)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            u = place[0, 0] * np.float32(x) + place[0, 1] * np.float32(y) + place[0, 2]
            v = place[1, 0] * np.float32(x) + place[1, 1] * np.float32(y) + place[1, 2]
            if u < 0 or v < 0 or u >= columns or v >= rows:
                continue
            column, row = int(u), int(v)
            across, down = u - np.float32(column), v - np.float32(row)
            opposite = np.float32(1) - across
            share = (cover[row, column] * opposite + cover[row, column + 1] * across) * (np.float32(1) - down)
            share += (cover[row + 1, column] * opposite + cover[row + 1, column + 1] * across) * down
            if share > 0:
                picture[y, x] += share * (tone[row, column] - picture[y, x])
