"""Settings of a training run: one dataclass that is the command line, the YAML recipe and the record of the run."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml

from evaluation_fdp.protocols import NO_PROTOCOL, PROTOCOL_PATTERN
from training_fdp.errors import ConfigError

# The preset of a run that takes its network from --init_from.
PRETRAINED = "pretrained"
RECIPES_FOLDER = Path(__file__).parent / "recipes"
EXPONENT_PATTERN = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
# How a run is carried out, not what it computes: these may change between two runs into the same OUT.
EXECUTION_FIELDS = frozenset(
    {
        "output_dir", "folds", "report_to", "num_proc", "cache_dir", "checkpoint_steps", "config", "recipe", "collect",
        "final_model", "allow_face_figures", "data_dir", "test_data_dir", "eval_batch_size",
        # Counts by the digest of its weights, which the identity of a run adds.
        "init_from",
        # Every seed has folds of its own, so that more seeds may follow.
        "seeds",
    }
)  # fmt: skip
# Settings that are younger than the first records: at their defaults they are left out, so that older runs go on.
ADDED_FIELDS = frozenset({"dynamic_image_target"})


def _option(default: Any, text: str) -> Any:
    """A dataclass field with its help text."""
    return field(default=default, metadata={"help": text})


@dataclass
class TrainConfig:
    """All settings of one run, under the names that `train.py --help`, the recipes and `--config` files use."""

    # what is learnt
    corpus: list[str] = field(
        default_factory=list,
        metadata={"help": "Corpus, or several to train on together (`synthetic`, `casme2`, ...)."},
    )
    data_dir: list[str] = field(
        default_factory=list, metadata={"help": "Folder of each corpus, in the same order. `synthetic` needs none."}
    )
    label_set: str | None = _option(None, "Label set of the corpus (`5class`, `3class`, ...); its default otherwise.")
    output_dir: str | None = _option(None, "OUT: results, figures and one folder per fold.")
    corpus_options: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Options of the corpora as NAME=VALUE (`package=cropped`, ...); CORPUS.NAME=VALUE for one alone."
        },
    )
    processor_overrides: list[str] = field(
        default_factory=list, metadata={"help": "Settings of the video processor as NAME=VALUE (`alignment=...`)."}
    )
    cache_dir: str | None = _option(None, "Where aligned clips are kept; default: the datasets cache.")
    num_proc: int | None = _option(None, "Processes that align clips; default: the machine's cores.")
    recipe: str = _option("default", "Named settings of this package; the command line overrides them.")
    config: str | None = _option(None, "YAML file of settings; overrides the recipe, the command line overrides it.")

    # model
    preset: Literal["tiny", "small", "base", "released", "pretrained"] = _option(
        "tiny", "Size of the network; `pretrained` is that of --init_from, and what that option sets by itself."
    )
    init_from: str | None = _option(
        None,
        "Start every fold, and the final model, from the weights of this checkpoint in Hub format: a folder or "
        "NAMESPACE/NAME. The network is then the checkpoint's. Rule of thumb, tried on rendered faces alone: a third "
        "to a tenth of the --learning_rate that trains from nothing (adamw: 3e-4 to 1e-4) and fewer --epochs; let "
        "--selection inner choose the steps rather than the held-out subjects.",
    )
    num_frames: int | None = _option(None, "Frames per clip; the preset's otherwise.")
    image_size: int | None = _option(None, "Height and width in pixels; the preset's otherwise.")
    model_overrides: list[str] = field(
        default_factory=list, metadata={"help": "Any other model setting as NAME=VALUE, several allowed."}
    )

    # protocol
    protocol: str = _option(
        "loso",
        "loso, kfold5 (any number), holdout, megc2019 or cross_corpus; `none` holds nobody out: it trains final/ on "
        "all subjects, for others to start from, and benchmarks nothing.",
    )
    test_corpus: list[str] = field(
        default_factory=list, metadata={"help": "cross_corpus: what is tested on, one fold per corpus."}
    )
    test_data_dir: list[str] = field(
        default_factory=list, metadata={"help": "cross_corpus: folders of the test corpora, in the same order."}
    )
    folds: str = _option("all", "Folds to run: `all`, names joined by commas, or part K of N as `K/N` (job arrays).")
    collect: str | None = _option(None, "Train nothing: pool the finished folds of this OUT.")
    seed: int = _option(0, "Seed of everything random, and of final/.")
    seeds: list[int] = field(
        default_factory=list,
        metadata={
            "help": "Several seeds: the table then shows mean, deviation and a bootstrap interval. Seeds may be added "
            "to an OUT; what is finished stays."
        },
    )
    selection: Literal["fixed", "inner"] = _option(
        "fixed", "`fixed`: the last step counts. `inner`: early stopping on some of the training subjects."
    )
    inner_fraction: float = _option(0.2, "inner: share of the training subjects that is set aside.")
    patience: int = _option(10, "inner: evaluations without a better UF1 before training stops.")
    refit: bool = _option(True, "inner: train once more on all training subjects for the chosen number of steps.")
    eval_steps: int | None = _option(None, "Steps between two looks at the inner subjects; default: one epoch.")
    report_literature_selection: bool = _option(
        False, "Also report the best epoch on the test subject, beside the honest figure, as `best_on_test_subject`."
    )
    allow_lost_clips: bool = _option(
        False, "Leave out clips that cannot be used (no frames, ...), and say so in the results, instead of refusing."
    )
    allow_missing_classes: bool = _option(
        False, "Run a fold although a class of its test clips has no training clip; the report says so."
    )

    # optimisation
    max_steps: int | None = _option(None, "Optimiser steps per fold, before --epochs; 0: judge --init_from.")
    epochs: int = _option(30, "Passes over the training clips of a fold.")
    batch_size: int = _option(16, "Clips per forward pass.")
    gradient_accumulation_steps: int = _option(1, "Forward passes per optimiser step.")
    auto_batch_size: bool = _option(
        False, "When memory runs out, split a batch into smaller forward passes; clips per step stay the same."
    )
    eval_batch_size: int = _option(32, "Clips per forward pass when predicting.")
    optimizer: Literal["adamw", "adam", "sgd"] = _option("adamw", "Optimiser.")
    learning_rate: float = _option(1e-3, "Highest learning rate.")
    weight_decay: float = _option(0.05, "Weight decay (decoupled for adamw, an L2 penalty for adam and sgd).")
    lr_schedule: Literal["constant", "linear", "cosine"] = _option("cosine", "Course of the rate after the warm-up.")
    warmup_fraction: float = _option(0.05, "Share of the steps in which the rate rises from 0.")
    max_grad_norm: float | None = _option(1.0, "Gradients are clipped to this norm; 0 leaves them.")
    ema_decay: float | None = _option(None, "Decay of the moving average of the weights that then predicts.")
    action_units: Literal["coded", "none"] = _option(
        "coded",
        "`coded`: also learn to name the action units that the corpus codes of the training clips, if it codes any; "
        "those of held-out clips count for nothing.",
    )
    class_weighting: Literal["none", "balanced"] = _option("none", "Weights of the classes in the cross-entropy.")
    sampling: Literal["shuffle", "balanced"] = _option("shuffle", "`balanced` draws every class equally often.")
    mixed_precision: Literal["no", "bf16", "fp16"] = _option("no", "Arithmetic of the forward pass.")
    augmentation: str = _option("default", "Augmentation: `none`, `default`, or NAME=VALUE pairs joined by commas.")
    deterministic: bool = _option(True, "Ask the libraries for kernels that give equal bits in every run.")

    # input as the authors' release has it
    frame_sampling: Literal["linspace", "apex", "released_stride"] = _option(
        "linspace",
        "Even, both ends included; `apex` also includes the coded apex, which a new video lacks; `released_stride`: "
        "frames 0, L//T, 2(L//T), ... as in the authors' code.",
    )
    normalization: Literal["fixed", "train_statistics"] = _option(
        "fixed", "`train_statistics`: minus the mean, over the maximum, of the fold's training clips."
    )
    dynamic_image_target: Literal["sampled", "full_clip", "onset_apex"] = _option(
        "sampled",
        "Dynamic image to construct: of the frames that the model sees, of all aligned frames from onset to offset, "
        "or of all from onset to apex. The latter two follow augmentation in space, not in time or light.",
    )
    # its leaks and bugs, for ablations (facts in docs: L2, B1, L3)
    released_test_statistics: bool = _option(False, "Leak: test clips are normalised with their own mean and maximum.")
    released_eval_mode: bool = _option(False, "Bug: evaluation mode from the second epoch on.")
    released_subject_list: bool = _option(False, "Leak: CASME II without a fold for subject 18.")

    # execution
    parallelism: Literal["folds", "ddp"] = _option(
        "folds", "Several processes: each trains its own folds, or all share every fold (large networks)."
    )
    checkpoint_steps: int = _option(100, "Optimiser steps between two checkpoints.")
    report_to: str = _option("none", "Tracker by name (tensorboard, ...); scalars only, never a frame.")
    final_model: bool = _option(True, "After all folds, train final/ on every subject (never the benchmarked model).")
    allow_face_figures: bool = _option(False, "Draw dynamic images of a corpus whose licence you have checked.")

    def __post_init__(self) -> None:
        """Check every value by itself; what depends on the data is checked where the data are."""
        positive = ("epochs", "batch_size", "gradient_accumulation_steps", "eval_batch_size", "checkpoint_steps")
        for name in positive:
            self._require(name, getattr(self, name) >= 1, "a whole number from 1 on")
        for name in ("num_frames", "image_size", "num_proc", "eval_steps"):
            self._require(name, getattr(self, name) is None or getattr(self, name) >= 1, "a whole number from 1 on")
        least = 1 if self.init_from is None else 0
        self._require(
            "max_steps",
            self.max_steps is None or self.max_steps >= least,
            "a whole number from 1 on, or 0 to judge the checkpoint of --init_from as it is",
        )
        self._require("learning_rate", self.learning_rate > 0, "a number above 0")
        self._require("weight_decay", self.weight_decay >= 0, "a number from 0 on")
        self._require("warmup_fraction", 0 <= self.warmup_fraction < 1, "in [0, 1)")
        self._require("inner_fraction", 0 < self.inner_fraction < 1, "in (0, 1)")
        self._require("patience", self.patience >= 1, "a whole number from 1 on")
        self._require("max_grad_norm", self.max_grad_norm is None or self.max_grad_norm >= 0, "a number from 0 on")
        self._require("ema_decay", self.ema_decay is None or 0 <= self.ema_decay < 1, "in [0, 1)")
        self._require(
            "protocol",
            PROTOCOL_PATTERN.fullmatch(self.protocol),
            "loso, kfoldN, holdout, megc2019, cross_corpus or none",
        )
        self._require("seeds", len(set(self.seeds)) == len(self.seeds), "without repetition")
        if self.released_test_statistics and self.normalization != "train_statistics":
            raise ConfigError(
                "--released_test_statistics replaces the training statistics, but normalization is "
                f"'{self.normalization}'; add --normalization train_statistics or drop the switch"
            )
        if self.report_literature_selection and self.selection == "inner" and not self.refit:
            raise ConfigError(
                "--report_literature_selection looks at the training on all training subjects, which "
                "--selection inner --no_refit leaves out; add --refit or use --selection fixed"
            )
        if self.max_steps == 0 and (self.selection == "inner" or self.report_literature_selection):
            raise ConfigError(
                "--max_steps 0 judges a checkpoint as it is, so that there is no step to select; leave out "
                "--selection inner and --report_literature_selection"
            )
        if self.protocol == NO_PROTOCOL and (not self.final_model or self.folds != "all" or self.seeds):
            raise ConfigError(
                "--protocol none trains final/ alone, once and whole; leave out --no_final_model, --folds and --seeds "
                "(its one seed is --seed), or choose a protocol with folds"
            )
        if self.preset == PRETRAINED and self.init_from is None:
            raise ConfigError(
                f"--preset {PRETRAINED} is the network of --init_from, which is missing; name a checkpoint or another "
                "preset"
            )
        if (self.protocol == "cross_corpus") != bool(self.test_corpus):
            raise ConfigError(
                f"--test_corpus belongs to --protocol cross_corpus and to no other, got protocol '{self.protocol}' "
                f"with test corpora {self.test_corpus}; give both or neither"
            )

    def _require(self, name: str, holds: Any, rule: str) -> None:
        if not holds:
            raise ConfigError(f"--{name} must be {rule}, got {getattr(self, name)}; change it and run again")

    @property
    def all_seeds(self) -> list[int]:
        """The seeds to run (`list[int]`): `seeds` where given, else `seed` alone."""
        return self.seeds or [self.seed]

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide the numbers (`dict`), as they are compared with an existing OUT."""
        values = dataclasses.asdict(self)
        defaults = {entry.name: entry.default for entry in dataclasses.fields(self)}
        return {
            name: value
            for name, value in values.items()
            if name not in EXECUTION_FIELDS and not (name in ADDED_FIELDS and value == defaults[name])
        }

    def pairs(self, name: str) -> dict[str, Any]:
        """Return a NAME=VALUE option as a `dict`; see [`read_pairs`]."""
        return read_pairs(name, getattr(self, name))


def read_pairs(option: str, items: Sequence[str]) -> dict[str, Any]:
    """Read the values of a NAME=VALUE option as YAML scalars (`8`, `0.5`, `1e-3`, `true`, `text`).

    Args:
        option (`str`):
            Its name, for the error.
        items (`Sequence[str]`):
            What was given.

    Returns:
        `dict`: values by name.

    Raises:
        ConfigError: an entry without `=`.
    """
    values: dict[str, Any] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not separator or not name:
            raise ConfigError(f"--{option} takes NAME=VALUE, got '{item}'; write the name, = and the value")
        # YAML 1.1 reads 1e-3, without a dot, as text.
        values[name] = float(value) if EXPONENT_PATTERN.fullmatch(value) else yaml.safe_load(value)
    return values


def parse_train_config(arguments: Sequence[str]) -> TrainConfig:
    """Read a command line; settings come from the recipe, then `--config`, then the arguments, the last one wins.

    Args:
        arguments (`Sequence[str]`):
            What follows `train.py`.

    Returns:
        `TrainConfig`: the checked settings.

    Raises:
        ConfigError: an unknown option or recipe, an unreadable YAML file, or a value outside its range.
    """
    parser = _parser()
    first = parser.parse_args(arguments)
    tokens = [*_tokens(load_recipe(first.recipe), f"recipe '{first.recipe}'")]
    chosen: dict[str, Any] = {}
    if first.config is not None:
        chosen = _read_yaml(Path(first.config))
        tokens += _tokens(chosen, first.config)
    namespace = parser.parse_args([*tokens, *arguments])
    if namespace.init_from is not None and not (_names(arguments, "preset") or "preset" in chosen):
        namespace.preset = PRETRAINED  # a recipe's preset says nothing about the checkpoint
    if _asks_for_epochs(arguments, chosen):
        namespace.max_steps = None
    config = TrainConfig(**vars(namespace))
    if config.collect is None and not config.corpus:
        raise ConfigError(f"--corpus is missing; name one, for example --corpus synthetic (got {list(arguments)})")
    if config.collect is None and config.output_dir is None:
        raise ConfigError("--output_dir is missing; name the folder that shall hold the results")
    return config


def _asks_for_epochs(arguments: Sequence[str], chosen: Mapping[str, Any]) -> bool:
    """Whether the last source that says how long to train says it in epochs: it wins over earlier `max_steps`."""
    if _names(arguments, "max_steps"):
        return False
    if _names(arguments, "epochs"):
        return True
    return bool(chosen.keys() & {"epochs", "max_steps"}) and chosen.get("max_steps") is None


def load_recipe(name: str) -> dict[str, Any]:
    """Return the settings of a named recipe (`dict`).

    Raises:
        ConfigError: no recipe has that name.
    """
    path = RECIPES_FOLDER / f"{name}.yaml"
    known = sorted(found.stem for found in RECIPES_FOLDER.glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"no recipe is called '{name}'; choose one of {', '.join(known)} or give a file to --config")
    return _read_yaml(path)


def _names(arguments: Sequence[str], option: str) -> bool:
    # The parser also takes the spelling with hyphens.
    return any(argument.split("=")[0].replace("-", "_") == f"__{option}" for argument in arguments)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"the settings file {path} cannot be read ({reason}); give a YAML file of NAME: VALUE"
        ) from None
    if not isinstance(values, Mapping):
        raise ConfigError(f"the settings file {path} must hold NAME: VALUE lines, got {type(values).__name__}")
    return dict(values)


def _tokens(values: Mapping[str, Any], source: str) -> list[str]:
    """Turn settings into command-line tokens, so that one parser checks the types of every source."""
    known = {entry.name for entry in dataclasses.fields(TrainConfig)} - {"recipe", "config", "collect"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{source} holds unknown settings {unknown}; train.py --help lists the known ones")
    tokens: list[str] = []
    for name, value in values.items():
        if value is None or value == []:
            continue
        items = value if isinstance(value, list) else [value]
        tokens += [f"--{name}", *(str(item).lower() if isinstance(item, bool) else str(item) for item in items)]
    return tokens


def _parser() -> Any:
    """Build the parser from the dataclass; its complaints are ConfigErrors."""
    from transformers import HfArgumentParser

    class Parser(HfArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise ConfigError(f"{message}; train.py --help lists the options")

    settings: Any = TrainConfig  # the parser's annotations do not know that a class is what it takes
    return Parser(
        settings,
        prog="train.py",
        description="Train and evaluate FDP by subject-grouped folds.",
        allow_abbrev=False,
    )
