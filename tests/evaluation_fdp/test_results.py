"""results.json: typed, checked by its schema, and its figures follow from its confusion matrices."""

import json

import jsonschema
import pytest

from evaluation_fdp.errors import ResultsError
from evaluation_fdp.metrics import METRICS, Metric
from evaluation_fdp.pooled_results import pool_predictions, pool_records, predictions_csv, read_predictions
from evaluation_fdp.results import FinalModel, Results, read_results, results_schema
from evaluation_fdp.run_info import StartingWeights
from tests.fakes.results import fold_record, run_results

NAMES = ["no", "yes"]


@pytest.fixture
def records():
    return {
        seed: [
            fold_record("a", "s1", [0, 1], [0, seed], "casme2", best=[0, 1], answers={"tau": 0.5}),
            fold_record("b", "s2", [0, 1, 1], [1, 1, 0], "samm", best=[0, 1, 1], answers={"tau": 1.0}),
        ]
        for seed in (0, 1)
    }


@pytest.fixture
def results(records):
    return run_results(
        0.5,
        class_names=NAMES,
        benchmark=pool_records(records, NAMES),
        init_from=StartingWeights("start", "0" * 64, ["head"]),
        final_model=FinalModel("final", "trained on every subject", 5, 2),
        lost_clips={"s1/9": "no frames"},
    )


def test_what_is_written_keeps_the_schema_and_comes_back_equal(results):
    jsonschema.Draft202012Validator.check_schema(results_schema())
    content = json.loads(json.dumps(results.to_dict()))
    assert Results.from_dict(content) == results
    assert content["complete"] is True and content["metrics"]["uf1"] == results.benchmark.figures["uf1"]
    assert set(content["per_corpus"]) == {"casme2", "samm"} and content["best_on_test_subject"]["accuracy"] == 1.0
    assert content["class_counts"] == {"no": 2, "yes": 3} and content["majority_class"] == "yes"


@pytest.fixture
def with_fresh_schema():
    results_schema.cache_clear()
    yield
    results_schema.cache_clear()


def test_a_metric_is_one_entry_even_if_it_can_be_negative(records, monkeypatch, with_fresh_schema):
    """Cohen's kappa, which needs the predictions of each class as well."""

    def kappa(counts):
        by_chance = (counts.truth * counts.predicted).sum(axis=1) / counts.num_clips
        return (counts.right.sum(axis=1) - by_chance) / (counts.num_clips - by_chance)

    monkeypatch.setitem(METRICS, "kappa", Metric("kappa", "kappa", kappa))
    results = run_results(0.5, class_names=NAMES, benchmark=pool_records({1: records[1]}, NAMES))
    assert Results.from_dict(json.loads(json.dumps(results.to_dict()))) == results
    figures = results.to_dict()
    assert figures["confusion_matrix"] == [[1, 1], [1, 2]]
    assert figures["metrics"]["kappa"] == pytest.approx((0.6 - 0.52) / (1 - 0.52))
    assert figures["interval"]["kappa"][0] < 0 and figures["chance"]["majority"]["kappa"] == 0


@pytest.mark.parametrize("name", METRICS)
def test_a_figure_that_somebody_typed_is_computed_again(results, name):
    content = results.to_dict()
    content["per_seed"][0][name] = content["metrics"][name] = 0.987
    assert Results.from_dict(content).benchmark.figures == results.benchmark.figures


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["metrics", "uf1"], 1.5, "uf1"),
        (["per_seed", 0, "uar"], None, "uar"),
        (["interval", "uf1"], [0.1], "uf1"),
        (["protocol"], "random", "protocol"),
        (["seeds"], [], "seeds"),
        (["extra"], 1, "extra"),
        (["class_names"], ["no", "yes", "perhaps"], "name 3 classes"),
        (["class_counts"], {"no": 5}, "name 2 classes"),
        (["per_seed", 0, "confusion_matrix"], [[0, 0], [0, 0]], "cannot be used"),
        (["per_seed", 0, "confusion_matrix"], [[1, 0]], "cannot be used"),
        (["per_seed", 0, "confusion_matrix"], [[-1, 0], [0, 4]], "confusion_matrix"),
        (["schema_version"], 1, "schema_version"),
    ],
)
def test_what_does_not_keep_the_schema_is_refused(results, path, value, named):
    content = json.loads(json.dumps(results.to_dict()))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ResultsError, match=named):
        Results.from_dict(content)


@pytest.mark.parametrize("name", ["metrics", "uf1", "interval", "chance", "folds", "settings", "final_model"])
def test_what_is_missing_is_named(results, name):
    content = json.loads(json.dumps(results.to_dict()))
    del (content["metrics"] if name == "uf1" else content)[name]
    with pytest.raises(ResultsError, match=f"'{name}' is a required property"):
        Results.from_dict(content)


def test_where_nobody_was_held_out_there_are_no_figures(results):
    nobody = run_results(0.5, protocol="none", benchmark=None)
    assert Results.from_dict(nobody.to_dict()) == nobody
    with pytest.raises(ResultsError):
        Results.from_dict({**results.to_dict(), "protocol": "none"})
    with pytest.raises(ResultsError):
        Results.from_dict({**nobody.to_dict(), "protocol": "loso"})


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00"])
def test_files_that_are_no_results_are_one_sentence_with_their_path(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ResultsError) as caught:
        read_results(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ResultsError, match="nowhere"):
        read_results(tmp_path / "nowhere")


def test_predictions_come_back_as_they_were_written(tmp_path, records, results):
    path = tmp_path / "predictions.csv"
    path.write_text(predictions_csv(records, NAMES))
    seeds = read_predictions(path, NAMES)
    assert [list(seed.predictions) for seed in seeds] == [[0, 0, 1, 1, 0], [0, 1, 1, 1, 0]]
    assert list(seeds[0].subjects) == ["s1", "s1", "s2", "s2", "s2"] and list(seeds[0].references) == [0, 1, 0, 1, 1]
    assert pool_predictions(results.benchmark, seeds, 2) == results.benchmark
    with pytest.raises(ResultsError, match="other confusion matrices"):
        pool_predictions(results.benchmark, seeds[::-1], 2)


@pytest.mark.parametrize("text", ["subject,label\ns1,no\n", "subject,label,prediction\ns1,no,perhaps\n"])
def test_predictions_of_something_else_are_refused(tmp_path, text):
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    with pytest.raises(ResultsError, match="missing or unknown"):
        read_predictions(path, NAMES)
