"""Intervals over subjects: whole subjects are drawn, seeds and pairs share the draws, and 95% means 95%."""

import numpy as np
import pytest
from scipy.stats import norm

from evaluation_fdp.intervals import SeedAnswers, SubjectCounts, paired_intervals, subject_intervals
from evaluation_fdp.metrics import METRICS, classification_metrics


def counts_of(*seeds, num_labels=2):
    return SubjectCounts.of([SeedAnswers(*seed) for seed in seeds], num_labels)


def corpus(num_subjects, accuracies, clips_per_subject=4, seed=0):
    """Subjects whose clips are right with their own probability; one column of answers per seed."""
    generator = np.random.default_rng(seed)
    subjects = np.repeat([f"s{number}" for number in range(num_subjects)], clips_per_subject)
    references = np.tile([0, 1], len(subjects) // 2)
    answers = []
    for accuracy in accuracies:
        right = generator.random(len(subjects)) < accuracy
        answers.append((subjects, references, np.where(right, references, 1 - references)))
    return answers


def test_the_interval_holds_the_figure_and_collapses_where_all_subjects_answer_alike():
    subjects, references = np.repeat(np.arange(20), 3).astype(str), np.tile([0, 1, 2], 20)
    alike = np.tile([0, 1, 0], 20)
    point = classification_metrics(alike, references, 3)
    collapsed = subject_intervals(counts_of((subjects, references, alike), num_labels=3))
    assert all(collapsed[name] == pytest.approx((point[name], point[name])) for name in METRICS)
    noisy = np.where(np.random.default_rng(0).random(60) < 0.4, 1, references)
    found = subject_intervals(counts_of((subjects, references, noisy), num_labels=3))
    figures = classification_metrics(noisy, references, 3)
    assert all(low < figures[name] < high for name, (low, high) in found.items())
    assert found == subject_intervals(counts_of((subjects, references, noisy), num_labels=3))


def test_subjects_are_drawn_and_not_clips():
    """One subject is all right and one all wrong: drawing clips would give a narrow interval, subjects [0, 1]."""
    subjects, answers = ["a"] * 100 + ["b"] * 100, [0] * 100 + [1] * 100
    assert subject_intervals(counts_of((subjects, [0] * 200, answers)))["accuracy"] == (0.0, 1.0)


def test_one_subject_says_nothing_about_others():
    found = subject_intervals(counts_of((["a", "a"], [0, 1], [0, 0])))
    assert found["accuracy"] == (0.5, 0.5)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_the_width_is_that_of_the_confidence(confidence):
    """Of 400 subjects with one clip each the accuracy is a mean, whose interval the normal distribution gives."""
    (seed,) = corpus(400, [0.5], clips_per_subject=2)
    low, high = subject_intervals(counts_of(seed), confidence)["accuracy"]
    right = np.reshape(seed[1] == seed[2], (400, 2)).mean(axis=1)
    width = 2 * norm.ppf((1 + confidence) / 2) * right.std() / np.sqrt(400)
    assert high - low == pytest.approx(width, rel=0.12)


def test_the_default_is_95_percent():
    (seed,) = corpus(30, [0.7])
    assert subject_intervals(counts_of(seed)) == subject_intervals(counts_of(seed), 0.95)
    narrow, wide = subject_intervals(counts_of(seed), 0.9)["uf1"], subject_intervals(counts_of(seed), 0.95)["uf1"]
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("confidence", [0, 1, -0.1, 95])
def test_a_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        subject_intervals(counts_of((["a", "b"], [0, 1], [0, 1])), confidence)


def test_it_is_skewed_towards_the_longer_tail():
    """Nearly perfect answers: the percentile interval is symmetric in counts, BCa reaches further down."""
    subjects = [f"s{number}" for number in range(20)]
    low, high = subject_intervals(counts_of((subjects, [0] * 20, [0] * 19 + [1])))["accuracy"]
    assert 0.95 - low > high - 0.95 > 0
    draws = np.random.default_rng(0).binomial(20, 0.95, 20_000) / 20
    assert low < np.quantile(draws, 0.025)


def test_several_seeds_give_the_interval_of_their_mean():
    one, two = corpus(25, [0.9, 0.5], seed=2)
    both = subject_intervals(counts_of(one, two))["accuracy"]
    mean = np.mean([np.mean(seed[1] == seed[2]) for seed in (one, two)])
    assert both[0] < mean < both[1]
    assert subject_intervals(counts_of(one, one)) == subject_intervals(counts_of(one))


def test_a_seed_that_was_cut_short_counts_where_it_has_clips():
    found = subject_intervals(counts_of((["a", "b"], [0, 1], [0, 1]), (["a"], [0], [0])))
    assert found["accuracy"] == (1.0, 1.0)


def test_each_clip_needs_a_subject():
    with pytest.raises(ValueError, match="give one per clip"):
        counts_of((["a"], [0, 1], [0, 1]))


def test_pairs_cancel_what_makes_a_subject_hard_for_both():
    """Half of the subjects are hopeless for both runs; one run is better by one clip of four on each other one."""
    subjects = np.repeat([f"s{number}" for number in range(20)], 4)
    references = np.zeros(80, dtype=int)
    hopeless = np.repeat(np.arange(20) % 2 == 0, 4)
    worse = np.where(hopeless | (np.arange(80) % 4 == 0), 1, 0)
    better = np.where(hopeless, 1, 0)
    run, reference = counts_of((subjects, references, better)), counts_of((subjects, references, worse))
    low, high = paired_intervals(run, reference)["accuracy"]
    assert 0 < low < 0.125 < high < 0.25
    alone = [subject_intervals(counts)["accuracy"] for counts in (run, reference)]
    assert alone[1][1] > alone[0][0], "the two intervals overlap, although the difference is certain"
    assert paired_intervals(reference, run)["accuracy"] == pytest.approx((-high, -low))
    assert paired_intervals(run, run)["uf1"] == (0.0, 0.0)


def test_pairs_of_runs_with_different_seeds():
    one, two, three = corpus(25, [0.9, 0.8, 0.5], seed=3)
    low, high = paired_intervals(counts_of(one, two), counts_of(three))["accuracy"]
    expected = np.mean([np.mean(seed[1] == seed[2]) for seed in (one, two)]) - np.mean(three[1] == three[2])
    assert low < expected < high


@pytest.mark.parametrize(
    ("subjects", "references"), [(["a", "c"], [0, 1]), (["a", "b"], [0, 0]), (["a", "b", "b"], [0, 1, 1])]
)
def test_runs_on_other_clips_are_no_pair(subjects, references):
    with pytest.raises(ValueError, match="on the same clips"):
        paired_intervals(
            counts_of((["a", "b"], [0, 1], [0, 1])), counts_of((subjects, references, [0] * len(subjects)))
        )


def test_the_interval_holds_the_true_value_about_as_often_as_it_says():
    """80% intervals of 200 small corpora: between 72% and 88% of them hold the accuracy they were drawn with."""
    held = 0
    for seed in range(200):
        (answers,) = corpus(25, [0.7], seed=seed)
        low, high = subject_intervals(counts_of(answers), 0.8)["accuracy"]
        held += low <= 0.7 <= high
    assert 0.72 < held / 200 < 0.88
