import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

import evaluation_fdp.metrics as metrics

METRIC_FILE = Path(metrics.__file__).parent / "hub_metric.py"


def test_hand_computed_case():
    # truth 0: two right, one called 1; truth 1: one right, one called 2; truth 2: one called 0.
    references = [0, 0, 0, 1, 1, 2]
    predictions = [0, 0, 1, 1, 2, 0]
    result = metrics.classification_metrics(predictions, references, 3)
    assert result["confusion_matrix"] == [[2, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert result["accuracy"] == pytest.approx(3 / 6)
    assert result["f1_per_class"] == pytest.approx([4 / 6, 2 / 4, 0])
    assert result["uf1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert result["recall_per_class"] == pytest.approx([2 / 3, 1 / 2, 0])
    assert result["uar"] == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert result["f1_weighted"] == pytest.approx((3 * 2 / 3 + 2 * 1 / 2 + 1 * 0) / 6)


def test_absent_class_counts_as_zero_or_is_left_out():
    references, predictions = [0, 0, 1, 1], [0, 0, 1, 0]
    zero = metrics.classification_metrics(predictions, references, 3)
    skip = metrics.classification_metrics(predictions, references, 3, absent_classes="skip")
    f1 = [4 / 5, 2 / 3]
    assert zero["uf1"] == pytest.approx(sum(f1) / 3)
    assert skip["uf1"] == pytest.approx(sum(f1) / 2)
    assert zero["uar"] == pytest.approx(1.5 / 3)
    assert skip["uar"] == pytest.approx(1.5 / 2)
    assert skip["accuracy"] == zero["accuracy"] == 0.75


def test_class_that_is_predicted_but_never_true_lowers_uf1_under_both_conventions():
    references, predictions = [0, 0, 1, 1], [0, 2, 1, 1]
    for convention in ("zero", "skip"):
        result = metrics.classification_metrics(predictions, references, 3, absent_classes=convention)
        assert result["uf1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result["uar"] == pytest.approx((0.5 + 1) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    references, predictions = generator.integers(0, 6, 50), generator.integers(0, 5, 50)
    references[references == 3] = 2  # class 3 is never true, class 5 never predicted
    result = metrics.classification_metrics(predictions, references, 7)
    labels = list(range(7))
    expected = {"labels": labels, "zero_division": 0}
    assert result["uf1"] == pytest.approx(f1_score(references, predictions, average="macro", **expected), abs=1e-12)
    assert result["uar"] == pytest.approx(
        recall_score(references, predictions, average="macro", **expected), abs=1e-12
    )
    weighted = f1_score(references, predictions, average="weighted", **expected)
    assert result["f1_weighted"] == pytest.approx(weighted, abs=1e-12)
    assert result["f1_per_class"] == pytest.approx(f1_score(references, predictions, average=None, **expected))
    skip = metrics.classification_metrics(predictions, references, 7, absent_classes="skip")
    assert skip["uar"] == pytest.approx(balanced_accuracy_score(references, predictions))


def test_results_are_plain_python_numbers():
    result = metrics.classification_metrics([0, 1], [0, 1], 2)
    assert all(type(result[name]) is float for name in metrics.SCALAR_METRICS)
    assert type(result["confusion_matrix"][0][0]) is int


@pytest.mark.parametrize(
    ("predictions", "references", "remedy"),
    [
        ([0, 1], [0], "one prediction per reference"),
        ([], [], "pool the predictions"),
        ([0, 3], [0, 1], "map class names"),
        ([0, -1], [0, 1], "map class names"),
        ([0.0, 1.0], [0, 1], "map class names"),
    ],
)
def test_bad_input_is_refused_with_a_remedy(predictions, references, remedy):
    with pytest.raises(ValueError, match=remedy):
        metrics.classification_metrics(predictions, references, 3)


def test_bootstrap_contains_the_point_and_collapses_for_identical_subjects():
    references = np.tile([0, 1, 2], 20)
    predictions = np.tile([0, 1, 0], 20)
    same = metrics.subject_bootstrap_interval(predictions, references, np.repeat(np.arange(20), 3).astype(str), 3)
    point = metrics.classification_metrics(predictions, references, 3)
    assert same["uf1"] == pytest.approx((point["uf1"], point["uf1"]))
    generator = np.random.default_rng(0)
    noisy = np.where(generator.random(60) < 0.4, 1, references)
    subjects = np.repeat([f"s{i}" for i in range(20)], 3)
    low, high = metrics.subject_bootstrap_interval(noisy, references, subjects, 3)["accuracy"]
    assert low < metrics.classification_metrics(noisy, references, 3)["accuracy"] < high
    again = metrics.subject_bootstrap_interval(noisy, references, subjects, 3)["accuracy"]
    assert (low, high) == again


def test_bootstrap_draws_subjects_not_clips():
    # One subject is all right and one all wrong: clip draws would give a narrow interval, subject draws give [0, 1].
    references = np.zeros(200, dtype=int)
    predictions = np.repeat([0, 1], 100)
    low, high = metrics.subject_bootstrap_interval(predictions, references, ["a"] * 100 + ["b"] * 100, 2)["accuracy"]
    assert (low, high) == (0.0, 1.0)


def test_chance_levels_match_hand_computation_and_simulation():
    references = np.repeat([0, 1], [30, 10])
    chance = metrics.chance_level(references, 2)
    assert chance["majority"]["accuracy"] == 0.75
    assert chance["majority"]["uar"] == 0.5
    assert chance["majority"]["uf1"] == pytest.approx((60 / 70) / 2)
    assert chance["uniform"]["accuracy"] == pytest.approx(0.5)
    assert chance["prior"]["accuracy"] == pytest.approx(0.75**2 + 0.25**2)
    guesses = np.random.default_rng(0).integers(0, 2, 40_000)
    simulated = metrics.classification_metrics(guesses, np.tile(references, 1000), 2)
    assert chance["uniform"]["uf1"] == pytest.approx(simulated["uf1"], abs=0.01)


def test_seeds_are_summarised_with_the_sample_deviation():
    runs = [metrics.classification_metrics([0, p], [0, 1], 2) for p in (1, 0)]
    summary = metrics.mean_and_deviation(runs)
    assert summary["accuracy"] == pytest.approx({"mean": 0.75, "std": math.sqrt(0.125)})
    assert metrics.mean_and_deviation(runs[:1])["accuracy"]["std"] == 0


def test_evaluate_metric_by_path_pools_batches_offline(monkeypatch, tmp_path):
    evaluate = pytest.importorskip("evaluate")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    metric = evaluate.load(str(METRIC_FILE), cache_dir=str(tmp_path))
    metric.add_batch(predictions=[0, 0, 1], references=[0, 0, 0])
    metric.add_batch(predictions=[1, 2, 0], references=[1, 1, 2])
    pooled = metric.compute(num_labels=3)
    assert pooled == metrics.classification_metrics([0, 0, 1, 1, 2, 0], [0, 0, 0, 1, 1, 2], 3)
    with pytest.raises(ValueError, match="num_labels is required"):
        metric.compute(predictions=[0], references=[0])
