"""MOL as a method: its network, targets, losses and outputs beside the class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evaluation_fdp.errors import ConfigError
from training_fdp.methods.base import Answers, LossContext, Losses, Method, NetworkRequest, PublishedWork, Shown
from training_fdp.methods.mol_options import PRETRAINED, MOLOptions

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from modeling_mol import MOLConfig
    from processing_fdp.video_processing_fdp import FDPVideoProcessor
    from training_fdp.data.clips import Clip, Clips
    from training_fdp.data.followers import Follower
    from training_fdp.methods.mol_targets import MotionTargets

# The preset whose values are the defaults of `MOLConfig`; a checkpoint's settings, one for every field, replace them.
ALL_DEFAULTS = "small"
_CITATION = """\
@article{shao2025mol,
  title   = {{MOL}: Joint Estimation of Micro-Expression, Optical Flow, and Landmark via
             Transformer-Graph-Style Convolution},
  author  = {Shao and Cheng and Li and Zhou and Lu and Xie and Ma},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2025},
  doi     = {10.1109/TPAMI.2025.3581162}
}"""
# Least `MOLFacts.flow_scale` in pixels, because targets are divided by it and clips without motion would give 0.
LEAST_FLOW_SCALE = 1e-3


@dataclasses.dataclass(frozen=True)
class MOLFacts:
    """Statistics of the training clips of a fold, which the network holds in buffers.

    Args:
        flow_scale (`float`): Root mean square of the clips' flow in pixels.
        mean_landmarks (`torch.FloatTensor` of shape `(num_landmarks, 2)`): Mean of the clips' landmarks, in pixels
            from the middle of the frame.
    """

    flow_scale: float
    mean_landmarks: torch.Tensor


class MOLMethod(Method[MOLOptions, "MOLConfig", "MOLFacts"]):
    """MOL: a label, the optical flow of pairs of frames and the landmarks of each frame (arXiv 2506.14511)."""

    name: ClassVar[str] = "mol"
    title: ClassVar[str] = "MOL"
    summary: ClassVar[str] = (
        "(micro-expression, optical flow, landmarks) reads a short face video, estimates the motion between its "
        "frames and the landmarks of each, and answers with a micro-expression label"
    )
    work: ClassVar[PublishedWork | None] = PublishedWork(
        _CITATION,
        differences=(
            "Only the abstract, the overview figure and the released code were available; loss weights, sizes of "
            "`small` and all that docs/design/mol.md lists are our choice.",
            "In the preset `small` frames are paired with the first one of the clip, where the paper pairs each with "
            "the frame before, each frame is encoded once, and the stem reads its change from the first one, where "
            "the paper's reads the frame alone.",
            "In `small` the class follows from the estimated flow without its mean over the frame, where the paper's "
            "follows from the features of the frames.",
            "The flow is learnt from the renderer or from TV-L1 of scikit-image, the landmarks from the renderer or a "
            "face mesh, where the released code uses OpenCV and dlib.",
        ),
    )
    version: ClassVar[int] = 3
    model_type: ClassVar[str] = "mol"
    options_class: ClassVar[type] = MOLOptions
    start_options: ClassVar[Mapping[str, object]] = {"preset": PRETRAINED}
    class_parameters: ClassVar[tuple[str, ...]] = ("classifier.output.weight", "classifier.output.bias")
    learning_fields: ClassVar[frozenset[str]] = frozenset(
        {
            "classifier_dropout", "flow_loss", "flow_loss_weight", "initializer_range", "landmark_loss_weight",
            "position_std",
        }
    )  # fmt: skip

    def __init__(self, options: MOLOptions) -> None:
        super().__init__(options)
        self._motion: MotionTargets | None = None

    @classmethod
    def register_auto_classes(cls) -> None:
        """Register the network and the video processor of its checkpoints."""
        import training_fdp.methods.mol_auto_classes  # noqa: F401 - importing it registers them

    @classmethod
    def check_options(cls, options: MOLOptions, init_from: str | None) -> None:
        """Refuse `--preset pretrained` without a checkpoint.

        Raises:
            ConfigError: `--preset pretrained` without `--init_from`.
        """
        if options.preset == PRETRAINED and init_from is None:
            raise ConfigError(
                f"--preset {PRETRAINED} is the network of --init_from, which is missing; name a checkpoint or another "
                "preset"
            )

    @property
    def size_name(self) -> str:
        """The preset (`str`)."""
        preset: str = self.options.preset
        return f"mol {preset}"

    @property
    def followers(self) -> Mapping[str, Follower]:
        """Augmentation of flow and landmarks (`Mapping[str, Follower]`)."""
        from training_fdp.data.followers import FlowField, Points

        return {"flow_targets": FlowField(), "landmark_targets": Points()}

    @property
    def answer_titles(self) -> Mapping[str, str]:
        """Titles of the answers in reports (`Mapping[str, str]`)."""
        from training_fdp.methods.mol_quality import ANSWER_TITLES

        return ANSWER_TITLES

    def configure(self, request: NetworkRequest) -> MOLConfig:
        """Return the settings of the preset or of the checkpoint, with classes and overrides.

        Raises:
            ConfigError: an override that the model lacks or cannot combine, or that contradicts the checkpoint.
        """
        from huggingface_hub.errors import StrictDataclassError

        from modeling_mol import MOLConfig

        preset: str = self.options.preset
        known: dict[str, object] = {}
        if request.start is not None:
            requested = {} if preset == PRETRAINED else network_settings(MOLConfig.from_preset(preset))
            self.check_start(request.start, request.start_name, requested | dict(request.overrides))
            preset, known = ALL_DEFAULTS, network_settings(request.start)
        try:
            return MOLConfig.from_preset(preset, **request.labels, **{**known, **request.overrides})
        except (ValueError, TypeError, StrictDataclassError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"preset {self.options.preset} cannot be built with {dict(request.overrides)}: {reason}"
            ) from None

    def build(self, config: MOLConfig, fold: MOLFacts | None = None) -> PreTrainedModel:
        """Return the untrained network, with the scale of the flow and the mean landmarks of the training clips."""
        self.register_auto_classes()
        model: Any = super().build(config, fold)
        if fold is not None:
            model.store_training_facts(fold.flow_scale, fold.mean_landmarks)
        return model

    def check_clips(self, frame_files: Iterable[Sequence[str]], config: MOLConfig) -> None:
        """Refuse rendered clips whose exact motion cannot be computed again.

        Raises:
            ConfigError: another generator, a face model that is missing or another one, or frames that were not
                rendered.
        """
        from hub_datasets.errors import CorpusOptionError

        if config.flow_decoder == "none" and not config.num_landmarks:
            return
        try:
            self._motion_targets(config).check(frame_files)
        except CorpusOptionError as error:
            reason = str(error).rstrip(".")
            raise ConfigError(
                f"--motion_targets exact: {reason} (--face_model, --motion_targets estimated)"
            ) from error

    def prepare(self, clips: Clips, config: MOLConfig, processor: FDPVideoProcessor) -> None:
        """Compute flow and landmarks of every clip, or read those that lie beside the aligned clips."""
        self._motion = self._motion_targets(config)
        self._motion.prepare(clips, processor)

    def targets(
        self,
        clip: Clip,
        indices: NDArray[np.int64],
        config: MOLConfig,
        normalize: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return the targets beside the class.

        `flow_targets` `(2, num_frames - 1, height, width)` in pixels and `flow_is_exact` `()`; `landmark_targets`
        `(num_frames, num_landmarks, 2)` in pixels from the middle of the frame. A head that the network lacks has no
        target.
        """
        import torch

        motion = self._prepared()
        targets = {}
        if motion.with_flow:
            earlier = indices[:-1] if config.flow_reference == "previous" else indices[:1].repeat(len(indices) - 1)
            targets["flow_targets"] = motion.flow(clip, earlier, indices[1:])
            targets["flow_is_exact"] = torch.tensor(motion.is_exact(clip))
        if motion.num_landmarks:
            targets["landmark_targets"] = motion.landmarks(clip, indices)
        return targets

    def fold_facts(self, clips: Iterable[Clip], config: MOLConfig) -> MOLFacts:
        """Return the scale of the flow and the mean landmarks, over evenly spaced frames of the training clips."""
        import numpy as np
        import torch

        squares, count = 0.0, 0
        points = []
        for clip in clips:
            first = clip.onset or 0
            last = len(clip.frames) - 1 if clip.offset is None else clip.offset
            indices = np.rint(np.linspace(first, last, config.num_frames)).astype(np.int64)
            targets = self.targets(clip, indices, config, lambda frames: frames)
            if "flow_targets" in targets:
                squares += float((targets["flow_targets"] ** 2).sum())
                count += targets["flow_targets"].numel()
            if "landmark_targets" in targets:
                points.append(targets["landmark_targets"])
        scale = max((squares / count) ** 0.5, LEAST_FLOW_SCALE) if count else 1.0
        mean = torch.cat(points).nanmean(dim=0).nan_to_num() if points else torch.zeros(0, 2)
        return MOLFacts(scale, mean)

    def losses(
        self, model: nn.Module, batch: Mapping[str, torch.Tensor], context: LossContext[MOLConfig, MOLFacts]
    ) -> Losses:
        """Return the weighted sum of the losses of class, flow and landmarks, and each of them unweighted."""
        from training_fdp.methods.classification import classification_losses

        names = [name for name in ("flow_targets", "landmark_targets") if name in batch]
        output = model(pixel_values=batch["pixel_values"], **{name: batch[name] for name in names})
        # The cross-entropy is added here, because the model takes hard labels without weights only.
        losses = classification_losses(output.logits, batch["labels"], context.class_weights)
        if output.losses is None:
            return losses
        return {**losses, "loss": losses["loss"] + output.loss, **output.losses}

    def reference(self, config: MOLConfig, batches: Iterable[Mapping[str, torch.Tensor]]) -> torch.Tensor | None:
        """Return the mean landmarks of training clips (`torch.FloatTensor` of shape `(num_landmarks, 2)`)."""
        import torch

        points = [batch["landmark_targets"].flatten(0, 1) for batch in batches] if config.num_landmarks else []
        return torch.cat(points).nanmean(dim=0) if points else None

    def answers(
        self, output: Any, batch: Mapping[str, torch.Tensor], config: MOLConfig, reference: torch.Tensor | None
    ) -> list[Answers]:
        """Return the errors of flow and landmarks beside those of no motion, of TV-L1 and of the mean shape."""
        from training_fdp.methods.mol_quality import flow_quality, landmark_quality

        answers: list[Answers] = [{} for _ in batch["labels"]]
        measured = []
        if output.flow is not None:
            targets, is_exact = batch["flow_targets"], batch["flow_is_exact"]
            measured.append(flow_quality(output.flow, targets, is_exact, batch["pixel_values"], config.flow_reference))
        if output.landmarks is not None:
            measured.append(landmark_quality(output.landmarks, batch["landmark_targets"], reference))
        for kind in measured:
            for clip, values in zip(answers, kind, strict=True):
                clip.update(values)
        return answers

    def shown(self, output: Any, config: MOLConfig, batch: Mapping[str, torch.Tensor] | None = None) -> list[Shown]:
        """Return the mean motion of each frame and the map of the largest motion; a target where the batch has one."""
        from training_fdp.methods.mol_quality import motion_pictures

        if output.flow is None:
            return [Shown() for _ in output.logits]
        shown = []
        # A batch of training clips has targets; one of other clips holds their frames alone.
        truth = None if batch is None else batch.get("flow_targets")
        targets = None if truth is None else motion_pictures(truth)
        for clip, motion in enumerate(motion_pictures(output.flow)):
            pictures = {"motion_map": motion["picture"]}
            if targets is not None:
                pictures["motion_map_target"] = targets[clip]["picture"]
            shown.append(
                Shown(
                    numbers={"largest_motion_px": max(motion["curve"])},
                    curves={"motion_px": motion["curve"]},
                    images=pictures,
                )
            )
        return shown

    def _motion_targets(self, config: MOLConfig) -> MotionTargets:
        from training_fdp.methods.mol_targets import MotionTargets

        folder = self.options.face_model
        return MotionTargets(
            with_flow=config.flow_decoder != "none",
            num_landmarks=config.num_landmarks,
            use_truth=self.options.motion_targets == "exact",
            face_model=None if folder is None else Path(folder).expanduser().resolve(),
        )

    def _prepared(self) -> MotionTargets:
        if self._motion is None:
            raise ConfigError("the motion targets of MOL must be computed before training; call prepare()")
        return self._motion


def network_settings(config: PreTrainedConfig) -> dict[str, object]:
    """Return the settings of a MOL network (`dict`) without those that every network has."""
    from transformers import PreTrainedConfig

    fields = {entry.name for entry in dataclasses.fields(config)} - {
        entry.name for entry in dataclasses.fields(PreTrainedConfig)
    }
    return {name: getattr(config, name) for name in fields}
