"""Calibration: by hand, and what a temperature must do."""

import numpy as np
import pytest

from evaluation_fdp.calibration import at_temperature, best_temperature, expected_calibration_error, movement_weights


def test_the_error_by_hand():
    """Two clips at 0.9, one of them right, and two at 0.6, both right: |1.8 - 1| and |1.2 - 2| over four clips."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    assert expected_calibration_error(probabilities, [0, 1, 0, 0]) == pytest.approx((0.8 + 0.8) / 4)


def test_bins_are_closed_below_and_as_many_as_asked_for():
    """At 0.5 and 0.74, one right and one wrong: 0.5 - 1 and 0.74 of two clips, or their sum where a bin holds both."""
    probabilities = np.array([[0.5, 0.5], [0.74, 0.26]])
    assert expected_calibration_error(probabilities, [0, 1], num_bins=4) == pytest.approx(abs(1.24 - 1) / 2)
    assert expected_calibration_error(probabilities, [0, 1], num_bins=8) == pytest.approx((0.5 + 0.74) / 2)
    assert expected_calibration_error(probabilities, [0, 1]) == pytest.approx((0.5 + 0.74) / 2)


def test_a_class_that_was_called_impossible_has_a_temperature():
    impossible = np.array([[1.0, 0.0], [0.6, 0.4]])
    assert np.isfinite(at_temperature(impossible, 2.0)).all() and at_temperature(impossible, 2.0)[0, 1] < 1e-100
    assert best_temperature(impossible, [1, 0]) == pytest.approx(20, rel=1e-2), "the warmest that is searched"
    assert best_temperature(np.array([[0.6, 0.4], [0.4, 0.6]]), [0, 1]) == pytest.approx(0.05, rel=1e-2)


def test_certain_and_right_is_no_error_and_certain_and_wrong_is_all():
    certain = np.eye(3)
    assert expected_calibration_error(certain, [0, 1, 2]) == 0
    assert expected_calibration_error(certain, [1, 2, 0]) == 1


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_that_made_the_answers_too_sure(true_temperature):
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([0.6] * 4, 20_000)
    labels = [int(rng.choice(4, p=row)) for row in honest]
    shown = at_temperature(honest, 1 / true_temperature)
    assert best_temperature(shown, labels) == pytest.approx(true_temperature, rel=0.05)
    after = expected_calibration_error(at_temperature(shown, true_temperature), labels)
    assert after < 0.02 and after <= expected_calibration_error(shown, labels) + 1e-9


def test_a_temperature_divides_scores_and_keeps_the_order():
    scores = np.random.default_rng(1).normal(size=(5, 4))
    softmax = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    divided = np.exp(scores / 1.7) / np.exp(scores / 1.7).sum(1, keepdims=True)
    assert np.allclose(at_temperature(softmax, 1.7), divided)
    assert np.array_equal(divided.argmax(1), softmax.argmax(1))


def test_movements_are_told_from_rest_and_no_group_loses_more_than_its_share():
    rng = np.random.default_rng(2)
    # Only the second value tells them apart; the first has a hundred times its unit.
    moving, still = (rng.normal([0, mean], [100, 1], (1000, 2)) for mean in (3, 0))
    groups = [moving[:500], moving[500:] - [0, 1]]
    *weights, constant = movement_weights(moving, still, groups, 0.05)
    lost = [np.mean(group @ weights + constant < 0) for group in groups]
    assert 0.045 < lost[1] <= 0.05 and lost[0] < 0.02, "the group that is harder to keep decides"
    assert np.mean(still @ weights + constant < 0) == pytest.approx(0.61, abs=0.05)
    assert abs(weights[0]) * 100 < 0.1 * weights[1]


@pytest.mark.parametrize("count", [10, 16, 22, 30, 41])
def test_a_small_group_loses_no_larger_share_either(count):
    rng = np.random.default_rng(count)
    moving, still = rng.normal(1, 1, (count, 2)), rng.normal(0, 1, (50, 2))
    *weights, constant = movement_weights(moving, still, [moving], 0.05)
    assert np.mean(moving @ weights + constant < 0) <= 0.05


def test_movements_without_rest_are_refused():
    some = np.ones((3, 2))
    for moving, still, kept in ((some, some[:0], [some]), (some[:0], some, [some]), (some, some, [])):
        with pytest.raises(ValueError, match="both are needed"):
            movement_weights(moving, still, kept, 0.05)


@pytest.mark.parametrize("labels", [[], [0]])
@pytest.mark.parametrize("function", [expected_calibration_error, best_temperature])
def test_clips_without_labels_are_refused(labels, function):
    with pytest.raises(
        ValueError, match=f"one label per row of probabilities, but got {len(labels)} labels and 2 rows"
    ):
        function(np.full((2, 2), 0.5), labels)
