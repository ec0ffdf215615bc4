"""FDP in Hugging Face form. Importing this package registers its classes with the auto classes of transformers."""

from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification, AutoVideoProcessor

from .configuration_fdp import FDPConfig
from .dynamic_image_fdp import dynamic_image, dynamic_image_phases, rank_pooling_weights
from .modeling_fdp import (
    FDPForVideoClassification,
    FDPModel,
    FDPModelOutput,
    FDPPreTrainedModel,
    FDPVideoClassifierOutput,
)
from .video_processing_fdp import FDPVideoProcessor

AutoConfig.register(FDPConfig.model_type, FDPConfig)
AutoModel.register(FDPConfig, FDPModel)
AutoModelForVideoClassification.register(FDPConfig, FDPForVideoClassification)
AutoVideoProcessor.register(FDPConfig, FDPVideoProcessor)

__all__ = [
    "FDPConfig",
    "FDPForVideoClassification",
    "FDPModel",
    "FDPModelOutput",
    "FDPPreTrainedModel",
    "FDPVideoClassifierOutput",
    "FDPVideoProcessor",
    "dynamic_image",
    "dynamic_image_phases",
    "rank_pooling_weights",
]
