"""push_to_hub.py --corpus: the rendered corpus goes to the Hub in full, nothing of a licensed one does."""

import json

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import yaml
from datasets import load_dataset

from evaluation_fdp.metrics import METRICS
from hub_datasets import CORPUS_NAMES, get_builder_class, load_corpus
from hub_datasets.errors import CorpusError
from hub_datasets.synthetic.layouts import SyntheticLayout
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import write_tree
from training_fdp.errors import PublishError
from training_fdp.hub.corpora import DERIVED, prepare_corpus
from training_fdp.hub.push import push

REPO_ID = "tester/rendered"
SETTINGS = CorpusSettings(num_subjects=2, num_clips=3, size_hw=(32, 32), fps=60.0, duration_s=(0.1, 0.15))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("faces") / "tree"
    write_tree(SETTINGS, SyntheticLayout(), root)
    return root


@pytest.fixture
def tree(rendered, tmp_path):
    """A copy that a test may damage."""
    for path in rendered.rglob("*"):
        if path.is_file():
            copy = tmp_path / "tree" / path.relative_to(rendered)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return tmp_path / "tree"


@pytest.fixture
def api(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    return huggingface_hub.HfApi(endpoint=hub.endpoint, token=hub.token)


def test_the_whole_tree_is_one_private_commit_of_a_dataset(rendered, hub, api):
    publication = prepare_corpus("synthetic", rendered, REPO_ID)
    push(publication, api=api)
    push(prepare_corpus("synthetic", rendered, REPO_ID), api=api)
    repository = hub.repositories[f"datasets/{REPO_ID}"]
    assert repository.private and len(repository.commits) == 2, "a second push is no commit"
    sent = hub.files(f"datasets/{REPO_ID}")
    own = {path.relative_to(rendered).as_posix() for path in rendered.rglob("*") if path.is_file()}
    assert set(sent) == own | {"README.md", "metadata.parquet", "eval.yaml"}
    assert all(sent[name] == (rendered / name).read_bytes() for name in own)
    assert not [request for request in hub.unknown if "agent-harnesses" not in request[1]]


@pytest.fixture
def download(rendered, tmp_path):
    """The repository as a folder."""
    folder = tmp_path / "download"
    for file in prepare_corpus("synthetic", rendered, REPO_ID).files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes(file.read())
    return folder


def test_a_download_is_the_corpus_that_was_rendered(rendered, download, tmp_path):
    original = load_corpus("synthetic", data_dir=rendered, cache_dir=tmp_path / "a")
    again = load_corpus("synthetic", data_dir=download, cache_dir=tmp_path / "b")
    kept = [name for name in original.column_names if name != "frames"]
    assert original.select_columns(kept).to_list() == again.select_columns(kept).to_list()
    # What the push made is left behind when the download is pushed again.
    files = prepare_corpus("synthetic", download, REPO_ID).files
    assert {file.name: file.read() for file in files} == {
        file.name: file.read() for file in prepare_corpus("synthetic", rendered, REPO_ID).files
    }


def test_datasets_reads_a_row_per_clip_with_its_frames(rendered, download, tmp_path):
    clips = load_dataset(str(download), split="test", cache_dir=str(tmp_path / "cache"))
    rows = load_corpus("synthetic", data_dir=rendered, cache_dir=tmp_path / "rows")
    assert len(clips) == len(rows) == SETTINGS.num_clips
    names = rows.features["label"].names
    for clip, row in zip(clips, rows, strict=True):
        assert clip["clip_id"] == row["clip_id"] and clip["label"] == names[row["label"]]
        assert len(clip["frames"]) == len(row["frames"])
        np.testing.assert_array_equal(np.asarray(clip["image"]), np.asarray(clip["frames"][row["apex_index"]]))
    table = pd.read_parquet(download / "metadata.parquet")
    assert not [name for name in table["file_name"] if name.startswith(("/", ".."))]


def test_the_description_has_a_task_for_every_metric(download):
    described = yaml.safe_load((download / "eval.yaml").read_text())
    assert {"name", "description", "evaluation_framework", "tasks"} == set(described)
    assert described["tasks"] == [{"id": name, "config": "default", "split": "test"} for name in METRICS]


def test_the_card_says_how_to_load_it_and_that_it_is_rendered(download):
    _, header, body = (download / "README.md").read_text().split("---\n", 2)
    metadata = yaml.safe_load(header)
    assert metadata["license"] == "apache-2.0" and "viewer" not in metadata
    (config,) = metadata["configs"]
    assert config["config_name"] == "default" and config["data_files"][0]["split"] == "test"
    assert f'load_dataset("{REPO_ID}", split="test")' in body and f'snapshot_download("{REPO_ID}"' in body
    assert "must be labelled synthetic" in body
    told = " ".join(body.split())
    assert "holds 3 clips of 2 subjects: built-in faces of seed 0, frames of 32 x 32 pixels, difficulty `mild`" in told


@pytest.mark.parametrize("name", [name for name in CORPUS_NAMES if not get_builder_class(name).faces_may_be_published])
def test_nothing_of_a_licensed_corpus_is_pushed(name, rendered):
    # Not even with a rendered tree in the place of the download.
    with pytest.raises(PublishError, match=f"nothing of {name} may be pushed") as caught:
        prepare_corpus(name, rendered, REPO_ID)
    assert all(f"{part}, because {reason}" in str(caught.value) for part, reason in DERIVED.items())
    assert set(DERIVED) == {"pixels", "landmarks", "flow", "sheet rows"}


@pytest.mark.parametrize("name", ["recordings/s001/r001/face.jpg", "recordings/s001/r001/00999.jpg", "notes.txt"])
def test_a_file_that_was_not_rendered_stops_the_push(tree, name):
    (tree / name).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(PublishError, match="was not rendered with this corpus"):
        prepare_corpus("synthetic", tree, REPO_ID)


def test_a_link_stops_the_push(tree, tmp_path):
    frame = tree / "recordings/s001/r001/00001.jpg"
    frame.rename(tmp_path / "face.jpg")
    frame.symlink_to(tmp_path / "face.jpg")
    with pytest.raises(PublishError, match="is a link"):
        prepare_corpus("synthetic", tree, REPO_ID)


def test_a_tree_with_a_hole_stops_the_push(tree):
    (tree / "recordings/s001/r001/00002.jpg").unlink()
    with pytest.raises(PublishError, match=r"lacks recordings/s001/r001/00002\.jpg"):
        prepare_corpus("synthetic", tree, REPO_ID)


def edit_manifest(tree, **changes):
    path = tree / "synthetic_corpus.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {name: value for name, value in changes.items() if name != "settings"}
                               | {"settings": content["settings"] | changes.get("settings", {})}))  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"settings": {"seed": 5}}, "was changed after rendering"),
        ({"settings": {"unheard_of": 5}}, "was changed"),
        ({"generator_version": 1}, "by version 1 of the renderer"),
        ({"layout": "casme2"}, "has that of casme2 and would be taken for that corpus"),
    ],
)
def test_a_manifest_that_does_not_fit_stops_the_push(tree, changes, reason):
    edit_manifest(tree, **changes)
    with pytest.raises(CorpusError, match=reason):
        prepare_corpus("synthetic", tree, REPO_ID)


def test_a_folder_without_a_manifest_is_no_rendered_corpus(tree):
    (tree / "synthetic_corpus.json").unlink()
    with pytest.raises(CorpusError, match=r"no readable synthetic_corpus\.json"):
        prepare_corpus("synthetic", tree, REPO_ID)
