"""Every code block of README and docs runs, in the order of its page, on tiny inputs that have the names used there.

A block of Python or Bash is executed as it stands; a training command that names no length is cut to two steps. One
that needs another machine (a cluster, a card) or that `test_demo.py` runs as a whole carries a comment above it,
`<!-- skip: next "reason" -->`.

Python runs in processes that have the libraries already; other commands, the launcher among them, run in Bash.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from tests.forked_python import run_python

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Output, data and configuration: nothing that a reader types.
SHOWN_ONLY = {"text", "bibtex", "yaml", "csv", "json"}
CLASS_NAMES = ("negative", "positive", "surprise")


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """A folder like a user's clone: the repository's files, a clip, a corpus and a trained model."""
    import torch

    from modeling_fdp import FDPConfig, FDPForVideoClassification
    from processing_fdp import FDPVideoProcessor
    from rendered_faces.film import render_clip
    from tests.fakes.fake import make_fake_corpus

    folder = tmp_path_factory.mktemp("desk")
    for path in ROOT.iterdir():
        if path.name not in {".git", ".venv", "runs", "build", "dist", "site"}:
            (folder / path.name).symlink_to(path, target_is_directory=path.is_dir())
    frames = render_clip(1, "happiness", seed=2, size=64, fps=60).frames
    write_clip(folder / "clip.avi", frames)
    make_fake_corpus("casme2", folder / "CASME2", frame_size=32)
    torch.manual_seed(0)
    labels = dict(enumerate(CLASS_NAMES))
    config = FDPConfig.from_preset("tiny", id2label=labels, label2id={name: i for i, name in labels.items()})
    model = folder / "runs" / "demo" / "training" / "folds" / "fold2"
    FDPForVideoClassification(config).eval().save_pretrained(model)
    FDPVideoProcessor(num_frames=config.num_frames).save_pretrained(model)
    return folder


def write_clip(path, frames):
    import av
    from PIL import Image

    (path.parent / "frames").mkdir()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=60)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuvj420p"
        for index, frame in enumerate(frames):
            Image.fromarray(frame).save(path.parent / "frames" / f"{index:03d}.png")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())


def environment(desk):
    binaries = str(Path(sys.executable).parent)
    return {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(desk),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(desk / "hf"),
        "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",
    }


def shortened(command):
    """The command with the launcher of a machine without a card; a training without a length takes two steps."""
    launcher = "-m accelerate.commands.launch --cpu --num_processes 1 --num_machines 1 --dynamo_backend no"
    lines = command.replace("\\\n", " ").splitlines()
    for index, line in enumerate(lines):
        if "train.py " in line and not {"--max_steps", "--epochs", "--help"} & set(line.split()):
            line += " --max_steps 2 --batch_size 4 --no_final_model"
            if " casme2 " in line and "--processor_overrides" not in line:
                line += " --processor_overrides alignment=none"  # the pretend corpus shows no face
        lines[index] = line.replace("accelerate launch", f"python {launcher}")
    return "\n".join(line for line in lines if line and not line.startswith("#"))


# A line that Bash would only split into words.
PLAIN_PYTHON = re.compile(r"python [^$|&;<>`*?()#]*")


class Page:
    """Runs the blocks of a page; its Python blocks build on each other."""

    def __init__(self, desk):
        self.desk = desk
        self.python = ""
        self.is_run = True

    def run_bash(self, example):
        self.finish()
        command = shortened(example.parsed)
        if all(PLAIN_PYTHON.fullmatch(line) for line in command.splitlines()):
            for line in command.splitlines():
                accepted = {0, 1} if " hub_datasets check " in line else {0}  # 1: usable with losses
                self._run_python(shlex.split(line)[1:], line, accepted)
            return
        result = subprocess.run(
            ["bash", "-c", f"set -e\n{command}"],
            cwd=self.desk,
            env={**os.environ, **environment(self.desk)},
            capture_output=True,
            text=True,
            timeout=600,
            stdin=subprocess.DEVNULL,
        )
        said = f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        assert result.returncode == 0, f"{command}\nends with {result.returncode}:\n{said}"

    def add_python(self, example):
        self.python += example.parsed
        self.is_run = False

    def finish(self):
        """Run the Python blocks so far as one script."""
        if not self.is_run:
            self._run_python(["-c", self.python], self.python, {0})
            self.is_run = True

    def _run_python(self, words, source, accepted):
        result = run_python(words, self.desk, {**os.environ, **environment(self.desk)})
        said = f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        assert result.returncode in accepted, f"{source}\nends with {result.returncode}:\n{said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_run_or_shown_only(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    fences = [line.strip().removeprefix("```") for line in lines if line.strip().startswith("```")]
    assert set(fences[::2]) <= {"python", "bash"} | SHOWN_ONLY


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, desk):
    runner = Page(desk)
    parsers = [CodeBlockParser("python", runner.add_python), CodeBlockParser("bash", runner.run_bash), SkipParser()]
    for example in Sybil(parsers, path=str(ROOT), patterns=["*.md"]).parse(page).examples():
        try:
            example.evaluate()
        except SkipTest as skipped:
            assert str(skipped), "a block that is not run says why"
    runner.finish()
