"""The plain networks of `modeling_baselines` as methods, and `motion_cnn`, which reads FDP's motion channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from evaluation_fdp.errors import ConfigError
from training_fdp.methods.base import Method, NetworkRequest, NoOptions
from training_fdp.methods.fdp import FDPMethod

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig, PreTrainedModel

    from processing_fdp.video_processing_fdp import FDPVideoProcessor
    from training_fdp.data.augmentation import AugmentationConfig
    from training_fdp.data.clips import Clip, Clips
    from training_fdp.data.followers import Follower


class BaselineMethod(Method[NoOptions, "PreTrainedConfig", None]):
    """A plain network that predicts the class alone."""

    version: ClassVar[int] = 3
    model_type: ClassVar[str] = "micro_expression_baseline"
    recipe: ClassVar[str] = "baseline"

    @classmethod
    def register_auto_classes(cls) -> None:
        """Register the plain networks."""
        import modeling_baselines  # noqa: F401 - importing it registers them

    def configure(self, request: NetworkRequest) -> PreTrainedConfig:
        """Return the settings of the network.

        Raises:
            ConfigError: a setting that it lacks, sizes that it cannot take, or another checkpoint.
        """
        from huggingface_hub.errors import StrictDataclassError

        from modeling_baselines import BaselineConfig

        known: dict[str, Any] = {"network": self.name}
        if request.start is not None:
            self.check_start(request.start, request.start_name, {**known, **request.overrides})
            known = {name: getattr(request.start, name) for name in ("network", "num_frames", "image_size")}
        if unknown := sorted(set(request.overrides) - {"num_frames", "image_size"}):
            raise ConfigError(f"{self.name} has no settings {unknown}; it takes --num_frames and --image_size alone")
        try:
            return BaselineConfig(**request.labels, **{**known, **request.overrides})
        except (ValueError, StrictDataclassError) as error:
            raise ConfigError(f"{self.name} cannot be built: {' '.join(str(error).split())}") from None

    def build(self, config: PreTrainedConfig, fold: None = None) -> PreTrainedModel:
        """Return the untrained network."""
        self.register_auto_classes()
        return super().build(config, fold)


class AppearanceCNN(BaselineMethod):
    """A CNN on one still frame: appearance without motion."""

    name: ClassVar[str] = "appearance_cnn"
    title: ClassVar[str] = "one still frame + CNN"


class RawCNN(BaselineMethod):
    """A CNN on the frames, stacked as channels."""

    name: ClassVar[str] = "raw_cnn"
    title: ClassVar[str] = "raw frames + CNN"


class DifferenceCNN(BaselineMethod):
    """A CNN on the frames minus the first one."""

    name: ClassVar[str] = "difference_cnn"
    title: ClassVar[str] = "frames minus the first + CNN"


class AugmentedDifferenceCNN(DifferenceCNN):
    """`difference_cnn` trained with FDP's augmentation, so that FDP differs from it in the architecture alone."""

    name: ClassVar[str] = "augmented_difference_cnn"
    title: ClassVar[str] = "frames minus the first + CNN, augmented as FDP"
    recipe: ClassVar[str] = "baseline_augmented"

    def configure(self, request: NetworkRequest) -> PreTrainedConfig:
        """Return the settings of the network, which is that of `difference_cnn`."""
        return DifferenceCNN(self.options).configure(request)


class DynamicImageResNet18(BaselineMethod):
    """A ResNet-18 on the dynamic image of the frames."""

    name: ClassVar[str] = "dynamic_image_resnet18"
    title: ClassVar[str] = "dynamic image + ResNet-18"


class VideoMAE(BaselineMethod):
    """A VideoMAE of `tiny` size from scratch; it needs three times the epochs of the other baselines."""

    name: ClassVar[str] = "videomae"
    title: ClassVar[str] = "VideoMAE, tiny, from scratch"
    recipe: ClassVar[str] = "baseline_videomae"


class OnsetFlowCNN3d(BaselineMethod):
    """A 3-D CNN on the TV-L1 flow from the first frame to every later one, which is estimated once per run."""

    name: ClassVar[str] = "onset_flow_cnn3d"
    title: ClassVar[str] = "flow from the first frame + 3-D CNN"

    def __init__(self, options: NoOptions) -> None:
        super().__init__(options)
        self._flows: dict[str, torch.Tensor] = {}

    @property
    def followers(self) -> Mapping[str, Follower]:
        """Augmentation of the flow, a field of vectors."""
        from training_fdp.data.followers import FlowField

        return {"flow": FlowField()}

    def check(self, config: PreTrainedConfig, augmentation: AugmentationConfig) -> None:
        """Refuse frames drawn at random, because their flow is not precomputed.

        Raises:
            ConfigError: an augmentation in time.
        """
        if augmentation.is_temporal:
            raise ConfigError(
                f"{self.name} estimates flow once per clip, before training, but --augmentation draws other frames "
                "each time; add time_jitter=0,speed=0,phase=0 to the augmentation"
            )

    def prepare(self, clips: Clips, config: PreTrainedConfig, processor: FDPVideoProcessor) -> None:
        """Estimate the flow of every clip."""
        import torch

        from modeling_baselines.modeling_baselines import onset_flow

        for row in range(len(clips)):
            clip = clips[row]
            frames = clip.frames
            indices = processor.sample_indices(
                len(frames), num_frames=config.num_frames, onset_index=clip.onset, offset_index=clip.offset
            )
            sampled = processor.normalize_frames(frames[torch.from_numpy(indices)])
            self._flows[clip.clip_id] = onset_flow(sampled[None])[0].half()

    def targets(
        self,
        clip: Clip,
        indices: NDArray[np.int64],
        config: PreTrainedConfig,
        normalize: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return `flow` `(2, num_frames - 1, height, width)` in pixels."""
        return {"flow": self._flows[clip.clip_id].float()}

    def inputs(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return frames and, where it was precomputed, flow."""
        return {name: batch[name] for name in ("pixel_values", "flow") if name in batch}


class MotionCNN(BaselineMethod):
    """FDP's motion channels and augmentation with a plain network, to measure what the rest of FDP adds."""

    name: ClassVar[str] = "motion_cnn"
    title: ClassVar[str] = "FDP's motion channels + CNN, augmented as FDP"
    # Also raised with FDP's version, because its input is FDP's.
    version: ClassVar[int] = 10 * FDPMethod.version + BaselineMethod.version
    model_type: ClassVar[str] = "fdp_motion_cnn"
    recipe: ClassVar[str] = "baseline_augmented"

    @classmethod
    def register_auto_classes(cls) -> None:
        """Register the network."""
        import modeling_fdp  # noqa: F401 - importing it registers it

    def configure(self, request: NetworkRequest) -> PreTrainedConfig:
        """Return the settings of the network.

        Raises:
            ConfigError: a setting that it lacks, too few frames, or another checkpoint.
        """
        from modeling_fdp import MotionCNNConfig
        from modeling_fdp.configuration_encoder_fdp import MOTION_LEAST_FRAMES

        sizes: dict[str, Any] = dict(request.overrides)
        if unknown := sorted(set(sizes) - {"num_frames", "image_size"}):
            raise ConfigError(f"{self.name} has no settings {unknown}; it takes --num_frames and --image_size alone")
        if request.start is not None:
            self.check_start(request.start, request.start_name, sizes)
            sizes = {name: getattr(request.start, name) for name in ("num_frames", "image_size")}
        config = MotionCNNConfig(**request.labels, **sizes)
        if config.num_frames < MOTION_LEAST_FRAMES:
            raise ConfigError(
                f"{self.name} separates a pulse from drift, which takes {MOTION_LEAST_FRAMES} frames or more, but "
                f"--num_frames is {config.num_frames}; give more"
            )
        return config
