"""Combinations that were never trained: the choice, the split, and ranks by hand."""

import math

import numpy as np
import pytest
import torch

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.protocols import Fold
from modeling_fdp import FDPConfig, FDPForVideoClassification
from training_fdp.combinations import (
    RANKS,
    Retrieval,
    choose_combinations,
    first_hits,
    measure,
    pooled,
    set_scores,
    unsided,
    without,
)

SETS = ["1+2"] * 3 + ["6+12"] * 3 + ["1"] * 2 + ["2"] * 2 + ["6"] * 2 + ["12+25"] * 3 + ["4+7"] * 2 + [None]


def test_each_unit_of_a_combination_stays_in_another():
    # 25 occurs nowhere else, and 4+7 has two clips only.
    for seed in range(8):
        chosen = choose_combinations(SETS, 2, seed)
        assert chosen == ["1+2", "6+12"]
    with pytest.raises(ConfigError, match=r"3 combinations .* the corpus has 2; lower --held_out"):
        choose_combinations(SETS, 3, 0)


def test_two_choices_do_not_take_each_others_last_unit():
    sets = ["1+2"] * 3 + ["1+4"] * 3 + ["2"] + ["4"]
    for seed in range(8):
        assert len(choose_combinations(sets, 1, seed)) == 1
        with pytest.raises(ConfigError, match="the corpus has 1"):
            choose_combinations(sets, 2, seed)


def test_training_clips_of_held_out_combinations_are_left_out_and_nothing_else():
    fold = Fold("f", (0, 1, 2, 3), (4, 5), ("a",), ("b",))
    kept = without(fold, ["1+2", "1", None, "1+2", "1+2", "1"], ["1+2"])
    assert kept.train_indices == (1, 2) and kept.test_indices == (4, 5)


def test_sides_are_left_out_of_names():
    assert unsided("L12+6+R4") == "4+6+12"


def test_ranks_and_chance_by_hand():
    scores, right = np.array([5.0, 4, 3, 2, 1, 0]), np.array([0, 1, 0, 0, 1, 0], bool)
    found, chance = first_hits(scores, right)
    assert found == [False, True]
    # One of six is drawn, two are right; of five drawn, one at least is right.
    assert chance == pytest.approx([1 / 3, 1 - math.comb(4, 5) / math.comb(6, 5)])
    assert first_hits(np.zeros(6), right)[0] == [False, True], "ties count against the right answer"
    result = pooled([first_hits(scores, right), first_hits(-scores, right)])
    assert result.num_queries == 2 and result.found == (0.0, 1.0) and len(result.chance) == len(RANKS)


def test_the_head_gives_a_combination_the_likelihood_of_its_units():
    config = FDPConfig.from_preset("tiny", action_units=["4", "12"], num_labels=2)
    model = FDPForVideoClassification(config).eval()
    logits = torch.tensor([[2.0, -1.0]])
    model.forward = lambda pixel_values: type("Output", (), {"action_unit_logits": logits})
    found = set_scores(model, None, [], ["4", "4+12", "12"])[0].exp()
    four, twelve = torch.sigmoid(logits[0])
    expected = torch.stack([four * (1 - twelve), four * twelve, (1 - four) * twelve])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("method", ["mer_clip", "fdp"])
def test_both_are_asked_the_same(method, toy_corpus, toy_clips, toy_arguments, monkeypatch, tmp_path):
    monkeypatch.setattr("training_fdp.combinations.LEAST_CLIPS", 2)
    clips, table = toy_clips(num_subjects=4)
    toy_corpus(clips, table, units=("4", "12", "1"))
    from training_fdp import combinations

    texts = ["4", "12", "4+12"] * 4
    monkeypatch.setattr(combinations, "clip_sets", lambda prepared: texts)
    arguments = toy_arguments(tmp_path / "OUT", "--max_steps", "1")
    if method == "mer_clip":
        own = arguments.index("--model_overrides") + 1
        arguments[own:own] = ["token_grid_size=4", "emotion_hidden_size=16"]
    held_out, by_text, by_clip = measure(arguments, method, 1)
    assert held_out == ["4+12"]
    # Two folds of two subjects, each of whom shows the held-out combination once.
    assert (by_text.num_queries, by_clip.num_queries) == (2, 4)
    assert by_clip.chance[0] == pytest.approx(1 / 3) and by_clip.found[1] == by_clip.chance[1] == 1


def test_a_method_without_action_units_finds_none(toy_corpus, toy_arguments, monkeypatch, tmp_path):
    toy_corpus(units=("4", "12", "1"))
    from training_fdp import combinations

    monkeypatch.setattr(combinations, "clip_sets", lambda prepared: ["4", "12", "4+12"] * 5)
    arguments = toy_arguments(tmp_path / "OUT", "--max_steps", "1", "--action_units", "none")
    with pytest.raises(ConfigError, match="--methods fdp scores no action units"):
        measure(arguments, "fdp", 1)


def test_the_command_prints_each_method_at_once_and_a_table(monkeypatch, capsys):
    from training_fdp import combinations

    answers = {"mer_clip": Retrieval(4, (0.25, 0.5), (0.1, 0.4)), "fdp": Retrieval(4, (0.75, 1.0), (0.1, 0.4))}
    monkeypatch.setattr(
        combinations, "measure", lambda rest, method, count: (["1+2"], answers[method], answers[method])
    )
    monkeypatch.setattr("sys.argv", ["combinations", "--held_out", "1", "--corpus", "synthetic"])
    assert combinations.main() == 0
    printed = capsys.readouterr().out
    assert printed.startswith("mer_clip 0.250 0.500 0.250 0.500\nfdp 0.750")
    assert "held out: 1+2; 4 rankings of clips" in printed and "| chance | 0.100 | 0.400 |" in printed
