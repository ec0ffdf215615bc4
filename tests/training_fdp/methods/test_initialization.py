"""Starting from a checkpoint: which weights arrive, what is refused, and what the records say."""

import hashlib
import json
import os
import shutil
import stat
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from evaluation_fdp.errors import ConfigError, ProtocolError
from evaluation_fdp.protocols import ClipTable, Fold
from evaluation_fdp.results import read_results
from modeling_fdp import FDPConfig, FDPForVideoClassification
from training_fdp.config import TrainConfig, parse_train_config
from training_fdp.data.corpora import Corpora
from training_fdp.data.people import check_unseen, subjects_by_corpus
from training_fdp.hub.model_card import CardSubject, build_model_card
from training_fdp.methods.fdp import FDPMethod
from training_fdp.methods.fdp_options import FDPOptions
from training_fdp.methods.registry import get_method
from training_fdp.methods.starting_weights import read_initialization
from training_fdp.runs.prepare import build_network_settings

NETWORK = {"stem_channels": [4, 8], "stem_strides": [2, 2], "hidden_sizes": [8] * 4, "local_depths": [1, 1, 2, 1]}
NETWORK |= {"global_hidden_sizes": [32, 48, 64, 96], "global_depths": [0] * 4, "stage_strides": [1, 2, 2, 2]}
NETWORK |= {"key_value_strides": [8, 4, 2, 1], "local_head_dim": 8, "feature_size": 8, "decoder_size": 8}
NETWORK |= {"image_size": 32, "num_frames": 5, "drop_path_rate": 0.2}
NAMES = ["negative", "positive", "surprise"]
BASE = ["--corpus", "synthetic", "--output_dir", "OUT"]


def build(names, **overrides):
    torch.manual_seed(0)
    config = FDPConfig.from_preset("tiny", id2label=dict(enumerate(names)), **{**NETWORK, **overrides})
    return FDPForVideoClassification(config)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints") / "start"
    build(NAMES).save_pretrained(folder)
    return folder


def configured(checkpoint, names, *options, units=None):
    """The settings of the network that starts from the checkpoint; `units`: those of its clip, if coded."""
    config = parse_train_config([*BASE, "--init_from", str(checkpoint), *options])
    method = get_method("fdp")(config.method)
    dataset = None if units is None else Dataset.from_dict({"action_units": [units]})
    corpora = Corpora(dataset, ClipTable(["a"], ["toy"], ["s"], [0], names), False)
    return build_network_settings(method, config.network, corpora, read_initialization(str(checkpoint)))


def filled(checkpoint, names):
    torch.manual_seed(1)
    model = FDPForVideoClassification(configured(checkpoint, names))
    read_initialization(str(checkpoint)).fill(model, FDPMethod(FDPOptions()))
    return model


def test_equal_classes_take_every_weight(checkpoint):
    found, stored = filled(checkpoint, NAMES).state_dict(), load_file(checkpoint / "model.safetensors")
    assert found.keys() == stored.keys()
    assert all(torch.equal(found[name], value) for name, value in stored.items())


def test_classes_in_another_order_give_the_same_answers(checkpoint):
    shuffled = [NAMES[2], NAMES[0], NAMES[1]]
    model, start = filled(checkpoint, shuffled).eval(), FDPForVideoClassification.from_pretrained(checkpoint).eval()
    pixels = torch.rand(2, 5, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        logits, reference = model(pixel_values=pixels).logits, start(pixel_values=pixels).logits
    assert model.config.id2label == dict(enumerate(shuffled))
    torch.testing.assert_close(logits, reference[:, [2, 0, 1]])


@pytest.mark.parametrize("names", [["happy", NAMES[1]], ["happy", "sad", "angry"], [NAMES[2], *NAMES[:2], "fear"]])
def test_rows_of_the_last_layer_go_by_the_name_of_the_class(checkpoint, names):
    found, stored = filled(checkpoint, names).state_dict(), load_file(checkpoint / "model.safetensors")
    for parameter in FDPMethod.class_parameters:
        assert found[parameter].shape[0] == len(names)
        for row, name in enumerate(names):
            if name in NAMES:
                assert torch.equal(found[parameter][row], stored[parameter][NAMES.index(name)])
    known = stored["classifier.output.weight"]
    untrained = found["classifier.output.weight"][[row for row, name in enumerate(names) if name not in NAMES]]
    assert not any(torch.equal(row, other) for row in untrained for other in known)
    assert all(torch.equal(found[name], stored[name]) for name in stored if name not in FDPMethod.class_parameters)
    new = read_initialization(str(checkpoint)).new_classes(names, FDPMethod(FDPOptions()))
    assert new == [name for name in names if name not in NAMES]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--num_frames", "8"), "num_frames is 5 there, 8 was asked for"),
        (("--image_size", "64"), "image_size is 32 there, 64"),
        (("--model_overrides", "hidden_sizes=[8,8,8,16]"), "hidden_sizes"),
        (("--preset", "tiny"), " more)"),
        (
            ("--preset", "pretrained", "--model_overrides", "dynamic_image_decoder=none"),
            "dynamic_image_decoder is light there",
        ),
    ],
)
def test_another_network_is_refused_in_one_sentence(checkpoint, options, named):
    with pytest.raises(ConfigError, match="is another network than asked for") as caught:
        configured(checkpoint, NAMES, *options)
    assert named in str(caught.value) and "leave --preset" in str(caught.value) and "\n" not in str(caught.value)


def test_what_was_chosen_after_training_is_chosen_anew(checkpoint, tmp_path):
    patterns = {"reference": "movement_patterns", "num_directions": 4, "action_units": ["4", "12"]}
    chosen = {"temperature": 1.7, "movement_weights": [1.0] * 3, "learnt_speech": True}
    build(NAMES, **chosen, **patterns).save_pretrained(tmp_path / "start")
    config = configured(tmp_path / "start", NAMES, units=["4"])
    assert config.temperature == 1.0, "of the weights before training"
    assert not config.learnt_speech, "of the clips before"
    assert config.movement_weights == [1.0] * 3, "of size and units, whose scale such a training hardly changed"
    for options in ({}, {"units": []}):
        config = configured(tmp_path / "start", NAMES, **options)
        assert config.action_units and config.movement_weights == [], "its units are not trained along"
    config = configured(tmp_path / "start", NAMES, "--action_units", "none", units=["4"])
    assert config.action_units == config.movement_weights == []


def test_how_it_learns_may_differ(checkpoint):
    options = ("--num_frames", "5", "--model_overrides", "drop_path_rate=0.0", "rank_loss_weight=1.0")
    model = configured(checkpoint, NAMES, *options)
    assert (model.drop_path_rate, model.rank_loss_weight, model.hidden_sizes) == (0.0, 1.0, [8] * 4)


def test_the_preset_is_the_checkpoints_unless_it_is_named(tmp_path):
    start = [*BASE, "--init_from", "somebody/start"]
    assert parse_train_config(start).method.preset == "pretrained"
    assert parse_train_config([*start, "--recipe", "released"]).method.preset == "pretrained"
    assert parse_train_config([*start, "--preset=small"]).method.preset == "small"
    file = tmp_path / "mine.yaml"
    file.write_text("preset: base\n")
    assert parse_train_config([*start, "--config", str(file)]).method.preset == "base"
    with pytest.raises(ConfigError, match="--init_from, which is missing"):
        parse_train_config([*BASE, "--preset", "pretrained"])


def test_what_is_no_checkpoint_is_refused(tmp_path, checkpoint):
    with pytest.raises(ConfigError, match="--init_from must be a folder in Hub format"):
        read_initialization(str(tmp_path))
    half = tmp_path / "half"
    shutil.copytree(checkpoint, half)
    (half / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"--init_from .* cannot be loaded"):
        read_initialization(str(half))


def start_options(folder, arguments):
    """Options of the toy run without those that describe the network."""
    kept = arguments[: arguments.index("--model_overrides")]
    place = kept.index("--num_frames")
    del kept[place : place + 2]
    return [*kept, "--init_from", str(folder)]


@pytest.fixture
def run_from(toy_run, toy_arguments, checkpoint):
    from training_fdp.runs.run import run

    def go(output_dir, *options, start=checkpoint):
        arguments = [*start_options(start, toy_arguments(output_dir)), *options]
        return run(parse_train_config(arguments), arguments)

    return go


def test_a_run_starts_every_fold_and_the_final_model_there(run_from, checkpoint, tmp_path):
    """With a learning rate of almost nothing, what comes out is what went in."""
    out = tmp_path / "OUT"
    assert run_from(out, "--learning_rate", "1e-12", "--weight_decay", "0", "--final_model") == 0
    stored = load_file(checkpoint / "model.safetensors")
    digest = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    for folder in (out / "folds" / "fold0", out / "folds" / "fold1", out / "final"):
        found = load_file(folder / "model.safetensors")
        assert torch.allclose(found["classifier.output.weight"], stored["classifier.output.weight"], atol=1e-6)
        record = json.loads((folder / "fold.json").read_text())
        assert record["init_from"] == {"name": "start", "sha256": digest, "new_classes": []}
        assert record["settings"]["init_from"] == f"sha256 {digest}" and record["seen_subjects"] is None
    results = read_results(out / "results.json")
    assert results.init_from.sha256 == digest and results.preset == "pretrained"
    assert any("does not say whom it was trained on" in warning for warning in results.warnings)
    assert f"Training started from start (weights sha256 {digest})." in (out / "report.md").read_text()
    card = build_model_card(CardSubject("me/mine", "fold0", tuple(NAMES)), results)
    assert f"Training started from start (weights sha256 `{digest}`)." in card
    assert "\nlicense: other\n" in card, "the terms of what the checkpoint was trained on are not known"


def test_the_digest_is_the_identity_and_not_the_place(run_from, checkpoint, tmp_path):
    run_from(tmp_path / "OUT")
    moved = shutil.copytree(checkpoint, tmp_path / "moved")
    assert run_from(tmp_path / "OUT", start=moved) == 0
    other = tmp_path / "other"
    build(NAMES, initializer_range=0.5).save_pretrained(other)
    with pytest.raises(ConfigError, match=r"--init_from was sha256 .*, now sha256"):
        run_from(tmp_path / "OUT", start=other)


def test_a_start_that_has_seen_the_held_out_subjects_is_refused(run_from, toy_run, tmp_path):
    assert toy_run(tmp_path / "first", "--final_model") == 0
    with pytest.raises(ProtocolError, match=r"was trained on toy, subject s0., whom fold fold0 holds out"):
        run_from(tmp_path / "OUT", start=tmp_path / "first" / "final")
    assert not (tmp_path / "OUT").exists()


def test_rendered_people_of_another_seed_are_other_people(toy_clips):
    clips, table = toy_clips(num_subjects=2)
    rows = range(len(clips))
    assert subjects_by_corpus(table, {}, rows) == {"toy": ["s00", "s01"]}
    assert subjects_by_corpus(table, {"toy": "rendered toy, seed 5"}, rows) == {"rendered toy, seed 5": ["s00", "s01"]}
    several = replace(table, subjects=[f"toy-{subject}" for subject in table.subjects])
    assert subjects_by_corpus(several, {}, rows) == {"toy": ["s00", "s01"]}


def test_one_seed_draws_the_same_people_in_every_layout(toy_clips):
    clips, table = toy_clips(num_subjects=2)
    fold = Fold("fold0", (0,), (len(clips) - 1,), ("s00",), ("s01",))

    def check(tested, seen):
        return check_unseen("first", {seen: ["sub07"]}, table, {"toy": tested}, [fold])

    here = "rendered toy, built-in faces of seed 5"
    with pytest.raises(ProtocolError, match="the same people as rendered toy"):
        check(here, "rendered casme2, built-in faces of seed 5")
    assert check(here, "rendered casme2, built-in faces of seed 6") == []
    assert check(here, "rendered casme2, morphable faces of seed 5") == []
    assert check("toy", "casme2") == []


def test_a_checkpoint_is_judged_as_it_is_without_a_step(run_from, toy_run, toy_corpus, toy_clips, tmp_path):
    assert toy_run(tmp_path / "first", "--final_model") == 0
    toy_corpus(*toy_clips(num_subjects=4, corpus="other"))
    assert run_from(tmp_path / "OUT", "--max_steps", "0", start=tmp_path / "first" / "final") == 0
    results = json.loads((tmp_path / "OUT" / "results.json").read_text())
    assert results["complete"] and results["init_from"]["name"] == "final"
    theirs = load_file(tmp_path / "first" / "final" / "model.safetensors")
    for place in (tmp_path / "OUT" / "folds").iterdir():
        ours = load_file(place / "model.safetensors")
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "not even running statistics may move"
    with pytest.raises(ConfigError, match="max_steps"):
        TrainConfig.of(max_steps=0)


def test_seen_subjects_are_handed_on(run_from, toy_run, toy_corpus, toy_clips, tmp_path):
    assert toy_run(tmp_path / "first", "--folds", "fold0") == 0
    first = json.loads((tmp_path / "first" / "folds" / "fold0" / "fold.json").read_text())
    toy_corpus(*toy_clips(num_subjects=2, corpus="other"))
    assert run_from(tmp_path / "OUT", start=tmp_path / "first" / "folds" / "fold0") == 0
    second = json.loads((tmp_path / "OUT" / "folds" / "fold0" / "fold.json").read_text())
    assert second["seen_subjects"] == {"other": second["train_subjects"], "toy": first["train_subjects"]}


def test_a_start_from_the_hub_says_whom_it_has_seen(run_from, toy_run, tmp_path):
    """fold.json stays behind when a checkpoint is published; config.json goes along."""
    assert toy_run(tmp_path / "first", "--final_model") == 0
    published = tmp_path / "published"
    names = ("config.json", "model.safetensors", "video_preprocessor_config.json")
    published.mkdir()
    for name in names:
        shutil.copy(tmp_path / "first" / "final" / name, published)
    with pytest.raises(ProtocolError, match=r"was trained on toy, subject s0., whom fold fold0 holds out"):
        run_from(tmp_path / "OUT", start=published)
    loaded = FDPForVideoClassification.from_pretrained(published).config
    assert loaded.seen_subjects == {"toy": [f"s{number:02d}" for number in range(5)]}


def test_others_may_read_what_a_run_leaves(toy_run, tmp_path):
    before = os.umask(0o027)
    try:
        assert toy_run(tmp_path / "OUT", "--folds", "fold0") == 0
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "OUT").rglob("*") if path.is_file()}
    assert "model.safetensors" in modes and set(modes.values()) == {0o640}, modes
