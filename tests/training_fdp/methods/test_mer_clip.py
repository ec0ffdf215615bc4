"""MER-CLIP's alignment as a method: what decides a fold's texts, its losses, and a run from training to the Hub."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.protocols import make_folds
from modeling_fdp import FDPAlignmentConfig, FDPForVideoTextAlignment
from modeling_fdp.action_unit_phrases_fdp import all_phrases, parse_sets, phrase_of
from modeling_fdp.text_towers_fdp import phrase_tokenizer
from tests.scripts.fake_hub import FakeHub
from training_fdp.config import parse_train_config
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
from training_fdp.data.clips import Clip
from training_fdp.errors import Interrupted, TrainingError
from training_fdp.folds.loop import StageTrainer
from training_fdp.hub.prediction import Predictor
from training_fdp.hub.publish import prepare_publication
from training_fdp.hub.push import push
from training_fdp.hub.zero_shot import ActionUnitMatcher
from training_fdp.methods.base import LossContext, NetworkRequest
from training_fdp.methods.mer_clip import MERCLIPMethod
from training_fdp.methods.mer_clip_losses import (
    alignment_losses,
    diagonal_loss,
    phrase_loss,
    set_answers,
    single_units,
)
from training_fdp.methods.mer_clip_options import MERCLIPOptions
from training_fdp.runs.run import run

UNITS = ("4", "12", "1")
NAN = float("nan")


def unit(code, side="", alternative=0):
    return {"code": code, "side": side, "intensity": "", "alternative": alternative}


def clip(*units):
    return Clip("c", "s", torch.zeros(3, 4, 4, dtype=torch.uint8), action_units=units)


def method(**options):
    return MERCLIPMethod(MERCLIPOptions(**options))


def config(**changes):
    made = method().configure(NetworkRequest(("a", "b"), {}, action_units=[[unit("4")]]))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_the_texts_of_a_fold_are_its_training_sets_and_their_mirror_images():
    clips = [
        clip(unit("12", "L"), unit("4")),
        clip(unit("4")),
        clip(),
        clip(unit("4")),
        clip(unit("1"), unit("9", "", 1)),
    ]
    assert method().fold_facts(clips, config()) == ["1", "4", "4+L12", "4+R12"]
    with pytest.raises(TrainingError, match="no training clip of this fold has any"):
        method().fold_facts([clip()], config())


def test_a_mirrored_clip_has_the_sides_of_its_text_swapped():
    made, settings = method(), config()
    units = made.targets(clip(unit("12", "L")), None, settings, None)["action_units"]
    batch = {"pixel_values": torch.rand(2, 3, 1, 8, 8), "action_units": torch.stack([units, units])}
    mirrored = build_augmentation(AugmentationConfig(flip=1.0), None, made.followers)(batch, torch.Generator())
    place = settings.action_units.index("12")
    assert units[place].tolist() == [1, 0] and mirrored["action_units"][0, place].tolist() == [0, 1]


def test_a_corpus_without_action_units_is_refused():
    with pytest.raises(ConfigError, match="no clip of the corpus has any; choose a corpus whose sheet codes them"):
        method().configure(NetworkRequest(("a", "b"), {}, action_units=[[], []]))


def test_mixed_clips_are_refused():
    with pytest.raises(ConfigError, match="add mixup=0"):
        method().check(config(), AugmentationConfig(mixup=0.5))


@pytest.mark.parametrize("options", [{"text_tower": "pretrained"}, {"text_model": "somebody/model"}])
def test_a_text_model_and_its_tower_go_together(options):
    with pytest.raises(ConfigError, match="give both or neither"):
        MERCLIPMethod.check_options(MERCLIPOptions(**options), None)


def test_the_diagonal_knows_one_right_text_per_clip_and_leaves_out_uncoded_ones():
    logits = torch.randn(3, 3)
    kept = logits[[0, 2]][:, [0, 2]]
    by_hand = -(kept.log_softmax(1).diagonal().mean() + kept.log_softmax(0).diagonal().mean()) / 2
    torch.testing.assert_close(diagonal_loss(logits, torch.tensor([True, False, True])), by_hand)
    assert diagonal_loss(logits, torch.zeros(3, dtype=torch.bool)) == 0


def test_single_units_are_those_of_the_phrases():
    names = ["brow lowerer", "lip corner puller"]
    assert [phrase_of(units, names) for units in single_units(2)] == all_phrases(names)[:-1]


def test_each_phrase_is_judged_alone_and_uncoded_ones_are_left_out():
    """Two units: the first moves on the left, the second on both sides; of another clip the first alone is coded."""
    units = torch.tensor([[[1, 0], [1, 1]], [[0, 0], [NAN, NAN]]])
    truth = torch.tensor([[1.0, 0, 0, 1, 1, 1], [0, 0, 0, NAN, NAN, NAN]])
    logits = torch.randn(2, 6, requires_grad=True)
    shares = logits.detach().sigmoid()
    by_hand = -torch.where(truth == 1, shares.log(), (1 - shares).log())[~truth.isnan()].mean()
    loss = phrase_loss(logits, units)
    torch.testing.assert_close(loss, by_hand)
    loss.backward()
    assert (logits.grad[1, 3:] == 0).all() and (logits.grad[1, :3] > 0).all()
    assert phrase_loss(logits, torch.full((2, 2, 2), NAN)) == 0


def test_phrases_alone_have_an_offset_and_the_weight_of_the_action_unit_head():
    made = method(alignment="sigmoid").configure(NetworkRequest(("a", "b"), {}, action_units=[[unit("4")]]))
    assert made.alignment_loss_weight == made.action_unit_loss_weight and made.logit_bias_init == -3
    assert config().alignment_loss_weight == 1 and config().logit_bias_init is None
    model, without = FDPForVideoTextAlignment(made).eval(), FDPForVideoTextAlignment(config()).eval()
    assert without.logit_bias is None
    without.load_state_dict({name: value for name, value in model.state_dict().items() if name != "logit_bias"})
    clips, sets = torch.rand(1, 16, 1, 64, 64) * 2 - 1, single_units(len(made.action_units))
    with torch.no_grad():
        plain, moved = (network(clips, action_unit_sets=sets).logits_per_video for network in (without, model))
    torch.testing.assert_close(moved, plain - 3)
    units = torch.zeros(1, len(made.action_units), 2)
    units[0, 0, 0] = 1
    batch = {"pixel_values": clips, "labels": torch.tensor([1]), "action_units": units}
    losses = alignment_losses(model, batch, LossContext(made), MERCLIPOptions(alignment="sigmoid"))
    torch.testing.assert_close(losses["alignment"], phrase_loss(moved, units))
    losses["loss"].backward()
    assert model.logit_bias.grad.abs() > 0


class Recorder:
    """Stands in for the network: losses of 1 for each part."""

    def __call__(self, pixel_values, labels, class_weights, action_unit_sets, alignment_targets=None):
        self.sets, self.targets = action_unit_sets, alignment_targets
        losses = {"classification": torch.tensor(3.0), "alignment": torch.tensor(5.0)}
        count = len(action_unit_sets)
        return type("Output", (), {"losses": losses, "logits_per_video": torch.zeros(len(labels), count)})


@pytest.mark.parametrize(
    ("schedule", "progress", "expected"),
    [("constant", 0.0, 8), ("linear", 0.0, 10), ("linear", 0.5, 9), ("linear", 1.0, 8)],
)
def test_the_ramp_goes_from_alignment_to_both(schedule, progress, expected):
    units = torch.full((2, 24, 2), NAN)
    batch = {"pixel_values": torch.zeros(2, 1), "labels": torch.tensor([0, 1]), "action_units": units}
    context = LossContext(config(), None, ["4", "12"], progress)
    losses = alignment_losses(Recorder(), batch, context, MERCLIPOptions(alignment_schedule=schedule))
    assert losses["loss"] == expected and (losses["classification"], losses["alignment"]) == (3, 5)


def test_the_texts_are_those_of_the_fold_or_of_the_batch():
    settings = config()
    units = parse_sets(["4", "12"], settings.action_units, settings.action_unit_phrases)
    batch = {"pixel_values": torch.zeros(2, 1), "labels": torch.tensor([0, 1]), "action_units": units}
    context, model = LossContext(settings, None, ["12", "4", "9"]), Recorder()
    alignment_losses(model, batch, context, MERCLIPOptions())
    assert model.targets.tolist() == [[0, 1, 0], [1, 0, 0]]
    losses = alignment_losses(model, batch, context, MERCLIPOptions(alignment="diagonal"))
    assert torch.equal(model.sets, units) and losses["alignment"] == pytest.approx(np.log(2))


def test_answers_by_hand():
    settings = config(action_unit_sets=["1+4", "4", "L12"])
    units = parse_sets(["4", "12", "9"], settings.action_units, settings.action_unit_phrases)
    units = torch.cat([units, torch.full((1, *units.shape[1:]), NAN)])
    logits = torch.tensor([[3.0, 2, 1], [0, 0, 5], [1, 2, 3], [1, 2, 3]])
    first, second, third, uncoded = set_answers(logits, units, settings)
    # {4} against {1, 4}: two of four sided units in common, F1 = 2 * 2 / (2 + 4).
    assert first == pytest.approx({"action_unit_f1": 2 / 3, "retrieval_rank": 2, "retrieval_rank_chance": 2})
    assert second == pytest.approx({"action_unit_f1": 2 / 3}), (
        "the set itself is not among those of the training clips"
    )
    assert third == {"action_unit_f1": 0} and uncoded == {}
    assert set(first) <= set(MERCLIPMethod.answer_titles)


@pytest.fixture
def arguments(toy_arguments):
    """The command line of a run of this method on the toy corpus: OUT, then options."""

    def build(output_dir, *options):
        given = toy_arguments(output_dir, *options)
        protocol = given.index("--protocol")
        given[protocol + 1] = "loso"
        network = given.index("--model_overrides")
        own = ("projection_size=16", "emotion_hidden_size=16", "text_hidden_size=16", "token_grid_size=4")
        return ["--method", "mer_clip", *given[: network + 1], *own, *given[network + 1 :]]

    return build


@pytest.fixture
def go(toy_corpus, arguments, tmp_path, monkeypatch):
    """Runs the method on the toy corpus, which codes one unit per class; returns OUT."""
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))

    def train(name, *options):
        toy_corpus(units=UNITS)
        command = arguments(tmp_path / name, *options)
        assert run(parse_train_config(command), command) == 0
        return tmp_path / name

    return train


def write_frames(folder):
    folder.mkdir()
    for number in range(8):
        Image.fromarray(np.full((40, 40), 90 + 5 * number, np.uint8)).save(folder / f"{number}.png")
    return str(folder)


def test_it_trains_predicts_ranks_and_is_pushed(go, tmp_path, monkeypatch):
    out = go("OUT", "--max_steps", "3", "--text_tower", "transformer", "--processor_overrides", "alignment=none")
    results = json.loads((out / "results.json").read_text())
    assert results["complete"] and len(results["folds"]) == 5 and results["preset"] == "tiny_transformer"
    assert results["answers"]["retrieval_rank_chance"]["mean"] == 2
    assert set(json.loads((out / "folds" / "s00" / "training_curve.json").read_text())) >= {"alignment"}
    checkpoint = out / "folds" / "s00"
    source = write_frames(tmp_path / "clip")
    assert set(Predictor(str(checkpoint)).predict(source).probabilities) == {"negative", "positive", "surprise"}
    matcher = ActionUnitMatcher(str(checkpoint))
    candidates = ["brow lowerer and lip corner puller", "1"]
    answers = matcher([source], candidate_labels=candidates)
    assert [len(answer) for answer in answers] == [2] and {answer["label"] for answer in answers[0]} == set(candidates)
    assert sum(answer["score"] for answer in answers[0]) == pytest.approx(1)
    assert answers[0][0]["score"] >= answers[0][1]["score"]
    ranked = matcher.rank("brow lowerer and lip corner puller", [source, source])
    assert [row["source"] for row in ranked] == [source, source] and -1 <= ranked[0]["score"] <= 1
    for wrong in (lambda: matcher([source], ["nose wiggler"]), lambda: matcher.rank("nose wiggler", [source])):
        with pytest.raises(ConfigError, match=r"'nose wiggler' .*choose among 1 \(inner brow raiser\)"):
            wrong()
    with pytest.raises(ConfigError, match="a list of one or more sets"):
        matcher([source], [])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    hub = FakeHub(large_suffixes=(".safetensors",))
    try:
        push(prepare_publication(checkpoint, "tester/aligned"), api=HfApi(endpoint=hub.endpoint, token=hub.token))
        files = hub.files("tester/aligned")
    finally:
        hub.close()
    assert {"config.json", "model.safetensors", "README.md", "tokenizer.json", "text_towers_fdp.py"} <= set(files)


def test_a_checkpoint_of_another_method_has_no_texts(toy_corpus, toy_run, tmp_path):
    assert toy_run(tmp_path / "fdp", "--folds", "fold0", "--max_steps", "1") == 0
    with pytest.raises(ConfigError, match=r"by checkpoints of --method mer_clip, but .* is of type 'fdp'"):
        ActionUnitMatcher(str(tmp_path / "fdp" / "folds" / "fold0"))


def test_it_goes_on_with_equal_bits(toy_corpus, arguments, tmp_path, monkeypatch):
    toy_corpus(units=UNITS)
    steps = []
    step = StageTrainer._step

    def stop_once(self, *inputs):
        steps.append(self.key)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *inputs)

    outcomes = {}
    for name in ("whole", "stopped"):
        command = arguments(tmp_path / name, "--folds", "s00", "--ema_decay", "0.5", "--max_steps", "6")
        with monkeypatch.context() as patch:
            if name == "stopped":
                patch.setattr(StageTrainer, "_step", stop_once)
                with pytest.raises(Interrupted, match="after step 3 of 6"):
                    run(parse_train_config(command), command)
        assert run(parse_train_config(command), command) == 0
        outcomes[name] = json.loads((tmp_path / name / "folds" / "s00" / "fold.json").read_text())["predictions"]
    assert outcomes["whole"] == outcomes["stopped"]


def test_held_out_units_do_not_count(toy_corpus, toy_clips, arguments, tmp_path):
    """Other units of the held-out clips give the same model to the last bit, its sets included; others do not."""
    rows = make_folds(toy_clips()[1], "loso")[0]

    def trained(name, changed):
        toy_corpus(units=UNITS, changed=dict.fromkeys(changed, "17"))
        command = arguments(tmp_path / name, "--folds", "s00", "--max_steps", "2")
        assert run(parse_train_config(command), command) == 0
        return FDPForVideoTextAlignment.from_pretrained(tmp_path / name / "folds" / "s00")

    plain, held_out = trained("plain", ()), trained("held_out", rows.test_indices)
    training = trained("training", rows.train_indices[:1])
    assert plain.config.action_unit_sets == held_out.config.action_unit_sets == ["1", "12", "4"]
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), held_out.parameters(), strict=True))
    assert training.config.action_unit_sets == ["1", "12", "17", "4"]
    assert not torch.equal(plain.text_tower.units.weight, training.text_tower.units.weight)


def test_it_starts_from_its_own_checkpoint_with_sets_of_its_own(go, toy_corpus, toy_clips, arguments, tmp_path):
    out = go("OUT", "--folds", "s00")
    toy_corpus(*toy_clips(num_subjects=2, corpus="others"), units=("4", "9", "17"))
    command = arguments(tmp_path / "next", "--init_from", str(out / "folds" / "s00"), "--max_steps", "0")
    command = [*command[: command.index("--model_overrides")], *command[command.index("--init_from") :]]
    assert run(parse_train_config(command), command) == 0
    loaded = FDPAlignmentConfig.from_pretrained(tmp_path / "next" / "folds" / "s00")
    assert loaded.action_unit_sets == ["17", "4", "9"] and loaded.projection_size == 16


def test_a_text_model_that_the_user_names_gives_its_vectors(go, tmp_path):
    phrases = FDPAlignmentConfig.from_preset("tiny", action_units=["4"], action_unit_phrases=["brow lowerer"])
    tokenizer = phrase_tokenizer(phrases)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    text = {**sizes, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "projection_dim": 6}
    vision = {**sizes, "image_size": 8, "patch_size": 8, "projection_dim": 6}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=6))
    model.save_pretrained(tmp_path / "clip")
    tokenizer.save_pretrained(tmp_path / "clip")
    named = ("--text_tower", "pretrained", "--text_model", str(tmp_path / "clip"))
    out = go("OUT", "--folds", "s00", *named)
    loaded = FDPForVideoTextAlignment.from_pretrained(out / "folds" / "s00")
    vectors = loaded.text_tower.vectors
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))
    tokens = tokenizer("left brow lowerer", return_tensors="pt")
    with torch.no_grad():
        found = model.eval().get_text_features(**{name: tokens[name] for name in ("input_ids", "attention_mask")})
    expected = found if isinstance(found, torch.Tensor) else found.pooler_output
    place = 3 * loaded.config.action_units.index("4")
    torch.testing.assert_close(vectors[place], expected[0] / expected[0].norm(), atol=1e-5, rtol=1e-4)


def test_a_text_model_that_is_not_there_is_refused(tmp_path):
    made = method(text_tower="pretrained", text_model=str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="--text_model must be a folder in Hub format or a repository"):
        made.configure(NetworkRequest(("a", "b"), {}, action_units=[[unit("4")]]))
