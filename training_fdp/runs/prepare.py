"""Everything that is checked and built before the first byte is written into OUT."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, parse_flag_from_env

from evaluation_fdp.protocols import ClipTable, Fold, make_folds, select_folds, untaught_classes
from training_fdp.config import TrainConfig
from training_fdp.data.aligned_clips import prepare_clips
from training_fdp.data.augmentation import AugmentationConfig
from training_fdp.data.batches import parse_augmentation
from training_fdp.data.corpora import Corpora, clip_cache_folder, load_corpora
from training_fdp.errors import ConfigError, ProtocolError
from training_fdp.folds.randomness import set_determinism
from training_fdp.methods.action_units import FACS_CODES, is_coded
from training_fdp.methods.starting_weights import OPTION as INIT_FROM
from training_fdp.methods.starting_weights import Initialization, check_unseen, read_initialization
from training_fdp.runs.identity import run_settings
from training_fdp.runs.trackers import check_tracker

logger = logging.getLogger(__name__)

# A process that is done early waits for the last one: accelerate's default of ten minutes would end the run.
PROCESS_GROUP_TIMEOUT = timedelta(days=7)

# The preset that changes nothing, for a checkpoint that states every setting itself.
ALL_DEFAULTS = "base"
RELEASED_PRESET = "released"
# Frames this much wider than high are whole recordings (4 to 3 and wider); crops of faces are square or upright.
RECORDING_ASPECT = 1.3

Result = TypeVar("Result")


@dataclass
class PreparedRun:
    """A run whose every setting and clip has been checked.

    Args:
        config (`TrainConfig`): Settings.
        accelerator (`Accelerator`): Device, arithmetic, processes.
        corpora (`Corpora`): The clips' rows.
        clips (`AlignedClips`): The clips' pixels.
        processor (`FDPVideoProcessor`): What made them, and goes into checkpoints.
        model_config (`FDPConfig`): The network.
        augmentation (`AugmentationConfig`): What training clips undergo.
        folds (`list[Fold]`): All folds of the protocol.
        warnings (`list[str]`): What a reader of the results must know.
        start (`Initialization`, *optional*): The checkpoint that every fold starts from.
    """

    config: TrainConfig
    accelerator: Any
    corpora: Corpora
    clips: Any
    processor: Any
    model_config: Any
    augmentation: AugmentationConfig
    folds: list[Fold]
    warnings: list[str]
    start: Initialization | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that decide the numbers (`dict`)."""
        return run_settings(self.config, None if self.start is None else self.start.sha256)

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the numbers (`dict`): settings, clips and classes."""
        return {"settings": self.settings, **self.corpora.identity}


def build_accelerator(config: TrainConfig) -> Accelerator:
    """Return the accelerator (`Accelerator`) of a run.

    Raises:
        ConfigError: an arithmetic that the device cannot do, a batch that the processes cannot share, or a tracker
            that is not installed.
    """
    launched_with = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched_with not in ("no", config.mixed_precision):
        raise ConfigError(
            f"accelerate launch was told --mixed_precision {launched_with} and train.py {config.mixed_precision}; "
            "give the option to train.py, which records it"
        )
    # The state outlives its accelerator and refuses another arithmetic, which the next run in this process may want.
    # accelerate has no public way to say so; the group of processes, which is kept apart, stays as it is.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        log_with=check_tracker(config.report_to),
        project_dir=config.output_dir,
        kwargs_handlers=[_process_group(config)],
    )
    if config.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise ConfigError(
            "--mixed_precision fp16 needs a GPU, but this run is on the CPU, where it would silently change nothing; "
            "use bf16 or no"
        )
    processes = accelerator.num_processes
    if config.parallelism == "ddp" and processes > 1:
        if config.batch_size % processes:
            raise ConfigError(
                f"--parallelism ddp splits a batch over the processes, but {config.batch_size} clips do not divide by "
                f"{processes}; choose a multiple for --batch_size"
            )
        if config.auto_batch_size:
            raise ConfigError(
                "--auto_batch_size belongs to --parallelism folds; with ddp give a --batch_size that fits"
            )
    set_determinism(config.deterministic)
    return accelerator


def end_processes() -> None:
    """Leave the group of processes. A command does so once, at its end: a group cannot be entered twice."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _process_group(config: TrainConfig) -> InitProcessGroupKwargs:
    """How processes of one launch talk to each other.

    accelerate gives process K of a machine the card K modulo the number of cards, and talks over NCCL, which refuses
    two processes on one card. Whole folds exchange a few small Python objects, which gloo does as well, so that
    processes may share cards; processes that share a fold exchange gradients and need NCCL, and a card each.

    Raises:
        ConfigError: processes that share a fold outnumber the cards.
    """
    if not torch.cuda.is_available() or "LOCAL_RANK" not in os.environ:
        return InitProcessGroupKwargs(timeout=PROCESS_GROUP_TIMEOUT)
    if config.parallelism == "folds":
        return InitProcessGroupKwargs(backend="gloo", timeout=PROCESS_GROUP_TIMEOUT)
    processes, cards = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if processes > cards and not parse_flag_from_env("ACCELERATE_USE_CPU"):
        raise ConfigError(
            f"--parallelism ddp needs a card for each process, but {processes} processes would share {cards}; start "
            "fewer, or leave the option out: whole folds may share a card"
        )
    return InitProcessGroupKwargs(timeout=PROCESS_GROUP_TIMEOUT)


def prepare_run(config: TrainConfig, accelerator: Any) -> PreparedRun:
    """Load the clips, split them, align them and build what a fold needs.

    Args:
        config (`TrainConfig`):
            Settings.
        accelerator (`Accelerator`):
            Device and processes; the main process loads first, the others find its caches.

    Returns:
        `PreparedRun`: the checked run.

    Raises:
        CorpusError, VideoReadError, FaceNotFoundError, ConfigError: something is not as it must be.
    """
    augmentation = parse_augmentation(config.augmentation)
    if augmentation.phase > 0 and config.dynamic_image_target != "sampled":
        raise ConfigError(
            f"--augmentation phase={augmentation.phase} shows a part of a clip, but --dynamic_image_target "
            f"{config.dynamic_image_target} asks for one picture of it whatever is shown; drop one of them"
        )
    if augmentation.is_temporal and config.frame_sampling != "linspace":
        raise ConfigError(
            f"--frame_sampling {config.frame_sampling} says which frames are taken, but --augmentation "
            f"{config.augmentation} takes them at random; add time_jitter=0,speed=0,phase=0 to the augmentation"
        )
    corpora = on_main_first(accelerator, lambda: load_corpora(config))
    table = corpora.table
    folds = make_folds(table, config.protocol, config.test_corpus, config.released_subject_list)
    select_folds(folds, config.folds)
    warnings = corpora.warnings + _check_classes(table, folds, config.allow_missing_classes)
    start = None
    if config.init_from is not None:
        name = config.init_from
        start = on_main_first(accelerator, lambda: read_initialization(name))
        warnings += check_unseen(start, corpora, folds)
        if (anew := start.new_parameters(table.class_names)) and accelerator.is_main_process:
            logger.warning("%s %s knows other classes: %s start untrained", INIT_FROM, start.name, ", ".join(anew))
    # The authors' network knows no action units, whatever the corpus codes.
    taught = config.action_units == "coded" and config.preset != RELEASED_PRESET
    codes = FACS_CODES if taught and is_coded(corpora.dataset["action_units"]) else ()
    model_config = build_model_config(config, table.class_names, start, codes)
    if start is not None and codes and not model_config.action_units and accelerator.is_main_process:
        logger.warning("%s %s names no action units, so none are taught", INIT_FROM, start.name)
    if augmentation.mixup > 0 and (model_config.label_smoothing or model_config.focal_gamma):
        raise ConfigError(
            f"--augmentation mixup={augmentation.mixup} trains on mixed labels, for which label_smoothing "
            f"{model_config.label_smoothing} and focal_gamma {model_config.focal_gamma} mean nothing; set both to 0"
        )
    processor = build_processor(config, model_config)
    clips = on_main_first(
        accelerator,
        lambda: prepare_clips(corpora.dataset, processor, clip_cache_folder(config.cache_dir), config.num_proc),
    )
    uncropped = _uncropped_recordings(corpora, processor)
    if accelerator.is_main_process:
        for said in uncropped:
            logger.warning("%s", said)
    warnings += uncropped + _departures_from_the_processor(config)
    return PreparedRun(
        config, accelerator, corpora, clips, processor, model_config, augmentation, folds, warnings, start
    )


def build_model_config(
    config: TrainConfig,
    class_names: Sequence[str],
    start: Initialization | None = None,
    action_units: Sequence[str] = (),
) -> Any:
    """Return the network's settings (`FDPConfig`): those of the preset or of the checkpoint, classes, overrides.

    Args:
        config (`TrainConfig`): Settings.
        class_names (`Sequence[str]`): Names of the classes.
        start (`Initialization`, *optional*): A checkpoint, which names the action units that it knows; they go with
            `--action_units none`.
        action_units (`Sequence[str]`, *optional*): Units that a new network learns to name.

    Raises:
        ConfigError: an override that the model does not know or cannot combine, or that the checkpoint contradicts.
    """
    from huggingface_hub.errors import StrictDataclassError

    from modeling_fdp import FDPConfig

    overrides = config.pairs("model_overrides")
    for name in ("num_frames", "image_size"):
        if getattr(config, name) is not None:
            overrides[name] = getattr(config, name)
    id2label = dict(enumerate(class_names))
    label2id = {name: label for label, name in id2label.items()}
    preset: str = config.preset
    known: dict[str, Any] = {"action_units": list(action_units)}
    if start is not None:
        start.check_network(preset, overrides)
        preset, known = ALL_DEFAULTS, start.network
        if config.action_units == "none":
            # A head that is never taught would only be wrong.
            known["action_units"] = []
    try:
        return FDPConfig.from_preset(preset, id2label=id2label, label2id=label2id, **{**known, **overrides})
    except (ValueError, TypeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"preset {config.preset} cannot be built with {overrides}: {reason}") from None


def build_processor(config: TrainConfig, model_config: Any) -> Any:
    """Return the video processor (`FDPVideoProcessor`) that makes the clips of a run and goes into its checkpoints.

    Raises:
        ConfigError: an override that the processor does not know.
    """
    from processing_fdp.video_processing_fdp import FDPVideoProcessor

    size = {"height": model_config.image_size, "width": model_config.image_size}
    overrides = config.pairs("processor_overrides")
    try:
        return FDPVideoProcessor(**{"num_frames": model_config.num_frames, "size": size, **overrides})
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"the video processor cannot be built with {overrides}: {reason}") from None


def on_main_first(accelerator: Any, work: Callable[[], Result]) -> Result:
    """Let the main process do what the others will then find in a cache; all stop when it fails.

    Raises:
        ConfigError: on the other processes, when the main process failed; its own error says why.
    """
    if accelerator.num_processes == 1:
        return work()
    outcome = [False]
    try:
        if accelerator.is_main_process:
            result = work()
            outcome = [True]
    finally:
        outcome = broadcast_object_list(outcome)
    if not outcome[0]:
        raise ConfigError("the main process could not prepare the run; its message says why")
    return result if accelerator.is_main_process else work()


def _check_classes(table: ClipTable, folds: Sequence[Fold], allow_missing: bool) -> list[str]:
    """Refuse folds that test what they never teach, unless told otherwise; name classes without any clip."""
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


def _uncropped_recordings(corpora: Corpora, processor: Any) -> list[str]:
    """Name the corpora of recorded people whose first clip is a whole recording that nothing crops."""
    from processing_fdp.clip_reading_fdp import open_frames

    if processor.alignment != "none" or not {"frames", "video"} <= set(corpora.dataset.column_names):
        return []
    first_rows: dict[str, int] = {}
    for row, corpus in enumerate(corpora.table.corpora):
        first_rows.setdefault(corpus, row)
    warnings = []
    for corpus, row in first_rows.items():
        if corpora.people.get(corpus, "").startswith("rendered "):
            continue
        clip = corpora.dataset[row]
        with open_frames(clip["video"] or clip["frames"][:1], backend=processor.video_backend) as frames:
            height, width = frames.size_hw
        if width >= RECORDING_ASPECT * height:
            warnings.append(
                f"the frames of {corpus} are whole recordings ({width} x {height} pixels) and alignment=none crops no "
                "face from them; add --processor_overrides alignment=opencv landmark_model_path=FILE, or take a "
                "package of cropped faces"
            )
    return warnings


def _departures_from_the_processor(config: TrainConfig) -> list[str]:
    """Name what the folds' figures rest on and the saved video processor does not do."""
    departures = {
        "normalises pixels with the statistics in fold.json": config.normalization != "fixed",
        f"takes frames by the rule {config.frame_sampling}": config.frame_sampling != "linspace",
    }
    return [
        f"this run {what}, which the video processor saved with its checkpoints does not"
        for what, applies in departures.items()
        if applies
    ]
