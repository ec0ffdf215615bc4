"""predict.py: one answer per clip, equal for equal pixels, and one sentence for what cannot be read."""

import csv
import io
import json
import shutil
import sys
from types import SimpleNamespace

import av
import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from evaluation_fdp.errors import ConfigError
from processing_fdp.clip_reading_fdp import VideoReadError
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from rendered_faces.film import render_clip
from spotting_fdp import Spotter, predict_command
from spotting_fdp.answering import Answerer
from training_fdp.hub import answer_files, prediction
from training_fdp.hub.answer_files import write_answers
from training_fdp.hub.answer_picture import draw_answer, frames_shown
from training_fdp.hub.answer_text import answer_lines, clip_line, face_line
from training_fdp.hub.prediction import Predictor


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """One moving pattern as a folder of frames, and losslessly as an .avi file."""
    folder = tmp_path_factory.mktemp("clips")
    rows, columns = np.mgrid[0:72, 0:80]
    frames = [
        np.rint(127.5 + 90 * np.sin(0.2 * rows + 0.3 * np.sin(0.5 * step)) * np.cos(0.1 * columns)).astype(np.uint8)
        for step in range(12)
    ]
    (folder / "frames").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / "frames" / f"img{number + 1}.png")
    with av.open(str(folder / "clip.avi"), "w") as container:
        stream = container.add_stream("ffv1", rate=200, width=80, height=72, pix_fmt="gray")
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return SimpleNamespace(folder=folder, frames=folder / "frames", video=folder / "clip.avi")


@pytest.fixture(scope="module")
def predictor(model_folder):
    return Predictor(str(model_folder))


def test_a_video_and_its_frames_get_one_answer(predictor, clips):
    of_frames, of_video = predictor.predict(str(clips.frames)), predictor.predict(str(clips.video))
    assert of_frames.probabilities == of_video.probabilities
    assert of_frames.curves == of_video.curves
    assert np.array_equal(of_frames.images["dynamic_image"], of_video.images["dynamic_image"])
    assert of_frames.clip.num_frames == of_video.clip.num_frames == 12
    assert of_video.clip.frames_per_second == 200 and of_frames.clip.frames_per_second is None
    timed = predictor.predict(str(clips.frames), frames_per_second=200)
    assert [frame.time_s for frame in timed.frames] == [frame.time_s for frame in of_video.frames]


def test_probabilities_are_those_of_the_model_and_of_the_pipeline(predictor, clips):
    answer = predictor.predict(str(clips.frames))
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert answer.probability == max(answer.probabilities.values()) == answer.probabilities[answer.label]
    pixel_values = predictor.processor(str(clips.frames), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        output = predictor.model(pixel_values=pixel_values.to(predictor.device))
    assert list(answer.probabilities.values()) == pytest.approx(output.logits[0].softmax(-1).tolist(), abs=1e-6)
    assert answer.curves["rank_scores"] == pytest.approx(output.rank_scores[0].tolist(), abs=1e-6)
    assert len(answer.frames) == predictor.model.config.num_frames
    assert answer.frames[0].index == 0 and answer.frames[-1].index == 11
    of_pipeline = predictor.model.as_pipeline(predictor.processor, device=predictor.device)(str(clips.frames))
    # The method adds its own figures.
    assert answer.numbers.pop("ordered_pairs") >= 0
    assert of_pipeline.to_dict() == answer.to_dict()


def test_importance_is_what_the_class_loses_where_the_motion_is_held_still(predictor, clips):
    """A network that looks at one quarter of the face alone: no other part matters."""

    class Corner(torch.nn.Module):
        def forward(self, pixel_values):
            change = (pixel_values[:, -1] - pixel_values[:, 0]).abs()[:, 0, :16, :16].mean((1, 2))
            return SimpleNamespace(logits=torch.stack([10 * change, torch.zeros_like(change)], 1))

    asked = prediction.prepare_clip(predictor.processor, str(clips.frames), 16)
    looking = Predictor.__new__(Predictor)
    looking.model, looking.method, looking.device = Corner(), predictor.method, torch.device("cpu")
    looking.model.dtype, looking.mixed_precision = torch.float32, "no"
    importance = looking.importance(asked, 0)
    assert importance.shape == (64, 64) and importance[:8, :8].min() > 0.05
    assert not importance[33:].any() and not importance[:, 33:].any()
    assert np.array_equal(looking.importance(asked, 1)[:8, :8] < 0, np.ones((8, 8), bool))


def test_the_output_folder_holds_what_predictions_json_names(predictor, clips, tmp_path):
    answers = [predictor.predict(str(path), explain=True) for path in (clips.frames, clips.video)]
    out = tmp_path / "new folder" / "OUT"
    write_answers(answers, predictor.name, out)
    document = json.loads((out / "predictions.json").read_text())
    jsonschema.validate(document, answer_files.schema())
    named = {name for item in document["predictions"] for name in item["files"].values()}
    assert {path.name for path in out.iterdir()} == named | {"predictions.json", "summary.csv"}
    assert len(named) == 2
    with Image.open(out / document["predictions"][0]["files"]["picture"]) as picture:
        assert picture.format == "PNG" and picture.width > 1000
    with (out / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["input"] for row in rows] == [str(clips.frames), str(clips.video)]
    assert float(rows[0]["probability"]) == answers[0].probability and rows[1]["frames_per_second"] == "200.0"
    assert not [path for path in out.parent.iterdir() if path != out]


def test_a_second_run_replaces_its_own_files_and_keeps_others(predictor, clips, tmp_path, monkeypatch):
    monkeypatch.setattr("training_fdp.hub.answer_picture.draw_answer", lambda answer: b"drawn elsewhere")
    (tmp_path / "notes.txt").write_text("mine")
    answer = predictor.predict(str(clips.frames))
    write_answers([answer], "first", tmp_path)
    write_answers([answer], "second", tmp_path)
    assert json.loads((tmp_path / "predictions.json").read_text())["model"] == "second"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_action_units_get_curves_of_their_own(clips, tmp_path, monkeypatch):
    from modeling_fdp import FDPConfig, FDPForVideoClassification

    monkeypatch.setattr("training_fdp.hub.answer_picture.draw_answer", lambda answer: b"drawn elsewhere")
    config = FDPConfig.from_preset("tiny", num_labels=2, action_units=["4", "12"])
    FDPForVideoClassification(config).save_pretrained(tmp_path / "model")
    FDPVideoProcessor(alignment="none").save_pretrained(tmp_path / "model")
    answer = Predictor(str(tmp_path / "model")).predict(str(clips.video))
    write_answers([answer], "model", tmp_path / "OUT")
    with (tmp_path / "OUT" / answer.files["action_units"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["frame", "time", "AU04", "AU12"] and len(rows) == 12
    assert [float(row["time"]) for row in rows] == pytest.approx([index / 200 for index in range(12)])


def test_without_model_the_shipped_checkpoint_answers(model_folder, tmp_path, monkeypatch):
    empty, shipped = tmp_path / "empty", tmp_path / "shipped"
    monkeypatch.setattr(prediction, "SHIPPED_FOLDERS", (empty, shipped))
    with pytest.raises(ConfigError, match="checkpoint fdp-tiny of this package answers, but this copy has none"):
        Predictor()
    shipped.mkdir()
    copy_checkpoint(model_folder, shipped / "fdp-tiny")
    found = Predictor()
    assert found.name == "fdp-tiny" and found.model.config.num_labels == 3


def write_bad_input(kind, folder):
    """Make one input that cannot be read; return its path."""
    path = folder / kind
    if kind == "empty folder":
        path.mkdir()
    elif kind == "text.avi":
        path.write_text("not a video")
    elif kind == "zero.mp4":
        path.touch()
    elif kind == "folder of text":
        path.mkdir()
        (path / "readme.txt").write_text("no frame")
    elif kind == "broken frames":
        path.mkdir()
        (path / "img1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return path


BAD_INPUTS = ["missing", "empty folder", "text.avi", "zero.mp4", "folder of text", "broken frames"]


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_what_cannot_be_read_is_named_in_one_sentence(predictor, tmp_path, kind):
    path = write_bad_input(kind, tmp_path)
    with pytest.raises(VideoReadError) as caught:
        predictor.predict(str(path))
    assert kind in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def copy_checkpoint(source, target):
    target.mkdir()
    for path in source.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_model_that_is_none_is_named_in_one_sentence(model_folder, tmp_path):
    with pytest.raises(ConfigError, match="is neither"):
        Predictor(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"no config\.json"):
        Predictor(str(tmp_path))
    broken = copy_checkpoint(model_folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Predictor(str(broken))
    (broken / "config.json").write_text('{"model_type": "videomae"}')
    with pytest.raises(ConfigError, match="of type 'videomae'"):
        Predictor(str(broken))
    (broken / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Predictor(str(broken))


def test_weights_that_do_not_fit_are_refused(model_folder, tmp_path):
    """A checkpoint whose weights do not fit would answer from random numbers."""
    other = copy_checkpoint(model_folder, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    lost = next(name for name in weights if name.startswith("classifier") and name.endswith("weight"))
    save_file({name: value for name, value in weights.items() if name != lost}, other / "model.safetensors")
    with pytest.raises(ConfigError, match=f"lacks 1 of its weights .{lost} first"):
        Predictor(str(other))
    save_file(weights | {lost: np.zeros(3, dtype=np.float32)}, other / "model.safetensors")
    with pytest.raises(ConfigError, match="do not fit"):
        Predictor(str(other))


def test_the_command_prints_one_json_document_and_writes_the_folder(run_script, model_folder, clips, tmp_path):
    out = tmp_path / "OUT"
    arguments = [clips.video, clips.frames, "--model", model_folder, "--output_dir", out, "--json"]
    completed = run_script("predict.py", *arguments)
    assert completed.returncode == 0, completed.stderr
    document = json.loads(completed.stdout)
    assert [item["input"] for item in document["predictions"]] == [str(clips.video), str(clips.frames)]
    assert document["predictions"][0]["probabilities"] == document["predictions"][1]["probabilities"]
    assert document == json.loads((out / "predictions.json").read_text())


def test_the_command_replaces_settings_of_the_processor(run_script, model_folder, clips, tmp_path):
    """A checkpoint that wants a table of landmarks answers for clips that have none, under another alignment."""
    trained = copy_checkpoint(model_folder, tmp_path / "trained")
    FDPVideoProcessor.from_pretrained(model_folder, alignment="precomputed").save_pretrained(trained)
    refused = run_script("predict.py", clips.frames, "--model", trained)
    assert refused.returncode == 2 and "needs a landmark table" in refused.stderr
    given = ["--processor_overrides", "alignment=auto"]
    completed = run_script("predict.py", clips.frames, "--model", trained, "--json", *given)
    assert completed.returncode == 0, completed.stderr
    expected = Predictor(str(model_folder)).predict(str(clips.frames))
    assert json.loads(completed.stdout)["predictions"][0]["probabilities"] == pytest.approx(
        expected.probabilities, abs=1e-6
    )


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("alignment", "takes NAME=VALUE, got 'alignment'"),
        ("alinement=none", "alinement"),
        ("alignment=yolo", "alignment is one of"),
        ("num_frames=4", "num_frames is fixed by the network"),
        ("crop_scale=1.5", "crop_scale is 2.5 there, 1.5 was asked for"),
    ],
)
def test_settings_that_the_processor_cannot_take_are_named(model_folder, pair, message):
    with pytest.raises(ConfigError, match=message):
        Predictor(str(model_folder), [pair])


def test_one_bad_input_costs_its_own_answer_alone(run_script, model_folder, clips, tmp_path):
    """An unreadable clip between good ones: they are answered and written, it gets its line, and the code says so."""
    out = tmp_path / "OUT"
    bad = write_bad_input("text.avi", tmp_path)
    completed = run_script("predict.py", clips.video, bad, clips.frames, "--model", model_folder, "--output_dir", out)
    assert completed.returncode == 1, completed.stdout + completed.stderr
    assert str(clips.video) in completed.stdout and str(clips.frames) in completed.stdout
    assert "Traceback" not in completed.stderr
    errors = [line for line in completed.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "text.avi" in errors[0]
    document = json.loads((out / "predictions.json").read_text())
    assert [item["input"] for item in document["predictions"]] == [str(clips.video), str(clips.frames)]
    (refused,) = document["errors"]
    assert refused["input"] == str(bad) and "text.avi" in refused["error"]


def test_a_fault_of_the_program_costs_one_answer_and_shows_its_traceback(
    model_folder, clips, tmp_path, monkeypatch, capsys, caplog
):
    answer = Answerer.answer

    def fails_on_one(self, source, *others):
        return 1 / 0 if source == "faulty.avi" else answer(self, source, *others)

    monkeypatch.setattr(Answerer, "answer", fails_on_one)
    out = tmp_path / "OUT"
    words = ["predict.py", "faulty.avi", str(clips.video), "--model", str(model_folder), "--output_dir", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    assert predict_command.main() == 1
    said = capsys.readouterr()
    assert (
        str(clips.video) in said.out and "error: faulty.avi met a fault of this program (ZeroDivisionError" in said.err
    )
    assert "1 / 0" in caplog.text
    document = json.loads((out / "predictions.json").read_text())
    assert [item["input"] for item in document["predictions"]] == [str(clips.video)]
    # A wrong setting is one of the command, not of an input.
    monkeypatch.setattr(Answerer, "answer", lambda *given: (_ for _ in ()).throw(ConfigError("wrong")))
    with pytest.raises(ConfigError, match="wrong"):
        predict_command.main()


def test_without_any_answer_nothing_is_written(run_script, model_folder, tmp_path):
    out = tmp_path / "OUT"
    bad = write_bad_input("text.avi", tmp_path)
    completed = run_script("predict.py", bad, "--model", model_folder, "--output_dir", out)
    assert completed.returncode == 2 and completed.stdout == "" and not out.exists()


def test_an_output_folder_inside_a_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"must be a folder, but \S+/file is a file"):
        answer_files.check_output_dir(tmp_path / "file" / "OUT")


@pytest.mark.parametrize(
    ("indices", "total", "line"),
    [
        (range(0, 64, 2), 64, "32 of 64 frames, "),
        ([0, 0, 1, 1], 2, "2 frames (4 read, some of them several times), "),
        ([0, 0], 1, "1 frame (2 read, some of them several times), "),
    ],
)
def test_the_line_of_a_clip_counts_its_frames(indices, total, line):
    clip = SimpleNamespace(num_frames=total, frames_per_second=None, duration_s=None, width=8, height=8)
    answer = SimpleNamespace(clip=clip, frames=[SimpleNamespace(index=index) for index in indices])
    assert clip_line(answer).startswith(line)


@pytest.mark.parametrize("name", ["微表情片段" * 16, "é" * 120, "a" * 250])
def test_pictures_of_inputs_with_long_names_get_names_that_fit(predictor, clips, tmp_path, name):
    folder = tmp_path / name
    shutil.copytree(clips.frames, folder)
    write_answers([predictor.predict(str(folder))], "model", tmp_path / "OUT")
    written = [path.name for path in (tmp_path / "OUT").iterdir()]
    assert len(written) == 3 and all(len(name.encode()) < 150 for name in written)


def test_the_answer_says_how_the_face_was_found(model_folder, tmp_path):
    """A face in a scene: found by the mesh, its size, turn and blinks in the answer; black frames: a warning."""
    from processing_fdp.crop_geometry_fdp import FaceNotFoundError

    frames = np.full((8, 180, 240), 110, np.uint8)
    frames[:, 26:154, 50:178] = render_clip(3, "happiness", size=128, fps=60).frames[:8]
    for name, pixels in (("clip", frames), ("dark", np.zeros_like(frames))):
        (tmp_path / name).mkdir()
        for number, frame in enumerate(pixels):
            Image.fromarray(frame).save(tmp_path / name / f"img{number + 1}.png")
    model_folder = shutil.copytree(model_folder, tmp_path / "learnt from crops")
    FDPVideoProcessor.from_pretrained(model_folder, alignment="auto").save_pretrained(model_folder)
    finder = Predictor(str(model_folder))
    answer = finder.predict(str(tmp_path / "clip"))
    assert answer.face.source == "mesh" and answer.face.num_faces == 1 and answer.face.blinks == []
    assert answer.face.share_seen == 1
    line = face_line(answer)
    assert "seen in 5 of 5" in line and "pixels between the eyes" in line and "0 blinks" in line
    dark = finder.predict(str(tmp_path / "dark"))
    assert dark.face.source == "unseen" and any("say so by alignment=none" in text for text in dark.warnings)
    assert (dark.label, dark.reason) == (None, "no face found")
    assert answer_lines(dark)[0] == f"{tmp_path / 'dark'}: no face found"
    assert not any(name in line for line in answer_lines(dark) for name in dark.probabilities)
    with pytest.raises(FaceNotFoundError, match="shows none in the 8 frames"):
        Predictor(str(model_folder), ["alignment=mesh"]).predict(str(tmp_path / "dark"))
    centre = Predictor(str(model_folder), ["alignment=auto", "missing_face=center"]).predict(str(tmp_path / "dark"))
    assert any("no face in the 8 frames" in text for text in centre.warnings) and centre.label is None
    # No larger than what the network sees: a crop, so that there is a class beside the warning.
    side = finder.processor.size["height"]
    crop = finder.predict(np.zeros((8, side, side), np.uint8))
    assert crop.label and not crop.reason and any("say so by alignment=none" in text for text in crop.warnings)
    assert finder.predict(np.zeros((8, side + 1, side), np.uint8)).reason == "no face found"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Six seconds of a rendered face with one micro-expression."""
    path = tmp_path_factory.mktemp("films") / "film.avi"
    frames = render_clip(1, "surprise", seed=3, fps=60, neutral_s=3.0).frames
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=60, width=128, height=128, pix_fmt="gray")
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return path


def test_a_recording_longer_than_an_expression_gets_intervals_and_no_class(
    run_script, model_folder, clips, film, tmp_path
):
    out = tmp_path / "OUT"
    completed = run_script("predict.py", film, clips.video, "--model", model_folder, "--output_dir", out)
    assert completed.returncode == 0, completed.stderr
    of_film, of_clip = completed.stdout.split(f"\n{clips.video}: ")
    assert of_film.startswith(f"{film}: 1 micro-, 0 macro-expressions in 5.9 s") and "#" not in of_film
    assert of_clip.split(" ")[0] in ("happiness", "disgust", "surprise")
    document = json.loads((out / "predictions.json").read_text())
    jsonschema.validate(document, answer_files.schema())
    assert [item["input"] for item in document["predictions"]] == [str(clips.video)]
    (recording,) = document["recordings"]
    assert recording["input"] == str(film) and recording["counts"] == {"all": 1, "micro": 1, "macro": 0}
    assert recording["expressions"][0]["recognition"]["probabilities"].keys() == {"happiness", "disgust", "surprise"}
    assert (out / recording["files"]["timeline"]).stat().st_size > 1000
    with (out / "expressions.csv").open(newline="") as file:
        assert [row["kind"] for row in csv.DictReader(file)] == ["micro"]
    with (out / "summary.csv").open(newline="") as file:
        rows = {row["input"]: row for row in csv.DictReader(file)}
    assert (rows[str(film)]["label"], rows[str(film)]["expressions"]) == ("", "1")


def test_no_length_of_a_recording_gives_it_a_class(predictor, monkeypatch):
    """Six hours; frames without a rate; a clip of the same frames is answered."""
    monkeypatch.setattr(Spotter, "spot_frames", lambda self, frames, fps, progress: (frames.frame_count, fps))
    answerer = Answerer(predictor)
    six_hours = np.zeros((6 * 3600 * 8, 8, 8), np.uint8)
    assert answerer.answer(six_hours, fps=8.0) == (172800, 8.0)
    assert answerer.answer(six_hours[:1001]) == (1001, None)
    assert answerer.answer(six_hours[:41], fps=8.0) == (41, 8.0)
    assert answerer.answer(six_hours[:40], fps=8.0).label == "neutral"
    monkeypatch.undo()
    with pytest.raises(VideoReadError, match="give fps="):
        Answerer(predictor).answer(six_hours[:1001])


@pytest.mark.parametrize(
    ("indices", "interval", "shown"),
    [
        ([0, 0, 1, 1, 2], (0, 1, 2), [0, 1, 2]),
        (range(32), (None, None, None), None),
        (range(32), (3, 4, 5), {3, 4, 5}),
        (range(32), (0, 1, 31), {0, 1, 31}),
        ([index // 2 for index in range(64)], (8, 15, 23), {8, 15, 23}),
    ],
)
def test_the_strip_shows_fourteen_frames_at_most_and_the_key_frames_among_them(indices, interval, shown):
    positions = frames_shown(list(indices), interval)
    numbers = [list(indices)[position] for position in positions]
    assert numbers == sorted(set(numbers)) and len(numbers) == min(14, len(set(indices)))
    assert set(shown or ()) <= set(numbers) and (shown != [0, 1, 2] or numbers == shown)


def test_a_clip_without_a_class_is_drawn_without_one(predictor, clips):
    answer = predictor.predict(str(clips.frames))
    with_classes = Image.open(io.BytesIO(draw_answer(answer)))
    answer.label, answer.reason = None, "no face found"
    without = Image.open(io.BytesIO(draw_answer(answer)))
    assert without.width == with_classes.width and without.height < 0.5 * with_classes.height
