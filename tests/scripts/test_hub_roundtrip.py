"""Every method of the house pushed to the loopback Hub, and loaded by a stranger: the same numbers to the last bit.

The stranger is one clean process that has transformers and none of this repository's packages. It loads each
repository cold, again, at a pinned commit, through every auto class of its `auto_map` and every pipeline, and a second
process does so offline. At the end is what the files that travel may import, open, run and fetch.
"""

import ast
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForVideoClassification, pipeline

from rendered_faces.film import render_clip
from tests.scripts.fake_hub import FakeHub
from training_fdp.data.processor import build_processor
from training_fdp.hub.publish import prepare_publication
from training_fdp.hub.push import push
from training_fdp.methods.base import NetworkRequest
from training_fdp.methods.registry import BUILT_IN, get_method

ROOT = Path(__file__).resolve().parents[2]
OWN_PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
NUM_FRAMES, IMAGE_SIZE = 8, 64
# What somebody runs who has transformers and not this repository.
STRANGER = """
import importlib.abc, json, sys, traceback


class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OWN_PACKAGES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


OWN_PACKAGES, repositories, pixels, frames, answers = json.loads(sys.argv[1])
sys.meta_path.insert(0, Absent())
import numpy as np
import torch
import transformers
from transformers import AutoModelForVideoClassification, AutoVideoProcessor, pipeline

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)
pixel_values = torch.from_numpy(np.load(pixels))


def logits_of(model):
    with torch.inference_mode():
        return model.eval()(pixel_values=pixel_values).logits.tolist()


def visit(repository, old):
    arguments = {"trust_remote_code": True}
    model = AutoModelForVideoClassification.from_pretrained(repository, **arguments).eval()
    processor = AutoVideoProcessor.from_pretrained(repository, **arguments)
    again = AutoModelForVideoClassification.from_pretrained(repository, **arguments)
    loaded = {"AutoConfig": model.config, "AutoModelForVideoClassification": model, "AutoVideoProcessor": processor}
    classes = {}
    for name in model.config.auto_map:
        if name not in loaded:
            loaded[name] = getattr(transformers, name).from_pretrained(repository, **arguments)
        classes[name] = [type(loaded[name]).__module__, type(loaded[name]).__name__]
    own = pipeline("video-classification", model=repository, **arguments)
    tasks = {}
    for task in getattr(model.config, "custom_pipelines", None) or {}:
        tasks[task] = repr(pipeline(task, model=repository, **arguments)(frames))
    earlier = AutoModelForVideoClassification.from_pretrained(repository, revision=old, **arguments)
    return {
        "code": type(model).__module__,
        "cold": logits_of(model),
        "warm": logits_of(again),
        "pinned": logits_of(earlier),
        "classes": classes,
        "tasks": tasks,
        "pixels": processor(frames, return_tensors="pt")["pixel_values"].tolist(),
        "meshed": processor(frames, return_tensors="pt", alignment="mesh")["pixel_values"].tolist(),
        "labels": {item["label"]: item["score"] for item in own(frames, top_k=3)},
    }


found = {}
for repository, old in repositories.items():
    try:
        found[repository] = visit(repository, old)
    except Exception:
        found[repository] = {"failed": traceback.format_exc()}
with open(answers, "w") as file:
    json.dump(found, file)
"""


def network_of(name):
    """A small network of a method, with random weights."""
    method_class = get_method(name)
    presets = get_args(get_type_hints(method_class.options_class).get("preset"))
    method = method_class(method_class.options_class(**({"preset": "tiny"} if "tiny" in presets else {})))
    method.register_auto_classes()
    overrides = {"num_frames": NUM_FRAMES, "image_size": IMAGE_SIZE}
    coded = [[{"code": code, "side": "", "intensity": None, "alternative": 0}] for code in ("4", "12")]
    config = method.configure(NetworkRequest(("happiness", "disgust", "surprise"), overrides, action_units=coded))
    torch.manual_seed(0)
    processor = build_processor(
        {"alignment": "none", **method.processor_settings(config)}, config.num_frames, config.image_size
    )
    return method.build(config).eval(), processor


@dataclasses.dataclass
class House:
    """All methods on one Hub, and what a stranger made of them."""

    hub: FakeHub
    home: Path
    folders: dict[str, Path]
    old: dict[str, str]  # the first commit of each, with other weights
    frames: Path
    pixels: Path
    environment: object

    def visit(self, answers, names, **environment):
        repositories = {f"tester/{name}": self.old[name] for name in names}
        arguments = [OWN_PACKAGES, repositories, str(self.pixels), str(self.frames), str(answers)]
        stranger = subprocess.run(
            [sys.executable, "-c", STRANGER, json.dumps(arguments)],
            cwd=self.frames,
            env=self.environment(self.home, **self.hub.environment(self.home) | environment),
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert stranger.returncode == 0, stranger.stderr[-3000:]
        return {name.partition("/")[2]: found for name, found in json.loads(answers.read_text()).items()}


@pytest.fixture(scope="module")
def house(tmp_path_factory, script_environment_in):
    """Every method pushed twice: first with other weights, then with those that are on main."""
    root = tmp_path_factory.mktemp("house")
    hub = FakeHub(large_suffixes=(".safetensors",))
    api = huggingface_hub.HfApi(endpoint=hub.endpoint, token=hub.token)
    clip = render_clip(1, "happiness", size=96, duration_s=(0.1, 0.12))
    frames = root / "frames"
    frames.mkdir()
    for number, frame in enumerate(clip.frames, start=1):
        Image.fromarray(np.asarray(frame)).save(frames / f"img{number:03d}.png")
    shape = (2, NUM_FRAMES, 1, IMAGE_SIZE, IMAGE_SIZE)
    np.save(root / "pixels.npy", np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))
    folders, old = {}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        for name in BUILT_IN:
            folders[name] = root / name
            model, processor = network_of(name)
            for part in (model, processor):
                part.save_pretrained(folders[name])
            with torch.no_grad():
                for weight in model.parameters():
                    weight.mul_(0.5)
            shutil.copytree(folders[name], root / "old" / name)
            model.save_pretrained(root / "old" / name)
            for folder in (root / "old" / name, folders[name]):
                push(prepare_publication(folder, f"tester/{name}", without_results=True), api=api)
            first = hub.repositories[f"tester/{name}"].commits[1]
            old[name] = first.oid
    yield House(hub, root / "home of a reader", folders, old, frames, root / "pixels.npy", script_environment_in)
    hub.close()


@pytest.fixture(scope="module")
def visited(house, tmp_path_factory):
    """What a stranger with an empty cache found, by method."""
    return house.visit(tmp_path_factory.mktemp("answers") / "online.json", BUILT_IN)


def local_logits(folder, pixels):
    model = AutoModelForVideoClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model, model(pixel_values=torch.from_numpy(np.load(pixels))).logits


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_stranger_gets_the_numbers_of_the_author(house, visited, name):
    found = visited[name]
    assert "failed" not in found, found["failed"]
    assert found["code"].startswith("transformers_modules.")
    model, expected = local_logits(house.folders[name], house.pixels)
    assert torch.equal(torch.tensor(found["cold"]), expected) and found["warm"] == found["cold"]
    _, old = local_logits(house.folders[name].parent / "old" / name, house.pixels)
    assert torch.equal(torch.tensor(found["pinned"]), old) and not torch.equal(old, expected)
    _, processor = network_of(name)
    own = processor(str(house.frames), return_tensors="pt")["pixel_values"]
    assert torch.equal(torch.tensor(found["pixels"]), own)
    with torch.inference_mode():
        scores = model(pixel_values=own).logits[0].softmax(-1)
    labels = {model.config.id2label[index]: float(score) for index, score in enumerate(scores)}
    assert found["labels"] == pytest.approx(labels, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_class_and_pipeline_that_a_configuration_names_loads(house, visited, name):
    config = json.loads((house.folders[name] / "config.json").read_text())
    assert {"AutoConfig", "AutoModelForVideoClassification"} <= set(config["auto_map"])
    for loaded, (module, class_name) in visited[name]["classes"].items():
        assert module.startswith("transformers_modules.")
        assert config["auto_map"][loaded].endswith(f".{class_name}")
    own = {
        task: repr(pipeline(task, model=str(house.folders[name]), trust_remote_code=True)(str(house.frames)))
        for task in config.get("custom_pipelines") or {}
    }
    assert visited[name]["tasks"] == own


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_face_mesh_of_a_repository_finds_the_face(house, visited, name):
    # Its weights come from the repository: where the stranger is, no file of this package lies beside the code.
    _, processor = network_of(name)
    own = processor(str(house.frames), return_tensors="pt", alignment="mesh")["pixel_values"]
    assert torch.equal(torch.tensor(visited[name]["meshed"]), own)
    assert visited[name]["meshed"] != visited[name]["pixels"]


@pytest.mark.slow
def test_weights_are_downloaded_once_per_commit(house, visited):
    for name in BUILT_IN:
        path = rf"^/tester/{name}/resolve/[^/]+/model\.safetensors"
        assert house.hub.asked("GET", path) == 2, "main and the pinned commit"


@pytest.mark.slow
def test_the_second_process_needs_no_network(house, visited, tmp_path):
    before = len(house.hub.requests)
    found = house.visit(tmp_path / "offline.json", ["fdp"], HF_HUB_OFFLINE="1")
    for name, answer in found.items():
        assert "failed" not in answer, answer["failed"]
        assert answer == visited[name]
    assert len(house.hub.requests) == before


@pytest.mark.slow
def test_a_reader_without_the_token_is_told_nothing_of_a_private_repository(house, script_environment_in, tmp_path):
    environment = house.hub.environment(tmp_path / "home") | {"HF_TOKEN": ""}
    program = "import huggingface_hub; huggingface_hub.hf_hub_download('tester/fdp', 'config.json')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=script_environment_in(tmp_path / "home", **environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "RepositoryNotFoundError" in done.stderr


# What code in a checkpoint may import: libraries, and of the standard library what neither runs nor fetches anything.
LIBRARIES = {"PIL", "av", "numpy", "safetensors", "torch", "torchvision", "transformers"}
LIBRARIES |= {"tokenizers"}  # installed with transformers: the phrases of action units
STANDARD = {
    "base64", "collections", "contextlib", "copy", "csv", "dataclasses", "enum", "functools", "importlib", "itertools",
    "logging", "math", "operator", "os", "re", "shutil", "struct", "time", "types", "typing", "warnings",
}  # fmt: skip
# Strict configuration classes, which transformers' own are made by; nothing else of huggingface_hub.
HUB = {"huggingface_hub.dataclasses", "huggingface_hub.errors"}
# Decoders, detectors and a table reader that are imported where they are asked for.
OPTIONAL = {
    "av", "cv2", "decord", "decord._ffi.base", "dlib", "pyarrow.parquet", "torchcodec.decoders", "torchcodec", "",
}  # fmt: skip
# Functions that run code which they read, or start a program; those of other modules need an import beyond STANDARD.
RUNNING = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.fork", "os.posix_spawn", "os.startfile",
    "os.execv", "os.spawnv",
}  # fmt: skip
UNPICKLING = {"torch.load", "np.load", "numpy.load", "torch.hub.load", "joblib.load", "pickle.load", "pickle.loads"}
FETCHING = {
    "cached_file", "hf_hub_download", "snapshot_download", "urlopen", "urlretrieve", "load_state_dict_from_url",
    "download_url_to_file", "from_pretrained",
}  # fmt: skip
# What opens, writes or fetches a file, whichever file of the code it is in.
OPENED = {
    "load_file",  # safetensors of the face mesh
    "Image.open",
    "open",  # a table of landmarks, the header of a video
    "av.open",
    "settings.open",  # our own reader, which opens by those above
}
WRITTEN = {"shutil.copyfile"}  # save_pretrained: the face mesh
FETCHED = {"super().from_pretrained", "cached_file"}  # the face mesh, from the processor's own repository


@pytest.fixture(scope="module")
def travelling(house):
    """Syntax tree of every Python file that any checkpoint takes along, by name."""
    texts = {path.name: path.read_text() for folder in house.folders.values() for path in folder.glob("*.py")}
    assert len(texts) > 30 and {"modeling_fdp.py", "motion_cnn_fdp.py", "modeling_baselines.py"} <= set(texts)
    return {name: ast.parse(text) for name, text in texts.items()}


def calls(travelling, wanted):
    """Every call (file, text) whose function, written out or by its last name, is one of `wanted`."""
    return {
        (name, ast.unparse(node))
        for name, tree in travelling.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and {ast.unparse(node.func), ast.unparse(node.func).rpartition(".")[2]} & set(wanted)
    }


def test_files_that_travel_import_a_short_list(travelling):
    for name, tree in travelling.items():
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                if node.level:
                    assert node.level == 1 and f"{node.module}.py" in travelling, (name, node.module)
                    continue
                modules = [str(node.module)]
            for module in modules:
                assert module in HUB or module.split(".")[0] in LIBRARIES | STANDARD, (name, module)


def test_files_that_travel_import_optional_libraries_by_name(travelling):
    named = set()
    for name, text in calls(travelling, {"import_module", "_import_backend"}):
        (first, *_) = ast.parse(text).body[0].value.args
        if isinstance(first, ast.Constant):
            named.add(first.value)
        else:
            assert (name, ast.unparse(first)) in {
                ("face_detectors_fdp.py", "self.module"),
                ("video_decoders_fdp.py", "module"),
            }
    for node in ast.walk(travelling["face_detectors_fdp.py"]):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "module":
            named.add(node.value.value)
    assert {"cv2", "dlib", "decord"} <= named <= OPTIONAL


def test_files_that_travel_run_nothing_that_they_read(travelling):
    # By the whole name: `model.eval()` and `re.compile()` are something else.
    found = {
        (name, ast.unparse(node))
        for name, tree in travelling.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in RUNNING | UNPICKLING
    }
    assert not found


def functions(travelling, wanted):
    """The functions, as they are written, of the calls that [`calls`] finds."""
    return {ast.unparse(ast.parse(text).body[0].value.func) for _, text in calls(travelling, wanted)}


def test_files_that_travel_open_write_and_fetch_by_listed_calls(travelling):
    opening = {"open", "load_file", "safe_open", "fromfile", "memmap", "read_text", "read_bytes"}
    writing = {
        "copyfile",
        "copy2",
        "copytree",
        "write_text",
        "write_bytes",
        "save_file",
        "tofile",
        "makedirs",
        "mkdir",
    }
    removing = {"rename", "unlink", "rmtree", "remove", "rmdir"}
    assert functions(travelling, opening) == OPENED
    assert functions(travelling, writing | removing) == WRITTEN
    assert functions(travelling, FETCHING) == FETCHED
    for name, text in calls(travelling, {"open"}):
        call = ast.parse(text).body[0].value
        if isinstance(call.func, ast.Name):
            modes = [call.args[1]] if len(call.args) > 1 else [key.value for key in call.keywords if key.arg == "mode"]
            assert [ast.unparse(mode) for mode in modes] in ([], ["'rb'"]), (name, text)
    # Nothing is fetched from a place that the code itself names.
    fetched = {ast.unparse(ast.parse(text).body[0].value.args[0]) for _, text in calls(travelling, FETCHING)}
    assert fetched == {"pretrained_model_name_or_path", "source"}


@pytest.mark.slow
def test_weights_that_travel_are_safetensors(house):
    suffixes = {path.suffix for folder in house.folders.values() for path in folder.iterdir()}
    assert suffixes == {".json", ".md", ".py", ".safetensors", ".txt"}


def test_nothing_here_unpickles_more_than_tensors():
    for package in OWN_PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    assert "weights_only=True" in ast.unparse(node), path
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".load", ".loads")):
                    assert "allow_pickle=True" not in ast.unparse(node), path
