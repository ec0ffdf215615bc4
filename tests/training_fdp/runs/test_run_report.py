"""What a run leaves for its reader: results that keep the schema, and a report that names its pictures."""

import json

import pytest

from evaluation_fdp.errors import ResultsError
from evaluation_fdp.results import Results


@pytest.mark.parametrize("options", [[], ["--seeds", "0", "1", "--report_literature_selection", "--final_model"]])
def test_results_keep_the_schema(toy_run, tmp_path, options):
    toy_run(tmp_path, *options)
    content = json.loads((tmp_path / "results.json").read_text())
    assert Results.from_dict(content).to_dict() == content
    with pytest.raises(ResultsError, match="uf1"):
        Results.from_dict({**content, "metrics": {**content["metrics"], "uf1": 1.5}})


def test_the_report_names_its_pictures_and_what_is_missing(toy_run, tmp_path):
    toy_run(tmp_path, "--folds", "fold0")
    text = (tmp_path / "report.md").read_text()
    assert "INCOMPLETE: 1 of 2 folds" in text and "fold fold1 is missing" in text
    for name in ("confusion_matrix.png", "subject_accuracy.png", "training_curves.png", "dynamic_images.png"):
        assert f"]({name})" in text and (tmp_path / name).exists()
