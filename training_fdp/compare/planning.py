"""The rows of the table, and the runs that make them: configured and checked before a pixel is read."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.protocols import FINAL_FOLD, NO_PROTOCOL
from evaluation_fdp.run_folder import RunStore
from training_fdp.ablations.running import KEPT_BY_PRETRAINING, as_arguments
from training_fdp.cli import user_facing_errors
from training_fdp.config import parse_train_config
from training_fdp.data.corpora import Corpora, load_corpora
from training_fdp.data.people import check_unseen, subjects_by_corpus
from training_fdp.methods.registry import get_method
from training_fdp.methods.starting_weights import Initialization
from training_fdp.runs.engine import build_accelerator, resolved
from training_fdp.runs.prepare import PlannedRun, build_network_settings, plan_run, split_clips

SCRATCH, PRETRAINED = "scratch", "pretrained"
# Learning rate after pretraining, as a share of the one from random weights (our choice).
FINE_TUNING_RATE = 0.3
# Clips per timed forward pass, and seconds for which passes are repeated; the fastest one counts.
TIMED_CLIPS, TIMED_S = 8, 1.0


@dataclass(frozen=True)
class Row:
    """One method of the table.

    Args:
        title (`str`): Its name in the table.
        options (`tuple[str, ...]`): Options of `train.py` that select and configure it.
        taught (`tuple[str, ...]`): Annotations that training reads beside frames, class, onset and offset of a clip:
            names that `_in_words` describes.
        told (`tuple[str, ...]`): Annotations that it reads of held-out clips beside frames, onset and offset; such
            names as well.
    """

    title: str
    options: tuple[str, ...]
    taught: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


ROWS = {
    "fdp": Row("FDP", ("--method", "fdp"), taught=("action_units",)),
    "fdp_any_window": Row(
        "FDP, any stretch of a movement",
        ("--method", "fdp", "--recipe", "any_window"),
        taught=("action_units", "recordings"),
    ),
    "fdp_paper": Row(
        "FDP as the paper describes it", ("--method", "fdp", "--preset", "paper", "--action_units", "none")
    ),
    "fdp_released": Row("FDP, network and training as released", ("--method", "fdp_released")),
    "mol": Row("MOL", ("--method", "mol"), taught=("motion",)),
    "mer_clip": Row("MER-CLIP's alignment on FDP's video tower", ("--method", "mer_clip"), taught=("action_units",)),
    "phase_images": Row(
        "dynamic images of both phases + CNN", ("--method", "phase_images"), taught=("apex",), told=("apex",)
    ),
    "onset_flow_cnn3d": Row("flow from the first frame + 3-D CNN", ("--method", "onset_flow_cnn3d")),
    "motion_cnn": Row("FDP's motion channels + CNN", ("--method", "motion_cnn")),
    "raw_cnn": Row("raw frames + CNN", ("--method", "raw_cnn")),
}


@dataclass(frozen=True)
class Plan:
    """One row of the table from one start.

    Args:
        name (`str`): Key of `ROWS`.
        start (`str`): `scratch` or `pretrained`.
        arguments (`list[str]`): Arguments of `train.py` in the command of its run.
        folder (`Path`): The OUT of its run.
        taught (`str`): `Row.taught` in words, counted on the corpus.
        told (`str`): `Row.told` in words.
        parameters (`int`): Weights of the network; 0 where it cannot be built.
        clips_per_s (`float`): Clips answered per second in forward passes of 8 clips of noise.
        own (`tuple[str, ...]`): Options of `train.py` of this row alone: `Row.options` and those of `--row`.
        pretraining (`list[str]`): The command of the run whose weights it starts from; empty for random ones.
        not_run (`str`): Why it cannot run or has no figures; empty otherwise.
    """

    name: str
    start: str
    arguments: list[str]
    folder: Path
    taught: str = ""
    told: str = ""
    parameters: int = 0
    clips_per_s: float = 0.0
    own: tuple[str, ...] = ()
    pretraining: list[str] = dataclasses.field(default_factory=list)
    not_run: str = ""


def plan_rows(
    arguments: Sequence[str],
    names: Sequence[str],
    pretraining: Sequence[str],
    own: Mapping[str, Sequence[str]] | None = None,
) -> list[Plan]:
    """Configure, build and time every row, and check its pretraining, without reading a pixel.

    Args:
        arguments (`Sequence[str]`): Options of `train.py` that all rows share; those of a row follow them.
        names (`Sequence[str]`): Keys of `ROWS`.
        pretraining (`Sequence[str]`): Options of `train.py` that name clips of other people and say how they are
            learnt; empty for no pretraining.
        own (`Mapping[str, Sequence[str]]`, *optional*): Further options of single rows, by key of `ROWS`.

    Returns:
        `list[Plan]`: All rows from random weights, then all after pretraining.

    Raises:
        ConfigError: a row that does not exist, options that `train.py` lacks, or a protocol that holds nobody out.
        CorpusError: a corpus cannot be read.
    """
    own = own or {}
    if unknown := sorted({*names, *own} - set(ROWS)):
        raise ConfigError(f"the table has no method called {unknown[0]!r}; choose among {', '.join(ROWS)}")
    config = parse_train_config(arguments)
    if config.protocol.protocol == NO_PROTOCOL:
        raise ConfigError("--protocol none holds out no subject, so there is nothing to compare; choose another")
    root, corpora = Path(str(config.run.output_dir)), load_corpora(config.data)
    plans = [
        _from_scratch(name, arguments, (*ROWS[name].options, *own.get(name, ())), root, corpora) for name in names
    ]
    if not pretraining:
        return plans
    others = None
    further = []
    for first in plans:
        plan = dataclasses.replace(first, start=PRETRAINED, folder=root / PRETRAINED / first.name)
        if not first.not_run:
            plan = _after_pretraining(plan, pretraining, root)
            try:
                learnt = parse_train_config(plan.pretraining)
                others = others or load_corpora(learnt.data)
                _check_pretraining(plan, corpora, others)
            except user_facing_errors() as error:
                plan = dataclasses.replace(plan, not_run=_sentence(error))
        further.append(plan)
    return [*plans, *further]


def _from_scratch(name: str, shared: Sequence[str], own: tuple[str, ...], root: Path, corpora: Corpora) -> Plan:
    """A row that starts from random weights."""
    folder = root / SCRATCH / name
    options = [*shared, *own, "--output_dir", str(folder), "--final_model", "false"]
    plan = Plan(name, SCRATCH, options, folder, own=own)
    try:
        planned = _planned(options, corpora)
        # The clips of a run that leaves some out are known after they were read; it is checked when it runs.
        if not planned.config.data.allow_lost_clips:
            RunStore(folder).check(planned.identity)
        parameters, clips_per_s = _measured(planned)
    except user_facing_errors() as error:
        return dataclasses.replace(plan, not_run=_sentence(error))
    taught, told = (_in_words(names, corpora) for names in (ROWS[name].taught, ROWS[name].told))
    return dataclasses.replace(plan, taught=taught, told=told, parameters=parameters, clips_per_s=clips_per_s)


def _after_pretraining(plan: Plan, pretraining: Sequence[str], root: Path) -> Plan:
    """The row of `plan` after pretraining, with the network, input and machine settings of its run from scratch."""
    folder = root / "pretraining" / plan.name
    config = parse_train_config(plan.arguments)
    kept = {name: value for name, value in config.flat().items() if name in KEPT_BY_PRETRAINING}
    first = [*plan.own, *as_arguments(kept), *pretraining]
    changes = {
        "learning_rate": FINE_TUNING_RATE * config.training.learning_rate,
        "init_from": folder / FINAL_FOLD,
        "output_dir": plan.folder,
    }
    return dataclasses.replace(
        plan,
        arguments=[*plan.arguments, *as_arguments(changes)],
        pretraining=[*first, "--protocol", NO_PROTOCOL, "--output_dir", str(folder)],
    )


def _check_pretraining(plan: Plan, corpora: Corpora, others: Corpora) -> None:
    """Refuse a pretraining whose network, classes or people the run after it would refuse, hours later.

    Raises:
        ConfigError: a setting of the pretraining is wrong, its network is not the requested one, its classes cannot be
            taken over, or it shows held-out people.
    """
    learnt, config = _planned(plan.pretraining, others), parse_train_config(plan.arguments)
    start = Initialization("the pretraining", "", learnt.network, {}, None)
    start.new_classes(corpora.table.class_names, learnt.method)
    build_network_settings(get_method(config.network.method)(config.method), config.network, corpora, start)
    people = subjects_by_corpus(others.table, others.people, range(len(others.table.clip_ids)))
    folds, _ = split_clips(config, corpora.table)
    check_unseen(start.name, people, corpora.table, corpora.people, folds)


def _planned(arguments: Sequence[str], corpora: Corpora) -> PlannedRun:
    config = parse_train_config(arguments)
    config = dataclasses.replace(config, training=resolved(config.training))
    return plan_run(config, build_accelerator(config.training, config.run), corpora)


@torch.no_grad()
def _measured(planned: PlannedRun) -> tuple[int, float]:
    """Number of weights, and clips per second of a forward pass with all that the network computes from the frames."""
    config, device = planned.network, planned.accelerator.device
    model = planned.method.build(config).to(device).eval()
    size = planned.processor.size
    shape = (TIMED_CLIPS, config.num_frames, 1, size["height"], size["width"])
    clips = 2 * torch.rand(shape, device=device) - 1
    model(pixel_values=clips)  # not timed, because the first pass allocates memory and chooses kernels
    seconds: list[float] = []
    while sum(seconds) < TIMED_S:
        start = time.perf_counter()
        model(pixel_values=clips).logits.cpu()  # copied, because a call on a GPU returns before its work is done
        seconds.append(time.perf_counter() - start)
    return sum(weights.numel() for weights in model.parameters()), TIMED_CLIPS / min(seconds)


def _in_words(names: Sequence[str], corpora: Corpora) -> str:
    """The annotations `names` of a corpus in words, with the number of clips that have them."""
    rows, total = corpora.dataset, len(corpora.table.clip_ids)
    columns = {name: rows[name] if name in rows.column_names else [] for name in ("action_units", "apex_index")}
    coded = sum(map(bool, columns["action_units"]))
    estimated = total - sum(apex is not None for apex in columns["apex_index"])
    words = {
        "action_units": f"action units of {coded} of {total} clips" if coded else "",
        "apex": "apex" + (f", estimated in {estimated} of {total} clips" if estimated else ""),
        "motion": f"flow and landmarks, {'exact' if corpora.is_rendered else 'estimated from the frames'}",
        "recordings": "the frames around the movement",
    }
    return ", ".join(filter(None, (words[name] for name in names)))


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())
