"""`make checkpoint` on a few clips: what it writes, and that seeds alone decide the weights."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from evaluation_fdp.errors import ConfigError
from modeling_fdp import FDPForVideoClassification
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from tools.make_checkpoint import main

LARGEST = 3_000_000
ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "checkpoints" / "fdp-tiny"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A short build and one of the same rendered people in another place."""
    root = tmp_path_factory.mktemp("checkpoint")
    for name in ("first", "again"):
        if name == "again":
            shutil.copytree(root / "first" / "work" / "rendered", root / "again" / "work" / "rendered")
        options = ["--short", "--work_dir", str(root / name / "work"), "--output_dir", str(root / name / "fdp-tiny")]
        assert main(["--built_in_faces", *options]) == 0
    return root


@pytest.mark.slow
def test_the_same_seeds_give_the_same_logits(built):
    clip = torch.rand(2, 32, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    models = [
        FDPForVideoClassification.from_pretrained(built / name / "fdp-tiny").eval() for name in ("first", "again")
    ]
    with torch.no_grad():
        first, again = (model(clip) for model in models)
    assert torch.equal(first.logits, again.logits) and torch.equal(first.movement_size, again.movement_size)
    assert (built / "first/fdp-tiny/README.md").read_text() == (built / "again/fdp-tiny/README.md").read_text()


@pytest.mark.slow
def test_two_processes_share_a_stage(built, tmp_path):
    shutil.copytree(built / "first" / "work" / "rendered", tmp_path / "work" / "rendered")
    options = ["--short", "--work_dir", str(tmp_path / "work"), "--output_dir", str(tmp_path / "fdp-tiny")]
    assert main(["--built_in_faces", "--processes", "2", *options]) == 0
    for number in (1, 2):
        run = json.loads((tmp_path / f"work/tiny/training_{number}/run.json").read_text())
        assert run["identity"]["settings"]["parallelism"] == "ddp", "one process each, or one for both"
    assert "--processes 2`, from seeds alone" in (tmp_path / "fdp-tiny/README.md").read_text()
    one, two = (load_file(root / "fdp-tiny/model.safetensors") for root in (built / "first", tmp_path))
    # Batch norm sees half a batch in each process, so that the weights differ, but by no more than three steps do.
    changed = [(value - two[name]).abs().max().item() for name, value in one.items() if value.ndim > 1]
    assert 0 < max(changed) < 0.02


@pytest.mark.slow
def test_the_folder_is_small_complete_and_calibrated(built):
    folder = built / "first" / "fdp-tiny"
    mesh = folder / "face_mesh.safetensors"
    # The mesh is a copy of the package's, which git holds once.
    assert mesh.read_bytes() == (ROOT / "processing_fdp" / mesh.name).read_bytes() and not mesh.is_symlink()
    assert sum(path.stat().st_size for path in folder.iterdir() if path != mesh) < LARGEST
    weights = folder / "model.safetensors"
    assert weights.stat().st_mode == (folder / "README.md").stat().st_mode, "readable for others, as the umask says"
    model = FDPForVideoClassification.from_pretrained(folder)
    assert model.dtype == torch.float32 and model.config.temperature != 1 and len(model.config.movement_weights) == 3
    assert model.config.learnt_speech, "people talk in the corpora of `wild`"
    assert sorted(model.config.id2label.values()) == ["negative", "others", "positive", "surprise"]
    processor = FDPVideoProcessor.from_pretrained(folder)
    assert processor.alignment == "auto" and processor.crop_scale == 2.0 and processor.even_light
    settings = json.loads((folder / "config.json").read_text())
    assert settings["auto_map"]["AutoModelForVideoClassification"] == "modeling_fdp.FDPForVideoClassification"
    card = (folder / "README.md").read_text()
    assert "Rendered faces only" in card and "| quiet stretch |" in card and "built-in faces alone" in card


@pytest.mark.slow
def test_half_precision_changes_the_scores_by_less_than_a_hundredth(built):
    trained = FDPForVideoClassification.from_pretrained(
        built / "first" / "work" / "tiny" / "training_2" / "final"
    ).eval()
    shipped = FDPForVideoClassification.from_pretrained(built / "first/fdp-tiny").eval()
    clip = torch.rand(1, 32, 1, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        expected = trained(clip).logits / shipped.config.temperature
        assert torch.allclose(shipped(clip).logits, expected, atol=0.01)
    stored = load_file(built / "first/fdp-tiny/model.safetensors")
    assert {value.dtype for value in stored.values() if value.ndim > 1} == {torch.float16}


def code_that_differs(folder):
    """Names of the files of code that are not those of the package."""
    rooms = [ROOT / "modeling_fdp", ROOT / "processing_fdp"]
    return sorted(
        path.name
        for path in folder.glob("*.py")
        if path.read_bytes() not in [(room / path.name).read_bytes() for room in rooms if (room / path.name).is_file()]
    )


def test_the_shipped_checkpoint_carries_the_code_of_the_package(tmp_path):
    assert code_that_differs(SHIPPED) == [], "run python -m tools.make_checkpoint --renew_code"
    names = {path.name for path in SHIPPED.glob("*.py")}
    copy = shutil.copytree(SHIPPED, tmp_path / "fdp-tiny")
    (copy / "motion_fdp.py").write_text("# of another commit\n")
    (copy / "gone_fdp.py").write_text("")
    assert code_that_differs(copy) == ["gone_fdp.py", "motion_fdp.py"]
    assert main(["--renew_code", "--output_dir", str(copy)]) == 0
    assert code_that_differs(copy) == [] and {path.name for path in copy.glob("*.py")} == names
    assert (copy / "model.safetensors").read_bytes() == (SHIPPED / "model.safetensors").read_bytes()


def test_a_copy_of_the_shipped_folder_is_whole():
    # `cp -r` copies a link as a link, and a clone on Windows has a text file instead: both would hold no face mesh.
    assert not [path.name for path in SHIPPED.iterdir() if path.is_symlink()]
    mesh = "face_mesh.safetensors"
    assert (SHIPPED / mesh).read_bytes() == (ROOT / "processing_fdp" / mesh).read_bytes()


def test_without_morphable_faces_somebody_must_say_so(tmp_path):
    with pytest.raises(ConfigError, match="give the folder of an ICT-FaceKit clone"):
        main(["--work_dir", str(tmp_path / "work")])
