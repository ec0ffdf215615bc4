import dataclasses

import numpy as np
import pytest
import torch

from training_fdp.data import augmentation
from training_fdp.data.augmentation import AugmentationConfig, sample_augmented_indices
from training_fdp.data.followers import FlowField, Follower, MotionPicture, Points, Sides

FOLLOWERS = {"dynamic_image_targets": MotionPicture(), "action_units": Sides()}


def build_augmentation(config, num_labels=None):
    return augmentation.build_augmentation(config, num_labels, FOLLOWERS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make_batch(batch_size=6, num_frames=5, height=16, width=12, seed=0):
    generator = seeded(seed)
    return {
        "pixel_values": torch.rand(batch_size, num_frames, 1, height, width, generator=generator) * 1.6 - 0.8,
        "labels": torch.arange(batch_size) % 3,
        "dynamic_image_targets": torch.rand(batch_size, 1, height, width, generator=generator),
        "action_units": torch.rand(batch_size, 4, 2, generator=generator),
        "clip_index": torch.arange(batch_size),
    }


SPATIAL = {
    "flip": 1.0,
    "shift": 0.2,
    "scale": 0.2,
    "rotation": 20.0,
    "gamma": 0.5,
    "brightness": 0.3,
    "motion_scale": 0.5,
    "static_face_mix": 1.0,
    "mixup": 1.0,
}


def test_all_off_changes_nothing():
    batch = make_batch()
    augmented = build_augmentation(AugmentationConfig())(batch, seeded())
    assert augmented.keys() == batch.keys()
    for name in batch:
        assert torch.equal(augmented[name], batch[name]), name


@pytest.mark.parametrize("name", SPATIAL)
def test_each_option_changes_pixels_keeps_the_range_and_spares_the_input(name):
    batch = make_batch()
    before = {key: value.clone() for key, value in batch.items()}
    augment = build_augmentation(AugmentationConfig(**{name: SPATIAL[name]}), num_labels=3)
    augmented = augment(batch, seeded())
    assert not torch.allclose(augmented["pixel_values"], batch["pixel_values"])
    assert augmented["pixel_values"].abs().max() <= 1
    assert augmented["pixel_values"].shape == batch["pixel_values"].shape
    assert augmented["pixel_values"].dtype == torch.float32
    assert torch.equal(augmented["clip_index"], batch["clip_index"])
    assert all(torch.equal(batch[key], before[key]) for key in batch)
    again = augment(batch, seeded())
    other = augment(batch, seeded(1))
    assert torch.equal(again["pixel_values"], augmented["pixel_values"])
    if name != "flip":
        assert not torch.equal(other["pixel_values"], augmented["pixel_values"])


@pytest.mark.parametrize("name", SPATIAL)
def test_a_still_clip_stays_still(name):
    batch = make_batch()
    still = {"pixel_values": batch["pixel_values"][:, :1].expand(-1, 5, -1, -1, -1), "labels": batch["labels"]}
    pixels = build_augmentation(AugmentationConfig(**{name: SPATIAL[name]}), num_labels=3)(still, seeded())[
        "pixel_values"
    ]
    torch.testing.assert_close(pixels, pixels[:, :1].expand_as(pixels), atol=1e-6, rtol=0)


def test_switching_one_option_leaves_the_draws_of_the_others_alone():
    batch = make_batch()
    shifted = build_augmentation(AugmentationConfig(shift=0.2))(batch, seeded())["pixel_values"]
    both = build_augmentation(AugmentationConfig(flip=1.0, shift=0.2))(
        {"pixel_values": batch["pixel_values"].flip(-1)}, seeded()
    )["pixel_values"]
    torch.testing.assert_close(both, shifted)


def test_flip_mirrors_pixels_dynamic_image_and_action_unit_sides_together():
    batch = make_batch(batch_size=40)
    augmented = build_augmentation(AugmentationConfig(flip=0.5))(batch, seeded())
    mirrored = [
        torch.equal(after, before.flip(-1))
        for after, before in zip(augmented["pixel_values"], batch["pixel_values"], strict=True)
    ]
    assert 8 < sum(mirrored) < 32
    for name in ("dynamic_image_targets", "action_units"):
        for i, flipped in enumerate(mirrored):
            assert torch.equal(augmented[name][i], batch[name][i].flip(-1) if flipped else batch[name][i])
    assert torch.equal(augmented["labels"], batch["labels"])


def test_rotation_keeps_lengths_on_oblong_images():
    # A point right of the centre by 20 pixels of a 40 x 80 image turns by 30 degrees onto a circle of 20 pixels.
    image = torch.zeros(1, 1, 1, 40, 80) - 1
    image[..., 19:21, 58:61] = 1
    config = AugmentationConfig(rotation=30.0)
    pixels = build_augmentation(config)({"pixel_values": image}, seeded(3))["pixel_values"][0, 0, 0]
    mass = (pixels + 1) / (pixels + 1).sum()
    rows, columns = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(80) - 39.5, indexing="ij")
    y, x = (mass * rows).sum(), (mass * columns).sum()
    assert abs(y) > 2
    assert torch.hypot(x, y).item() == pytest.approx(19.5, abs=0.5)


def test_dynamic_image_target_follows_the_geometry():
    # Target and frame hold the same picture, far from the border: they must stay the same.
    blob = torch.zeros(4, 1, 1, 32, 32)
    blob[..., 12:18, 14:20] = 0.4
    batch = {"pixel_values": blob, "dynamic_image_targets": blob[:, 0] + 0.5}
    config = AugmentationConfig(shift=0.1, rotation=15.0, scale=0.2)
    augmented = build_augmentation(config)(batch, seeded())
    torch.testing.assert_close(augmented["dynamic_image_targets"] - 0.5, augmented["pixel_values"][:, 0])


def test_motion_scale_scales_differences_from_the_first_frame():
    batch = make_batch()
    batch["pixel_values"] = batch["pixel_values"] * 0.3
    augmented = build_augmentation(AugmentationConfig(motion_scale=0.5))(batch, seeded())["pixel_values"]
    before, after = batch["pixel_values"][:, 1:] - batch["pixel_values"][:, :1], augmented[:, 1:] - augmented[:, :1]
    factors = (after * before).flatten(1).sum(1) / (before * before).flatten(1).sum(1)
    torch.testing.assert_close(after, factors[:, None, None, None, None] * before)
    assert torch.equal(augmented[:, 0], batch["pixel_values"][:, 0])
    assert factors.min() > np.exp(-0.5) - 1e-4
    assert factors.max() < np.exp(0.5) + 1e-4
    assert factors.std() > 0.05


def test_static_face_mix_halves_motion_in_one_region_and_borrows_another_face():
    batch = make_batch(batch_size=8, height=16, width=16)
    pixels = batch["pixel_values"]
    mixed = build_augmentation(AugmentationConfig(static_face_mix=1.0))(batch, seeded())["pixel_values"]
    regions = set()
    for i in range(8):
        changed = (mixed[i] != pixels[i]).any(0)[0]
        rows, columns = torch.where(changed)
        regions.add((rows.min().item(), rows.max().item(), columns.min().item(), columns.max().item()))
        borrowed = 2 * mixed[i][:, :, changed] - pixels[i][:, :, changed]
        torch.testing.assert_close(borrowed, borrowed[:1].expand_as(borrowed))
        sources = [j for j in range(8) if torch.allclose(borrowed[0], pixels[j, 0][:, changed], atol=1e-6)]
        assert len(sources) == 1
        assert sources[0] != i
    assert regions <= {(0, 3, 0, 15), (12, 15, 0, 15), (4, 11, 0, 7), (4, 11, 8, 15)}
    assert len(regions) > 1


def test_static_face_mix_leaves_labels_and_action_units_and_a_clip_alone():
    options = AugmentationConfig(static_face_mix=1.0)
    batch = {**make_batch(batch_size=4), "labels": torch.arange(4), "action_units": torch.rand(4, 3, 2)}
    mixed = build_augmentation(options)(batch, seeded())
    assert not torch.equal(mixed["pixel_values"], batch["pixel_values"])
    assert torch.equal(mixed["labels"], batch["labels"]) and torch.equal(mixed["action_units"], batch["action_units"])
    alone = make_batch(batch_size=1)
    assert torch.equal(build_augmentation(options)(alone, seeded())["pixel_values"], alone["pixel_values"])


@pytest.mark.parametrize(
    ("follower", "shape", "still"), [(MotionPicture(), (2, 1, 4, 6), 0.5), (FlowField(), (2, 2, 3, 4, 6), 0.0)]
)
def test_motion_inside_a_mask_becomes_the_share_of_the_frames_there(follower, shape, still):
    values, masks = torch.rand(shape, generator=seeded()), torch.zeros(2, 4, 6, dtype=torch.bool)
    masks[1, :2, 1:3] = True
    for factor in (0.0, 0.25, 1.0):
        scaled = follower.scale_motion_inside(values, masks, factor)
        torch.testing.assert_close(scaled[1, ..., :2, 1:3] - still, factor * (values[1, ..., :2, 1:3] - still))
        assert torch.equal(scaled[0], values[0]) and torch.equal(scaled[1, ..., 2:, :], values[1, ..., 2:, :])
    places = torch.rand(2, 3, 5, 2, generator=seeded())
    assert Points().scale_motion_inside(places, masks, 0.0) is places


def test_mixup_mixes_pixels_and_labels_with_the_same_weight():
    batch = make_batch()
    # Clip i is the constant i / 10, and its label is i: the mixed label tells the mixed pixel value.
    batch["labels"] = torch.arange(6)
    batch["pixel_values"] = (torch.arange(6) / 10)[:, None, None, None, None].expand(6, 5, 1, 16, 12)
    augmented = build_augmentation(AugmentationConfig(mixup=1.0, mixup_alpha=2.0), num_labels=6)(batch, seeded())
    labels = augmented["labels"]
    torch.testing.assert_close(labels.sum(1), torch.ones(6))
    assert (labels > 0).sum(1).tolist() == [2] * 6
    expected = (labels * torch.arange(6) / 10).sum(1)
    torch.testing.assert_close(augmented["pixel_values"][:, 0, 0, 0, 0], expected)
    with pytest.raises(ValueError, match="num_labels"):
        build_augmentation(AugmentationConfig(mixup=0.5))


@pytest.mark.parametrize("total", [1, 3, 8, 9, 40, 201])
@pytest.mark.parametrize("num_frames", [1, 8, 16])
def test_indices_without_augmentation_are_the_rounded_linspace(total, num_frames):
    indices = sample_augmented_indices(total, None, None, None, num_frames, AugmentationConfig(), seeded())
    np.testing.assert_array_equal(indices, np.rint(np.linspace(0, total - 1, num_frames)).astype(int))


@pytest.mark.parametrize("seed", range(20))
def test_augmented_indices_stay_in_the_clip_and_in_order(seed):
    config = AugmentationConfig(time_jitter=0.5, speed=0.4, phase=0.5)
    generator = seeded(seed)
    for total, onset, apex, offset in [
        (40, 0, 17, 39),
        (12, 2, None, 9),
        (2, 0, 1, 1),
        (1, 0, 0, 0),
        (30, None, None, None),
    ]:
        indices = sample_augmented_indices(total, onset, apex, offset, 8, config, generator)
        assert indices.dtype == np.int64
        assert indices.shape == (8,)
        assert (np.diff(indices) >= 0).all()
        assert indices.min() >= (0 if onset is None else onset)
        assert indices.max() <= (total - 1 if offset is None else offset)


def test_phases_end_at_the_apex_and_occur_equally_often():
    config = AugmentationConfig(phase=1.0)
    generator = seeded()
    spans = [
        (indices[0], indices[-1])
        for indices in (sample_augmented_indices(41, 0, 15, 40, 8, config, generator) for _ in range(200))
    ]
    assert set(spans) == {(0, 15), (15, 40)}
    assert 70 < spans.count((0, 15)) < 130
    backwards = dataclasses.replace(config, reverse_offset_phase=True)
    spans = {
        (indices[0], indices[-1])
        for indices in (sample_augmented_indices(41, 0, 15, 40, 8, backwards, generator) for _ in range(50))
    }
    assert spans == {(0, 15), (40, 15)}


def test_speed_changes_the_span_and_jitter_the_inner_frames():
    generator = seeded()
    spans = []
    for _ in range(100):
        indices = sample_augmented_indices(1001, 0, None, 1000, 8, AugmentationConfig(speed=0.3), generator)
        spans.append(indices[-1] - indices[0])
    assert min(spans) < 780
    assert max(spans) == 1000
    jittered = [
        sample_augmented_indices(701, 0, None, 700, 8, AugmentationConfig(time_jitter=0.3), generator)
        for _ in range(50)
    ]
    distance = np.abs(np.stack(jittered) - np.arange(0, 701, 100))
    assert distance.max() <= 30
    assert distance.mean() > 5


def test_clip_with_indices_out_of_order_is_refused():
    with pytest.raises(ValueError, match="check the coding sheet"):
        sample_augmented_indices(10, 5, None, 3, 8, AugmentationConfig(), seeded())


@pytest.mark.parametrize("options", [{"flip": 1.5}, {"shift": -0.1}, {"speed": 1.0}, {"mixup_alpha": 0.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        AugmentationConfig(**options)


def test_default_set_is_on_and_the_plain_config_is_off():
    assert AugmentationConfig.default() != AugmentationConfig()
    assert AugmentationConfig.default().is_temporal
    assert not AugmentationConfig().is_temporal
    batch = make_batch()
    augmented = build_augmentation(AugmentationConfig.default())(batch, seeded())
    assert not torch.allclose(augmented["pixel_values"], batch["pixel_values"])


def test_a_shorter_span_lies_anywhere_in_the_clip():
    generator = seeded()
    config = AugmentationConfig(speed=0.5)
    spans = [sample_augmented_indices(1001, 0, None, 1000, 8, config, generator)[[0, -1]] for _ in range(300)]
    short = [(first, last) for first, last in spans if last - first < 900]
    free = [first / (1000 - (last - first)) for first, last in short]
    assert len(short) > 80 and 0.4 < np.mean(free) < 0.6
    assert np.mean(np.array(free) < 0.1) < 0.25 and np.mean(np.array(free) > 0.9) < 0.25


def test_angle_scale_and_shift_are_drawn_each_by_itself():
    caught = []

    class Spy(Follower):
        def warp(self, values, grid, affine):
            caught.append(affine)
            return values

    config = AugmentationConfig(rotation=20.0, scale=0.2, shift=0.1)
    augment = augmentation.build_augmentation(config, None, {"spy": Spy()})
    augment({"pixel_values": torch.zeros(800, 1, 1, 8, 8), "spy": torch.zeros(800)}, seeded())
    (affine,) = caught
    angle = torch.atan2(affine[:, 1, 0], affine[:, 0, 0])
    zoom = affine[:, 0, :2].norm(dim=1)
    drawn = torch.stack([angle, zoom, affine[:, 0, 2], affine[:, 1, 2]])
    apart = torch.corrcoef(drawn) - torch.eye(4)
    assert apart.abs().max() < 0.15
    assert torch.rad2deg(angle).abs().max() == pytest.approx(20, abs=0.5)
    assert (zoom.min(), zoom.max()) == (pytest.approx(1 / 1.2, abs=0.01), pytest.approx(1 / 0.8, abs=0.01))
    assert affine[:, :, 2].abs().max() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("name", augmentation.bounds_of(AugmentationConfig))
def test_every_augmentation_has_a_largest_value(name):
    bound = augmentation.bounds_of(AugmentationConfig)[name]
    for value in (-0.1, float("nan"), *([bound + 0.1] if bound < float("inf") else [])):
        with pytest.raises(ValueError, match=f"augmentation.{name} must lie in"):
            AugmentationConfig(**{name: value})


def test_an_augmentation_without_a_largest_value_is_refused():
    @dataclasses.dataclass(frozen=True)
    class More(AugmentationConfig):
        blur: float = 0.0

    with pytest.raises(TypeError, match="blur has none"):
        More()
