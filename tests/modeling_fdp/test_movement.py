"""The movement reference: curves are those of the movement, patterns those of the muscles, in any window."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from modeling_fdp import FDPAlignmentConfig, FDPConfig, FDPForVideoClassification, movement_curves_fdp
from modeling_fdp.classification_fdp import averaged_logits, averaged_unit_logits
from modeling_fdp.dynamic_image_fdp import dynamic_image_target
from modeling_fdp.motion_fdp import stabilize
from modeling_fdp.movement_curves_fdp import NUM_READINGS, at_frames, from_rest, local_averages, strongest_curves
from modeling_fdp.movement_directions_fdp import MOTION_SIZE, NUM_DIRECTIONS, fitted_directions
from modeling_fdp.movement_patterns_fdp import (
    CLIPS_AT_ONCE,
    OTHER_SIGN_SHARE,
    SIGNED_PATTERNS,
    FDPMovementReference,
    opposite_features,
    opposite_patterns,
    pattern_size,
    regression_weights,
)
from modeling_fdp.temporal_pooling_fdp import progress_loss
from processing_fdp.crop_geometry_fdp import crop_transform, warp_frames
from rendered_faces.film import render_clip

NUM_FRAMES = 32
SUBJECTS = ((11, "12"), (12, "1+2"), (13, "4+7"))


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Film:
    """A rendered movement with quiet time around it, cropped as the directions were fitted."""

    def __init__(self, subject: int, units: str) -> None:
        clip = render_clip(
            subject, action_units=units, seed=3, fps=60.0, difficulty="mild", duration_s=(0.4, 0.5), neutral_s=0.4
        )
        (event,) = clip.truth.events
        self.onset, self.apex, self.offset = event.onset, event.apex, event.offset
        self.curve = clip.truth.curves[:, clip.truth.curves[event.apex].argmax()]
        crop = crop_transform(np.median(clip.truth.five_points, axis=0), (64, 64), 2.0)
        frames = warp_frames(torch.from_numpy(clip.frames), crop, (64, 64), 1.0)
        self.frames = frames.float() / 127.5 - 1

    def numbers(self, first: float, last: float) -> np.ndarray:
        """`NUM_FRAMES` numbers between shares of the movement's length, 0 at the onset."""
        length = self.offset - self.onset
        ends = np.clip([self.onset + first * length, self.onset + last * length], 0, len(self.frames) - 1)
        return np.rint(np.linspace(*ends, NUM_FRAMES)).astype(int)

    def shown(self, numbers: np.ndarray) -> torch.Tensor:
        return self.frames[torch.from_numpy(numbers.copy())][None, :, None]


@pytest.fixture(scope="module")
def films():
    return [Film(*subject) for subject in SUBJECTS]


@pytest.fixture(scope="module")
def reference():
    module = FDPMovementReference(FDPConfig.from_preset("tiny", reference="movement_patterns")).eval()
    module.scorer.directions.weight.data = fitted_directions()
    return module.requires_grad_(False)


WINDOWS = {"trimmed": (0, 1), "quiet": (-0.6, 1.6), "cut": (-0.1, 0.8), "rise and a rest": (-0.8, 0.45)}


class TestScores:
    @pytest.mark.parametrize("name", WINDOWS)
    def test_they_follow_the_movement_in_any_window(self, name, films, reference):
        for film in films:
            numbers = film.numbers(*WINDOWS[name])
            scores = reference(film.shown(numbers)).rank_scores[0].numpy()
            assert np.corrcoef(scores, film.curve[numbers])[0, 1] > 0.8

    def test_they_reverse_where_the_movement_does(self, films, reference):
        for film in films:
            numbers = film.numbers(-0.1, 1)
            forth, back = (reference(film.shown(order)).rank_scores[0] for order in (numbers, numbers[::-1]))
            assert np.corrcoef(forth.flip(0), back)[0, 1] > 0.98

    def test_a_rise_is_in_order_and_shuffled_it_is_not(self, films, reference):
        order = {"as filmed": [], "shuffled": []}
        for film, seed in itertools.product(films, range(3)):
            numbers = film.numbers(0, (film.apex - film.onset) / (film.offset - film.onset))
            shuffled = np.random.default_rng(seed).permutation(numbers)
            for name, some in (("as filmed", numbers), ("shuffled", shuffled)):
                scores = reference(film.shown(some)).rank_scores[0].numpy()
                order[name].append(kendalltau(scores, np.arange(NUM_FRAMES)).statistic)
        assert np.mean(order["as filmed"]) > 0.8 and np.abs(order["shuffled"]).mean() < 0.3

    def test_a_still_face_has_none(self, films, reference):
        for film in films:
            moving = reference(film.shown(film.numbers(0, 1))).rank_scores
            frame = film.frames[film.onset - 5]
            noise = seeded(1, NUM_FRAMES, 1, 64, 64) * (2 / 127.5)
            still = reference(frame + noise).rank_scores
            assert still.max() - still.min() < 0.2 * (moving.max() - moving.min())

    def test_a_clip_without_any_change_is_zero(self, reference):
        found = reference(seeded(1, 1, 1, 64, 64).clamp(-1, 1).expand(1, 8, 1, 64, 64))
        assert found.rank_scores.abs().max() < 1e-3 and found.patterns[:, :, :3].abs().max() < 1e-2
        assert all(value.isfinite().all() for value in found)


class TestPatterns:
    def test_a_movement_at_any_place_of_the_window_is_the_same_pattern(self, films, reference):
        windows = ((0, 1), (-0.9, 1.1), (-0.1, 1.9), (0, 0.5))
        shown = [
            [reference(film.shown(film.numbers(*ends))).patterns[0, 0, 4:6] for ends in windows] for film in films
        ]
        alike = np.corrcoef(torch.stack([pattern.flatten() for own in shown for pattern in own]))
        film = np.repeat(np.arange(len(films)), len(windows))
        same = film[:, None] == film
        assert alike[same].min() > 0.5, "whatever else is in the window"
        assert alike[~same].max() < 0.3, "another muscle is another pattern"

    def test_mirrored_clips_give_mirrored_patterns(self, films, reference):
        frames = films[0].shown(films[0].numbers(-0.2, 1.2))
        plain, mirrored = (reference(clip).patterns[0, :2] for clip in (frames, frames.flip(-1)))
        sign = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0]).view(7, 1, 1)
        # The fitted directions are not symmetric to the last digit.
        assert np.corrcoef(plain[0].flatten(), (mirrored[0].flip(-1) * sign).flatten())[0, 1] > 0.95

    def test_each_clip_is_for_itself_and_half_precision_around_changes_nothing(self, films, reference):
        clips = torch.cat([film.shown(film.numbers(0, 1)) for film in films])
        together = reference(clips).patterns
        alone = torch.cat([reference(clip[None]).patterns for clip in clips])
        assert torch.allclose(together, alone, atol=1e-3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(reference(clips).patterns, together)

    def test_patterns_are_larger_and_smaller_in_training_alone(self, films, reference):
        clip = films[0].shown(films[0].numbers(0, 1)).expand(16, -1, -1, -1, -1)
        size = {}
        for training in (False, True):
            torch.manual_seed(0)
            reference.train(training)
            size[training] = pattern_size(torch.atanh(reference(clip).patterns[:, :1, :3].clamp(-0.999, 0.999)))
        reference.eval()
        assert size[False].std() < 1e-4 and size[True].max() > 1.5 * size[False].max()
        assert (size[True] - size[False]).abs().lt(1e-4).any(), "some stay as they are"


@pytest.mark.parametrize("num_times", [8, 24])
def test_strongest_curves_are_principal_components(num_times):
    samples = seeded(3, num_times, 6) * torch.tensor([5.0, 3.0, 1.0, 0.5, 0.3, 0.1])
    samples = samples - samples.mean(1, keepdim=True)
    curves, shares = strongest_curves(samples)
    left, values, _ = torch.linalg.svd(samples)
    for which in (0, 1):
        expected = left[:, :, which] * values[:, which : which + 1]
        alike = torch.cosine_similarity(curves[:, which], expected, dim=1).abs()
        assert alike.min() > 0.999
        assert torch.allclose(shares[:, which], values[:, which] ** 2 / values.square().sum(1), atol=1e-3)


def test_regression_weights_are_those_of_least_squares():
    curves, samples = seeded(2, 3, 24), seeded(2, 24, 5, seed=1)
    found = regression_weights(curves) @ samples
    for clip in range(2):
        columns = torch.cat([curves[clip], torch.ones(1, 24)]).T
        expected = torch.linalg.lstsq(columns, samples[clip]).solution[:3]
        assert torch.allclose(found[clip], expected, atol=5e-3)
    assert regression_weights(curves).sum(2).abs().max() < 1e-5, "a constant has no share in a pattern"


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0, 1, 3, 1, 0], [0, 1 / 3, 1, 1 / 3, 0]),
        ([0, -1, -3, -1, 0], [0, 1 / 3, 1, 1 / 3, 0]),
        ([2, 3, 4], [0, 0.5, 1]),
        ([-2, -3, -4], [0, 0.5, 1]),
        # A fall alone starts at 1 and cannot be told from a rise of the other sign.
        ([4, 3, 2], [0, 0.5, 1]),
        ([5, 5, 5], [0, 0, 0]),
    ],
)
def test_rest_is_at_the_ends(curve, expected):
    scaled, size = from_rest(torch.tensor([[curve]], dtype=torch.float32))
    assert torch.allclose(scaled[0, 0], torch.tensor(expected, dtype=torch.float32), atol=1e-6)
    assert size.item() == max(curve) - min(curve)


@pytest.mark.parametrize("num_frames", [3, 9, 32, 64, 200])
def test_local_averages_are_read_at_their_times(num_frames):
    time = torch.linspace(0, 1, num_frames)
    planes = torch.stack([torch.full((4, 4), 0.7), torch.arange(16.0).view(4, 4)])
    clip = planes[0] + time.view(1, -1, 1, 1) * planes[1]
    read = local_averages(clip)
    middle = (torch.arange(NUM_READINGS) + 0.5) / NUM_READINGS
    # Frames are the times of slow cameras, and the ends average towards the inside.
    close = 0.6 / (num_frames - 1) + 0.03
    assert ((read - planes[0]) / planes[1].clamp(min=1) - middle.view(1, -1, 1, 1)).abs()[..., 1:, :].max() < close
    assert at_frames(middle[None], num_frames)[0] == pytest.approx(time.clamp(middle[0], middle[-1]), abs=1e-5)


def test_a_batch_is_the_same_as_its_clips_one_by_one(films, reference):
    shown = torch.cat([film.shown(film.numbers(-0.2, 1.2)) for film in films] * 4)
    assert len(shown) > CLIPS_AT_ONCE and len(shown) % CLIPS_AT_ONCE
    alone = [reference(clip[None]) for clip in shown]
    for name, values in reference(shown)._asdict().items():
        expected = torch.cat([getattr(found, name) for found in alone])
        assert torch.allclose(values, expected, atol=1e-4), name


def test_the_head_is_held_where_the_anchor_shows_it(films):
    frames = films[0].shown(films[0].numbers(0, 1))
    for anchor in (0, 16, 31):
        still = stabilize(frames, anchor=anchor)
        assert torch.equal(still[:, anchor], frames[:, anchor]) and still.shape == frames.shape
    order = [16, *range(16), *range(17, 32)]
    expected = stabilize(frames[:, order])[:, np.argsort(order)]
    assert torch.allclose(stabilize(frames, anchor=16), expected, atol=1e-5)


class TestProgressLoss:
    def test_scores_that_rise_by_the_margin_cost_nothing(self):
        progress = torch.tensor([[0.0, 0.5, 1.0, 0.5]])
        assert progress_loss(2 * progress, progress, 2.0) == 0 and progress_loss(-2 * progress, progress, 2.0) == 0

    def test_pairs_by_hand(self):
        progress, scores = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.4, 0.1]])
        # (1, 0): 1 - 0.4; (1, 2): 1 - 0.3; the two at rest differ by 0.1, from one side; three pairs of one frame.
        assert progress_loss(scores, progress, 1.0).item() == pytest.approx((0.6 + 0.7 + 0.1) / 7)

    def test_the_unknown_is_left_out(self):
        progress, scores = torch.tensor([[0.0, 1.0, float("nan")]]), torch.tensor([[0.0, 0.4, 9.0]])
        assert progress_loss(scores, progress, 1.0).item() == pytest.approx(0.6 / 3)
        assert progress_loss(scores, progress * float("nan"), 1.0) == 0


class TestNetwork:
    @pytest.fixture(scope="class")
    def model(self):
        torch.manual_seed(0)
        return FDPForVideoClassification(
            FDPConfig.from_preset(
                "tiny", num_labels=3, reference="movement_patterns", dynamic_image_frames="along_curve"
            )
        )

    def test_every_loss_reaches_the_scorer(self, model, films):
        clips = torch.cat([film.shown(film.numbers(-0.3, 1.2)) for film in films])
        progress = torch.stack([torch.from_numpy(film.curve[film.numbers(-0.3, 1.2)]) for film in films])
        weight = model.fdp.movement.scorer.directions.weight
        model.train()
        output = model(clips, labels=torch.tensor([0, 1, 2]), progress_targets=progress)
        for name in ("classification", "rank"):
            (gradient,) = torch.autograd.grad(output.losses[name], weight, retain_graph=True)
            assert gradient.isfinite().all() and gradient.abs().max() > 0, name
        assert "rank" not in model(clips, labels=torch.tensor([0, 1, 2])).losses, "no order in time is taught"

    def test_gradients_of_a_clip_in_which_nothing_changes_are_finite(self, model, clips):
        model.train()
        still = clips(2, num_frames=8)[:, :1].expand(-1, 8, -1, -1, -1)
        model(still, labels=torch.tensor([0, 1]), progress_targets=torch.zeros(2, 8)).loss.backward()
        assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())

    def test_the_image_comes_from_the_representation_alone(self, model, films):
        model.eval()
        clips = torch.cat([film.shown(film.numbers(0, 1)) for film in films[:2]])
        with torch.no_grad():
            output = model.fdp(clips)
            assert output.detail is None
            assert torch.equal(model.decoder(output.pooler_output, None), model(clips).dynamic_image)

    def test_the_picture_along_the_curve_shows_the_movement_whole_or_cut(self, model, films):
        model.eval()
        pictures = []
        for film, (first, last) in itertools.product(films[:2], ((0, 1), (-0.9, 1.1), (0, 0.5))):
            clip = film.shown(film.numbers(first, last))
            with torch.no_grad():
                output = model.fdp(clip)
            pictures.append(dynamic_image_target(clip, model.config, output.stabilized_frames, output.rank_scores))
        inside = torch.stack([picture[..., 8:-8, 8:-8].flatten() - 0.5 for picture in pictures])
        alike = np.corrcoef(inside)
        assert inside.abs().amax(1).min() > 0.05
        assert min(alike[:3, :3].min(), alike[3:, 3:].min()) > 0.5 and alike[:3, 3:].max() < 0.3
        with pytest.raises(ValueError, match="rank_scores"):
            dynamic_image_target(clip, model.config)

    def test_a_trained_scorer_comes_back_from_disk(self, model, tmp_path):
        with torch.no_grad():
            model.fdp.movement.scorer.directions.weight.mul_(0.5)
        model.save_pretrained(tmp_path)
        again = FDPForVideoClassification.from_pretrained(tmp_path)
        assert torch.equal(again.fdp.movement.scorer.directions.weight, model.fdp.movement.scorer.directions.weight)

    def test_an_untrained_scorer_starts_at_the_closed_form(self):
        config = FDPConfig.from_preset("tiny", reference="movement_patterns", num_directions=4)
        weight = FDPForVideoClassification(config).fdp.movement.scorer.directions.weight
        assert torch.equal(weight, fitted_directions()[:4])
        assert fitted_directions().shape == (NUM_DIRECTIONS, MOTION_SIZE)

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            ({"temporal_pooling": "closed_form"}, "order in time"),
            ({"num_directions": 17}, "at most 16"),
            ({"image_size": 48, "stem_strides": [2, 1], "stage_strides": [1, 1]}, "multiple of 96|multiple of 32"),
            ({"reference": "none", "dynamic_image_frames": "along_curve"}, "along_curve"),
            ({"pattern_scale_rate": 1.5}, "pattern_scale_rate"),
            ({"both_signs": True, "reference": "none"}, "with one label per clip, but reference='none'"),
            ({"both_signs": True, "num_labels": 1}, "1 label"),
            ({"both_signs": True, "problem_type": "regression"}, "problem_type='regression'"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, overrides, message):
        with pytest.raises(ValueError, match=message):
            FDPConfig.from_preset("tiny", **{"reference": "movement_patterns", **overrides})


class TestMovementSize:
    def test_a_moving_face_is_larger_than_a_quiet_one_and_sensor_noise(self, films, reference):
        for film in films:
            quiet = film.frames[: film.onset - 1][None, :, None]
            noise = film.frames[film.onset - 5] + seeded(1, NUM_FRAMES, 1, 64, 64) * (2 / 127.5)
            moving, still, noisy = (
                reference(clip).size.item() for clip in (film.shown(film.numbers(0, 1)), quiet, noise)
            )
            assert moving > 1.5 * still and moving > 2 * noisy

    def test_it_is_in_pixels_whatever_the_size_of_the_frames(self, films, reference):
        for film in films:
            clip = film.shown(film.numbers(0, 1))
            larger = torch.nn.functional.interpolate(clip[0], scale_factor=2, mode="bilinear")[None]
            size = reference(clip).size.item()
            assert 0.3 < size < 4 and reference(larger).size.item() == pytest.approx(2 * size, rel=0.25)

    def test_half_the_movement_is_about_half_the_size(self, films, reference):
        for film in films:
            clip = film.shown(film.numbers(0, 1))
            half = clip[:, :1] + 0.5 * (clip - clip[:, :1])
            assert reference(half).size.item() == pytest.approx(0.5 * reference(clip).size.item(), rel=0.4)

    def test_the_classifier_hands_it_on_unscaled_by_training(self, films):
        torch.manual_seed(0)
        model = FDPForVideoClassification(FDPConfig.from_preset("tiny", reference="movement_patterns", num_labels=3))
        clip = films[0].shown(films[0].numbers(0, 1)).expand(4, -1, -1, -1, -1)
        with torch.no_grad():
            sizes = [model.train(mode)(clip).movement_size for mode in (True, False)]
            plain = FDPForVideoClassification(FDPConfig.from_preset("tiny", num_labels=3)).eval()(clip[:1])
        assert sizes[0].shape == (4,) and sizes[0].dtype == torch.float32
        assert torch.allclose(sizes[0], sizes[1], rtol=1e-4) and plain.movement_size is None


class TestBothSigns:
    @pytest.fixture(scope="class")
    def model(self):
        torch.manual_seed(0)
        config = FDPConfig.from_preset(
            "tiny", num_labels=3, reference="movement_patterns", both_signs=True, action_units=["4", "12"]
        )
        return FDPForVideoClassification(config).eval().requires_grad_(False)

    def test_the_opposite_is_what_the_other_end_at_rest_gives(self, films, reference, monkeypatch):
        clips = torch.cat([film.shown(film.numbers(-0.2, 1.1)) for film in films])
        found = reference(clips)

        def other_end(curves):
            scaled, size = from_rest(curves)
            return 1 - scaled, size

        monkeypatch.setattr(movement_curves_fdp, "from_rest", other_end)
        other = reference(clips)
        assert torch.allclose(opposite_patterns(found.patterns), other.patterns[:, :SIGNED_PATTERNS], atol=1e-4)
        assert torch.allclose(found.patterns[:, SIGNED_PATTERNS:], other.patterns[:, SIGNED_PATTERNS:], atol=1e-4)
        features = opposite_features(found.features, reference.scorer.directions.out_features)
        assert torch.allclose(features, other.features, atol=1e-3)
        assert torch.allclose(found.other_sign_share, other.other_sign_share, atol=1e-6)

    def test_the_representation_is_that_of_the_other_end_at_rest(self, model, films, monkeypatch):
        clips = torch.cat([film.shown(film.numbers(-0.2, 1.1)) for film in films])
        pooled, features = model.fdp.of_other_sign(model.fdp(clips))

        def other_end(curves):
            scaled, size = from_rest(curves)
            return 1 - scaled, size

        monkeypatch.setattr(movement_curves_fdp, "from_rest", other_end)
        other = model.fdp(clips)
        assert torch.allclose(pooled, other.pooler_output, atol=1e-4)
        assert torch.allclose(features, other.movement_features, atol=1e-3)

    def test_a_rise_or_a_fall_leaves_the_sign_open_and_both_together_do_not(self, films, reference):
        for film in films:
            apex = (film.apex - film.onset) / (film.offset - film.onset)
            parts = {
                name: film.shown(film.numbers(*ends)) for name, ends in (("rise", (0, apex)), ("fall", (apex, 1)))
            }
            shares = {name: reference(clip).other_sign_share.item() for name, clip in parts.items()}
            assert min(shares.values()) > 0.8 * OTHER_SIGN_SHARE, shares
            assert reference(film.shown(film.numbers(-0.5, 1.5))).other_sign_share == 0

    def test_classes_and_units_of_a_fall_are_averaged(self, model, films):
        for film in films:
            apex = (film.apex - film.onset) / (film.offset - film.onset)
            clip = film.shown(film.numbers(apex, 1))
            output, features = model(clip), model.fdp(clip)
            share = features.other_sign_share
            assert share > 0.25
            signs = [self.representation(model, clip), model.fdp.of_other_sign(features)]
            seen = [model.classifier(*sign) for sign in signs]
            classes = [logits.softmax(1) for logits, _ in seen]
            units = [model.action_unit_output(hidden).sigmoid() for _, hidden in seen]
            assert (classes[0] - classes[1]).abs().max() > 0.01, "the signs are told apart"
            assert torch.allclose(output.logits.softmax(1), torch.lerp(*classes, share), atol=1e-5)
            assert torch.allclose(output.action_unit_logits.sigmoid(), torch.lerp(*units, share), atol=1e-5)

    @staticmethod
    def representation(model, clip):
        output = model.fdp(clip)
        return output.pooler_output, output.movement_features

    def test_whole_movements_and_training_are_as_without_it(self, model, films):
        clips = torch.cat([film.shown(film.numbers(-0.5, 1.5)) for film in films])
        plain = model.classifier(*self.representation(model, clips))[0]
        assert torch.allclose(model(clips).logits.softmax(1), plain.softmax(1), atol=1e-6)
        model.train()
        torch.manual_seed(0)
        trained = model(clips[:, ::2]).logits
        model.config.both_signs = False
        torch.manual_seed(0)
        assert torch.equal(model(clips[:, ::2]).logits, trained)
        model.config.both_signs = True
        model.eval()

    def test_other_problems_than_one_class_are_as_without_it(self, model, films, tmp_path):
        model.save_pretrained(tmp_path)
        clip = films[0].shown(films[0].numbers(0, 0.5))
        for problem_type in ("regression", "multi_label_classification"):
            # Settings that are given to `from_pretrained` are not checked against each other.
            other = FDPForVideoClassification.from_pretrained(tmp_path, problem_type=problem_type).eval()
            with torch.no_grad():
                expected = other.classifier(*self.representation(other, clip))[0]
                assert torch.allclose(other(clip).logits, expected, atol=1e-5)

    def test_the_temperature_acts_on_the_average(self, model, films):
        clip = films[0].shown(films[0].numbers(0, 0.5))
        plain = model(clip).logits
        model.config.temperature = 2.0
        assert torch.allclose(model(clip).logits, plain / 2)
        model.config.temperature = 1.0

    def test_sides_are_averaged_before_the_higher_one_counts(self, films):
        torch.manual_seed(0)
        config = FDPConfig.from_preset(
            "tiny", num_labels=3, reference="movement_patterns", both_signs=True, action_units=["4", "12"],
            action_unit_sides=True,
        )  # fmt: skip
        model = FDPForVideoClassification(config).eval().requires_grad_(False)
        clip = films[0].shown(films[0].numbers(0, 0.5))
        output, features = model(clip), model.fdp(clip)
        signs = [self.representation(model, clip), model.fdp.of_other_sign(features)]
        units = [model.action_unit_output(model.classifier(*sign)[1]).sigmoid() for sign in signs]
        mean = torch.lerp(*units, features.other_sign_share).unflatten(1, (2, 2))
        assert torch.allclose(output.action_unit_side_logits.sigmoid(), mean, atol=1e-5)
        assert torch.allclose(output.action_unit_logits.sigmoid(), mean.amax(2), atol=1e-5)

    def test_half_precision_answers_alike(self, model, films, tmp_path):
        model.save_pretrained(tmp_path)
        half = FDPForVideoClassification.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
        clip = films[0].shown(films[0].numbers(0, 0.5))
        with torch.no_grad():
            logits = half(clip).logits
            with torch.autocast("cpu", torch.bfloat16):
                mixed = model(clip).logits
        assert logits.dtype == torch.bfloat16
        for answer in (logits, mixed):
            assert torch.allclose(answer.float().softmax(1), model(clip).logits.softmax(1), atol=0.05)

    def test_means_by_hand(self):
        one, other = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[-60.0, 60.0, 0.0]])
        share = torch.tensor([0.25])
        expected = 0.75 * one.softmax(1) + 0.25 * other.softmax(1)
        assert torch.allclose(averaged_logits(one, other, share).softmax(1), expected, atol=1e-5)
        expected = 0.75 * one.sigmoid() + 0.25 * other.sigmoid()
        assert torch.allclose(averaged_unit_logits(one, other, share).sigmoid(), expected, atol=1e-5)
        for mean in (averaged_logits, averaged_unit_logits):
            assert mean(other, other, share).isfinite().all(), "also of a probability of 0"

    def test_it_is_refused_where_there_is_no_sign(self, model, clips):
        other = FDPForVideoClassification(FDPConfig.from_preset("tiny", num_labels=3)).eval()
        output = other.fdp(clips(1, num_frames=16))
        with pytest.raises(ValueError, match="reference='first_frame_motion'"):
            other.fdp.of_other_sign(output)
        with pytest.raises(ValueError, match="set it to False"):
            FDPAlignmentConfig.from_preset("tiny", reference="movement_patterns", both_signs=True)


def test_curves_are_finite_where_one_direction_holds_all_motion():
    """As in a clip of very few frames: what is left after the first curve is rounding, with a trace of about 0."""
    for seed in range(400):
        course = (seeded(2, 24, 1, seed=seed) > 0).float()
        samples = (course - course.mean(1, keepdim=True)) * seeded(2, 1, 16, seed=1000 + seed) * 10.0 ** (seed % 7 - 4)
        curves, shares = strongest_curves(samples)
        assert curves.isfinite().all() and shares.isfinite().all()
        assert torch.allclose(shares[:, 0], torch.ones(2), atol=1e-3) or samples.square().sum() < 1e-6
