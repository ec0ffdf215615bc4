"""The wheel holds the packages and nothing of the tests, its commands run the code of the scripts, and the workflows
publish without a kept token.
"""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.test_repository import tracked_files

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SCRIPTS = PROJECT["project"]["scripts"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# Scripts of the root by the console script beside them.
COMMANDS = {"fdp-train": "train", "fdp-predict": "predict", "fdp-push": "push_to_hub", "fdp-spot": "spot"}
ROOMS = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of what git tracks, unpacked as an installation would."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for path in tracked_files():
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    build = f"import setuptools.build_meta as backend; backend.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    installed = out / "installed"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(installed)
    return installed


def test_the_wheel_holds_every_tracked_file_of_the_rooms_and_nothing_else(wheel):
    found = {path.relative_to(wheel).as_posix() for path in wheel.rglob("*") if path.is_file()}
    found = {name for name in found if ".dist-info/" not in name and ".data/" not in name}
    tracked = {path.relative_to(ROOT).as_posix() for path in tracked_files()}
    assert found == {name for name in tracked if name.split("/")[0] in ROOMS}
    assert not {name for name in found if name.endswith((".npz", ".png", ".jpg", ".csv")) or name.startswith("test")}


def test_every_command_runs_from_the_wheel_alone(wheel, tmp_path):
    program = (
        "import sys; from importlib.metadata import distributions\n"
        "(ours,) = distributions(name='fdp-micro-expression', path=[sys.argv[1]])\n"
        "for script in ours.entry_points:\n"
        "    command = script.load()\n"
        "    print(script.name, sys.modules[command.__module__].__file__)\n"
        "    sys.argv = [script.name, '--help']\n"
        "    try: command()\n"
        "    except SystemExit as left: assert not left.code, (script.name, left.code)\n"
    )
    environment = {"PYTHONPATH": str(wheel), "PATH": "", "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(wheel)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name, target in SCRIPTS.items():
        assert f"{name} {wheel}/{target.partition('.')[0]}/" in done.stdout
        assert f"usage: {name} " in done.stdout
    launched = subprocess.run(
        [sys.executable, "-m", "training_fdp"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert launched.returncode == 2 and launched.stderr.startswith("error: --corpus is missing"), launched.stderr
    helped = subprocess.run(
        [sys.executable, "-m", "training_fdp", "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "usage: python -m training_fdp " in helped.stdout, helped.stderr


@pytest.mark.parametrize("command", SCRIPTS)
def test_a_script_of_the_root_only_calls_its_command(command):
    module, function = SCRIPTS[command].split(":")
    tree = ast.parse((ROOT / f"{COMMANDS[command]}.py").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in imports] == [module] and function in {name.name for name in imports[0].names}
    assert ast.unparse(tree.body[-1]) == f"if __name__ == '__main__':\n    {function}()"
    assert not [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_their_actions_and_keep_no_token(path):
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    for step in steps_of(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
        # What a person typed reaches a shell as a variable, never as text of the script.
        assert "${{" not in step.get("run", ""), step
    for name, job in workflow["jobs"].items():
        if job.get("permissions", {}).get("id-token") == "write":
            assert job["environment"], f"{name} may get a token only behind an environment"


def test_the_workflows_do_what_they_are_for():
    workflows = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
    checks = workflows["checks"]["jobs"]["checks"]
    assert {system.split("-")[0] for system in checks["strategy"]["matrix"]["os"]} == {"ubuntu", "macos", "windows"}
    assert [step["run"] for step in checks["steps"] if "run" in step] == [".ci/run"]
    release = workflows["release"]["jobs"]
    assert release["pypi"]["permissions"] == {"id-token": "write"} and release["pypi"]["needs"] == "build"
    assert any("gh-action-pypi-publish" in step.get("uses", "") for step in release["pypi"]["steps"])
    tried = "\n".join(step.get("run", "") for step in release["build"]["steps"])
    assert "twine check --strict" in tried and all(command in tried for command in SCRIPTS)
    hub = workflows["hub"]["jobs"]["publish"]
    assert hub["permissions"]["id-token"] == "write"
    pushing = [step for step in hub["steps"] if "fdp-push" in step.get("run", "")]
    assert [step["env"]["HF_OIDC_RESOURCE"] for step in pushing] == [
        "datasets/${{ inputs.repo_id }}",
        "${{ inputs.repo_id }}",
    ]
