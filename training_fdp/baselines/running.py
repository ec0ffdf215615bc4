"""All folds of the baselines on one corpus, kept as fold records like those of any run.

A finished fold is never run again, and results.json, predictions.csv and report.md have the same form.
"""

import dataclasses
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.fold_records import FoldRecord, Predictions, read_record, write_record
from evaluation_fdp.protocols import NO_PROTOCOL
from evaluation_fdp.results import RESULTS_NAME, Results, read_results
from evaluation_fdp.run_folder import RunStore
from training_fdp.baselines.registry import BASELINES, FIXED, RELEASED
from training_fdp.config import parse_train_config
from training_fdp.errors import TrainingError
from training_fdp.runs.engine import build_accelerator
from training_fdp.runs.finish import finish
from training_fdp.runs.identity import computing_versions
from training_fdp.runs.prepare import PreparedRun, prepare_run
from training_fdp.runs.run import describe_run, make_jobs, run_unfinished


def run_baselines(arguments: Sequence[str], names: Sequence[str]) -> dict[str, Results]:
    """Run baselines one after the other into OUT/<name>/.

    Args:
        arguments (`Sequence[str]`): Options of `train.py` but `--method`. They override the recipe of a method;
            baselines without gradient descent use only clips, protocol and seeds.
        names (`Sequence[str]`): Which ones; see `training_fdp.baselines.registry`.

    Returns:
        `dict[str, Results]`: Results by name of all baselines in OUT, also of earlier calls.

    Raises:
        ConfigError: an option or a baseline that does not exist, or several processes for baselines that run in one.
        TrainingError: folds that could not be trained.
    """
    known = (*BASELINES, RELEASED)
    if unknown := sorted(set(names) - set(known)):
        raise ConfigError(f"no baseline is called {unknown[0]!r}; choose among {', '.join(known)}")
    config = parse_train_config(arguments)
    if config.protocol.protocol == NO_PROTOCOL:
        raise ConfigError("--protocol none holds out no subject, so a baseline has nothing to predict; choose another")
    root = Path(str(config.run.output_dir))
    if fixed := [name for name in names if name in FIXED]:
        processes = os.environ.get("WORLD_SIZE", "1")
        if processes != "1":
            raise ConfigError(
                f"{', '.join(fixed)} run in one process, but {processes} were launched; start them by `python -m "
                "training_fdp.baselines`, or leave them out by --baselines"
            )
        prepared = prepare_run(config, build_accelerator(config.training, config.run))
        for name in fixed:
            _run_fixed(prepared, name, root / name, arguments)
    for name in names:
        if name not in FIXED:
            _run_method(arguments, name, root / name)
    finished = {name: root / name / RESULTS_NAME for name in known}
    return {name: read_results(path) for name, path in finished.items() if path.exists()}


def _run_method(arguments: Sequence[str], name: str, folder: Path) -> None:
    """Train a method as train.py does, unless its run is finished."""
    method_arguments = [*arguments, "--method", name, "--output_dir", str(folder), "--final_model", "false"]
    if run_unfinished(method_arguments):
        raise TrainingError(f"folds of {name} are missing in {folder}; the same command runs only these")


def _run_fixed(prepared: PreparedRun, name: str, folder: Path, arguments: Sequence[str]) -> None:
    """Run unfinished folds, then pool."""
    table, baseline = prepared.corpora.table, FIXED[name]
    settings = prepared.config.identity(("clips",)) | {
        "baseline": name,
        "baseline_version": baseline.version,
        "num_frames": prepared.network.num_frames,
        "image_size": prepared.network.image_size,
    }
    identity = dataclasses.replace(prepared.identity, settings=settings)
    told = baseline.privileged_annotation
    store = RunStore(folder)
    described = dataclasses.replace(
        describe_run(prepared, arguments),
        identity=identity,
        command=f"python -m training_fdp.baselines --baselines {name} {shlex.join(arguments)}",
        preset=name,
        init_from=None,
        selection="fixed",
        answers={},
        warnings=prepared.warnings + ([f"{name} is told the {told} of every clip"] if told else []),
    )
    store.open(described)
    digest = identity.digest
    jobs = [job for job in make_jobs(prepared) if job.fold.test_indices]
    missing = [job for job in jobs if read_record(store.place(job.key), digest) is None]
    if missing:
        features = baseline.make_inputs(prepared.clips, prepared.processor, prepared.network.num_frames)
        labels = np.asarray(table.labels, dtype=np.int64)
        classifier = baseline.build_classifier()
        for job in tqdm(missing, desc=name, unit="fold", dynamic_ncols=True):
            start = time.monotonic()
            train, test = list(job.fold.train_indices), list(job.fold.test_indices)
            subjects = [table.subjects[row] for row in train]
            probabilities = classifier.fit_predict(
                features[train], labels[train], subjects, features[test], len(table.class_names), job.seed
            )
            record = FoldRecord(
                identity=digest,
                fold=job.fold.fold_id,
                seed=job.seed,
                train_subjects=list(job.fold.train_subjects),
                test_subjects=list(job.fold.test_subjects),
                num_train_clips=len(train),
                num_test_clips=len(test),
                steps=0,
                selection={"method": "fixed"},
                predictions=Predictions(test, probabilities, [{} for _ in test]).by_clip(table),
                seconds=round(time.monotonic() - start, 3),
                device="cpu",
                settings=settings,
                versions=computing_versions(),
            )
            write_record(store.place(job.key), store.work_folder(job.key) / "record", record, {"loss": []})
            store.clear_work(job.key)
    finish(store, [job.key for job in jobs], {})
