import dataclasses
from pathlib import Path

import pytest

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.markdown import write_block
from tests.fakes.results import run_results
from training_fdp.ablations import running
from training_fdp.ablations.__main__ import main, parse_arguments
from training_fdp.ablations.variants import REFERENCE, VARIANTS
from training_fdp.cli import read_pairs
from training_fdp.config import TrainConfig, parse_train_config
from training_fdp.data.augmentation import AugmentationConfig, parse_augmentation
from training_fdp.errors import TrainingError

ANSWERS = {"dynamic_image_mse": 0.003, "dynamic_image_mse_constant": 0.004, "rank_kendall_tau": 0.9}


BASE = ["--corpus", "synthetic", "--output_dir", "out", "--model_overrides", "drop_path_rate=0.0"]


# What `BASE` is already: spelled as overrides, as options of train.py and as a preset.
OF_THE_REFERENCE = {
    REFERENCE,
    "pooling_convolution",
    "image_weight_100",
    "first_frame_motion",
    "size_tiny",
    "frames_16",
    "pixels_64",
}


PRETRAINED = [name for name, variant in VARIANTS.items() if variant.pretraining is not None]
FROM_SCRATCH = [name for name in VARIANTS if name not in PRETRAINED]


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_every_variant_can_be_built_and_only_some_are_the_reference(name, tmp_path):
    reference = parse_train_config(BASE)
    changed = parse_train_config([*BASE, *running.variant_arguments(reference, VARIANTS[name], tmp_path)])
    model = running._network(changed)
    running._training(changed)
    parse_augmentation(changed.batches.augmentation)
    assert model.drop_path_rate == 0.0, "the reference's own overrides must survive"
    assert changed.run.output_dir == str(tmp_path)
    assert not changed.run.final_model
    variant = VARIANTS[name]
    for field, value in variant.settings.items():
        assert changed.flat()[field] == value
    for field, value in variant.model.items():
        assert getattr(model, field) == value
    assert running.repeats_reference(reference, changed) == (name in OF_THE_REFERENCE)
    if name == REFERENCE:
        same = {**changed.flat(), "output_dir": "out", "final_model": reference.run.final_model}
        assert same == reference.flat()


def test_each_augmentation_is_measured_alone_and_all_of_them_are():
    alone = [
        parse_augmentation(str(variant.settings["augmentation"]))
        for name, variant in VARIANTS.items()
        if variant.group == "augmentation" and name != "augmentation_none"
    ]
    off = AugmentationConfig()
    measured = set()
    for config in alone:
        changed = {
            field.name
            for field in dataclasses.fields(config)
            if getattr(config, field.name) != getattr(off, field.name)
        }
        assert changed in ({"gamma", "brightness"}, {"phase", "reverse_offset_phase"}) or len(changed) == 1
        measured |= changed
    assert measured == {field.name for field in dataclasses.fields(off)} - {"mixup_alpha"}


@pytest.mark.parametrize(("preset", "depths"), [("tiny", [0, 0]), ("small", [0, 0, 0, 0])])
def test_depths_fit_the_stages_of_the_reference(preset, depths):
    config = parse_train_config(["--corpus", "synthetic", "--output_dir", "out", "--preset", preset])
    arguments = running.variant_arguments(config, VARIANTS["global_none"], Path("out"))
    changed = parse_train_config(["--corpus", "synthetic", "--preset", preset, *arguments])
    assert changed.network.overrides == {"global_depths": depths}


def test_choosing_by_name_and_group_always_brings_the_reference():
    assert running.choose_variants([], []) == FROM_SCRATCH, "hours of pretraining are asked for by name"
    assert running.choose_variants([], ["pretraining"]) == [REFERENCE, *PRETRAINED]
    assert running.choose_variants(["rank_0"], []) == [REFERENCE, "rank_0"]
    assert running.choose_variants([], ["first frame"]) == [
        REFERENCE,
        "first_frame_none",
        "first_frame_pixels",
        "frame_and_change",
        "first_frame_motion",
        "first_frame_features",
    ]
    with pytest.raises(ConfigError, match="rank_0"):
        running.choose_variants(["rank0"], [])


def test_runs_go_into_their_own_folders_and_what_lies_there_is_tabled(tmp_path, monkeypatch):
    seen = []

    def run(config: TrainConfig, arguments):
        seen.append((config, list(arguments)))
        place = tmp_path / config.run.output_dir
        place.mkdir(parents=True)
        (place / "results.json").touch()
        return 0

    def read(path):
        return run_results(0.5 if path.parent.name == REFERENCE else 0.45, answers=ANSWERS)

    monkeypatch.setattr("training_fdp.runs.run.run", run)
    monkeypatch.setattr(running, "read_results", read)
    arguments = ["--corpus", "synthetic", "--seeds", "0", "1", "--output_dir", str(tmp_path / "out")]
    results = running.run_variants(arguments, [REFERENCE, "rank_0", "size_tiny"])
    assert list(results) == [REFERENCE, "rank_0"]
    assert [config.run.output_dir for config, _ in seen] == [str(tmp_path / "out" / name) for name in results]
    assert parse_train_config(seen[1][1]) == seen[1][0], "the recorded command must repeat the run"
    lines = running.ablation_table(results).splitlines()
    assert lines[:2] == ["### Rank hinge", ""]
    lines = lines[2:]
    assert len(lines) == 5 and lines[3].startswith("| reference | 0.500 ± 0.010 ")
    assert lines[4].startswith("| weight 0 | 0.450 ± 0.010 ")
    assert lines[4].endswith("| 2 | -5.0 | 0.75 | 0.900 |")
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize("name", PRETRAINED)
def test_pretraining_renders_other_people_for_the_same_network(name, tmp_path):
    arguments = [*BASE, "--label_set", "5class", "--preset", "small", "--seeds", "0", "1", "--epochs", "20"]
    reference = parse_train_config(arguments)
    pretraining = VARIANTS[name].pretraining
    options = ["face_model=model", "seed=3"]
    first = parse_train_config(running.pretraining_arguments(reference, pretraining, options, tmp_path / "first"))
    rendered = read_pairs("corpus_options", first.data.corpus_options)
    assert rendered["face_model"] == "model" and rendered["seed"] == pretraining.seed
    assert rendered["num_subjects"] * rendered["clips_per_subject"] == pretraining.num_clips
    assert (first.protocol.protocol, first.method.preset, first.data.label_set, first.protocol.seeds) == (
        "none",
        "small",
        "5class",
        [],
    )
    assert first.network.model_overrides == reference.network.model_overrides and first.run.final_model

    changed = parse_train_config([*arguments, *running.variant_arguments(reference, VARIANTS[name], tmp_path / name)])
    assert changed.network.init_from == str(running.pretraining_place(pretraining, tmp_path) / "final")
    if name.endswith("_trained"):
        assert changed.training.max_steps is None and changed.protocol.seeds == [0, 1]
        assert changed.training.learning_rate < reference.training.learning_rate
    else:
        assert changed.training.max_steps == 0 and changed.protocol.seeds == [0], (
            "without training every seed gives the same figure"
        )


def test_pretraining_comes_first_and_a_variant_waits_for_it(tmp_path, monkeypatch, caplog):
    places, fails = [], set()

    def run(config, arguments):
        places.append(Path(config.run.output_dir).name)
        return int(places[-1] in fails)

    monkeypatch.setattr("training_fdp.runs.run.run", run)
    arguments = ["--corpus", "synthetic", "--output_dir", str(tmp_path)]
    running.run_variants(arguments, ["pretraining_1000"], ["difficulty=mild"])
    assert places == ["pretrained_1000", "pretraining_1000"]
    places.clear()
    fails.add("pretrained_1000")
    running.run_variants(arguments, ["pretraining_1000"], ["difficulty=mild"])
    assert places == ["pretrained_1000"]
    assert "ablation pretraining_1000 waits for it" in caplog.text


def test_tables_name_what_is_incomplete_and_what_selection_inflates():
    results = {
        REFERENCE: run_results(0.5),
        "rank_0": run_results(0.4, complete=False),
        "best_on_test_subject": run_results(0.5, literature=0.62),
    }
    text = running.ablation_table(results)
    assert "weight 0 (folds missing)" in text
    assert "UF1 0.500 into 0.620 (+12.0 points)" in text


def test_questions_and_settings_are_ordered_by_the_size_of_their_difference():
    figures = {REFERENCE: 0.5, "rank_0": 0.52, "rank_1": 0.4, "first_frame_none": 0.2, "first_frame_pixels": 0.45}
    table = running.ablation_table({name: run_results(uf1) for name, uf1 in figures.items()})
    lines = [line.split(" | ")[0] for line in table.splitlines() if line.startswith(("### ", "| "))]
    assert lines == [
        "### First frame", "| method", "| ---", "| guessing by the class shares", "| reference",
        "| no reference to it", "| its pixels",
        "### Rank hinge", "| method", "| ---", "| reference", "| weight 1", "| weight 0",
    ]  # fmt: skip


def test_answers_that_a_variant_does_not_give_stay_empty():
    without = {"rank_kendall_tau": 0.9}
    results = {REFERENCE: run_results(0.5, answers=ANSWERS), "image_weight_0": run_results(0.5, answers=without)}
    assert running.ablation_table(results).splitlines()[-1].endswith("| 2 | +0.0 |  | 0.900 |")


def test_generated_block_is_replaced_and_what_people_wrote_stays(tmp_path):
    path = tmp_path / "docs" / "results.md"
    write_block(path, "ablations", "first")
    path.write_text("# Results\n\nBy hand.\n\n" + path.read_text() + "\nMore by hand.\n")
    write_block(path, "ablations", "second")
    write_block(path, "baselines", "other")
    text = path.read_text()
    assert "first" not in text
    assert text.count("<!-- begin: ablations -->") == 1
    assert text.index("By hand.") < text.index("second") < text.index("More by hand.") < text.index("other")
    path.write_text("<!-- begin: ablations -->\nno end")
    with pytest.raises(ConfigError, match="holds one of them"):
        write_block(path, "ablations", "third")


def test_a_table_without_its_reference_is_one_sentence(monkeypatch):
    monkeypatch.setattr(running, "run_variants", lambda *arguments: {})
    monkeypatch.setattr("sys.argv", ["ablations", "--variants", "rank_0"])
    with pytest.raises(TrainingError, match="needs the reference, but no fold of it is finished"):
        main()


def test_own_options_are_split_from_those_of_train():
    words = ["--groups", "pooling", "--corpus", "synthetic", "--pretraining_options", "fps=60", "size=128"]
    options, rest = parse_arguments([*words, "--docs", "docs/results.md"])
    assert options.pretraining_options == ["fps=60", "size=128"]
    assert options.groups == ["pooling"]
    assert str(options.docs) == "docs/results.md"
    assert rest == ["--corpus", "synthetic"]
