"""From a video or a folder of frames to aligned gray frames: the video processor and what it reads and crops with."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .video_processing_fdp import FDPVideoProcessor

__all__ = ["FDPVideoProcessor"]


def __getattr__(name: str) -> Any:
    # Not at import: the corpora list frames and probe videos with files of this package that need no torch.
    if name == "FDPVideoProcessor":
        from .video_processing_fdp import FDPVideoProcessor

        return FDPVideoProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
