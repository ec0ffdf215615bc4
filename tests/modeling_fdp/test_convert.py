"""The converter: agreement with the authors' network, and a named fault for everything that is not its state dict."""

import json
import pickle
import runpy
import sys
import zlib

import numpy as np
import pytest
import torch

from convert_checkpoint import main
from modeling_fdp import FDPConfig, FDPForVideoClassification
from modeling_fdp.convert_fdp_checkpoint import (
    CheckpointError,
    convert_key,
    convert_state_dict,
    read_state_dict,
)
from processing_fdp import FDPVideoProcessor


def fixture_value(key, shape, seed=1):
    """The weights of the shared fixture, by the formula of its README."""
    draw = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(shape) if shape else np.zeros(())
    if key.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    if key.endswith("running_var"):
        value = 1 + 0.2 * np.abs(draw)
    elif key.endswith(("running_mean", "bias")):
        value = 0.1 * draw
    elif len(shape) == 1:
        value = 1 + 0.1 * draw
    else:
        gains = (
            ("dyimg", 1.6),
            ("mer.", 1.6),
            ("proj_head", 0.02),
            ("stem", 2.5),
            ("patch_embed", 1.3),
            ("projection", 1.3),
        )
        gain = next((gain for word, gain in gains if word in key), 0.6)
        value = gain * draw / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


@pytest.fixture(scope="module")
def fixture_folder(shared_folder):
    folder = shared_folder / "fixtures" / "released_fdp"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder


@pytest.fixture(scope="module")
def authors_state_dict(fixture_folder):
    shapes = json.loads((fixture_folder / "state_dict_shapes.json").read_text())
    return {key: fixture_value(key, tuple(shape)) for key, shape in shapes.items()}


class TestAgainstTheAuthorsNetwork:
    @pytest.fixture(scope="class")
    def model(self, authors_state_dict):
        return convert_state_dict(authors_state_dict)

    @pytest.fixture(scope="class")
    def clips(self):
        pixels = np.random.default_rng([1, 99]).uniform(-1, 1, (2, 1, 8, 1, 64, 64)).astype(np.float32)
        return torch.from_numpy(pixels)[:, 0]

    def test_all_keys_are_used_and_none_is_left(self, authors_state_dict, model):
        names = {convert_key(key, model.config.local_depths) for key in authors_state_dict}
        assert len(authors_state_dict) == 438 and names == set(model.state_dict())

    @pytest.mark.parametrize("single", [False, True])
    def test_outputs_agree_to_a_ten_thousandth(self, model, clips, fixture_folder, single):
        expected = np.load(fixture_folder / "expected_seed1.npz")
        batches = [clips[:1], clips[1:]] if single else [clips]
        with torch.no_grad():
            outputs = [model(batch) for batch in batches]
            features = torch.cat([model.fdp(batch).last_hidden_state.flatten(2)[..., ::16] for batch in batches])
        logits = torch.cat([output.logits for output in outputs])
        images = torch.cat([output.dynamic_image for output in outputs])[:, 0]
        assert np.abs(logits.numpy() - expected["logits"]).max() < 1e-4
        assert np.abs(images.numpy() - expected["dynamic_image"]).max() < 1e-4
        assert np.abs(features.numpy() - expected["frame_features"]).max() < 1e-4


@pytest.fixture(scope="module")
def small_state_dict():
    """A state dict by the authors' names, made from a fresh network: no shared fixture needed."""
    torch.manual_seed(0)
    model = FDPForVideoClassification(FDPConfig.from_preset("released", num_labels=3))
    depths = model.config.local_depths
    state_dict = model.state_dict()
    authors_keys = {}
    for level, layers in enumerate((2, 2, 3, 3, 3), 1):
        for position in range(1, layers + 1):
            for tail in ("conv.weight", "conv.bias", *(f"bn.{part}" for part in NORM_PARTS)):
                layer, part = tail.split(".")
                for suffix in ("", "d"):
                    key = f"dyimg_net.{layer}{level}{position}{suffix}.{part}"
                    authors_keys[key] = convert_key(key, depths)
    for block in range(20):
        for tail in ("mhca.group_conv3x3.weight", *BLOCK_PARTS, *(f"norm.{part}" for part in NORM_PARTS)):
            authors_keys[f"frame_rep.features.{block}.{tail}"] = None
    for index in range(4):
        for tail in ("conv.weight", *(f"norm.{part}" for part in NORM_PARTS)):
            authors_keys[f"frame_rep.stem.{index}.{tail}"] = None
    for tail in ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"):
        authors_keys[f"frame_rep.{tail}"] = None
    for name in ("frame_rep.proj_head.0", "mer.conv3d", "mer.fc1", "mer.fc2"):
        authors_keys.update({f"{name}.weight": None, f"{name}.bias": None})
    ours = {key: convert_key(key, depths) for key in authors_keys}
    return {key: state_dict[name].clone() for key, name in ours.items() if name in state_dict}


NORM_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
BLOCK_PARTS = (
    "mlp.conv1.weight",
    "mlp.conv1.bias",
    "mlp.conv2.weight",
    "mlp.conv2.bias",
    "patch_embed.conv.weight",
    *(f"patch_embed.norm.{part}" for part in NORM_PARTS),
)


class TestFaults:
    def test_rebuilt_state_dict_converts(self, small_state_dict):
        assert len(small_state_dict) == 438
        model = convert_state_dict(small_state_dict, ["negative", "positive", "surprise"])
        assert model.config.id2label == {0: "negative", 1: "positive", 2: "surprise"} and not model.training
        assert torch.equal(model.classifier.output.bias, small_state_dict["mer.fc2.bias"])

    def test_missing_and_unexpected_keys_are_named(self, small_state_dict):
        broken = dict(small_state_dict)
        del broken["frame_rep.features.7.norm.bias"]
        broken["frame_rep.features.20.norm.bias"] = torch.zeros(3)
        broken["rank_scorer.weight"] = torch.zeros(3)
        with pytest.raises(CheckpointError) as caught:
            convert_state_dict(broken)
        message = str(caught.value)
        assert "2 unexpected (frame_rep.features.20.norm.bias, rank_scorer.weight)" in message
        assert "1 missing (fdp.encoder.stages.2.blocks.0.norm.bias)" in message

    def test_wrong_shape_is_named_with_both_shapes(self, small_state_dict):
        broken = {**small_state_dict, "mer.fc1.weight": torch.zeros(256, 100)}
        with pytest.raises(CheckpointError, match=r"mer\.fc1\.weight \(256, 100\) instead of \(256, 3528\)") as caught:
            convert_state_dict(broken)
        assert "missing" not in str(caught.value)

    @pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "b"]])
    def test_labels_must_name_every_output_once(self, small_state_dict, labels):
        with pytest.raises(CheckpointError, match="3 outputs"):
            convert_state_dict(small_state_dict, labels)

    def test_another_network_is_refused(self):
        with pytest.raises(CheckpointError, match=r"mer\.fc2\.weight"):
            convert_state_dict({"head.weight": torch.zeros(5, 3)})

    def test_a_file_that_would_run_code_is_refused(self, tmp_path):
        class Payload:
            def __reduce__(self):
                return (print, ("executed",))

        path = tmp_path / "payload.pth"
        path.write_bytes(pickle.dumps({"mer.fc2.weight": Payload()}, protocol=2))
        with pytest.raises(CheckpointError, match=r"payload\.pth"):
            read_state_dict(path)

    @pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}])
    def test_a_file_without_tensors_is_refused(self, tmp_path, content):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(CheckpointError, match="dict of tensors"):
            read_state_dict(tmp_path / "other.pth")

    def test_cut_files_and_absent_ones_are_refused(self, tmp_path):
        torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pth")
        (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:900])
        (tmp_path / "empty.pth").write_bytes(b"")
        for name in ("cut.pth", "empty.pth"):
            with pytest.raises(CheckpointError, match=name):
                read_state_dict(tmp_path / name)
        with pytest.raises(FileNotFoundError, match="absent"):
            read_state_dict(tmp_path / "absent.pth")

    def test_wrappers_and_data_parallel_prefixes_are_taken_off(self, tmp_path):
        torch.save({"state_dict": {"module.a.b": torch.ones(2)}, "epoch": 3}, tmp_path / "wrapped.pth")
        assert list(read_state_dict(tmp_path / "wrapped.pth")) == ["a.b"]


def test_command_line_writes_a_folder_that_the_hub_takes(small_state_dict, tmp_path, capsys):
    torch.save(small_state_dict, tmp_path / "released.pth")
    assert main([str(tmp_path / "released.pth"), str(tmp_path / "hub"), "--labels", "a", "b", "c"]) == 0
    model = FDPForVideoClassification.from_pretrained(tmp_path / "hub")
    assert model.config.label2id == {"a": 0, "b": 1, "c": 2}
    assert torch.equal(model.fdp.pooling.convolution.weight, small_state_dict["mer.conv3d.weight"])
    assert FDPVideoProcessor.from_pretrained(tmp_path / "hub").num_frames == 8
    assert (tmp_path / "hub" / "modeling_fdp.py").is_file()
    said = capsys.readouterr().out
    assert "samples frames evenly" in said and "outputs differ" in said


def test_command_line_says_what_is_wrong_in_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path / "absent.pth"), str(tmp_path / "hub")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "absent.pth" in error and error.count("\n") == 1
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize("below", ["", "hub"])
def test_a_destination_that_is_a_file_is_refused_before_any_work(tmp_path, capsys, monkeypatch, below):
    (tmp_path / "taken").write_text("mine")
    monkeypatch.setattr("convert_checkpoint.read_state_dict", lambda path: pytest.fail("read before the check"))
    assert main([str(tmp_path / "released.pth"), str(tmp_path / "taken" / below)]) == 2
    error = capsys.readouterr().err
    assert "must be a folder, but" in error and "taken is a file" in error and error.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "mine"


def test_module_runs_as_a_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["convert_checkpoint", "--help"])
    monkeypatch.delitem(sys.modules, "convert_checkpoint")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("convert_checkpoint", run_name="__main__")
    assert caught.value.code == 0 and "--labels" in capsys.readouterr().out
