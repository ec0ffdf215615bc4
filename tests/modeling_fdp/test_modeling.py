"""What every transformers model must survive, for each preset at a small size, and which inputs are refused."""

import copy
import warnings

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForVideoClassification

from modeling_fdp import FDPForVideoClassification, FDPModel, dynamic_image
from modeling_fdp.configuration_heads_fdp import TEMPORAL_POOLINGS
from modeling_fdp.motion_fdp import stabilize

PRESETS = ("tiny", "small", "base", "paper", "paper_tiny", "released")
# The released reshape takes vectors alone, which the preset `released` has.
POOLINGS = [name for name in TEMPORAL_POOLINGS if name != "interleaved_convolution"]
LABELS = torch.tensor([0, 2])


@pytest.fixture(scope="module", params=PRESETS)
def model(request, small_model):
    return small_model(request.param)


def switch_checkpointing(model, state, *arguments):
    """transformers 5.23 called `gradient_checkpointing_enable` `activation_checkpointing_enable`."""
    kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    getattr(model, f"{kind}_checkpointing_{state}")(*arguments)


class TestEveryPreset:
    def test_shapes_and_ranges(self, model, clips):
        outputs = model(clips(), labels=LABELS)
        assert outputs.logits.shape == (2, 3) and outputs.rank_scores.shape == (2, 8)
        assert outputs.dynamic_image.shape == (2, 1, 64, 64)
        assert outputs.dynamic_image.min() >= 0 and outputs.dynamic_image.max() <= 1
        assert outputs.loss.shape == () and all(part.shape == () for part in outputs.losses.values())
        plain = model(clips())
        assert plain.loss is None and plain.losses is None

    def test_tuple_holds_what_the_dict_holds(self, model, clips):
        outputs = model(clips(), output_hidden_states=True)
        values = model(clips(), output_hidden_states=True, return_dict=False)
        assert isinstance(values, tuple) and len(values) == len(outputs.to_tuple())
        assert torch.equal(values[0], outputs.logits) and torch.equal(values[2], outputs.rank_scores)
        for ours, theirs in zip(values[3], outputs.hidden_states, strict=True):
            assert torch.equal(ours, theirs)

    def test_hidden_states_are_the_stem_and_the_stages(self, model, clips):
        states = model(clips(), output_hidden_states=True).hidden_states
        assert [state.shape[-1] for state in states] == [64 // model.config.stem_stride, *model.config.stage_sizes()]
        assert model.config.num_encoder_frames == (8 if model.config.reference == "none" else 4)
        assert all(state.shape[0] == 2 * model.config.num_encoder_frames for state in states)

    def test_saved_and_loaded_model_is_the_same_to_the_last_buffer(self, model, clips, tmp_path):
        model.save_pretrained(tmp_path)
        loaded = AutoModelForVideoClassification.from_pretrained(tmp_path)
        assert type(loaded) is FDPForVideoClassification
        theirs = {**dict(loaded.named_parameters()), **dict(loaded.named_buffers())}
        ours = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        assert set(ours) == set(theirs) == set(model.state_dict()), "every buffer must be in the state dict"
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert torch.equal(loaded(clips()).logits, model(clips()).logits)
        features = AutoModel.from_pretrained(tmp_path)
        assert type(features) is FDPModel
        assert torch.equal(features(clips()).pooler_output, model.fdp(clips()).pooler_output)

    def test_every_parameter_gets_a_gradient(self, model, clips):
        trained = copy.deepcopy(model).train()
        trained(clips(), labels=LABELS).loss.backward()
        idle = [name for name, value in trained.named_parameters() if value.grad is None or not value.grad.any()]
        assert idle == []

    def test_evaluation_treats_each_clip_alone(self, model, clips):
        batch = clips(3)
        together, alone = model(batch), [model(clip[None]) for clip in batch]
        assert torch.allclose(together.logits, torch.cat([one.logits for one in alone]), atol=1e-5)
        images = torch.cat([one.dynamic_image for one in alone])
        assert torch.allclose(together.dynamic_image, images, atol=1e-5)

    def test_training_and_evaluation_differ_and_evaluation_repeats(self, model, clips):
        assert torch.equal(model(clips()).logits, model(clips()).logits)
        trained = copy.deepcopy(model).train()
        before = {name: value.clone() for name, value in trained.named_buffers()}
        trained(clips())
        assert any(not torch.equal(value, before[name]) for name, value in trained.named_buffers())

    def test_frames_in_reverse_order_give_other_scores(self, model, clips):
        forward, backward = model(clips()), model(clips().flip(1))
        assert not torch.allclose(forward.rank_scores, backward.rank_scores, atol=1e-3)
        assert not torch.allclose(forward.logits, backward.logits, atol=1e-5)

    def test_checkpointing_changes_neither_gradients_nor_statistics(self, small_config, clips, request, model):
        plain = copy.deepcopy(model).train()
        checkpointed = copy.deepcopy(model).train()
        switch_checkpointing(checkpointed, "enable")
        assert checkpointed.is_gradient_checkpointing
        for network in (plain, checkpointed):
            network(clips(), labels=LABELS).loss.backward()
        for ours, theirs in zip(plain.parameters(), checkpointed.parameters(), strict=True):
            assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
        for ours, theirs in zip(plain.buffers(), checkpointed.buffers(), strict=True):
            assert torch.equal(ours, theirs)
        norms = [module for module in checkpointed.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert all(norm.momentum == 0.1 for norm in norms)

    def test_checkpointing_that_counts_batches_twice_is_warned_of(self, model):
        checkpointed = copy.deepcopy(model)
        with pytest.warns(UserWarning, match="set use_reentrant=False") as caught:
            switch_checkpointing(checkpointed, "enable", {"use_reentrant": True})
        assert len(caught) == 1, [str(warning.message) for warning in caught]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            switch_checkpointing(checkpointed, "enable", {"use_reentrant": False})
            switch_checkpointing(checkpointed, "disable")

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_loads_and_stays_near(self, model, clips, tmp_path, dtype):
        model.save_pretrained(tmp_path)
        loaded = FDPForVideoClassification.from_pretrained(tmp_path, dtype=dtype)
        assert {value.dtype for value in loaded.parameters()} == {dtype}
        outputs = loaded(clips())
        assert outputs.logits.dtype == dtype and torch.isfinite(outputs.logits).all()
        assert (outputs.dynamic_image.float() - model(clips()).dynamic_image).abs().mean() < 0.05
        # A difference of two frames must not be taken in half precision.
        if loaded.config.reference == "first_frame_motion":
            assert torch.equal(loaded.fdp(clips()).stabilized_frames, stabilize(clips()))
            seen: dict[str, torch.Tensor] = {}
            for name, network in (("half", loaded), ("full", model)):
                network.fdp.encoder.register_forward_pre_hook(lambda _, given, n=name: seen.update({n: given[0]}))
                network(clips())
            assert torch.equal(seen["half"], seen["full"].to(dtype))

    def test_head_for_another_number_of_labels(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        loaded = FDPForVideoClassification.from_pretrained(tmp_path, num_labels=7, ignore_mismatched_sizes=True)
        assert loaded.classifier.output.out_features == 7
        assert all(torch.isfinite(value).all() for value in loaded.parameters())
        assert torch.equal(loaded.fdp.encoder.stem[0].conv.weight, model.fdp.encoder.stem[0].conv.weight)

    def test_channels_last_is_only_a_layout(self, model, clips, tmp_path):
        laid_out = copy.deepcopy(model).use_channels_last()
        assert laid_out.fdp.encoder.stem[-1].conv.weight.is_contiguous(memory_format=torch.channels_last)
        assert torch.allclose(laid_out(clips()).logits, model(clips()).logits, atol=1e-5)
        laid_out.save_pretrained(tmp_path)
        loaded = FDPForVideoClassification.from_pretrained(tmp_path).state_dict()
        assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())

    def test_same_seed_same_model(self, small_config, model):
        networks = []
        for seed in (3, 3, 4):
            torch.manual_seed(seed)
            networks.append(FDPForVideoClassification(small_config("tiny")).state_dict())
        first, second, third = networks
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert any(not torch.equal(first[name], third[name]) for name in first)

    def test_loss_is_the_weighted_sum_of_its_parts(self, model, clips):
        outputs = model(clips(), labels=LABELS)
        total = sum(getattr(model.config, f"{name}_loss_weight") * part for name, part in outputs.losses.items())
        assert torch.equal(outputs.loss, total)
        assert torch.allclose(outputs.losses["classification"], F.cross_entropy(outputs.logits, LABELS))
        assert ("rank" in outputs.losses) == (model.config.rank_loss_weight > 0)

    def test_image_target_is_made_from_the_clip(self, model, clips):
        frames = clips() if model.config.dynamic_image_frames == "given" else stabilize(clips())
        target = dynamic_image(
            frames,
            normalization=model.config.dynamic_image_normalization,
            quantize=model.config.dynamic_image_normalization == "min_max",
        )
        made, given = model(clips(), labels=LABELS), model(clips(), labels=LABELS, dynamic_image_targets=target)
        assert torch.allclose(made.loss, given.loss, atol=1e-6)
        other = model(clips(), labels=LABELS, dynamic_image_targets=1 - target)
        assert other.losses["dynamic_image"] != made.losses["dynamic_image"]
        without_classes = model(clips(), dynamic_image_targets=target)
        assert "classification" not in without_classes.losses and without_classes.loss > 0


class TestInputs:
    @pytest.mark.parametrize(
        ("preset", "shape", "message"),
        [
            ("tiny", (2, 8, 64, 64), r"5 axes .*\(2, 8, 64, 64\)"),
            ("tiny", (0, 8, 1, 64, 64), "at least one clip"),
            ("tiny", (2, 8, 3, 64, 64), r"1 channel.*has 3"),
            ("tiny", (2, 4, 1, 64, 64), "at least 5 frames.*first_frame_motion.*has 4"),
            ("tiny", (2, 8, 1, 64, 32), "square"),
            ("small", (2, 8, 1, 48, 48), "multiple of 32 pixels.*but 48"),
            ("released", (2, 7, 1, 64, 64), "exactly 8 frames.*has 7"),
            ("released", (2, 8, 1, 96, 96), "64 x 64 pixels"),
        ],
    )
    def test_wrong_shapes_are_named(self, small_model, preset, shape, message):
        with pytest.raises(ValueError, match=message):
            small_model(preset)(torch.zeros(shape))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_broken_pixels_are_counted(self, small_model, clips, value):
        broken = clips()
        broken[1, 3, 0, 5, 5] = value
        with pytest.raises(ValueError, match="1 of 65536 values are NaN or infinite"):
            small_model("tiny")(broken)

    def test_integer_pixels_are_refused(self, small_model, clips):
        with pytest.raises(ValueError, match=r"torch\.uint8"):
            small_model("tiny")(clips().to(torch.uint8))

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (torch.tensor([0, 3]), r"\[0, 3\), but values from 0 to 3"),
            (torch.tensor([-100, 1]), "values from -100 to 1"),
            (torch.tensor([0]), r"2 integers.*\(1,\)"),
            (torch.tensor([0.0, 1.0]), r"torch\.float32"),
        ],
    )
    def test_wrong_labels_are_named(self, small_model, clips, labels, message):
        with pytest.raises(ValueError, match=message):
            small_model("tiny")(clips(), labels=labels)

    def test_other_problem_types_have_the_losses_of_transformers(self, small_model, clips):
        for problem_type, expected in (
            ("multi_label_classification", F.binary_cross_entropy_with_logits),
            ("regression", F.mse_loss),
        ):
            model = small_model("tiny", problem_type=problem_type)
            labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
            outputs = model(clips(), labels=labels)
            assert torch.allclose(outputs.losses["classification"], expected(outputs.logits, labels))
            with pytest.raises(ValueError, match=rf"\(2, 3\) of the logits.*{problem_type}.*\(2,\)"):
                model(clips(), labels=LABELS)

    def test_labels_of_32_bits_do(self, small_model, clips):
        model = small_model("tiny")
        assert torch.equal(model(clips(), labels=LABELS.int()).loss, model(clips(), labels=LABELS).loss)

    def test_colour_where_the_config_asks_for_it(self, small_config, clips):
        model = FDPForVideoClassification(small_config("tiny", num_channels=3)).eval()
        outputs = model(clips().repeat(1, 1, 3, 1, 1), labels=LABELS)
        assert outputs.dynamic_image.shape == (2, 1, 64, 64) and torch.isfinite(outputs.loss)

    def test_wrong_image_target_is_named(self, small_model, clips):
        with pytest.raises(ValueError, match=r"\(2, 1, 64, 64\), but \(2, 64, 64\)"):
            small_model("tiny")(clips(), labels=LABELS, dynamic_image_targets=torch.zeros(2, 64, 64))

    @pytest.mark.parametrize("num_frames", [2, 5, 16])
    def test_other_frame_counts_where_time_is_pooled_by_weights(self, small_model, clips, num_frames):
        model = small_model("tiny", reference="first_frame_pixels", temporal_pooling="rank_weighted")
        outputs = model(clips(num_frames=num_frames))
        assert outputs.rank_scores.shape == (2, num_frames) and torch.isfinite(outputs.logits).all()

    def test_one_frame_has_no_motion_to_pool(self, small_model, clips):
        with pytest.raises(ValueError, match=r"at least 2 frames.*has 1"):
            small_model("tiny", reference="first_frame_pixels", temporal_pooling="rank_weighted")(clips(num_frames=1))

    @pytest.mark.parametrize("reference", ["none", "first_frame_pixels", "first_frame_features"])
    def test_convolution_over_frames_takes_one_number_of_them(self, small_model, clips, reference):
        model = small_model("tiny", reference=reference)
        assert model(clips()).rank_scores.shape == (2, 8)
        for num_frames in (7, 9):
            with pytest.raises(ValueError, match=rf"exactly 8 frames.*{reference}.*has {num_frames}"):
                model(clips(num_frames=num_frames))

    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_motion_takes_any_number_of_frames_from_five_on(self, small_model, clips, pooling):
        model = small_model("tiny", temporal_pooling=pooling)
        for num_frames in (5, 7, 30):
            outputs = model(clips(num_frames=num_frames), labels=LABELS)
            assert outputs.rank_scores.shape == (2, num_frames) and torch.isfinite(outputs.loss)
        with pytest.raises(ValueError, match=r"at least 5 frames.*has 4"):
            model(clips(num_frames=4))

    def test_other_image_sizes_where_the_maps_are_pooled(self, small_model, clips):
        outputs = small_model("base")(clips(image_size=96), labels=LABELS)
        assert outputs.dynamic_image.shape == (2, 1, 96, 96) and torch.isfinite(outputs.loss)


@pytest.mark.parametrize(
    ("preset", "least", "most"), [("tiny", 0.1e6, 2e6), ("small", 2e6, 12e6), ("base", 60e6, 100e6)]
)
def test_presets_have_the_promised_size(preset, least, most):
    from modeling_fdp import FDPConfig

    with torch.device("meta"):
        model = FDPForVideoClassification(FDPConfig.from_preset(preset, num_labels=5))
    assert least < sum(value.numel() for value in model.parameters()) < most


def test_released_preset_has_the_authors_number_of_parameters():
    from modeling_fdp import FDPConfig

    with torch.device("meta"):
        model = FDPForVideoClassification(FDPConfig.from_preset("released"))
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert sum(sizes.values()) == 85_304_206
    assert round(sizes["decoder"] / 1e6, 2) == 29.45
