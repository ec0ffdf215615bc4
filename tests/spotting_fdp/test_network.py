"""The spotting network: the same whenever and in whatever parts, and what happens without its file or to a bad one."""

import json
from dataclasses import replace

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from evaluation_fdp.errors import ConfigError
from spotting_fdp import Spotter, command
from spotting_fdp.intervals import IntervalFinder
from spotting_fdp.motion_stream import Motion
from spotting_fdp.network import FORMAT_VERSION, NETWORK_NAME, SpottingNetwork, find_network, load_network
from spotting_fdp.network_input import LARGEST_INPUT, NUM_INPUTS, NUM_OTHERS, network_input
from spotting_fdp.thresholds import CLOSED_FORM, FalseAlarmRates
from training_fdp.hub.prediction import shipped_model

RATES = FalseAlarmRates(((0.1, 8.0), (0.5, 1.0), (0.8, 0.2)), 1.0)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SpottingNetwork(RATES).eval()


def found_in(network, motions, least=0.3):
    finder = IntervalFinder(least, network.score_runs)
    answers = [finder.add(motion) for motion in motions] + [finder.finish()]
    activities = [activity for _, some in answers for activity in some]
    return [one for found, _ in answers for one in found], np.concatenate([one.scores for one in activities])


def test_input_is_bounded_and_tells_a_hill_from_rest(curves_with_hills):
    curves = network_input([curves_with_hills(1800, [(900, 921, 150)])])[0]
    assert curves.shape == (NUM_INPUTS, 1800) and curves.dtype == np.float32
    assert np.abs(curves).max() <= LARGEST_INPUT
    sizes = np.abs(curves).mean(axis=0)
    assert sizes[905:917].mean() > 2 * sizes[200:800].mean()


def test_a_recording_without_the_face_has_no_input(network):
    assert network_input([]) == [] and network.score_runs([]) == []


def test_a_still_face_is_no_division_by_nothing():
    still = np.zeros((600, 16), np.float32)
    others = np.zeros((600, NUM_OTHERS), np.float32)
    (curves,) = network_input([Motion(0, still, still, others, False)])
    assert np.isfinite(curves).all()


@pytest.fixture(scope="module")
def still():
    """Half a minute of a face that does not move, filmed with a little noise."""
    rng = np.random.default_rng(0)
    whole, upper, others = (rng.normal(0, 0.1, (1800, size)).astype(np.float32) for size in (16, 16, NUM_OTHERS))
    return Motion(0, whole, upper, others, False)


# Noise alone, and half of what rendered people at rest move.
@pytest.mark.parametrize("factor", [1, 15])
def test_stillness_is_not_blown_up(still, factor):
    quiet, half = (replace(still, whole=size * still.whole, upper=size * still.upper) for size in (factor, factor / 2))
    (curves,), (smaller,) = network_input([quiet]), network_input([half])
    # The directions of the whole face, twice, and of the upper face.
    assert np.allclose(smaller[:48], curves[:48] / 2, atol=1e-6)
    assert np.abs(curves[:48]).max() < 1


def test_a_recording_in_which_nobody_moves_gives_no_interval(still):
    shipped = find_network(shipped_model())
    found, scores = found_in(shipped, [still], shipped.rates.least_score(shipped.rates.most))
    assert found == [] and len(scores) == 1800


def test_the_same_curves_give_the_same_scores_whenever_they_come(network, curves_with_hills):
    motion = curves_with_hills(1200, [(600, 620, 150)])
    (first,), (again,) = network.score_runs([motion]), network.score_runs([motion])
    assert np.array_equal(first.scores, again.scores)
    (later,) = network.score_runs([replace(motion, first=5000)])
    assert np.array_equal(first.scores, later.scores)
    moved = [
        replace(one, onset=one.onset + 5000, apex=one.apex + 5000, offset=one.offset + 5000)
        for one in first.intervals(0.3)
    ]
    assert later.intervals(0.3) == moved


def test_a_shift_of_the_input_shifts_the_output(network):
    curves = torch.randn(1, NUM_INPUTS, 700, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, later = network(curves), network(curves[..., 37:])
    assert torch.allclose(whole[..., 37 + 100 : 600], later[..., 100:563], atol=1e-4)


def test_a_stream_gives_what_the_whole_gives(network, curves_with_hills):
    motion = curves_with_hills(9000, [(second * 60, second * 60 + 20, 150) for second in range(5, 140, 10)])
    found, scores = found_in(network, [motion])
    assert found and len(scores) == 9000
    for size in (60, 777):
        parts = (motion.between(at, at + size) for at in range(0, 9000, size))
        streamed = found_in(network, [replace(part, continues=part.first > 0) for part in parts])
        assert streamed[0] == found and np.array_equal(streamed[1], scores)


def test_a_saved_network_is_the_same_but_for_half_precision(network, tmp_path):
    path = network.save(tmp_path)
    assert path.name == NETWORK_NAME and path.stat().st_size <= 400_000
    loaded = load_network(path)
    assert loaded.rates == RATES and not loaded.training
    curves = torch.randn(1, NUM_INPUTS, 300, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(loaded(curves), network(curves), atol=0.02)
    assert loaded.digest() == load_network(loaded.save(tmp_path)).digest()


def test_a_network_of_another_width_is_read(tmp_path):
    torch.manual_seed(0)
    narrow = SpottingNetwork(RATES, width=24).eval()
    loaded = load_network(narrow.save(tmp_path))
    assert loaded.layers[0].out_channels == 24 and loaded.digest() == load_network(loaded.save(tmp_path)).digest()


def test_a_checkpoint_without_the_file_spots_in_closed_form(network, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert find_network(str(tmp_path)) is None
    assert Spotter(model=str(tmp_path)).rates is CLOSED_FORM
    network.save(tmp_path)
    with_network = Spotter(model=str(tmp_path))
    assert with_network.network is not None and with_network.least_score == 0.5
    assert Spotter(model=str(tmp_path), closed_form=True).rates is CLOSED_FORM


@pytest.fixture
def cached_repository(tmp_path, monkeypatch):
    """`tester/faces` in a cache that knows its last commit; the Hub cannot be asked. Returns its folder."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "models--tester--faces"
    for name in ("refs", "snapshots/c0ffee", ".no_exist/c0ffee"):
        (folder / name).mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    return folder


def test_a_network_that_the_cache_lacks_is_a_warning_in_text_and_json(cached_repository, clip, tmp_path, capsys):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, frame in enumerate(clip.frames[:20]):
        Image.fromarray(frame).save(frames / f"{number:03d}.png")
    words = [str(frames), "--spot_only", "--model", "tester/faces", "--fps", "30"]
    said = "spotter.safetensors of tester/faces is not in the cache and the Hub could not be asked"
    assert command.main(words) == 0
    assert f"  warning: {said}" in capsys.readouterr().out
    assert command.main([*words, "--json"]) == 0
    (recording,) = json.loads(capsys.readouterr().out)["recordings"]
    assert recording["warnings"][0].startswith(said)
    assert Spotter(model="tester/faces", closed_form=True).warnings == []


def test_what_the_cache_knows_of_a_network_is_no_warning(network, cached_repository):
    known_to_be_missing = cached_repository / ".no_exist" / "c0ffee" / NETWORK_NAME
    known_to_be_missing.touch()
    without = Spotter(model="tester/faces")
    assert without.network is None and without.warnings == []
    known_to_be_missing.unlink()
    network.save(cached_repository / "snapshots" / "c0ffee")
    held = Spotter(model="tester/faces")
    assert held.network is not None and held.warnings == []


def damage_weights(path):
    path.write_bytes(path.read_bytes()[:1000])


def rewrite(path, rates=None, version=FORMAT_VERSION, first=0):
    weights = dict(list(load_file(path).items())[first:])
    settings = {"version": version, "false_alarms": rates or RATES.to_dict()}
    save_file(weights, path, metadata={"spotter": json.dumps(settings)})


def lose_a_layer(path):
    rewrite(path, first=1)


def come_from_another_version(path):
    rewrite(path, version=99)


def have_rising_rates(path):
    rewrite(path, {"measured": [[0.1, 1.0], [0.5, 2.0]], "usual": 1.0})


def be_other_weights(path):
    save_file(load_file(path), path)


@pytest.mark.parametrize(
    "damage", [damage_weights, lose_a_layer, come_from_another_version, have_rising_rates, be_other_weights]
)
def test_a_damaged_file_is_one_error_with_the_remedy(network, tmp_path, damage):
    damage(network.save(tmp_path))
    with pytest.raises(ConfigError, match=r"spotter\.safetensors .*--closed_form") as caught:
        Spotter(model=str(tmp_path))
    assert "\n" not in str(caught.value)
    assert Spotter(model=str(tmp_path), closed_form=True).network is None


def test_the_shipped_checkpoint_holds_a_network():
    network = find_network(shipped_model())
    assert network is not None and network.rates.fewest <= network.rates.usual <= network.rates.most
    assert Spotter().network is not None
