"""Whole runs: what lies in OUT, what is run again, what is refused, and what a failing fold costs."""

import csv
import dataclasses
import gc
import hashlib
import json
import weakref

import numpy as np
import pytest
import torch
from transformers import AutoModelForVideoClassification, PreTrainedConfig

from evaluation_fdp.errors import ConfigError, ProtocolError
from evaluation_fdp.fold_records import RECORD_NAME
from modeling_fdp import FDPConfig
from training_fdp.folds.fold import FoldTrainer
from training_fdp.methods.fdp import FDPMethod


def read_results(folder):
    return json.loads((folder / "results.json").read_text())


def read_predictions(folder):
    with (folder / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_out_holds_what_scripts_rely_on(toy_run, tmp_path, capsys):
    assert toy_run(tmp_path / "OUT") == 0
    out = tmp_path / "OUT"
    names = {path.name for path in out.iterdir()}
    assert {"results.json", "predictions.csv", "confusion_matrix.png", "report.md", "folds", "run.json"} <= names
    assert "unfinished" not in names
    model = AutoModelForVideoClassification.from_pretrained(out / "folds" / "fold0")
    assert model.config.label2id == {"negative": 0, "positive": 1, "surprise": 2}
    rows = read_predictions(out)
    expected = ["clip_id", "subject", "fold", "label", "prediction", "prob_negative", "prob_positive", "prob_surprise"]
    assert list(rows[0]) == expected
    printed = capsys.readouterr().out
    assert "UF1" in printed and "majority" in printed


def test_results_can_be_recomputed_by_hand(toy_run, tmp_path):
    toy_run(tmp_path / "OUT")
    results, rows = read_results(tmp_path / "OUT"), read_predictions(tmp_path / "OUT")
    names = results["class_names"]
    assert len({row["clip_id"] for row in rows}) == len(rows) == results["num_clips"] == 15
    f1 = []
    for name in names:
        hits = sum(row["label"] == row["prediction"] == name for row in rows)
        truth = sum(row["label"] == name for row in rows)
        guesses = sum(row["prediction"] == name for row in rows)
        f1.append(2 * hits / (truth + guesses))
        assert results["confusion_matrix"][names.index(name)][names.index(name)] == hits
    assert results["metrics"]["uf1"] == pytest.approx(np.mean(f1), abs=1e-12)
    accuracy = np.mean([row["label"] == row["prediction"] for row in rows])
    assert results["metrics"]["accuracy"] == pytest.approx(accuracy, abs=1e-12)
    for row in rows:
        probabilities = [float(row[f"prob_{name}"]) for name in names]
        assert sum(probabilities) == pytest.approx(1, abs=1e-12)
        assert names[int(np.argmax(probabilities))] == row["prediction"]


def test_the_toy_task_is_learnt_on_held_out_subjects(toy_run, tmp_path):
    toy_run(tmp_path / "OUT", "--max_steps", "40", "--checkpoint_steps", "1000", "--learning_rate", "0.01")
    results = read_results(tmp_path / "OUT")
    assert results["metrics"]["uf1"] > 0.9 > results["chance"]["majority"]["uf1"]


def test_a_finished_fold_is_never_run_again(toy_run, tmp_path, monkeypatch):
    toy_run(tmp_path / "OUT")
    before = read_results(tmp_path / "OUT")
    monkeypatch.setattr(FoldTrainer, "train", lambda self: pytest.fail("trained again"))
    monkeypatch.setattr("evaluation_fdp.report._draw", lambda *arguments: pytest.fail("drawn again"))
    assert toy_run(tmp_path / "OUT") == 0
    assert read_results(tmp_path / "OUT") == before


def test_changed_settings_in_an_old_out_are_refused(toy_run, tmp_path):
    toy_run(tmp_path / "OUT")
    before = read_results(tmp_path / "OUT")
    with pytest.raises(ConfigError, match=r"--learning_rate was 0\.001, now 0\.1"):
        toy_run(tmp_path / "OUT", "--learning_rate", "0.1")
    assert read_results(tmp_path / "OUT") == before


def test_changed_clips_in_an_old_out_are_refused(toy_run, toy_corpus, toy_clips, tmp_path):
    toy_run(tmp_path / "OUT")
    toy_corpus(*toy_clips(num_subjects=4))
    with pytest.raises(ConfigError, match="clips was"):
        toy_run(tmp_path / "OUT")


def test_a_corrected_action_unit_in_an_old_out_is_refused(toy_run, toy_corpus, tmp_path):
    toy_run(tmp_path / "OUT")
    toy_corpus(units=["1", "4", "12"])
    with pytest.raises(ConfigError, match="clips was"):
        toy_run(tmp_path / "OUT")


def test_a_folder_of_something_else_is_left_alone(toy_run, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="not a run's"):
        toy_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_job_arrays_and_collect(toy_run, tmp_path, capsys):
    out = tmp_path / "OUT"
    assert toy_run(out, "--folds", "fold1") == 0
    partial = read_results(out)
    assert "--folds" not in partial["command"] and partial["command"].endswith("drop_path_rate=0.2")
    assert not partial["complete"] and list(partial["missing_folds"]) == ["fold0"]
    assert "INCOMPLETE" in capsys.readouterr().out
    assert toy_run(tmp_path / "unused", "--collect", str(out)) == 1
    assert "missing: fold fold0" in capsys.readouterr().err
    assert toy_run(out, "--folds", "fold0") == 0
    assert toy_run(tmp_path / "unused", "--collect", str(out)) == 0
    collected = read_results(out)
    assert collected["complete"] and collected["num_clips"] == 15
    assert not (tmp_path / "unused").exists()
    whole = tmp_path / "whole"
    toy_run(whole)
    assert (whole / "predictions.csv").read_text() == (out / "predictions.csv").read_text()


def test_a_failing_fold_does_not_take_the_others(toy_run, tmp_path, monkeypatch, capsys):
    train = FoldTrainer.train

    def fail_once(self):
        if self.key == "fold0":
            raise RuntimeError("the graphics card fell out")
        return train(self)

    monkeypatch.setattr(FoldTrainer, "train", fail_once)
    assert toy_run(tmp_path / "OUT") == 1
    assert "fold0: RuntimeError: the graphics card fell out" in capsys.readouterr().err
    results = read_results(tmp_path / "OUT")
    assert not results["complete"] and "fell out" in results["missing_folds"]["fold0"]
    assert {row["fold"] for row in read_predictions(tmp_path / "OUT")} == {"fold1"}
    monkeypatch.setattr(FoldTrainer, "train", train)
    assert toy_run(tmp_path / "OUT") == 0
    assert read_results(tmp_path / "OUT")["complete"]


def test_an_error_in_a_shared_fold_ends_the_process(toy_run, tmp_path, monkeypatch):
    """The others wait for this one: going on with the next fold would leave them waiting for days."""

    def fail(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FoldTrainer, "train", fail)
    monkeypatch.setattr("training_fdp.folds.loop.FoldContext.shares_fold", True)
    with pytest.raises(OSError, match="No space left"):
        toy_run(tmp_path / "OUT")


@pytest.mark.parametrize(
    "broken", ["evaluation_fdp.atomic_files.os.fsync", "evaluation_fdp.fold_records.publish_folder"]
)
def test_a_full_disk_costs_a_fold_and_leaves_no_half_one(toy_run, tmp_path, monkeypatch, broken):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("training_fdp.runs.run.write_record", _failing_writer(patch, broken, full))
        assert toy_run(tmp_path / "OUT") == 1
    assert not list((tmp_path / "OUT").glob("folds/*/fold.json"))
    assert toy_run(tmp_path / "OUT") == 0
    assert read_results(tmp_path / "OUT")["complete"]


def _failing_writer(patch, broken, full):
    """write_record on a disk that is full while it writes, and only then."""
    from evaluation_fdp.fold_records import write_record

    def write(*arguments):
        with patch.context() as inner:
            inner.setattr(broken, full)
            write_record(*arguments)

    return write


def test_nan_ends_the_fold_with_its_step(toy_run, tmp_path, capsys, monkeypatch):
    losses = iter(range(100))

    def poisoned(self, model, batch, context):
        output = model(pixel_values=batch["pixel_values"], labels=batch["labels"])
        return {"loss": output.loss * (float("nan") if next(losses) == 2 else 1.0)}

    monkeypatch.setattr(FDPMethod, "losses", poisoned)
    assert toy_run(tmp_path / "OUT", "--folds", "fold0") == 1
    assert "not finite at step 3" in capsys.readouterr().err
    assert not (tmp_path / "OUT" / "results.json").exists()


def test_several_seeds(toy_run, tmp_path):
    toy_run(tmp_path / "OUT", "--seeds", "3", "4")
    results = read_results(tmp_path / "OUT")
    assert [run["seed"] for run in results["per_seed"]] == [3, 4]
    values = [run["uf1"] for run in results["per_seed"]]
    assert results["metrics"]["uf1"] == pytest.approx(np.mean(values))
    assert results["deviation"]["uf1"] == pytest.approx(np.std(values, ddof=1))
    low, high = results["interval"]["uf1"]
    assert 0 <= low <= high <= 1
    assert np.sum(results["confusion_matrix"]) == 30 and results["num_clips"] == 15
    alone = tmp_path / "alone"
    toy_run(alone, "--seed", "4")
    assert read_results(alone)["per_seed"][0]["uf1"] == values[1]


def test_seeds_may_be_added(toy_run, tmp_path, monkeypatch):
    toy_run(tmp_path / "OUT", "--final_model")
    alone = read_results(tmp_path / "OUT")
    trained = []
    train = FoldTrainer.train
    monkeypatch.setattr(FoldTrainer, "train", lambda self: trained.append(self.key) or train(self))
    assert toy_run(tmp_path / "OUT", "--final_model", "--seeds", "1", "0") == 0
    assert trained == ["fold0_seed1", "fold1_seed1"]
    both = read_results(tmp_path / "OUT")
    assert [run["seed"] for run in both["per_seed"]] == [1, 0] and both["seeds"] == [1, 0]
    assert both["per_seed"][1] == alone["per_seed"][0] and both["per_seed"][0] != alone["per_seed"][0]
    assert toy_run(tmp_path / "OUT", "--final_model") == 0 and len(trained) == 2
    assert read_results(tmp_path / "OUT") == alone


def test_literature_selection_stands_beside_and_changes_nothing(toy_run, tmp_path, capsys):
    toy_run(tmp_path / "honest")
    toy_run(tmp_path / "both", "--report_literature_selection", "--eval_steps", "1")
    assert "best_on_test_subject" in capsys.readouterr().out
    honest, both = read_results(tmp_path / "honest"), read_results(tmp_path / "both")
    assert honest["metrics"] == both["metrics"]
    assert "best_on_test_subject" not in honest
    assert both["best_on_test_subject"]["accuracy"] >= both["metrics"]["accuracy"]


def test_a_fold_leaves_nothing_in_memory(toy_run, tmp_path, monkeypatch):
    train, weights = FoldTrainer.train, []

    def remember(self):
        gc.collect()
        # What was trained last may live until the next model is built.
        assert [weight() for weight in weights[:-1]] == [None] * len(weights[:-1])
        outcome = train(self)
        weights.append(weakref.ref(next(outcome.model.parameters())))
        return outcome

    monkeypatch.setattr(FoldTrainer, "train", remember)
    assert toy_run(tmp_path / "OUT", "--protocol", "kfold4") == 0
    assert len(weights) == 4


def test_final_model_is_marked(toy_run, tmp_path):
    toy_run(tmp_path / "OUT", "--final_model")
    record = json.loads((tmp_path / "OUT" / "final" / RECORD_NAME).read_text())
    assert record["benchmarked"] is False and record["num_train_clips"] == 15 and record["predictions"] == []
    results = read_results(tmp_path / "OUT")
    assert results["final_model"]["benchmarked"] is False and results["num_clips"] == 15


def test_cross_corpus_never_learns_from_what_it_tests(toy_run, toy_corpus, toy_clips, tmp_path):
    (clips, table), (others, other_table) = toy_clips(corpus="here"), toy_clips(num_subjects=2, corpus="there")
    columns = ("clip_ids", "corpora", "labels")
    joined = {name: getattr(table, name) + getattr(other_table, name) for name in columns}
    subjects = table.subjects + other_table.subjects
    both = [f"{corpus}-{subject}" for corpus, subject in zip(joined["corpora"], subjects, strict=True)]
    toy_corpus(clips + others, type(table)(**joined, subjects=both, class_names=table.class_names))
    options = ("--protocol", "cross_corpus", "--test_corpus", "there", "--final_model")
    assert toy_run(tmp_path / "OUT", *options) == 0
    assert {row["clip_id"].split("/")[0] for row in read_predictions(tmp_path / "OUT")} == {"there"}
    record = json.loads((tmp_path / "OUT" / "final" / RECORD_NAME).read_text())
    assert all(subject.startswith("here-") for subject in record["train_subjects"])


def test_faces_are_drawn_only_where_they_may_be(toy_run, toy_corpus, toy_clips, tmp_path):
    toy_run(tmp_path / "open")
    assert (tmp_path / "open" / "dynamic_images.png").exists()
    toy_corpus(*toy_clips(), faces=False)
    toy_run(tmp_path / "licensed")
    assert not (tmp_path / "licensed" / "dynamic_images.png").exists()
    assert not list((tmp_path / "licensed").rglob("*.npz"))
    toy_run(tmp_path / "checked", "--allow_face_figures")
    assert (tmp_path / "checked" / "dynamic_images.png").exists()
    for folder in (tmp_path / "open" / "folds").iterdir():
        assert not [path for path in folder.iterdir() if path.suffix in (".png", ".npz", ".jpg")]


def test_one_subject_is_refused_before_anything_is_written(toy_run, toy_corpus, toy_clips, tmp_path):
    toy_corpus(*toy_clips(num_subjects=1))
    with pytest.raises(ProtocolError, match="one, s00"):
        toy_run(tmp_path / "OUT")
    assert not (tmp_path / "OUT").exists()


def test_a_class_that_nobody_teaches(toy_run, toy_corpus, toy_clips, tmp_path):
    clips, table = toy_clips(num_subjects=3)
    keep = [row for row in range(9) if table.labels[row] != 2 or table.subjects[row] == "s01"]
    rare = type(table)(*[[column[row] for row in keep] for column in (table.clip_ids, table.corpora)],
                       *[[column[row] for row in keep] for column in (table.subjects, table.labels)],
                       table.class_names)  # fmt: skip
    toy_corpus([clips[row] for row in keep], rare)
    with pytest.raises(ProtocolError, match="fold s01 tests surprise"):
        toy_run(tmp_path / "OUT", "--protocol", "loso")
    assert not (tmp_path / "OUT").exists()
    assert toy_run(tmp_path / "OUT", "--protocol", "loso", "--allow_missing_classes") == 0
    assert any("surprise" in warning for warning in read_results(tmp_path / "OUT")["warnings"])


def test_fp16_on_the_cpu_is_refused(toy_run, tmp_path):
    from accelerate.state import AcceleratorState

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    AcceleratorState._reset_state()
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        toy_run(tmp_path / "OUT", "--mixed_precision", "fp16")
    AcceleratorState._reset_state()
    assert not (tmp_path / "OUT").exists()


def test_the_launcher_must_not_contradict(toy_run, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(ConfigError, match="give the option to train"):
        toy_run(tmp_path / "OUT")
    assert not (tmp_path / "OUT").exists()


def test_the_command_reproduces_the_run(toy_run, tmp_path):
    import shlex

    toy_run(tmp_path / "my OUT")
    words = shlex.split(read_results(tmp_path / "my OUT")["command"])
    assert words[:3] == ["accelerate", "launch", "train.py"]
    again = [word if word != str(tmp_path / "my OUT") else str(tmp_path / "again") for word in words[3:]]
    from training_fdp.config import parse_train_config
    from training_fdp.runs.run import run

    assert run(parse_train_config(again), again) == 0
    first, second = ((tmp_path / name / "predictions.csv").read_text() for name in ("my OUT", "again"))
    assert first == second


def test_a_changed_preset_raises_the_version_of_the_networks():
    """Else folds of two networks would be pooled in one OUT; write the new digest here when the version is raised."""
    presets = {name: FDPConfig.from_preset(name).to_dict() for name in ("tiny", "small", "base", "released")}
    own = {entry.name for entry in dataclasses.fields(FDPConfig)} - {
        entry.name for entry in dataclasses.fields(PreTrainedConfig)
    }
    networks = {name: {field: values[field] for field in sorted(own)} for name, values in presets.items()}
    digest = hashlib.sha256(json.dumps(networks, sort_keys=True).encode()).hexdigest()[:12]
    # `learnt_speech`, `both_signs` and `movement_weights` came without a new version, because no figure of a preset
    # depends on them.
    assert (FDPMethod.version, digest) == (8, "ccc1a113958d")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--frame_sampling", "apex", "--augmentation", "default"), "time_jitter=0,speed=0,phase=0"),
        (("--frame_sampling", "released_stride", "--augmentation", "phase=0.5"), "at random"),
        (
            ("--augmentation", "mixup=0.5", "--num_frames", "8", "--model_overrides", "label_smoothing=0.1"),
            "mixed labels",
        ),
        (("--augmentation", "mixup=0.5", "--num_frames", "8", "--model_overrides", "focal_gamma=2"), "mixed labels"),
    ],
)
def test_an_option_that_another_one_would_silence_is_refused(toy_run, tmp_path, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        toy_run(tmp_path / "OUT", *options)
