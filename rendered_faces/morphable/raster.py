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
# Samples of a column that are tested at once. The columns have this many more rows, which no triangle reaches.
LANES = 8
# A pixel whose samples lie on one part, this many texels apart at most, is shaded once, in its middle.
SMOOTH_TEXELS = np.float32(1.5)


@njit(cache=True, error_model="numpy")
def add_offsets(vertices: FloatArray, weight: np.float32, offsets: FloatArray) -> None:
    """Add `weight` times `offsets` to vertices, both float32 `(num_vertices, 3)`, in place."""
    # All vertices, because a list of those that move takes twice the time.
    moved, added = vertices.reshape(-1), offsets.reshape(-1)
    for place in range(moved.shape[0]):
        moved[place] += weight * added[place]


@njit(cache=True, error_model="numpy")
def shown_vertices(nearest: IntArray, triangles: IntArray, num_vertices: int) -> NDArray[np.bool_]:
    """Return which vertices belong to a triangle that is seen, `(num_vertices,)`; `nearest` as in `shade`."""
    # Triangles first, without a branch for each sample; -1, for none, is counted as one more triangle.
    seen = np.zeros(triangles.shape[0] + 1, np.bool_)
    for x in range(nearest.shape[1]):
        for y in range(nearest.shape[0]):
            seen[np.uint64(nearest[y, x] + 1)] = True
    shown = np.zeros(num_vertices, np.bool_)
    for index in range(triangles.shape[0]):
        if seen[index + 1]:
            shown[triangles[index, 0]] = shown[triangles[index, 1]] = shown[triangles[index, 2]] = True
    return shown


@njit(cache=True, error_model="numpy")
def vertex_normals(vertices: FloatArray, triangles: IntArray, shown: NDArray[np.bool_]) -> FloatArray:
    """Return unit normals of the vertices that are `shown`, each weighted by the area of the triangles around it.

    Args:
        vertices (`np.ndarray` of shape `(num_vertices, 3)`): positions, float32.
        triangles (`np.ndarray` of shape `(num_triangles, 3)`): vertex indices.
        shown (`np.ndarray` of shape `(num_vertices,)`): which normals are wanted.

    Returns:
        `np.ndarray` of shape `(num_vertices, 3)`, float32; of any length where they are not wanted.
    """
    normals = np.zeros_like(vertices)
    for index in range(triangles.shape[0]):
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        if not (shown[a] | shown[b] | shown[c]):
            continue
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
        if not shown[vertex]:
            continue
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
    shown: NDArray[np.bool_],
    samples: FloatArray,
    light: FloatArray,
    view: FloatArray,
    half: FloatArray,
    strengths: FloatArray,
    shadow: FloatArray,
    uv: FloatArray,
    redness: FloatArray,
    inside_mouth: tuple[int, int],
    first_eyeball: int,
) -> FloatArray:
    """Return what [`shade`] interpolates, float32 `(num_vertices, 4)`, undefined where a vertex is not `shown`.

    Args:
        normals (`np.ndarray` of shape `(num_vertices, 3)`): unit vectors, float32, as all numbers here.
        shown (`np.ndarray` of shape `(num_vertices,)`): which vertices are seen.
        samples (`np.ndarray` of shape `(num_vertices, 2)`): positions in the raster of the samples, for the shadow.
        light (`np.ndarray` of shape `(3,)`): unit vector to the light.
        view (`np.ndarray` of shape `(3,)`): unit vector to the camera.
        half (`np.ndarray` of shape `(3,)`): unit vector halfway between.
        strengths (`np.ndarray` of shape `(5,)`): of the key light, the ambient light and the gloss of the skin, the
            warmth of the light, and the share of it that reaches the inside of the mouth.
        shadow (`np.ndarray` of shape `(4,)`): the share of the light that it removes, and its ramp from 0 to 1 as a
            linear function of x, y and 1 in the raster of the samples.
        uv (`np.ndarray` of shape `(num_vertices, 2)`): texture column and row.
        redness (`np.ndarray` of shape `(num_vertices,)`): how much redder than gray the surface is.
        inside_mouth (`tuple` of two `int`): its first vertex and the one after its last.
        first_eyeball (`int`): eyeballs are the vertices from this one on; they are wet.
    """
    zero, one, bright, dim = np.float32(0), np.float32(1), np.float32(0.7), np.float32(0.3)
    key, ambient, oiliness, warmth = strengths[0], strengths[1], strengths[2], strengths[3]
    painted = np.empty((normals.shape[0], 4), np.float32)
    for vertex in range(normals.shape[0]):
        if not shown[vertex]:
            continue
        x, y, z = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        diffuse = max(x * light[0] + y * light[1] + z * light[2], zero)
        facing = x * view[0] + y * view[1] + z * view[2]
        mirror = max(x * half[0] + y * half[1] + z * half[2], zero)
        fourth = mirror * mirror * mirror * mirror
        eighth = fourth * fourth
        if vertex < first_eyeball:
            gloss = oiliness * key * eighth * eighth * eighth
        else:
            # The power 300.
            power_32 = eighth * eighth * eighth * eighth
            power_256 = power_32 * power_32 * power_32 * power_32 * power_32 * power_32 * power_32 * power_32
            gloss = np.float32(0.9) * key * power_256 * power_32 * eighth * fourth
        ramp = shadow[1] * samples[vertex, 0] + shadow[2] * samples[vertex, 1] + shadow[3]
        ramp = min(max(ramp, zero), one)
        share = one - shadow[0] * ramp * ramp * (np.float32(3) - ramp - ramp)
        # Hollows get less ambient light, which is approximated by the slope away from the camera.
        on_paint = ambient * (bright + dim * facing) + key * diffuse
        if inside_mouth[0] <= vertex < inside_mouth[1]:
            on_paint, gloss = on_paint * strengths[4], zero
        painted[vertex, 0], painted[vertex, 1] = uv[vertex, 0], uv[vertex, 1]
        painted[vertex, 2] = on_paint * (one + warmth * redness[vertex]) * share
        painted[vertex, 3] = gloss * share
    return painted


@njit(error_model="numpy", inline="always")
def _edge(px: Number, py: Number, qx: Number, qy: Number) -> tuple[Number, Number, Number]:
    """Return a linear function of x, y and 1 that is above 0 to the right of an edge from p to q (y points down)."""
    in_x, in_y = py - qy, qx - px
    return in_x, in_y, OVERLAP * (abs(in_x) + abs(in_y)) - in_x * px - in_y * py


@njit(cache=True, error_model="numpy")
def visible_triangles(
    pixels: FloatArray,
    depth: FloatArray,
    triangles: IntArray,
    num_quads: int,
    height: int,
    width: int,
    stagger: np.float32,
) -> IntArray:
    """Return the nearest triangle at every sample.

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
        `np.ndarray` of shape `(height, width)`: triangles, int32, -1 where there is none; columns are contiguous.
    """
    # Columns are contiguous and a column's samples are tested eight at once, because quads are higher than wide in
    # samples: two columns, four rows. Without branches in it the innermost loop becomes vector code.
    nearest = np.full((width, height + LANES), -1, np.int32)
    front = np.full((width, height + LANES), -np.inf, np.float32)
    rows = np.arange(height + LANES).astype(np.float32)
    shifts = np.zeros(height + LANES, np.float32)
    shifts[1::2] = stagger
    zero, one = np.float32(0), np.float32(1)
    # Every turn draws one convex quad a, b, c, d, or the halves of one that is not, or a triangle, which is a quad
    # whose fourth corner is its third one. All in one function, because calls with many arrays cost as much as
    # drawing. Indices are unsigned, because signed ones are tested for counting from the end.
    for polygon in range(triangles.shape[0] - num_quads):
        index = 2 * polygon if polygon < num_quads else polygon + num_quads
        a, b, c = np.uint64(triangles[index, 0]), np.uint64(triangles[index, 1]), np.uint64(triangles[index, 2])
        d = np.uint64(triangles[index + 1, 2]) if polygon < num_quads else c
        ax, ay, bx, by = pixels[a, 0], pixels[a, 1], pixels[b, 0], pixels[b, 1]
        cx, cy, dx, dy = pixels[c, 0], pixels[c, 1], pixels[d, 0], pixels[d, 1]
        # Twice the areas of the halves, positive where their normals point to the camera.
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        other = (cx - ax) * (dy - ay) - (cy - ay) * (dx - ax)
        if area <= 0 and other <= 0:
            continue
        left = max(zero, np.ceil(min(min(ax, bx), min(cx, dx)) - stagger))
        right = min(np.float32(width - 1), np.floor(max(max(ax, bx), max(cx, dx))))
        top = max(zero, np.ceil(min(min(ay, by), min(cy, dy))))
        bottom = min(np.float32(height - 1), np.floor(max(max(ay, by), max(cy, dy))))
        # Polygons smaller than the samples' spacing may lie between samples.
        if left > right or top > bottom:
            continue
        za, zb, zc, zd = depth[a], depth[b], depth[c], depth[d]
        first, last, start, stop = (
            np.uint64(int(left)),
            np.uint64(int(right) + 1),
            np.uint64(int(top)),
            np.uint64(int(bottom) + 1),
        )
        # Skip polygons behind all that is drawn already.
        closest, hidden = max(max(za, zb), max(zc, zd)), True
        for x in range(first, last):
            for y in range(start, stop):
                if front[x, y] < closest:
                    hidden = False
                    break
            if not hidden:
                break
        if hidden:
            continue
        stop = start + np.uint64(((int(bottom) - int(top)) // LANES + 1) * LANES)
        whole = area > 0 and other > 0
        if whole:
            across_d, down_d = dx - bx, dy - by
            whole = (bx - ax) * down_d - (by - ay) * across_d > 0 and (cx - bx) * down_d - (cy - by) * across_d > 0
        for half in range(2):
            # The polygon a, p, q, r: both halves, or one of them with q = r.
            if half == 0:
                if area <= 0:
                    continue
                px, py, qx, qy, rx, ry = bx, by, cx, cy, cx, cy
                near_p, near_q, near_r, inverse = zb - za, zc - za, zc - za, one / area
                if whole:
                    rx, ry, near_r = dx, dy, zd - za
            else:
                if whole or other <= 0:
                    continue
                px, py, qx, qy, rx, ry = cx, cy, dx, dy, dx, dy
                near_p, near_q, near_r, inverse = zc - za, zd - za, zd - za, one / other
            # Depth is a linear function within each half, and a third one tells the halves apart.
            right_1 = ((qy - ay) * near_p + (ay - py) * near_q) * inverse
            down_1 = ((ax - qx) * near_p + (px - ax) * near_q) * inverse
            right_2, down_2, right_of, down_of = right_1, down_1, zero, zero
            if whole:
                inverse = one / other
                right_2 = ((ry - ay) * near_q + (ay - qy) * near_r) * inverse
                down_2 = ((ax - rx) * near_q + (qx - ax) * near_r) * inverse
                right_of, down_of = qy - ay, ax - qx
            at_1, at_2, at_of = za - down_1 * ay, za - down_2 * ay, -down_of * ay
            ap_x, ap_y, ap = _edge(ax, ay, px, py)
            pq_x, pq_y, pq = _edge(px, py, qx, qy)
            qr_x, qr_y, qr = _edge(qx, qy, rx, ry)
            ra_x, ra_y, ra = _edge(rx, ry, ax, ay)
            triangle_1, triangle_2 = np.int32(index + half), np.int32(index + 1)
            for x in range(first, last):
                column = np.float32(x)
                across = column - ax
                from_ap, from_pq, from_qr, from_ra = (
                    ap_x * column + ap,
                    pq_x * column + pq,
                    qr_x * column + qr,
                    ra_x * column + ra,
                )
                from_1, from_2, from_of = at_1 + right_1 * across, at_2 + right_2 * across, at_of + right_of * across
                for y in range(start, stop):
                    row, shift = rows[y], shifts[y]
                    is_1 = down_of * row + right_of * shift + from_of >= zero
                    z = from_1 + right_1 * shift + down_1 * row if is_1 else from_2 + right_2 * shift + down_2 * row
                    before = front[x, y]
                    is_nearer = (
                        (z > before)
                        & (ap_y * row + ap_x * shift + from_ap >= zero)
                        & (pq_y * row + pq_x * shift + from_pq >= zero)
                        & (qr_y * row + qr_x * shift + from_qr >= zero)
                        & (ra_y * row + ra_x * shift + from_ra >= zero)
                        & (row <= bottom)
                    )
                    front[x, y] = z if is_nearer else before
                    nearest[x, y] = (triangle_1 if is_1 else triangle_2) if is_nearer else nearest[x, y]
    return nearest[:, :height].T


@njit(cache=True, error_model="numpy")
def _shares(pixels: FloatArray, corners: IntArray, x: Number, y: Number) -> tuple[Number, Number]:
    """Return the barycentric coordinates of a point: the shares of a triangle's second and third corner."""
    a, b, c = np.uint64(corners[0]), np.uint64(corners[1]), np.uint64(corners[2])
    ax, ay = pixels[a, 0], pixels[a, 1]
    to_bx, to_by, to_cx, to_cy = pixels[b, 0] - ax, pixels[b, 1] - ay, pixels[c, 0] - ax, pixels[c, 1] - ay
    inverse = np.float32(1) / (to_bx * to_cy - to_by * to_cx)
    across, down = x - ax, y - ay
    return (across * to_cy - down * to_cx) * inverse, (down * to_bx - across * to_by) * inverse


@njit(cache=True, error_model="numpy")
def _mixed(
    pixels: FloatArray, corners: IntArray, x: Number, y: Number, painted: FloatArray
) -> tuple[Number, Number, Number, Number]:
    """Interpolate the vertices' four numbers within a triangle."""
    a, b, c = np.uint64(corners[0]), np.uint64(corners[1]), np.uint64(corners[2])
    share_b, share_c = _shares(pixels, corners, x, y)
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
    samples: FloatArray,
    triangles: IntArray,
    parts: IntArray,
    painted: FloatArray,
    texture: FloatArray,
    background: FloatArray,
) -> FloatArray:
    """Return the picture; each pixel is the mean of its two samples.

    Args:
        nearest (`np.ndarray` of shape `(2 * height, width)`): triangle at every sample, -1 for none.
        samples (`np.ndarray` of shape `(num_vertices, 2)`): positions in the raster of the samples.
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
        upper, lower = np.float32(2 * y), np.float32(2 * y + 1)
        for x in range(width):
            first, second = nearest[2 * y, x], nearest[2 * y + 1, x]
            column = np.float32(x)
            if first < 0 and second < 0:
                picture[y, x] = background[y, x]
                continue
            if first == second:
                # One triangle: its middle between the two samples.
                u, v, light, gloss = _mixed(samples, triangles[first], column + half * STAGGER, upper + half, painted)
                picture[y, x] = _lit(texture, u, v, light, gloss)
                continue
            if first < 0 or second < 0:
                if second < 0:
                    u, v, light, gloss = _mixed(samples, triangles[first], column, upper, painted)
                else:
                    u, v, light, gloss = _mixed(samples, triangles[second], column + STAGGER, lower, painted)
                picture[y, x] = half * (_lit(texture, u, v, light, gloss) + background[y, x])
                continue
            u0, v0, l0, g0 = _mixed(samples, triangles[first], column, upper, painted)
            u1, v1, l1, g1 = _mixed(samples, triangles[second], column + STAGGER, lower, painted)
            if parts[first] == parts[second] and abs(u1 - u0) <= SMOOTH_TEXELS and abs(v1 - v0) <= SMOOTH_TEXELS:
                # One surface: shade the middle between the two samples.
                u, v, light, gloss = half * (u0 + u1), half * (v0 + v1), half * (l0 + l1), half * (g0 + g1)
                picture[y, x] = _lit(texture, u, v, light, gloss)
            else:
                picture[y, x] = half * (_lit(texture, u0, v0, l0, g0) + _lit(texture, u1, v1, l1, g1))
    return picture


@njit(cache=True, error_model="numpy")
def displacement(nearest: IntArray, pixels: FloatArray, moved: FloatArray, triangles: IntArray) -> FloatArray:
    """Return how far the surface seen at every pixel moves, float32 `(height, width, 2)`, 0 where there is none.

    `nearest` is that of one sample a pixel; `pixels` (`(num_vertices, 2)`) is where the vertices are and `moved` where
    they go.
    """
    flow = np.zeros((nearest.shape[0], nearest.shape[1], 2), np.float32)
    for y in range(nearest.shape[0]):
        for x in range(nearest.shape[1]):
            index = nearest[y, x]
            if index < 0:
                continue
            a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
            share_b, share_c = _shares(pixels, triangles[index], np.float32(x), np.float32(y))
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
