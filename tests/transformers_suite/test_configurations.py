"""transformers' `ConfigTester` on the configurations."""

import unittest

import pytest

pytest.importorskip("transformers_tests", reason="needs transformers' test mixins: make transformers-suite")

from transformers_tests.test_configuration_common import ConfigTester

from modeling_fdp import FDPConfig
from modeling_mol import MOLConfig


class TestFDPConfig(unittest.TestCase):
    def test_common(self) -> None:
        properties = ["num_channels", "num_frames", "image_size", "hidden_sizes", "initializer_range"]
        tester = ConfigTester(self, FDPConfig, has_text_modality=False, common_properties=properties, image_size=96)
        tester.run_common_tests()


class TestMOLConfig(unittest.TestCase):
    def test_common(self) -> None:
        properties = ["num_channels", "num_frames", "image_size", "hidden_size", "initializer_range"]
        tester = ConfigTester(self, MOLConfig, has_text_modality=False, common_properties=properties, image_size=96)
        tester.run_common_tests()
