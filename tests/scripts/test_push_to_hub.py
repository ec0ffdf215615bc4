"""push_to_hub.py: what may leave, what the card says, and one private commit."""

import json
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import fake_hub
import huggingface_hub
import jinja2
import jinja2.meta
import numpy as np
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from safetensors.numpy import save_file

from evaluation_fdp.errors import ResultsError
from evaluation_fdp.metrics import METRICS
from evaluation_fdp.results import Results
from hub_datasets import get_builder_class
from training_fdp.errors import PublishError
from training_fdp.hub import model_card
from training_fdp.hub.corpora import evaluation_description
from training_fdp.hub.model_card import TEMPLATE, CardSubject, card_fields, public_command
from training_fdp.hub.publish import find_results, prepare_publication, prepare_publications
from training_fdp.hub.push import push
from training_fdp.hub.scanner import why_refused

REPO_ID = "tester/fdp-synthetic"
EXPECTED_FILES = {
    "README.md",
    "config.json",
    "configuration_fdp.py",
    "model.safetensors",
    "modeling_fdp.py",
    "results.json",
    "video_preprocessor_config.json",
    "video_processing_fdp.py",
}


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def card_metadata(card):
    return yaml.safe_load(card.split("---")[1])


def headline_figures(card):
    evaluations = card_metadata(card)["model-index"][0]["results"]
    return {metric["name"].split(",")[0]: metric["value"] for item in evaluations for metric in item["metrics"]}


@pytest.fixture
def api(hub, monkeypatch, tmp_path):
    """A client of the loopback Hub in this process; `make test` sets the offline switch, which would stop it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    return huggingface_hub.HfApi(endpoint=hub.endpoint, token=hub.token)


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


def test_a_checkpoint_of_another_name_is_not_called_one_of_the_folds(checkpoint):
    other = checkpoint.with_name("something_else")
    checkpoint.rename(other)
    card = " ".join(prepare_publication(other, REPO_ID).card.split())
    assert "have the name of none of the models behind them" in card
    assert "one of the models behind the figures" not in card


def test_the_card_carries_the_pooled_figures_and_never_those_chosen_on_the_test_subject(checkpoint, results):
    card = prepare_publication(checkpoint, REPO_ID).card
    pooled = results["metrics"]
    figures = headline_figures(card)
    assert set(figures) == {metric.title for metric in METRICS.values()}
    assert figures == pytest.approx(
        figures
        | {
            "UF1": pooled["uf1"],
            "UAR": pooled["uar"],
            "Accuracy": pooled["accuracy"],
            "Weighted F1": pooled["f1_weighted"],
        }
    )
    assert f"| UF1 | {pooled['uf1']:.3f} |" in card
    assert "best_on_test_subject" not in card
    assert "0.988" not in card and "0.98765" not in card
    # 8 of the 20 clips are the most frequent class; always answering it recalls one class of three.
    assert re.search(r"\| Accuracy \| 0\.700 \| 0\.\d{3} to 0\.\d{3} \| 0\.400 \|", card)
    assert re.search(r"\| UAR \| 0\.708 \| 0\.\d{3} to 0\.\d{3} \| 0\.333 \|", card)
    assert "0.111" not in card and "0.999" not in card, "intervals are computed from the predictions"
    assert "**happiness** | 6 | 1 | 1 |" in card
    assert "fold `3` (16 clips for training, 4 held out)" in card


def test_the_card_is_plain_yaml_without_python_objects(checkpoint):
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "!!python" not in card
    metadata = card_metadata(card)
    assert metadata["pipeline_tag"] == "video-classification"
    assert metadata["library_name"] == "transformers"
    assert metadata["license"] == "apache-2.0"


def test_rendered_faces_are_called_synthetic_and_licensed_ones_are_not_open(checkpoint, tmp_path):
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "synthetic-data" in card_metadata(card)["tags"]
    assert "nothing about real faces" in card
    edit_json(tmp_path / "OUT" / "results.json", corpus=["casme2"], synthetic=False)
    licensed = prepare_publication(checkpoint, "tester/fdp").card
    assert "ynthetic" not in licensed
    assert card_metadata(licensed)["license"] == "other"
    edit_json(tmp_path / "OUT" / "results.json", synthetic=True)
    assert "casme2 (synthetic faces)" in prepare_publication(checkpoint, REPO_ID).card
    edit_json(tmp_path / "OUT" / "results.json", synthetic=False, corpus=["synthetic"], test_corpus=["samm"])
    crossed = prepare_publication(checkpoint, REPO_ID).card
    assert "synthetic faces, tested on samm" in crossed and "Each clip of synthetic was rendered" in crossed
    assert card_metadata(crossed)["license"] == "other"


def test_the_card_tells_no_place_on_the_disk(checkpoint, tmp_path):
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "alice" not in card and str(tmp_path) not in card
    assert "--data_dir DATA_DIR --output_dir OUT --seed 0" in card


@pytest.mark.parametrize(
    ("alignment", "says", "never_says"),
    [
        ("none", "finds and crops no face", "landmarks.parquet"),
        ("precomputed", "`landmarks.csv` beside the clip", "finds and crops"),
        ("dlib", "finds and crops the face with the backend `dlib`", "landmarks.csv"),
    ],
)
def test_the_card_says_who_crops_the_face(checkpoint, alignment, says, never_says):
    edit_json(checkpoint / "video_preprocessor_config.json", alignment=alignment)
    card = " ".join(prepare_publication(checkpoint, REPO_ID).card.split())
    assert says in card and never_says not in card
    assert "shows the cropped" not in card and "show the cropped" not in card


@pytest.mark.parametrize("place", ["/home/alice/yunet.onnx", r"C:\Users\alice\yunet.onnx", "~/alice/yunet.onnx"])
def test_settings_tell_no_place_on_the_disk(checkpoint, hub, api, place):
    settings = checkpoint / "video_preprocessor_config.json"
    edit_json(settings, alignment="opencv", landmark_model_path=place, crop_scale=2.5)
    before = settings.read_bytes()
    publication = prepare_publication(checkpoint, REPO_ID)
    assert 'landmark_model_path="yunet.onnx"' in publication.card
    push(publication, api=api)
    sent = hub.files(REPO_ID)["video_preprocessor_config.json"]
    assert b"alice" not in sent
    assert json.loads(sent) == json.loads(before) | {"landmark_model_path": "yunet.onnx"}
    assert settings.read_bytes() == before
    assert not any(b"alice" in content for content in hub.files(REPO_ID).values())


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("", ""),
        ("train.py --data_dir=/home/a --seed 1", "train.py --data_dir=DATA_DIR --seed 1"),
        ("train.py --corpus a b --data_dir /a b --seed 1", "train.py --corpus a b --data_dir DATA_DIR --seed 1"),
        (
            "train.py --corpus_options seed=1 face_model=/home/alice/faces --processor_overrides landmarks_path=~/a",
            "train.py --corpus_options seed=1 face_model=faces --processor_overrides landmarks_path=a",
        ),
        ("train.py --data-dir private/people --init-from=a/b", "train.py --data_dir DATA_DIR --init_from=INIT_FROM"),
        (["/opt/venv/bin/accelerate", "launch", "train.py", "--data_dir", "../faces"], None),
    ],
)
def test_public_command(command, expected):
    assert public_command(command) == (
        expected or ("" if not command else "accelerate launch train.py --data_dir DATA_DIR")
    )


def test_a_final_model_is_told_from_the_benchmarked_ones(checkpoint):
    final = checkpoint.parent.parent / "final"
    checkpoint.rename(final)
    assert "trained on all subjects" in prepare_publication(final, REPO_ID).card


def test_whose_face_model_was_rendered_is_said(checkpoint, tmp_path):
    assert "ICT-FaceKit" not in prepare_publication(checkpoint, REPO_ID).card
    edit_json(tmp_path / "OUT" / "results.json", settings={"corpus_options": ["face_model=/home/alice/model"]})
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "ICT-FaceKit (ICT-VGL, MIT licence)" in card and "alice" not in card


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"missing_folds": {"1": "not run", "2": "failed"}}, "2 folds are missing"),
        ({"warnings": ["a class has no clip"]}, "a class has no clip"),
        ({"settings": {"normalization": "train_statistics"}}, "`normalization=train_statistics`"),
        ({"settings": {"released_test_statistics": True}}, "contain a leak"),
    ],
)
def test_what_weakens_the_figures_stands_before_them(checkpoint, tmp_path, changes, sentence):
    assert sentence not in prepare_publication(checkpoint, REPO_ID).card
    edit_json(tmp_path / "OUT" / "results.json", **changes)
    card = prepare_publication(checkpoint, REPO_ID).card
    assert card.index(sentence) < card.index("| UF1 |")


def test_several_seeds_give_mean_and_deviation(checkpoint, results, metrics_by_hand, predictions_of, tmp_path):
    better = [[7, 1, 0], [1, 6, 1], [0, 0, 4]]
    first = results["per_seed"][0]
    second = first | {"seed": 1, "confusion_matrix": better, **metrics_by_hand(better)}
    mean = {name: (first[name] + second[name]) / 2 for name in metrics_by_hand(better)}
    summed = (np.array(better) + np.array(results["confusion_matrix"])).tolist()
    path = tmp_path / "OUT" / "results.json"
    edit_json(path, per_seed=[first, second], metrics=results["metrics"] | mean, confusion_matrix=summed, seeds=[0, 1])
    predictions_of(path.parent, results["confusion_matrix"], better)
    card = prepare_publication(checkpoint, REPO_ID).card
    # 0.7 and 0.85: their sample deviation is 0.15 / sqrt(2).
    assert "| Accuracy | 0.775 ± 0.106 |" in card
    assert "pool 20 held-out clips" in card
    edit_json(path, metrics=results["metrics"] | {"uf1": 0.912, "accuracy": 0.913})
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "| Accuracy | 0.775 ± 0.106 |" in card and "0.912" not in card and "0.913" not in card


def test_without_results_the_card_claims_nothing(checkpoint, tmp_path):
    (tmp_path / "OUT" / "results.json").unlink()
    with pytest.raises(PublishError, match=r"has no results\.json.*--without_results"):
        prepare_publication(checkpoint, REPO_ID)
    publication = prepare_publication(checkpoint, REPO_ID, without_results=True)
    assert publication.results is None
    assert "model-index" not in publication.card
    assert "without any measured figure" in publication.card


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


def test_without_predictions_there_is_no_interval(checkpoint, tmp_path):
    (tmp_path / "OUT" / "predictions.csv").unlink()
    assert re.search(r"\| UF1 \| 0\.\d{3} \| not computed \|", prepare_publication(checkpoint, REPO_ID).card)


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


@pytest.mark.parametrize("public", [False, True])
def test_one_commit_private_unless_asked(checkpoint, hub, api, public):
    push(prepare_publication(checkpoint, REPO_ID), public=public, api=api)
    repository = hub.repositories[REPO_ID]
    assert repository.private is not public
    # The empty first state is the Hub's own.
    assert len(repository.commits) == 2
    files = hub.files(REPO_ID)
    assert set(files) == EXPECTED_FILES
    assert files["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()
    assert b"model-index" in files["README.md"]
    assert not [request for request in hub.unknown if "agent-harnesses" not in request[1]]


def test_a_changed_checkpoint_is_a_second_commit_to_the_same_repository(checkpoint, hub, api):
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    save_file({"weight": np.ones(6, dtype=np.float32)}, checkpoint / "model.safetensors")
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert len(hub.repositories[REPO_ID].commits) == 3
    assert hub.files(REPO_ID)["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()


def test_a_second_push_of_the_same_is_no_commit(checkpoint, hub, api):
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert len(hub.repositories[REPO_ID].commits) == 2


@pytest.fixture
def whole_run(checkpoint):
    """OUT with the folds 3 and 4 and the final model."""
    out = checkpoint.parent.parent
    for place in (checkpoint.parent / "4", out / "final"):
        shutil.copytree(checkpoint, place)
    return out


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


def test_folds_are_branches_of_their_own(whole_run, hub, api):
    for _ in range(2):
        for publication in prepare_publications(whole_run, REPO_ID, folds=True):
            push(publication, api=api)
    repository = hub.repositories[REPO_ID]
    assert set(repository.branches) == {"fold-3", "fold-4"}
    assert [len(repository.on(branch)) for branch in ("main", "fold-3", "fold-4")] == [2, 2, 2]
    for branch, said in (("main", b"trained on all subjects"), ("fold-3", b"`3`"), ("fold-4", b"`4`")):
        assert said in hub.files(REPO_ID, branch)["README.md"]


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


def test_a_public_repository_is_never_written_to_by_default(checkpoint, hub, api):
    hub.create(REPO_ID, private=False)
    with pytest.raises(PublishError, match="--public"):
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert len(hub.repositories[REPO_ID].commits) == 1


def test_a_private_repository_is_not_called_public(checkpoint, hub, api):
    hub.create(REPO_ID, private=True)
    with pytest.raises(PublishError, match="exists and is private"):
        push(prepare_publication(checkpoint, REPO_ID), public=True, api=api)
    assert len(hub.repositories[REPO_ID].commits) == 1


def test_a_refused_token_is_one_sentence(checkpoint, hub, api):
    api.token = "hf_wrong"
    with pytest.raises(PublishError, match="token was refused"):
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert not hub.repositories


def test_an_unreachable_hub_is_one_sentence(checkpoint, hub, api, monkeypatch):
    hub.close()
    publication = prepare_publication(checkpoint, REPO_ID)
    with pytest.raises(PublishError, match="check the connection"):
        push(publication, api=api)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PublishError, match="offline"):
        push(publication, api=api)


def test_a_lost_upload_leaves_no_commit(checkpoint, hub, api, monkeypatch):
    monkeypatch.setattr(hub, "_store_large", lambda oid, blob: fake_hub.Reply(400, {"error": "sha256 mismatch"}))
    with pytest.raises(PublishError, match="did not take"):
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert len(hub.repositories[REPO_ID].commits) == 1


def test_a_dry_run_needs_neither_token_nor_network(checkpoint, run_script, hub):
    arguments = ("push_to_hub.py", "--checkpoint", checkpoint, "--repo_id", REPO_ID, "--dry_run")
    shown = run_script(*arguments, env={"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"})
    assert shown.returncode == 0, shown.stderr
    for name in EXPECTED_FILES - {"README.md", "results.json"}:
        assert f"{(checkpoint / name).stat().st_size:>12,} bytes  {name}\n" in shown.stdout
    assert "results.json  (made for the Hub" in shown.stdout
    assert "UF1" in shown.stdout and "only you and your organisation could read" in shown.stdout
    public = run_script(*arguments, "--public", env={"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"})
    assert "everybody could read" in public.stdout and "(public)" in public.stdout
    assert not hub.requests


def test_no_token_is_one_sentence(checkpoint, run_script, hub):
    arguments = ("push_to_hub.py", "--checkpoint", checkpoint, "--repo_id", REPO_ID)
    completed = run_script(*arguments, env={"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"})
    assert completed.returncode == 2, completed.stderr
    assert "Traceback" not in completed.stderr
    lines = completed.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: pushing needs a Hub token"), completed.stderr
    assert not hub.requests


def test_a_missing_checkpoint_is_one_sentence(tmp_path):
    with pytest.raises(PublishError, match="nowhere is not a folder"):
        prepare_publication(tmp_path / "nowhere", REPO_ID)


def template_fields():
    """Every name that the template reads."""
    return jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(TEMPLATE.read_text())) - {"card_data"}


@pytest.mark.parametrize("state", ["measured", "nobody held out", "no results"])
def test_every_field_of_the_template_is_filled_in_every_case(checkpoint, results, state):
    measured = Results.from_dict(results)
    runs = {"measured": measured, "nobody held out": replace(measured, benchmark=None), "no results": None}
    fields = card_fields(CardSubject(REPO_ID, "3", tuple(results["class_names"]), "fdp"), runs[state])
    assert set(fields) == template_fields()


def test_a_field_that_nobody_fills_is_an_error_and_no_blank(checkpoint, monkeypatch, tmp_path):
    misspelled = tmp_path / "card.md"
    misspelled.write_text(TEMPLATE.read_text().replace("{{ protocol_sentence }}", "{{ protocol_sentense }}"))
    monkeypatch.setattr(model_card, "TEMPLATE", misspelled)
    with pytest.raises(jinja2.UndefinedError, match="protocol_sentense"):
        prepare_publication(checkpoint, REPO_ID)


def test_the_model_index_says_what_a_figure_is_compared_by(checkpoint, results):
    (entry,) = card_metadata(prepare_publication(checkpoint, REPO_ID).card)["model-index"]
    assert len(entry["results"]) == 1, "one data set with all metrics"
    (measured,) = entry["results"]
    assert measured["dataset"]["args"] == {
        "protocol": "kfold5", "label_set": "3class", "num_clips": 20, "num_subjects": 5,
    }  # fmt: skip
    for metric in measured["metrics"]:
        low, high = metric["args"]["interval_95_over_subjects"]
        assert 0 <= low <= metric["value"] <= high <= 1
        assert metric["args"]["seeds"] == [0] and metric["args"]["selection"] == "fixed"


def test_the_card_names_pages_citations_and_terms_of_the_corpora(checkpoint, tmp_path):
    path = tmp_path / "OUT" / "results.json"
    edit_json(path, corpus=["casme2", "samm", "of_my_own"], synthetic=False)
    card = prepare_publication(checkpoint, REPO_ID).card
    for name in ("casme2", "samm"):
        builder_class = get_builder_class(name)
        assert builder_class.ACCESS_PAGE in card and builder_class.CITATION in card
    assert card.count("check the terms that you signed") == 1, "SAMM's"
    assert "a few dozen people each" in card and "represent no population" not in card
    edit_json(path, corpus=["synthetic"], synthetic=True)
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "represent no population" in card and "check the terms" not in card and "shao2025fdp" in card


def test_the_lineage_of_a_checkpoint_from_the_hub_is_on_its_card(checkpoint, tmp_path):
    path = tmp_path / "OUT" / "results.json"
    assert "base_model" not in card_metadata(prepare_publication(checkpoint, REPO_ID).card)
    start = {"name": "someone/fdp-start", "sha256": "ab" * 32, "new_classes": ["fear"]}
    edit_json(path, init_from=start)
    card = prepare_publication(checkpoint, REPO_ID).card
    assert card_metadata(card)["base_model"] == "someone/fdp-start"
    assert card_metadata(card)["base_model_relation"] == "finetune"
    assert "https://huggingface.co/someone/fdp-start" in card and "New classes: fear" in card
    # The name of a folder is no repository.
    edit_json(path, init_from=start | {"name": "final"})
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "base_model" not in card_metadata(card) and "started from final (" in card


@pytest.mark.parametrize(
    ("method", "model_type", "said", "unsaid"),
    [
        ("fdp", "fdp", ("FDP (fine-grained", "shao2025fdp", "## Differences from the paper"), ()),
        ("fdp_released", "fdp", ("as released", "Without the leaks"), ("`paper_tiny`",)),
        (
            "motion_cnn",
            "fdp_motion_cnn",
            ("FDP's motion channels + CNN", "No publication is recorded"),
            ("shao2025fdp",),
        ),
        (None, "fdp_motion_cnn", ("FDP's motion channels + CNN",), ("shao2025fdp",)),
        ("somebody.else:Method", "unheard_of", ("A network of type `unheard_of`",), ("shao2025fdp", "Differences")),
    ],
)
def test_the_card_speaks_of_the_method_of_the_run(checkpoint, tmp_path, method, model_type, said, unsaid):
    edit_json(checkpoint / "config.json", model_type=model_type)
    edit_json(tmp_path / "OUT" / "results.json", settings={} if method is None else {"method": method})
    card = prepare_publication(checkpoint, REPO_ID).card
    assert all(text in card for text in said) and not any(text in card for text in unsaid)
    assert model_type in card_metadata(card)["tags"]


def test_the_card_pins_a_revision(checkpoint):
    card = prepare_publication(checkpoint, REPO_ID, revision="fold-3").card
    assert 'revision = "fold-3"' in card and card.count("revision=revision") >= 1
    assert "hash of the commit" in " ".join(card.split())


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


def test_the_card_shows_the_pipelines_of_the_checkpoint(checkpoint):
    assert prepare_publication(checkpoint, REPO_ID).card.count("pipeline(") == 1
    tasks = {"video-classification": {}, "of-its-own": {}}
    edit_json(checkpoint / "config.json", custom_pipelines=tasks)
    card = prepare_publication(checkpoint, REPO_ID).card
    assert card.count('pipeline("video-classification"') == 1 and card.count('pipeline("of-its-own"') == 1
