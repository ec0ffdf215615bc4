"""Push to the loopback Hub, then load where this package does not exist: the same numbers to the last bit."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

REPO_ID = "tester/fdp-roundtrip"
# What somebody runs who has transformers and not this package.
STRANGER = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("modeling_fdp", "hub_datasets", "training_fdp"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np
import torch
from transformers import AutoModelForVideoClassification, AutoVideoProcessor, pipeline

repository, pixels, frames, answer = sys.argv[1:]
model = AutoModelForVideoClassification.from_pretrained(repository, trust_remote_code=True).eval()
processor = AutoVideoProcessor.from_pretrained(repository, trust_remote_code=True)
with torch.inference_mode():
    output = model(pixel_values=torch.from_numpy(np.load(pixels)))
classify = pipeline("video-classification", model=repository, trust_remote_code=True)
np.savez(
    answer,
    logits=output.logits.numpy(),
    rank_scores=output.rank_scores.numpy(),
    dynamic_image=output.dynamic_image.numpy(),
    pixel_values=processor(frames, return_tensors="pt")["pixel_values"].numpy(),
    code=type(model).__module__,
    labels=json.dumps(classify(frames, top_k=3)),
)
"""


@pytest.fixture
def frames(tmp_path):
    """A short clip as a folder of frames."""
    folder = tmp_path / "frames"
    folder.mkdir()
    generator = np.random.default_rng(3)
    base = generator.integers(40, 200, (48, 48))
    for step in range(10):
        Image.fromarray((base + 5 * step).astype(np.uint8)).save(folder / f"img{step + 1}.png")
    return folder


def test_pushed_and_loaded_by_a_stranger(hub, run_script, script_environment, model_folder, results, frames, tmp_path):
    from modeling_fdp import FDPForVideoClassification
    from processing_fdp.video_processing_fdp import FDPVideoProcessor

    checkpoint = tmp_path / "OUT" / "folds" / "0"
    shutil.copytree(model_folder, checkpoint)
    (tmp_path / "OUT" / "results.json").write_text(json.dumps(results))
    online = hub.environment(tmp_path / "home of the author")
    pushed = run_script("push_to_hub.py", "--checkpoint", checkpoint, "--repo_id", REPO_ID, env=online)
    assert pushed.returncode == 0, pushed.stderr
    assert len(hub.repositories[REPO_ID].commits) == 2 and hub.repositories[REPO_ID].private

    model = FDPForVideoClassification.from_pretrained(model_folder).eval()
    processor = FDPVideoProcessor.from_pretrained(model_folder)
    shape = (2, model.config.num_frames, 1, model.config.image_size, model.config.image_size)
    pixel_values = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixel_values)
    arguments = [REPO_ID, tmp_path / "pixels.npy", frames, tmp_path / "answer.npz"]
    stranger = subprocess.run(
        [sys.executable, "-c", STRANGER, *map(str, arguments)],
        cwd=frames,
        env=script_environment(**hub.environment(tmp_path / "home of a reader")),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert stranger.returncode == 0, stranger.stderr
    answer = np.load(tmp_path / "answer.npz")
    assert str(answer["code"]).startswith("transformers_modules.")
    with torch.inference_mode():
        expected = model(pixel_values=torch.from_numpy(pixel_values))
    for name in ("logits", "rank_scores", "dynamic_image"):
        np.testing.assert_array_equal(answer[name], expected[name].numpy(), err_msg=name)
    own_pixels = processor(str(frames), return_tensors="pt")["pixel_values"]
    np.testing.assert_array_equal(answer["pixel_values"], own_pixels.numpy())
    with torch.inference_mode():
        scores = model(pixel_values=own_pixels).logits[0].softmax(-1)
    labels = {item["label"]: item["score"] for item in json.loads(str(answer["labels"]))}
    assert labels == pytest.approx(
        {model.config.id2label[index]: float(score) for index, score in enumerate(scores)}, abs=1e-6
    )
