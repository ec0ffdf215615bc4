"""The end of a run: pool, report, list missing folds; also the whole of a run whose folds are all finished.

Imports no torch, because its import would take longer than the rest.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation_fdp.atomic_files import file_digest
from evaluation_fdp.fold_records import RECORD_NAME, read_record
from evaluation_fdp.protocols import FINAL_FOLD, NO_PROTOCOL
from evaluation_fdp.report import summary, write_report
from evaluation_fdp.run_folder import RUN_NAME, WEIGHTS_NAME, RunStore
from evaluation_fdp.run_info import RunIdentity, RunInfo
from training_fdp.cli import say
from training_fdp.config import TrainConfig
from training_fdp.runs.identity import recorded_command, run_settings

if TYPE_CHECKING:
    from training_fdp.runs.trackers import RunTracker


def report_if_finished(config: TrainConfig, arguments: Sequence[str]) -> int | None:
    """Report a run that has nothing left to train, without importing the libraries of training.

    The clips are listed and compared, as in every run. Several processes of one launch do not report here, because
    they could not agree on it before torch is loaded.

    Args:
        config (`TrainConfig`): Settings.
        arguments (`Sequence[str]`): Their command line.

    Returns:
        `int`, *optional*: the exit code; `None` if the run is unfinished or must be checked in full.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        return None
    if config.run.collect is not None:
        return collect(Path(config.run.collect))
    store = RunStore(Path(str(config.run.output_dir)))
    if config.protocol.folds != "all" or config.run.report_to != "none":
        return None
    if not (store.root / RUN_NAME).exists():
        return None
    started = store.read()
    if not _is_same_run(started, config, arguments):
        return None
    keys = [key for keys in started.keys_by_seed.values() for key in keys] + [FINAL_FOLD] * config.run.final_model
    digest = started.identity.digest
    if any(read_record(store.place(key), digest) is None for key in keys):
        return None
    from training_fdp.data.corpora import load_corpora  # imported late, because most calls return earlier

    if RunIdentity(started.identity.settings, **load_corpora(config.data).identity) != started.identity:
        return None
    return finish(store, keys, {})


def _is_same_run(started: RunInfo, config: TrainConfig, arguments: Sequence[str]) -> bool:
    """Whether the run in OUT has these settings; clips are compared later."""
    start = None
    if config.network.init_from is not None:
        weights = Path(config.network.init_from) / WEIGHTS_NAME
        if not weights.is_file():
            return False
        start = file_digest(weights)
    shared = 1 if config.training.parallelism == "ddp" else None
    return (
        started.identity.settings == run_settings(config, start)
        and started.seeds == config.protocol.all_seeds
        and started.command == recorded_command(arguments, shared)
    )


def collect(folder: Path) -> int:
    """Pool the finished folds of an OUT without training; returns the exit code (`int`), 1 while some are missing.

    Raises:
        ConfigError: the folder holds no run.
    """
    store = RunStore(folder)
    keys = [key for keys in store.read().keys_by_seed.values() for key in keys]
    return finish(store, keys or [FINAL_FOLD], {})


def finish(
    store: RunStore, wanted: Sequence[str], failures: Mapping[str, str], tracker: "RunTracker | None" = None
) -> int:
    """Pool, report and list missing folds; returns the exit code (`int`)."""
    started = store.read()
    keys = started.keys_by_seed
    records = store.records(keys)
    missing = [key for key in wanted if not (store.place(key) / RECORD_NAME).exists()]
    for key in missing:
        say(f"missing: fold {key}: {failures.get(key, 'not run yet')}", sys.stderr)
    if records or (started.protocol == NO_PROTOCOL and not missing):
        results = write_report(store, keys, records, failures)
        say(summary(results, store.root))
        if tracker is not None:
            tracker.log_results(results)
    if missing:
        say(f"{len(missing)} of {len(wanted)} folds are missing; the same command runs only these", sys.stderr)
    return 1 if missing else 0
