"""The morphable model: its two forms on disk, its rasteriser, and its faces where the model is at hand."""

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rendered_faces.morphable
from hub_datasets import load_corpus
from rendered_faces.errors import FaceModelNotFoundError, RenderingError
from rendered_faces.faces import ACTION_UNITS, MIDLINE_ACTION_UNITS, FaceState, Light
from rendered_faces.film import render_clip
from rendered_faces.morphable import model as face_model
from rendered_faces.morphable.model import NEEDED_EXPRESSIONS, NEUTRAL, read_face_model
from rendered_faces.variations import NONE, Variations

SHARED = Path(os.environ.get("FDP_SHARED", Path(__file__).resolve().parents[3] / "shared"))
MODEL = SHARED / "assets" / "ict_face_model_light"
SIZE = (128, 128)

pytest.importorskip("numba", reason="numba is not installed: it comes with the extra [synthesis]")
raster = importlib.import_module("rendered_faces.morphable.raster")
needs_model = pytest.mark.skipif(not MODEL.is_dir(), reason=f"no face model at {MODEL}")


def write_obj(path, vertices, faces=()):
    lines = ["# a comment", *(f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in vertices), "vt 0.5 0.5"]
    lines += ["f " + " ".join(f"{corner + 1}/1/1" for corner in face) for face in faces]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone of ICT-FaceKit with a mesh of five vertices instead of 26,719."""
    monkeypatch.setattr(face_model.datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(face_model, "NUM_DRAWN_VERTICES", 5)
    monkeypatch.setattr(face_model, "NUM_DRAWN_POLYGONS", 2)
    folder = tmp_path / "ICT-FaceKit" / "FaceXModel"
    folder.mkdir(parents=True)
    neutral = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 2, 0.125]], float)
    write_obj(folder / NEUTRAL, neutral, [(0, 1, 2, 3), (3, 2, 4), (0, 1, 4)])
    for index in range(2):
        write_obj(folder / f"identity{index:03d}.obj", neutral + (index + 1) * 0.25)
    for index, name in enumerate(NEEDED_EXPRESSIONS):
        write_obj(folder / f"{name}.obj", neutral + np.array([0, index * 0.125, 0]))
    return tmp_path / "ICT-FaceKit"


def test_obj_files_become_offsets(clone):
    model = read_face_model(clone)
    assert model.vertices.shape == (5, 3)
    # A quad is two triangles, a triangle one; the third polygon is not drawn.
    assert model.triangles.tolist() == [[0, 1, 2], [3, 2, 4], [0, 2, 3]]
    assert model.polygons.tolist() == [0, 1, 0]
    np.testing.assert_allclose(model.identity, np.stack([np.full((5, 3), 0.25), np.full((5, 3), 0.5)]))
    last = NEEDED_EXPRESSIONS[-1]
    np.testing.assert_allclose(model.expressions[last][:, 1], 0.125 * (len(NEEDED_EXPRESSIONS) - 1))
    assert model.landmarks.tolist() == list(face_model.LANDMARKS_68)


def test_obj_files_are_read_once(clone, monkeypatch):
    first = read_face_model(clone)
    monkeypatch.setattr(face_model, "_read_obj", None)
    again = read_face_model(clone / "FaceXModel")
    np.testing.assert_array_equal(again.identity, first.identity)


def test_a_changed_model_is_read_again(clone):
    read_face_model(clone)
    write_obj(clone / "FaceXModel" / "identity000.obj", np.full((5, 3), 3.0))
    assert read_face_model(clone).identity[0].max() == 3


@pytest.mark.parametrize("name", [NEUTRAL, "jawOpen.obj", "identity001.obj"])
def test_a_damaged_file_is_named(clone, name):
    (clone / "FaceXModel" / name).write_text("v 1 2\n")
    with pytest.raises(FaceModelNotFoundError, match=name):
        read_face_model(clone)


def test_a_missing_shape_is_named(clone):
    (clone / "FaceXModel" / "eyeBlink_L.obj").unlink()
    with pytest.raises(FaceModelNotFoundError, match=r"eyeBlink_L\.obj"):
        read_face_model(clone)


@pytest.mark.parametrize("content", [None, b"", b"not a zip archive"])
def test_a_folder_without_a_model_says_what_is_wanted(tmp_path, content):
    if content is not None:
        (tmp_path / "model.npz").write_bytes(content)
    with pytest.raises(FaceModelNotFoundError, match="clone ICT-VGL/ICT-FaceKit"):
        read_face_model(tmp_path)


def test_an_npz_of_another_kind_is_refused(tmp_path):
    np.savez(tmp_path / "model.npz", weights=np.zeros(3))
    with pytest.raises(FaceModelNotFoundError, match="of another kind"):
        read_face_model(tmp_path)


def square(left, top, size, depth):
    """Two triangles that face the camera (y down)."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * size + np.array([left, top], np.float32)
    return corners, np.full(4, depth, np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def visible(pixels, depth, triangles, height, width, num_quads=0):
    return raster.visible_triangles(pixels, depth, triangles, num_quads, height, width, np.float32(0))


def test_a_square_covers_its_pixels_once_and_without_cracks():
    pixels, depth, triangles = square(2.5, 3.5, 10, 1.0)
    nearest = visible(pixels, depth, triangles, 20, 20)
    covered = nearest >= 0
    assert covered.sum() == 100
    assert covered[4:14, 3:13].all()


def test_the_nearer_surface_hides_the_farther_one():
    near, near_depth, triangles = square(4, 4, 8, 2.0)
    far, far_depth, _ = square(0, 0, 16, 1.0)
    for order in (0, 1):
        surfaces = [(near, near_depth), (far, far_depth)][:: 1 - 2 * order]
        pixels, depth = (np.concatenate(parts) for parts in zip(*surfaces, strict=True))
        nearest = visible(pixels, depth, np.concatenate((triangles, triangles + 4)), 16, 16)
        assert nearest[8, 8] // 2 == order
        assert nearest[1, 1] // 2 == 1 - order


def test_a_surface_that_turns_its_back_is_not_seen():
    pixels, depth, triangles = square(2, 2, 8, 1.0)
    assert (visible(pixels, depth, np.ascontiguousarray(triangles[:, ::-1]), 16, 16) < 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_halves_drawn_at_once_are_the_halves_drawn_one_by_one(seed):
    # Random grids of quads, some of them folded or turned away.
    rng = np.random.default_rng(seed)
    columns, rows = np.meshgrid(np.arange(7), np.arange(7))
    pixels = (np.stack((columns, rows), axis=-1) * 5 + rng.normal(0, 1.6, (7, 7, 2))).reshape(-1, 2).astype(np.float32)
    depth = rng.normal(0, 1, 49).astype(np.float32)
    corner = (np.arange(6)[:, None] * 7 + np.arange(6)).ravel()
    halves = np.stack((corner, corner + 1, corner + 8, corner, corner + 8, corner + 7), axis=1)
    triangles = halves.reshape(-1, 3).astype(np.int32)
    apart = visible(pixels, depth, triangles, 32, 32)
    at_once = visible(pixels, depth, triangles, 32, 32, num_quads=36)
    # A sample on the seam of two halves may go to either.
    assert (apart != at_once).mean() < 0.005
    assert (apart >= 0).sum() > 500


def test_a_large_triangle_covers_what_lies_on_its_side_of_each_edge():
    # Higher than the samples that are tested at once.
    pixels = np.array([[3.3, 1.2], [60.7, 20.1], [11.4, 70.9]], np.float32)
    nearest = visible(pixels, np.zeros(3, np.float32), np.array([[0, 1, 2]], np.int32), 80, 64)
    columns, rows = np.meshgrid(np.arange(64), np.arange(80))
    inside = np.ones((80, 64), bool)
    for (ax, ay), (bx, by) in zip(pixels, np.roll(pixels, -1, axis=0), strict=True):
        inside &= (bx - ax) * (rows - ay) - (by - ay) * (columns - ax) >= 0
    np.testing.assert_array_equal(nearest == 0, inside)


def test_samples_of_odd_rows_lie_to_the_right():
    pixels, depth, triangles = square(2.25, 0.0, 4, 1.0)
    nearest = raster.visible_triangles(pixels, depth, triangles, 0, 4, 10, np.float32(0.5))
    assert np.flatnonzero(nearest[0] >= 0).tolist() == [3, 4, 5, 6]
    assert np.flatnonzero(nearest[1] >= 0).tolist() == [2, 3, 4, 5]


def shaded(pixels, depth, triangles, uv, light, texture, background, parts=None):
    """Return the picture of a mesh given in pixels."""
    height, width = background.shape
    samples = (pixels + np.float32(0.25)) * np.array([1, 2], np.float32)
    nearest = raster.visible_triangles(samples, depth, triangles, 0, 2 * height, width, raster.STAGGER)
    painted = np.concatenate((uv, light[:, None], 0 * light[:, None]), axis=1).astype(np.float32)
    parts = np.zeros(len(triangles), np.int32) if parts is None else parts
    return raster.shade(nearest, samples, triangles, parts, painted, texture, background)


def test_texture_and_light_are_linear_over_a_triangle():
    pixels, depth, triangles = square(-0.5, -0.5, 8, 1.0)
    texture = np.tile(np.arange(9, dtype=np.float32), (9, 1))
    uv = np.array([[0, 0], [8, 0], [8, 8], [0, 8]], np.float32)
    light = np.array([1, 1, 2, 2], np.float32)
    background = np.full((8, 8), 9, np.float32)
    columns, rows = np.meshgrid(np.arange(8) + 0.5, np.arange(8) + 0.5)
    picture = shaded(pixels, depth, triangles, uv, light, texture, background)
    # Within one surface a pixel is shaded in its middle.
    np.testing.assert_allclose(picture, np.minimum(columns, 7.99) * (1 + rows / 8), atol=1e-3)


def test_a_pixel_is_the_mean_of_its_samples():
    ones, uv = np.ones(4, np.float32), np.zeros((4, 2), np.float32)
    # The square ends in the middle of column and row 1: half of the pixels there lies on it.
    pixels, depth, triangles = square(-0.5, -0.5, 1.5, 1.0)
    picture = shaded(pixels, depth, triangles, uv, ones, np.ones((3, 3), np.float32), np.zeros((2, 2), np.float32))
    np.testing.assert_allclose(picture, [[1, 0.5], [0.5, 0.5]])


def test_paint_is_not_mixed_across_parts():
    # Two squares side by side meet in the middle of column 1; their textures lie far apart.
    left, depth, triangles = square(-0.5, -0.5, 1.5, 1.0)
    pixels = np.concatenate((left, left + np.array([1.5, 0], np.float32)))
    texture = np.zeros((2, 9), np.float32)
    texture[:, 4] = 9
    uv = np.repeat(np.array([[0, 0], [8, 0]], np.float32), 4, axis=0)
    both_squares, parts = np.concatenate((triangles, triangles + 4)), np.array([0, 0, 1, 1], np.int32)
    ones, depth = np.ones(8, np.float32), np.ones(8, np.float32)
    picture = shaded(pixels, depth, both_squares, uv, ones, texture, np.zeros((1, 3), np.float32), parts)
    np.testing.assert_allclose(picture, 0)


def test_flow_of_a_moving_square_is_its_motion():
    pixels, depth, triangles = square(2, 2, 10, 1.0)
    nearest = visible(pixels, depth, triangles, 16, 16)
    flow = raster.displacement(nearest, pixels, pixels * np.float32(1.1) + np.float32(0.5), triangles)
    rows, columns = np.nonzero(nearest >= 0)
    expected = np.stack((columns, rows), axis=1) * 0.1 + 0.5
    np.testing.assert_allclose(flow[rows, columns], expected, atol=1e-5)
    assert not flow[nearest < 0].any()


def test_normals_point_outwards():
    pixels, depth, triangles = square(0, 0, 1, 0.0)
    vertices = np.concatenate((pixels, depth[:, None]), axis=1)
    everywhere = np.ones(4, bool)
    np.testing.assert_allclose(raster.vertex_normals(vertices, triangles, everywhere), np.tile((0, 0, 1), (4, 1)))


def test_vertices_of_hidden_triangles_are_not_shown_and_the_others_have_the_same_normals():
    rng = np.random.default_rng(0)
    near, near_depth, triangles = square(0, 0, 16, 2.0)
    far, far_depth, _ = square(4, 4, 8, 1.0)
    pixels, depth = np.concatenate((near, far)), np.concatenate((near_depth, far_depth))
    triangles = np.concatenate((triangles, triangles + 4))
    shown = raster.shown_vertices(visible(pixels, depth, triangles, 16, 16), triangles, 8)
    assert shown.tolist() == [True] * 4 + [False] * 4
    # One triangle joins both squares.
    triangles = np.concatenate((triangles, np.array([[0, 1, 6]], np.int32)))
    vertices = rng.normal(size=(8, 3)).astype(np.float32)
    all_normals = raster.vertex_normals(vertices, triangles, np.ones(8, bool))
    np.testing.assert_array_equal(raster.vertex_normals(vertices, triangles, shown)[:4], all_normals[:4])


@pytest.fixture(scope="module")
def family():
    from rendered_faces.morphable.face import MorphableFaces

    return MorphableFaces(MODEL)


@pytest.fixture(scope="module")
def face(family):
    return family.face(3, SIZE)


def both(code, pixels):
    return FaceState(action_units={(code, "L"): pixels, (code, "R"): pixels})


@needs_model
def test_a_seed_is_an_identity(family, face):
    again, other = family.face(3, SIZE), family.face(4, SIZE)
    np.testing.assert_array_equal(face.render(FaceState()), again.render(FaceState()))
    assert np.abs(face.render(FaceState()) - other.render(FaceState())).mean() > 0.02
    assert np.abs(face.five_points(FaceState()) - other.five_points(FaceState())).max() > 1


@needs_model
@pytest.mark.parametrize("code", ACTION_UNITS)
def test_an_action_unit_moves_the_skin_by_as_many_pixels_as_it_says(face, code):
    flow = np.hypot(*np.moveaxis(face.flow(FaceState(), both(code, 2.0)), -1, 0))
    assert 1.2 < flow.max() < 2.8
    assert (flow > 0.4).mean() < 0.35


@needs_model
@pytest.mark.parametrize("code", [code for code in ACTION_UNITS if code not in MIDLINE_ACTION_UNITS])
def test_the_left_side_of_the_subject_is_the_right_of_the_image(face, code):
    flow = np.hypot(*np.moveaxis(face.flow(FaceState(), FaceState(action_units={(code, "L"): 2.0})), -1, 0))
    assert flow[:, 64:].sum() > 4 * flow[:, :64].sum()


@needs_model
def test_flow_at_landmarks_is_the_motion_of_the_landmarks(face):
    start, end = FaceState(), FaceState(action_units={(12, "L"): 3.0}, yaw=2, shift_xy=(0.5, -0.5))
    flow, places, after = face.flow(start, end), face.landmarks(start), face.landmarks(end)
    # Nose ridge: nothing hides it and the skin is smooth.
    for index in range(27, 31):
        x, y = places[index]
        np.testing.assert_allclose(flow[round(float(y)), round(float(x))], after[index] - places[index], atol=0.25)


@needs_model
@pytest.mark.parametrize("yaw", [-30.0, -18.0, 12.0, 30.0])
@pytest.mark.parametrize("nearness", [0.0, 1 / (3 * 126), 1 / (10 * 126)])
def test_flow_and_landmarks_agree_while_the_head_turns_before_any_lens(face, yaw, nearness):
    start = FaceState(yaw=yaw, pitch=6, nearness=nearness)
    end = FaceState(
        action_units={(12, "L"): 6.0, (4, "R"): 3.0}, yaw=0.9 * yaw, pitch=3, roll=2, shift_xy=(1.0, -0.5),
        nearness=nearness,
    )  # fmt: skip
    flow, places, after = face.flow(start, end), face.landmarks(start), face.landmarks(end)
    # Nose ridge and the inner corner of the near eye: nothing hides them.
    for index in (*range(27, 31), 39 if yaw > 0 else 42):
        x, y = places[index]
        seen = flow[round(float(y)), round(float(x))]
        np.testing.assert_allclose(seen, after[index] - places[index], atol=0.35)


@needs_model
def test_a_near_camera_sees_what_is_near_larger(face):
    far, near = face.landmarks(FaceState()), face.landmarks(FaceState(nearness=1 / (3 * 126)))
    middle = np.array([63.5, 63.5])
    # The tip of the nose stands before the jaw's corners.
    grown = np.linalg.norm(near - middle, axis=1) / np.linalg.norm(far - middle, axis=1)
    assert grown[33] > grown[[0, 16]].mean() + 0.03
    np.testing.assert_allclose(face.landmarks(FaceState(nearness=1e-9)), far, atol=1e-3)


@needs_model
@pytest.mark.parametrize("name", ["hair", "beard", "glasses", "brows", "skin", "make_up", "clothes"])
def test_looks_of_a_model_leave_its_skin_where_it_is(family, name):
    state, changed = FaceState(action_units={(12, "L"): 3.0}, yaw=5), 0
    for seed in range(8):
        # High enough to show clothes.
        plain, varied = (family.face(seed, (176, 128), switches) for switches in (NONE, Variations.only([name])))
        np.testing.assert_array_equal(plain.landmarks(state), varied.landmarks(state))
        changed += not np.array_equal(plain.render(state), varied.render(state))
    assert changed >= 3


@needs_model
@pytest.mark.parametrize("light", [Light(shadow=0.5), Light(warmth=0.2), Light(direction=(0.5, 0.0, 0.6), key=0.3)])
def test_light_of_a_model_leaves_its_skin_where_it_is(face, light):
    start, end = FaceState(yaw=3, light=light), FaceState(action_units={(1, "L"): 2.0}, light=light)
    np.testing.assert_array_equal(face.flow(start, end), face.flow(replace(start, light=Light()), end))
    assert np.abs(face.render(start) - face.render(replace(start, light=Light()))).max() > 0.02


@needs_model
def test_a_wild_clip_of_the_model_is_the_same_again(family):
    first, again = (
        render_clip(9, "disgust", size=48, family=family, difficulty="wild", duration_s=(0.05, 0.08)).frames
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


@needs_model
def test_the_turn_of_the_eyeballs_is_no_motion_of_the_skin(face):
    start = FaceState(gaze_xy=(-0.2, 0.0))
    flow = np.hypot(*np.moveaxis(face.flow(start, FaceState(gaze_xy=(0.8, 0.6))), -1, 0))
    for x, y in face.five_points(start)[:2]:
        middle = slice(round(float(y)) - 1, round(float(y)) + 2), slice(round(float(x)) - 1, round(float(x)) + 2)
        assert flow[middle].max() < 0.05, "the pupil carries no motion"
    assert flow.max() > 0.2, "the lids follow the gaze"


@needs_model
def test_either_side_of_the_upper_lip_lights_the_mouth(face):
    from rendered_faces.morphable.mesh import INSIDE_MOUTH

    def light_inside(**sides):
        units = {(10, side): pixels for side, pixels in sides.items()}
        vertices = face._posed(FaceState())
        samples, _ = face._project(vertices, FaceState(), raster.ROWS_PER_PIXEL)
        everywhere = np.ones(len(vertices), bool)
        painted = face._painted(vertices, samples, everywhere, FaceState(action_units=units))
        return painted[face.mesh.kept(INSIDE_MOUTH), 2].mean()

    assert light_inside(R=2.0) == light_inside(L=2.0) > light_inside()
    assert light_inside(L=1.0, R=2.0) == light_inside(L=1.0)


@needs_model
@pytest.mark.parametrize(
    "state",
    [
        FaceState(),
        FaceState(yaw=28, pitch=12, roll=5),
        FaceState(yaw=-30, pitch=-10, action_units={(26, "L"): 6.0, (25, "L"): 5.0, (10, "L"): 3.0}),
        FaceState(blink=0.5, gaze_xy=(1.0, 1.0), action_units={(12, "L"): 6.0, (4, "R"): 6.0}),
    ],
)
@pytest.mark.parametrize("seed", [1, 5, 9])
def test_nothing_is_missing_of_the_mesh_that_is_drawn(family, seed, state, monkeypatch):
    from rendered_faces.morphable import mesh

    monkeypatch.setattr(mesh, "_seen", lambda model, triangles, num_quads: np.ones(len(triangles), bool))
    whole = type(family.face(0, (32, 32)))(family.model, mesh.drawn_mesh(family.model), seed, SIZE)
    np.testing.assert_allclose(family.face(seed, SIZE).landmarks(state), whole.landmarks(state), atol=1e-3)
    off = np.abs(family.face(seed, SIZE).render(state) - whole.render(state))
    assert (off > 0.05).sum() < 20, "a few pixels of ears and hair at most"


@needs_model
def test_a_blink_covers_the_eyes(face):
    light = Light(key=0.3, ambient=0.6)
    (x, y), _ = face.five_points(FaceState())[:2]
    window = (slice(round(y) - 4, round(y) + 5), slice(round(x) - 7, round(x) + 8))
    opened = face.render(FaceState(light=light))[window]
    shut = face.render(FaceState(blink=1, light=light))[window]
    # Pupils, whites and their contrast go away.
    assert shut.std() < 0.75 * opened.std()


@needs_model
def test_clips_of_the_model_render_like_built_in_ones(family):
    clip = render_clip(9, "disgust", size=48, family=family, duration_s=(0.05, 0.08))
    again = render_clip(9, "disgust", size=48, family=family, duration_s=(0.05, 0.08))
    np.testing.assert_array_equal(clip.frames, again.frames)
    assert clip.truth.landmarks.shape[1:] == (68, 2)
    assert np.abs(clip.truth.flow).max() > 0.3


@needs_model
def test_a_corpus_of_the_model_is_rendered_and_told_from_the_built_in_one(tmp_path):
    options = {"num_subjects": 1, "clips_per_subject": 1, "size": 32, "fps": 30, "cache_dir": tmp_path}
    rows = load_corpus("synthetic", face_model=MODEL, **options)
    built_in = load_corpus("synthetic", **options)
    assert len(rows) == len(built_in) == 1
    assert set(rows[0]["frames"]).isdisjoint(built_in[0]["frames"])
    (truth,) = Path(rows[0]["frames"][0]).parents[3].glob("ground_truth/*.npz")
    with np.load(truth) as arrays:
        assert arrays["landmarks"].shape == (len(rows[0]["frames"]), 68, 2)
        assert 0 < np.abs(arrays["flow"]).max() < 2


def test_without_numba_the_error_names_the_extra(monkeypatch):
    for name in ("face", "mesh", "raster"):
        monkeypatch.delitem(sys.modules, f"rendered_faces.morphable.{name}", raising=False)
        monkeypatch.delattr(rendered_faces.morphable, name, raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(RenderingError, match=r"fdp-micro-expression\[synthesis\]"):
        importlib.import_module("rendered_faces.morphable.face")


@needs_model
def test_a_frame_does_not_depend_on_the_frames_before_it(family):
    states = [
        FaceState(action_units={(12, "L"): 3.0, (25, "L"): 2.0}, yaw=9.0, gaze_xy=(0.3, 0.2), light=Light(shadow=0.5)),
        FaceState(action_units={(1, "R"): 2.0}, blink=0.6, nearness=0.002, light=Light(warmth=0.2)),
        FaceState(),
    ]
    first, second = (family.face(5, SIZE, Variations.only(["hair", "glasses"])) for _ in range(2))
    forwards = [first.render(state) for state in states]
    backwards = [second.render(state) for state in reversed(states)][::-1]
    np.testing.assert_array_equal(forwards, backwards)
