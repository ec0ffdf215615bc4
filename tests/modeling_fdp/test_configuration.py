"""FDPConfig: presets, defaults, and contradictions that must be refused with both numbers."""

import ast
import json
import math
import re
from pathlib import Path
from typing import get_args

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from modeling_fdp import FDPConfig
from modeling_fdp.configuration_heads_fdp import TEMPORAL_POOLINGS, TemporalPooling
from modeling_fdp.temporal_pooling_fdp import POOLINGS, FDPTemporalConvolution

PRESETS = ("tiny", "small", "base", "paper", "paper_tiny", "released")
WITH_UNITS = {"reference": "movement_patterns", "action_units": ["4", "12"]}


@pytest.mark.parametrize("preset", PRESETS)
def test_saved_and_loaded_config_is_the_same(preset, tmp_path):
    config = FDPConfig.from_preset(preset, id2label={0: "anger", 1: "surprise", 2: "other"})
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is FDPConfig
    assert loaded.to_diff_dict() == config.to_diff_dict() and loaded.to_diff_dict()["hidden_sizes"]
    assert loaded.label2id == {"anger": 0, "surprise": 1, "other": 2}


def test_folder_of_a_config_names_every_auto_class(tmp_path):
    FDPConfig().save_pretrained(tmp_path)
    auto_map = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert set(auto_map) == {"AutoConfig", "AutoModel", "AutoModelForVideoClassification", "AutoVideoProcessor"}


def test_released_preset_is_the_network_of_the_authors_code():
    config = FDPConfig.from_preset("released")
    assert sum(config.local_depths) == 20 and sum(config.global_depths) == 0
    assert config.reference == "none" and config.rank_loss_weight == 0
    assert (config.classification_loss_weight, config.dynamic_image_loss_weight) == (1, 100)
    assert config.num_frames == config.num_encoder_frames == 8 and config.action_units == []
    assert config.encoder_strides == config.stem_strides and config.encoder_channels == 1
    assert config.stage_sizes() == [16, 8, 4, 2]


@pytest.mark.parametrize("preset", ["tiny", "small", "base"])
def test_motion_is_seen_at_half_resolution_and_at_moments(preset):
    config = FDPConfig.from_preset(preset)
    assert (config.num_frames, config.num_encoder_frames, config.least_frames) == (16, 4, 5)
    assert config.takes_any_length and config.encoder_channels == 6 and config.dynamic_image_frames == "stabilized"
    assert config.encoder_strides == [1, *config.stem_strides[1:]] and config.stem_strides[0] == 2
    assert FDPConfig.from_preset(preset, num_moments=7, num_frames=5).num_encoder_frames == 7


def test_map_of_tiny_has_eight_cells_along_a_side():
    assert FDPConfig.from_preset("tiny").stage_sizes() == [8, 4]
    assert FDPConfig.from_preset("tiny").feature_stride == 8


@pytest.mark.parametrize("reference", ["none", "first_frame_pixels", "first_frame_features"])
def test_without_motion_the_encoder_sees_the_frames(reference):
    config = FDPConfig.from_preset("tiny", reference=reference, num_frames=2, stem_strides=[1, 4])
    assert (config.num_encoder_frames, config.least_frames, config.encoder_channels) == (2, 2, 1)
    assert config.encoder_strides == [1, 4] and not config.takes_any_length
    assert FDPConfig.from_preset("tiny", reference=reference, temporal_pooling="rank_weighted").takes_any_length


def test_presets_do_not_share_lists():
    first = FDPConfig.from_preset("tiny")
    first.hidden_sizes[0] = 999
    first.action_units.append("12")
    other = FDPConfig.from_preset("tiny")
    assert other.hidden_sizes[0] != 999 and other.action_units == []


def test_label_names_decide_the_number_of_labels():
    assert FDPConfig.from_preset("released", id2label={0: "a", 1: "b", 2: "c"}).num_labels == 3
    with pytest.raises(ValueError, match="4 was given with 3 entries"):
        FDPConfig.from_preset("tiny", num_labels=4, id2label={0: "a", 1: "b", 2: "c"})


def test_unknown_preset_and_misspelt_field_are_refused():
    with pytest.raises(ValueError, match="tiny, small, base, paper, paper_tiny, released"):
        FDPConfig.from_preset("huge")
    with pytest.raises(ValueError, match="hiden_sizes"):
        FDPConfig.from_preset("tiny", hiden_sizes=[1, 2, 3, 4])


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("base", {"image_size": 48}, "multiple of 32 pixels.*but 48"),
        ("tiny", {"num_frames": 4}, "at least 5 with reference='first_frame_motion', but 4"),
        ("tiny", {"num_frames": 1, "reference": "first_frame_pixels"}, "at least 2.*but 1"),
        ("tiny", {"num_moments": 1}, "`num_moments` must be at least 2.*but 1"),
        ("tiny", {"stem_strides": [1, 4]}, r"first of `stem_strides` must be even, but \[1, 4\]"),
        ("base", {"stem_channels": [], "stem_strides": []}, "at least one convolution"),
        ("tiny", {"decoder_size": 1}, "at least 2 with dynamic_image_decoder='light'"),
        ("tiny", {"action_units": ["4", "12", "4"]}, r"each code once, but \['4', '12', '4'\]"),
        ("tiny", {"action_units": [4]}, "action_units"),
        ("tiny", {"action_unit_loss_weight": -1.0}, "`action_unit_loss_weight` must not be negative, but -1.0"),
        ("base", {"hidden_sizes": [96, 192, 384]}, "has 3 and `local_depths` has 4"),
        ("base", {"hidden_sizes": [100, 192, 384, 768]}, "100 channels and a head has 32"),
        ("base", {"stage_strides": [1, 3, 2, 2]}, r"1 or 2, but \[1, 3, 2, 2\]"),
        ("base", {"stem_strides": [2, 2]}, "2 strides and 4 channels"),
        ("base", {"key_value_strides": [8, 3, 2, 1]}, "map of 8 cells and a key/value stride of 3"),
        ("base", {"attention_ratio": 1.0}, "gives 128 to attention"),
        ("base", {"feature_size": 100}, "multiple of 16, but there are 100"),
        ("base", {"temporal_pooling": "closed_form", "representation_multiplier": 2}, "representation_multiplier=2"),
        ("released", {"feature_size": 8}, "feature_size=8"),
        ("tiny", {"temporal_pooling": "interleaved_convolution"}, "frame_head='pyramid'"),
        ("tiny", {"classifier_grid_size": 17}, "map of 8 cells, but 17"),
        ("tiny", {"rank_grid_size": 9}, "map of 8 cells, but 9"),
        ("tiny", {"rank_grid_size": 0}, "`rank_grid_size` must be at least 1, but 0"),
        ("tiny", {"rank_pooling_steps": 0}, "`rank_pooling_steps` must be at least 1, but 0"),
        ("tiny", {"class_weights": [1.0, 2.0, 3.0], "num_labels": 2}, "3 weights were given for 2 labels"),
        ("tiny", {"drop_path_rate": 1.0}, r"\[0, 1\), but 1.0"),
        ("tiny", {"rank_loss_weight": -0.5}, "not be negative, but -0.5"),
        ("small", {"local_depths": [0, 1, 1, 1], "global_depths": [0, 1, 1, 1]}, "stage 0 has neither"),
        ("tiny", {"stem_strides": [2, 0]}, r"`stem_strides` must be numbers from 1 on, but \[2, 0\]"),
        ("tiny", {"stem_channels": [0, 64]}, r"`stem_channels` must be numbers from 1 on"),
        ("tiny", {"key_value_strides": [0, 1]}, r"`key_value_strides` must be numbers from 1 on, but \[0, 1\]"),
        ("tiny", {"key_value_strides": [2, 0]}, r"`key_value_strides` must be numbers from 1 on, but \[2, 0\]"),
        ("tiny", {"local_depths": [-1, 1], "global_depths": [2, 1]}, r"`local_depths` must be numbers from 0 on"),
        ("tiny", {"attention_head_dim": 0}, "`attention_head_dim` must be at least 1, but 0"),
        ("tiny", {"classifier_grid_size": 0}, "`classifier_grid_size` must be at least 1, but 0"),
        ("tiny", {"local_mlp_ratio": 0.0}, "`local_mlp_ratio` must be above 0"),
        ("tiny", {"temperature": 0.0}, "`temperature` must be above 0, but 0.0"),
        ("tiny", {"movement_weights": [1.0] * 3}, "'first_frame_motion' with 0 action units was given; leave them"),
        ("tiny", {**WITH_UNITS, "movement_weights": [1.0] * 2}, "must be 3 finite numbers or none, but"),
        ("tiny", {**WITH_UNITS, "movement_weights": [math.nan] * 3}, "must be 3 finite numbers or none, but"),
        ("tiny", {"classifier": "fully_connected", "image_size": 16}, "3 x 3 cells, but the map has 2"),
        (
            "tiny",
            {"image_size": 66, "stem_strides": [2, 1], "stage_strides": [1, 1], "key_value_strides": [1, 1]},
            "multiple of 4 pixels.*but 66",
        ),
        ("tiny", {"class_weights": [1, -2], "num_labels": 2}, r"not be negative, but \[1, -2\]"),
        ("tiny", {"temporal_pooling": "mean"}, "temporal_pooling"),
        (
            "tiny",
            {"problem_type": "regression", "focal_gamma": 2.0},
            "one label per clip, but problem_type='regression'",
        ),
        (
            "tiny",
            {"problem_type": "multi_label_classification", "label_smoothing": 0.1},
            "one label per clip, but problem_type='multi_label_classification'",
        ),
        ("tiny", {"num_frames": "8"}, "num_frames"),
    ],
)
def test_contradictions_are_named_with_both_numbers(preset, overrides, message):
    with pytest.raises(ValueError, match=message):
        FDPConfig.from_preset(preset, **overrides)


def test_class_weights_may_be_whole_numbers(tmp_path):
    config = FDPConfig.from_preset("tiny", num_labels=2, class_weights=[1, 2.5])
    config.save_pretrained(tmp_path)
    assert FDPConfig.from_pretrained(tmp_path).class_weights == [1, 2.5]


def test_sides_of_frames_without_motion_need_no_multiple_of_four():
    strides = {"stem_strides": [2, 1], "stage_strides": [1, 1], "key_value_strides": [1, 1]}
    assert FDPConfig.from_preset("tiny", reference="none", image_size=66, **strides).stage_sizes() == [33, 33]


def test_plain_construction_is_checked_too():
    with pytest.raises(StrictDataclassError, match="multiple of 32"):
        FDPConfig(image_size=50)


def test_every_field_is_documented_with_its_real_default():
    plain = FDPConfig()
    documented = dict(
        re.findall(r"^        (\w+) \(`[^)]*?\*optional\*(?:, defaults to (.+?))?\):$", FDPConfig.__doc__, re.M)
    )
    own = [name for name in FDPConfig.__annotations__ if name != "keys_to_ignore_at_inference"]
    assert set(own) == set(documented)
    for name in own:
        written = documented[name].strip("`").strip('"') if documented[name] else "None"
        assert str(getattr(plain, name)) == written, name


def test_every_departure_of_tiny_from_the_paper_is_a_setting_in_the_docs():
    """The table of docs/design/paper.md holds every field in which the two presets differ, with both values."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "design" / "paper.md").read_text(encoding="utf-8")
    table = page.split("## Departures of our presets", 1)[1]
    listed = {}
    for names, paper, tiny in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.+?) \| (.+?) \| .+ \|$", table, re.M):
        values = zip(*(re.findall(r"`(.+?)`|(\d+)", cell) for cell in (paper, tiny)), strict=True)
        for name, (ours, theirs) in zip(re.findall(r"`(\w+)`", names), values, strict=True):
            listed[name] = tuple(ast.literal_eval(left or right) for left, right in (ours, theirs))
    departures = {
        name: (FDPConfig.from_preset("paper_tiny").to_dict()[name], FDPConfig.from_preset("tiny").to_dict()[name])
        for name in FDPConfig.__annotations__
        if name in FDPConfig().to_dict()
    }
    assert listed == {name: pair for name, pair in departures.items() if pair[0] != pair[1]}
    settings = {name: pair[0] for name, pair in listed.items()}
    assert FDPConfig.from_preset("tiny", **settings).to_dict() == FDPConfig.from_preset("paper_tiny").to_dict()


@pytest.mark.parametrize("preset", PRESETS)
def test_no_field_has_a_name_that_the_libraries_take_for_something_else(preset):
    """transformers, accelerate and PEFT ask for the configuration of a text model, Trainer for a cache, and so on."""
    config = FDPConfig.from_preset(preset)
    assert (
        config.get_text_config()
        is config.get_text_config(decoder=True)
        is config.get_text_config(encoder=True)
        is config
    )
    own = {name for name in FDPConfig.__annotations__ if name != "keys_to_ignore_at_inference"}
    sub_configurations = {"decoder", "encoder", "generator", "text_encoder", "text_config", "vision_config"}
    switches = {"use_cache", "is_decoder", "is_encoder_decoder", "tie_word_embeddings", "quantization_config", "dtype"}
    sizes = {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings"}
    assert not own & (sub_configurations | switches | sizes)
    assert not FDPConfig.attribute_map and not FDPConfig.sub_configs
    assert not own & {entry for entry in dir(PreTrainedConfig) if not entry.startswith("_")}


def test_a_temporal_pooling_is_in_all_its_places():
    assert set(get_args(TemporalPooling)) == set(TEMPORAL_POOLINGS) == set(POOLINGS)
    kernels = {name for name, pooling in POOLINGS.items() if issubclass(pooling, FDPTemporalConvolution)}
    assert {name for name, traits in TEMPORAL_POOLINGS.items() if traits.has_kernel} == kernels
