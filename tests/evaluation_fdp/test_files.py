"""Files that are whole or absent, and generated blocks in pages that are edited by hand."""

import hashlib
import json
import os

import pytest

from evaluation_fdp import atomic_files
from evaluation_fdp.atomic_files import (
    file_digest,
    fresh_folder,
    name_beside,
    publish_folder,
    read_json,
    write_atomically,
    write_json,
    write_text,
)
from evaluation_fdp.errors import ConfigError
from evaluation_fdp.markdown import aligned_table, markdown_table, write_block


def test_json_is_readable_keeps_digits_and_refuses_what_is_no_number(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"name": "Ärger", "value": 1 / 3})
    assert path.read_bytes() == '{\n  "name": "Ärger",\n  "value": 0.3333333333333333\n}\n'.encode()
    assert read_json(path) == {"name": "Ärger", "value": 1 / 3}
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(path, [number])
    assert json.loads(path.read_text(encoding="utf-8"))["name"] == "Ärger", "the old file stays"
    write_text(path, "é")
    assert path.read_bytes() == "é".encode()


def test_a_file_that_could_not_be_written_is_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(path, fail)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot flush a folder")
def test_contents_and_renames_are_flushed_to_disk_in_this_order(tmp_path, monkeypatch):
    events = []
    flush, replace, rename, opened, close = os.fsync, os.replace, os.rename, os.open, os.close

    def inode(descriptor):
        return os.fstat(descriptor).st_ino

    monkeypatch.setattr(
        os, "fsync", lambda descriptor: events.append(("flush", inode(descriptor))) or flush(descriptor)
    )
    monkeypatch.setattr(os, "replace", lambda *paths: events.append("rename") or replace(*paths))
    monkeypatch.setattr(os, "rename", lambda *paths: events.append("rename") or rename(*paths))
    descriptors = []
    monkeypatch.setattr(
        os, "open", lambda *given, **more: descriptors.append(opened(*given, **more)) or descriptors[-1]
    )
    monkeypatch.setattr(os, "close", lambda descriptor: descriptors.remove(descriptor) or close(descriptor))
    path = tmp_path / "a.txt"
    write_atomically(path, lambda file: file.write(b"x"))
    assert events == [("flush", path.stat().st_ino), "rename", ("flush", tmp_path.stat().st_ino)]
    events.clear()
    staging = tmp_path / "staging"
    (staging / "deep").mkdir(parents=True)
    (staging / "deep" / "b.txt").write_text("b")
    place = tmp_path / "folds" / "fold0"
    numbers = [(path).stat().st_ino for path in (staging / "deep" / "b.txt", staging)]
    publish_folder(staging, place)
    assert events == [("flush", numbers[0]), ("flush", numbers[1]), "rename", ("flush", place.parent.stat().st_ino)]
    assert (place / "deep" / "b.txt").read_text() == "b" and not staging.exists()
    assert descriptors == [], "no folder stays open"


def test_on_windows_no_folder_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_files.os, "name", "nt")
    monkeypatch.setattr(atomic_files.os, "open", lambda *given: pytest.fail("a folder was opened"))
    atomic_files._sync_folder(tmp_path)


def test_temporary_names_are_hidden_and_unlike_each_other(tmp_path):
    one, two = (name_beside(tmp_path / "a.txt", ".tmp") for _ in range(2))
    assert one != two and one.parent == tmp_path and one.name.startswith(".a.txt.") and one.suffix == ".tmp"


def test_the_digest_is_that_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()


def test_a_fresh_folder_is_empty(tmp_path):
    place = tmp_path / "deep" / "work"
    assert fresh_folder(place) == place and place.is_dir()
    (place / "left.txt").write_text("x")
    assert list(fresh_folder(place).iterdir()) == []


def test_tables():
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert aligned_table([("name", "n"), ("x", "100")]) == ["| name | n   |", "|------|-----|", "| x    | 100 |"]


def block(text):
    return f"<!-- begin: b -->\n{text}\n<!-- end: b -->"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, f"{block('new')}\n"),
        ("", f"{block('new')}\n"),
        ("# Page\n\n\n", f"# Page\n\n{block('new')}\n"),
        (f"# Page\n{block('old')}\nafter\n", f"# Page\n{block('new')}\nafter\n"),
        (f"{block('old').replace(': b', ': a')}\n", f"{block('old').replace(': b', ': a')}\n\n{block('new')}\n"),
    ],
)
def test_a_block_is_replaced_and_the_rest_stays(tmp_path, before, after):
    path = tmp_path / "docs" / "page.md"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before, encoding="utf-8")
    write_block(path, "b", "\n new \n")
    assert path.read_text(encoding="utf-8") == after
    write_block(path, "b", "Ä")
    assert path.read_text(encoding="utf-8") == after.replace("new", "Ä")


@pytest.mark.parametrize("text", ["<!-- begin: b -->", "<!-- end: b -->", "<!-- end: b -->\n<!-- begin: b -->"])
def test_a_page_with_half_a_block_is_left_alone(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(ConfigError, match="must hold both '<!-- begin: b -->' and '<!-- end: b -->'"):
        write_block(path, "b", "new")
    assert path.read_text() == text
