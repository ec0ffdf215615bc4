"""Augmentation of the tensors that accompany the pixels of a batch.

Every hook gets the values of all clips of a batch and returns them all changed; the augmentation then selects per
clip. A new kind of target is a subclass here or in another package.
"""

import torch
import torch.nn.functional as F

# The point that each becomes in the mirror image, by the number of points: those of the alignment, and of 300-W: jaw,
# brows, bridge and wings of the nose, eyes, outer and inner lips.
MIRRORED_POINTS: dict[int, tuple[int, ...]] = {
    5: (1, 0, 2, 4, 3),
    68: (
        *range(16, -1, -1),
        *range(26, 16, -1),
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ),
}


class Follower:
    """A tensor that no augmentation changes; the base of all others."""

    def mirror(self, values: torch.Tensor) -> torch.Tensor:
        """Left and right are swapped."""
        return values

    def warp(self, values: torch.Tensor, grid: torch.Tensor, affine: torch.Tensor) -> torch.Tensor:
        """Pixels are sampled at other positions.

        Args:
            values (`torch.Tensor` of shape `(batch_size, ...)`): Values of the batch.
            grid (`torch.FloatTensor` of shape `(batch_size, height, width, 2)`): Where each new pixel is sampled, as
                in `torch.nn.functional.grid_sample`.
            affine (`torch.FloatTensor` of shape `(batch_size, 2, 3)`): The same map in pixels from the middle of the
                picture: a new position (x, y, 1) -> the old one.
        """
        return values

    def scale_motion(self, values: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """The difference of every frame from the first is multiplied by `factor`, shape `(batch_size,)`."""
        return values

    def scale_motion_inside(self, values: torch.Tensor, masks: torch.Tensor, factor: float) -> torch.Tensor:
        """The frames are mixed with a still picture inside `masks`, bool `(batch_size, height, width)`.

        `factor`, in [0, 1], is the share of the frames and so of their motion: 0 where the picture covers them.
        """
        return values

    def mix(self, values: torch.Tensor, partner: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Each clip becomes `share` of itself, shape `(batch_size,)`, and the rest of its partner's `values`."""
        return values


class Mixed(Follower):
    """A tensor that only mixing changes, linearly, as it does labels."""

    def mix(self, values: torch.Tensor, partner: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Mix linearly; a clip that is not mixed is unchanged, even if its partner has NaN (unknown) values."""
        weight = per_clip(share, values)
        return torch.where(weight == 1, values, weight * values + (1 - weight) * partner)


class Sides(Mixed):
    """A value each for the left and the right half of the face, in the last axis."""

    def mirror(self, values: torch.Tensor) -> torch.Tensor:
        """Swap the sides."""
        return values.flip(-1)


class MotionPicture(Mixed):
    """A picture that is linear in the frames, 0.5 where nothing moves: `(batch_size, 1, height, width)`."""

    def mirror(self, values: torch.Tensor) -> torch.Tensor:
        """Mirror the picture."""
        return values.flip(-1)

    def warp(self, values: torch.Tensor, grid: torch.Tensor, affine: torch.Tensor) -> torch.Tensor:
        """Warp it with the frames; outside the picture there is no motion, 0.5."""
        return F.grid_sample(values - 0.5, grid, align_corners=False) + 0.5

    def scale_motion(self, values: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """Scale its contrast."""
        return (0.5 + per_clip(factor, values) * (values - 0.5)).clamp(0, 1)

    def scale_motion_inside(self, values: torch.Tensor, masks: torch.Tensor, factor: float) -> torch.Tensor:
        """Scale its contrast inside the masks."""
        return torch.where(masks[:, None], (1 - factor) * 0.5 + factor * values, values)


class FlowField(Mixed):
    """Displacements in pixels, x and y: `(batch_size, 2, ..., height, width)`."""

    def mirror(self, values: torch.Tensor) -> torch.Tensor:
        """Mirror the field; rightwards becomes leftwards."""
        return torch.cat([-values[:, :1], values[:, 1:]], dim=1).flip(-1)

    def warp(self, values: torch.Tensor, grid: torch.Tensor, affine: torch.Tensor) -> torch.Tensor:
        """Warp the field with the frames, and rotate and scale its vectors alike."""
        moved = F.grid_sample(values.flatten(1, -3), grid.to(values.dtype), align_corners=False).reshape(values.shape)
        return torch.einsum("bij,bj...->bi...", torch.linalg.inv(affine[:, :, :2]).to(values.dtype), moved)

    def scale_motion(self, values: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """Scale the displacements, to first order."""
        return per_clip(factor, values) * values

    def scale_motion_inside(self, values: torch.Tensor, masks: torch.Tensor, factor: float) -> torch.Tensor:
        """Scale the displacements inside the masks, to first order."""
        masks = masks.reshape(len(masks), *[1] * (values.ndim - 3), *masks.shape[1:])
        return torch.where(masks, factor * values, values)


class Points(Mixed):
    """Places (x, y) in pixels from the middle of the picture: `(batch_size, num_frames, num_points, 2)`.

    5 points in the order of the alignment or 68 in that of 300-W; NaN where unknown.
    """

    def mirror(self, values: torch.Tensor) -> torch.Tensor:
        """Mirror the places, and swap the points of left and right."""
        order = torch.tensor(MIRRORED_POINTS[values.shape[-2]], device=values.device)
        return values[..., order, :] * values.new_tensor([-1.0, 1.0])

    def warp(self, values: torch.Tensor, grid: torch.Tensor, affine: torch.Tensor) -> torch.Tensor:
        """Move the points by the inverse of the map from new to old positions."""
        linear, offset = affine[:, :, :2].to(values.dtype), affine[:, :, 2].to(values.dtype)
        return torch.einsum("bij,btpj->btpi", torch.linalg.inv(linear), values - offset[:, None, None])

    def scale_motion(self, values: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """Scale the displacements from the first frame, to first order."""
        return values[:, :1] + per_clip(factor, values) * (values - values[:, :1])


def per_clip(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Shape one value per clip so that it broadcasts over the rest of `like` (`torch.Tensor`)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
