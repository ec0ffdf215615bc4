"""Pipelines: stock task and our own, in batches, from every form of a clip, from a folder and from objects."""

import json

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from modeling_fdp import (
    FDPVideoClassificationPipeline,
    MicroExpressionAnswer,
    MicroExpressionPipeline,
    pipeline_fdp,
)
from modeling_fdp.answer_fdp import ACTION_UNIT_NAMES
from modeling_fdp.configuration_fdp import CUSTOM_PIPELINES
from processing_fdp import FDPVideoProcessor
from training_fdp.hub import answer_files
from training_fdp.methods.action_units import FACS_CODES

UNITS = ["4", "12", "25"]


@pytest.fixture(scope="module")
def model(small_model):
    return small_model(
        "tiny",
        id2label={0: "negative", 1: "positive", 2: "surprise"},
        reference="movement_patterns",
        dynamic_image_frames="along_curve",
        action_units=UNITS,
    )


@pytest.fixture(scope="module")
def processor():
    return FDPVideoProcessor(alignment="none")


@pytest.fixture(scope="module")
def folder(model, processor, tmp_path_factory):
    path = tmp_path_factory.mktemp("hub") / "checkpoint"
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def recognize(model, processor):
    return model.as_pipeline(processor)


def moving_clip(num_frames, height, width, seed=0):
    """A texture whose lower half moves there and back by some pixels: uint8 (num_frames, height, width)."""
    rng = np.random.default_rng(seed)
    texture = np.kron(rng.integers(30, 220, (height // 4 + 1, width // 4 + 1)), np.ones((4, 4)))[:height, :width]
    frames = np.repeat(texture[None], num_frames, 0)
    shift = np.rint(3 * np.sin(np.pi * np.arange(num_frames) / (num_frames - 1))).astype(int)
    for frame, step in zip(frames, shift, strict=True):
        frame[height // 2 :] = np.roll(frame[height // 2 :], step, axis=1)
    return frames.astype(np.uint8)


CLIPS = [moving_clip(20, 64, 64), moving_clip(33, 80, 72, 1), moving_clip(12, 64, 96, 2)]


@pytest.mark.parametrize("task", CUSTOM_PIPELINES)
def test_clips_of_different_length_and_size_get_the_answers_that_they_get_alone(folder, task):
    """Also by `pipeline(task, model=folder)`: both names resolve to the code that was saved with the checkpoint."""
    ask = pipeline(task, model=str(folder), trust_remote_code=True)
    assert type(ask).__module__.startswith("transformers_modules.")
    alone, batched = ask(CLIPS), ask(CLIPS, batch_size=2)
    single = ask(CLIPS[1])
    if task == "video-classification":
        shares = [[{item["label"]: item["score"] for item in answer} for answer in got] for got in (alone, batched)]
        assert {item["label"]: item["score"] for item in single} == pytest.approx(shares[0][1], abs=1e-6)
    else:
        shares = [[answer.probabilities for answer in got] for got in (alone, batched)]
        assert single.probabilities == pytest.approx(shares[0][1], abs=1e-6)
        assert [answer.clip.num_frames for answer in batched] == [20, 33, 12]
    for one, other in zip(*shares, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    # Three clips, three answers.
    assert len({tuple(one.values()) for one in shares[0]}) == 3


def test_a_saved_pipeline_is_a_whole_checkpoint(folder, tmp_path):
    ask = pipeline("micro-expression-recognition", model=str(folder), trust_remote_code=True)
    ask.save_pretrained(tmp_path / "again")
    again = pipeline("micro-expression-recognition", model=str(tmp_path / "again"), trust_remote_code=True)
    assert again(CLIPS[0]).to_dict() == ask(CLIPS[0]).to_dict()
    assert again.video_processor.alignment == "none"
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    assert "micro-expression-recognition" in written["custom_pipelines"]


def test_without_remote_code_the_installed_classes_serve(folder, model, processor):
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        pipeline("micro-expression-recognition", model=str(folder))
    local = pipeline(
        "micro-expression-recognition",
        model=str(folder),
        video_processor=processor,
        pipeline_class=MicroExpressionPipeline,
    )
    registered = pipeline("micro-expression-recognition", model=model, video_processor=processor)
    assert type(registered) is MicroExpressionPipeline
    assert local(CLIPS[0]).probabilities == registered(CLIPS[0]).probabilities


@pytest.mark.parametrize("form", ["folder", "path", "images", "paths", "frames", "array", "tensor", "colour", "dict"])
def test_every_form_of_a_clip_gets_one_answer(recognize, tmp_path, form):
    frames = CLIPS[0]
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"img{number:02d}.png")
    given = {
        "folder": str(tmp_path),
        "path": tmp_path,
        "images": [Image.fromarray(frame) for frame in frames],
        "paths": [str(tmp_path / f"img{number:02d}.png") for number in range(len(frames))],
        "frames": list(frames),
        "array": frames,
        "tensor": torch.from_numpy(frames),
        "colour": np.repeat(frames[..., None], 3, axis=-1),
        "dict": {"video": frames},
    }[form]
    answer = recognize(given)
    assert isinstance(answer, MicroExpressionAnswer)
    assert answer.probabilities == pytest.approx(recognize(frames).probabilities, abs=1e-6)
    (listed,) = recognize([given]) if form not in ("images", "frames") else [answer]
    assert listed.probabilities == answer.probabilities


def test_a_five_dimensional_array_is_a_batch(recognize):
    answers = recognize(np.stack([CLIPS[0][..., None], moving_clip(20, 64, 64, 5)[..., None]]))
    assert [answer.probabilities for answer in answers] == [
        recognize(CLIPS[0]).probabilities,
        recognize(moving_clip(20, 64, 64, 5)).probabilities,
    ]


def test_the_judged_interval_is_that_of_the_call_or_of_the_clip(recognize):
    answer = recognize(CLIPS[1], onset_index=4, offset_index=20, video_metadata={"fps": 100.0})
    assert (answer.clip.first_index, answer.clip.last_index) == (4, 20)
    assert answer.frames[0].index == 4 and answer.frames[-1].time_s == pytest.approx(0.2)
    assert answer.clip.duration_s == pytest.approx(0.33)
    own, of_the_call = recognize([{"video": CLIPS[1], "offset_index": 20}, CLIPS[0]], onset_index=4)
    assert (own.clip.first_index, own.clip.last_index) == (4, 20)
    assert (of_the_call.clip.first_index, of_the_call.clip.last_index) == (4, 19)


def test_the_face_is_followed_unless_the_call_says_otherwise(recognize, monkeypatch):
    asked = []
    prepare = pipeline_fdp.prepare_clip
    monkeypatch.setattr(
        pipeline_fdp,
        "prepare_clip",
        lambda processor, source, num_frames, track_face, **request: (
            asked.append((num_frames, track_face)) or prepare(processor, source, num_frames, track_face, **request)
        ),
    )
    recognize(CLIPS[0])
    recognize(CLIPS[0], track_face=False, num_frames=6)
    recognize(CLIPS[0], track_face=True)
    assert asked == [(8, True), (6, False), (8, True)]


@pytest.mark.parametrize(
    ("given", "keywords", "message"),
    [
        ("https://example.org/clip.mp4", {}, "read from disk, but .* is a URL; download it"),
        ({"clip": 1}, {}, r"a dict has 'video' .* but got \['clip'\]"),
        ({"video": CLIPS[0], "onset": 3}, {}, r"but got \['onset', 'video'\]"),
        ("nowhere.mp4", {}, "there is no file or folder"),
        (CLIPS[0], {"onset": 3}, "takes track_face, .* but got onset"),
        (CLIPS[0], {"onset_index": 30}, "0 <= onset"),
        (CLIPS[0][:0], {}, "needs frames with pixels"),
    ],
)
def test_what_cannot_be_answered_is_named_in_one_sentence(recognize, given, keywords, message):
    with pytest.raises(ValueError, match=message) as caught:
        recognize(given, **keywords)
    assert len(str(caught.value).splitlines()) == 1


def test_a_pipeline_without_a_processor_or_with_another_problem_is_refused(model, small_model, processor):
    with pytest.raises(ValueError, match="requires either a video processor"):
        FDPVideoClassificationPipeline(model)
    several = small_model("tiny", num_labels=2, problem_type="multi_label_classification")
    with pytest.raises(ValueError, match=r"one class per clip, but .*'multi_label_classification'"):
        several.as_pipeline(processor)
    scores = FDPVideoClassificationPipeline(several, video_processor=processor)(CLIPS[0])
    assert len(scores) == 2


def test_the_answer_follows_its_schema_and_holds_the_networks_output(recognize, model, processor):
    answer = recognize(CLIPS[1])
    document = answer_files.answers_document([answer], "model")
    jsonschema.validate(document, answer_files.schema())
    json.dumps(document, allow_nan=False)
    with torch.no_grad():
        output = model(processor(CLIPS[1], num_frames=8, return_tensors="pt")["pixel_values"])
    assert list(answer.probabilities.values()) == pytest.approx(output.logits[0].softmax(-1).tolist(), abs=1e-6)
    assert answer.label == max(answer.probabilities, key=answer.probabilities.get)
    units = dict(zip(UNITS, output.action_unit_logits[0].sigmoid().tolist(), strict=True))
    assert {unit.code: unit.probability for unit in answer.action_units} == pytest.approx(units, abs=1e-6)
    assert [unit.probability for unit in answer.action_units] == sorted(units.values(), reverse=True)
    assert answer.movement.size == pytest.approx(float(output.movement_size[0]), abs=1e-5)
    assert answer.curves["rank_scores"] == pytest.approx(output.rank_scores[0].tolist(), abs=1e-5)
    assert {name: image.shape for name, image in answer.images.items()} == {
        "frames": (8, 64, 64), "dynamic_image": (64, 64), "target": (64, 64)
    }  # fmt: skip
    assert all(image.min() >= 0 and image.max() <= 1 for image in answer.images.values())


def test_below_a_score_of_0_nothing_moved(recognize, model, monkeypatch):
    for weights, is_still in (([0.0, 0.0, -0.1], True), ([0.0, 0.0, 0.1], False), ([], False)):
        monkeypatch.setattr(model.config, "movement_weights", weights)
        answer = recognize(CLIPS[0])
        assert answer.movement.is_still is is_still and (answer.label == "neutral") is is_still
        assert (answer.probability is None) is is_still
        assert answer.movement.score == (pytest.approx(weights[-1]) if weights else None)
        assert any("no clear movement" in text for text in answer.warnings) is is_still
        assert (answer.movement.onset_index is None) is is_still
        assert any(answer.curves["progress"]) is not is_still
        jsonschema.validate(answer_files.answers_document([answer], "model"), answer_files.schema())


def test_action_units_over_time_rise_and_fall_with_the_movement(recognize):
    answer = recognize(CLIPS[1], video_metadata={"fps": 50.0})
    rows = answer.action_unit_curves()
    assert list(rows[0]) == ["frame", "time", "AU04", "AU12", "AU25"]
    assert [row["frame"] for row in rows] == list(range(33))
    assert rows[10]["time"] == pytest.approx(0.2)
    probability = {f"AU{int(unit.code):02d}": unit.probability for unit in answer.action_units}
    strongest = rows[answer.movement.apex_index]
    for name, value in probability.items():
        assert strongest[name] == pytest.approx(value, abs=1e-5)
        assert min(row[name] for row in rows) == 0
    # Microseconds, because py-feat's tables have no more.
    assert recognize(CLIPS[1], video_metadata={"fps": 30.0}).action_unit_curves()[1]["time"] == 0.033333
    # py-feat has one column per unit and no time where the rate is unknown.
    assert recognize(CLIPS[1]).action_unit_curves()[3]["time"] is None


def test_a_unit_is_named_by_its_side_where_one_alone_moved(small_model, processor):
    sided = small_model("tiny", action_units=UNITS, action_unit_sides=True)
    with torch.no_grad():
        sided.action_unit_output.weight.zero_()
        # Left and right of units 4, 12 and 25, in turn.
        sided.action_unit_output.bias.copy_(torch.tensor([3.0, -3.0, -3.0, 2.0, 2.0, 2.0]))
    units = {unit.code: unit for unit in sided.as_pipeline(processor)(moving_clip(20, 64, 64)).action_units}
    named = ["left brow lowerer", "right lip corner puller", "lips part"]
    assert [units[code].sided_name for code in UNITS] == named
    assert units["4"].probability == units["4"].left > 0.9 and units["4"].right < 0.1


def test_every_trained_action_unit_has_its_name():
    assert set(ACTION_UNIT_NAMES) == set(FACS_CODES)
