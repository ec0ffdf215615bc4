"""Options: what a field declares, which options decide numbers, and what a protocol's options exclude."""

import dataclasses

import pytest

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.options import ProtocolOptions, decisive_settings, option, require


@pytest.fixture
def options():
    @dataclasses.dataclass
    class Options:
        learnt: float = option(0.5, "Help.")
        which: list = option([1], "Which.", decides="clips")
        how: str = option("fast", "How.", decides="nothing")
        plain: int = 3

    return Options


def test_a_field_holds_default_help_and_what_it_decides(options):
    by_name = {field.name: field for field in dataclasses.fields(options)}
    assert by_name["learnt"].metadata == {"help": "Help.", "decides": "learning"} and by_name["learnt"].default == 0.5
    assert by_name["which"].metadata == {"help": "Which.", "decides": "clips"}
    one, two = options(), options()
    one.which.append(2)
    assert two.which == [1] and options().which == [1]


def test_settings_that_decide_numbers_are_picked_by_kind(options):
    assert decisive_settings(options()) == {"learnt": 0.5, "which": [1], "plain": 3}
    assert decisive_settings(options(), ("clips",)) == {"which": [1]}
    assert decisive_settings(options(), iter(["nothing", "clips"])) == {"which": [1], "how": "fast"}


def test_a_value_that_breaks_a_rule_is_named_with_it(options):
    require(options(), "learnt", True, "anything")
    with pytest.raises(ConfigError) as caught:
        require(options(learnt=7), "learnt", None, "below 1")
    assert str(caught.value) == "--learnt must be below 1, got 7; change it and run again"


@pytest.mark.parametrize("protocol", ["loso", "kfold2", "holdout", "megc2019", "cross_corpus", "none"])
def test_protocols_that_there_are(protocol):
    assert ProtocolOptions(protocol=protocol).protocol == protocol


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"protocol": "kfold"},
            "--protocol must be loso, kfoldN, holdout, megc2019, cross_corpus or none, got kfold; change it",
        ),
        ({"seeds": [1, 1]}, "--seeds must be without repetition, got [1, 1]; change it and run again"),
        ({"protocol": "none", "folds": "s1"}, "--protocol none trains final/ alone"),
        ({"protocol": "none", "seeds": [1, 2]}, "--protocol none trains final/ alone"),
    ],
)
def test_what_contradicts_is_refused(settings, said):
    with pytest.raises(ConfigError) as caught:
        ProtocolOptions(**settings)
    assert str(caught.value).startswith(said)


def test_seeds_are_those_given_or_the_one():
    assert ProtocolOptions(seed=4).all_seeds == [4] and ProtocolOptions(seed=4, seeds=[1, 2]).all_seeds == [1, 2]
