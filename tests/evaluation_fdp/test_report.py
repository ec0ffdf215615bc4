"""What a reader gets: results that keep the schema, pictures that can be opened, nothing pooled twice."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from evaluation_fdp import figures
from evaluation_fdp.pooled_results import pool_records, predictions_csv
from evaluation_fdp.results import Answer
from tests.fakes.results import fold_record


def test_folds_are_pooled_and_not_averaged():
    """Two folds of 1 and 3 clips: the mean of their accuracies would be 2/3, of the pooled clips it is 1/2."""
    pooled = pool_records(
        {0: [fold_record("a", "s1", [0], [0]), fold_record("b", "s2", [0, 1, 1], [1, 1, 0])]}, ["no", "yes"]
    )
    assert pooled.figures["accuracy"] == 0.5
    assert pooled.figures.confusion_matrix == [[1, 1], [1, 1]]
    assert pooled.folds[1].num_correct == 1
    assert pooled.chance["majority"]["accuracy"] == 0.5


def test_answers_beyond_the_class_are_averaged_over_clips_and_only_where_every_clip_has_one():
    found = [
        fold_record("a", "s1", [0], [0], answers={"tau": 0.0, "psnr": 20.0}),
        fold_record("b", "s2", [0, 1, 1], [1, 1, 0], answers={"tau": 1.0}),
    ]
    pooled = pool_records({0: found}, ["no", "yes"], {"tau": "Kendall's tau"})
    assert pooled.answers == {"tau": Answer("Kendall's tau", 0.75, pytest.approx(np.sqrt(3) / 4))}
    assert pool_records({0: found[1:]}, ["no", "yes"]).answers == {"tau": Answer("tau", 1.0, 0.0)}


def test_chance_is_that_of_the_truth_whatever_is_predicted():
    """All clips but one are of the first class, all predictions are the other one."""
    pooled = pool_records({0: [fold_record("a", "s1", [0, 0, 0, 1], [1, 1, 1, 1])]}, ["no", "yes"])
    assert pooled.class_counts == [3, 1] and pooled.majority == 0
    assert pooled.chance["majority"]["accuracy"] == 0.75
    assert pooled.chance["prior"]["accuracy"] == 0.75**2 + 0.25**2
    assert pooled.figures["accuracy"] == 0.25


def test_seeds_are_summarised_by_mean_and_sample_deviation_and_clips_are_counted_once():
    seeds = {seed: [fold_record("a", "s1", [0, 1], [0, seed])] for seed in (0, 1)}
    pooled = pool_records(seeds, ["no", "yes"])
    assert pooled.num_clips == 2 and pooled.num_subjects == 1
    assert pooled.figures["accuracy"] == 0.75 and pooled.deviation["accuracy"] == pytest.approx(0.125**0.5)
    assert pooled.figures.confusion_matrix == [[2, 0], [1, 1]]
    assert set(pool_records({0: seeds[0]}, ["no", "yes"]).deviation.values()) == {0.0}


def test_each_corpus_of_a_composite_has_its_own_figures():
    found = [
        fold_record("a", "s1", [0, 1], [0, 1], corpus="casme2"),
        fold_record("b", "s2", [0, 1], [1, 0], corpus="samm"),
    ]
    pooled = pool_records({0: found}, ["no", "yes"])
    assert pooled.figures["accuracy"] == 0.5
    assert {name: found["uf1"] for name, found in pooled.per_corpus.items()} == {"casme2": 1.0, "samm": 0.0}
    assert not pool_records({0: found[:1]}, ["no", "yes"]).per_corpus
    cut_short = pool_records({0: found, 1: found[:1]}, ["no", "yes"])
    assert {name: own["uf1"] for name, own in cut_short.per_corpus.items()} == {"casme2": 1.0, "samm": 0.0}


def test_the_literature_figure_needs_every_fold():
    both = [fold_record("a", "s1", [0], [1], best=[0]), fold_record("b", "s2", [1], [0], best=[1])]
    assert pool_records({0: both}, ["no", "yes"]).best_on_test_subject["accuracy"] == 1.0
    half = [both[0], fold_record("b", "s2", [1], [0])]
    assert pool_records({0: half}, ["no", "yes"]).best_on_test_subject is None


def test_numbers_in_the_csv_keep_their_digits():
    text = predictions_csv(
        {0: [fold_record("a", "s1", [0], [0])], 1: [fold_record("a", "s1", [0], [1])]}, ["no", "yes"]
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert float(rows[0]["prob_no"]) == 2 / 3 and rows[0]["label"] == "no"
    assert [row["seed"] for row in rows] == ["0", "1"]


def test_pictures(tmp_path):
    figures.draw_confusion_matrix(tmp_path / "a.png", [[3, 1], [0, 0]], ["no", "yes"], "title")
    figures.draw_subject_accuracy(tmp_path / "b.png", {"s1": (1, 2), "s2": (0, 3)})
    figures.draw_training_curves(tmp_path / "e.png", {"judged as it is": {}})
    figures.draw_training_curves(tmp_path / "c.png", {"f": {"loss": [2.0, 1.0], "learning_rate": [1e-3, 1e-3]}})
    clip = {
        "clip_ids": np.array("x"),
        "labels": np.array("no"),
        "predictions": np.array("yes"),
        "image target": np.full((16, 16), 0.5),
        "curve rank_scores": np.arange(4.0),
    }
    figures.draw_clips(tmp_path / "d.png", [clip, {**clip, "image dynamic_image": np.zeros((16, 16))}])
    for name in "abcd":
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 100 and np.asarray(picture.convert("L")).std() > 5
    with Image.open(tmp_path / "a.png") as picture:
        # 4.9 x 3.7 inches.
        assert picture.size == (539, 407) and figures.DOTS_PER_INCH == 110
