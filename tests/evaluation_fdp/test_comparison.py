"""Tables of several runs: chance first, differences with their intervals, and never runs on other clips."""

import pytest

from evaluation_fdp.comparison import comparison_table, distinct_runs, paired_differences
from evaluation_fdp.errors import ConfigError, ResultsError
from evaluation_fdp.metrics import METRICS
from evaluation_fdp.pooled_results import pool_records, predictions_csv
from tests.fakes.results import fold_record, run_results

NAMES = ["happiness", "others"]


def test_comparison_puts_chance_first_and_shows_no_deviation_for_one_seed():
    table = comparison_table({"a": run_results(0.4, num_seeds=1), "b": run_results(0.6)}, {"b": "better"})
    lines = table.splitlines()
    # 3 and 9 clips: guessing by the shares is right with 1/16 + 9/16.
    assert lines[2].startswith("| guessing by the class shares | 0.500 | 0.500 | 0.625 |")
    figures = " | ".join("0.500" if name == "accuracy" else "0.400" for name in METRICS)
    assert lines[3] == f"| a | {figures} | 0.350 to 0.450 | 1 |"
    assert lines[4].startswith("| better | 0.600 ± 0.010 |")
    assert len({line.count("|") for line in lines}) == 1


def test_a_comparison_marks_missing_folds_and_takes_chance_from_all_clips():
    half = run_results(0.4, complete=False, class_counts=[6, 6])
    lines = comparison_table({"half": half, "whole": run_results(0.6)}, {}).splitlines()
    assert lines[2].startswith("| guessing by the class shares | 0.500 | 0.500 | 0.625 |")
    assert lines[3].startswith("| half (folds missing) | 0.400") and lines[4].startswith("| whole | 0.600")


@pytest.mark.parametrize("fact", ["corpus", "test_corpus", "label_set", "protocol", "class_counts"])
def test_methods_on_other_clips_are_not_compared(fact):
    changes = {fact: [4, 8] if fact == "class_counts" else ["another"]}
    with pytest.raises(ConfigError, match=rf"{fact} of a is .* and of b \["):
        comparison_table({"a": run_results(0.4), "b": run_results(0.6, **changes)}, {})
    if fact == "class_counts":
        comparison_table({"a": run_results(0.4), "b": run_results(0.6, complete=False, **changes)}, {})


def test_a_run_that_held_nobody_out_is_not_compared():
    with pytest.raises(ConfigError, match="b has no held-out subjects"):
        comparison_table({"a": run_results(0.4), "b": run_results(0.4, benchmark=None)}, {})


def test_differences_stand_beside_their_intervals():
    results = {"a": run_results(0.4), "b": run_results(0.6)}
    plain = comparison_table(results, {}, "a").splitlines()
    assert plain[0].endswith("| UF1 points |") and plain[3].endswith("|  |") and plain[4].endswith("| +20.0 |")
    lines = comparison_table(results, {}, "a", {"more": {"a": "x"}}, {"b": (0.01, 0.305)}).splitlines()
    assert lines[0].endswith("| UF1 points | 95% interval of them | more |")
    assert lines[3].endswith("|  |  | x |") and lines[4].endswith("| +20.0 | +1.0 to +30.5 |  |")
    assert "points" not in comparison_table(results, {}, "not there")


def finished_run(folder, answers):
    """Ten subjects of two classes, one clip each, as a run leaves them."""
    folder.mkdir()
    labels = [number % 2 for number in range(10)]
    clips = enumerate(zip(labels, answers, strict=True))
    records = {0: [fold_record(f"f{number}", f"s{number}", [label], [answer]) for number, (label, answer) in clips]}
    (folder / "predictions.csv").write_text(predictions_csv(records, NAMES))
    return run_results(0.5, benchmark=pool_records(records, NAMES))


def test_differences_are_computed_from_the_predictions(tmp_path):
    labels = [number % 2 for number in range(10)]
    folders = {name: tmp_path / name for name in ("base", "better", "cut_short")}
    results = {
        "base": finished_run(folders["base"], [0] * 10),
        "better": finished_run(folders["better"], labels),
        "cut_short": run_results(0.3, complete=False),
    }
    found = paired_differences(results, folders, "base")
    assert set(found) == {"better"}
    low, high = found["better"]
    assert 0 < low < 1 - 1 / 3 < high <= 1
    assert paired_differences(results, folders, "cut_short") == {}
    (folders["better"] / "predictions.csv").write_text("subject,label,prediction\ns0,anger,others\n")
    with pytest.raises(ResultsError, match="anger"):
        paired_differences(results, folders, "base")


def test_many_differences_are_judged_together(tmp_path):
    """Holm: the smallest difference must stand an interval wider than 95%, and each that stands makes room for others.

    Twelve subjects; a run that errs on `wrong` of them where the reference errs on all.
    """

    def run(name, wrong):
        (tmp_path / name).mkdir()
        labels = [number % 2 for number in range(12)]
        answers = [1 - label if number < wrong else label for number, label in enumerate(labels)]
        records = {0: [fold_record(f"f{i}", f"s{i}", [labels[i]], [answers[i]]) for i in range(12)]}
        (tmp_path / name / "predictions.csv").write_text(predictions_csv(records, NAMES))
        return run_results(0.5, benchmark=pool_records(records, NAMES))

    results = {"base": run("base", 6), "clear": run("clear", 0), "same": run("same", 6), "small": run("small", 5)}
    results["cut_short"] = run_results(0.3, complete=False)
    folders = {name: tmp_path / name for name in results}
    assert distinct_runs(results, folders, "base") == ["clear"]
    assert distinct_runs(results, folders, "cut_short") == distinct_runs({}, {}, "base") == []
