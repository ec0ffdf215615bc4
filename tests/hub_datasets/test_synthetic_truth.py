"""Exact motion of a rendered tree: what is stored of it, computed again, and trees that are refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from hub_datasets.errors import CorpusOptionError
from hub_datasets.records import RENDERED_MANIFEST
from hub_datasets.synthetic.layouts import SyntheticLayout
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import write_tree
from hub_datasets.synthetic.truth import RenderedTree, find_rendered_root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    settings = CorpusSettings(num_subjects=1, num_clips=2, size_hw=(48, 48), fps=60, duration_s=(0.1, 0.2), seed=5)
    folder = tmp_path_factory.mktemp("tree") / "corpus"
    write_tree(settings, SyntheticLayout(), folder)
    return folder


def frames_of(root, recording="r001"):
    return sorted(map(str, (root / "recordings" / "s001" / recording).iterdir()))


def test_motion_is_that_of_the_stored_ground_truth(root):
    truth = RenderedTree(root).clip(frames_of(root))
    with np.load(root / "ground_truth" / "s001_r001.npz") as stored:
        onset, apex, _ = stored["event_frames"][0]
        np.testing.assert_allclose(truth.flow(onset, apex), stored["flow"][0], atol=2e-3)
        np.testing.assert_allclose(truth.five_points, stored["five_points"], atol=1e-5)
        assert np.abs(stored["flow"]).max() > 0.1
    assert truth.points_68 is None


def test_a_part_of_a_recording_begins_where_its_frames_do(root):
    frames = frames_of(root)
    tree = RenderedTree(root)
    whole, part = tree.clip(frames), tree.clip(frames[2:5])
    assert np.array_equal(part.flow(0, 2), whole.flow(2, 4))
    assert np.array_equal(part.five_points, whole.five_points[2:5])


def test_only_frames_of_the_tree_have_its_motion(root, tmp_path):
    assert find_rendered_root(frames_of(root)[0]) == root
    assert find_rendered_root(str(tmp_path / "00001.jpg")) is None
    tree = RenderedTree(root)
    with pytest.raises(CorpusOptionError, match="is no recording of the rendered tree"):
        tree.clip([str(root / "recordings" / "s009" / "r001" / "00001.jpg")])
    with pytest.raises(CorpusOptionError, match=r"99999\.jpg.* give the frames as they were rendered"):
        tree.clip([str(Path(frames_of(root)[0]).with_name("99999.jpg"))])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"generator_version": 3}, "of generator .*, but .* is of 3: render it again, or estimate the motion"),
        (
            {"settings": {"face_model": True}, "digest": "of the model's files"},
            "another face model than the built-in faces: give the folder",
        ),
        ({"settings": {"seed": 6}}, "another face model"),
    ],
)
def test_a_tree_that_cannot_be_moved_again_is_refused(root, tmp_path, changes, complaint):
    manifest = json.loads((root / RENDERED_MANIFEST).read_text())
    settings = {**manifest["settings"], **changes.get("settings", {})}
    (tmp_path / RENDERED_MANIFEST).write_text(json.dumps({**manifest, **changes, "settings": settings}))
    with pytest.raises(CorpusOptionError, match=complaint):
        RenderedTree(tmp_path)
