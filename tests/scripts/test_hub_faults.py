"""push_to_hub.py against a Hub that fails: a fault is one sentence or is waited out, and nothing is half-pushed."""

import errno
import subprocess
import sys
import threading
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

from training_fdp.commands.push import command
from training_fdp.errors import PublishError
from training_fdp.hub.publish import prepare_publication, prepare_publications
from training_fdp.hub.push import ATTEMPTS, push

REPO_ID = "tester/fdp-synthetic"
# The requests of one push, in their order.
STEPS = {
    "look": ("GET", r"^/api/models/tester/fdp-synthetic$"),
    "create": ("POST", r"^/api/repos/create$"),
    "announce": ("POST", r"/preupload/"),
    "ask for an address": ("POST", r"/info/lfs/"),
    "upload": ("PUT", r"^/large/"),
    "commit": ("POST", r"/commit/"),
}
EVERY_TIME = float("inf")


@pytest.fixture
def waits(monkeypatch):
    """Seconds that the client and `push` would have slept."""
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


@pytest.fixture
def api(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    return huggingface_hub.HfApi(endpoint=hub.endpoint, token=hub.token)


@pytest.fixture
def call(hub, monkeypatch, tmp_path, capsys):
    """Run the command in this process: returns its exit code and stderr."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))

    def run(*arguments, token=None, endpoint=hub.endpoint, offline=False):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token is not None:
            monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setattr(sys, "argv", ["push_to_hub.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            command()
        return left.value.code, capsys.readouterr().err

    return run


def commits(hub):
    """Commits of the repository beside the empty one that the Hub makes itself."""
    return len(hub.repositories[REPO_ID].commits) - 1 if REPO_ID in hub.repositories else 0


# 409 to a creation means that the repository exists, which is no fault.
@pytest.mark.parametrize(
    ("step", "status"),
    [
        (step, status)
        for step in STEPS
        for status in (401, 403, 404, 409, 429, 500)
        if (step, status) != ("create", 409)
    ],
)
def test_a_fault_that_stays_is_one_sentence_and_no_commit(checkpoint, hub, api, waits, step, status):
    hub.fail(*STEPS[step], status, times=EVERY_TIME)
    with pytest.raises(PublishError, match="the Hub did not take tester/fdp-synthetic") as caught:
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    if status in (401, 403) and step != "upload":  # the address of an upload is another host's
        assert f"the token was refused ({status})" in str(caught.value)
    if status == 429 and step == "commit":
        assert "too many requests (429)" in str(caught.value)
    assert commits(hub) == 0


@pytest.mark.parametrize(
    ("step", "status"), [("look", 500), *(("commit", status) for status in (409, 412, 429, 500, 502, 503, 504))]
)
def test_a_fault_that_passes_is_waited_out(checkpoint, hub, api, waits, step, status):
    hub.fail(*STEPS[step], status, times=2)
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert commits(hub) == 1 and waits == [1, 2]
    assert set(hub.files(REPO_ID)) == {file.name for file in prepare_publication(checkpoint, REPO_ID).files}


def test_the_hub_says_how_long_to_wait(checkpoint, hub, api, waits):
    hub.fail(*STEPS["commit"], 429, headers={"Retry-After": "37"})
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert commits(hub) == 1 and waits == [37]


def test_a_wait_of_an_hour_is_left_to_the_user(checkpoint, hub, api, waits):
    hub.fail(*STEPS["commit"], 429, headers={"Retry-After": "3600"}, times=EVERY_TIME)
    with pytest.raises(PublishError, match=r"too many requests \(429\); run the same command again in 3600 s"):
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert not waits and commits(hub) == 0 and hub.asked(*STEPS["commit"]) == 1


def test_attempts_are_counted(checkpoint, hub, api, waits):
    hub.fail(*STEPS["commit"], 500, times=EVERY_TIME)
    with pytest.raises(PublishError, match="answered 500 in every attempt"):
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert hub.asked(*STEPS["commit"]) == ATTEMPTS
    # The large file arrived with the first attempt.
    assert hub.asked("PUT", "^/large/") == 1


@pytest.mark.parametrize("step", ["announce", "ask for an address"])
def test_what_the_client_repeats_is_not_repeated_again(checkpoint, hub, api, waits, step):
    hub.fail(*STEPS[step], 500, times=EVERY_TIME)
    with pytest.raises(PublishError):
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert hub.asked(*STEPS[step]) == 6, "once, and the client's own five times more"


@pytest.mark.parametrize("step", ["announce", "ask for an address", "upload"])
def test_a_cut_upload_is_sent_again(checkpoint, hub, api, waits, step):
    hub.cut(*STEPS[step])
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert commits(hub) == 1
    assert hub.files(REPO_ID)["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()


def test_uploads_that_are_always_cut_leave_no_commit(checkpoint, hub, api, waits):
    hub.cut(*STEPS["upload"], times=EVERY_TIME)
    with pytest.raises(PublishError, match="check the connection"):
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert commits(hub) == 0 and not hub.large_files


def test_an_interrupted_push_is_resumed_by_the_same_command(checkpoint, hub, api, waits):
    hub.cut(*STEPS["commit"], times=EVERY_TIME)
    with pytest.raises(PublishError):
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert commits(hub) == 0 and hub.asked("PUT", "^/large/") == 1
    hub.faults.clear()
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert commits(hub) == 1
    assert hub.asked("PUT", "^/large/") == 1, "the weights had arrived"


def test_a_run_whose_second_commit_failed_goes_on_there(checkpoint, hub, api, waits):
    checkpoint.rename(checkpoint.parent.parent / "final")
    fold = checkpoint
    fold.mkdir(parents=True)
    for path in (checkpoint.parent.parent / "final").iterdir():
        (fold / path.name).write_bytes(path.read_bytes())
    publications = prepare_publications(checkpoint.parent.parent, REPO_ID, folds=True)
    assert [publication.revision for publication in publications] == ["main", "fold-3"]
    push(publications[0], api=api)
    hub.fail("POST", r"/commit/fold-3", 500, times=EVERY_TIME)
    with pytest.raises(PublishError):
        push(publications[1], api=api)
    repository = hub.repositories[REPO_ID]
    # A branch starts as the state of main: one commit of it, none of its own.
    assert (commits(hub), len(repository.branches["fold-3"])) == (1, 1)
    hub.faults.clear()
    for publication in publications:
        push(publication, api=api)
    assert (commits(hub), len(repository.branches["fold-3"])) == (1, 2)


def test_a_killed_push_is_resumed(checkpoint, hub, call, script_environment, tmp_path):
    hub.meet("PUT", "^/large/", parties=2)  # waits for a second upload that never comes
    script = str(Path(__file__).parents[2] / "push_to_hub.py")
    arguments = ["--checkpoint", str(checkpoint), "--repo_id", REPO_ID]
    process = subprocess.Popen(
        [sys.executable, script, *arguments],
        env=script_environment(**hub.environment(tmp_path / "home")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not hub.asked("PUT", "^/large/") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert hub.asked("PUT", "^/large/") == 1 and commits(hub) == 0
    hub.faults.clear()
    code, _ = call(*arguments, token=hub.token)
    assert code == 0 and commits(hub) == 1


def test_two_pushers_of_one_run_at_once(checkpoint, hub, api):
    # Both have announced their files before either commits.
    hub.meet(*STEPS["commit"], parties=2)
    errors = []

    def send():
        try:
            push(prepare_publication(checkpoint, REPO_ID), api=api)
        except PublishError as error:
            errors.append(error)

    pushers = [threading.Thread(target=send) for _ in range(2)]
    for pusher in pushers:
        pusher.start()
    for pusher in pushers:
        pusher.join(timeout=60)
    assert not errors and hub.asked(*STEPS["commit"]) == 2
    wanted = {file.name: file.read() for file in prepare_publication(checkpoint, REPO_ID).files}
    assert hub.files(REPO_ID) == wanted
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert hub.asked(*STEPS["commit"]) == 2, "a third push has nothing to send"


def test_the_loser_of_two_pushers_of_other_weights_comes_second(checkpoint, hub, api, waits):
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    save_file({"weight": np.ones(6, dtype=np.float32)}, checkpoint / "model.safetensors")
    hub.fail(*STEPS["commit"], 412)  # the Hub's answer where a commit came first
    push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert commits(hub) == 2
    assert hub.files(REPO_ID)["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()


def test_a_full_disk_is_one_sentence(checkpoint, hub, api, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", full)
    with pytest.raises(PublishError, match="no space is left on this machine's disk; free some"):
        push(prepare_publication(checkpoint, REPO_ID), api=api)
    assert commits(hub) == 0


def test_a_ci_without_its_token_is_one_sentence(checkpoint, hub, monkeypatch):
    monkeypatch.setenv("HF_OIDC_RESOURCE", REPO_ID)
    monkeypatch.delenv("HF_OIDC_ID_TOKEN", raising=False)
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL", raising=False)
    with pytest.raises(PublishError, match="HF_OIDC_RESOURCE is set, but"):
        push(prepare_publication(checkpoint, REPO_ID), api=huggingface_hub.HfApi(endpoint=hub.endpoint))
    assert not hub.requests


@pytest.mark.parametrize(
    ("changes", "surroundings", "said"),
    [
        ({"--checkpoint": "nowhere"}, {}, "nowhere is not a folder"),
        ({"--repo_id": "fdp"}, {}, "NAMESPACE/NAME"),
        ({"--benchmark": "rendered"}, {}, "--benchmark must be NAMESPACE/NAME"),
        ({"--corpus": "casme2"}, {}, "not allowed with argument"),
        ({"--data_dir": "faces"}, {}, "give both"),
        ({"--publik": "yes"}, {}, "--help lists the options"),
        ({}, {"token": None}, "needs a Hub token"),
        ({}, {"token": "hf_wrong"}, "the token was refused"),
        ({}, {"endpoint": "http://127.0.0.1:9"}, "check the connection"),
        ({}, {"offline": True}, "offline"),
    ],
)
def test_a_bad_input_is_one_sentence_and_exit_code_2(checkpoint, hub, call, changes, surroundings, said):
    options = {"--checkpoint": checkpoint, "--repo_id": REPO_ID, **changes}
    arguments = [word for option in options.items() for word in option]
    code, stderr = call(*arguments, **{"token": hub.token, **surroundings})
    assert code == 2
    (line,) = stderr.strip().splitlines()
    assert line.startswith("error: ") and said in line
    assert commits(hub) == 0


def test_a_checkpoint_without_results_is_published_on_demand_only(checkpoint, hub, call, tmp_path):
    (tmp_path / "OUT" / "results.json").unlink()
    arguments = ["--checkpoint", checkpoint, "--repo_id", REPO_ID]
    code, stderr = call(*arguments, token=hub.token)
    assert code == 2 and "has no results.json" in stderr and not hub.requests
    code, stderr = call(*arguments, "--without_results", token=hub.token)
    assert code == 0 and "error" not in stderr and commits(hub) == 1
    assert "results.json" not in hub.files(REPO_ID)
