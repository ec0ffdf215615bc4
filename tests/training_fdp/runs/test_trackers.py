"""Trackers get numbers, and a missing one is said before anything runs."""

import pytest

from evaluation_fdp.errors import ConfigError
from tests.fakes.results import run_results
from training_fdp.config import TrainConfig
from training_fdp.runs.trackers import RunTracker, check_tracker


class RecordingAccelerator:
    def __init__(self):
        self.logged = []
        self.started = None

    def init_trackers(self, project, config):
        self.started = (project, config)

    def log(self, values, step=None):
        self.logged.append((step, values))


def test_none_is_no_tracker():
    assert check_tracker("none") is None
    accelerator = RecordingAccelerator()
    tracker = RunTracker(accelerator, "none", {})
    tracker.log("fold0", 1, {"loss": 1.0})
    assert accelerator.started is None and accelerator.logged == []


def test_an_unknown_or_missing_tracker_is_one_sentence(monkeypatch):
    with pytest.raises(ConfigError, match="not a tracker; choose none or one of"):
        check_tracker("notebook")
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        check_tracker("tensorboard")


def test_steps_of_a_second_fold_are_not_lost():
    """W&B drops what is logged for a step before the last one; every fold begins at step 1."""
    accelerator = RecordingAccelerator()
    tracker = RunTracker(accelerator, "wandb", {})
    for key in ("fold0", "fold1"):
        tracker.log(key, 10, {"loss": 0.5})
    assert accelerator.logged == [
        (None, {"fold0/loss": 0.5, "fold0/step": 10}),
        (None, {"fold1/loss": 0.5, "fold1/step": 10}),
    ]


def test_only_numbers_leave():
    accelerator = RecordingAccelerator()
    places = {
        "processor_overrides": ["alignment=precomputed", "landmarks_path=/home/alice/sub07.csv"],
        "corpus_options": ["face_model=~/alice/faces"],
    }
    tracker = RunTracker(accelerator, "tensorboard", TrainConfig.of(corpus=["x"], **places).identity())
    tracker.log("fold0", 10, {"loss": 0.5, "rank": 0.1})
    tracker.log_results(run_results(0.8, class_names=["no", "yes"]))
    assert accelerator.logged[0] == (10, {"fold0/loss": 0.5, "fold0/rank": 0.1})
    sent = accelerator.logged[1][1]
    assert sent["pooled/uf1"] == pytest.approx(0.8) and sent["confusion/yes/yes"] == 18
    assert all(isinstance(value, int | float) for _, values in accelerator.logged for value in values.values())
    assert all(isinstance(value, str) for value in accelerator.started[1].values())
    assert "alice" not in str(accelerator.started) and "landmarks_path=sub07.csv" in str(accelerator.started)
