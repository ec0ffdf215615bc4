"""The protocol over subjects on fake trees, its thresholds, and those of false alarms."""

import json
from itertools import pairwise

import numpy as np
import pytest

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.spotting import Expression
from spotting_fdp import protocol
from spotting_fdp.protocol import (
    LongRecording,
    SpottedRecording,
    corpus_recordings,
    score_recordings,
    spot_recordings,
    thresholds_of_others,
)
from spotting_fdp.spotter import SpottedExpression, SpottingResult
from spotting_fdp.thresholds import CLOSED_FORM, FalseAlarmRates
from tests.fakes.fake import make_fake_corpus

TRIED = [3.0 + 0.5 * step for step in range(35)]


@pytest.mark.parametrize(
    ("corpus", "variant", "label_set", "options"),
    [
        ("cas_me_2", "rawpic", None, {}),
        ("cas_me_2", "rawvideo", None, {"package": "rawvideo"}),
        ("samm_long", "V3", None, {}),
        # The sheet of micro-expressions beside the videos.
        ("cas_me_3", "videos", "4class", {"sheet": "v2"}),
    ],
)
def test_loaders_give_recordings_with_intervals_in_their_own_frames(tmp_path, corpus, variant, label_set, options):
    make_fake_corpus(corpus, tmp_path / "corpus", variant)
    recordings = corpus_recordings(corpus, tmp_path / "corpus", label_set, options, cache_dir=tmp_path / "cache")
    assert len({recording.name for recording in recordings}) == len(recordings) > 1
    kinds = {one.kind for recording in recordings for one in recording.annotated}
    assert kinds == ({"micro"} if corpus == "cas_me_3" else {"micro", "macro"})
    for recording in recordings:
        assert recording.annotated and recording.subject
        for one in recording.annotated:
            if recording.num_frames is not None:
                assert 0 <= one.onset <= one.offset < recording.num_frames
                assert isinstance(recording.source, list)
            else:
                assert recording.source.endswith(".avi")
        assert recording.fps == (200.0 if corpus == "samm_long" else 30.0)
    labels = {one.label for recording in recordings for one in recording.annotated}
    assert labels & {"positive", "negative", "surprise", "others"}


def test_a_corpus_of_cut_clips_is_refused():
    with pytest.raises(ConfigError, match="--corpus has long recordings"):
        corpus_recordings("casme2", "nowhere")


def recording(name, subject, found):
    annotated = [Expression(name, 100, 119), Expression(name, 300, 319)]
    spotted = [(Expression(name, onset, onset + 19), score) for onset, score in found]
    return SpottedRecording(LongRecording(name, subject, "", 60.0, None, annotated), spotted, 2.0)


@pytest.fixture
def spotted():
    return [
        # Above 5 the first two subjects keep their hits and lose their false alarms; the third one's hits are low.
        recording("a1", "a", [(100, 9.0), (300, 8.0), (500, 5.0)]),
        recording("b1", "b", [(100, 9.0), (300, 7.5), (700, 5.0)]),
        recording("c1", "c", [(100, 4.0), (300, 4.0)]),
    ]


def test_one_threshold_for_all(spotted):
    figures = score_recordings(spotted, 6.0, with_classes=False)
    assert (figures.micro.true_positives, figures.micro.false_positives, figures.micro.false_negatives) == (4, 0, 2)
    assert figures.false_alarms_per_minute == 0
    assert score_recordings(spotted, 3.0, with_classes=False).false_alarms_per_minute == pytest.approx(2 / 6)


def test_a_subject_never_chooses_its_own_threshold(spotted):
    chosen = thresholds_of_others(spotted, TRIED)
    # For c the other two want to be above 5; for a, b and c together: above 5 gives 2 of 4, at 4 all with one alarm.
    assert chosen["c"] > 5.0
    assert chosen["a"] <= 4.0 and chosen["b"] <= 4.0
    figures = score_recordings(spotted, chosen.__getitem__, with_classes=False)
    assert (figures.micro.true_positives, figures.micro.false_positives, figures.micro.false_negatives) == (4, 2, 2)
    changed = [spotted[0], spotted[1], recording("c1", "c", [(600, 20.0)])]
    assert thresholds_of_others(changed, TRIED)["c"] == chosen["c"]
    with pytest.raises(ConfigError, match="there is 1 subject"):
        thresholds_of_others(spotted[:1], TRIED)


class OneFinding:
    """Stands for the spotter: one expression at frames 2 to 9 of every recording."""

    calls = 0
    rates, network, recognizer, warnings = CLOSED_FORM, None, None, []

    def __init__(self, rate, recognizer, model, closed_form, crop=None):
        assert rate in (None, CLOSED_FORM.most) and (recognizer, model, closed_form, crop) == (None, None, True, None)
        self.least_score = CLOSED_FORM.least_score(rate)

    def spot(self, source, fps):
        type(self).calls += 1
        found = SpottedExpression(2, 5, 9, 2 / fps, 5 / fps, 9 / fps, "micro", 8.0, False)
        return SpottingResult("x", fps, 600, [found], 4.0, 1.0, 1.0, 0.0, [], [], [])


def test_the_command_resumes_and_writes_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(protocol, "Spotter", OneFinding)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    make_fake_corpus("samm_long", tmp_path / "corpus")
    words = ["--corpus", "samm_long", "--data_dir", str(tmp_path / "corpus"), "--output_dir", str(tmp_path / "out")]
    assert protocol.main([*words, "--spot_only", "--closed_form"]) == 0
    figures = json.loads((tmp_path / "out" / "figures.json").read_text(encoding="utf-8"))
    calls, OneFinding.calls = OneFinding.calls, 0
    assert figures["recordings"] == calls > 1
    assert set(figures["figures"]) == {"one threshold", "leave one subject out"}
    assert set(figures["thresholds_of_subjects"]) and figures["figures"]["one threshold"]["micro"]["strs"] is None
    assert "one threshold, together: P" in capsys.readouterr().out
    assert protocol.main([*words, "--spot_only", "--closed_form"]) == 0
    assert OneFinding.calls == 0
    with pytest.raises(ConfigError, match=r"results of one checkpoint.*model None.* and not of model other"):
        spot_recordings(
            corpus_recordings("samm_long", tmp_path / "corpus"),
            tmp_path / "out" / "recordings",
            OneFinding(None, None, None, True),
            "other",
        )
    # A version before left out no interval, and wrote nothing of it.
    for path in (tmp_path / "out").rglob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("intervals", None) is not None:
            path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"intervals None and not of .*intervals all"):
        protocol.main([*words, "--spot_only", "--closed_form"])


@pytest.mark.parametrize("measured", [CLOSED_FORM, FalseAlarmRates(((0.1, 9.0), (0.3, 2.0), (0.6, 0.1)), 2.0)])
def test_thresholds_fall_with_the_rate_of_false_alarms(measured):
    assert measured.least_score(measured.measured[1][1]) == pytest.approx(measured.measured[1][0])
    assert measured.least_score() == measured.least_score(measured.usual)
    rates = np.geomspace(measured.fewest, measured.most, 20)
    scores = [measured.least_score(float(rate)) for rate in rates]
    assert all(high > low for high, low in pairwise(scores))


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e3, float("nan")])
def test_rates_that_were_not_measured_are_refused(rate):
    with pytest.raises(ConfigError, match="false alarms a minute are given from"):
        CLOSED_FORM.least_score(rate)
