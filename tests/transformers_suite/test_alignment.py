"""transformers' `ModelTesterMixin` on the alignment of clips with sets of action units, for each text tower."""

import unittest
import unittest.mock

import pytest
import torch
from transformers.models.auto import modeling_auto
from transformers.testing_utils import torch_device

pytest.importorskip("transformers_tests", reason="needs transformers' test mixins: make transformers-suite")

from transformers_tests.test_modeling_common import ModelTesterMixin

from modeling_fdp import FDPAlignmentConfig, FDPForVideoTextAlignment
from tests.transformers_suite.test_models import SMALL, WITH_ATTENTION

# Of the mixin's tests of `get_text_features` and `get_video_features`.
FEATURES = "expects input_ids, pixel_values_videos and config.text_config; see tests/modeling_fdp/test_alignment.py"
ALIGNED = {
    "projection_size": 16,
    "emotion_hidden_size": 16,
    "emotion_dropout": 0.0,
    "token_grid_size": 4,
    "text_hidden_size": 16,
    "action_units": ["1", "4", "12"],
    "action_unit_phrases": ["inner brow raiser", "brow lowerer", "lip corner puller"],
    "action_unit_sets": ["1", "4+L12", "0"],
}


class AlignmentTester:
    """A small configuration and clips, by the names that the mixin asks for."""

    batch_size = 2
    is_training = True

    def __init__(self, text_tower: str) -> None:
        self.text_tower = text_tower

    def get_config(self) -> FDPAlignmentConfig:
        size = 8 if self.text_tower == "pretrained" else 0
        settings = {**SMALL, **WITH_ATTENTION, **ALIGNED, "text_tower": self.text_tower, "phrase_vector_size": size}
        return FDPAlignmentConfig.from_preset("tiny", **{**settings, "decoder_size": 4}, num_labels=3)

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        shape = (self.batch_size, config.num_frames, config.num_channels, config.image_size, config.image_size)
        generator = torch.Generator().manual_seed(0)
        return config, {"pixel_values": torch.rand(shape, generator=generator) * 2 - 1}


class AlignmentTests(ModelTesterMixin):
    all_model_classes = (FDPForVideoTextAlignment,)
    # Clips have no tokens whose embeddings could be resized.
    test_resize_embeddings = False
    text_tower: str

    def setUp(self) -> None:
        self.model_tester = AlignmentTester(self.text_tower)
        names = modeling_auto.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES
        patch = unittest.mock.patch.dict(names, {"fdp_alignment": "FDPForVideoTextAlignment"})
        patch.start()
        self.addCleanup(patch.stop)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        """A loss of the emotion alone, the mixin's, leaves the texts out."""
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels:
            inputs["alignment_targets"] = torch.full((self.model_tester.batch_size, 3), 1 / 3, device=torch_device)
        return inputs

    def test_model_get_set_embeddings(self) -> None:
        """Not as the mixin has it, which expects a table of tokens."""
        model = FDPForVideoTextAlignment(self.model_tester.get_config())
        self.assertIsInstance(model.get_input_embeddings(), torch.nn.Conv2d)

    def test_batching_equivalence(self) -> None:
        """Wider than the mixin's 1e-5: it shows noise, whose motion is found by dividing by almost nothing."""
        super().test_batching_equivalence(atol=1e-4, rtol=1e-4)

    @unittest.skip("expects (batch, length, hidden_size); maps are checked by tests/modeling_fdp/test_modeling.py")
    def test_hidden_states_output(self) -> None: ...

    @unittest.skip("expects length x length; keys and values are pooled: tests/modeling_fdp/test_modeling_parts.py")
    def test_attention_outputs(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_text_features_attentions(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_text_features_hidden_states(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_text_features_output_0(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_text_features_output_1(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_text_features_output_2(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_video_features_attentions(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_video_features_hidden_states(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_video_features_output_0(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_video_features_output_1(self) -> None: ...

    @unittest.skip(FEATURES)
    def test_get_video_features_output_2(self) -> None: ...


class TestTable(AlignmentTests, unittest.TestCase):
    text_tower = "table"


class TestTransformer(AlignmentTests, unittest.TestCase):
    text_tower = "transformer"


class TestPretrained(AlignmentTests, unittest.TestCase):
    text_tower = "pretrained"
