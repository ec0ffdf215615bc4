"""The report of a run, written from OUT alone: results.json, predictions.csv, pictures, report.md and a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation_fdp.atomic_files import read_json, write_json, write_text
from evaluation_fdp.fold_records import CURVE_NAME, RECORD_NAME, FoldRecord, read_record
from evaluation_fdp.markdown import aligned_table
from evaluation_fdp.metrics import METRIC_TITLES, SCALAR_METRICS
from evaluation_fdp.pooled_results import pool_records, predictions_csv
from evaluation_fdp.protocols import FINAL_FOLD
from evaluation_fdp.run_folder import SAMPLES_FOLDER, RunStore

SCHEMA_VERSION = 1
RESULTS_NAME = "results.json"
CLIPS_SHOWN = 4
CONFUSION, SUBJECTS = "confusion_matrix.png", "subject_accuracy.png"
CURVES, CLIPS = "training_curves.png", "dynamic_images.png"


def write_report(
    store: RunStore, keys_by_seed: Mapping[int, Sequence[str]], failures: Mapping[str, str]
) -> dict[str, Any]:
    """Pool the finished folds of an OUT and write everything a reader looks for.

    Args:
        store (`RunStore`):
            The OUT; at least one fold is finished, or, under the protocol `none`, the final model.
        keys_by_seed (`Mapping[int, Sequence[str]]`):
            All folds of the run.
        failures (`Mapping[str, str]`):
            Reasons of folds that failed in this run.

    Returns:
        `dict`: the content of results.json.
    """
    facts = store.read()
    records = store.records(keys_by_seed)
    class_names = facts["class_names"]
    missing = [key for keys in keys_by_seed.values() for key in keys if not (store.place(key) / RECORD_NAME).exists()]
    results = {
        "schema_version": SCHEMA_VERSION,
        "complete": not missing,
        "missing_folds": {key: failures.get(key, "not run") for key in missing},
        **{name: facts[name] for name in ("command", "corpus", "test_corpus", "label_set", "class_names", "preset")},
        **{name: facts[name] for name in ("protocol", "selection", "seeds", "synthetic", "warnings", "versions")},
        "seed": facts["seeds"][0],
        # Runs that are older than the option have no such fact.
        "init_from": facts.get("init_from"),
        "settings": facts["identity"]["settings"],
        **(pool_records(records, class_names, facts["answers"]) if records else {}),
        "final_model": _final_model(store),
    }
    figures = _figure_names(store.root, results, show_faces=facts["faces"])
    tables = ["predictions.csv"] if records else []
    if _is_written(store.root, results, [*tables, *figures, "report.md"]):
        return results
    if records:
        write_text(store.root / "predictions.csv", predictions_csv(records, class_names))
    _draw(store, keys_by_seed, results, records, figures)
    write_text(store.root / "report.md", _markdown(results, figures))
    # Last, so that where it lies everything else does.
    write_json(store.root / RESULTS_NAME, results)
    return results


def summary(results: Mapping[str, Any], root: Path) -> str:
    """Return what is printed at the end of a run (`str`): the pooled table, chance, and where things are."""
    lines = [_headline(results), ""]
    written = f"{RESULTS_NAME}, report.md, {FINAL_FOLD}/"
    if "metrics" in results:
        lines += _table(results, ("metric", "value", "95% interval", "majority class"))
        lines.append("")
        lines.append(
            f"Chance: always answering '{results['majority_class']}' gives the last column; {_guessing(results)}."
        )
        written = f"{RESULTS_NAME}, predictions.csv, confusion_matrix.png, report.md, folds/"
    literature = results.get("best_on_test_subject")
    if literature is not None:
        lines.append(
            "best_on_test_subject (epoch chosen on the held-out subject, as in much of the literature; not a result): "
            f"UF1 {literature['uf1']:.4f}, UAR {literature['uar']:.4f}, accuracy {literature['accuracy']:.4f}"
        )
    if results["init_from"] is not None:
        lines.append(_started_from(results["init_from"]))
    lines += [f"Note: {warning}" for warning in results["warnings"]]
    lines.append(f"Written to {root}: {written}")
    return "\n".join(lines)


def _is_written(root: Path, results: Mapping[str, Any], others: Sequence[str]) -> bool:
    """Whether OUT already holds this report: a run with nothing left to do need not draw it again."""
    path = root / RESULTS_NAME
    return path.exists() and all((root / name).exists() for name in others) and read_json(path) == results


def _figure_names(root: Path, results: Mapping[str, Any], show_faces: bool) -> list[str]:
    """The pictures that belong to these results."""
    if "metrics" not in results:
        return [CURVES]
    has_clips = show_faces and any((root / SAMPLES_FOLDER).glob("*.npz"))
    return [CONFUSION, SUBJECTS, CURVES, *([CLIPS] if has_clips else [])]


def _headline(results: Mapping[str, Any]) -> str:
    corpus = "+".join(results["corpus"])
    if "metrics" not in results:
        final = results["final_model"]
        return (
            f"{corpus}, {results['preset']}: nothing is benchmarked; {final['path']}/ was trained on all "
            f"{final['num_train_clips']} clips of {final['num_train_subjects']} subjects"
        )
    finished, missing = len(results["folds"]), len(results["missing_folds"])
    tested = f" -> {'+'.join(results['test_corpus'])}" if results["test_corpus"] else ""
    incomplete = "" if results["complete"] else f" INCOMPLETE: {missing} of {finished + missing} folds are missing;"
    seeds = f", seeds {' '.join(map(str, results['seeds']))}" if len(results["seeds"]) > 1 else ""
    return (
        f"{corpus}{tested}, {results['protocol']}, {results['preset']}{seeds}:{incomplete} "
        f"{results['num_clips']} held-out clips of {results['num_subjects']} subjects, pooled once over "
        f"{finished} folds"
    )


def _started_from(start: Mapping[str, Any]) -> str:
    anew = f"; {', '.join(start['new_parameters'])} started untrained" if start["new_parameters"] else ""
    return f"Training started from {start['name']} (weights sha256 {start['sha256']}){anew}."


def _table(results: Mapping[str, Any], header: Sequence[str]) -> list[str]:
    """Rows of a table that is aligned on a terminal and is Markdown too."""
    several = len(results["per_seed"]) > 1
    rows = []
    for name in SCALAR_METRICS:
        low, high = results["interval"][name]
        spread = f" ± {results['deviation'][name]['std']:.4f}" if several else ""
        value = f"{results['metrics'][name]:.4f}{spread}"
        majority = f"{results['chance']['majority'][name]:.4f}"
        rows.append((METRIC_TITLES[name], value, f"{low:.3f} to {high:.3f}", majority))
    return aligned_table([tuple(header), *rows])


def _guessing(results: Mapping[str, Any]) -> str:
    prior = results["chance"]["prior"]
    return f"guessing by the class shares gives UF1 {prior['uf1']:.4f} and accuracy {prior['accuracy']:.4f}"


def _final_model(store: RunStore) -> dict[str, Any] | None:
    record = read_record(store.place(FINAL_FOLD))
    if record is None:
        return None
    return {
        "path": FINAL_FOLD,
        "benchmarked": False,
        "note": record.note,
        "num_train_clips": record.num_train_clips,
        "num_train_subjects": len(record.train_subjects),
    }


def _draw(
    store: RunStore,
    keys_by_seed: Mapping[int, Sequence[str]],
    results: Mapping[str, Any],
    records: Mapping[int, Sequence[FoldRecord]],
    names: Sequence[str],
) -> None:
    """Draw the pictures of these names."""
    # Here, because a run that has nothing left to do draws nothing: the libraries take longer than all the rest.
    from evaluation_fdp.figures import (
        draw_clips,
        draw_confusion_matrix,
        draw_subject_accuracy,
        draw_training_curves,
        read_samples,
    )

    root = store.root
    keys = [key for keys in keys_by_seed.values() for key in keys] if records else [FINAL_FOLD]
    paths = {key: store.place(key) / CURVE_NAME for key in keys}
    draw_training_curves(root / CURVES, {key: read_json(path) for key, path in paths.items() if path.exists()})
    if CONFUSION in names:
        title = f"UF1 {results['metrics']['uf1']:.3f}, UAR {results['metrics']['uar']:.3f}"
        draw_confusion_matrix(root / CONFUSION, results["confusion_matrix"], results["class_names"], title)
        correct: dict[str, tuple[int, int]] = {}
        for row in (row for found in records.values() for record in found for row in record.predictions):
            right, total = correct.get(row.subject, (0, 0))
            correct[row.subject] = (right + (row.label == row.prediction), total + 1)
        draw_subject_accuracy(root / SUBJECTS, correct)
    if CLIPS in names:
        draw_clips(root / CLIPS, read_samples(root / SAMPLES_FOLDER, CLIPS_SHOWN))


def _markdown(results: Mapping[str, Any], figures: Sequence[str]) -> str:
    """Lay out report.md."""
    lines = ["# Report", "", _headline(results), "", "```", results["command"], "```"]
    if results["init_from"] is not None:
        lines += ["", _started_from(results["init_from"])]
    if "metrics" in results:
        lines += _pooled_metrics(results)
    if results["warnings"] or results["missing_folds"]:
        lines += ["", "## Read this first", ""]
        lines += [f"- {warning}" for warning in results["warnings"]]
        lines += [f"- fold {key} is missing: {reason}" for key, reason in results["missing_folds"].items()]
    if results["final_model"] is not None:
        lines += ["", f"`final/` was {results['final_model']['note']}."]
    lines += ["", "## Figures", "", *(f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in figures), ""]
    return "\n".join(lines)


def _pooled_metrics(results: Mapping[str, Any]) -> list[str]:
    """What the held-out clips say, class by class, seed by seed and corpus by corpus."""
    names = results["class_names"]
    lines = ["", "## Pooled metrics", ""]
    lines += _table(results, ("metric", "value", "95% interval over subjects", "majority class"))
    lines += ["", f"The majority class is '{results['majority_class']}'; {_guessing(results)}.", ""]
    per_class = [
        (name, str(results["class_counts"][name]), f"{f1:.4f}", f"{recall:.4f}")
        for name, f1, recall in zip(
            names, results["metrics"]["f1_per_class"], results["metrics"]["recall_per_class"], strict=True
        )
    ]
    lines += aligned_table([("class", "clips", "F1", "recall"), *per_class])
    if len(results["per_seed"]) > 1:
        seeds = [(str(run["seed"]), *(f"{run[name]:.4f}" for name in SCALAR_METRICS)) for run in results["per_seed"]]
        lines += ["", *aligned_table([("seed", *(METRIC_TITLES[name] for name in SCALAR_METRICS)), *seeds])]
    for corpus, found in results.get("per_corpus", {}).items():
        lines += ["", f"{corpus}: UF1 {found['uf1']:.4f}, UAR {found['uar']:.4f}, accuracy {found['accuracy']:.4f}"]
    if "best_on_test_subject" in results:
        found = results["best_on_test_subject"]
        lines += [
            "",
            "`best_on_test_subject`, the epoch chosen on the held-out subject as in much of the literature, beside "
            f"the honest figure and never instead of it: UF1 {found['uf1']:.4f}, UAR {found['uar']:.4f}, "
            f"accuracy {found['accuracy']:.4f}.",
        ]
    return lines + _answers(results)


def _answers(results: Mapping[str, Any]) -> list[str]:
    """What the model answers beyond the class, as means over the held-out clips."""
    if not results["answers"]:
        return []
    rows = [(found["title"], f"{found['mean']:.5f}", f"{found['std']:.5f}") for found in results["answers"].values()]
    return ["", "## Beyond the class", "", *aligned_table([("answer", "mean over clips", "deviation"), *rows])]
