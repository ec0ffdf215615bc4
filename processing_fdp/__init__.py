"""From a video or a folder of frames to aligned gray frames: the video processor, its readers and alignment."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .video_processing_fdp import FDPVideoProcessor

__all__ = ["FDPVideoProcessor"]


def __getattr__(name: str) -> object:
    # Imported lazily, because the corpora use files of this package that need no torch.
    if name == "FDPVideoProcessor":
        from .video_processing_fdp import FDPVideoProcessor

        return FDPVideoProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
