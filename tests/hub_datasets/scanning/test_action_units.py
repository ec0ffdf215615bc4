import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub_datasets.scanning.action_units import ActionUnit, parse_action_units

# One row per form that occurs in a published sheet, and what it means: (code, side, intensity,
# alternative) per unit.
FORMS = {
    "": [],
    "?": [],
    "/": [],
    "12": [("12", "", "", 0)],
    "4+7": [("4", "", "", 0), ("7", "", "", 0)],
    "12+15 ": [("12", "", "", 0), ("15", "", "", 0)],
    "L12+R14": [("12", "L", "", 0), ("14", "R", "", 0)],
    "l12": [("12", "L", "", 0)],
    "L 12": [("12", "L", "", 0)],
    "T18 + B18": [("18", "T", "", 0), ("18", "B", "", 0)],
    "T23": [("23", "T", "", 0)],
    "A12B": [("12", "A", "B", 0)],
    "AL12": [("12", "AL", "", 0)],
    "7B+4A": [("7", "", "B", 0), ("4", "", "A", 0)],
    "L12 or L14": [("12", "L", "", 1), ("14", "L", "", 1)],
    "6or12": [("6", "", "", 1), ("12", "", "", 1)],
    "(R6 or R12) + R15": [("6", "R", "", 1), ("12", "R", "", 1), ("15", "R", "", 0)],
    "R6 or R12 + L1 or L2": [("6", "R", "", 1), ("12", "R", "", 1), ("1", "L", "", 2), ("2", "L", "", 2)],
    "(6+12) or 14": [("6", "", "", 1), ("12", "", "", 1), ("14", "", "", 1)],
    "10A/B": [("10", "", "A", 1), ("10", "", "B", 1)],
    "A/L12": [("12", "A", "", 1), ("12", "L", "", 1)],
    "R12/L14": [("12", "R", "", 1), ("14", "L", "", 1)],
    "12A/14": [("12", "", "A", 1), ("14", "", "", 1)],
    "12?": [("12", "", "", 1)],
    "ref(7B)+43": [("43", "", "", 0)],
    "R14+17+soft focus": [("14", "R", "", 0), ("17", "", "", 0)],
    "4,7,": [("4", "", "", 0), ("7", "", "", 0)],
    "4\uff0c7": [("4", "", "", 0), ("7", "", "", 0)],
    "\uff14\uff0b\uff17": [("4", "", "", 0), ("7", "", "", 0)],
    "4(k)+7": [("7", "", "", 0)],
    "L4 (K)": [],
    "AD31+M57": [("AD31", "", "", 0), ("M57", "", "", 0)],
    "AD38,LAD39": [("AD38", "", "", 0), ("AD39", "L", "", 0)],
    "AU4+AU12": [("4", "", "", 0), ("12", "", "", 0)],
    "04": [("4", "", "", 0)],
    "1 2": [("1", "", "", 0), ("2", "", "", 0)],
    "5739": [],
    "X12": [("12", "", "", 0)],
}


@pytest.mark.parametrize("cell", FORMS)
def test_every_form_of_the_sheets_is_read(cell):
    reading = parse_action_units(cell)
    assert [(unit.code, unit.side, unit.intensity, unit.alternative) for unit in reading.units] == FORMS[cell]
    assert reading.raw == cell.strip()


@pytest.mark.parametrize(("cell", "code"), [(12, "12"), (12.0, "12")])
def test_a_number_cell_is_one_unit(cell, code):
    assert parse_action_units(cell).units == (ActionUnit(code),)


@pytest.mark.parametrize("cell", [None, float("nan"), "", "   "])
def test_a_blank_cell_has_no_units(cell):
    assert parse_action_units(cell) == parse_action_units("")
    assert parse_action_units(cell).units == ()


@pytest.mark.parametrize(
    ("cell", "ignored"),
    [
        ("ref(7B)+43", ("ref(7B)",)),
        ("4(k)+7", ("4(k)",)),
        ("R14+17+soft focus", ("soft focus",)),
        ("?", ("?",)),
        ("5739", ("5739",)),
        ("12+15", ()),
        ("(R6 or R12) + R15", ()),
        ("4,7,", ()),
    ],
)
def test_what_became_no_unit_is_kept_in_words(cell, ignored):
    assert parse_action_units(cell).ignored == ignored


def test_rows_hold_what_a_clip_row_holds():
    rows = parse_action_units("L12 or 7B").as_rows()
    assert rows == [
        {"code": "12", "side": "L", "intensity": "", "alternative": 1},
        {"code": "7", "side": "", "intensity": "B", "alternative": 1},
    ]


@example("\uf900")
@example(" A\u030a12 ")
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="LRTBAEDMUO or0123456789+,/()?k\uff0c refsoft", max_size=60),
        st.integers(),
        st.floats(),
        st.none(),
        st.booleans(),
        st.datetimes(),
    )
)
def test_never_raises_and_keeps_its_promises(cell):
    reading = parse_action_units(cell)
    for unit in reading.units:
        assert unit.code.lstrip("ADM").isdecimal()
        assert 1 <= int(unit.code.lstrip("ADM")) <= 99
        assert set(unit.side) <= set("LRTBA")
        assert unit.intensity in {"", "A", "B", "C", "D", "E"}
        assert unit.alternative >= 0
    if isinstance(cell, str):
        # Stripped, and in composed letters, which some ideographs leave for another one.
        assert reading.raw == reading.raw.strip()
        assert unicodedata.normalize("NFD", reading.raw) in unicodedata.normalize("NFD", cell)


@given(st.lists(st.tuples(st.sampled_from(["", "L", "R", "T", "B", "A"]), st.integers(1, 99)), min_size=1, max_size=8))
def test_certain_units_come_back_in_order(units):
    for joiner in ("+", " + ", ",", "\uff0c"):
        reading = parse_action_units(joiner.join(f"{side}{number}" for side, number in units))
        assert reading.units == tuple(ActionUnit(str(number), side) for side, number in units)
