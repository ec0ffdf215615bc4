"""The report of a run, written from OUT alone: results.json, predictions.csv, pictures, report.md and a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation_fdp.atomic_files import read_json, write_json, write_text
from evaluation_fdp.fold_records import CURVE_NAME, RECORD_NAME, FoldRecord, read_record
from evaluation_fdp.markdown import aligned_table
from evaluation_fdp.metrics import METRICS, Figures
from evaluation_fdp.pooled_results import PREDICTIONS_NAME, pool_records, predictions_csv
from evaluation_fdp.protocols import FINAL_FOLD
from evaluation_fdp.results import RESULTS_NAME, Benchmark, FinalModel, Results
from evaluation_fdp.run_folder import SAMPLES_FOLDER, RunStore
from evaluation_fdp.run_info import StartingWeights

REPORT_NAME = "report.md"
CLIPS_SHOWN = 4
CONFUSION, SUBJECTS = "confusion_matrix.png", "subject_accuracy.png"
CURVES, CLIPS = "training_curves.png", "dynamic_images.png"


def write_report(
    store: RunStore,
    keys_by_seed: Mapping[int, Sequence[str]],
    records: Mapping[int, Sequence[FoldRecord]],
    failures: Mapping[str, str],
) -> Results:
    """Pool the finished folds of an OUT; write results.json, predictions.csv, pictures and report.md.

    Args:
        store (`RunStore`):
            The OUT; at least one fold is finished, or, under the protocol `none`, the final model.
        keys_by_seed (`Mapping[int, Sequence[str]]`):
            All folds of the run.
        records (`Mapping[int, Sequence[FoldRecord]]`):
            Finished folds, as [`RunStore.records`] returns them.
        failures (`Mapping[str, str]`):
            Reason of each fold that failed in this run.

    Returns:
        `Results`: the content of results.json.
    """
    run = store.read()
    missing = [key for keys in keys_by_seed.values() for key in keys if not (store.place(key) / RECORD_NAME).exists()]
    results = Results(
        command=run.command,
        corpus=run.corpus,
        test_corpus=run.test_corpus,
        label_set=run.label_set,
        class_names=run.identity.class_names,
        preset=run.preset,
        protocol=run.protocol,
        selection=run.selection,
        seeds=run.seeds,
        synthetic=run.synthetic,
        warnings=run.warnings,
        versions=run.versions,
        settings=run.identity.settings,
        missing_folds={key: failures.get(key, "not run") for key in missing},
        lost_clips=run.lost_clips,
        init_from=run.init_from,
        benchmark=pool_records(records, run.identity.class_names, run.answers) if records else None,
        final_model=_final_model(store),
    )
    figures = _figure_names(store.root, results, show_faces=run.faces)
    tables = [PREDICTIONS_NAME] if records else []
    if _is_written(store.root, results, [*tables, *figures, REPORT_NAME]):
        return results
    if records:
        write_text(store.root / PREDICTIONS_NAME, predictions_csv(records, results.class_names))
    _draw(store, keys_by_seed, results, records, figures)
    write_text(store.root / REPORT_NAME, _markdown(results, figures))
    # Written last, so that all other files exist where it does.
    write_json(store.root / RESULTS_NAME, results.to_dict())
    return results


def summary(results: Results, root: Path) -> str:
    """Return the text printed at the end of a run (`str`): pooled table, chance, paths of the files."""
    lines = [_headline(results), ""]
    written = f"{RESULTS_NAME}, {REPORT_NAME}, {FINAL_FOLD}/"
    if results.benchmark is not None:
        benchmark = results.benchmark
        lines += _table(benchmark, ("metric", "value", "95% interval", "majority class"))
        lines.append("")
        majority = results.class_names[benchmark.majority]
        lines.append(f"Chance: always answering '{majority}' gives the last column; {_guessing(benchmark)}.")
        written = f"{RESULTS_NAME}, {PREDICTIONS_NAME}, {CONFUSION}, {REPORT_NAME}, folds/"
        if benchmark.best_on_test_subject is not None:
            lines.append(
                "best_on_test_subject (epoch chosen on the held-out subject, as in much of the literature; not a "
                f"result): {_short(benchmark.best_on_test_subject)}"
            )
    if results.init_from is not None:
        lines.append(_started_from(results.init_from))
    lines += [f"Note: {warning}" for warning in results.warnings]
    lines.append(f"Written to {root}: {written}")
    return "\n".join(lines)


def _is_written(root: Path, results: Results, others: Sequence[str]) -> bool:
    """Whether OUT already holds this report, so that it need not be drawn again."""
    path = root / RESULTS_NAME
    return path.exists() and all((root / name).exists() for name in others) and read_json(path) == results.to_dict()


def _figure_names(root: Path, results: Results, show_faces: bool) -> list[str]:
    """The pictures of these results."""
    if results.benchmark is None:
        return [CURVES]
    has_clips = show_faces and any((root / SAMPLES_FOLDER).glob("*.npz"))
    return [CONFUSION, SUBJECTS, CURVES, *([CLIPS] if has_clips else [])]


def _headline(results: Results) -> str:
    corpus = "+".join(results.corpus)
    benchmark, final = results.benchmark, results.final_model
    if benchmark is None:
        trained = (
            f"; {final.path}/ was trained on all {final.num_train_clips} clips of {final.num_train_subjects} subjects"
            if final is not None
            else ""
        )
        return f"{corpus}, {results.preset}: nothing is benchmarked{trained}"
    finished, missing = len(benchmark.folds), len(results.missing_folds)
    tested = f" -> {'+'.join(results.test_corpus)}" if results.test_corpus else ""
    incomplete = "" if results.complete else f" INCOMPLETE: {missing} of {finished + missing} folds are missing;"
    seeds = f", seeds {' '.join(map(str, results.seeds))}" if len(results.seeds) > 1 else ""
    return (
        f"{corpus}{tested}, {results.protocol}, {results.preset}{seeds}:{incomplete} "
        f"{benchmark.num_clips} held-out clips of {benchmark.num_subjects} subjects, pooled once over "
        f"{finished} folds"
    )


def _short(figures: Figures) -> str:
    return ", ".join(f"{metric.title} {figures[name]:.4f}" for name, metric in METRICS.items())


def _started_from(weights: StartingWeights) -> str:
    new = f"; the classes {', '.join(weights.new_classes)} started untrained" if weights.new_classes else ""
    return f"Training started from {weights.name} (weights sha256 {weights.sha256}){new}."


def _table(benchmark: Benchmark, header: Sequence[str]) -> list[str]:
    """Lines of the table of metrics; see [`aligned_table`]."""
    several = len(benchmark.per_seed) > 1
    figures, deviation, majority = benchmark.figures, benchmark.deviation, benchmark.chance["majority"]
    rows = []
    for name, metric in METRICS.items():
        low, high = benchmark.interval[name]
        spread = f" ± {deviation[name]:.4f}" if several else ""
        rows.append(
            (metric.title, f"{figures[name]:.4f}{spread}", f"{low:.3f} to {high:.3f}", f"{majority[name]:.4f}")
        )
    return aligned_table([tuple(header), *rows])


def _guessing(benchmark: Benchmark) -> str:
    prior = benchmark.chance["prior"]
    return f"guessing by the class shares gives UF1 {prior['uf1']:.4f} and accuracy {prior['accuracy']:.4f}"


def _final_model(store: RunStore) -> FinalModel | None:
    record = read_record(store.place(FINAL_FOLD))
    if record is None:
        return None
    return FinalModel(FINAL_FOLD, record.note or "", record.num_train_clips, len(record.train_subjects))


def _draw(
    store: RunStore,
    keys_by_seed: Mapping[int, Sequence[str]],
    results: Results,
    records: Mapping[int, Sequence[FoldRecord]],
    names: Sequence[str],
) -> None:
    """Draw the pictures."""
    # Imported here, because matplotlib is slow to import and a finished run draws nothing.
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
    if results.benchmark is not None:
        pooled = results.benchmark.figures
        title = f"UF1 {pooled['uf1']:.3f}, UAR {pooled['uar']:.3f}"
        draw_confusion_matrix(root / CONFUSION, pooled.confusion_matrix, results.class_names, title)
        draw_subject_accuracy(root / SUBJECTS, _correct_by_subject(records))
    if CLIPS in names:
        draw_clips(root / CLIPS, read_samples(root / SAMPLES_FOLDER, CLIPS_SHOWN))


def _correct_by_subject(records: Mapping[int, Sequence[FoldRecord]]) -> dict[str, tuple[int, int]]:
    """Number of right predictions and of clips of each subject, over all seeds."""
    correct: dict[str, tuple[int, int]] = {}
    for row in (row for folds in records.values() for record in folds for row in record.predictions):
        right, total = correct.get(row.subject, (0, 0))
        correct[row.subject] = (right + (row.label == row.prediction), total + 1)
    return correct


def _markdown(results: Results, figures: Sequence[str]) -> str:
    """Lay out report.md."""
    lines = ["# Report", "", _headline(results), "", "```", results.command, "```"]
    if results.init_from is not None:
        lines += ["", _started_from(results.init_from)]
    if results.benchmark is not None:
        lines += _pooled_metrics(results.benchmark, results.class_names)
    if results.warnings or results.missing_folds or results.lost_clips:
        lines += ["", "## Read this first", ""]
        lines += [f"- {warning}" for warning in results.warnings]
        lines += [f"- fold {key} is missing: {reason}" for key, reason in results.missing_folds.items()]
        lines += [f"- clip {clip} was left out: {reason}" for clip, reason in results.lost_clips.items()]
    if results.final_model is not None:
        lines += ["", f"`{results.final_model.path}/` was {results.final_model.note}."]
    lines += ["", "## Figures", "", *(f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in figures), ""]
    return "\n".join(lines)


def _pooled_metrics(benchmark: Benchmark, class_names: Sequence[str]) -> list[str]:
    """Sections with the figures of held-out clips, by class, seed and corpus."""
    lines = ["", "## Pooled metrics", ""]
    lines += _table(benchmark, ("metric", "value", "95% interval over subjects", "majority class"))
    lines += ["", f"The majority class is '{class_names[benchmark.majority]}'; {_guessing(benchmark)}.", ""]
    pooled = benchmark.figures
    columns = (class_names, benchmark.class_counts, pooled.f1_per_class, pooled.recall_per_class)
    per_class = [
        (name, str(count), f"{f1:.4f}", f"{recall:.4f}") for name, count, f1, recall in zip(*columns, strict=True)
    ]
    lines += aligned_table([("class", "clips", "F1", "recall"), *per_class])
    if len(benchmark.per_seed) > 1:
        seeds = [
            (str(seed), *(f"{figures[name]:.4f}" for name in METRICS)) for seed, figures in benchmark.per_seed.items()
        ]
        lines += ["", *aligned_table([("seed", *(metric.title for metric in METRICS.values())), *seeds])]
    for corpus, figures in benchmark.per_corpus.items():
        lines += ["", f"{corpus}: {_short(figures)}"]
    if benchmark.best_on_test_subject is not None:
        lines += [
            "",
            "`best_on_test_subject`, the epoch chosen on the held-out subject as in much of the literature; not a "
            f"result: {_short(benchmark.best_on_test_subject)}.",
        ]
    if benchmark.answers:
        rows = [(answer.title, f"{answer.mean:.5f}", f"{answer.std:.5f}") for answer in benchmark.answers.values()]
        lines += ["", "## Beyond the class", "", *aligned_table([("answer", "mean over clips", "deviation"), *rows])]
    return lines
