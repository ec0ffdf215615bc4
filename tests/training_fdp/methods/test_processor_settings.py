"""A network says what its video processor must do."""

import pytest

from evaluation_fdp.errors import ConfigError
from modeling_fdp import FDPForVideoClassification
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.config import parse_train_config
from training_fdp.data.processor import learnt_settings
from training_fdp.methods.registry import get_method
from training_fdp.runs.engine import build_accelerator
from training_fdp.runs.prepare import build_network_settings, prepare_run


def even_light(output_dir, *options):
    words = ["--corpus", "synthetic", "--output_dir", str(output_dir), "--protocol", "kfold2", "--max_steps", "2"]
    config = parse_train_config([*words, *options])
    return prepare_run(config, build_accelerator(config.training, config.run)).processor.even_light


def test_patterns_are_read_from_evenly_lit_frames_unless_a_run_says_otherwise(toy_corpus, tmp_path):
    patterns = ("--model_overrides", "reference=movement_patterns", "dynamic_image_frames=along_curve")
    assert even_light(tmp_path, *patterns)
    assert not even_light(tmp_path, *patterns, "--processor_overrides", "even_light=false")
    assert not even_light(tmp_path)


@pytest.fixture
def start(toy_corpus, toy_arguments, tmp_path):
    """A checkpoint of the toy network that learnt from tighter crops than the default."""
    config = parse_train_config(toy_arguments(tmp_path / "OUT"))
    prepared = prepare_run(config, build_accelerator(config.training, config.run))
    folder = tmp_path / "start"
    network = build_network_settings(get_method("fdp")(config.method), config.network, prepared.corpora)
    FDPForVideoClassification(network).save_pretrained(folder)
    settings = {"num_frames": 4, "size": {"height": 32, "width": 32}}
    FDPVideoProcessor(crop_scale=2.0, even_light=True, **settings).save_pretrained(folder)
    return folder


def started(start, toy_arguments, out, *options):
    config = parse_train_config([*toy_arguments(out), "--init_from", str(start), *options])
    return prepare_run(config, build_accelerator(config.training, config.run)).processor


def test_training_goes_on_with_the_crops_of_its_checkpoint(start, toy_arguments, tmp_path):
    processor = started(start, toy_arguments, tmp_path / "next")
    assert processor.crop_scale == 2.0 and processor.even_light and processor.alignment == "auto"
    found = started(start, toy_arguments, tmp_path / "next", "--processor_overrides", "alignment=mesh")
    assert found.alignment == "mesh", "how faces are found may differ"


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("crop_scale=2.5", "crop_scale is 2.0 there, 2.5 was asked for"),
        ("alignment=none", "alignment is auto there, none was asked for"),
        ("even_light=false", "even_light is True there, False was asked for"),
    ],
)
def test_other_crops_than_those_of_a_checkpoint_are_refused(start, toy_arguments, tmp_path, pair, message):
    with pytest.raises(ConfigError, match=message) as caught:
        started(start, toy_arguments, tmp_path / "next", "--processor_overrides", pair)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_ready_crops_takes_frames_as_they_are():
    ready = FDPVideoProcessor(alignment="none")
    assert learnt_settings(ready, {}, "start")["alignment"] == "none"
    with pytest.raises(ConfigError, match="alignment is none there, auto was asked for"):
        learnt_settings(ready, {"alignment": "auto"}, "start")
