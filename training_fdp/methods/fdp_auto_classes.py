"""Importing this file registers FDP's network and the video processor of its checkpoints."""

from transformers import AutoVideoProcessor

from modeling_fdp import FDPConfig
from processing_fdp import FDPVideoProcessor

AutoVideoProcessor.register(FDPConfig, FDPVideoProcessor)
