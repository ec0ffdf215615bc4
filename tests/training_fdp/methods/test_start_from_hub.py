"""Fine-tuning from a repository of the Hub: its weights, its lineage on the card, and whom it has seen."""

from dataclasses import replace

import huggingface_hub
import pytest
import torch
import yaml
from safetensors.torch import load_file

from evaluation_fdp.errors import ConfigError, ProtocolError
from evaluation_fdp.results import read_results
from tests.scripts.fake_hub import FakeHub
from training_fdp.config import parse_train_config
from training_fdp.hub.publish import prepare_publication, prepare_publications
from training_fdp.hub.push import push
from training_fdp.methods.fdp import FDPMethod
from training_fdp.runs.run import run

REPO_ID = "tester/toy"
HEAD = list(FDPMethod.class_parameters)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A loopback Hub to which this process is connected, as if started with its address and token."""
    server = FakeHub(large_suffixes=(".safetensors",))
    constants = huggingface_hub.constants
    for name, value in {
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "ENDPOINT": server.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", server.token)
    # transformers keeps one client, with the address of the Hub at which it was first used.
    monkeypatch.setattr("transformers.utils.hub._hf_api", None)
    yield server
    server.close()


@pytest.fixture
def published(hub, toy_run, tmp_path):
    """The final model of a run on the corpus `toy`, on the Hub."""
    assert toy_run(tmp_path / "first", "--final_model") == 0
    (publication,) = prepare_publications(tmp_path / "first", REPO_ID)
    push(publication)
    return hub


@pytest.fixture
def fine_tune(toy_arguments):
    def go(output_dir, *options):
        arguments = toy_arguments(output_dir)
        kept = arguments[: arguments.index("--model_overrides")]
        place = kept.index("--num_frames")
        del kept[place : place + 2]
        arguments = [*kept, "--init_from", REPO_ID, *options]
        return run(parse_train_config(arguments), arguments)

    return go


def test_other_classes_replace_the_head_and_the_card_tells_the_lineage(
    published, fine_tune, toy_corpus, toy_clips, tmp_path
):
    clips, table = toy_clips(num_subjects=4, corpus="other")
    toy_corpus(clips, replace(table, class_names=["anger", "fear", "surprise"]))
    out = tmp_path / "OUT"
    assert fine_tune(out, "--learning_rate", "1e-12", "--weight_decay", "0") == 0
    results = read_results(out / "results.json")
    assert results.init_from.name == REPO_ID and results.init_from.new_classes == ["anger", "fear"]
    before = load_file(tmp_path / "first" / "final" / "model.safetensors")
    after = load_file(out / "folds" / "fold0" / "model.safetensors")
    trained = {name for name, value in before.items() if value.dtype.is_floating_point and "running" not in name}
    for name in trained - set(HEAD):
        assert torch.allclose(after[name], before[name], atol=1e-6), f"{name} comes from the Hub"
    assert not torch.allclose(after[HEAD[0]], before[HEAD[0]], atol=1e-3)
    card = prepare_publication(out / "folds" / "fold0", "me/other").card
    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata["base_model"] == REPO_ID and metadata["base_model_relation"] == "finetune"
    assert metadata["license"] == "other" and "New classes: anger, fear" in card


def test_a_start_from_the_hub_that_has_seen_the_held_out_subjects_is_refused(published, fine_tune, tmp_path):
    with pytest.raises(ProtocolError, match=r"tester/toy was trained on toy, subject s0., whom fold fold0 holds out"):
        fine_tune(tmp_path / "OUT")
    assert not (tmp_path / "OUT").exists()


def test_a_repository_that_is_not_there_is_one_sentence(hub, fine_tune, toy_corpus, tmp_path):
    with pytest.raises(ConfigError, match="--init_from 'tester/toy' cannot be loaded") as caught:
        fine_tune(tmp_path / "OUT")
    assert "\n" not in str(caught.value) and not (tmp_path / "OUT").exists()
