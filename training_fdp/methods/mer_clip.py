"""MER-CLIP's alignment of clips with the text of their action units (arXiv 2505.05937) as a method."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from evaluation_fdp.errors import ConfigError
from training_fdp.errors import TrainingError
from training_fdp.methods.base import Answers, LossContext, Losses, Method, NetworkRequest, PublishedWork
from training_fdp.methods.fdp import ALL_DEFAULTS, FDPMethod, check_preset, network_settings
from training_fdp.methods.fdp_options import PRETRAINED
from training_fdp.methods.mer_clip_options import MERCLIPOptions

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn
    from transformers import PreTrainedModel

    from modeling_fdp import FDPAlignmentConfig
    from training_fdp.data.augmentation import AugmentationConfig
    from training_fdp.data.clips import Clip
    from training_fdp.data.followers import Follower

# Initial offset of the logits; its sigmoid is 0.05, about the share of clips in which a unit moves (our choice; SigLIP
# sets it by the size of its batch).
LOGIT_BIAS = -3.0
_CITATION = """\
@article{merclip2025,
  title   = {MER-CLIP},
  author  = {Liu and Mao and Zhao and Li and Xu and Chen},
  journal = {IEEE Transactions on Affective Computing},
  year    = {2025},
  doi     = {10.1109/TAFFC.2025.3572931},
  note    = {arXiv:2505.05937}
}"""


class MERCLIPMethod(Method[MERCLIPOptions, "FDPAlignmentConfig", list[str]]):
    """A network that names the emotion from tokens of the video and embeds clips and sets of action units together."""

    name: ClassVar[str] = "mer_clip"
    title: ClassVar[str] = "MER-CLIP's alignment on FDP's video tower"
    summary: ClassVar[str] = (
        "reads a short face video, compares it with sets of action units that are named in words, and answers with a "
        "micro-expression label"
    )
    work: ClassVar[PublishedWork | None] = PublishedWork(
        _CITATION,
        differences=(
            "Only the abstract and the released code were available; what docs/design/methods.md lists is our choice.",
            "The video tower is FDP's, where MER-CLIP takes UniFormerV2 pretrained on Something-Something-v2, and the "
            "text tower is trained or composed of phrases, where it takes a frozen one of ViCLIP.",
            "A clip is compared with the sets of all training clips by Jaccard similarity, where in MER-CLIP one text "
            "of the batch is right for a clip (`--alignment diagonal`).",
        ),
    )
    # Also raised with FDP's version, because the video tower is FDP's.
    version: ClassVar[int] = 10 * FDPMethod.version + 1
    model_type: ClassVar[str] = "fdp_alignment"
    options_class: ClassVar[type] = MERCLIPOptions
    recipe: ClassVar[str] = "mer_clip"
    start_options: ClassVar[Mapping[str, object]] = {"preset": PRETRAINED}
    class_parameters: ClassVar[tuple[str, ...]] = ("emotion.output.weight", "emotion.output.bias")
    learning_fields: ClassVar[frozenset[str]] = FDPMethod.learning_fields | {
        "action_unit_sets", "alignment_loss_weight", "emotion_dropout", "logit_bias_init", "logit_scale_init",
    }  # fmt: skip
    answer_titles: Mapping[str, str] = MappingProxyType(
        {
            "action_unit_f1": "F1 of the action units of the nearest set of the training clips",
            "retrieval_rank": "rank of the clip's own set among those of the training clips, where it is one of them",
            "retrieval_rank_chance": "rank of the clip's own set by chance",
        }
    )

    def __init__(self, options: MERCLIPOptions) -> None:
        super().__init__(options)
        self._phrase_vectors: torch.Tensor | None = None

    @classmethod
    def register_auto_classes(cls) -> None:
        """Register the network and the video processor of its checkpoints."""
        from transformers import AutoVideoProcessor

        from modeling_fdp import FDPAlignmentConfig
        from processing_fdp import FDPVideoProcessor

        AutoVideoProcessor.register(FDPAlignmentConfig, FDPVideoProcessor, exist_ok=True)

    @classmethod
    def check_options(cls, options: MERCLIPOptions, init_from: str | None) -> None:
        """Refuse `--text_model` without `--text_tower pretrained`, and the reverse.

        Raises:
            ConfigError: `--preset pretrained` without `--init_from`, or `--text_tower pretrained` and `--text_model`
                one without the other.
        """
        check_preset(options.preset, init_from)
        if (options.text_tower == "pretrained") != (options.text_model is not None) and init_from is None:
            raise ConfigError(
                "--text_tower pretrained takes its phrases' vectors from --text_model, a folder or NAMESPACE/NAME, "
                f"but --text_tower is {options.text_tower} and --text_model {options.text_model}; give both or neither"
            )

    @property
    def size_name(self) -> str:
        """The preset and the text tower (`str`)."""
        return f"{self.options.preset}_{self.options.text_tower}"

    @property
    def followers(self) -> Mapping[str, Follower]:
        """Augmentation of action units: their sides are swapped when a clip is mirrored."""
        from training_fdp.data.followers import Sides

        return {"action_units": Sides()}

    def configure(self, request: NetworkRequest) -> FDPAlignmentConfig:
        """Return the settings of the preset or of the checkpoint, with classes, phrases and overrides.

        Raises:
            ConfigError: a corpus without action units, an override that the model lacks or cannot combine, or another
                checkpoint.
        """
        from huggingface_hub.errors import StrictDataclassError

        from modeling_fdp import FDPAlignmentConfig, FDPConfig
        from modeling_fdp.answer_fdp import ACTION_UNIT_NAMES
        from training_fdp.methods.action_units import FACS_CODES, is_coded

        if not is_coded(request.action_units):
            raise ConfigError(
                f"--method {self.name} learns from coded action units, but no clip of the corpus has any; choose a "
                "corpus whose sheet codes them, or --method fdp"
            )
        preset: str = self.options.preset
        known: dict[str, Any] = {"text_tower": self.options.text_tower, "action_units": list(FACS_CODES)}
        known["action_unit_phrases"] = [ACTION_UNIT_NAMES[code] for code in FACS_CODES]
        if self.options.alignment == "sigmoid":
            # Weighted as FDP's action-unit head, so that the two can be compared.
            known |= {"logit_bias_init": LOGIT_BIAS, "alignment_loss_weight": FDPConfig.action_unit_loss_weight}
        if request.start is not None:
            requested = dict(request.overrides)
            if preset != PRETRAINED:
                described = network_settings(FDPAlignmentConfig.from_preset(preset))
                requested = {name: value for name, value in described.items() if name not in known} | requested
            self.check_start(request.start, request.start_name, requested)
            preset, known = ALL_DEFAULTS, {**network_settings(request.start), "action_unit_sets": []}
        elif self.options.text_tower == "pretrained" and self.options.text_model is not None:
            vectors = self._vectors(self.options.text_model, known["action_unit_phrases"])
            known["phrase_vector_size"] = vectors.shape[1]
        try:
            return FDPAlignmentConfig.from_preset(preset, **request.labels, **{**known, **request.overrides})
        except (ValueError, TypeError, StrictDataclassError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"preset {self.options.preset} cannot be built with {dict(request.overrides)}: {reason}"
            ) from None

    def processor_settings(self, config: FDPAlignmentConfig) -> dict[str, object]:
        """Return the settings that FDP needs, because the video tower is FDP's (`dict`)."""
        return FDPMethod.processor_settings(self, config)  # type: ignore[arg-type]

    def check(self, config: FDPAlignmentConfig, augmentation: AugmentationConfig) -> None:
        """Refuse mixed clips, because a mixture of two clips has no set of action units.

        Raises:
            ConfigError: mixup.
        """
        if augmentation.mixup > 0:
            raise ConfigError(
                f"--method {self.name} compares a clip with one set of action units, but --augmentation mixup="
                f"{augmentation.mixup} mixes two; add mixup=0 to the augmentation"
            )

    def starting_weights(
        self, weights: Mapping[str, torch.Tensor], config: FDPAlignmentConfig
    ) -> Mapping[str, torch.Tensor]:
        """Leave out the vectors of the checkpoint's own sets, because every fold has sets of its own."""
        import torch

        table = torch.zeros(len(config.action_unit_sets), config.projection_size)
        return {**weights, "text_table": table}

    def targets(
        self,
        clip: Clip,
        indices: NDArray[np.int64],
        config: FDPAlignmentConfig,
        normalize: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return `action_units` `(num_units, 2)`: left and right; NaN where unknown."""
        from training_fdp.methods.action_units import action_unit_targets

        return {"action_units": action_unit_targets([clip.action_units], config.action_units)[0]}

    def fold_facts(self, clips: Iterable[Clip], config: FDPAlignmentConfig) -> list[str]:
        """Return the distinct sets of the training clips and their mirror images (`list[str]`, sorted).

        Units of which the coder was not certain are left out.

        Raises:
            TrainingError: no training clip is coded.
        """
        from modeling_fdp.action_unit_phrases_fdp import spelled
        from training_fdp.methods.action_units import action_unit_targets

        coded = [clip.action_units for clip in clips if len(clip.action_units)]
        if not coded:
            raise TrainingError(
                f"--method {self.name} learns from coded action units, but no training clip of this fold has any; "
                "choose another protocol"
            )
        sets = action_unit_targets(coded, config.action_units)
        return sorted({spelled(units, config.action_units) for units in (*sets, *sets.flip(-1))})

    def build(self, config: FDPAlignmentConfig, fold: list[str] | None = None) -> PreTrainedModel:
        """Return the untrained network with a table of the vectors of the fold's sets."""
        self.register_auto_classes()
        config = copy.deepcopy(config)
        config.action_unit_sets = list(fold or [])
        model: Any = super().build(config)
        if config.text_tower == "pretrained" and self.options.text_model is not None:
            model.text_tower.vectors.copy_(self._vectors(self.options.text_model, config.action_unit_phrases))
        return model

    def _vectors(self, text_model: str, phrases: list[str]) -> torch.Tensor:
        """Vectors of the phrases by the text model that the user names, read once per run."""
        from training_fdp.methods.phrase_vectors import phrase_vectors

        if self._phrase_vectors is None:
            self._phrase_vectors = phrase_vectors(text_model, phrases)
        return self._phrase_vectors

    def losses(
        self, model: nn.Module, batch: Mapping[str, torch.Tensor], context: LossContext[FDPAlignmentConfig, list[str]]
    ) -> Losses:
        """Return the weighted sum of the cross-entropy and the alignment loss, and both unweighted."""
        from training_fdp.methods.mer_clip_losses import alignment_losses

        return alignment_losses(model, batch, context, self.options)

    def answers(
        self,
        output: Any,
        batch: Mapping[str, torch.Tensor],
        config: FDPAlignmentConfig,
        reference: torch.Tensor | None,
    ) -> list[Answers]:
        """Return, for coded clips, the F1 of the units of the nearest set and the rank of the clip's own set."""
        from training_fdp.methods.mer_clip_losses import set_answers

        return set_answers(output.logits_per_video, batch["action_units"], config)
