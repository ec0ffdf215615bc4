"""examples/demo.py: the unseen clip is the same clip in both forms, and a process without this package agrees."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from modeling_fdp.video_processing_fdp import FDPVideoProcessor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def demo(monkeypatch, tmp_path, script_environment):
    """The demo as a module, at work in a temporary folder on two rendered people with one clip each."""
    import datasets

    specification = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(module, "CORPUS_OPTIONS", {"num_subjects": 2, "clips_per_subject": 1, "size": 48})
    monkeypatch.setattr(module, "OUT", tmp_path / "OUT")
    monkeypatch.setattr(module, "CLIP", tmp_path / "unseen clip")
    monkeypatch.setattr(module, "ENVIRONMENT", script_environment())
    return module


def test_the_clip_is_the_first_of_its_fold_whether_right_or_wrong(demo):
    demo.OUT.mkdir()
    rows = [("c", "s3", "fold1", "happy", "happy"), ("b", "s2", "fold1", "happy", "sad"), ("a", "s1", "fold0", "", "")]
    lines = ["clip_id,subject,fold,label,prediction", *(",".join(row) for row in rows)]
    (demo.OUT / "predictions.csv").write_text("\n".join(lines))
    assert demo.choose_clip("fold1")["clip_id"] == "b"


def test_both_forms_hold_the_same_pixels_and_get_the_same_answer(demo, model_folder):
    corpus = demo.load_corpus("synthetic", **demo.CORPUS_OPTIONS)
    folder, video = demo.write_clip(corpus[1]["clip_id"])
    assert len(list(folder.iterdir())) == len(corpus[1]["frames"])
    processor = FDPVideoProcessor.from_pretrained(model_folder)
    np.testing.assert_array_equal(processor.prepare_clip(str(folder)), processor.prepare_clip(str(video)))
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
    monkeypatch.setattr(demo, "choose_clip", lambda fold: {"clip_id": "a", "subject": "s1", "label": truth})
    monkeypatch.setattr(demo, "write_clip", lambda clip_id: (demo.CLIP / "frames", demo.CLIP / "clip.avi"))
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
    monkeypatch.setattr(demo, "choose_clip", lambda fold: {"clip_id": "a", "subject": "s1", "label": "sad"})
    monkeypatch.setattr(demo, "write_clip", lambda clip_id: (demo.CLIP / "frames", demo.CLIP / "clip.avi"))
    answers = [{"sad": 0.8, "happy": 0.2}, {"sad": 0.6, "happy": 0.4}]
    monkeypatch.setattr(demo, "label", lambda checkpoint, clips: answers)
    assert demo.main() == 1
    assert "different answers" in capsys.readouterr().err
