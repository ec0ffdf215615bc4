"""Settings of a run: options of several rooms as one command line, one YAML recipe and one record."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.options import Decides, ProtocolOptions, decisive_settings, option, require
from evaluation_fdp.protocols import NO_PROTOCOL
from training_fdp.cli import ComplainingParser, command_name, option_parser
from training_fdp.data.options import BatchOptions, DataOptions
from training_fdp.folds.options import TrainingOptions
from training_fdp.methods.options import NetworkOptions
from training_fdp.methods.registry import get_method

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RECIPES_FOLDER = Path(__file__).parent / "recipes"
DEFAULT_METHOD = "fdp"
# Options that a settings file may not contain.
_NOT_IN_FILES = frozenset({"recipe", "config", "collect"})


@dataclass
class RunOptions:
    """How a run is carried out; no option here changes a figure."""

    output_dir: str | None = option(None, "OUT: results, figures and one folder per fold.", decides="nothing")
    recipe: str | None = option(
        None,
        "Named settings of this package; the command line overrides them; default: those of the method.",
        decides="nothing",
    )
    config: str | None = option(
        None,
        "YAML file of settings, flat or by section; overrides the recipe, the command line overrides it.",
        decides="nothing",
    )
    collect: str | None = option(None, "Train nothing: pool the finished folds of this OUT.", decides="nothing")
    report_to: str = option(
        "none", "Tracker by name (tensorboard, ...); scalars only, never a frame.", decides="nothing"
    )
    final_model: bool = option(
        True,
        "After all folds, train final/ on every subject (never the benchmarked model).",
        decides="nothing",
    )
    folds_at_once: int | None = option(
        None,
        "Processes that train folds at once, on one machine; default: one per core on a CPU, one on a card (a small "
        "network fills neither a second core nor a card: four on a card train 3.6 times as fast as one).",
        decides="nothing",
    )
    allow_face_figures: bool = option(
        False, "Draw dynamic images of a corpus whose licence you have checked.", decides="nothing"
    )

    def __post_init__(self) -> None:
        """Check every value."""
        require(
            self, "folds_at_once", self.folds_at_once is None or self.folds_at_once >= 1, "a whole number from 1 on"
        )


@dataclass
class TrainConfig:
    """All settings of one run; each group is defined beside the code that uses it.

    Args:
        data (`DataOptions`): Which clips there are, and how they are read and aligned.
        batches (`BatchOptions`): Frames, normalisation and augmentation of the clips in a batch.
        protocol (`ProtocolOptions`): Who is held out.
        network (`NetworkOptions`): Network and initial weights.
        method (`object`): Options of the method alone.
        training (`TrainingOptions`): How every fold is trained.
        run (`RunOptions`): How the run is carried out.

    Raises:
        ConfigError: options of several groups that contradict each other.
    """

    data: DataOptions = field(default_factory=DataOptions)
    batches: BatchOptions = field(default_factory=BatchOptions)
    protocol: ProtocolOptions = field(default_factory=ProtocolOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    method: "DataclassInstance | None" = None
    training: TrainingOptions = field(default_factory=TrainingOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        """Check options of several groups against each other; `prepare_run` checks what depends on the clips."""
        if self.method is None:
            self.method = get_method(self.network.method).options_class()
        get_method(self.network.method).check_options(self.method, self.network.init_from)
        steps = self.training.max_steps
        if steps is not None and steps < (1 if self.network.init_from is None else 0):
            raise ConfigError(
                "--max_steps must be a whole number from 1 on, or 0 to evaluate the checkpoint of --init_from alone, "
                f"got {steps}; change it and run again"
            )
        if self.protocol.protocol == NO_PROTOCOL and not self.run.final_model:
            raise ConfigError(
                "--protocol none trains final/ alone; leave out --no_final_model, or choose a protocol with folds"
            )
        if (self.protocol.protocol == "cross_corpus") != bool(self.data.test_corpus):
            raise ConfigError(
                "--test_corpus is used with --protocol cross_corpus only, got protocol "
                f"'{self.protocol.protocol}' with test corpora {self.data.test_corpus}; give both or neither"
            )

    @classmethod
    def of(cls, settings: Mapping[str, object] | None = None, /, **more: object) -> "TrainConfig":
        """Build the settings from options by name (`TrainConfig`); all others have their defaults.

        Raises:
            ConfigError: an option that does not exist, or that contradicts another one.
        """
        values = {**(settings or {}), **more}
        groups = option_groups(str(values.get("method", DEFAULT_METHOD)))
        if unknown := sorted(set(values) - {entry.name for group in groups.values() for entry in fields(group)}):
            raise ConfigError(f"there are no options {unknown}; {command_name()} --help lists the known ones")
        return cls(
            **{
                name: group(**{entry.name: values[entry.name] for entry in fields(group) if entry.name in values})
                for name, group in groups.items()
            }
        )

    @property
    def groups(self) -> list["DataclassInstance"]:
        """The groups of options (`list`)."""
        return [getattr(self, entry.name) for entry in fields(self)]

    def flat(self) -> dict[str, object]:
        """Return every option by its name (`dict`)."""
        return {name: value for group in self.groups for name, value in dataclasses.asdict(group).items()}

    def identity(self, decides: Sequence[Decides] = ("clips", "learning")) -> dict[str, object]:
        """Return the settings that decide the figures (`dict`), for comparison with an existing OUT.

        Args:
            decides (`Sequence[str]`, *optional*): `("clips",)` for baselines that are not trained by gradient.
        """
        return {name: value for group in self.groups for name, value in decisive_settings(group, decides).items()}


def option_groups(method: str) -> dict[str, type]:
    """Return the dataclasses of a method's command line (`dict[str, type]`), by section.

    Raises:
        ConfigError: no method has that name.
    """
    return {
        "data": DataOptions,
        "batches": BatchOptions,
        "protocol": ProtocolOptions,
        "network": NetworkOptions,
        "method": get_method(method).options_class,
        "training": TrainingOptions,
        "run": RunOptions,
    }


def parse_train_config(arguments: Sequence[str]) -> TrainConfig:
    """Read a command line; settings come from the recipe, then `--config`, then the arguments, the last one wins.

    Args:
        arguments (`Sequence[str]`):
            What follows `train.py`.

    Returns:
        `TrainConfig`: the checked settings.

    Raises:
        ConfigError: an unknown option, method or recipe, an unreadable YAML file, or a value outside its range.
    """
    named = _sources(arguments)
    chosen = {} if named.config is None else read_settings(Path(named.config))
    recipe = {} if named.recipe is None else load_recipe(named.recipe)
    method = str(named.method or chosen.get("method") or recipe.get("method") or DEFAULT_METHOD)
    if named.recipe is None:
        named.recipe = get_method(method).recipe
        recipe = load_recipe(named.recipe)
    groups = option_groups(method)
    tokens = [
        *_tokens(recipe, groups, f"recipe '{named.recipe}'"),
        *_tokens(chosen, groups, str(named.config)),
        *arguments,
    ]
    parser = option_parser(
        groups.values(),
        prog=command_name(),
        description="Train and evaluate a network for micro-expressions by subject-grouped folds.",
    )
    namespace = parser.parse_args(tokens)
    namespace.method, namespace.recipe = method, named.recipe
    if namespace.init_from is not None:
        # A recipe's preset does not apply to the checkpoint's network.
        for name, value in get_method(method).start_options.items():
            if not (_names(arguments, name) or name in chosen):
                setattr(namespace, name, value)
    if _asks_for_epochs(arguments, chosen):
        namespace.max_steps = None
    known = {entry.name for group in groups.values() for entry in fields(group)}
    config = TrainConfig.of({name: value for name, value in vars(namespace).items() if name in known})
    if config.run.collect is None and not config.data.corpus:
        raise ConfigError(f"--corpus is missing; name one, for example --corpus synthetic (got {list(arguments)})")
    if config.run.collect is None and config.run.output_dir is None:
        raise ConfigError("--output_dir is missing; name a folder for the results")
    return config


def _sources(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the options on which the parser depends: method, recipe and settings file."""
    parser = ComplainingParser(add_help=False, allow_abbrev=False)
    for name in ("method", "recipe", "config"):
        parser.add_argument(f"--{name}")
    return parser.parse_known_args(arguments)[0]


def _asks_for_epochs(arguments: Sequence[str], chosen: Mapping[str, object]) -> bool:
    """Whether the last source with a training length gives `epochs`, which then override earlier `max_steps`."""
    if _names(arguments, "max_steps"):
        return False
    if _names(arguments, "epochs"):
        return True
    return bool(chosen.keys() & {"epochs", "max_steps"}) and chosen.get("max_steps") is None


def load_recipe(name: str) -> dict[str, object]:
    """Return the settings of a named recipe (`dict`).

    Raises:
        ConfigError: no recipe has that name.
    """
    path = RECIPES_FOLDER / f"{name}.yaml"
    known = sorted(found.stem for found in RECIPES_FOLDER.glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"no recipe is called '{name}'; choose one of {', '.join(known)} or give a file to --config")
    return read_settings(path)


def _names(arguments: Sequence[str], option: str) -> bool:
    # The parser also takes the spelling with hyphens.
    return any(argument.split("=")[0].replace("-", "_") == f"__{option}" for argument in arguments)


def read_settings(path: Path) -> dict[str, object]:
    """Read a YAML file of settings (`dict`), flat or with the sections of [`TrainConfig`].

    Raises:
        ConfigError: the file cannot be read, is not a mapping, or gives one option twice.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"the settings file {path} cannot be read ({reason}); give a YAML file of NAME: VALUE"
        ) from None
    if not isinstance(values, Mapping):
        raise ConfigError(f"the settings file {path} must hold NAME: VALUE lines, got {type(values).__name__}")
    sections = {entry.name for entry in fields(TrainConfig)}
    flat: dict[str, object] = {}
    for name, value in values.items():
        # `protocol` and `method` are options as well as sections.
        entries = value if name in sections and isinstance(value, Mapping) else {name: value}
        if repeated := sorted(flat.keys() & entries.keys()):
            raise ConfigError(f"the settings file {path} gives {repeated[0]} twice; leave one of them out")
        flat |= entries
    return flat


def _tokens(values: Mapping[str, object], groups: Mapping[str, type], source: str) -> list[str]:
    """Turn settings into command-line tokens, so that one parser checks the types of every source."""
    known = {entry.name for group in groups.values() for entry in fields(group)} - _NOT_IN_FILES
    if unknown := sorted(set(values) - known):
        raise ConfigError(f"{source} holds unknown settings {unknown}; {command_name()} --help lists the known ones")
    tokens: list[str] = []
    for name, value in values.items():
        if value is None or value == []:
            continue
        items = value if isinstance(value, list) else [value]
        tokens += [f"--{name}", *(str(item).lower() if isinstance(item, bool) else str(item) for item in items)]
    return tokens
