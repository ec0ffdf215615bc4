"""Switches of difficulty `wild`: what each changes, and that it changes nothing else."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from rendered_faces.errors import RenderingOptionError
from rendered_faces.events import WILD_MOTION
from rendered_faces.faces import FaceState, Light
from rendered_faces.film import film, measure, render_clip
from rendered_faces.motion import plan_performance
from rendered_faces.procedural.anatomy import Anatomy
from rendered_faces.procedural.face import ProceduralFaces
from rendered_faces.scenes import Backdrop, Scene
from rendered_faces.variations import ALL, BUILT_IN_YAW, MORPHABLE_YAW, NONE, VARIATION_NAMES, Variations, switches_of
from rendered_faces.wild import FRAME_RATES, vary

# What each switch may change of a script; those of the face change none of it.
CHANGED = {
    "background": {"scene"},
    "moving_background": {"scene"},
    "coloured_light": {"lights"},
    "moving_light": {"lights"},
    "shadow": {"lights"},
    "mains_flicker": {"gain", "bands"},
    "rolling_noise": {"bands", "row_noise"},
    "gain_steps": {"gain"},
    "compression": {"codec"},
    "blur": {"blur"},
    "focal_length": {"nearness"},
    "movement_size": {"curves", "events"},
    "head_turns": {"pose"},
    "gaze": {"gaze"},
    "blinks": {"blink"},
    "speech": {"curves"},
    "swallowing": {"curves", "pose"},
}
# What each switch of the face may change of a built-in identity.
LOOKS = {
    "hair": {"hair_tone", "hairline_y", "fringe", "parting", "strand"},
    "beard": {"stubble", "moustache", "beard"},
    "glasses": {"glasses", "rim", "lens"},
    "brows": {"brow_thickness", "brow_density"},
    "skin": {"skin_tone", "skin_mottle", "freckles", "folds", "pores", "oiliness"},
    "make_up": {"lip_contrast", "liner", "blush"},
    "clothes": {"shirt_tone", "stripes"},
}
# High enough to show clothes.
TALL = (64, 48)
# These move skin, lids or the camera's view of them; all others leave the truth as it is.
MOVING = {
    "movement_size", "head_turns", "gaze", "blinks", "speech", "swallowing", "frame_rate", "focal_length",
}  # fmt: skip


def script(seed, variations=NONE, **options):
    settings = {"fps": 60.0, "difficulty": "medium", "duration_s": (0.2, 0.3), "neutral_s": 0.3} | options
    return plan_performance((seed,), [("happiness", "6+12")], variations=variations, **settings)


def differing(first, second):
    def same(a, b):
        if isinstance(a, np.ndarray):
            return np.array_equal(a, b)
        if isinstance(a, tuple) and a and isinstance(a[0], np.ndarray):
            return len(a) == len(b) and all(map(np.array_equal, a, b))
        return a == b

    return {field.name for field in fields(first) if not same(getattr(first, field.name), getattr(second, field.name))}


def test_every_switch_is_in_a_table():
    assert set(VARIATION_NAMES) == set(CHANGED) | set(LOOKS) | {"frame_rate"}


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_a_switch_of_the_script_changes_what_it_says_and_nothing_else(name):
    changed = set()
    for seed in range(6):
        one = differing(script(seed), script(seed, Variations.only([name])))
        assert one <= CHANGED[name]
        changed |= one
    assert changed == CHANGED[name]


# Of fields that no other switch changes, too.
@pytest.mark.parametrize("field", ["row_noise", "codec", "blur", "nearness", "blink", "gaze", "events"])
def test_a_switch_does_the_same_whatever_else_is_thrown(field):
    (name,) = [name for name, changed in CHANGED.items() if field in changed]
    alone, together = script(3, Variations.only([name])), script(3, ALL.without("frame_rate"))
    assert field not in differing(alone, together)


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_a_switch_of_the_face_changes_what_it_says_and_nothing_else(name):
    assert not differing(script(1), script(1, Variations.only([name])))
    changed = set()
    for seed in range(12):
        rest, varied = (
            asdict(a) for a in (Anatomy.draw(seed), Anatomy.draw(seed).varied(Variations.only([name]), seed))
        )
        one = {key for key in rest if rest[key] != varied[key]}
        assert one <= LOOKS[name]
        changed |= one
    assert changed == LOOKS[name]


@pytest.mark.parametrize("name", sorted(set(VARIATION_NAMES) - MOVING))
def test_light_camera_and_looks_leave_the_truth_alone_and_change_the_picture(name):
    switch = Variations.only([name])
    plain, other = script(5), script(5, switch)
    family = ProceduralFaces()
    # Which of twelve people wear a beard, glasses or paint is drawn.
    changed = False
    for seed in range(1, 13):
        face, varied = family.face(seed, TALL), family.face(seed, TALL, switch)
        if not changed:
            changed = not np.array_equal(list(film(face, plain))[-1], list(film(varied, other))[-1])
        if seed < 3:
            truth, truth_varied = measure(face, plain), measure(varied, other)
            for field in ("curves", "pose", "blink", "gaze", "five_points", "landmarks", "flow"):
                np.testing.assert_array_equal(getattr(truth, field), getattr(truth_varied, field))
    assert changed


@pytest.mark.parametrize("seed", range(8))
def test_ranges(seed):
    wild = plan_performance(
        (seed,), [("disgust", None)], fps=60, difficulty="wild", duration_s=(0.2, 0.4), neutral_s=0.5, variations=ALL,
        largest_yaw=MORPHABLE_YAW,
    )  # fmt: skip
    assert wild.fps in FRAME_RATES
    strongest = max(peak for _, peak in wild.events[0].peaks)
    assert WILD_MOTION[0] * 0.7 <= strongest <= WILD_MOTION[1]
    assert np.abs(wild.pose[:, 0]).max() <= MORPHABLE_YAW + 1e-3
    assert 0.4 < wild.gain.min() <= wild.gain.max() < 1.9
    assert 0 < wild.nearness <= 1 / (3 * 126)
    assert all(0.2 <= light.shadow <= 0.7 for light in wild.lights)
    assert np.isfinite(wild.curves).all()
    assert wild.curves.min() >= 0


def test_heads_turn_as_far_as_their_kind_can():
    def widest(limit):
        turns = Variations.only(["head_turns"])
        return max(float(np.abs(script(seed, turns, largest_yaw=limit).pose[:, 0]).max()) for seed in range(30))

    assert 13 < widest(BUILT_IN_YAW) <= BUILT_IN_YAW + 1e-3
    assert 25 < widest(MORPHABLE_YAW) <= MORPHABLE_YAW + 1e-3
    turning = [np.ptp(script(seed, Variations.only(["head_turns"])).pose[:, 0]) for seed in range(10)]
    assert np.median(turning) > 1.5 * np.median([np.ptp(script(seed).pose[:, 0]) for seed in range(10)])


def test_movement_sizes_reach_from_micro_to_plain():
    sizes = [
        max(peak for _, peak in script(seed, Variations.only(["movement_size"])).events[0].peaks) for seed in range(60)
    ]
    assert min(sizes) < 0.6
    assert max(sizes) > 5
    assert 1.0 < np.median(sizes) < 2.4


def test_wild_clips_are_deterministic():
    first, again = (render_clip(7, "surprise", difficulty="wild", size=33, duration_s=(0.05, 0.1)) for _ in range(2))
    np.testing.assert_array_equal(first.frames, again.frames)
    assert len(first.frames) == len(first.truth.curves)


def test_only_wild_throws_switches():
    assert switches_of("wild") == ALL
    assert all(switches_of(name) == NONE for name in ("mild", "medium", "hard"))
    assert ALL.without("hair", "speech").chosen() == tuple(n for n in VARIATION_NAMES if n not in {"hair", "speech"})
    plain = script(2)
    assert vary(plain, NONE, 15.0) is not plain
    assert not differing(vary(plain, NONE, 15.0), plain)


def test_an_unknown_switch_is_named():
    with pytest.raises(RenderingOptionError, match="moustaches"):
        Variations.only(["hair", "moustaches"])


def test_a_shadow_lies_where_it_says():
    light = Light(shadow=0.4, shadow_edge=10.0, shadow_width=4.0)
    share = light.share(np.array([0.0, 7.9, 10.0, 12.1, 40.0], np.float32), np.zeros(5, np.float32))
    np.testing.assert_allclose(share, [1, 1, 0.8, 0.6, 0.6], atol=0.01)
    upright = replace(light, shadow_angle=np.pi / 2)
    np.testing.assert_allclose(upright.share(np.float32([40, 0]), np.float32([0, 40])), [1, 0.6], atol=0.01)


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi, 3.6])
def test_the_shadow_in_numbers_is_the_same_shadow(angle):
    light = Light(shadow=0.4, shadow_edge=-5.0, shadow_width=12.0, shadow_angle=angle)
    columns, rows = np.meshgrid(np.arange(60, dtype=np.float32), np.arange(40, dtype=np.float32))
    scale, middle = 1.5, (29.5, 19.5)
    strength, right, down, offset = light.ramp(*middle, scale)
    ramp = np.clip(right * columns + down * rows + offset, 0, 1)
    expected = light.share((columns - middle[0]) / np.float32(scale), (rows - middle[1]) / np.float32(scale))
    np.testing.assert_allclose(1 - strength * ramp**2 * (3 - 2 * ramp), expected, atol=1e-5)


def test_a_shadow_darkens_its_half_of_the_face_by_its_share():
    face = ProceduralFaces().face(4, (128, 128))
    shadow = Light(shadow=0.5, shadow_edge=0.0, shadow_width=2.0)
    ratio = face.render(FaceState(light=shadow)) / face.render(FaceState(light=Light()))
    np.testing.assert_allclose(ratio[50:90, 40:60], 1, atol=1e-4)
    np.testing.assert_allclose(ratio[50:90, 68:88], 0.5, atol=0.02)


def test_coloured_light_changes_lips_most():
    face = ProceduralFaces().face(4, (128, 128))
    ratio = face.render(FaceState(light=Light(warmth=-0.3))) / face.render(FaceState())
    _, _, _, left, right = face.five_points(FaceState())
    mouth = ratio[round(float(left[1])) + 2, round(float((left[0] + right[0]) / 2))]
    cheek = ratio[round(float(left[1])) - 22, round(float(left[0])) - 8]
    assert mouth < cheek - 0.1
    assert cheek < 0.85


def test_a_moving_scene_moves_and_a_still_one_does_not():
    wall = np.full((64, 80), 0.5, np.float32)
    still, moving = Backdrop(Scene(1, None, 30.0), wall), Backdrop(Scene(1, 5, 30.0), wall)
    assert still.picture(0).shape == moving.picture(9).shape == (64, 80)
    np.testing.assert_array_equal(still.picture(0), still.picture(30))
    assert max(np.abs(moving.picture(0) - moving.picture(frame)).mean() for frame in range(10, 90, 10)) > 0.005
    assert still.picture(0).std() > 0.05
