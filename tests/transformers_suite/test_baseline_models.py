"""transformers' `ModelTesterMixin` on the plain networks, which return logits alone."""

import unittest
import unittest.mock

import pytest
import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto

pytest.importorskip("transformers_tests", reason="needs transformers' test mixins: make transformers-suite")

from transformers_tests.test_modeling_common import ModelTesterMixin

from modeling_baselines import BaselineConfig, BaselineForVideoClassification
from modeling_fdp.motion_cnn_fdp import MotionCNNConfig, MotionCNNForVideoClassification


class PlainModelTester:
    """Small configurations and clips, by the names that the mixin asks for."""

    def __init__(self, config: PreTrainedConfig) -> None:
        self.config = config
        self.batch_size = 2
        self.is_training = True

    def get_config(self) -> PreTrainedConfig:
        return type(self.config)(**self.config.to_diff_dict())

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        shape = (self.batch_size, config.num_frames, 1, config.image_size, config.image_size)
        return config, {"pixel_values": torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1}


class PlainModelTests(ModelTesterMixin):
    # Clips have no tokens whose embeddings could be resized.
    test_resize_embeddings = False
    has_attentions = False
    all_model_classes: tuple[type[PreTrainedModel], ...]
    config: PreTrainedConfig

    def setUp(self) -> None:
        self.model_tester = PlainModelTester(self.config)
        names = modeling_auto.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES
        patch = unittest.mock.patch.dict(names, {self.config.model_type: self.all_model_classes[0].__name__})
        patch.start()
        self.addCleanup(patch.stop)

    @unittest.skip("the networks have no embeddings that another layer could replace")
    def test_model_get_set_embeddings(self) -> None: ...

    @unittest.skip("the networks return logits alone")
    def test_hidden_states_output(self) -> None: ...

    @unittest.skip("the networks return logits alone")
    def test_retain_grad_hidden_states_attentions(self) -> None: ...


class TestRawFrames(PlainModelTests, unittest.TestCase):
    all_model_classes = (BaselineForVideoClassification,)
    config = BaselineConfig(network="raw_cnn", num_frames=4, image_size=16, num_labels=3)


class TestFlow(PlainModelTests, unittest.TestCase):
    all_model_classes = (BaselineForVideoClassification,)
    config = BaselineConfig(network="onset_flow_cnn3d", num_frames=4, image_size=16, num_labels=3)


class TestMotionCNN(PlainModelTests, unittest.TestCase):
    all_model_classes = (MotionCNNForVideoClassification,)
    config = MotionCNNConfig(num_frames=8, image_size=32, num_labels=3)
