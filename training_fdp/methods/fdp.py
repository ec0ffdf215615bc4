"""FDP as a method: its network, targets, losses and outputs beside the class."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from evaluation_fdp.errors import ConfigError
from training_fdp.cli import is_main_process
from training_fdp.methods.base import (
    Answers,
    LossContext,
    Losses,
    Method,
    NetworkRequest,
    PublishedWork,
    Shown,
)
from training_fdp.methods.fdp_options import PRETRAINED, FDPOptions, ReleasedFDPOptions

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn
    from transformers import PreTrainedConfig

    from modeling_fdp import FDPConfig
    from modeling_fdp.clip_answer_fdp import AnswerSettings
    from training_fdp.data.augmentation import AugmentationConfig
    from training_fdp.data.clips import Clip
    from training_fdp.data.followers import Follower

logger = logging.getLogger(__name__)

# The preset whose values are the defaults of `FDPConfig`; a checkpoint's settings, one for every field, replace them.
ALL_DEFAULTS = "base"
_CITATION = """\
@article{shao2025fdp,
  title   = {Micro-Expression Recognition via Fine-Grained Dynamic Perception},
  author  = {Shao and Cheng and Zhang and Shi and Li and Ma and Yeung},
  journal = {arXiv preprint arXiv:2509.06015},
  year    = {2025}
}"""
RELEASED_PRESET = "released"


class FDPMethod(Method[FDPOptions, "FDPConfig", None]):
    """FDP: a label, rank scores, a constructed dynamic image and, where a corpus codes them, action units."""

    name: ClassVar[str] = "fdp"
    title: ClassVar[str] = "FDP"
    summary: ClassVar[str] = (
        "(fine-grained dynamic perception) reads a short face video, ranks its frames in time, pools them into one "
        "dynamic representation and answers with a micro-expression label"
    )
    work: ClassVar[PublishedWork | None] = PublishedWork(
        _CITATION,
        differences=(
            "The presets `tiny`, `small` and `base` read pulse, drift and motion of stabilised frames, where the "
            "paper reads raw frames; `paper` and `paper_tiny` are the network that the paper describes.",
            "16 frames spread evenly over the clip, both ends included; the paper does not say how it samples.",
            "Pixels are scaled by a fixed rule, and no epoch is chosen on the held-out subject; the released code "
            "normalises by statistics of a split and reports the best epoch on the test subject.",
        ),
    )
    # Raised whenever a preset, a default of FDPConfig, a target or a loss changes. A constant, because building the
    # configuration takes longer than reporting a finished run.
    version: ClassVar[int] = 8
    model_type: ClassVar[str] = "fdp"
    options_class: ClassVar[type] = FDPOptions
    start_options: ClassVar[Mapping[str, object]] = {"preset": PRETRAINED}
    # The last layer, which has the same name in both classifiers.
    class_parameters: ClassVar[tuple[str, ...]] = ("classifier.output.weight", "classifier.output.bias")
    learning_fields: ClassVar[frozenset[str]] = frozenset(
        {
            "action_unit_loss_weight", "attention_dropout", "both_signs", "class_weights",
            "classification_loss_weight", "classifier_dropout", "drop_path_rate",
            "dynamic_image_frames", "dynamic_image_gain", "dynamic_image_loss_weight", "dynamic_image_normalization",
            "focal_gamma", "initialization", "initializer_range", "label_smoothing", "learnt_speech",
            "movement_weights", "rank_loss_weight", "rank_margin", "temperature",
        }
    )  # fmt: skip

    @classmethod
    def register_auto_classes(cls) -> None:
        """Register the network and the video processor of its checkpoints."""
        import training_fdp.methods.fdp_auto_classes  # noqa: F401 - importing it registers them

    @classmethod
    def check_options(cls, options: FDPOptions, init_from: str | None) -> None:
        """Refuse `--preset pretrained` without a checkpoint.

        Raises:
            ConfigError: `--preset pretrained` without `--init_from`.
        """
        check_preset(options.preset, init_from)

    @property
    def size_name(self) -> str:
        """The preset (`str`)."""
        return self.options.preset

    @property
    def followers(self) -> Mapping[str, Follower]:
        """Augmentation of action units and dynamic images (`Mapping[str, Follower]`)."""
        from training_fdp.data.followers import MotionPicture, Sides

        return {"dynamic_image_targets": MotionPicture(), "action_units": Sides()}

    @property
    def answer_titles(self) -> Mapping[str, str]:
        """Titles of the answers in reports (`Mapping[str, str]`)."""
        from training_fdp.methods.fdp_quality import answer_titles

        return answer_titles(self.options.dynamic_image_target)

    def configure(self, request: NetworkRequest) -> FDPConfig:
        """Return the settings of the preset or of the checkpoint, with classes, action units and overrides.

        Raises:
            ConfigError: an override that the model lacks or cannot combine, or that contradicts the checkpoint.
        """
        from huggingface_hub.errors import StrictDataclassError

        from modeling_fdp import FDPConfig
        from training_fdp.methods.action_units import FACS_CODES, is_coded

        # The authors' network has no head for action units.
        taught = self.options.action_units == "coded" and self.options.preset != RELEASED_PRESET
        codes = list(FACS_CODES) if taught and is_coded(request.action_units) else []
        preset: str = self.options.preset
        known: dict[str, object] = {"action_units": codes}
        if request.start is not None:
            self.check_start(request.start, request.start_name, self._requested_settings(request))
            preset, known = ALL_DEFAULTS, network_settings(request.start)
            if codes and not known["action_units"] and is_main_process():
                logger.warning("--init_from %s has no head for action units, so none are trained", request.start_name)
            if self.options.action_units == "none":
                # The head is left out, because no labels would train it.
                known["action_units"] = []
            if not codes:
                # They weigh units that are not trained along. With units they hold: a network of five classes that
                # started from the shipped one calls 2% of trimmed movements and 73% of quiet stretches still, and the
                # shipped one, with the same weights, 2% and 72%.
                known["movement_weights"] = []
        try:
            return FDPConfig.from_preset(preset, **request.labels, **{**known, **request.overrides})
        except (ValueError, TypeError, StrictDataclassError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"preset {self.options.preset} cannot be built with {dict(request.overrides)}: {reason}"
            ) from None

    def _requested_settings(self, request: NetworkRequest) -> dict[str, object]:
        """The requested settings: those of the preset, unless it is `pretrained`, and the overrides."""
        if self.options.preset == PRETRAINED:
            return dict(request.overrides)
        from modeling_fdp import FDPConfig

        described = network_settings(FDPConfig.from_preset(self.options.preset))
        # Settings of action units come from the corpora, as classes do, and not from the preset.
        of_corpora = ("action_units", "action_unit_sides")
        return {name: value for name, value in described.items() if name not in of_corpora} | dict(request.overrides)

    def processor_settings(self, config: FDPConfig) -> dict[str, object]:
        """Return `even_light` for a network that reads patterns along a movement curve (`dict`)."""
        return {"even_light": True} if config.has_patterns else {}

    def check(self, config: FDPConfig, augmentation: AugmentationConfig) -> None:
        """Refuse augmentation that the targets or the losses do not support.

        Raises:
            ConfigError: parts of clips with a target of whole clips, or mixed labels with losses that need hard ones.
        """
        if augmentation.phase > 0 and self.options.dynamic_image_target != "sampled":
            raise ConfigError(
                f"--augmentation phase={augmentation.phase} shows a part of a clip, but --dynamic_image_target "
                f"{self.options.dynamic_image_target} sums the whole clip; leave out one of them"
            )
        if augmentation.windows > 0 and self.options.dynamic_image_target != "sampled":
            raise ConfigError(
                f"--augmentation windows={augmentation.windows} shows any stretch of a recording, but "
                f"--dynamic_image_target {self.options.dynamic_image_target} sums the clip; leave out one of them"
            )
        if augmentation.mixes_labels and (config.label_smoothing or config.focal_gamma):
            raise ConfigError(
                f"--augmentation mixup={augmentation.mixup},windows={augmentation.windows} trains on mixed labels, "
                f"for which label_smoothing {config.label_smoothing} and focal_gamma {config.focal_gamma} are "
                "undefined; set both to 0"
            )

    def starting_weights(self, weights: Mapping[str, torch.Tensor], config: FDPConfig) -> Mapping[str, torch.Tensor]:
        """Leave out the head of action units if the network has none."""
        if config.action_units:
            return weights
        return {name: value for name, value in weights.items() if not name.startswith("action_unit_output.")}

    def targets(
        self,
        clip: Clip,
        indices: NDArray[np.int64],
        config: FDPConfig,
        normalize: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return the targets beside the class.

        `action_units` `(num_units, 2)`, where the corpus codes them; `dynamic_image_targets` `(1, height, width)`,
        where `--dynamic_image_target` sums frames of the clip that are not sampled; `progress_targets`
        `(num_frames,)`, NaN where the sheet names no apex, for a network that reads patterns along a movement curve.
        """
        import torch

        from training_fdp.methods.action_units import action_unit_targets
        from training_fdp.methods.fdp_targets import pooled_clip, progress_targets

        targets = {}
        if config.has_patterns:
            targets["progress_targets"] = progress_targets(clip, indices)
        kind = self.options.dynamic_image_target
        if kind != "sampled":
            stabilized = config.dynamic_image_frames == "stabilized"
            targets["dynamic_image_targets"] = pooled_clip(
                normalize(clip.frames), clip.onset, clip.apex, clip.offset, kind, stabilized
            )
        if config.action_units and self.options.action_units == "coded":
            units = action_unit_targets([clip.action_units], config.action_units)[0]
            # In a clip of which only quiet frames are shown, no unit moved.
            targets["action_units"] = units if clip.moves else torch.zeros_like(units)
        return targets

    def losses(
        self, model: nn.Module, batch: Mapping[str, torch.Tensor], context: LossContext[FDPConfig, None]
    ) -> Losses:
        """Return the weighted sum of FDP's losses, and its parts."""
        from training_fdp.methods.fdp_losses import training_losses

        return training_losses(model, batch, context)

    def reference(self, config: FDPConfig, batches: Iterable[Mapping[str, torch.Tensor]]) -> torch.Tensor | None:
        """Return the mean target of training clips (`torch.DoubleTensor` of shape `(height, width)`)."""
        from training_fdp.methods.fdp_targets import mean_target

        # With `along_curve` there is no mean over training clips, because each target depends on the network's scores.
        without = config.dynamic_image_decoder == "none" or config.dynamic_image_frames == "along_curve"
        return None if without else mean_target(config, batches)

    def answers(
        self, output: Any, batch: Mapping[str, torch.Tensor], config: FDPConfig, reference: torch.Tensor | None
    ) -> list[Answers]:
        """Return the error of each dynamic image and of trivial ones, and Kendall's tau of the rank scores."""
        from training_fdp.methods.fdp_quality import clip_image_quality, kendall_tau
        from training_fdp.methods.fdp_targets import as_numbers, dynamic_image_targets

        tau = kendall_tau(output.rank_scores.float().cpu().numpy())
        quality: list[dict[str, float]] = [{} for _ in tau]
        if output.dynamic_image is not None:
            target = as_numbers(dynamic_image_targets(config, batch, output.rank_scores))
            quality = clip_image_quality(as_numbers(output.dynamic_image), target, reference)
        return [{**clip, "rank_kendall_tau": float(value)} for clip, value in zip(quality, tau, strict=True)]

    def shown(self, output: Any, config: FDPConfig, batch: Mapping[str, torch.Tensor] | None = None) -> list[Shown]:
        """Return the rank curve and the dynamic image of each clip; the target where the batch is given."""
        from training_fdp.methods.fdp_quality import ordered_pairs
        from training_fdp.methods.fdp_targets import dynamic_image_targets

        scores = output.rank_scores.float().cpu().numpy()
        pictures = {}
        if batch is not None:
            target = dynamic_image_targets(config, batch, output.rank_scores)
            pictures["target"] = target[:, 0].float().cpu().numpy()
        if output.dynamic_image is not None:
            pictures["dynamic_image"] = output.dynamic_image[:, 0].float().cpu().numpy()
        return [
            Shown(
                numbers={"ordered_pairs": ordered_pairs(curve[None])},
                curves={"rank_scores": curve.tolist()},
                images={name: images[clip] for name, images in pictures.items()},
            )
            for clip, curve in enumerate(scores)
        ]

    def answer_settings(self, config: FDPConfig) -> AnswerSettings:
        """Return classes, action units, and whether rank scores follow the movement."""
        from modeling_fdp.clip_answer_fdp import AnswerSettings

        return AnswerSettings.of(config)


class ReleasedFDPMethod(FDPMethod):
    """The authors' network with the training of their script, without its leaks."""

    name: ClassVar[str] = "fdp_released"
    title: ClassVar[str] = "FDP, network and training as released"
    work: ClassVar[PublishedWork | None] = PublishedWork(
        _CITATION,
        differences=(
            "The network is that of the released code, which differs from the paper: no attention blocks, no rank "
            "scorer, and a pooling over time that pools numbers of one frame.",
            "Without the leaks of the released code: no normalisation by held-out clips, no best epoch on the test "
            "subject.",
        ),
    )
    options_class: ClassVar[type] = ReleasedFDPOptions
    recipe: ClassVar[str] = "released"


def check_preset(preset: str, init_from: str | None) -> None:
    """Refuse `--preset pretrained` without a checkpoint.

    Raises:
        ConfigError: `--preset pretrained` without `--init_from`.
    """
    if preset == PRETRAINED and init_from is None:
        raise ConfigError(
            f"--preset {PRETRAINED} is the network of --init_from, which is missing; name a checkpoint or another "
            "preset"
        )


def network_settings(config: PreTrainedConfig) -> dict[str, object]:
    """Return the settings of an FDP network (`dict`), without those that describe its training."""
    from transformers import PreTrainedConfig

    fields = {entry.name for entry in dataclasses.fields(config)} - {
        entry.name for entry in dataclasses.fields(PreTrainedConfig)
    }
    of_training = {"class_weights": None, "temperature": 1.0, "learnt_speech": False}
    return {name: getattr(config, name) for name in fields} | of_training
