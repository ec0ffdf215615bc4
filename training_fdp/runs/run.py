"""A run: all folds of a protocol over all seeds, on one process or many; finished folds are never run again."""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import transformers
from accelerate.utils import broadcast_object_list, gather_object
from tqdm import tqdm
from transformers import CONFIG_NAME, PreTrainedModel

from evaluation_fdp.fold_records import FoldRecord, read_record, write_record
from evaluation_fdp.protocols import FINAL_FOLD, Fold, final_fold, select_folds
from evaluation_fdp.run_folder import RunStore
from evaluation_fdp.run_info import RunInfo, StartingWeights, fold_key
from training_fdp.cli import user_facing_errors
from training_fdp.config import TrainConfig, parse_train_config
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
from training_fdp.data.batches import ClipBatches
from training_fdp.data.people import all_seen_subjects, subjects_by_corpus
from training_fdp.errors import Interrupted, TrainingError
from training_fdp.folds.fold import FoldTrainer, TrainedFold
from training_fdp.folds.interruption import Interruption
from training_fdp.folds.loop import FoldContext
from training_fdp.methods.starting_weights import SEEN_SUBJECTS
from training_fdp.runs.engine import build_accelerator, on_main_first, resolved
from training_fdp.runs.finish import collect, finish, report_if_finished
from training_fdp.runs.folds_at_once import helpers, sharing
from training_fdp.runs.identity import computing_versions, recorded_command
from training_fdp.runs.prepare import PreparedRun, prepare_run
from training_fdp.runs.samples import write_samples
from training_fdp.runs.trackers import RunTracker

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One fold of one seed.

    Args:
        key (`str`): Name of its folder.
        fold (`Fold`): The split.
        seed (`int`): Seed.
    """

    key: str
    fold: Fold
    seed: int


def run(config: TrainConfig, arguments: Sequence[str] = ()) -> int:
    """Train and evaluate all folds of a run.

    Args:
        config (`TrainConfig`):
            Settings.
        arguments (`Sequence[str]`, *optional*, defaults to `()`):
            Their command line, for the record.

    Returns:
        `int`: exit code; 1 when a requested fold is missing.

    Raises:
        CorpusError, VideoReadError, FaceNotFoundError, ConfigError: before anything is written into OUT.
        Interrupted: the run was stopped by a signal; the same command resumes it.
    """
    if config.run.collect is not None:
        return collect(Path(config.run.collect))
    transformers.utils.logging.disable_progress_bar()  # its short bars interrupt ours
    config = replace(config, training=resolved(config.training))
    accelerator = build_accelerator(config.training, config.run)
    prepared = prepare_run(config, accelerator)
    store = RunStore(Path(str(config.run.output_dir)))
    jobs = make_jobs(prepared)
    if accelerator.is_main_process:
        logger.info("%d folds, %d clips", len(prepared.folds), len(prepared.corpora.table.clip_ids))
    described = describe_run(prepared, arguments)
    on_main_first(accelerator, lambda: store.open(described) if accelerator.is_main_process else None)
    tracker = RunTracker(accelerator, config.run.report_to, config.identity())
    shared = sharing(config.run.folds_at_once, len(jobs), planned_steps(prepared, jobs), accelerator)
    todo = [job for job in jobs if read_record(store.place(job.key), prepared.identity.digest) is None]
    # Every N-th fold, because the first ones of a protocol are often those of the largest corpus.
    shares = [todo[number :: shared.processes] for number in range(shared.processes)]
    others = [[job.key for job in share] for share in shares[1:] if share]
    with (
        Interruption() as interruption,
        helpers(help_with_folds, config, others, shared.threads, interruption) as wait_for_helpers,
    ):
        failures = run_jobs(prepared, store, shares[0] if others else jobs, tracker, interruption)
        failures |= wait_for_helpers()
    code = 0
    if accelerator.is_main_process:
        code = finish(store, [job.key for job in jobs], failures, tracker)
    # All processes wait for the main one and return its exit code. Not by `wait_for_everyone()`, which uses the card
    # of the process's number; it may not exist where processes share a card.
    code = broadcast_object_list([code])[0]
    tracker.close()
    return code


def run_unfinished(arguments: Sequence[str]) -> int:
    """Do what `train.py` does with a command line; a run that is finished is only reported.

    Args:
        arguments (`Sequence[str]`): What follows `train.py`.

    Returns:
        `int`: exit code; 1 when a fold is missing.

    Raises:
        CorpusError, VideoReadError, FaceNotFoundError, ConfigError: see [`run`].
    """
    config = parse_train_config(arguments)
    code = report_if_finished(config, arguments)
    return run(config, arguments) if code is None else code


def help_with_folds(config: TrainConfig, keys: Sequence[str]) -> dict[str, str]:
    """Train some folds of a run that another process has begun and will report.

    Args:
        config (`TrainConfig`): Settings of the run.
        keys (`Sequence[str]`): Names of the folds.

    Returns:
        `dict`: the reasons of folds that failed, by name.
    """
    transformers.utils.logging.disable_progress_bar()
    # The other process has warned of everything already.
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s: %(message)s")
    accelerator = build_accelerator(config.training, replace(config.run, report_to="none"))
    prepared = prepare_run(config, accelerator)
    jobs = [job for job in make_jobs(prepared) if job.key in set(keys)]
    tracker = RunTracker(accelerator, "none", {})
    store = RunStore(Path(str(config.run.output_dir)))
    # Only here, because a signal while clips are read may end the process at once: nothing is lost then.
    with Interruption() as interruption:
        return run_jobs(prepared, store, jobs, tracker, interruption, shows_progress=False)


def planned_steps(prepared: PreparedRun, jobs: Sequence[Job]) -> int:
    """Return the optimiser steps of these folds together (`int`), refits after a selection not counted."""
    options = prepared.config.training
    if options.max_steps is not None:
        return options.max_steps * len(jobs)
    clips_per_step = options.batch_size * options.gradient_accumulation_steps
    return sum(options.epochs * len(job.fold.train_indices) // clips_per_step for job in jobs)


def describe_run(prepared: PreparedRun, arguments: Sequence[str]) -> RunInfo:
    """Return the description of a run (`RunInfo`) that is stored in OUT for reports."""
    config = prepared.config
    shares_folds = config.training.parallelism == "ddp"
    return RunInfo(
        identity=prepared.identity,
        command=recorded_command(arguments, prepared.accelerator.num_processes if shares_folds else None),
        corpus=config.data.corpus,
        test_corpus=config.data.test_corpus,
        label_set=config.data.label_set,
        preset=prepared.method.size_name,
        init_from=_starting_weights(prepared),
        protocol=config.protocol.protocol,
        selection=config.training.selection,
        seeds=config.protocol.all_seeds,
        folds=[fold.fold_id for fold in prepared.folds],
        warnings=prepared.warnings,
        lost_clips=prepared.corpora.lost_clips,
        synthetic=prepared.corpora.is_rendered,
        faces=prepared.corpora.faces_may_be_published or config.run.allow_face_figures,
        answers=dict(prepared.method.answer_titles),
        versions=computing_versions(),
    )


def make_jobs(prepared: PreparedRun) -> list[Job]:
    """Return the folds to run (`list[Job]`), all seeds; the final model is the last one."""
    config = prepared.config
    own_seed = config.protocol.seed
    chosen = select_folds(prepared.folds, config.protocol.folds)
    jobs = [
        Job(fold_key(fold.fold_id, seed, own_seed), fold, seed)
        for seed in config.protocol.all_seeds
        for fold in chosen
    ]
    if config.run.final_model and config.protocol.folds == "all":
        jobs.append(Job(FINAL_FOLD, final_fold(prepared.corpora.table, config.data.test_corpus), own_seed))
    return jobs


def run_jobs(
    prepared: PreparedRun,
    store: RunStore,
    jobs: Sequence[Job],
    tracker: RunTracker,
    interruption: Interruption,
    shows_progress: bool = True,
) -> dict[str, str]:
    """Train what is not finished; returns the reasons (`dict`) of the folds that failed, on all processes.

    Raises:
        Interrupted: the run was stopped by a signal; its state is saved.
    """
    accelerator = prepared.accelerator
    identity = prepared.identity.digest
    # Decided by the main process, because a fold may finish between the checks of two processes.
    todo = [job for job in jobs if read_record(store.place(job.key), identity) is None]
    todo = broadcast_object_list([todo])[0]
    failures: dict[str, str] = {}
    if todo:
        # On every process, because the method keeps its results in memory.
        prepared.method.prepare(prepared.clips, prepared.network, prepared.processor)
    # Every fold begins with a collection of garbage (`Accelerator.free_memory`), which took a third of a short fold,
    # because it searched what lives as long as the run: libraries and clips.
    gc.collect()
    gc.freeze()
    with (
        _share_of(prepared, todo) as mine,
        _Progress(mine, not (accelerator.is_main_process and shows_progress)) as progress,
    ):

        def report(key: str, step: int, planned: int, scalars: dict[str, float]) -> None:
            progress.show(key, step, planned, scalars.get("loss"))
            if scalars:
                tracker.log(key, step, scalars)

        context = fold_context(prepared, identity, report, interruption)
        for job in mine:
            try:
                _run_job(context, prepared, store, job)
            except (RuntimeError, OSError, ValueError, ArithmeticError) as error:
                if context.shares_fold and not isinstance(error, TrainingError):
                    # Raised, because the other processes wait inside the fold; the launcher then ends them.
                    raise
                # A failed fold must not end the others; its error is listed at the end.
                logger.error("fold %s failed", job.key, exc_info=not isinstance(error, user_facing_errors()))
                failures[job.key] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            progress.next_fold()
            if interruption.is_asked:
                raise Interrupted(f"stopped after fold {job.key}")
    gathered: list[dict[str, str]] = gather_object([failures])
    return {key: reason for failures_there in gathered for key, reason in failures_there.items()}


def _run_job(context: FoldContext, prepared: PreparedRun, store: RunStore, job: Job) -> None:
    work = store.work_folder(job.key)
    trainer = FoldTrainer(context, job.fold, job.seed, job.key, work)
    trained = trainer.train()
    if context.shares_fold and not prepared.accelerator.is_main_process:
        return
    if store.read().faces:
        write_samples(store.root, job.key, trained, context)
    seen = _seen_subjects(prepared, job.fold)

    def save(folder: Path) -> None:
        # In config.json, because fold.json is not published with a checkpoint.
        setattr(trained.model.config, SEEN_SUBJECTS, seen)
        # transformers writes on rank 0 alone; here every process saves the fold that it has trained by itself.
        trained.model.should_save_on_this_rank = lambda is_main_process: is_main_process  # type: ignore[method-assign]
        trained.model.save_pretrained(folder)
        # The processor is saved with the weights, so that inference prepares clips in the same way.
        prepared.processor.save_pretrained(folder)
        # safetensors makes its file readable for the owner alone; give it the mode of the umask.
        mode = (folder / CONFIG_NAME).stat().st_mode
        for path in folder.iterdir():
            path.chmod(mode)

    record = _fold_record(context, prepared, job, trained, seen)
    write_record(store.place(job.key), work / "record", record, trained.curve, save)
    store.clear_work(job.key)


def _fold_record(
    context: FoldContext, prepared: PreparedRun, job: Job, trained: TrainedFold, seen: dict[str, list[str]] | None
) -> FoldRecord:
    return FoldRecord(
        identity=context.identity,
        fold=job.fold.fold_id,
        seed=job.seed,
        train_subjects=list(job.fold.train_subjects),
        test_subjects=list(job.fold.test_subjects),
        num_train_clips=len(job.fold.train_indices),
        num_test_clips=len(job.fold.test_indices),
        steps=trained.steps,
        selection=trained.selection,
        predictions=trained.predictions.by_clip(prepared.corpora.table),
        seconds=round(trained.seconds, 3),
        device=str(next(trained.model.parameters()).device.type),
        settings=prepared.settings,
        init_from=_starting_weights(prepared),
        seen_subjects=seen,
        input_statistics=None if trained.statistics is None else list(trained.statistics),
        forward_batch_size=trained.forward_batch_size,
        best_on_test_subject=trained.best_on_test_subject,
        versions=computing_versions(),
    )


def _seen_subjects(prepared: PreparedRun, fold: Fold) -> dict[str, list[str]] | None:
    """Training subjects of a fold's model by corpus, initial checkpoint included; `None` where unknown."""
    corpora = prepared.corpora
    here = subjects_by_corpus(corpora.table, corpora.people, fold.train_indices)
    return here if prepared.start is None else all_seen_subjects(here, prepared.start.seen_subjects)


def _starting_weights(prepared: PreparedRun) -> StartingWeights | None:
    """Description of the initial checkpoint for reports."""
    if prepared.start is None:
        return None
    return prepared.start.described(prepared.corpora.table.class_names, prepared.method)


def fold_context(
    prepared: PreparedRun,
    identity: str,
    report: Callable[[str, int, int, dict[str, float]], None],
    interruption: Interruption | None = None,
) -> FoldContext:
    """Return what all folds of a run share (`FoldContext`).

    Args:
        prepared (`PreparedRun`): Clips, network and settings.
        identity (`str`): Digest of everything that decides the figures; stored in checkpoints.
        report (`Callable`): See [`FoldContext`].
        interruption (`Interruption`, *optional*): Records that the run was asked to stop.
    """
    method, network, config = prepared.method, prepared.network, prepared.config
    table = prepared.corpora.table
    augmentation = None
    if prepared.augmentation != AugmentationConfig():
        augmentation = build_augmentation(prepared.augmentation, len(table.class_names), method.followers)
    device = prepared.accelerator.device

    def build_model(fold_facts: object) -> PreTrainedModel:
        model = method.build(network, fold_facts)
        if prepared.start is not None:
            prepared.start.fill(model, method)
        return model

    return FoldContext(
        method=method,
        network=network,
        options=config.training,
        batch_options=config.batches,
        accelerator=prepared.accelerator,
        table=table,
        batches=ClipBatches(
            prepared.clips,
            prepared.processor,
            config.batches,
            network.num_frames,
            device,
            lambda clip, indices, normalize: method.targets(clip, indices, network, normalize),
        ),
        build_model=build_model,
        augmentation=augmentation,
        identity=identity,
        report=report,
        interruption=Interruption() if interruption is None else interruption,
    )


@contextmanager
def _share_of(prepared: PreparedRun, todo: Sequence[Job]) -> Iterator[list[Job]]:
    """The folds of this process: its share, or all where processes share every fold."""
    if prepared.config.training.parallelism == "ddp" or prepared.accelerator.num_processes == 1:
        yield list(todo)
        return
    with prepared.accelerator.split_between_processes(list(todo)) as mine:
        yield list(mine)


class _Progress:
    """One bar, for the fold that this process trains."""

    def __init__(self, jobs: Sequence[Job], disable: bool) -> None:
        self.total = len(jobs)
        self.done = 0
        self.bar = tqdm(total=1, unit="step", disable=disable or not jobs, dynamic_ncols=True)

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def show(self, key: str, step: int, planned: int, loss: float | None) -> None:
        # Of this process alone, because the others train theirs beside it.
        self.bar.set_description(f"fold {key} ({self.done + 1} of {self.total} here)", refresh=False)
        if loss is not None:
            self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self.bar.total = planned
        self.bar.update(step - self.bar.n)

    def next_fold(self) -> None:
        self.done += 1
        if self.done < self.total:
            self.bar.reset(total=1)
