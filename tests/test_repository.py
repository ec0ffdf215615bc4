"""Rules of the repository that no linter knows: the arrows between rooms, and no face or weight in git."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What a room may import of this repository. Flat rooms import their own files by one dot, so not even themselves.
ARROWS: dict[str, set[str]] = {
    "modeling_fdp": set(),
    "modeling_baselines": set(),
    "modeling_mol": set(),
    "processing_fdp": set(),
    "rendered_faces": {"rendered_faces"},
    # Of processing_fdp only the files without torch, so that corpora count and order frames as the reader does.
    "hub_datasets": {"hub_datasets", "rendered_faces", "processing_fdp"},
    "evaluation_fdp": {"evaluation_fdp"},
    "training_fdp": {
        "modeling_fdp",
        "modeling_baselines",
        "modeling_mol",
        "processing_fdp",
        "rendered_faces",
        "hub_datasets",
        "evaluation_fdp",
        "training_fdp",
    },
    # On top, because what is spotted is named by a checkpoint, as `training_fdp.hub` does.
    "spotting_fdp": {
        "modeling_fdp",
        "processing_fdp",
        "hub_datasets",
        "evaluation_fdp",
        "training_fdp",
        "spotting_fdp",
    },
}
# Inside training_fdp a file imports its own floor or a lower one.
TRAINING_FLOORS = {
    "errors": 0, "cli": 1, "data": 2, "methods": 3, "folds": 4, "hub": 4, "config": 5, "runs": 6, "baselines": 7,
    "ablations": 7, "breakdown": 7, "combinations": 7, "compare": 7, "commands": 8, "__main__": 9,
}  # fmt: skip
# Weights in git, all of them trained on rendered faces alone but the mesh, which is MediaPipe's.
SHIPPED_WEIGHTS = ("model.safetensors", "face_mesh.safetensors", "spotter.safetensors")
# Uses of `Any` at most: where a signature or a value of another library is passed on, where JSON is read that is not
# checked yet, and for keywords of several types. Own records, options and outputs have named types, or `object`.
MOST_ANY = {
    "modeling_fdp": 70, "modeling_baselines": 4, "modeling_mol": 3, "processing_fdp": 25, "rendered_faces": 2,
    "hub_datasets": 12, "evaluation_fdp": 8, "training_fdp": 29, "spotting_fdp": 1, "benchmarks": 13, "tools": 3,
    "app": 0,
}  # fmt: skip
OWN_NAMES = {
    *ARROWS,
    "tests",
    "benchmarks",
    "examples",
    "train",
    "predict",
    "spot",
    "push_to_hub",
    "convert_checkpoint",
    "app",
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


@pytest.mark.parametrize("room", ARROWS)
def test_arrows_between_rooms(room):
    wrong = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in sorted((ROOT / room).rglob("*.py"))
        if (found := (imported_packages(path) & OWN_NAMES) - ARROWS[room])
    }
    assert not wrong


def test_corpora_use_the_files_of_the_reader_that_need_no_torch():
    modules = set()
    for path in sorted((ROOT / "hub_datasets").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "processing_fdp":
                modules.add(node.module)
    assert modules
    code = f"import sys, {', '.join(sorted(modules))}; assert not {{'torch', 'transformers'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def imported_files(path: Path) -> set[Path]:
    """Files of this repository that a file imports, inside functions and for type checkers too."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.parent.relative_to(ROOT).parts
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            place = ROOT.joinpath(*name.split("."))
            # A package stands for what it does on import; its own files import each other, not it.
            found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
    return found - {path}


def test_arrows_inside_training():
    root = ROOT / "training_fdp"

    def floor(path: Path) -> int:
        return TRAINING_FLOORS[path.relative_to(root).parts[0].removesuffix(".py")]

    files = [path for path in sorted(root.rglob("*.py")) if path.name != "__init__.py" or path.parent != root]
    wrong = [
        f"{path.relative_to(ROOT)} -> {other.relative_to(ROOT)}"
        for path in files
        for other in imported_files(path)
        if other in files and floor(other) > floor(path)
    ]
    assert not wrong


def test_no_circle_of_imports():
    files = [path for room in ARROWS for path in sorted((ROOT / room).rglob("*.py"))]
    # The __init__ of a room gathers its files, which do not import it.
    arrows = {path: {other for other in imported_files(path) if other.name != "__init__.py"} for path in files}
    done: set[Path] = set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " -> ".join(file.name for file in (*trail[trail.index(path) :], path))
        if path not in done:
            for other in sorted(arrows.get(path, ())):
                visit(other, (*trail, path))
            done.add(path)

    for path in files:
        visit(path, ())


@pytest.mark.parametrize("room", MOST_ANY)
def test_any_does_not_spread(room):
    files = sorted((ROOT / room).rglob("*.py")) if (ROOT / room).is_dir() else [ROOT / f"{room}.py"]
    places = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert len(places) <= MOST_ANY[room], "\n".join(places)


@pytest.mark.parametrize("room", ["modeling_fdp", "modeling_baselines", "modeling_mol", "processing_fdp"])
def test_the_shipped_rooms_are_flat(room):
    assert not [path for path in (ROOT / room).iterdir() if path.is_dir() and path.name != "__pycache__"]


def test_the_evaluation_room_needs_no_torch():
    for path in sorted((ROOT / "evaluation_fdp").rglob("*.py")):
        assert "torch" not in imported_packages(path), path.name


def test_no_face_no_weight_and_nothing_large_is_tracked():
    texts = {".py", ".md", ".toml", ".json", ".jsonl", ".yaml", ".yml", ".cff", ".typed", ".txt", ""}
    numbers = ROOT / "tests" / "artifacts"
    files = tracked_files()
    # The face mesh is part of the package: 1.4 MB of MediaPipe's weights, for which nobody's clips were used here.
    allowed = {ROOT / "processing_fdp" / "face_mesh.safetensors"}
    # The checkpoint that is shipped, trained on rendered faces alone, and its copy of the mesh.
    allowed |= {ROOT / "checkpoints" / "fdp-tiny" / name for name in SHIPPED_WEIGHTS}
    # By name and not by suffix, because `python -m hub_datasets view` writes faces into pages.
    allowed.add(ROOT / "hub_datasets" / "view_template.html")
    files = [path for path in files if path not in allowed]
    others = [path for path in files if path.suffix.lower() not in texts | {".png"}]
    assert not [path.name for path in others if path.suffix != ".npz" or path.parent != numbers]
    assert not [path.name for path in files if path.stat().st_size > 1_000_000]
    pictures = [path for path in files if path.suffix.lower() == ".png"]
    assert all(path.parent == ROOT / "docs" / "images" for path in pictures)


def test_no_requirement_is_pinned_by_address():
    assert "://" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.")[0]
    assert not (ROOT / "uv.lock").exists()
