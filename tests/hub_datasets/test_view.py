"""`python -m hub_datasets view`: what the page holds, what it refuses, and that it loads nothing."""

import base64
import csv
import io
import json
import os
import re
from collections import Counter
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hub_datasets import view
from hub_datasets.__main__ import main
from hub_datasets.check import CheckReport
from hub_datasets.records import RENDERED_MANIFEST, ClipEnd
from hub_datasets.view import Bar, class_histogram, key_positions, length_histogram


class Page(HTMLParser):
    """The clips of a page, its pictures, and the bars of its histograms by heading."""

    def __init__(self, path):
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.clips, self.bars, self.tags = [], {}, Counter()
        self._open = []
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags[tag] += 1
        if tag not in ("img", "input", "meta"):
            self._open.append(tag)
        if tag == "article":
            values = {name: json.loads(attributes[f"data-{name}"]) for name in ("subject", "class", "units", "flags")}
            self.clips.append(SimpleNamespace(**values, words="", images=[]))
        elif tag == "img":
            self.clips[-1].images.append(attributes["src"])

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, "tags are closed in order"

    def handle_data(self, data):
        if "article" in self._open:
            self.clips[-1].words += data
        elif "section" in self._open and data.strip():
            if self._open[-1] == "h2":
                self._heading = data
            else:
                self.bars.setdefault(self._heading, []).append(data.strip())


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("rendered")
    words = ["--num_subjects", "2", "--num_clips", "4", "--size", "32", "32", "--fps", "60", "--output_dir", str(root)]
    assert main(["generate", *words]) == 0
    return root


@pytest.fixture
def look(tmp_path, capsys):
    """`look(name, root, *words)`: exit code, path of the page and standard error."""
    output = tmp_path / "page.html"

    def run(name, root, *words, output=output):
        words = ["--output_file", str(output), "--cache_dir", str(tmp_path / "cache"), *words]
        code = main(["view", name, "--data_dir", str(root), *words])
        return code, output, capsys.readouterr().err

    return run


@pytest.fixture
def hostile(tmp_path):
    """A rendered corpus of two clips in CSV, with markup in its cells, and a damaged frame in the second."""
    root = tmp_path / "hostile"
    rows = [("path", "subject", "label", "onset", "apex", "offset", "action_units")]
    for number, subject in enumerate(("<script>alert(1)</script>", "'\"><img src=x onerror=a()>")):
        folder = root / f"clip{number}"
        folder.mkdir(parents=True)
        for frame in range(1, 7):
            Image.fromarray(np.full((24, 24), 20 * frame, np.uint8)).save(folder / f"{frame}.png")
        rows.append((folder.name, subject, "a</style>&b", "1", "3", "6", "4+R12?"))
    (root / "clip1" / "1.png").write_bytes(b"no picture")
    (root / RENDERED_MANIFEST).write_text("{}")
    with (root / "clips.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return root


def test_a_page_holds_every_clip_with_its_aligned_frames(look, rendered):
    code, path, _ = look("synthetic", rendered)
    page = Page(path)
    with (rendered / "clips.csv").open(encoding="utf-8") as stream:
        truth = [{name.lower(): cell for name, cell in row.items()} for row in csv.DictReader(stream)]
    assert code == 0 and len(page.clips) == len(truth) == 4
    for clip, row in zip(page.clips, truth, strict=True):
        assert clip.subject == [row["subject"]] and set(clip.units) == set(re.findall(r"\d+", row["action units"]))
        assert all(f"{name}\n{row[name]} (" in clip.words for name in ("onset", "apex", "offset"))
        assert len(clip.images) == 5
        for image in clip.images:
            with Image.open(io.BytesIO(base64.b64decode(image.removeprefix("data:image/jpeg;base64,")))) as picture:
                assert (picture.format, picture.size, picture.mode) == ("JPEG", (96, 96), "L")
    counts = Counter(clip.__dict__["class"][0] for clip in page.clips)
    assert page.bars["Classes"] == [text for name in sorted(counts) for text in (name, str(counts[name]))]
    lengths = [1000 * (int(row["offset"]) - int(row["onset"]) + 1) / 60 for row in truth]
    assert page.bars["Length, first to last frame"][1::2] == [
        str(sum(start <= length < start + 100 for length in lengths)) for start in range(0, 1000, 100)
    ] + [str(sum(length >= 1000 for length in lengths))]
    assert "no real person is shown" in page.text and "This page shows real people" not in page.text


def test_a_page_loads_nothing(look, rendered):
    page = Page(look("synthetic", rendered)[1])
    assert not re.search(
        r"https?://|//[a-z]|url\(|@import|fetch|XMLHttpRequest", re.sub(r"base64,[^\"]*", "", page.text)
    )
    assert not page.tags.keys() & {"link", "iframe", "object", "base", "video"} and page.tags["script"] == 1
    assert all(image.startswith("data:") for clip in page.clips for image in clip.images)
    assert "default-src 'none'" in page.text


def test_faces_of_people_are_shown_on_request_alone(look, fake_corpus):
    root = fake_corpus("casme2")
    code, path, error = look("casme2", root)
    assert code == 2 and not path.exists() and not list(path.parent.glob("*page*"))
    assert error.count("\n") == 1 and "--allow_face_figures" in error and "must not be redistributed" in error
    code, path, _ = look("casme2", root, "--allow_face_figures", "--limit", "2")
    page = Page(path)
    assert code == 0 and len(page.clips) == 2
    assert "This page shows real people" in page.text and "must not be redistributed" in page.text
    counted = sum(int(text.split(" of ")[0]) for text in page.bars["Classes"][1::2])
    assert f"2 of the {counted} clips are listed" in page.text and counted > 2
    assert len({clip.subject[0] for clip in page.clips}) == 2, "spread over the sheet"


def test_cells_are_text_and_a_damaged_frame_costs_one_strip(look, hostile):
    code, path, _ = look("custom", hostile)
    page = Page(path)
    assert code == 0 and page.tags["script"] == page.tags["style"] == 1
    assert [clip.subject for clip in page.clips] == [
        ["<script>alert(1)</script>"],
        ["'\"><img src=x onerror=a()>"],
    ]
    assert "subject <script>alert(1)</script>" in page.clips[0].words and "4 + R12?" in page.clips[0].words
    assert [len(clip.images) for clip in page.clips] == [5, 0]
    assert "frames doubtful" in page.clips[0].flags and "length unknown" in page.clips[0].flags
    assert "not readable" in page.clips[1].flags and "1.png' cannot be opened" in page.clips[1].words
    assert page.bars["Length, first to last frame"][-2:] == ["unknown", "2"]


def test_flags_are_those_of_check(look, damaged_corpus, capsys):
    root = damaged_corpus("smic", "hs_cropped")
    folder = next(path for path in sorted(root.rglob("s20_*")) if path.is_dir())
    frames = sorted(folder.iterdir())
    frames[len(frames) // 2].unlink()
    page = Page(look("smic", root, "--allow_face_figures")[1])
    capsys.readouterr()
    main(["check", "smic", "--data_dir", str(root), "--json"])
    report = json.loads(capsys.readouterr().out)
    flags_of = {clip.words.split()[0]: clip.flags for clip in page.clips}
    assert {name for name in flags_of if "repaired" in flags_of[name]} == {
        item["clip_id"] for item in report["repaired"]
    }
    assert {name for name in flags_of if "frames missing" in flags_of[name]} == {
        item["clip_id"] for item in report["repaired"] if "missing on disk" in item["reason"]
    }
    assert any(name.endswith(folder.name) and "frames missing" in flags_of[name] for name in flags_of)
    assert all("no offset" in clip.flags for clip in page.clips), "SMIC's cut folders have no offset"
    assert f"missing frames   {report['missing_frames']}" in page.text


def test_wrong_requests_are_one_sentence_and_cost_no_file(look, rendered, fake_corpus, damaged_corpus, tmp_path):
    sheet = tmp_path / "clips.csv"
    sheet.write_text("mine")
    (tmp_path / "folder.html").mkdir()
    empty = damaged_corpus("casme2")
    for frame in empty.rglob("*.jpg"):
        frame.unlink()
    for name, root, words, output, message in (
        ("synthetic", rendered, (), sheet, "end its name in .html"),
        ("synthetic", rendered, ("--limit", "0"), tmp_path / "page.html", "from 1 on"),
        ("synthetic", rendered, (), tmp_path / "folder.html", "cannot be written"),
        ("synthetic", rendered, (), sheet / "page.html", "cannot be written"),
        ("casme2", empty, ("--allow_face_figures",), tmp_path / "page.html", "lists the reasons"),
    ):
        code, _, error = look(name, root, *words, output=output)
        last = [line for line in error.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(last) == 1 and message in last[0]
    assert sheet.read_text() == "mine" and not (tmp_path / "page.html").exists() and not list(tmp_path.glob("*.part"))


def test_an_interrupted_page_leaves_the_old_one(look, rendered, monkeypatch):
    before = os.umask(0o027)
    try:
        path = look("synthetic", rendered)[1]
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    old = path.read_bytes()

    def interrupted(builder, clips):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(view, "clip_views", interrupted)
    with pytest.raises(KeyboardInterrupt):
        look("synthetic", rendered)
    assert path.read_bytes() == old and not list(path.parent.glob(".*.part"))


def test_lengths_are_counted_by_hand():
    bars = length_histogram([0, 99, 100, 250, 299, 999, 1000, 5000])
    assert [bar.count for bar in bars] == [2, 1, 2, 0, 0, 0, 0, 0, 0, 1, 2]
    assert (bars[0].name, bars[2].name, bars[-1].name) == ("0 to 99 ms", "200 to 299 ms", "1000 ms and more")
    assert length_histogram([None, 120])[-1] == Bar("unknown", 1)


def test_class_counts_have_the_published_ones():
    report = CheckReport("x", "", "", class_counts={"a": 3, "b": 0}, expected_class_counts={"a": 4})
    assert class_histogram(report) == [Bar("a", 3, 4), Bar("b", 0, 0)]
    report.expected_class_counts = None
    assert class_histogram(report) == [Bar("a", 3), Bar("b", 0)]


@pytest.mark.parametrize(
    ("onset", "apex", "offset", "end", "expected"),
    [
        (0, 10, 30, ClipEnd.OFFSET, {0: "onset", 5: "", 10: "apex", 20: "", 30: "offset"}),
        (0, None, 8, ClipEnd.UNKNOWN, {0: "onset", 2: "", 4: "", 6: "", 8: "last"}),
        (0, 8, 8, ClipEnd.APEX, {0: "onset", 4: "", 8: "apex, last"}),
        (0, 1, 2, ClipEnd.RECORDING, {0: "first", 1: "apex", 2: "last"}),
        (0, 0, 0, ClipEnd.OFFSET, {0: "onset, apex, offset"}),
    ],
)
def test_key_frames(onset, apex, offset, end, expected):
    clip = SimpleNamespace(record=SimpleNamespace(end=end), onset_index=onset, apex_index=apex, offset_index=offset)
    assert key_positions(clip) == expected and list(key_positions(clip)) == sorted(expected)
