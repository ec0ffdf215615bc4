"""transformers' `VideoProcessingTestMixin` on the video processor of FDP."""

import tempfile
import unittest

import pytest
from transformers import AutoVideoProcessor
from transformers.video_utils import VideoMetadata

pytest.importorskip("transformers_tests", reason="needs transformers' test mixins: make transformers-suite")

from transformers_tests.test_video_processing_common import VideoProcessingTestMixin, prepare_video_inputs

from processing_fdp import FDPVideoProcessor


def settings_of(processor: FDPVideoProcessor) -> dict:
    """What a processor does; saving adds which files hold its code."""
    return {name: value for name, value in processor.to_dict().items() if name != "auto_map"}


class FDPVideoProcessorTester:
    """Small clips and the shape they become, by the names that the mixin asks for."""

    batch_size, num_frames, num_channels = 3, 6, 3

    def expected_output_video_shape(self, videos) -> tuple[int, ...]:
        return 5, 1, 18, 18

    def prepare_video_inputs(self, equal_resolution: bool = False, return_tensors: str = "pil") -> list:
        return prepare_video_inputs(
            batch_size=self.batch_size,
            num_frames=self.num_frames,
            num_channels=self.num_channels,
            min_resolution=20,
            max_resolution=40,
            equal_resolution=equal_resolution,
            return_tensors=return_tensors,
        )


class TestFDPVideoProcessor(VideoProcessingTestMixin, unittest.TestCase):
    fast_video_processing_class = FDPVideoProcessor
    input_name = "pixel_values"
    test_cast_dtype = True
    video_processor_dict = {"num_frames": 5, "alignment": "none", "size": {"height": 18, "width": 18}}  # noqa: RUF012  as the mixin reads it

    def setUp(self) -> None:
        super().setUp()
        self.video_processor_tester = FDPVideoProcessorTester()

    def test_video_processor_from_dict_with_kwargs(self) -> None:
        """Not as the mixin has it, which asks for a shortest edge and a crop: FDP knows height and width alone."""
        processor = FDPVideoProcessor.from_dict(self.video_processor_dict)
        self.assertEqual(processor.size_hw, (18, 18))
        self.assertEqual(FDPVideoProcessor.from_dict(self.video_processor_dict, size=42).size_hw, (42, 42))

    def test_video_processor_from_and_save_pretrained(self) -> None:
        """Not as the mixin has it: what is saved names the files of its code, what was built in memory need not."""
        first = FDPVideoProcessor(**self.video_processor_dict)
        with tempfile.TemporaryDirectory() as folder:
            first.save_pretrained(folder)
            second = FDPVideoProcessor.from_pretrained(folder)
        self.assertEqual(settings_of(second), settings_of(first))

    def test_video_processor_save_load_with_autovideoprocessor(self) -> None:
        """Not as the mixin has it: code that comes with a checkpoint is run only where the caller says so."""
        first = FDPVideoProcessor(**self.video_processor_dict)
        with tempfile.TemporaryDirectory() as folder:
            first.save_pretrained(folder)
            with self.assertRaises((ValueError, OSError)):
                AutoVideoProcessor.from_pretrained(folder, trust_remote_code=False)
            second = AutoVideoProcessor.from_pretrained(folder, trust_remote_code=True)
        self.assertEqual(settings_of(second), settings_of(first))

    def test_call_sample_frames(self) -> None:
        """Not as the mixin has it in its last lines: a clip with fewer frames than are asked for repeats some."""
        processor = FDPVideoProcessor(**self.video_processor_dict)
        self.video_processor_tester.num_frames = 8
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="torch")
        metadata = [[{"duration": 2.0, "total_num_frames": 8, "fps": 4}]]
        for frames, changes in (
            (8, {"num_frames": 3, "do_sample_frames": False}),
            (3, {"num_frames": 3}),
            (10, {"num_frames": 10}),
            (6, {"fps": 3, "video_metadata": metadata * len(videos)}),
            (
                6,
                {"fps": 3, "video_metadata": [[VideoMetadata(duration=2.0, total_num_frames=8, fps=4)]] * len(videos)},
            ),
        ):
            with self.subTest(str(changes)):
                answer = processor(videos, return_tensors="pt", **changes)["pixel_values"]
                self.assertEqual(answer.shape, (len(videos), frames, 1, 18, 18))

    @unittest.skip("sets image_mean and image_std: FDP scales gray pixels by a fixed rule and refuses both by name")
    def test_call_numpy_4_channels(self) -> None: ...

    @unittest.skip("asks for a list image_mean, which FDP has not; size is read as a frozen SizeDict")
    def test_override_instance_attributes_does_not_affect_other_instances(self) -> None: ...

    @unittest.skip("looks for do_resize, do_rescale or do_normalize: FDP always does all three")
    def test_video_processor_explicit_none_preserved(self) -> None: ...

    @unittest.skip("looks for a list of valid keys; unknown ones: tests/processing_fdp/test_video_processing.py")
    def test_video_processor_preprocess_arguments(self) -> None: ...
