"""Settings: which source wins, what is refused, and that launchers leave our options alone."""

import argparse
import dataclasses
from typing import get_args

import pytest
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

from evaluation_fdp.errors import ConfigError
from modeling_fdp.presets_fdp import PRESETS
from training_fdp.cli import read_pairs
from training_fdp.config import RECIPES_FOLDER, TrainConfig, load_recipe, option_groups, parse_train_config
from training_fdp.data.augmentation import parse_augmentation
from training_fdp.methods.fdp_options import PRETRAINED, Preset

BASE = ["--corpus", "synthetic", "--output_dir", "OUT"]


def test_the_command_line_of_the_readme():
    options = "--data_dir D --label_set 5class --preset small --protocol holdout --folds a,b --max_steps 3 --epochs 2"
    more = "--batch_size 4 --mixed_precision bf16 --seed 7 --report_to tensorboard"
    config = parse_train_config([*BASE, *options.split(), *more.split()])
    data, training = config.data, config.training
    assert (data.corpus, data.data_dir, data.label_set) == (["synthetic"], ["D"], "5class")
    assert (training.max_steps, training.epochs, training.batch_size, config.protocol.seed) == (3, 2, 4, 7)
    assert config.protocol.all_seeds == [7]


def test_the_last_source_wins(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("learning_rate: 3e-4\nbatch_size: 5\nseeds: [1, 2]\nreport_literature_selection: true\n")
    config = parse_train_config([*BASE, "--recipe", "released", "--config", str(file), "--batch_size", "7"])
    training = config.training
    assert training.learning_rate == 3e-4 and training.batch_size == 7 and config.protocol.seeds == [1, 2]
    assert training.optimizer == "adam" and training.report_literature_selection


def test_epochs_on_the_command_line_beat_the_steps_of_a_recipe():
    assert parse_train_config([*BASE, "--recipe", "released"]).training.max_steps == 500
    assert parse_train_config([*BASE, "--recipe", "released", "--epochs", "3"]).training.max_steps is None
    assert (
        parse_train_config([*BASE, "--recipe", "released", "--epochs=3", "--max-steps", "7"]).training.max_steps == 7
    )


def test_the_released_recipe_is_the_released_script_without_its_leaks():
    config = parse_train_config([*BASE, "--recipe", "released"])
    training, batches = config.training, config.batches
    assert (training.optimizer, training.learning_rate, training.weight_decay) == ("adam", 1e-4, 1e-3)
    assert (training.batch_size, training.max_steps, training.lr_schedule) == (36, 500, "constant")
    assert training.warmup_fraction == 0 and batches.augmentation == "none" and not training.max_grad_norm
    assert (batches.frame_sampling, batches.normalization) == ("released_stride", "train_statistics")
    assert not (batches.released_test_statistics or training.released_eval_mode)
    assert not config.protocol.released_subject_list


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES_FOLDER.glob("*.yaml")))
def test_every_recipe_can_be_read(name):
    assert load_recipe(name)
    parse_train_config([*BASE, "--recipe", name])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--corpus"),
        (["--corpus", "synthetic"], "--output_dir"),
        ([*BASE, "--batch_size", "0"], "batch_size"),
        ([*BASE, "--batch_size", "many"], "many"),
        ([*BASE, "--preset", "huge"], "huge"),
        ([*BASE, "--protocol", "kfold"], "kfold"),
        ([*BASE, "--learning_rate", "-1"], "learning_rate"),
        ([*BASE, "--ema_decay", "1"], "ema_decay"),
        ([*BASE, "--warmup_fraction", "1.5"], "warmup_fraction"),
        ([*BASE, "--seeds", "1", "1"], "seeds"),
        ([*BASE, "--recipe", "secret"], "secret"),
        ([*BASE, "--config", "nowhere.yaml"], "nowhere.yaml"),
        ([*BASE, "--learning-rat", "1"], "learning-rat"),
        ([*BASE, "--protocol", "cross_corpus"], "test_corpus"),
        ([*BASE, "--test_corpus", "samm"], "test_corpus"),
        ([*BASE, "--released_test_statistics"], "train_statistics"),
        ([*BASE, "--selection", "inner", "--no_refit", "--report_literature_selection"], "refit"),
        ([*BASE, "--init_from", "x", "--max_steps", "0", "--selection", "inner"], "no step to select"),
        ([*BASE, "--init_from", "x", "--max_steps", "0", "--report_literature_selection"], "no step to select"),
    ],
)
def test_bad_settings_are_one_sentence(arguments, named):
    with pytest.raises(ConfigError, match=named) as caught:
        parse_train_config(arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a list", "unknown_setting: 1", "batch_size: [1, 2", "batch_size: {a: 1}"])
def test_bad_files_are_refused(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError):
        parse_train_config([*BASE, "--config", str(tmp_path / "bad.yaml")])


def test_every_preset_of_the_network_can_be_trained():
    assert {*PRESETS, PRETRAINED} == set(get_args(Preset))


def test_launchers_pass_every_option_on():
    """A prefix of two options of a launcher is 'ambiguous' to it, even behind the script's name."""
    names = list(TrainConfig().flat())
    tokens = [token for name in names for token in (f"--{name}", "1")]
    for parser in (launch_command_parser(), get_args_parser()):
        assert isinstance(parser, argparse.ArgumentParser)
        parsed = parser.parse_args(["train.py", *tokens])
        assert parsed.training_script == "train.py" and parsed.training_script_args == tokens


def test_execution_settings_do_not_belong_to_the_identity():
    execution = {
        "output_dir", "folds", "report_to", "num_proc", "cache_dir", "checkpoint_steps", "config", "recipe", "collect",
        "final_model", "allow_face_figures", "data_dir", "test_data_dir", "eval_batch_size", "init_from", "seeds",
        "folds_at_once",
    }  # fmt: skip
    known = TrainConfig.of(corpus=["synthetic"])
    assert set(known.flat()) - set(known.identity()) == execution
    first = parse_train_config([*BASE, "--num_proc", "1"]).identity()
    assert first == parse_train_config([*BASE[:3], "ELSEWHERE", "--num_proc", "2", "--folds", "a"]).identity()
    assert first != parse_train_config([*BASE, "--seed", "1"]).identity()


def test_pairs():
    config = parse_train_config([*BASE, "--model_overrides", "drop_path_rate=0.5", "hidden_sizes=[8,8]", "a=b=c"])
    assert config.network.overrides == {"drop_path_rate": 0.5, "hidden_sizes": [8, 8], "a": "b=c"}
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        read_pairs("model_overrides", ["nothing"])


@pytest.mark.parametrize(
    ("text", "arguments", "max_steps"),
    [
        ("seed: 1", [], 500),
        ("epochs: 40", [], None),
        ("max_steps: null", [], None),
        ("max_steps: 7", [], 7),
        ("max_steps: 7", ["--epochs", "3"], None),
        ("epochs: 40", ["--max_steps", "9"], 9),
        ("{epochs: 40, max_steps: 7}", [], 7),
    ],
)
def test_the_last_source_says_how_long(tmp_path, text, arguments, max_steps):
    (tmp_path / "own.yaml").write_text(text)
    config = parse_train_config([*BASE, "--recipe", "released", "--config", str(tmp_path / "own.yaml"), *arguments])
    assert config.training.max_steps == max_steps


def test_exponents_are_numbers():
    config = parse_train_config([*BASE, "--model_overrides", "rank_loss_weight=1e-3", "a=2.5E+2", "b=1e", "c=e3"])
    assert config.network.overrides == {"rank_loss_weight": 0.001, "a": 250.0, "b": "1e", "c": "e3"}


def test_augmentation_text():
    assert not parse_augmentation("none").is_temporal
    changed = parse_augmentation("default,flip=0,phase=0.25")
    assert changed.flip == 0 and changed.phase == 0.25 and changed.shift == parse_augmentation("default").shift
    assert parse_augmentation("phase=0.5,reverse_offset_phase=True").reverse_offset_phase is True
    for text in ("wild", "flip", "flip=high", "flip=3", "shift=0.1,nothing=1", "reverse_offset_phase=ture"):
        with pytest.raises(ConfigError):
            parse_augmentation(text)


def test_a_settings_file_may_be_flat_or_by_section(tmp_path):
    flat, nested = tmp_path / "flat.yaml", tmp_path / "nested.yaml"
    flat.write_text("protocol: kfold3\nmethod: fdp\nseeds: [1, 2]\nbatch_size: 5\npreset: small\nnum_frames: 8\n")
    nested.write_text(
        "protocol: {protocol: kfold3, seeds: [1, 2]}\nnetwork: {method: fdp, num_frames: 8}\n"
        "method: {preset: small}\ntraining:\n  batch_size: 5\n"
    )
    first, second = (parse_train_config([*BASE, "--config", str(path)]) for path in (flat, nested))
    assert first.identity() == second.identity()
    assert first.training.batch_size == 5 and first.method.preset == "small"
    nested.write_text("training: {batch_size: 5}\nbatch_size: 6\n")
    with pytest.raises(ConfigError, match="batch_size twice"):
        parse_train_config([*BASE, "--config", str(nested)])


def test_every_option_stands_in_one_group_and_says_what_it_decides():
    entries = [entry for group in option_groups("fdp").values() for entry in dataclasses.fields(group)]
    assert len({entry.name for entry in entries}) == len(entries)
    assert all(entry.metadata["help"] and entry.metadata["decides"] for entry in entries)


def test_options_of_another_method_are_unknown():
    with pytest.raises(ConfigError, match="preset"):
        parse_train_config([*BASE, "--method", "raw_cnn", "--preset", "tiny"])
    with pytest.raises(ConfigError, match="no method is called 'nothing'; choose among fdp"):
        parse_train_config([*BASE, "--method", "nothing"])
