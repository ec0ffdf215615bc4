"""Declaration of command-line options, and the options of the protocol.

An option is a field of a dataclass in the module that uses it. Its metadata hold the help text and what it decides.
Options that decide results are part of a run's identity: two runs of one identity may share a folder.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeVar

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.protocols import NO_PROTOCOL, PROTOCOL_PATTERN

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Value = TypeVar("Value")

# `nothing`: how a run is carried out; may change between two runs into one folder. `clips`: which clips there are, how
# they are prepared and who is held out; decides the figures of every method. `learning`: how a model is trained.
Decides = Literal["nothing", "clips", "learning"]


def option(default: Value, text: str, decides: Decides = "learning") -> Value:
    """Return a dataclass field (`dataclasses.Field`) that is an option of the command line.

    Args:
        default: Its default; a list is copied for each instance.
        text (`str`): Help text.
        decides (`str`, *optional*, defaults to `"learning"`): `nothing`, `clips` or `learning`.
    """
    metadata = {"help": text, "decides": decides}
    if isinstance(default, list):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def decisive_settings(
    options: "DataclassInstance", decides: Iterable[Decides] = ("clips", "learning")
) -> dict[str, object]:
    """Return the options of one dataclass that decide numbers (`dict`), by name.

    Args:
        options: An instance of a dataclass whose fields are options.
        decides (`Iterable[str]`, *optional*): Kinds of options to return.
    """
    wanted = set(decides)
    return {
        entry.name: getattr(options, entry.name)
        for entry in fields(options)
        if entry.metadata.get("decides", "learning") in wanted
    }


def require(options: object, name: str, holds: object, rule: str) -> None:
    """Check one option.

    Raises:
        ConfigError: `holds` is false.
    """
    if not holds:
        raise ConfigError(f"--{name} must be {rule}, got {getattr(options, name)}; change it and run again")


@dataclass
class ProtocolOptions:
    """Protocol, folds and seeds."""

    protocol: str = option(
        "loso",
        "loso, kfold5 (any number), holdout, megc2019 or cross_corpus; `none` leaves no subject out: it trains final/ "
        "on all subjects, as a starting checkpoint, and benchmarks nothing.",
        decides="clips",
    )
    folds: str = option(
        "all", "Folds to run: `all`, names joined by commas, or part K of N as `K/N` (job arrays).", decides="nothing"
    )
    seed: int = option(0, "Seed of all random numbers, and of final/.", decides="clips")
    # Decides nothing, because each seed has its own folds, so that seeds may be added.
    seeds: list[int] = option(
        [],
        "Several seeds: the table then shows mean, deviation and a bootstrap interval. Seeds may be added to an OUT; "
        "finished folds are kept.",
        decides="nothing",
    )
    allow_missing_classes: bool = option(
        False, "Run a fold although a class of its test clips has no training clip; the report says so."
    )
    released_subject_list: bool = option(
        False, "Leak of the authors' release, for ablations: CASME II without a fold for subject 18."
    )

    def __post_init__(self) -> None:
        """Check each value."""
        rule = "loso, kfoldN, holdout, megc2019, cross_corpus or none"
        require(self, "protocol", PROTOCOL_PATTERN.fullmatch(self.protocol), rule)
        require(self, "seeds", len(set(self.seeds)) == len(self.seeds), "without repetition")
        if self.protocol == NO_PROTOCOL and (self.folds != "all" or self.seeds):
            raise ConfigError(
                "--protocol none trains final/ alone, once and whole; leave out --folds and --seeds (its one seed is "
                "--seed), or choose a protocol with folds"
            )

    @property
    def all_seeds(self) -> list[int]:
        """The seeds to run (`list[int]`): `seeds` where given, else `seed` alone."""
        return self.seeds or [self.seed]
