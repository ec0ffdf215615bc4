"""What a reader gets: results that keep the schema, pictures that can be opened, nothing pooled twice."""

import csv
import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from evaluation_fdp import figures
from evaluation_fdp.pooled_results import pool_records, predictions_csv

SCHEMA = Path(__file__).resolve().parents[2] / "evaluation_fdp" / "results.schema.json"


def record(fold, subject, labels, predictions, corpus="toy", best=None):
    return {
        "fold": fold,
        "seed": 0,
        "test_subjects": [subject],
        "train_subjects": ["other"],
        "num_train_clips": 5,
        "num_test_clips": len(labels),
        "steps": 4,
        "seconds": 1.0,
        "best_on_test_subject": None if best is None else {"step": 2, "accuracy": 1.0, "predictions": best},
        "predictions": [
            {
                "clip_id": f"{subject}/{number}",
                "corpus": corpus,
                "subject": subject,
                "label": label,
                "prediction": prediction,
                "probabilities": [0.1, 0.9] if prediction else [2 / 3, 1 / 3],
                "rank_tau": 0.5,
                "dynamic_image": {"mse": 0.01, "ssim": 0.5, "mse_constant": 0.1, "ssim_constant": 0.2},
            }
            for number, (label, prediction) in enumerate(zip(labels, predictions, strict=True))
        ],
    }


def test_folds_are_pooled_and_not_averaged():
    """Two folds of 1 and 3 clips: the mean of their accuracies would be 2/3, of the pooled clips it is 1/2."""
    pooled = pool_records({0: [record("a", "s1", [0], [0]), record("b", "s2", [0, 1, 1], [1, 1, 0])]}, ["no", "yes"])
    assert pooled["metrics"]["accuracy"] == 0.5
    assert pooled["confusion_matrix"] == [[1, 1], [1, 1]]
    assert pooled["folds"][1]["num_correct"] == 1
    assert pooled["chance"]["majority"]["accuracy"] == 0.5
    assert pooled["rank"]["kendall_tau"] == 0.5
    assert pooled["dynamic_image"]["psnr"] == pytest.approx(20.0)
    assert pooled["dynamic_image"]["psnr_constant"] == pytest.approx(10.0)


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


@pytest.mark.parametrize("options", [[], ["--seeds", "0", "1", "--report_literature_selection", "--final_model"]])
def test_results_keep_the_schema(toy_run, tmp_path, options):
    toy_run(tmp_path, *options)
    schema = json.loads(SCHEMA.read_text())
    results = json.loads((tmp_path / "results.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(results, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**results, "metrics": {**results["metrics"], "uf1": 1.5}}, schema)


def test_the_report_names_its_pictures_and_what_is_missing(toy_run, tmp_path):
    toy_run(tmp_path, "--folds", "fold0")
    text = (tmp_path / "report.md").read_text()
    assert "INCOMPLETE: 1 of 2 folds" in text and "fold fold1 is missing" in text
    for name in ("confusion_matrix.png", "subject_accuracy.png", "training_curves.png", "dynamic_images.png"):
        assert f"]({name})" in text and (tmp_path / name).exists()


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
