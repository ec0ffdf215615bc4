"""Plain networks to compare with, in Hugging Face form; importing it registers them with the auto classes."""

from transformers import AutoConfig, AutoModelForVideoClassification

from .configuration_baselines import BaselineConfig
from .configuration_phase_images_baselines import PhaseImagesConfig
from .modeling_baselines import BaselineForVideoClassification
from .modeling_phase_images_baselines import PhaseImagesForVideoClassification

AutoConfig.register(BaselineConfig.model_type, BaselineConfig)
AutoConfig.register(PhaseImagesConfig.model_type, PhaseImagesConfig)
AutoModelForVideoClassification.register(BaselineConfig, BaselineForVideoClassification)
AutoModelForVideoClassification.register(PhaseImagesConfig, PhaseImagesForVideoClassification)

__all__ = [
    "BaselineConfig",
    "BaselineForVideoClassification",
    "PhaseImagesConfig",
    "PhaseImagesForVideoClassification",
]
