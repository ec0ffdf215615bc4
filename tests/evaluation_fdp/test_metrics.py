import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score
from sklearn.metrics import confusion_matrix as sklearn_matrix

import evaluation_fdp.metrics as metrics
from evaluation_fdp.hub_metric import MicroExpressionMetrics

METRIC_FILE = Path(metrics.__file__).parent / "hub_metric.py"


def test_hand_computed_case():
    # truth 0: two right, one called 1; truth 1: one right, one called 2; truth 2: one called 0.
    references = [0, 0, 0, 1, 1, 2]
    predictions = [0, 0, 1, 1, 2, 0]
    result = metrics.classification_metrics(predictions, references, 3)
    assert result.confusion_matrix == [[2, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert result["accuracy"] == pytest.approx(3 / 6)
    assert result.f1_per_class == pytest.approx([4 / 6, 2 / 4, 0])
    assert result["uf1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert result.recall_per_class == pytest.approx([2 / 3, 1 / 2, 0])
    assert result["uar"] == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert result["f1_weighted"] == pytest.approx((3 * 2 / 3 + 2 * 1 / 2 + 1 * 0) / 6)


def test_an_absent_class_counts_as_zero_and_stays_in_the_mean():
    result = metrics.classification_metrics([0, 0, 1, 0], [0, 0, 1, 1], 3)
    assert result["uf1"] == pytest.approx((4 / 5 + 2 / 3) / 3)
    assert result["uar"] == pytest.approx(1.5 / 3)
    assert result["accuracy"] == 0.75
    assert result.f1_per_class[2] == result.recall_per_class[2] == 0


def test_a_class_that_is_predicted_but_never_true_lowers_uf1():
    result = metrics.classification_metrics([0, 2, 1, 1], [0, 0, 1, 1], 3)
    assert result["uf1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result["uar"] == pytest.approx((0.5 + 1) / 3)


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
    assert result.f1_per_class == pytest.approx(f1_score(references, predictions, average=None, **expected))
    assert result["accuracy"] == pytest.approx(accuracy_score(references, predictions))
    assert result.confusion_matrix == sklearn_matrix(references, predictions, labels=labels).tolist()


def test_figures_are_plain_python_numbers():
    result = metrics.classification_metrics([0, 1], [0, 1], 2)
    assert all(type(value) is float for value in result.values.values())
    assert type(result.confusion_matrix[0][0]) is int
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()


def test_every_metric_has_its_own_title_and_is_in_every_figure():
    result = metrics.classification_metrics([0, 1], [0, 1], 2)
    assert (
        set(result.values)
        == set(metrics.METRICS)
        == set(result.to_dict()) - {"f1_per_class", "recall_per_class", "confusion_matrix"}
    )
    assert len({metric.title for metric in metrics.METRICS.values()}) == len(metrics.METRICS)
    assert metrics.HEADLINE in metrics.METRICS


@pytest.mark.parametrize(
    ("predictions", "references", "remedy"),
    [
        ([0, 1], [0], "one prediction per reference"),
        ([], [], "pool the predictions"),
        ([0, 3], [0, 1], "map class names"),
        ([0, -1], [0, 1], "map class names"),
        ([0.0, 1.0], [0, 1], "map class names"),
        ([[0, 1]], [0, 1], "map class names"),
        ([0, 1], [0, 3], "references must be"),
        ([0, 1, 1], [0, 1], "there are 3 and 2"),
    ],
)
def test_bad_input_is_refused_with_a_remedy(predictions, references, remedy):
    with pytest.raises(ValueError, match=remedy):
        metrics.classification_metrics(predictions, references, 3)


@pytest.mark.parametrize("matrix", [[[1, 2]], [1, 2], [[0, 0], [0, 0]], [[3, -1], [0, 1]], [[[1]]]])
def test_what_is_no_confusion_matrix_is_refused(matrix):
    with pytest.raises(ValueError, match="must be square"):
        metrics.Figures.of(matrix)


def test_the_mean_over_seeds_is_that_of_the_figures_and_matrices_are_summed():
    first, second = (metrics.classification_metrics([0, label], [0, 1], 2) for label in (1, 0))
    mean = metrics.Figures.mean([first, second])
    assert mean["accuracy"] == 0.75 and mean["uf1"] == pytest.approx((1 + 1 / 3) / 2)
    assert mean.confusion_matrix == [[2, 0], [1, 1]]
    assert mean.recall_per_class == [1.0, 0.5] and mean.f1_per_class == pytest.approx([(1 + 2 / 3) / 2, 0.5])
    assert metrics.Figures.mean([first]) == first


def test_chance_levels_match_hand_computation_and_simulation():
    chance = metrics.chance_level([30, 10])
    assert chance["majority"]["accuracy"] == 0.75
    assert chance["majority"]["uar"] == 0.5
    assert chance["majority"]["uf1"] == pytest.approx((60 / 70) / 2)
    assert chance["uniform"]["accuracy"] == pytest.approx(0.5)
    assert chance["prior"]["accuracy"] == pytest.approx(0.75**2 + 0.25**2)
    guesses = np.random.default_rng(0).integers(0, 2, 40_000)
    references = np.tile(np.repeat([0, 1], [30, 10]), 1000)
    simulated = metrics.classification_metrics(guesses, references, 2)
    assert chance["uniform"]["uf1"] == pytest.approx(simulated["uf1"], abs=0.01)
    # Of equally frequent classes the first one is what a constant answer gives.
    assert metrics.chance_level([0, 5, 5])["majority"]["uf1"] == pytest.approx(10 / 15 / 3)


def test_evaluate_metric_by_path_pools_batches_offline(monkeypatch, tmp_path):
    evaluate = pytest.importorskip("evaluate")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    metric = evaluate.load(str(METRIC_FILE), cache_dir=str(tmp_path))
    metric.add_batch(predictions=[0, 0, 1], references=[0, 0, 0])
    metric.add_batch(predictions=[1, 2, 0], references=[1, 1, 2])
    pooled = metric.compute(num_labels=3)
    assert pooled == metrics.classification_metrics([0, 0, 1, 1, 2, 0], [0, 0, 0, 1, 1, 2], 3).to_dict()
    with pytest.raises(ValueError, match="num_labels is required"):
        metric.compute(predictions=[0], references=[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.confusion_matrix([0, 1], [0], 2),
            "predictions and references must pair up, but there are 2 and 1; give one prediction per reference.",
        ),
        (
            lambda: metrics.confusion_matrix([], [], 2),
            "metrics need at least one clip, but none was given; pool the predictions of all folds first.",
        ),
        (
            lambda: metrics.confusion_matrix([0, 3], [0, 1], 3),
            "predictions must be a vector of class indices from 0 to 2, but have shape (2,), dtype int64 and range "
            "[0, 3]; map class names to indices first.",
        ),
        (
            lambda: metrics.Figures.of([[1, 2]]),
            "a confusion matrix must be square, without negative counts, and hold at least one clip, but its shape is "
            "(1, 2) and its sum 3; build it with confusion_matrix().",
        ),
    ],
)
def test_refusals_say_the_rule_what_was_given_and_the_remedy(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_every_count_is_a_whole_number_of_64_bits():
    matrix = metrics.confusion_matrix(np.array([1, 1], dtype=np.uint8), [0, 1], 2)
    assert matrix.dtype == np.int64 and matrix.tolist() == [[0, 1], [0, 1]]
    indices = metrics.class_indices(np.array([1], dtype=np.uint8), 2, "labels")
    assert indices.dtype == np.int64 and metrics.class_indices([], 2, "labels").dtype == np.int64


def test_matrices_of_a_stack_are_counted_one_by_one():
    stack = np.array([[[3, 1], [0, 4]], [[1, 1], [2, 0]]], dtype=np.float64)
    together = metrics.ClassCounts.of(stack)
    for name, metric in metrics.METRICS.items():
        assert metric.score(together).tolist() == [metrics.Figures.of(matrix)[name] for matrix in stack]


def test_the_installed_metric_pools_batches_and_wants_the_number_of_classes(tmp_path):
    metric = MicroExpressionMetrics(cache_dir=str(tmp_path))
    assert set(metric.features) == {"predictions", "references"} and "num_labels" in metric.inputs_description
    assert metric.description == "Pooled recognition metrics after the MEGC 2019 guideline." and metric.citation == ""
    metric.add_batch(predictions=[0, 0, 1], references=[0, 0, 0])
    metric.add_batch(predictions=[1, 2, 0], references=[1, 1, 2])
    expected = metrics.classification_metrics([0, 0, 1, 1, 2, 0], [0, 0, 0, 1, 1, 2], 4).to_dict()
    assert metric.compute(num_labels=4) == expected
    with pytest.raises(ValueError, match="num_labels is required and was not given"):
        metric.compute(predictions=[0], references=[0])
