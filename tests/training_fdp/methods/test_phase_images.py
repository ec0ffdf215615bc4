"""Phase-aware dynamic images as a method: the apex of the sheet, what is counted, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.protocols import make_folds
from training_fdp.config import parse_train_config
from training_fdp.data.augmentation import AugmentationConfig
from training_fdp.data.clips import Clip
from training_fdp.methods.base import NetworkRequest
from training_fdp.methods.phase_images import PhaseImages, PhaseImagesOptions
from training_fdp.runs.run import run


def method(**options):
    return PhaseImages(PhaseImagesOptions(**options))


@pytest.mark.parametrize(("apex", "place"), [(10, 4), (11, 4), (None, -1), (2, -1), (22, -1), (0, -1)])
def test_the_apex_is_the_nearest_sampled_frame_and_an_end_is_none(apex, place):
    clip = Clip("c", "s", torch.zeros(30, 4, 4, dtype=torch.uint8), onset=2, apex=apex, offset=22)
    indices = np.linspace(2, 22, 11).astype(np.int64)
    assert method().targets(clip, indices, None, None)["sheet_apex_index"].item() == place


def test_the_sheet_is_not_read_where_the_apex_is_estimated():
    batch = {"pixel_values": torch.rand(1, 8, 1, 16, 16), "sheet_apex_index": torch.tensor([3])}
    assert set(method().inputs(batch)) == {"pixel_values", "apex_index"}
    assert set(method(apex_source="estimated").inputs(batch)) == {"pixel_values"}


def test_what_is_left_out_and_estimated_is_counted():
    batch = {
        "pixel_values": torch.rand(3, 8, 1, 16, 16),
        "labels": torch.tensor([0, 1, 1]),
        "sheet_apex_index": torch.tensor([4, 1, -1]),
    }

    def answers(made):
        config = made.configure(NetworkRequest(("a", "b"), {"num_frames": 8, "image_size": 16}))
        torch.manual_seed(0)
        model = made.build(config).eval()
        return made.answers(model(**made.inputs(batch)), batch, config, None)

    first, second, third = answers(method())
    assert (first["rise_left_out"], second["rise_left_out"]) == (0, 1) and "rise_right" not in second
    assert (first["apex_estimated"], third["apex_estimated"]) == (0, 1)
    assert "apex_error" not in first and "apex_error" not in third
    first, second, third = answers(method(apex_source="estimated"))
    assert 0 <= first["apex_error"] <= 1 and first["apex_estimated"] == 1 and "apex_error" not in third
    assert set(first) <= set(PhaseImages.answer_titles)


@pytest.mark.parametrize("option", ["phase", "mixup"])
def test_augmentation_that_leaves_no_phases_is_refused(option):
    made = method()
    with pytest.raises(ConfigError, match=f"{option}=0.5 .*add {option}=0"):
        made.check(None, AugmentationConfig(**{option: 0.5}))


def test_a_setting_it_lacks_is_refused():
    with pytest.raises(ConfigError, match="has no model settings"):
        method().configure(NetworkRequest(("a", "b"), {"hidden_sizes": [8]}))
    with pytest.raises(ConfigError, match="a multiple of 8 pixels"):
        method(image_network="vit").configure(NetworkRequest(("a", "b"), {"image_size": 20}))


def test_both_phases_of_a_clip_lie_in_its_fold_and_what_was_counted_is_reported(
    toy_corpus, toy_clips, tmp_path, monkeypatch
):
    """The images are made of a clip inside the network, so a clip's fold is that of all of its images."""
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))
    clips, table = toy_clips(num_frames=9)
    toy_corpus([dataclasses.replace(clip, apex=None if row % 3 else 4) for row, clip in enumerate(clips)], table)
    command = [
        *("--method", "phase_images", "--corpus", "synthetic", "--protocol", "loso", "--final_model", "false"),
        *("--output_dir", str(tmp_path / "OUT"), "--num_frames", "9", "--image_size", "32", "--max_steps", "15"),
        *("--batch_size", "6", "--processor_overrides", "alignment=none"),
    ]
    assert run(parse_train_config(command), command) == 0
    results = json.loads((tmp_path / "OUT" / "results.json").read_text())
    assert results["complete"] and len(results["folds"]) == len(make_folds(table, "loso"))
    assert results["answers"]["apex_estimated"]["mean"] == pytest.approx(2 / 3, abs=1e-6)
    assert results["metrics"]["uf1"] > results["chance"]["majority"]["uf1"]
    report = (tmp_path / "OUT" / "report.md").read_text()
    assert "accuracy from onset to apex alone" in report and "whose apex was estimated" in report
