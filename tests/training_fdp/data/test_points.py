"""Points follow every augmentation: mirror, warp, scaled motion, mixing; unknown ones stay unknown."""

import pytest
import torch
import torch.nn.functional as F

from processing_fdp.face_networks_fdp import NUM_POINTS
from processing_fdp.face_track_fdp import POINTS_68_OF_MESH
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
from training_fdp.data.followers import MIRRORED_POINTS, Points

SIZE = 48


def blobs(points):
    """Frames with a bright spot at each point: `(batch_size, num_frames, 1, SIZE, SIZE)` in [-1, 1]."""
    middle = (SIZE - 1) / 2
    rows, columns = torch.meshgrid(torch.arange(SIZE) - middle, torch.arange(SIZE) - middle, indexing="ij")
    places = torch.stack([columns, rows], dim=-1)
    distance = (places - points[..., None, None, :]).square().sum(dim=-1)
    return (2 * torch.exp(-distance / 4).amax(dim=2, keepdim=True) - 1).float()


def centre_of_spot(picture, near):
    """Centre of the brightness within 5 pixels of a place, in pixels from the middle."""
    middle = (SIZE - 1) / 2
    rows, columns = torch.meshgrid(torch.arange(SIZE) - middle, torch.arange(SIZE) - middle, indexing="ij")
    weight = (picture + 1) * ((columns - near[0]) ** 2 + (rows - near[1]) ** 2 < 25)
    return torch.stack([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


@pytest.mark.parametrize(
    "changes", [{"flip": 1.0}, {"rotation": 20.0}, {"scale": 0.2, "shift": 0.1}, {"flip": 0.5, "rotation": 10.0}]
)
def test_points_stay_on_the_spots_that_they_mark(changes):
    face = torch.tensor([[-12.0, -9.0], [11.0, -8.0], [1.0, 1.0], [-8.0, 11.0], [7.0, 10.0]])
    points = face + torch.arange(3.0)[:, None, None] * torch.tensor([0.8, -0.4])
    batch = {"pixel_values": blobs(points[None].expand(4, -1, -1, -1)), "landmark_targets": points.repeat(4, 1, 1, 1)}
    augment = build_augmentation(AugmentationConfig(**changes), followers={"landmark_targets": Points()})
    augmented = augment(batch, torch.Generator().manual_seed(0))
    assert not torch.equal(augmented["landmark_targets"], batch["landmark_targets"])
    for clip in range(4):
        for frame in range(3):
            for place in augmented["landmark_targets"][clip, frame]:
                found = centre_of_spot(augmented["pixel_values"][clip, frame, 0], place)
                torch.testing.assert_close(found, place, atol=0.3, rtol=0)


def test_the_left_eye_of_the_mirror_image_is_on_its_left():
    face = torch.tensor([[-12.0, -9.0], [11.0, -8.0], [1.0, 1.0], [-8.0, 11.0], [7.0, 10.0]])[None, None]
    mirrored = Points().mirror(face)[0, 0]
    assert mirrored.tolist() == [[-11.0, -8.0], [12.0, -9.0], [-1.0, 1.0], [-7.0, 10.0], [8.0, 11.0]]
    assert torch.equal(Points().mirror(mirrored[None, None]), face)


def test_pairs_of_the_68_points_are_those_of_the_mesh():
    order = MIRRORED_POINTS[68]
    assert sorted(order) == list(range(68)) and [order[i] for i in order] == list(range(68))
    # MediaPipe's pairs: points of the right eye and mouth corner, and those of the left.
    pairs = {33: 263, 133: 362, 61: 291, 70: 300, 160: 387, 127: 356, 78: 308, 98: 327, 40: 270, 1: 1, 152: 152}
    checked = 0
    for index, other in enumerate(order):
        here, there = POINTS_68_OF_MESH[index], POINTS_68_OF_MESH[other]
        if here in pairs:
            assert there == pairs[here]
            checked += 1
    assert checked >= 9 and max(POINTS_68_OF_MESH) < NUM_POINTS


def test_motion_is_scaled_from_the_first_frame_and_unknown_points_stay_unknown():
    values = torch.randn(2, 3, 5, 2)
    scaled = Points().scale_motion(values, torch.tensor([2.0, 0.5]))
    torch.testing.assert_close(scaled[:, 0], values[:, 0])
    torch.testing.assert_close(scaled[0, 2] - scaled[0, 0], 2 * (values[0, 2] - values[0, 0]))
    torch.testing.assert_close(scaled[1, 1] - scaled[1, 0], 0.5 * (values[1, 1] - values[1, 0]))
    values[0, 1] = float("nan")
    grid = F.affine_grid(torch.eye(2, 3).repeat(2, 1, 1), [2, 1, 8, 8], align_corners=False)
    affine = torch.eye(2, 3).repeat(2, 1, 1)
    for moved in (Points().mirror(values), Points().warp(values, grid, affine)):
        assert moved[0, 1].isnan().all() and moved.isnan().sum() == 10
    mixed = Points().mix(values, values.flip(0), torch.tensor([1.0, 0.5]))
    assert mixed[0, 1].isnan().all() and mixed[1, 1].isnan().all() and not mixed[0, 0].isnan().any()
