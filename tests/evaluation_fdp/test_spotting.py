"""Spotting metrics against hand-computed cases."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_fdp.hub_metric import SpottingMetrics
from evaluation_fdp.spotting import (
    Expression,
    iou_of_intervals,
    kind_of,
    match_expressions,
    spotting_metrics,
)


def micro(onset, offset, label=None, recording="a"):
    return Expression(recording, onset, offset, "micro", label)


def macro(onset, offset, label=None, recording="a"):
    return Expression(recording, onset, offset, "macro", label)


def test_iou_counts_frames_with_both_ends():
    # 10 frames each, 5 of them shared, 15 in all.
    assert iou_of_intervals(micro(0, 9), micro(5, 14)) == pytest.approx(5 / 15)
    assert iou_of_intervals(micro(0, 9), micro(10, 19)) == 0
    assert iou_of_intervals(micro(3, 3), micro(3, 3)) == 1


def test_an_iou_of_exactly_one_half_is_a_match():
    # 20 frames, of which 10 are found.
    assert match_expressions([micro(0, 9)], [micro(0, 19)]) == [(0, 0)]
    assert match_expressions([micro(0, 8)], [micro(0, 19)]) == []


def test_two_findings_of_one_expression_are_one_hit_and_one_false_alarm():
    figures = spotting_metrics([micro(0, 9), micro(1, 10)], [micro(0, 9)])
    assert (figures.micro.true_positives, figures.micro.false_positives, figures.micro.false_negatives) == (1, 1, 0)


def test_as_many_pairs_as_possible_are_matched():
    # With a low bound the first finding fits both; the second fits the first annotation alone.
    found, annotated = [micro(0, 19), micro(0, 5)], [micro(0, 9), micro(10, 19)]
    assert match_expressions(found, annotated, least_iou=0.4) == [(0, 1), (1, 0)]


def test_intervals_of_other_recordings_never_match():
    figures = spotting_metrics([micro(0, 9, recording="b")], [micro(0, 9)])
    assert figures.micro.true_positives == 0


def test_scores_of_a_case_worked_out_by_hand():
    annotated = [micro(0, 9, "happy"), micro(100, 109, "sad"), micro(200, 209, "sad"), macro(300, 359, "happy")]
    found = [
        micro(1, 10, "happy"),  # 9 of 11 frames: right, right class
        micro(100, 109, "happy"),  # right, wrong class
        micro(300, 330, "happy"),  # 31 of 60 frames: right by place, wrong by kind
        micro(500, 510, None, "b"),  # false alarm in another recording
    ]
    figures = spotting_metrics(found, annotated, recordings=["a", "b"], class_names=["happy", "sad"], minutes=4.0)
    assert (figures.micro.true_positives, figures.micro.false_positives, figures.micro.false_negatives) == (2, 2, 1)
    assert figures.micro.precision == pytest.approx(2 / 4)
    assert figures.micro.recall == pytest.approx(2 / 3)
    assert figures.micro.f1 == pytest.approx(4 / 7)
    # happy: 1 right of 1 true and 2 named: 2/3; sad: 0.
    assert figures.micro.recognition_f1 == pytest.approx(1 / 3)
    assert figures.micro.strs == pytest.approx(4 / 21)
    assert (figures.macro.true_positives, figures.macro.false_positives, figures.macro.false_negatives) == (0, 0, 1)
    assert figures.macro.f1 == 0
    # 2 true positives, 2 false positives, 2 false negatives.
    assert figures.together.f1 == pytest.approx(4 / 8)
    assert (figures.any_kind.true_positives, figures.any_kind.false_positives) == (3, 1)
    assert figures.any_kind.f1 == pytest.approx(6 / 8)
    assert figures.false_alarms_per_minute == pytest.approx(1 / 4)
    # Recording a: 3 micro found, 3 annotated; b: 1 found, 0 annotated. Macro: 0 found, 1 annotated in a.
    assert figures.micro.count_error == pytest.approx(0.5)
    assert figures.macro.count_error == pytest.approx(0.5)
    # a: 3 found, 4 annotated; b: 1 and 0.
    assert figures.together.count_error == pytest.approx(1.0)
    written = figures.to_dict()
    assert list(written) == [
        *("micro", "macro", "together", "any_kind", "false_alarms_per_minute", "least_iou", "minutes")
    ]
    assert (written["false_alarms_per_minute"], written["least_iou"], written["minutes"]) == (0.25, 0.5, 4.0)
    assert written["micro"] == pytest.approx({
        "true_positives": 2, "false_positives": 2, "false_negatives": 1, "count_error": 0.5, "recognition_f1": 1 / 3,
        "precision": 1 / 2, "recall": 2 / 3, "f1": 4 / 7, "strs": 4 / 21,
    })  # fmt: skip


def test_a_hit_without_a_class_is_a_miss_of_recognition():
    figures = spotting_metrics([micro(0, 9)], [micro(0, 9, "happy")], class_names=["happy"])
    assert (figures.micro.f1, figures.micro.recognition_f1, figures.micro.strs) == (1.0, 0.0, 0.0)


def test_nothing_annotated_and_nothing_found():
    figures = spotting_metrics([], [], recordings=["quiet"], minutes=1.0)
    assert figures.together.f1 == 0
    assert (figures.together.count_error, figures.false_alarms_per_minute, figures.together.strs) == (0.0, 0.0, None)
    assert spotting_metrics([], []).together.count_error is None


def test_the_limit_of_micro_expressions_is_half_a_second():
    assert [kind_of(15 / 30), kind_of(16 / 30)] == ["micro", "macro"]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: micro(5, 4), "ends at or after its onset"),
        (lambda: Expression("a", 0, 1, "middle"), "is one of"),
        (lambda: spotting_metrics([], [], least_iou=0), "least_iou must lie above 0"),
        (lambda: spotting_metrics([], [], minutes=0), "minutes must be above 0"),
        (lambda: spotting_metrics([micro(0, 1)], [], recordings=["b"]), "'a' is none of them"),
        (lambda: spotting_metrics([], [micro(0, 1, "x")], class_names=["y"]), "classes must be among"),
    ],
)
def test_bad_input_is_one_sentence(act, message):
    with pytest.raises(ValueError, match=message):
        act()


intervals = st.lists(
    st.builds(
        lambda recording, onset, length, kind: Expression(recording, onset, onset + length, kind),
        st.sampled_from("ab"),
        st.integers(0, 60),
        st.integers(0, 20),
        st.sampled_from(["micro", "macro"]),
    ),
    max_size=8,
)


@given(intervals, intervals)
def test_counts_add_up_and_order_does_not_matter(found, annotated):
    figures = spotting_metrics(found, annotated)
    for counts in (figures.together, figures.any_kind):
        assert counts.true_positives + counts.false_positives == len(found)
        assert counts.true_positives + counts.false_negatives == len(annotated)
    assert figures.any_kind.true_positives >= figures.together.true_positives
    assert spotting_metrics(found[::-1], annotated[::-1]).to_dict() == figures.to_dict()
    # Precision and recall change places with found and annotated.
    assert spotting_metrics(annotated, found).any_kind.precision == figures.any_kind.recall


@given(intervals)
def test_the_truth_is_a_perfect_answer(annotated):
    figures = spotting_metrics(annotated, annotated, recordings=["a", "b"])
    assert figures.together.f1 == (1.0 if annotated else 0.0)
    assert figures.together.count_error == 0


def test_the_evaluate_metric_gives_the_same_figures():
    def row(one):
        return {"onset": one.onset, "offset": one.offset, "kind": one.kind, "label": one.label or ""}

    annotated = [micro(0, 9, "happy"), macro(300, 359, "sad")]
    found = [micro(1, 10, "happy"), macro(310, 350), micro(700, 710, "sad")]
    metric = SpottingMetrics()
    metric.add_batch(predictions=[[row(one) for one in found]], references=[[row(one) for one in annotated]])
    metric.add_batch(predictions=[[]], references=[[]])
    answer = metric.compute(class_names=["happy", "sad"], minutes=3.0)
    own = spotting_metrics(
        [Expression("0", one.onset, one.offset, one.kind, one.label) for one in found],
        [Expression("0", one.onset, one.offset, one.kind, one.label) for one in annotated],
        recordings=["0", "1"],
        class_names=["happy", "sad"],
        minutes=3.0,
    )
    assert answer == own.to_dict()
    assert json.loads(json.dumps(answer)) == answer
