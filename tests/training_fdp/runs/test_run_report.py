"""What a run leaves for its reader: results that keep the schema, and a report that names its pictures."""

import json
from pathlib import Path

import jsonschema
import pytest

SCHEMA = Path(__file__).resolve().parents[3] / "evaluation_fdp" / "results.schema.json"


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
