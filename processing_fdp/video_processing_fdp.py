"""The video processor: read, align, gray, resize, sample, normalise."""

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import cached_file
from transformers.video_processing_utils import BaseVideoProcessor
from transformers.video_utils import VideoMetadata

from .call_settings_fdp import CallSettings, checked_settings
from .clip_alignment_fdp import AlignedClip
from .clip_batches_fdp import split_batch, spread_argument
from .clip_landmarks_fdp import MissingFaceWarning, follow_face
from .clip_metadata_fdp import (
    ClipMetadata,
    FrameTimes,
    clip_warnings,
    frames_at_rate,
    read_times,
    spread_frames,
    spread_metadata,
)
from .clip_reading_fdp import ClipBatch, ClipRequest, ClipSource
from .even_light_fdp import even_light, light_warnings
from .face_networks_fdp import NOTICE_NAMES, WEIGHTS_NAME, copy_weights, packaged_weights
from .face_track_fdp import FaceTrack
from .frame_listing_fdp import LeftOutFramesWarning, MissingFramesWarning
from .processor_settings_fdp import FDPVideoProcessorKwargs, checked_key_frame
from .video_probe_fdp import TruncatedVideoWarning, UnshownFramesWarning

# Keys that transformers writes into a saved processor.
_SERVICE_KEYS = frozenset({"video_processor_type", "image_processor_type", "processor_class", "auto_map"})


@contextlib.contextmanager
def warn_in_metadata_only() -> Iterator[None]:
    """Withhold the Python warnings whose sentences are in `FrameSource.notes` or `ClipMetadata.warnings` as well."""
    with warnings.catch_warnings():
        for category in (
            MissingFaceWarning,
            LeftOutFramesWarning,
            MissingFramesWarning,
            TruncatedVideoWarning,
            UnshownFramesWarning,
        ):
            warnings.simplefilter("ignore", category)
        yield


class FDPVideoProcessor(BaseVideoProcessor):
    """Turns face clips into `pixel_values` for the FDP models.

    Every frame is read, turned to gray (ITU-R 601 luma), aligned, resized and rounded once to uint8; sampled frames
    are scaled to [-1, 1] by a fixed rule, without statistics of the clips.

    Args:
        kwargs ([`FDPVideoProcessorKwargs`]): Settings, all saved by `save_pretrained`.

    Example:
    ```python
    >>> import numpy as np
    >>> from processing_fdp import FDPVideoProcessor

    >>> clip = np.zeros((20, 120, 100), dtype=np.uint8)
    >>> FDPVideoProcessor(alignment="none")(clip, return_tensors="pt")["pixel_values"].shape
    torch.Size([1, 16, 1, 64, 64])


    ```
    """

    # Not the library's VideosKwargs: settings like image_mean would be accepted without effect.
    valid_kwargs = FDPVideoProcessorKwargs  # type: ignore[assignment]
    model_input_names = ["pixel_values"]  # noqa: RUF012  transformers reads it as a class attribute

    num_frames = 16
    size = {"height": 64, "width": 64}  # noqa: RUF012  as above
    do_sample_frames = True
    return_metadata = False
    alignment = "auto"
    alignment_mode = "per_clip"
    crop_scale = 2.5
    landmark_frames = 5
    face: str | int = "largest"
    min_face_score = 0.5
    missing_face = "error"
    registration = "auto"
    even_light = False
    landmark_model_path: str | None = None
    landmarks_path: str | None = None
    video_backend = "auto"
    allow_truncated = False
    fast_jpeg = False

    def __init__(self, **kwargs: Any) -> None:
        settings = {key: value for key, value in kwargs.items() if key not in _SERVICE_KEYS}
        self._check_known(settings, FDPVideoProcessorKwargs.__annotations__)
        super().__init__(**checked_settings(settings))
        # Path of the face mesh weights: those of the package, or those beside a checkpoint loaded without it.
        self._mesh_weights = packaged_weights()
        # Raises for wrong settings now, not at the first clip.
        self.call_settings()

    def call_settings(self, **replaced: Any) -> CallSettings:
        """Collect the settings of one call.

        Args:
            replaced: Settings that this call replaces; `None` keeps the processor's own.

        Returns:
            `CallSettings`: Checked.

        Raises:
            ValueError: If a setting is of the wrong type or unknown.
        """
        given = {name: value for name, value in replaced.items() if value is not None}
        self._check_known(given, FDPVideoProcessorKwargs.__annotations__)
        saved = {name: getattr(self, name) for name in FDPVideoProcessorKwargs.__annotations__}
        return CallSettings.of({**saved, **checked_settings(given)}, self._mesh_weights)

    @classmethod
    # transformers lists each keyword; all are passed on here.
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Any:
        """Load a saved processor; its face mesh weights are fetched where this package is not installed.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder, settings file or repository.
            kwargs: As in `BaseVideoProcessor.from_pretrained`.

        Returns:
            `FDPVideoProcessor`: As it was saved; with `return_unused_kwargs=True`, beside the unused keywords.
        """
        keys = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
        hub_arguments = {key: kwargs[key] for key in keys if kwargs.get(key) is not None}
        loaded = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        processor = loaded[0] if isinstance(loaded, tuple) else loaded
        if not os.path.isfile(processor._mesh_weights):
            source = os.fspath(pretrained_model_name_or_path)
            source = os.path.dirname(source) if os.path.isfile(source) else source
            paths = [
                cached_file(source, name, _raise_exceptions_for_missing_entries=False, **hub_arguments)
                for name in (WEIGHTS_NAME, *NOTICE_NAMES)
            ]
            processor._mesh_weights = paths[0] or processor._mesh_weights
        return loaded

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> list[str]:
        """Save the settings, the code, and the weights of the face mesh with their licence.

        Args:
            save_directory (`str` or `os.PathLike`): Folder, made where it does not exist.
            push_to_hub (`bool`, *optional*, defaults to `False`): Upload what was saved.
            kwargs: As in `PushToHubMixin.push_to_hub`.

        Returns:
            `list[str]`: The settings file and the files of the face mesh, where there are any.
        """
        saved = list(super().save_pretrained(save_directory, **kwargs))
        saved += copy_weights(self._mesh_weights, save_directory)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", os.path.basename(os.path.normpath(save_directory))), **kwargs)
        return saved

    def to_dict(self) -> dict[str, Any]:
        """Settings as they are saved, without the local path of the face mesh weights."""
        settings: dict[str, Any] = super().to_dict()
        settings.pop("_mesh_weights", None)
        return settings

    @staticmethod
    def _check_known(given: Iterable[str], known: Iterable[str]) -> None:
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
        times: FrameTimes | None = None,
    ) -> np.ndarray:
        """Choose the model's input frames: evenly spaced, both ends included, repeats in short clips.

        A known apex is one of them when at least three are taken; both sides of it stay evenly spaced.

        Args:
            total (`int`): Frames in the clip.
            num_frames (`int`, *optional*): Frames to take; the processor's `num_frames` by default.
            onset_index (`int`, *optional*, defaults to 0):
                First frame to take, 0-based. This and the other two may also be whole floats, or NaN where unknown, as
                in tables with gaps.
            apex_index (`int`, *optional*): Frame to include; `None` or -1 where unknown.
            offset_index (`int`, *optional*, defaults to `total - 1`): Last frame to take.
            times (`FrameTimes`, *optional*):
                Times of the frames; where frames of the recording are missing, the chosen ones are evenly spaced in
                time. By default they are evenly spaced by number.

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
        times = FrameTimes() if times is None else times
        if count < 1 or total < 1:
            raise ValueError(f"sampling takes at least 1 frame of 1, but got {count} of {total}; check num_frames")
        if not 0 <= first <= last < total or not first <= (first if apex is None else apex) <= last:
            raise ValueError(
                f"0 <= onset <= apex <= offset < {total} must hold, but got {first}, {apex}, {last}; "
                "check the coding sheet"
            )
        return spread_frames(first, apex, last, count, times)

    def sample_frames(
        self, metadata: VideoMetadata, num_frames: int | None = None, fps: float | None = None, **_: Any
    ) -> np.ndarray:
        """Choose frames as `sample_indices` does; the library's own sampler never takes the last frame.

        Args:
            metadata (`VideoMetadata`): Number of frames, and their times.
            num_frames (`int`, *optional*): Frames to take; the processor's `num_frames` by default.
            fps (`float`, *optional*): Frames per second to take, in place of `num_frames`.

        Returns:
            `np.ndarray` of shape `(num_frames,)`: int64.

        Raises:
            ValueError: If both are given, or `fps` is and `metadata` has no rate.
        """
        indices = metadata.frames_indices
        total = metadata.total_num_frames if indices is None else len(indices)
        times = read_times(metadata, total, None, "video")
        return self._choose(total, times, num_frames, fps, "video")

    def _choose(
        self,
        total: int,
        times: FrameTimes,
        num_frames: int | None,
        fps: float | None,
        clip: str,
        **key_frames: int | None,
    ) -> np.ndarray:
        if fps is not None:
            if num_frames is not None:
                raise ValueError(
                    f"num_frames and fps both say how many frames to take, but {num_frames} and {fps} were given; "
                    "leave one out"
                )
            num_frames = frames_at_rate(total, times, fps, clip)
        return self.sample_indices(total, num_frames, **key_frames, times=times)

    def normalize_frames(self, frames: torch.Tensor, even: bool | None = None) -> torch.Tensor:
        """Scale gray values to [-1, 1]: x / 127.5 - 1, after `even_light` where that is set.

        Args:
            frames (`torch.Tensor` of shape `(..., height, width)`): uint8; with `even_light` the sampled frames of
                clips, of shape `(..., num_frames, height, width)`.
            even (`bool`, *optional*): Replaces the setting `even_light`.

        Returns:
            `torch.Tensor`: float32, same shape.
        """
        levels = even_light(frames) if (self.even_light if even is None else even) else frames.to(torch.float32)
        return levels / 127.5 - 1.0

    def align_clip(
        self, source: ClipSource | ClipRequest, indices: np.ndarray | None = None, **request: Any
    ) -> AlignedClip:
        """Read, align and resize the frames of one clip, rounded once to uint8.

        Args:
            source (`str`, `os.PathLike`, `list`, `np.ndarray`, `PIL.Image.Image`, `torch.Tensor` or `ClipRequest`):
                What to read, or a whole [`ClipRequest`].
            indices (`np.ndarray` of shape `(count,)`, *optional*):
                Frames to return, rising, 0-based in the clip; all by default. They equal those of the whole clip.
            request: The other fields of [`ClipRequest`]: `frame_numbers`, `landmarks`, `clip_id`, `input_data_format`,
                `device`. Key frames are ignored here.

        Returns:
            `AlignedClip`: `frames` uint8 (num_frames, height, width), gray, and the landmarks and transforms of the
                crops.

        Raises:
            VideoReadError: If the source cannot be read.
            FaceNotFoundError: If the clip shows no face and `missing_face` is "error".
        """
        clip = source if isinstance(source, ClipRequest) else ClipRequest(source, **request)
        settings = self.call_settings()
        with settings.open(clip) as frames:
            return settings.align(frames, clip, indices)

    def follow_face(self, source: ClipSource | ClipRequest, **request: Any) -> FaceTrack:
        """Track the face through all frames of a clip with the face mesh, independent of `alignment`.

        Args:
            source (`str`, `os.PathLike`, `list`, `np.ndarray`, `PIL.Image.Image`, `torch.Tensor` or `ClipRequest`):
                What to read, or a whole [`ClipRequest`].
            request: The other fields of [`ClipRequest`]; see `align_clip`.

        Returns:
            `FaceTrack`: Points of the face in each frame, head pose, opening of eyes and mouth.

        Raises:
            VideoReadError: If the source cannot be read.
        """
        clip = source if isinstance(source, ClipRequest) else ClipRequest(source, **request)
        settings = self.call_settings()
        with settings.open(clip) as frames:
            return follow_face(frames, settings.alignment)

    def split_clips(self, videos: ClipBatch, input_data_format: str | None = None) -> list[Any]:
        """Split what a call takes into its clips.

        Args:
            videos (`Any`): As `preprocess` describes.
            input_data_format (`str`, *optional*): "channels_first" or "channels_last", for lists of 3-D arrays.

        Returns:
            `list`: One entry per clip, each of which is one clip when given alone.
        """
        return split_batch(videos, input_data_format)

    def preprocess(self, videos: ClipBatch, **kwargs: Any) -> BatchFeature:
        """Prepare one clip or a batch of clips for the model.

        Args:
            videos (`str`, `os.PathLike`, `list`, `np.ndarray`, `PIL.Image.Image` or `torch.Tensor`):
                One clip or a list of clips, each a frame folder, a video file, a list of frame paths, PIL images or
                frames, or an array or tensor (T, H, W), (T, H, W, C) or (T, C, H, W), uint8 or float. A list of paths
                is a batch, unless all of them are single images: those are the frames of one clip. A list of 2-D or
                channelled 3-D arrays is one clip. 5-D arrays are batches.
            onset_index, apex_index, offset_index (`int` or `list[int]`, *optional*): Passed to `sample_indices`.
            frame_numbers (`list[int]` or one per clip, *optional*): 0-based frames that make the clip.
            landmarks (`np.ndarray` or one per clip, *optional*): See [`ClipRequest`].
            clip_id (`str` or `list[str]`, *optional*): See [`ClipRequest`].
            video_metadata (`dict`, `VideoMetadata` or a list of them, nested or flat, *optional*):
                `fps`, `duration`, `total_num_frames` and `frames_indices` of each clip, as in other video processors.
                With `frames_indices`, the numbers of the given frames in their recording, frames are chosen evenly in
                time, and the returned metadata is that of the recording.
            fps (`float`, *optional*): Frames per second to take, in place of `num_frames`.
            input_data_format (`str`, *optional*): "channels_first" or "channels_last", for arrays.
            device (`str`, *optional*): Device of resampling and normalisation.
            return_tensors (`str`, *optional*): "pt" or "np" stacks the clips.
            kwargs: Any setting of the processor, for this call only.

        Returns:
            `BatchFeature`: `pixel_values` float32 (batch_size, num_frames, 1, height, width) in [-1, 1], and
            `video_metadata`, a list of [`ClipMetadata`], when `return_metadata` is set; with `warnings` that make a
            prediction doubtful, which are not issued as Python warnings then.

        Raises:
            VideoReadError: If a clip cannot be read.
            ValueError: If a keyword is unknown, or clips of different lengths are to be stacked.
        """
        self._check_known(kwargs, {**FDPVideoProcessorKwargs.__annotations__, **dict.fromkeys(_CALL_KEYS)})
        call = {key: kwargs.pop(key, None) for key in _CALL_KEYS}
        settings = self.call_settings(**kwargs)
        clips = self.split_clips(videos, call["input_data_format"])
        per_clip = {key: spread_argument(key, call[key], len(clips)) for key in _PER_CLIP_KEYS}
        per_clip["video_metadata"] = spread_metadata(call["video_metadata"], len(clips))
        pixel_values, metadata = [], []
        for row, source in enumerate(clips):
            given = {key: values[row] for key, values in per_clip.items()}
            known = given.pop("video_metadata")
            clip = ClipRequest(source, **given, input_data_format=call["input_data_format"], device=call["device"])
            # Said once: whoever takes the metadata shows their warnings.
            with warn_in_metadata_only() if settings.return_metadata else contextlib.nullcontext():
                tensor, info = self._process_clip(clip, settings, known, kwargs.get("num_frames"), call["fps"])
            pixel_values.append(tensor)
            metadata.append(info)
        if call["return_tensors"] is not None and len({len(clip) for clip in pixel_values}) > 1:
            lengths = [len(clip) for clip in pixel_values]
            raise ValueError(
                f"clips that are stacked must have one length, but these have {lengths}; "
                "set do_sample_frames=True or leave return_tensors out"
            )
        answer = BatchFeature(data={"pixel_values": pixel_values}, tensor_type=call["return_tensors"])
        if settings.return_metadata:
            answer["video_metadata"] = metadata
        return answer

    def _process_clip(
        self,
        clip: ClipRequest,
        settings: CallSettings,
        known: Mapping[str, object] | None,
        num_frames: int | None,
        fps: float | None,
    ) -> tuple[torch.Tensor, ClipMetadata]:
        with settings.open(clip) as frames:
            count = frames.frame_count
            times = read_times(known, count, frames.frames_per_second, clip.clip_id or frames.name)
            if settings.do_sample_frames:
                indices = self._choose(
                    count,
                    times,
                    num_frames if fps is not None else settings.num_frames,
                    fps,
                    clip.clip_id or frames.name,
                    onset_index=clip.onset_index,
                    apex_index=clip.apex_index,
                    offset_index=clip.offset_index,
                )
            else:
                indices = np.arange(count)
            unique, inverse = np.unique(indices, return_inverse=True)
            # The alignment may set later frames to be decoded smaller.
            size_hw = frames.size_hw
            aligned = settings.align(frames, clip, unique)
            prepared = aligned.frames[torch.from_numpy(inverse)]
            metadata = ClipMetadata.of(
                times,
                count,
                indices,
                size_hw=size_hw,
                video_backend=frames.backend,
                face=aligned.report,
                warnings=[
                    *frames.notes,
                    *clip_warnings(
                        count, times, size_hw, settings.alignment.size_hw, int(indices[0]), int(indices[-1])
                    ),
                    *aligned.report.warnings(),
                    *(light_warnings(prepared) if settings.even_light else []),
                ],
            )
        # (num_frames, height, width) -> (num_frames, num_channels, height, width)
        return self.normalize_frames(prepared, settings.even_light)[:, None], metadata


_PER_CLIP_KEYS = ("onset_index", "apex_index", "offset_index", "frame_numbers", "landmarks", "clip_id")
_CALL_KEYS = (*_PER_CLIP_KEYS, "video_metadata", "fps", "input_data_format", "device", "return_tensors")


FDPVideoProcessor.register_for_auto_class("AutoVideoProcessor")  # type: ignore[no-untyped-call]
