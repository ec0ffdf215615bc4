"""What a corpus file declares: label sets with their published sizes, and rows of a sheet."""

import pandas as pd
import pytest

from hub_datasets.records import LabelSet, objective_label_sets
from hub_datasets.scanning.rows import clip_rows


def test_a_label_set_is_told_by_its_classes_and_sizes():
    label_set = LabelSet.of("2class", "who", ("a", "b"), ("2014", 3, (5, 7)), ("2019", None, (6, 7)))
    assert label_set.names == ("a", "b") and label_set.mapping == {"a": "a", "b": "b"}
    assert label_set.expected_for("2014").counts == {"a": 5, "b": 7} and label_set.expected_for("2014").subjects == 3
    assert label_set.expected_for("2019").total == 13 and label_set.expected_for("2019").subjects is None
    assert label_set.expected_for("updated") is None


def test_a_size_for_another_number_of_classes_is_refused():
    with pytest.raises(ValueError, match="zip"):
        LabelSet.of("2class", "who", ("a", "b"), ("", 3, (5,)))


def test_words_name_the_classes_and_what_is_left_out_stays_so():
    words = {"fear": "negative", "joy": "positive"}
    label_set = LabelSet.of("polarity", "", ("negative", "positive"), words=words, left_out=frozenset({"s1/c"}))
    assert label_set.mapping == words and label_set.left_out == {"s1/c"} and label_set.expected == ()


def test_objective_label_sets_share_their_counts():
    five, seven = objective_label_sets("who", (1, 2, 3, 4, 5, 6, 7), (11, 12), "v2")
    assert (five.name, seven.name) == ("objective", "objective7")
    assert list(five.expected[0].counts.values()) == [1, 2, 3, 4, 5] and five.expected[0].subjects == 11
    assert list(seven.expected[0].counts.values()) == [1, 2, 3, 4, 5, 6, 7] and seven.expected[0].subjects == 12
    assert five.attribute == seven.attribute == "objective_class" and seven.expected[0].variant == "v2"


COLUMNS = {
    "subject": "Sub",
    "clip": "File",
    "onset": "On",
    "apex": "Apex",
    "offset": "Off",
    "emotion": "Emo",
    "x": "X",
}
SHEET = pd.DataFrame(
    [["s01", "c1", "10", "/", 20.0, "Other", 1], [None, "c2", 1, 2, 3, "joy", 2], ["2", None, 1, 2, 3, "fear", 3]],
    columns=["Sub", "File", "On", "Apex", "Off", "Emo", "X"],
    index=[0, 4, 5],
    dtype=object,
)


def test_rows_are_read_and_notes_below_the_table_passed_over():
    (row,) = clip_rows(SHEET, COLUMNS)
    assert (row.position, row.subject, row.clip) == (0, 1, "c1")
    assert (row.onset, row.apex, row.offset, row.written_onset) == (10, None, 20, "10")
    assert (row.emotion, row.action_units, row.cells["x"]) == ("others", "", 1)


@pytest.mark.parametrize(
    ("needed", "positions"), [(("subject", "clip"), [0]), (("clip",), [0, 4]), (("subject",), [0, 5]), ((), [0, 4, 5])]
)
def test_only_what_is_needed_must_be_there(needed, positions):
    rows = list(clip_rows(SHEET, COLUMNS, needed))
    assert [row.position for row in rows] == positions
    assert all(row.subject == -1 for row in rows if row.position == 4)


def test_columns_that_the_sheet_lacks_are_blank():
    (row,) = clip_rows(SHEET.drop(columns=["Apex", "X"]), COLUMNS)
    assert row.apex is None and row.cells["x"] is None


def test_a_record_has_the_interval_of_its_row_unless_told_otherwise():
    (row,) = clip_rows(SHEET, COLUMNS)
    names = {"key": "k", "clip_id": "x/k", "subject": "s1", "recording": "r", "folder_parts": ("s1", "c1")}
    record = row.record(**names)
    assert (record.onset, record.apex, record.offset, record.emotion) == (10, None, 20, "others")
    changed = row.record(**names, offset=30, attributes={"row": "0"})
    assert (changed.onset, changed.offset, changed.attributes) == (10, 30, {"row": "0"})
