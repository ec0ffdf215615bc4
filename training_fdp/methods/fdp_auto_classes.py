"""Where FDP's network and the video processor of its checkpoints meet: importing this file registers both."""

from transformers import AutoVideoProcessor

from modeling_fdp import FDPConfig
from processing_fdp import FDPVideoProcessor

AutoVideoProcessor.register(FDPConfig, FDPVideoProcessor)
