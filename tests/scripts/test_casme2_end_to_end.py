"""train.py on a tree in CASME II's true layout: what lands in OUT, and what happens to input that cannot be used."""

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import datasets
import openpyxl
import pytest
from PIL import Image

from tests.fakes.fake import make_fake_corpus
from training_fdp.cli import run_main
from training_fdp.hub.prediction import Predictor
from training_fdp.hub.publish import prepare_publication

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--preset", "tiny", "--image_size", "32", "--num_frames", "6", "--augmentation", "none", "--num_proc", "1"]
# The pretend corpus shows no face.
SMALL += ["--processor_overrides", "alignment=none"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, script_environment_in):
    """One true run: two optimiser steps on each of three subject-grouped folds, launched as the README says."""
    folder = tmp_path_factory.mktemp("end to end")
    data = make_fake_corpus("casme2", folder / "CASME II", frame_size=40)
    arguments = ["--corpus", "casme2", "--data_dir", str(data), "--label_set", "5class", "--protocol", "kfold3"]
    arguments += [*SMALL, "--max_steps", "2", "--final_model", "false", "--output_dir", str(folder / "OUT")]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", str(ROOT / "train.py")]
    completed = subprocess.run(
        [*launch, *arguments],
        cwd=folder,
        env=script_environment_in(folder / "home", ACCELERATE_USE_CPU="true"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return folder, completed.stdout


@pytest.fixture(scope="module")
def predictions(run):
    with (run[0] / "OUT" / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def results(run):
    return json.loads((run[0] / "OUT" / "results.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_out_holds_what_scripts_rely_on(run, results):
    folder, printed = run
    with Image.open(folder / "OUT" / "confusion_matrix.png") as picture:
        picture.load()
    assert results["protocol"] == "kfold3" and results["seeds"] == [0]
    assert results["class_names"] == ["surprise", "happiness", "disgust", "repression", "others"]
    assert "--label_set 5class" in results["command"]
    assert {"torch", "transformers", "python"} <= set(results["versions"])
    assert f"{results['metrics']['uf1']:.4f}" in printed
    # Licensed faces: no picture of a clip, however small.
    assert not [path for path in (folder / "OUT").rglob("*") if path.name in ("samples", "dynamic_images.png")]


@pytest.mark.slow
def test_results_follow_from_predictions_by_hand(predictions, results, metrics_by_hand):
    names = results["class_names"]
    assert list(predictions[0]) == ["clip_id", "subject", "fold", "label", "prediction", *(f"prob_{n}" for n in names)]
    matrix = [[0] * len(names) for _ in names]
    for row in predictions:
        matrix[names.index(row["label"])][names.index(row["prediction"])] += 1
        probabilities = [float(row[f"prob_{name}"]) for name in names]
        assert sum(probabilities) == pytest.approx(1, abs=1e-6)
        assert names[probabilities.index(max(probabilities))] == row["prediction"]
    assert results["confusion_matrix"] == matrix
    for name, value in metrics_by_hand(matrix).items():
        assert results["metrics"][name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.slow
def test_every_clip_is_held_out_once_and_no_subject_is_on_two_sides(predictions, results):
    assert len({row["clip_id"] for row in predictions}) == len(predictions) == results["num_clips"] == 31
    folds_of = {}
    for row in predictions:
        folds_of.setdefault(row["subject"], set()).add(row["fold"])
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert {fold for folds in folds_of.values() for fold in folds} == {fold["fold"] for fold in results["folds"]}


@pytest.mark.slow
def test_a_checkpoint_answers_for_the_frames_on_disk_as_it_did_in_evaluation(run, predictions, results):
    """What was cached and evaluated is what the saved processor makes of the folder."""
    row = predictions[-1]
    _, subject, recording, _ = row["clip_id"].split("/")
    predictor = Predictor(str(run[0] / "OUT" / "folds" / row["fold"]))
    answer = predictor.predict(str(run[0] / "CASME II" / "Cropped" / "Cropped" / subject / recording))
    expected = {name: float(row[f"prob_{name}"]) for name in results["class_names"]}
    assert answer.probabilities == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_checkpoint_of_a_run_can_be_published(run, results):
    fold = results["folds"][-1]["fold"]
    publication = prepare_publication(run[0] / "OUT" / "folds" / fold, "me/fdp-casme2")
    assert {"model.safetensors", "config.json", "modeling_fdp.py"} <= {path.name for path in publication.files}
    assert {Path(path.name).suffix for path in publication.files} == {".safetensors", ".json", ".py", ".md", ".txt"}
    assert f"| UF1 | {results['metrics']['uf1']:.3f} |" in publication.card
    assert "DATA_DIR" in publication.card and str(run[0]) not in publication.card
    assert "ynthetic" not in publication.card


@pytest.fixture
def train_main(monkeypatch, tmp_path):
    """train.py's command in this process, with caches of its own: returns exit code and stderr."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    specification = importlib.util.spec_from_file_location("train_script", ROOT / "train.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)

    def call(arguments, capsys):
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            run_main(script.main)
        return left.value.code, capsys.readouterr().err

    return call


def broken_corpus(kind, root):
    """A CASME II download with one thing wrong; returns the option values and what the sentence must name."""
    data = make_fake_corpus("casme2", root / "CASME2", frame_size=32)
    sheet = next(data.glob("CASME2-coding*.xlsx"))
    folder = data / "Cropped" / "Cropped" / "sub01"
    clip = sorted(path for path in folder.iterdir() if path.is_dir())[0]
    options = {"--corpus": "casme2", "--data_dir": data, "--label_set": "5class", "--protocol": "loso"}
    if kind == "missing folder":
        return options | {"--data_dir": root / "nowhere"}, "nowhere"
    if kind == "sheet without a column":
        book = openpyxl.load_workbook(sheet)
        book.worksheets[0].delete_cols(4)
        book.save(sheet)
        return options, sheet.name
    if kind == "sheet that is none":
        sheet.write_text("not a workbook")
        return options, sheet.name
    if kind == "clip without frames":
        for path in clip.iterdir():
            path.unlink()
        return options, clip.name
    if kind == "unreadable frame":
        sorted(clip.iterdir())[0].write_bytes(b"not a picture")
        return options, clip.name
    if kind == "unknown corpus":
        return options | {"--corpus": "casme9"}, "casme9"
    if kind == "unknown label set":
        return options | {"--label_set": "99class"}, "99class"
    return options | {"--protocol": "kfold99"}, "99"


KINDS = ["missing folder", "sheet without a column", "sheet that is none", "clip without frames", "unreadable frame"]
KINDS += ["unknown corpus", "unknown label set", "more folds than subjects"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_one_sentence_and_leaves_no_output(kind, tmp_path, train_main, capsys):
    options, named = broken_corpus(kind, tmp_path)
    out = tmp_path / "OUT"
    arguments = [item for pair in options.items() for item in pair]
    # Each tree has its own caches: a digest must not let one case answer for another.
    arguments += [*SMALL, "--cache_dir", tmp_path / "cache", "--output_dir", out]
    arguments += ["--max_steps", 1, "--folds", "sub01"]  # where a case slips through, it shall not take minutes
    code, said = train_main(arguments, capsys)
    assert code == 2, said
    assert "Traceback" not in said
    errors = [line for line in said.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert named in errors[0]
    assert not out.exists()
