"""Options of training: the range of each ends where its help says, and contradictions are named with the remedy."""

import pytest

from evaluation_fdp.errors import ConfigError
from training_fdp.folds.options import TrainingOptions

FROM_ONE = "a whole number from 1 on"
# Name, a value at the end of the range, the next one outside of it, and the rule that the error states.
RANGES = [
    *(
        (name, 1, 0, FROM_ONE)
        for name in (
            "epochs", "batch_size", "gradient_accumulation_steps", "eval_batch_size", "checkpoint_steps", "patience",
            "eval_steps",
        )
    ),
    ("learning_rate", 1e-9, 0.0, "a number above 0"),
    ("weight_decay", 0.0, -1e-9, "a number from 0 on"),
    ("warmup_fraction", 0.0, -1e-9, "in [0, 1)"),
    ("warmup_fraction", 0.999, 1.0, "in [0, 1)"),
    ("inner_fraction", 1e-9, 0.0, "in (0, 1)"),
    ("inner_fraction", 0.999, 1.0, "in (0, 1)"),
    ("max_grad_norm", 0.0, -1e-9, "a number from 0 on"),
    ("ema_decay", 0.0, -1e-9, "in [0, 1)"),
    ("ema_decay", 0.999, 1.0, "in [0, 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "last", "outside", "rule"), RANGES)
def test_a_range_ends_where_it_says(name, last, outside, rule):
    assert getattr(TrainingOptions(**{name: last}), name) == last
    with pytest.raises(ConfigError) as caught:
        TrainingOptions(**{name: outside})
    assert str(caught.value) == f"--{name} must be {rule}, got {outside}; change it and run again"


@pytest.mark.parametrize("name", ["eval_steps", "max_grad_norm", "ema_decay"])
def test_what_may_be_left_out_may_be_left_out(name):
    assert getattr(TrainingOptions(**{name: None}), name) is None


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"selection": "inner", "refit": False, "report_literature_selection": True}, "add --refit"),
        ({"max_steps": 0, "selection": "inner"}, "no step to select"),
        ({"max_steps": 0, "report_literature_selection": True}, "no step to select"),
    ],
)
def test_only_the_contradiction_is_refused(settings, named):
    with pytest.raises(ConfigError, match=named):
        TrainingOptions(**settings)
    for name in settings:
        TrainingOptions(**{key: value for key, value in settings.items() if key != name})
