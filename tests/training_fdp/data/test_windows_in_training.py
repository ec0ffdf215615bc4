"""Training on windows: what a batch shows, teaches and draws; where windows end; which corpora have them."""

import dataclasses
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from evaluation_fdp.errors import ConfigError
from hub_datasets.base import clip_features
from hub_datasets.synthetic.layouts import SyntheticLayout
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import write_tree
from modeling_fdp import FDPConfig
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation, parse_augmentation, soft_labels
from training_fdp.data.batches import ClipBatches
from training_fdp.data.clips import Clip
from training_fdp.data.corpora import load_corpora
from training_fdp.data.options import BatchOptions, DataOptions
from training_fdp.data.people import subjects_by_corpus
from training_fdp.data.recordings import SURROUNDINGS, whole_recordings
from training_fdp.data.windows import WINDOW_KINDS, Movement, possible_kinds, progress
from training_fdp.methods.fdp import FDPMethod
from training_fdp.methods.fdp_options import FDPOptions

ONSET, APEX, OFFSET, TOTAL, SHOWN = 30, 40, 55, 90, 16
WINDOWS = AugmentationConfig(windows=1.0)
UNITS = ({"code": "12", "side": "L", "alternative": 0},)


def numbered(**changes) -> Clip:
    """A recording whose frames show twice their number."""
    frames = (2 * torch.arange(TOTAL, dtype=torch.uint8))[:, None, None].expand(-1, 8, 8).contiguous()
    clip = Clip("toy/1", "s1", frames, 1, ONSET, APEX, OFFSET, UNITS)
    return dataclasses.replace(clip, **changes)


def batches(*clips: Clip, targets=None) -> ClipBatches:
    processor = FDPVideoProcessor(alignment="none", num_frames=SHOWN)
    return ClipBatches(list(clips), processor, BatchOptions(), SHOWN, torch.device("cpu"), targets)


def load(clip: Clip, seed: int, augmentation=WINDOWS, targets=None):
    loader = batches(clip, targets=targets)
    return loader.load([0], None, augmentation, torch.Generator().manual_seed(seed))


def numbers_of(batch) -> np.ndarray:
    return np.rint((batch["pixel_values"][0, :, 0, 0, 0].numpy() + 1) * 127.5 / 2)


def fdp_targets(clip, indices, normalize):
    config = FDPConfig.from_preset("tiny", reference="movement_patterns", action_units=["4", "12"])
    return FDPMethod(FDPOptions()).targets(clip, indices, config, normalize)


def test_a_seed_gives_the_same_window_and_light():
    first, second = load(numbered(), 3), load(numbered(), 3)
    assert torch.equal(first["pixel_values"], second["pixel_values"])
    assert not torch.equal(load(numbered(), 4)["pixel_values"], first["pixel_values"])


def test_windows_leave_the_movement_and_held_out_clips_do_not():
    shown = [numbers_of(load(numbered(), seed)) for seed in range(60)]
    assert (
        min(numbers.min() for numbers in shown) < ONSET - 10 and max(numbers.max() for numbers in shown) > OFFSET + 5
    )
    held_out = numbers_of(batches(numbered()).load([0]))
    assert held_out[0] == ONSET and held_out[-1] == OFFSET


def test_progress_follows_the_frames_that_are_drawn():
    def with_numbers(clip, indices, normalize):
        return {**fdp_targets(clip, indices, normalize), "numbers": torch.from_numpy(indices)}

    lit = 0
    for seed in range(40):
        batch = load(numbered(), seed, targets=with_numbers)
        numbers = batch["numbers"][0].numpy()
        assert np.allclose(batch["progress_targets"][0], progress(numbers, ONSET, APEX, OFFSET))
        lit += not np.array_equal(numbers_of(batch), numbers)
    assert 5 < lit < 25, "else pixels are the numbers"


def test_where_nothing_moves_no_class_is_right_and_no_unit_moved():
    quiet = [batch for seed in range(120) if (batch := load(numbered(), seed, targets=fdp_targets))["labels"] == -1]
    assert 2 <= len(quiet) <= 15, "one in twenty"
    for batch in quiet:
        assert (batch["action_units"] == 0).all() and (batch["progress_targets"] == 0).all()
        soft = build_augmentation(WINDOWS, num_labels=4)(batch, torch.Generator())["labels"]
        assert torch.equal(soft, torch.full((1, 4), 0.25))
    moving = load(numbered(), 0, targets=fdp_targets)
    assert moving["labels"] == 1 and moving["action_units"][0].tolist() == [[0, 0], [1, 0]]


def test_soft_labels():
    assert soft_labels(torch.tensor([2, -1]), 4).tolist() == [[0, 0, 1, 0], [0.25] * 4]


@pytest.mark.parametrize(
    "changes",
    [
        {"apex": None},
        {"onset": None, "offset": None},
        {"onset": None, "apex": None, "offset": None},
        {"offset": APEX},
        {"onset": APEX},
        {"pixels": torch.zeros(2, 8, 8, dtype=torch.uint8), "onset": 0, "apex": 1, "offset": 1},
        {"pixels": torch.zeros(1, 8, 8, dtype=torch.uint8), "onset": 0, "apex": 0, "offset": 0},
    ],
)
def test_any_clip_has_windows(changes):
    for seed in range(40):
        batch = load(numbered(**changes), seed)
        assert batch["pixel_values"].shape == (1, SHOWN, 1, 8, 8) and batch["pixel_values"].isfinite().all()


def test_kinds_that_a_sheet_does_not_tell_apart_are_left_out():
    assert possible_kinds(Movement(90, 30, 40, 55), True) == tuple(WINDOW_KINDS)
    unknown = possible_kinds(Movement(90, 30, 40, 55), False)
    assert not {"rise", "fall", "held at the apex", "there and back", "around the apex"} & set(unknown) and unknown
    assert "fall" not in possible_kinds(Movement(90, 30, 55, 55), True), "the clip ends at its apex"


def test_half_of_the_clips_may_stay_as_they_are():
    half = AugmentationConfig(windows=0.5)
    plain = [np.array_equal(numbers_of(load(numbered(), seed, half))[[0, -1]], [ONSET, OFFSET]) for seed in range(100)]
    assert 0.4 < np.mean(plain) < 0.75


def test_the_named_augmentation_jitters_crops_and_draws_windows():
    named = parse_augmentation("any_window")
    assert named == AugmentationConfig.any_window() and named.windows == 1 and named.scale == 0.18
    assert parse_augmentation("any_window,flip=0").flip == 0 and not parse_augmentation("default").mixes_labels
    with pytest.raises(ConfigError, match=r"\[0, 1.0\]"):
        parse_augmentation("windows=2")


@pytest.mark.parametrize(
    ("options", "augmentation", "message"),
    [
        ({"dynamic_image_target": "full_clip"}, WINDOWS, "sums the clip"),
        ({}, dataclasses.replace(WINDOWS), "mixed labels"),
    ],
)
def test_what_windows_cannot_be_combined_with(options, augmentation, message):
    config = FDPConfig.from_preset("tiny", label_smoothing=0.1)
    with pytest.raises(ConfigError, match=message):
        FDPMethod(FDPOptions(**options)).check(config, augmentation)


# ------------------------------------------------------------------- recordings
def rows_of(folder: Path, spans: dict[str, tuple[int, int]], count: int = 60) -> datasets.Dataset:
    """Clips of one recording of empty files, by name: first and last frame."""
    folder.mkdir(parents=True)
    names = [f"{number:03d}.png" for number in range(count)]
    for name in names:
        (folder / name).touch()
    rows = [
        {
            "clip_id": f"toy/{clip}", "corpus": "toy", "subject": "s", "recording": "r", "video": None,
            "frames": [str(folder / name) for name in names[first : last + 1]],
            "frame_numbers": list(range(first, last + 1)), "onset_index": 0, "apex_index": (last - first) // 2,
            "offset_index": last - first, "clip_end": "offset", "fps": 60.0, "action_units": [],
            "emotion": "happiness", "label": 0, "notes": [],
        }
        for clip, (first, last) in spans.items()
    ]  # fmt: skip
    return datasets.Dataset.from_list(rows, features=clip_features(["a"]))


def test_a_clip_gets_the_quiet_frames_up_to_its_neighbours(tmp_path):
    rows = rows_of(tmp_path / "r", {"early": (5, 12), "late": (20, 29)})
    early, late = whole_recordings(rows)
    first = [Path(row["frames"][0]).stem for row in (early, late)]
    last = [Path(row["frames"][-1]).stem for row in (early, late)]
    assert first == ["000", "013"] and last == ["019", "059"], "from its neighbour to the end of the recording"
    for row, onset in ((early, "005"), (late, "020")):
        assert Path(row["frames"][row["onset_index"]]).stem == onset
        assert row["frame_numbers"][row["onset_index"]] == row["onset_index"] + int(Path(row["frames"][0]).stem)


def test_a_long_recording_is_cut_to_what_windows_show(tmp_path):
    (row,) = whole_recordings(rows_of(tmp_path / "r", {"only": (100, 103)}, count=200))
    assert len(row["frames"]) == 4 + 2 * SURROUNDINGS * 4 and row["onset_index"] == SURROUNDINGS * 4


def test_clips_whose_end_is_unknown_stay_as_they_are(tmp_path):
    rows = rows_of(tmp_path / "r", {"clip": (5, 12)})
    changed = datasets.Dataset.from_list([{**rows[0], "offset_index": None}], features=rows.features)
    assert whole_recordings(changed)[0] == changed[0]


def test_several_folders_of_one_corpus_are_several_people(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "rows")
    for seed in (1, 2):
        settings = CorpusSettings(num_subjects=2, num_clips=3, size_hw=(32, 32), mix="3class", seed=seed)
        write_tree(settings, SyntheticLayout(), tmp_path / str(seed))
    options = DataOptions(corpus=["synthetic"] * 2, data_dir=[str(tmp_path / "1"), str(tmp_path / "2")])
    corpora = load_corpora(options)
    assert set(corpora.table.corpora) == {"synthetic", "synthetic_2"} and len(set(corpora.table.clip_ids)) == 6
    assert len(set(corpora.table.subjects)) == 4
    seen = subjects_by_corpus(corpora.table, corpora.people, range(6))
    assert [len(people) for people in seen.values()] == [2, 2]
    assert any(name.endswith("seed 1") for name in seen) and any(name.endswith("seed 2") for name in seen)
