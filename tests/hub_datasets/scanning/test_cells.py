"""Spellings: what is the same name, word or person, and what is not."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_datasets.scanning.cells import as_text, first_spellings, name_key, subject_key, word_key

FULL_WIDTH = str.maketrans("0123456789SsUuBb", "０１２３４５６７８９ＳｓＵｕＢｂ")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@st.composite
def spellings(draw, number):
    """One way to write a subject's number."""
    word = draw(st.sampled_from(["", "s", "S", "sub", "Sub", "SUBJ", "subject", "Subject "]))
    gap = draw(st.sampled_from(["", " ", "_", "-", "#", "."])) if word else ""
    digits = str(number).zfill(draw(st.integers(1, 5)))
    text = word + gap + digits + (".0" if not word and draw(st.booleans()) else "")
    text = draw(st.sampled_from([text, text.translate(FULL_WIDTH), text.translate(ARABIC)]))
    text = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), text)
    return (
        draw(st.sampled_from(["", " ", "\u3000", "\ufeff", "\u200b"])) + text + draw(st.sampled_from(["", " ", "\t"]))
    )


@given(st.integers(0, 99_999), st.integers(0, 99_999), st.data())
def test_numbers_are_one_person_in_every_spelling_and_others_are_others(one, other, data):
    first, second = data.draw(spellings(one)), data.draw(spellings(other))
    assert (subject_key(first) == subject_key(second)) == (one == other)


@pytest.mark.parametrize("text", ["7.0", "7.00", "\uff17.\uff10", "\u0667.\u0660", "S007"])
def test_a_number_that_a_spreadsheet_made_a_fraction_is_the_same_person(text):
    assert subject_key(text) == subject_key("7")


@given(NAMES)
def test_a_person_is_the_same_in_any_case_width_and_normal_form(name):
    variants = [name, f"  {name}\u3000", name.upper() if name.upper().casefold() == name.casefold() else name]
    variants += [unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    assert len({subject_key(variant) for variant in variants}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("p1", "c1"), ("s1", "s11"), ("José", "Josè"), ("José", "Jose"), ("甲", "乙"), ("1-2", "12"), ("s1", "s1b"),
     ("p1", "1"), ("spNO.1", "spNO.2"), ("김", "이"), ("Анна", "Инна")],
)  # fmt: skip
def test_other_people_stay_others(one, other):
    assert subject_key(one) != subject_key(other)


@given(NAMES)
def test_a_file_name_is_the_same_in_any_case_and_normal_form(name):
    for form in ("NFC", "NFD"):
        assert name_key(unicodedata.normalize(form, name)) == name_key(name)
    assert name_key(name.casefold()) == name_key(name)


def test_width_tells_file_names_apart_and_words_not():
    assert name_key("Ａ") != name_key("A") and word_key("Ａ") == word_key("a")


@given(st.lists(NAMES, max_size=8))
def test_the_first_spelling_stands_for_all(names):
    chosen = first_spellings(names, word_key)
    assert set(chosen) == set(names)
    for name in names:
        assert word_key(chosen[name]) == word_key(name)
        assert chosen[name] == next(other for other in names if word_key(other) == word_key(name))


@pytest.mark.parametrize(
    ("cell", "text"), [("\ufeff a\u200b ", "a"), ("e\u0301", "é"), ("نمی\u200cدانم", "نمی\u200cدانم")]
)
def test_cells_lose_invisible_signs_at_their_ends_alone(cell, text):
    assert as_text(cell) == text
