"""report.md and the text at the end of a run, word for word, for figures that were computed by hand.

Of the two subjects one is predicted right in both seeds, the other, with clips of `no yes yes`, as `yes yes no`: every
draw of subjects lies between the figures of the second alone and of the first alone.
"""

import dataclasses
import json

import numpy as np
import pytest

from evaluation_fdp import report
from evaluation_fdp.fold_records import write_record
from evaluation_fdp.results import FinalModel
from evaluation_fdp.run_folder import RunStore
from evaluation_fdp.run_info import RunIdentity, RunInfo, StartingWeights
from tests.fakes.results import fold_record

NAMES = ["no", "yes"]
START = StartingWeights("start", "a1b2", ["yes"])
RUN = RunInfo(
    identity=RunIdentity({"seed": 0, "epochs": 2}, "c1", {"casme2": "sheet v1"}, NAMES),
    command="accelerate launch train.py --corpus casme2 samm",
    corpus=["casme2", "samm"],
    test_corpus=["smic"],
    label_set="2class",
    preset="tiny",
    protocol="cross_corpus",
    selection="fixed",
    seeds=[0, 1],
    folds=["a", "b"],
    warnings=["read me", "me too"],
    synthetic=True,
    faces=True,
    versions={"python": "3.11"},
    lost_clips={"s9/1": "no frames"},
    answers={"tau": "Kendall's tau"},
    init_from=START,
)
REPORT = """\
# Report

casme2+samm -> smic, cross_corpus, tiny, seeds 0 1: INCOMPLETE: 1 of 4 folds are missing; \
5 held-out clips of 2 subjects, pooled once over 3 folds

```
accelerate launch train.py --corpus casme2 samm
```

Training started from start (weights sha256 a1b2); the classes yes started untrained.

## Pooled metrics

| metric      | value           | 95% interval over subjects | majority class |
|-------------|-----------------|----------------------------|----------------|
| UF1         | 0.7917 ± 0.2946 | 0.250 to 1.000             | 0.3750         |
| UAR         | 0.7917 ± 0.2946 | 0.250 to 1.000             | 0.5000         |
| Accuracy    | 0.8000 ± 0.2828 | 0.333 to 1.000             | 0.6000         |
| Weighted F1 | 0.8000 ± 0.2828 | 0.333 to 1.000             | 0.4500         |

The majority class is 'yes'; guessing by the class shares gives UF1 0.5000 and accuracy 0.5200.

| class | clips | F1     | recall |
|-------|-------|--------|--------|
| no    | 2     | 0.7500 | 0.7500 |
| yes   | 3     | 0.8333 | 0.8333 |

| seed | UF1    | UAR    | Accuracy | Weighted F1 |
|------|--------|--------|----------|-------------|
| 0    | 0.5833 | 0.5833 | 0.6000   | 0.6000      |
| 1    | 1.0000 | 1.0000 | 1.0000   | 1.0000      |

casme2: UF1 1.0000, UAR 1.0000, Accuracy 1.0000, Weighted F1 1.0000

samm: UF1 0.2500, UAR 0.2500, Accuracy 0.3333, Weighted F1 0.3333

`best_on_test_subject`, the epoch chosen on the held-out subject as in much of the literature; not a result: \
UF1 1.0000, UAR 1.0000, Accuracy 1.0000, Weighted F1 1.0000.

## Beyond the class

| answer        | mean over clips | deviation |
|---------------|-----------------|-----------|
| Kendall's tau | 0.39286         | 0.12372   |

## Read this first

- read me
- me too
- fold b_seed1 is missing: out of memory
- clip s9/1 was left out: no frames

## Figures

![confusion matrix](confusion_matrix.png)
![subject accuracy](subject_accuracy.png)
![training curves](training_curves.png)
![dynamic images](dynamic_images.png)
"""

SUMMARY = """\
casme2+samm -> smic, cross_corpus, tiny, seeds 0 1: INCOMPLETE: 1 of 4 folds are missing; \
5 held-out clips of 2 subjects, pooled once over 3 folds

| metric      | value           | 95% interval   | majority class |
|-------------|-----------------|----------------|----------------|
| UF1         | 0.7917 ± 0.2946 | 0.250 to 1.000 | 0.3750         |
| UAR         | 0.7917 ± 0.2946 | 0.250 to 1.000 | 0.5000         |
| Accuracy    | 0.8000 ± 0.2828 | 0.333 to 1.000 | 0.6000         |
| Weighted F1 | 0.8000 ± 0.2828 | 0.333 to 1.000 | 0.4500         |

Chance: always answering 'yes' gives the last column; \
guessing by the class shares gives UF1 0.5000 and accuracy 0.5200.
best_on_test_subject (epoch chosen on the held-out subject, as in much of the literature; not a result): \
UF1 1.0000, UAR 1.0000, Accuracy 1.0000, Weighted F1 1.0000
Training started from start (weights sha256 a1b2); the classes yes started untrained.
Note: read me
Note: me too
Written to OUT: results.json, predictions.csv, confusion_matrix.png, report.md, folds/"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes records into an OUT and its report; returns results and report.md."""
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))

    def write(run, records, failures=(), samples=False):
        store = RunStore(tmp_path / "OUT")
        store.open(run)
        for number, record in enumerate(record for folds in records.values() for record in folds):
            key = next(key for key in run.keys_by_seed[record.seed] if key.startswith(record.fold))
            write_record(store.place(key), tmp_path / f"aside{number}", record, {"loss": [1.0]})
        if samples:
            (store.root / "samples").mkdir()
            np.savez(store.root / "samples" / "a.npz", clip_ids=["x"], labels=["no"], predictions=["no"])
        results = report.write_report(store, run.keys_by_seed, records, dict(failures))
        return results, (store.root / "report.md").read_text(encoding="utf-8")

    return write


def folds():
    right = fold_record("a", "s1", [0, 1], [0, 1], "casme2", best=[0, 1], answers={"tau": 0.5})
    wrong = fold_record("b", "s2", [0, 1, 1], [1, 1, 0], "samm", best=[0, 1, 1], answers={"tau": 0.25})
    return right, wrong


def test_a_report_of_seeds_of_which_one_is_unfinished(written):
    right, wrong = folds()
    records = {0: [right, wrong], 1: [dataclasses.replace(right, seed=1)]}
    results, text = written(RUN, records, {"b_seed1": "out of memory"}, samples=True)
    assert text == REPORT
    assert report.summary(results, "OUT") == SUMMARY
    assert results.missing_folds == {"b_seed1": "out of memory"} and results.seeds == [0, 1]
    assert (results.protocol, results.preset, results.label_set) == ("cross_corpus", "tiny", "2class")
    assert (results.selection, results.synthetic, results.versions) == ("fixed", True, {"python": "3.11"})
    assert results.settings == {"seed": 0, "epochs": 2} and results.command == RUN.command
    assert results.final_model is None and results.lost_clips == RUN.lost_clips


def test_a_report_of_one_seed_hides_faces_that_may_not_be_shown(written, tmp_path):
    run = dataclasses.replace(
        RUN, corpus=["samm"], test_corpus=[], seeds=[0], protocol="loso", faces=False, warnings=[], lost_clips={},
        init_from=None,
    )  # fmt: skip
    bare = [
        dataclasses.replace(fold, best_on_test_subject=None, predictions=[
            dataclasses.replace(row, corpus="samm", answers={}) for row in fold.predictions
        ])
        for fold in folds()
    ]  # fmt: skip
    results, text = written(run, {0: bare}, samples=True)
    start = "samm, loso, tiny: 5 held-out clips of 2 subjects, pooled once over 2 folds"
    assert text.startswith(f"# Report\n\n{start}\n\n```\n") and "0.5833 |" in text and "±" not in text
    assert text.endswith(
        "| yes   | 3     | 0.6667 | 0.6667 |\n\n## Figures\n\n![confusion matrix](confusion_matrix.png)\n"
        "![subject accuracy](subject_accuracy.png)\n![training curves](training_curves.png)\n"
    )
    assert not (tmp_path / "OUT" / "dynamic_images.png").exists()
    header, *_, last = report.summary(results, "OUT").split("\n")
    assert header == start and last.startswith("Written to OUT: results.json, predictions.csv,")
    assert "best_on_test_subject" not in text and "Training started" not in text


def test_a_fold_that_was_not_run_says_so(written):
    results, text = written(dataclasses.replace(RUN, seeds=[0]), {0: [folds()[0]]})
    assert results.missing_folds == {"b": "not run"} and "- fold b is missing: not run\n" in text


def test_a_report_of_a_model_of_everybody(written, tmp_path):
    run = dataclasses.replace(
        RUN, protocol="none", seeds=[0], folds=[], warnings=[], lost_clips={}, test_corpus=[],
        init_from=dataclasses.replace(START, new_classes=[]),
    )  # fmt: skip
    final = fold_record("final", "s1", [], [])
    final = dataclasses.replace(final, test_subjects=[], train_subjects=["s1", "s2"])
    store = RunStore(tmp_path / "OUT")
    write_record(store.root / "final", tmp_path / "aside", final, {"loss": [1.0]})
    (store.root / "run.json").write_text(json.dumps(run.to_dict()))
    results, text = written(run, {})
    said = "casme2+samm, tiny: nothing is benchmarked; final/ was trained on all 5 clips of 2 subjects"
    started = "Training started from start (weights sha256 a1b2)."
    assert text == (
        f"# Report\n\n{said}\n\n```\n{run.command}\n```\n\n{started}\n\n`final/` was trained on every subject: no "
        "held-out figure exists for this model.\n\n## Figures\n\n![training curves](training_curves.png)\n"
    )
    assert report.summary(results, "OUT") == (f"{said}\n\n{started}\nWritten to OUT: results.json, report.md, final/")
    assert results.benchmark is None and not (store.root / "predictions.csv").exists()
    assert results.final_model == FinalModel("final", final.note, 5, 2)


def test_a_report_is_drawn_again_only_where_something_changed(written, tmp_path, monkeypatch):
    run = dataclasses.replace(RUN, seeds=[0])
    records = {0: list(folds())}
    results, _ = written(run, records)
    drawn = []
    monkeypatch.setattr(report, "_draw", lambda *arguments: drawn.append(arguments))
    store = RunStore(tmp_path / "OUT")
    assert report.write_report(store, run.keys_by_seed, records, {}) == results and not drawn
    (store.root / "subject_accuracy.png").unlink()
    report.write_report(store, run.keys_by_seed, records, {})
    assert len(drawn) == 1
    (store.root / "subject_accuracy.png").write_bytes(b"")
    store.open(dataclasses.replace(run, command="another"))
    assert report.write_report(store, run.keys_by_seed, records, {}).command == "another" and len(drawn) == 2


def test_pictures_get_the_pooled_figures(written, monkeypatch):
    seen = {}
    for name in ("draw_confusion_matrix", "draw_subject_accuracy", "draw_training_curves", "draw_clips"):
        monkeypatch.setattr(
            f"evaluation_fdp.figures.{name}",
            lambda path, *content, name=name: seen.update({name: (path.name, *content)}),
        )
    right, wrong = folds()
    written(dataclasses.replace(RUN, seeds=[0]), {0: [right, wrong]}, samples=True)
    assert seen["draw_confusion_matrix"] == (
        "confusion_matrix.png", [[1, 1], [1, 2]], NAMES, "UF1 0.583, UAR 0.583"
    )  # fmt: skip
    assert seen["draw_subject_accuracy"] == ("subject_accuracy.png", {"s1": (2, 2), "s2": (1, 3)})
    assert seen["draw_training_curves"] == ("training_curves.png", {"a": {"loss": [1.0]}, "b": {"loss": [1.0]}})
    name, (clip,) = seen["draw_clips"]
    assert name == "dynamic_images.png" and str(clip["clip_ids"]) == "x"
