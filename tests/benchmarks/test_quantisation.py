"""Exports are compared on clips that were rendered and prepared as `predict.py` prepares them."""

import pytest
import torch

from benchmarks import quantisation
from hub_datasets.synthetic.settings import CorpusSettings
from modeling_fdp import FDPForVideoClassification
from processing_fdp.video_processing_fdp import FDPVideoProcessor
from training_fdp.hub.prediction import shipped_model


@pytest.fixture(scope="module")
def model():
    return FDPForVideoClassification.from_pretrained(shipped_model()).eval()


def test_clips_are_rendered_and_prepared(model):
    settings = CorpusSettings(num_subjects=1, num_clips=2, seed=5, fps=60.0, mix="4class")
    processor = FDPVideoProcessor.from_pretrained(shipped_model())
    clips, labels = quantisation.rendered_clips(model, processor, settings)
    assert clips.shape == (2, model.config.num_frames, 1, 64, 64) and labels.shape == (2,)
    assert clips.dtype == torch.float32 and clips.abs().max() <= 1 and not torch.equal(clips[0], clips[1])


def test_rows_count_classes_that_change(model, monkeypatch):
    clips = torch.rand(3, model.config.num_frames, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        classes = model(clips).logits.argmax(-1)
    ways = {"same": lambda clip: model(clip).logits, "reversed": lambda clip: -model(clip).logits}
    monkeypatch.setattr(quantisation, "exported", lambda *_: ways)
    same, reversed_ = quantisation.quantisation_rows(model, clips, torch.tensor([classes[0], classes[1], -1]))
    assert (same["class of PyTorch"], same["right class"]) == (3, 2)
    assert same["largest difference of a probability"] < 1e-6
    assert (reversed_["class of PyTorch"], reversed_["right class"]) == (0, 0)
    assert reversed_["largest difference of a probability"] > reversed_["mean difference of a probability"] > 0
