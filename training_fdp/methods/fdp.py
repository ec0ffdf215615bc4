"""FDP as a method: here its network and its video processor meet, and are registered together."""

from transformers import AutoVideoProcessor

from modeling_fdp import FDPConfig
from processing_fdp import FDPVideoProcessor

AutoVideoProcessor.register(FDPConfig, FDPVideoProcessor)
