"""train.py as a user meets it: launched by accelerate, on true files, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def launch(arguments, folder, processes=1):
    """`accelerate launch train.py`; two CPU processes need the launcher of several GPUs (accelerate 1.15)."""
    several = ["--multi_gpu"] if processes > 1 else []
    command = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", *several]
    command += ["--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", str(ROOT / "train.py"), *map(str, arguments)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "hf")}
    environment |= {"HF_HUB_OFFLINE": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=300)


@pytest.mark.slow
def test_two_launched_processes_on_a_corpus_of_files(tmp_path, fake_corpus, toy_arguments):
    options = toy_arguments(tmp_path / "my OUT", "--protocol", "kfold2", "--num_proc", "1", "--allow_missing_classes")
    options[options.index("synthetic")] = "casme2"
    options += ["--processor_overrides", "alignment=none"]  # the pretend corpus shows no face
    done = launch([*options, "--data_dir", fake_corpus, "--label_set", "5class"], tmp_path, processes=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| UF1") == 1  # one process speaks
    results = json.loads((tmp_path / "my OUT" / "results.json").read_text())
    assert results["complete"] and len(results["folds"]) == 2
    assert not (tmp_path / "my OUT" / "dynamic_images.png").exists()


@pytest.fixture
def fake_corpus(tmp_path):
    """A tree in CASME II's layout."""
    from tests.fakes.fake import make_fake_corpus

    return make_fake_corpus("casme2", tmp_path / "CASME II", frame_size=32)
