"""Settings of one call of the video processor, and a clip opened and aligned by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .alignment_settings_fdp import AlignmentSettings
from .clip_alignment_fdp import AlignedClip, align_clip
from .clip_reading_fdp import ClipRequest, open_frames
from .frame_source_fdp import FrameSource
from .processor_settings_fdp import checked_setting
from .video_decoders_fdp import VIDEO_BACKENDS


@dataclass(frozen=True)
class CallSettings:
    """Settings of one call: those of the processor, or their replacements; see `FDPVideoProcessorKwargs`."""

    num_frames: int
    do_sample_frames: bool
    return_metadata: bool
    video_backend: str
    allow_truncated: bool
    fast_jpeg: bool
    even_light: bool
    alignment: AlignmentSettings

    def __post_init__(self) -> None:
        """Check `video_backend`, which no other class checks."""
        if self.video_backend not in VIDEO_BACKENDS:
            raise ValueError(f"video_backend is one of {VIDEO_BACKENDS}, but got {self.video_backend!r}; choose one")

    @classmethod
    def of(cls, settings: Mapping[str, Any], mesh_weights: str) -> "CallSettings":
        """Read the settings of a processor.

        Args:
            settings (`Mapping`): Every field of `FDPVideoProcessorKwargs`, as `checked_settings` returns them.
            mesh_weights (`str`): Path of the face mesh weights.

        Raises:
            ValueError: If a setting has an unknown value.
        """
        values = dict(settings)
        size = values.pop("size")
        names = AlignmentSettings.__dataclass_fields__.keys() - {"size_hw", "mesh_weights"}
        alignment = AlignmentSettings(
            size_hw=(int(size["height"]), int(size["width"])),
            mesh_weights=mesh_weights,
            **{name: values.pop(name) for name in names},
        )
        return cls(alignment=alignment, **values)

    def open(self, clip: ClipRequest) -> FrameSource:
        """Open a clip (`FrameSource`); use it as a context manager."""
        return open_frames(
            clip.source,
            frame_numbers=clip.frame_numbers,
            backend=self.video_backend,
            allow_truncated=self.allow_truncated,
            fast_jpeg=self.fast_jpeg,
            input_data_format=clip.input_data_format,
            name=clip.clip_id,
        )

    def align(self, frames: FrameSource, clip: ClipRequest, indices: np.ndarray | None = None) -> AlignedClip:
        """Align an open clip (`AlignedClip`): the frames `indices`, or all of them."""
        return align_clip(
            frames, self.alignment, indices, landmarks=clip.landmarks, clip_id=clip.clip_id, device=clip.device
        )


def checked_settings(settings: Mapping[str, object]) -> dict[str, Any]:
    """Check the type of each setting (`dict`); a size of one number becomes two sides.

    Args:
        settings (`Mapping`): Some fields of `FDPVideoProcessorKwargs`.

    Raises:
        ValueError: If one is of another type.
    """
    checked = {key: checked_setting(key, value) for key, value in settings.items()}
    if isinstance(checked.get("size"), int):
        checked["size"] = {"height": checked["size"], "width": checked["size"]}
    return checked
