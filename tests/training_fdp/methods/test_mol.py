"""MOL as a method: targets that follow augmentation and are kept, answers by hand, and a run from corpus to Hub."""

import json
import logging
import os
import signal

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file
from transformers import AutoModelForVideoClassification

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.run_folder import RunStore
from hub_datasets.synthetic.layouts import SyntheticLayout
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import write_tree
from modeling_mol import MOLConfig
from rendered_faces.faces import FaceState
from rendered_faces.procedural.face import ProceduralFaces
from tests.scripts.fake_hub import FakeHub
from training_fdp.config import parse_train_config
from training_fdp.data.aligned_clips import prepare_clips
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
from training_fdp.data.clips import Clip
from training_fdp.data.corpora import load_corpora
from training_fdp.data.processor import build_processor
from training_fdp.errors import Interrupted, TrainingError
from training_fdp.folds.loop import StageTrainer
from training_fdp.hub.prediction import Predictor
from training_fdp.hub.publish import prepare_publication
from training_fdp.hub.push import push
from training_fdp.methods import mol_targets
from training_fdp.methods.base import LossContext, NetworkRequest
from training_fdp.methods.mol import MOLFacts, MOLMethod
from training_fdp.methods.mol_options import MOLOptions
from training_fdp.methods.mol_quality import face_mask, flow_quality, landmark_quality, motion_pictures
from training_fdp.methods.mol_targets import MotionTargets, composed_flow, sampled, to_crop
from training_fdp.runs.run import run

SIDE = 48
NETWORK = (
    "num_landmarks=5",
    "stem_channels=[8,16,16]",
    "stem_kernel_sizes=[3,3,1]",
    "stem_strides=[2,2,1]",
    "stem_paddings=[1,1,0]",
    "flow_hidden_size=16",
    "landmark_hidden_size=16",
    "classifier_hidden_size=16",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A corpus of 2 people with 4 clips each, strong movements, rendered once."""
    settings = CorpusSettings(num_subjects=2, num_clips=8, size_hw=(96, 96), fps=60, seed=77)
    root = tmp_path_factory.mktemp("rendered") / "corpus"
    write_tree(settings, SyntheticLayout(), root)
    return root


@pytest.fixture(scope="module")
def aligned(tree, tmp_path_factory):
    """Its aligned clips and their processor."""
    rows = load_corpora(data_options(tree)).dataset
    processor = build_processor({}, 4, SIDE)
    return prepare_clips(rows, processor, tmp_path_factory.mktemp("cache"), 1), processor


def data_options(tree):
    arguments = ["--corpus", "synthetic", "--data_dir", str(tree), "--label_set", "3class", "--output_dir", "unused"]
    return parse_train_config(arguments).data


@pytest.fixture(scope="module")
def exact(aligned):
    targets = MotionTargets(with_flow=True, num_landmarks=5)
    assert targets.prepare(*aligned) == []
    return targets


def largest_motion(clip):
    return clip.apex if clip.apex else len(clip.frames) - 1


def warped(later, flow):
    """The later frames read where each pixel of the earlier ones has moved to."""
    rows, columns = torch.meshgrid(torch.arange(later.shape[-2]), torch.arange(later.shape[-1]), indexing="ij")
    places = torch.stack([columns, rows], dim=-1) + flow.permute(0, 2, 3, 1)
    return sampled(later[:, None], places)[:, 0]


@pytest.fixture(scope="module")
def pairs():
    """Two rendered pairs without a camera's noise: frames that turn, shift and smile, their exact flow and points."""
    frames, flows, points = [], [], []
    for seed in (3, 4):
        face = ProceduralFaces().face(seed, (96, 96))
        states = FaceState(), FaceState({(12, "L"): 2.0, (4, "R"): 1.5}, roll=3.0, yaw=2.0, shift_xy=(1.5, -1.0))
        frames.append(np.stack([face.render(state) for state in states]))
        flows.append(face.flow(*states).transpose(2, 0, 1))
        points.append(np.stack([face.five_points(state) for state in states]))
    return {
        "pixel_values": torch.from_numpy(np.stack(frames))[:, :, None] * 2 - 1,
        "flow_targets": torch.from_numpy(np.stack(flows))[:, :, None],
        "landmark_targets": torch.from_numpy(np.stack(points)) - 47.5,
    }


def warp_errors(frames, flow):
    """Mean squared difference in the face of pairs of frames: as they are, warped by the flow, and by its opposite."""
    mask = torch.from_numpy(face_mask(*frames.shape[-2:]))
    earlier, later = frames[:, 0], frames[:, 1]
    candidates = (later, warped(later, flow), warped(later, -flow))
    return [float((candidate - earlier)[:, mask].square().mean()) for candidate in candidates]


AUGMENTATIONS = [{}, {"flip": 1.0}, {"rotation": 40.0}, {"scale": 0.3, "shift": 0.1}, {"flip": 1.0, "rotation": 30.0}]


@pytest.mark.parametrize("changes", AUGMENTATIONS)
def test_an_augmented_frame_warped_by_the_augmented_flow_gives_the_other_frame(changes, pairs):
    followers = MOLMethod(MOLOptions()).followers
    augment = build_augmentation(AugmentationConfig(**changes), followers=followers)
    augmented = augment(pairs, torch.Generator().manual_seed(3))
    flow = augmented["flow_targets"][:, :, 0]
    still, followed, opposite = warp_errors(augmented["pixel_values"][:, :, 0], flow)
    assert followed < 0.1 * still and still < opposite
    # The tip of the nose moves as the flow at its place says.
    nose = augmented["landmark_targets"][:, :, 2]
    at_nose = sampled(flow, nose[:, :1, None] + 47.5)[:, :, 0, 0]
    torch.testing.assert_close(at_nose, nose[:, 1] - nose[:, 0], atol=0.06, rtol=0)
    assert (nose[:, 1] - nose[:, 0]).norm(dim=-1).min() > 0.5


def test_exact_flow_of_aligned_frames_fits_them(aligned, exact):
    clips, processor = aligned
    errors = []
    for clip in clips:
        last = largest_motion(clip)
        frames = processor.normalize_frames(clip.frames[[0, last]])[None]
        errors.append(warp_errors(frames, exact.flow(clip, np.array([0]), np.array([last])).transpose(0, 1)))
    # The rest is the camera's noise, and skin that a mouth or an eye uncovers.
    still, followed, opposite = np.mean(errors, axis=0)
    assert followed < 0.85 * still and opposite > 1.1 * still


def test_exact_motion_agrees_with_its_estimate(aligned, exact):
    clips, processor = aligned
    estimated = MotionTargets(with_flow=True, num_landmarks=5, use_truth=False)
    few = [clips[5]]
    estimated.prepare(few, processor)
    mask = torch.from_numpy(face_mask(SIDE, SIDE))
    for clip in few:
        first, last = np.array([0]), np.array([largest_motion(clip)])
        truth, estimate = exact.flow(clip, first, last), estimated.flow(clip, first, last)
        still = truth.norm(dim=0)[:, mask].mean()
        assert (estimate - truth).norm(dim=0)[:, mask].mean() < 0.9 * still
        points = [kind.landmarks(clip, first)[0] for kind in (exact, estimated)]
        assert (points[0] - points[1]).norm(dim=-1).max() < 0.15 * SIDE
        assert exact.is_exact(clip) and not estimated.is_exact(clip)


def test_flow_of_any_pair_is_composed_of_flows_from_the_first_frame():
    rows, columns = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(32.0) - 15.5, indexing="ij")
    places = torch.stack([columns, rows])

    def flow(matrix, offset):
        moved = torch.einsum("ij,jhw->ihw", torch.tensor(matrix), places) + torch.tensor(offset)[:, None, None]
        return moved - places, torch.tensor(matrix), torch.tensor(offset)

    earlier, first_matrix, first_offset = flow([[1.02, 0.03], [-0.03, 0.98]], [0.7, -0.4])
    later, second_matrix, second_offset = flow([[0.97, -0.02], [0.04, 1.03]], [-0.5, 1.1])
    # A place of the earlier frame goes back to the first frame and on to the later one.
    origin = torch.einsum("ij,jhw->ihw", torch.linalg.inv(first_matrix), places - first_offset[:, None, None])
    expected = torch.einsum("ij,jhw->ihw", second_matrix, origin) + second_offset[:, None, None] - places
    found = composed_flow(earlier[None], later[None])[0]
    torch.testing.assert_close(found[:, 3:-3, 3:-3], expected[:, 3:-3, 3:-3], atol=2e-3, rtol=0)
    torch.testing.assert_close(composed_flow(torch.zeros(1, 2, 32, 32), later[None])[0], later)
    assert composed_flow(later[None], later[None]).abs().max() < 1e-6


def test_places_go_into_the_crop_by_the_inverse_transform():
    transform = np.array([[2.0, 0.5, 10.0], [-0.5, 2.0, 4.0]])
    points = np.array([[1.0, 2.0], [30.0, 7.0]])
    in_frame = points @ transform[:, :2].T + transform[:, 2]
    np.testing.assert_allclose(to_crop(in_frame, transform), points)


def test_targets_are_kept_beside_the_aligned_clips_and_computed_once(aligned, exact, monkeypatch):
    clips, processor = aligned
    kept = [clips.paths[0].with_suffix(f".{name}_exact_v1.npy") for name in ("flow", "points_5")]
    flow = np.load(kept[0])
    assert flow.dtype == np.float16 and flow.shape == (len(clips[0].frames), 2, SIDE, SIDE) and not flow[0].any()
    assert np.load(kept[1]).dtype == np.float32

    def fail(*arguments):
        raise RuntimeError("computed again")

    monkeypatch.setattr(MotionTargets, "_flow", fail)
    monkeypatch.setattr(MotionTargets, "_points", fail)
    MotionTargets(with_flow=True, num_landmarks=5).prepare(clips, processor)
    with pytest.raises(RuntimeError, match="computed again"):
        MotionTargets(with_flow=True, num_landmarks=5, use_truth=False).prepare(clips, processor)


def memory_clip(name="toy/a", num_frames=3, seed=0):
    random = np.random.default_rng(seed)
    frame = random.integers(60, 160, (32, 32))
    frames = np.stack([np.roll(frame, shift, 1) for shift in range(num_frames)])
    return Clip(name, "s1", torch.from_numpy(frames.astype(np.uint8)), label=0)


def test_an_interrupted_preparation_goes_on_where_it_stopped(monkeypatch, tmp_path):
    clips = []
    for number in range(3):
        path = tmp_path / f"{number}.npy"
        np.save(path, memory_clip(seed=number).frames.numpy())
        clips.append(Clip(f"toy/{number}", "s1", path, label=0))
    done, original = [], mol_targets.MotionTargets._flow

    def flow(self, clip, processor):
        if clip.clip_id == "toy/1" and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        done.append(clip.clip_id)
        return original(self, clip, processor)

    stopped = []
    monkeypatch.setattr(MotionTargets, "_flow", flow)
    for _ in range(2):
        try:
            MotionTargets(with_flow=True, num_landmarks=0).prepare(clips, None)
        except KeyboardInterrupt:
            continue
    assert done == ["toy/0", "toy/1", "toy/2"]
    damaged = next(tmp_path.glob("2.flow*"))
    damaged.write_bytes(damaged.read_bytes()[:40])
    with pytest.raises(TrainingError, match="delete the file, and the next run computes them again"):
        MotionTargets(with_flow=True, num_landmarks=0).prepare(clips, None)


def test_missing_landmarks_and_single_frames_are_counted(caplog):
    clips = [memory_clip("toy/a"), memory_clip("toy/b", num_frames=1, seed=1)]
    targets = MotionTargets(with_flow=True, num_landmarks=68)
    with caplog.at_level(logging.WARNING, logger="training_fdp.methods.mol_targets"):
        notes = targets.prepare(clips, None)
    assert caplog.messages == notes and len(notes) == 2
    assert "1 clips have a single frame, so that their flow is 0: first toy/b" in notes[0]
    assert "in 4 frames of 2 clips, first in toy/a" in notes[1] and "left out of the loss" in notes[1]
    zeros = np.zeros(3, dtype=np.int64)
    assert not targets.flow(clips[1], zeros, zeros).any()
    assert targets.landmarks(clips[0], zeros).isnan().all()
    with pytest.raises(TrainingError, match="toy/c must be prepared first"):
        targets.flow(memory_clip("toy/c"), zeros, zeros)


def prepared_method(clips, reference="first", **options):
    method = MOLMethod(MOLOptions(**options))
    config = MOLConfig.from_preset("small", num_frames=4, image_size=32, num_landmarks=0, flow_reference=reference)
    method.prepare(clips, config, None)
    return method, config


@pytest.mark.parametrize(("reference", "earlier"), [("first", [1, 1, 1]), ("previous", [1, 2, 4])])
def test_targets_are_of_the_pairs_that_the_network_sees(reference, earlier):
    clip = memory_clip(num_frames=6)
    method, config = prepared_method([clip], reference)
    indices = np.array([1, 2, 4, 5])
    found = method.targets(clip, indices, config, lambda frames: frames)
    expected = method._motion.flow(clip, np.array(earlier), indices[1:])
    assert torch.equal(found["flow_targets"], expected) and not found["flow_is_exact"]
    assert found["flow_targets"].shape == (2, 3, 32, 32) and "landmark_targets" not in found


def test_the_scale_of_the_flow_comes_from_the_training_clips_alone():
    clips = [memory_clip(f"toy/{number}", num_frames=6, seed=number) for number in range(3)]
    method, config = prepared_method(clips)
    facts = method.fold_facts(clips[:2], config)
    squares = []
    for clip in clips[:2]:
        squares.append(method._motion.flow(clip, np.zeros(3, dtype=int), np.array([2, 3, 5])) ** 2)
    assert facts.flow_scale == pytest.approx(float(torch.stack(squares).mean().sqrt()), rel=1e-4)
    assert facts.mean_landmarks.shape == (0, 2)
    model = method.build(MOLConfig.from_preset("small", num_landmarks=5), MOLFacts(0.25, torch.ones(5, 2)))
    assert model.flow_scale == 0.25 and torch.equal(model.mean_landmarks, torch.ones(5, 2))


def test_losses_of_hard_and_mixed_labels_are_weighted_sums():
    torch.manual_seed(0)
    method = MOLMethod(MOLOptions())
    config = MOLConfig.from_preset(
        "small", num_frames=2, image_size=32, num_landmarks=5, num_labels=3, flow_loss_weight=0.5,
        landmark_loss_weight=2.0,
    )  # fmt: skip
    model = method.build(config).eval()
    batch = {
        "pixel_values": torch.rand(2, 2, 1, 32, 32) * 2 - 1,
        "flow_targets": torch.randn(2, 2, 1, 32, 32),
        "landmark_targets": torch.randn(2, 2, 5, 2) + torch.tensor([[-8.0, 0], [8, 0], [0, 1], [-5, 9], [5, 9]]),
    }
    weights = torch.tensor([1.0, 2.0, 3.0])
    hard = method.losses(model, {**batch, "labels": torch.tensor([0, 2])}, LossContext(config, weights))
    soft = method.losses(model, {**batch, "labels": torch.eye(3)[[0, 2]]}, LossContext(config, weights))
    assert set(hard) == {"loss", "classification", "flow", "landmarks"}
    for losses in (hard, soft):
        expected = losses["classification"] + 0.5 * losses["flow"] + 2 * losses["landmarks"]
        torch.testing.assert_close(losses["loss"], expected)
    torch.testing.assert_close(hard["classification"], soft["classification"])
    alone = method.losses(model, {"pixel_values": batch["pixel_values"], "labels": torch.tensor([0, 2])},
                          LossContext(config))  # fmt: skip
    assert set(alone) == {"loss", "classification"}


def test_errors_of_flow_and_landmarks_by_hand():
    truth = torch.zeros(1, 2, 1, 16, 16)
    truth[:, 0] = 0.3
    flow = truth.clone()
    flow[:, 1] = 0.4
    flow[..., 0, 0] = 100  # a corner, outside the face
    frames = torch.zeros(1, 2, 1, 16, 16)
    (answers,) = flow_quality(flow, truth, torch.tensor([False]), frames, "first")
    assert answers == pytest.approx({"flow_endpoint_error": 0.4, "flow_endpoint_error_zero": 0.3})
    (answers,) = flow_quality(flow, truth, torch.tensor([True]), frames, "first")
    assert answers["flow_endpoint_error_tv_l1"] == pytest.approx(0.3)  # still frames
    points = torch.tensor([[-5.0, 0], [5, 0], [0, 3], [-3, 6], [3, 6]]).repeat(2, 2, 1, 1)
    known = points.clone()
    known[0, 1], known[1] = float("nan"), float("nan")
    found, nothing = landmark_quality(points + torch.tensor([3.0, 4.0]), known, points[0, 0] + 1)
    expected = {"frames_without_landmarks": 0.5, "landmark_error": 0.5, "landmark_error_mean_shape": 2**0.5 / 10}
    assert found == pytest.approx(expected, rel=1e-5)
    assert nothing == {"frames_without_landmarks": 1}


def test_what_is_shown_of_the_motion():
    flow = torch.zeros(1, 2, 3, 32, 32)
    flow[:, 0, 1] = 0.25
    (shown,) = motion_pictures(flow)
    assert shown["curve"] == pytest.approx([0, 0, 0.25, 0]) and shown["picture"].shape == (32, 32)
    assert np.allclose(shown["picture"], 0.25)


def test_options_and_checkpoints_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="--preset pretrained is the network of --init_from, which is missing"):
        MOLMethod.check_options(MOLOptions(preset="pretrained"), None)
    request = NetworkRequest(("a", "b"), {"depth": 3})
    with pytest.raises(ConfigError, match="depth is none"):
        MOLMethod(MOLOptions()).configure(request)
    start = MOLConfig.from_preset("small", num_landmarks=5, num_labels=2, flow_loss_weight=2.0)
    pretrained = MOLMethod(MOLOptions(preset="pretrained"))
    config = pretrained.configure(NetworkRequest(("a", "b"), {"flow_loss_weight": 0.5}, start, "there"))
    assert (config.num_landmarks, config.flow_loss_weight) == (5, 0.5)
    with pytest.raises(ConfigError, match="num_landmarks is 5 there, 68 was asked for"):
        pretrained.configure(NetworkRequest(("a", "b"), {"num_landmarks": 68}, start, "there"))
    with pytest.raises(ConfigError, match="call prepare"):
        pretrained.targets(memory_clip(), np.array([0, 1]), config, lambda frames: frames)


@pytest.fixture(scope="module")
def arguments(tree, tmp_path_factory):
    """The command line of a leave-one-subject-out run of MOL: OUT, then options."""
    cache = tmp_path_factory.mktemp("run_cache")

    def build(output_dir, *options):
        return [
            *("--method", "mol", "--corpus", "synthetic", "--data_dir", str(tree), "--label_set", "3class"),
            *("--output_dir", str(output_dir), "--cache_dir", str(cache), "--num_proc", "1", "--protocol", "loso"),
            *("--image_size", "32", "--num_frames", "3", "--batch_size", "4", "--max_steps", "4"),
            *("--checkpoint_steps", "1", "--allow_missing_classes", "--no_final_model"),
            *("--model_overrides", *NETWORK, *options),
        ]

    return build


@pytest.fixture(scope="module")
def trained(arguments, tmp_path_factory):
    """OUT of a run that was stopped once and resumed."""
    patch = pytest.MonkeyPatch()
    patch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))
    out = tmp_path_factory.mktemp("OUT") / "stopped"
    steps, step = [], StageTrainer._step

    def stop_once(self, *inputs):
        steps.append(self.key)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *inputs)

    command = arguments(out)
    with pytest.MonkeyPatch.context() as once:
        once.setattr(StageTrainer, "_step", stop_once)
        with pytest.raises(Interrupted, match="after step 2 of 4"):
            run(parse_train_config(command), command)
    assert run(parse_train_config(command), command) == 0
    yield out
    patch.undo()


def test_it_trains_under_loso_and_measures_flow_and_landmarks(trained):
    results = json.loads((trained / "results.json").read_text())
    assert results["complete"] and len(results["folds"]) == 2 and results["preset"] == "mol small"
    assert set(results["answers"]) == {
        "flow_endpoint_error",
        "flow_endpoint_error_zero",
        "flow_endpoint_error_tv_l1",
        "landmark_error",
        "landmark_error_mean_shape",
        "frames_without_landmarks",
    }
    answers = {name: entry["mean"] for name, entry in results["answers"].items()}
    assert answers["flow_endpoint_error_tv_l1"] < answers["flow_endpoint_error_zero"]
    assert answers["landmark_error"] < 2 * answers["landmark_error_mean_shape"]
    assert "TV-L1 of the same frames" in (trained / "report.md").read_text()
    curve = json.loads((trained / "folds" / "s001" / "training_curve.json").read_text())
    assert {"loss", "classification", "flow", "landmarks"} <= set(curve)


def test_a_resumed_run_is_the_run_that_was_not_stopped(trained, arguments, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))
    command = [*arguments(tmp_path / "whole"), "--folds", "s001"]
    assert run(parse_train_config(command), command) == 0
    folds = [RunStore(out).place("s001") / "fold.json" for out in (trained, tmp_path / "whole")]
    whole, stopped = (json.loads(path.read_text())["predictions"] for path in folds)
    assert whole == stopped


def test_it_predicts_and_is_pushed(trained, tree, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    checkpoint = trained / "folds" / "s001"
    predictor = Predictor(str(checkpoint))
    answer = predictor.predict(str(tree / "recordings" / "s001" / "r001"))
    assert answer.label in ("negative", "positive", "surprise")
    assert len(answer.curves["motion_px"]) == 3 and answer.curves["motion_px"][0] == 0
    assert answer.images["motion_map"].shape == (32, 32)
    assert answer.numbers["largest_motion_px"] == max(answer.curves["motion_px"])
    hub = FakeHub(large_suffixes=(".safetensors",))
    try:
        push(prepare_publication(checkpoint, "tester/mol"), api=HfApi(endpoint=hub.endpoint, token=hub.token))
        files = hub.files("tester/mol")
    finally:
        hub.close()
    config = json.loads(files["config.json"])
    assert config["model_type"] == "mol" and config["auto_map"]["AutoConfig"] == "configuration_mol.MOLConfig"
    needed = {"modeling_mol.py", "configuration_mol.py", "presets_mol.py", "facial_features_mol.py", "README.md"}
    assert needed | {"flow_decoders_mol.py", "video_processing_fdp.py", "model.safetensors"} <= set(files)
    card = files["README.md"].decode()
    assert "MOL (micro-expression, optical flow, landmarks) reads a short face video" in card
    assert "10.1109/TPAMI.2025.3581162" in card
    loaded = AutoModelForVideoClassification.from_pretrained(checkpoint).eval()
    assert loaded.flow_scale > 0 and loaded.flow_scale != 1
    stored = load_file(checkpoint / "model.safetensors")
    assert torch.equal(stored["mean_landmarks"], loaded.mean_landmarks) and loaded.mean_landmarks.any()
    pixels = predictor.processor(str(tree / "recordings" / "s001" / "r001"), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        scores = loaded(pixel_values=pixels).logits.softmax(-1)[0]
    assert list(answer.probabilities.values()) == pytest.approx(scores.tolist(), abs=1e-6)


def test_a_checkpoint_is_the_start_of_another_run(trained, arguments, tmp_path):
    command = arguments(tmp_path / "next")
    del command[command.index("--model_overrides") :]
    for name in ("--image_size", "--num_frames"):
        del command[command.index(name) : command.index(name) + 2]
    command.remove("--no_final_model")
    command[command.index("--protocol") + 1] = "none"
    command[command.index("--max_steps") + 1] = "1"
    command += ["--init_from", str(trained / "folds" / "s001")]
    config = parse_train_config(command)
    assert config.method.preset == "pretrained"
    assert run(config, command) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (trained / "folds" / "s001",
                                                                           tmp_path / "next" / "final"))  # fmt: skip
    assert torch.equal(before["flow_scale"], after["flow_scale"])
    weights = "mol.stem.layers.0.0.weight"
    assert not torch.equal(before[weights], after[weights])
    torch.testing.assert_close(before[weights], after[weights], atol=0.01, rtol=0)
