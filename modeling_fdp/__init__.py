"""The FDP network in Hugging Face form; importing it registers it with auto classes and pipelines."""

from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification

from .answer_fdp import MicroExpressionAnswer
from .configuration_alignment_fdp import FDPAlignmentConfig
from .configuration_fdp import FDPConfig
from .dynamic_image_fdp import dynamic_image, dynamic_image_phases, rank_pooling_weights
from .modeling_alignment_fdp import FDPForVideoTextAlignment, FDPVideoTextAlignmentOutput
from .modeling_fdp import FDPForVideoClassification, FDPModel, FDPPreTrainedModel
from .motion_cnn_fdp import MotionCNNConfig, MotionCNNForVideoClassification
from .outputs_fdp import FDPModelOutput, FDPVideoClassifierOutput
from .pipeline_fdp import FDPVideoClassificationPipeline, MicroExpressionPipeline, register_pipelines

AutoConfig.register(FDPConfig.model_type, FDPConfig)
AutoConfig.register(FDPAlignmentConfig.model_type, FDPAlignmentConfig)
AutoModel.register(FDPConfig, FDPModel)
AutoModel.register(FDPAlignmentConfig, FDPForVideoTextAlignment)
AutoModelForVideoClassification.register(FDPConfig, FDPForVideoClassification)
AutoConfig.register(MotionCNNConfig.model_type, MotionCNNConfig)
AutoModelForVideoClassification.register(MotionCNNConfig, MotionCNNForVideoClassification)
AutoModelForVideoClassification.register(FDPAlignmentConfig, FDPForVideoTextAlignment)
register_pipelines()

__all__ = [
    "FDPAlignmentConfig",
    "FDPConfig",
    "FDPForVideoClassification",
    "FDPForVideoTextAlignment",
    "FDPModel",
    "FDPModelOutput",
    "FDPPreTrainedModel",
    "FDPVideoClassificationPipeline",
    "FDPVideoClassifierOutput",
    "FDPVideoTextAlignmentOutput",
    "MicroExpressionAnswer",
    "MicroExpressionPipeline",
    "MotionCNNConfig",
    "MotionCNNForVideoClassification",
    "dynamic_image",
    "dynamic_image_phases",
    "rank_pooling_weights",
]
