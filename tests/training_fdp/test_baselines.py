"""Baselines: what each sees, that the fixed ones choose on training subjects alone, and that all leave records."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.protocols import ClipTable
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from tests.fakes.results import run_results
from training_fdp.baselines import __main__ as command_line
from training_fdp.baselines import classifiers, inputs, running
from training_fdp.baselines.__main__ import parse_arguments
from training_fdp.baselines.registry import BASELINES, FIXED, TRAINED, baseline_titles
from training_fdp.config import parse_train_config
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
from training_fdp.data.clips import Clip
from training_fdp.errors import TrainingError
from training_fdp.folds.fold import FoldTrainer
from training_fdp.methods.base import NetworkRequest
from training_fdp.methods.registry import get_method

PROCESSOR = FDPVideoProcessor(alignment="none", num_frames=5, size={"height": 24, "width": 24})


def make_clips(num_subjects=6, per_subject=6, total=9, size=24):
    """Class 0: the upper half brightens until the apex; class 1: the lower half."""
    generator = np.random.default_rng(0)
    clips = []
    for subject in range(num_subjects):
        face = gaussian_filter(generator.standard_normal((size, size)), 3) * 200 + 120
        for index in range(per_subject):
            label = index % 2
            change = np.zeros((size, size))
            half = slice(0, size // 2) if label == 0 else slice(size // 2, size)
            change[half] = 25
            hill = np.sin(np.linspace(0, np.pi, total))[:, None, None]
            frames = face + hill * change + 2 * generator.standard_normal((total, size, size))
            clips.append(
                Clip(
                    clip_id=f"s{subject}/{index}",
                    subject=f"s{subject}",
                    pixels=torch.from_numpy(np.clip(frames, 0, 255).astype(np.uint8)),
                    label=label,
                    onset=0,
                    apex=total // 2 if index else None,
                    offset=total - 1,
                )
            )
    return clips


@pytest.mark.parametrize(
    ("name", "width"), [("class_prior", 0), ("apex_flow_logistic", 128), ("motion_logistic", 192)]
)
def test_features_have_the_stated_shape_and_a_useful_scale(name, width):
    seen = FIXED[name].make_inputs(make_clips(num_subjects=1, per_subject=3), PROCESSOR, 5)
    assert seen.shape == (3, width) and seen.dtype == torch.float32
    assert torch.isfinite(seen).all()
    if seen.numel():
        assert 0.02 < seen.abs().max() < 20


def test_motion_features_do_not_see_a_still_face():
    clip = make_clips(num_subjects=1, per_subject=1)[0]
    still = dataclasses.replace(clip, pixels=clip.frames[:1].repeat(9, 1, 1))
    for make_inputs in (inputs.apex_flow_grid, inputs.motion_grid):
        assert make_inputs([still], PROCESSOR, 5).abs().max() < 1e-3, make_inputs.__name__


def test_apex_flow_begins_at_the_clips_own_onset():
    """Every clip has another face: the flow from another clip's onset would be that between two faces."""
    clips = make_clips(num_subjects=4, per_subject=2)
    together = inputs.apex_flow_grid(clips, PROCESSOR, 5)
    for row, clip in enumerate(clips):
        torch.testing.assert_close(together[row : row + 1], inputs.apex_flow_grid([clip], PROCESSOR, 5))
    backwards = inputs.apex_flow_grid(clips[::-1], PROCESSOR, 5)
    torch.testing.assert_close(backwards, together.flip(0))


def test_the_apex_is_the_coded_one_or_the_middle():
    coded = Clip("a", "s", torch.zeros(20, 2, 2, dtype=torch.uint8), onset=2, apex=7, offset=18)
    unknown = dataclasses.replace(coded, apex=None)
    assert inputs.key_indices(coded, 20) == (2, 7)
    assert inputs.key_indices(unknown, 20) == (2, 10)
    assert inputs.key_indices(dataclasses.replace(unknown, onset=None, offset=None), 20) == (0, 9)


def test_apex_flow_lies_where_the_face_moves_between_onset_and_apex():
    """The right half moves by one pixel to the right until the apex, the rest of the clip is as the onset."""
    face = gaussian_filter(np.random.default_rng(0).standard_normal((32, 32)), 2) * 200 + 120
    moved = np.where(np.arange(32) < 16, face, np.roll(face, 1, axis=1))
    frames = torch.from_numpy(np.stack([face, face, moved, face]).clip(0, 255).astype(np.uint8))
    clip = Clip("a", "s", frames, label=0, onset=1, apex=2, offset=3)
    grid = inputs.apex_flow_grid([clip], PROCESSOR, 5).reshape(2, 8, 8)
    assert grid[0, 1:-1, 5:7].mean() > 0.4 and grid[0, :, :3].abs().mean() < 0.1 and grid[1].abs().mean() < 0.2


def test_motion_features_of_many_clips_are_those_of_each(monkeypatch):
    clips = make_clips(num_subjects=1, per_subject=5)
    monkeypatch.setattr(inputs, "_CHUNK_SIZE", 2)
    together = inputs.motion_grid(clips, PROCESSOR, 5)
    alone = torch.cat([inputs.motion_grid([clip], PROCESSOR, 5) for clip in clips])
    torch.testing.assert_close(together, alone)
    assert not torch.allclose(together, inputs.motion_grid(clips, PROCESSOR, 7)), "the number of frames is obeyed"


def test_class_prior_answers_with_the_training_frequencies():
    probabilities = classifiers.ClassPrior().fit_predict(
        torch.zeros(4, 0), np.array([0, 2, 2, 2]), ["a"] * 4, torch.zeros(2, 0), 4, 0
    )
    np.testing.assert_allclose(probabilities, [[0.25, 0, 0.75, 0]] * 2)


def test_logistic_regression_fills_classes_without_training_clips_with_zero():
    generator = np.random.default_rng(0)
    labels = np.tile([0, 2], 20)
    features = torch.tensor(generator.standard_normal((40, 5)) + 3 * labels[:, None], dtype=torch.float32)
    subjects = [f"s{i // 8}" for i in range(40)]
    probabilities = classifiers.LogisticClassifier().fit_predict(features, labels, subjects, features, 4, 0)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (probabilities[:, [1, 3]] == 0).all()
    assert (probabilities.argmax(1) == labels).mean() > 0.95


def test_penalty_is_chosen_without_looking_at_other_subjects_clips():
    # One subject only: there is nothing to hold out, so the middle of the candidates is taken.
    features, labels = torch.randn(10, 3), np.tile([0, 1], 5)
    classifier = classifiers.LogisticClassifier()
    chosen = classifier._choose_strength(features.numpy(), labels, np.array(["a"] * 10), 0)
    assert chosen == classifier.strengths[2]


def test_the_penalty_with_the_highest_uf1_on_other_subjects_is_taken(monkeypatch):
    """Only one strength is right; the middle one is taken where some inner fold would see one class alone."""

    class Model:
        def __init__(self, strength):
            self.strength = strength

        def fit(self, features, labels):
            return self

        def predict(self, features):
            right = features[:, 0].astype(int)
            return right if self.strength == 0.01 else 1 - right if self.strength == 1.0 else np.zeros_like(right)

    classifier = classifiers.LogisticClassifier()
    monkeypatch.setattr(classifiers.LogisticClassifier, "_model", lambda self, strength, seed: Model(strength))
    labels = np.tile([0, 1], 6)
    subjects = np.repeat(["a", "b", "c"], 4)
    assert classifier._choose_strength(labels[:, None], labels, subjects, 0) == 0.01
    two = np.repeat(["a", "b"], 6)
    assert classifier._choose_strength(labels[:, None], labels, two, 0) == 0.01, "two subjects make two folds"
    apart = np.repeat([0, 1], 6)
    assert classifier._choose_strength(apart[:, None], apart, two, 0) == 0.1


def test_the_logistic_model_is_the_stated_one():
    scaler, regression = classifiers.LogisticClassifier()._model(0.01, 5).named_steps.values()
    assert isinstance(scaler, classifiers.StandardScaler)
    settings = regression.get_params()
    assert [settings[name] for name in ("C", "max_iter", "class_weight", "random_state")] == [
        0.01,
        2000,
        "balanced",
        5,
    ]


def test_the_seed_reaches_every_model(monkeypatch):
    seeds, model = [], classifiers.LogisticClassifier._model
    monkeypatch.setattr(
        classifiers.LogisticClassifier,
        "_model",
        lambda self, strength, seed: seeds.append(seed) or model(self, strength, seed),
    )
    features = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    labels, subjects = np.tile([0, 1], 8), list("aabbccdd") * 2
    classifiers.LogisticClassifier().fit_predict(features, labels, subjects, features, 2, 5)
    assert seeds == [5] * 17, "four strengths on four inner folds, and the chosen one"


def test_the_inner_folds_of_the_penalty_keep_a_subjects_clips_together(monkeypatch):
    """A model that the penalty is chosen by never learns from a subject whose clips it predicts."""
    generator = np.random.default_rng(1)
    subjects = np.repeat([f"s{number}" for number in range(8)], 6)
    labels = np.tile([0, 1, 2], 16)
    # The subject's number is the only feature, so that a model's training clips tell whom it saw.
    features = np.repeat(np.arange(8.0), 6)[:, None] + 0.01 * generator.standard_normal((48, 1))
    seen = []

    class Spy:
        def fit(self, inputs, labels):
            self.whom = {round(float(value)) for value in inputs[:, 0]}
            return self

        def predict(self, inputs):
            seen.append((self.whom, {round(float(value)) for value in inputs[:, 0]}))
            return np.zeros(len(inputs), dtype=np.int64)

    classifier = classifiers.LogisticClassifier()
    monkeypatch.setattr(classifiers.LogisticClassifier, "_model", lambda self, strength, seed: Spy())
    classifier._choose_strength(features, labels, subjects, 0)
    assert len(seen) == classifier.num_inner_folds * len(classifier.strengths)
    assert all(not learnt & predicted for learnt, predicted in seen)


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_makes_a_network_that_answers_and_learns(name):
    method = get_method(name)(get_method(name).options_class())
    request = NetworkRequest(("upper", "lower"), {"num_frames": 6, "image_size": 32})
    network = method.configure(request)
    clips = make_clips(num_subjects=1, per_subject=2, size=32)
    method.prepare(clips, network, PROCESSOR)
    targets = [method.targets(clip, np.arange(6), network, PROCESSOR.normalize_frames) for clip in clips]
    batch = {
        "pixel_values": torch.stack([PROCESSOR.normalize_frames(clip.frames[:6]) for clip in clips])[:, :, None],
        "labels": torch.tensor([clip.label for clip in clips]),
        **{key: torch.stack([found[key] for found in targets]) for key in targets[0]},
    }
    from training_fdp.methods.base import LossContext

    torch.manual_seed(0)
    model = method.build(network)
    losses = method.losses(model, batch, LossContext(network))
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        logits = model.eval()(**method.inputs(batch)).logits
    assert logits.shape == (2, 2) and network.num_frames == 6
    assert set(method.followers) == set(targets[0])


def test_a_network_refuses_what_it_does_not_know():
    method = get_method("raw_cnn")(None)
    with pytest.raises(ConfigError, match="has no settings"):
        method.configure(NetworkRequest(("a", "b"), {"hidden_sizes": [8]}))
    with pytest.raises(ConfigError, match="takes 5 frames or more, but --num_frames is 4"):
        get_method("motion_cnn")(None).configure(NetworkRequest(("a", "b"), {"num_frames": 4}))
    with pytest.raises(ConfigError, match="draws other frames"):
        flow = get_method("onset_flow_cnn3d")(None)
        flow.check(flow.configure(NetworkRequest(("a", "b"))), AugmentationConfig(speed=0.1))


def test_flow_follows_what_is_done_to_the_frames():
    """Flow of augmented frames and augmented flow are one, where the frames are mirrored, turned and moved."""
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")

    def face(shift_x, shift_y):
        return 0.5 * torch.sin((columns - shift_x) / 4) * torch.cos((rows - shift_y) / 5)

    frames = torch.stack([face(0, 0), face(0.8, -0.4)])[None, :, None].repeat(6, 1, 1, 1, 1)
    flow = torch.tensor([0.8, -0.4]).reshape(1, 2, 1, 1, 1).repeat(6, 1, 1, 48, 48)
    method = get_method("onset_flow_cnn3d")(None)
    options = AugmentationConfig(flip=0.5, rotation=20, scale=0.1, shift=0.05)
    augmented = build_augmentation(options, None, method.followers)(
        {"pixel_values": frames, "flow": flow}, torch.Generator().manual_seed(0)
    )
    inner = slice(14, 34)
    pixels, moved = augmented["pixel_values"][:, :, 0], augmented["flow"][:, :, 0]
    dy, dx = torch.gradient(pixels[:, 0], dim=(1, 2))
    # Brightness constancy: the difference of the frames is minus the gradient along the flow, to first order.
    change = (pixels[:, 1] - pixels[:, 0])[:, inner, inner]
    predicted = -(dx * moved[:, 0] + dy * moved[:, 1])[:, inner, inner]
    unturned = -(dx * 0.8 - dy * 0.4)[:, inner, inner]
    assert (change - predicted).abs().mean() < 0.25 * change.abs().mean()
    assert (change - unturned).abs().mean() > 2 * (change - predicted).abs().mean()


@pytest.fixture
def command(toy_corpus, tmp_path, monkeypatch):
    """Two classes of moving halves, as a run finds its clips; returns the options of `train.py`."""
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b"picture"))
    clips = make_clips(size=32)
    table = ClipTable(
        clip_ids=[clip.clip_id for clip in clips],
        corpora=["synthetic"] * len(clips),
        subjects=[clip.subject for clip in clips],
        labels=[clip.label for clip in clips],
        class_names=["upper", "lower"],
    )
    toy_corpus(clips, table)
    return [
        *("--corpus", "synthetic", "--protocol", "kfold3", "--num_frames", "5", "--image_size", "32"),
        *("--output_dir", str(tmp_path / "out")),
    ]


def test_all_leave_the_same_records_and_none_is_run_twice(command, monkeypatch, tmp_path):
    names = ["class_prior", "apex_flow_logistic", "difference_cnn"]
    results = running.run_baselines([*command, "--epochs", "8"], names)

    def uf1(name):
        return results[name].benchmark.figures["uf1"]

    assert uf1("apex_flow_logistic") > uf1("class_prior")
    assert uf1("difference_cnn") > 0.9
    assert results["apex_flow_logistic"].warnings == ["apex_flow_logistic is told the apex of every clip"]
    for name in names:
        place = tmp_path / "out" / name
        written = json.loads((place / "results.json").read_text())
        assert written["complete"] and written["preset"] == name
        with (place / "predictions.csv").open() as file:
            rows = list(csv.DictReader(file))
        correct = sum(row["label"] == row["prediction"] for row in rows)
        assert len(rows) == 36 and written["metrics"]["accuracy"] == pytest.approx(correct / 36, abs=1e-9)
        assert (place / "confusion_matrix.png").stat().st_size > 0
    assert (tmp_path / "out" / "difference_cnn" / "folds" / "fold0" / "model.safetensors").exists()

    def fail(*arguments):
        raise AssertionError("a finished fold was run again")

    monkeypatch.setattr(FoldTrainer, "train", fail)
    monkeypatch.setattr(classifiers.Classifier, "fit_predict", fail)
    again = running.run_baselines([*command, "--epochs", "8"], names)
    assert again == results, "the table holds what lies in OUT"
    with pytest.raises(ConfigError, match="--epochs was 8, now 9"):
        running.run_baselines([*command, "--epochs", "9"], ["difference_cnn"])
    with pytest.raises(ConfigError, match="--num_frames was 5, now 6"):
        running.run_baselines([*command, "--num_frames", "6"], ["class_prior"])
    running.run_baselines([*command, "--epochs", "3"], ["class_prior"])
    monkeypatch.setitem(FIXED, "class_prior", dataclasses.replace(FIXED["class_prior"], version=2))
    with pytest.raises(ConfigError, match="--baseline_version"):
        running.run_baselines(command, ["class_prior"])


def test_a_record_of_a_fixed_baseline_tells_what_was_done(command, tmp_path, monkeypatch):
    asked, fitted = [], []

    def no_input(clips, processor, num_frames):
        asked.append((len(clips), num_frames))
        return inputs.no_input(clips, processor, num_frames)

    class Recording(classifiers.ClassPrior):
        def fit_predict(self, inputs, labels, subjects, test_inputs, num_labels, seed):
            fitted.append((len(inputs), len(labels), len(set(subjects)), len(test_inputs), num_labels, seed))
            return super().fit_predict(inputs, labels, subjects, test_inputs, num_labels, seed)

    baseline = dataclasses.replace(FIXED["class_prior"], make_inputs=no_input, build_classifier=Recording)
    monkeypatch.setitem(FIXED, "class_prior", baseline)
    found = running.run_baselines([*command, "--seeds", "0", "1"], ["class_prior"])
    out = tmp_path / "out" / "class_prior"
    assert set(found) == {"class_prior"} and found["class_prior"].seeds == [0, 1]
    assert asked == [(36, 5)]
    assert fitted == [(24, 24, 4, 12, 2, seed) for seed in (0, 1) for _ in range(3)]
    run = json.loads((out / "run.json").read_text())
    assert run["command"].startswith(
        "python -m training_fdp.baselines --baselines class_prior --corpus synthetic --protocol kfold3 --num_frames 5"
    )
    assert run["init_from"] is None and run["answers"] == {} and run["warnings"] == []
    assert (run["preset"], run["selection"]) == ("class_prior", "fixed")
    settings = run["identity"]["settings"]
    assert (settings["baseline"], settings["baseline_version"]) == ("class_prior", 1)
    assert (settings["num_frames"], settings["image_size"]) == (5, 32) and "epochs" not in settings
    record = json.loads((out / "folds" / "fold1_seed1" / "fold.json").read_text())
    assert (record["fold"], record["seed"], record["steps"], record["device"]) == ("fold1", 1, 0, "cpu")
    assert record["settings"] == settings and record["selection"] == {"method": "fixed"}
    assert (record["num_train_clips"], record["num_test_clips"], len(record["predictions"])) == (24, 12, 12)
    subjects = {row["subject"] for row in record["predictions"]}
    assert subjects == set(record["test_subjects"]) and len(record["train_subjects"]) == 4
    assert not subjects & set(record["train_subjects"]) and 0 <= record["seconds"] < 60
    assert {tuple(row["probabilities"]) for row in record["predictions"]} == {(0.5, 0.5)}
    assert record["versions"]["python"] and all(row["answers"] == {} for row in record["predictions"])
    assert json.loads((out / "folds" / "fold1_seed1" / "training_curve.json").read_text()) == {"loss": []}
    assert not (out / "unfinished").exists()


def test_a_method_is_run_like_train_py_and_its_missing_folds_are_an_error(tmp_path, monkeypatch):
    calls, codes = [], [0, 1]
    monkeypatch.setattr(running, "run_unfinished", lambda given: calls.append(list(given)) or codes.pop(0))
    arguments = ["--corpus", "synthetic", "--output_dir", str(tmp_path)]
    folder = str(tmp_path / "raw_cnn")
    assert running.run_baselines(arguments, ["raw_cnn"]) == {}
    with pytest.raises(TrainingError, match=f"folds of raw_cnn are missing in {folder}; the same command"):
        running.run_baselines(arguments, ["raw_cnn"])
    whole = [*arguments, "--method", "raw_cnn", "--output_dir", folder, "--final_model", "false"]
    assert calls == [whole, whole]


def test_a_protocol_that_holds_out_nobody_is_refused(tmp_path):
    arguments = ["--corpus", "synthetic", "--output_dir", str(tmp_path), "--protocol", "none"]
    with pytest.raises(ConfigError, match="--protocol none holds out no subject"):
        running.run_baselines(arguments, ["class_prior"])


def test_the_release_is_trained_by_its_own_recipe():
    config = parse_train_config(["--corpus", "synthetic", "--output_dir", "OUT", "--method", "fdp_released"])
    assert (config.method.preset, config.run.recipe, config.training.max_steps) == ("released", "released", 500)
    assert config.method.action_units == "none"


def test_videomae_trains_three_times_as_long():
    epochs = {}
    for name in ("raw_cnn", "videomae"):
        config = parse_train_config(["--corpus", "synthetic", "--output_dir", "OUT", "--method", name])
        epochs[name] = config.training.epochs
    assert epochs == {"raw_cnn": 40, "videomae": 120}


def test_several_processes_are_refused_before_each_of_them_computes_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="in one process, but 2 were launched"):
        running.run_baselines(["--corpus", "synthetic", "--output_dir", str(tmp_path)], ["class_prior"])


def test_unknown_baseline_is_refused_before_anything_is_loaded(tmp_path):
    arguments = ["--corpus", "synthetic", "--output_dir", str(tmp_path)]
    with pytest.raises(ConfigError, match="choose among class_prior"):
        running.run_baselines(arguments, ["nothing"])
    assert not list(tmp_path.iterdir())


def test_own_options_are_split_from_those_of_train():
    options, rest = parse_arguments(
        ["--baselines", "class_prior", "raw_cnn", "--corpus", "synthetic", "--seeds", "0", "1"]
    )
    assert options.baselines == ["class_prior", "raw_cnn"]
    assert rest == ["--corpus", "synthetic", "--seeds", "0", "1"]


def test_without_a_name_all_baselines_run_but_the_release(capsys):
    options, rest = parse_arguments(["--baseline", "raw_cnn", "--docs", "page.md"])
    assert tuple(options.baselines) == BASELINES and "fdp_released" not in BASELINES
    assert rest == ["--baseline", "raw_cnn"], "names of options are not guessed"
    assert options.docs.name == "page.md" and parse_arguments([])[0].docs is None
    with pytest.raises(SystemExit):
        parse_arguments(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("usage: python -m training_fdp.baselines [-h] [--baselines NAME [NAME ...]] [--docs DOCS]")
    for part in (
        "Every other option is one of train.py (--corpus",
        "default: class_prior apex_flow_logistic",
        "runs only when named",
        "Markdown file whose block `baselines` is replaced by the table",
    ):
        assert part in said


def test_the_command_prints_its_table_and_writes_it_into_a_page(monkeypatch, capsys, tmp_path):
    page = tmp_path / "page.md"
    ran, ended = [], []

    def run_baselines(arguments, names):
        ran.append((arguments, names))
        return {"class_prior": run_results(0.5)}

    monkeypatch.setattr(running, "run_baselines", run_baselines)
    monkeypatch.setattr("training_fdp.runs.engine.end_processes", lambda: ended.append(True))
    monkeypatch.setattr("sys.argv", ["x", "--baselines", "class_prior", "--seed", "3", "--docs", str(page)])
    assert command_line.main() == 0
    table = capsys.readouterr().out
    assert ran == [(["--seed", "3"], ["class_prior"])] and ended == [True]
    assert "| class prior | 0.500 ± 0.010 |" in table and "guessing by the class shares" in table
    assert page.read_text() == f"<!-- begin: baselines -->\n{table.strip()}\n<!-- end: baselines -->\n"
    page.unlink()
    monkeypatch.setattr(command_line, "is_main_process", lambda: False)
    assert command_line.main() == 0
    assert capsys.readouterr().out == "" and not page.exists(), "one process of a launch prints"
    monkeypatch.setattr(command_line, "is_main_process", lambda: True)
    monkeypatch.setattr("sys.argv", ["x"])
    assert command_line.main() == 0 and capsys.readouterr().out == table


def test_every_baseline_has_a_title():
    titles = baseline_titles()
    assert titles["class_prior"] == "class prior" and set(titles) == {*BASELINES, "fdp_released"}
    assert len(set(titles.values())) == len(titles) and titles["apex_flow_logistic"].endswith("(told the apex)")
