"""The interface between training and one family of networks.

A method builds a network from settings, makes the training targets of a clip beyond its label, computes the losses,
and turns the network's output into figures per clip. The loop, the evaluator, the run, the model card and the
predictor import no network: they call a method. docs/design/methods.md describes every hook.

This file does not import torch, because a finished run is reported without it. For the same reason built-in methods
import their libraries inside the hooks; methods of other packages need not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypedDict, TypeVar

from evaluation_fdp.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from modeling_fdp.clip_answer_fdp import AnswerSettings
    from processing_fdp.video_processing_fdp import FDPVideoProcessor
    from training_fdp.data.augmentation import AugmentationConfig
    from training_fdp.data.clips import Clip, Clips
    from training_fdp.data.followers import Follower

# Types of `Method.options_class`, of the configuration of its networks, and of the result of `Method.fold_facts`.
Options = TypeVar("Options")
Config = TypeVar("Config", bound="PreTrainedConfig")
Facts = TypeVar("Facts")
Answers = dict[str, float]
Losses = dict[str, "torch.Tensor"]


def class_names_of(config: PreTrainedConfig) -> list[str]:
    """Return the classes of a network in the order of its logits (`list[str]`)."""
    names = {int(label): str(name) for label, name in (config.id2label or {}).items()}
    return [names[label] for label in range(len(names))]


@dataclass
class NoOptions:
    """No options."""


class LabelNames(TypedDict):
    """Classes by label and labels by class, as configurations of transformers take them."""

    id2label: dict[int, str]
    label2id: dict[str, int]


@dataclass(frozen=True)
class NetworkRequest:
    """What the settings of a network are made of: classes, overrides and the initial checkpoint.

    Args:
        class_names (`tuple[str, ...]`): Classes in the order of the logits.
        overrides (`Mapping[str, object]`): Settings by name: `--model_overrides`, `--num_frames` and `--image_size`.
        start (`PreTrainedConfig`, *optional*): Settings of the checkpoint that `--init_from` names.
        start_name (`str`, *optional*): Name of that checkpoint, for error messages.
        action_units (`Iterable`, *optional*): Coded action units of every clip, as the rows of a corpus have them.
    """

    class_names: tuple[str, ...]
    overrides: Mapping[str, object] = field(default_factory=dict)
    start: PreTrainedConfig | None = None
    start_name: str = ""
    action_units: Iterable[Sequence[Mapping[str, object]]] = ()

    @property
    def labels(self) -> LabelNames:
        """Keywords of a configuration that name the classes (`LabelNames`)."""
        return {
            "id2label": dict(enumerate(self.class_names)),
            "label2id": {name: label for label, name in enumerate(self.class_names)},
        }


@dataclass(frozen=True)
class LossContext(Generic[Config, Facts]):
    """Inputs of the losses beside the batch.

    Args:
        config (`PreTrainedConfig`): Settings of the network.
        class_weights (`torch.FloatTensor` of shape `(num_labels,)`, *optional*): Weights of the classes in the
            cross-entropy, from the training clips of the fold.
        fold (*optional*): Result of [`Method.fold_facts`].
        progress (`float`): Share of the planned steps that are done, in [0, 1).
    """

    config: Config
    class_weights: torch.Tensor | None = None
    fold: Facts | None = None
    progress: float = 0.0


@dataclass(frozen=True)
class Shown:
    """Outputs for one clip beside the class, for display.

    Args:
        numbers (`dict[str, float]`): Scalars by name.
        curves (`dict[str, list[float]]`): One value per input frame, by name.
        images (`dict[str, np.ndarray]`): float32 `(height, width)` in [0, 1], by name.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    images: dict[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedWork:
    """The publication that a method follows, for the cards of its checkpoints.

    Args:
        citation (`str`): BibTeX.
        differences (`tuple[str, ...]`, *optional*): Departures from it, one sentence each.
    """

    citation: str
    differences: tuple[str, ...] = ()


class Method(Generic[Options, Config, Facts]):
    """One family of networks and its training.

    Class attributes:
        name (`str`): Value of `--method`.
        title (`str`): Its name in tables.
        summary (`str`): For cards, the end of a sentence that begins with its title: "reads a short face video, ...".
        work (`PublishedWork`, *optional*): The publication that it follows.
        version (`int`): Raised whenever the same options give other figures, so that folds of two versions are not
            mixed in one OUT.
        model_type (`str`): `model_type` of its checkpoints.
        options_class (`type`): Dataclass of its own options, written by `evaluation_fdp.options.option`.
        recipe (`str`): Default training settings: a name in `training_fdp/recipes`.
        start_options (`Mapping[str, object]`): Values that its own options take with `--init_from`, unless they are
            given.
        class_parameters (`tuple[str, ...]`): Parameters whose first axis is the class; without any, an initial
            checkpoint must have the same classes in the same order.
        learning_fields (`frozenset[str]`): Settings of training, not of the architecture: they may differ from those
            of the initial checkpoint.

    Args:
        options (`Options`): An instance of `options_class`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str] = "reads a short face video and answers with a micro-expression label"
    work: ClassVar[PublishedWork | None] = None
    version: ClassVar[int] = 1
    model_type: ClassVar[str]
    options_class: ClassVar[type] = NoOptions
    recipe: ClassVar[str] = "default"
    start_options: ClassVar[Mapping[str, object]] = {}
    class_parameters: ClassVar[tuple[str, ...]] = ()
    learning_fields: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, options: Options) -> None:
        self.options = options

    @classmethod
    def register_auto_classes(cls) -> None:
        """Register this method's networks with transformers' auto classes, usually by importing their package."""

    @classmethod
    def check_options(cls, options: Options, init_from: str | None) -> None:
        """Refuse values of its own options that cannot be combined.

        Args:
            options (`Options`): An instance of `options_class`.
            init_from (`str`, *optional*): The checkpoint that training starts from.

        Raises:
            ConfigError: they contradict each other.
        """

    @property
    def followers(self) -> Mapping[str, Follower]:
        """Augmentation of each tensor that `targets` returns, by name (`Mapping[str, Follower]`).

        A tensor without an entry is not changed.
        """
        return {}

    @property
    def answer_titles(self) -> Mapping[str, str]:
        """Title of each answer in reports (`Mapping[str, str]`, by name)."""
        return {}

    @property
    def size_name(self) -> str:
        """Name of the network in reports (`str`): a preset, or the method's."""
        return self.name

    def configure(self, request: NetworkRequest) -> Config:
        """Return the settings of the network, including `num_frames`, `image_size` and the classes.

        Raises:
            ConfigError: a setting that the network lacks, or that contradicts the checkpoint.
        """
        raise NotImplementedError(f"{type(self).__name__} must return the settings of its network; define configure()")

    def processor_settings(self, config: Config) -> dict[str, object]:
        """Return settings of the video processor that this network needs (`dict`); a run may override them."""
        return {}

    def check(self, config: Config, augmentation: AugmentationConfig) -> None:
        """Refuse settings that cannot be combined.

        Raises:
            ConfigError: an augmentation that losses or targets do not support.
        """

    def check_clips(self, frame_files: Iterable[Sequence[str]], config: Config) -> None:
        """Refuse clips whose targets `prepare` could not compute, before any pixel is read.

        Args:
            frame_files (`Iterable[Sequence[str]]`): Paths of the frames of every clip whose frames are files.
            config (`PreTrainedConfig`): Settings of the network.

        Raises:
            ConfigError: an input of the targets is missing or of other clips.
        """

    def build(self, config: Config, fold: Facts | None = None) -> PreTrainedModel:
        """Return an untrained network, initialised from torch's current random state.

        Args:
            config (`PreTrainedConfig`): As `configure` returned it.
            fold (*optional*): Result of `fold_facts`, for networks that keep part of it in a buffer.
        """
        from transformers import AutoModelForVideoClassification

        return AutoModelForVideoClassification.from_config(config)

    def starting_weights(self, weights: Mapping[str, torch.Tensor], config: Config) -> Mapping[str, torch.Tensor]:
        """Return the weights of a checkpoint that a network of this configuration has."""
        return weights

    def prepare(self, clips: Clips, config: Config, processor: FDPVideoProcessor) -> None:
        """Precompute inputs of `targets` for every clip, once per run, between alignment and the first fold."""

    def targets(
        self,
        clip: Clip,
        indices: NDArray[np.int64],
        config: Config,
        normalize: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return the tensors of a clip for the batch beside its frames, before augmentation.

        Args:
            clip (`Clip`): The clip, all of its aligned frames included.
            indices (`np.ndarray` of shape `(num_frames,)`): Input frames of the network, 0-based.
            config (`PreTrainedConfig`): Settings of the network.
            normalize (`Callable`): uint8 frames `(num_frames, height, width)` -> float32 in [-1, 1] on the device.

        Returns:
            `dict[str, torch.Tensor]`: Of one clip, without a batch axis; the same names and shapes for every clip.
        """
        return {}

    def fold_facts(self, clips: Iterable[Clip], config: Config) -> Facts | None:
        """Return inputs of the losses from the training clips of a fold; recomputed when a fold is resumed."""
        return None

    def losses(
        self, model: nn.Module, batch: Mapping[str, torch.Tensor], context: LossContext[Config, Facts]
    ) -> Losses:
        """Return the loss under `loss`, and its unweighted parts by name (0-d tensors).

        Args:
            model (`nn.Module`): The network, possibly wrapped for several processes.
            batch (`Mapping`): `pixel_values` `(batch_size, num_frames, 1, height, width)`, `labels` `(batch_size,)`
                or, mixed, `(batch_size, num_labels)`, and what `targets` returned, augmented.
            context (`LossContext`): Inputs beside the batch.
        """
        from training_fdp.methods.classification import classification_losses

        logits = model(**self.inputs(batch)).logits
        return classification_losses(logits, batch["labels"], context.class_weights)

    def inputs(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the keywords of the network's forward pass for predictions (`dict`)."""
        return {"pixel_values": batch["pixel_values"]}

    def reference(self, config: Config, batches: Iterable[Mapping[str, torch.Tensor]]) -> torch.Tensor | None:
        """Return the value that `answers` compares with, made of training clips alone; batches are made when iterated.

        Args:
            config (`PreTrainedConfig`): Settings of the network.
            batches (`Iterable[Mapping]`): Training clips of the fold, evenly spaced, not augmented.
        """
        return None

    def answers(
        self, output: Any, batch: Mapping[str, torch.Tensor], config: Config, reference: torch.Tensor | None
    ) -> list[Answers]:
        """Return quality measures beyond the class: one `dict` of finite numbers per clip.

        They go into fold records; reports give their mean and deviation over held-out clips.
        """
        return [{} for _ in batch["labels"]]

    def shown(self, output: Any, config: Config, batch: Mapping[str, torch.Tensor] | None = None) -> list[Shown]:
        """Return the outputs to display of each clip beside the class; targets only where the batch is given."""
        return [Shown() for _ in output.logits]

    def answer_settings(self, config: Config) -> AnswerSettings:
        """Return what answers of `predict.py` depend on: classes, action units, kind of rank scores."""
        from modeling_fdp.clip_answer_fdp import AnswerSettings

        return AnswerSettings(config.id2label or {})

    def check_start(self, start: PreTrainedConfig, name: str, requested: Mapping[str, object]) -> None:
        """Refuse a checkpoint whose network differs from the requested one.

        Args:
            start (`PreTrainedConfig`): The checkpoint's settings.
            name (`str`): Name of the checkpoint, for the error message.
            requested (`Mapping[str, object]`): Settings of the preset and of the command line, by name.

        Raises:
            ConfigError: it is of another type, or a setting that is not among `learning_fields` differs.
        """
        shown = 4  # longer lists are hard to read
        if start.model_type != self.model_type:
            raise ConfigError(
                f"--method {self.name} trains networks of type {self.model_type!r}, but --init_from {name} is of type "
                f"{start.model_type!r}; choose its own method or another checkpoint"
            )
        differences = [
            f"{setting} is {getattr(start, setting)} there, {value} was asked for"
            for setting, value in sorted(requested.items())
            if setting not in self.learning_fields and getattr(start, setting, value) != value
        ]
        if differences:
            more = f" and {len(differences) - shown} more" if len(differences) > shown else ""
            raise ConfigError(
                f"--init_from {name} is another network than asked for ({'; '.join(differences[:shown])}{more}); "
                "leave --preset, --num_frames, --image_size and these --model_overrides out, or start from a "
                "checkpoint that has them"
            )
