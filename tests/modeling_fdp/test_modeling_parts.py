"""Reference frame, temporal pooling, decoder, and the loss of the classes, each by itself."""

import copy

import pytest
import torch
from torch.nn import functional as F
from transformers import VideoClassificationPipeline

from modeling_fdp import FDPForVideoClassification
from modeling_fdp.classification_fdp import classification_loss
from modeling_fdp.configuration_heads_fdp import TEMPORAL_POOLINGS
from modeling_fdp.dynamic_image_decoder_fdp import unpool
from modeling_fdp.temporal_pooling_fdp import (
    closed_form_rank_scores,
    rank_hinge_loss,
    rank_pair_weights,
    running_mean,
)
from processing_fdp.video_processing_fdp import FDPVideoProcessor

# The released reshape takes vectors alone, which the preset `released` has.
POOLINGS = [name for name in TEMPORAL_POOLINGS if name != "interleaved_convolution"]
LABELS = torch.tensor([0, 2])


class TestReference:
    def test_pixels_relative_to_the_first_frame_do_not_know_the_face(self, small_model, clips):
        model = small_model("tiny")
        still = clips(num_frames=1).repeat(1, 8, 1, 1, 1)
        logits = model(still).logits
        assert torch.allclose(logits[0], logits[1], atol=1e-6), "two still faces look alike"

    def test_encoder_sees_moments_of_the_motion_at_half_resolution(self, small_model, clips):
        model = small_model("tiny", num_moments=3)
        seen = []
        model.fdp.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        assert model.fdp(clips()).last_hidden_state.shape == (2, 3, 8, 8, 8)
        assert seen[0].shape == (2 * 3, 6, 32, 32)

    def test_features_relative_to_the_first_frame_vanish_for_it(self, small_model, clips):
        model = small_model("tiny", reference="first_frame_features")
        features = model.fdp(clips()).last_hidden_state
        assert not features[:, 0].any() and features[:, 1:].any()

    def test_released_form_sees_the_face(self, small_model, clips):
        model = small_model("tiny", reference="none")
        still = clips(num_frames=1).repeat(1, 8, 1, 1, 1)
        assert not torch.allclose(*model.fdp(still).last_hidden_state.flatten(1), atol=1e-3)

    def test_small_motion_reaches_unit_scale_and_a_blink_is_bounded(self, small_model):
        model = small_model("tiny", reference="first_frame_pixels")
        frames = torch.zeros(1, 3, 1, 64, 64)
        frames[:, 1] = 10 / 127.5
        frames[:, 2] = 1.0
        seen = model.fdp._refer_to_first_frame(frames, None)
        assert not seen[:, 0].any() and 0.5 < float(seen[0, 1].mean()) < 0.9 and float(seen.max()) <= 1


class TestRankPooling:
    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_every_pooling_runs_learns_and_knows_time(self, small_model, clips, pooling):
        model = small_model("tiny", temporal_pooling=pooling)
        forward, backward = model.fdp(clips()), model.fdp(clips().flip(1))
        assert not torch.allclose(forward.pooler_output, backward.pooler_output, atol=1e-4)
        trained = copy.deepcopy(model).train()
        trained(clips(), labels=LABELS).loss.backward()
        assert all(value.grad is not None and value.grad.any() for value in trained.parameters())

    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_every_pooling_is_loaded_as_it_was_saved(self, small_model, clips, tmp_path, pooling):
        model = small_model("tiny", temporal_pooling=pooling)
        model.fdp.save_pretrained(tmp_path)
        loaded = type(model.fdp).from_pretrained(tmp_path)
        assert torch.equal(loaded(clips()).pooler_output, model.fdp(clips()).pooler_output)

    def test_scorer_is_absent_where_nothing_would_train_it(self, small_model, clips):
        model = small_model("tiny", temporal_pooling="closed_form", rank_loss_weight=0.0)
        assert model.fdp.rank_scorer is None and model(clips()).rank_scores.shape == (2, 8)

    @pytest.mark.parametrize("num_moments", [2, 4, 5])
    @pytest.mark.parametrize("num_frames", [5, 7, 16])
    def test_scores_are_told_per_frame_whatever_the_moments(self, small_model, clips, num_moments, num_frames):
        model = small_model("tiny", num_moments=num_moments)
        model.fdp.rank_scorer.forward = lambda features: torch.arange(1.0, features.shape[1] + 1).expand(2, -1)
        outputs = model.fdp(clips(num_frames=num_frames))
        assert outputs.last_hidden_state.shape[1] == num_moments and outputs.rank_scores.shape == (2, num_frames)
        assert (outputs.rank_scores.diff(dim=1) >= 0).all(), "moments in order leave the frames in order"
        times = torch.linspace(0, num_moments, num_frames).expand(2, -1)
        torch.testing.assert_close(outputs.rank_scores, times, msg="a score that is the time stays the time")

    def test_running_mean_is_the_mean_so_far(self):
        features = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
        expected = torch.stack([features[:, : t + 1].mean(1) for t in range(5)], dim=1)
        assert torch.allclose(running_mean(features), expected, atol=1e-6)

    def test_hinge_counts_pairs_in_the_wrong_order(self):
        assert float(rank_hinge_loss(torch.tensor([[0.0, 1.0, 2.0]]), margin=1.0)) == 0.0
        # Pairs (2, 1), (3, 1), (3, 2) cost 2, 3 and 2.
        assert float(rank_hinge_loss(torch.tensor([[2.0, 1.0, 0.0]]), margin=1.0)) == pytest.approx(7 / 3)
        assert float(rank_hinge_loss(torch.zeros(4, 8), margin=0.7)) == pytest.approx(0.7)

    def test_equal_scores_give_approximate_rank_pooling(self):
        from modeling_fdp import rank_pooling_weights

        closed = rank_pooling_weights(8)
        weights = rank_pair_weights(torch.full((1, 8), 3.0), margin=1.0)[0]
        assert torch.allclose(weights, 2 * closed / closed.abs().sum(), atol=1e-6)

    def test_pair_weights_are_signed_and_scaled_whatever_the_scores(self):
        scores = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)) * 10
        weights = rank_pair_weights(scores, margin=1.0)
        assert torch.allclose(weights.sum(1), torch.zeros(5), atol=1e-5)
        assert torch.allclose(weights.abs().sum(1), torch.full((5,), 2.0), atol=1e-5)

    def test_pairs_in_good_order_fade(self):
        # The last frame alone is badly ranked: it must weigh most among the later ones.
        scores = torch.tensor([[0.0, 5.0, 10.0, 15.0, -20.0]])
        weights = rank_pair_weights(scores, margin=1.0)[0]
        assert weights.argmax() == 4

    def test_scores_without_a_scorer_grow_when_a_feature_grows(self):
        features = torch.arange(8.0).view(1, 8, 1, 1, 1).expand(2, 8, 4, 2, 2)
        scores = closed_form_rank_scores(features)
        assert (scores.diff(dim=1) > 0).all()
        assert not closed_form_rank_scores(torch.ones(1, 8, 4, 2, 2)).any()

    def test_released_convolution_mixes_neighbouring_numbers_not_frames(self, small_model):
        pooling = small_model("released").fdp.pooling
        features = torch.zeros(1, 8, 1, 64, 64)
        features[0, 5] = 1.0
        touched = (pooling(features, None) - pooling(torch.zeros_like(features), None)).abs().sum((0, 1, 3)) > 1e-7
        assert torch.equal(touched.nonzero().flatten(), torch.arange(39, 49)), "frame 5 of 8 fills rows 40 to 47"


class TestParts:
    def test_unpooling_is_torchs_own(self):
        pixels = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        pooled, places = F.max_pool2d(pixels, 2, return_indices=True)
        assert torch.equal(unpool(pooled, places), F.max_unpool2d(pooled, places, 2))

    def test_dense_local_blocks_and_eager_attention(self, small_model, clips):
        model = small_model("base", local_convolution="dense")
        fast = model(clips())
        model.set_attn_implementation("eager")
        slow = model(clips(), output_attentions=True)
        assert torch.allclose(fast.logits, slow.logits, atol=1e-4)
        weights = slow.attentions
        assert [tuple(weight.shape[-2:]) for weight in weights] == [(256, 4), (64, 4), (16, 4), (4, 4)]
        assert torch.allclose(weights[0].sum(-1), torch.ones(()), atol=1e-5)

    def test_no_decoder_means_no_image(self, small_model, clips):
        outputs = small_model("tiny", dynamic_image_decoder="none")(clips(), labels=LABELS)
        assert outputs.dynamic_image is None and "dynamic_image" not in outputs.losses

    def test_no_loss_where_nothing_is_asked(self, small_model, clips):
        model = small_model("tiny", dynamic_image_decoder="none", rank_loss_weight=0.0)
        assert model(clips(), dynamic_image_targets=torch.zeros(2, 1, 64, 64)).loss is None

    def test_zero_weights_turn_parts_off(self, small_model, clips):
        model = small_model("tiny", rank_loss_weight=0.0, dynamic_image_loss_weight=0.0)
        assert set(model(clips(), labels=LABELS).losses) == {"classification"}

    def test_drop_path_drops_whole_frames_only_while_training(self):
        from modeling_fdp.frame_encoder_fdp import FDPDropPath

        torch.manual_seed(0)
        drop = FDPDropPath(0.5)
        dropped = drop(torch.ones(400, 2, 2))
        per_frame = dropped.flatten(1)
        assert torch.equal(per_frame.amin(1), per_frame.amax(1)) and set(per_frame.unique().tolist()) == {0.0, 2.0}
        assert 0.8 < float(dropped.mean()) < 1.2
        assert torch.equal(drop.eval()(torch.ones(4, 2)), torch.ones(4, 2))

    def test_every_part_of_the_loss_falls_on_a_batch(self, small_config, clips):
        torch.manual_seed(0)
        model = FDPForVideoClassification(small_config("tiny", num_labels=2, rank_loss_weight=1.0)).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        frames = torch.cat([clips(6), clips(6).flip(1)])
        labels = torch.tensor([0] * 6 + [1] * 6)
        history = []
        for _ in range(25):
            outputs = model(frames, labels=labels)
            outputs.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            history.append({name: float(part.detach()) for name, part in outputs.losses.items()})
        assert history[-1]["classification"] < 0.5 * history[0]["classification"]
        assert history[-1]["dynamic_image"] < 0.9 * history[0]["dynamic_image"]
        assert history[-1]["rank"] < 0.9 * history[0]["rank"]
        assert torch.equal(outputs.logits.argmax(1), labels)


class TestClassificationLoss:
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [-1.0, 3.0, 0.0]])
    labels = torch.tensor([0, 2, 1])

    def test_without_focus_it_is_cross_entropy(self):
        weights = torch.tensor([1.0, 2.0, 3.0])
        ours = classification_loss(self.logits, self.labels, weights, label_smoothing=0.1)
        assert torch.equal(ours, F.cross_entropy(self.logits, self.labels, weights, label_smoothing=0.1))

    def test_focus_in_the_limit_is_cross_entropy_and_then_favours_hard_clips(self):
        weights = torch.tensor([1.0, 2.0, 3.0])
        almost = classification_loss(self.logits, self.labels, weights, focal_gamma=1e-6)
        assert torch.allclose(almost, F.cross_entropy(self.logits, self.labels, weights), atol=1e-4)
        easy = classification_loss(self.logits[:1], self.labels[:1], focal_gamma=2.0)
        share = F.softmax(self.logits[:1], 1)[0, 0]
        assert torch.allclose(easy, -((1 - share) ** 2) * share.log(), atol=1e-6)

    def test_options_reach_the_model(self, small_model, clips):
        plain = small_model("tiny")
        weighted = small_model("tiny", class_weights=[1, 1, 9])
        named = plain(clips(), labels=LABELS, class_weights=torch.tensor([1.0, 1.0, 9.0])).losses["classification"]
        assert torch.equal(weighted(clips(), labels=LABELS).losses["classification"], named)
        assert not torch.equal(plain(clips(), labels=LABELS).losses["classification"], named)
        smoothed = small_model("tiny", label_smoothing=0.2, focal_gamma=2.0)
        expected = classification_loss(plain(clips()).logits, LABELS, label_smoothing=0.2, focal_gamma=2.0)
        assert torch.equal(smoothed(clips(), labels=LABELS).losses["classification"], expected)

    def test_temperature_divides_the_scores_and_their_loss(self, small_model, clips):
        plain = small_model("tiny")(clips(), labels=LABELS)
        model = small_model("tiny", temperature=2.5)
        cooled = model(clips(), labels=LABELS)
        assert torch.equal(cooled.logits, plain.logits / 2.5)
        assert torch.equal(cooled.losses["classification"], F.cross_entropy(plain.logits / 2.5, LABELS))
        assert torch.equal(cooled.dynamic_image, plain.dynamic_image)

    def test_temperature_reaches_the_pipeline_of_transformers(self, small_model, clips):
        """`pipeline("video-classification")` takes the softmax of the logits."""
        model = small_model("tiny", temperature=2.5).eval()
        pipeline = VideoClassificationPipeline(model=model, video_processor=FDPVideoProcessor(alignment="none"))
        shown = pipeline.postprocess(model(clips()[:1]), top_k=3)
        expected = (small_model("tiny").eval()(clips()[:1]).logits / 2.5).softmax(-1)[0]
        assert sorted(entry["score"] for entry in shown) == pytest.approx(sorted(expected.tolist()))
