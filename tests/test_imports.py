"""What a fresh process loads before it can answer: nothing heavy beyond what transformers brings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"scipy", "sklearn", "pandas", "matplotlib", "datasets", "evaluate", "torchvision", "skimage", "sympy", "cv2"}
# Of `-X importtime`: microseconds with all that a module imports, its depth as indentation, its name.
LINE = re.compile(r"import time:\s+\d+ \|\s+(\d+) \| ( *)(\S+)$")
OURS = (
    "import modeling_fdp, processing_fdp.face_mesh_fdp, processing_fdp.face_track_fdp, training_fdp.hub.prediction, "
)
OURS += "training_fdp.methods.fdp_quality, training_fdp.data.aligned_clips, predict"


def test_a_prediction_imports_nothing_heavy_of_its_own():
    transformers = "from transformers import AutoModelForVideoClassification, PreTrainedModel\n"
    transformers += "import transformers.video_processing_utils, transformers.modeling_utils, transformers.pipelines"
    mark = "import sys\nprint('transformers is loaded', file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"{transformers}\n{mark}\n{OURS}"],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs, ours = ([LINE.match(line) for line in part.splitlines()] for part in done.stderr.split("transformers is"))
    theirs_us, ours_us = (sum(int(line[1]) for line in part if line and not line[2]) for part in (theirs, ours))
    names = {line[3].split(".")[0] for line in ours if line}
    assert {"modeling_fdp", "training_fdp"} <= names
    assert names & HEAVY == set()
    # Half of what transformers takes is the bound; a tenth is usual.
    assert ours_us < 0.5 * theirs_us


@pytest.mark.parametrize("script", ["train.py", "predict.py", "spot.py"])
def test_help_loads_no_networks(script):
    """Under a second of one core; torch alone takes two."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", script, "--help"],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line[3].split(".")[0] for line in map(LINE.match, done.stderr.splitlines()) if line}
    assert "training_fdp" in names and "usage" in done.stdout
    assert names & (HEAVY | {"torch"}) == set()


def test_predict_imports_without_garbage_collection(tmp_path):
    """Told by a module in the place of transformers, which stops the command."""
    (tmp_path / "transformers.py").write_text("import gc\nraise SystemExit(f'collecting: {gc.isenabled()}')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from spotting_fdp.predict_command import main\n"
    code += "sys.argv = ['predict', 'video.mp4']; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "collecting: False"


def test_the_page_without_gradio_says_how_to_install_it():
    code = "import sys; sys.modules['gradio'] = None; import app"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: app.py needs Gradio, which is not installed; run pip install -e '.[app]'\n"
