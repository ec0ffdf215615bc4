"""From a video or a folder of frames to aligned gray frames: the video processor and what it reads and crops with."""

from .video_processing_fdp import FDPVideoProcessor

__all__ = ["FDPVideoProcessor"]
