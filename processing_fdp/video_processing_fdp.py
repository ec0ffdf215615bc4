"""The video processor: read, align, gray, resize, sample, normalise."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_utils import BatchFeature
from transformers.video_processing_utils import BaseVideoProcessor
from transformers.video_utils import VideoMetadata

from .clip_alignment_fdp import AlignedClip, AlignmentSettings, align_clip
from .clip_reading_fdp import open_frames
from .frame_files_fdp import is_image_path
from .frame_source_fdp import FrameSource
from .processor_settings_fdp import FDPVideoProcessorKwargs, checked_key_frame, checked_setting
from .video_decoders_fdp import VIDEO_BACKENDS

logger = logging.getLogger(__name__)


# Keys that transformers itself writes into a saved processor.
_SERVICE_KEYS = frozenset({"video_processor_type", "image_processor_type", "processor_class", "auto_map"})


class FDPVideoProcessor(BaseVideoProcessor):
    """Turns face clips into `pixel_values` for the FDP models.

    Every frame is read, turned to gray (ITU-R 601 luma), aligned, resized and rounded once to uint8; sampled frames
    are scaled to [-1, 1] by a fixed rule. Statistics of the clips never enter.

    Args:
        kwargs ([`FDPVideoProcessorKwargs`]): Settings, all saved by `save_pretrained`.

    Example:
    ```python
    >>> import numpy as np
    >>> from processing_fdp import FDPVideoProcessor

    >>> clip = np.zeros((20, 120, 100), dtype=np.uint8)
    >>> FDPVideoProcessor()(clip, return_tensors="pt")["pixel_values"].shape
    torch.Size([1, 16, 1, 64, 64])


    ```
    """

    # Not the library's VideosKwargs: settings such as image_mean would be taken and do nothing.
    valid_kwargs: Any = FDPVideoProcessorKwargs
    model_input_names = ["pixel_values"]  # noqa: RUF012  transformers reads it as a class attribute

    num_frames = 16
    size = {"height": 64, "width": 64}  # noqa: RUF012  as above
    do_sample_frames = True
    return_metadata = False
    alignment = "none"
    alignment_mode = "per_clip"
    crop_scale = 2.5
    landmark_frames = 5
    face: str | int = "largest"
    min_face_score = 0.5
    missing_face = "error"
    registration = "auto"
    landmark_model_path: str | None = None
    landmarks_path: str | None = None
    video_backend = "auto"
    allow_truncated = False
    fast_jpeg = False

    def __init__(self, **kwargs: Any) -> None:
        settings = {key: value for key, value in kwargs.items() if key not in _SERVICE_KEYS}
        self._check_known(settings, FDPVideoProcessorKwargs.__annotations__)
        settings = {key: checked_setting(key, value) for key, value in settings.items()}
        size = settings.get("size")
        if isinstance(size, int):
            settings["size"] = {"height": size, "width": size}
        super().__init__(**settings)
        if self.video_backend not in VIDEO_BACKENDS:
            raise ValueError(f"video_backend is one of {VIDEO_BACKENDS}, but got {self.video_backend!r}; choose one")
        # Wrong settings fail here, not at the first clip.
        self.alignment_settings()

    def alignment_settings(self) -> AlignmentSettings:
        """Collect the settings of the alignment (`AlignmentSettings`)."""
        names = AlignmentSettings.__dataclass_fields__.keys() - {"size_hw"}
        return AlignmentSettings(size_hw=self.size_hw, **{name: getattr(self, name) for name in names})

    @staticmethod
    def _check_known(given: dict[str, Any], known: Any) -> None:
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ValueError(
                f"FDPVideoProcessor takes the keywords {sorted(known)}, but got {unknown}; check the spelling"
            )

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the crops in pixels."""
        return int(self.size["height"]), int(self.size["width"])

    def sample_indices(
        self,
        total: int,
        num_frames: int | None = None,
        onset_index: int | None = None,
        apex_index: int | None = None,
        offset_index: int | None = None,
    ) -> np.ndarray:
        """Choose the frames that the model sees: evenly spaced, both ends included, repeats in short clips.

        A known apex is one of them when at least three are taken; both sides of it stay evenly spaced.

        Args:
            total (`int`): Frames in the clip.
            num_frames (`int`, *optional*): Frames to take; the processor's own number by default.
            onset_index (`int`, *optional*, defaults to 0):
                First frame to take, 0-based. This and the other two may also be whole floats, or NaN where unknown, as
                in tables with gaps.
            apex_index (`int`, *optional*): Frame to include; `None` or -1 where unknown.
            offset_index (`int`, *optional*, defaults to `total - 1`): Last frame to take.

        Returns:
            `np.ndarray` of shape `(num_frames,)`: int64, never decreasing.

        Raises:
            ValueError: If the clip is empty or the indices are out of order.
        """
        count = self.num_frames if num_frames is None else num_frames
        onset = checked_key_frame("onset_index", onset_index)
        apex = checked_key_frame("apex_index", apex_index)
        offset = checked_key_frame("offset_index", offset_index)
        first = 0 if onset is None else onset
        last = total - 1 if offset is None else offset
        apex = None if apex == -1 else apex
        if count < 1 or total < 1:
            raise ValueError(f"sampling takes at least 1 frame of 1, but got {count} of {total}; check num_frames")
        if not 0 <= first <= last < total or not first <= (first if apex is None else apex) <= last:
            raise ValueError(
                f"0 <= onset <= apex <= offset < {total} must hold, but got {first}, {apex}, {last}; "
                "check the coding sheet"
            )
        if apex is None or count < 3 or not first < apex < last:
            if count == 1 and apex is not None:
                return np.array([apex], dtype=np.int64)
            return np.rint(np.linspace(first, last, count)).astype(np.int64)
        middle = min(max(round((apex - first) / (last - first) * (count - 1)), 1), count - 2)
        rising = np.linspace(first, apex, middle + 1)
        falling = np.linspace(apex, last, count - middle)
        return np.rint(np.concatenate([rising, falling[1:]])).astype(np.int64)

    def sample_frames(
        self, metadata: VideoMetadata, num_frames: int | None = None, fps: float | None = None, **_: Any
    ) -> np.ndarray:
        """Choose frames as `sample_indices` does; the library's own sampler never takes the last frame.

        Args:
            metadata (`VideoMetadata`): Tells how many frames there are.
            num_frames (`int`, *optional*): Frames to take; the processor's own number by default.
            fps (`float`, *optional*): Not supported: clips are sampled by number, whatever their rate.

        Returns:
            `np.ndarray` of shape `(num_frames,)`: int64.

        Raises:
            ValueError: If `fps` is given.
        """
        if fps is not None:
            raise ValueError(f"clips are sampled by number, but fps={fps} was given; give num_frames= alone")
        return self.sample_indices(metadata.total_num_frames, num_frames)

    def normalize_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Scale gray values to [-1, 1]: x / 127.5 - 1.

        Args:
            frames (`torch.Tensor` of shape `(..., height, width)`): uint8.

        Returns:
            `torch.Tensor`: float32, same shape.
        """
        return frames.to(torch.float32) / 127.5 - 1.0

    def prepare_clip(
        self,
        source: Any,
        frame_numbers: Sequence[int] | None = None,
        landmarks: Any = None,
        clip_id: str | None = None,
        *,
        input_data_format: str | None = None,
        device: str | torch.device | None = None,
    ) -> torch.Tensor:
        """Read, align and resize all frames of one clip, rounded once to uint8.

        Args:
            source (`Any`): Folder, video file, list of frame paths or images, array or tensor (`open_frames`).
            frame_numbers (`Sequence[int]`, *optional*): 0-based frames of the source that make the clip.
            landmarks (`np.ndarray` of shape `(5, 2)` or `(num_all_frames, 5, 2)`, *optional*):
                Five points (x, y) in pixels: left eye, right eye, nose tip, left and right mouth corner, sides as seen
                in the image. They take the place of whatever `alignment` would find.
            clip_id (`str`, *optional*): What errors call the clip, and its key in a landmark file.
            input_data_format (`str`, *optional*): "channels_first" or "channels_last", for arrays.
            device (`str`, *optional*): Where to resample; the result stays there.

        Returns:
            `torch.Tensor` of shape `(num_all_frames, height, width)`: uint8, gray.

        Raises:
            VideoReadError: If the source cannot be read.
            FaceNotFoundError: If the clip shows no face and `missing_face` is "error".
        """
        return self.align_clip(
            source,
            frame_numbers=frame_numbers,
            landmarks=landmarks,
            clip_id=clip_id,
            input_data_format=input_data_format,
            device=device,
        ).frames

    def align_clip(
        self,
        source: Any,
        frame_numbers: Sequence[int] | None = None,
        landmarks: Any = None,
        clip_id: str | None = None,
        *,
        input_data_format: str | None = None,
        device: str | torch.device | None = None,
    ) -> AlignedClip:
        """Do as `prepare_clip`, and tell the landmarks and transforms as well.

        Args:
            source (`Any`): As in `prepare_clip`, like all other arguments.
            frame_numbers (`Sequence[int]`, *optional*): As above.
            landmarks (`np.ndarray`, *optional*): As above.
            clip_id (`str`, *optional*): As above.
            input_data_format (`str`, *optional*): As above.
            device (`str`, *optional*): As above.

        Returns:
            `AlignedClip`: Crops, landmarks and transforms.
        """
        with self._open(source, frame_numbers, clip_id, input_data_format) as frames:
            return align_clip(frames, self.alignment_settings(), landmarks=landmarks, clip_id=clip_id, device=device)

    def _open(
        self, source: Any, frame_numbers: Sequence[int] | None, clip_id: str | None, input_data_format: str | None
    ) -> FrameSource:
        return open_frames(
            source,
            frame_numbers=frame_numbers,
            backend=self.video_backend,
            allow_truncated=self.allow_truncated,
            fast_jpeg=self.fast_jpeg,
            input_data_format=input_data_format,
            name=clip_id,
        )

    def preprocess(self, videos: Any, **kwargs: Any) -> BatchFeature:
        """Prepare one clip or a batch of clips for the model.

        Args:
            videos (`Any`):
                One clip or a list of clips, each a frame folder, a video file, a list of frame paths, PIL images or
                frames, or an array or tensor (T, H, W), (T, H, W, C) or (T, C, H, W), uint8 or float. A list of paths
                is a batch, unless all of them are images: those are the frames of one clip. A list of 2-D or
                channelled 3-D arrays is one clip. 5-D arrays are batches.
            onset_index, apex_index, offset_index (`int` or `list[int]`, *optional*): Passed to `sample_indices`.
            frame_numbers (`list[int]` or one per clip, *optional*): 0-based frames that make the clip.
            landmarks (`np.ndarray` or one per clip, *optional*): See `prepare_clip`.
            clip_id (`str` or `list[str]`, *optional*): See `prepare_clip`.
            input_data_format (`str`, *optional*): "channels_first" or "channels_last", for arrays.
            device (`str`, *optional*): Where to resample and normalise.
            return_tensors (`str`, *optional*): "pt" or "np" stacks the clips.
            kwargs: Any setting of the processor, for this call only.

        Returns:
            `BatchFeature`: `pixel_values` float32 (batch_size, num_frames, 1, height, width) in [-1, 1], and
            `video_metadata` when `return_metadata` is set.

        Raises:
            VideoReadError: If a clip cannot be read.
            ValueError: If a keyword is unknown, or clips of different lengths are to be stacked.
        """
        self._check_known(kwargs, {**FDPVideoProcessorKwargs.__annotations__, **dict.fromkeys(_CALL_KEYS)})
        call = {key: kwargs.pop(key, None) for key in _CALL_KEYS}
        settings = {key: value for key, value in kwargs.items() if value is not None}
        if any(value != getattr(self, key) for key, value in settings.items()):
            return type(self)(**{**self.to_dict(), **settings}).preprocess(videos, **call)
        clips = split_batch(videos, call["input_data_format"])
        per_clip = {key: _per_clip(key, call[key], len(clips)) for key in _PER_CLIP_KEYS}
        pixel_values, metadata = [], []
        for row, clip in enumerate(clips):
            given = {key: values[row] for key, values in per_clip.items()}
            tensor, info = self._process_clip(clip, call["input_data_format"], call["device"], **given)
            pixel_values.append(tensor)
            metadata.append(info)
        if call["return_tensors"] is not None and len({len(clip) for clip in pixel_values}) > 1:
            lengths = [len(clip) for clip in pixel_values]
            raise ValueError(
                f"clips that are stacked must have one length, but these have {lengths}; "
                "set do_sample_frames=True or leave return_tensors out"
            )
        answer = BatchFeature(data={"pixel_values": pixel_values}, tensor_type=call["return_tensors"])
        if self.return_metadata:
            answer["video_metadata"] = metadata
        return answer

    def _process_clip(
        self,
        clip: Any,
        input_data_format: str | None,
        device: str | torch.device | None,
        onset_index: int | None,
        apex_index: int | None,
        offset_index: int | None,
        frame_numbers: Sequence[int] | None,
        landmarks: Any,
        clip_id: str | None,
    ) -> tuple[torch.Tensor, VideoMetadata]:
        with self._open(clip, frame_numbers, clip_id, input_data_format) as frames:
            if self.do_sample_frames:
                indices = self.sample_indices(
                    frames.frame_count, onset_index=onset_index, apex_index=apex_index, offset_index=offset_index
                )
            else:
                indices = np.arange(frames.frame_count)
            unique, inverse = np.unique(indices, return_inverse=True)
            # Alignment may have later frames decoded smaller.
            height, width = frames.size_hw
            settings = self.alignment_settings()
            aligned = align_clip(frames, settings, unique, landmarks=landmarks, clip_id=clip_id, device=device)
            prepared = aligned.frames[torch.from_numpy(inverse)]
            rate = frames.frames_per_second
            metadata = VideoMetadata(
                total_num_frames=frames.frame_count,
                fps=rate,
                width=width,
                height=height,
                duration=frames.frame_count / rate if rate else None,
                video_backend=frames.backend,
                frames_indices=indices.tolist(),
            )
        # (num_frames, height, width) -> (num_frames, num_channels, height, width)
        return self.normalize_frames(prepared)[:, None], metadata


_PER_CLIP_KEYS = ("onset_index", "apex_index", "offset_index", "frame_numbers", "landmarks", "clip_id")
_CALL_KEYS = (*_PER_CLIP_KEYS, "input_data_format", "device", "return_tensors")


def _per_clip(key: str, value: Any, count: int) -> list[Any]:
    """Spread a call argument over the clips of a batch: one value each, or one for all."""
    if isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "ndim", None) == 0:
        return [value] * count
    depth = np.ndim(next(iter(value))) if len(value) else 0
    # A list of numbers selects frames, an array (5, 2) is one face; (num_frames, 5, 2) is that of the only clip, but
    # (1, 5, 2) is one face per clip, like (2, 5, 2) for two.
    one_clip = count == 1 and isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 3 and len(value) > 1
    if (key == "frame_numbers" and depth == 0) or (key == "landmarks" and (depth == 1 or one_clip)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{key} takes one value per clip, but got {len(value)} for {count} clips; give one for each")
    return list(value)


def split_batch(videos: Any, input_data_format: str | None = None) -> list[Any]:
    """Tell one clip from a batch of clips.

    Args:
        videos (`Any`): As `FDPVideoProcessor.preprocess` describes.
        input_data_format (`str`, *optional*): "channels_first" or "channels_last", for lists of 3-D arrays.

    Returns:
        `list`: One entry per clip.
    """
    if isinstance(videos, np.ndarray | torch.Tensor):
        return list(videos) if videos.ndim == 5 else [videos]
    if not isinstance(videos, list | tuple):
        return [videos]
    if not videos:
        raise ValueError("a batch needs at least one clip, but an empty list was given; give paths or frames")
    if all(isinstance(item, str | os.PathLike) for item in videos):
        return [list(videos)] if all(map(is_image_path, videos)) else list(videos)
    if all(isinstance(item, Image.Image) for item in videos):
        return [list(videos)]
    if all(isinstance(item, np.ndarray | torch.Tensor) for item in videos) and _are_frames(videos, input_data_format):
        return [list(videos)]
    return [clip for item in videos for clip in (list(item) if getattr(item, "ndim", 0) == 5 else [item])]


def _are_frames(arrays: Sequence[Any], input_data_format: str | None) -> bool:
    """Whether a list of arrays holds the frames of one clip: all (H, W), (H, W, C) or, in one shape, (C, H, W)."""
    dimensions = {array.ndim for array in arrays}
    if dimensions == {2}:
        return True
    if dimensions != {3}:
        return False
    if input_data_format is not None:
        return True
    if all(array.shape[2] in (1, 3, 4) for array in arrays):
        return True
    return len({tuple(array.shape) for array in arrays}) == 1 and arrays[0].shape[0] in (1, 3, 4)


FDPVideoProcessor.register_for_auto_class("AutoVideoProcessor")
