"""`--protocol none`: one model of all subjects for others to start from, and not one figure."""

import json

import pytest

from evaluation_fdp.errors import ConfigError, ResultsError
from evaluation_fdp.results import Results, read_results
from tests.training_fdp.conftest import TOY_NETWORK
from training_fdp.config import parse_train_config
from training_fdp.hub.model_card import CardSubject, build_model_card

OPTIONS = ("--protocol", "none", "--final_model")
WITHOUT_CLASSES = "classification_loss_weight=0"


def test_one_model_of_everybody_and_no_figure(toy_run, toy_corpus, toy_clips, tmp_path, capsys):
    toy_corpus(*toy_clips(num_subjects=1))
    out = tmp_path / "OUT"
    assert toy_run(out, *OPTIONS) == 0
    assert "nothing is benchmarked; final/ was trained on all 3 clips of 1 subjects" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert names == {"run.json", "results.json", "report.md", "training_curves.png", "final"}
    results = read_results(out / "results.json")
    assert results.complete and results.benchmark is None
    content = json.loads((out / "results.json").read_text())
    assert not {"metrics", "confusion_matrix", "folds"} & content.keys()
    with pytest.raises(ResultsError):
        Results.from_dict({**content, "protocol": "loso"})
    assert "UF1" not in (out / "report.md").read_text()
    record = json.loads((out / "final" / "fold.json").read_text())
    assert record["seen_subjects"] == {"toy": ["s00"]} and record["benchmarked"] is False
    assert toy_run(tmp_path / "unused", "--collect", str(out)) == 0


def test_collecting_before_it_is_trained_says_so(toy_run, tmp_path, capsys, monkeypatch):
    from training_fdp.folds.fold import FoldTrainer

    with monkeypatch.context() as patch:
        patch.setattr(FoldTrainer, "train", lambda self: (_ for _ in ()).throw(RuntimeError("out of power")))
        assert toy_run(tmp_path / "OUT", *OPTIONS) == 1
    assert "missing: fold final: RuntimeError: out of power" in capsys.readouterr().err
    assert toy_run(tmp_path / "unused", "--collect", str(tmp_path / "OUT")) == 1
    assert not (tmp_path / "OUT" / "results.json").exists()


def test_folds_that_start_from_a_network_without_classes_must_learn_them(toy_run, toy_corpus, toy_clips, tmp_path):
    toy_corpus(*toy_clips(corpus="others"))
    assert toy_run(tmp_path / "WITHOUT", *OPTIONS, "--model_overrides", *TOY_NETWORK, WITHOUT_CLASSES) == 0
    toy_corpus()
    start = (
        "--init_from",
        str(tmp_path / "WITHOUT" / "final"),
        "--protocol",
        "kfold2",
        "--model_overrides",
        *TOY_NETWORK,
    )
    with pytest.raises(ConfigError, match="no loss teaches them, because classification_loss_weight is 0"):
        toy_run(tmp_path / "OUT", *start)
    assert not (tmp_path / "OUT").exists()
    assert toy_run(tmp_path / "OUT", *start, "classification_loss_weight=1") == 0


def test_the_card_claims_nothing(toy_run, tmp_path):
    toy_run(tmp_path / "OUT", *OPTIONS)
    results = read_results(tmp_path / "OUT" / "results.json")
    card = build_model_card(CardSubject("me/start", "final", tuple(results.class_names)), results)
    assert "Nothing was measured" in card and "UF1" not in card and "held-out subject took part" not in card
    assert "--protocol none" in card and "model-index" not in card


@pytest.mark.parametrize("options", [("--no_final_model",), ("--folds", "1/2"), ("--seeds", "1")])
def test_what_leaves_nothing_to_train_is_refused(options):
    with pytest.raises(ConfigError, match="trains final/ alone"):
        parse_train_config(["--corpus", "synthetic", "--output_dir", "OUT", "--protocol", "none", *options])
