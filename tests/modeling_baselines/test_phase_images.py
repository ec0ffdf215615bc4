"""Dynamic images of both phases: weights by hand, what exists of a clip, and the test rule."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModelForVideoClassification

from modeling_baselines import PhaseImagesConfig, PhaseImagesForVideoClassification
from modeling_baselines.phases_baselines import estimate_apex, phase_exists, phase_images

# Bilen et al.'s weights of eight frames, by hand from harmonic numbers.
EIGHT = torch.tensor([-8.461, -1.461, 1.039, 2.039, 2.289, 2.089, 1.589, 0.875])


def build(phases="replace", **settings):
    torch.manual_seed(0)
    return PhaseImagesForVideoClassification(
        PhaseImagesConfig(phases=phases, num_labels=3, num_frames=8, image_size=16, **settings)
    ).eval()


def pulse(apex, total=16, size=20, drift=0.0):
    """A square that brightens until the apex and fades, on a face that slides sideways."""
    time = torch.arange(total).float()
    up, down = time / apex, (total - 1 - time) / (total - 1 - apex)
    columns = torch.arange(size).float() / size
    face = torch.sin(9 * (columns[None] + drift * time[:, None] / total))[:, None].expand(total, size, size)
    frames = 0.3 * face.clone()
    frames[:, 5:10, 5:10] += 0.4 * torch.minimum(up, down)[:, None, None]
    return frames


def test_each_phase_has_the_weights_of_rank_pooling():
    """One-hot frames show the weights themselves; the whole clip of eight frames has those of Bilen et al."""
    frames = torch.eye(8).reshape(1, 8, 1, 8)
    rise, fall, full = phase_images(frames, torch.tensor([2]), reverse_fall=False)[0, :, 0]
    torch.testing.assert_close(full, EIGHT / EIGHT.clamp(min=0).sum(), atol=1e-3, rtol=0)
    three = torch.tensor([-4 / 3, 2 / 3, 2 / 3])
    torch.testing.assert_close(rise[:3], three / (4 / 3), atol=1e-5, rtol=0)
    assert (rise[3:] == 0).all() and (fall[:2] == 0).all() and fall[2] < 0 < fall[3:].sum()


def test_a_reversed_fall_is_the_rise_of_the_clip_played_backwards():
    frames = torch.rand(2, 9, 6, 6)
    backwards = phase_images(frames.flip(1), torch.tensor([5, 6]), reverse_fall=False)[:, 0]
    torch.testing.assert_close(phase_images(frames, torch.tensor([3, 2]), reverse_fall=True)[:, 1], backwards)
    assert not torch.allclose(phase_images(frames, torch.tensor([3, 2]), reverse_fall=False)[:, 1], backwards)


def test_a_still_face_shows_nothing_in_any_image():
    still = torch.rand(1, 1, 6, 6).expand(3, 8, 6, 6)
    assert phase_images(still, torch.tensor([0, 3, 7]), reverse_fall=True).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("apex", "rise", "fall"), [(0, False, True), (1, False, True), (2, True, True), (5, True, True), (6, True, False)]
)
def test_a_phase_needs_three_frames(apex, rise, fall):
    assert phase_exists(torch.rand(1, 8, 4, 4), torch.tensor([apex])).tolist() == [[rise, fall, True]]


def test_repeated_frames_of_a_short_clip_count_once():
    frames = torch.rand(1, 4, 4, 4).repeat_interleave(2, dim=1)
    assert phase_exists(frames, torch.tensor([3])).tolist() == [[False, True, True]]


@pytest.mark.parametrize("apex", [4, 7, 11])
def test_the_apex_is_found_in_a_face_that_slides(apex):
    assert abs(int(estimate_apex(pulse(apex, drift=0.05)[None])) - apex) <= 1
    # The largest difference from the first frame would be the last one.
    assert (pulse(apex, drift=0.05) - pulse(apex, drift=0.05)[:1]).abs().mean((1, 2)).argmax() == 15


def test_scores_are_the_mean_over_the_phases_that_exist():
    model = build()
    pixels = torch.rand(2, 8, 1, 16, 16)
    output = model(pixels, apex_index=torch.tensor([4, 1]))
    shares = output.phase_logits.softmax(-1)
    torch.testing.assert_close(output.logits[0].exp(), shares[0, :2].mean(0))
    torch.testing.assert_close(output.logits[1].exp(), shares[1, 1])
    assert output.phase_mask.tolist() == [[True, True, False], [False, True, False]]
    added = build("add")(pixels, apex_index=torch.tensor([4, 1]))
    torch.testing.assert_close(added.logits[0].exp(), added.phase_logits[0].softmax(-1).mean(0))


def test_a_clip_without_a_phase_is_judged_as_a_whole():
    output = build()(torch.rand(1, 8, 1, 16, 16)[:, :2].repeat_interleave(4, dim=1))
    assert output.phase_mask.tolist() == [[False, False, True]]
    assert output.phase_exists.tolist() == [[False, False, True]]


def test_images_outside_of_the_loss_do_not_reach_the_statistics_of_batch_norm():
    model = build().train()
    pixels, told = torch.rand(4, 8, 1, 16, 16), torch.tensor([4, 4, 3, 4])
    model(pixels, apex_index=told, labels=torch.zeros(4, dtype=torch.long))
    layer = model.network.features[0]
    images = phase_images(pixels[:, :, 0], told, True)[:, :2].flatten(0, 1)[:, None] * 4
    torch.testing.assert_close(model.network.features[1].running_mean, 0.1 * layer(images).mean((0, 2, 3)))


def test_a_clip_counts_once_in_the_loss_however_many_images_it_has():
    model, weights = build(), torch.tensor([1.0, 2.0, 5.0])
    pixels, labels = torch.rand(2, 8, 1, 16, 16), torch.tensor([0, 2])
    output = model(pixels, apex_index=torch.tensor([4, 1]), labels=labels, class_weights=weights)
    losses = -output.phase_logits.log_softmax(-1)
    first, second = losses[0, :2, 0].mean(), losses[1, 1, 2]
    torch.testing.assert_close(output.loss, (1 * first + 5 * second) / 6)


def test_random_draws_one_phase_per_clip_in_training_alone():
    model = build("random")
    pixels, told = torch.rand(40, 8, 1, 16, 16), torch.full((40,), 4)
    torch.manual_seed(1)
    mask = model.train()(pixels, apex_index=told).phase_mask
    assert (mask.sum(1) == 1).all() and 5 < mask[:, 0].sum() < 35 and not mask[:, 2].any()
    assert model.eval()(pixels, apex_index=told).phase_mask.sum() == 80


def test_an_unknown_apex_is_estimated_and_one_outside_is_refused():
    model, pixels = build(), pulse(4, total=8, size=16)[None, :, None]
    assert model(pixels, apex_index=torch.tensor([-1])).apex_index.tolist() == model(pixels).apex_index.tolist()
    for apex in (-2, 8):
        with pytest.raises(ValueError, match="must lie in the clip of 8 frames or be -1"):
            model(pixels, apex_index=torch.tensor([apex]))


@pytest.mark.parametrize("network", ["cnn", "resnet18", "vit"])
def test_saved_and_loaded_by_its_type_it_answers_alike(network, tmp_path):
    model = build(image_network=network)
    model.save_pretrained(tmp_path)
    pixels = torch.rand(2, 8, 1, 16, 16)
    loaded = AutoModelForVideoClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(pixels).logits, model(pixels).logits)
    assert (tmp_path / "phases_baselines.py").exists() and (tmp_path / "modeling_baselines.py").exists()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"image_network": "vit", "image_size": 20}, "a multiple of 8 pixels"),
        ({"num_frames": 2}, "3 frames"),
        ({"phases": "both"}, "phases"),
    ],
)
def test_what_the_network_cannot_take_is_refused(settings, complaint):
    with pytest.raises(StrictDataclassError, match=complaint):
        PhaseImagesConfig(**settings)
