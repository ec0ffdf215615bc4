"""examples/demo.py: the unseen clip is the same clip in both forms, and a process without this package agrees."""

import importlib.util
import json
from pathlib import Path

import datasets
import numpy as np
import pytest

from processing_fdp.video_processing_fdp import FDPVideoProcessor

ROOT = Path(__file__).resolve().parents[2]
CHOSEN = {"clip_id": "a", "action_units": [{"side": "", "code": "12", "intensity": "C"}]}


@pytest.fixture
def demo(monkeypatch, tmp_path, script_environment):
    """The demo as a module, at work in a temporary folder on two rendered people with one clip each."""
    specification = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(module, "CORPUS_OPTIONS", {"num_subjects": 2, "clips_per_subject": 1, "size": 48})
    monkeypatch.setattr(module, "OUT", tmp_path / "OUT")
    monkeypatch.setattr(module, "CLIP", tmp_path / "unseen clip")
    monkeypatch.setattr(module, "ENVIRONMENT", script_environment())
    return module


def test_the_clip_is_chosen_by_its_codes_and_never_by_an_answer(demo, monkeypatch):
    """Of fold1 `b` is first but a trace, `c` is marked; that `c` was answered wrongly must not matter."""
    demo.OUT.mkdir()
    rows = [
        ("d", "fold1", "sad", "sad"),
        ("c", "fold1", "sad", "happy"),
        ("b", "fold1", "sad", "sad"),
        ("a", "fold0", "", ""),
    ]
    lines = ["clip_id,fold,label,prediction", *(",".join(row) for row in rows)]
    (demo.OUT / "predictions.csv").write_text("\n".join(lines))
    intensities = {"d": "E", "c": "C", "b": "B", "a": "E"}
    corpus = datasets.Dataset.from_list(
        [{"clip_id": name, "action_units": [{"intensity": intensity}]} for name, intensity in intensities.items()]
    )
    monkeypatch.setattr(demo, "load_corpus", lambda name, **options: corpus)
    chosen = demo.choose_clip("fold1")
    assert (chosen["clip_id"], chosen["truth"]) == ("c", "sad")


def test_both_forms_hold_the_same_pixels_and_get_the_same_answer(demo, model_folder):
    corpus = demo.load_corpus("synthetic", **demo.CORPUS_OPTIONS)
    folder, video = demo.write_clip(corpus[1])
    assert len(list(folder.iterdir())) == len(corpus[1]["frames"])
    processor = FDPVideoProcessor.from_pretrained(model_folder)
    np.testing.assert_array_equal(processor.align_clip(str(folder)).frames, processor.align_clip(str(video)).frames)
    of_frames, of_video = demo.label(model_folder, (folder, video))
    assert of_frames == of_video
    names = json.loads((model_folder / "config.json").read_text())["id2label"].values()
    assert set(of_frames) == set(names)
    assert sum(of_frames.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("truth", "code"), [("sad", 0), ("happy", 1)])
def test_a_wrong_label_fails_the_demo(demo, monkeypatch, capsys, truth, code):
    metrics = {"uf1": 0.9, "accuracy": 0.9}
    results = {
        "folds": [{"fold": "fold0"}],
        "metrics": metrics,
        "chance": {"majority": metrics},
        "majority_class": "sad",
    }
    monkeypatch.setattr(demo, "train", lambda: results)
    monkeypatch.setattr(demo, "choose_clip", lambda fold: {**CHOSEN, "truth": truth})
    monkeypatch.setattr(demo, "write_clip", lambda row: (demo.CLIP / "frames", demo.CLIP / "clip.avi"))
    monkeypatch.setattr(demo, "label", lambda checkpoint, clips: [{"sad": 0.8, "happy": 0.2}] * 2)
    assert demo.main() == code
    assert ("FAILED" in capsys.readouterr().err) is bool(code)


def test_two_answers_for_one_clip_fail_the_demo(demo, monkeypatch, capsys):
    metrics = {"uf1": 0.9, "accuracy": 0.9}
    results = {
        "folds": [{"fold": "fold0"}],
        "metrics": metrics,
        "chance": {"majority": metrics},
        "majority_class": "sad",
    }
    monkeypatch.setattr(demo, "train", lambda: results)
    monkeypatch.setattr(demo, "choose_clip", lambda fold: {**CHOSEN, "truth": "sad"})
    monkeypatch.setattr(demo, "write_clip", lambda row: (demo.CLIP / "frames", demo.CLIP / "clip.avi"))
    answers = [{"sad": 0.8, "happy": 0.2}, {"sad": 0.6, "happy": 0.4}]
    monkeypatch.setattr(demo, "label", lambda checkpoint, clips: answers)
    assert demo.main() == 1
    assert "different answers" in capsys.readouterr().err
