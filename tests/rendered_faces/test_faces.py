"""The built-in face: what moves, by how much, and whether the truth about it is true."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rendered_faces.faces import ACTION_UNITS, MIDLINE_ACTION_UNITS, FaceState, Light, inverse_2x2, rotation_matrix
from rendered_faces.procedural import paint as procedural_paint
from rendered_faces.procedural.anatomy import PIXELS_PER_UNIT, Anatomy
from rendered_faces.procedural.face import ProceduralFaces, points_of, sample_maps, slopes
from rendered_faces.procedural.paint import paint_skin
from rendered_faces.procedural.units import SlitOpening
from rendered_faces.variations import Variations

SIZE = (128, 128)


@pytest.fixture(scope="module")
def face():
    return ProceduralFaces().face(seed=4, image_size_hw=SIZE)


def both(code, pixels):
    return FaceState(action_units={(code, "L"): pixels, (code, "R"): pixels})


def warp(picture, flow):
    """Read `picture` at `pixel + flow`."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    x = (columns + flow[..., 0]) / (picture.shape[1] - 1) * 2 - 1
    y = (rows + flow[..., 1]) / (picture.shape[0] - 1) * 2 - 1
    grid = torch.from_numpy(np.stack((x, y), axis=-1)[None])
    return F.grid_sample(torch.from_numpy(picture)[None, None], grid, align_corners=True)[0, 0].numpy()


@pytest.mark.parametrize("size", [(32, 32), (128, 128), (160, 120)])
def test_frames_have_the_asked_shape_and_range(size):
    frame = ProceduralFaces().face(0, size).render(FaceState())
    assert frame.shape == size
    assert frame.dtype == np.float32
    assert frame.min() >= 0
    assert frame.max() <= 1
    assert frame.std() > 0.05


def test_a_seed_is_an_identity():
    family = ProceduralFaces()
    first, again, other = (family.face(seed, SIZE) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.render(FaceState()), again.render(FaceState()))
    np.testing.assert_array_equal(first.identity, again.identity)
    assert not np.array_equal(first.identity, other.identity)


def test_identity_varies_far_more_than_motion():
    faces = [ProceduralFaces().face(seed, SIZE) for seed in range(6)]
    still = [face.render(FaceState()) for face in faces]
    moved = [face.render(both(12, 3.0)) for face in faces]
    motion = np.mean([np.abs(a - b).mean() for a, b in zip(still, moved, strict=True)])
    identity = np.mean([np.abs(still[i] - still[j]).mean() for i in range(6) for j in range(i)])
    assert identity > 8 * motion


@pytest.mark.parametrize("code", ACTION_UNITS)
def test_an_action_unit_moves_the_skin_by_as_many_pixels_as_it_says(face, code):
    flow = face.flow(FaceState(), both(code, 2.0))
    largest = np.hypot(flow[..., 0], flow[..., 1]).max()
    assert 1.4 < largest < 2.8
    # Local: most of the face stays where it is.
    assert (np.hypot(flow[..., 0], flow[..., 1]) > 0.2).mean() < 0.45


@pytest.mark.parametrize("code", [code for code in ACTION_UNITS if code not in MIDLINE_ACTION_UNITS])
def test_the_left_side_of_the_subject_is_the_right_of_the_image(face, code):
    flow = np.hypot(*np.moveaxis(face.flow(FaceState(), FaceState(action_units={(code, "L"): 2.0})), -1, 0))
    assert flow[:, 64:].sum() > 5 * flow[:, :64].sum()


@pytest.mark.parametrize(
    ("code", "landmark", "axis", "sign"),
    [
        (1, "brow_inner_left", 1, -1),
        (2, "brow_outer_left", 1, -1),
        (4, "brow_inner_left", 1, 1),
        (5, "upper_lid_left", 1, -1),
        (7, "lower_lid_left", 1, -1),
        (12, "mouth_corner_right", 0, 1),
        (12, "mouth_corner_right", 1, -1),
        (15, "mouth_corner_right", 1, 1),
        (17, "lower_lip_bottom", 1, -1),
        (20, "mouth_corner_left", 0, -1),
        (25, "lower_lip_rim", 1, 1),
        (26, "chin", 1, 1),
    ],
)
def test_action_units_move_the_landmarks_that_facs_names(face, code, landmark, axis, sign):
    index = face.landmark_names.index(landmark)
    moved = face.landmarks(both(code, 2.0))[index] - face.landmarks(FaceState())[index]
    assert sign * moved[axis] > 0.3


def test_action_units_change_the_shading_and_not_only_the_place(face):
    still, end = face.render(FaceState()), both(12, 3.0)
    unshaded = warp(still, -face.flow(FaceState(), end))
    corner = slice(70, 100)
    assert np.abs(face.render(end) - unshaded)[corner].max() > 0.03


def test_flow_takes_one_frame_to_the_other(face):
    # Light from everywhere: what moves keeps its brightness.
    light = Light(key=0.0, ambient=0.9)
    start = FaceState(action_units={(4, "L"): 1.0, (4, "R"): 1.0}, yaw=3, shift_xy=(1.0, -0.5), light=light)
    end = FaceState(action_units={(12, "L"): 2.0, (12, "R"): 2.0}, yaw=5, roll=1, shift_xy=(-1.0, 0.5), light=light)
    first, second = face.render(start), face.render(end)
    skin = np.zeros(SIZE, bool)
    skin[30:110, 35:93] = True
    before = np.abs(first - second)[skin].mean()
    after = np.abs(first - warp(second, face.flow(start, end)))[skin].mean()
    assert after < 0.35 * before


def test_flow_at_landmarks_is_the_motion_of_the_landmarks(face):
    start, end = (
        FaceState(yaw=-4, shift_xy=(0.5, 0.5)),
        FaceState(action_units={(12, "L"): 2.0, (12, "R"): 2.0, (1, "L"): 1.5}, yaw=-2, roll=2),
    )
    # Rims of lids and lips lie on an edge where pixels left and right of it move differently.
    smooth = [index for index, name in enumerate(face.landmark_names) if "rim" not in name and "lid" not in name]
    flow, places = face.flow(start, end), face.landmarks(start)[smooth]
    expected = face.landmarks(end)[smooth] - places
    for (x, y), motion in zip(places, expected, strict=True):
        seen = flow[round(float(y)), round(float(x))]
        assert np.abs(seen - motion).max() < 0.35


@pytest.mark.parametrize(("yaw", "pitch", "share"), [(8, 2, 0.0005), (10, 5, 0.01), (15, 8, 0.015), (-15, 8, 0.015)])
def test_pixels_show_the_point_of_the_face_that_lies_there(face, yaw, pitch, share):
    state = FaceState(yaw=yaw, pitch=pitch)
    x, y = points_of(face._pixel_to_face(state, *face.displacements.total({}))[0])
    seen_x, seen_y = face._project(x.numpy(), y.numpy(), state)
    off = np.hypot(seen_x - face._columns, seen_y - face._rows)
    head = sample_maps(torch.from_numpy(face.skin.head)[None], x, y)[0].numpy() > 0.5
    assert (off[head] > 0.1).mean() < share


@pytest.mark.parametrize("seed", range(4))
def test_landmarks_lie_where_the_paint_is(seed, monkeypatch):
    anatomy = dataclasses.replace(
        Anatomy.draw(seed), brow_tilt=0.08, brow_arch=0.1, eye_tilt=-0.12, mouth_bend=0.03, brow_density=0.9,
        folds=0.0, stubble=0.0, hairline_y=-1.2, fringe=0.0, skin_tone=0.5, hair_tone=0.05,
    )  # fmt: skip
    monkeypatch.setattr(procedural_paint, "smooth_noise", lambda rng, size, cells: np.zeros(size, np.float32))
    names, points = anatomy.landmarks()
    place = dict(zip(names, points, strict=True))
    pixel = 1 / PIXELS_PER_UNIT

    def column(name, reach):
        x, y = place[name]
        rows = np.linspace(y - reach, y + reach, 401, dtype=np.float32)
        columns = np.array([x, x + 1e-3], np.float32)
        return paint_skin(anatomy, *np.meshgrid(columns, rows), seed).albedo[:, 0], rows, y

    for name in ("brow_inner", "brow_middle", "brow_outer", "eye_inner", "eye_outer"):
        for side in ("left", "right"):
            tones, rows, y = column(f"{name}_{side}", 2 * pixel)
            assert rows[np.argmin(tones)] == pytest.approx(y, abs=0.3 * pixel), name
    for name in ("upper_lip_top", "lower_lip_bottom"):
        tones, rows, y = column(name, 1.2 * pixel)
        assert rows[np.argmin(np.abs(tones - (tones.min() + tones.max()) / 2))] == pytest.approx(y, abs=0.3 * pixel)


def test_no_motion_is_no_flow(face):
    assert np.abs(face.flow(FaceState(yaw=8), FaceState(yaw=8))).max() < 1e-3


def test_a_blink_shuts_the_lids(face):
    names = face.landmark_names
    upper, lower = names.index("upper_lid_left"), names.index("lower_lid_left")

    def gap(state):
        points = face.landmarks(state)
        return points[lower, 1] - points[upper, 1]

    assert gap(FaceState()) > 4
    assert abs(gap(FaceState(blink=1))) < 0.2
    assert gap(FaceState(blink=0.5)) == pytest.approx(gap(FaceState()) / 2, abs=0.6)


def test_gaze_moves_the_iris_and_nothing_else(face):
    difference = np.abs(face.render(FaceState(gaze_xy=(1.0, 0.0))) - face.render(FaceState()))
    eyes = face.five_points(FaceState())[:2]
    near = np.zeros(SIZE, bool)
    for x, y in eyes:
        near[round(y) - 10 : round(y) + 10, round(x) - 14 : round(x) + 14] = True
    assert difference[near].max() > 0.1
    assert difference[~near].max() < 1e-4


def test_five_points_follow_the_head(face):
    rest = face.five_points(FaceState())
    assert rest[0, 0] < rest[2, 0] < rest[1, 0]
    assert rest[3, 0] < rest[4, 0]
    assert rest[0, 1] < rest[2, 1] < rest[3, 1]
    shifted = face.five_points(FaceState(shift_xy=(3.0, -2.0)))
    np.testing.assert_allclose(shifted - rest, np.tile((3.0, -2.0), (5, 1)), atol=1e-3)
    rolled = face.five_points(FaceState(roll=10))
    turned = np.rad2deg(np.arctan2(*(rolled[1] - rolled[0])[::-1]))
    assert turned - np.rad2deg(np.arctan2(*(rest[1] - rest[0])[::-1])) == pytest.approx(10, abs=0.01)
    # The nose stands out: turning right moves it further than the mouth.
    yawed = face.five_points(FaceState(yaw=10)) - rest
    assert yawed[2, 0] > yawed[3:, 0].mean() > 0


def test_an_unknown_action_unit_is_named(face):
    with pytest.raises(ValueError, match="no action unit 99"):
        face.render(FaceState(action_units={(99, "L"): 1.0}))


def test_the_inverse_of_two_rows_is_that_of_numpy():
    rows = [[41.0, -3.5], [2.25, 57.0]]
    np.testing.assert_allclose(inverse_2x2(rows), np.linalg.inv(rows), rtol=1e-14)


def test_rotation_is_a_rotation():
    matrix = rotation_matrix(10, -5, 3)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-6)


def test_an_unknown_action_unit_leaves_nothing_behind():
    face = ProceduralFaces().face(5, (64, 64))
    expected = face.render(FaceState())
    with pytest.raises(ValueError, match="no action unit 99"):
        face.render(FaceState(action_units={(12, "L"): 3.0, (99, "L"): 1.0}))
    np.testing.assert_array_equal(face.render(FaceState()), expected)


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (7, 9)])
def test_slopes_are_those_of_numpy(size):
    surface = np.random.default_rng(0).normal(size=size).astype(np.float32)
    np.testing.assert_array_equal(slopes(surface, 66.25), np.gradient(surface, 1 / 66.25))


@pytest.mark.parametrize("size", [(128, 128), (32, 32)])
@pytest.mark.parametrize(
    "state",
    [
        FaceState(),
        FaceState(action_units={(5, "L"): 4.0, (5, "R"): 4.0, (25, "L"): 4.0, (26, "L"): 3.0}),
        FaceState(action_units={(7, "R"): 1.5}, blink=0.6, gaze_xy=(0.5, 1.0)),
    ],
)
def test_lids_and_lips_change_only_the_rows_around_them(size, state, monkeypatch):
    narrow = ProceduralFaces().face(6, size).render(state)
    monkeypatch.setattr(procedural_paint, "RIM_REACH", 10.0)
    np.testing.assert_array_equal(narrow, ProceduralFaces().face(6, size).render(state))


def test_open_eyes_are_three_times_as_glossy_and_the_skin_is_not(face):
    opening = SlitOpening.of(face.anatomy, FaceState())
    gloss = np.ones_like(face.depth)
    painter = procedural_paint.SlitPainter(face.anatomy, face.skin.albedo, gloss.copy(), face.x, face.y)
    painter.paint(opening, np.zeros((3, *gloss.shape), np.float32), face.skin.albedo.copy(), gloss)
    column, row = (np.abs(face.x[0] - face.anatomy.eye_x).argmin(), np.abs(face.y[:, 0] - face.anatomy.eye_y).argmin())
    assert gloss[row, column] == 3
    assert (gloss > 1).mean() < 0.02


def test_a_key_light_from_the_side_darkens_nothing(face):
    ambient = face.render(FaceState(light=Light(key=0.0, ambient=0.4)))
    lit = face.render(FaceState(light=Light((1.0, 0.0, 0.05), key=0.8, ambient=0.4)))
    assert (lit - ambient).min() > -1e-6
    assert (lit - ambient).max() > 0.1


def test_a_frame_does_not_depend_on_the_frames_before_it():
    states = [
        FaceState(action_units={(12, "L"): 3.0, (25, "L"): 2.0}, yaw=9.0, gaze_xy=(0.3, 0.2), light=Light(shadow=0.5)),
        FaceState(action_units={(1, "R"): 2.0}, blink=1.0, light=Light(warmth=0.2)),
        FaceState(),
    ]
    first, second = (ProceduralFaces().face(5, (96, 80), Variations.only(["glasses"])) for _ in range(2))
    forwards = [first.render(state) for state in states]
    backwards = [second.render(state) for state in reversed(states)][::-1]
    np.testing.assert_array_equal(forwards, backwards)


def test_only_texels_out_of_view_are_left_unlit():
    # In the dark a frame is black but for its wall, wherever the head is.
    for shift, scale in (((0.0, 0.0), 1.0), ((30.0, -70.0), 1.0), ((0.0, 90.0), 1.3), ((0.0, 400.0), 0.6)):
        face = ProceduralFaces().face(5, (128, 96), Variations.only(["glasses"]))
        dark = FaceState(shift_xy=shift, scale=scale, light=Light(key=0.0, ambient=0.0))
        picture = face.render(dark, np.zeros((128, 96), np.float32))
        assert picture.max() < 0.1
