"""The plain networks: what each sees of a clip, their sizes, and that they are models of transformers."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModelForVideoClassification

from modeling_baselines import BaselineConfig, BaselineForVideoClassification
from modeling_baselines.configuration_baselines import NETWORKS
from modeling_baselines.modeling_baselines import PlainConvNet, dynamic_image, onset_flow
from modeling_fdp import MotionCNNConfig, MotionCNNForVideoClassification
from modeling_fdp.dynamic_image_fdp import rank_pooling_weights
from modeling_fdp.motion_cnn_fdp import MotionConvNet


def build(network, num_frames=6, image_size=32, num_labels=3):
    torch.manual_seed(0)
    names = {number: str(number) for number in range(num_labels)}
    config = BaselineConfig(network=network, num_frames=num_frames, image_size=image_size, id2label=names)
    return BaselineForVideoClassification(config).eval()


@pytest.mark.parametrize("network", NETWORKS)
def test_saved_and_loaded_by_its_type_it_answers_alike(network, tmp_path):
    model = build(network)
    model.save_pretrained(tmp_path)
    pixels = torch.rand(2, 6, 1, 32, 32) * 2 - 1
    loaded = AutoModelForVideoClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(pixels).logits, model(pixels).logits)
    assert model(pixels, labels=torch.tensor([0, 1])).loss.shape == ()
    assert (tmp_path / "modeling_baselines.py").exists() and (tmp_path / "optical_flow_baselines.py").exists()


@pytest.mark.parametrize(
    ("network", "millions"),
    [
        ("raw_cnn", (0.1, 0.3)),
        ("onset_flow_cnn3d", (0.1, 0.3)),
        ("dynamic_image_resnet18", (11, 12)),
        ("videomae", (0.5, 1.2)),
    ],
)
def test_sizes(network, millions):
    count = sum(weight.numel() for weight in build(network).parameters()) / 1e6
    assert millions[0] < count < millions[1]


def test_differences_do_not_see_who_it_is():
    model = build("difference_cnn", num_frames=5)
    frames = torch.rand(2, 5, 1, 32, 32)
    with torch.no_grad():
        answers = model(frames).logits
        torch.testing.assert_close(answers, model(frames + torch.rand(2, 1, 1, 32, 32)).logits, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(answers, model(frames * 0).logits)


def test_motion_sees_nothing_in_a_still_face():
    still = torch.rand(1, 1, 24, 24).expand(1, 5, 24, 24) * 2 - 1
    assert onset_flow(still).abs().max() < 1e-3 and dynamic_image(still).abs().max() < 1e-3


def test_the_weights_of_the_dynamic_image_are_those_of_rank_pooling():
    weights = torch.as_tensor(rank_pooling_weights(7)).float()
    frames = torch.rand(2, 7, 4, 4)
    expected = torch.einsum("t,bthw->bhw", weights / weights.clamp_min(0).sum(), frames)[:, None] * 4
    torch.testing.assert_close(dynamic_image(frames), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("num_frames", "image_size"), [(5, 32), (4, 40)])
def test_videomae_does_not_leave_out_a_part_of_its_input(num_frames, image_size):
    with pytest.raises(StrictDataclassError, match=f"an even number of frames .*{num_frames} of {image_size}"):
        BaselineConfig(network="videomae", num_frames=num_frames, image_size=image_size)


def test_another_network_is_refused():
    with pytest.raises(StrictDataclassError, match="network is one of"):
        BaselineConfig(network="resnet50")


def test_the_motion_cnn_is_the_plain_network_of_the_others_on_motion():
    # Written out twice, because a checkpoint takes the files of one folder along.
    torch.manual_seed(0)
    plain = PlainConvNet(in_channels=5, num_labels=3).eval()
    torch.manual_seed(0)
    motion = MotionConvNet(in_channels=5, num_labels=3).eval()
    weights, others = plain.state_dict(), motion.state_dict()
    assert list(weights) == list(others)
    assert all(torch.equal(weights[name], others[name]) for name in weights), "drawn in the same order"
    # Motion has half the resolution of frames, so that its first convolution takes every pixel.
    assert plain.features[0].stride == (2, 2)
    plain.features[0].stride = (1, 1)
    channels = torch.rand(2, 5, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain(channels), motion(channels))
    assert [type(layer) for layer in plain.modules()][1:] == [type(layer) for layer in motion.modules()][1:]


def test_the_motion_cnn_returns_the_loss_of_labels():
    names = {0: "a", 1: "b"}
    model = MotionCNNForVideoClassification(MotionCNNConfig(num_frames=6, image_size=32, id2label=names)).eval()
    pixels, labels = torch.rand(2, 6, 1, 32, 32) * 2 - 1, torch.tensor([1, 0])
    with torch.no_grad():
        output = model(pixels, labels=labels)
    torch.testing.assert_close(output.loss, torch.nn.functional.cross_entropy(output.logits, labels))
