"""MOL networks: shapes, what each switch changes, losses by hand, gradients, and inputs that are refused."""

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForVideoClassification

from modeling_mol import MOLConfig, MOLForVideoClassification, MOLModel
from modeling_mol.modeling_mol import CHARBONNIER_WIDTH, earlier_frames, inter_ocular_distance

FACE = torch.tensor([[-8.0, -6.0], [8.0, -6.0], [0.0, 0.0], [-5.0, 7.0], [5.0, 7.0]])


def targets_of(batch_size=2, num_frames=4, size=32):
    generator = torch.Generator().manual_seed(1)
    flow = torch.randn(batch_size, 2, num_frames - 1, size, size, generator=generator)
    points = FACE + 0.3 * torch.randn(batch_size, num_frames, 5, 2, generator=generator)
    return {"labels": torch.arange(batch_size) % 3, "flow_targets": flow, "landmark_targets": points}


@pytest.mark.parametrize("num_frames", [2, 5, 8, 16])
@pytest.mark.parametrize("roles", [False, True])
def test_shapes_of_the_outputs(num_frames, roles, small_mol, frames):
    model = small_mol(num_frames=num_frames, separate_roles=roles)
    output = model(frames(num_frames))
    assert output.logits.shape == (2, 3)
    assert output.flow.shape == (2, 2, num_frames - 1, 32, 32)
    assert output.landmarks.shape == (2, num_frames, 5, 2)
    assert output.loss is None and output.losses is None
    features = model.mol(frames(num_frames))
    assert features.last_hidden_state.shape == (2, 2 * (num_frames - 1) if roles else num_frames, 16, 8, 8)
    assert features.pooler_output.shape == (2, 16)


def test_frames_are_paired_with_the_first_or_the_previous_one(small_mol, frames):
    clip = frames()
    other = clip.clone()
    other[:, 2] = other[:, 2].flip(-1)
    changed = {}
    for reference in ("first", "previous"):
        model = small_mol(flow_reference=reference)
        with torch.no_grad():
            difference = (model(clip).flow - model(other).flow).abs().amax(dim=(0, 1, 3, 4))
        changed[reference] = (difference > 1e-7).tolist()
    assert changed == {"first": [False, True, False], "previous": [False, True, True]}
    assert torch.equal(earlier_frames(clip, "previous"), clip[:, :-1])
    assert torch.equal(earlier_frames(clip, "first"), clip[:, [0, 0, 0]])


def test_each_block_can_be_left_out(small_mol, frames):
    clip = frames()
    both, without = small_mol(), small_mol(use_fully_connected_convolution=False, use_channel_correspondence=False)
    stem = without.mol(clip).stem_maps[-1]
    assert torch.equal(without.mol(clip).last_hidden_state, stem)
    assert not torch.allclose(both.mol(clip).last_hidden_state, both.mol(clip).stem_maps[-1])
    graph_alone = small_mol(use_fully_connected_convolution=False)
    expected = graph_alone.mol.block.correspondence(graph_alone.mol(clip).stem_maps[-1].flatten(0, 1))
    torch.testing.assert_close(graph_alone.mol(clip).last_hidden_state.flatten(0, 1), expected)
    convolution_alone = small_mol(use_channel_correspondence=False)
    expected = convolution_alone.mol.block.fully_connected(convolution_alone.mol(clip).stem_maps[-1].flatten(0, 1))
    torch.testing.assert_close(convolution_alone.mol(clip).last_hidden_state.flatten(0, 1), expected)


def test_separate_roles_encode_the_earlier_frame_with_other_weights(small_mol, frames):
    clip = frames()
    model = small_mol(separate_roles=True, flow_reference="previous")
    with torch.no_grad():
        features = model.mol(clip)
        stacked = features.last_hidden_state
        # Earlier and later frame of each pair in turn: frames 0, 1, 1, 2, 2, 3.
        torch.testing.assert_close(stacked[:, 0::2], features.earlier_features)
        torch.testing.assert_close(stacked[:, 1::2], features.frame_features[:, 1:])
        assert not torch.allclose(stacked[:, 1], stacked[:, 2])
        model.mol.earlier_block.load_state_dict(model.mol.block.state_dict())
        stacked = model.mol(clip).last_hidden_state
        torch.testing.assert_close(stacked[:, 1], stacked[:, 2])


def test_each_task_can_be_left_out(small_mol, frames):
    without_flow = small_mol(flow_decoder="none", classifier_inputs="features")
    without_points = small_mol(num_landmarks=0)
    targets = targets_of()
    assert without_flow(frames()).flow is None and without_points(frames()).landmarks is None
    assert without_flow(frames()).landmarks is not None and without_points(frames()).flow is not None
    with pytest.raises(ValueError, match=r"`flow_targets` must fit .* no such targets"):
        without_flow(frames(), flow_targets=targets["flow_targets"])
    with pytest.raises(ValueError, match=r"`landmark_targets` must fit .* no such targets"):
        without_points(frames(), landmark_targets=targets["landmark_targets"])


def test_the_decoder_sees_differences_or_both_frames(small_mol, frames):
    clip = frames()
    still = clip[:, :1].expand(-1, 4, -1, -1, -1)
    with torch.no_grad():
        seen = {kind: [] for kind in ("derivatives", "frames")}
        for kind, inputs in seen.items():
            decoder = small_mol(flow_inputs=kind).flow_decoder
            handle = decoder.fine.register_forward_pre_hook(lambda module, given, inputs=inputs: inputs.append(given))
            earlier, later = clip[:, 0], clip[:, 2]
            maps = [torch.randn(2, channels, size, size) for channels, size in ((8, 16), (16, 8), (16, 8))]
            decoder(earlier, later, maps[-1], maps[-1], maps, maps)
            handle.remove()
    pixels = {kind: inputs[0][0][1] for kind, inputs in seen.items()}
    torch.testing.assert_close(pixels["frames"], torch.cat([clip[:, 0], clip[:, 2]], dim=1))
    # In evaluation mode the norms divide by sqrt(1 + 1e-5), as they start.
    torch.testing.assert_close(pixels["derivatives"][:, 1:2], clip[:, 2] - clip[:, 0], atol=1e-4, rtol=1e-4)
    assert pixels["derivatives"].shape[1] == 4
    flow = small_mol()(still).flow
    torch.testing.assert_close(flow, flow[:, :, :1].expand_as(flow))


def test_losses_are_those_of_the_definition(small_mol, frames):
    model = small_mol(flow_loss_weight=0.7, landmark_loss_weight=3.0)
    model.store_training_facts(0.5, FACE)
    targets = targets_of()
    output = model(frames(), **targets)
    scaled = (output.flow - targets["flow_targets"]) / 0.5
    expected = {
        "classification": F.cross_entropy(output.logits, targets["labels"]),
        "flow": (scaled**2 + CHARBONNIER_WIDTH**2).sqrt().mean(),
    }
    terms = []
    for estimate, truth in zip(output.landmarks.flatten(0, 1), targets["landmark_targets"].flatten(0, 1), strict=True):
        terms.append((estimate - truth).abs().mean() / torch.dist(truth[0], truth[1]))
    expected["landmarks"] = torch.stack(terms).mean()
    assert set(output.losses) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(output.losses[name], value)
    total = expected["classification"] + 0.7 * expected["flow"] + 3 * expected["landmarks"]
    torch.testing.assert_close(output.loss, total)
    squared = small_mol(flow_loss="squared")
    output = squared(frames(), flow_targets=targets["flow_targets"])
    torch.testing.assert_close(output.losses["flow"], ((output.flow - targets["flow_targets"]) ** 2).mean())


def test_a_missing_target_switches_its_term_off(small_mol, frames):
    targets = targets_of()
    for name, part in (("labels", "classification"), ("flow_targets", "flow"), ("landmark_targets", "landmarks")):
        output = small_mol(flow_loss_weight=1.0)(frames(), **{name: targets[name]})
        assert list(output.losses) == [part] and torch.equal(output.loss, output.losses[part])


def test_frames_without_landmarks_are_left_out_of_the_loss(small_mol, frames):
    model, points = small_mol(), targets_of()["landmark_targets"]
    partly = points.clone()
    partly[0, 1:] = float("nan")
    output = model(frames(), landmark_targets=partly)
    kept = torch.ones(2, 4, dtype=torch.bool)
    kept[0, 1:] = False
    error = (output.landmarks - points).abs().mean(dim=(2, 3)) / inter_ocular_distance(points)
    torch.testing.assert_close(output.loss, error[kept].mean())
    nothing = model(frames(), landmark_targets=torch.full_like(points, float("nan")))
    assert nothing.loss == 0 and nothing.loss.requires_grad
    nothing.loss.backward()
    assert all(weight.grad is None or bool(weight.grad.isfinite().all()) for weight in model.parameters())


def test_landmarks_start_at_the_mean_of_the_training_clips(small_mol, frames):
    model = small_mol()
    model.store_training_facts(0.2, FACE)
    torch.nn.init.zeros_(model.landmark_head.output.weight)
    torch.testing.assert_close(model(frames()).landmarks, FACE.expand(2, 4, 5, 2))
    for scale, points in ((0.0, FACE), (float("nan"), FACE), (1.0, FACE[:4])):
        with pytest.raises(ValueError, match="above 0 and `mean_landmarks` of shape"):
            model.store_training_facts(scale, points)


def test_the_initial_flow_is_almost_none(small_mol, frames):
    assert small_mol()(frames()).flow.abs().max() < 0.1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"separate_roles": True, "flow_reference": "previous", "graph_nodes": "positions", "released_graph": True},
        {"flow_inputs": "frames", "stem_normalization": False, "flow_loss": "squared"},
    ],
)
def test_gradient_reaches_every_weight(changes, small_mol, frames):
    model = small_mol(**changes).train()
    model(frames(batch_size=4), **targets_of(4)).loss.backward()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]


@pytest.mark.parametrize(("inputs", "largest"), [("flow", 0.5), ("features", 0.01)])
def test_eight_clips_are_learnt_by_heart(inputs, largest, small_mol, frames):
    model = small_mol(classifier_dropout=0.0, classifier_inputs=inputs).train()
    clips = torch.cat([frames(), frames().flip(-1), frames().flip(-2), -frames()])
    targets = targets_of(8)
    # Faces that stretch, stay or shrink, by their class.
    stretch = (targets["labels"] - 1)[:, None, None, None, None] * torch.linspace(-1, 1, 32)
    targets["flow_targets"] = stretch.expand(8, 2, 3, 32, 32)
    model.store_training_facts(1.0, FACE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        output = model(clips, **targets)
        output.loss.backward()
        optimizer.step()
    assert output.losses["classification"] < largest


def moving_patterns(num_clips, seed):
    """Clips of random patterns, no two alike, that move half a pixel a frame; the class is the direction."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(num_clips, 1, 8, 8, generator=generator)
    patterns = F.interpolate(coarse, size=(32, 32), mode="bicubic") * 0.4
    labels = torch.arange(num_clips) % 4
    steps = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])[labels]
    clips = []
    for frame in range(3):
        moved = torch.cat([torch.eye(2).expand(num_clips, 2, 2), steps[..., None] * frame / 32], dim=2)
        grid = F.affine_grid(moved, [num_clips, 1, 32, 32], align_corners=False)
        clips.append(F.grid_sample(patterns, grid, padding_mode="border", align_corners=False))
    return torch.stack(clips, dim=1).clamp(-1, 1), labels


@pytest.mark.parametrize(("stem_inputs", "least", "largest"), [("derivatives", 0.9, 1.0), ("frames", 0.2, 0.75)])
def test_the_class_of_a_movement_is_learnt_for_patterns_not_seen(stem_inputs, least, largest, small_mol):
    """Four hundred clips teach it; from the frames alone, which differ by a hundredth, it learns half of it."""
    heads = {"num_landmarks": 0, "flow_decoder": "none", "classifier_inputs": "features", "classifier_dropout": 0.0}
    model = small_mol(stem_inputs=stem_inputs, num_frames=3, num_labels=4, **heads).train()
    clips, labels = moving_patterns(400, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(50):
        rows = torch.randperm(400)[:40]
        optimizer.zero_grad()
        model(clips[rows], labels=labels[rows]).loss.backward()
        optimizer.step()
    others, their_labels = moving_patterns(80, seed=1)
    with torch.no_grad():
        answers = model.eval()(others).logits.argmax(dim=1)
    assert least <= (answers == their_labels).float().mean() <= largest


@pytest.mark.parametrize("num_frames", [2, 4, 8])
def test_the_classifier_reads_the_flow_without_its_mean_or_the_features(num_frames, small_mol, frames):
    seen = []
    for inputs in ("features", "flow"):
        model = small_mol(classifier_inputs=inputs, num_frames=num_frames)
        torch.nn.init.normal_(model.flow_decoder.output.weight)
        model.store_training_facts(0.5, FACE)
        model.classifier.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        output = model(frames(num_frames))
    # Both networks have the same first layers, because they are drawn first.
    torch.testing.assert_close(seen[0], model.mol(frames(num_frames)).last_hidden_state)
    # Means of 4 x 4 pixels, in units of the scale.
    cells = (output.flow / 0.5).unflatten(4, (8, 4)).unflatten(3, (8, 4)).mean(dim=(4, 6)).transpose(1, 2)
    torch.testing.assert_close(seen[1], cells - cells.mean(dim=(3, 4), keepdim=True), atol=1e-5, rtol=1e-4)


def test_the_classifier_reads_every_pair(small_mol):
    """Seven pairs leave three steps in time, of which pooling by two would skip the last."""
    classifier = small_mol(num_frames=8).classifier
    maps = torch.zeros(1, 7, 2, 8, 8)
    other = maps.clone()
    other[:, -1] = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(classifier(maps), classifier(other))


@pytest.mark.parametrize("reference", ["first", "previous"])
def test_the_stem_reads_a_frame_as_its_change_from_the_earlier_one(reference, small_mol, frames):
    model, seen = small_mol(flow_reference=reference), []
    model.mol.stem.register_forward_pre_hook(lambda module, given: seen.append(given[0].unflatten(0, (2, 4))))
    clip = frames()
    model.mol(clip)
    earlier = clip[:, [0, 0, 0, 0] if reference == "first" else [0, 0, 1, 2]]
    assert seen[0].shape == (2, 4, 4, 32, 32)
    torch.testing.assert_close(seen[0][:, :, :1], earlier)
    torch.testing.assert_close(seen[0][:, :, 1:2], clip - earlier)


def test_clips_of_a_batch_do_not_touch_each_other(small_mol, frames):
    model, clips = small_mol(), frames(batch_size=3)
    with torch.no_grad():
        whole, alone = model(clips), model(clips[1:2])
    for name in ("logits", "flow", "landmarks"):
        torch.testing.assert_close(whole[name][1:2], alone[name], atol=1e-4, rtol=1e-4)


def test_half_precision_gives_almost_the_same(small_mol, frames):
    model = small_mol()
    with torch.no_grad():
        full = model(frames())
        half = small_mol().to(torch.bfloat16)(frames())
    assert half.logits.dtype == torch.bfloat16
    torch.testing.assert_close(half.logits.float(), full.logits, atol=0.15, rtol=0.1)
    assert half.flow.shape == full.flow.shape


def test_saved_and_loaded_it_answers_alike(small_mol, frames, tmp_path):
    model = small_mol()
    model.store_training_facts(0.3, FACE)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForVideoClassification.from_pretrained(tmp_path).eval()
    assert type(loaded) is MOLForVideoClassification and loaded.flow_scale == pytest.approx(0.3)
    with torch.no_grad():
        for name, values in model(frames()).items():
            assert torch.equal(loaded(frames())[name], values), name
        base = AutoModel.from_pretrained(tmp_path).eval()
        assert type(base) is MOLModel
        assert torch.equal(base(frames()).last_hidden_state, model.mol(frames()).last_hidden_state)
    assert {"modeling_mol.py", "configuration_mol.py", "facial_features_mol.py", "flow_decoders_mol.py"} <= {
        path.name for path in tmp_path.iterdir()
    }


@pytest.mark.parametrize(
    ("clip", "complaint"),
    [
        (torch.zeros(2, 1, 1, 32, 32), r"\(batch_size, 4, 1, 32, 32\).*but \(2, 1, 1, 32, 32\)"),
        (torch.zeros(2, 4, 1, 32, 30), "but .*32, 30.* was given"),
        (torch.zeros(4, 1, 32, 32), "must have shape"),
        (torch.zeros(0, 4, 1, 32, 32), "must have shape"),
        (torch.zeros(1, 4, 1, 32, 32, dtype=torch.uint8), "floating point in .* torch.uint8"),
        (torch.full((1, 4, 1, 32, 32), float("nan")), "must be finite"),
    ],
)
def test_other_pixels_are_refused(clip, complaint, small_mol):
    with pytest.raises(ValueError, match=complaint):
        small_mol()(clip)


@pytest.mark.parametrize(
    ("targets", "complaint"),
    [
        ({"labels": torch.tensor([0, 3])}, r"in \[0, 3\), but values from 0 to 3"),
        ({"labels": torch.tensor([0.0, 1.0])}, "2 integers"),
        ({"flow_targets": torch.zeros(2, 2, 4, 32, 32)}, r"shape \(2, 2, 3, 32, 32\), but shape \(2, 2, 4, 32, 32\)"),
        ({"landmark_targets": torch.zeros(2, 4, 68, 2)}, r"shape \(2, 4, 5, 2\), but shape \(2, 4, 68, 2\)"),
    ],
)
def test_other_targets_are_refused(targets, complaint, small_mol, frames):
    with pytest.raises(ValueError, match=complaint):
        small_mol()(frames(), **targets)


def test_the_convolution_that_reads_the_input_can_be_replaced(small_mol):
    model = small_mol()
    other = torch.nn.Conv2d(1, 8, 5, stride=2, padding=2)
    model.set_input_embeddings(other)
    assert model.get_input_embeddings() is other


def test_eyes_of_both_sets_of_points():
    points = torch.zeros(68, 2)
    points[36:42, 0], points[42:48, 0] = -10, 10
    assert inter_ocular_distance(points) == 20 and inter_ocular_distance(FACE) == 16


def test_config_of_the_defaults_is_the_preset_small():
    assert MOLConfig().to_diff_dict() == MOLConfig.from_preset("small").to_diff_dict()
