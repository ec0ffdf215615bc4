"""Courses of events in time, published durations, macro-expressions and recordings without any."""

from itertools import pairwise

import numpy as np
import pytest

from rendered_faces.events import CURVE_KEYS, MACRO_DURATION_S, PUBLISHED_DURATIONS, TIMINGS, published_seconds
from rendered_faces.film import measure, render_clip
from rendered_faces.motion import plan_performance
from rendered_faces.procedural.face import ProceduralFaces


def plan(seed, wanted=(("happiness", "6+12"),), **options):
    settings = {"fps": 200.0, "difficulty": "mild", "duration_s": (0.3, 0.4)} | options
    return plan_performance((seed,), list(wanted), **settings)


def course(performance, event):
    """Return the strongest unit of an event, as a share of its peak."""
    key, peak = max(event.peaks, key=lambda item: item[1])
    return performance.curves[event.onset : event.offset + 1, CURVE_KEYS.index(key)] / peak


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("seed", range(5))
def test_every_course_starts_at_rest_and_reaches_its_peak_at_the_apex(timing, seed):
    performance = plan(seed, timing=timing)
    (event,) = performance.events
    seen = course(performance, event)
    assert event.timing == timing
    assert seen[0] == 0
    assert seen[event.apex - event.onset] == pytest.approx(1, abs=0.02)
    assert seen.max() <= 1 + 1e-6
    assert (seen[-1] > 0.98) == (timing == "stay")


@pytest.mark.parametrize("seed", range(6))
def test_courses_differ_as_they_say(seed):
    def of(timing):
        performance = plan(seed, timing=timing)
        (event,) = performance.events
        return course(performance, event), (event.apex - event.onset) / (event.offset - event.onset)

    (pulse, apex), (held, _), (_, early_apex), (twice, _) = map(of, ("pulse", "hold", "early", "two"))
    assert (held > 0.97).mean() > (pulse > 0.97).mean() + 0.15
    assert 0.05 < early_apex < 0.2 < apex
    middle = len(twice) // 2
    assert twice[middle - 3 : middle + 3].min() < 0.1
    assert min(twice[:middle].max(), twice[middle:].max()) > 0.55


def test_slow_and_fast_events_last_longer_and_shorter():
    lengths = {timing: np.median([plan(s, timing=timing).num_frames for s in range(15)]) for timing in TIMINGS}
    assert 1.5 < lengths["slow"] / lengths["pulse"] < 2.5
    assert 0.33 < lengths["fast"] / lengths["pulse"] < 0.67


def test_mixed_draws_every_course():
    assert {plan(seed, timing="mixed").events[0].timing for seed in range(60)} == set(TIMINGS)


def test_a_face_stays_until_the_next_event_is_due():
    wanted = [("happiness", "12"), ("surprise", "1+2")]
    performance = plan(3, wanted, timing="stay", neutral_s=1.0)
    first, second = performance.events
    smile = performance.curves[:, CURVE_KEYS.index((12, "L"))]
    assert smile[first.offset + 40] == pytest.approx(smile[first.offset])
    assert smile[second.onset] == pytest.approx(0, abs=1e-6)
    brow = performance.curves[:, CURVE_KEYS.index((1, "L"))]
    assert brow[-1] == pytest.approx(brow[second.offset]), "nothing follows the last one"


@pytest.mark.parametrize("corpus", PUBLISHED_DURATIONS)
def test_durations_are_those_published(corpus):
    shortest, mean, longest = PUBLISHED_DURATIONS[corpus]
    rng = np.random.default_rng(0)
    frames = np.array([published_seconds(rng, corpus) * 200 + 1 for _ in range(4000)])
    assert shortest <= frames.min() < shortest + 6
    assert longest - 6 < frames.max() <= longest
    assert frames.mean() == pytest.approx(mean, abs=1.5)
    lengths = [plan(seed, durations=corpus).num_frames for seed in range(40)]
    assert shortest <= min(lengths)
    assert max(lengths) <= longest + 1


@pytest.mark.parametrize("seed", range(5))
def test_macro_expressions_are_strewn_among_the_others(seed):
    wanted = [("surprise", None)] * 3
    alone = plan(seed, wanted, neutral_s=0.5)
    performance = plan(seed, wanted, neutral_s=0.5, macros=("happiness", "disgust"))
    assert [event.peaks for event in performance.events] == [event.peaks for event in alone.events]
    assert sorted(event.emotion for event in performance.macro_events) == ["disgust", "happiness"]
    together = sorted((*performance.events, *performance.macro_events), key=lambda event: event.onset)
    assert all(one.offset < later.onset for one, later in pairwise(together))
    assert len(together) == 5
    for event in performance.macro_events:
        assert MACRO_DURATION_S[0] <= (event.offset - event.onset) / 200 <= MACRO_DURATION_S[1] + 0.01
        assert max(peak for _, peak in event.peaks) >= 3
        assert course(performance, event).max() == pytest.approx(1, abs=0.02)


def test_macro_expressions_may_fall_anywhere():
    orders = set()
    for seed in range(20):
        performance = plan(seed, [("surprise", None)], neutral_s=0.2, macros=("happiness",))
        orders.add(performance.macro_events[0].onset < performance.events[0].onset)
    assert orders == {True, False}


@pytest.mark.parametrize("neutral_s", [0.0, 1.0])
def test_a_recording_may_be_without_any_event(neutral_s):
    performance = plan(1, [], neutral_s=neutral_s)
    assert performance.events == performance.macro_events == ()
    assert not performance.curves.any()
    assert performance.num_frames >= 60
    truth = measure(ProceduralFaces().face(1, (32, 32)), performance)
    assert truth.flow.shape == (0, 32, 32, 2)


def test_truth_names_macro_expressions_apart(tmp_path):
    clip = render_clip(1, "happiness", size=32, timing="two", duration_s=(0.1, 0.1))
    clip.truth.save(tmp_path / "truth.npz")
    with np.load(tmp_path / "truth.npz") as arrays:
        assert arrays["event_timings"].tolist() == ["two"]
        assert arrays["macro_frames"].shape == (0, 3)
        assert arrays["macro_emotions"].tolist() == []
        assert not [name for name in arrays.files if arrays[name].dtype == object]
