"""Clips and sets of action units in one space: reading sets, targets, the table of vectors, and the towers."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from torch.nn.functional import normalize
from transformers import AutoModelForVideoClassification, AutoTokenizer

from benchmarks.windows import network_view
from modeling_fdp import FDPAlignmentConfig, FDPForVideoTextAlignment
from modeling_fdp.action_unit_phrases_fdp import (
    all_phrases,
    parse_sets,
    parse_units,
    phrase_of,
    set_similarity,
    spelled,
    unit_texts,
)
from modeling_fdp.answer_fdp import ACTION_UNIT_NAMES
from modeling_fdp.emotion_inference_fdp import FDPEmotionInference
from modeling_fdp.modeling_alignment_fdp import alignment_loss, jaccard_targets
from processing_fdp import FDPVideoProcessor
from tests.artifacts.make_seeded_alignment import FILE, moved, seeded_alignment
from training_fdp.methods.mer_clip import MERCLIPMethod

UNITS, PHRASES = ["1", "4", "12"], ["inner brow raiser", "brow lowerer", "lip corner puller"]
SETS = ["1", "1+4", "L12", "0"]
TOWERS = ["table", "transformer", "pretrained"]
STORED = json.loads(FILE.read_text(encoding="utf-8"))
NAN = float("nan")


def small_config(text_tower="table", **changes):
    settings = {
        "num_frames": 8, "image_size": 32, "stem_channels": [8], "stem_strides": [2], "hidden_sizes": [8, 16],
        "global_hidden_sizes": [16, 32], "local_depths": [1, 1], "global_depths": [0, 0], "stage_strides": [2, 2],
        "key_value_strides": [2, 1], "local_head_dim": 4, "attention_head_dim": 4, "feature_size": 16,
        "classifier_grid_size": 2, "token_grid_size": 4, "projection_size": 12, "emotion_hidden_size": 16,
        "text_hidden_size": 16, "action_units": UNITS, "action_unit_phrases": PHRASES, "action_unit_sets": SETS,
        "phrase_vector_size": 7 if text_tower == "pretrained" else 0, "text_tower": text_tower, "num_labels": 3,
    }  # fmt: skip
    return FDPAlignmentConfig.from_preset("tiny", **(settings | changes))


def build(text_tower="table", **changes):
    torch.manual_seed(0)
    model = FDPForVideoTextAlignment(small_config(text_tower, **changes))
    if text_tower == "pretrained":
        model.text_tower.vectors.normal_()
    return model.eval()


def text_vectors(model, texts):
    return normalize(model.get_text_features(action_unit_sets=model.action_unit_sets(texts)).pooler_output, dim=-1)


def clips(count=2):
    return torch.rand(count, 8, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("1+4", "1+4"),
        ("AU12, L4", "L4+12"),
        ("inner brow raiser and lip corner puller", "1+12"),
        ("  Left  Lip Corner Puller ;right lip corner puller", "12"),
        ("right brow lowerer", "R4"),
        ("no movement", "0"),
        ("0", "0"),
    ],
)
def test_sets_are_read_from_codes_and_phrases(text, codes):
    units = parse_units(text, UNITS, PHRASES)
    assert spelled(units, UNITS) == codes
    assert torch.equal(parse_units(codes, UNITS, PHRASES), units)
    assert torch.equal(parse_units(phrase_of(units, PHRASES), UNITS, PHRASES), units)


@pytest.mark.parametrize("text", ["nose wiggler", "inner brow raiser and 99", "", "1++4", "L", "left"])
def test_an_unknown_unit_or_phrase_is_named_with_those_that_exist(text):
    with pytest.raises(ValueError, match=r"choose among 1 \(inner brow raiser\)") as caught:
        parse_units(text, UNITS, PHRASES)
    assert repr(text) in str(caught.value) and "\n" not in str(caught.value)


def test_every_unit_that_a_run_knows_has_a_phrase_of_its_own():
    from training_fdp.methods.action_units import FACS_CODES

    assert tuple(ACTION_UNIT_NAMES) == FACS_CODES and len(set(ACTION_UNIT_NAMES.values())) == len(FACS_CODES)


def test_texts_of_a_set_by_hand():
    parts = unit_texts(parse_sets(["L1+12", "0"], UNITS, PHRASES))
    names = [[name for name, part in zip(all_phrases(PHRASES), row, strict=True) if part] for row in parts]
    assert names == [["left inner brow raiser", "lip corner puller"], ["no movement"]]


def test_similarity_of_sets_by_hand():
    found = set_similarity(parse_sets(["1", "L1", "1+4", "0"], UNITS, PHRASES), parse_sets(SETS, UNITS, PHRASES))
    expected = [[1, 1 / 2, 0, 0], [1 / 2, 1 / 4, 0, 0], [1 / 2, 1, 0, 0], [0, 0, 0, 1]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))


def test_doubtful_units_count_in_neither_set_and_an_uncoded_clip_is_unknown():
    doubtful = torch.tensor([[[1.0, 1.0], [NAN, NAN], [0.0, 0.0]], [[NAN, NAN]] * 3])
    found = set_similarity(doubtful, parse_sets(SETS, UNITS, PHRASES))
    torch.testing.assert_close(found[0], torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert found[1].isnan().all()


def test_targets_share_their_mass_and_leave_out_clips_that_have_none():
    units = torch.cat([parse_sets(["1", "L1", "0", "R12"], UNITS, PHRASES), torch.full((1, 3, 2), NAN)])
    targets = jaccard_targets(units, parse_sets(SETS, UNITS, PHRASES))
    torch.testing.assert_close(targets[:3].sum(1), torch.ones(3))
    torch.testing.assert_close(targets[0], torch.tensor([0.8, 0.2, 0, 0]))
    torch.testing.assert_close(targets[1], torch.tensor([0.8, 0.2, 0, 0]), msg="both similarities are halved")
    assert targets[2].tolist() == [0, 0, 0, 1] and targets[3:].isnan().all()
    logits = torch.randn(5, 4)
    by_hand = -(targets[:3] * logits[:3].log_softmax(1)).sum() / 3
    torch.testing.assert_close(alignment_loss(logits, targets), by_hand)
    assert alignment_loss(logits, torch.full((5, 4), NAN)) == 0


def test_places_in_time_of_a_longer_clip_lie_between_those_of_the_configuration():
    torch.manual_seed(0)
    inference = FDPEmotionInference(small_config(), num_labels=3).eval()
    count = len(inference.place_in_time)
    inference.place_in_time.data.normal_()
    inference.place_in_face.data.normal_()
    maps, vectors = torch.randn(2, 2 * count, 16, 4, 4), torch.randn(2, 12)
    longer = copy.deepcopy(inference)
    # Moments are the middles of equal parts of the clip.
    at = ((torch.arange(2 * count) + 0.5) / 2 - 0.5).clamp(0, count - 1)
    share = (at - at.floor())[:, None, None]
    known = inference.place_in_time.data
    longer.place_in_time.data = (1 - share) * known[at.floor().long()] + share * known[at.ceil().long()]
    torch.testing.assert_close(inference(maps, vectors), longer(maps, vectors))
    assert not torch.allclose(inference(maps, vectors), inference(maps.flip(1), vectors))


def test_targets_of_other_sets_are_refused():
    model = build()
    for targets in (torch.ones(2, 3), torch.ones(1, 4)):
        with pytest.raises(ValueError, match="one row per clip and one column per set"):
            model(clips(), alignment_targets=targets)
    with pytest.raises(ValueError, match="there are no sets"):
        build(action_unit_sets=[])(clips(), alignment_targets=torch.ones(2, 4))


@pytest.mark.parametrize("tower", TOWERS)
def test_the_table_survives_saving_and_equals_vectors_made_afresh(tower, tmp_path):
    model = build(tower)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path)
    loaded = AutoModelForVideoClassification.from_pretrained(tmp_path)
    fresh = text_vectors(loaded, SETS)
    torch.testing.assert_close(loaded.text_table, fresh, atol=1e-6, rtol=0)
    torch.testing.assert_close(loaded(clips()).logits_per_video, model.eval()(clips()).logits_per_video)
    assert (tmp_path / "tokenizer.json").exists() == (tower == "transformer")


@pytest.mark.parametrize("tower", TOWERS)
def test_without_its_text_tower_a_model_says_the_same(tower, tmp_path):
    model = build(tower)
    before = model(clips())
    model.drop_text_tower()
    model.save_pretrained(tmp_path)
    after = AutoModelForVideoClassification.from_pretrained(tmp_path)
    assert not [name for name in after.state_dict() if name.startswith("text_tower")]
    output = after(clips())
    torch.testing.assert_close(output.logits, before.logits)
    torch.testing.assert_close(output.logits_per_video, before.logits_per_video)
    torch.testing.assert_close(text_vectors(after, ["1+4"])[0], after.text_table[1])
    with pytest.raises(ValueError, match=r"must be one of `config.action_unit_sets`, but \['12'\]"):
        text_vectors(after, ["12"])


def test_features_are_those_that_are_compared():
    model = build()
    output, features = model(clips()), model.get_video_features(clips(), output_hidden_states=True)
    torch.testing.assert_close(normalize(features.pooler_output, dim=-1), output.video_embeds)
    similarity = output.video_embeds @ text_vectors(model, SETS).T
    torch.testing.assert_close(similarity / 0.07, output.logits_per_video, atol=1e-4, rtol=1e-4)
    assert torch.equal(output.logits_per_text, output.logits_per_video.T)
    assert features.last_hidden_state.shape[:2] == (2, 4) and len(features.hidden_states) == 3


@pytest.mark.parametrize("tower", TOWERS)
def test_a_copy_is_a_model_of_its_own(tower):
    """As the moving average of the weights makes one, and as a process gets it."""
    model = build(tower)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    torch.testing.assert_close(copied(clips()).logits_per_video, model(clips()).logits_per_video)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(0.1)
    assert not torch.allclose(copied.eval().text_table, model.eval().text_table)


def test_texts_play_no_part_in_the_emotion():
    model = build()
    before = model(clips()).logits
    model.text_tower.units.weight.data.normal_()
    assert torch.equal(model.eval()(clips()).logits, before)


def test_a_set_of_the_table_is_the_sum_of_its_units():
    model = build()
    vectors = model.text_tower.units.weight
    expected = model.text_tower.norm(vectors[3 * 0 + 2] + vectors[3 * 2 + 0])
    found = text_vectors(model, ["left lip corner puller, 1"])[0]
    torch.testing.assert_close(found, expected / expected.norm())


def test_the_tokenizer_of_a_checkpoint_leads_to_the_same_vectors(tmp_path):
    model = build("transformer")
    model.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokens = tokenizer(
        ["inner brow raiser , left lip corner puller", "no movement"], padding=True, return_tensors="pt"
    )
    assert tokenizer.unk_token_id not in tokens["input_ids"] and tokenizer.eos_token_id == len(tokenizer) - 1
    by_tokens = model.get_text_features(tokens["input_ids"], tokens["attention_mask"])
    torch.testing.assert_close(normalize(by_tokens.pooler_output, dim=-1), text_vectors(model, ["1+L12", "0"]))
    assert by_tokens.last_hidden_state.shape == (2, tokens["input_ids"].shape[1], 16)
    as_tuple = model.get_text_features(tokens["input_ids"], tokens["attention_mask"], return_dict=False)
    assert torch.equal(as_tuple[1], by_tokens.pooler_output)
    with pytest.raises(ValueError, match="`input_ids` must be for text_tower='transformer'"):
        build().get_text_features(tokens["input_ids"])
    with pytest.raises(ValueError, match="but not both"):
        model.get_text_features()


def test_the_transformer_takes_the_set_of_all_units():
    model = build("transformer")
    everything = torch.ones(1, 3, 2)
    everything[..., 1] = 0  # a side each, which takes most words
    assert torch.isfinite(model.get_text_features(action_unit_sets=everything).pooler_output).all()


@pytest.mark.parametrize("tower", TOWERS)
def test_the_gradient_reaches_every_parameter(tower):
    model = build(tower).train()
    units = parse_sets(["1", "1+4"], UNITS, PHRASES)
    targets = jaccard_targets(units, parse_sets(SETS, UNITS, PHRASES))
    output = model(clips(), labels=torch.tensor([0, 2]), alignment_targets=targets)
    assert set(output.losses) == {"classification", "alignment"}
    output.loss.backward()
    lost = [name for name, value in model.named_parameters() if value.grad is None]
    assert not lost


def test_clips_of_one_text_come_together_in_training():
    model = build().train()
    units = parse_sets(["1", "12", "1", "12"], UNITS, PHRASES)
    targets = jaccard_targets(units, parse_sets(SETS, UNITS, PHRASES))
    pixels = clips(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss = model(pixels, alignment_targets=targets).loss
        loss.backward()
        optimizer.step()
    assert model.eval()(pixels).logits_per_video.argmax(1).tolist() == [0, 2, 0, 2]


def test_code_of_the_checkpoint_answers_alike(tmp_path):
    model = build()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForVideoClassification.from_pretrained(tmp_path, trust_remote_code=True)
    torch.testing.assert_close(loaded(clips()).logits, model(clips()).logits)
    assert json.loads((tmp_path / "config.json").read_text())["auto_map"]["AutoModel"].startswith("modeling_alignment")
    copied = {path.name for path in Path(tmp_path).glob("*.py")}
    assert {"modeling_alignment_fdp.py", "text_towers_fdp.py", "modeling_fdp.py", "pipeline_fdp.py"} <= copied


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"action_unit_phrases": PHRASES[:2]}, "one phrase per action unit"),
        ({"action_unit_phrases": [PHRASES[0], PHRASES[0].upper(), PHRASES[2]]}, "must differ"),
        ({"action_unit_sets": ["1+99"]}, "choose among 1"),
        ({"phrase_vector_size": 3}, "`phrase_vector_size`"),
        ({"emotion_num_heads": 3}, "`emotion_hidden_size` must be a multiple"),
        ({"token_grid_size": 0}, "`token_grid_size` must be at least 1"),
        ({"emotion_dropout": 1.0}, "`emotion_dropout` must lie"),
        ({"alignment_loss_weight": -0.1}, "`alignment_loss_weight` must not be negative"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, complaint):
    with pytest.raises((ValueError, StrictDataclassError), match=complaint):
        small_config(**changes)


def test_a_part_without_weight_and_without_dropout_may_be_asked_for():
    config = small_config(alignment_loss_weight=0.0, emotion_dropout=0.0)
    assert (config.alignment_loss_weight, config.emotion_dropout) == (0, 0)


@pytest.mark.parametrize("form", STORED["forms"])
def test_numbers_of_a_form_belong_to_its_version(form):
    assert not moved(STORED["forms"][form], seeded_alignment(form)), (
        "raise MERCLIPMethod.version, list it in CHANGELOG.md, and run tests/artifacts/make_seeded_alignment.py"
    )
    assert STORED["version"] == MERCLIPMethod.version


def test_weights_of_a_movement_score_are_refused():
    with pytest.raises(ValueError, match="`movement_weights` are of the action units of `FDPForVideoClass"):
        small_config(reference="movement_patterns", image_size=64, movement_weights=[1.0, 1.0, 1.0])


def test_the_windows_of_a_network_without_a_movement_score_have_no_evidence():
    model = FDPForVideoTextAlignment(small_config(reference="movement_patterns", image_size=64)).eval()
    processor = FDPVideoProcessor(size={"height": 64, "width": 64}, alignment="none")
    seen = network_view(model, processor)([np.zeros((9, 64, 64), np.uint8)])
    assert seen.probabilities.shape == (1, model.config.num_labels) and seen.evidence is None
