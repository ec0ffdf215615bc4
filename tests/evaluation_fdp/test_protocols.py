"""Splits: no subject on two sides, every clip held out once, whatever the corpus looks like."""

import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evaluation_fdp.errors import ProtocolError
from evaluation_fdp.protocols import (
    FINAL_FOLD,
    NO_PROTOCOL,
    PROTOCOL_PATTERN,
    ClipTable,
    Fold,
    check_folds,
    final_fold,
    folder_name,
    inner_split,
    make_folds,
    select_folds,
    untaught_classes,
)


def table_of(subjects, labels=None, corpora=None):
    labels = [0] * len(subjects) if labels is None else labels
    return ClipTable(
        [f"clip{row}" for row in range(len(subjects))],
        ["toy"] * len(subjects) if corpora is None else corpora,
        subjects,
        labels,
        ["a", "b", "c"],
    )


def test_folds_have_like_counts_of_every_class():
    """Subjects with 1+1, 2+0, 2+2 and 3+1 clips of two classes: only these pairs have 4+2 each."""
    subjects = ["s0"] * 2 + ["s1"] * 2 + ["s2"] * 4 + ["s3"] * 4
    folds = make_folds(table_of(subjects, [0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1]), "kfold2")
    assert [set(fold.test_subjects) for fold in folds] == [{"s1", "s2"}, {"s0", "s3"}]


def test_leave_one_subject_out():
    folds = make_folds(table_of(["s1", "s2", "s1", "s3"]), "loso")
    assert [fold.fold_id for fold in folds] == ["s1", "s2", "s3"]
    assert folds[0].test_indices == (0, 2) and folds[0].train_indices == (1, 3)
    assert folds[0].test_subjects == ("s1",) and folds[0].train_subjects == ("s2", "s3")


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=2, max_size=60),
    st.sampled_from(["loso", "kfold2", "kfold3", "kfold5", "holdout", "megc2019"]),
)
def test_every_split_is_honest(rows, protocol):
    table = table_of([f"s{subject}" for subject, _ in rows], [label for _, label in rows])
    num_subjects = len(set(table.subjects))
    parts = int(protocol[5:]) if protocol.startswith("kfold") else 2
    if num_subjects < parts:
        with pytest.raises(ProtocolError):
            make_folds(table, protocol)
        return
    folds = make_folds(table, protocol)
    tested = Counter(row for fold in folds for row in fold.test_indices)
    if protocol != "holdout":
        assert sorted(tested) == list(range(len(rows)))
    assert set(tested.values()) == {1}
    for fold in folds:
        assert not set(fold.train_subjects) & set(fold.test_subjects)
        assert sorted(fold.train_indices + fold.test_indices) == list(range(len(rows)))
    assert folds == make_folds(table, protocol)


def test_folds_do_not_depend_on_the_order_of_the_clips():
    subjects = [f"s{number % 7}" for number in range(30)]
    labels = [number % 3 for number in range(30)]
    there = make_folds(table_of(subjects, labels), "kfold3")
    back = make_folds(table_of(subjects[::-1], labels[::-1]), "kfold3")
    assert [fold.test_subjects for fold in there] == [fold.test_subjects for fold in back]


def test_groups_have_like_class_counts():
    """Eight subjects of one class, two of the other: a fold without the rare class would be a bad deal."""
    subjects = [f"s{number}" for number in range(10) for _ in range(4)]
    labels = [int(number >= 8) for number in range(10) for _ in range(4)]
    for fold in make_folds(table_of(subjects, labels), "kfold2"):
        assert Counter(labels[row] for row in fold.test_indices) == {0: 16, 1: 4}


def test_cross_corpus_never_trains_on_a_test_corpus():
    corpora = ["casme2", "casme2", "samm", "smic", "samm"]
    table = table_of([f"{corpus}-{row}" for row, corpus in enumerate(corpora)], corpora=corpora)
    folds = make_folds(table, "cross_corpus", ["samm", "smic"])
    assert [(fold.fold_id, fold.train_indices, fold.test_indices) for fold in folds] == [
        ("samm", (0, 1), (2, 4)),
        ("smic", (0, 1), (3,)),
    ]
    assert final_fold(table, ["samm", "smic"]).train_indices == (0, 1)


@pytest.mark.parametrize(
    ("subjects", "protocol", "named"),
    [
        (["s1", "s1"], "loso", "all clips are of one, s1"),
        (["s1", "s2"], "kfold5", "there are 2 subjects"),
        (["s1", "s2"], "kfold1", "between 2"),
        (["s 1", "s:1"], "loso", "two folds are called"),
        ([], "loso", "no clip"),
    ],
)
def test_what_cannot_be_split_is_refused(subjects, protocol, named):
    with pytest.raises(ProtocolError, match=named):
        make_folds(table_of(subjects), protocol)


def test_clip_names_must_be_unique():
    with pytest.raises(ProtocolError, match="clip1 occurs twice"):
        ClipTable(["clip1", "clip1"], ["x"] * 2, ["a", "b"], [0, 0], ["a", "b"])


@pytest.mark.parametrize(
    ("train", "test", "named"),
    [((0, 1), (2,), "both sides"), ((0, 1), (), "both sides need some"), ((), (3,), "both sides need some")],
)
def test_the_run_time_check_finds_dishonest_folds(train, test, named):
    table = table_of(["s1", "s2", "s2", "s3"])
    with pytest.raises(ProtocolError, match=named):
        check_folds(table, [Fold("f", train, test, (), ())])


def test_the_run_time_check_finds_a_clip_that_is_tested_twice():
    table = table_of(["s1", "s2", "s3"])
    folds = [Fold("f", (0,), (2,), (), ()), Fold("g", (1,), (2,), (), ())]
    with pytest.raises(ProtocolError, match="clip2 is tested by two folds"):
        check_folds(table, folds)


def test_inner_split_takes_whole_training_subjects():
    table = table_of([f"s{number % 6}" for number in range(24)])
    fold = make_folds(table, "loso")[0]
    inside, aside = inner_split(table, fold, 0.4, seed=3)
    assert sorted(inside + aside) == list(fold.train_indices)
    groups = [{table.subjects[row] for row in rows} for rows in (inside, aside)]
    assert not groups[0] & groups[1] and len(groups[1]) == 2
    assert inner_split(table, fold, 0.4, seed=3) == (inside, aside)
    assert any(inner_split(table, fold, 0.4, seed=seed) != (inside, aside) for seed in range(5))
    with pytest.raises(ProtocolError, match="two training subjects"):
        inner_split(table_of(["s1", "s2"]), make_folds(table_of(["s1", "s2"]), "loso")[0], 0.5, seed=0)


def test_the_released_list_of_subjects_lacks_one():
    table = table_of(["sub17", "sub18", "sub19"], corpora=["casme2"] * 3)
    folds = make_folds(table, "loso", released_subject_list=True)
    assert [fold.fold_id for fold in folds] == ["sub17", "sub19"]
    assert all("sub18" in fold.train_subjects for fold in folds)
    with pytest.raises(ProtocolError, match="released_subject_list"):
        make_folds(table_of(["s1", "s2"]), "loso", released_subject_list=True)


def test_selecting_folds():
    folds = make_folds(table_of(["s1", "s2", "s3"]), "loso")
    assert select_folds(folds, "all") == folds
    assert [fold.fold_id for fold in select_folds(folds, "s3, s1")] == ["s1", "s3"]
    for wanted in ("s4", "", "s1,,s9"):
        with pytest.raises(ProtocolError, match="s1,s2,s3"):
            select_folds(folds, wanted)
    parts = [select_folds(folds, f"{number}/2") for number in (1, 2)]
    assert [[fold.fold_id for fold in part] for part in parts] == [["s1", "s3"], ["s2"]]
    assert select_folds(folds, "7/9") == []
    for wanted in ("0/2", "3/2"):
        with pytest.raises(ProtocolError, match="K from 1 to N"):
            select_folds(folds, wanted)


def test_untaught_classes():
    table = table_of(["s1", "s1", "s2"], [0, 2, 0])
    first, second = make_folds(table, "loso")
    assert untaught_classes(table, first) == ["c"] and untaught_classes(table, second) == []


def test_folder_names_are_safe():
    assert folder_name("../etc/passwd") == "etc-passwd"
    assert folder_name("spNO.1") == "spNO.1" and folder_name("...") == "unnamed"
    # Only a name that Windows reserves loses its dot.
    assert re.fullmatch(r"a\.b-[0-9a-f]{10}", folder_name("a.b甲"))
    assert re.fullmatch(r"nul-b-[0-9a-f]{10}", folder_name("nul.b"))
    assert re.fullmatch(r"subject-[0-9a-f]{10}", folder_name("甲")) and len(folder_name("x" * 101)) == 100


@given(st.lists(st.text(min_size=1, max_size=120), min_size=2, max_size=6, unique=True))
@example(["甲", "乙"])
@example(["José", "Josè"])
@example(["con", "nul.txt"])
@example(["x" * 101 + "a", "x" * 101 + "b"])
def test_folder_names_fit_every_disk_and_tell_other_scripts_apart(names):
    for name in names:
        folder = folder_name(name)
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", folder) and folder.strip(".-") == folder
        assert not re.fullmatch(r"(con|nul|aux|prn)(\..*)?", folder, re.IGNORECASE)
    foreign = {unicodedata.normalize("NFC", name) for name in names if not name.isascii()}
    assert len({folder_name(name).casefold() for name in foreign}) == len(foreign)


def test_folds_that_differ_in_letter_case_alone_are_refused():
    with pytest.raises(ProtocolError, match="two folds are called"):
        make_folds(table_of(["s1", "S1"]), "loso")


@pytest.mark.parametrize(
    ("protocol", "is_one"),
    [
        *[(name, True) for name in ("loso", "kfold2", "kfold10", "holdout", "megc2019", "cross_corpus", "none")],
        *[(name, False) for name in ("", "LOSO", "kfold", "kfold0", "kfold05", "kfold-1", "loso2", "nones")],
    ],
)
def test_names_of_protocols(protocol, is_one):
    assert (PROTOCOL_PATTERN.fullmatch(protocol) is not None) is is_one


def test_nobody_is_held_out_without_a_protocol():
    assert make_folds(table_of(["s1", "s2"]), NO_PROTOCOL) == []


@pytest.mark.parametrize(("num_subjects", "held_out"), [(2, 1), (3, 1), (5, 1), (10, 2), (15, 3)])
def test_holdout_takes_a_fifth_of_the_subjects(num_subjects, held_out):
    (fold,) = make_folds(table_of([f"s{number:02d}" for number in range(num_subjects)]), "holdout")
    assert fold.fold_id == "holdout" and len(fold.test_subjects) == held_out
    assert len(fold.train_subjects) == num_subjects - held_out


def test_groups_are_dealt_largest_first_to_where_they_disturb_least():
    """The two large subjects part, and so do the two with the rare class; of equal groups the first one takes."""
    subjects = ["a"] * 6 + ["b"] * 5 + ["c"] * 2 + ["d"] * 1
    labels = [0] * 6 + [0] * 5 + [1, 1] + [1]
    first, second = make_folds(table_of(subjects, labels), "kfold2")
    assert (first.fold_id, second.fold_id) == ("fold0", "fold1")
    assert {first.test_subjects, second.test_subjects} == {("a", "c"), ("b", "d")}
    # As many groups as subjects: each gets one, however uneven the classes are.
    folds = make_folds(table_of(subjects, labels), "kfold4")
    assert sorted(fold.test_subjects for fold in folds) == [("a",), ("b",), ("c",), ("d",)]


def test_the_final_model_learns_from_everybody():
    table = table_of(["s2", "s1", "s2"], corpora=["x", "x", "y"])
    fold = final_fold(table)
    assert (fold.fold_id, fold.train_indices, fold.test_indices) == (FINAL_FOLD, (0, 1, 2), ())
    assert fold.train_subjects == ("s1", "s2") and fold.test_subjects == ()
    assert final_fold(table, ["y"]) == Fold(FINAL_FOLD, (0, 1), (), ("s1", "s2"), ())


def test_a_fold_names_the_subjects_of_both_sides():
    table = table_of(["s3", "s1", "s2"], corpora=["x", "x", "y"])
    (fold,) = make_folds(table, "cross_corpus", ["y"])
    assert fold == Fold("y", (0, 1), (2,), ("s1", "s3"), ("s2",))


@pytest.mark.parametrize(
    ("num_subjects", "fraction", "aside"),
    [(2, 0.01, 1), (6, 0.01, 1), (2, 0.99, 1), (5, 0.5, 2), (5, 0.3, 2), (10, 0.26, 3)],
)
def test_inner_split_sets_the_share_aside_and_leaves_one(num_subjects, fraction, aside):
    table = table_of([f"s{number}" for number in range(num_subjects + 1)])
    fold = make_folds(table, "loso")[-1]
    inside, outside = inner_split(table, fold, fraction, seed=0)
    assert len(outside) == aside and len(inside) == num_subjects - aside


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: make_folds(table_of(["s1"]), "loso"),
            "protocol loso holds out subjects, but all clips are of one, s1; add another subject",
        ),
        (
            lambda: make_folds(table_of(["s1", "s2"]), "kfold3"),
            "protocol kfold3 needs between 2 and as many folds as subjects, but there are 2 subjects; choose kfold2 "
            "to kfold2, or loso",
        ),
        (
            lambda: ClipTable([], [], [], [], ["a", "b"]),
            "the corpus holds no clip of this label set; check --data_dir and --label_set",
        ),
        (
            lambda: ClipTable(["c", "c"], ["x"] * 2, ["s"] * 2, [0, 0], ["a", "b"]),
            "clip_id must be unique, but c occurs twice; check the corpus loader",
        ),
        (
            lambda: inner_split(table_of(["s1", "s2"]), make_folds(table_of(["s1", "s2"]), "loso")[0], 0.5, 0),
            "--selection inner needs two training subjects, but fold s1 has 1; use --selection fixed",
        ),
        (
            lambda: check_folds(table_of(["s1", "s1"]), [Fold("f", (0,), (1,), ("s1",), ("s1",))]),
            "subjects ['s1'] are on both sides of fold f; use --protocol loso",
        ),
        (
            lambda: check_folds(table_of(["s1", "s2"]), [Fold("f", (0,), (), ("s1",), ())]),
            "fold f has 1 training and 0 test clips; both sides need some, choose another protocol",
        ),
        (
            lambda: check_folds(
                table_of(["s1", "s2", "s3"]), [Fold("f", (0,), (2,), (), ()), Fold("g", (1,), (2,), (), ())]
            ),
            "clip clip2 is tested by two folds; each clip may be predicted once",
        ),
        (
            lambda: check_folds(
                table_of(["s1", "s2", "s3"]), [Fold("f", (0,), (2,), (), ()), Fold("f", (2,), (1,), (), ())]
            ),
            "two folds are called 'f'; rename one of the subjects in the coding sheet",
        ),
        (
            lambda: select_folds(make_folds(table_of(["s1", "s2"]), "loso"), "s3,s1"),
            "--folds names ['s3']; the folds are all or some of s1,s2",
        ),
        (
            lambda: select_folds(make_folds(table_of(["s1", "s2"]), "loso"), " "),
            "--folds names nothing; the folds are all or some of s1,s2",
        ),
        (
            lambda: select_folds(make_folds(table_of(["s1", "s2"]), "loso"), "3/2"),
            "--folds K/N takes K from 1 to N, got 3/2; write for example 1/4",
        ),
        (
            lambda: make_folds(table_of(["s1", "s2"]), "loso", released_subject_list=True),
            "--released_subject_list needs leave-one-subject-out on casme2, got ['toy']; drop the switch",
        ),
    ],
)
def test_refusals_say_the_rule_what_was_given_and_the_remedy(call, message):
    with pytest.raises(ProtocolError) as caught:
        call()
    assert str(caught.value) == message


def test_the_released_list_is_told_by_the_last_number_of_a_name():
    table = table_of(["18sub17", "s018", "nobody"], corpora=["casme2"] * 3)
    folds = make_folds(table, "loso", released_subject_list=True)
    assert [fold.fold_id for fold in folds] == ["18sub17", "nobody"]
    with pytest.raises(ProtocolError, match="leave-one-subject-out on casme2"):
        make_folds(table_of([f"s{n}" for n in range(6)], corpora=["casme2"] * 6), "kfold2", released_subject_list=True)


def test_untaught_classes_are_named_in_the_order_of_the_classes():
    table = table_of(["s1", "s1", "s2"], [2, 1, 0])
    assert untaught_classes(table, make_folds(table, "loso")[0]) == ["b", "c"]
