"""A saved folder serves every auto class in a process that does not have this package."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import modeling_fdp
import processing_fdp
from processing_fdp import FDPVideoProcessor

PROGRAM = """
import importlib.abc, json, sys


class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("modeling_fdp", "hub_datasets", "training_fdp"):
            raise ModuleNotFoundError(f"No module named {name!r}")


sys.meta_path.insert(0, Absent())
folder, clip_file = sys.argv[1:]
import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification, AutoProcessor, AutoVideoProcessor
from transformers import pipeline

torch.set_num_threads(1)
trust = {"trust_remote_code": True}
clip = torch.from_numpy(np.load(clip_file))
model = AutoModelForVideoClassification.from_pretrained(folder, **trust).eval()
processor = AutoVideoProcessor.from_pretrained(folder, **trust)
video = ((clip[0] + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
pixels = processor(video, return_tensors="pt")["pixel_values"]
answer = pipeline("video-classification", model=folder, **trust)(video, top_k=3)
print(json.dumps({
    "config": type(AutoConfig.from_pretrained(folder, **trust)).__name__,
    "base": type(AutoModel.from_pretrained(folder, **trust)).__name__,
    "model": type(model).__name__,
    "processor": type(AutoProcessor.from_pretrained(folder, **trust)).__name__,
    "video_processor": type(processor).__name__,
    "module": type(model).__module__,
    "logits": model(clip).logits.tolist(),
    "scores": torch.softmax(model(pixels).logits, -1).tolist(),
    "pipeline": answer,
}))
"""


@pytest.fixture(scope="module")
def saved(small_model, clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "fdp_model"
    labels = {0: "negative", 1: "positive", 2: "surprise"}
    model = small_model("tiny", id2label=labels)
    model.save_pretrained(folder)
    FDPVideoProcessor(num_frames=8, size={"height": 64, "width": 64}, alignment="none").save_pretrained(folder)
    return folder, model


def test_every_auto_class_and_the_pipeline_work_without_the_package(saved, clips, tmp_path):
    import numpy as np

    folder, model = saved
    np.save(tmp_path / "clip.npy", clips(1).numpy())
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    environment.pop("HF_MODULES_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(tmp_path / "clip.npy")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["config"] == "FDPConfig" and answer["base"] == "FDPModel"
    assert answer["model"] == "FDPForVideoClassification" and answer["module"].startswith("transformers_modules.")
    assert answer["processor"] == answer["video_processor"] == "FDPVideoProcessor"
    assert torch.allclose(torch.tensor(answer["logits"]), model(clips(1)).logits, atol=1e-5)
    scores = {entry["label"]: entry["score"] for entry in answer["pipeline"]}
    expected = dict(zip(("negative", "positive", "surprise"), answer["scores"][0], strict=True))
    assert scores == pytest.approx(expected, abs=1e-5)


def test_saving_only_the_features_still_serves_every_class(saved, tmp_path):
    _, model = saved
    model.fdp.save_pretrained(tmp_path)
    auto_map = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert auto_map["AutoModelForVideoClassification"] == "modeling_fdp.FDPForVideoClassification"
    assert (tmp_path / "frame_encoder_fdp.py").is_file()


SHIPPED = [
    path for room in (modeling_fdp, processing_fdp) for path in sorted(Path(room.__file__).parent.glob("*_fdp.py"))
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_avoid_what_breaks_remote_code(path):
    tree = ast.parse(path.read_text())
    own = {file.stem for file in path.parent.glob("*_fdp.py")}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and node.module in own, "only one-dot imports of files in this folder"
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module.split(".")[0] not in ("modeling_fdp", "processing_fdp", "hub_datasets", "training_fdp")
            assert node.module != "__future__", "transformers reads the annotation of the config as a class"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            names = {getattr(name, "id", "") for name in ast.walk(node.args[1])}
            assert "FDPConfig" not in names, "two copies of the class exist in remote code"


def test_every_shipped_file_of_the_model_is_copied(saved):
    folder, _ = saved
    needed = {path.name for path in SHIPPED} & {path.name for path in folder.glob("*.py")}
    for name in ("modeling_fdp.py", "configuration_fdp.py", "frame_encoder_fdp.py", "temporal_pooling_fdp.py"):
        assert name in needed
    sources = {path.name: path for path in SHIPPED}
    for path in folder.glob("*.py"):
        assert path.read_text() == sources[path.name].read_text()
