"""Quality of FDP's outputs beyond the class: of dynamic images beside trivial ones, and of rank scores.

scipy and scikit-image are imported where they are called, because a prediction shows rank scores without them, and
their import takes as long as the prediction.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Wang et al. 2004: Gaussian window of 11x11 pixels with deviation 1.5.
SSIM_WINDOW = 11
_TITLES = {"mse": "MSE", "psnr": "PSNR (dB)", "ssim": "SSIM"}
_CONSTRUCTIONS = {"": "constructed", "_constant": "constant 0.5", "_mean_image": "mean training image"}
_TARGETS = {
    "sampled": "the model's input frames",
    "full_clip": "all frames of the clip",
    "onset_apex": "all frames from onset to apex",
    "both_phases": "all frames of both phases",
}


def structural_similarity(images: ArrayLike, references: ArrayLike) -> NDArray[np.float64]:
    """Mean structural similarity (SSIM, Wang et al. 2004) of each image pair, by scikit-image.

    Args:
        images (`array-like` of shape `(num_images, height, width)`): Images in [0, 1], both sides at least 11 pixels.
        references (`array-like` of the same shape): Their targets.

    Returns:
        `np.ndarray` of shape `(num_images,)`, float64, in [-1, 1].

    Raises:
        ValueError: If shapes differ or an image is smaller than the window.
    """
    from skimage.metrics import structural_similarity as of_pair

    image, reference = np.asarray(images, dtype=np.float64), np.asarray(references, dtype=np.float64)
    if image.shape != reference.shape or image.ndim != 3 or min(image.shape[1:]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs two stacks (num_images, height, width) of one shape with sides of at least {SSIM_WINDOW} "
            f"pixels, but got {image.shape} and {reference.shape}; resize or stack the images first."
        )
    settings: dict[str, object] = {
        "data_range": 1.0,
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    }
    pairs = zip(image, reference, strict=True)
    return np.array([of_pair(one, other, **settings) for one, other in pairs], dtype=np.float64)


def clip_image_quality(
    constructions: ArrayLike, targets: ArrayLike, mean_image: ArrayLike | None = None
) -> list[dict[str, float]]:
    """Compare constructed dynamic images with their targets, and with two constructions independent of the clip.

    The trivial ones are the constant 0.5 (no motion) and the mean image of the training targets. A construction is
    useful only where it beats both.

    Args:
        constructions (`array-like` of shape `(num_clips, 1, height, width)` or `(num_clips, height, width)`): In [0,
            1].
        targets (`array-like` of the same shape): Dynamic images of the frames, in [0, 1].
        mean_image (`array-like` of shape `(height, width)` or `(1, height, width)`, *optional*): Mean of the
            **training** targets.

    Returns:
        `list[dict[str, float]]`: Per clip `dynamic_image_mse`, `dynamic_image_psnr` (dB; left out where the
            construction is exact, since it is infinite there) and `dynamic_image_ssim`, and the same with the suffixes
            `_constant` and, where there is a mean image, `_mean_image`.
    """
    target = _image_stack(targets)
    candidates = {"": _image_stack(constructions), "_constant": np.full_like(target, 0.5)}
    if mean_image is not None:
        mean = np.asarray(mean_image, dtype=np.float64).squeeze()
        candidates["_mean_image"] = np.broadcast_to(mean, target.shape)
    quality: list[dict[str, float]] = [{} for _ in target]
    for suffix, images in candidates.items():
        errors = ((images - target) ** 2).mean(axis=(1, 2))
        for clip, error, similarity in zip(quality, errors, structural_similarity(images, target), strict=True):
            clip[f"dynamic_image_mse{suffix}"] = float(error)
            if error > 0:
                clip[f"dynamic_image_psnr{suffix}"] = float(-10 * np.log10(error))
            clip[f"dynamic_image_ssim{suffix}"] = float(similarity)
    return quality


def kendall_tau(rank_scores: ArrayLike) -> NDArray[np.float64]:
    """Kendall's tau-b between the rank scores of each clip and time, by scipy.

    Args:
        rank_scores (`array-like` of shape `(num_clips, num_frames)`): One score per frame, in time order.

    Returns:
        `np.ndarray` of shape `(num_clips,)`, float64, in [-1, 1]: 1 where the scores rise throughout. A clip whose
            scores are all equal, where tau-b is undefined, gets 0.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    from scipy.stats import kendalltau

    scores = _score_rows(rank_scores)
    time = np.arange(scores.shape[1])
    return np.array([0.0 if np.ptp(row) == 0 else kendalltau(row, time).statistic for row in scores])


def ordered_pairs(rank_scores: ArrayLike) -> float:
    """Return the share of frame pairs whose later frame scores higher (`float`, in [0, 1]).

    Args:
        rank_scores (`array-like` of shape `(num_clips, num_frames)`): One score per frame, in time order.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    scores = _score_rows(rank_scores)
    earlier, later = np.triu_indices(scores.shape[1], k=1)
    return float((scores[:, later] > scores[:, earlier]).mean())


def answer_titles(dynamic_image_target: str) -> dict[str, str]:
    """Return the titles of FDP's answers beyond the class in reports (`dict[str, str]`, by name).

    Args:
        dynamic_image_target (`str`): Frames that the target of the constructed image sums.
    """
    target = _TARGETS[dynamic_image_target]
    titles = {
        f"dynamic_image_{name}{suffix}": f"{title} of the dynamic image of {target}: {construction}"
        for suffix, construction in _CONSTRUCTIONS.items()
        for name, title in _TITLES.items()
    }
    return titles | {"rank_kendall_tau": "Kendall's tau of the rank scores with time"}


def _score_rows(rank_scores: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(rank_scores, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(
            f"rank scores must have shape (num_clips, num_frames) with at least 2 frames, but have {scores.shape}; "
            "stack one row per clip."
        )
    return scores


def _image_stack(images: ArrayLike) -> NDArray[np.float64]:
    """Drop a single channel: (num, 1, height, width) -> (num, height, width)."""
    stack = np.asarray(images, dtype=np.float64)
    return stack[:, 0] if stack.ndim == 4 and stack.shape[1] == 1 else stack
