"""Checks and preparation before anything is written into OUT."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from accelerate import Accelerator
from transformers import PreTrainedConfig

from evaluation_fdp.errors import ConfigError, ProtocolError
from evaluation_fdp.protocols import NO_PROTOCOL, ClipTable, Fold, make_folds, select_folds, untaught_classes
from evaluation_fdp.run_info import RunIdentity
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.cli import read_pairs
from training_fdp.config import TrainConfig
from training_fdp.data.aligned_clips import AlignedClips, prepare_clips
from training_fdp.data.augmentation import AugmentationConfig, parse_augmentation
from training_fdp.data.corpora import Corpora, clip_cache_folder, load_corpora, still_clips_warning, without_lost_clips
from training_fdp.data.people import check_unseen
from training_fdp.data.processor import (
    build_processor,
    check_landmark_tables,
    departures_from_the_processor,
    learnt_settings,
    uncropped_recordings,
)
from training_fdp.data.recordings import whole_recordings
from training_fdp.methods.base import Method, NetworkRequest, class_names_of
from training_fdp.methods.options import NetworkOptions
from training_fdp.methods.registry import get_method
from training_fdp.methods.starting_weights import OPTION as INIT_FROM
from training_fdp.methods.starting_weights import Initialization, read_initialization
from training_fdp.runs.engine import on_main_first
from training_fdp.runs.identity import run_settings

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class PlannedRun:
    """A run whose settings have been checked; no pixel has been read.

    Args:
        config (`TrainConfig`): Settings.
        accelerator (`Accelerator`): Device, precision, processes.
        method (`Method`): Defines the network, its targets and its losses.
        corpora (`Corpora`): The clips' rows.
        processor (`FDPVideoProcessor`): Their processor, saved with checkpoints.
        network (`PreTrainedConfig`): Settings of the network.
        augmentation (`AugmentationConfig`): Augmentation of training clips.
        folds (`list[Fold]`): All folds of the protocol.
        warnings (`list[str]`): Warnings for readers of the results.
        start (`Initialization`, *optional*): Initial checkpoint of every fold.
    """

    config: TrainConfig
    accelerator: Accelerator
    method: Method
    corpora: Corpora
    processor: FDPVideoProcessor
    network: PreTrainedConfig
    augmentation: AugmentationConfig
    folds: list[Fold]
    warnings: list[str]
    start: Initialization | None = None

    @property
    def settings(self) -> dict[str, object]:
        """The settings that decide the numbers (`dict`)."""
        return run_settings(self.config, None if self.start is None else self.start.sha256)

    @property
    def identity(self) -> RunIdentity:
        """Everything that decides the numbers (`RunIdentity`): settings, clips and classes."""
        return RunIdentity(self.settings, **self.corpora.identity)


@dataclass(kw_only=True)
class PreparedRun(PlannedRun):
    """A planned run with its clips, every one of which has been read.

    Args:
        clips (`AlignedClips`): The aligned clips, without those that `--allow_lost_clips` left out.
    """

    clips: AlignedClips


def prepare_run(config: TrainConfig, accelerator: Accelerator) -> PreparedRun:
    """Load the clips, split them, align them and build what a fold needs.

    Args:
        config (`TrainConfig`):
            Settings.
        accelerator (`Accelerator`):
            Device and processes; the main process loads first, the others find its caches.

    Returns:
        `PreparedRun`: the checked run.

    Raises:
        CorpusError, VideoReadError, FaceNotFoundError, ConfigError: a corpus, clip or setting is invalid.
    """
    # Splits and training subjects are checked before hours of alignment; lost clips may change the splits.
    planned = plan_run(config, accelerator, on_main_first(accelerator, lambda: load_corpora(config.data)))
    corpora, processor = planned.corpora, planned.processor
    clips = on_main_first(
        accelerator,
        lambda: prepare_clips(
            whole_recordings(corpora.dataset) if planned.augmentation.windows > 0 else corpora.dataset,
            processor,
            clip_cache_folder(config.data.cache_dir),
            config.data.num_proc,
            keep_going=config.data.allow_lost_clips,
        ),
    )
    corpora = without_lost_clips(corpora, clips.lost)
    folds, warnings = split_clips(config, corpora.table)
    warnings = corpora.warnings + still_clips_warning(corpora) + warnings + planned.warnings
    uncropped = uncropped_recordings(corpora, processor)
    if accelerator.is_main_process:
        for message in uncropped:
            logger.warning("%s", message)
    warnings += uncropped + departures_from_the_processor(config.batches)
    return PreparedRun(**vars(replace(planned, corpora=corpora, folds=folds, warnings=warnings)), clips=clips)


def plan_run(config: TrainConfig, accelerator: Accelerator, corpora: Corpora) -> PlannedRun:
    """Check and build all of a run that needs no pixel.

    Args:
        config (`TrainConfig`):
            Settings.
        accelerator (`Accelerator`):
            Device and processes.
        corpora (`Corpora`):
            The rows of its clips.

    Returns:
        `PlannedRun`: its warnings are those of the initial checkpoint alone.

    Raises:
        ConfigError: a setting that the network, the clips or the protocol do not allow.
    """
    method = get_method(config.network.method)(config.method)
    augmentation = parse_augmentation(config.batches.augmentation)
    if augmentation.is_temporal and config.batches.frame_sampling != "linspace":
        raise ConfigError(
            f"--frame_sampling {config.batches.frame_sampling} fixes the sampled frames, but --augmentation "
            f"{config.batches.augmentation} draws them at random; add time_jitter=0,speed=0,phase=0,windows=0 to the "
            "augmentation"
        )
    start = None
    if config.network.init_from is not None:
        name = config.network.init_from
        start = on_main_first(accelerator, lambda: read_initialization(name))
        new = start.new_classes(corpora.table.class_names, method)
        if new and accelerator.is_main_process:
            logger.warning("%s %s lacks the classes %s: they start untrained", INIT_FROM, start.name, ", ".join(new))
    network = build_network_settings(method, config.network, corpora, start)
    method.check(network, augmentation)
    check_class_is_learnt(config, network)
    method.check_clips(_frame_files(corpora), network)
    asked = read_pairs("processor_overrides", config.data.processor_overrides)
    overrides = {**method.processor_settings(network), **asked}
    if start is not None and start.processor is not None:
        overrides |= learnt_settings(start.processor, asked, f"{INIT_FROM} {start.name}")
    processor = build_processor(overrides, network.num_frames, network.image_size)
    check_landmark_tables(corpora, processor)
    folds, _ = split_clips(config, corpora.table)
    seen = [] if start is None else check_unseen(start.name, start.seen_subjects, corpora.table, corpora.people, folds)
    return PlannedRun(
        config=config,
        accelerator=accelerator,
        method=method,
        corpora=corpora,
        processor=processor,
        network=network,
        augmentation=augmentation,
        folds=folds,
        warnings=seen,
        start=start,
    )


def check_class_is_learnt(config: TrainConfig, network: PreTrainedConfig) -> None:
    """Refuse folds that are scored by classes which no loss teaches.

    A network that was trained without classes hands its weight of 0 on to the networks that start from it; their
    answers would be random without a word.

    Args:
        config (`TrainConfig`): Settings.
        network (`PreTrainedConfig`): Settings of the network.

    Raises:
        ConfigError: `classification_loss_weight` is 0.
    """
    untrained, protocol = config.training.max_steps == 0, config.protocol.protocol
    if getattr(network, "classification_loss_weight", 1) == 0 and protocol != NO_PROTOCOL and not untrained:
        raise ConfigError(
            f"--protocol {protocol} is scored by classes, but no loss teaches them, because "
            "classification_loss_weight is 0; add classification_loss_weight=1 to --model_overrides, or train a "
            "network for others to start from by --protocol none --final_model"
        )


def build_network_settings(
    method: Method, options: NetworkOptions, corpora: Corpora, start: Initialization | None = None
) -> PreTrainedConfig:
    """Return the settings of the network (`PreTrainedConfig`) that a run trains.

    Args:
        method (`Method`): Its method.
        options (`NetworkOptions`): Sizes and overrides.
        corpora (`Corpora`): Classes and coded action units.
        start (`Initialization`, *optional*): The checkpoint that training starts from.

    Raises:
        ConfigError: a setting that the network lacks or that contradicts the checkpoint, or a method that leaves out
            what every run reads.
    """
    known = corpora.dataset is not None and "action_units" in corpora.dataset.column_names
    request = NetworkRequest(
        class_names=tuple(corpora.table.class_names),
        overrides=options.overrides,
        start=None if start is None else start.config,
        start_name="" if start is None else start.name,
        action_units=corpora.dataset["action_units"] if known else (),
    )
    settings = method.configure(request)
    name = f"{type(settings).__name__} of --method {method.name}"
    if lacking := [field for field in ("num_frames", "image_size") if not hasattr(settings, field)]:
        raise ConfigError(f"a network has num_frames and image_size, but {name} lacks {', '.join(lacking)}; add them")
    if class_names_of(settings) != list(request.class_names):
        raise ConfigError(
            f"a network has the classes {', '.join(request.class_names)} of its run in this order, but {name} has "
            f"{', '.join(class_names_of(settings))}; pass **request.labels to it in configure()"
        )
    return settings


def _frame_files(corpora: Corpora) -> Iterator[Sequence[str]]:
    """Paths of the frames of every clip whose frames are files."""
    if "frames" in corpora.dataset.column_names:
        yield from filter(None, corpora.dataset["frames"])


def split_clips(config: TrainConfig, table: ClipTable) -> tuple[list[Fold], list[str]]:
    """Split the clips by the protocol.

    Returns:
        `tuple[list[Fold], list[str]]`: all folds, and warnings about classes.

    Raises:
        ProtocolError: the clips cannot be split, or a requested fold does not exist.
    """
    options = config.protocol
    folds = make_folds(table, options.protocol, config.data.test_corpus, options.released_subject_list)
    select_folds(folds, options.folds)
    return folds, _check_classes(table, folds, options.allow_missing_classes)


def _check_classes(table: ClipTable, folds: Sequence[Fold], allow_missing: bool) -> list[str]:
    """Refuse folds that test classes without training clips, unless allowed; warn of classes without any clip."""
    warnings = []
    present = set(table.labels)
    absent = [name for label, name in enumerate(table.class_names) if label not in present]
    if absent:
        warnings.append(f"classes without any clip: {', '.join(absent)}; they count as 0 in UF1 and UAR")
    for fold in folds:
        untaught = untaught_classes(table, fold)
        if untaught and not allow_missing:
            raise ProtocolError(
                f"fold {fold.fold_id} tests {', '.join(untaught)} but has no training clip of it; choose another "
                "protocol or label set, or add --allow_missing_classes and read the figure accordingly"
            )
        if untaught:
            warnings.append(f"fold {fold.fold_id} tests {', '.join(untaught)} without a training clip of it")
    return warnings
