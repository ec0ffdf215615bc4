"""Names of files, classes and people in all scripts and spellings: found, and never two people where there is one."""

import shutil
import unicodedata

import pytest

from evaluation_fdp.protocols import ClipTable, make_folds
from hub_datasets import CorpusOptionError, Custom, SheetError, load_corpus
from hub_datasets.__main__ import main
from hub_datasets.check import check_corpus
from hub_datasets.scanning.folders import FolderTree

# Every script in which a class, a person or a folder may be named; several have other letters when decomposed.
SCRIPTS = (
    "Zoë_fête", "Việt Nam", "김민수", "Ёлка", "ガガ", "学生甲", "हिन्दी", "عربي", "Ωμέγα", "full 名", "#%[x]", "😀",
)  # fmt: skip
LONGEST = "喜" * 85  # 255 bytes, as many as a name may have on most disks


@pytest.fixture
def custom(tmp_path, fake_corpus):
    """`custom(rows, folders, encoding="utf-8")`: a CSV over folders that hold three frames each."""
    frames = sorted(next(fake_corpus("custom").glob("recordings/*")).iterdir())[:3]
    root = tmp_path / "mine"

    def make(rows, folders, encoding="utf-8", name="clips.csv"):
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
            for frame in frames:
                shutil.copy(frame, root / folder)
        text = "\n".join(["path,subject,label", *(",".join(row) for row in rows)])
        (root / name).write_bytes(text.encode(encoding))
        return root

    return make


@pytest.fixture
def loaded(corpus_cache):
    return lambda root, **options: Custom(data_dir=root, cache_dir=corpus_cache, **options)


def upper(text):
    return text.upper() if text.upper().casefold() == text.casefold() else text


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_sheet", ["NFC", "NFD"])
@pytest.mark.parametrize("change", [str, upper, str.lower])
def test_folders_are_found_in_every_script_normal_form_and_case(custom, loaded, on_disk, in_sheet, change):
    folders = [unicodedata.normalize(on_disk, f"{name}/{name}") for name in SCRIPTS]
    written = [unicodedata.normalize(in_sheet, change(f"{name}/{name}")) for name in SCRIPTS]
    root = custom([(path, path, label) for path, label in zip(written, SCRIPTS, strict=True)], folders)
    builder = loaded(root)
    assert [lost.reason for lost in builder.scan.lost] == []
    rows = builder.prepare()
    assert {row["frames"][0].rpartition("/")[0] for row in rows} == {str(root / folder) for folder in folders}
    assert set(rows.features["label"].names) == {unicodedata.normalize("NFC", name) for name in SCRIPTS}


def test_the_exact_name_goes_first_and_a_choice_between_two_is_refused(custom, loaded):
    root = custom([("Clip", "1", "a"), ("clip", "2", "a"), ("CLIP", "3", "b")], ["Clip", "clip"])
    if len(list(root.iterdir())) < 3:
        pytest.skip("this file system tells no letter case apart")
    scan = loaded(root).scan
    assert [clip.location.name for clip in scan.clips] == ["Clip", "clip"]
    assert [lost.reason for lost in scan.lost] == [
        "several names differ in letter case or accents alone ('Clip', 'clip'): rename all but one"
    ]


def test_twins_in_a_download_are_told_apart_by_their_exact_names(tmp_path):
    for name in ("Clip", "clip"):
        (tmp_path / name).mkdir()
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system tells no letter case apart")
    tree = FolderTree(tmp_path)
    assert [tree.find_folder(tmp_path, (name,)) for name in ("Clip", "clip")] == [tmp_path / "Clip", tmp_path / "clip"]


def test_names_of_255_bytes_are_read_like_any_other(custom, corpus_cache):
    name = "x" * 251 + ".csv"
    root = custom([(f"{LONGEST}/{LONGEST}", LONGEST * 2, LONGEST)], [f"{LONGEST}/{LONGEST}"], name=name)
    (row,) = load_corpus("custom", root, cache_dir=corpus_cache)
    assert len(row["frames"]) == 3 and row["subject"] == LONGEST * 2
    (again,) = load_corpus("custom", root / name, cache_dir=corpus_cache)
    assert again["frames"] == row["frames"]


def test_a_name_that_no_disk_holds_costs_its_row_alone(custom, loaded):
    scan = loaded(custom([("good", "1", "a"), ("x" * 300, "2", "b")], ["good"])).scan
    assert len(scan.clips) == 1 and "no folder xxx" in scan.lost[0].reason


PEOPLE = (
    ("S01", "s1", " sub01 ", "Ｓ０１", "Subject 1", "1", "01", "1.0", "\ufeffS-01"),
    ("José", "JOSÉ", unicodedata.normalize("NFD", "josé")),
    ("Josè",),
    ("김 민수", unicodedata.normalize("NFD", "김 민수"), "김  민수"),
    ("Анна", "анна"),
    ("p1", "P01", "p_1"),
    ("s11",),
)


def test_spellings_of_a_person_are_one_subject_and_never_on_two_sides(custom, loaded):
    rows = [
        (f"c{person}_{number}_{label}", text, label)
        for person, texts in enumerate(PEOPLE)
        for number, text in enumerate(texts)
        for label in ("happy", "sad")
    ]
    builder = loaded(custom(rows, [path for path, _, _ in rows]))
    clips = builder.prepare()
    person_of = {path: int(path[1:].split("_")[0]) for path, _, _ in rows}
    assert clips["subject"] == [PEOPLE[person_of[row["recording"]]][0].strip() for row in clips]
    labels = list(clips["label"])
    table = ClipTable(clips["clip_id"], clips["corpus"], clips["subject"], labels, clips.features["label"].names)
    folds = make_folds(table, "loso")
    assert len(folds) == len(PEOPLE)
    for fold in folds:
        held_out = {person_of[clips[row]["recording"]] for row in fold.test_indices}
        assert not held_out & {person_of[clips[row]["recording"]] for row in fold.train_indices}
    report = check_corpus(builder)
    assert report.subjects == len(PEOPLE)
    merged = [texts for texts in PEOPLE if len(texts) > 1]
    assert len(report.remarks) == len(merged)
    assert any("'S01', 's1', 'sub01'" in remark and "one person, 'S01'" in remark for remark in report.remarks)
    assert any("subject 's1' -> 'S01'" in item["reason"] for item in report.repaired)


def test_corpora_with_subjects_as_text_are_held_to_it_too(damaged_corpus, scan):
    """4DME takes its subjects as the sheet writes them."""
    import openpyxl

    root = damaged_corpus("fourdme")
    before = {clip.record.subject for clip in scan("fourdme", root).clips}
    sheet = next(root.glob("*.xlsx"))
    workbook = openpyxl.load_workbook(sheet)
    page = workbook.worksheets[0]
    column = next(cell.column for cell in page[1] if cell.value and str(cell.value).startswith("sub_ID"))
    page.cell(2, column).value = str(page.cell(2, column).value).lower()
    workbook.save(sheet)
    assert {clip.record.subject.casefold() for clip in scan("fourdme", root).clips} == {
        subject.casefold() for subject in before
    }
    assert len({clip.record.subject for clip in scan("fourdme", root).clips}) == len(before)


def test_spellings_of_a_class_are_one_class(custom, loaded):
    words = ("Joy", "joy ", "ＪＯＹ", "dégoût", unicodedata.normalize("NFD", "Dégoût"))
    rows = [(f"c{number}", f"s{number}", word) for number, word in enumerate(words)]
    root = custom(rows, [path for path, _, _ in rows])
    builder = loaded(root)
    assert builder.label_set.names == ("Joy", "dégoût")
    assert [clip.label for clip in builder.scan.clips] == ["Joy"] * 3 + ["dégoût"] * 2
    assert [clip.record.notes != [] for clip in builder.scan.clips] == [False, True, True, False, True]
    chosen = loaded(root, labels="DÉGOÛT, joy")
    assert chosen.label_set.names == ("dégoût", "Joy") and len(chosen.scan.clips) == 5


@pytest.mark.parametrize("encoding", ["cp932", "cp949", "gb18030", "utf-16"])
def test_the_option_names_the_encoding(custom, loaded, encoding, capsys, corpus_cache):
    word = {"cp949": "기쁨", "cp932": "喜び"}.get(encoding, "高兴")
    root = custom([("c", "s", word)], ["c"], encoding)
    assert loaded(root, encoding=encoding).label_set.names == (word,)
    words = ["check", "custom", "--data_dir", str(root), "--cache_dir", str(corpus_cache)]
    assert main([*words, "--encoding", encoding]) == 0
    if encoding == "utf-16":
        assert main(words) == 0
        return
    with pytest.raises(SheetError, match=f"{encoding} .reads '{word}'"):
        loaded(root)
    assert main(words) == 2
    assert encoding in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["cp9999", "hex", "of course"])
def test_an_encoding_that_there_is_not_is_refused(custom, loaded, encoding):
    with pytest.raises(CorpusOptionError, match="text encoding of Python"):
        loaded(custom([("c", "s", "a")], ["c"]), encoding=encoding)
