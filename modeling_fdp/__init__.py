"""The FDP network in Hugging Face form; importing it registers the network with the auto classes of transformers."""

from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification

from .configuration_fdp import FDPConfig
from .dynamic_image_fdp import dynamic_image, dynamic_image_phases, rank_pooling_weights
from .modeling_fdp import (
    FDPForVideoClassification,
    FDPModel,
    FDPModelOutput,
    FDPPreTrainedModel,
    FDPVideoClassifierOutput,
)

AutoConfig.register(FDPConfig.model_type, FDPConfig)
AutoModel.register(FDPConfig, FDPModel)
AutoModelForVideoClassification.register(FDPConfig, FDPForVideoClassification)

__all__ = [
    "FDPConfig",
    "FDPForVideoClassification",
    "FDPModel",
    "FDPModelOutput",
    "FDPPreTrainedModel",
    "FDPVideoClassifierOutput",
    "dynamic_image",
    "dynamic_image_phases",
    "rank_pooling_weights",
]
