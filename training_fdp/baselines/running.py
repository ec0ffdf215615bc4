"""All folds of the baselines on one corpus, kept as fold records like the main program's.

A finished fold is never run again, and results.json, predictions.csv and report.md have the main program's form.
"""

import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from evaluation_fdp.fold_records import FoldRecord, Predictions, read_record, write_record
from evaluation_fdp.protocols import NO_PROTOCOL, ClipTable, Fold, select_folds
from evaluation_fdp.report import summary, write_report
from evaluation_fdp.results import RESULTS_NAME, Results, read_results
from evaluation_fdp.run_folder import RunStore, fold_key, identity_digest, keys_by_seed
from training_fdp.config import parse_train_config
from training_fdp.errors import ConfigError, TrainingError
from training_fdp.runs.identity import NETWORK_VERSION, computing_versions
from training_fdp.runs.prepare import PreparedRun, build_accelerator, prepare_run
from training_fdp.runs.run import run, run_facts

from .classifiers import Outcome
from .registry import BASELINES, RELEASED

# Of the settings of a training run, those that also decide a baseline's numbers.
_SHARED_SETTINGS = (
    "corpus", "label_set", "test_corpus", "protocol", "seed", "processor_overrides", "corpus_options",
)  # fmt: skip


def run_baselines(arguments: Sequence[str], names: Sequence[str], epochs: int) -> dict[str, Results]:
    """Run baselines one after the other into OUT/<name>/.

    Args:
        arguments (`Sequence[str]`): Options of `train.py`; corpus, protocol, seeds, frames and image size count, and
            for `"fdp_released"` all of them.
        names (`Sequence[str]`): Keys of `BASELINES`, or `"fdp_released"`.
        epochs (`int`): Passes over the training clips of those that train a network.

    Returns:
        `dict[str, Results]`: By name the results of every baseline that lies in OUT, whenever it was run.

    Raises:
        ConfigError: an option or a baseline that does not exist, or several processes.
    """
    unknown = sorted(set(names) - {*BASELINES, RELEASED})
    if unknown:
        raise ConfigError(f"no baseline is called {unknown[0]!r}; choose among {', '.join([*BASELINES, RELEASED])}")
    config = parse_train_config(arguments)
    if config.protocol == NO_PROTOCOL:
        raise ConfigError("--protocol none holds nobody out, so a baseline has nothing to predict; choose another")
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != "1":
        raise ConfigError(
            f"baselines run in one process, but {processes} were launched; start them by `python -m "
            "training_fdp.baselines`"
        )
    prepared = prepare_run(config, build_accelerator(config))
    root = Path(str(config.output_dir))
    for name in names:
        if name == RELEASED:
            _run_released(arguments, root / name)
        else:
            _run_baseline(prepared, name, epochs, root / name, arguments)
    finished = {name: root / name / RESULTS_NAME for name in (*BASELINES, RELEASED)}
    return {name: read_results(path) for name, path in finished.items() if path.exists()}


def _run_released(arguments: Sequence[str], place: Path) -> None:
    """The authors' network with the authors' settings, by the main program."""
    released = [
        *arguments,
        "--recipe",
        "released",
        "--preset",
        "released",
        "--output_dir",
        str(place),
        "--final_model",
        "false",
    ]
    code = run(parse_train_config(released), released)
    if code:
        raise TrainingError(f"folds of {RELEASED} are missing in {place}; the same command runs only these")


def _run_baseline(prepared: PreparedRun, name: str, epochs: int, place: Path, arguments: Sequence[str]) -> None:
    """Run what is not finished, then pool."""
    config, table = prepared.config, prepared.corpora.table
    settings = {key: value for key, value in config.identity().items() if key in _SHARED_SETTINGS}
    # A baseline takes FDP's input, its default sizes and, one of them, its motion: it moves with FDP's version.
    settings["network_version"] = NETWORK_VERSION
    settings |= {"num_frames": prepared.model_config.num_frames, "image_size": prepared.model_config.image_size}
    if BASELINES[name].version > 1:  # the first version has no number, since folders of before numbers have none
        settings["baseline_version"] = BASELINES[name].version
    identity = {**prepared.identity(), "settings": {"baseline": name, "baseline_epochs": epochs, **settings}}
    facts = run_facts(prepared, arguments)
    facts |= {
        "command": f"python -m training_fdp.baselines --baselines {name} --baseline_epochs {epochs} "
        f"{shlex.join(arguments)}",
        "preset": name,
        "init_from": None,
        "selection": "fixed",
        "answers": {},
        "warnings": prepared.warnings + _told(name),
    }
    store = RunStore(place)
    store.open(identity, facts)
    digest = identity_digest(identity)
    jobs = [
        (fold_key(fold.fold_id, seed, config.seed), fold, seed)
        for seed in config.all_seeds
        for fold in select_folds(prepared.folds, config.folds)
    ]
    missing = [job for job in jobs if read_record(store.place(job[0]), digest) is None]
    if missing:
        baseline = BASELINES[name]
        inputs = baseline.see(prepared.clips, prepared.processor, prepared.model_config.num_frames)
        classifier = baseline.classifier(epochs)
        labels = np.asarray(table.labels, dtype=np.int64)
        for key, fold, seed in tqdm(missing, desc=name, unit="fold", dynamic_ncols=True):
            start = time.monotonic()
            train, test = list(fold.train_indices), list(fold.test_indices)
            subjects = [table.subjects[row] for row in train]
            outcome = classifier.fit_predict(
                inputs[train], labels[train], subjects, inputs[test], len(table.class_names), seed
            )
            record = _record(fold, seed, table, outcome, identity["settings"], digest, time.monotonic() - start)
            write_record(store.place(key), store.work_folder(key) / "record", record, {"loss": outcome.losses})
            store.clear_work(key)
    results = write_report(store, keys_by_seed(store.read()), {})
    print(summary(results, place))  # noqa: T201 - the command line's own voice


def _told(name: str) -> list[str]:
    """What a baseline knows and no new video tells."""
    known = BASELINES[name].knows
    return [f"{name} is told the {known} of every clip"] if known else []


def _record(
    fold: Fold,
    seed: int,
    table: ClipTable,
    outcome: Outcome,
    settings: dict[str, Any],
    digest: str,
    seconds: float,
) -> FoldRecord:
    """A fold record as the main program writes it, without a model."""
    rows = list(fold.test_indices)
    return FoldRecord(
        identity=digest,
        fold=fold.fold_id,
        seed=seed,
        train_subjects=list(fold.train_subjects),
        test_subjects=list(fold.test_subjects),
        num_train_clips=len(fold.train_indices),
        num_test_clips=len(rows),
        steps=len(outcome.losses),
        selection={"method": "fixed"},
        predictions=Predictions(rows, outcome.probabilities, [{} for _ in rows]).by_clip(table),
        seconds=round(seconds, 3),
        device="cuda" if torch.cuda.is_available() else "cpu",
        settings=settings,
        versions=computing_versions(),
    )
