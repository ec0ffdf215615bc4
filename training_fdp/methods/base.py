"""The interface between training and one family of networks.

A method makes a network out of settings, says what a clip teaches beyond its label, computes the losses, and turns the
network's output into numbers per clip. The loop, the evaluator, the run, the model card and the predictor know no
network: they call a method. docs/design/methods.md shows how two published methods would enter.

This file imports no torch, because a finished run is reported without it; a built-in method imports what it needs
inside its hooks for the same reason, one of another package need not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from training_fdp.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig, PreTrainedModel

    from training_fdp.data.augmentation import AugmentationConfig
    from training_fdp.data.clips import Clip
    from training_fdp.data.followers import Follower

Answers = dict[str, float]
Losses = dict[str, "torch.Tensor"]


@dataclass
class NoOptions:
    """Options of a method that has none of its own."""


@dataclass(frozen=True)
class NetworkRequest:
    """What is asked of a network.

    Args:
        class_names (`tuple[str, ...]`): Classes in the order of the logits.
        overrides (`Mapping[str, Any]`): Settings by name: `--model_overrides`, `--num_frames` and `--image_size`.
        start (`PreTrainedConfig`, *optional*): Settings of the checkpoint that `--init_from` names.
        start_name (`str`, *optional*): Its name, for complaints.
        action_units (`Iterable`, *optional*): Coded action units of every clip, as the rows of a corpus have them.
    """

    class_names: tuple[str, ...]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    start: PreTrainedConfig | None = None
    start_name: str = ""
    action_units: Iterable[Sequence[Mapping[str, Any]]] = ()

    @property
    def labels(self) -> dict[str, Any]:
        """Keywords of a configuration that name the classes (`dict`)."""
        return {
            "id2label": dict(enumerate(self.class_names)),
            "label2id": {name: label for label, name in enumerate(self.class_names)},
        }


@dataclass(frozen=True)
class LossContext:
    """What losses may depend on beside the batch.

    Args:
        config (`PreTrainedConfig`): Settings of the network.
        class_weights (`torch.FloatTensor` of shape `(num_labels,)`, *optional*): Weights of the classes in the
            cross-entropy, from the training clips of the fold.
        fold (`Any`): What [`Method.fold_facts`] returned.
        progress (`float`): Share of the planned steps that are done, in [0, 1).
    """

    config: PreTrainedConfig
    class_weights: torch.Tensor | None = None
    fold: Any = None
    progress: float = 0.0


@dataclass(frozen=True)
class Shown:
    """What a network answers of one clip beside the class, for a reader.

    Args:
        numbers (`dict[str, float]`): By name.
        curves (`dict[str, list[float]]`): One value per frame that the network saw, by name.
        images (`dict[str, np.ndarray]`): float32 `(height, width)` in [0, 1], by name.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    images: dict[str, NDArray[np.float32]] = field(default_factory=dict)


class Method:
    """One family of networks as training sees it.

    Class attributes:
        name (`str`): What `--method` calls it.
        title (`str`): What tables call it.
        version (`int`): Raised whenever the same options give other numbers: folds of two versions never meet in one
            OUT.
        model_type (`str`): `model_type` of its checkpoints.
        options_class (`type`): Dataclass of its own options, written by `evaluation_fdp.options.option`.
        recipe (`str`): Settings that it is trained with by default: a name in `training_fdp/recipes`.
        start_options (`Mapping[str, Any]`): Values of its own options that `--init_from` sets, unless they are given.
        class_parameters (`tuple[str, ...]`): Parameters whose first axis are the classes; without any, a checkpoint
            must know the same classes in the same order.
        learning_fields (`frozenset[str]`): Settings that say how a network learns, not what it is: they may differ
            from those of the checkpoint that training starts from.

    Args:
        options (`Any`): An instance of `options_class`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    model_type: ClassVar[str]
    options_class: ClassVar[type] = NoOptions
    recipe: ClassVar[str] = "default"
    start_options: ClassVar[Mapping[str, Any]] = {}
    class_parameters: ClassVar[tuple[str, ...]] = ()
    learning_fields: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, options: Any) -> None:
        self.options = options

    @classmethod
    def register_auto_classes(cls) -> None:
        """Make the auto classes of transformers know this method's networks; importing their package usually does."""

    @classmethod
    def check_options(cls, options: Any, init_from: str | None) -> None:
        """Refuse values of its own options that cannot be combined.

        Args:
            options (`Any`): An instance of `options_class`.
            init_from (`str`, *optional*): The checkpoint that training starts from.

        Raises:
            ConfigError: they contradict each other.
        """

    @property
    def followers(self) -> Mapping[str, Follower]:
        """How each tensor that `targets` returns follows augmentation, by name (`Mapping[str, Follower]`).

        Those that are not named stay as they are.
        """
        return {}

    @property
    def answer_titles(self) -> Mapping[str, str]:
        """What reports call each answer (`Mapping[str, str]`, by name)."""
        return {}

    @property
    def size_name(self) -> str:
        """What reports call the network (`str`): a preset, or the method itself."""
        return self.name

    def configure(self, request: NetworkRequest) -> PreTrainedConfig:
        """Return the settings of the network: `num_frames`, `image_size` and the classes among them.

        Raises:
            ConfigError: a setting that the network does not know, or that contradicts the checkpoint.
        """
        raise NotImplementedError(f"{type(self).__name__} must say what its network is made of; define configure()")

    def processor_settings(self, config: PreTrainedConfig) -> dict[str, Any]:
        """Return settings of the video processor that this network needs, unless a run names others (`dict`)."""
        return {}

    def check(self, config: PreTrainedConfig, augmentation: AugmentationConfig) -> None:
        """Refuse settings that silence each other.

        Raises:
            ConfigError: an augmentation that the losses or targets of this network cannot follow.
        """

    def build(self, config: PreTrainedConfig, fold: Any = None) -> PreTrainedModel:
        """Return an untrained network, drawn from torch's current random state.

        Args:
            config (`PreTrainedConfig`): As `configure` returned it.
            fold (`Any`, *optional*): What `fold_facts` returned, for networks that keep some of it in a buffer.
        """
        from transformers import AutoModelForVideoClassification

        return AutoModelForVideoClassification.from_config(config)

    def starting_weights(
        self, weights: Mapping[str, torch.Tensor], config: PreTrainedConfig
    ) -> Mapping[str, torch.Tensor]:
        """Return those of a checkpoint's weights that a network of this configuration takes."""
        return weights

    def prepare(self, clips: Sequence[Clip], config: PreTrainedConfig, processor: Any) -> None:
        """Compute what `targets` needs of every clip, once per run, after alignment and before the first fold."""

    def targets(
        self,
        clip: Clip,
        indices: NDArray[np.int64],
        config: PreTrainedConfig,
        normalize: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return what accompanies the frames of a clip into the batch, before augmentation.

        Args:
            clip (`Clip`): The clip, all of its aligned frames included.
            indices (`np.ndarray` of shape `(num_frames,)`): Frames that the network sees, 0-based.
            config (`PreTrainedConfig`): Settings of the network.
            normalize (`Callable`): uint8 frames `(num_frames, height, width)` -> float32 in [-1, 1] on the device.

        Returns:
            `dict[str, torch.Tensor]`: Of one clip, without a batch axis; the same names and shapes for every clip.
        """
        return {}

    def fold_facts(self, clips: Iterable[Clip], config: PreTrainedConfig) -> Any:
        """Return what the losses of a fold must know of its training clips; computed anew where a fold goes on."""
        return None

    def losses(self, model: Any, batch: Mapping[str, torch.Tensor], context: LossContext) -> Losses:
        """Return the loss under `loss`, and its unweighted parts by name (0-d tensors).

        Args:
            model (`nn.Module`): The network, possibly wrapped for several processes.
            batch (`Mapping`): `pixel_values` `(batch_size, num_frames, 1, height, width)`, `labels` `(batch_size,)`
                or, mixed, `(batch_size, num_labels)`, and what `targets` returned, augmented.
            context (`LossContext`): What they depend on beside the batch.
        """
        from training_fdp.methods.classification import classification_losses

        logits = model(**self.inputs(batch)).logits
        return classification_losses(logits, batch["labels"], context.class_weights)

    def inputs(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the keywords that the network predicts from (`dict`)."""
        return {"pixel_values": batch["pixel_values"]}

    def reference(self, config: PreTrainedConfig, batches: Iterable[Mapping[str, torch.Tensor]]) -> Any:
        """Return what `answers` compares with and training clips alone decide; `batches` are read only if wanted.

        Args:
            config (`PreTrainedConfig`): Settings of the network.
            batches (`Iterable[Mapping]`): Training clips of the fold, evenly spaced, not augmented.
        """
        return None

    def answers(
        self, output: Any, batch: Mapping[str, torch.Tensor], config: PreTrainedConfig, reference: Any
    ) -> list[Answers]:
        """Return figures of merit beyond the class, one `dict` per clip of finite numbers, those that apply.

        They go into fold records; reports give their mean and deviation over held-out clips.
        """
        return [{} for _ in batch["labels"]]

    def shown(
        self, output: Any, config: PreTrainedConfig, batch: Mapping[str, torch.Tensor] | None = None
    ) -> list[Shown]:
        """Return what a reader sees of each clip beside the class; targets only where the batch is given."""
        return [Shown() for _ in output.logits]

    def check_start(self, start: PreTrainedConfig, name: str, asked: Mapping[str, Any]) -> None:
        """Refuse a checkpoint that is another network than was asked for.

        Args:
            start (`PreTrainedConfig`): The checkpoint's settings.
            name (`str`): Its name, for the complaint.
            asked (`Mapping[str, Any]`): Settings that were asked for.

        Raises:
            ConfigError: it is of another type, or a setting beside `learning_fields` differs.
        """
        shown = 4  # longer lists help nobody
        if start.model_type != self.model_type:
            raise ConfigError(
                f"--method {self.name} trains networks of type {self.model_type!r}, but --init_from {name} is of type "
                f"{start.model_type!r}; choose its own method or another checkpoint"
            )
        differences = [
            f"{setting} is {getattr(start, setting)} there, {value} was asked for"
            for setting, value in sorted(asked.items())
            if setting not in self.learning_fields and getattr(start, setting, value) != value
        ]
        if differences:
            more = f" and {len(differences) - shown} more" if len(differences) > shown else ""
            raise ConfigError(
                f"--init_from {name} is another network than asked for ({'; '.join(differences[:shown])}{more}); "
                "leave --preset, --num_frames, --image_size and these --model_overrides out, or start from a "
                "checkpoint that has them"
            )
