"""push_to_hub.py: one private commit to the loopback Hub, its branches, and what stops it."""

import json

import fake_hub
import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.scripts.publications import EXPECTED_FILES, REPO_ID, edit_json
from training_fdp.errors import PublishError
from training_fdp.hub.publish import prepare_publication, prepare_publications
from training_fdp.hub.push import push


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


def test_folds_are_branches_of_their_own(whole_run, hub, api):
    for _ in range(2):
        for publication in prepare_publications(whole_run, REPO_ID, folds=True):
            push(publication, api=api)
    repository = hub.repositories[REPO_ID]
    assert set(repository.branches) == {"fold-3", "fold-4"}
    assert [len(repository.on(branch)) for branch in ("main", "fold-3", "fold-4")] == [2, 2, 2]
    for branch, said in (("main", b"trained on all subjects"), ("fold-3", b"`3`"), ("fold-4", b"`4`")):
        assert said in hub.files(REPO_ID, branch)["README.md"]


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


@pytest.mark.slow
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
