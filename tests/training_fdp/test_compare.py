"""One table of all methods: what each run is, what is said where one cannot run, and that it is resumed."""

import dataclasses
import json
import re
import sys

import pytest
from datasets import Dataset

from evaluation_fdp.errors import ConfigError
from tests.fakes.fake import make_fake_corpus
from tests.fakes.results import run_results
from training_fdp.compare import planning, running, tables
from training_fdp.compare.__main__ import main, parse_arguments
from training_fdp.compare.planning import ROWS, Plan, plan_rows
from training_fdp.config import parse_train_config
from training_fdp.runs.run import run

SMALL = ("--image_size", "32", "--num_frames", "5", "--max_steps", "2", "--batch_size", "6")


@pytest.fixture
def command(toy_corpus, tmp_path, monkeypatch):
    """Runs the command on the toy corpus and returns its exit code; what it writes is in `tmp_path / "out"`."""
    monkeypatch.setattr("training_fdp.compare.planning.load_corpora", lambda options: toy_corpora(toy_corpus))
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))

    def go(*options):
        words = ["--corpus", "synthetic", "--protocol", "kfold2", *SMALL, "--output_dir", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", ["compare", *words, *options])
        return main()

    return go


def toy_corpora(install):
    from training_fdp.runs import prepare

    return prepare.load_corpora(None)


def test_own_options_are_split_from_those_of_train():
    options, rest = parse_arguments(
        ["--methods", "mol", "fdp", "--corpus", "casme2", "--pretraining", "--corpus synthetic --data_dir 'a b'"]
    )
    assert parse_arguments(["--row", "mol", "--face_model 'a b'"])[0].row == [["mol", "--face_model 'a b'"]]
    assert options.methods == ["mol", "fdp"] and rest == ["--corpus", "casme2"] and not options.dry_run
    assert options.pretraining == ["--corpus", "synthetic", "--data_dir", "a b"]


# 3 classes where the corpus has them, so that one run of `train.py` could hold all of them.
@pytest.mark.parametrize(
    ("name", "units", "apexes"),
    [("casme2", True, True), ("samm", True, True), ("smic", False, False), ("cas_me_3", True, True),
     ("megc2019", True, True)],
)  # fmt: skip
def test_every_row_is_configured_on_every_licensed_layout_or_says_why_not(tmp_path, monkeypatch, name, units, apexes):
    """Whole trees, one pixel a frame: folds, classes and codes are as published."""
    monkeypatch.setattr(planning, "_measured", lambda planned: (planned.network.num_frames, 1.0))
    root = make_fake_corpus(name, tmp_path / name, full_size=True, frame_size=1)
    plans = plan_rows(
        ["--corpus", name, "--data_dir", str(root), "--label_set", "3class", "--allow_lost_clips", "true",
         "--protocol", "loso", "--output_dir", str(tmp_path / "out")],
        list(ROWS),
        [],
    )  # fmt: skip
    assert [plan.name for plan in plans] == list(ROWS)
    refused = {plan.name: plan.not_run for plan in plans if plan.not_run}
    assert set(refused) == (set() if units else {"mer_clip"})
    assert units or "no clip of the corpus has any; choose a corpus whose sheet codes them" in refused["mer_clip"]
    told = {plan.name: (plan.taught, plan.told) for plan in plans}
    assert told["fdp"][0].startswith("action units of ") is units and told["fdp"][1] == ""
    assert told["phase_images"][1].startswith("apex") and told["fdp_paper"] == told["raw_cnn"] == ("", "")
    assert ("estimated in" in told["phase_images"][1]) is (not apexes or name == "megc2019")
    assert told["mol"] == ("flow and landmarks, estimated from the frames", "")
    assert not (tmp_path / "out").exists()


def test_a_row_is_the_run_that_train_would_do(toy_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "load_corpora", lambda options: toy_corpora(toy_corpus))
    monkeypatch.setattr(planning, "_measured", lambda planned: (1, 1.0))
    shared = ["--corpus", "synthetic", "--protocol", "kfold2", "--seeds", "1", "2", "--output_dir", str(tmp_path)]
    plans = {plan.name: parse_train_config(plan.arguments) for plan in plan_rows(shared, list(ROWS), [])}
    assert {name: config.network.method for name, config in plans.items()} == {
        **dict.fromkeys(ROWS, "fdp"),
        **{name: name for name in ROWS if name not in ("fdp", "fdp_any_window", "fdp_paper")},
    }
    assert plans["fdp_any_window"].run.recipe == "any_window" and plans["fdp_paper"].method.preset == "paper"
    assert plans["fdp_paper"].method.action_units == "none" and plans["fdp"].method.action_units == "coded"
    assert {config.run.output_dir for config in plans.values()} == {str(tmp_path / "scratch" / name) for name in ROWS}
    assert all(config.protocol.seeds == [1, 2] and not config.run.final_model for config in plans.values())


def test_what_cannot_be_compared_is_refused(toy_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "load_corpora", lambda options: toy_corpora(toy_corpus))
    shared = ["--corpus", "synthetic", "--output_dir", str(tmp_path)]
    with pytest.raises(ConfigError, match="no method called 'htnet'; choose among fdp"):
        plan_rows(shared, ["htnet"], [])
    with pytest.raises(ConfigError, match="--protocol none holds out no subject"):
        plan_rows([*shared, "--protocol", "none"], ["fdp"], [])


def test_a_folder_that_a_row_cannot_use_is_named_before_anything_is_trained(toy_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "_measured", lambda planned: (1, 1.0))
    monkeypatch.setattr(planning, "load_corpora", lambda options: toy_corpora(toy_corpus))
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))
    shared = ["--corpus", "synthetic", "--protocol", "kfold2", *SMALL, "--output_dir", str(tmp_path)]
    (row,) = plan_rows(shared, ["raw_cnn"], [])
    assert not row.not_run and run(parse_train_config(row.arguments), row.arguments) == 0
    assert not plan_rows(shared, ["raw_cnn"], [])[0].not_run, "the same command goes on"
    (changed,) = plan_rows([*shared, "--weight_decay", "0.3"], ["raw_cnn"], [])
    assert "holds a run with other settings (--weight_decay was" in changed.not_run
    (tmp_path / "scratch" / "motion_cnn").mkdir()
    (tmp_path / "scratch" / "motion_cnn" / "thesis.tex").touch()
    (foreign,) = plan_rows(shared, ["motion_cnn"], [])
    assert "holds files that are not a run's" in foreign.not_run


@pytest.mark.parametrize(
    ("files", "given", "complaint"),
    [
        ((), (), "2 of 2 clips have none, first a; give one for all"),
        (("a/landmarks.csv",), (), "1 of 2 clips have none, first b"),
        (("a/landmarks.csv", "b/landmarks.csv"), (), None),
        (("all.csv",), ("all.csv",), None),
        ((), ("all.csv",), "there is no file .*all.csv"),
    ],
)
def test_missing_landmark_tables_are_named_before_anything_is_read(
    files, given, complaint, toy_corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(planning, "_measured", lambda planned: (1, 1.0))
    corpora = toy_corpora(toy_corpus)
    rows = [
        {"clip_id": "a", "frames": [str(tmp_path / "a" / "1.png")], "video": None},
        {"clip_id": "b", "frames": None, "video": str(tmp_path / "b" / "b.avi")},
    ]
    corpora = dataclasses.replace(corpora, dataset=Dataset.from_list(rows))
    monkeypatch.setattr(planning, "load_corpora", lambda options: corpora)
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    paths = [f"landmarks_path={tmp_path / name}" for name in given]
    shared = ["--corpus", "synthetic", "--protocol", "kfold2", *SMALL, "--output_dir", str(tmp_path / "out")]
    (plan,) = plan_rows([*shared, "--processor_overrides", "alignment=precomputed", *paths], ["raw_cnn"], [])
    assert re.search(f"alignment=precomputed reads .*{complaint}", plan.not_run) if complaint else not plan.not_run
    assert not plan_rows(shared, ["raw_cnn"], [])[0].not_run


def test_an_option_that_one_method_lacks_leaves_out_that_row_alone(toy_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "load_corpora", lambda options: toy_corpora(toy_corpus))
    monkeypatch.setattr(planning, "_measured", lambda planned: (1, 1.0))
    shared = ["--corpus", "synthetic", "--protocol", "kfold2", "--output_dir", str(tmp_path)]
    fdp, cnn = plan_rows([*shared, "--model_overrides", "rank_loss_weight=0.0"], ["fdp", "raw_cnn"], [])
    assert not fdp.not_run and "has no settings ['rank_loss_weight']" in cnn.not_run
    own = {"fdp": ("--model_overrides", "rank_loss_weight=0.0")}
    others = ["--corpus", "synthetic", "--corpus_options", "seed=2"]
    plans = plan_rows(shared, ["fdp", "raw_cnn"], others, own)
    assert not plans[0].not_run and not plans[1].not_run
    for plan in plans[::2]:  # fdp from random weights and after other people
        for words in filter(None, (plan.arguments, plan.pretraining)):
            assert parse_train_config(words).network.model_overrides == ["rank_loss_weight=0.0"]
    with pytest.raises(ConfigError, match="no method called 'htnet'"):
        plan_rows(shared, ["fdp"], [], {"htnet": ()})


def test_what_a_pretraining_cannot_give_is_said_before_it_is_trained(tmp_path, monkeypatch):
    """Other classes, which plain networks cannot take over, and held-out people."""
    monkeypatch.setattr(planning, "_measured", lambda planned: (1, 1.0))
    people = "num_subjects=2 clips_per_subject=6 seed={}"
    shared = ["--corpus", "synthetic", "--label_set", "3class", "--corpus_options", *people.format(1).split(),
              "--protocol", "loso", "--output_dir", str(tmp_path)]  # fmt: skip
    small = ["--corpus", "synthetic", "--label_set", "5class", "--corpus_options", *people.format(2).split()]
    plans = plan_rows([*shared, "--image_size", "32"], ["fdp", "raw_cnn"], [*small, "--learning_rate", "2e-3"])
    assert [(plan.start, plan.name) for plan in plans] == [
        ("scratch", "fdp"), ("scratch", "raw_cnn"), ("pretrained", "fdp"), ("pretrained", "raw_cnn"),
    ]  # fmt: skip
    fdp, cnn = plans[2:]
    assert "choose a --label_set of the same classes" in cnn.not_run and not fdp.not_run
    first, then = parse_train_config(fdp.pretraining), parse_train_config(fdp.arguments)
    assert (first.protocol.protocol, first.network.image_size, first.training.learning_rate) == ("none", 32, 2e-3)
    assert then.network.init_from == f"{first.run.output_dir}/final"
    assert then.training.learning_rate == pytest.approx(3e-4) and then.run.output_dir == str(fdp.folder)
    (again,) = plan_rows(shared, ["fdp"], shared[:-4])[1:]
    assert "was trained on" in again.not_run
    (another,) = plan_rows([*shared, "--preset", "small"], ["fdp"], [*small, "--preset", "tiny"])[1:]
    assert "is another network than asked for" in another.not_run


def test_the_command_runs_what_is_left_and_leaves_a_table(command, tmp_path, capsys, monkeypatch):
    methods = ("--methods", "raw_cnn", "motion_cnn", "mer_clip")
    assert command(*methods, "--dry_run") == 0
    listed = capsys.readouterr().out
    assert listed.count("train.py --corpus synthetic") == 2 and not (tmp_path / "out").exists()

    assert command(*methods, "--docs", str(tmp_path / "page.md")) == 0
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert text.strip() in (tmp_path / "page.md").read_text() and text.strip() in capsys.readouterr().out
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[3:]] == ["| raw frames + CNN", "| FDP's motion channels + CNN"]
    assert "- MER-CLIP's alignment on FDP's video tower: --method mer_clip learns from coded action units" in text
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    (part,) = content["parts"]
    first, second, third = part["rows"]
    assert part["reference"] == first["name"] == "raw_cnn" and first["difference_interval"] is None
    low, high = second["difference_interval"]
    assert low <= second["metrics"]["uf1"] - first["metrics"]["uf1"] <= high
    assert second["complete"] and second["parameters"] > 1000 and second["clips_per_s"] > 0
    assert third["not_run"] and "metrics" not in third
    assert "--method motion_cnn" in second["command"]

    def refuse(*arguments):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr("training_fdp.folds.fold.FoldTrainer.train", refuse)
    assert command(*methods) == 0
    again = json.loads((tmp_path / "out" / "comparison.json").read_text())["parts"][0]["rows"]
    assert [row.get("metrics") for row in again] == [row.get("metrics") for row in part["rows"]]


def test_a_network_that_has_learnt_other_clips_is_a_row_of_a_second_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))
    people = "num_subjects=2 clips_per_subject=6 size=48 seed={}"
    words = ["--methods", "raw_cnn", "--corpus", "synthetic", "--label_set", "3class", "--corpus_options",
             *people.format(1).split(), "--protocol", "loso", *SMALL, "--output_dir", str(tmp_path / "out"),
             "--processor_overrides", "alignment=precomputed", "--cache_dir", str(tmp_path / "cache"),
             "--pretraining", f"--corpus synthetic --corpus_options {people.format(2)} --max_steps 3"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["compare", *words])
    assert main() == 0
    assert "### After learning clips of other people" in capsys.readouterr().out
    scratch, pretrained = json.loads((tmp_path / "out" / "comparison.json").read_text())["parts"]
    assert (scratch["start"], pretrained["start"]) == ("scratch", "pretrained")
    assert (
        "--init_from" in pretrained["rows"][0]["command"] and "--protocol none" in pretrained["rows"][0]["pretraining"]
    )
    record = json.loads((tmp_path / "out" / "pretrained" / "raw_cnn" / "results.json").read_text())
    assert record["init_from"]["name"] == "final" and record["settings"]["learning_rate"] == pytest.approx(3e-4)


def test_a_run_that_fails_leaves_its_reason_and_the_other_rows(tmp_path, monkeypatch):
    def run(arguments):
        if "raw_cnn" in arguments:
            raise ConfigError("the camera\nwas off")
        if "mol" not in arguments:
            (tmp_path / arguments[-1]).mkdir()
            (tmp_path / arguments[-1] / "results.json").touch()
        return 0

    monkeypatch.setattr(running, "run_unfinished", run)
    monkeypatch.setattr(running, "read_results", lambda path: run_results(0.5, complete=False))
    plans = [Plan(name, "scratch", ["--method", name], tmp_path / name) for name in ("fdp", "raw_cnn", "mol")]
    waiting = Plan("fdp", "pretrained", ["--method", "fdp"], tmp_path / "later", pretraining=["mol"])
    monkeypatch.setattr(running, "run_unfinished", lambda arguments: 1 if arguments == ["mol"] else run(arguments))
    part, later = running.run_rows([*plans, waiting])
    assert list(part.results) == ["fdp"] and part.unfinished == ["fdp", "raw_cnn", "mol"]
    text = tables.part_as_text(part)
    assert "FDP (folds missing)" in text and "- raw frames + CNN: the camera was off" in text
    assert "- MOL: no fold has finished" in text
    assert tables.part_as_text(later).endswith("- FDP: its pretraining has not finished; run the command again")
