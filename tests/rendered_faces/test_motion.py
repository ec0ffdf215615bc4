"""Scripts of recordings, and clips rendered from them in memory."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from hub_datasets.scanning.action_units import parse_action_units
from rendered_faces.errors import RenderingOptionError
from rendered_faces.faces import ACTION_UNITS
from rendered_faces.film import film, render_clip
from rendered_faces.habits import gaze as gaze_path
from rendered_faces.motion import CURVE_KEYS, DIFFICULTIES, LARGEST_YAW, plan_performance
from rendered_faces.prototypes import MIXES, PROTOTYPES, deal_emotions, draw_combination, parse_combination


def plan(seed=1, emotion="happiness", combination=None, **options):
    settings = {"fps": 100.0, "difficulty": "mild", "duration_s": (0.2, 0.4)} | options
    return plan_performance((seed,), [(emotion, combination)], **settings)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize("seed", range(4))
def test_an_event_rises_from_rest_to_the_apex_and_back(difficulty, seed):
    performance = plan(seed, combination="6+12", difficulty=difficulty)
    (event,) = performance.events
    quiet = DIFFICULTIES[difficulty].twitch
    assert (event.onset, event.offset) == (0, performance.num_frames - 1)
    assert 0 < event.apex < event.offset
    peaks = dict(event.peaks)
    strongest = max(peaks, key=peaks.get)
    curve = performance.curves[:, CURVE_KEYS.index(strongest)]
    low, high = DIFFICULTIES[difficulty].motion
    assert low <= peaks[strongest] <= high
    if not quiet:
        assert curve[0] == 0
        assert curve[-1] == pytest.approx(0, abs=1e-6)
        assert np.argmax(curve) == event.apex
        assert curve[event.apex] == pytest.approx(peaks[strongest])
        # Only the units of the event move.
        moving = {CURVE_KEYS[column] for column in np.flatnonzero(performance.curves.max(axis=0))}
        assert moving == set(peaks)
    assert 0.2 <= (performance.num_frames - 1) / 100 <= 0.4


def test_rise_and_fall_are_not_mirror_images():
    shares = [plan(seed).events[0].apex / plan(seed).events[0].offset for seed in range(20)]
    assert max(shares) - min(shares) > 0.15


def test_one_sided_actions_stay_on_their_side():
    peaks = dict(plan(combination="L14").events[0].peaks)
    assert set(peaks) == {(14, "L")}
    assert set(dict(plan(combination="1+2").events[0].peaks)) == {(1, "L"), (1, "R"), (2, "L"), (2, "R")}


def test_events_of_a_long_recording_are_sparse_and_in_order():
    performance = plan_performance(
        (3,), [("surprise", None)] * 3, fps=100, difficulty="mild", duration_s=(0.2, 0.4), neutral_s=1.0
    )
    frames = [frame for event in performance.events for frame in (event.onset, event.apex, event.offset)]
    assert frames == sorted(frames)
    gaps = np.diff([0, *frames, performance.num_frames])[::3]
    assert gaps.min() >= 50
    active = performance.curves.max(axis=1) > 0
    inside = np.zeros_like(active)
    for event in performance.events:
        inside[event.onset : event.offset + 1] = True
    assert not active[~inside].any()


def test_speech_moves_the_mouth_all_the_time():
    silent, talking = plan(neutral_s=1.0), plan(neutral_s=1.0, speech=True)
    column = CURVE_KEYS.index((25, "L"))
    assert (silent.curves[:, column] > 0.5).mean() < 0.2
    assert (talking.curves[:, column] > 0.5).mean() > 0.2


def test_difficulty_grows_the_nuisance():
    def drift(difficulty):
        return np.mean([np.abs(plan(seed, difficulty=difficulty).pose[:, 0]).mean() for seed in range(10)])

    assert drift("mild") < drift("medium") < drift("hard")
    assert plan(difficulty="hard", seed=2).jpeg_quality <= 90


def test_blinks_and_gaze_shifts_occur():
    performance = plan(5, neutral_s=10.0, difficulty="hard")
    assert performance.blink.max() > 0.8
    assert performance.blink.min() < 0.05
    assert np.ptp(performance.gaze[:, 0]) > 0.2


@pytest.mark.parametrize("seed", range(4))
def test_every_gaze_shift_that_was_drawn_is_seen(seed):
    time = np.arange(60 * 60) / 60
    asked = np.random.default_rng(seed)
    asked.normal(0, 0.15, (1, 2))
    shifts = asked.poisson(0.9 * 60)
    gaze = gaze_path(np.random.default_rng(seed), time, 0.9)
    held = np.unique(gaze[1:][(gaze[1:] == gaze[:-1]).all(axis=1)], axis=0)
    # One look more than shifts; a shift within 50 ms of the next one is not held.
    assert 0.85 * shifts < len(held) <= shifts + 1


def test_no_head_turns_further_than_the_card_says():
    plans = [plan(seed, difficulty="hard", neutral_s=2.0) for seed in range(60)]
    largest = [float(np.abs(performance.pose[:, 0]).max()) for performance in plans]
    assert max(largest) == LARGEST_YAW
    assert sum(yaw == LARGEST_YAW for yaw in largest) < 20, "only those beyond the limit are turned back"
    assert min(np.ptp(performance.pose[:, 0]) for performance in plans) > 0.1, "the limit cuts no motion off"


def test_the_sheet_cell_is_read_back_by_the_parser():
    event = plan(combination="L12+17").events[0]
    units = parse_action_units(event.action_units_text()).units
    assert [(unit.code, unit.side) for unit in units] == [("12", "L"), ("17", "")]
    assert all(unit.intensity in "ABCDE" and unit.intensity for unit in units)


@pytest.mark.parametrize(
    ("mix", "num_clips", "expected"),
    [
        ("5class", 0, {}),
        ("casme2", 246, {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25}),
        ("5class", 10, dict.fromkeys(("happiness", "disgust", "repression", "surprise", "others"), 2)),
        ("samm", 159, MIXES["samm"]),
    ],
)
def test_classes_are_dealt_in_exact_proportion(mix, num_clips, expected):
    dealt = deal_emotions(np.random.default_rng(0), num_clips, mix)
    assert Counter(dealt) == Counter(expected)


def test_the_three_class_mix_is_balanced():
    dealt = Counter(deal_emotions(np.random.default_rng(0), 81, "3class"))
    assert dealt["happiness"] == dealt["surprise"] == 27


def test_every_prototype_can_be_shown_and_emotions_overlap():
    combinations = {emotion: {text for _, text in rows} for emotion, rows in PROTOTYPES.items()}
    for emotion, texts in combinations.items():
        assert all(code in ACTION_UNITS for text in texts for code, _ in parse_combination(text)), emotion
    assert combinations["disgust"] & combinations["others"]
    assert combinations["repression"] & combinations["others"]


@pytest.mark.parametrize("text", ["", "12+", "X12", "99", "12 and 6"])
def test_a_bad_combination_is_named(text):
    with pytest.raises(ValueError, match="action units are numbers joined"):
        parse_combination(text)


def test_an_unknown_emotion_is_named():
    with pytest.raises(ValueError, match="'glee'"):
        draw_combination(np.random.default_rng(0), "glee")


def test_render_clip_gives_frames_and_truth(tmp_path):
    clip = render_clip(11, "surprise", size=48)
    truth = clip.truth
    count = len(clip.frames)
    assert clip.frames.shape == (count, 48, 48)
    assert clip.frames.dtype == np.uint8
    assert truth.curves.shape == (count, len(CURVE_KEYS))
    assert truth.five_points.shape == (count, 5, 2)
    assert truth.landmarks.shape == (count, len(truth.landmark_names), 2)
    assert truth.flow.shape == (1, 48, 48, 2)
    truth.save(tmp_path / "truth.npz")
    with np.load(tmp_path / "truth.npz") as arrays:
        np.testing.assert_allclose(arrays["flow"], truth.flow, atol=2e-3)
        assert arrays["event_emotions"].tolist() == ["surprise"]
        assert arrays["curve_names"][0] == "L1"
        assert set(arrays.files) >= {"curves", "pose", "blink", "gaze", "landmark_names", "identity", "fps"}
        assert "allow_pickle" not in arrays.files
        assert not [name for name in arrays.files if arrays[name].dtype == object]


def test_render_clip_is_deterministic_and_seeded():
    first, again, other = (render_clip(11, "surprise", seed=seed, size=32).frames for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_the_apex_differs_most_from_the_onset():
    clip = render_clip(12, action_units="1+2+5", size=96, difficulty="mild")
    performance_noise = clip.frames[1].astype(float) - clip.frames[0]
    apex = clip.truth.events[0].apex
    assert np.abs(clip.frames[apex].astype(float) - clip.frames[0]).mean() > 1.2 * np.abs(performance_noise).mean()


def test_render_clip_needs_something_to_show():
    with pytest.raises(ValueError, match="needs an emotion or action units"):
        render_clip(1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"difficulty": "brutal"}, "difficulty is one of mild, medium, hard, wild, but 'brutal'"),
        ({"size": 1}, "32 to 4096 pixels"),
        ({"fps": 0}, "fps must be 10 to"),
        ({"duration_s": (0.4, 0.2)}, "shortest first"),
    ],
)
def test_render_clip_refuses_what_a_corpus_refuses(setting, message):
    with pytest.raises(RenderingOptionError, match=message):
        render_clip(1, "disgust", **setting)


def test_flicker_and_exposure_reach_the_frames():
    performance = plan(3, difficulty="hard", duration_s=(0.1, 0.1))

    class Flat:
        pixel_scale = 1.0

        def render(self, state, backdrop=None):
            return np.full((16, 16), 0.25, np.float32)

    frames = np.stack(list(film(Flat(), performance))).astype(float)
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), 127.5 * performance.gain, atol=2)
    assert frames[0].std() == pytest.approx(255 * performance.noise, rel=0.3)


@pytest.mark.parametrize("pixel_scale", [0.5, 1.0, 4.0])
def test_every_frame_is_filmed_once_and_in_order(pixel_scale):
    performance = plan(3, duration_s=(0.37, 0.37))
    performance = replace(performance, noise=0.0, blur=0.0, gain=np.ones_like(performance.gain))
    performance = replace(performance, blink=np.linspace(0, 1, performance.num_frames))

    class Counted:
        def __init__(self):
            self.pixel_scale = pixel_scale

        def render(self, state, backdrop=None):
            return np.full((4, 4), state.blink**2, np.float32)

    frames = [frame[0, 0] for frame in film(Counted(), performance)]
    np.testing.assert_array_equal(frames, np.floor(255 * performance.blink.astype(np.float32) + 0.5))


def test_blur_keeps_brightness_and_spreads_a_point():
    performance = replace(plan(3), noise=0.0, blur=1.5)
    performance = replace(performance, gain=np.ones_like(performance.gain))
    picture = np.zeros((21, 21), np.float32)
    picture[10, 10] = 0.9

    class Point:
        pixel_scale = 1.0

        def render(self, state, backdrop=None):
            return picture.copy()

    # The display gamma is undone.
    blurred = (next(film(Point(), performance)) / 255.0) ** 2
    assert blurred.sum() == pytest.approx(0.9, abs=0.02)
    rows = np.arange(21) - 10
    assert (blurred.sum(axis=1) * rows**2).sum() / blurred.sum() == pytest.approx(1.5**2, rel=0.07)
    assert blurred[10, 8] == pytest.approx(blurred[8, 10])
