"""The checkpoint from which every fold is initialised: its weights, settings and training subjects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import VIDEO_PROCESSOR_NAME, cached_file

from evaluation_fdp.atomic_files import file_digest, read_json
from evaluation_fdp.errors import ConfigError
from evaluation_fdp.fold_records import RECORD_NAME
from evaluation_fdp.run_folder import WEIGHTS_NAME
from evaluation_fdp.run_info import StartingWeights
from training_fdp.data.people import Subjects
from training_fdp.methods.base import Method, class_names_of
from training_fdp.methods.pretrained import checkpoint_source, load_pretrained, loading_refused

if TYPE_CHECKING:
    from processing_fdp.video_processing_fdp import FDPVideoProcessor

OPTION = "--init_from"
# Field of config.json with the training subjects, because fold.json is not uploaded to the Hub.
SEEN_SUBJECTS = "seen_subjects"


@dataclass(frozen=True)
class Initialization:
    """A checkpoint that training starts from.

    Args:
        name (`str`): Name of the repository, or of the folder without its path, because reports are published.
        sha256 (`str`): Digest of the file of its weights.
        config (`PreTrainedConfig`): Settings of its network.
        weights (`dict[str, torch.Tensor]`): Its parameters and buffers, on the CPU.
        seen_subjects (`dict[str, list[str]]`, *optional*): Its training subjects by corpus (see
            `training_fdp.data.people`); `None` where unknown.
        processor (`FDPVideoProcessor`, *optional*): The video processor saved with it; `None` where there is none of
            this package.
    """

    name: str
    sha256: str
    config: PreTrainedConfig
    weights: Mapping[str, torch.Tensor]
    seen_subjects: Subjects | None
    processor: "FDPVideoProcessor | None" = None

    @property
    def class_names(self) -> list[str]:
        """Its classes in the order of its logits (`list[str]`)."""
        return class_names_of(self.config)

    def fill(self, model: PreTrainedModel, method: Method) -> None:
        """Load the weights into an untrained model of the same network.

        Rows of `class_parameters` are taken over by the name of their class; rows of classes that the checkpoint
        lacks stay untrained.

        Raises:
            ConfigError: its classes or their order differ, and the method has no `class_parameters`.
        """
        names = class_names_of(model.config)
        new = self.new_classes(names, method)
        untrained = model.state_dict()
        body = {name: value for name, value in self.weights.items() if name not in method.class_parameters}
        weights = dict(method.starting_weights(body, model.config))
        for parameter in method.class_parameters:
            weights[parameter] = untrained[parameter].clone()
            for row, name in enumerate(names):
                if name not in new:
                    weights[parameter][row] = self.weights[parameter][self.class_names.index(name)]
        model.load_state_dict(weights)

    def new_classes(self, class_names: Sequence[str], method: Method) -> list[str]:
        """Return the classes (`list[str]`) whose rows of the last layer start untrained.

        Raises:
            ConfigError: the classes or their order differ, and the method has no `class_parameters`.
        """
        same_order = list(self.class_names) == list(class_names)
        if not same_order and not method.class_parameters:
            raise ConfigError(
                f"{OPTION} {self.name} has the classes {', '.join(self.class_names)}, but the corpus has "
                f"{', '.join(class_names)}, and the method {method.name} does not say which weights belong to classes "
                "(`class_parameters`); choose a --label_set of the same classes"
            )
        return [name for name in class_names if name not in self.class_names]

    def described(self, class_names: Sequence[str], method: Method) -> StartingWeights:
        """Return its description for records and reports (`StartingWeights`)."""
        return StartingWeights(self.name, self.sha256, self.new_classes(class_names, method))


def read_initialization(name: str) -> Initialization:
    """Load the checkpoint that `--init_from` names.

    Args:
        name (`str`): Folder in Hub format, or a repository `namespace/name`.

    Raises:
        ConfigError: there is no such checkpoint, no registered method has its `model_type`, or it is incomplete.
    """
    source = checkpoint_source(name, OPTION)
    with loading_refused(name, OPTION):
        digest = file_digest(Path(str(cached_file(source, WEIGHTS_NAME))))
    model, _ = load_pretrained(name, OPTION)
    folder = Path(name)
    shown = folder.resolve().name if folder.is_dir() else name
    with loading_refused(name, OPTION):
        processor = _saved_processor(source)
    seen = _seen_subjects(folder, model.config)
    return Initialization(shown, digest, model.config, model.state_dict(), seen, processor)


def _saved_processor(source: str) -> "FDPVideoProcessor | None":
    """The video processor of a checkpoint; `None` where it has none of this package."""
    from processing_fdp.video_processing_fdp import FDPVideoProcessor

    settings = cached_file(source, VIDEO_PROCESSOR_NAME, _raise_exceptions_for_missing_entries=False)
    if settings is None or read_json(Path(settings)).get("video_processor_type") != FDPVideoProcessor.__name__:
        return None
    return FDPVideoProcessor.from_pretrained(source)


def _seen_subjects(folder: Path, config: PreTrainedConfig) -> Subjects | None:
    """Training subjects of a checkpoint, from its settings or from the record beside it in the folder of a run."""
    record = folder / RECORD_NAME
    if record.is_file():
        return read_json(record).get(SEEN_SUBJECTS)
    return getattr(config, SEEN_SUBJECTS, None)
