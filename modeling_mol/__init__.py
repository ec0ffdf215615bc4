"""The MOL network in Hugging Face form; importing it registers the network with the auto classes of transformers."""

from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification

from .configuration_mol import MOLConfig
from .modeling_mol import (
    MOLForVideoClassification,
    MOLModel,
    MOLModelOutput,
    MOLPreTrainedModel,
    MOLVideoClassifierOutput,
)

AutoConfig.register(MOLConfig.model_type, MOLConfig)
AutoModel.register(MOLConfig, MOLModel)
AutoModelForVideoClassification.register(MOLConfig, MOLForVideoClassification)

__all__ = [
    "MOLConfig",
    "MOLForVideoClassification",
    "MOLModel",
    "MOLModelOutput",
    "MOLPreTrainedModel",
    "MOLVideoClassifierOutput",
]
