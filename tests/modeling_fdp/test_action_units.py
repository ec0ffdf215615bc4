"""The head that names action units: there when codes are named, taught by what was coded, saved along."""

import copy
import math

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification
from transformers.utils import logging

from modeling_fdp import FDPForVideoClassification, FDPModel
from modeling_fdp.classification_fdp import action_unit_loss

UNITS = ["1", "4", "L12"]
LABELS = torch.tensor([0, 2])
CODED = torch.tensor([[1.0, 0.0, float("nan")], [0.0, float("nan"), 1.0]])


@pytest.fixture(scope="module", params=["tiny", "released"])
def model(request, small_model):
    """One preset for each of the two classifiers."""
    return small_model(request.param, action_units=UNITS)


def cross_entropy(logit: float, label: int) -> float:
    share = 1 / (1 + math.exp(-logit))
    return -math.log(share if label else 1 - share)


class TestLoss:
    def test_is_the_mean_over_what_was_coded(self):
        logits = torch.tensor([[0.0, 2.0, 5.0], [-1.0, 7.0, 3.0]])
        expected = (cross_entropy(0, 1) + cross_entropy(2, 0) + cross_entropy(-1, 0) + cross_entropy(3, 1)) / 4
        assert float(action_unit_loss(logits, CODED)) == pytest.approx(expected, rel=1e-6)
        assert expected == pytest.approx((0.693147 + 2.126928 + 0.313262 + 0.048587) / 4, abs=1e-6)

    def test_what_nobody_coded_neither_counts_nor_teaches(self):
        logits = torch.zeros(2, 3, requires_grad=True)
        action_unit_loss(logits, CODED).backward()
        assert torch.equal(logits.grad == 0, CODED.isnan())
        # A mean of 4: the slope of each is (0.5 - label) / 4.
        assert torch.allclose(logits.grad[0, :2], torch.tensor([-0.125, 0.125]))
        other = torch.where(CODED.isnan(), torch.tensor(50.0), torch.zeros(()))
        assert torch.equal(action_unit_loss(other, CODED), action_unit_loss(logits, CODED))

    def test_of_nothing_is_zero_with_a_gradient_of_zero(self):
        logits = torch.ones(2, 3, requires_grad=True)
        loss = action_unit_loss(logits, torch.full((2, 3), float("nan")))
        loss.backward()
        assert float(loss.detach()) == 0 and torch.equal(logits.grad, torch.zeros(2, 3))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_is_taken_in_single_precision(self, dtype):
        logits = torch.tensor([[0.25, -3.0, 1.0], [2.0, 0.5, -40.0]], dtype=dtype)
        loss = action_unit_loss(logits, CODED.to(dtype))
        assert loss.dtype == torch.float32 and torch.equal(loss, action_unit_loss(logits.float(), CODED))


class TestHead:
    def test_names_one_score_per_unit(self, model, clips):
        outputs = model(clips(), labels=LABELS, action_unit_targets=CODED)
        assert outputs.action_unit_logits.shape == (2, 3) and outputs.logits.shape == (2, 3)
        assert torch.equal(outputs.losses["action_unit"], action_unit_loss(outputs.action_unit_logits, CODED))
        total = sum(getattr(model.config, f"{name}_loss_weight") * part for name, part in outputs.losses.items())
        assert torch.equal(outputs.loss, total) and model.config.action_unit_loss_weight == 5
        # They come after the three tensors that stood there before them.
        assert torch.equal(model(clips(), return_dict=False)[3], outputs.action_unit_logits)

    def test_is_told_only_where_labels_are_given(self, model, clips):
        outputs = model(clips(), labels=LABELS)
        assert "action_unit" not in outputs.losses and outputs.action_unit_logits is not None
        given = model(clips(), labels=LABELS, action_unit_targets=CODED)
        extra = model.config.action_unit_loss_weight * given.losses["action_unit"]
        assert torch.allclose(given.loss, outputs.loss + extra)
        assert model(clips()).loss is None

    def test_units_can_be_taught_without_emotions(self, model, clips):
        alone = model(clips(), action_unit_targets=CODED)
        assert "classification" not in alone.losses
        assert torch.equal(alone.losses["action_unit"], action_unit_loss(alone.action_unit_logits, CODED))

    def test_gradient_reaches_the_head_and_what_it_shares(self, model, clips):
        trained = copy.deepcopy(model).train()
        trained(clips(), labels=LABELS, action_unit_targets=CODED).losses["action_unit"].backward()
        assert all(value.grad.any() for value in trained.action_unit_output.parameters())
        assert trained.fdp.encoder.stem[0].conv.weight.grad.any()
        assert trained.classifier.output.weight.grad is None, "the emotion's own layer is not the units'"

    def test_learns_units_beside_emotions(self, small_config, clips):
        torch.manual_seed(0)
        model = FDPForVideoClassification(small_config("tiny", num_labels=2, action_units=UNITS)).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        frames = torch.cat([clips(6), clips(6).flip(1)])
        labels = torch.tensor([0] * 6 + [1] * 6)
        coded = torch.cat([torch.tensor([[1.0, 0.0, float("nan")]] * 6), torch.tensor([[0.0, 1.0, 0.0]] * 6)])
        for _ in range(25):
            outputs = model(frames, labels=labels, action_unit_targets=coded)
            outputs.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        known = ~coded.isnan()
        assert torch.equal((outputs.action_unit_logits > 0)[known], (coded == 1)[known])
        assert torch.equal(outputs.logits.argmax(1), labels)

    def test_absent_head_refuses_labels(self, small_model, clips):
        model = small_model("tiny")
        assert model.action_unit_output is None and model(clips()).action_unit_logits is None
        with pytest.raises(ValueError, match=r"config\.action_units.*asks for no such targets, but shape \(2, 3\)"):
            model(clips(), labels=LABELS, action_unit_targets=CODED)

    @pytest.mark.parametrize("shape", [(2, 2), (3,), (1, 3)])
    def test_wrong_labels_are_named(self, model, clips, shape):
        with pytest.raises(ValueError, match=r"asks for shape \(2, 3\), but shape \(" + str(shape[0])):
            model(clips(), labels=LABELS, action_unit_targets=torch.zeros(shape))

    @pytest.mark.parametrize("value", [-1.0, 9.0])
    def test_codes_for_unknown_are_named(self, model, clips, value):
        with pytest.raises(ValueError, match="in \\[0, 1\\] or be NaN"):
            model(clips(), labels=LABELS, action_unit_targets=torch.full((2, len(UNITS)), value))

    def test_weight_of_zero_leaves_the_loss_as_it_was(self, small_model, clips):
        model = small_model("tiny", action_units=UNITS, action_unit_loss_weight=0.0)
        given = model(clips(), labels=LABELS, action_unit_targets=CODED)
        assert torch.equal(given.loss, model(clips(), labels=LABELS).loss) and given.losses["action_unit"] > 0

    def test_changes_no_weight_of_the_rest(self, small_config):
        networks = []
        for units in ([], UNITS):
            torch.manual_seed(0)
            networks.append(FDPForVideoClassification(small_config("tiny", action_units=units)))
        plain, coded = networks
        extra = {"action_unit_output.weight", "action_unit_output.bias"}
        assert set(coded.state_dict()) - set(plain.state_dict()) == extra
        assert {name: value.shape for name, value in plain.state_dict().items()} == {
            name: value.shape for name, value in coded.state_dict().items() if name not in extra
        }


class TestSaved:
    def test_reloaded_with_its_codes(self, model, clips, tmp_path):
        model.save_pretrained(tmp_path)
        assert AutoConfig.from_pretrained(tmp_path).action_units == UNITS
        loaded = AutoModelForVideoClassification.from_pretrained(tmp_path)
        assert torch.equal(loaded.action_unit_output.weight, model.action_unit_output.weight)
        assert torch.equal(loaded(clips()).action_unit_logits, model(clips()).action_unit_logits)

    def test_features_load_without_a_word_about_the_head(self, model, clips, tmp_path, caplog):
        model.save_pretrained(tmp_path)
        logging.enable_propagation()
        try:
            features, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
        finally:
            logging.disable_propagation()
        assert type(features) is FDPModel
        assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
        assert caplog.text == ""
        assert torch.equal(features(clips()).pooler_output, model.fdp(clips()).pooler_output)

    def test_head_can_be_added_to_a_checkpoint_without_one(self, small_model, clips, tmp_path):
        plain = small_model("tiny")
        plain.save_pretrained(tmp_path)
        loaded, info = FDPForVideoClassification.from_pretrained(
            tmp_path, action_units=["12"], output_loading_info=True
        )
        assert set(info["missing_keys"]) == {"action_unit_output.weight", "action_unit_output.bias"}
        outputs = loaded.eval()(clips())
        assert torch.equal(outputs.logits, plain(clips()).logits)
        assert outputs.action_unit_logits.shape == (2, 1) and torch.isfinite(outputs.action_unit_logits).all()


class TestSides:
    @pytest.fixture(scope="class", params=["tiny", "paper_tiny"])
    def sided(self, request, small_model):
        return small_model(request.param, action_units=UNITS, action_unit_sides=True)

    def test_every_side_has_a_score_and_the_unit_the_higher(self, sided, clips):
        outputs = sided(clips())
        assert outputs.action_unit_side_logits.shape == (2, 3, 2)
        assert torch.equal(outputs.action_unit_logits, outputs.action_unit_side_logits.amax(2))
        assert not torch.equal(outputs.action_unit_side_logits[..., 0], outputs.action_unit_side_logits[..., 1])

    def test_each_side_is_taught_by_its_own_label(self, sided, clips):
        coded = torch.stack([CODED, torch.full_like(CODED, float("nan"))], dim=2)
        outputs = sided(clips(), action_unit_targets=coded)
        expected = action_unit_loss(outputs.action_unit_side_logits[..., 0], CODED)
        assert torch.equal(outputs.losses["action_unit"], expected)
        with pytest.raises(ValueError, match=r"asks for shape \(2, 3, 2\), but shape \(2, 3\)"):
            sided(clips(), action_unit_targets=CODED)

    def test_without_sides_there_are_no_such_scores(self, model, clips):
        assert model(clips()).action_unit_side_logits is None
