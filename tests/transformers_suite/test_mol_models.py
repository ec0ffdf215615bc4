"""transformers' `ModelTesterMixin` on the models of MOL: our reading, and the released one without FlowNetC."""

import unittest
import unittest.mock

import pytest
import torch
from transformers.models.auto import modeling_auto

pytest.importorskip("transformers_tests", reason="needs transformers' test mixins: make transformers-suite")

from transformers_tests.test_modeling_common import ModelTesterMixin

from modeling_mol import MOLConfig, MOLForVideoClassification, MOLModel

SMALL = {
    "num_frames": 4,
    "image_size": 32,
    "stem_channels": [8, 16, 16],
    "stem_kernel_sizes": [3, 3, 1],
    "stem_strides": [2, 2, 1],
    "stem_paddings": [1, 1, 0],
    "num_landmarks": 5,
    "flow_hidden_size": 16,
    "landmark_hidden_size": 16,
    "classifier_hidden_size": 16,
    "classifier_dropout": 0.0,
}
# The mixin knows by these tables which classes have a loss.
AUTO_CLASSES = (
    (modeling_auto.MODEL_MAPPING_NAMES, "MOLModel"),
    (modeling_auto.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES, "MOLForVideoClassification"),
)


class MOLModelTester:
    """Small configurations and clips, by the names that the mixin asks for."""

    def __init__(self, changes: dict) -> None:
        self.changes = changes
        self.batch_size = 2
        self.is_training = True

    def get_config(self) -> MOLConfig:
        return MOLConfig.from_preset("small", **{**SMALL, **self.changes}, num_labels=3)

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        shape = (self.batch_size, config.num_frames, config.num_channels, config.image_size, config.image_size)
        generator = torch.Generator().manual_seed(0)
        return config, {"pixel_values": torch.rand(shape, generator=generator) * 2 - 1}


class MOLModelTests(ModelTesterMixin):
    all_model_classes = (MOLModel, MOLForVideoClassification)
    # Clips have no tokens whose embeddings could be resized.
    test_resize_embeddings = False
    has_attentions = False
    changes: dict

    def setUp(self) -> None:
        self.model_tester = MOLModelTester(self.changes)
        for names, class_name in AUTO_CLASSES:
            patch = unittest.mock.patch.dict(names, {"mol": class_name})
            patch.start()
            self.addCleanup(patch.stop)

    def test_model_get_set_embeddings(self) -> None:
        """Not as the mixin has it, which expects a table of tokens: the input is read by a convolution."""
        for model_class in self.all_model_classes:
            model = model_class(self.model_tester.get_config())
            self.assertIsInstance(model.get_input_embeddings(), torch.nn.Conv2d)
            other = torch.nn.Conv2d(1, 8, 3)
            model.set_input_embeddings(other)
            self.assertIs(model.get_input_embeddings(), other)

    @unittest.skip("expects (batch, length, hidden_size); maps are checked by tests/modeling_mol/test_modeling.py")
    def test_hidden_states_output(self) -> None: ...


class TestSmall(MOLModelTests, unittest.TestCase):
    changes: dict = {}  # noqa: RUF012


class TestReleased(MOLModelTests, unittest.TestCase):
    changes = {  # noqa: RUF012
        "separate_roles": True,
        "flow_reference": "previous",
        "graph_nodes": "positions",
        "released_graph": True,
        "stem_normalization": False,
        "flow_inputs": "frames",
        "flow_loss": "squared",
    }
