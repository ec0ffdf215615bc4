"""A method that this package does not know: registered from outside, it is trained, resumed, asked and published."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi
from PIL import Image
from torch import nn
from transformers import AutoConfig, AutoModelForVideoClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from evaluation_fdp.errors import ConfigError
from tests.scripts.fake_hub import FakeHub
from training_fdp.config import parse_train_config
from training_fdp.errors import Interrupted
from training_fdp.folds.loop import StageTrainer
from training_fdp.hub.prediction import Predictor
from training_fdp.hub.publish import prepare_publication
from training_fdp.hub.push import push
from training_fdp.methods.base import Method, Shown
from training_fdp.methods.registry import get_method, method_of, register_method
from training_fdp.runs.run import run


class ToyConfig(PreTrainedConfig):
    model_type = "toy_brightness"
    num_frames: int = 4
    image_size: int = 32


class ToyForVideoClassification(PreTrainedModel):
    config: ToyConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.output = nn.Linear(16, config.num_labels)
        self.post_init()

    def forward(self, pixel_values):
        change = nn.functional.adaptive_avg_pool2d(pixel_values[:, -1] - pixel_values[:, 0], 4)
        return ImageClassifierOutput(logits=self.output(20 * change.flatten(1)), hidden_states=change)


@register_method
class ToyMethod(Method):
    name, title, version, model_type = "toy", "brightness", 3, "toy_brightness"
    class_parameters = ("output.weight", "output.bias")
    answer_titles = MappingProxyType({"brightening": "mean brightening"})

    def configure(self, request):
        return ToyConfig(**request.labels, **request.overrides)

    def answers(self, output, batch, config, reference):
        return [{"brightening": float(change.mean())} for change in output.hidden_states.cpu()]

    def shown(self, output, config, batch=None):
        return [Shown(images={"change": change[0].numpy() / 2 + 0.5}) for change in output.hidden_states]


AutoConfig.register(ToyConfig.model_type, ToyConfig)
AutoModelForVideoClassification.register(ToyConfig, ToyForVideoClassification)
ToyConfig.register_for_auto_class()
ToyForVideoClassification.register_for_auto_class("AutoModelForVideoClassification")


@pytest.fixture
def arguments():
    """The command line of a leave-one-subject-out run of the toy method: OUT, then options."""

    def build(output_dir, *options):
        return [
            *("--method", "toy", "--corpus", "synthetic", "--output_dir", str(output_dir), "--protocol", "loso"),
            *(
                "--image_size",
                "32",
                "--num_frames",
                "4",
                "--augmentation",
                "shift=0.05,mixup=0.3",
                "--batch_size",
                "6",
            ),
            *("--max_steps", "20", "--learning_rate", "0.05", "--checkpoint_steps", "1"),
            *("--processor_overrides", "alignment=none", *options),
        ]

    return build


@pytest.fixture
def trained(toy_corpus, arguments, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))
    command = arguments(tmp_path / "OUT", "--class_weighting", "balanced", "--ema_decay", "0.5")
    assert run(parse_train_config(command), command) == 0
    return tmp_path / "OUT"


def test_it_trains_under_loso_and_says_what_it_answers(trained):
    results = json.loads((trained / "results.json").read_text())
    assert results["complete"] and len(results["folds"]) == 5 and results["preset"] == "toy"
    assert results["metrics"]["uf1"] > 0.9 > results["chance"]["majority"]["uf1"]
    assert results["settings"]["method"] == "toy" and results["settings"]["method_version"] == 3
    assert results["answers"]["brightening"]["title"] == "mean brightening"
    assert results["answers"]["brightening"]["mean"] > 0
    assert "mean brightening" in (trained / "report.md").read_text()
    with np.load(trained / "samples" / "s00.npz") as samples:
        assert samples["image change"].shape == (3, 4, 4)


def test_it_goes_on_with_equal_bits(toy_corpus, arguments, tmp_path, monkeypatch):
    steps = []
    step = StageTrainer._step

    def stop_once(self, *inputs):
        steps.append(self.key)
        if len(steps) == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *inputs)

    outcomes = {}
    for name in ("whole", "stopped"):
        command = arguments(tmp_path / name, "--folds", "s00", "--ema_decay", "0.5")
        with monkeypatch.context() as patch:
            if name == "stopped":
                patch.setattr(StageTrainer, "_step", stop_once)
                with pytest.raises(Interrupted, match="after step 7 of 20"):
                    run(parse_train_config(command), command)
        assert run(parse_train_config(command), command) == 0
        outcomes[name] = json.loads((tmp_path / name / "folds" / "s00" / "fold.json").read_text())["predictions"]
    assert outcomes["whole"] == outcomes["stopped"]


def test_it_starts_from_its_own_checkpoint_and_no_other(trained, toy_corpus, toy_clips, arguments, tmp_path):
    toy_corpus(*toy_clips(num_subjects=2, corpus="other"))
    command = arguments(tmp_path / "next", "--init_from", str(trained / "final"))
    assert run(parse_train_config(command), command) == 0
    assert json.loads((tmp_path / "next" / "results.json").read_text())["init_from"]["new_classes"] == []


def write_frames(folder):
    folder.mkdir()
    for number in range(8):
        Image.fromarray(np.full((40, 40), 90 + 5 * number, np.uint8)).save(folder / f"{number}.png")
    return str(folder)


def test_it_predicts_and_is_pushed(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    checkpoint = trained / "folds" / "s00"
    predictor = Predictor(str(checkpoint))
    answer = predictor.predict(write_frames(tmp_path / "clip"))
    assert sorted(answer.probabilities) == ["negative", "positive", "surprise"]
    assert answer.images["change"].shape == (4, 4)
    hub = FakeHub(large_suffixes=(".safetensors",))
    try:
        push(prepare_publication(checkpoint, "tester/toy"), api=HfApi(endpoint=hub.endpoint, token=hub.token))
        files = hub.files("tester/toy")
    finally:
        hub.close()
    assert {"config.json", "model.safetensors", "README.md"} <= set(files)
    assert json.loads(files["config.json"])["model_type"] == "toy_brightness"
    loaded = AutoModelForVideoClassification.from_pretrained(checkpoint).eval()
    pixels = predictor.processor(str(tmp_path / "clip"), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        scores = loaded(pixel_values=pixels).logits.softmax(-1)[0]
    assert list(answer.probabilities.values()) == pytest.approx(scores.tolist(), abs=1e-6)


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A module of another package with a method that it does not register."""
    (tmp_path / "outside_method.py").write_text(
        "from training_fdp.methods.base import Method\n\n\n"
        "class Plain(Method):\n    name, title, model_type = 'plain', 'plain', 'plain_network'\n\n\n"
        "class Nameless(Method):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("training_fdp.methods.registry._registered", {})
    monkeypatch.delitem(sys.modules, "outside_method", raising=False)


def test_a_method_that_is_named_opens_its_checkpoints_from_then_on(outside):
    assert method_of("plain_network") is None
    method = get_method("outside_method:Plain")
    assert method_of("plain_network") is get_method("plain") is get_method("outside_method:Plain") is method


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere:Plain", "No module named 'nowhere'.*install its package"),
        ("outside_method:Plane", "module outside_method must hold Plane.*check the name of the class"),
        ("outside_method:Nameless", "Nameless lacks name, title, model_type; set them in the class"),
        ("json:dumps", "must be a subclass"),
    ],
)
def test_what_is_no_method_is_refused_with_the_remedy_that_fits(outside, name, complaint):
    with pytest.raises(ConfigError, match=complaint):
        get_method(name)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (lambda request: ToyConfig(), "classes negative, positive, surprise of its run.*has LABEL_0, LABEL_1; pass"),
        (lambda request: PreTrainedConfig(**request.labels), "--method toy lacks num_frames, image_size; add them"),
    ],
)
def test_settings_of_every_run_are_asked_for(toy_corpus, arguments, tmp_path, monkeypatch, settings, complaint):
    monkeypatch.setattr(ToyMethod, "configure", lambda self, request: settings(request))
    command = arguments(tmp_path / "OUT")
    with pytest.raises(ConfigError, match=complaint):
        run(parse_train_config(command), command)


def test_predict_is_told_what_made_a_checkpoint_of_another_package(outside, tmp_path):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text('{"model_type": "plain_network"}')
    command = [sys.executable, "predict.py", "clip.avi", "--model", str(tmp_path / "checkpoint")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    answers = {}
    for name, option in (("without", []), ("with", ["--method", "outside_method:Plain"])):
        ended = subprocess.run(
            [*command, *option], capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[3]
        )
        assert ended.returncode == 2
        answers[name] = ended.stderr
    assert "name its method (predict.py --method MODULE:CLASS" in answers["without"]
    # The method is known then; what is lacking here is its network.
    assert "known method" not in answers["with"] and "cannot be loaded" in answers["with"]
