"""A run with nothing left to train: reported at once, and only when it truly is that run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from training_fdp.config import parse_train_config
from training_fdp.runs.finish import report_if_finished

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def look(toy_arguments):
    """Asks whether the run of OUT with these options is finished."""

    def go(output_dir, *options):
        arguments = toy_arguments(output_dir, *options)
        return report_if_finished(parse_train_config(arguments), arguments)

    return go


def test_a_finished_run_is_reported_as_the_first_time(toy_run, look, tmp_path, capsys):
    assert look(tmp_path / "OUT") is None, "there is no run yet"
    toy_run(tmp_path / "OUT", "--final_model")
    first = capsys.readouterr().out
    before = {path: path.read_bytes() for path in (tmp_path / "OUT").rglob("*") if path.is_file()}
    assert look(tmp_path / "OUT", "--final_model") == 0
    assert capsys.readouterr().out == first
    assert {path: path.read_bytes() for path in (tmp_path / "OUT").rglob("*") if path.is_file()} == before


def test_what_is_lost_of_the_report_is_made_again(toy_run, look, tmp_path):
    toy_run(tmp_path / "OUT")
    for name in ("confusion_matrix.png", "dynamic_images.png", "report.md", "predictions.csv", "results.json"):
        (tmp_path / "OUT" / name).unlink()
        assert look(tmp_path / "OUT") == 0
        assert (tmp_path / "OUT" / name).exists(), name


def test_whatever_is_left_to_do_or_to_refuse_is_left_to_the_run(toy_run, toy_corpus, toy_clips, look, tmp_path):
    out = tmp_path / "OUT"
    toy_run(out)
    assert look(out, "--learning_rate", "0.1") is None
    assert look(out, "--final_model") is None
    assert look(out, "--folds", "fold0") is None
    assert look(out, "--num_proc", "1") is None, "the record names the command that was run last"
    toy_corpus(*toy_clips(num_subjects=4))
    assert look(out) is None
    toy_corpus()
    assert look(out) == 0
    record = out / "folds" / "fold1" / "fold.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "identity": "another run's"}))
    assert look(out) is None


def test_seeds_that_a_file_of_settings_adds_are_left_to_the_run(toy_run, look, tmp_path):
    """The command is the same, and so is every setting that decides a number."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("seeds: [0]\n")
    toy_run(tmp_path / "OUT", "--config", str(settings))
    assert look(tmp_path / "OUT", "--config", str(settings)) == 0
    settings.write_text("seeds: [0, 1]\n")
    assert look(tmp_path / "OUT", "--config", str(settings)) is None


@pytest.mark.parametrize("rank", ["0", "1"])
def test_several_processes_leave_it_to_the_run(toy_run, look, tmp_path, monkeypatch, capsys, rank):
    """One that reported by itself would leave another waiting, which may have seen a fold less finished."""
    toy_run(tmp_path / "OUT")
    capsys.readouterr()
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": rank}.items():
        monkeypatch.setenv(name, value)
    assert look(tmp_path / "OUT") is None
    assert look(tmp_path / "unused", "--collect", str(tmp_path / "OUT")) is None
    assert capsys.readouterr().out == ""


def test_collecting_needs_nothing_else(toy_run, look, tmp_path):
    toy_run(tmp_path / "OUT", "--folds", "fold0")
    assert look(tmp_path / "unused", "--collect", str(tmp_path / "OUT")) == 1


def test_no_library_of_the_network_is_loaded():
    """Their import takes three times as long as all that is left to do in a finished run."""
    code = (
        "import sys, training_fdp.runs.finish, training_fdp.data.corpora; "
        "print({'torch', 'accelerate', 'matplotlib', 'modeling_fdp'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "none"
