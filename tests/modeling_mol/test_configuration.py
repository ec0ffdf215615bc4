"""MOLConfig: presets, the published shape, and contradictions that must be refused with what was given."""

import ast
import json
import re
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig

import modeling_mol.configuration_mol
from modeling_mol import MOLConfig, MOLForVideoClassification


@pytest.mark.parametrize("preset", ["small", "released"])
def test_saved_and_loaded_config_is_the_same(preset, tmp_path):
    config = MOLConfig.from_preset(preset, id2label={0: "anger", 1: "surprise", 2: "other"})
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is MOLConfig
    assert loaded.to_diff_dict() == config.to_diff_dict()
    assert loaded.label2id == {"anger": 0, "surprise": 1, "other": 2}
    auto_map = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert set(auto_map) == {"AutoConfig", "AutoModel", "AutoModelForVideoClassification", "AutoVideoProcessor"}


def test_released_preset_has_the_published_shape():
    """Facts of MOL@0a75455 (docs/sources.md): 44.1 M weights, 39.73 M of them FlowNetC; maps 63, 31, 16, 16; 14 maps
    to the classifier, whose linear layer takes 2560 numbers; 6272 numbers to the landmark head.
    """
    config = MOLConfig.from_preset("released", num_labels=5)
    with torch.device("meta"):
        model = MOLForVideoClassification(config)

    def weights(module):
        return sum(weight.numel() for weight in module.parameters())

    assert config.stem_sizes == [63, 31, 16, 16] and config.num_maps == 14
    assert weights(model.mol.stem) == 19_048
    assert weights(model.flow_decoder) == pytest.approx(39.73e6, rel=0.01)
    assert weights(model) == pytest.approx(44.1e6, rel=0.005)
    assert model.classifier.hidden.in_features == 2560 and model.landmark_head.hidden.in_features == 6272


def test_small_encodes_each_frame_once_on_the_published_map():
    config = MOLConfig()
    assert config.map_size == 16 and config.num_maps == config.num_frames == 8 and config.hidden_size == 128
    with torch.device("meta"):
        assert MOLForVideoClassification(config).classifier.hidden.in_features == 1024


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"num_frames": 1}, "`num_frames` must be at least 2, but 1"),
        ({"num_landmarks": 25}, "68, 5 or 0, but 25"),
        (
            {"flow_decoder": "none"},
            "needs a flow, but `flow_decoder` is 'none'; set `classifier_inputs` to 'features'",
        ),
        ({"stem_strides": [2, 2]}, "one entry per convolution"),
        ({"stem_channels": [8, 16, 32, 33]}, "halves the channels, but the stem ends with 33"),
        ({"stem_channels": [8, 16, 32, 0]}, "`stem_channels` must be numbers from 1 on"),
        ({"image_size": 8}, "map of 4 x 4 cells, but frames of 8 pixels leave 2"),
        ({"num_neighbors": 128}, "below the 128 nodes of the graph, but 128"),
        ({"num_neighbors": 256, "graph_nodes": "positions"}, "below the 256 nodes"),
        ({"flow_decoder": "flownet_c", "image_size": 96}, "multiple of 64, but 96"),
        ({"flow_decoder": "flownet_c"}, "map of 8 cells, but they have 16"),
        ({"landmark_stride": 3}, "1 or 2, but 3"),
        ({"classifier_dropout": 1.0}, r"\[0, 1\), but 1.0"),
        ({"flow_loss_weight": -1.0}, "must not be negative, but -1.0"),
        ({"flow_reference": "apex"}, "flow_reference"),
    ],
)
def test_contradictions_are_refused_with_what_was_given(changes, complaint):
    with pytest.raises((ValueError, StrictDataclassError), match=complaint):
        MOLConfig.from_preset("small", **changes)


def test_unknown_presets_and_fields_are_named():
    with pytest.raises(ValueError, match="one of small, released, but 'large'"):
        MOLConfig.from_preset("large")
    with pytest.raises(ValueError, match="fields of MOLConfig, but depth is none"):
        MOLConfig.from_preset("small", depth=3)


def test_documented_defaults_are_the_real_ones():
    documented = re.findall(r"^ *(\w+) \(.*defaults to `?(.+?)`?\):$", MOLConfig.__doc__, flags=re.MULTILINE)
    config = MOLConfig()
    source = ast.parse(Path(modeling_mol.configuration_mol.__file__).read_text())
    fields = next(node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "MOLConfig").body
    names = {node.target.id for node in fields if isinstance(node, ast.AnnAssign)} - {"model_type"}
    assert {name for name, _ in documented} == names
    assert all(getattr(config, name) == ast.literal_eval(value) for name, value in documented)
