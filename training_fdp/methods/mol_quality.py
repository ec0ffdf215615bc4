"""Quality of MOL's flow and landmarks, beside estimates that need no network."""

from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from modeling_mol.modeling_mol import earlier_frames, inter_ocular_distance
from training_fdp.methods.mol_targets import tv_l1_flow

# Half axes of the face in an aligned frame, in image sides: eyes to mouth take two fifths of it (our choice).
FACE_HALF_AXES = (0.36, 0.44)
ANSWER_TITLES = {
    "flow_endpoint_error": "End-point error of the flow in the face, pixels: network",
    "flow_endpoint_error_zero": "End-point error of the flow in the face, pixels: no motion",
    "flow_endpoint_error_tv_l1": "End-point error of the flow in the face, pixels: TV-L1 of the same frames",
    "landmark_error": "Error of the landmarks over the inter-ocular distance: network",
    "landmark_error_mean_shape": "Error of the landmarks over the inter-ocular distance: mean of the training clips",
    "frames_without_landmarks": "Share of frames without landmarks, which are left out",
}


def face_mask(height: int, width: int) -> NDArray[np.bool_]:
    """Return an ellipse around the face of an aligned frame (`np.ndarray` of shape `(height, width)`, bool)."""
    rows, columns = np.mgrid[:height, :width]
    x, y = (columns + 0.5) / width - 0.5, (rows + 0.5) / height - 0.5
    mask: NDArray[np.bool_] = (x / FACE_HALF_AXES[0]) ** 2 + (y / FACE_HALF_AXES[1]) ** 2 <= 1
    return mask


def flow_quality(
    flow: torch.Tensor, targets: torch.Tensor, is_exact: torch.Tensor, pixel_values: torch.Tensor, reference: str
) -> list[dict[str, float]]:
    """Measure the end-point error of the flow inside the face, of no motion and, where targets are exact, of TV-L1.

    Args:
        flow (`torch.FloatTensor` of shape `(batch_size, 2, num_pairs, height, width)`): Estimated, in pixels.
        targets (`torch.FloatTensor` of the same shape): True flow.
        is_exact (`torch.BoolTensor` of shape `(batch_size,)`): Whether a target comes from a renderer and not from
            TV-L1.
        pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, 1, height, width)`): The frames, in [-1,
            1].
        reference (`str`): `flow_reference` of the network.

    Returns:
        `list[dict[str, float]]`: means over pairs and pixels, one entry per clip.
    """
    mask = torch.from_numpy(face_mask(*flow.shape[-2:]))
    truth = targets.float().cpu()
    answers = []
    gray = (pixel_values[:, :, 0].float().cpu() + 1) / 2
    earlier, later = earlier_frames(gray, reference).numpy(), gray[:, 1:].numpy()
    for clip, estimate in enumerate(flow.float().cpu()):
        candidates = {"": estimate, "_zero": torch.zeros_like(estimate)}
        if is_exact[clip]:
            pairs = [tv_l1_flow(*pair) for pair in zip(earlier[clip], later[clip], strict=True)]
            candidates["_tv_l1"] = torch.from_numpy(np.stack(pairs, axis=1))
        answers.append(
            {
                f"flow_endpoint_error{name}": float((values - truth[clip]).norm(dim=0)[:, mask].mean())
                for name, values in candidates.items()
            }
        )
    return answers


def landmark_quality(
    landmarks: torch.Tensor, targets: torch.Tensor, mean_shape: torch.Tensor | None
) -> list[dict[str, float]]:
    """Measure the normalised mean error of landmarks, and of the mean shape of the training clips.

    Args:
        landmarks (`torch.FloatTensor` of shape `(batch_size, num_frames, num_landmarks, 2)`): Estimated, in pixels.
        targets (`torch.FloatTensor` of the same shape): True points, NaN where unknown.
        mean_shape (`torch.FloatTensor` of shape `(num_landmarks, 2)`, *optional*): Mean of the training clips.

    Returns:
        `list[dict[str, float]]`: one entry per clip: `frames_without_landmarks`, a share, and, for a clip with known
        points, means over frames and points in inter-ocular distances.
    """
    answers: list[dict[str, float]] = []
    for estimate, truth in zip(landmarks.float().cpu(), targets.float().cpu(), strict=True):
        known = truth.isfinite().all(dim=(1, 2))
        answers.append({"frames_without_landmarks": 1 - float(known.float().mean())})
        if not known.any():
            continue
        candidates = {"": estimate[known]} | ({} if mean_shape is None else {"_mean_shape": mean_shape.cpu()})
        distance = inter_ocular_distance(truth[known])
        answers[-1] |= {
            f"landmark_error{name}": float(((values - truth[known]).norm(dim=-1).mean(dim=-1) / distance).mean())
            for name, values in candidates.items()
        }
    return answers


class MotionPicture(TypedDict):
    """The motion of one clip.

    `curve` is the mean length of the vectors in the face per frame in pixels, 0 in the first frame; `picture` is the
    length of the vectors in the frame in which the curve is highest, float32 `(height, width)` in [0, 1], where 1 is a
    thirty-second of the frame's width or more.
    """

    curve: list[float]
    picture: NDArray[np.float32]


def motion_pictures(flow: torch.Tensor) -> list[MotionPicture]:
    """Return the motion of clips for display.

    Args:
        flow (`torch.FloatTensor` of shape `(batch_size, 2, num_pairs, height, width)`): In pixels.

    Returns:
        `list[MotionPicture]`: one per clip.
    """
    mask = torch.from_numpy(face_mask(*flow.shape[-2:]))
    largest = flow.shape[-1] / 32
    shown = []
    for lengths in flow.float().cpu().norm(dim=1):
        curve = lengths[:, mask].mean(dim=1)
        picture = (lengths[int(curve.argmax())] / largest).clamp(0, 1)
        shown.append(MotionPicture(curve=[0.0, *curve.tolist()], picture=picture.numpy()))
    return shown
