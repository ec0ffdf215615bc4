"""Accuracy by the ground truth of rendered clips."""

import numpy as np
import pandas as pd
import pytest

from evaluation_fdp.errors import ConfigError
from hub_datasets import load_corpus
from hub_datasets.__main__ import main as hub_datasets_main
from training_fdp.breakdown import breakdown_table, clip_facts, main, run_accuracy


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Recordings of several events each, so that a clip has to be found inside its recording."""
    root = tmp_path_factory.mktemp("corpus")
    words = "--num_subjects 2 --clips 6 --events_per_recording 3 --neutral_s 0.3 --fps 60 --duration_s 0.1 0.2"
    assert hub_datasets_main(["generate", "--output_dir", str(root), *words.split(), "--size", "48", "48"]) == 0
    rows = load_corpus("synthetic", data_dir=root, label_set="9class", cache_dir=tmp_path_factory.mktemp("rows"))
    return root, rows


def write_run(folder, predictions):
    folder.mkdir()
    pd.DataFrame(predictions, columns=["clip_id", "label", "prediction"]).to_csv(folder / "predictions.csv")
    return folder


def test_facts_are_those_of_the_clips_own_event(rendered):
    root, rows = rendered
    facts = clip_facts(root, rows["clip_id"])
    sheet = pd.read_csv(root / "clips.csv", dtype=str)
    ids = "synthetic/" + sheet["Subject"] + "/" + sheet["Recording"] + "/" + sheet["Onset"]
    assert facts["emotion"].to_dict() == dict(zip(ids, sheet["Emotion"], strict=True))
    for clip_id, coded in zip(ids, sheet["Action Units"], strict=True):
        units = {"".join(filter(str.isdigit, unit)) for unit in coded.split("+")}
        assert set(facts.loc[clip_id, "units"].split("+")) == units
    assert facts["motion"].between(0.4, 3.5).all(), "pixels of a frame 128 wide"
    assert facts["motion"].nunique() == len(facts)
    assert facts["turn"].between(0, 15).all()


def test_facts_are_of_the_clip_alone(tmp_path):
    """Two events; what lies between them, the roll of the head and a mouth that speaks are larger and do not count."""
    curves = np.zeros((20, 4))
    curves[2:6, 0] = [0.5, 1.0, 1.5, 2.0]  # its strongest frame is the last one
    curves[2:6, 3] = 5.0
    curves[6:12, 0] = 4.0
    curves[12:16, 1] = 0.7
    blink = np.zeros(20)
    blink[4], blink[5], blink[8], blink[13] = 0.2, 0.35, 1.0, 0.25
    pose = np.zeros((20, 6))
    pose[2, :3], pose[5, :3], pose[9, :3] = (1.0, -1.0, 0.0), (0.0, 1.5, 7.0), (9.0, 9.0, 9.0)
    (tmp_path / "ground_truth").mkdir()
    np.savez(
        tmp_path / "ground_truth" / "s001_r001.npz",
        event_frames=[[2, 4, 5], [12, 13, 15]],
        event_emotions=["disgust", "happiness"],
        event_action_units=["9B+L4A", "12C"],
        curve_names=["L4", "R12", "L9", "R26"],
        curves=curves,
        pose=pose,
        blink=blink,
    )
    facts = clip_facts(tmp_path, ["synthetic/s001/r001/3", "synthetic/s001/r001/13"])
    assert facts.to_dict("records") == [
        {"motion": 2.0, "turn": 2.5, "blink": True, "units": "4+9", "emotion": "disgust"},
        {"motion": 0.7, "turn": 0.0, "blink": False, "units": "12", "emotion": "happiness"},
    ]


def test_table_counts_and_averages_the_clips_of_each_group():
    facts = pd.DataFrame(
        {
            "motion": np.arange(9) + 1.0,
            "turn": [0.0, 1, 2] * 3,
            "blink": [True] + [False] * 8,
            "units": ["12"] * 4 + ["4+7"] * 5,
            "emotion": ["happiness"] * 4 + ["disgust"] * 3 + ["others"] * 2,
        },
        index=[f"c{index}" for index in range(9)],
    )
    right = pd.Series([1.0, 1, 0, 0, 0, 0, 1, 1, 0.5], index=facts.index)
    table = breakdown_table({"a": right, "b": 1 - right}, facts)
    assert table.splitlines() == [
        "| clips | number | a | b |",
        "| --- | --- | --- | --- |",
        "| all | 9 | 0.50 | 0.50 |",
        "| motion 1.00 to 3.00 px | 3 | 0.67 | 0.33 |",
        "| motion 4.00 to 6.00 px | 3 | 0.00 | 1.00 |",
        "| motion 7.00 to 9.00 px | 3 | 0.83 | 0.17 |",
        "| turn 0.00 to 0.00 degrees | 3 | 0.67 | 0.33 |",
        "| turn 1.00 to 1.00 degrees | 3 | 0.67 | 0.33 |",
        "| turn 2.00 to 2.00 degrees | 3 | 0.17 | 0.83 |",
        "| a blink | 1 | 1.00 | 0.00 |",
        "| no blink | 8 | 0.44 | 0.56 |",
        "| units 12, happiness | 4 | 0.50 | 0.50 |",
        "| other units | 5 | 0.50 | 0.50 |",
    ]


def test_clips_that_are_all_alike_still_have_rows():
    facts = pd.DataFrame(
        {"motion": [1.0] * 2, "turn": [0.0] * 2, "blink": [False] * 2, "units": ["9"] * 2, "emotion": ["disgust"] * 2},
        index=["a", "b"],
    )
    table = breakdown_table({"run": pd.Series([1.0, 0.0], index=facts.index)}, facts)
    assert table.count("| motion 1.00 to 1.00 px | 1 |") == 2
    assert "| no blink | 2 | 0.50 |" in table
    assert "a blink" not in table


def test_accuracy_of_a_clip_is_its_mean_over_seeds(tmp_path):
    run = write_run(tmp_path / "run", [("b", "x", "x"), ("a", "x", "y"), ("b", "x", "y"), ("a", "x", "y")])
    assert run_accuracy(run).to_dict() == {"a": 0.0, "b": 0.5}


def test_command_prints_the_table_of_several_runs(rendered, tmp_path, capsys):
    root, rows = rendered
    good = write_run(tmp_path / "good", [(clip_id, "x", "x") for clip_id in rows["clip_id"]])
    bad = write_run(tmp_path / "bad", [(clip_id, "x", "y") for clip_id in rows["clip_id"]])
    assert main([str(good), str(bad), "--data_dir", str(root)]) == 0
    assert f"| all | {len(rows)} | 1.00 | 0.00 |" in capsys.readouterr().out


def test_what_does_not_fit_is_refused_in_words(rendered, tmp_path):
    root, rows = rendered
    whole = write_run(tmp_path / "whole", [(clip_id, "x", "x") for clip_id in rows["clip_id"]])
    part = write_run(tmp_path / "part", [(rows["clip_id"][0], "x", "x")])
    with pytest.raises(ConfigError, match=r"on the same clips, but .*whole and .*part have other ones"):
        main([str(whole), str(part), "--data_dir", str(root)])
    with pytest.raises(ConfigError, match=r"predictions\.csv is missing; give the OUT of a run"):
        main([str(tmp_path), "--data_dir", str(root)])
    with pytest.raises(ConfigError, match=r"ground_truth/.*, which is missing; give the rendered corpus"):
        main([str(whole), "--data_dir", str(tmp_path)])
    subject, recording, _ = rows["clip_id"][0].split("/")[1:]
    with pytest.raises(ConfigError, match="no event that begins at frame 9999"):
        clip_facts(root, [f"synthetic/{subject}/{recording}/9999"])
    with pytest.raises(ConfigError, match="this run has casme2/sub01/EP02_01f"):
        clip_facts(root, ["casme2/sub01/EP02_01f"])
