"""The paper's form on a briefly trained network: scores that perceive time, an image made of the representation."""

from itertools import pairwise

import pytest
import torch
from scipy.stats import kendalltau

from modeling_fdp import FDPForVideoClassification
from modeling_fdp.temporal_pooling_fdp import fitted_ranker_weights, rank_pair_weights, running_mean

NUM_FRAMES = 16


def falling_bars(num_clips, seed):
    """Clips in which a dark bar sinks, on the left (class 0) or the right (1); noise behind it is the clip's own."""
    generator = torch.Generator().manual_seed(seed)
    frames = (torch.rand(num_clips, 1, 1, 32, 32, generator=generator) - 0.5).repeat(1, NUM_FRAMES, 1, 1, 1)
    labels = torch.randint(0, 2, (num_clips,), generator=generator)
    starts = torch.randint(2, 8, (num_clips,), generator=generator)
    for clip in range(num_clips):
        left = 4 if labels[clip] == 0 else 20
        for index in range(NUM_FRAMES):
            top = int(starts[clip]) + index
            frames[clip, index, :, top : top + 6, left : left + 8] -= 0.6
    return frames, labels


@pytest.fixture(scope="module")
def trained(small_config):
    torch.manual_seed(0)
    config = small_config(
        "paper_tiny",
        image_size=32,
        num_labels=2,
        num_frames=NUM_FRAMES,
        rank_loss_weight=1.0,
        key_value_strides=[2, 1],
    )
    model = FDPForVideoClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(60):
        frames, labels = falling_bars(12, seed=step)
        model(frames, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.fixture(scope="module")
def unseen():
    return falling_bars(24, seed=1000)


def taus(model, frames):
    with torch.no_grad():
        scores = model(frames).rank_scores
    return torch.tensor([kendalltau(range(scores.shape[1]), row.numpy()).statistic for row in scores]).nan_to_num()


def test_scores_rise_with_the_movement_and_fall_where_it_is_played_backwards(trained, unseen):
    frames, _ = unseen
    assert taus(trained, frames).mean() > 0.8
    assert taus(trained, frames.flip(1)).mean() < -0.8


def test_scores_of_shuffled_frames_lose_their_order(trained, unseen):
    frames, _ = unseen
    generator = torch.Generator().manual_seed(0)
    shuffled = torch.stack([clip[torch.randperm(NUM_FRAMES, generator=generator)] for clip in frames])
    assert taus(trained, shuffled).abs().mean() < 0.3


def test_scores_of_a_still_face_have_no_order(trained, unseen):
    frames, _ = unseen
    still = frames[:, :1].repeat(1, NUM_FRAMES, 1, 1, 1)
    with torch.no_grad():
        moving, scores = trained(frames).rank_scores, trained(still).rank_scores
    assert scores.std(1).max() < 1e-4 * moving.std(1).mean()
    noise = 0.02 * torch.randn(still.shape, generator=torch.Generator().manual_seed(0))
    assert taus(trained, still + noise).abs().mean() < 0.3


def test_classes_are_told_apart_by_what_is_pooled(trained, unseen):
    frames, labels = unseen
    with torch.no_grad():
        assert (trained(frames).logits.argmax(1) == labels).float().mean() > 0.9


def test_another_clips_representation_at_least_doubles_the_error_of_the_image(trained, unseen):
    frames, _ = unseen
    with torch.no_grad():
        outputs = trained.fdp(frames)
        target = trained._dynamic_image_target(frames, None, outputs)
        own = (trained.decoder(outputs.pooler_output, outputs.detail) - target).square().mean()
        other = (trained.decoder(outputs.pooler_output.roll(1, 0), outputs.detail) - target).square().mean()
        detail = (trained.decoder(outputs.pooler_output, outputs.detail.roll(1, 0)) - target).square().mean()
    assert other > 2 * own, (float(own), float(other))
    assert detail == own, "nothing but the representation reaches the image"


def test_shortcut_lets_the_stem_into_the_image(small_model, clips):
    model = small_model("paper_tiny", dynamic_image_shortcut=True)
    outputs = model.fdp(clips())
    own = model.decoder(outputs.pooler_output, outputs.detail)
    assert not torch.allclose(own, model.decoder(outputs.pooler_output, outputs.detail.flip(-1)), atol=1e-6)


@pytest.mark.parametrize("pooling", ["rank_weighted", "rank_pooling"])
@pytest.mark.parametrize("smoothing", ["running_mean", "none"])
def test_the_loss_of_the_class_reaches_the_scorer(small_model, clips, pooling, smoothing):
    model = small_model(
        "paper_tiny",
        temporal_pooling=pooling,
        rank_smoothing=smoothing,
        rank_loss_weight=0.0,
        dynamic_image_decoder="none",
    )
    model(clips(), labels=torch.tensor([0, 2])).loss.backward()
    assert model.fdp.rank_scorer.direction.weight.grad.abs().sum() > 0


class TestRanker:
    features = torch.randn(3, 8, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    scores = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))

    def hinge(self, weights, scores, margin):
        """The smooth hinge of a ranker whose part beyond the shared one lies along the pooled features."""
        vectors = running_mean(self.features.flatten(2))
        vectors = vectors - vectors.mean(1, keepdim=True)
        unit = vectors.square().sum(2).mean(1)[:, None, None]
        ranked = scores + ((vectors @ vectors.transpose(1, 2) / unit) @ weights[:, :, None]).squeeze(2)
        difference = ranked[:, :, None] - ranked[:, None, :]
        later = torch.ones(8, 8).tril(-1)
        return (torch.nn.functional.softplus(margin - difference) * later).sum((1, 2)) / later.sum()

    def test_one_step_is_the_weight_of_pairs(self):
        one = fitted_ranker_weights(self.features, self.scores, 1.0, num_steps=1)
        assert torch.allclose(one, rank_pair_weights(self.scores, 1.0), atol=1e-6)

    def test_weights_sum_to_zero_and_a_clip_without_motion_has_no_representation(self):
        weights = fitted_ranker_weights(self.features, self.scores, 1.0, num_steps=8)
        assert torch.allclose(weights.sum(1), torch.zeros(3), atol=1e-5)
        assert torch.allclose(weights.abs().sum(1), torch.full((3,), 2.0), atol=1e-5)
        still = self.features[:, :1].expand(-1, 8, -1, -1, -1)
        pooled = torch.einsum("bt,btchw->bchw", fitted_ranker_weights(still, self.scores, 1.0, 8), still)
        assert pooled.abs().max() < 1e-5

    def test_steps_are_gradient_descent_on_the_hinge_of_the_clips_own_frames(self, monkeypatch):
        from modeling_fdp import temporal_pooling_fdp

        monkeypatch.setattr(temporal_pooling_fdp, "_weights_on_frames", lambda weights: weights)
        history = [self.hinge(torch.zeros(3, 8), self.scores, 1.0)]
        for num_steps in (1, 2, 4, 8, 16):
            weights = fitted_ranker_weights(self.features, self.scores, 1.0, num_steps)
            history.append(self.hinge(weights, self.scores, 1.0))
        assert all((later < earlier).all() for earlier, later in pairwise(history))

    def test_a_fitted_ranker_orders_what_a_shared_one_does_not(self):
        disordered = self.scores.sort(1, descending=True).values
        weights = fitted_ranker_weights(self.features, disordered, 1.0, num_steps=64)
        pooled = torch.einsum("bt,btchw->bchw", weights, self.features).flatten(1)
        ranked = torch.einsum("bc,btc->bt", pooled, running_mean(self.features.flatten(2)))
        assert taus_of(ranked).min() > 0.9

    @pytest.mark.parametrize("margin", [0.0, 0.5, 2.0])
    def test_pairs_weigh_what_is_computed_by_hand(self, margin):
        expected = torch.zeros(3, 8)
        for clip in range(3):
            for later in range(8):
                for earlier in range(later):
                    gap = margin - self.scores[clip, later] + self.scores[clip, earlier]
                    pull = 1 / (1 + torch.exp(-gap))
                    # A frame counts 1 / t in the running mean of every moment t from its own on.
                    expected[clip, : later + 1] += pull / (later + 1)
                    expected[clip, : earlier + 1] -= pull / (earlier + 1)
        expected = 2 * expected / expected.abs().sum(1, keepdim=True)
        assert torch.allclose(rank_pair_weights(self.scores, margin), expected, atol=1e-5)


def taus_of(scores):
    return torch.tensor([kendalltau(range(scores.shape[1]), row.numpy()).statistic for row in scores])


def test_smallest_change_of_the_input_shows_each_frame_beside_its_change(small_model, clips):
    model = small_model("paper_tiny", reference="frame_and_change")
    frames = clips()
    seen = []
    model.fdp.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        assert torch.isfinite(model(frames).logits).all()
    given, change = seen[0].unflatten(0, frames.shape[:2]).split(1, dim=2)
    assert torch.equal(given, frames) and not change[:, 0].any()
    assert torch.allclose(change, torch.tanh((frames - frames[:, :1]) * model.config.reference_gain))
