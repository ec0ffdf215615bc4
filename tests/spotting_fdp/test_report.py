"""Files of spotted recordings, and the recogniser."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from modeling_fdp import FDPConfig, FDPForVideoClassification
from processing_fdp import FDPVideoProcessor
from spotting_fdp.face_stream import CropSettings, Interruption
from spotting_fdp.recognition import CheckpointRecognizer, coarse_class, fine_class
from spotting_fdp.report import document, megc_answers, table, write_results
from spotting_fdp.spotter import Recognition, SpottedExpression, SpottingResult
from training_fdp.hub.prediction import Refusal


def expression(onset, offset, kind="micro", recognition=None, talking=False):
    apex = (onset + offset) // 2
    return SpottedExpression(onset, apex, offset, onset / 30, apex / 30, offset / 30, kind, 9.25, talking, recognition)


@pytest.fixture
def result():
    surprised = Recognition("surprise", 0.91, {"surprise": 0.91}, {"1": 0.8, "2": 0.6, "12": 0.1})
    talking = Recognition(None, None, {"surprise": 0.5}, {"25": 0.7}, "the mouth talks")
    return SpottingResult(
        input="films/long film.mp4",
        frames_per_second=30.0,
        num_frames=900,
        expressions=[
            expression(100, 112, recognition=surprised),
            expression(400, 460, "macro", Recognition("disgust", 0.6, {}, {"9": 0.9})),
            expression(700, 710, recognition=talking, talking=True),
        ],
        least_score=7.5,
        false_alarms_per_minute=1.0,
        share_seen=0.9,
        talking_share=0.2,
        interruptions=[Interruption(600, "cut")],
        activity=[
            (second / 10, 3.0 + (second == 35), second > 220) for second in range(300) if not 200 <= second < 210
        ],
        warnings=[],
    )


def test_the_questions_of_megc(result):
    answers = megc_answers(result)
    assert answers["counts"] == {"all": 3, "micro": 2, "macro": 1}
    assert answers["intervals"] == {"micro": [[100, 112], [700, 710]], "macro": [[400, 460]]}
    # More probable than not in one of the expressions, in numeric order.
    assert answers["action_units"] == ["1", "2", "9", "25"]
    emotions = [(one["coarse_emotion"], one["fine_emotion"]) for one in answers["expressions"]]
    assert emotions == [("surprise", "surprise"), ("negative", "disgust"), (None, None)]


@pytest.mark.parametrize(
    ("label", "coarse", "fine"),
    [
        ("positive", "positive", None),
        ("negative", "negative", None),
        ("Happiness", "positive", "Happiness"),
        ("fear", "negative", "fear"),
        ("others", "others", "others"),
        ("boredom", None, "boredom"),
        (None, None, None),
    ],
)
def test_coarse_and_fine_classes(label, coarse, fine):
    assert (coarse_class(label), fine_class(label)) == (coarse, fine)


def test_the_table_has_a_row_per_expression(result):
    rows = list(csv.DictReader(io.StringIO(table([result]))))
    assert [(row["kind"], row["onset_frame"], row["offset_frame"]) for row in rows] == [
        ("micro", "100", "112"),
        ("macro", "400", "460"),
        ("micro", "700", "710"),
    ]
    assert (rows[0]["label"], rows[0]["confidence"], rows[0]["action_units"]) == ("surprise", "0.91", "1+2")
    assert (rows[2]["label"], rows[2]["why_no_label"], rows[2]["talking"]) == ("", "the mouth talks", "True")


def test_files_are_written_and_hold_what_was_found(result, tmp_path):
    files = write_results([result], "fdp-tiny", tmp_path / "new" / "found", [Refusal("x.mp4", "no such file")])
    assert [file.name for file in files] == ["spotting.json", "expressions.csv", "000_long_film_timeline.png"]
    content = json.loads(files[0].read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(document([result], "fdp-tiny", [Refusal("x.mp4", "no such file")])))
    assert content["recordings"][0]["counts"]["all"] == 3
    assert content["errors"] == [{"input": "x.mp4", "error": "no such file"}]
    with Image.open(files[2]) as picture:
        colors = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    # Spans of micro-expressions, macro-expressions, talk and interruptions are all drawn, each in its colour.
    assert len(np.unique(colors, axis=0)) > 20


@pytest.mark.parametrize("activity", [[], [(0.0, 1.0, False)]])
def test_a_timeline_without_anything_is_drawn_as_well(result, tmp_path, activity):
    result.expressions, result.activity = [], activity
    assert write_results([result], None, tmp_path)[2].stat().st_size > 1000


@pytest.mark.parametrize(("least", "top"), [(0.4, 1.0), (7.5, 30.0)])
def test_the_axis_of_probabilities_ends_at_one(result, tmp_path, monkeypatch, least, top):
    seen = []
    monkeypatch.setattr(Axes, "set", lambda axes, **values: seen.append(values["ylim"]))
    result.least_score, result.expressions = least, []
    write_results([result], None, tmp_path)
    assert seen == [(0, pytest.approx(1.25 * top))]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    names = {0: "negative", 1: "positive", 2: "surprise"}
    config = FDPConfig.from_preset("tiny", id2label=names, label2id={name: i for i, name in names.items()})
    folder = tmp_path_factory.mktemp("model")
    FDPForVideoClassification(config).eval().save_pretrained(folder)
    FDPVideoProcessor(num_frames=config.num_frames, crop_scale=2.0).save_pretrained(folder)
    return folder


def test_a_checkpoint_names_a_class_except_while_the_mouth_talks(checkpoint, moving_crops):
    crops = moving_crops(2 * np.sin(np.pi * np.arange(30) / 29)).numpy()
    recognizer = CheckpointRecognizer(str(checkpoint))
    assert recognizer.crop == CropSettings((64, 64), 2.0)
    named = recognizer.recognize(crops, 60.0, talking=False)
    assert named.label == max(named.probabilities, key=named.probabilities.__getitem__)
    assert named.confidence == pytest.approx(named.probabilities[named.label])
    assert sum(named.probabilities.values()) == pytest.approx(1, abs=1e-5)
    talking = recognizer.recognize(crops, 60.0, talking=True)
    assert (talking.label, talking.probabilities) == (None, named.probabilities)
    assert "has not learnt from talking faces" in talking.reason
    # An untrained network is not sure.
    unsure = CheckpointRecognizer(str(checkpoint), learnt_speech=True).recognize(crops, 60.0, talking=True)
    assert unsure.label is None and "no class reaches 0.5" in unsure.reason


def test_a_checkpoint_that_learnt_speech_says_so_itself(checkpoint, moving_crops, tmp_path):
    crops = moving_crops(2 * np.sin(np.pi * np.arange(30) / 29)).numpy()
    model = FDPForVideoClassification.from_pretrained(checkpoint)
    model.config.learnt_speech = True
    # As sure of a class as it takes, whatever it is shown.
    model.classifier.output.weight.data.zero_()
    model.classifier.output.bias.data = torch.tensor([0.0, 0.8, 0.0])  # probability 0.53
    model.save_pretrained(tmp_path)
    FDPVideoProcessor.from_pretrained(checkpoint).save_pretrained(tmp_path)
    sure = CheckpointRecognizer(str(tmp_path)).recognize(crops, 60.0, talking=True)
    assert (sure.label, sure.reason) == ("positive", "")
    assert CheckpointRecognizer(str(checkpoint)).recognize(crops, 60.0, talking=True).label is None


def test_an_expression_of_many_seconds_is_named(checkpoint, moving_crops):
    crops = moving_crops(2 * np.sin(np.pi * np.arange(30) / 29)).numpy()
    recognizer = CheckpointRecognizer(str(checkpoint))
    slow, fast = (recognizer.recognize(crops, fps, talking=False) for fps in (4.0, 60.0))
    assert slow == fast and slow.label is not None and slow.moves


def test_a_face_that_does_not_move_gets_no_class(checkpoint, moving_crops):
    still = CheckpointRecognizer(str(checkpoint)).recognize(moving_crops(np.zeros(30)).numpy(), 60.0, talking=False)
    assert still.label is None and "the checkpoint sees no movement" in still.reason and not still.moves
