"""The picture to construct: what it sums, that it goes where the frames go, and that the whole run uses it."""

import json

import pytest
import torch

from evaluation_fdp.errors import ConfigError
from modeling_fdp import FDPConfig
from modeling_fdp.dynamic_image_fdp import dynamic_image
from training_fdp.data.augmentation import AugmentationConfig, build_augmentation
from training_fdp.folds.fold import FoldTrainer
from training_fdp.methods.fdp import FDPMethod
from training_fdp.methods.fdp_targets import dynamic_image_targets, pooled_clip, scaled_target

SIGNED = FDPConfig.from_preset("tiny", dynamic_image_frames="given")
MIN_MAX = FDPConfig.from_preset("tiny", dynamic_image_frames="given", dynamic_image_normalization="min_max")
STABILIZED = FDPConfig.from_preset("tiny")


def moving_clip(num_frames=9, size=32, seed=0):
    """(num_frames, size, size) in [-1, 1]: a still face of noise on which a square brightens, then darkens again."""
    generator = torch.Generator().manual_seed(seed)
    face = torch.rand(size, size, generator=generator) * 0.6 - 0.3
    course = torch.sin(torch.linspace(0, 2.2, num_frames)) * 0.15
    frames = face.repeat(num_frames, 1, 1)
    frames[:, 8 + seed : 16 + seed, 12:22] += course[:, None, None]
    return frames


@pytest.mark.parametrize("config", [SIGNED, MIN_MAX, STABILIZED])
def test_all_frames_sampled_and_all_frames_pooled_are_one_picture(config):
    """A clip of as many frames as the model sees: what it was summed from cannot matter."""
    frames = moving_clip(num_frames=8)
    sampled = dynamic_image_targets(config, {"pixel_values": frames[None, :, None]})
    pooled = {"dynamic_image_targets": pooled_clip(frames, 0, 3, 7, "full_clip", config is STABILIZED)[None]}
    whole = dynamic_image_targets(config, {"pixel_values": frames[None, ::2, None], **pooled})
    # Rounding may push a value across the edge of one of the 256 levels of the stretched form.
    torch.testing.assert_close(whole, sampled, atol=1 / 255 + 1e-5 if config is MIN_MAX else 1e-5, rtol=0)
    assert (sampled - 0.5).abs().max() > 0.2


def test_spans_by_hand():
    frames = moving_clip()
    for kind, apex, span in (("full_clip", 5, (1, 8)), ("onset_apex", 5, (1, 5)), ("onset_apex", None, (1, 8))):
        expected = dynamic_image(frames[span[0] : span[1] + 1, None], gain=SIGNED.dynamic_image_gain)
        found = scaled_target(pooled_clip(frames, 1, apex, 8, kind, False)[None], SIGNED)
        torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=0)
    rise, both = (pooled_clip(frames, 0, 5, 8, kind, False) for kind in ("onset_apex", "full_clip"))
    assert (rise - both).abs().max() > 0.001, "the fall takes a part of the rise away"
    assert torch.equal(pooled_clip(frames, 0, 0, 8, "onset_apex", False), both)
    assert torch.equal(pooled_clip(frames[:1], 0, None, 0, "full_clip", False), torch.full((1, 32, 32), 0.5))


def test_the_mean_of_both_phases_keeps_what_a_whole_clip_cancels():
    """A square that brightens and fades evenly: the rise played backwards is the fall, so their mean is the rise."""
    frames = torch.zeros(9, 16, 16)
    frames[:, 4:9, 4:9] += torch.tensor([0, 1, 2, 3, 4, 3, 2, 1, 0.0])[:, None, None] / 10
    kinds = ("onset_apex", "both_phases", "full_clip")
    rise, both, whole = (pooled_clip(frames, 0, 4, 8, kind, False) for kind in kinds)
    torch.testing.assert_close(both, rise)
    assert (whole - 0.5).abs().max() < 0.9 * (both - 0.5).abs().max()
    for apex in (None, 0, 8):
        assert torch.equal(pooled_clip(frames, 0, apex, 8, "both_phases", False), whole)


def test_a_head_that_moves_is_not_in_the_stabilized_target():
    """A smooth face that slides by a pixel is all that its own dynamic image shows, and next to nothing of ours."""
    place = torch.linspace(-1, 1, 64)
    face = 0.6 * torch.cos(7 * place) * torch.cos(9 * place)[:, None] + 0.3 * torch.sin(
        13 * place + 5 * place[:, None]
    )
    slid = [(1 - part) * face + part * face.roll(1, 1) for part in torch.linspace(0, 1, 8)]
    clip = {"pixel_values": torch.stack(slid)[None, :, None]}
    given, stabilized = (dynamic_image_targets(config, clip)[..., 8:-8, 8:-8] for config in (SIGNED, STABILIZED))
    assert (stabilized - 0.5).abs().mean() < 0.15 * (given - 0.5).abs().mean() > 0.01
    whole = pooled_clip(clip["pixel_values"][0, :, 0], 0, None, 7, "full_clip", True)
    assert torch.allclose(scaled_target(whole[None], STABILIZED)[..., 8:-8, 8:-8], stabilized, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"flip": 1.0},
        {"shift": 0.08, "rotation": 12.0, "scale": 0.1},
        {"motion_scale": 0.5},
        {"static_face_mix": 1.0},
        {"mixup": 1.0},
        {"flip": 0.5, "shift": 0.05, "scale": 0.05, "rotation": 5.0, "motion_scale": 0.3, "static_face_mix": 0.5},
    ],
)
def test_the_target_goes_where_the_frames_go(options):
    """Pooling the augmented frames and augmenting the pooled frames give one picture."""
    clips = torch.stack([moving_clip(8, seed=seed) for seed in range(6)])
    batch = {
        "pixel_values": clips[:, :, None],
        "labels": torch.arange(6) % 3,
        "dynamic_image_targets": torch.stack([pooled_clip(clip, 0, 5, 7, "full_clip", False) for clip in clips]),
    }
    augment = build_augmentation(AugmentationConfig(**options), num_labels=3, followers=FDPMethod(None).followers)
    augmented = augment(batch, torch.Generator().manual_seed(3))
    afterwards = dynamic_image_targets(SIGNED, {"pixel_values": augmented["pixel_values"]})
    before = scaled_target(augmented["dynamic_image_targets"], SIGNED)
    torch.testing.assert_close(before, afterwards, atol=2e-4, rtol=0)
    still = dynamic_image_targets(SIGNED, {"pixel_values": batch["pixel_values"]})
    assert (afterwards - still).abs().max() > 0.01, "the augmentation must have moved something"


def test_a_run_trains_and_is_judged_on_the_target_that_it_names(toy_run, tmp_path, monkeypatch):
    curves, seen = {}, {}
    train = FoldTrainer.train

    def catch(self):
        outcome = train(self)
        curves[self.context.method.options.dynamic_image_target] = outcome.curve["dynamic_image"]
        seen[self.context.method.options.dynamic_image_target] = [
            row["dynamic_image_mse_constant"] for row in outcome.predictions.answers
        ]
        return outcome

    monkeypatch.setattr(FoldTrainer, "train", catch)
    for kind in ("sampled", "full_clip", "onset_apex", "both_phases"):
        options = ("--folds", "fold0", "--max_steps", "2", "--dynamic_image_target", kind)
        assert toy_run(tmp_path / kind, *options, "--augmentation", "flip=0.5,mixup=0.3") == 0
    assert len({tuple(curve) for curve in curves.values()}) == 4
    # The error of the constant image is the target's own contrast: another target, another contrast.
    assert len({tuple(quality) for quality in seen.values()}) == 4
    assert "of the dynamic image of all frames of the clip" in (tmp_path / "full_clip" / "report.md").read_text()
    settings = json.loads((tmp_path / "full_clip" / "results.json").read_text())["settings"]
    assert settings["dynamic_image_target"] == "full_clip"


def test_parts_of_clips_and_pictures_of_whole_ones_do_not_go_together(toy_run, tmp_path):
    with pytest.raises(ConfigError, match=r"phase=0\.5 shows a part of a clip"):
        toy_run(tmp_path / "OUT", "--dynamic_image_target", "onset_apex", "--augmentation", "phase=0.5")
