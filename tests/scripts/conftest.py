"""Fixtures of the command-line tests: a stand-in Hub, a hand-made checkpoint, and scripts run as a user runs them."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluation_fdp.metrics import Figures
from tests.forked_python import run_python

ROOT = Path(__file__).resolve().parents[2]
_specification = importlib.util.spec_from_file_location("fake_hub", Path(__file__).with_name("fake_hub.py"))
fake_hub = importlib.util.module_from_spec(_specification)
sys.modules["fake_hub"] = fake_hub
_specification.loader.exec_module(fake_hub)

CLASS_NAMES = ["happiness", "disgust", "surprise"]
CONFUSION_MATRIX = [[6, 1, 1], [2, 5, 1], [0, 1, 3]]


def clean_environment(home, **extra):
    """The environment of a user without a token, a cache or this checkout on the import path."""
    hidden = ("HF_", "HUGGING", "PYTHONPATH", "TRANSFORMERS_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    defaults = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
    return {**kept, **defaults, **extra}


@pytest.fixture
def script_environment(tmp_path):
    """Environment of a process that a test starts; keywords add variables."""
    return lambda **extra: clean_environment(extra.pop("HF_HOME", tmp_path / "home"), **extra)


@pytest.fixture(scope="session")
def script_environment_in():
    """The same with a home of one's own choice: `script_environment_in(home, NAME="value")`."""
    return clean_environment


@pytest.fixture
def run_script(tmp_path):
    """Run one of the scripts of the repository root: `run_script("predict.py", "clip.avi", ...)`.

    With `env={}`, which libraries may read when they are imported, it is a start from nothing; else the libraries are
    there already.
    """

    def run(name, *arguments, env=None):
        words = [str(ROOT / name), *map(str, arguments)]
        environment = clean_environment(tmp_path / "home", **(env or {}))
        if env is None:
            return run_python(words, tmp_path, environment)
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    return run


@pytest.fixture
def hub():
    server = fake_hub.FakeHub(large_suffixes=(".safetensors",))
    yield server
    server.close()


def pooled_metrics(matrix):
    """Accuracy, UF1, UAR and weighted F1 by their definitions, one class at a time; further metrics as computed."""
    size, total = len(matrix), sum(map(sum, matrix))
    truth = [sum(row) for row in matrix]
    predicted = [sum(row[column] for row in matrix) for column in range(size)]
    f1 = [2 * matrix[i][i] / (truth[i] + predicted[i]) if truth[i] + predicted[i] else 0.0 for i in range(size)]
    recall = [matrix[i][i] / truth[i] if truth[i] else 0.0 for i in range(size)]
    return Figures.of(matrix).values | {
        "accuracy": sum(matrix[i][i] for i in range(size)) / total,
        "uf1": sum(f1) / size,
        "uar": sum(recall) / size,
        "f1_weighted": sum(truth[i] * f1[i] for i in range(size)) / total,
    }


@pytest.fixture(scope="session")
def metrics_by_hand():
    """The function that computes pooled metrics from a confusion matrix without the package."""
    return pooled_metrics


@pytest.fixture
def results():
    """The results.json of a small run on a corpus of rendered faces, with a literature-style figure beside them."""
    pooled = pooled_metrics(CONFUSION_MATRIX)
    figures = {**pooled, "f1_per_class": [0.5] * 3, "recall_per_class": [0.5] * 3}
    chosen = {**figures, "uf1": 0.98765, "accuracy": 0.98765, "confusion_matrix": CONFUSION_MATRIX}
    fold = {"seed": 0, "test_subjects": ["s0"], "num_train_subjects": 4, "num_correct": 3, "steps": 10, "seconds": 1.0}
    return {
        "schema_version": 2,
        "complete": True,
        "missing_folds": {},
        "lost_clips": {},
        "corpus": ["synthetic"],
        "test_corpus": [],
        "label_set": "3class",
        "protocol": "kfold5",
        "preset": "tiny",
        "init_from": None,
        "selection": "fixed",
        "seeds": [0],
        "synthetic": True,
        "class_names": CLASS_NAMES,
        "num_clips": 20,
        "num_subjects": 5,
        "metrics": figures,
        "per_seed": [{"seed": 0, "confusion_matrix": CONFUSION_MATRIX, **figures}],
        "deviation": dict.fromkeys(pooled, 0.0),
        "interval": {name: [0.111, 0.999] for name in pooled},
        "chance": dict.fromkeys(("uniform", "prior", "majority"), dict.fromkeys(pooled, 0.4)),
        "majority_class": "happiness",
        "class_counts": dict(zip(CLASS_NAMES, map(sum, CONFUSION_MATRIX), strict=True)),
        "answers": {},
        "warnings": [],
        "settings": {"normalization": "fixed", "released_eval_mode": False},
        "best_on_test_subject": chosen,
        "confusion_matrix": CONFUSION_MATRIX,
        "folds": [{"fold": str(i), "num_train_clips": 16, "num_test_clips": 4, **fold} for i in range(5)],
        "final_model": None,
        "versions": {"torch": "2.15.0"},
        "command": "accelerate launch train.py --data_dir /home/alice/faces --output_dir /home/alice/out --seed 0",
    }


def write_predictions(folder, *matrices):
    """The predictions.csv of runs with these confusion matrices: 5 subjects, dealt in turn."""
    lines = ["clip_id,subject,fold,label,prediction,seed"]
    for seed, matrix in enumerate(matrices):
        cells = [(row, column) for row in range(3) for column in range(3) for _ in range(matrix[row][column])]
        lines += [
            f"c{clip},s{clip % 5},{clip % 5},{CLASS_NAMES[row]},{CLASS_NAMES[column]},{seed}"
            for clip, (row, column) in enumerate(cells)
        ]
    (folder / "predictions.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def predictions_of():
    """`predictions_of(OUT, matrix, ...)` writes a predictions.csv with these confusion matrices, one per seed."""
    return write_predictions


@pytest.fixture
def checkpoint(tmp_path, results):
    """OUT/folds/3 in Hub format, as small as a folder can be that publishing accepts; OUT/results.json above it."""
    folder = tmp_path / "OUT" / "folds" / "3"
    folder.mkdir(parents=True)
    (tmp_path / "OUT" / "results.json").write_text(json.dumps(results))
    write_predictions(tmp_path / "OUT", CONFUSION_MATRIX)
    config = {
        "model_type": "fdp",
        "auto_map": {"AutoConfig": "configuration_fdp.FDPConfig", "AutoModel": "modeling_fdp.FDPModel"},
        "id2label": {str(i): name for i, name in enumerate(CLASS_NAMES)},
    }
    (folder / "config.json").write_text(json.dumps(config))
    processor = {"auto_map": {"AutoVideoProcessor": "video_processing_fdp.FDPVideoProcessor"}}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(processor))
    for name in ("configuration_fdp.py", "modeling_fdp.py", "video_processing_fdp.py"):
        (folder / name).write_text('"""A file of the model."""\n')
    save_file({"weight": np.arange(6, dtype=np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A small FDP model with random weights and its processor, in Hub format."""
    import torch

    from modeling_fdp import FDPConfig, FDPForVideoClassification
    from processing_fdp.video_processing_fdp import FDPVideoProcessor

    torch.manual_seed(0)
    labels = dict(enumerate(CLASS_NAMES))
    config = FDPConfig.from_preset("tiny", id2label=labels, label2id={name: i for i, name in labels.items()})
    folder = tmp_path_factory.mktemp("model") / "fold"
    FDPForVideoClassification(config).eval().save_pretrained(folder)
    size = {"height": config.image_size, "width": config.image_size}
    FDPVideoProcessor(alignment="none", num_frames=config.num_frames, size=size).save_pretrained(folder)
    return folder


@pytest.fixture
def api(hub, monkeypatch, tmp_path):
    """A client of the loopback Hub in this process; `make test` sets the offline switch, which would stop it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    return huggingface_hub.HfApi(endpoint=hub.endpoint, token=hub.token)


@pytest.fixture
def whole_run(checkpoint):
    """OUT with the folds 3 and 4 and the final model."""
    out = checkpoint.parent.parent
    for place in (checkpoint.parent / "4", out / "final"):
        shutil.copytree(checkpoint, place)
    return out
