"""Fold records: read as they were written, never those of another run, never half of one."""

import json

import numpy as np
import pytest

from evaluation_fdp.fold_records import FoldRecord, LiteratureSelection, Predictions, read_record, write_record
from evaluation_fdp.protocols import ClipTable
from tests.fakes.results import fold_record


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = fold_record("a", "s1", [0, 1], [0, 0], best=[1, 1], answers={"tau": 0.5})
    saved = []
    write_record(tmp_path / "folds" / "a", tmp_path / "aside", record, {"loss": [1.0, 0.5]}, saved.append)
    assert read_record(tmp_path / "folds" / "a") == read_record(tmp_path / "folds" / "a", "digest") == record
    assert saved == [tmp_path / "aside"] and not (tmp_path / "aside").exists()
    assert json.loads((tmp_path / "folds" / "a" / "training_curve.json").read_text()) == {"loss": [1.0, 0.5]}
    assert record.best_on_test_subject == LiteratureSelection(2, 1.0, [1, 1])


def test_a_record_of_another_run_or_of_another_form_is_not_used(tmp_path, caplog):
    place = tmp_path / "a"
    assert read_record(place) is None
    write_record(place, tmp_path / "aside", fold_record("a", "s1", [0], [0]), {})
    assert read_record(place, "another digest") is None
    assert "other settings or clips" in caplog.text
    path = place / "fold.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"record_version": 1}))
    assert read_record(place, "digest") is None


def test_what_fails_while_it_is_saved_leaves_no_record(tmp_path):
    def full(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_record(tmp_path / "a", tmp_path / "aside", fold_record("a", "s1", [0], [0]), {}, full)
    assert not (tmp_path / "a").exists()


def test_a_model_of_all_subjects_says_that_nobody_was_held_out():
    record = fold_record("final", "s1", [], [])
    everybody = FoldRecord(**{**vars(record), "test_subjects": []})
    assert not everybody.benchmarked and "no held-out figure" in everybody.note
    assert record.benchmarked and record.note is None
    assert everybody.to_dict()["benchmarked"] is False


def test_predictions_stand_beside_the_truth():
    table = ClipTable(["c0", "c1", "c2"], ["x", "x", "y"], ["s0", "s0", "s1"], [0, 1, 1], ["no", "yes"])
    predictions = Predictions([2, 0], np.array([[0.2, 0.8], [0.5, 0.5]]), [{"tau": 1.0}, {}])
    assert predictions.labels == [1, 0]
    first, second = predictions.by_clip(table)
    assert (first.clip_id, first.corpus, first.subject, first.label, first.prediction) == ("c2", "y", "s1", 1, 1)
    assert first.probabilities == [0.2, 0.8] and first.answers == {"tau": 1.0}
    assert (second.clip_id, second.label, second.prediction, second.answers) == ("c0", 0, 0, {})
    assert Predictions([], np.zeros((0, 2)), []).labels == []
