"""The benchmark of folds that share a device compares ways that train the same networks."""

import torch

from benchmarks import sharing

CPU = torch.device("cpu")
TOY = {"stem_channels": [4, 8], "hidden_sizes": [8] * 3, "global_hidden_sizes": [32] * 3, "local_depths": [1, 1, 1]}
TOY |= {"global_depths": [0, 0, 1], "stage_strides": [1, 2, 2], "key_value_strides": [4, 2, 1], "local_head_dim": 8}
TOY |= {"feature_size": 8, "decoder_size": 8, "image_size": 32, "num_frames": 4, "drop_path_rate": 0.0}
TOY |= {"classifier_dropout": 0.0, "reference": "first_frame_pixels"}


def test_stacked_networks_learn_what_each_learns_alone():
    """Parameters, running statistics and their counters, after three steps.

    In double precision: Adam turns the rounding of a gradient that should be 0 into steps; a step is 1e-3.
    """
    alone, together = ([model.double() for model in sharing.build_models("tiny", 2, CPU, **TOY)] for _ in range(2))
    batches = []
    for seed in range(2):
        pixels, labels, target = sharing.make_batch(alone[0].config, 3, seed, CPU)
        batches.append((pixels.double(), labels, target.double()))
    one_by_one = sharing.streamed_step(alone, batches, CPU)
    stacked, state = sharing.stacked_step(together, batches)
    before = {name: value.clone() for name, value in state.items()}
    with sharing.unchecked():
        for _ in range(3):
            one_by_one()
            stacked()
    for number, model in enumerate(alone):
        for name, value in model.state_dict().items():
            torch.testing.assert_close(state[name][number], value, atol=2e-4, rtol=1e-3)
    moved = [name for name, value in state.items() if not torch.equal(value, before[name])]
    assert any("running_mean" in name for name in moved) and any("num_batches_tracked" in name for name in moved)
    assert not torch.equal(state["classifier.output.weight"][0], state["classifier.output.weight"][1])


def test_the_loss_is_the_models_own():
    (model,) = sharing.build_models("tiny", 1, CPU, **TOY)
    batch = sharing.make_batch(model.config, 3, 0, CPU)
    own = model(pixel_values=batch[0], labels=batch[1]).loss
    torch.testing.assert_close(sharing.training_loss(model(pixel_values=batch[0]), batch, model.config), own)
