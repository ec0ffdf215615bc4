"""Plain networks to compare with, in Hugging Face form; importing it registers them with the auto classes."""

from transformers import AutoConfig, AutoModelForVideoClassification

from .configuration_baselines import BaselineConfig
from .modeling_baselines import BaselineForVideoClassification

AutoConfig.register(BaselineConfig.model_type, BaselineConfig)
AutoModelForVideoClassification.register(BaselineConfig, BaselineForVideoClassification)

__all__ = ["BaselineConfig", "BaselineForVideoClassification"]
