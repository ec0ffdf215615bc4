"""From corpus names to the clips of a run, on fake downloads in the true layouts."""

import dataclasses
import json
import re

import datasets
import pytest

from evaluation_fdp.errors import ConfigError, ProtocolError
from evaluation_fdp.protocols import make_folds
from hub_datasets.errors import CorpusError
from hub_datasets.synthetic.layouts import LAYOUTS, SyntheticLayout
from hub_datasets.synthetic.settings import CorpusSettings
from hub_datasets.synthetic.tree import write_tree
from tests.fakes.fake import make_fake_corpus
from training_fdp.data.corpora import clip_cache_folder, load_corpora
from training_fdp.data.options import DataOptions
from training_fdp.data.people import check_unseen, subjects_by_corpus
from training_fdp.runs.run import run_unfinished

NAMES = ("casme2", "samm", "samm_long", "megc2019")


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    root = tmp_path_factory.mktemp("downloads")
    return {name: str(make_fake_corpus(name, root / name, frame_size=1)) for name in NAMES}


@pytest.fixture(autouse=True)
def rows_in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "rows")


def test_cross_corpus(downloads):
    config = DataOptions(
        corpus=["casme2"],
        data_dir=[downloads["casme2"]],
        test_corpus=["samm"],
        test_data_dir=[downloads["samm"]],
        label_set="3class",
    )
    corpora = load_corpora(config)
    table = corpora.table
    assert not corpora.faces_may_be_published
    assert set(table.corpora) == {"casme2", "samm"}
    assert all(subject.startswith(f"{corpus}-") for subject, corpus in zip(table.subjects, table.corpora, strict=True))
    (fold,) = make_folds(table, "cross_corpus", config.test_corpus)
    assert {table.corpora[row] for row in fold.train_indices} == {"casme2"}
    assert {table.corpora[row] for row in fold.test_indices} == {"samm"}
    with pytest.raises(ConfigError, match="need the same classes"):
        load_corpora(dataclasses.replace(config, label_set="5class"))


def test_classes_in_another_order_are_told_by_name(downloads, tmp_path):
    def emotions(config):
        corpora = load_corpora(config)
        names = corpora.table.class_names
        return names, {
            clip: names[label] for clip, label in zip(corpora.table.clip_ids, corpora.table.labels, strict=True)
        }

    alone = DataOptions(corpus=["casme2"], data_dir=[downloads["casme2"]], label_set="5class")
    settings = CorpusSettings(num_subjects=1, num_clips=5, size_hw=(32, 32), mix="5class")
    write_tree(settings, SyntheticLayout(), tmp_path / "tree")
    rendered = DataOptions(corpus=["synthetic"], data_dir=[str(tmp_path / "tree")], label_set="5class")
    both = dataclasses.replace(rendered, test_corpus=["casme2"], test_data_dir=[downloads["casme2"]])
    own_order, real = emotions(alone)
    order, rows = emotions(rendered)
    assert order != own_order and sorted(order) == sorted(own_order)
    assert emotions(both) == (order, rows | real)
    # One licensed corpus among rendered ones is enough: no face is drawn, and the figures are not called synthetic.
    mixed, alone = load_corpora(both), load_corpora(rendered)
    assert not mixed.faces_may_be_published and not mixed.is_rendered
    assert alone.faces_may_be_published and alone.is_rendered


def test_a_corpus_that_filmed_the_people_of_another_one_holds_them_out_together(downloads):
    both = DataOptions(
        corpus=["samm", "samm_long"], data_dir=[downloads["samm"], downloads["samm_long"]], label_set="3class"
    )
    corpora = load_corpora(both)
    subjects = {
        corpus: {subject for subject, found in zip(corpora.table.subjects, corpora.table.corpora, strict=True)
                 if found == corpus}
        for corpus in both.corpus
    }  # fmt: skip
    shared = subjects["samm"] & subjects["samm_long"]
    assert shared, "the two downloads show the same people"
    for fold in make_folds(corpora.table, "loso"):
        if set(fold.test_subjects) & shared:
            assert {corpora.table.corpora[row] for row in fold.test_indices} == {"samm", "samm_long"}
    everyone = subjects_by_corpus(corpora.table, corpora.people, range(len(corpora.table.clip_ids)))
    assert everyone == {"samm": sorted(subject.removeprefix("samm-") for subject in set.union(*subjects.values()))}

    across = dataclasses.replace(
        both, corpus=["samm"], data_dir=[downloads["samm"]],
        test_corpus=["samm_long"], test_data_dir=[downloads["samm_long"]],
    )  # fmt: skip
    with pytest.raises(ProtocolError, match=r"subjects \['samm-.* on both sides of fold samm_long"):
        make_folds(load_corpora(across).table, "cross_corpus", across.test_corpus)


def test_a_checkpoint_of_one_corpus_has_seen_the_people_of_its_sister(downloads):
    corpora = load_corpora(DataOptions(corpus=["samm_long"], data_dir=[downloads["samm_long"]], label_set="3class"))
    fold = make_folds(corpora.table, "loso")[0]
    with pytest.raises(ProtocolError, match="was trained on samm, subject"):
        check_unseen("first", {"samm": [*fold.test_subjects]}, corpora.table, corpora.people, [fold])


def test_another_package_is_another_run_and_a_moved_tree_is_not(tmp_path):
    def identity(variant, place):
        root = make_fake_corpus("casme2", tmp_path / place, variant, frame_size=1)
        return load_corpora(DataOptions(corpus=["casme2"], data_dir=[str(root)], label_set="5class")).identity

    cropped = identity("2014", "here")
    assert identity("2014", "elsewhere") == cropped
    for variant in ("2014-selected", "2014-raw"):
        other = identity(variant, variant)
        assert other["class_names"] == cropped["class_names"]
        assert other["sources"] != cropped["sources"] and other["clips"] != cropped["clips"]


def test_two_rendered_trees_of_the_same_faces_are_refused(tmp_path):
    def run_of(seed):
        place = tmp_path / f"casme2_{seed}"
        if not place.exists():
            write_tree(dataclasses.replace(settings, seed=seed), LAYOUTS["casme2"](), place)
        return DataOptions(
            corpus=["synthetic"], data_dir=[str(tmp_path / "tree")], label_set="5class",
            test_corpus=["casme2"], test_data_dir=[str(place)],
        )  # fmt: skip

    settings = CorpusSettings(num_subjects=1, num_clips=5, size_hw=(32, 32), mix="5class", seed=3)
    write_tree(settings, SyntheticLayout(), tmp_path / "tree")
    assert len(load_corpora(run_of(4)).people) == 2
    with pytest.raises(ConfigError, match=r"must show other people.*--seed"):
        load_corpora(run_of(3))


def test_the_composite_is_left_one_subject_out_over_its_parts(downloads):
    config = DataOptions(corpus=["megc2019"], data_dir=[downloads["megc2019"]])
    table = load_corpora(config).table
    assert set(table.corpora) == {"casme2", "samm", "smic"}
    folds = make_folds(table, "megc2019")
    assert len(folds) == len(set(table.subjects))
    assert {fold.fold_id.split("-")[0] for fold in folds} == {"casme2", "samm", "smic"}


def test_folders_and_corpora_must_pair_up(downloads):
    with pytest.raises(ConfigError, match="one folder per corpus"):
        load_corpora(DataOptions(corpus=["casme2"], data_dir=[downloads["casme2"], downloads["samm"]]))


def test_options_are_for_every_corpus_or_for_one(downloads):
    config = DataOptions(
        corpus=["casme2", "samm"], data_dir=[downloads["casme2"], downloads["samm"]], label_set="3class"
    )
    with pytest.raises(CorpusError, match=r"samm was not found.*no package 'cropped'"):
        load_corpora(dataclasses.replace(config, corpus_options=["package=cropped"]))
    with pytest.raises(CorpusError, match="option package of casme2"):
        load_corpora(dataclasses.replace(config, corpus_options=["casme2.package=nothing"]))
    both = load_corpora(dataclasses.replace(config, corpus_options=["casme2.package=cropped"]))
    assert set(both.table.corpora) == {"casme2", "samm"}
    with pytest.raises(ConfigError, match="gives package to smic, but the corpora are casme2, samm"):
        load_corpora(dataclasses.replace(config, corpus_options=["smic.package=cropped"]))


def test_a_corpus_error_passes_through():
    with pytest.raises(CorpusError):
        load_corpora(DataOptions(corpus=["atlantis"]))


def test_where_aligned_clips_are_kept(tmp_path):
    assert clip_cache_folder(str(tmp_path)) == tmp_path
    assert clip_cache_folder(None).parent == tmp_path / "rows"


def custom_folders(tmp_path, *people):
    """One folder of the corpus `custom` for each list of subjects, whose clips belong to them in turn."""
    folders = []
    for number, subjects in enumerate(people):
        folder = tmp_path / f"lab{number}"
        make_fake_corpus("custom", folder, variant="minimal", frame_size=1)
        frames = sorted(path.name for path in (folder / "recordings").iterdir())
        rows = [
            f"recordings/{name},{subjects[index % len(subjects)]},{('negative', 'positive')[index // 2 % 2]}"
            for index, name in enumerate(frames)
        ]
        (folder / "clips.csv").write_text("\n".join(["path,subject,label", *rows]) + "\n", encoding="utf-8")
        folders.append(str(folder))
    return folders


def test_a_person_in_two_folders_of_one_corpus_is_one_subject_however_it_is_spelled(tmp_path):
    folders = custom_folders(tmp_path, ["S01", "S02"], ["s1", "sub03"])
    corpora = load_corpora(DataOptions(corpus=["custom", "custom"], data_dir=folders))
    assert sorted(set(corpora.table.subjects)) == ["custom-S01", "custom-S02", "custom-sub03"]
    assert any("'S01', 's1' are taken for one person, 'S01'" in warning for warning in corpora.warnings)
    for fold in make_folds(corpora.table, "loso"):
        assert not {corpora.table.subjects[row] for row in fold.train_indices} & set(fold.test_subjects)
    # Whoever trained on one folder has seen the person of the other one.
    folds = make_folds(corpora.table, "loso")
    with pytest.raises(ProtocolError, match="trained on custom, subject S01"):
        check_unseen("start", {"custom": ["Subject 1"]}, corpora.table, corpora.people, folds)


def test_clips_of_a_single_frame_are_trained_on_and_named_in_the_results(tmp_path):
    """One recording has one frame: phases, flow and landmarks of it are still, and the run says so by name."""
    (folder,) = custom_folders(tmp_path, ["S01", "S02"])
    recordings = sorted((tmp_path / "lab0" / "recordings").iterdir())
    for path in sorted(recordings[0].iterdir())[1:]:
        path.unlink()
    for method in ("phase_images", "mol"):
        out = tmp_path / method
        words = ["--corpus", "custom", "--data_dir", folder, "--method", method, "--protocol", "loso", "--output_dir",
                 str(out), "--processor_overrides", "alignment=none", "--image_size", "32", "--num_frames", "4",
                 "--max_steps", "1", "--no_final_model", "--cache_dir", str(tmp_path / "cache"), "--num_proc", "1",
                 "--folds_at_once", "1", "--batch_size", "4", "--allow_missing_classes", "true"]  # fmt: skip
        assert run_unfinished(words) == 0
        results = json.loads((out / "results.json").read_text())
        (warning,) = [text for text in results["warnings"] if "single frame" in text]
        assert re.fullmatch(rf"1 of \d+ clips have .*: custom/recordings/{recordings[0].name}/\d+", warning)
        assert results["complete"]
        if method == "phase_images":
            assert 0 < results["answers"]["rise_left_out"]["mean"] <= 1
        if method == "mol":
            assert results["answers"]["frames_without_landmarks"]["mean"] == 1
