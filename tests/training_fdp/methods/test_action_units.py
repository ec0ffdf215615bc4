"""Coded action units: targets, and what a run learns from them."""

import pytest
import torch

from hub_datasets.scanning.action_units import parse_action_units
from modeling_fdp import FDPConfig, FDPForVideoClassification
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
from training_fdp.data.followers import Sides
from training_fdp.methods.action_units import FACS_CODES, action_unit_targets, is_coded
from training_fdp.methods.base import LossContext
from training_fdp.methods.fdp_losses import training_losses

NAN = float("nan")


def unit(code, side="", alternative=0):
    return {"code": code, "side": side, "intensity": "B", "alternative": alternative}


def same(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), equal_nan=True)


def test_nothing_is_coded_in_an_empty_sheet():
    assert not is_coded([])
    assert not is_coded([[], []])
    assert is_coded([[], [unit("4")]])


def test_targets_by_hand():
    clips = [[], [unit("4")], [unit("12", "L"), unit("99")], [unit("4", "R", alternative=1), unit("12", "A")]]
    expected = [
        [[NAN, NAN], [NAN, NAN]],
        [[1.0, 1.0], [0.0, 0.0]],
        [[0.0, 0.0], [1.0, 0.0]],
        [[0.0, NAN], [1.0, 1.0]],
    ]
    same(action_unit_targets(clips, ("4", "12")), expected)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("12A/B", 1.0),
        ("A/L12", 1.0),
        ("R12 or L12", 1.0),
        ("12+12?", 1.0),
        ("12?", NAN),
        ("12 or 6", NAN),
        ("4", 0.0),
    ],
)
def test_what_is_certain_of_a_cell(cell, expected):
    """A doubt about side or intensity is none about the unit."""
    found = action_unit_targets([parse_action_units(cell).as_rows()], ("12",)).amax(-1)
    same(found, [[expected]])


def test_mixing_with_an_uncoded_clip_leaves_the_unmixed_alone():
    units = torch.tensor([[[1.0, 0.0]], [[NAN, NAN]]]).repeat(4, 1, 1)
    batch = {
        "pixel_values": torch.rand(8, 2, 1, 8, 8),
        "labels": torch.zeros(8, dtype=torch.long),
        "action_units": units,
    }
    rarely = build_augmentation(AugmentationConfig(mixup=1e-9), num_labels=2, followers={"action_units": Sides()})
    same(rarely(batch, torch.Generator().manual_seed(0))["action_units"], units.tolist())
    always = build_augmentation(AugmentationConfig(mixup=1.0), num_labels=2, followers={"action_units": Sides()})
    assert always(batch, torch.Generator().manual_seed(0))["action_units"].isnan().sum() > units.isnan().sum()


@pytest.mark.parametrize("options", [("--recipe", "released"), ("--preset", "released")])
def test_the_released_network_is_taught_none(toy_corpus, toy_arguments, monkeypatch, options, tmp_path):
    from training_fdp.config import parse_train_config
    from training_fdp.runs.engine import build_accelerator
    from training_fdp.runs.prepare import prepare_run

    toy_corpus(units=("4", "12", "1"))
    arguments = toy_arguments(tmp_path / "OUT")
    whole = [*arguments[: arguments.index("--image_size")], *options]
    config = parse_train_config(whole)
    assert prepare_run(config, build_accelerator(config.training, config.run)).network.action_units == []


def test_the_list_of_codes_is_the_main_ones():
    assert len(set(FACS_CODES)) == len(FACS_CODES)
    assert {"1", "2", "4", "6", "7", "9", "10", "12", "14", "15", "17"} <= set(FACS_CODES)
    assert not {"3", "8", "19", "21", "43", "57"} & set(FACS_CODES)


@pytest.fixture
def record(toy_corpus, toy_run, tmp_path):
    """Runs one fold; returns its curve and its model."""

    def go(*options, name="OUT", units=("4", "12", "1")):
        toy_corpus(units=units)
        assert toy_run(tmp_path / name, "--folds", "fold0", *options) == 0
        folder = tmp_path / name / "folds" / "fold0"
        return folder, FDPForVideoClassification.from_pretrained(folder)

    return go


def test_a_corpus_that_codes_them_teaches_them(record):
    folder, model = record()
    assert model.config.action_units == list(FACS_CODES)
    assert "action_unit" in (folder / "training_curve.json").read_text()


def test_none_teaches_none(record):
    folder, model = record("--action_units", "none")
    assert model.config.action_units == [] and model.action_unit_output is None
    assert "action_unit" not in (folder / "training_curve.json").read_text()


def test_a_corpus_without_them_teaches_none(record):
    _, model = record(units=None)
    assert model.config.action_units == []


def test_held_out_units_do_not_count(record, toy_corpus, toy_run, toy_clips, tmp_path):
    """Other units of the held-out clips give the same model to the last bit; other units of training clips do not."""
    from evaluation_fdp.protocols import make_folds

    _, table = toy_clips()
    fold = make_folds(table, "kfold2")[0]
    _, plain = record()

    def changed(rows, name):
        toy_corpus(units=("4", "12", "1"), changed=dict.fromkeys(rows, "17"))
        assert toy_run(tmp_path / name, "--folds", "fold0") == 0
        return FDPForVideoClassification.from_pretrained(tmp_path / name / "folds" / "fold0")

    def equal(other):
        return all(torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters(), strict=True))

    assert equal(changed(fold.test_indices, "held_out"))
    assert not equal(changed(fold.train_indices, "training"))


def test_a_start_brings_its_units_and_none_leaves_them(record, toy_corpus, toy_clips, toy_arguments, tmp_path):
    from training_fdp.config import parse_train_config
    from training_fdp.runs.run import run

    start, _ = record()
    toy_corpus(*toy_clips(corpus="others"), units=("4", "12", "1"))

    def tuned(name, *options):
        arguments = toy_arguments(tmp_path / name)
        whole = [*arguments[: arguments.index("--model_overrides")], "--init_from", str(start), "--folds", "fold0"]
        whole = [*whole, *options]
        assert run(parse_train_config(whole), whole) == 0
        return FDPForVideoClassification.from_pretrained(tmp_path / name / "folds" / "fold0").config

    assert tuned("with").action_units == list(FACS_CODES)
    assert tuned("without", "--action_units", "none").action_units == []


def test_a_unit_of_one_side_counts_as_one_that_moved():
    torch.manual_seed(0)
    config = FDPConfig.from_preset("tiny", num_labels=2, action_units=["4", "12"], drop_path_rate=0.0)
    model = FDPForVideoClassification(config).eval()
    batch = {"pixel_values": torch.rand(2, config.num_frames, 1, 64, 64) - 0.5, "labels": torch.tensor([0, 1])}

    def loss(left, right):
        units = torch.tensor([[left, right], [0.0, 0.0]]).repeat(2, 1, 1)
        with torch.no_grad():
            return float(training_losses(model, {**batch, "action_units": units}, LossContext(config))["action_unit"])

    assert loss(1.0, 0.0) == loss(0.0, 1.0) == loss(1.0, 1.0) != loss(0.0, 0.0)
