"""Rules of the repository that no linter knows: the arrows between rooms, and no face or weight in git."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("modeling_fdp", "hub_datasets", "training_fdp")
# What a room must never import: DESIGN's arrows all point one way.
FORBIDDEN = {
    "modeling_fdp": {"modeling_fdp", "hub_datasets", "training_fdp", "benchmarks"},
    "hub_datasets": {"modeling_fdp", "training_fdp", "benchmarks"},
    "training_fdp": {"benchmarks", "train", "predict", "push_to_hub"},
}


def imported_packages(path: Path) -> set[str]:
    """Top-level names of all absolute imports in a file, those inside functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    # Whoever owns the checkout: a container's user may be another one.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_between_rooms(room):
    wrong = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in sorted((ROOT / room).rglob("*.py"))
        if (found := imported_packages(path) & FORBIDDEN[room])
    }
    assert not wrong


def test_the_shipped_room_is_flat():
    assert not [path for path in (ROOT / "modeling_fdp").iterdir() if path.is_dir() and path.name != "__pycache__"]


def test_no_face_no_weight_and_nothing_large_is_tracked():
    texts = {".py", ".md", ".toml", ".json", ".jsonl", ".yaml", ".yml", ".cff", ".typed", ".txt", ""}
    numbers = ROOT / "tests" / "artifacts"
    files = tracked_files()
    others = [path for path in files if path.suffix.lower() not in texts | {".png"}]
    assert not [path.name for path in others if path.suffix != ".npz" or path.parent != numbers]
    assert not [path.name for path in files if path.stat().st_size > 1_000_000]
    pictures = [path for path in files if path.suffix.lower() == ".png"]
    assert all(path.parent == ROOT / "docs" / "images" for path in pictures)


def test_no_requirement_is_pinned_by_address():
    assert "://" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.")[0]
    assert not (ROOT / "uv.lock").exists()
