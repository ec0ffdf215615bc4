"""Generated trees in every layout are aligned by their own ground truth, without any further file."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hub_datasets import load_corpus
from hub_datasets.__main__ import main
from hub_datasets.synthetic.landmark_tables import POINTS, TABLE
from hub_datasets.synthetic.truth import RenderedTree, find_rendered_root
from processing_fdp.crop_geometry_fdp import LANDMARK_NAMES
from processing_fdp.landmark_tables_fdp import LANDMARK_FILE_NAMES
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.aligned_clips import prepare_clips

SHORT = ("--num_subjects", "2", "--fps", "60", "--duration_s", "0.1", "0.2", "--size", "48", "48")
LONG = ("--neutral_s", "0.3")
# Words of the command, the loader, its label set.
TREES = {
    "synthetic": (("--clips", "4"), "synthetic", "9class"),
    "synthetic, long recordings": (("--clips", "6", "--events_per_recording", "3", *LONG), "synthetic", "9class"),
    "casme2": (("--layout", "casme2", "--clips", "4"), "casme2", "7class"),
    "casme2, raw package": (("--layout", "casme2", "--clips", "4", *LONG), "casme2", "7class"),
    "samm": (("--layout", "samm", "--clips", "4"), "samm", "8class"),
}


@pytest.fixture(scope="module", params=list(TREES))
def generated(request, tmp_path_factory):
    words, corpus, label_set = TREES[request.param]
    root = tmp_path_factory.mktemp("tree")
    assert main(["generate", "--output_dir", str(root), *SHORT, *words]) == 0
    return root, load_corpus(corpus, data_dir=root, label_set=label_set, cache_dir=tmp_path_factory.mktemp("rows"))


@pytest.fixture
def precomputed():
    return FDPVideoProcessor(size={"height": 24, "width": 24}, alignment="precomputed", crop_scale=3.0)


def five_points_of(root, row):
    """Points of the clip's own frames; recordings are numbered from their first frame, wherever the clip begins."""
    folder = Path(row["frames"][0]).parent
    names = {folder.name, f"{row['subject']}_{folder.name}"}
    (truth,) = (path for path in (root / "ground_truth").iterdir() if path.stem in names)
    first = min(int(re.findall(r"\d+", path.stem)[-1]) for path in folder.glob("*.jpg"))
    onset = row["frame_numbers"][0] - first
    with np.load(truth) as arrays:
        return arrays["five_points"][onset : onset + len(row["frames"])]


def test_every_clip_is_aligned_by_the_exact_points_of_its_frames(generated, precomputed):
    root, rows = generated
    assert len(rows) >= 4
    for row in rows:
        aligned = precomputed.align_clip(row["frames"], clip_id=row["clip_id"])
        assert aligned.track.frame_indices.tolist() == list(range(len(row["frames"])))
        np.testing.assert_array_equal(aligned.track.points, five_points_of(root, row))


def test_the_cache_of_training_takes_them(generated, precomputed, tmp_path):
    root, rows = generated
    clips = prepare_clips(rows, precomputed, tmp_path, num_proc=1)
    for row, clip in zip(rows, clips, strict=True):
        expected = precomputed.align_clip(row["frames"], landmarks=five_points_of(root, row)).frames
        assert clip.frames.equal(expected)


def test_a_folder_of_frames_is_found_by_its_name(generated, precomputed):
    _, rows = generated
    folder = rows[0]["frames"][0].rpartition("/")[0]
    aligned = precomputed.align_clip(folder)
    assert len(aligned.track.points) == len(aligned.frames) >= len(rows[0]["frames"])


def test_points_lie_on_an_upright_face(generated):
    root, rows = generated
    row = rows[0]
    points = five_points_of(root, row)[0]
    with Image.open(row["frames"][0]) as image:
        height, width = image.size[::-1]
    assert (points >= 0).all()
    assert (points < [width, height]).all()
    left_eye, right_eye, nose, left_corner, right_corner = points
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_corner[0] < right_corner[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_corner[1], right_corner[1])


def test_tables_are_named_as_they_are_looked_up(generated):
    root, _ = generated
    assert TABLE in LANDMARK_FILE_NAMES
    assert POINTS == LANDMARK_NAMES
    assert json.loads((root / "synthetic_corpus.json").read_text())["landmark_tables"] == 1


def test_a_tree_of_any_layout_moves_its_faces_again(generated):
    root, rows = generated
    tree = RenderedTree(root)
    for row in rows.select(range(2)):
        assert find_rendered_root(row["frames"][0]) == root
        truth = tree.clip(row["frames"])
        np.testing.assert_allclose(truth.five_points, five_points_of(root, row), atol=1e-5)
        assert not truth.flow(1, 1).any()
        flow = truth.flow(0, len(row["frames"]) - 1)
        # The tip of the nose, which no gap opens beside, moves as its pixel does.
        start, end = truth.five_points[0, 2], truth.five_points[-1, 2]
        column, line = np.rint(start).astype(int)
        np.testing.assert_allclose(flow[line, column], end - start, atol=0.05)
