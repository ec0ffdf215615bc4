"""What prepare_publication lets leave, and what it refuses: files, results, repository names."""

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from safetensors.numpy import save_file

from evaluation_fdp.errors import ResultsError
from evaluation_fdp.metrics import METRICS
from tests.scripts.publications import EXPECTED_FILES, REPO_ID, edit_json
from training_fdp.errors import PublishError
from training_fdp.hub.corpora import evaluation_description
from training_fdp.hub.publish import find_results, prepare_publication, prepare_publications
from training_fdp.hub.scanner import why_refused


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("frame.png", "picture or a video"),
        ("apex.JPG", "picture or a video"),
        ("clip.avi", "picture or a video"),
        ("optimizer.pt", "pickle"),
        ("pytorch_model.bin", "pickle"),
        ("clips.npy", "pickle"),
        ("notes.txt", "not a file that a checkpoint needs"),
        ("subjects.csv", "not a file that a checkpoint needs"),
        ("adapter.safetensors", "not a file that a checkpoint needs"),
        (".env", "not a file that a checkpoint needs"),
    ],
)
def test_whatever_is_not_part_of_a_checkpoint_is_refused_by_name(checkpoint, name, reason):
    (checkpoint / name).write_bytes(b"x")
    with pytest.raises(PublishError, match=reason) as caught:
        prepare_publication(checkpoint, REPO_ID)
    assert str(checkpoint / name) in str(caught.value)


def test_a_folder_in_the_checkpoint_is_refused(checkpoint):
    (checkpoint / "frames").mkdir()
    with pytest.raises(PublishError, match="frames is a folder"):
        prepare_publication(checkpoint, REPO_ID)


def test_a_link_is_refused_even_under_an_allowed_name(checkpoint, tmp_path):
    (tmp_path / "face.py").write_text("x")
    (checkpoint / "face.py").symlink_to(tmp_path / "face.py")
    with pytest.raises(PublishError, match=r"face\.py is a link"):
        prepare_publication(checkpoint, REPO_ID)


def test_the_spotting_network_goes_with_the_checkpoint(checkpoint):
    path = checkpoint / "spotter.safetensors"
    save_file({"others": np.ones(3, dtype=np.float32)}, path)
    (file,) = [one for one in prepare_publication(checkpoint, REPO_ID).files if one.name == path.name]
    assert file.read() == path.read_bytes()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with pytest.raises(PublishError, match=r"spotter\.safetensors is not a safetensors file"):
        prepare_publication(checkpoint, REPO_ID)


def test_a_picture_named_as_weights_is_refused(checkpoint):
    (checkpoint / "model.safetensors").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with pytest.raises(PublishError, match="is not a safetensors file"):
        prepare_publication(checkpoint, REPO_ID)


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "modeling_fdp.py", "video_processing_fdp.py"])
def test_a_folder_that_nobody_could_load_is_refused(checkpoint, lost):
    (checkpoint / lost).unlink()
    with pytest.raises(PublishError, match=lost.replace(".", r"\.")):
        prepare_publication(checkpoint, REPO_ID)


def test_a_folder_without_remote_code_is_refused(checkpoint):
    edit_json(checkpoint / "config.json", auto_map=None)
    edit_json(checkpoint / "video_preprocessor_config.json", auto_map=None)
    with pytest.raises(PublishError, match="auto_map"):
        prepare_publication(checkpoint, REPO_ID)


@pytest.mark.parametrize("repo_id", ["fdp", "a/b/c", "me/fdp model", "/fdp", "me/"])
def test_a_bad_repository_name_is_refused(checkpoint, repo_id):
    with pytest.raises(PublishError, match="NAMESPACE/NAME"):
        prepare_publication(checkpoint, repo_id)


def test_records_of_the_run_stay_behind(checkpoint):
    (checkpoint / "fold.json").write_text("{}")
    (checkpoint / "training_curve.json").write_text("[]")
    (checkpoint / "README.md").write_text("An older card.")
    files = {file.name: file for file in prepare_publication(checkpoint, REPO_ID).files}
    assert set(files) == EXPECTED_FILES
    assert b"An older card." not in files["README.md"].content


def test_results_are_those_of_the_run_and_not_of_a_folder_that_happens_to_lie_above(checkpoint, tmp_path):
    out = tmp_path / "OUT"
    assert find_results(checkpoint) == out / "results.json"
    final = checkpoint.parent.parent / "final"
    checkpoint.rename(final)
    assert find_results(final) == out / "results.json"
    stray = out / "other" / "deep"
    final.rename(out / "other")
    stray.mkdir()
    assert find_results(stray) is None
    assert find_results(out / "other") is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metrics": {}}, "is a required property"),
        ({"metrics": {"uf1": None}}, "metrics"),
        ({"per_seed": [{"seed": 0, "uf1": 1.0}]}, "per_seed"),
        ({"per_seed": []}, "per_seed"),
        ({"class_names": ["a", "b"]}, "name 2 classes"),
        ({"class_names": ["a", "b", "c"]}, "with the classes a, b, c, but 'happiness'"),
    ],
)
def test_results_that_do_not_fit_are_refused(checkpoint, tmp_path, changes, sentence):
    edit_json(tmp_path / "OUT" / "results.json", **changes)
    with pytest.raises(ResultsError, match=sentence):
        prepare_publication(checkpoint, REPO_ID)


def test_a_checkpoint_of_other_classes_is_refused(checkpoint):
    edit_json(checkpoint / "config.json", id2label={"0": "a", "1": "b", "2": "c"})
    with pytest.raises(PublishError, match="the checkpoint has the classes a, b, c"):
        prepare_publication(checkpoint, REPO_ID)


def test_results_that_contradict_their_predictions_are_refused(checkpoint, predictions_of, tmp_path):
    predictions_of(tmp_path / "OUT", [[8, 0, 0], [0, 8, 0], [0, 0, 4]])
    with pytest.raises(ResultsError, match="other confusion matrices"):
        prepare_publication(checkpoint, REPO_ID)


def test_published_results_tell_no_place_on_the_disk(checkpoint, tmp_path):
    edit_json(
        tmp_path / "OUT" / "results.json",
        settings={"a": {"b": ["/home/alice/x"]}},
        warnings=["see /home/alice/y or z"],
    )
    files = {file.name: file for file in prepare_publication(checkpoint, REPO_ID).files}
    content = json.loads(files["results.json"].content)
    assert "alice" not in str(content) and content["settings"] == {"a": {"b": ["x"]}}
    assert content["warnings"] == ["see y or z"] and b"**see y or z**" in files["README.md"].content
    assert content["warnings"] == ["see y or z"] and b"**see y or z**" in files["README.md"].content
    assert content["command"].endswith("--data_dir DATA_DIR --output_dir OUT --seed 0")


@pytest.mark.parametrize("content", ["", "[]", '{"corpus": ["synthetic"]}', "\x00"])
def test_results_that_are_no_results_are_refused(checkpoint, tmp_path, content):
    path = tmp_path / "OUT" / "results.json"
    path.write_text(content)
    with pytest.raises(ResultsError) as caught:
        prepare_publication(checkpoint, REPO_ID)
    assert str(path) in str(caught.value)


def test_a_run_is_published_by_its_final_model(whole_run):
    (alone,) = prepare_publications(whole_run, REPO_ID)
    assert alone.revision == "main" and "trained on all subjects" in alone.card
    (branch,) = prepare_publications(whole_run / "folds" / "4", REPO_ID, revision="trial")
    assert branch.revision == "trial" and "those of fold `4`" in branch.card
    shutil.rmtree(whole_run / "final")
    with pytest.raises(PublishError, match="--final_model"):
        prepare_publications(whole_run, REPO_ID)
    with pytest.raises(PublishError, match="--folds publishes the folds of a run"):
        prepare_publications(whole_run / "folds" / "4", REPO_ID, folds=True)


# Written in pieces, so that no scanner takes this file for what it warns of.
TOKEN = "hf" + "_" + "A1b2C3d4" * 4


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        *[("notes.py", start + bytes(40), "picture or a video") for start in (b"\x89PNG", b"\xff\xd8\xff", b"GIF89a")],
        *[("a.py", start + bytes(40), "picture or a video") for start in (b"RIFF....WEBP", b"RIFF....AVI ", b"II*\0")],
        ("a.json", b"\0\0\0\x18ftypisom", "picture or a video"),
        ("a.json", b"\x1aE\xdf\xa3", "picture or a video"),
        ("a.json", b"ARROW1\0\0", "Arrow, Parquet"),
        ("a.json", b"PAR1" + bytes(9), "Arrow, Parquet"),
        ("frames.parquet", b"", "Arrow, Parquet"),
        *[("a.json", pickle.dumps({"a": 1}, protocol), "pickle") for protocol in (2, 3, 4, 5)],
        ("a.json", b"PK\x03\x04", "pickle"),
        ("a.py", f"key = '{TOKEN}'".encode(), "access token"),
        ("a.py", b"-----BEGIN RSA " + b"PRIVATE KEY-----", "access token"),
        ("a.json", b'{"a": "/home/alice/faces"}', r"home folder \(/home/alice\)"),
        ("a.json", b'{"a": "/Users/alice/faces"}', "home folder"),
        ("a.json", rb'{"a": "C:\\Users\\alice"}', "home folder"),
        ("a.json", b'{"a": "~/faces"}', "home folder"),
        ("a.py", b"\n\n# ask alice@example.org", r"e-mail address \(alice@example\.org\) in line 3"),
    ],
)
def test_the_scanner_finds_it_whatever_the_file_is_called(name, content, reason):
    assert re.search(reason, why_refused(name, content))


def test_a_token_is_not_repeated_in_the_message():
    assert TOKEN not in why_refused("a.py", TOKEN.encode())


@pytest.mark.parametrize(
    "text", ["@torch.no_grad()", "a @ b.T", "https://huggingface.co/home", "x = y ~ z", '"BMx"', ""]
)
def test_ordinary_text_is_no_finding(text):
    assert why_refused("a.py", text.encode()) is None


def test_the_shipped_code_passes_the_scanner():
    root = Path(__file__).resolve().parents[2]
    paths = [path for room in ("modeling_fdp", "processing_fdp") for path in (root / room).glob("*.py")]
    assert len(paths) > 20
    assert not {path.name: reason for path in paths if (reason := why_refused(path.name, path.read_bytes()))}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", '{"a": ["see /home/alice/x"]}'),
        ("modeling_fdp.py", "# alice@example.org"),
        ("configuration_fdp.py", f"# {TOKEN}"),
    ],
)
def test_what_a_file_on_the_list_must_not_hold_stops_the_push(checkpoint, name, text):
    path = checkpoint / name
    if path.suffix == ".json":
        edit_json(path, **json.loads(text))
    else:
        path.write_text(text)
    with pytest.raises(PublishError, match=re.escape(str(path))):
        prepare_publication(checkpoint, REPO_ID)


def test_a_missing_checkpoint_is_one_sentence(tmp_path):
    with pytest.raises(PublishError, match="nowhere is not a folder"):
        prepare_publication(tmp_path / "nowhere", REPO_ID)


def test_figures_on_the_rendered_benchmark_are_added_for_its_leaderboard(checkpoint, results):
    publication = prepare_publication(checkpoint, REPO_ID, benchmark="someone/rendered")
    (file,) = [file for file in publication.files if file.name.startswith(".eval_results")]
    assert file.name == ".eval_results/rendered.yaml"
    entries = parse_eval_result_entries(yaml.safe_load(file.read()))
    assert [entry.task_id for entry in entries] == list(METRICS)
    assert {entry.dataset_id for entry in entries} == {"someone/rendered"}
    assert {entry.task_id: entry.value for entry in entries}["uf1"] == pytest.approx(results["metrics"]["uf1"])
    assert all(entry.source_url.endswith(f"{REPO_ID}/blob/main/results.json") for entry in entries)
    assert "20 clips of 5 held-out subjects, seeds 0" in entries[0].notes
    described = yaml.safe_load(evaluation_description("Rendered", "3class", "someone/rendered"))
    assert {task["id"] for task in described["tasks"]} == {entry.task_id for entry in entries}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"corpus": ["casme2"], "synthetic": False}, "judged on casme2"),
        ({"corpus": ["synthetic"], "test_corpus": ["samm"]}, "judged on samm"),
    ],
)
def test_no_other_figures_go_to_the_leaderboard(checkpoint, tmp_path, changes, reason):
    edit_json(tmp_path / "OUT" / "results.json", **changes)
    with pytest.raises(PublishError, match=reason):
        prepare_publication(checkpoint, REPO_ID, benchmark="someone/rendered")


def test_the_model_of_all_subjects_has_no_place_on_the_leaderboard(whole_run):
    with pytest.raises(PublishError, match="trained on all subjects and has none of its own"):
        prepare_publications(whole_run, REPO_ID, benchmark="someone/rendered")
    publications = prepare_publications(whole_run, REPO_ID, folds=True, benchmark="someone/rendered")
    entries = {publication.revision: ".eval_results/rendered.yaml" in [file.name for file in publication.files]
               for publication in publications}  # fmt: skip
    assert entries == {"main": False, "fold-3": True, "fold-4": True}
