"""What a reader gets: results that keep the schema, pictures that can be opened, nothing pooled twice."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from evaluation_fdp import figures
from evaluation_fdp.fold_records import ClipPrediction, FoldRecord, LiteratureSelection
from evaluation_fdp.pooled_results import pool_records, predictions_csv


def record(fold, subject, labels, predictions, corpus="toy", best=None, answers=None):
    return FoldRecord(
        identity="digest",
        fold=fold,
        seed=0,
        test_subjects=[subject],
        train_subjects=["other"],
        num_train_clips=5,
        num_test_clips=len(labels),
        steps=4,
        selection={"method": "fixed"},
        seconds=1.0,
        device="cpu",
        settings={},
        best_on_test_subject=None if best is None else LiteratureSelection(2, 1.0, best),
        predictions=[
            ClipPrediction(
                clip_id=f"{subject}/{number}",
                corpus=corpus,
                subject=subject,
                label=label,
                prediction=prediction,
                probabilities=[0.1, 0.9] if prediction else [2 / 3, 1 / 3],
                answers=answers or {},
            )
            for number, (label, prediction) in enumerate(zip(labels, predictions, strict=True))
        ],
    )


def test_folds_are_pooled_and_not_averaged():
    """Two folds of 1 and 3 clips: the mean of their accuracies would be 2/3, of the pooled clips it is 1/2."""
    pooled = pool_records({0: [record("a", "s1", [0], [0]), record("b", "s2", [0, 1, 1], [1, 1, 0])]}, ["no", "yes"])
    assert pooled["metrics"]["accuracy"] == 0.5
    assert pooled["confusion_matrix"] == [[1, 1], [1, 1]]
    assert pooled["folds"][1]["num_correct"] == 1
    assert pooled["chance"]["majority"]["accuracy"] == 0.5


def test_answers_beyond_the_class_are_averaged_over_clips_and_only_where_every_clip_has_one():
    found = [
        record("a", "s1", [0], [0], answers={"tau": 0.0, "psnr": 20.0}),
        record("b", "s2", [0, 1, 1], [1, 1, 0], answers={"tau": 1.0}),
    ]
    pooled = pool_records({0: found}, ["no", "yes"], {"tau": "Kendall's tau"})
    assert pooled["answers"] == {"tau": {"title": "Kendall's tau", "mean": 0.75, "std": pytest.approx(np.sqrt(3) / 4)}}


def test_each_corpus_of_a_composite_has_its_own_figures():
    found = [record("a", "s1", [0, 1], [0, 1], corpus="casme2"), record("b", "s2", [0, 1], [1, 0], corpus="samm")]
    pooled = pool_records({0: found}, ["no", "yes"])
    assert pooled["metrics"]["accuracy"] == 0.5
    assert {name: found["uf1"] for name, found in pooled["per_corpus"].items()} == {"casme2": 1.0, "samm": 0.0}
    assert "per_corpus" not in pool_records({0: found[:1]}, ["no", "yes"])
    cut_short = pool_records({0: found, 1: found[:1]}, ["no", "yes"])
    assert {name: own["uf1"] for name, own in cut_short["per_corpus"].items()} == {"casme2": 1.0, "samm": 0.0}


def test_the_literature_figure_needs_every_fold():
    both = [record("a", "s1", [0], [1], best=[0]), record("b", "s2", [1], [0], best=[1])]
    assert pool_records({0: both}, ["no", "yes"])["best_on_test_subject"]["accuracy"] == 1.0
    assert "best_on_test_subject" not in pool_records({0: [both[0], record("b", "s2", [1], [0])]}, ["no", "yes"])


def test_numbers_in_the_csv_keep_their_digits():
    text = predictions_csv({0: [record("a", "s1", [0], [0])], 1: [record("a", "s1", [0], [1])]}, ["no", "yes"])
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
        "targets": np.full((16, 16), 0.5),
        "rank_scores": np.arange(4.0),
    }
    figures.draw_clips(tmp_path / "d.png", [clip, {**clip, "constructed": np.zeros((16, 16))}])
    for name in "abcd":
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 100 and np.asarray(picture.convert("L")).std() > 5
