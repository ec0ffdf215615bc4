"""A z-buffer rasteriser compiled by numba (extra `synthesis`); orthographic, one thread, same bits on every run."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rendered_faces.faces import FloatArray

IntArray = NDArray[np.int32]

# Samples along each side of a pixel: lids and lips move by fractions of a pixel.
SUPERSAMPLING = 2
CRACK = np.float32(1e-3)


@njit(cache=True, fastmath=False)
def add_offsets(vertices: FloatArray, weight: np.float32, offsets: FloatArray) -> None:
    """Add `weight` times `offsets` to `vertices` in place, both float32 `(num_vertices, 3)`."""
    for vertex in range(vertices.shape[0]):
        for axis in range(3):
            vertices[vertex, axis] += weight * offsets[vertex, axis]


@njit(cache=True, fastmath=False)
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
        length = np.sqrt(normals[vertex, 0] ** 2 + normals[vertex, 1] ** 2 + normals[vertex, 2] ** 2)
        if length > 0:
            normals[vertex] /= length
    return normals


@njit(cache=True, fastmath=False)
def visible_triangles(pixels: FloatArray, depth: FloatArray, triangles: IntArray, height: int, width: int) -> IntArray:
    """Return the nearest triangle at every pixel, int32 `(height, width)`, -1 where there is none.

    `pixels` (`(num_vertices, 2)`, x right, y down) are positions in this raster, `depth` grows towards the camera;
    triangles that show their back are left out.
    """
    nearest = np.full((height, width), -1, np.int32)
    front = np.full((height, width), -np.inf, np.float32)
    for index in range(triangles.shape[0]):
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        ax, ay, bx, by, cx, cy = pixels[a, 0], pixels[a, 1], pixels[b, 0], pixels[b, 1], pixels[c, 0], pixels[c, 1]
        # A triangle whose normal points to the camera has positive area with y down.
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area <= 0:
            continue
        left, right = max(0, int(np.ceil(min(ax, bx, cx)))), min(width - 1, int(np.floor(max(ax, bx, cx))))
        top, bottom = max(0, int(np.ceil(min(ay, by, cy)))), min(height - 1, int(np.floor(max(ay, by, cy))))
        # Triangles smaller than the samples' spacing may lie between them.
        if left > right or top > bottom:
            continue
        # Each weight is linear along a row, so that its sign cuts the row once: three cuts leave the covered span.
        inverse = np.float32(1) / area
        step_b, step_c = (cy - ay) * inverse, (ay - by) * inverse
        step_a = -step_b - step_c
        za, slope_b, slope_c = depth[a], depth[b] - depth[a], depth[c] - depth[a]
        step_z = step_b * slope_b + step_c * slope_c
        for y in range(top, bottom + 1):
            dy = np.float32(y) - ay
            row_b, row_c = -dy * (cx - ax) * inverse, (bx - ax) * dy * inverse
            low, high = np.float32(left) - ax, np.float32(right) - ax
            for weight, step in ((row_b, step_b), (row_c, step_c), (np.float32(1) - row_b - row_c, step_a)):
                if step > 0:
                    low = max(low, -weight / step)
                elif step < 0:
                    high = min(high, -weight / step)
                elif weight < 0:
                    high = low - np.float32(1)
            row_z = za + row_b * slope_b + row_c * slope_c
            # Neighbours overlap by a hair, so that rounding leaves no crack between them.
            for x in range(int(np.ceil(ax + low - CRACK)), int(np.floor(ax + high + CRACK)) + 1):
                z = row_z + (np.float32(x) - ax) * step_z
                if 0 <= x < width and z > front[y, x]:
                    front[y, x] = z
                    nearest[y, x] = index
    return nearest


@njit(cache=True, fastmath=False)
def shade(
    nearest: IntArray,
    pixels: FloatArray,
    triangles: IntArray,
    lit: FloatArray,
    gloss: FloatArray,
    uv: FloatArray,
    texture: FloatArray,
    scale: int,
    background: FloatArray,
) -> FloatArray:
    """Return the picture, float32 of shape `(height / scale, width / scale)`, each pixel the mean of its samples.

    `texture` is read at the interpolated `uv` (`(num_vertices, 2)`, texels, column first); `lit` and `gloss`
    (`(num_vertices,)`) are light on the texture and on top of it; `background` is the picture behind.
    """
    height, width = nearest.shape[0] // scale, nearest.shape[1] // scale
    picture = np.zeros((height, width), np.float32)
    zero, one = np.float32(0), np.float32(1)
    share = np.float32(1 / (scale * scale))
    last_v, last_u = np.float32(texture.shape[0] - 1.01), np.float32(texture.shape[1] - 1.01)
    last = -1
    ax = ay = u0 = u_x = u_y = v0 = v_x = v_y = l0 = l_x = l_y = g0 = g_x = g_y = zero
    for y in range(height * scale):
        for x in range(width * scale):
            index = nearest[y, x]
            if index < 0:
                picture[y // scale, x // scale] += share * background[y // scale, x // scale]
                continue
            if index != last:
                # Everything is linear over a triangle: value, then change along x and y.
                last = index
                a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
                ax, ay = pixels[a, 0], pixels[a, 1]
                bx, by, cx, cy = pixels[b, 0] - ax, pixels[b, 1] - ay, pixels[c, 0] - ax, pixels[c, 1] - ay
                inverse = one / (bx * cy - by * cx)
                b_x, b_y, c_x, c_y = cy * inverse, -cx * inverse, -by * inverse, bx * inverse
                u0, ub, uc = uv[a, 0], uv[b, 0] - uv[a, 0], uv[c, 0] - uv[a, 0]
                v0, vb, vc = uv[a, 1], uv[b, 1] - uv[a, 1], uv[c, 1] - uv[a, 1]
                l0, lb, lc = lit[a], lit[b] - lit[a], lit[c] - lit[a]
                g0, gb, gc = gloss[a], gloss[b] - gloss[a], gloss[c] - gloss[a]
                u_x, u_y, v_x, v_y = ub * b_x + uc * c_x, ub * b_y + uc * c_y, vb * b_x + vc * c_x, vb * b_y + vc * c_y
                l_x, l_y, g_x, g_y = lb * b_x + lc * c_x, lb * b_y + lc * c_y, gb * b_x + gc * c_x, gb * b_y + gc * c_y
            dx, dy = np.float32(x) - ax, np.float32(y) - ay
            u = min(max(u0 + dx * u_x + dy * u_y, zero), last_u)
            v = min(max(v0 + dx * v_x + dy * v_y, zero), last_v)
            column, row = int(u), int(v)
            fu, fv = u - np.float32(column), v - np.float32(row)
            upper = texture[row, column] + (texture[row, column + 1] - texture[row, column]) * fu
            lower = texture[row + 1, column] + (texture[row + 1, column + 1] - texture[row + 1, column]) * fu
            albedo = upper + (lower - upper) * fv
            light, shine = l0 + dx * l_x + dy * l_y, g0 + dx * g_x + dy * g_y
            picture[y // scale, x // scale] += share * (albedo * light + shine)
    return picture


@njit(cache=True, fastmath=False)
def displacement(nearest: IntArray, start: FloatArray, end: FloatArray, triangles: IntArray) -> FloatArray:
    """Return how far the surface at every pixel moves from `start` to `end` (`(num_vertices, 2)`)."""
    flow = np.zeros((nearest.shape[0], nearest.shape[1], 2), np.float32)
    for y in range(nearest.shape[0]):
        for x in range(nearest.shape[1]):
            index = nearest[y, x]
            if index < 0:
                continue
            a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
            ax, ay, bx, by, cx, cy = start[a, 0], start[a, 1], start[b, 0], start[b, 1], start[c, 0], start[c, 1]
            inverse = 1 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
            wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inverse
            wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * inverse
            wa = 1 - wb - wc
            for axis in range(2):
                flow[y, x, axis] = wa * end[a, axis] + wb * end[b, axis] + wc * end[c, axis] - (x, y)[axis]
    return flow
