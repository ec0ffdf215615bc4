"""Pipelines of transformers for FDP checkpoints: classes of clips in batches, and whole answers.

A checkpoint names both in `custom_pipelines` of its config.json and holds a copy of this file.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForVideoClassification, VideoClassificationPipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .answer_fdp import MicroExpressionAnswer
from .clip_answer_fdp import AnswerSettings, make_answer, prepare_clip
from .dynamic_image_fdp import dynamic_image_target

TASK = "micro-expression-recognition"
# Keywords of the video processor that belong to one clip.
CLIP_KEYS = ("onset_index", "apex_index", "offset_index", "frame_numbers", "landmarks", "clip_id", "video_metadata")


class FDPVideoClassificationPipeline(VideoClassificationPipeline):
    """transformers' video-classification pipeline for FDP checkpoints: one list of classes per clip.

    It differs from `VideoClassificationPipeline` in three points: `batch_size` works, because clips are collated as an
    image processor's pictures are; a list of pictures or frames is one clip; `onset_index` and the other keywords of a
    clip are accepted.

    Example:
    ```python
    >>> import numpy as np
    >>> from modeling_fdp import FDPConfig, FDPForVideoClassification
    >>> from processing_fdp import FDPVideoProcessor

    >>> model = FDPForVideoClassification(FDPConfig.from_preset("tiny", num_labels=3))
    >>> classify = FDPVideoClassificationPipeline(model, video_processor=FDPVideoProcessor(alignment="none"))
    >>> clips = [np.zeros((20, 64, 64), dtype=np.uint8), np.zeros((31, 80, 72), dtype=np.uint8)]
    >>> [len(classes) for classes in classify(clips, batch_size=2)]
    [3, 3]

    ```
    """

    # The methods below have other parameters than those of `Pipeline`, as in every pipeline of transformers.
    model: Any
    video_processor: Any
    # Only the video processor is used.
    _load_image_processor: Any = False

    def get_iterator(self, *args: Any, **kwargs: Any) -> Any:
        """As in `Pipeline`, collated as for an image processor: tensors are stacked, all else is put into lists."""
        self.image_processor = self.video_processor
        try:
            return super().get_iterator(*args, **kwargs)
        finally:
            self.image_processor = None

    def _sanitize_parameters(  # type: ignore[override]
        self, top_k: int | None = None, function_to_apply: str | None = None, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        clip = {key: kwargs.pop(key) for key in CLIP_KEYS if kwargs.get(key) is not None}
        _, forward, after = super()._sanitize_parameters(
            top_k=top_k, function_to_apply=function_to_apply, **{k: v for k, v in kwargs.items() if k != "num_frames"}
        )
        if kwargs.get("num_frames") is not None:
            clip["num_frames"] = kwargs["num_frames"]
        return clip, forward, after

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Classify clips.

        Args:
            inputs (`Any`): One clip or a list of clips, in any form that the video processor takes: a video file, a
                folder of frames, a list of pictures, an array or tensor; or a `dict` with `"video"` and keywords of
                this clip (`onset_index`, `apex_index`, `offset_index`, `frame_numbers`, `landmarks`, `clip_id`,
                `video_metadata`). Datasets and generators are answered one by one, as in every pipeline.
            kwargs: `top_k`, `function_to_apply`, `batch_size`, `num_workers`, `num_frames`, and keywords of the clip.

        Returns:
            The answer of one clip, or a list of them.

        Raises:
            ValueError: A clip cannot be read, or is a URL.
        """
        return super().__call__(self._clips(inputs), **kwargs)

    def _clips(self, inputs: Any) -> Any:
        """Clips in the form that `Pipeline` expects: one clip or a list, each a path or a dict with `"video"`."""
        if isinstance(inputs, os.PathLike):
            return os.fspath(inputs)
        if not isinstance(inputs, list | tuple | np.ndarray | torch.Tensor):
            return inputs
        if isinstance(inputs, list | tuple) and any(isinstance(item, Mapping) for item in inputs):
            return list(inputs)
        clips = self.video_processor.split_clips(inputs)
        wrapped = [clip if isinstance(clip, str) else {"video": clip} for clip in clips]
        is_one_clip = len(clips) == 1 and (clips[0] is inputs or _holds(clips[0], inputs))
        return wrapped[0] if is_one_clip else wrapped

    def preprocess(  # type: ignore[override]
        self, video: Any, num_frames: int | None = None, **request: Any
    ) -> dict[str, Any]:
        """One clip -> `pixel_values` in the network's precision."""
        source, request = _with_own_keywords(video, request)
        inputs = self.video_processor(
            source,
            num_frames=num_frames or self.model.config.num_frames,
            do_sample_frames=True,
            return_tensors="pt",
            **request,
        )
        return {"pixel_values": inputs["pixel_values"].to(self.dtype)}

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Save network, code and, unlike `Pipeline`, the video processor.

        Args:
            save_directory (`str` or `os.PathLike`): Folder, made where it does not exist.
            kwargs: As in `PreTrainedModel.save_pretrained`.
        """
        super().save_pretrained(save_directory, **kwargs)
        self.video_processor.save_pretrained(save_directory, **kwargs)


class MicroExpressionPipeline(FDPVideoClassificationPipeline):
    """One [`MicroExpressionAnswer`] per clip, by `pipeline("micro-expression-recognition", ...)`.

    Takes the inputs and keywords of `FDPVideoClassificationPipeline`, and `track_face=False` to leave out blinks and
    turns of the head, for which the face is followed through every frame.

    Example:
    ```python
    >>> import numpy as np
    >>> from modeling_fdp import FDPConfig, FDPForVideoClassification
    >>> from processing_fdp import FDPVideoProcessor

    >>> model = FDPForVideoClassification(FDPConfig.from_preset("tiny", num_labels=3))
    >>> recognize = MicroExpressionPipeline(model, video_processor=FDPVideoProcessor(alignment="none"))
    >>> answer = recognize(np.zeros((20, 64, 64), dtype=np.uint8))
    >>> answer.label, answer.warnings
    ('neutral', ['no clear movement: 0.00 pixels'])

    ```
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = self.model.config.problem_type
        if kind in ("multi_label_classification", "regression"):
            raise ValueError(
                f"an answer names one class per clip, but the network has problem_type={kind!r}; use "
                "pipeline('video-classification')"
            )

    def _sanitize_parameters(  # type: ignore[override]
        self, track_face: bool | None = None, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if unknown := sorted(set(kwargs) - {*CLIP_KEYS, "num_frames"}):
            raise ValueError(
                f"this pipeline takes track_face, num_frames, {', '.join(CLIP_KEYS)}, but got {', '.join(unknown)}; "
                "check the spelling"
            )
        clip, forward, _ = super()._sanitize_parameters(**kwargs)
        return clip if track_face is None else {**clip, "track_face": track_face}, forward, {}

    def preprocess(  # type: ignore[override]
        self, video: Any, num_frames: int | None = None, track_face: bool = True, **request: Any
    ) -> dict[str, Any]:
        """One clip -> `pixel_values`, and the clip for the answer."""
        source, request = _with_own_keywords(video, request)
        prepared = prepare_clip(
            self.video_processor, source, num_frames or self.model.config.num_frames, track_face, **request
        )
        return {"pixel_values": prepared.pixel_values.to(self.dtype), "prepared": prepared}

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        output = self.model(pixel_values=model_inputs["pixel_values"])
        tensors = {name: value for name, value in output.items() if isinstance(value, torch.Tensor)}
        # Without rank scores, as in `FDPForVideoTextAlignment`, there is no dynamic image to compare with.
        if "rank_scores" in tensors:
            tensors["target"] = dynamic_image_target(
                model_inputs["pixel_values"].float(), self.model.config, rank_scores=tensors["rank_scores"].float()
            )
        return {**tensors, "prepared": model_inputs["prepared"]}

    def postprocess(  # type: ignore[override]
        self, model_outputs: dict[str, Any]
    ) -> MicroExpressionAnswer:
        """Output of one clip -> its answer."""
        names = [name for name in ("dynamic_image", "target") if model_outputs.get(name) is not None]
        images = {name: model_outputs[name][0, 0].float().numpy() for name in names}
        return make_answer(model_outputs["prepared"], model_outputs, AnswerSettings.of(self.model.config), images)


def _holds(clip: Any, inputs: Any) -> bool:
    """Whether a clip is the list of frames that was given."""
    return isinstance(clip, list) and len(clip) == len(inputs) and all(map(lambda a, b: a is b, clip, inputs))


def _with_own_keywords(video: Any, request: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The source and the keywords of a clip; keywords of its dict have precedence over those of the call."""
    if not isinstance(video, Mapping):
        return video, dict(request)
    if "video" not in video or set(video) - {"video", *CLIP_KEYS}:
        raise ValueError(
            f"a clip given as a dict has 'video' and any of {', '.join(CLIP_KEYS)}, but got {sorted(video)}; correct "
            "it"
        )
    return video["video"], {**request, **{key: value for key, value in video.items() if key != "video"}}


def register_pipelines() -> None:
    """Registers the task `micro-expression-recognition`, also for networks of installed packages."""
    PIPELINE_REGISTRY.register_pipeline(
        TASK, pipeline_class=MicroExpressionPipeline, pt_model=AutoModelForVideoClassification, type="video"
    )
