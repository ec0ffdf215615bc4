"""docs/performance.md holds the figures of the JSON that the benchmarks wrote."""

import json

import pytest

from benchmarks.page import FOLDER, PAGE, filled

DOCUMENT = {
    "command": "python -m benchmarks x",
    "machine": {"processor": "P", "cores": 2, "threads": 1, "torch": "2"},
    "tables": {"T": [{"a": 1}]},
}


def test_the_page_is_up_to_date():
    """`python -m benchmarks page` was called since the figures changed, and nobody edited them by hand."""
    text = PAGE.read_text(encoding="utf-8")
    assert list(FOLDER.glob("*.json")) and filled(text, FOLDER) == text


def test_tables_replace_what_was_between_the_marks(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(DOCUMENT))
    page = filled("before\n<!-- x -->\nold\n<!-- end of x -->\nafter", tmp_path)
    assert page.startswith("before") and page.endswith("after") and "| 1 |" in page and "old" not in page


def test_a_page_without_marks_is_refused(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(DOCUMENT))
    with pytest.raises(SystemExit, match="needs the marks <!-- x -->"):
        filled("no marks", tmp_path)
