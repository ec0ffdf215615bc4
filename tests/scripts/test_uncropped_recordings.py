"""Training on whole recordings without cropping a face is said; of crops and of rendered faces nothing is said."""

from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from evaluation_fdp.protocols import ClipTable
from processing_fdp import FDPVideoProcessor
from training_fdp.config import parse_train_config
from training_fdp.data.corpora import Corpora
from training_fdp.data.processor import uncropped_recordings
from training_fdp.runs import prepare as preparation
from training_fdp.runs.engine import build_accelerator
from training_fdp.runs.prepare import prepare_run


def corpora_of(folder, size_hw, **details):
    path = folder / "img1.png"
    Image.fromarray(np.zeros(size_hw, dtype=np.uint8)).save(path)
    dataset = Dataset.from_dict({"frames": [[str(path)]], "video": [None]})
    return Corpora(dataset, ClipTable(["a"], ["casme2"], ["1"], [0], ["x"]), False, **details)


@pytest.mark.parametrize(
    ("size_hw", "alignment", "people", "is_said"),
    [
        ((340, 280), "none", {}, False),
        ((400, 400), "none", {}, False),
        ((480, 640), "none", {}, True),
        ((650, 960), "none", {}, True),
        ((480, 640), "auto", {}, False),
        ((480, 640), "none", {"casme2": "rendered casme2, built-in faces of seed 0"}, False),
    ],
)
def test_only_recordings_of_people_that_nothing_crops_are_named(tmp_path, size_hw, alignment, people, is_said):
    corpora = corpora_of(tmp_path, size_hw, people=people)
    said = uncropped_recordings(corpora, FDPVideoProcessor(alignment=alignment))
    assert len(said) == is_said
    assert all(f"{size_hw[1]} x {size_hw[0]}" in text and "alignment=auto" in text for text in said)


def test_rows_without_files_are_let_be(tmp_path):
    corpora = corpora_of(tmp_path, (480, 640))
    corpora.dataset = corpora.dataset.remove_columns("video")
    assert uncropped_recordings(corpora, FDPVideoProcessor(alignment="none")) == []


def test_a_run_logs_it_and_keeps_it_for_the_report(tmp_path, monkeypatch, caplog):
    one = corpora_of(tmp_path, (480, 640))
    rows = [{**one.dataset[0], "action_units": []}] * 2
    table = ClipTable(["a", "b"], ["casme2"] * 2, ["1", "2"], [0, 0], ["x"])
    monkeypatch.setattr(preparation, "load_corpora", lambda config: Corpora(Dataset.from_list(rows), table, False))
    monkeypatch.setattr(preparation, "prepare_clips", lambda *_, **__: SimpleNamespace(lost={}))
    config = parse_train_config(
        ["--corpus", "casme2", "--output_dir", str(tmp_path / "OUT"), "--processor_overrides", "alignment=none"]
    )
    prepared = prepare_run(config, build_accelerator(config.training, config.run))
    assert any("whole recordings (640 x 480" in text for text in prepared.warnings)
    assert "whole recordings (640 x 480" in caplog.text
