"""Phase-aware dynamic images (arXiv 2510.15466): one image of the rise and one of the fall of each movement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.options import option
from training_fdp.methods.base import Answers, LossContext, Losses, Method, NetworkRequest, PublishedWork

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from training_fdp.data.augmentation import AugmentationConfig
    from training_fdp.data.clips import Clip
    from training_fdp.data.followers import Follower

_CITATION = """\
@misc{phaseaware2025,
  title  = {Phase-aware temporal augmentation},
  author = {Khuong and Nguyen, Luu Tu and Le, Thanh Ha and Ngo, Thi Duyen},
  year   = {2025},
  eprint = {2510.15466},
  archivePrefix = {arXiv}
}"""
_IMAGE_TITLES = {"rise": "onset to apex", "fall": "apex to offset", "full": "the whole clip"}


@dataclass
class PhaseImagesOptions:
    """The image network and its images."""

    image_network: Literal["cnn", "resnet18", "vit"] = option("cnn", "Image network, from random weights.")
    phases: Literal["full", "replace", "add", "random"] = option(
        "replace",
        "Dynamic images of a clip: `full`, one; `replace`, onset to apex and apex to offset; `add`, all three; "
        "`random`, one of the two phases per clip and step. Scores are averaged over the images that exist.",
    )
    fall_direction: Literal["reversed", "as_is"] = option(
        "reversed", "`reversed`: apex to offset is summed backwards, so that both phases go from rest to apex."
    )
    apex_source: Literal["sheet", "estimated"] = option(
        "sheet",
        "`sheet`: the coded apex, in training and for held-out clips, and an estimate where the sheet names none or "
        "names an end of the clip; `estimated`: always the estimate, as for a new video.",
    )


class PhaseImages(Method[PhaseImagesOptions, "PreTrainedConfig", None]):
    """An image network on the dynamic images of both phases."""

    name: ClassVar[str] = "phase_images"
    title: ClassVar[str] = "dynamic images of both phases + CNN (told the apex)"
    work: ClassVar[PublishedWork | None] = PublishedWork(
        _CITATION,
        differences=(
            "Only the abstract and summaries were available: coefficients, sizes, the direction of the second image "
            "and the rule for held-out clips are our choice.",
        ),
    )
    model_type: ClassVar[str] = "micro_expression_phase_images"
    options_class: ClassVar[type] = PhaseImagesOptions
    recipe: ClassVar[str] = "baseline"
    learning_fields: ClassVar[frozenset[str]] = frozenset({"phases", "fall_direction"})
    answer_titles: Mapping[str, str] = MappingProxyType(
        {
            **{f"{image}_right": f"accuracy from {title} alone" for image, title in _IMAGE_TITLES.items()},
            "rise_left_out": "share of clips whose rise has too few frames and was left out",
            "fall_left_out": "share of clips whose fall has too few frames and was left out",
            "apex_estimated": "share of clips whose apex was estimated",
            "apex_error": "error of estimated apexes, as a share of the clip's length",
        }
    )

    @classmethod
    def register_auto_classes(cls) -> None:
        """Register the network."""
        import modeling_baselines  # noqa: F401 - importing it registers the network

    @property
    def followers(self) -> Mapping[str, Follower]:
        """`sheet_apex_index` follows no augmentation, because it is found among frames that are drawn already."""
        from training_fdp.data.followers import Follower

        return {"sheet_apex_index": Follower()}

    @property
    def size_name(self) -> str:
        """The image network and its images (`str`)."""
        return f"{self.options.image_network}_{self.options.phases}"

    def configure(self, request: NetworkRequest) -> PreTrainedConfig:
        """Return the settings of the network.

        Raises:
            ConfigError: a setting that it lacks, sizes that it cannot take, or another checkpoint.
        """
        from huggingface_hub.errors import StrictDataclassError

        from modeling_baselines import PhaseImagesConfig

        names = ("image_network", "phases", "fall_direction")
        requested = {**{name: getattr(self.options, name) for name in names}, **request.overrides}
        if unknown := sorted(set(request.overrides) - {"num_frames", "image_size"}):
            raise ConfigError(
                f"{self.name} has no model settings {unknown}; it takes --num_frames, --image_size and its options"
            )
        if request.start is not None:
            self.check_start(request.start, request.start_name, requested)
            requested = {**{name: getattr(request.start, name) for name in ("num_frames", "image_size")}, **requested}
        try:
            return PhaseImagesConfig(**request.labels, **requested)
        except (ValueError, StrictDataclassError) as error:
            raise ConfigError(f"{self.name} cannot be built: {' '.join(str(error).split())}") from None

    def check(self, config: PreTrainedConfig, augmentation: AugmentationConfig) -> None:
        """Refuse augmentation that shows parts or mixtures of clips, because these have no two phases.

        Raises:
            ConfigError: parts of clips, or mixed clips.
        """
        for name in ("phase", "mixup"):
            if getattr(augmentation, name) > 0:
                raise ConfigError(
                    f"--method {self.name} cuts whole clips at their apex, but --augmentation {name}="
                    f"{getattr(augmentation, name)} makes parts or mixtures of clips; add {name}=0 to the augmentation"
                )

    def build(self, config: PreTrainedConfig, fold: None = None) -> PreTrainedModel:
        """Return the untrained network."""
        self.register_auto_classes()
        return super().build(config, fold)

    def targets(
        self,
        clip: Clip,
        indices: NDArray[np.int64],
        config: PreTrainedConfig,
        normalize: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return `sheet_apex_index`, 0-d: the input frame nearest to the coded apex; -1 where the sheet has none.

        An apex that is the first or the last frame of the movement counts as none, because one of the phases would be
        empty.
        """
        import numpy as np
        import torch

        first = 0 if clip.onset is None else clip.onset
        last = len(clip.frames) - 1 if clip.offset is None else clip.offset
        if clip.apex is None or not first < clip.apex < last:
            return {"sheet_apex_index": torch.tensor(-1)}
        return {"sheet_apex_index": torch.tensor(int(np.abs(indices - clip.apex).argmin()))}

    def inputs(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return frames and, where the sheet may be read, the apex."""
        inputs = {"pixel_values": batch["pixel_values"]}
        if self.options.apex_source == "sheet" and "sheet_apex_index" in batch:
            inputs["apex_index"] = batch["sheet_apex_index"]
        return inputs

    def losses(
        self, model: nn.Module, batch: Mapping[str, torch.Tensor], context: LossContext[PreTrainedConfig, None]
    ) -> Losses:
        """Return the cross-entropy, a mean over the images of each clip and then over clips."""
        output = model(**self.inputs(batch), labels=batch["labels"], class_weights=context.class_weights)
        return {"loss": output.loss, "classification": output.loss}

    def answers(
        self, output: Any, batch: Mapping[str, torch.Tensor], config: PreTrainedConfig, reference: torch.Tensor | None
    ) -> list[Answers]:
        """Return whether each image alone names the class, which were left out, and the error of an estimated apex."""
        right = output.phase_logits.argmax(dim=-1) == batch["labels"][:, None]
        coded = batch["sheet_apex_index"]
        error = (output.apex_index - coded).abs() / (config.num_frames - 1)
        answers: list[Answers] = []
        for clip, exists in enumerate(output.phase_exists.tolist()):
            images = dict(zip(_IMAGE_TITLES, exists, strict=True))
            found = {f"{name}_right": float(right[clip, at]) for at, name in enumerate(images) if images[name]}
            found |= {f"{name}_left_out": float(not images[name]) for name in ("rise", "fall")}
            is_coded = bool(coded[clip] >= 0)
            found["apex_estimated"] = float(self.options.apex_source == "estimated" or not is_coded)
            if found["apex_estimated"] and is_coded:
                found["apex_error"] = float(error[clip])
            answers.append(found)
        return answers
