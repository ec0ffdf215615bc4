"""Clips whose exact motion MOL cannot compute: refused before a pixel is read, by a dry run and by a run."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
from datasets import Dataset

from evaluation_fdp.errors import ConfigError
from hub_datasets.errors import CorpusOptionError
from hub_datasets.records import RENDERED_MANIFEST
from hub_datasets.synthetic.layouts import SyntheticLayout
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import write_tree
from hub_datasets.synthetic.truth import RenderedTree
from training_fdp.compare import planning
from training_fdp.config import parse_train_config
from training_fdp.data.corpora import load_corpora
from training_fdp.data.options import DataOptions
from training_fdp.runs import prepare
from training_fdp.runs.run import run


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A corpus of 2 people with 2 clips each, rendered once."""
    settings = CorpusSettings(num_subjects=2, num_clips=4, size_hw=(48, 48), fps=60, seed=77)
    root = tmp_path_factory.mktemp("rendered") / "corpus"
    write_tree(settings, SyntheticLayout(), root)
    return root


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        (
            {"digest": "of the model's files"},
            "another face model than the built-in faces: give the folder of the model",
        ),
        ({"generator_version": 3}, "needs a tree of generator .* is of 3: render it again"),
        ({}, "'renamed_frame.png' is none of them: give the frames as they were rendered"),
    ],
)
def test_clips_whose_motion_is_not_known_are_refused_before_a_pixel_is_read(
    manifest, complaint, tree, tmp_path, monkeypatch
):
    """By a dry run of the table and by a run; estimated motion needs no renderer."""
    moved = tmp_path / "corpus"
    shutil.copytree(tree, moved)
    stored = json.loads((moved / RENDERED_MANIFEST).read_text(encoding="utf-8"))
    corpora = load_corpora(DataOptions(corpus=["synthetic"], data_dir=[str(moved)], label_set="3class"))
    if not manifest:
        files = corpora.dataset["frames"][3]
        renamed = [*files[:-1], str(Path(files[-1]).with_name("renamed_frame.png"))]
        rows = [{**row, "frames": renamed if row["frames"] == files else row["frames"]} for row in corpora.dataset]
        corpora = dataclasses.replace(corpora, dataset=Dataset.from_list(rows))
    (moved / RENDERED_MANIFEST).write_text(json.dumps({**stored, **manifest}), encoding="utf-8")
    monkeypatch.setattr(planning, "load_corpora", lambda options: corpora)
    monkeypatch.setattr(planning, "_measured", lambda planned: (1, 1.0))
    monkeypatch.setattr(prepare, "load_corpora", lambda options: corpora)
    monkeypatch.setattr(prepare, "prepare_clips", lambda *inputs, **options: pytest.fail("pixels were read"))
    shared = [
        "--corpus",
        "synthetic",
        "--label_set",
        "3class",
        "--protocol",
        "loso",
        "--allow_missing_classes",
        "true",
    ]
    shared += ["--output_dir", str(tmp_path / "out")]
    exact, plain = planning.plan_rows(shared, ["mol", "raw_cnn"], [])
    assert re.search(f"--motion_targets exact: .*{complaint}.*--face_model", exact.not_run) and not plain.not_run
    with pytest.raises(ConfigError, match=complaint):
        run(parse_train_config(exact.arguments), exact.arguments)
    (estimated,) = planning.plan_rows(shared, ["mol"], [], {"mol": ("--motion_targets", "estimated")})
    assert not estimated.not_run


def test_a_face_model_that_is_no_folder_is_named(tree, tmp_path):
    with pytest.raises(CorpusOptionError, match=r"a face model is a folder, but .*nowhere is none: give the folder"):
        RenderedTree(tree, tmp_path / "nowhere")
