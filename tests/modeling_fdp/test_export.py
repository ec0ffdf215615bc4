"""Graph capture: torch.compile without a break, torch.export and ONNX with a batch of any size."""

import logging

import numpy as np
import pytest
import torch

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX runtime comes with the dev extra")
pytest.importorskip("onnxscript", reason="the ONNX exporter comes with the dev extra")


class Tensors(torch.nn.Module):
    """The three tensors that an application reads, without the output class."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        outputs = self.model(pixel_values)
        return outputs.logits, outputs.dynamic_image, outputs.rank_scores


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "overrides"),
    [("small", {}), ("base", {}), ("released", {}), ("small", {"reference": "movement_patterns", "both_signs": True})],
)
def test_compiles_as_one_graph(preset, overrides, small_model, clips):
    model = small_model(preset, local_depths=[1, 1, 1, 1], **overrides)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    labels = torch.tensor([0, 2])
    with torch.no_grad():
        ours, theirs = compiled(clips(), labels=labels), model(clips(), labels=labels)
    assert torch.allclose(ours.logits, theirs.logits, atol=1e-5) and torch.allclose(ours.loss, theirs.loss, atol=1e-5)
    with pytest.raises(ValueError, match="NaN"):
        model(clips() * float("nan"))


# The structures together hold every operator: attention and the light decoder, SegNet and the released reshape, the
# ranker fitted to each clip, and the patterns along a clip's curves.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "overrides", "optimize"),
    [
        ("small", {"local_depths": [1, 1, 1, 1]}, False),
        ("paper_tiny", {}, False),
        ("released", {"local_depths": [1, 1, 1, 1]}, True),
        ("tiny", {"reference": "movement_patterns", "both_signs": True}, False),
    ],
)
def test_exports_with_a_batch_of_any_size(preset, overrides, optimize, small_model, clips, tmp_path, caplog):
    """`optimize` is the exporter's rewriting of its own graph, the default; it takes half of the time of an export."""
    caplog.set_level(logging.ERROR)
    model = small_model(preset, **overrides)
    dynamic = {"pixel_values": {0: torch.export.Dim.DYNAMIC}}
    exported = torch.export.export(Tensors(model), (clips(2),), dynamic_shapes=dynamic)
    path = tmp_path / "fdp.onnx"
    torch.onnx.export(
        exported,
        input_names=["pixel_values"],
        output_names=["logits", "dynamic_image", "rank_scores"],
        dynamo=True,
        optimize=optimize,
    ).save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch_size in (1, 5):
        batch = clips(batch_size, seed=batch_size)
        with torch.no_grad():
            expected = model(batch)
            captured = exported.module()(batch)
        answers = session.run(None, {"pixel_values": batch.numpy()})
        names = ("logits", "dynamic_image", "rank_scores")
        for name, torch_answer, onnx_answer in zip(names, captured, answers, strict=True):
            value = getattr(expected, name)
            assert torch.allclose(torch_answer, value, atol=1e-5), name
            assert onnx_answer.shape == tuple(value.shape), name
            np.testing.assert_allclose(onnx_answer, value.numpy(), atol=1e-3, err_msg=name)
