"""Every code block of README and docs runs, in the order of its page, on tiny inputs that have the names used there.

A block of Python or Bash is executed as it stands; a training command that names no length is cut to two steps. A block
that needs another machine (a cluster, a card) or that `test_demo.py` runs as a whole carries a comment above it,
`<!-- skip: next "reason" -->`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Told nothing to do by a reader's shell: output, data, configuration.
SHOWN_ONLY = {"text", "bibtex", "yaml", "csv", "json", ""}
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
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(desk),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(desk / "hf"),
        "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",
    }


def shortened(command):
    """A training command without a length takes two steps and trains no final model."""
    lines = command.replace("\\\n", " ").splitlines()
    for index, line in enumerate(lines):
        if "train.py " in line and "--max_steps" not in line and "--epochs" not in line:
            lines[index] = f"{line} --max_steps 2 --batch_size 4 --no_final_model"
        if line.startswith("accelerate launch"):
            lines[index] = lines[index].replace("accelerate launch", f"{Path(sys.executable).name} -m accelerate.commands.launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no", 1)
    return "set -e\n" + "\n".join(lines)


def run(words, desk, source):
    result = subprocess.run(
        words, cwd=desk, env=environment(desk), capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL
    )
    assert result.returncode == 0, f"{source}\n--- ends with {result.returncode}:\n{result.stdout}\n{result.stderr}"


def blocks(page):
    """The blocks of a page, those of one language each in its own call; Python blocks of a page share their names."""
    sybil = Sybil(
        parsers=[
            CodeBlockParser(language="python", evaluator=lambda example: None),
            CodeBlockParser(language="bash", evaluator=lambda example: None),
            SkipParser(),
        ],
        patterns=["*.md"],
    )
    found = []
    for example in sybil.parse(page).examples():
        try:
            example.evaluate()
        except SkipTest:
            continue
        if isinstance(example.parsed, str):
            found.append((example.region.lexemes["language"] if hasattr(example.region, "lexemes") else "", example))
    return found


def languages(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    fences = [line.strip()[3:].strip() for line in lines if line.strip().startswith("```")]
    return set(fences[::2])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_has_a_language_that_is_run_or_shown_only(page):
    assert languages(page) <= {"python", "bash"} | SHOWN_ONLY


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, desk):
    script = desk / f"{page.stem}.py"
    python = ""
    for language, example in blocks(page):
        if language == "bash":
            run([shutil.which("bash"), "-c", shortened(example.parsed)], desk, example.parsed)
        else:
            # A page's Python blocks build on each other.
            python += example.parsed
            script.write_text(python, encoding="utf-8")
            run([sys.executable, str(script)], desk, example.parsed)
