"""Quality of constructed images and rank scores: published arithmetic and hand-computed values."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from training_fdp.methods import fdp_hub_metrics, fdp_quality


def published_similarity(image, reference):
    """SSIM as in Wang et al. 2004: Gaussian window of 11x11 with deviation 1.5, K1 = 0.01, K2 = 0.03, no border."""

    def blur(values):
        return gaussian_filter(values, sigma=1.5, truncate=3.5)

    mean_x, mean_y = blur(image), blur(reference)
    variance_x, variance_y = blur(image * image) - mean_x**2, blur(reference * reference) - mean_y**2
    covariance = blur(image * reference) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    structure = (2 * covariance + 9e-4) / (variance_x + variance_y + 9e-4)
    return (luminance * structure)[5:-5, 5:-5].mean()


def test_ssim_is_that_of_the_paper():
    generator = np.random.default_rng(0)
    references = generator.random((3, 24, 31))
    images = np.clip(references + 0.1 * generator.standard_normal(references.shape), 0, 1)
    ours = fdp_quality.structural_similarity(images, references)
    expected = [published_similarity(image, reference) for image, reference in zip(images, references, strict=True)]
    np.testing.assert_allclose(ours, expected, atol=1e-9)
    np.testing.assert_allclose(fdp_quality.structural_similarity(references, references), 1)
    with pytest.raises(ValueError, match="11 pixels"):
        fdp_quality.structural_similarity(images[:, :8], references[:, :8])


def test_dynamic_image_quality_stands_beside_trivial_constructions():
    generator = np.random.default_rng(1)
    targets = np.clip(0.5 + 0.1 * generator.standard_normal((4, 1, 16, 16)), 0, 1)
    first, *others = fdp_quality.clip_image_quality(targets + 0.01, targets, np.full((16, 16), 0.6))
    assert len(others) == 3
    assert first["dynamic_image_mse"] == pytest.approx(1e-4)
    assert first["dynamic_image_psnr"] == pytest.approx(40)
    assert first["dynamic_image_mse_constant"] == pytest.approx(((targets[0] - 0.5) ** 2).mean())
    assert first["dynamic_image_mse_mean_image"] == pytest.approx(((targets[0] - 0.6) ** 2).mean())
    assert first["dynamic_image_ssim"] > 0.9 > first["dynamic_image_ssim_constant"]
    exact = fdp_quality.clip_image_quality(targets, targets)[0]
    assert exact["dynamic_image_mse"] == 0 and "dynamic_image_psnr" not in exact
    assert "dynamic_image_mse_mean_image" not in exact


def test_kendall_tau_with_ties_is_that_of_the_definition():
    """Tau-b: (concordant - discordant) / sqrt(pairs untied in the scores * pairs)."""
    scores = np.random.default_rng(2).integers(0, 5, (20, 8)).astype(float)
    earlier, later = np.triu_indices(8, k=1)
    order = np.sign(scores[:, later] - scores[:, earlier])
    expected = order.sum(axis=1) / np.sqrt(np.abs(order).sum(axis=1) * len(earlier))
    np.testing.assert_allclose(fdp_quality.kendall_tau(scores), expected, atol=1e-12)
    assert fdp_quality.kendall_tau(np.arange(8)[None]) == pytest.approx([1])
    assert fdp_quality.kendall_tau(-np.arange(8)[None]) == pytest.approx([-1])
    assert fdp_quality.kendall_tau(np.zeros((1, 8))) == [0]
    assert fdp_quality.ordered_pairs([[0, 1, 2, 3], [3, 2, 1, 0]]) == 0.5
    for function in (fdp_quality.kendall_tau, fdp_quality.ordered_pairs):
        with pytest.raises(ValueError, match="at least 2 frames"):
            function([[1.0]])


@pytest.mark.parametrize("target", ["sampled", "full_clip", "onset_apex"])
def test_every_answer_has_a_title(target):
    titles = fdp_quality.answer_titles(target)
    images = np.random.default_rng(3).random((2, 1, 16, 16))
    answers = fdp_quality.clip_image_quality(images[:1], images[1:], images[0])[0]
    assert titles.keys() == answers.keys() | {"rank_kendall_tau"}


def test_evaluate_metrics_of_images_and_ranks(tmp_path):
    generator = np.random.default_rng(3)
    targets, images = generator.random((2, 3, 16, 16)).astype(np.float32)
    quality = fdp_hub_metrics.DynamicImageQuality(cache_dir=str(tmp_path)).compute(
        predictions=list(images), references=list(targets)
    )
    clips = fdp_quality.clip_image_quality(images, targets)
    assert quality == pytest.approx({name: np.mean([clip[name] for clip in clips]) for name in clips[0]})
    scores = generator.random((3, 8)).astype(np.float32)
    ranks = fdp_hub_metrics.RankQuality(cache_dir=str(tmp_path)).compute(predictions=scores)
    tau = fdp_quality.kendall_tau(scores)
    assert ranks == pytest.approx(
        {"kendall_tau": tau.mean(), "kendall_tau_std": tau.std(), "ordered_pairs": fdp_quality.ordered_pairs(scores)}
    )
