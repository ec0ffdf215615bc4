"""Importing this file registers MOL's network and the video processor of its checkpoints."""

from transformers import AutoVideoProcessor

from modeling_mol import MOLConfig
from processing_fdp import FDPVideoProcessor

AutoVideoProcessor.register(MOLConfig, FDPVideoProcessor)
